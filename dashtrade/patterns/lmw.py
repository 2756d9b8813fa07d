"""The ten patterns of Lo, Mamaysky and Wang on given extrema.

Source: Foundations of Technical Analysis, Journal of Finance 55(4), 2000, pages 1705–1765, definitions 1 to 5. The
definitions only; the paper's smoothing, and with it its frequencies, are not part of this.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pandas as pd

from dashtrade.errors import InvalidInput
from dashtrade.patterns.pivots import pivots

Extrema = Sequence[float]
Times = Sequence[float]


def _alike(values: Sequence[float], share: float) -> bool:
    """All within ``share`` of their mean."""
    mean = sum(values) / len(values)
    return all(abs(v - mean) <= share * mean for v in values)


def _head_and_shoulders(e: Extrema, t: Times) -> bool:
    return e[2] > e[0] and e[2] > e[4] and _alike((e[0], e[4]), 0.015) and _alike((e[1], e[3]), 0.015)


def _inverse_head_and_shoulders(e: Extrema, t: Times) -> bool:
    return e[2] < e[0] and e[2] < e[4] and _alike((e[0], e[4]), 0.015) and _alike((e[1], e[3]), 0.015)


def _broadening_top(e: Extrema, t: Times) -> bool:
    return e[0] < e[2] < e[4] and e[1] > e[3]


def _broadening_bottom(e: Extrema, t: Times) -> bool:
    return e[0] > e[2] > e[4] and e[1] < e[3]


def _rectangle_top(e: Extrema, t: Times) -> bool:
    tops, bottoms = (e[0], e[2], e[4]), (e[1], e[3])
    return _alike(tops, 0.0075) and _alike(bottoms, 0.0075) and min(tops) > max(bottoms)


def _rectangle_bottom(e: Extrema, t: Times) -> bool:
    tops, bottoms = (e[1], e[3]), (e[0], e[2], e[4])
    return _alike(tops, 0.0075) and _alike(bottoms, 0.0075) and min(tops) > max(bottoms)


def _double(e: Extrema, t: Times, best: Callable[..., int]) -> bool:
    """The first extremum and the best later one of its kind alike, more than a month (22 bars) apart."""
    k = best(range(2, len(e), 2), key=lambda i: e[i])
    return _alike((e[0], e[k]), 0.015) and t[k] - t[0] > 22


# name → (begins with a maximum, definition); a top triangle is the broadening bottom's inequalities from a maximum
_DEFINITIONS: dict[str, tuple[bool, Callable[[Extrema, Times], bool]]] = {
    "head_and_shoulders": (True, _head_and_shoulders),
    "inverse_head_and_shoulders": (False, _inverse_head_and_shoulders),
    "broadening_top": (True, _broadening_top),
    "broadening_bottom": (False, _broadening_bottom),
    "triangle_top": (True, _broadening_bottom),
    "triangle_bottom": (False, _broadening_top),
    "rectangle_top": (True, _rectangle_top),
    "rectangle_bottom": (False, _rectangle_bottom),
    "double_top": (True, lambda e, t: _double(e, t, max)),
    "double_bottom": (False, lambda e, t: _double(e, t, min)),
}
LMW_PATTERNS = tuple(_DEFINITIONS)


def lmw_patterns(prices: Sequence[float], times: Sequence[float], begins_with_maximum: bool) -> tuple[str, ...]:
    """Which of the ten definitions the alternating extrema satisfy.

    ``prices`` are five or more consecutive extrema (the double patterns look at all, the others at the first five),
    ``times`` their bar numbers, in order. Raises InvalidInput for fewer than five or unequal lengths.
    """
    if len(prices) < 5 or len(prices) != len(times):
        raise InvalidInput(
            "prices", f"give five or more extrema and as many times; got {len(prices)} and {len(times)}."
        )
    return tuple(
        name for name, (top, holds) in _DEFINITIONS.items() if top == begins_with_maximum and holds(prices, times)
    )


def lmw_hits(bars: pd.DataFrame, factor: float = 3.0, percent: float | None = None) -> pd.DataFrame:
    """The ten definitions on the pivots of the bars: ``pattern``, ``formed_at`` (when the fifth pivot was known),
    ``pivots`` (their times)."""
    found = pivots(bars, factor, percent)
    place = {time: i for i, time in enumerate(bars.index)}
    rows = []
    for first in range(len(found) - 4):
        five = found.iloc[first : first + 5]
        times = [place[t] for t in five["time"]]
        for name in lmw_patterns(five["price"].tolist(), times, bool(five["kind"].iloc[0] > 0)):
            rows.append({"pattern": name, "formed_at": five["known_at"].iloc[-1], "pivots": tuple(five["time"])})
    return pd.DataFrame(rows, columns=["pattern", "formed_at", "pivots"])
