"""Latest prices for whoever is not the poller: what the one poller has written, before asking a source oneself."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from sqlalchemy.exc import DBAPIError

from dashtrade.domain.market import Quote
from dashtrade.errors import DashTradeError
from dashtrade.services.live import CADENCE, LivePrices

if TYPE_CHECKING:
    from dashtrade.services.market import MarketData

log = logging.getLogger(__name__)

FRESH = timedelta(seconds=60)
# Seconds between own questions about a symbol at a source that is not polled.
_UNPOLLED = 60.0


@dataclass(frozen=True, slots=True)
class _Asked:
    """When a symbol was asked for directly, and what came of it."""

    at: float
    quote: Quote | None
    error: DashTradeError | None


class SharedPrices:
    """Reads the shared prices of the first polled source in ``order``, which tells the poller what is wanted.

    A symbol without a shared price is asked for directly, so that the first look never waits for the poller and prices
    go on without one; until the poller has it, again at the poller's own pace. ``market`` is made on the first
    direct question.
    """

    def __init__(
        self,
        prices: LivePrices,
        market: Callable[[], MarketData],
        order: Sequence[str],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._prices = prices
        self._market = market
        self._order = tuple(order)
        self._clock = clock
        self._asked: dict[tuple[str | None, str], _Asked] = {}
        self._elsewhere: dict[str, str] = {}
        self._lock = threading.Lock()

    def latest(
        self, symbols: Sequence[str], source: str | None = None, *, max_age: timedelta = FRESH
    ) -> dict[str, Quote]:
        """Prices seen within ``max_age``, of ``source`` or in order. Symbols without one are left out.

        Raises the source's error where nothing at all is known.
        """
        wanted = list(dict.fromkeys(symbols))
        found = self._shared(wanted, source, max_age)
        missing = [symbol for symbol in wanted if symbol not in found]
        if missing:
            found.update(self._own(missing, source, max_age, alone=not found))
        return {symbol: found[symbol] for symbol in wanted if symbol in found}

    def _shared(self, symbols: list[str], source: str | None, max_age: timedelta) -> dict[str, Quote]:
        first = source or next((key for key in self._order if key in CADENCE), None)
        if first is None or first not in CADENCE:
            return {}
        try:
            found = self._prices.latest(symbols, first, max_age=max_age)
            if source is None:
                # Where the first source has failed, the one that answered is followed until the first is back.
                for other in {self._elsewhere[s] for s in symbols if s not in found and s in self._elsewhere}:
                    left = [s for s in symbols if s not in found and self._elsewhere.get(s) == other]
                    found.update(self._prices.latest(left, other, max_age=max_age))
        except DBAPIError as error:
            log.warning("shared prices cannot be read (%s); the source is asked", type(error).__name__)
            return {}
        return found

    def _own(self, symbols: list[str], source: str | None, max_age: timedelta, *, alone: bool) -> dict[str, Quote]:
        now = self._clock()
        with self._lock:
            known = {s: self._asked[source, s] for s in symbols if (source, s) in self._asked}
        due = [s for s in symbols if s not in known or now - known[s].at >= self._pace(source, known[s], max_age)]
        rest = [known[s] for s in symbols if s not in due]
        found = {one.quote.symbol: one.quote for one in rest if one.quote is not None}
        error = next((one.error for one in rest if one.error is not None), None)
        if due:
            asked: dict[str, Quote] = {}
            failed: DashTradeError | None = None
            try:
                asked = self._market().latest(due, source)
            except DashTradeError as raised:
                error = failed = raised
            with self._lock:
                for symbol in due:
                    quote = asked.get(symbol)
                    self._asked[source, symbol] = _Asked(now, quote, failed)
                    if source is None and quote is not None and quote.source in CADENCE:
                        self._elsewhere[symbol] = quote.source
            found.update(asked)
        if error is not None and alone and not found:
            raise error
        return found

    def _pace(self, source: str | None, asked: _Asked, max_age: timedelta) -> float:
        answered = source or (asked.quote.source if asked.quote is not None else next(iter(self._order), ""))
        return min(CADENCE.get(answered, _UNPOLLED), max_age.total_seconds())
