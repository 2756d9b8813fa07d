"""Line plots over bars, drawn by bqplot: equity against a benchmark, and drawdown below it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise

import bqplot as bq
import ipywidgets as w
import numpy as np
from numpy.typing import NDArray

MOST_POINTS = 800
_MOST_TICKS = 5
_ACCENT, _MUTED, _DOWN = "var(--dt-accent, #2457d6)", "var(--dt-muted, #5d6370)", "var(--dt-down, #c03a30)"


def thin(values: NDArray[np.float64], most: int = MOST_POINTS) -> NDArray[np.int64]:
    """Indices of at most about ``most`` points that keep each stretch's lowest and highest value, first and last."""
    n = len(values)
    if n <= most:
        return np.arange(n)
    edges = np.linspace(0, n, most // 2 + 1).astype(int)
    keep = {0, n - 1}
    filled = np.where(np.isfinite(values), values, 0.0)
    for low, high in pairwise(edges):
        part = filled[low:high]
        keep |= {low + int(part.argmin()), low + int(part.argmax())}
    return np.array(sorted(keep))


class EquityPlot:
    """Equity and benchmark on top, drawdown below, over one shared axis of bar numbers labelled with dates."""

    def __init__(self) -> None:
        self.x = bq.LinearScale()
        self.y, self.low = bq.LinearScale(), bq.LinearScale(max=0.0)
        self.axes = [_time_axis(self.x), _time_axis(self.x)]
        empty = np.array([0.0])
        on_top = {"x": self.x, "y": self.y}
        below = {"x": self.x, "y": self.low}
        self.equity = bq.Lines(x=empty, y=empty, scales=on_top, colors=[_ACCENT], stroke_width=2)
        self.benchmark = bq.Lines(x=empty, y=empty, scales=on_top, colors=[_MUTED], stroke_width=1)
        self.drawdown = bq.Lines(
            x=empty, y=empty, scales=below, colors=[_DOWN], stroke_width=1,
            fill="top", fill_colors=[_DOWN], fill_opacities=[0.25],
        )  # fmt: skip
        money = bq.Axis(scale=self.y, orientation="vertical", side="right", tick_format="~s")
        self.share = share = bq.Axis(scale=self.low, orientation="vertical", side="right", tick_format=".0%")
        self.top = _figure([self.benchmark, self.equity], [self.axes[0], money], "300px")
        self.bottom = _figure([self.drawdown], [self.axes[1], share], "150px")
        self.bottom.padding_y = 0.0  # the filling begins at the upper edge, which is 0
        key = w.HTML(
            '<div class="dt-key"><span><i style="border-color:var(--accent);border-width:3px"></i>Strategy</span>'
            '<span><i style="border-width:1px"></i>Buy and hold (thin)</span></div>'
        )
        self.widget = w.VBox([key, self.top, self.bottom])
        self.widget.layout.width = "100%"

    def show(
        self,
        times: Sequence[datetime],
        equity: NDArray[np.float64],
        benchmark: NDArray[np.float64],
        drawdown: NDArray[np.float64],
        *,
        intraday: bool,
    ) -> None:
        """One value a bar each; ``drawdown`` as fractions of 0 or less."""
        marks, labels = _ticks(times, intraday)
        for axis in self.axes:
            with axis.hold_sync():
                axis.tick_values, axis.tick_labels = marks, labels
        self.share.tick_values = _steps(float(np.nanmin(drawdown, initial=-0.01)))
        for line, values in ((self.equity, equity), (self.benchmark, benchmark), (self.drawdown, drawdown)):
            at = thin(values)
            with line.hold_sync():
                line.x, line.y = at.astype(np.float64), values[at].copy()


def _time_axis(scale: bq.Scale) -> bq.Axis:
    return bq.Axis(scale=scale, grid_lines="none", tick_style={"font-size": "11px"})


def _figure(marks: list[bq.Mark], axes: list[bq.Axis], height: str) -> bq.Figure:
    for axis in axes:
        axis.color = axis.grid_color = "var(--dt-border, #d6dae3)"
        axis.label_color = _MUTED
    figure = bq.Figure(
        marks=marks,
        axes=axes,
        animation_duration=0,
        padding_x=0.0,
        padding_y=0.03,
        fig_margin={"top": 8, "bottom": 26, "left": 30, "right": 56},
    )
    figure.layout.width, figure.layout.height, figure.layout.min_width = "100%", height, "0"
    return figure


def _steps(lowest: float) -> NDArray[np.float64]:
    """Three to five round fractions from ``lowest`` (below 0) up to 0."""
    step = next((s for s in (0.005, 0.01, 0.02, 0.05, 0.1, 0.2) if -lowest / s <= 4), 0.25)
    return -step * np.arange(int(-lowest / step), -1, -1.0)


def _ticks(times: Sequence[datetime], intraday: bool) -> tuple[NDArray[np.float64], dict[str, str]]:
    """Two to five bar numbers where a year, month, day or hour begins, with its name; the first and the last bar where
    there is no such beginning."""
    if not times:
        return np.array([]), {}
    clocks = [(t.year, t.year * 12 + t.month - 1, t.toordinal(), t.toordinal() * 24 + t.hour) for t in times]
    years, months, days, hours = np.array(clocks).T
    turns = [(hours, n, "%H:%M") for n in (1, 2, 4) if intraday] + [(days, n, "%d %b") for n in (1, 2, 7, 14)]
    turns += [(months, n, "%b %Y") for n in (1, 2, 3, 6)] + [(years, n, "%Y") for n in (1, 2, 5, 10, 20)]
    for kind, step, form in turns:
        turned = np.flatnonzero(np.diff(kind // step)) + 1
        # a label needs room on both sides
        at = [int(n) for n in turned if len(times) * 0.03 < n < len(times) * 0.97]
        if 2 <= len(at) <= _MOST_TICKS:
            labels = {str(n): f"{times[n]:{form}}" for n in at}
            if "Y" not in form:  # the first one says which year, or which day
                labels[str(at[0])] = f"{times[at[0]]:{'%d %b %H:%M' if form == '%H:%M' else '%d %b %Y'}}"
            return np.array(at, dtype=np.float64), labels
    ends = sorted({0, len(times) - 1})
    return np.array(ends, dtype=np.float64), {str(n): f"{times[n]:%d %b %Y}" for n in ends}
