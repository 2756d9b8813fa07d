"""Longer bars from shorter ones, cut at the edges of trading sessions.

Open is the first, high the largest, low the smallest, close the last, volume the sum of the bars inside; a bar with
no source bar inside is left out, and every result is labelled with its start. Intraday edges are counted from each
session's open (New York: 4h bars start at 9:30 and 13:30), never run past its close, and start again the next day; half
days and changes of the clock move with the session. A lunch break ends a bar, and the afternoon begins another (Hong
Kong: 1h bars start at 9:30, 10:30, 11:30, 13:00, 14:00, 15:00).
Weeks start on Monday, months and quarters on their first day.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import pandas as pd

from dashtrade.data.quality import bars_frame, nanoseconds
from dashtrade.domain.market import Interval
from dashtrade.errors import InvalidInput

# After this long past a close, a bar belongs to the time before the next session.
_AFTER_HOURS = np.int64(5 * 3_600_000_000_000)
_DAY = np.int64(86_400_000_000_000)
# The Monday from which weeks and five-day bars are counted.
_MONDAY = np.datetime64("1970-01-05", "D")


class SessionEdges(Protocol):
    """Opening and closing times of sessions, or of their halves around lunch, sorted, as int64 nanoseconds UTC that
    cover the bars asked about."""

    def edges(self, first: int, last: int) -> tuple[np.ndarray, np.ndarray]: ...


class AroundTheClock:
    """A market without sessions: each UTC day is one."""

    def edges(self, first: int, last: int) -> tuple[np.ndarray, np.ndarray]:
        opens = np.arange(first // _DAY * _DAY, last + 1, _DAY, dtype="int64")
        return opens, opens + _DAY


def resample(bars: pd.DataFrame, interval: Interval, sessions: SessionEdges | None = None) -> pd.DataFrame:
    """Bars of ``interval`` from shorter ``bars`` (contract frame). Attributes are kept, ``interval`` is updated.

    ``sessions`` gives the edges for intraday results and the trading day of intraday sources; None means all day long.
    Raises InvalidInput where ``interval`` is shorter than the source's bars or no multiple of them.
    """
    source = Interval(bars.attrs["interval"]) if "interval" in bars.attrs else None
    if source is not None:
        _check_pair(source, interval)
    if not len(bars):
        return bars
    times = nanoseconds(bars)
    labels = bar_labels(
        times, interval, sessions or AroundTheClock(), source_intraday=source is None or source.intraday
    )
    result = group_bars(bars.to_numpy(dtype="float64"), labels)
    result.attrs = {**bars.attrs, "interval": interval.value}
    return result


def _check_pair(source: Interval, target: Interval) -> None:
    ratio = target.length / source.length
    if ratio < 1 or (target.intraday and ratio != int(ratio)):
        raise InvalidInput(
            "interval", f"bars of {target} cannot be made from bars of {source}; use a multiple of {source}."
        )


def group_bars(values: np.ndarray, labels: np.ndarray) -> pd.DataFrame:
    """Aggregate ``values`` (n, 5) over runs of equal ``labels`` (n, sorted, int64 nanoseconds UTC)."""
    starts = np.flatnonzero(np.append(True, labels[1:] != labels[:-1]))
    ends = np.append(starts[1:], len(labels)) - 1
    grouped = np.column_stack(
        (
            values[starts, 0],
            np.maximum.reduceat(values[:, 1], starts),
            np.minimum.reduceat(values[:, 2], starts),
            values[ends, 3],
            np.add.reduceat(values[:, 4], starts),
        )
    )
    return bars_frame(labels[starts], grouped)


def bar_labels(
    times: np.ndarray, interval: Interval, sessions: SessionEdges, *, source_intraday: bool = True
) -> np.ndarray:
    """The start of the longer bar each of ``times`` (int64 nanoseconds UTC, sorted) falls into."""
    if interval.intraday:
        return _intraday_labels(times, np.int64(interval.length.total_seconds() * 1e9), sessions)
    days = trading_days(times, sessions) if source_intraday else times.astype("datetime64[ns]").astype("datetime64[D]")
    if interval is Interval.D1:
        labels = days
    elif interval in (Interval.W1, Interval.D5) and not (
        interval is Interval.D5 and isinstance(sessions, AroundTheClock)
    ):
        labels = days - ((days - _MONDAY) % np.timedelta64(7, "D"))
    elif interval is Interval.D5:
        labels = days - ((days - _MONDAY) % np.timedelta64(5, "D"))
    else:
        months = days.astype("datetime64[M]")
        if interval is Interval.MO3:
            months = months - (months.astype("int64") % 3).astype("timedelta64[M]")
        labels = months.astype("datetime64[D]")
    return labels.astype("datetime64[ns]").astype("int64")


def trading_days(times: np.ndarray, sessions: SessionEdges) -> np.ndarray:
    """The date (datetime64[D]) of the session each time belongs to; outside hours count to the nearest session."""
    opens, closes = sessions.edges(int(times[0]), int(times[-1]))
    if isinstance(sessions, AroundTheClock):
        return opens[np.searchsorted(closes, times, side="right")].astype("datetime64[ns]").astype("datetime64[D]")
    session, _ = _assign(times, opens, closes)
    # The middle of a session lies on its own date in UTC, for exchanges from Tokyo to New York.
    middles = (opens + closes) // 2
    return middles[session].astype("datetime64[ns]").astype("datetime64[D]")


def _assign(times: np.ndarray, opens: np.ndarray, closes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Index of each time's session, and whether it lies after that session's close."""
    following = np.searchsorted(closes, times, side="right")
    previous = np.maximum(following - 1, 0)
    since_close = times - closes[previous]
    outside = (following == len(closes)) | (times < opens[np.minimum(following, len(opens) - 1)])
    after = outside & (following > 0) & ((since_close < _AFTER_HOURS) | (following == len(closes)))
    return np.where(after, previous, np.minimum(following, len(opens) - 1)), after


def _intraday_labels(times: np.ndarray, step: np.int64, sessions: SessionEdges) -> np.ndarray:
    opens, closes = sessions.edges(int(times[0]), int(times[-1]))
    session, after = _assign(times, opens, closes)
    anchor = np.where(after, closes[session], opens[session])
    return anchor + (times - anchor) // step * step
