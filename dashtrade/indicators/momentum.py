"""Momentum: how fast prices move, and where they stand in their range."""

from __future__ import annotations

import numpy as np
import talib

from dashtrade.indicators import flat
from dashtrade.indicators.catalogue import Family, panel, register, window

_HLC = ("high", "low", "close")
Arrays = tuple[np.ndarray, ...]


def rsi(close: np.ndarray, *, window: int) -> np.ndarray:
    return flat.no_change(talib.RSI(close, window), close, window)


register(
    "rsi",
    "Relative strength index",
    Family.MOMENTUM,
    inputs=("close",),
    outputs=("rsi",),
    params=(window(14),),
    warmup=lambda window: window,
    panel=panel(30, 50, 70),
    compute=rsi,
    formula="100 − 100/(1 + mean gain / mean loss), means by Wilder's smoothing; NaN while prices never changed",
    source="Wilder, 1978",
    flat_nan=True,
)


def _stochastic(
    high: np.ndarray, low: np.ndarray, close: np.ndarray, *, window: int, smooth: int, signal: int
) -> Arrays:
    k, d = talib.STOCH(high, low, close, window, smooth, 0, signal, 0)
    undefined = flat.no_range(high, low, window)
    if undefined is not None:
        undefined = flat.spread(undefined, smooth)
        flat.blank(k, undefined)
        flat.blank(d, flat.spread(undefined, signal))
    return k, d


register(
    "stochastic",
    "Stochastic oscillator",
    Family.MOMENTUM,
    inputs=_HLC,
    outputs=("k", "d"),
    params=(
        window(14),
        window(1, 1, name="smooth", label="Smoothing of %K"),
        window(3, 1, name="signal", label="Bars of %D"),
    ),
    warmup=lambda window, smooth, signal: window + smooth + signal - 3,
    panel=panel(20, 80),
    compute=_stochastic,
    formula="%K = 100·(close − lowest)/(highest − lowest) of n bars, %D its mean; NaN without a range",
    source="Lane, 1984",
    flat_nan=True,
)


def _cci(high: np.ndarray, low: np.ndarray, close: np.ndarray, *, window: int) -> np.ndarray:
    typical = (high + low + close) / 3.0
    out = talib.CCI(high, low, close, window)
    return flat.blank(out, talib.MAX(typical, window) == talib.MIN(typical, window))


register(
    "cci",
    "Commodity channel index",
    Family.MOMENTUM,
    inputs=_HLC,
    outputs=("cci",),
    params=(window(20),),
    warmup=lambda window: window - 1,
    panel=panel(-100, 0, 100),
    compute=_cci,
    formula="(tp − mean tp)/(0.015·mean deviation), tp = (high + low + close)/3",
    source="Lambert, 1980",
    flat_nan=True,
)

for _key, _label, _function, _formula in (
    ("roc", "Rate of change", talib.ROC, "100·(close/close n bars ago − 1)"),
    ("momentum", "Momentum", talib.MOM, "close − close n bars ago"),
):
    register(
        _key,
        _label,
        Family.MOMENTUM,
        inputs=("close",),
        outputs=(_key,),
        params=(window(12 if _key == "roc" else 10, 1),),
        warmup=lambda window: window,
        panel=panel(0),
        compute=lambda close, *, window, _f=_function: _f(close, window),
        formula=_formula,
        source="Murphy, 1999",
    )
