"""Where the simulator's prices come from, in order: a fresh hint, the market, an old hint, simulated prices.

Asking for a price never waits: sources that need the network are asked in the background, and a failure is remembered
for a minute. A symbol that is held at simulated prices keeps them until it is flat, or a restored network would book a
profit that nobody made.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Protocol

from dashtrade.domain.market import Quote
from dashtrade.domain.ports import Clock
from dashtrade.errors import DashTradeError, RateLimited, SourceKeyProblem, SourceUnreachable

logger = logging.getLogger(__name__)
MAX_HINTS = 20_000
HINT = "hint"


@dataclass(frozen=True, slots=True)
class Price:
    """A price to fill at, before spread and slippage; ``source`` is recorded with the fill."""

    symbol: str
    price: Decimal
    time: datetime
    source: str
    simulated: bool = False


class PriceFeed(Protocol):
    """Answers from memory. ``pending`` says that a price is being fetched and may come soon."""

    def price(self, symbol: str) -> Price | None: ...

    def pending(self, symbol: str) -> bool: ...

    def subscribe(self, on_price: Callable[[str], None]) -> None:
        """``on_price(symbol)`` is called, from any thread, when a price arrives."""


class FixedFeed:
    """Prices that are set by hand or by a replay."""

    def __init__(self, prices: Mapping[str, Decimal | str | int] | None = None, source: str = "fixed") -> None:
        self._source = source
        self._prices: dict[str, Price] = {}
        self._listeners: list[Callable[[str], None]] = []
        for symbol, value in (prices or {}).items():
            self._prices[symbol] = Price(symbol, Decimal(str(value)), datetime.fromtimestamp(0).astimezone(), source)

    def set(self, symbol: str, value: Decimal | str | int, time: datetime, *, simulated: bool = False) -> None:
        self._prices[symbol] = Price(symbol, Decimal(str(value)), time, self._source, simulated)
        for listener in self._listeners:
            listener(symbol)

    def remove(self, symbol: str) -> None:
        self._prices.pop(symbol, None)

    def price(self, symbol: str) -> Price | None:
        return self._prices.get(symbol)

    def pending(self, symbol: str) -> bool:
        return False

    def subscribe(self, on_price: Callable[[str], None]) -> None:
        self._listeners.append(on_price)


class BackgroundFeed:
    """A market-data source, asked in the background.

    ``latest`` is the port's ``latest(symbols) -> {symbol: Quote}``. A quote serves for ``fresh`` and is fetched again
    after ``refresh``; a failed symbol is not asked again for ``retry``.
    """

    def __init__(
        self,
        latest: Callable[[Sequence[str]], dict[str, Quote]],
        clock: Clock,
        *,
        refresh: timedelta = timedelta(seconds=5),
        fresh: timedelta = timedelta(seconds=60),
        retry: timedelta = timedelta(seconds=60),
    ) -> None:
        self._latest = latest
        self._clock = clock
        self._refresh, self._fresh, self._retry = refresh, fresh, retry
        self._lock = threading.Lock()
        self._quotes: dict[str, tuple[Price, datetime]] = {}
        self._failed: dict[str, datetime] = {}
        self._down_since: datetime | None = None
        self._asking: set[str] = set()
        self._listeners: list[Callable[[str], None]] = []
        self._pool = ThreadPoolExecutor(max_workers=2, thread_name_prefix="prices")

    def price(self, symbol: str) -> Price | None:
        now = self._clock.now()
        with self._lock:
            price, fetched = self._quotes.get(symbol, (None, None))
            age = None if fetched is None else now - fetched
            if age is None or age >= self._refresh or age < timedelta(0):
                self._ask(symbol, now)
            return price if age is not None and timedelta(0) <= age <= self._fresh else None

    def pending(self, symbol: str) -> bool:
        """Only while a symbol is asked for the first time: nobody waits for a source that has failed before."""
        with self._lock:
            return symbol in self._asking and symbol not in self._failed and self._down_since is None

    def subscribe(self, on_price: Callable[[str], None]) -> None:
        self._listeners.append(on_price)

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _ask(self, symbol: str, now: datetime) -> None:
        for failed in (self._failed.get(symbol), self._down_since):
            if failed is not None and timedelta(0) <= now - failed < self._retry:
                return
        if symbol in self._asking:
            return
        self._asking.add(symbol)
        try:
            self._pool.submit(self._fetch, symbol)
        except RuntimeError:  # closed: the process is ending
            self._asking.discard(symbol)

    def _fetch(self, symbol: str) -> None:
        quote: Quote | None = None
        down = False
        try:
            quote = self._latest([symbol]).get(symbol)
        except DashTradeError as error:
            down = isinstance(error, (SourceUnreachable, RateLimited, SourceKeyProblem))
            logger.info("no market price for %s: %s", symbol, error)
        except Exception:  # edge of a background thread: a broken source must not stop the simulator
            logger.warning("the price source failed for %s", symbol, exc_info=True)
        now = self._clock.now()
        with self._lock:
            self._asking.discard(symbol)
            self._down_since = now if down else None
            if quote is None or quote.price <= 0:
                self._failed[symbol] = now
            else:
                self._failed.pop(symbol, None)
                self._quotes[symbol] = (Price(symbol, quote.price, quote.time, quote.source, quote.simulated), now)
        # listeners hear of failures too: an order may be waiting to learn that it must use another source
        for listener in self._listeners:
            listener(symbol)


class Prices:
    """The order of use over feeds: hints of the account or of all accounts, then each feed in turn.

    A later feed is used only when no earlier one is still fetching its first price, so that the first order of a symbol
    is not filled at a made-up price a moment before the real one arrives; the order waits as accepted for at most
    ``grace`` after it was placed.
    """

    def __init__(
        self,
        feeds: Sequence[PriceFeed],
        clock: Clock,
        *,
        hint_life: timedelta = timedelta(seconds=60),
        grace: timedelta = timedelta(seconds=1),
    ) -> None:
        self._feeds = tuple(feeds)
        self._clock = clock
        self._hint_life = hint_life
        self.grace = grace
        self._hints: dict[tuple[str | None, str], Price] = {}

    def subscribe(self, on_price: Callable[[str], None]) -> None:
        for feed in self._feeds:
            feed.subscribe(on_price)

    def hint(self, symbol: str, price: Decimal, time: datetime, account: str | None) -> Price:
        """Remember a price. ``account`` None means for everybody."""
        hint = Price(symbol, price, time, HINT)
        self._hints.pop((account, symbol), None)
        self._hints[account, symbol] = hint
        if len(self._hints) > MAX_HINTS:
            self._hints.pop(next(iter(self._hints)))
        return hint

    def forget_hints(self, symbols: Iterable[str] | None = None) -> None:
        wanted = None if symbols is None else set(symbols)
        self._hints = {key: hint for key, hint in self._hints.items() if wanted is not None and key[1] not in wanted}

    def price(
        self, symbol: str, account: str | None = None, *, simulated: bool = False, waited: bool = True
    ) -> Price | None:
        """The price now, or None.

        ``simulated`` keeps to simulated prices where there is one; ``waited`` False lets a pending feed be waited for.
        """
        now = self._clock.now()
        hints = [self._hints[key] for key in ((account, symbol), (None, symbol)) if key in self._hints]
        for hint in hints:
            if timedelta(seconds=-5) <= now - hint.time <= self._hint_life:
                return hint
        found: Price | None = None
        for feed in self._feeds:
            price = feed.price(symbol)
            if price is not None:
                if price.simulated or not simulated:
                    found = price
                    break
                found = found or price
            elif not waited and feed.pending(symbol):
                return None
        # an old price that somebody knew is nearer the truth than a made-up one
        return hints[0] if hints and found is not None and found.simulated else found
