"""The socket that a service listens on, made before it starts, so that a taken port is one sentence."""

from __future__ import annotations

import errno
import os
import socket

from dashtrade.errors import ConfigurationError


def listen(host: str, port: int, setting: str) -> socket.socket:
    """The listening socket; raises ConfigurationError, which names ``setting``, when it cannot be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family)
    except OSError as error:
        taken = error.errno == errno.EADDRINUSE
        reason = "is in use" if taken else f"cannot be used: {os.strerror(error.errno or 0).lower()}"
        raise ConfigurationError(
            f"Port {port} of {host} {reason}. Stop what uses it, or set {setting} to another one."
        ) from None
    # The event loop does so only for sockets that name their protocol, which this one does not; without it every answer
    # in two parts waits 40 ms for the client to acknowledge the first.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener
