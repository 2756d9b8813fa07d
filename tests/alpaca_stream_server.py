"""A loopback server that speaks the protocol of Alpaca's market-data stream (msgpack)."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgpack
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

STOCKS, CRYPTO = "/v2/iex", "/v1beta3/crypto/us"
SECRET = "secret-that-nobody-may-see"
MOMENT = 1704726042


class StreamServer:
    """Says hello, checks the keys, confirms subscriptions; ``mute`` accepts and never says a word."""

    def __init__(self) -> None:
        self.url = ""
        self.mute = False
        self.refuse = False
        self.opened: list[str] = []
        self.signed: list[dict[str, Any]] = []
        self.subscribed: dict[str, set[str]] = {}
        self.sockets: dict[str, ServerConnection] = {}
        self.loop = asyncio.new_event_loop()

    async def serve_one(self, socket: ServerConnection) -> None:
        path = socket.request.path if socket.request else ""
        self.opened.append(path)
        if self.mute:
            await socket.wait_closed()
            return
        try:
            await self.say(socket, {"T": "success", "msg": "connected"})
            asked = msgpack.unpackb(await socket.recv())
            self.signed.append(asked)
            if self.refuse or (asked.get("action"), asked.get("secret")) != ("auth", SECRET):
                await self.say(socket, {"T": "error", "code": 402, "msg": "auth failed"})
                return
            await self.say(socket, {"T": "success", "msg": "authenticated"})
            mine: set[str] = set()
            self.sockets[path], self.subscribed[path] = socket, mine
            async for frame in socket:
                change = msgpack.unpackb(frame)
                trades = set(change.get("trades", ()))
                mine -= trades if change["action"] == "unsubscribe" else set()
                mine |= trades if change["action"] == "subscribe" else set()
                await self.say(socket, {"T": "subscription", "trades": sorted(mine), "quotes": [], "bars": []})
        except ConnectionClosed:
            return

    @staticmethod
    async def say(socket: ServerConnection, *messages: dict[str, Any]) -> None:
        await socket.send(msgpack.packb(list(messages), datetime=False))

    def trade(self, path: str, ticker: str, price: float, at: float = MOMENT, **other: Any) -> None:
        stamp = msgpack.Timestamp(int(at), 123456789)
        message = {"T": "t", "S": ticker, "i": 1, "x": "V", "p": price, "s": 100, "t": stamp, "c": ["@"], "z": "C"}
        self.send(path, message | other)

    def send(self, path: str, message: dict[str, Any]) -> None:
        asyncio.run_coroutine_threadsafe(self.say(self.sockets[path], message), self.loop).result(5)

    def cut(self, path: str) -> None:
        """End the connection without a goodbye."""
        self.loop.call_soon_threadsafe(self.sockets[path].transport.abort)


@contextmanager
def stream_server() -> Iterator[StreamServer]:
    local = StreamServer()
    ready = threading.Event()
    stop = asyncio.Event()

    async def main() -> None:
        async with serve(local.serve_one, "127.0.0.1", 0) as server:
            local.url = f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}"
            ready.set()
            await stop.wait()

    def run() -> None:
        asyncio.set_event_loop(local.loop)
        local.loop.run_until_complete(main())

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert ready.wait(10)
    try:
        yield local
    finally:
        local.loop.call_soon_threadsafe(stop.set)
        thread.join(10)
