"""Check a frame of bars on its way in: mend by stated rules and count, refuse the rest.

The counts and their rules are listed in :data:`dashtrade.domain.market.QUALITY_COUNTS`; they land in
``bars.attrs["quality"]`` together with ``rows``, the number of rows that came in.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd

from dashtrade.domain.market import OHLCV, QUALITY_COUNTS, Adjustment, Interval
from dashtrade.errors import BadBars

PRICES = list(OHLCV[:4])
# Differences below this share of the price are rounding in the source, not faults.
_ROUNDING = 1e-9
# A frame that loses more than this share of its rows is not the series it says it is.
_MAX_LOST = 0.5


def check_bars(frame: pd.DataFrame) -> pd.DataFrame:
    """A new frame that keeps the OHLCV contract, with ``attrs["quality"]`` counting what was mended.

    ``frame`` needs the five columns (any order and extra columns, any numeric type) and a time index with a zone.
    Attributes are kept. Raises BadBars where a column or the zone is missing, a value is not a number, or more than
    half of the rows cannot be used. An empty frame stays empty: the source knows why, and says so.
    """
    missing = [name for name in OHLCV if name not in frame.columns]
    if missing:
        raise BadBars(f"The bars have no column {', '.join(missing)}; needed are {', '.join(OHLCV)}.")
    index = frame.index
    if not isinstance(index, pd.DatetimeIndex):
        raise BadBars("The bars have no times: the index must be a DatetimeIndex.")
    if index.tz is None:
        raise BadBars("The bars' times have no zone; give UTC times.")
    try:
        values = frame.loc[:, list(OHLCV)].to_numpy(dtype="float64", copy=True)
    except (TypeError, ValueError) as error:
        raise BadBars(f"The bars hold something that is not a number: {error}.") from None
    counts = dict.fromkeys(QUALITY_COUNTS, 0)
    counts["rows"] = len(frame)
    times = index.tz_convert("UTC").as_unit("ns").asi8
    values, times = _order(values, times, counts)
    values, times = _mend(values, times, counts)
    lost = counts["empty_rows"] + counts["non_positive"]
    if lost > _MAX_LOST * max(counts["rows"], 1):
        raise BadBars(f"{lost} of {counts['rows']} bars have no usable price; the frame is refused.")
    clean = bars_frame(times, values)
    clean.attrs = {**frame.attrs, "quality": counts}
    return clean


def bars_frame(times: np.ndarray, values: np.ndarray) -> pd.DataFrame:
    """A contract frame from int64 nanoseconds UTC (n,) and float64 values (n, 5); nothing is checked."""
    index = pd.DatetimeIndex(times.astype("datetime64[ns]"), tz="UTC", name="time")
    return pd.DataFrame(values, index=index, columns=list(OHLCV), dtype="float64")


def _order(values: np.ndarray, times: np.ndarray, counts: dict[str, int]) -> tuple[np.ndarray, np.ndarray]:
    nat = times == np.iinfo("int64").min
    if nat.any():
        counts["empty_rows"] += int(nat.sum())
        values, times = values[~nat], times[~nat]
    steps = np.diff(times)
    if (steps < 0).any():
        counts["unordered"] = int((steps < 0).sum())
        order = np.argsort(times, kind="stable")
        values, times = values[order], times[order]
        steps = np.diff(times)
    if (steps == 0).any():
        last = np.append(steps != 0, True)
        counts["duplicates"] = int((~last).sum())
        values, times = values[last], times[last]
    return values, times


def _mend(values: np.ndarray, times: np.ndarray, counts: dict[str, int]) -> tuple[np.ndarray, np.ndarray]:
    values[~np.isfinite(values)] = np.nan
    empty = np.isnan(values[:, 3])
    with np.errstate(invalid="ignore"):
        low = (values[:, :4] <= 0).any(axis=1) & ~empty
    counts["empty_rows"] += int(empty.sum())
    counts["non_positive"] = int(low.sum())
    keep = ~(empty | low)
    if not keep.all():
        values, times = values[keep], times[keep]
    holes = np.isnan(values)
    if holes.any():
        counts["empty_cells"] = int(holes.sum())
        previous = np.roll(values[:, 3], 1)
        previous[:1] = values[:1, 3]
        values[:, 0] = np.where(holes[:, 0], previous, values[:, 0])
        values[:, 4] = np.where(holes[:, 4], 0.0, values[:, 4])
    body_high = np.maximum(values[:, 0], values[:, 3])
    body_low = np.minimum(values[:, 0], values[:, 3])
    high = np.fmax(values[:, 1], body_high)
    lowest = np.fmin(values[:, 2], body_low)
    with np.errstate(invalid="ignore"):
        faulty = (body_high - values[:, 1] > _ROUNDING * body_high) | (values[:, 2] - body_low > _ROUNDING * body_low)
    counts["not_enclosing"] = int(faulty.sum())
    values[:, 1], values[:, 2] = high, lowest
    negative = values[:, 4] < 0
    counts["negative_volume"] = int(negative.sum())
    values[negative, 4] = 0.0
    return values, times


def stamp(
    bars: pd.DataFrame,
    *,
    symbol: str,
    interval: Interval,
    source: str,
    adjustment: Adjustment,
    delay_seconds: int = 0,
    simulated: bool = False,
    last_bar_closed: bool = True,
    fetched_at: datetime | None = None,
    **more: Any,
) -> pd.DataFrame:
    """Write the contract's attributes onto ``bars`` (in place) and return it."""
    bars.attrs.update(
        symbol=symbol,
        interval=interval.value,
        source=source,
        adjustment=adjustment.value,
        delay_seconds=delay_seconds,
        simulated=simulated,
        last_bar_closed=last_bar_closed,
        cached=False,
        fetched_at=(fetched_at or datetime.now(UTC)).astimezone(UTC).isoformat(timespec="seconds"),
        **more,
    )
    bars.attrs.setdefault("quality", {**dict.fromkeys(QUALITY_COUNTS, 0), "rows": len(bars)})
    return bars


def describe(quality: dict[str, int]) -> str:
    """One sentence on what was mended, for pages and the command line; empty where nothing was."""
    words = [f"{quality[name]} {rule}" for name, rule in QUALITY_COUNTS.items() if quality.get(name)]
    return "; ".join(words) + "." if words else ""
