"""What everybody who reads a frame of bars asks of it. Frames are used, not made, so that pandas is not imported."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from dashtrade.domain.market import OHLCV, Interval
from dashtrade.errors import BadBars

if TYPE_CHECKING:
    import pandas as pd

_MONTHS = (Interval.MO1, Interval.MO3)


def in_order(index: pd.Index) -> None:
    """BadBars unless each bar is later than the one before."""
    if not index.is_monotonic_increasing:
        raise BadBars("The bars are not in order of time, oldest first: sort them by their index.")
    if not index.is_unique:
        raise BadBars("Two bars have the same time: keep one, as bars[~bars.index.duplicated(keep='last')] does.")


def readable(bars: pd.DataFrame) -> pd.DataFrame:
    """``bars`` without those at the end that say nothing yet: one still forming when it was fetched, as ``attrs`` tell,
    and ones that lack open, high, low or close. What is left may be empty."""
    if len(bars) and _forming(bars):
        bars = bars.iloc[:-1]
    prices = [name for name in OHLCV[:4] if name in bars.columns]
    if not len(bars) or not bars[prices].iloc[-1].isna().any():
        return bars
    whole = bars[prices].notna().all(axis=1).to_numpy().nonzero()[0]
    return bars.iloc[: int(whole[-1]) + 1 if len(whole) else 0]


def _forming(bars: pd.DataFrame) -> bool:
    """Whether the last bar had not ended when it was fetched. Parts of a frame keep its attributes, so the clock is
    asked too: a part that ends earlier ends with a bar that is closed."""
    known = bars.attrs
    if known.get("last_bar_closed") is not False or not {"fetched_at", "interval"} <= known.keys():
        return False
    interval = Interval(known["interval"])
    length = interval.length + timedelta(days=2 if interval in _MONTHS else 0)
    start = bars.index[-1]
    return getattr(start, "tzinfo", None) is not None and start + length > datetime.fromisoformat(known["fetched_at"])
