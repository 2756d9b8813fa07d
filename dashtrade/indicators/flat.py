"""Where a formula is 0/0: TA-Lib answers 0 there, which reads as an extreme; here it becomes NaN.

Every function writes NaN into the array it is given and returns it.
"""

from __future__ import annotations

import numpy as np
import talib

_TALIB_ZERO = 1e-14  # TA-Lib takes anything below as zero


def blank(out: np.ndarray, undefined: np.ndarray) -> np.ndarray:
    out[undefined] = np.nan
    return out


def still_at_start(*arrays: np.ndarray) -> int:
    """The number of leading bars at which none of the arrays has moved yet from its first value."""
    n = arrays[0].size
    for array in arrays:
        if n == 0:
            break
        moved = array[:n] != array[0]
        first = int(moved.argmax())
        n = first if moved[first] else n
    return n


def no_range(high: np.ndarray, low: np.ndarray, window: int) -> np.ndarray | None:
    """Where high and low of the whole window are one price; None when that happens nowhere."""
    thin = high == low
    if not thin.any():
        return None
    flat: np.ndarray = talib.MAX(high, window) == talib.MIN(low, window)
    return flat if flat.any() else None


def nothing(amount: np.ndarray, window: int) -> np.ndarray:
    """Where an amount that is never negative is 0 throughout the window. Rolling maxima leave no rounding dust."""
    zero: np.ndarray = talib.MAX(amount, window) == 0
    return zero


def spread(undefined: np.ndarray, bars: int) -> np.ndarray:
    """Where any of the last ``bars`` bars was undefined: what a mean over them becomes."""
    if bars <= 1:
        return undefined
    wide = undefined.copy()
    for back in range(1, bars):
        wide[back:] |= undefined[:-back]
    return wide


def no_change(out: np.ndarray, close: np.ndarray, window: int) -> np.ndarray:
    """NaN where Wilder's mean of |change| is zero, which TA-Lib answers with 0."""
    if (out == 0.0).any():
        change = talib.RMA(np.abs(np.diff(close)), window)
        out[1:][(out[1:] == 0.0) & (change < 2 * _TALIB_ZERO)] = np.nan
    return out
