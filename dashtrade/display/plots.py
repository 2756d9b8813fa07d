"""Interactive plots with bqplot: zoom and pan by mouse, values on hover. Made for notebooks; pages have their own."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import bqplot as bq
import ipywidgets as w
import numpy as np
import pandas as pd
from bqscales.traits import Date

from dashtrade.display.style import DOWN, LINE, MUTED, UP, look

_MOST_POINTS = 2_000
_DASH = {"-": "solid", "--": "dashed", "-.": "dash_dotted", ":": "dotted"}
_PERCENT = ".0%"


def _moment(value: str | None, _: object) -> datetime | None:
    return None if not value else datetime.fromisoformat(value.rstrip("Z"))


class TimeScale(bq.DateScale):
    """A DateScale that understands the ends a browser sends back after panning; they close with a Z."""

    min: Any = Date(default_value=None, allow_none=True).tag(sync=True, from_json=_moment)
    max: Any = Date(default_value=None, allow_none=True).tag(sync=True, from_json=_moment)


def lines_plot(frame: pd.DataFrame, label: str, *, percent: bool = False) -> w.DOMWidget:
    """One line a column over a time index, with a legend; drag to pan, wheel to zoom."""
    scales = {"x": TimeScale(), "y": bq.LinearScale()}
    marks = []
    thin = frame.iloc[_thinned(len(frame))]
    for n, name in enumerate(thin.columns):
        colour, dash = look(n)
        marks.append(_line(thin[name], scales, colour, str(name), _DASH[dash]))
    return _figure(marks, scales, label, ".0%" if percent else "~g")


def equity_plot(equity: pd.Series, drawdown: pd.Series, benchmark: pd.Series | None = None) -> w.DOMWidget:
    """Equity (against a benchmark) above the drawdown; both share the time axis."""
    at = _thinned(len(equity))
    x = TimeScale()
    top, low = {"x": x, "y": bq.LinearScale()}, {"x": x, "y": bq.LinearScale(max=0.0)}
    lines = [] if benchmark is None else [_line(benchmark.iloc[at], top, MUTED, "Buy and hold", "dashed")]
    lines.append(_line(equity.iloc[at], top, LINE, "Strategy", "solid"))
    fall = _line(drawdown.iloc[at], low, DOWN, "Drawdown", "solid")
    fall.fill, fall.fill_colors, fall.fill_opacities = "top", [DOWN], [0.25]
    upper = _figure(lines, top, "Account value", "~s", height="300px")
    lower = _figure([fall], low, "Drawdown", _PERCENT, height="150px", legend=False)
    return w.VBox([upper, lower])


def heatmap_plot(table: pd.DataFrame, label: str) -> w.DOMWidget:
    """A table of numbers as coloured cells, the value on hover."""
    values = table.to_numpy(dtype=np.float64)
    scales = {
        "row": bq.OrdinalScale(reverse=False),
        "column": bq.OrdinalScale(),
        "color": bq.ColorScale(scheme="RdYlBu"),
    }
    tip = bq.Tooltip(fields=["row", "column", "color"], labels=[str(table.index.name or "row"),
                     str(table.columns.name or "column"), label], formats=["", "", ".4g"])  # fmt: skip
    grid = bq.GridHeatMap(
        color=values, row=[str(r) for r in table.index], column=[str(c) for c in table.columns], scales=scales,
        tooltip=tip, null_color="#dddddd",
    )  # fmt: skip
    axes = [
        bq.Axis(scale=scales["row"], orientation="vertical", label=str(table.index.name or "")),
        bq.Axis(scale=scales["column"], label=str(table.columns.name or "")),
        bq.ColorAxis(scale=scales["color"], label=label, orientation="vertical", side="right"),
    ]
    margin = {"top": 12, "bottom": 46, "left": 64, "right": 80}
    figure = bq.Figure(marks=[grid], axes=axes, padding_y=0.0, fig_margin=margin)
    figure.layout.width, figure.layout.height = "100%", "420px"
    return figure


def bars_plot(values: pd.Series, label: str) -> w.DOMWidget:
    """One horizontal bar a value."""
    heights = values.to_numpy(dtype=np.float64)
    scales = {"x": bq.OrdinalScale(reverse=True), "y": bq.LinearScale()}
    mark = bq.Bars(
        x=[str(n) for n in values.index], y=heights, scales=scales, orientation="horizontal",
        colors=[UP if v >= 0 else DOWN for v in heights], tooltip=bq.Tooltip(fields=["x", "y"], formats=["", ".3g"]),
    )  # fmt: skip
    axes = [bq.Axis(scale=scales["x"], orientation="vertical"), bq.Axis(scale=scales["y"], label=label)]
    margin = {"top": 12, "bottom": 46, "left": 180, "right": 16}
    figure = bq.Figure(marks=[mark], axes=axes, fig_margin=margin)
    figure.layout.width, figure.layout.height = "100%", f"{80 + 26 * len(values)}px"
    return figure


def _thinned(count: int) -> np.ndarray:
    return np.unique(np.linspace(0, count - 1, min(count, _MOST_POINTS)).astype(int)) if count else np.array([], int)


def _line(series: pd.Series, scales: dict[str, bq.Scale], colour: str, name: str, style: str) -> bq.Lines:
    times = pd.DatetimeIndex(series.index).tz_localize(None).to_numpy().astype("datetime64[ms]")
    values = np.array(series.to_numpy(dtype=np.float64))
    return bq.Lines(
        x=times, y=values, scales=scales, colors=[colour], labels=[name], display_legend=True, line_style=style,
        stroke_width=1.6,
    )  # fmt: skip


def _figure(
    marks: list[bq.Mark], scales: dict[str, bq.Scale], label: str, form: str, *, height: str = "380px",
    legend: bool = True,
) -> bq.Figure:  # fmt: skip
    for mark in marks:
        mark.display_legend = legend
    axes = [
        bq.Axis(scale=scales["x"], grid_lines="none"),
        bq.Axis(scale=scales["y"], orientation="vertical", label=label, label_offset="52px", tick_format=form),
    ]
    figure = bq.Figure(
        marks=marks, axes=axes, legend_location="top-left", animation_duration=0,
        interaction=bq.PanZoom(scales={"x": [scales["x"]], "y": []}),
        fig_margin={"top": 12, "bottom": 32, "left": 70, "right": 16},
    )  # fmt: skip
    figure.layout.width, figure.layout.height = "100%", height
    return figure
