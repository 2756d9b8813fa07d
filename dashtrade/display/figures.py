"""Static figures with matplotlib, without pyplot: nothing global, nothing left open. A notebook shows them as they
are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import wrap

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, PercentFormatter

from dashtrade.display.style import DOWN, GRID, INK, LINE, MUTED, OTHER, UP, look

_DIVERGING = LinearSegmentedColormap.from_list("gain", [DOWN, "#ffffff", UP])
_WIDTH = 9.6
_MOST_CANDLES = 400


def lines_figure(frame: pd.DataFrame, label: str, *, percent: bool = False, level: float | None = None) -> Figure:
    """One line a column over a time index; ``level`` draws a thin horizontal line, such as 100 or 0."""
    figure = _figure(4.2)
    axes = figure.subplots()
    for n, name in enumerate(frame.columns):
        colour, dash = look(n)
        axes.plot(frame.index, frame[name].to_numpy(), dash, color=colour, linewidth=1.4, label=str(name))
    if level is not None:
        axes.axhline(level, color=MUTED, linewidth=0.8)
    if percent:
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.set_ylabel(label)
    if len(frame.columns) > 1:
        axes.legend(frameon=False, fontsize=9, ncols=min(len(frame.columns), 6), loc="upper left")
    _style(axes)
    return figure


def equity_figure(equity: pd.Series, drawdown: pd.Series, benchmark: pd.Series | None = None) -> Figure:
    """Equity (against a benchmark) above the drawdown, given as fractions of 0 or less."""
    figure = _figure(4.8)
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    if benchmark is not None:
        top.plot(benchmark.index, benchmark.to_numpy(), color=OTHER, linewidth=1.1, label="Buy and hold")
    top.plot(equity.index, equity.to_numpy(), color=LINE, linewidth=1.6, label="Strategy")
    top.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:,.0f}"))
    top.set_ylabel("Account value")
    top.legend(frameon=False, loc="upper left", fontsize=9)
    bottom.fill_between(drawdown.index, drawdown.to_numpy(), 0, color=DOWN, alpha=0.35, linewidth=0)
    bottom.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    bottom.set_ylabel("Drawdown")
    _style(top, bottom)
    figure.align_ylabels()
    return figure


def heatmap_figure(table: pd.DataFrame, label: str, form: str = ".2f", *, centre: float | None = 0.0) -> Figure:
    """A table of numbers as coloured cells with their values; colours are centred on ``centre``, where given."""
    values = table.to_numpy(dtype=np.float64)
    known = values[np.isfinite(values)]
    colours: str | LinearSegmentedColormap
    if centre is None:
        low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 1.0)
        colours = "cividis"
    else:
        reach = float(np.abs(known - centre).max()) if len(known) else 1.0
        low, high, colours = centre - (reach or 1.0), centre + (reach or 1.0), _DIVERGING
    figure = _figure(min(1.4 + 0.34 * len(table), 9.0))
    axes = figure.subplots()
    image = axes.imshow(values, cmap=colours, vmin=low, vmax=high if high > low else low + 1.0, aspect="auto")
    if values.size <= 400:
        for row, column in np.argwhere(np.isfinite(values)):
            colour = INK if centre is not None else "white" if values[row, column] < (low + high) / 2 else INK
            at = format(values[row, column], form)
            axes.text(column, row, at, ha="center", va="center", fontsize=8, color=colour)
    every = max(1, len(table.columns) // 20)
    axes.set_xticks(range(0, len(table.columns), every), [_word(c) for c in table.columns[::every]], fontsize=9)
    every = max(1, len(table) // 20)
    axes.set_yticks(range(0, len(table), every), [_word(r) for r in table.index[::every]], fontsize=9)
    axes.set_xlabel(str(table.columns.name or ""))
    axes.set_ylabel(str(table.index.name or ""))
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    figure.colorbar(image, ax=axes, label=label, shrink=0.9)
    return figure


def bars_figure(values: pd.Series, label: str) -> Figure:
    """One horizontal bar a value, the first on top; above 0 in the up colour, below in the down colour."""
    figure = _figure(0.9 + 0.3 * len(values))
    axes = figure.subplots()
    heights = values.to_numpy(dtype=np.float64)
    axes.barh(range(len(values)), heights, color=[UP if v >= 0 else DOWN for v in heights], alpha=0.8)
    axes.set_yticks(range(len(values)), [str(name) for name in values.index], fontsize=9)
    axes.invert_yaxis()
    axes.axvline(0, color=MUTED, linewidth=0.8)
    axes.set_xlabel(label)
    _style(axes, dates=False)
    return figure


def price_figure(
    bars: pd.DataFrame,
    title: str = "",
    overlays: Mapping[str, pd.Series] | None = None,
    panels: Mapping[str, pd.DataFrame] | None = None,
    levels: Sequence[tuple[float, str]] = (),
    marks: pd.DataFrame | None = None,
) -> Figure:
    """Candles (a line beyond 400 bars) with volume, overlays on the price, panels below, price levels and marks.

    ``marks`` has columns time, price, direction (1 up, −1 down) and text.
    """
    panels = panels or {}
    figure = _figure(4.0 + 0.8 + 1.3 * len(panels))
    rows = figure.subplots(2 + len(panels), 1, sharex=True, height_ratios=(4, 1, *([1.4] * len(panels))))
    price, volume = rows[0], rows[1]
    at = np.arange(len(bars))
    opened, high, low, close = (bars[n].to_numpy(dtype=np.float64) for n in ("open", "high", "low", "close"))
    rising = close >= opened
    if len(bars) <= _MOST_CANDLES:
        for mask, colour, face in ((rising, UP, "white"), (~rising, DOWN, DOWN)):
            price.vlines(at[mask], low[mask], high[mask], color=colour, linewidth=0.8)
            height = np.maximum(np.abs(close - opened)[mask], (high - low)[mask] * 0.01)
            foot = np.minimum(opened, close)[mask]
            price.bar(at[mask], height, 0.65, foot, facecolor=face, edgecolor=colour, linewidth=0.8, zorder=2)
    else:
        price.plot(at, close, color=INK, linewidth=0.9)
    for n, (name, line) in enumerate((overlays or {}).items()):
        colour, dash = look(n)
        price.plot(at, line.to_numpy(dtype=np.float64), dash, color=colour, linewidth=1.2, label=name)
    for value, text in levels:
        price.axhline(value, color=MUTED, linewidth=0.8, linestyle=":")
        price.annotate(text, (1, value), xycoords=("axes fraction", "data"), fontsize=8, color=MUTED, va="center")
    key = _marks(price, bars.index, marks) if marks is not None and len(marks) else []
    if overlays:
        price.legend(frameon=False, fontsize=9, loc="upper left", ncols=min(len(overlays), 5))
    price.set_ylabel("Price")
    price.set_title(title, loc="left", fontsize=11, color=INK)
    volume.bar(at, bars["volume"].to_numpy(dtype=np.float64), 0.8, color=np.where(rising, UP, DOWN), alpha=0.5)
    volume.yaxis.set_major_formatter(FuncFormatter(lambda v, _: _short(v)))
    volume.set_ylabel("Volume")
    for axes, (name, frame) in zip(rows[2:], panels.items(), strict=True):
        for n, column in enumerate(frame.columns):
            colour, dash = look(n)
            values = frame[column].to_numpy(dtype=np.float64)
            if str(column) in {"histogram", "hist"}:
                axes.bar(at, np.nan_to_num(values), 0.8, color=MUTED, alpha=0.45, label=str(column))
            else:
                axes.plot(at, values, dash, color=colour, linewidth=1.1, label=str(column))
        if len(frame.columns) > 1:
            axes.legend(frameon=False, fontsize=8, loc="upper left", ncols=len(frame.columns))
        axes.set_ylabel(name)
    _style(*rows, dates=False)
    _number_axis(rows[-1], bars.index)
    rows[-1].set_xlabel("\n".join(wrap(" · ".join(key), 130)), loc="left")
    figure.align_ylabels()
    return figure


def _figure(height: float) -> Figure:
    return Figure(figsize=(_WIDTH, height), layout="constrained")


def _marks(axes: Axes, index: pd.Index, marks: pd.DataFrame) -> list[str]:
    """Arrows at the bars. Names are numbered and listed below the picture: words would cover the candles."""
    where = index.get_indexer(pd.DatetimeIndex(marks["time"]))
    names: list[str] = []
    for place, price, direction, text in zip(where, marks["price"], marks["direction"], marks["text"], strict=True):
        if place < 0:
            continue
        up, short = direction > 0, str(text)
        if len(short) > 2:
            names.append(short)
            short = str(len(names))
        colour = UP if up else DOWN
        axes.annotate(
            short, (place, price), xytext=(0, -18 if up else 14), textcoords="offset points", ha="center", fontsize=8,
            color=colour, zorder=4, arrowprops={"arrowstyle": "-|>", "color": colour, "linewidth": 0.8},
        )  # fmt: skip
    return [f"{n} {name}" for n, name in enumerate(names, start=1)]


def _number_axis(axes: Axes, index: pd.Index) -> None:
    """Bar numbers with dates: no gaps at night and at weekends."""
    times = pd.DatetimeIndex(index)
    days = (times[-1] - times[0]).days if len(times) else 0
    intraday = len(times) > 1 and (times[1] - times[0]) < pd.Timedelta(hours=20)
    form = "%d %b %H:%M" if intraday and days < 10 else "%d %b %Y" if days < 700 else "%b %Y"
    at = np.unique(np.linspace(0, len(times) - 1, 7).astype(int)) if len(times) else np.array([], dtype=int)
    axes.set_xticks(at, [f"{times[i]:{form}}" for i in at], fontsize=9)


def _short(value: float) -> str:
    for size, letter in ((1e9, "B"), (1e6, "M"), (1e3, "K")):
        if abs(value) >= size:
            return f"{value / size:g}{letter}"
    return f"{value:g}"


def _word(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _style(*panels: Axes, dates: bool = True) -> None:
    for axes in panels:
        axes.grid(True, color=GRID, linewidth=0.8)
        axes.set_axisbelow(True)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
        for side in ("left", "bottom"):
            axes.spines[side].set_color(GRID)
        axes.tick_params(colors=MUTED, labelsize=9)
        for text in (axes.yaxis.label, axes.xaxis.label):
            text.set_color(INK)
            text.set_fontsize(9)
        if dates:
            locator = AutoDateLocator(minticks=3, interval_multiples=True)
            axes.xaxis.set_major_locator(locator)
            axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))
