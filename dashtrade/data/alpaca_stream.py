"""Alpaca's stream of trades through its official client: stocks at IEX, crypto; one connection each.

The stream pushes; it is never the only way to a price. Whoever reads it asks :meth:`TradeStream.alive`, and polls
where it is not: while connecting, after a loss, on a silent socket, and beyond the plan's number of symbols.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from alpaca.data.live import CryptoDataStream, StockDataStream
from alpaca.data.live.websocket import DataStream
from pydantic import SecretStr

from dashtrade.data.alpaca import ticker_of
from dashtrade.domain.market import Quote

log = logging.getLogger(__name__)

# What the free plan allows on one connection.
MOST_SYMBOLS = 30
STOCKS, CRYPTO = "/v2/iex", "/v1beta3/crypto/us"
_OPENING = 10.0
_PING = {"ping_interval": 10, "ping_timeout": 20, "max_queue": 1024, "open_timeout": 10, "close_timeout": 2}
# At DEBUG the library writes out frames, and one of them holds the keys.
for _name in ("websockets.client", "websockets.protocol"):
    logging.getLogger(_name).setLevel(logging.INFO)


class TradeStream:
    """Newest trades of the symbols last given to :meth:`follow`. Threads of its own; no method waits for the network.

    ``url`` replaces ``wss://stream.data.alpaca.markets``. A socket without trades for ``silence`` seconds is not alive,
    and after twice that time it is opened anew.
    """

    def __init__(
        self,
        key: SecretStr,
        secret: SecretStr,
        *,
        url: str | None = None,
        silence: float = 15.0,
        backoff: tuple[float, float] = (1.0, 30.0),
    ) -> None:
        self._feeds = {
            crypto: _Feed(
                _Stocks if not crypto else _Crypto,
                (key, secret),
                None if url is None else url.rstrip("/") + (CRYPTO if crypto else STOCKS),
                silence,
                backoff,
            )
            for crypto in (False, True)
        }

    def follow(self, symbols: Sequence[str]) -> None:
        """Replace the symbols. None of a kind: its connection is closed."""
        wanted: dict[bool, dict[str, str]] = {False: {}, True: {}}
        for symbol in symbols:
            ticker, crypto = ticker_of(symbol)
            if len(wanted[crypto]) < MOST_SYMBOLS:
                wanted[crypto][ticker] = symbol
        for crypto, feed in self._feeds.items():
            feed.follow(wanted[crypto])

    def take(self) -> list[Quote]:
        """The newest trade of each symbol that traded since the last call."""
        return [quote for feed in self._feeds.values() for quote in feed.take()]

    def alive(self, symbol: str) -> bool:
        """Whether the symbol is subscribed, on a connection that has carried trades lately."""
        ticker, crypto = ticker_of(symbol)
        return self._feeds[crypto].alive(ticker)

    def close(self) -> None:
        for feed in self._feeds.values():
            feed.close()


class _Client(DataStream):
    """Alpaca's client, which would wait for ever on a server that accepts and says nothing, and subscribes blockingly.

    ``confirmed`` are the symbols the server says are subscribed.
    """

    confirmed: frozenset[str] = frozenset()
    last_data = 0.0

    async def _start_ws(self) -> None:
        self.confirmed = frozenset()
        await asyncio.wait_for(super()._start_ws(), _OPENING)

    async def close(self) -> None:
        self.confirmed = frozenset()
        await super().close()

    async def _dispatch(self, msg: dict[str, Any]) -> None:
        if msg.get("T") == "subscription":
            self.confirmed = frozenset(msg.get("trades") or ())
        await super()._dispatch(msg)

    async def change(self, wanted: frozenset[str], handler: Any) -> None:
        """Bring the subscription to ``wanted``, on the client's own loop."""
        handlers = self._handlers["trades"]
        gone = [ticker for ticker in handlers if ticker not in wanted]
        for ticker in wanted:
            handlers[ticker] = handler
        for ticker in gone:
            del handlers[ticker]
        if self._running:
            await self._send_subscribe_msg()
            await self._send_unsubscribe_msg("trades", gone)

    async def end(self) -> None:
        await self.stop_ws()
        if self._ws is not None:
            await self._ws.close()


class _Stocks(_Client, StockDataStream):
    pass


class _Crypto(_Client, CryptoDataStream):
    pass


class _Feed:
    """One connection and its thread, made when something is to be followed."""

    def __init__(
        self,
        kind: type[_Stocks] | type[_Crypto],
        keys: tuple[SecretStr, SecretStr],
        url: str | None,
        silence: float,
        backoff: tuple[float, float],
    ) -> None:
        self._kind, self._keys, self._url, self._silence, self._backoff = kind, keys, url, silence, backoff
        self._client: _Stocks | _Crypto | None = None
        self._thread: threading.Thread | None = None
        self._names: dict[str, str] = {}
        self._new: dict[str, Quote] = {}
        self._newest: dict[str, datetime] = {}  # a trade reported late never goes back in time, taken or not
        self._heard = 0.0
        self._asked_at = 0.0
        self._lock = threading.Lock()

    def follow(self, names: dict[str, str]) -> None:
        """``names``: ticker at Alpaca → symbol."""
        self._names = dict(names)
        wanted = frozenset(names)
        if not wanted:
            self.close()
            return
        now = time.monotonic()
        if self._thread is not None and not self._thread.is_alive():
            # The client gives up where the plan does not include the feed.
            if now - self._asked_at < 60.0:
                return
            self._client = self._thread = None
        client = self._client
        if client is None:
            self._open(wanted, now)
            return
        # Asked again where the server has not confirmed, as it may have been connecting.
        asked = frozenset(client._handlers["trades"])
        if wanted != asked or (wanted != client.confirmed and now - self._asked_at > 5.0):
            self._asked_at = now
            loop = client._loop
            if loop is not None and loop.is_running():
                asyncio.run_coroutine_threadsafe(client.change(wanted, self._on_trade), loop)

    def _open(self, wanted: frozenset[str], now: float) -> None:
        key, secret = (part.get_secret_value() for part in self._keys)
        client = self._kind(
            key,
            secret,
            raw_data=True,
            url_override=self._url,
            websocket_params=dict(_PING),
            data_timeout=2 * self._silence,
        )
        client._reconnect_min_backoff, client._reconnect_max_backoff = self._backoff
        client.subscribe_trades(self._on_trade, *sorted(wanted))
        self._asked_at = now
        self._client = client
        self._thread = threading.Thread(target=_run, args=(client,), name="alpaca-trades", daemon=True)
        self._thread.start()

    async def _on_trade(self, trade: Any) -> None:
        symbol = self._names.get(str(trade.get("S")))
        try:
            # Not through a float, so that a poll that finds the same trade finds the same time.
            stamp = trade["t"]
            moment = datetime.fromtimestamp(stamp.seconds, UTC) + timedelta(microseconds=stamp.nanoseconds // 1000)
            quote = Quote(symbol or "", Decimal(str(trade["p"])), moment, "alpaca")
        except (KeyError, AttributeError, ArithmeticError, ValueError):
            log.warning("a trade from Alpaca's stream cannot be read")
            return
        if symbol is None or quote.price <= 0:
            return
        with self._lock:
            self._heard = time.monotonic()
            known = self._newest.get(symbol)
            if known is None or known <= quote.time:
                self._new[symbol], self._newest[symbol] = quote, quote.time

    def take(self) -> list[Quote]:
        with self._lock:
            found, self._new = list(self._new.values()), {}
        return found

    def alive(self, ticker: str) -> bool:
        client = self._client
        if client is None or ticker not in client.confirmed:
            return False
        with self._lock:
            return self._heard > 0.0 and time.monotonic() - self._heard < self._silence

    def close(self) -> None:
        client, self._client, self._thread = self._client, None, None
        with self._lock:
            self._heard = 0.0
        if client is None:
            return
        loop = client._loop
        client._should_run = False
        client._stop_stream_queue.put_nowait({"should_stop": True})
        if loop is not None and loop.is_running():
            asyncio.run_coroutine_threadsafe(client.end(), loop)


def _run(client: _Stocks | _Crypto) -> None:
    try:
        asyncio.run(client._run_forever())
    except Exception as error:  # noqa: BLE001 - edge of a thread: prices are polled instead
        log.warning("Alpaca's stream ended (%s); prices are polled", type(error).__name__)
