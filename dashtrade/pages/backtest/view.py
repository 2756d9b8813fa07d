"""Widgets of the backtest page, linked to its model. No services here."""

from __future__ import annotations

from dataclasses import replace
from html import escape
from typing import Any

import ipywidgets as w

from dashtrade.pages.backtest.model import OWN, RULES, BacktestModel
from dashtrade.pages.backtest.report import HEADLINES, Report, Statistic
from dashtrade.pages.widgets.bits import (
    Card,
    badge_html,
    cards_html,
    field,
    heading,
    help_panel,
    html,
    panel,
    row,
    show_if,
    stack,
    styled,
)
from dashtrade.pages.widgets.chart import PriceChart
from dashtrade.pages.widgets.form import FieldSpec, ParamForm, shown
from dashtrade.pages.widgets.plots import EquityPlot
from dashtrade.pages.widgets.table import Column, DataTable
from dashtrade.pages.widgets.view import PageView

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
_SIGNED = {"total_return", "buy_and_hold_return", "cagr"}
_TEXTS = {
    "symbols": ("Symbol", "One ticker, or several with commas: they share the capital"),
    "cash": ("Capital $", "Money at the start"),
    "size": ("Position size", "50% of equity, $2000, 10 shares, or risk 1%"),
    "commission": ("Commission", "Of each order's value: 0.1% or 10bps"),
    "slippage": ("Slippage", "Empty: 5 bps and half the source's spread. Else for example 10bps"),
    "stop": ("Stop loss", "2% or 2atr; empty for none"),
    "target": ("Take profit", "5% or 3atr; empty for none"),
    "trail": ("Trailing stop", "3% or 3atr; empty for none"),
}


class BacktestView(PageView):
    """The request on the left, the result on the right: figures, equity, drawdown, chart, trades, statistics."""

    model: BacktestModel

    def __init__(self, model: BacktestModel, *, help_text: str = "") -> None:
        super().__init__(model, "backtest", "Backtest")
        self.strategy = w.Dropdown(options=[(label, key) for key, label in model.strategies.items()])
        self.description = html("")
        self.settings = ParamForm(())
        self.rules = {name: w.Text(continuous_update=False, placeholder="none") for name in RULES}
        self.texts = {name: w.Text(continuous_update=False) for name in _TEXTS}
        self.period = w.Dropdown(options=model.periods)
        self.interval = w.Dropdown(options=model.intervals)
        self.source = w.Dropdown(options=[("Automatic" if not s else _title(s), s) for s in model.sources])
        self.direction = w.Dropdown(options=[(d.replace("_", " "), d) for d in model.directions])
        self.run = w.Button(description="Run backtest", button_style="primary")
        self.blocker = html("")
        self.head, self.cards, self.warnings = html(""), html(""), html("")
        self.plot: EquityPlot | None = None
        self.plot_box = stack()
        self.chart = PriceChart()
        self.trades = DataTable(TRADES, caption="Trades", filename="trades", empty="No trade was made.")
        self.statistics, self.provenance = html(""), html("")
        self.empty = html('<p class="dt-empty">Choose a strategy and press Run backtest.</p>')
        self._build(help_text)
        self._link()

    def _build(self, help_text: str) -> None:
        fields = {name: field(label, self.texts[name], tip) for name, (label, tip) in _TEXTS.items()}
        self.rule_box = stack(
            *(field(RULES[name], control) for name, control in self.rules.items()),
            html('<p class="dt-muted">For example: ema(9) crosses above ema(21) and rsi &lt; 70</p>'),
        )
        form = styled(w.Box(), "dt-form")
        form.children = [
            fields["symbols"], field("Period", self.period), field("Interval", self.interval),
            field("Data source", self.source), fields["cash"], fields["size"], field("Direction", self.direction),
            fields["commission"], fields["slippage"], fields["stop"], fields["target"], fields["trail"],
        ]  # fmt: skip
        request = panel(
            heading("Strategy"), field("Strategy", self.strategy), self.description, self.settings.widget,
            self.rule_box, heading("Test"), form, self.blocker, row(self.run), self.progress.widget,
        )  # fmt: skip
        self.result = stack(
            panel(self.head, self.cards, self.warnings),
            panel(heading("Equity and drawdown"), self.plot_box),
            panel(self.chart, flush=True),
            panel(self.trades),
            panel(heading("Statistics"), self.statistics, self.provenance),
        )
        body = styled(w.Box([request, stack(self.messages.widget, self.empty, self.result)]), "dt-split", "dt-left")
        self.widget = self.frame(body, help_panel(help_text))

    def _link(self) -> None:
        model = self.model
        for name, control in {**self.texts, **self.rules}.items():
            self.bind(name, control)
        for name in ("strategy", "period", "interval", "source", "direction"):
            self.bind(name, getattr(self, name))
        self.click(self.run, self._run)
        self.follow("strategy", self._draw_strategy)
        self.follow("blockers", self._draw_blockers)
        self.follow("busy", self._draw_blockers)
        self.follow("report", self._draw_report)
        self.follow("query", lambda: self.shell.write_query(model.query))

    def _run(self) -> None:
        self.model.run()

    def _draw_strategy(self) -> None:
        preset = self.model.preset
        show_if(self.rule_box, self.model.strategy == OWN)
        show_if(self.settings.widget, preset is not None and bool(preset.params))
        if preset is None:
            self.description.value = ""
            self.settings.set(())
            return
        self.description.value = f'<p class="dt-muted">{escape(preset.description)}.</p>'
        specs = [
            FieldSpec(p.name, p.name.replace("_", " ").capitalize(), "int" if p.whole else "float", p.default, p.low,
                      p.high, help=f"From {p.low:g} to {p.high:g}")
            for p in preset.params
        ]  # fmt: skip
        self.settings.set(specs)
        self.settings.fill({n: v for n, v in self.model.settings.items() if n in self.settings.controls})
        for control in self.settings.controls.values():
            control.continuous_update = False
            control.observe(self.model.guard(lambda _change: self._take_settings()), "value")

    def _take_settings(self) -> None:
        """Texts as typed; the model's blockers say what is wrong with them."""
        preset = self.model.preset
        defaults = {p.name: shown(p.default) for p in preset.params} if preset else {}
        texts = {name: control.value.strip() for name, control in self.settings.controls.items()}
        self.model.settings = {n: v for n, v in texts.items() if v != defaults.get(n)}

    def _draw_blockers(self) -> None:
        text = " ".join(self.model.blockers)
        self.run.disabled = bool(text) or self.model.busy
        self.blocker.value = f'<p class="dt-blocker" role="status">⚠ {escape(text)}</p>' if text else ""
        show_if(self.blocker, bool(text))

    def _draw_report(self) -> None:
        report = self.model.report
        show_if(self.empty, report is None)
        show_if(self.result, report is not None)
        if report is None:
            return
        badge = badge_html(*_badge(report))
        self.head.value = (
            f'<div class="dt-head"><h1>{escape(report.title)}</h1>{badge}'
            f'<span class="dt-muted">{escape(report.strategy)}</span></div>'
        )
        self.cards.value = cards_html(_card(report.statistic(key)) for key in HEADLINES)
        self.warnings.value = "".join(f'<p class="dt-blocker">⚠ {escape(text)}</p>' for text in report.warnings)
        if self.plot is None:  # a figure made while its place is hidden has no size to draw in
            self.plot = EquityPlot()
            self.plot_box.children = (self.plot.widget,)
        self.plot.show(report.times, report.equity, report.benchmark, report.drawdown, intraday=report.chart.intraday)
        self.chart.show(report.chart)
        daily = not report.chart.intraday
        self.trades.set_columns(replace(c, kind="date") if daily and c.kind == "time" else c for c in TRADES)
        self.trades.show(report.trades)
        self.statistics.value = cards_html(_card(s) for s in report.statistics)
        origin = "".join(f"<li><span></span><span>{escape(k)}: {escape(v)}</span></li>" for k, v in report.provenance)
        self.provenance.value = (
            '<details class="dt-help"><summary>How to make this again</summary>'
            f'<ul class="dt-list">{origin}</ul></details>'
        )


def _badge(report: Report) -> tuple[str, Any]:
    if report.simulated:
        return "Simulated · not market prices", "warn"
    if report.source == "sample":
        return "Sample data · past prices", "warn"
    return _title(report.source), "plain"


def _card(statistic: Statistic) -> Card:
    tone: Any = "plain"
    text = statistic.text
    if statistic.key in _SIGNED and statistic.value:
        tone = "good" if statistic.value > 0 else "bad"
        text = ("▲ " if statistic.value > 0 else "▼ ") + text
    return Card(statistic.label, text, statistic.definition, tone=tone)


def _title(source: str) -> str:
    return {"sample": "Sample data (offline)"}.get(source, source.replace("_", " ").title())
