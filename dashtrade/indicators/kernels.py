"""Compiled loops for what depends on its own previous value and TA-Lib does not have.

Imported only when such an indicator is computed, since it brings in numba. Compiled code is kept on disk.
"""

from __future__ import annotations

import numpy as np

from dashtrade.compile_cache import njit


@njit(cache=True, nogil=True)
def anchored_vwap(price: np.ndarray, volume: np.ndarray, starts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Volume-weighted mean and standard deviation since the last start, by West's weighted update, which does not lose
    digits the way Σv·p² − … does. NaN before the first start and until there is volume."""
    n = price.size
    mean = np.full(n, np.nan)
    sigma = np.full(n, np.nan)
    following = 0
    total = 0.0
    m = 0.0
    squares = 0.0
    begun = False
    for i in range(n):
        if following < starts.size and i == starts[following]:
            following += 1
            total = 0.0
            m = 0.0
            squares = 0.0
            begun = True
        if begun and volume[i] > 0:
            if total == 0.0:
                m = price[i]  # exactly, so that constant prices have no spread at all
            total += volume[i]
            delta = price[i] - m
            m += delta * volume[i] / total
            squares += volume[i] * delta * (price[i] - m)
        if begun and total > 0:
            mean[i] = m
            sigma[i] = np.sqrt(squares / total) if squares > 0 else 0.0
    return mean, sigma


@njit(cache=True, nogil=True)
def fisher(middle: np.ndarray, highest: np.ndarray, lowest: np.ndarray, first: int) -> np.ndarray:
    """Ehlers' Fisher transform; NaN before ``first`` and until there is a range;
    a bar without one repeats the place."""
    n = middle.size
    out = np.full(n, np.nan)
    place = 0.0
    last = 0.0
    begun = False
    for i in range(first, n):
        width = highest[i] - lowest[i]
        if width > 0:
            place = 0.66 * ((middle[i] - lowest[i]) / width - 0.5) + 0.67 * place
            place = min(max(place, -0.999), 0.999)
            begun = True
        if begun:
            last = 0.5 * np.log((1 + place) / (1 - place)) + 0.5 * last
            out[i] = last
    return out


@njit(cache=True, nogil=True)
def trailing_band(line: np.ndarray, reach: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A band that trails ``line`` at ``reach`` and changes sides when the line crosses it: the band, and 1 or −1.

    NaN until both inputs are known; the side begins as 1.
    """
    n = line.size
    band = np.full(n, np.nan)
    side = np.full(n, np.nan)
    below = np.nan
    above = np.nan
    now = 1.0
    for i in range(n):
        if np.isnan(line[i]) or np.isnan(reach[i]):
            continue
        new_below = line[i] - reach[i]
        new_above = line[i] + reach[i]
        if not np.isnan(below):
            before = line[i - 1]
            if line[i] > above and before <= above:
                now = 1.0
            elif line[i] < below and before >= below:
                now = -1.0
            if before > below and line[i] > below:
                new_below = max(below, new_below)
            if before < above and line[i] < above:
                new_above = min(above, new_above)
        below = new_below
        above = new_above
        band[i] = below if now > 0 else above
        side[i] = now
    return band, side
