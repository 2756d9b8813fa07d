"""Strength: gains against losses, the family of the RSI."""

from __future__ import annotations

import numpy as np
import talib

from dashtrade.indicators import flat
from dashtrade.indicators.catalogue import Family, factor, panel, register, window

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
