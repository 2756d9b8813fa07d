"""Trend oscillators: averages and changes of prices against each other, the family of the MACD."""

from __future__ import annotations

from typing import Any

import numpy as np
import talib

from dashtrade.indicators import flat
from dashtrade.indicators.catalogue import Family, fast_below_slow, panel, register, window

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


def _single(
    key: str, label: str, function: Any, default: int, warmup: Any, formula: str, source: str, *guides: float
) -> None:
    register(
        key,
        label,
        Family.TREND,
        inputs=("close",),
        outputs=(key,),
        params=(window(default),),
        warmup=warmup,
        panel=panel(*guides),
        compute=lambda close, *, window: function(close, window),
        formula=formula,
        source=source,
    )


_single(
    "trix", "TRIX", talib.TRIX, 15, lambda window: 3 * window - 2, "1-bar % change of a triple ema", "Hutson, 1983", 0
)


_single(
    "dpo",
    "Detrended price oscillator",
    talib.DPO,
    20,
    lambda window: window - 1,
    "close n/2 + 1 bars ago − sma(n); read at today's bar, nothing is drawn back",
    "Achelis, 2000",
    0,
)


def _ppo(close: np.ndarray, *, fast: int, slow: int, signal: int) -> Arrays:
    line = talib.PPO(close, fast, slow, talib.MA_Type.EMA)
    smooth = talib.EMA(line, signal)
    return line, smooth, line - smooth


_FAST_SLOW = (
    window(12, name="fast", label="Fast EMA"),
    window(26, name="slow", label="Slow EMA"),
    window(9, name="signal", label="Signal EMA"),
)

register(
    "ppo",
    "Percentage price oscillator",
    Family.TREND,
    inputs=("close",),
    outputs=("ppo", "signal", "histogram"),
    params=_FAST_SLOW,
    warmup=lambda fast, slow, signal: (slow - 1, slow + signal - 2, slow + signal - 2),
    panel=panel(0),
    compute=_ppo,
    formula="100·(ema(12) − ema(26))/ema(26), signal = ema(9) of it",
    source="Appel, 2005",
    rule=fast_below_slow,
)


def _kst(close: np.ndarray, *, signal: int) -> Arrays:
    total = np.zeros(close.size)
    for weight, (change, mean) in enumerate(((10, 10), (15, 10), (20, 10), (30, 15)), start=1):
        total += weight * talib.SMA(talib.ROC(close, change), mean)
    return total, talib.SMA(total, signal)


register(
    "kst",
    "Know sure thing",
    Family.TREND,
    inputs=("close",),
    outputs=("kst", "signal"),
    params=(window(9, name="signal", label="Signal SMA"),),
    warmup=lambda signal: (44, 43 + signal),
    panel=panel(0),
    compute=_kst,
    formula="1·sma(roc 10, 10) + 2·sma(roc 15, 10) + 3·sma(roc 20, 10) + 4·sma(roc 30, 15); signal = sma(9)",
    source="Pring, 1992",
)


def _place_in_range(values: np.ndarray, window: int) -> np.ndarray:
    """100·(v − lowest)/(highest − lowest), holding the last value where there is no range; leading NaN allowed."""
    high, low = talib.MAX(values, window), talib.MIN(values, window)
    with np.errstate(divide="ignore", invalid="ignore"):
        place = np.where(high > low, 100.0 * (values - low) / (high - low), np.nan)
    first = int(np.argmax(~np.isnan(high))) if not np.isnan(high).all() else values.size
    seen = np.where(np.isnan(place), 0, np.arange(values.size))
    held: np.ndarray = place[np.maximum.accumulate(seen)]
    held[first:][np.isnan(held[first:])] = 0.0  # no range yet since the start
    held[:first] = np.nan
    return held


def _stc(close: np.ndarray, *, fast: int, slow: int, window: int, smooth: int) -> np.ndarray:
    macd = talib.EMA(close, fast) - talib.EMA(close, slow)
    first = talib.EMA(_place_in_range(macd, window), smooth)
    out = talib.EMA(_place_in_range(first, window), smooth)
    out[: flat.still_at_start(close)] = np.nan
    return np.asarray(out)


register(
    "stc",
    "Schaff trend cycle",
    Family.TREND,
    inputs=("close",),
    outputs=("stc",),
    params=(
        window(23, name="fast", label="Fast EMA"),
        window(50, name="slow", label="Slow EMA"),
        window(10, label="Cycle"),
        window(3, name="smooth", label="Smoothing"),
    ),
    warmup=lambda fast, slow, window, smooth: slow - 1 + 2 * (window - 1) + 2 * (smooth - 1),
    panel=panel(25, 75),
    compute=_stc,
    formula="stochastic of the stochastic of ema(23) − ema(50), each smoothed by an ema",
    source="Schaff, 1999",
    rule=fast_below_slow,
    flat_nan=True,
)
