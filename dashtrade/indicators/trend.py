"""Trend: direction and strength of a move."""

from __future__ import annotations

import numpy as np
import talib

from dashtrade.indicators import flat
from dashtrade.indicators.catalogue import Family, fast_below_slow, panel, register, window

_HLC = ("high", "low", "close")
Arrays = tuple[np.ndarray, ...]

register(
    "macd",
    "MACD",
    Family.TREND,
    inputs=("close",),
    outputs=("macd", "signal", "histogram"),
    params=(
        window(12, name="fast", label="Fast EMA"),
        window(26, name="slow", label="Slow EMA"),
        window(9, 1, name="signal", label="Signal EMA"),
    ),
    warmup=lambda fast, slow, signal: slow + signal - 2,
    panel=panel(0),
    compute=lambda close, *, fast, slow, signal: talib.MACD(close, fast, slow, signal),
    formula="ema(12) − ema(26); signal = ema(9) of it; histogram = their difference",
    source="Appel, 1979",
    rule=fast_below_slow,
)


def _adx(high: np.ndarray, low: np.ndarray, close: np.ndarray, *, window: int) -> Arrays:
    out = (
        talib.ADX(high, low, close, window),
        talib.PLUS_DI(high, low, close, window),
        talib.MINUS_DI(high, low, close, window),
    )
    still = flat.still_at_start(high, low, close)
    if still > 1:
        for values in out:
            values[:still] = np.nan
    return out


register(
    "adx",
    "Average directional index",
    Family.TREND,
    inputs=_HLC,
    outputs=("adx", "plus_di", "minus_di"),
    params=(window(14),),
    warmup=lambda window: (2 * window - 1, window, window),
    panel=panel(20, 25),
    compute=_adx,
    formula="±DI = 100·Wilder(±DM)/Wilder(TR); ADX = Wilder mean of 100·|+DI − −DI|/(+DI + −DI)",
    source="Wilder, 1978",
    flat_nan=True,
)
