"""The stream of order events, in a thread of its own, with every way of missing one noticed.

Alpaca's stream has no sequence numbers and does not repeat what a client missed. So a gap is reported whenever events
may be lost: on each connect and disconnect, when a fill does not add up with the fills before it, when an order that
was just placed is not mentioned in time although the socket looks alive, and when a message cannot be read.
"""

from __future__ import annotations

import asyncio
import json
import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from alpaca.trading.stream import TradingStream
from websockets.exceptions import WebSocketException

from dashtrade.brokers import alpaca_parse as parse
from dashtrade.domain.orders import OrderUpdate, StreamGap
from dashtrade.errors import DashTradeError

logger = logging.getLogger(__name__)
OnUpdate = Callable[[OrderUpdate], None]
OnGap = Callable[[StreamGap], None]
# the library logs a traceback for every failed attempt to connect; one line of ours replaces it
logging.getLogger("alpaca.trading.stream").setLevel(logging.CRITICAL)
# at DEBUG the websocket library logs frames, and the first one carries the secret
for _name in ("websockets", "websockets.client"):
    logging.getLogger(_name).setLevel(logging.WARNING)


class AlpacaStream:
    """``ping`` seconds between pings and for their answer; ``silence`` seconds until an unmentioned order is a gap.

    Callbacks run one at a time on the stream's own worker thread, so a slow one delays events but never the pings.
    """

    def __init__(
        self,
        key: str,
        secret: str,
        *,
        paper: bool,
        url: str | None,
        on_update: OnUpdate,
        on_gap: OnGap,
        ping: float = 10.0,
        silence: float = 10.0,
        backoff: tuple[float, float] = (0.5, 30.0),
    ) -> None:
        self._on_update, self._on_gap = on_update, on_gap
        self._silence = silence
        self._lock = threading.Lock()
        self._expected: dict[str, float] = {}
        self._filled: OrderedDict[str, Decimal] = OrderedDict()
        self._last_message: float | None = None
        self._connected = threading.Event()
        self._socket = _Socket(self, key, secret, paper, url, ping, backoff)
        self._thread = threading.Thread(target=self._run, name="alpaca-stream", daemon=True)

    @property
    def connected(self) -> bool:
        return self._connected.is_set()

    @property
    def age(self) -> float | None:
        """Seconds since the last message, None before the first."""
        return None if self._last_message is None else time.monotonic() - self._last_message

    def wait_connected(self, timeout: float) -> bool:
        return self._connected.wait(timeout)

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout: float = 5.0) -> None:
        """Close the socket and end the thread. Harmless when it has ended already."""
        self._socket.request_stop()
        if self._thread.is_alive() and threading.current_thread() is not self._thread:
            self._thread.join(timeout)

    def expect(self, client_order_id: str) -> None:
        """An order is being placed: the stream should mention it soon."""
        with self._lock:
            self._expected[client_order_id] = time.monotonic()

    def forget(self, client_order_id: str) -> None:
        """The order was not placed, or that is not known."""
        with self._lock:
            self._expected.pop(client_order_id, None)

    def _run(self) -> None:
        try:
            self._socket.run()
        except Exception:  # edge of a thread; the gap makes the listener reconcile
            logger.warning("the order stream ended", exc_info=True)
            self._gap(StreamGap.LOST)
        finally:
            self._connected.clear()

    # called by the socket, on its event loop

    def _opened(self) -> None:
        with self._lock:
            # only what is placed from now on is expected; earlier orders are asked for by the listener
            self._expected.clear()
        self._last_message = time.monotonic()
        self._connected.set()

    def _lost(self) -> bool:
        was = self._connected.is_set()
        self._connected.clear()
        return was

    def _overdue(self) -> bool:
        limit = time.monotonic() - self._silence
        with self._lock:
            overdue = any(since < limit for since in self._expected.values())
            if overdue:
                self._expected.clear()
            return overdue

    def _message(self, frame: str | bytes) -> None:
        """Runs on the worker thread."""
        self._last_message = time.monotonic()
        try:
            message = json.loads(frame)
            if not isinstance(message, dict) or message.get("stream") != "trade_updates":
                return
            update = parse.update(message.get("data"))
        except ValueError as error:
            logger.warning("a message of the order stream cannot be read: %s", error)
            self._gap(StreamGap.UNREADABLE)
            return
        with self._lock:
            self._expected.pop(update.order.client_order_id, None)
        complete = self._adds_up(update)
        self._call(self._on_update, update)
        if not complete:
            self._gap(StreamGap.MISSED_FILL)

    def _adds_up(self, update: OrderUpdate) -> bool:
        """Whether the order's filled quantity is what was known plus this fill; a repeated fill adds up too."""
        order = update.order
        known = self._filled.get(order.broker_order_id, Decimal(0))
        expected = known + (update.execution.qty if update.execution is not None else Decimal(0))
        self._filled[order.broker_order_id] = max(known, order.filled_qty)
        self._filled.move_to_end(order.broker_order_id)
        while len(self._filled) > 10_000:
            self._filled.popitem(last=False)
        return order.filled_qty <= expected

    def _gap(self, gap: StreamGap) -> None:
        self._call(self._on_gap, gap)

    def _call(self, listener: Callable[[Any], None], value: Any) -> None:
        try:
            listener(value)
        except DashTradeError as error:
            logger.warning("a listener of the order stream failed: %s", error)
        except Exception:  # a listener's fault must not end the stream; reconciling repairs what it missed
            logger.warning("a listener of the order stream failed", exc_info=True)


class _Socket(TradingStream):
    """Alpaca's client with its receiving loop replaced: it ends at once, and tells the owner what happens."""

    def __init__(
        self,
        owner: AlpacaStream,
        key: str,
        secret: str,
        paper: bool,
        url: str | None,
        ping: float,
        backoff: tuple[float, float],
    ) -> None:
        params = {
            "ping_interval": ping,
            "ping_timeout": ping,
            "max_queue": 1024,
            "open_timeout": 10,
            "close_timeout": 2,
        }
        super().__init__(key, secret, paper=paper, raw_data=True, url_override=url or "", websocket_params=params)
        self._owner = owner
        self._reconnect_min_backoff, self._reconnect_max_backoff = backoff
        self._stopping = threading.Event()
        self._trade_updates_handler: Any = _ignore  # the base class connects once something listens

    def request_stop(self) -> None:
        self._stopping.set()
        self._should_run = False
        loop = self._loop
        if loop is not None and loop.is_running():
            asyncio.run_coroutine_threadsafe(self._end(), loop)

    async def _end(self) -> None:
        await self.stop_ws()
        if self._ws is not None:
            await self._ws.close()

    async def _start_ws(self) -> None:
        if self._stopping.is_set():
            self._should_run = False
            return
        try:
            await super()._start_ws()
        except Exception as error:
            # the type only: an error's text may hold the address and the headers
            logger.warning("the order stream cannot connect (%s); it tries again", type(error).__name__)
            raise
        self._owner._opened()
        await asyncio.to_thread(self._owner._gap, StreamGap.CONNECTED)

    async def _consume(self) -> None:
        socket = self._ws
        if socket is None:
            return
        watch = asyncio.create_task(self._watch(socket))
        try:
            while not self._stopping.is_set():
                frame = await socket.recv()
                await asyncio.to_thread(self._owner._message, frame)
        except WebSocketException:
            if not self._stopping.is_set():
                raise
        finally:
            watch.cancel()
        await self.close()

    async def _watch(self, socket: Any) -> None:
        """A socket that answers pings but has stopped carrying events is closed, so that it connects anew."""
        while True:
            await asyncio.sleep(min(1.0, self._owner._silence / 4))
            if self._owner._overdue():
                await asyncio.to_thread(self._owner._gap, StreamGap.SILENT)
                await socket.close()
                return

    async def close(self) -> None:
        was_open = self._owner._lost()
        await super().close()
        if was_open and not self._stopping.is_set():
            logger.warning("the order stream is lost; connecting again")
            await asyncio.to_thread(self._owner._gap, StreamGap.LOST)


async def _ignore(message: Any) -> None:
    """Never called: messages are read in ``_consume``."""
