"""Static charts of a result for reports, drawn with matplotlib without pyplot: nothing global, nothing left open."""

from __future__ import annotations

import io
from dataclasses import dataclass
from html import escape

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, PercentFormatter

from dashtrade.backtest.calendar_returns import MONTHS, monthly_table
from dashtrade.backtest.result import BacktestResult

INK, MUTED, GRID = "#1f2933", "#7b8794", "#e4e7eb"
UP, DOWN, LINE, OTHER = "#0b7a5b", "#b3322e", "#1d4e89", "#9aa5b1"
_DIVERGING = LinearSegmentedColormap.from_list("gain", [DOWN, "#ffffff", UP])


@dataclass(frozen=True, slots=True, eq=False)
class Chart:
    """A figure that a notebook shows as SVG, with a description for readers who do not see it."""

    figure: Figure
    description: str

    def svg(self) -> str:
        out = io.StringIO()
        self.figure.savefig(out, format="svg", bbox_inches="tight", metadata={"Date": None})
        text = out.getvalue()
        return text[text.index("<svg") :]

    def _repr_html_(self) -> str:
        return f'<figure class="chart" role="img" aria-label="{escape(self.description)}">{self.svg()}</figure>'


def equity_chart(result: BacktestResult) -> Chart:
    """Equity against buy and hold, above the drawdown."""
    figure = Figure(figsize=(9.6, 4.8))
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    times = result.equity.index
    top.plot(times, result.benchmark.to_numpy(), color=OTHER, linewidth=1.1, label="Buy and hold")
    top.plot(times, result.equity.to_numpy(), color=LINE, linewidth=1.6, label="Strategy")
    top.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:,.0f}"))
    top.set_ylabel("Account value")
    top.legend(frameon=False, loc="upper left", fontsize=9)
    bottom.fill_between(times, result.drawdown.to_numpy(), 0, color=DOWN, alpha=0.35, linewidth=0)
    bottom.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    bottom.set_ylabel("Drawdown")
    _style(top, bottom)
    figure.align_ylabels()
    return Chart(figure, f"Equity of {result.strategy.name} against buy and hold, and its drawdown")


def trades_chart(result: BacktestResult, symbol: str | None = None) -> Chart:
    """Closing price with the fills of one symbol."""
    name = symbol or next(iter(result.request.bars))
    bars = result.request.bars[name]
    figure = Figure(figsize=(9.6, 3.4))
    axes = figure.subplots()
    axes.plot(bars.index, bars["close"].to_numpy(), color=INK, linewidth=0.9)
    own = result.orders[result.orders["symbol"] == name]
    for side, marker, colour in (("buy", "^", UP), ("sell", "v", DOWN)):
        fills = own[own["side"] == side]
        axes.scatter(
            fills["time"], fills["price"], marker=marker, s=26, color=colour, label=side.capitalize(), zorder=3
        )
    axes.set_ylabel(f"{name}, close")
    axes.legend(frameon=False, loc="upper left", fontsize=9)
    _style(axes)
    return Chart(figure, f"Price of {name} with {len(own)} fills")


def monthly_chart(result: BacktestResult) -> Chart:
    """Returns of calendar months as a heat map."""
    table = monthly_table(result)
    values = table.to_numpy(dtype=np.float64)
    limit = float(np.nanmax(np.abs(values))) if np.isfinite(values).any() else 1.0
    figure = Figure(figsize=(9.6, 0.6 + 0.32 * len(table)))
    axes = figure.subplots()
    axes.imshow(values, cmap=_DIVERGING, vmin=-(limit or 1.0), vmax=limit or 1.0, aspect="auto")
    for row, column in np.argwhere(np.isfinite(values)):
        axes.text(column, row, f"{values[row, column] * 100:.1f}", ha="center", va="center", fontsize=8, color=INK)
    axes.set_xticks(range(12), MONTHS, fontsize=9)
    axes.set_yticks(range(len(table)), [str(y) for y in table.index], fontsize=9)
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    return Chart(figure, "Returns of calendar months, in percent")


def distribution_chart(result: BacktestResult) -> Chart:
    """Histogram of the closed trades' returns."""
    closed = result.trades[result.trades["status"] == "closed"]["return"].to_numpy(dtype=np.float64)
    figure = Figure(figsize=(9.6, 2.6))
    axes = figure.subplots()
    if len(closed):
        edges = np.histogram_bin_edges(closed, bins=min(40, max(8, len(closed) // 2)))
        edges = np.unique(np.concatenate((edges, [0.0])))
        counts, _ = np.histogram(closed, edges)
        colours = [UP if left >= 0 else DOWN for left in edges[:-1]]
        axes.bar(edges[:-1], counts, width=np.diff(edges), align="edge", color=colours, alpha=0.75, edgecolor="white")
    axes.axvline(0, color=MUTED, linewidth=0.8)
    axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=1))
    axes.set_xlabel("Return of a trade")
    axes.set_ylabel("Trades")
    _style(axes, dates=False)
    return Chart(figure, f"Distribution of the returns of {len(closed)} closed trades")


def rolling_chart(result: BacktestResult) -> Chart:
    """Sharpe ratio and volatility over a moving half year."""
    factor = result.statistics["bars_per_year"]
    window = max(20, round(factor / 2))
    returns = result.equity.pct_change().replace([np.inf, -np.inf], np.nan)
    rolling = returns.rolling(window, min_periods=window)
    spread = rolling.std()
    sharpe = (rolling.mean() / spread.where(spread > 0)) * np.sqrt(factor)
    figure = Figure(figsize=(9.6, 3.2))
    top, bottom = figure.subplots(2, 1, sharex=True)
    top.plot(sharpe.index, sharpe.to_numpy(), color=LINE, linewidth=1.1)
    top.axhline(0, color=MUTED, linewidth=0.8)
    top.set_ylabel("Sharpe")
    bottom.plot(spread.index, (spread * np.sqrt(factor)).to_numpy(), color=INK, linewidth=1.1)
    bottom.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    bottom.set_ylabel("Volatility")
    _style(top, bottom)
    figure.align_ylabels()
    return Chart(figure, f"Sharpe ratio and volatility over {window} bars")


def _style(*panels: Axes, dates: bool = True) -> None:
    for axes in panels:
        axes.grid(True, color=GRID, linewidth=0.8)
        axes.set_axisbelow(True)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
        for side in ("left", "bottom"):
            axes.spines[side].set_color(GRID)
        axes.tick_params(colors=MUTED, labelsize=9)
        axes.yaxis.label.set_color(INK)
        axes.xaxis.label.set_color(INK)
        axes.yaxis.label.set_fontsize(9)
        axes.xaxis.label.set_fontsize(9)
        if dates:
            locator = AutoDateLocator(minticks=3, interval_multiples=True)
            axes.xaxis.set_major_locator(locator)
            axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))
