"""From a request to bars, the same for every source: check the limits, fetch native bars, resample, cut, stamp."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Protocol
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from dashtrade.data.limits import Limits
from dashtrade.data.periods import aligned, cut, period_start
from dashtrade.data.resample import AroundTheClock, SessionEdges, resample
from dashtrade.data.sessions import ALWAYS, LazyEdges, calendar_name, edges
from dashtrade.domain.market import Adjustment, HistoryRequest, Interval, Period
from dashtrade.domain.ports import PriceSource
from dashtrade.errors import NoDataInRange


class FetchingSource(PriceSource, Protocol):
    """A source whose bars come over the network, so that the cache can stand in between."""

    limits: Limits

    def fetch(self, symbol: str, interval: Interval, start: datetime | None, end: datetime | None) -> pd.DataFrame:
        """Native bars of ``start`` ≤ time < ``end`` (None: as far as there are), checked and stamped; never empty."""

    def adjustment(self, interval: Interval) -> Adjustment:
        """What the native bars of this length are corrected for."""


_NEW_YORK = ZoneInfo("America/New_York")
_LAST_BAR_AGE = timedelta(days=10)
Fetch = Callable[[str, Interval, datetime | None, datetime | None], pd.DataFrame]


def session_edges(symbol: str) -> SessionEdges:
    """Where this symbol's trading days begin and end."""
    name = calendar_name(symbol)
    return AroundTheClock() if name == ALWAYS else LazyEdges(name)


def answer(source: FetchingSource, request: HistoryRequest, now: datetime, fetch: Fetch | None = None) -> pd.DataFrame:
    """Bars for ``request``. ``fetch`` replaces the source's own, as the cache does.

    Raises InvalidInput for what the source cannot give, and the source's errors; the result is never empty.
    """
    source.limits.check(request, now)
    native = source.limits.source_interval(request.interval)
    start, end = needed(request, native, source.limits, now)
    bars = (fetch or source.fetch)(request.symbol, native, start, end)
    if native is not request.interval and native.length != request.interval.length:
        bars = resample(bars, request.interval, session_edges(request.symbol))
    # The times are for the cache, which reads bars again; a reader is told the counts.
    attrs = {name: value for name, value in bars.attrs.items() if name != "fault_times"}
    attrs["interval"] = request.interval.value
    last = bars.index[-1] if len(bars) else None
    bars = cut(bars, request)
    if not len(bars):
        raise NoDataInRange(
            source.key, f"{source.label} has no {request.interval} bars of {request.symbol} {_range(request)}."
        )
    bars.attrs = attrs
    if last != bars.index[-1]:
        bars.attrs["last_bar_closed"] = True
    else:
        bars.attrs["last_bar_closed"] = is_closed(bars.index[-1], request.symbol, request.interval, now)
    return bars


def needed(
    request: HistoryRequest, native: Interval, limits: Limits, now: datetime
) -> tuple[datetime | None, datetime | None]:
    """The range of native bars that a request needs, so that its first longer bar is whole."""
    if request.start is not None:
        start: datetime | None = request.start
    elif request.period is None:
        start = None
    else:
        # A period counts back from the last bar, which may be some days old.
        span = period_start(request.period, (request.end or now) - _LAST_BAR_AGE)
        long = request.interval.length - Interval.D1.length
        # Days counted back are too few to hold one bar of several weeks.
        start = span if span is None or request.period not in (Period.D1, Period.D5) else span - max(long, timedelta(0))
    if start is not None and native is not request.interval:
        start = aligned(start, request.interval)
    oldest = limits.oldest(request.interval, now)
    if oldest is not None:
        oldest += timedelta(minutes=1)
        start = oldest if start is None else max(start, oldest)
    return start, request.end


def is_closed(label: pd.Timestamp, symbol: str, interval: Interval, now: datetime) -> bool:
    """Whether the bar that starts at ``label`` has ended by ``now``, by the clock or by its session's close."""
    if label + interval.length + timedelta(days=2 if interval in (Interval.MO1, Interval.MO3) else 0) <= now:
        return True
    name = calendar_name(symbol)
    if name == ALWAYS:
        return label + _calendar_length(label, interval) <= now
    if name == "XNYS" and interval.length <= Interval.D1.length:
        # New York never closes before one and never after four, so that most answers need no calendar.
        local = now.astimezone(_NEW_YORK)
        day = label.date() if not interval.intraday else label.tz_convert(_NEW_YORK).date()
        if local.date() > day or (local.date() == day and local.hour >= 16):
            return True
        if local.date() < day or local.hour < 13:
            return False
    found = edges(name)
    when = np.int64(pd.Timestamp(now).value)
    if interval.intraday:
        i = int(np.searchsorted(found.part_closes, label.value, side="right"))
        inside = i < len(found.part_closes) and found.part_opens[i] <= label.value
        return inside and bool(found.part_closes[i] <= when)
    end = np.datetime64((label + _calendar_length(label, interval)).date())
    i = int(np.searchsorted(found.days, end, side="left")) - 1
    return i >= 0 and bool(found.closes[i] <= when)


def _calendar_length(label: pd.Timestamp, interval: Interval) -> pd.DateOffset | timedelta:
    if interval is Interval.MO1:
        return pd.DateOffset(months=1)
    if interval is Interval.MO3:
        return pd.DateOffset(months=3)
    return interval.length


def _range(request: HistoryRequest) -> str:
    if request.start is not None or request.end is not None:
        first = f"from {request.start:%Y-%m-%d}" if request.start else "at all"
        return first + (f" until {request.end:%Y-%m-%d}" if request.end else "")
    return f"in the last {request.period}"
