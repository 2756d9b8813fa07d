"""The request as widgets: strategy, symbols, time, money, costs, stops, rebalancing."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from html import escape
from typing import Any

import ipywidgets as w

from dashtrade.domain.strategy import Stops
from dashtrade.pages.backtest.inputs import (
    DATES,
    DEFAULTS,
    DIRECTIONS,
    EVERY,
    FILLS,
    INTERVALS,
    ON,
    OWN,
    PERIODS,
    RULES,
    WEIGHTS,
)
from dashtrade.pages.backtest.model import BacktestModel
from dashtrade.pages.widgets.bits import field, heading, html, panel, row, show_if, stack, styled
from dashtrade.pages.widgets.combo import SymbolBox
from dashtrade.pages.widgets.form import FieldSpec, ParamForm, shown
from dashtrade.pages.widgets.part import PartView
from dashtrade.strategies import to_text

_TEXTS = {
    "symbols": ("Symbols", "One ticker, or several with commas: they share the capital"),
    "cash": ("Capital $", "Money at the start"),
    "size": ("Position size", "50% of equity, $2000, 10 shares, or risk 1%"),
    "commission": ("Commission", "Of each order's value: 0.1% or 10bps"),
    "fixed": ("Fee an order $", "Money for each order, on top of the commission"),
    "slippage": ("Slippage", "Empty: 5 bps and half the source's spread. Else for example 10bps"),
    "spread": ("Spread", "Bid to ask, half of it is paid; empty: that of the source, unless slippage is given"),
    "stop": ("Stop loss", "2% or 2atr; empty for none"),
    "target": ("Take profit", "5% or 3atr; empty for none"),
    "trail": ("Trailing stop", "3% or 3atr; empty for none"),
    "time_stop": ("Time stop (bars)", "Leaves at the open after so many bars; empty for none"),
    "risk_free": ("Risk-free rate", "A year, for Sharpe and Sortino: 0% or 2%"),
    "band": ("Band", "Weights may be off by so many points of the equity: 5%"),
    "look_back": ("Look-back (bars)", "Returns that the volatility is measured over"),
}
MORE = ("fill", "whole", "fixed", "spread", "risk_free", "weights")
PLACEHOLDERS = {"stop": "none", "target": "none", "trail": "none", "time_stop": "none", "slippage": "automatic",
                "spread": "automatic"}  # fmt: skip


class FormView(PartView):
    """The left side of the page. Every control writes its text to the model's ``values``."""

    model: BacktestModel

    def __init__(self, model: BacktestModel, search: Callable[[str], None] | None = None) -> None:
        super().__init__(model)
        self.strategy = w.Dropdown()
        self.description = html("")
        self.settings = ParamForm(())
        self.rules = {name: w.Text(continuous_update=False, placeholder="none") for name in RULES}
        self.texts = {name: w.Text(continuous_update=False, placeholder=PLACEHOLDERS.get(name, "")) for name in _TEXTS}
        self.add = SymbolBox(label="Add a symbol", placeholder="Ticker or name", tip="Choose one, or press Enter")
        self.lists = w.Dropdown(options=[("All I watch", "")])
        self.use_list = w.Button(description="Use list", tooltip="The list's symbols instead of those above")
        self.period = w.Dropdown(options=[("Dates" if p == DATES else p, p) for p in PERIODS])
        self.start, self.end = w.DatePicker(), w.DatePicker()
        self.interval = w.Dropdown(options=INTERVALS)
        self.source = w.Dropdown(options=[("Automatic" if not s else source_name(s), s) for s in model.sources])
        self.direction = w.Dropdown(options=[(d.replace("_", " "), d) for d in DIRECTIONS])
        self.fill = w.Dropdown(options=[(label, key) for key, label in FILLS.items()])
        self.whole = w.Dropdown(options=[("Fractions too", ""), ("Whole only", ON)])
        self.weights = w.Dropdown(options=[(label, key) for key, label in WEIGHTS.items()])
        self.every = w.Dropdown(options=EVERY)
        self.run = w.Button(description="Run backtest", button_style="primary")
        self.blocker = html("")
        self._search = search
        self._filling = False
        self._build()
        self._link()

    def _build(self) -> None:
        fields = {name: field(label, self.texts[name], tip) for name, (label, tip) in _TEXTS.items()}
        self.rule_box = stack(
            *(field(RULES[name], control) for name, control in self.rules.items()),
            html('<p class="dt-muted">For example: ema(9) crosses above ema(21) and rsi &lt; 70</p>'),
        )
        self.moments = html("")
        self.dates = _form(
            field("From", self.start, "First day"), field("Until", self.end, "Last day; empty for today")
        )
        self.rebalancing = _form(field("Look", self.every, "How often weights are looked at"), fields["band"],
                                 fields["look_back"])  # fmt: skip
        watch = row(field("Watchlist", self.lists), self.use_list)
        test = _form(field("Period", self.period), field("Interval", self.interval),
                     field("Data source", self.source), fields["cash"], fields["size"],
                     field("Direction", self.direction))  # fmt: skip
        costs = _form(fields["commission"], fields["slippage"])
        stops = _form(fields["stop"], fields["target"], fields["trail"], fields["time_stop"])
        more = _form(field("Filled at", self.fill, "When a decision made at a bar's close is filled"),
                     field("Shares", self.whole), fields["fixed"], fields["spread"], fields["risk_free"],
                     field("Rebalance", self.weights, "Brings several symbols back to their weights"))  # fmt: skip
        self.more = w.Button()
        self.more_box = stack(more, self.rebalancing)
        self.widget = panel(
            heading("Strategy"), field("Strategy", self.strategy), self.description, self.settings.widget,
            self.rule_box, heading("Symbols and time"), fields["symbols"], row(self.add), watch, test, self.dates,
            self.moments, heading("Costs and stops"), costs, stops, row(self.more), self.more_box, self.blocker,
            row(self.run), self.progress.widget,
        )  # fmt: skip

    def _link(self) -> None:
        model = self.model
        for name, control in {**self.texts, **self.rules}.items():
            self._field(name, control)
        for name in ("period", "interval", "source", "direction", "fill", "whole", "weights", "every"):
            self._field(name, getattr(self, name))
        for name in ("start", "end"):
            self._day(name, getattr(self, name))
        self.follow(["saved", "values"], self._draw_choices)
        self._field("strategy", self.strategy)
        self.click(self.run, model.run)
        self.click(self.more, lambda: self._open(not self._opened))
        self.follow("loaded", lambda: self._open(any(model.values[n] != DEFAULTS[n] for n in MORE)))
        self.click(self.use_list, lambda: model.use_watchlist(self.lists.value))
        self.add.observe(model.guard(lambda change: self._add(change["new"])), "value")
        self.add.on_submit(model.guard(lambda: self._add(self.add.value)))
        if self._search is not None:
            self.add.on_search(model.guard(self._search))
        self._drawn: object = None
        self.follow("values", self._draw_strategy)
        self.follow("settings", self._fill_settings)
        self.follow(["blockers", "busy"], self._draw_blockers)
        names = model.watchlists
        self.lists.options = [("All I watch", ""), *((n, n) for n in names)]

    def _field(self, name: str, control: w.Widget) -> None:
        """A control of one field. A value that a menu does not offer shows as no choice, and the blocker says why."""
        model = self.model

        def to_control(_change: Any = None) -> None:
            text = model.values[name]
            if isinstance(control, w.Dropdown) and text not in [v for _, v in control._options_full]:
                control.value = None
            elif control.value != text:
                control.value = text

        def to_model(change: Any) -> None:
            if change["new"] is not None and not self._filling:
                model.put(name, change["new"])

        to_control()
        control.observe(model.guard(to_model), "value")
        model.observe(model.guard(to_control), "values")

    def _day(self, name: str, control: w.DatePicker) -> None:
        model = self.model

        def to_control(_change: Any = None) -> None:
            try:
                wanted = date.fromisoformat(model.values[name][:10])  # of a loaded run it may be a moment
            except ValueError:  # the blocker says what is wrong with it
                wanted = None
            if wanted != control.value:
                control.value = wanted

        def to_model(change: Any) -> None:
            day = change["new"].isoformat() if change["new"] else ""
            if day != model.values[name][:10]:  # else a moment would lose its hour
                model.put(name, day)

        to_control()
        control.observe(model.guard(to_model), "value")
        model.observe(model.guard(to_control), "values")

    def _open(self, shown: bool) -> None:
        """More settings are folded away until one of them is wanted."""
        self._opened = shown
        self.more.description = "▾ Fewer settings" if shown else "▸ More settings"
        self.more.tooltip = "Fill, shares, fees, spread, risk-free rate, rebalancing"
        show_if(self.more_box, shown)

    def _add(self, text: str) -> None:
        if text.strip():
            self.model.add_symbol(text)
            self.add.value = ""

    def _draw_choices(self) -> None:
        model = self.model
        options = [(label, key) for key, label in model.strategies.items()]
        if options == list(self.strategy._options_full):
            return
        self._filling = True  # new options choose the first of them for a moment
        self.strategy.options = options
        chosen = model.values["strategy"]
        self.strategy.value = chosen if chosen in model.strategies else None
        self._filling = False

    def _draw_strategy(self) -> None:
        model = self.model
        show_if(self.dates, model.values["period"] == DATES)
        moments = [model.values[n].replace("T", " ").replace("+00:00", " UTC") for n in ("start", "end")]
        show_if(self.moments, any(len(text) > 10 for text in moments) and model.values["period"] == DATES)
        self.moments.value = f'<p class="dt-muted">Exactly from {escape(moments[0])} until {escape(moments[1])}.</p>'
        show_if(self.rebalancing, bool(model.values["weights"]))
        show_if(self.rule_box, model.values["strategy"] == OWN)
        show_if(self.texts["look_back"], model.values["weights"] == "inverse_volatility")
        preset, own = model.preset, model.own_strategy
        show_if(self.settings.widget, preset is not None and bool(preset.params))
        key = (model.values["strategy"], own)
        if key == self._drawn:
            return
        self._drawn = key
        if preset is None:
            self.settings.set(())
            self.description.value = "" if own is None else _about(own)
            return
        self.description.value = f'<p class="dt-muted">{escape(preset.description)}.</p>'
        specs = [
            FieldSpec(p.name, p.name.replace("_", " ").capitalize(), "int" if p.whole else "float", p.default, p.low,
                      p.high, help=f"From {p.low:g} to {p.high:g}")
            for p in preset.params
        ]  # fmt: skip
        self.settings.set(specs)
        self._fill_settings()
        for control in self.settings.controls.values():
            control.continuous_update = False
            control.observe(model.guard(lambda _change: self._take_settings()), "value")

    def _fill_settings(self) -> None:
        preset = self.model.preset
        defaults = {p.name: shown(p.default) for p in preset.params} if preset else {}
        for name, control in self.settings.controls.items():
            text = str(self.model.settings.get(name, defaults.get(name, "")))
            if control.value.strip() != text:
                control.value = text

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


def _about(strategy: Any) -> str:
    """A saved strategy's rules and stops."""
    rules = [(label, getattr(strategy, name)) for name, label in RULES.items()]
    lines = [
        f"<li><span></span><span>{escape(label)} {escape(to_text(rule))}</span></li>" for label, rule in rules if rule
    ]
    empty = Stops()
    stops = [
        f"{n.replace('_', ' ')} {getattr(strategy.stops, n):g}"
        for n in Stops.__slots__
        if getattr(strategy.stops, n) != getattr(empty, n)
    ]
    if stops:
        lines.append(f"<li><span></span><span>Its own stops: {escape(', '.join(stops))}. Those typed below go "
                     "before.</span></li>")  # fmt: skip
    return f'<p class="dt-muted">Version {strategy.version} of yours.</p><ul class="dt-list">{"".join(lines)}</ul>'


def _form(*children: w.Widget) -> w.Box:
    box = styled(w.Box(), "dt-form")
    box.children = list(children)
    return box


def source_name(source: str) -> str:
    return {"sample": "Sample data"}.get(source, source.replace("_", " ").title())
