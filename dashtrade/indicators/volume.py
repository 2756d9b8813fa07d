"""Volume: whether trading confirms the move."""

from __future__ import annotations

import numpy as np
import pandas as pd
import talib

from dashtrade.errors import InvalidInput
from dashtrade.indicators.catalogue import OVERLAY, Family, Param, factor, panel, register

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
            start = pd.Timestamp(anchor)
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

    vwap, sigma = anchored_vwap((high + low + close) / 3.0, volume, _anchors(time, anchor))
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
