"""The price chart: candles, volume, overlays, panels, markers and levels, drawn by Lightweight Charts on a canvas.

Numbers travel as binary float64 buffers, never as JSON.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from math import isfinite
from typing import Any

import anywidget
import numpy as np
import traitlets as t

from dashtrade.dashboards.chart_library import chart_prologue
from dashtrade.pages.chart_data import ChartData, Line
from dashtrade.pages.widgets.static_text import static_text


class PriceChart(anywidget.AnyWidget):
    """Draws a ChartData given to ``show``. ``clicked`` is the UTC second of the bar last clicked, 0 before that, and
    ``clicked_price`` the price at the pointer then; observe ``clicked_price`` for a choice of price."""

    _esm = chart_prologue() + static_text("chart.js")

    bars = t.Bytes(b"").tag(sync=True)
    lines: Any = t.List([]).tag(sync=True)
    panels: Any = t.List([]).tag(sync=True)
    markers: Any = t.List([]).tag(sync=True)
    levels: Any = t.List([]).tag(sync=True)
    zones: Any = t.List([]).tag(sync=True)
    last: Any = t.List([]).tag(sync=True)
    last_values: Any = t.List([]).tag(sync=True)
    title = t.Unicode("").tag(sync=True)
    label = t.Unicode("Price chart").tag(sync=True)
    intraday = t.Bool(False).tag(sync=True)
    volume = t.Bool(True).tag(sync=True)
    exchange_zone = t.Unicode("America/New_York").tag(sync=True)
    zone = t.Unicode("").tag(sync=True)
    zoom_key = t.Unicode("").tag(sync=True)
    height = t.Int(560).tag(sync=True)
    clicked = t.Float(0.0).tag(sync=True)
    clicked_price = t.Float(0.0).tag(sync=True)

    def show(self, data: ChartData | None) -> None:
        """Draws ``data``; None empties the chart."""
        if data is None:
            data = ChartData("", np.empty((0, 6)), intraday=False)
        self._check(data)
        with self.hold_sync():
            bars = np.ascontiguousarray(data.bars, dtype="<f8").tobytes()
            if bars != self.bars:
                self.last = []
            self.bars, self.last_values = bars, []  # the lines may be others
            self.intraday, self.title, self.exchange_zone = data.intraday, data.title, data.exchange_zone
            self.lines = [_line(line) for line in data.lines]
            self.panels = [
                {"pane": p.pane, "title": p.title, "guides": list(p.guides), "decimals": p.decimals}
                for p in data.panels
            ]
            self.markers = [
                {"time": _seconds(m.time, data), "side": m.side, "text": m.text, "detail": m.detail}
                for m in sorted(data.markers, key=lambda m: m.time)
            ]
            self.levels = [
                {"price": level.price, "label": level.label, "colour": level.colour, "detail": level.detail}
                for level in data.levels
            ]
            self.zones = [
                {
                    "start": _seconds(zone.start, data),
                    "end": _seconds(zone.end, data),
                    "low": zone.low,
                    "high": zone.high,
                    "text": zone.text,
                    "colour": zone.colour,
                }
                for zone in data.zones
            ]
            self.label = _in_words(data)
            self.height = 500 + 140 * len({p.pane for p in data.panels})

    def update_last(self, bar: Sequence[float], values: Sequence[float] = ()) -> None:
        """Changes the newest bar, or appends one: (time in UTC seconds, open, high, low, close, volume); ``values`` are
        the lines' there, in their order, NaN where one has none."""
        with self.hold_sync():
            self.last_values = [float(value) if isfinite(value) else None for value in values]
            self.last = [float(value) for value in bar]

    @staticmethod
    def _check(data: ChartData) -> None:
        for line in data.lines:
            if len(line.values) != len(data.bars):
                raise ValueError(f"line {line.label!r} has {len(line.values)} values for {len(data.bars)} bars")


def _line(line: Line) -> dict[str, Any]:
    values = np.ascontiguousarray(line.values, dtype="<f8").tobytes()
    return {
        "label": line.label,
        "values": values,
        "colour": line.colour,
        "pane": line.pane,
        "width": line.width,
        "style": line.style,
    }


def _seconds(time: datetime, data: ChartData) -> float:
    """A marker's time as the chart's bars are stamped: the UTC second, or midnight of the session's date."""
    if data.intraday:
        return time.timestamp()
    stamp = time.astimezone(UTC)
    if (stamp.hour, stamp.minute, stamp.second) != (0, 0, 0):
        from zoneinfo import ZoneInfo

        stamp = time.astimezone(ZoneInfo(data.exchange_zone))
    return datetime(stamp.year, stamp.month, stamp.day, tzinfo=UTC).timestamp()


def _in_words(data: ChartData) -> str:
    """What a screen reader says in place of the picture."""
    if not len(data):
        return "Price chart without data"
    first, last = data.bars[0], data.bars[-1]
    change = (last[4] / first[4] - 1) * 100 if first[4] else 0.0
    names = ", ".join(line.label for line in data.lines)
    span = " to ".join(f"{datetime.fromtimestamp(row[0], UTC):%d %B %Y}" for row in (first, last))
    close = f"last close {last[4]:.2f}, {change:+.1f} % over the range"
    return f"Price chart of {data.title}: {len(data)} bars, {span}; {close}. Lines: {names or 'none'}."
