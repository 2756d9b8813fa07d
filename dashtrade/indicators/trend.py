"""Trend: direction and strength of a move."""

from __future__ import annotations

import numpy as np
import talib

from dashtrade.indicators import flat
from dashtrade.indicators.catalogue import OVERLAY, Family, factor, panel, register, window

_HLC = ("high", "low", "close")
Arrays = tuple[np.ndarray, ...]


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


def _aroon(high: np.ndarray, low: np.ndarray, *, window: int) -> Arrays:
    down, up = talib.AROON(high, low, window)
    return up, down, up - down


register(
    "aroon",
    "Aroon",
    Family.TREND,
    inputs=("high", "low"),
    outputs=("up", "down", "oscillator"),
    params=(window(25),),
    warmup=lambda window: window,
    panel=panel(-50, 0, 50, 100),
    compute=_aroon,
    formula="100·(n − bars since the highest high)/n, the same for the lowest low, and their difference",
    source="Chande, 1995",
)

register(
    "psar",
    "Parabolic stop and reverse",
    Family.TREND,
    inputs=("high", "low"),
    outputs=("psar",),
    params=(factor("step", 0.02, 0.001, 1.0), factor("maximum", 0.2, 0.01, 1.0)),
    warmup=lambda step, maximum: 1,
    panel=OVERLAY,
    compute=lambda high, low, *, step, maximum: talib.SAR(high, low, step, maximum),
    formula="stop that moves toward the extreme price by 2 % more at each new extreme, at most 20 %",
    source="Wilder, 1978",
    rule=lambda step, maximum: None if step <= maximum else f"step ({step:g}) must not exceed maximum ({maximum:g}).",
)


def _supertrend(high: np.ndarray, low: np.ndarray, close: np.ndarray, *, window: int, factor: float) -> Arrays:
    line, side = talib.SUPERTREND(high, low, close, window, factor)
    direction = side.astype(np.float64)
    direction[:window] = np.nan
    return line, direction


register(
    "supertrend",
    "Supertrend",
    Family.TREND,
    inputs=_HLC,
    outputs=("supertrend", "direction"),
    params=(window(10), factor("factor", 3.0, 0.1, 20.0)),
    warmup=lambda window, factor: window,
    panel=OVERLAY,
    compute=_supertrend,
    off_price=("direction",),
    formula="hl2 ± 3·atr(10), the band trailing the close; direction 1 up, −1 down",
    source="Seban, 2008",
)


def _held_back(values: np.ndarray, bars: int) -> np.ndarray:
    out = np.full(values.size, np.nan)
    if bars < values.size:
        out[bars:] = values[: values.size - bars]
    return out


def _ichimoku(high: np.ndarray, low: np.ndarray, *, conversion: int, window: int, span: int) -> Arrays:
    tenkan, kijun = talib.MIDPRICE(high, low, conversion), talib.MIDPRICE(high, low, window)
    leading = talib.MIDPRICE(high, low, span)
    return tenkan, kijun, _held_back((tenkan + kijun) / 2, window), _held_back(leading, window)


register(
    "ichimoku",
    "Ichimoku cloud",
    Family.TREND,
    inputs=("high", "low"),
    outputs=("tenkan", "kijun", "senkou_a", "senkou_b"),
    params=(window(9, name="conversion", label="Tenkan"), window(26), window(52, name="span", label="Senkou B")),
    warmup=lambda conversion, window, span: (
        conversion - 1,
        window - 1,
        window + max(conversion, window) - 1,
        window + span - 1,
    ),
    panel=OVERLAY,
    compute=_ichimoku,
    formula="middles of 9 and 26 bars; the cloud stands at the bar it is drawn at, so it comes from 26 bars before. "
    "The lagging span is the close drawn 26 bars back and is left out: at that bar it was not known",
    source="Hosoda, 1968",
)


def _vortex(high: np.ndarray, low: np.ndarray, close: np.ndarray, *, window: int) -> Arrays:
    plus, minus = talib.VORTEX(high, low, close, window)
    zero = (plus == 0) & (minus == 0)
    if zero.any():
        flat.blank(plus, zero)
        flat.blank(minus, zero)
    return plus, minus


register(
    "vortex",
    "Vortex",
    Family.TREND,
    inputs=_HLC,
    outputs=("plus", "minus"),
    params=(window(14),),
    warmup=lambda window: window,
    panel=panel(1),
    compute=_vortex,
    formula="Σ|high − previous low| / ΣTR and Σ|low − previous high| / ΣTR over n bars",
    source="Botes and Siepman, 2010",
    flat_nan=True,
)


def _linear_regression(close: np.ndarray, *, window: int, deviations: float) -> Arrays:
    line, slope = talib.LINEARREG(close, window), talib.LINEARREG_SLOPE(close, window)
    residual = talib.VAR(close, window, 1.0) - slope * slope * (window * window - 1) / 12.0
    half = deviations * np.sqrt(np.maximum(residual, 0.0))
    return line, slope, line + half, line - half


register(
    "linear_regression",
    "Linear regression channel",
    Family.TREND,
    inputs=("close",),
    outputs=("line", "slope", "upper", "lower"),
    params=(window(50, 3), factor("deviations", 2.0, 0.1, 10.0, "Standard deviations")),
    warmup=lambda window, deviations: window - 1,
    panel=OVERLAY,
    compute=_linear_regression,
    off_price=("slope",),
    formula="end of the least-squares line through n closes, its slope per bar, ± 2 deviations of the residuals",
    source="Raff, 1991",
)


def _mass(high: np.ndarray, low: np.ndarray, *, smooth: int, window: int) -> np.ndarray:
    out = talib.MASSI(high, low, smooth, window)
    still = int(np.argmax(high > low)) if (high > low).any() else high.size
    out[:still] = np.nan
    return np.asarray(out)


register(
    "mass_index",
    "Mass index",
    Family.TREND,
    inputs=("high", "low"),
    outputs=("mass_index",),
    params=(window(9, name="smooth", label="EMA"), window(25)),
    warmup=lambda smooth, window: 2 * (smooth - 1) + window - 1,
    panel=panel(26.5, 27),
    compute=_mass,
    formula="Σ over 25 bars of ema(high − low, 9)/ema(ema(high − low, 9), 9)",
    source="Dorsey, 1992",
    flat_nan=True,
)


def _vhf(close: np.ndarray, *, window: int) -> np.ndarray:
    out = talib.VHF(close, window)
    if (out == 0).any():
        flat.blank(out, (out == 0) & (talib.MAX(close, window + 1) == talib.MIN(close, window + 1)))
    return np.asarray(out)


register(
    "vhf",
    "Vertical horizontal filter",
    Family.TREND,
    inputs=("close",),
    outputs=("vhf",),
    params=(window(28),),
    warmup=lambda window: window,
    panel=panel(0.4),
    compute=_vhf,
    formula="(highest close − lowest close) / Σ|change| over n bars",
    source="White, 1991",
    flat_nan=True,
)
