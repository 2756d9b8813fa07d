"""Volume: whether trading confirms the move."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import pandas as pd
import talib

from dashtrade.errors import InvalidInput
from dashtrade.indicators import flat
from dashtrade.indicators.catalogue import OVERLAY, Family, Param, factor, fast_below_slow, panel, register, window

_HLCV = ("high", "low", "close", "volume")
_EXCHANGE = "America/New_York"
Arrays = tuple[np.ndarray, ...]

register(
    "obv",
    "On-balance volume",
    Family.VOLUME,
    inputs=("close", "volume"),
    outputs=("obv",),
    warmup=lambda: 0,
    panel=panel(),
    compute=lambda close, volume: talib.OBV(close, volume) - volume[0],
    formula="running sum of volume, with the sign of the day's change; begins at 0",
    source="Granville, 1963",
)


def _anchors(time: np.ndarray, anchor: str) -> np.ndarray:
    """Indices of the bars at which a new sum begins; the first may be past 0 for a date."""
    index = pd.DatetimeIndex(time.view("datetime64[ns]"), tz="UTC")
    if anchor not in ("auto", "session", "week", "month", "quarter", "year", "all"):
        try:
            start = pd.Timestamp(datetime.fromisoformat(anchor))
        except ValueError:
            raise InvalidInput(
                "vwap.anchor", f"{anchor!r} is not a date such as 2024-01-31, and no named anchor."
            ) from None
        start = start.tz_localize(_EXCHANGE) if start.tz is None else start
        return np.array([int(index.searchsorted(start))])
    if anchor == "all" or time.size < 2:
        return np.zeros(1, dtype=np.int64)
    # bars dated at midnight UTC carry the day itself; the first two decide, so that later bars change nothing
    daily = not (time[:2] % 86_400_000_000_000).any()
    local = (index if daily else index.tz_convert(_EXCHANGE)).tz_localize(None).to_numpy(dtype="datetime64[D]")
    if anchor == "auto":
        anchor = "session" if local[0] == local[1] else "month"
    if anchor == "week":
        group = (local.astype(np.int64) + 3) // 7  # 1970-01-01 was a Thursday; weeks begin on Monday
    elif anchor == "session":
        group = local.astype(np.int64)
    else:
        months = local.astype("datetime64[M]").astype(np.int64)
        group = months // {"month": 1, "quarter": 3, "year": 12}[anchor]
    return np.flatnonzero(np.r_[True, group[1:] != group[:-1]])


def _vwap(
    time: np.ndarray,
    high: np.ndarray,
    low: np.ndarray,
    close: np.ndarray,
    volume: np.ndarray,
    *,
    anchor: str,
    deviations: float,
) -> Arrays:
    from dashtrade.indicators.kernels import anchored_vwap

    # a sum is always a writable array: for read-only ones another form would be compiled
    vwap, sigma = anchored_vwap((high + low + close) / 3.0, volume + 0.0, _anchors(time, anchor))
    return vwap, vwap + deviations * sigma, vwap - deviations * sigma


register(
    "vwap",
    "Volume-weighted average price",
    Family.VOLUME,
    inputs=("time", *_HLCV),
    outputs=("vwap", "upper", "lower"),
    params=(
        Param(
            "anchor",
            "auto",
            label="Begins anew each",
            choices=("auto", "session", "week", "month", "quarter", "year", "all"),
            free_text=True,
        ),
        factor("deviations", 1.0, 0.1, 10.0, "Standard deviations"),
    ),
    warmup=lambda anchor, deviations: 0,
    panel=OVERLAY,
    library="own",
    compute=_vwap,
    formula="Σv·tp/Σv since the anchor, tp = (high + low + close)/3; bands ± √(Σv·tp²/Σv − vwap²); "
    "auto: exchange session for intraday bars, else month; NaN before a date anchor and without volume",
    source="Berkowitz, Logue and Noser, 1988",
)

register(
    "ad",
    "Accumulation/distribution line",
    Family.VOLUME,
    inputs=_HLCV,
    outputs=("ad",),
    warmup=lambda: 0,
    panel=panel(),
    compute=lambda high, low, close, volume: talib.AD(high, low, close, volume),
    formula="running sum of volume·((close − low) − (high − close))/(high − low); a bar without a range adds 0",
    source="Chaikin, in Achelis, 2000",
)

register(
    "adosc",
    "Chaikin oscillator",
    Family.VOLUME,
    inputs=_HLCV,
    outputs=("adosc",),
    params=(window(3, name="fast", label="Fast EMA"), window(10, name="slow", label="Slow EMA")),
    warmup=lambda fast, slow: slow - 1,
    panel=panel(0),
    compute=lambda high, low, close, volume, *, fast, slow: talib.ADOSC(high, low, close, volume, fast, slow),
    formula="ema(3) − ema(10) of the accumulation/distribution line",
    source="Chaikin, in Achelis, 2000",
    rule=fast_below_slow,
)


def _cmf(high: np.ndarray, low: np.ndarray, close: np.ndarray, volume: np.ndarray, *, window: int) -> np.ndarray:
    out: np.ndarray = talib.CMF(high, low, close, volume, window)
    if (out == 0).any():
        flat.blank(out, flat.nothing((high - low) * volume, window))
    return out


register(
    "cmf",
    "Chaikin money flow",
    Family.VOLUME,
    inputs=_HLCV,
    outputs=("cmf",),
    params=(window(20),),
    warmup=lambda window: window - 1,
    panel=panel(-0.1, 0, 0.1),
    compute=_cmf,
    formula="Σ volume·((close − low) − (high − close))/(high − low) / Σ volume of n bars; NaN without range or volume",
    source="Chaikin, in Achelis, 2000",
    flat_nan=True,
)

_AWAY_FROM_ONE = 2.0**60
"""TA-Lib calls a small money flow zero (older ones, anything below 1), which fractions of coins are; scaling by a power
of two changes no digit."""


def _mfi(high: np.ndarray, low: np.ndarray, close: np.ndarray, volume: np.ndarray, *, window: int) -> np.ndarray:
    if not low.min() * volume.min() >= 1.0:
        volume = volume * _AWAY_FROM_ONE
    out: np.ndarray = talib.MFI(high, low, close, volume, window)
    zero = np.flatnonzero(out == 0)
    if zero.size:  # either nothing but falls, which is a true 0, or no flow at all
        within = zero[:, None] + np.arange(-window, 1)
        typical = high[within] + low[within] + close[within]
        flow = (typical[:, 1:] != typical[:, :-1]) & (volume[within[:, 1:]] > 0)
        out[zero[~flow.any(axis=1)]] = np.nan
    return out


register(
    "mfi",
    "Money flow index",
    Family.VOLUME,
    inputs=_HLCV,
    outputs=("mfi",),
    params=(window(14),),
    warmup=lambda window: window,
    panel=panel(20, 80),
    compute=_mfi,
    formula="100 − 100/(1 + positive/negative flow of n bars), flow = typical price·volume; NaN without flow",
    source="Quong and Soudack, 1989",
    flat_nan=True,
)

register(
    "force",
    "Force index",
    Family.VOLUME,
    inputs=("close", "volume"),
    outputs=("force",),
    params=(window(13),),
    warmup=lambda window: window,
    panel=panel(0),
    compute=lambda close, volume, *, window: talib.EFI(close, volume, window),
    formula="ema(change·volume, 13)",
    source="Elder, 1993",
)


def _eom(high: np.ndarray, low: np.ndarray, volume: np.ndarray, *, window: int, divisor: float) -> Arrays:
    one = np.full(high.size, np.nan)
    moved = np.diff((high + low) / 2.0) * (high - low)[1:] * divisor
    one[1:] = np.divide(moved, volume[1:], out=np.zeros(moved.size), where=volume[1:] > 0)
    return talib.SMA(one, window), one


register(
    "eom",
    "Ease of movement",
    Family.VOLUME,
    inputs=("high", "low", "volume"),
    outputs=("eom", "one_bar"),
    params=(window(14), factor("divisor", 1e8, 1.0, 1e12, "Volume divisor")),
    warmup=lambda window, divisor: (window, 1),
    panel=panel(0),
    library="TA-Lib and NumPy",
    compute=_eom,
    formula="sma of (change of hl2)·(high − low)·10⁸/volume; a bar without volume counts as 0",
    source="Arms, 1989",
)

for _key, _label, _function, _when in (
    ("nvi", "Negative volume index", talib.NVI, "falls"),
    ("pvi", "Positive volume index", talib.PVI, "rises"),
):
    register(
        _key,
        _label,
        Family.VOLUME,
        inputs=("close", "volume"),
        outputs=(_key,),
        warmup=lambda: 0,
        panel=panel(),
        compute=lambda close, volume, _f=_function: _f(close, volume),
        formula=f"begins at 1000; multiplied by close/previous close on bars whose volume {_when}",
        source="Fosback, 1976",
    )

register(
    "vpt",
    "Volume-price trend",
    Family.VOLUME,
    inputs=("close", "volume"),
    outputs=("vpt",),
    warmup=lambda: 0,
    panel=panel(),
    compute=lambda close, volume: talib.PVT(close, volume),
    formula="running sum of volume·(close/previous close − 1); begins at 0",
    source="Achelis, 2000",
)


def _pvo(volume: np.ndarray, *, fast: int, slow: int, signal: int) -> Arrays:
    line = talib.PVO(volume, fast, slow, 1)
    if not volume[0] > 0:  # averages without any volume yet
        traded = volume > 0
        line[: int(traded.argmax()) if traded.any() else volume.size] = np.nan
    smooth = talib.EMA(line, signal)
    return line, smooth, line - smooth


register(
    "pvo",
    "Percentage volume oscillator",
    Family.VOLUME,
    inputs=("volume",),
    outputs=("pvo", "signal", "histogram"),
    params=(
        window(12, name="fast", label="Fast EMA"),
        window(26, name="slow", label="Slow EMA"),
        window(9, name="signal", label="Signal EMA"),
    ),
    warmup=lambda fast, slow, signal: (slow - 1, slow + signal - 2, slow + signal - 2),
    panel=panel(0),
    compute=_pvo,
    formula="100·(ema(volume, 12) − ema(volume, 26))/ema(volume, 26), signal = ema(9) of it",
    source="Appel, 2005",
    rule=fast_below_slow,
)


def _relative(volume: np.ndarray, *, window: int) -> np.ndarray:
    out: np.ndarray = talib.RVOL(volume, window)
    if (volume == 0).any():
        before = flat.nothing(volume, window)
        out[1:][before[:-1]] = np.nan
    return out


register(
    "relative_volume",
    "Relative volume",
    Family.VOLUME,
    inputs=("volume",),
    outputs=("relative_volume",),
    params=(window(20),),
    warmup=lambda window: window,
    panel=panel(1, 2),
    compute=_relative,
    formula="volume / mean volume of the n bars before; NaN if those had none",
    source="Bulkowski, 2021",
)
