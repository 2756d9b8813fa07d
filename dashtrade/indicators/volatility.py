"""Volatility: how far prices swing, as a number and as bands around them."""

from __future__ import annotations

import numpy as np
import talib

from dashtrade.indicators import flat
from dashtrade.indicators.catalogue import OVERLAY, Family, factor, panel, register, window

_HLC = ("high", "low", "close")
Arrays = tuple[np.ndarray, ...]

register(
    "atr",
    "Average true range",
    Family.VOLATILITY,
    inputs=_HLC,
    outputs=("atr",),
    params=(window(14),),
    warmup=lambda window: window,
    panel=panel(),
    compute=lambda high, low, close, *, window: talib.ATR(high, low, close, window),
    formula="Wilder's mean of the true range max(high, previous close) − min(low, previous close)",
    source="Wilder, 1978",
)


def _bollinger(close: np.ndarray, *, window: int, deviations: float) -> Arrays:
    upper, middle, lower = talib.BBANDS(close, window, deviations, deviations, 0)
    width = upper - lower
    with np.errstate(divide="ignore", invalid="ignore"):
        percent = (close - lower) / width
        relative = 100.0 * width / middle
    flat.blank(percent, talib.MAX(close, window) == talib.MIN(close, window))
    return middle, upper, lower, percent, relative


register(
    "bollinger",
    "Bollinger bands",
    Family.VOLATILITY,
    inputs=("close",),
    outputs=("middle", "upper", "lower", "percent", "width"),
    params=(window(20), factor("deviations", 2.0, 0.1, 10.0, "Standard deviations")),
    warmup=lambda window, deviations: window - 1,
    panel=OVERLAY,
    compute=_bollinger,
    formula="sma(20) ± 2 standard deviations (of n); percent = place in the band, 0…1; width in % of the middle",
    source="Bollinger, 2001",
)
