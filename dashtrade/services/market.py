"""Market data as everything else asks for it: sources in order, visible failover, the cache in between."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from dashtrade.domain.market import (
    QUALITY_COUNTS,
    Adjustment,
    CorporateAction,
    Fundamentals,
    HistoryRequest,
    NewsItem,
    Quote,
    SymbolMatch,
)
from dashtrade.domain.ports import CompanyFacts, PriceSource
from dashtrade.errors import BadBars, ConfigurationError, DashTradeError, InvalidInput, SourceError

if TYPE_CHECKING:
    import pandas as pd

T = TypeVar("T")
_ADJUSTED = (Adjustment.SPLITS, Adjustment.ALL)
# How long a latest price is handed out again, in seconds.
LATEST_SECONDS = 2.0


class Cache(Protocol):
    """Bars kept between calls; see dashtrade.data.cache."""

    def history(self, source: Any, request: HistoryRequest) -> pd.DataFrame: ...

    def stale(self, source: Any, request: HistoryRequest) -> pd.DataFrame: ...


class Reach(Protocol):
    """What a source has; see dashtrade.data.limits."""

    def check(self, request: HistoryRequest, now: datetime) -> None: ...


@dataclass(frozen=True, slots=True)
class Note:
    """A source that was asked first and failed: which, the error's code, and its text."""

    source: str
    code: str
    message: str

    def __str__(self) -> str:
        return f"{self.source}: {self.message}"


def provenance(bars: pd.DataFrame, now: datetime) -> str:
    """One line on where bars come from, for every place that shows them: source, adjustment, delay, age, mendings."""
    attrs = bars.attrs
    parts = [str(attrs.get("source", "unknown source"))]
    if attrs.get("simulated"):
        parts.append("SIMULATED")
    parts.append(f"adjusted for {attrs['adjustment']}" if attrs.get("adjustment") in _ADJUSTED else "not adjusted")
    delay = int(attrs.get("delay_seconds") or 0)
    parts.append(f"{delay // 60} min delayed" if delay else "no delay")
    if attrs.get("fetched_at"):
        parts.append(f"fetched {age(now - datetime.fromisoformat(attrs['fetched_at']))} ago")
    mended = sum(count for name, count in attrs.get("quality", {}).items() if name in QUALITY_COUNTS)
    if mended:
        parts.append(f"{mended} faults counted")
    if attrs.get("last_bar_closed") is False:
        parts.append("last bar still forming")
    return " · ".join(parts + [f"instead of {note}" for note in attrs.get("notes", [])])


def age(span: timedelta) -> str:
    """A span in the largest unit that fits: ``40 s``, ``3 min``, ``5 h``, ``2 days``."""
    seconds = max(int(span.total_seconds()), 0)
    for limit, size, unit in ((60, 1, "s"), (3600, 60, "min"), (172_800, 3600, "h")):
        if seconds < limit:
            return f"{seconds // size} {unit}"
    return f"{seconds // 86_400} days"


def _facts(source: PriceSource) -> CompanyFacts:
    if not isinstance(source, CompanyFacts):
        raise InvalidInput("source", f"{source.label} has no company facts; ask another source.")
    return source


class MarketData:
    """Asks the sources in ``order`` until one answers; never swaps to sample data by itself.

    Frames carry the failed sources in ``attrs["notes"]`` (a list of texts), so that a failover is seen wherever data is
    shown. When every source fails, the first source's error is raised, with the others' texts added.
    """

    def __init__(
        self,
        sources: Mapping[str, PriceSource],
        order: Sequence[str],
        *,
        cache: Cache | None = None,
        uncached: frozenset[str] = frozenset({"sample"}),
        limits: Mapping[str, Reach] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        for key in order:
            if key not in sources:
                raise ConfigurationError(f"DASHTRADE_SOURCES: {key!r} is not a source. Allowed: {', '.join(sources)}.")
        self._sources = sources
        self._order = tuple(order)
        self._cache = cache
        self._uncached = uncached
        self._limits = limits or {}
        self._clock = clock
        self._quotes: dict[tuple[str, str], tuple[float, Quote]] = {}
        self._failed: dict[str, Note] = {}
        self._lock = threading.Lock()

    def history(self, request: HistoryRequest, source: str | None = None, *, stale: bool = False) -> pd.DataFrame:
        """Bars from ``source``, or from the first source that has them. Never empty; see the OHLCV contract.

        ``stale`` reads cached bars of any age without asking anybody: for a person who has been offered them.
        """

        def ask(one: PriceSource) -> pd.DataFrame:
            if self._cache is None or one.key in self._uncached:
                return one.history(request)
            if stale:
                return self._cache.stale(one, request)
            return self._cache.history(one, request)

        bars, notes = self._first(source, ask)
        bars.attrs["notes"] = [str(note) for note in notes]
        return bars

    def check(self, request: HistoryRequest, source: str | None = None) -> None:
        """Raise InvalidInput, naming the limit, where ``source`` cannot serve the request, or none in order can.

        Asks nobody and loads no source's library.
        """
        first: InvalidInput | None = None
        for key in (source,) if source is not None else self._order:
            if key not in self._limits:
                return
            try:
                self._limits[key].check(request, datetime.now(UTC))
            except InvalidInput as error:
                first = first or error
            else:
                return
        if first is not None:
            raise first

    def latest(self, symbols: Sequence[str], source: str | None = None) -> dict[str, Quote]:
        """Latest prices of many symbols in one call to the source; each is handed out again for two seconds.

        Symbols the source has no price for are left out.
        """
        wanted = list(dict.fromkeys(symbols))

        def ask(one: PriceSource) -> dict[str, Quote]:
            now = self._clock()
            with self._lock:
                known = {s: self._quotes[one.key, s] for s in wanted if (one.key, s) in self._quotes}
            fresh = {s: quote for s, (at, quote) in known.items() if now - at < LATEST_SECONDS}
            missing = [s for s in wanted if s not in fresh]
            if missing:
                asked = one.latest(missing)
                with self._lock:
                    self._quotes.update({(one.key, s): (now, quote) for s, quote in asked.items()})
                fresh.update(asked)
            return {s: fresh[s] for s in wanted if s in fresh}

        return self._first(source, ask)[0] if wanted else {}

    def search(self, text: str, source: str | None = None) -> list[SymbolMatch]:
        """Symbols whose ticker or name matches; InvalidInput for what is no text."""
        if not isinstance(text, str):
            raise InvalidInput("text", f"{text!r} is no ticker or name to search for.")
        return self._first(source, lambda one: one.search(text))[0]

    def news(self, symbol: str, source: str | None = None) -> list[NewsItem]:
        """News on a symbol, newest first."""
        return self._first(source, lambda one: one.news(symbol))[0]

    def actions(self, symbol: str, source: str | None = None) -> list[CorporateAction]:
        """Dividends and splits, oldest first, from the first source that knows any company facts."""
        return self._first(source, lambda one: _facts(one).actions(symbol))[0]

    def fundamentals(self, symbol: str, source: str | None = None) -> Fundamentals:
        """Name, exchange, sector, currency, from the first source that knows any company facts."""
        return self._first(source, lambda one: _facts(one).fundamentals(symbol))[0]

    def sources(self) -> list[str]:
        """All sources' keys, those in use first, in order."""
        return [*self._order, *(key for key in self._sources if key not in self._order)]

    def source(self, key: str) -> Any:
        """One source itself, without the cache; raises SourceKeyProblem where its key is missing."""
        return self._sources[key]

    @property
    def order(self) -> tuple[str, ...]:
        return self._order

    def state(self, key: str) -> Note | None:
        """What went wrong the last time this source was asked; None where it answered or was not asked."""
        return self._failed.get(key)

    def _first(self, source: str | None, ask: Callable[[PriceSource], T]) -> tuple[T, list[Note]]:
        """The first answer in order, and a note for each source that failed before it."""
        notes: list[Note] = []
        first: DashTradeError | None = None
        for key in (source,) if source is not None else self._order:
            try:
                answer = ask(self._sources[key])
            except (SourceError, InvalidInput, BadBars) as error:
                note = Note(key, error.code, str(error))
                notes.append(note)
                self._failed[key] = note
                first = first or error
                continue
            self._failed.pop(key, None)
            return answer, notes
        if first is None:
            raise ConfigurationError("DASHTRADE_SOURCES names no source; set it to yahoo, for example.")
        if len(notes) > 1:
            others = " ".join(str(note) for note in notes[1:])
            first.args = (f"{first} Also tried: {others}",)
        raise first
