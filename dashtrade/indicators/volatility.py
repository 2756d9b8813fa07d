"""Volatility: how far prices swing, as a number and as bands around them."""

from __future__ import annotations

import numpy as np
import talib

from dashtrade.indicators import flat
from dashtrade.indicators.catalogue import OVERLAY, Family, Param, factor, panel, register, window

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
    upper, middle, lower = talib.BBANDS(close, window, deviations, deviations, talib.MA_Type.SMA)
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
    off_price=("percent", "width"),
    formula="sma(20) ± 2 standard deviations (of n); percent = place in the band, 0…1; width in % of the middle",
    source="Bollinger, 2001",
)

register(
    "natr",
    "Normalised average true range",
    Family.VOLATILITY,
    inputs=_HLC,
    outputs=("natr",),
    params=(window(14),),
    warmup=lambda window: window,
    panel=panel(),
    compute=lambda high, low, close, *, window: talib.NATR(high, low, close, window),
    formula="100·atr/close",
    source="Forman, 2006",
)

register(
    "true_range",
    "True range",
    Family.VOLATILITY,
    inputs=_HLC,
    outputs=("true_range",),
    warmup=lambda: 1,
    panel=panel(),
    compute=lambda high, low, close: talib.TRANGE(high, low, close),
    formula="max(high, previous close) − min(low, previous close)",
    source="Wilder, 1978",
)

register(
    "stddev",
    "Standard deviation",
    Family.VOLATILITY,
    inputs=("close",),
    outputs=("stddev",),
    params=(window(20),),
    warmup=lambda window: window - 1,
    panel=panel(),
    compute=lambda close, *, window: talib.STDDEV(close, window, 1.0),
    formula="√ of the mean squared distance of n closes from their mean (divided by n)",
    source="Bollinger, 2001",
)

register(
    "keltner",
    "Keltner channel",
    Family.VOLATILITY,
    inputs=_HLC,
    outputs=("middle", "upper", "lower"),
    params=(window(20), window(10, name="atr", label="ATR bars"), factor("factor", 2.0, 0.1, 20.0)),
    warmup=lambda window, atr, factor: (window - 1, max(window - 1, atr), max(window - 1, atr)),
    panel=OVERLAY,
    compute=lambda high, low, close, *, window, atr, factor: _keltner(high, low, close, window, atr, factor),
    formula="ema(close, 20) ± 2·atr(10)",
    source="Keltner, 1960, in Raschke's form",
)


def _keltner(high: np.ndarray, low: np.ndarray, close: np.ndarray, window: int, atr: int, factor: float) -> Arrays:
    middle, reach = talib.EMA(close, window), factor * talib.ATR(high, low, close, atr)
    return middle, middle + reach, middle - reach


def _donchian(high: np.ndarray, low: np.ndarray, *, window: int, offset: int) -> Arrays:
    bands = (talib.MAX(high, window), talib.MIN(low, window))
    if offset:
        bands = tuple(np.r_[np.full(min(offset, b.size), np.nan), b[: max(b.size - offset, 0)]] for b in bands)
    upper, lower = bands
    return upper, (upper + lower) / 2.0, lower


register(
    "donchian",
    "Donchian channel",
    Family.VOLATILITY,
    inputs=("high", "low"),
    outputs=("upper", "middle", "lower"),
    params=(window(20), window(0, 0, 1000, name="offset", label="Bars held back")),
    warmup=lambda window, offset: window - 1 + offset,
    panel=OVERLAY,
    compute=_donchian,
    formula="highest high and lowest low of n bars; offset 1 leaves out the bar itself, which a breakout rule needs",
    source="Donchian, 1960",
)


def _chandelier(high: np.ndarray, low: np.ndarray, close: np.ndarray, *, window: int, factor: float) -> Arrays:
    reach = factor * talib.ATR(high, low, close, window)
    return talib.MAX(high, window) - reach, talib.MIN(low, window) + reach


register(
    "chandelier",
    "Chandelier exit",
    Family.VOLATILITY,
    inputs=_HLC,
    outputs=("long", "short"),
    params=(window(22), factor("factor", 3.0, 0.1, 20.0)),
    warmup=lambda window, factor: window,
    panel=OVERLAY,
    compute=_chandelier,
    formula="highest high − 3·atr(22) for longs, lowest low + 3·atr(22) for shorts",
    source="Le Beau, in Elder, 2002",
)


def _ulcer(close: np.ndarray, *, window: int) -> np.ndarray:
    padded = np.concatenate((np.full(window - 1, close[0]), close))  # the first bars look back at what there is
    peak = talib.MAX(padded, window)[window - 1 :]
    return np.sqrt(np.maximum(talib.SMA(np.square(100.0 * (close - peak) / peak), window), 0.0))


register(
    "ulcer",
    "Ulcer index",
    Family.VOLATILITY,
    inputs=("close",),
    outputs=("ulcer",),
    params=(window(14),),
    warmup=lambda window: window - 1,
    panel=panel(),
    compute=_ulcer,
    formula="√ mean over n bars of (% below the highest close of n bars)²",
    source="Martin, 1987",
)

_PER_YEAR = Param("bars_per_year", 252, 1, 600_000, "Bars in a year")


def _yearly(variance: np.ndarray, bars_per_year: int) -> np.ndarray:
    return 100.0 * np.sqrt(np.maximum(variance, 0.0) * bars_per_year)


def _historical(close: np.ndarray, *, window: int, bars_per_year: int) -> np.ndarray:
    change = np.log(close[1:] / close[:-1])
    out = np.full(close.size, np.nan)
    out[1:] = _yearly(talib.VAR(change, window, 1.0) * window / (window - 1), bars_per_year)
    return out


register(
    "historical_volatility",
    "Historical volatility",
    Family.VOLATILITY,
    inputs=("close",),
    outputs=("historical_volatility",),
    params=(window(20), _PER_YEAR),
    warmup=lambda window, bars_per_year: window,
    panel=panel(),
    compute=_historical,
    formula="standard deviation of n log changes (n − 1), × √252, in %",
    source="Hull, 2017",
)


def _parkinson(high: np.ndarray, low: np.ndarray, *, window: int, bars_per_year: int) -> np.ndarray:
    return _yearly(talib.SMA(np.square(np.log(high / low)), window) / (4.0 * np.log(2.0)), bars_per_year)


register(
    "parkinson_volatility",
    "Parkinson volatility",
    Family.VOLATILITY,
    inputs=("high", "low"),
    outputs=("parkinson_volatility",),
    params=(window(20), _PER_YEAR),
    warmup=lambda window, bars_per_year: window - 1,
    panel=panel(),
    compute=_parkinson,
    formula="√(mean of ln(high/low)² / (4·ln 2)) × √252, in %",
    source="Parkinson, 1980",
)


def _garman_klass(
    open: np.ndarray, high: np.ndarray, low: np.ndarray, close: np.ndarray, *, window: int, bars_per_year: int
) -> np.ndarray:
    bar = 0.5 * np.square(np.log(high / low)) - (2.0 * np.log(2.0) - 1.0) * np.square(np.log(close / open))
    return _yearly(talib.SMA(bar, window), bars_per_year)


register(
    "garman_klass_volatility",
    "Garman–Klass volatility",
    Family.VOLATILITY,
    inputs=("open", *_HLC),
    outputs=("garman_klass_volatility",),
    params=(window(20), _PER_YEAR),
    warmup=lambda window, bars_per_year: window - 1,
    panel=panel(),
    compute=_garman_klass,
    formula="√ mean of ½·ln(high/low)² − (2·ln 2 − 1)·ln(close/open)², × √252, in %",
    source="Garman and Klass, 1980",
)


def _squeeze(
    high: np.ndarray, low: np.ndarray, close: np.ndarray, *, window: int, deviations: float, factor: float
) -> Arrays:
    middle = talib.SMA(close, window)
    true_range = talib.TRANGE(high, low, close)
    true_range[0] = high[0] - low[0]
    on = deviations * talib.STDDEV(close, window, 1.0) < factor * talib.SMA(true_range, window)
    centre = ((talib.MAX(high, window) + talib.MIN(low, window)) / 2.0 + middle) / 2.0
    squeezed = on.astype(np.float64)
    squeezed[: window - 1] = np.nan
    return talib.LINEARREG(close - centre, window), squeezed


register(
    "squeeze",
    "Squeeze momentum",
    Family.VOLATILITY,
    inputs=_HLC,
    outputs=("momentum", "on"),
    params=(window(20), factor("deviations", 2.0, 0.1, 10.0), factor("factor", 1.5, 0.1, 10.0, "Keltner factor")),
    warmup=lambda window, deviations, factor: (2 * (window - 1), window - 1),
    panel=panel(0),
    compute=_squeeze,
    formula="on = 1 while the Bollinger bands lie inside the Keltner channel; momentum = end of the regression line of "
    "close − mean(middle of the range, sma)",
    source="Carter, 2005",
)

register(
    "chaikin_volatility",
    "Chaikin volatility",
    Family.VOLATILITY,
    inputs=("high", "low"),
    outputs=("chaikin_volatility",),
    params=(window(10), window(10, 1, name="change", label="Change over bars")),
    warmup=lambda window, change: window - 1 + change,
    panel=panel(0),
    compute=lambda high, low, *, window, change: _chaikin(high, low, window, change),
    formula="% change over 10 bars of ema(high − low, 10)",
    source="Chaikin, in Achelis, 2000",
    flat_nan=True,
)


def _chaikin(high: np.ndarray, low: np.ndarray, window: int, change: int) -> np.ndarray:
    out = talib.CVI(high, low, window, change)
    wide = high > low
    still = int(wide.argmax()) if wide.any() else high.size
    out[: still + change] = np.nan if still else out[: still + change]
    return np.asarray(out)
