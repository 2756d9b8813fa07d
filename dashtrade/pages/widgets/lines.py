"""Lines of several symbols over one axis of dates, and a scatter of named points, drawn by bqplot."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from itertools import cycle

import bqplot as bq
import ipywidgets as w
import numpy as np
import pandas as pd

from dashtrade.pages.chart_data import SERIES_COLOURS
from dashtrade.pages.widgets.plots import _MUTED, _figure, _ticks, _time_axis, thin

_STYLES = ("solid", "dashed", "dotted", "dash_dotted")
_CSS = {"solid": "solid", "dashed": "dashed", "dotted": "dotted", "dash_dotted": "dashed"}


def look_of(number: int) -> tuple[str, str]:
    """Colour and line style of the n-th symbol: each pair once before any comes again."""
    count = len(SERIES_COLOURS)
    return SERIES_COLOURS[number % count], _STYLES[number // count % len(_STYLES)]


def round_steps(low: float, high: float, most: int = 6) -> np.ndarray:
    """Multiples of 1, 2 or 5 × 10ⁿ from ``low`` to ``high``, at most ``most`` of them."""
    span = high - low
    power = 10.0 ** np.floor(np.log10(span / most))
    step = next(s for s in (power, 2 * power, 5 * power, 10 * power, 20 * power) if span / s <= most - 1)
    return np.arange(np.ceil(low / step), np.floor(high / step) + 1) * step


class LinesPlot:
    """One line a column, with a key that tells each line's last value."""

    def __init__(self, height: str = "380px") -> None:
        self.x, self.y = bq.LinearScale(), bq.LinearScale()
        self.axis = _time_axis(self.x)
        self.values = bq.Axis(scale=self.y, orientation="vertical", side="right", tick_format="~g")
        self.figure = _figure([], [self.axis, self.values], height)
        self.key = w.HTML()
        self.widget = w.VBox([self.key, self.figure])
        self.widget.layout.width = "100%"

    def show(self, frame: pd.DataFrame, looks: Sequence[str], *, form: str = ",.1f", percent: bool = False) -> None:
        """``frame`` is indexed by time; ``looks`` names every symbol in the page's order, so that a symbol keeps its
        colour when the benchmark has no line. Values are shown with ``form``."""
        times = [stamp.to_pydatetime() for stamp in frame.index]
        # midnight dates are days; any other time of day is intraday
        intraday = any((stamp.hour, stamp.minute) != (0, 0) for stamp in times[:2])
        marks, labels = _ticks(times, intraday)
        with self.axis.hold_sync():
            self.axis.tick_values, self.axis.tick_labels = marks, labels
        self.values.tick_format = ".0%" if percent else "~g"
        lines, key = [], []
        for symbol in frame.columns:
            colour, style = look_of(list(looks).index(str(symbol)))
            values = frame[symbol].to_numpy(dtype=np.float64)
            known = np.flatnonzero(np.isfinite(values))
            at = known[thin(values[known])] if len(known) else known
            lines.append(
                bq.Lines(
                    x=at.astype(np.float64), y=values[at].copy(), scales={"x": self.x, "y": self.y}, colors=[colour],
                    line_style=style, stroke_width=1.7, labels=[str(symbol)],
                )
            )  # fmt: skip
            last = format(values[known[-1]], form) if len(known) else "–"
            key.append(
                f'<span><i style="border-color:{colour};border-top-style:{_CSS[style]};border-top-width:3px"></i>'
                f"{escape(str(symbol))} <b>{last}</b></span>"
            )
        # a scale keeps room for lines that are gone, unless it is told its ends
        found = frame.to_numpy(dtype=np.float64)
        found = found[np.isfinite(found)]
        if len(found):
            room = float(np.ptp(found)) * 0.04 or 1.0
            self.y.min, self.y.max = float(found.min()) - room, float(found.max()) + (0.0 if percent else room)
        self.x.min, self.x.max = 0.0, float(max(len(frame) - 1, 1))
        self.figure.marks = lines
        self.key.value = f'<div class="dt-key" style="flex-wrap:wrap;gap:4px 16px">{"".join(key)}</div>'


class ScatterPlot:
    """Named points; both axes are fractions shown in percent."""

    def __init__(self, x_label: str, y_label: str, height: str = "420px") -> None:
        self.x, self.y = bq.LinearScale(), bq.LinearScale()
        self.points = bq.Scatter(
            x=[0.0], y=[0.0], scales={"x": self.x, "y": self.y}, default_size=90, names=[""], display_names=True
        )
        across = bq.Axis(scale=self.x, label=x_label, tick_format=".0%")
        up = bq.Axis(scale=self.y, label=y_label, orientation="vertical", tick_format=".0%", label_offset="44px")
        self.figure = _figure([self.points], [across, up], height)
        self.axes = (across, up)
        for axis in self.axes:
            axis.label_color = _MUTED
        self.figure.fig_margin = {"top": 20, "bottom": 46, "left": 64, "right": 24}
        self.widget = self.figure

    def show(self, names: Sequence[str], x: Sequence[float], y: Sequence[float]) -> None:
        """Points that have no value are left out; the range leaves room for their names."""
        found = [(n, a, b) for n, a, b in zip(names, x, y, strict=True) if np.isfinite(a) and np.isfinite(b)]
        labels, across, up = zip(*found, strict=True) if found else ((), (), ())
        for axis, scale, values in zip(self.axes, (self.x, self.y), (across, up), strict=True):
            low, high = min((0.0, *values)), max((0.0, *values))
            room = (high - low or 1.0) * 0.12
            scale.min, scale.max = (low - room if low < 0 else 0.0), high + room
            axis.tick_values = round_steps(scale.min, scale.max)
        colours = [colour for colour, _ in zip(cycle(SERIES_COLOURS), labels, strict=False)]
        with self.points.hold_sync():
            self.points.x, self.points.y = np.array(across, dtype=float), np.array(up, dtype=float)
            self.points.names, self.points.colors = list(labels), colours or [SERIES_COLOURS[0]]
