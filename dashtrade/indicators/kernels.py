"""Compiled loops for what depends on its own previous value and TA-Lib does not have.

Imported only when such an indicator is computed, since it brings in numba. Compiled code is kept on disk.
"""

from __future__ import annotations

import numpy as np
from numba import njit


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
            total += volume[i]
            delta = price[i] - m
            m += delta * volume[i] / total
            squares += volume[i] * delta * (price[i] - m)
        if begun and total > 0:
            mean[i] = m
            sigma[i] = np.sqrt(squares / total) if squares > 0 else 0.0
    return mean, sigma
