"""What a process that sends to addresses people typed in may do: no private addresses, no files, no other programs.

The check sits on the connection itself, after names were resolved and redirects followed, through Python's audit
events; so it holds whatever the sending library does. It cannot be taken back in the process.
"""

from __future__ import annotations

import ipaddress
import os
import socket
import sys
from pathlib import Path
from typing import Any

_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_READABLE = ("/etc/ssl", "/etc/pki", "/etc/ca-certificates", "/usr/lib", "/usr/share", "/usr/local/share", "/dev/null")
_SYSTEM_FILES = (
    "/etc/hosts",
    "/etc/resolv.conf",
    "/etc/nsswitch.conf",
    "/etc/services",
    "/etc/localtime",
    "/etc/host.conf",
)
_PROGRAMS = ("subprocess.Popen", "os.exec", "os.posix_spawn", "os.spawn", "os.system", "os.fork", "os.forkpty")


class Refused(PermissionError):
    """Something a message must not do."""


def is_private(address: str) -> bool:
    """Whether an IP address is not one of the public internet: loopback, local networks, link-local, reserved."""
    try:
        ip = ipaddress.ip_address(address.split("%", 1)[0])
    except ValueError:
        return True
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if inner is None and ip in _NAT64:
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFF_FFFF)
        if inner is not None:
            return is_private(str(inner))
    return not ip.is_global or ip.is_multicast


class Guard:
    """``refused`` keeps why something was stopped, since libraries swallow the error."""

    def __init__(self, allow_private: bool) -> None:
        self.refused: list[str] = []
        self._allow_private = allow_private
        roots = {sys.prefix, sys.base_prefix, *(entry for entry in sys.path if entry.endswith("site-packages"))}
        self._roots = tuple(os.path.realpath(root) for root in (*roots, *_READABLE))

    def install(self) -> None:
        sys.addaudithook(self._look)

    def _look(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
            self._address(arguments[0], arguments[1])
        elif event in _PROGRAMS:
            self._refuse("A message must not start a program.")
        elif event == "open":
            self._file(arguments[0], arguments[1])

    def _address(self, sock: socket.socket, address: Any) -> None:
        if sock.family not in (socket.AF_INET, socket.AF_INET6):
            self._refuse("A message must not go to a service of this machine.")
        if address is not None and not self._allow_private and is_private(str(address[0])):
            self._refuse("The address is a private one; the operator allows these by DASHTRADE_PRIVATE_CHANNELS=true.")

    def _file(self, path: Any, mode: Any) -> None:
        if isinstance(path, int):
            return
        real = os.path.realpath(os.fsdecode(path))
        inside = any(real == root or real.startswith(root + os.sep) for root in self._roots)
        if not (inside or real in _SYSTEM_FILES or Path(real).parts[:2] == ("/", "proc")):
            self._refuse("A message must not read or write files.")

    def _refuse(self, why: str) -> None:
        self.refused.append(why)
        raise Refused(why)
