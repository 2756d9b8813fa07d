"""What is missing from bars by the exchange's calendar. It is counted and left as it is: nobody knows the prices."""

from __future__ import annotations

import numpy as np
import pandas as pd

from dashtrade.data.quality import FaultTimes, nanoseconds, note
from dashtrade.data.sessions import ALWAYS, calendar_name, edges
from dashtrade.domain.market import Interval

# With more daily bars than this on days the exchange was closed, the symbol trades somewhere else.
_ELSEWHERE = 0.1


def count_against_calendar(bars: pd.DataFrame, symbol: str, interval: Interval) -> pd.DataFrame:
    """Count, in place, sessions without a bar and daily bars on other days, by the calendar of ``symbol``'s exchange.

    Bars longer than a day are not looked at, and neither are minutes of markets that never close.
    """
    name = calendar_name(symbol)
    if interval is Interval.D1:
        count_gaps(bars, edges(name).days)
    elif interval.intraday and name != ALWAYS:
        count_missing_parts(bars, edges(name).part_opens, edges(name).part_closes)
    return bars


def gaps_of_own_bars(times: np.ndarray, symbol: str, interval: Interval) -> dict[str, int]:
    """The same counts for bars of one's own, at ``times`` (int64 nanoseconds UTC, sorted). Their ticker may mean
    anything: none where many daily bars lie on days the exchange was closed."""
    bars = pd.DataFrame(index=pd.DatetimeIndex(times.astype("datetime64[ns]"), tz="UTC"))
    bars.attrs["quality"] = {"missing_sessions": 0, "off_session": 0}
    counts: dict[str, int] = count_against_calendar(bars, symbol, interval).attrs["quality"]
    elsewhere = counts["off_session"] > _ELSEWHERE * len(times)
    return dict.fromkeys(counts, 0) if elsewhere else counts


def count_gaps(bars: pd.DataFrame, days: np.ndarray) -> pd.DataFrame:
    """Count, in place, trading ``days`` (datetime64[D], sorted) without a daily bar, and bars on other days."""
    if len(bars):
        have = nanoseconds(bars).astype("datetime64[ns]").astype("datetime64[D]")
        expected = days[np.searchsorted(days, have[0]) : np.searchsorted(days, have[-1], side="right")]
        when: FaultTimes = bars.attrs.setdefault("fault_times", {})
        for name, found in (
            ("missing_sessions", expected[~np.isin(expected, have)]),
            ("off_session", have[~np.isin(have, days)]),
        ):
            bars.attrs["quality"][name] = len(found)
            note(when, name, found.astype("datetime64[ns]").astype("int64"))
    return bars


def count_missing_parts(bars: pd.DataFrame, opens: np.ndarray, closes: np.ndarray) -> pd.DataFrame:
    """Count, in place, sessions (or mornings and afternoons around lunch) between the first and the last intraday bar
    that have no bar at all. ``opens`` and ``closes`` are int64 nanoseconds UTC, sorted."""
    if len(bars):
        at = nanoseconds(bars)
        first = int(np.searchsorted(closes, at[0], side="right"))
        last = int(np.searchsorted(opens, at[-1], side="right"))
        opened, closed = opens[first:last], closes[first:last]
        empty = np.searchsorted(at, closed, side="left") == np.searchsorted(at, opened, side="left")
        bars.attrs["quality"]["missing_sessions"] = int(empty.sum())
        note(bars.attrs.setdefault("fault_times", {}), "missing_sessions", opened[empty])
    return bars
