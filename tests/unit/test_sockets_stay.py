"""A page's websocket lives as long as the page: Jupyter's own look for signs of life must not end it."""

from __future__ import annotations

import asyncio
from typing import Any

import tornado.web
import tornado.websocket
from jupyter_server.base.websocket import WebSocketMixin
from tornado.httpserver import HTTPServer
from tornado.testing import bind_unused_port
from websockets.asyncio.client import connect

from dashtrade.dashboards.server import PING_INTERVAL, PING_TIMEOUT

LOOKS = 3


class Socket(WebSocketMixin, tornado.websocket.WebSocketHandler):
    looks = 0
    closed: str | None = None

    @property
    def log(self) -> Any:
        return self

    def debug(self, *_: Any) -> None: ...

    def warning(self, text: str, *_: Any) -> None:
        Socket.closed = text

    def prepare(self, *args: Any, **kwargs: Any) -> None: ...

    def send_ping(self) -> None:
        super().send_ping()
        Socket.looks += 1


def test_a_socket_that_answers_outlives_every_look() -> None:
    """With the server's own proportion of interval and limit, a hundred times as fast."""

    async def live() -> None:
        settings = {"ws_ping_interval": PING_INTERVAL / 100, "ws_ping_timeout": PING_TIMEOUT / 100}
        server = HTTPServer(tornado.web.Application([("/", Socket)], **settings))
        listener, port = bind_unused_port()
        server.add_socket(listener)
        async with connect(f"ws://127.0.0.1:{port}/", proxy=None):
            while Socket.looks < LOOKS and Socket.closed is None:
                await asyncio.sleep(0.02)
        server.stop()

    asyncio.run(asyncio.wait_for(live(), 60))
    assert Socket.closed is None
