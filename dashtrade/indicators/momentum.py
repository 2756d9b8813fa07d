"""Momentum: how fast prices move, and where they stand in their range."""

from __future__ import annotations

import numpy as np
import talib

from dashtrade.indicators import flat
from dashtrade.indicators.catalogue import Family, factor, fast_below_slow, panel, register, window

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
    if np.count_nonzero(close[1:] == close[:-1]) >= window - 1:  # a flat window has at least so many flat steps
        typical = (high + low + close) / 3.0
        flat.blank(out, talib.MAX(typical, window) == talib.MIN(typical, window))
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


def _stoch_rsi(close: np.ndarray, *, window: int, stochastic: int, smooth: int, signal: int) -> Arrays:
    strength = talib.RSI(close, window)
    k, d = talib.STOCH(strength, strength, strength, stochastic, smooth, talib.MA_Type.SMA, signal, talib.MA_Type.SMA)
    flat_window = talib.MAX(strength, stochastic) == talib.MIN(strength, stochastic)
    if flat_window.any():
        undefined = flat.spread(flat_window, smooth)
        flat.blank(k, undefined)
        flat.blank(d, flat.spread(undefined, signal))
    return k, d


register(
    "stoch_rsi",
    "Stochastic RSI",
    Family.MOMENTUM,
    inputs=("close",),
    outputs=("k", "d"),
    params=(
        window(14),
        window(14, name="stochastic", label="Stochastic bars"),
        window(3, 1, name="smooth", label="Smoothing of %K"),
        window(3, 1, name="signal", label="Bars of %D"),
    ),
    warmup=lambda window, stochastic, smooth, signal: window + stochastic + smooth + signal - 3,
    panel=panel(20, 80),
    compute=_stoch_rsi,
    formula="stochastic oscillator of rsi(14), 0…100; NaN where the RSI has no range",
    source="Chande and Kroll, 1994",
    flat_nan=True,
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


def _tsi(close: np.ndarray, *, slow: int, fast: int) -> np.ndarray:
    out = talib.TSI(close, slow, fast)
    out[: flat.still_at_start(close)] = np.nan
    return np.asarray(out)


register(
    "tsi",
    "True strength index",
    Family.MOMENTUM,
    inputs=("close",),
    outputs=("tsi",),
    params=(window(25, name="slow", label="First EMA"), window(13, name="fast", label="Second EMA")),
    warmup=lambda slow, fast: slow + fast - 1,
    panel=panel(-25, 0, 25),
    compute=_tsi,
    formula="100·ema(ema(change, 25), 13)/ema(ema(|change|, 25), 13)",
    source="Blau, 1991",
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
    "cmo",
    "Chande momentum oscillator",
    Family.MOMENTUM,
    inputs=("close",),
    outputs=("cmo",),
    params=(window(14),),
    warmup=lambda window: window,
    panel=panel(-50, 0, 50),
    compute=lambda close, *, window: _cmo(close, window),
    formula="100·(Σ gains − Σ losses)/(Σ gains + Σ losses) of n bars, unsmoothed as Chande gives it",
    source="Chande, 1994",
    flat_nan=True,
)


def _cmo(close: np.ndarray, window: int) -> np.ndarray:
    out: np.ndarray = talib.CMOU(close, window)
    if (out == 0).any():
        flat.blank(out, (out == 0) & flat.nothing(np.abs(np.diff(close, prepend=close[0])), window))
    return out


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


def _streak(close: np.ndarray) -> np.ndarray:
    """Bars in a row that rose (positive) or fell (negative); 0 after an unchanged close."""
    sign = np.zeros(close.size)
    sign[1:] = np.sign(np.diff(close))
    begins = np.r_[True, sign[1:] != sign[:-1]]
    position = np.arange(close.size)
    return sign * (position - np.maximum.accumulate(np.where(begins, position, 0)) + 1)


def _connors(close: np.ndarray, *, window: int, streak: int, rank: int) -> np.ndarray:
    runs = _streak(close)
    out = (talib.RSI(close, window) + talib.RSI(runs, streak) + talib.PERCENTRANK(talib.ROC(close, 1), rank)) / 3.0
    out[: flat.still_at_start(close)] = np.nan
    return np.asarray(out)


register(
    "connors_rsi",
    "Connors RSI",
    Family.MOMENTUM,
    inputs=("close",),
    outputs=("connors_rsi",),
    params=(window(3), window(2, name="streak", label="Streak RSI"), window(100, name="rank", label="Rank bars")),
    warmup=lambda window, streak, rank: max(window, streak, rank + 1),
    panel=panel(10, 90),
    compute=_connors,
    formula="(rsi(3) + rsi of the streak of rises and falls(2) + rank of the 1-bar change among the last 100)/3",
    source="Connors and Alvarez, 2012",
    flat_nan=True,
)


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


def _qqe(close: np.ndarray, *, window: int, smooth: int, factor: float) -> Arrays:
    from dashtrade.indicators.kernels import trailing_band

    line = talib.EMA(talib.RSI(close, window), smooth)
    swing = np.abs(np.diff(line, prepend=np.nan))
    reach = factor * talib.EMA(talib.EMA(swing, 2 * window - 1), 2 * window - 1)
    signal, direction = trailing_band(line, reach)
    still = flat.still_at_start(close)
    for values in (line, signal, direction):
        values[:still] = np.nan
    return line, signal, direction


for _key, _label, _window, _smooth, _factor in (("qqe", "QQE", 14, 5, 4.238), ("qqe_fast", "Fast QQE", 8, 3, 3.2)):
    register(
        _key,
        _label,
        Family.MOMENTUM,
        inputs=("close",),
        outputs=(_key, "signal", "direction"),
        params=(
            window(_window),
            window(_smooth, name="smooth", label="Smoothing"),
            factor("factor", _factor, 0.1, 20.0),
        ),
        warmup=lambda window, smooth, factor: (
            window + smooth - 1,
            5 * window + smooth - 4,
            5 * window + smooth - 4,
        ),
        panel=panel(30, 50, 70),
        library="TA-Lib and own",
        compute=_qqe,
        formula="ema of the rsi; signal = a band trailing it at factor × twice smoothed |change|; direction 1 or −1",
        source="Livshin, 2003",
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
