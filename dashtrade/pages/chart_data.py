"""What a price chart shows, as frozen values: models make them, the chart widget draws them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from dashtrade.pages.palette import SERIES_COLOURS

__all__ = ["SERIES_COLOURS", "ChartData", "Line", "Marker", "PanelSpec", "PriceLevel", "Zone", "pack_bars"]


@dataclass(frozen=True, eq=False)
class Line:
    """A line over the bars: one float64 per bar, NaN where it has no value. ``pane`` 0 is the price pane.

    ``colour`` is any CSS colour, or the name of a CSS variable such as ``--dt-accent``.
    """

    label: str
    values: NDArray[np.float64]
    colour: str
    pane: int = 0
    width: int = 1
    style: Literal["solid", "dotted", "dashed", "histogram"] = "solid"


@dataclass(frozen=True, slots=True)
class PanelSpec:
    """A panel below the price: its number (from 1), its title and its horizontal guide lines."""

    pane: int
    title: str
    guides: tuple[float, ...] = ()
    decimals: int = 2


@dataclass(frozen=True, slots=True)
class Marker:
    """A mark at a bar. ``side`` buy points up from below, sell down from above; bullish and bearish are dots there.

    ``text`` is written beside it where there is room; ``detail`` shows on hover (the text, where there is none).
    """

    time: datetime
    side: Literal["buy", "sell", "note", "bullish", "bearish"]
    text: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class PriceLevel:
    """A horizontal line in the price pane; ``detail`` shows on hover."""

    price: float
    label: str
    colour: str = "--dt-muted"
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Zone:
    """A shaded rectangle in the price pane, from one bar to another and between two prices; ``text`` shows on hover."""

    start: datetime
    end: datetime
    low: float
    high: float
    text: str = ""
    colour: str = "--dt-accent"


@dataclass(frozen=True, eq=False)
class ChartData:
    """Everything one drawing of the chart needs. ``bars`` is float64 of shape (n, 6): time in UTC seconds (midnight UTC
    of the session for daily and longer bars), open, high, low, close, volume."""

    title: str
    bars: NDArray[np.float64]
    intraday: bool
    lines: tuple[Line, ...] = ()
    panels: tuple[PanelSpec, ...] = ()
    markers: tuple[Marker, ...] = ()
    levels: tuple[PriceLevel, ...] = ()
    zones: tuple[Zone, ...] = ()
    exchange_zone: str = "America/New_York"

    def __len__(self) -> int:
        return len(self.bars)


def pack_bars(
    index: Any, ohlcv: Sequence[object], *, intraday: bool, exchange_zone: str = "America/New_York"
) -> NDArray[np.float64]:
    """Rows for ChartData from a frame's UTC index and its five columns in OHLCV order.

    Daily and longer bars are stamped with their session's date in the exchange's zone, so that a date never shifts in
    the reader's zone.
    """
    import pandas as pd

    times = pd.DatetimeIndex(index)
    times = times.tz_localize("UTC") if times.tz is None else times.tz_convert("UTC")
    if not intraday and len(times) and not (times == times.normalize()).all():
        times = times.tz_convert(exchange_zone).normalize().tz_localize(None).tz_localize("UTC")
    rows = np.empty((len(times), 6), dtype=np.float64)
    rows[:, 0] = times.as_unit("s").asi8
    for i, column in enumerate(ohlcv, start=1):
        rows[:, i] = np.asarray(column, dtype=np.float64)
    return rows
