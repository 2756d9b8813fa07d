"""Composition root: the one place where ports meet implementations.

Heavy imports stay inside the functions, so that a process pays only for what it uses.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from functools import lru_cache
from typing import TYPE_CHECKING

from dashtrade.settings import Settings, get_settings

if TYPE_CHECKING:
    import pandas as pd

    from dashtrade.domain.market import SymbolMatch
    from dashtrade.services.market import MarketData


def make_market(settings: Settings) -> MarketData:
    """Market data with the sources and the cache the settings name."""
    from dashtrade.data.sources import SOURCES, BuiltSources
    from dashtrade.services.market import MarketData

    uncached = frozenset(key for key, entry in SOURCES.items() if not entry.cached)
    return MarketData(BuiltSources(settings), settings.sources, uncached=uncached)


@lru_cache(maxsize=1)
def market() -> MarketData:
    """The process's market data."""
    return make_market(get_settings())


def _moment(value: str | date | datetime | None, field: str) -> datetime | None:
    """A day or a time as UTC; a day without a time is its midnight, UTC."""
    from dashtrade.errors import InvalidInput

    if value is None:
        return None
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value.strip())
        except ValueError:
            message = f"{value[:40]!r} is not a date; write 2024-01-31 or 2024-01-31T15:30+00:00."
            raise InvalidInput(field, message) from None
    if not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day, tzinfo=UTC)
    return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)


def history(
    symbol: str,
    period: str = "1y",
    interval: str = "1d",
    start: str | date | datetime | None = None,
    end: str | date | datetime | None = None,
    source: str | None = None,
) -> pd.DataFrame:
    """Bars of ``symbol``: a DataFrame of open, high, low, close, volume with a UTC time index; ``attrs`` say whence.

    ``start`` (inclusive) and ``end`` (exclusive) replace ``period``; times without a zone are UTC. ``source`` asks only
    that source (``"sample"`` works offline). Raises InvalidInput for bad input, SourceError where a source fails.
    """
    from dashtrade.domain.market import HistoryRequest

    request = HistoryRequest.parse(symbol, interval, period, _moment(start, "start"), _moment(end, "end"))
    return market().history(request, source)


def search(text: str, source: str | None = None) -> list[SymbolMatch]:
    """Symbols whose ticker or name matches ``text``."""
    return market().search(text, source)
