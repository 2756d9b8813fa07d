"""One line crossing another, and how many bars an indicator needs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from dashtrade.indicators.catalogue import REGISTRY

Line = pd.Series | np.ndarray | float


def crosses_above(a: pd.Series, b: Line) -> pd.Series:
    """True at bars where ``a`` is above ``b`` and was not at the bar before; both must be known at both bars.

    Being above is not crossing: the bar before decides. A touch (equal) before counts as not above.
    """
    above, known = _above(a, b)
    out = np.zeros(above.size, dtype=bool)
    out[1:] = above[1:] & ~above[:-1] & known[1:] & known[:-1]
    return pd.Series(out, index=a.index)


def crosses_below(a: pd.Series, b: Line) -> pd.Series:
    """True at bars where ``a`` is below ``b`` and was not at the bar before."""
    return crosses_above(-a, -b)


def _above(a: pd.Series, b: Line) -> tuple[np.ndarray, np.ndarray]:
    x = a.to_numpy(dtype=np.float64)
    y = np.broadcast_to(np.asarray(b, dtype=np.float64), x.shape)
    return x > y, np.isfinite(x) & np.isfinite(y)


def bars_needed(key: str, **params: Any) -> int:
    """The least number of bars that gives every output of the indicator a value at the last bar.

    Alerts and pages must fetch at least these. Recursive averages (all of Wilder's, exponential ones) keep a trace of
    their beginning for about three times as long. Raises UnknownOption and InvalidInput.
    """
    entry = REGISTRY[key]
    return max(entry.leading(**entry.checked(params))) + 1
