"""The small chart that goes with an alert's message: the last bars as candles, the trigger marked.

Drawn where messages are sent, never where rules are evaluated, without pyplot, so that nothing global stays open.
"""

from __future__ import annotations

import io
import threading
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

import structlog

from dashtrade.domain.market import HistoryRequest, Interval, Period, parse_interval
from dashtrade.errors import DashTradeError

if TYPE_CHECKING:
    import pandas as pd

log = structlog.get_logger(__name__)

BEFORE, AFTER = 55, 8  # bars shown on either side of the trigger
UP, DOWN, MARK, INK, MUTED, GRID = "#0b7a5b", "#b3322e", "#1d4e89", "#1f2933", "#7b8794", "#e4e7eb"
PERIODS = {
    Interval.M1: Period.D5,
    Interval.M5: Period.MO1,
    Interval.M15: Period.MO1,
    Interval.M30: Period.MO1,
    Interval.H1: Period.MO3,
    Interval.H4: Period.MO6,
    Interval.D1: Period.Y2,
    Interval.W1: Period.Y10,
}  # how far back rules of each bar length look, so that a picture asks for what the cache holds already
_DRAWING = threading.Lock()  # matplotlib's font cache is not made for threads


class Bars(Protocol):
    """Where bars come from; see dashtrade.services.market.MarketData."""

    def history(self, request: HistoryRequest, source: str | None = None) -> pd.DataFrame: ...


def event_picture(
    market: Bars, symbol: str, interval: str, bar_time: datetime, title: str, source: str | None = None
) -> bytes | None:
    """A PNG, or None where the bars cannot be had: a message goes without a picture rather than not at all."""
    try:
        length = parse_interval(interval)
        bars = market.history(HistoryRequest(symbol, length, PERIODS[length]), source)
    except (DashTradeError, KeyError) as error:
        log.warning("A message goes without its picture", symbol=symbol, reason=str(error))
        return None
    return draw(bars, bar_time, title) if len(bars) else None


def draw(bars: pd.DataFrame, bar_time: datetime, title: str) -> bytes:
    """PNG, 800 × 450 pixels: candles around ``bar_time`` (UTC, the start of the bar), which is marked at its close.

    A ``bar_time`` between two bars marks the one before. Bars without a price are left out. Made-up prices say so.
    """
    import numpy as np
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    at = max(0, int(bars.index.searchsorted(bar_time, side="right")) - 1)
    first = max(0, at - BEFORE)
    shown = bars.iloc[first : at + 1 + AFTER]
    open_, high, low, close = (shown[name].to_numpy(dtype=np.float64) for name in ("open", "high", "low", "close"))
    x = np.arange(len(shown))
    marked = at - first
    colours = np.where(close >= open_, UP, DOWN)
    times = shown.index
    day = len(times) > 1 and (times[1:] - times[:-1]).min().total_seconds() >= 86_400

    def when(value: float, _: object = None) -> str:
        number = round(value)
        if not 0 <= number < len(times):
            return ""
        return f"{times[number]:%d %b %Y}" if day else f"{times[number]:%d %b %H:%M}"

    with _DRAWING:
        figure = Figure(figsize=(8, 4.5), dpi=100, layout="constrained")
        axes = figure.subplots()
        axes.vlines(x, low, high, color=colours, linewidth=0.9)
        body = np.maximum(np.abs(close - open_), (np.nanmax(high) - np.nanmin(low)) * 0.002)
        axes.bar(x, body, 0.64, np.minimum(open_, close), color=colours, linewidth=0)
        axes.axvspan(marked - 0.5, marked + 0.5, color=MARK, alpha=0.12, linewidth=0)
        axes.axhline(close[marked], color=MARK, linewidth=0.8, linestyle=(0, (4, 3)))
        axes.plot([marked], [low[marked]], marker="^", markersize=9, color=MARK, clip_on=False, zorder=4)
        axes.annotate(
            f"{close[marked]:,.4g}" if abs(close[marked]) < 1 else f"{close[marked]:,.2f}",
            (1, close[marked]), xycoords=("axes fraction", "data"), xytext=(4, 0), textcoords="offset points",
            va="center", fontsize=9, color="white", bbox={"boxstyle": "round,pad=0.25", "color": MARK},
        )  # fmt: skip
        axes.set_xlim(-1, len(shown))
        axes.margins(y=0.08)
        axes.grid(True, axis="y", color=GRID, linewidth=0.8)
        axes.set_axisbelow(True)
        for side in ("top", "right", "left"):
            axes.spines[side].set_visible(False)
        axes.spines["bottom"].set_color(GRID)
        axes.tick_params(colors=MUTED, labelsize=9, length=0)
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        axes.xaxis.set_major_formatter(FuncFormatter(when))
        # a rule's name is text: two dollar signs in it begin no formula
        axes.set_title(title[:90], loc="left", fontsize=12, color=INK, fontweight="bold", parse_math=False)
        note = f"{bars.attrs.get('interval', '')} bars, UTC".strip()
        if bars.attrs.get("simulated"):
            note += " · SIMULATED prices"
        axes.set_xlabel(f"{note} · marked: {when(marked)}", loc="left", fontsize=9, color=MUTED)
        out = io.BytesIO()
        figure.savefig(out, format="png", metadata={"Software": None})
    return out.getvalue()
