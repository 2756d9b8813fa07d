"""Check a frame of bars on its way in: mend by stated rules and count, refuse the rest.

The counts and their rules are listed in :data:`dashtrade.domain.market.QUALITY_COUNTS`; they land in
``bars.attrs["quality"]`` together with ``rows``, the number of rows that came in.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, cast

import numpy as np
import pandas as pd

from dashtrade.domain.market import OHLCV, QUALITY_COUNTS, Adjustment, Interval, described
from dashtrade.errors import BadBars

PRICES = list(OHLCV[:4])
# Differences below this share of the price are rounding in the source, not faults.
_ROUNDING = 1e-9
# A frame that loses more than this share of its rows is not the series it says it is.
_MAX_LOST = 0.5
# Times kept of each kind of fault: as many as the bars can have that the cache reads again.
_KEPT_TIMES = 50
# Kind of fault → times of the newest ones, nanoseconds UTC, ascending.
FaultTimes = dict[str, list[int]]


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
    when: FaultTimes = {}
    values, at = _order(values, index.tz_convert("UTC").as_unit("ns").asi8, counts, when)
    values, at = _mend(values, at, counts, when)
    lost = counts.pop("lost")
    if lost > _MAX_LOST * max(counts["rows"], 1):
        raise BadBars(f"{lost} of {counts['rows']} bars have no usable price; the frame is refused.")
    clean = bars_frame(at, values)
    clean.attrs = {**frame.attrs, "quality": counts}
    if when:
        clean.attrs["fault_times"] = when
    return clean


def note(when: FaultTimes, name: str, times: np.ndarray) -> None:
    """Keep the times of the newest faults of a kind, so that bars read again are not counted again."""
    if len(times):
        when[name] = sorted([*when.get(name, []), *(int(t) for t in times[-_KEPT_TIMES:])])[-_KEPT_TIMES:]


def joined_faults(old: pd.DataFrame, new: pd.DataFrame, since: int) -> tuple[dict[str, int], FaultTimes]:
    """Counts and times of two frames' faults, where ``new`` holds everything from ``since`` (nanoseconds UTC) on."""
    counts: dict[str, int] = {}
    when: FaultTimes = {}
    for name in QUALITY_COUNTS:
        before = old.attrs.get("fault_times", {}).get(name, [])
        again = sum(time >= since for time in before)
        counts[name] = max(int(old.attrs["quality"].get(name, 0)) - again, 0) + int(new.attrs["quality"].get(name, 0))
        kept = [time for time in before if time < since] + new.attrs.get("fault_times", {}).get(name, [])
        if kept:
            when[name] = kept[-_KEPT_TIMES:]
    return counts, when


def bars_frame(times: np.ndarray, values: np.ndarray) -> pd.DataFrame:
    """A contract frame from int64 nanoseconds UTC (n,) and float64 values (n, 5); nothing is checked."""
    index = pd.DatetimeIndex(times.astype("datetime64[ns]"), tz="UTC", name="time")
    return pd.DataFrame(values, index=index, columns=list(OHLCV), dtype="float64")


def times(bars: pd.DataFrame) -> pd.DatetimeIndex:
    """The index of ``bars``, which is a DatetimeIndex by contract."""
    return cast("pd.DatetimeIndex", bars.index)


def nanoseconds(bars: pd.DataFrame) -> np.ndarray:
    """The bars' times as int64 nanoseconds since 1970, UTC."""
    return times(bars).as_unit("ns").asi8


def _order(
    values: np.ndarray, times: np.ndarray, counts: dict[str, int], when: FaultTimes
) -> tuple[np.ndarray, np.ndarray]:
    nat = times == np.iinfo("int64").min
    if nat.any():
        counts["empty_rows"] += int(nat.sum())
        values, times = values[~nat], times[~nat]
    steps = np.diff(times)
    if (steps < 0).any():
        counts["unordered"] = int((steps < 0).sum())
        note(when, "unordered", np.sort(times[1:][steps < 0]))
        order = np.argsort(times, kind="stable")
        values, times = values[order], times[order]
        steps = np.diff(times)
    if (steps == 0).any():
        last = np.append(steps != 0, True)
        counts["duplicates"] = int((~last).sum())
        note(when, "duplicates", times[~last])
        values, times = values[last], times[last]
    return values, times


def _mend(
    values: np.ndarray, times: np.ndarray, counts: dict[str, int], when: FaultTimes
) -> tuple[np.ndarray, np.ndarray]:
    values[~np.isfinite(values)] = np.nan
    empty = np.isnan(values[:, 3])
    with np.errstate(invalid="ignore"):
        wrong = values[:, :4] <= 0
    worthless = wrong[:, 3]
    counts["empty_rows"] += int(empty.sum())
    counts["non_positive"] = int(wrong.sum())
    counts["lost"] = int((empty | worthless).sum())
    note(when, "empty_rows", times[empty])
    note(when, "non_positive", np.repeat(times, wrong.sum(axis=1)))
    values[:, :3][wrong[:, :3]] = np.nan
    keep = ~(empty | worthless)
    if not keep.all():
        values, times = values[keep], times[keep]
    outside = _not_enclosing(values)
    counts["not_enclosing"] = int(outside.sum())
    note(when, "not_enclosing", times[outside])
    holes = np.isnan(values)
    if holes.any():
        counts["empty_cells"] = int(holes.sum()) - int(wrong[keep].sum())
        note(when, "empty_cells", np.repeat(times, np.maximum(holes.sum(axis=1) - wrong[keep].sum(axis=1), 0)))
        before = np.append(values[:1, 3], values[:-1, 3])
        values[:, 0] = np.where(holes[:, 0], np.fmax(np.fmin(before, values[:, 1]), values[:, 2]), values[:, 0])
        values[:, 4] = np.where(holes[:, 4], 0.0, values[:, 4])
    values[:, 1] = np.fmax(values[:, 1], np.maximum(values[:, 0], values[:, 3]))
    values[:, 2] = np.fmin(values[:, 2], np.minimum(values[:, 0], values[:, 3]))
    negative = values[:, 4] < 0
    counts["negative_volume"] = int(negative.sum())
    note(when, "negative_volume", times[negative])
    values[negative, 4] = 0.0
    return values, times


def _not_enclosing(values: np.ndarray) -> np.ndarray:
    """Rows whose high or low leaves open or close outside; a missing cell encloses and is enclosed."""
    opens, highs, lows, closes = values[:, 0], values[:, 1], values[:, 2], values[:, 3]
    with np.errstate(invalid="ignore"):
        above = np.fmax(opens, closes) - highs > _ROUNDING * closes
        below = lows - np.fmin(opens, closes) > _ROUNDING * closes
    return above | below


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
    words = described(quality, tuple(QUALITY_COUNTS))
    return words + "." if words else ""
