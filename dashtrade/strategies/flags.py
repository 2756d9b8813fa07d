"""Candlestick patterns as conditions: a name such as ``hammer`` is true on the bars where the pattern ends."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import talib

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dashtrade.indicators import Columns


@lru_cache(maxsize=1)
def _functions() -> dict[str, str]:
    """Plain name → TA-Lib function. ``bullish_`` and ``bearish_`` before a name choose one direction."""
    plain = {_plain(f): f for f in talib.get_function_groups()["Pattern Recognition"]}
    return {f"{side}{name}": function for name, function in plain.items() for side in ("", "bullish_", "bearish_")}


_SPELLED = {
    "3whitesoldiers": "three_white_soldiers",
    "3blackcrows": "three_black_crows",
    "3inside": "three_inside",
    "3outside": "three_outside",
    "3linestrike": "three_line_strike",
    "3starsinsouth": "three_stars_in_south",
    "2crows": "two_crows",
    "morningstar": "morning_star",
    "eveningstar": "evening_star",
    "morningdojistar": "morning_doji_star",
    "eveningdojistar": "evening_doji_star",
    "shootingstar": "shooting_star",
    "hangingman": "hanging_man",
    "invertedhammer": "inverted_hammer",
    "dragonflydoji": "dragonfly_doji",
    "gravestonedoji": "gravestone_doji",
    "darkcloudcover": "dark_cloud_cover",
    "haramicross": "harami_cross",
    "spinningtop": "spinning_top",
    "longleggeddoji": "long_legged_doji",
    "abandonedbaby": "abandoned_baby",
}


def _plain(function: str) -> str:
    word = function.removeprefix("CDL").lower()
    return _SPELLED.get(word, word)


def names() -> frozenset[str]:
    return frozenset(_functions())


def flag(name: str, columns: Columns) -> NDArray[np.float64]:
    """1.0 where the pattern ends on the bar (in its direction, where one is asked for), 0.0 elsewhere."""
    hits = getattr(talib, _functions()[name])(*(columns[c] for c in ("open", "high", "low", "close")))
    if name.startswith("bullish_"):
        return (hits > 0).astype(np.float64)
    if name.startswith("bearish_"):
        return (hits < 0).astype(np.float64)
    return (hits != 0).astype(np.float64)
