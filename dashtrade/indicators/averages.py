"""Moving averages: lines drawn over the prices."""

from __future__ import annotations

import math

import numpy as np
import talib

from dashtrade.indicators.catalogue import OVERLAY, Family, factor, register, window

EMA_RIBBON = (9, 20, 50, 100, 200)
"""The lengths of the documented ribbon."""


def _average(
    key: str, label: str, function: object, default: int, warmup: object, formula: str, source: str, low: int = 2
) -> None:
    register(
        key,
        label,
        Family.AVERAGE,
        inputs=("close",),
        outputs=(key,),
        params=(window(default, low),),
        warmup=warmup,
        panel=OVERLAY,
        compute=lambda close, *, window: function(close, window),  # type: ignore[operator]
        formula=formula,
        source=source,
    )


_average(
    "sma",
    "Simple moving average",
    talib.SMA,
    20,
    lambda window: window - 1,
    "mean of the last n closes",
    "Murphy, 1999",
)
_average(
    "ema",
    "Exponential moving average",
    talib.EMA,
    20,
    lambda window: window - 1,
    "e + (close − e)·2/(n+1), begun with the mean of the first n closes",
    "Murphy, 1999",
)
_average(
    "rma",
    "Wilder's moving average",
    talib.RMA,
    14,
    lambda window: window - 1,
    "r + (close − r)/n, begun with the mean of the first n closes",
    "Wilder, 1978",
)
_average(
    "wma",
    "Weighted moving average",
    talib.WMA,
    20,
    lambda window: window - 1,
    "mean with weights 1…n, newest heaviest",
    "Murphy, 1999",
)
_average(
    "hma",
    "Hull moving average",
    talib.HMA,
    20,
    lambda window: window - 1 + math.isqrt(window) - 1,
    "wma(2·wma(close, n/2) − wma(close, n), √n)",
    "Hull, 2005",
    low=4,
)
_average(
    "dema",
    "Double exponential moving average",
    talib.DEMA,
    20,
    lambda window: 2 * (window - 1),
    "2·ema − ema(ema)",
    "Mulloy, 1994",
)
_average(
    "tema",
    "Triple exponential moving average",
    talib.TEMA,
    20,
    lambda window: 3 * (window - 1),
    "3·ema − 3·ema(ema) + ema(ema(ema))",
    "Mulloy, 1994",
)
_average(
    "trima",
    "Triangular moving average",
    talib.TRIMA,
    20,
    lambda window: window - 1,
    "mean of means, middle heaviest",
    "Achelis, 2000",
)
_average(
    "zlema",
    "Zero-lag exponential moving average",
    talib.ZLEMA,
    20,
    lambda window: window - 1 + (window - 1) // 2,
    "ema(2·close − close (n−1)/2 bars ago)",
    "Ehlers and Way, 2010",
)
_average(
    "kama",
    "Kaufman adaptive moving average",
    talib.KAMA,
    10,
    lambda window: window,
    "k + s²·(close − k), s between 2/31 and 2/3 by the efficiency ratio of n bars",
    "Kaufman, 1995",
)

register(
    "t3",
    "Tillson T3",
    Family.AVERAGE,
    inputs=("close",),
    outputs=("t3",),
    params=(window(5), factor("volume_factor", 0.7, 0.0, 1.0, "Volume factor")),
    warmup=lambda window, volume_factor: 6 * (window - 1),
    panel=OVERLAY,
    compute=lambda close, *, window, volume_factor: talib.T3(close, window, volume_factor),
    formula="six exponential averages in a row, mixed by the volume factor",
    source="Tillson, 1998",
)


def _vwma(close: np.ndarray, volume: np.ndarray, *, window: int) -> np.ndarray:
    out: np.ndarray = talib.VWMA(close, volume, window)
    if not volume.all():  # a window without any volume has no weighted mean
        out[talib.MAX(volume, window) == 0] = np.nan
    return out


register(
    "vwma",
    "Volume-weighted moving average",
    Family.AVERAGE,
    inputs=("close", "volume"),
    outputs=("vwma",),
    params=(window(20),),
    warmup=lambda window: window - 1,
    panel=OVERLAY,
    compute=_vwma,
    formula="Σ close·volume / Σ volume over n bars; NaN without volume",
    source="Arms, 1989",
)

register(
    "ema_ribbon",
    "EMA ribbon",
    Family.AVERAGE,
    inputs=("close",),
    outputs=tuple(f"ema_{n}" for n in EMA_RIBBON),
    warmup=lambda: tuple(n - 1 for n in EMA_RIBBON),
    panel=OVERLAY,
    compute=lambda close: tuple(talib.EMA(close, n) for n in EMA_RIBBON),
    formula="exponential averages of 9, 20, 50, 100 and 200 closes",
    source="Guppy, 2004",
)

register(
    "ma_cloud",
    "Moving-average cloud",
    Family.AVERAGE,
    inputs=("close",),
    outputs=("ema_fast", "ema_slow", "sma"),
    params=(
        window(4, name="fast", label="Fast EMA"),
        window(20, name="slow", label="Slow EMA"),
        window(20, label="SMA"),
    ),
    warmup=lambda fast, slow, window: (fast - 1, slow - 1, window - 1),
    panel=OVERLAY,
    compute=lambda close, *, fast, slow, window: (
        talib.EMA(close, fast),
        talib.EMA(close, slow),
        talib.SMA(close, window),
    ),
    formula="ema(4) and ema(20) with sma(20); the cloud lies between the two slow lines",
    source="documented DashTrade set",
    rule=lambda fast, slow, window: None if fast < slow else f"fast ({fast}) must be smaller than slow ({slow}).",
)
