"""Momentum: how fast prices move, and where they stand in their range."""

from __future__ import annotations

import numpy as np
import talib

from dashtrade.indicators import flat
from dashtrade.indicators.catalogue import Family, fast_below_slow, panel, register, window

_HLC = ("high", "low", "close")
Arrays = tuple[np.ndarray, ...]


def _stochastic(
    high: np.ndarray, low: np.ndarray, close: np.ndarray, *, window: int, smooth: int, signal: int
) -> Arrays:
    k, d = talib.STOCH(high, low, close, window, smooth, talib.MA_Type.SMA, signal, talib.MA_Type.SMA)
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
    out: np.ndarray = talib.CCI(high, low, close, window)
    typical = (high + low + close) / 3.0
    highest, lowest = talib.MAX(typical, window), talib.MIN(typical, window)
    # the sum of three prices rounds differently at each bar, so a flat window can have this much of a range
    flat.blank(out, highest - lowest <= 1e-14 * np.abs(highest))
    return out


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


def _williams(high: np.ndarray, low: np.ndarray, close: np.ndarray, *, window: int) -> np.ndarray:
    out: np.ndarray = talib.WILLR(high, low, close, window)
    undefined = flat.no_range(high, low, window)
    return out if undefined is None else flat.blank(out, undefined)


register(
    "williams_r",
    "Williams %R",
    Family.MOMENTUM,
    inputs=_HLC,
    outputs=("williams_r",),
    params=(window(14),),
    warmup=lambda window: window - 1,
    panel=panel(-80, -20),
    compute=_williams,
    formula="−100·(highest − close)/(highest − lowest) of n bars; NaN without a range",
    source="Williams, 1979",
    flat_nan=True,
)


def _ultimate(
    high: np.ndarray, low: np.ndarray, close: np.ndarray, *, short: int, medium: int, window: int
) -> np.ndarray:
    out: np.ndarray = talib.ULTOSC(high, low, close, short, medium, window)
    if (high == low).any():  # TA-Lib leaves out a term without a range and keeps its weight
        shortest = min(short, medium, window)
        flat.blank(out, flat.nothing(np.r_[0.0, talib.TRANGE(high, low, close)[1:]], shortest))
    return out


register(
    "ultimate",
    "Ultimate oscillator",
    Family.MOMENTUM,
    inputs=_HLC,
    outputs=("ultimate",),
    params=(
        window(7, name="short", label="Short"),
        window(14, name="medium", label="Medium"),
        window(28, label="Long"),
    ),
    warmup=lambda short, medium, window: max(short, medium, window),
    panel=panel(30, 70),
    compute=_ultimate,
    formula="100·(4·a(7) + 2·a(14) + a(28))/7, a(n) = Σ buying pressure / ΣTR over n bars",
    source="Williams, 1985",
    flat_nan=True,
)

register(
    "awesome",
    "Awesome oscillator",
    Family.MOMENTUM,
    inputs=("high", "low"),
    outputs=("awesome",),
    params=(window(5, name="fast", label="Fast SMA"), window(34, name="slow", label="Slow SMA")),
    warmup=lambda fast, slow: slow - 1,
    panel=panel(0),
    compute=lambda high, low, *, fast, slow: talib.AO(high, low, fast, slow),
    formula="sma(hl2, 5) − sma(hl2, 34)",
    source="Williams, 1995",
    rule=fast_below_slow,
)

register(
    "accelerator",
    "Accelerator oscillator",
    Family.MOMENTUM,
    inputs=("high", "low"),
    outputs=("accelerator",),
    params=(
        window(5, name="fast", label="Fast SMA"),
        window(34, name="slow", label="Slow SMA"),
        window(5, name="signal", label="Signal SMA"),
    ),
    warmup=lambda fast, slow, signal: slow + signal - 2,
    panel=panel(0),
    compute=lambda high, low, *, fast, slow, signal: talib.AC(high, low, fast, slow, signal),
    formula="awesome oscillator − its sma(5)",
    source="Williams, 1995",
    rule=fast_below_slow,
)

register(
    "bop",
    "Balance of power",
    Family.MOMENTUM,
    inputs=("open", *_HLC),
    outputs=("bop",),
    params=(window(14, 1),),
    warmup=lambda window: window - 1,
    panel=panel(0),
    compute=lambda open, high, low, close, *, window: _bop(open, high, low, close, window),
    formula="mean of (close − open)/(high − low) over n bars; a bar without a range counts as 0; NaN if all are so",
    source="Livshin, 2001",
    flat_nan=True,
)


def _bop(open: np.ndarray, high: np.ndarray, low: np.ndarray, close: np.ndarray, window: int) -> np.ndarray:
    out = talib.BOP(open, high, low, close)
    out = talib.SMA(out, window) if window > 1 else out
    thin = high == low
    if thin.any():
        flat.blank(out, flat.nothing(high - low, window) if window > 1 else thin)
    return np.asarray(out)


def _fisher(high: np.ndarray, low: np.ndarray, *, window: int) -> Arrays:
    from dashtrade.indicators.kernels import fisher

    middle = (high + low) / 2.0
    line = fisher(middle, talib.MAX(middle, window), talib.MIN(middle, window), window - 1)
    before = np.full(line.size, np.nan)
    before[1:] = line[:-1]
    return line, before


register(
    "fisher",
    "Fisher transform",
    Family.MOMENTUM,
    inputs=("high", "low"),
    outputs=("fisher", "signal"),
    params=(window(9),),
    warmup=lambda window: (window - 1, window),
    panel=panel(-1.5, 0, 1.5),
    library="own",
    compute=_fisher,
    formula="½·ln((1+v)/(1−v)) + ½·previous, v = smoothed place of hl2 in its n-bar range; signal is the bar before",
    source="Ehlers, 2002",
    flat_nan=True,
)

register(
    "coppock",
    "Coppock curve",
    Family.MOMENTUM,
    inputs=("close",),
    outputs=("coppock",),
    params=(
        window(10),
        window(11, 1, name="short", label="Short change"),
        window(14, 1, name="long", label="Long change"),
    ),
    warmup=lambda window, short, long: window - 1 + max(short, long),
    panel=panel(0),
    compute=lambda close, *, window, short, long: talib.COPPOCK(close, window, short, long),
    formula="wma(roc(11) + roc(14), 10)",
    source="Coppock, 1962",
)

register(
    "elder_ray",
    "Elder ray",
    Family.MOMENTUM,
    inputs=_HLC,
    outputs=("bull", "bear"),
    params=(window(13),),
    warmup=lambda window: window - 1,
    panel=panel(0),
    compute=lambda high, low, close, *, window: talib.ERI(high, low, close, window),
    formula="high − ema(13) and low − ema(13)",
    source="Elder, 1993",
)
