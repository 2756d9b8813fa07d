"""A result as widgets: figures, equity, months, trades on the chart, statistics, evidence, symbols."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from html import escape
from typing import Any

import ipywidgets as w

from dashtrade.pages.backtest.form_view import source_name
from dashtrade.pages.backtest.honesty import Honesty, HonestyModel
from dashtrade.pages.backtest.report import HEADLINES, Report, Statistic, chart_of
from dashtrade.pages.formats import formats
from dashtrade.pages.widgets.bits import Card, badge_html, cards_html, field, heading, html, panel, row, show_if, stack
from dashtrade.pages.widgets.chart import PriceChart
from dashtrade.pages.widgets.grid_heatmap import grid_heatmap_html
from dashtrade.pages.widgets.part import PartView
from dashtrade.pages.widgets.plots import EquityPlot
from dashtrade.pages.widgets.table import Column, DataTable

TRADES = (
    Column("number", "#", "number", 0),
    Column("symbol", "Symbol"),
    Column("direction", "Direction"),
    Column("entry_time", "Entry", "time"),
    Column("entry_price", "Price", "money", help="Filled price, slippage included"),
    Column("exit_time", "Exit", "time"),
    Column("exit_price", "Price", "money"),
    Column("qty", "Quantity", "number", 4, 0),
    Column("pnl", "P&L $", "signed", help="After costs"),
    Column("return", "Return %", "signed"),
    Column("bars", "Bars", "number", 0),
    Column("reason", "Left by"),
    Column("status", "Status", "badge"),
)
SYMBOLS = (
    Column("symbol", "Symbol"),
    Column("pnl", "P&L $", "signed", help="After costs; open positions at their last close"),
    Column("points", "Of the capital %", "signed", help="P&L as a share of the capital at the start"),
    Column("trades", "Closed trades", "number", 0),
    Column("win_rate", "Win rate %", "number", 1),
    Column("hold", "Buy and hold %", "signed", help="From the first open to the last close"),
)
_SIGNED = {"total_return", "buy_and_hold_return", "cagr"}


class ResultView:
    """One widget a tab in ``tabs``; each is drawn when it is first looked at after a new report."""

    def __init__(self) -> None:
        self.head, self.cards, self.warnings = html(""), html(""), html("")
        self.plot: EquityPlot | None = None
        self.plot_box = stack()
        self.months = html("")
        self.chart = PriceChart()
        self.symbol = w.Dropdown()
        self.symbol_row = row(field("Symbol", self.symbol, "Whose fills the chart shows"))
        self.symbol.observe(lambda _change: self._draw_chart(), "value")
        self.trades = DataTable(TRADES, caption="Trades", filename="trades", empty="No trade was made.")
        self.statistics, self.provenance = html(""), html("")
        self.symbols = DataTable(SYMBOLS, caption="What each symbol added", filename="symbols", page_size=25)
        self.tabs: dict[str, w.Widget] = {
            "overview": stack(panel(self.cards, self.warnings), panel(heading("Equity and drawdown"), self.plot_box)),
            "months": panel(heading("Returns of months"), self.months),
            "trades": stack(self.symbol_row, panel(self.chart, flush=True), panel(self.trades)),
            "statistics": panel(heading("Statistics"), self.statistics, self.provenance),
            "symbols": panel(self.symbols),
        }
        self._draw = {
            "overview": self._draw_overview, "months": self._draw_months, "trades": self._draw_trades,
            "statistics": self._draw_statistics, "symbols": self._draw_symbols,
        }  # fmt: skip
        self._report: Report | None = None
        self._stale: set[str] = set()

    def take(self, report: Report) -> None:
        self._report, self._stale = report, set(self._draw)
        badges = "".join(badge_html(*one) for one in badges_of(report))
        self.head.value = (
            f'<div class="dt-head"><h1>{escape(report.title)}</h1>{badges}'
            f'<span class="dt-muted">{escape(report.strategy)}</span></div>'
        )

    def wake(self, tab: str) -> None:
        """The tab is shown now."""
        if tab in self._stale and self._report is not None:
            self._stale.discard(tab)
            self._draw[tab](self._report)

    def _draw_overview(self, report: Report) -> None:
        self.cards.value = wide_cards(_card(report.statistic(key)) for key in HEADLINES)
        self.warnings.value = "".join(f'<p class="dt-blocker">⚠ {escape(text)}</p>' for text in report.warnings)
        show_if(self.warnings, bool(report.warnings))
        if self.plot is None:  # a figure made while its place is hidden has no size to draw in
            self.plot = EquityPlot()
            self.plot_box.children = (self.plot.widget,)
        self.plot.show(report.times, report.equity, report.benchmark, report.drawdown, intraday=report.chart.intraday)

    def _draw_months(self, report: Report) -> None:
        note = '<p class="dt-muted">After costs, by the clock of the bars (UTC). Blue gained, orange lost.</p>'
        note += '<div style="height:8px"></div>'
        self.months.value = note + grid_heatmap_html(
            report.months,
            lambda v: f"{formats().number(v * 100, 1)}%",
            label="Returns of months",
            strong=_strongest(report),
        )

    def _draw_trades(self, report: Report) -> None:
        self.symbol.options = report.names
        self.symbol.value = report.names[0]
        show_if(self.symbol_row, len(report.names) > 1)
        self._draw_chart()
        daily = not report.chart.intraday
        self.trades.set_columns(replace(c, kind="date") if daily and c.kind == "time" else c for c in TRADES)
        self.trades.show(report.trades)

    def _draw_chart(self) -> None:
        report, symbol = self._report, self.symbol.value
        if report is not None and symbol in report.names:
            self.chart.show(report.chart if symbol == report.names[0] else chart_of(report.result, symbol))

    def _draw_statistics(self, report: Report) -> None:
        self.statistics.value = wide_cards(_card(s) for s in report.statistics)
        origin = "".join(f"<li><span></span><span>{escape(k)}: {escape(v)}</span></li>" for k, v in report.provenance)
        self.provenance.value = (
            '<details class="dt-help"><summary>How to make this again</summary>'
            f'<ul class="dt-list">{origin}</ul></details>'
        )

    def _draw_symbols(self, report: Report) -> None:
        self.symbols.show(report.symbols)


class HonestyView(PartView):
    """The evidence, as sentences first, then the figures, the bands and the neighbours."""

    model: HonestyModel

    def __init__(self, model: HonestyModel) -> None:
        super().__init__(model)
        self.said, self.figures, self.beside = html(""), html(""), html("")
        self.bands: BandsPlot | None = None
        self.band_box = stack()
        self.again = w.Button(description="Weigh again", tooltip="After more tries the chance of skill is another")
        self.bands_panel = panel(
            heading("The same trades drawn again"),
            html('<p class="dt-muted">Account value after each trade: yours, and the middle and the 5 % to 95 % band '
                 "of 1,000 draws of the same trades with replacement.</p>"),
            self.band_box,
        )  # fmt: skip
        self.beside_panel = panel(heading("One step beside each setting"), self.beside)
        self.widget = stack(
            panel(heading("For and against"), self.messages.widget, self.progress.widget, self.said, self.figures,
                  row(self.again)),
            self.bands_panel, self.beside_panel,
        )  # fmt: skip
        self.click(self.again, model.again)
        self._stale, self._looked = True, False
        self.follow("panel", self._changed)
        self.follow("busy", lambda: show_if(self.again, not model.busy))

    def wake(self, looked: bool) -> None:
        self._looked = looked
        if looked and self._stale:
            self._draw()

    def _changed(self) -> None:
        self._stale = True
        if self._looked:
            self._draw()

    def _draw(self) -> None:
        panel_ = self.model.panel
        self._stale = False
        show_if(self.bands_panel, panel_ is not None and panel_.trades > 0)
        show_if(self.beside_panel, panel_ is not None and bool(panel_.neighbours))
        if panel_ is None:
            self.said.value = self.figures.value = ""
            return
        words = panel_.sentences or ("Nothing speaks for or against: no trade was made.",)
        items = "".join(f'<li><span aria-hidden="true">•</span><span>{escape(s)}</span></li>' for s in words)
        self.said.value = f'<ul class="dt-list">{items}</ul>'
        self.figures.value = wide_cards(Card(f.label, f.text, f.meaning) for f in panel_.findings)
        self.beside.value = wide_cards(_neighbour(f.label, f.text) for f in panel_.neighbours)
        if panel_.trades:
            self._draw_bands(panel_)

    def _draw_bands(self, panel_: Honesty) -> None:
        if self.bands is None:
            self.bands = BandsPlot()
            self.band_box.children = (self.bands.widget,)
        self.bands.show(panel_.bands)


class BandsPlot:
    """The own path of the account inside the band of the same trades drawn again, over the number of the trade."""

    def __init__(self) -> None:
        import bqplot as bq

        from dashtrade.pages.widgets.plots import _ACCENT, _MUTED, _figure

        self.x, self.y = bq.LinearScale(), bq.LinearScale()
        scales = {"x": self.x, "y": self.y}
        empty = [0.0, 1.0]
        self.band = bq.Lines(x=empty, y=[empty, empty], scales=scales, colors=[_MUTED], stroke_width=1, fill="between",
                             fill_colors=[_MUTED], fill_opacities=[0.18])  # fmt: skip
        self.middle = bq.Lines(x=empty, y=empty, scales=scales, colors=[_MUTED], stroke_width=1, line_style="dashed")
        self.own = bq.Lines(x=empty, y=empty, scales=scales, colors=[_ACCENT], stroke_width=2)
        across = bq.Axis(scale=self.x, grid_lines="none", tick_format="d", num_ticks=6)
        money = bq.Axis(scale=self.y, orientation="vertical", side="right", tick_format="~s")
        self.figure = _figure([self.band, self.middle, self.own], [across, money], "280px")
        key = w.HTML(
            '<div class="dt-key"><span><i style="border-color:var(--accent);border-width:3px"></i>Your trades</span>'
            '<span><i style="border-top-style:dashed"></i>Middle</span>'
            '<span><i style="border-width:1px"></i>5 % and 95 %</span></div>'
        )
        self.widget = w.VBox([key, self.figure])
        self.widget.layout.width = "100%"

    def show(self, bands: Any) -> None:
        import numpy as np

        at = bands.index.to_numpy(dtype=np.float64)
        columns = {n: bands[n].to_numpy(dtype=np.float64).copy() for n in ("low", "middle", "high", "own")}
        with self.band.hold_sync():
            self.band.x, self.band.y = at, np.stack([columns["low"], columns["high"]])
        for line, name in ((self.middle, "middle"), (self.own, "own")):
            with line.hold_sync():
                line.x, line.y = at, columns[name]


def _strongest(report: Report) -> float | None:
    """The largest month, so that years do not make months pale."""
    months = report.months.drop(columns="Year").abs().max().max()
    return float(months) if months > 0 else None


def wide_cards(cards: Iterable[Card]) -> str:
    """Cards with room for an arrow and a long number, two side by side on a phone."""
    columns = 'style="grid-template-columns:repeat(auto-fill,minmax(min(46%,200px),1fr))"'
    return cards_html(cards).replace('class="dt-metrics"', f'class="dt-metrics" {columns}', 1)


def badges_of(report: Report) -> list[tuple[str, Any]]:
    """Where the prices come from, and what makes the fills unlike real ones."""
    if report.simulated:
        found: list[tuple[str, Any]] = [("Simulated · not market prices", "warn")]
    elif report.source == "sample":
        found = [("Sample data · past prices", "warn")]
    else:
        found = [(source_name(report.source), "plain")]
    if report.same_close:
        found.append(("Filled at the same close · not tradable", "bad"))
    return found


def _neighbour(label: str, text: str) -> Card:
    lost = text.startswith("-")
    tone: Any = "bad" if lost else "good"
    return Card(label, ("▼ " if lost else "▲ ") + text, "Total return with this one setting changed.", tone=tone)


def _card(statistic: Statistic) -> Card:
    tone: Any = "plain"
    text = statistic.text
    if statistic.key in _SIGNED and statistic.value:
        tone = "good" if statistic.value > 0 else "bad"
        text = ("▲ " if statistic.value > 0 else "▼ ") + text
    return Card(statistic.label, text, statistic.definition, tone=tone)
