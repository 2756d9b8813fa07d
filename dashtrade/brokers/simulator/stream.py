"""The ``/stream`` websocket: authenticate, listen, and a message for every event of an order.

Frames are binary, as Alpaca's are. A client that is not connected misses what happens; it learns of it by asking the
API.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import defaultdict
from collections.abc import Callable
from uuid import UUID

from starlette.websockets import WebSocket, WebSocketDisconnect

from dashtrade.brokers.simulator.bodies import Body

logger = logging.getLogger(__name__)
Filter = Callable[[list[Body]], list[Body]]


class Hub:
    """Who listens to which account. ``publish`` may be called from any thread."""

    def __init__(self, filter_: Filter = lambda messages: messages) -> None:
        self._filter = filter_
        self._loop: asyncio.AbstractEventLoop | None = None
        self._listeners: dict[UUID, set[asyncio.Queue[bytes]]] = defaultdict(set)

    def start(self) -> None:
        """Called on the event loop that serves the websockets."""
        self._loop = asyncio.get_running_loop()

    def publish(self, account_id: UUID, messages: list[Body]) -> None:
        loop = self._loop
        if loop is None or loop.is_closed():
            return
        frames = [json.dumps(message).encode() for message in self._filter(messages)]
        try:
            loop.call_soon_threadsafe(self._put, account_id, frames)
        except RuntimeError:
            logger.debug("the server is ending; nobody is told of the last events")

    def _put(self, account_id: UUID, frames: list[bytes]) -> None:
        for queue in self._listeners.get(account_id, ()):
            for frame in frames:
                queue.put_nowait(frame)

    def add(self, account_id: UUID) -> asyncio.Queue[bytes]:
        queue: asyncio.Queue[bytes] = asyncio.Queue()
        self._listeners[account_id].add(queue)
        return queue

    def remove(self, account_id: UUID, queue: asyncio.Queue[bytes]) -> None:
        self._listeners[account_id].discard(queue)


async def serve(socket: WebSocket, hub: Hub, authenticate: Callable[[str, str], UUID | None]) -> None:
    """One connection, until either side closes it."""
    await socket.accept()
    sender: asyncio.Task[None] | None = None
    queue: asyncio.Queue[bytes] | None = None
    account_id: UUID | None = None
    try:
        while True:
            message = await _receive(socket)
            action = message.get("action")
            if action in {"authenticate", "auth"}:
                data = message.get("data") or {}
                key, secret = data.get("key_id", message.get("key")), data.get("secret_key", message.get("secret"))
                account_id = await asyncio.to_thread(authenticate, str(key), str(secret))
                status = "unauthorized" if account_id is None else "authorized"
                await _send(socket, {"stream": "authorization", "data": {"status": status, "action": "authenticate"}})
            elif action == "listen" and account_id is not None:
                wanted = [s for s in (message.get("data") or {}).get("streams", []) if s == "trade_updates"]
                if wanted and queue is None:
                    queue = hub.add(account_id)
                    sender = asyncio.create_task(_pump(socket, queue))
                await _send(socket, {"stream": "listening", "data": {"streams": wanted}})
            elif account_id is None:
                await _send(socket, {"stream": "authorization", "data": {"status": "unauthorized", "action": "listen"}})
    except (WebSocketDisconnect, RuntimeError):
        pass  # the client is gone; what it missed it will ask for
    finally:
        if sender is not None:
            sender.cancel()
        if queue is not None and account_id is not None:
            hub.remove(account_id, queue)


async def _receive(socket: WebSocket) -> Body:
    frame = await socket.receive()
    if frame["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(frame.get("code", 1000))
    raw = frame.get("bytes") or (frame.get("text") or "").encode()
    try:
        message = json.loads(raw)
    except ValueError:
        message = {}
    return message if isinstance(message, dict) else {}


async def _send(socket: WebSocket, message: Body) -> None:
    await socket.send_bytes(json.dumps(message).encode())


async def _pump(socket: WebSocket, queue: asyncio.Queue[bytes]) -> None:
    while True:
        await socket.send_bytes(await queue.get())
