"""The sockets that services listen on, and the one sentence about a port that cannot be had."""

from __future__ import annotations

import errno
import os
import socket

from dashtrade.errors import ConfigurationError


def listen(host: str, port: int, setting: str) -> socket.socket:
    """The listening socket, made before the service starts; raises ConfigurationError, which names ``setting``, when it
    cannot be had."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.create_server((host, port), family=family)
    except OSError as error:
        raise ConfigurationError(port_problem(error, host, port, setting)) from None
    # The event loop does so only for sockets that name their protocol, which this one does not; without it every answer
    # in two parts waits 40 ms for the client to acknowledge the first.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def check_port(host: str, port: int, setting: str) -> None:
    """Return when the port could be opened now; else raise ConfigurationError as :func:`listen` does."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except OSError as error:
        raise ConfigurationError(port_problem(error, host, port, setting)) from None


def port_problem(error: OSError, host: str, port: int, setting: str, host_setting: str = "DASHTRADE_HOST") -> str:
    """Why ``host:port`` could not be opened, who has it where that can be seen, and the remedy.

    ``setting`` names the port and ``host_setting`` the address.
    """
    if error.errno == errno.EADDRINUSE:
        return f"Port {port} of {host} is in use{_owner(port)}. Stop what uses it, or set {setting} to another one."
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"Port {port} of {host} may not be opened by this account. Set {setting} to one above 1023."
    if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
        return f"The address {host} is not one of this machine. Correct {host_setting}."
    reason = os.strerror(error.errno).lower() if error.errno else str(error)
    return f"Port {port} of {host} cannot be opened ({reason}). Correct {setting} or {host_setting}."


def _owner(port: int) -> str:
    import psutil

    try:
        for connection in psutil.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port and connection.pid:
                return f" by {psutil.Process(connection.pid).name()} (process {connection.pid})"
    except (psutil.Error, OSError):
        pass
    return ""
