"""Periods such as ``1y`` as times, counted back from a last bar."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import cast

import pandas as pd

from dashtrade.domain.market import HistoryRequest, Interval, Period

_OFFSETS = {
    Period.MO1: pd.DateOffset(months=1),
    Period.MO3: pd.DateOffset(months=3),
    Period.MO6: pd.DateOffset(months=6),
    Period.Y1: pd.DateOffset(years=1),
    Period.Y2: pd.DateOffset(years=2),
    Period.Y5: pd.DateOffset(years=5),
    Period.Y10: pd.DateOffset(years=10),
}
# Trading days of a period that counts days rather than months.
_DAYS = {Period.D1: 1, Period.D5: 5}


def period_start(period: Period, last: datetime) -> datetime | None:
    """First day (UTC midnight) of ``period`` ending with ``last``; None for ``max``.

    ``1d`` and ``5d`` count trading days, which a date alone cannot know: their start here is early enough to hold them
    (weekends and holidays included), and :func:`cut` then keeps the last one or five days that have bars.
    """
    day = pd.Timestamp(last).tz_convert("UTC").normalize()
    if period is Period.MAX:
        return None
    if period is Period.YTD:
        return day.replace(month=1, day=1).to_pydatetime()
    if period in _DAYS:
        return (day - pd.Timedelta(days=_DAYS[period] + 6)).to_pydatetime()
    return (day - _OFFSETS[period]).to_pydatetime()


def aligned(moment: datetime, interval: Interval) -> datetime:
    """Start of the bar of a day or longer that ``moment`` falls into; for shorter bars, of its day. All UTC."""
    day = moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    if interval in (Interval.W1, Interval.D5):
        return day - timedelta(days=day.weekday())
    if interval is Interval.MO1:
        return day.replace(day=1)
    if interval is Interval.MO3:
        return day.replace(day=1, month=(day.month - 1) // 3 * 3 + 1)
    return day


def cut(bars: pd.DataFrame, request: HistoryRequest) -> pd.DataFrame:
    """The part of ``bars`` the request asks for: from ``start`` (inclusive) to ``end`` (exclusive), or the last period.

    A bar of a day or longer that holds ``start`` is kept. A period counts back from the last bar before ``end``.
    Attributes are kept. The result may be empty.
    """
    index = bars.index
    if request.end is not None:
        bars = bars.iloc[: index.searchsorted(pd.Timestamp(request.end), side="left")]
        index = bars.index
    if request.start is not None:
        start = request.start if request.interval.intraday else aligned(request.start, request.interval)
        return bars.iloc[index.searchsorted(pd.Timestamp(start), side="left") :]
    if request.period is None or not len(bars):
        return bars
    if request.period in _DAYS:
        days = cast("pd.DatetimeIndex", index).normalize()
        count = math.ceil(_DAYS[request.period] / max(request.interval.length / Interval.D1.length, 1))
        wanted = days.unique()[-count:]
        return bars.iloc[days.searchsorted(wanted[0], side="left") :]
    begin = period_start(request.period, index[-1])
    return bars if begin is None else bars.iloc[index.searchsorted(pd.Timestamp(begin), side="left") :]
