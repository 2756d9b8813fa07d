"""Who calls, where a proxy stands in front: the last address of ``X-Forwarded-For``, and nothing else.

Tornado also believes ``X-Real-Ip``, and would rather. Most proxies pass that header on as the caller sent it, who could
so choose an address for every guess of a password.
"""

from __future__ import annotations

from collections.abc import Awaitable

from tornado.httpserver import HTTPServer
from tornado.httputil import HTTPConnection, HTTPHeaders, HTTPMessageDelegate, RequestStartLine, ResponseStartLine

CALLERS_OWN = ("X-Real-Ip", "X-Scheme")


class ProxiedServer(HTTPServer):
    """An HTTP server that takes addresses from ``X-Forwarded-For`` where ``xheaders`` is set."""

    def start_request(self, server_conn: object, request_conn: HTTPConnection) -> HTTPMessageDelegate:
        return _WithoutCallersOwn(super().start_request(server_conn, request_conn))


class _WithoutCallersOwn(HTTPMessageDelegate):
    def __init__(self, inner: HTTPMessageDelegate) -> None:
        self._inner = inner

    def headers_received(
        self, start_line: RequestStartLine | ResponseStartLine, headers: HTTPHeaders
    ) -> Awaitable[None] | None:
        for name in CALLERS_OWN:
            headers.pop(name, None)
        return self._inner.headers_received(start_line, headers)

    def data_received(self, chunk: bytes) -> Awaitable[None] | None:
        return self._inner.data_received(chunk)

    def finish(self) -> None:
        self._inner.finish()

    def on_connection_close(self) -> None:
        self._inner.on_connection_close()
