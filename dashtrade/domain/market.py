"""Symbols, intervals, periods and the OHLCV contract.

Bars are a pandas DataFrame with float64 columns open, high, low, close, volume and a sorted, unique, UTC
``DatetimeIndex`` named ``time`` that holds each bar's start. A daily or longer bar is labelled with its (first) trading
date at 00:00 UTC: a week with its Monday, a month with its first day. ``bars.attrs`` carries plain values only:
``symbol``, ``interval``, ``source``, ``adjustment`` (see :class:`Adjustment`), ``delay_seconds``, ``fetched_at`` (ISO
8601, UTC), ``simulated`` (bool), ``last_bar_closed`` (bool), ``cached`` (bool) and ``quality`` (counted mendings, see
:data:`QUALITY_COUNTS`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum

from dashtrade.errors import InvalidInput

OHLCV = ("open", "high", "low", "close", "volume")

# What is counted in ``bars.attrs["quality"]``, with the rule that mends it.
QUALITY_COUNTS = {
    "unordered": "bars out of order: sorted by time",
    "duplicates": "bars with a time seen before: the last one is kept",
    "empty_rows": "bars without any price, or without a close: left out",
    "empty_cells": "missing open, high, low or volume: open takes the close before, high and low enclose, volume is 0",
    "non_positive": "prices of zero or less: treated as missing, and a bar with such a close left out",
    "not_enclosing": "bars whose high or low does not enclose open and close: high raised, low lowered",
    "negative_volume": "volumes below zero: set to 0",
    "missing_sessions": "trading days of the exchange (or halves around lunch) without a bar: left as they are",
    "off_session": "daily bars on a day the exchange was closed: kept as they are",
}
MENDED = ("unordered", "duplicates", "empty_rows", "empty_cells", "non_positive", "not_enclosing")
"""Those of them that change prices or leave bars out."""
_SYMBOL = re.compile(r"^[A-Z0-9^][A-Z0-9.\-=^/_]{0,19}$")


def described(quality: Mapping[str, int], names: Sequence[str]) -> str:
    """What was mended, those of ``names`` that occurred, in words; empty where nothing was."""
    return "; ".join(f"{quality[name]} {QUALITY_COUNTS[name]}" for name in names if quality.get(name))


class Interval(StrEnum):
    """Length of a bar."""

    M1 = "1m"
    M2 = "2m"
    M5 = "5m"
    M15 = "15m"
    M30 = "30m"
    M60 = "60m"
    M90 = "90m"
    H1 = "1h"
    H4 = "4h"
    D1 = "1d"
    D5 = "5d"
    W1 = "1wk"
    MO1 = "1mo"
    MO3 = "3mo"

    @property
    def intraday(self) -> bool:
        return self in _INTRADAY

    @property
    def length(self) -> timedelta:
        """Nominal length; calendar months count as 30 days."""
        return _LENGTH[self]


_LENGTH = {
    Interval.M1: timedelta(minutes=1),
    Interval.M2: timedelta(minutes=2),
    Interval.M5: timedelta(minutes=5),
    Interval.M15: timedelta(minutes=15),
    Interval.M30: timedelta(minutes=30),
    Interval.M60: timedelta(hours=1),
    Interval.M90: timedelta(minutes=90),
    Interval.H1: timedelta(hours=1),
    Interval.H4: timedelta(hours=4),
    Interval.D1: timedelta(days=1),
    Interval.D5: timedelta(days=5),
    Interval.W1: timedelta(days=7),
    Interval.MO1: timedelta(days=30),
    Interval.MO3: timedelta(days=91),
}
_INTRADAY = frozenset(i for i, length in _LENGTH.items() if length < timedelta(days=1))


class Adjustment(StrEnum):
    """What past prices are corrected for."""

    RAW = "raw"
    SPLITS = "splits"
    ALL = "splits and dividends"
    UNKNOWN = "unknown"


class Period(StrEnum):
    """How far back from the last bar."""

    D1 = "1d"
    D5 = "5d"
    MO1 = "1mo"
    MO3 = "3mo"
    MO6 = "6mo"
    Y1 = "1y"
    Y2 = "2y"
    Y5 = "5y"
    Y10 = "10y"
    YTD = "ytd"
    MAX = "max"


def parse_symbol(text: str, field: str = "symbol") -> str:
    """A ticker in upper case, an ``EXCHANGE:`` prefix stripped; at most 20 characters."""
    symbol = str(text or "").strip().upper().rsplit(":", 1)[-1]
    if not _SYMBOL.fullmatch(symbol):
        raise InvalidInput(
            field,
            f"{str(text)[:40]!r} is not a ticker. "
            "Use letters, digits and . - = ^ /, at most 20, such as AAPL or BTC-USD.",
        )
    return symbol


def parse_interval(text: str, field: str = "interval") -> Interval:
    try:
        return Interval(str(text).strip())
    except ValueError:
        raise InvalidInput(
            field, f"{str(text)[:40]!r} is not an interval.", allowed=[i.value for i in Interval]
        ) from None


def parse_period(text: str, field: str = "period") -> Period:
    try:
        return Period(str(text).strip())
    except ValueError:
        raise InvalidInput(field, f"{str(text)[:40]!r} is not a period.", allowed=[p.value for p in Period]) from None


_FIRST_YEAR, _LAST_YEAR = 1800, 2200


@dataclass(frozen=True, slots=True)
class HistoryRequest:
    """Which bars: a symbol, an interval, and either a period or a range of times (UTC, ``end`` exclusive)."""

    symbol: str
    interval: Interval = Interval.D1
    period: Period | None = Period.Y1
    start: datetime | None = None
    end: datetime | None = None

    @classmethod
    def parse(
        cls,
        symbol: str,
        interval: str = "1d",
        period: str | None = "1y",
        start: datetime | None = None,
        end: datetime | None = None,
    ) -> HistoryRequest:
        """From text, with errors that name the field and what is allowed."""
        for name, value in (("start", start), ("end", end)):
            if value is not None and value.tzinfo is None:
                raise InvalidInput(name, "a time needs a zone; use UTC.")
            if value is not None and not _FIRST_YEAR <= value.year <= _LAST_YEAR:
                raise InvalidInput(name, f"there are no prices of {value.year}; use {_FIRST_YEAR} to {_LAST_YEAR}.")
        if start is not None and end is not None and start >= end:
            raise InvalidInput("start", f"{start:%Y-%m-%d %H:%M} is not before the end, {end:%Y-%m-%d %H:%M}.")
        chosen = None if start is not None else parse_period(period or "1y")
        return cls(parse_symbol(symbol), parse_interval(interval), chosen, start, end)


@dataclass(frozen=True, slots=True)
class Quote:
    """A latest price. ``delay_seconds`` is the source's stated delay; ``simulated`` marks made-up prices."""

    symbol: str
    price: Decimal
    time: datetime
    source: str
    delay_seconds: int = 0
    simulated: bool = False
    bid: Decimal | None = None
    ask: Decimal | None = None


@dataclass(frozen=True, slots=True)
class SymbolMatch:
    """One hit of a symbol search."""

    symbol: str
    name: str
    exchange: str = ""
    kind: str = ""


@dataclass(frozen=True, slots=True)
class CorporateAction:
    """A dividend (``value`` in the symbol's currency per share) or a split (``value`` new shares for one old)."""

    day: date
    kind: str
    value: Decimal


@dataclass(frozen=True, slots=True)
class Fundamentals:
    """What a symbol is; empty where the source does not say."""

    symbol: str
    name: str = ""
    exchange: str = ""
    currency: str = ""
    sector: str = ""
    industry: str = ""
    country: str = ""
    kind: str = ""
    market_cap: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Session:
    """One trading session: its date, opening and closing time (UTC), and whether it closes early."""

    day: date
    opens: datetime
    closes: datetime
    half_day: bool = False


@dataclass(frozen=True, slots=True)
class NewsItem:
    """A news article; ``sentiment`` is −1…1 where the source gives one."""

    time: datetime
    title: str
    url: str
    source: str
    summary: str = ""
    sentiment: float | None = None
