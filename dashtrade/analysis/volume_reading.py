"""What volume says, after Bulkowski: its trend, its shape, breakout volume, climax and dry-up."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import talib

from dashtrade.patterns.pivots import numbers_of, whole_between

FLAT_TREND = 0.2
"""Volume is flat when the line through it changes by less than this share of its mean over the window."""
CLEAR_SHAPE = 0.25
"""A bow is called U or dome when a parabola explains at least so much of what the straight line leaves."""
BREAKOUT = 1.5
CLIMAX = 2.5
DRY = 0.5
_COLUMNS = ("high", "low", "close", "volume")


@dataclass(frozen=True, slots=True)
class VolumeReading:
    """Volume at the close of ``time``; ``None`` values could not be read (too few bars, no volume).

    ``slope`` is the change of the fitted line over the window as a share of the mean. ``ratio`` is the last bar's
    volume against the mean of the ``window`` bars before. ``climax``: at least 2.5 times that mean on a bar at least
    1.5 average ranges wide. ``dry_up``: the last 5 bars average at most half of the ``window`` bars before them.
    """

    time: pd.Timestamp
    window: int
    trend: str
    slope: float
    shape: str
    ratio: float
    breakout: bool
    climax: bool
    dry_up: bool
    sentences: tuple[str, ...]


def read_volume(bars: pd.DataFrame, window: int = 20) -> VolumeReading | None:
    """The reading over the last ``window`` bars; None when there are fewer than ``window`` + 5 bars or no volume.

    Raises InvalidInput for a window outside 5 to 1,000, BadBars for a missing column.
    """
    whole_between("window", window, 5, 1000, " bars")
    numbers_of(bars.iloc[-(4 * window + 60) :] if isinstance(bars, pd.DataFrame) else bars, _COLUMNS)
    tail = bars[["high", "low", "close", "volume"]].iloc[-(4 * window + 60) :].dropna()
    volume = np.ascontiguousarray(tail["volume"].to_numpy(dtype=np.float64))
    if volume.size < window + 5 or not volume[-window:].sum() > 0:
        return None
    high, low, close = (np.ascontiguousarray(tail[c].to_numpy(dtype=np.float64)) for c in ("high", "low", "close"))
    part = volume[-window:]
    mean = float(part.mean())
    at = np.linspace(-1.0, 1.0, window)
    slope = float((at @ part) / (at @ at)) * 2.0 / mean
    trend = "rising" if slope > FLAT_TREND else "falling" if slope < -FLAT_TREND else "flat"
    shape = _shape(at, part)
    before = float(volume[-window - 1 : -1].mean())
    ratio = float(volume[-1]) / before if before > 0 else float("nan")
    ranges = talib.ATR(high, low, close, min(14, volume.size - 1))
    typical = float(ranges[-2]) if np.isfinite(ranges[-2]) else 0.0
    climax = bool(ratio >= CLIMAX and typical > 0 and high[-1] - low[-1] >= 1.5 * typical)
    earlier = float(volume[-window - 5 : -5].mean())
    dry = bool(earlier > 0 and volume[-5:].mean() <= DRY * earlier)
    breakout = bool(ratio >= BREAKOUT)
    return VolumeReading(
        *(tail.index[-1], window, trend, slope, shape, ratio, breakout, climax, dry),
        _sentences(window, trend, slope, shape, ratio, breakout, climax, dry),
    )


def _shape(at: np.ndarray, part: np.ndarray) -> str:
    """U (busy at both ends), dome (busy in the middle) or none."""
    bow = at * at - (at * at).mean()
    rest = part - part.mean() - at * float((at @ part) / (at @ at))
    total = float(rest @ rest)
    bend = float(bow @ rest) / float(bow @ bow)
    if total <= 1e-18 * float(part @ part) or bend * bend * float(bow @ bow) / total < CLEAR_SHAPE:
        return "none"
    return "U" if bend > 0 else "dome"


def _sentences(
    window: int, trend: str, slope: float, shape: str, ratio: float, breakout: bool, climax: bool, dry: bool
) -> tuple[str, ...]:
    said = [f"Over {window} bars volume is {trend} ({slope:+.0%} along its line)."]
    if shape == "U":
        said.append("It is U-shaped: busy at both ends, calm between.")
    elif shape == "dome":
        said.append("It is dome-shaped: busy in the middle, calm at both ends.")
    if np.isfinite(ratio):
        weight = "which supports a breakout" if breakout else "too little to support a breakout"
        said.append(f"The last bar traded {ratio:.1f} times the mean of the {window} bars before, {weight}.")
    if climax:
        said.append("A climax: very high volume on a very wide bar, often near the end of a move.")
    if dry:
        said.append("Volume has dried up to half or less, as it often does before a breakout.")
    return tuple(said)
