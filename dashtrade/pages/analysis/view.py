"""Widgets of the analysis page, linked to its model. No services here."""

from __future__ import annotations

from datetime import datetime
from html import escape
from typing import Any

import ipywidgets as w

from dashtrade.analysis import SignalReport, Vote
from dashtrade.pages.analysis.model import AnalysisModel, DataBadge
from dashtrade.pages.analysis.risk import RiskCard
from dashtrade.pages.analysis.studies import Study, title_of
from dashtrade.pages.widgets.bits import (
    badge_html,
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
from dashtrade.pages.widgets.form import ParamForm, specs_of_indicator
from dashtrade.pages.widgets.view import PageView

_SOURCE_NAMES = {"": "Automatic", "sample": "Sample data (offline)"}
SHOWN_VOTES = 4
_SHAPES = {"BUY": "▲", "SELL": "▼", "HOLD": "■"}
_TONES = {"BUY": "dt-up", "SELL": "dt-down", "HOLD": "dt-muted"}


class AnalysisView(PageView):
    """Inputs on top, the chart with its indicators, the signal card beside it."""

    model: AnalysisModel

    def __init__(self, model: AnalysisModel, *, help_text: str = "") -> None:
        super().__init__(model, "analysis", "Analysis")
        self.symbol = w.Text(model.symbol, placeholder="AAPL", continuous_update=False)
        self.period = w.Dropdown(options=model.periods)
        self.interval = w.Dropdown(options=model.intervals)
        self.source = w.Dropdown(options=[(_source_name(s), s) for s in model.sources])
        self.load = w.Button(description="Load", button_style="primary", tooltip="Load the chart")
        self.blocker = html("")
        self.badge = html("")
        self.chart = PriceChart()
        self.chart_panel = panel(self.chart, flush=True)
        self.empty = html('<p class="dt-empty">No chart yet. Type a symbol such as AAPL and press Load.</p>')
        self.signal = html("")
        self.chips = row()
        self.study = w.Dropdown(options=_study_options(model), tooltip="Indicator")
        self.add = w.Button(description="Add indicator")
        self.form = ParamForm(())
        self.marks = w.Checkbox(description="Levels and chart patterns", indent=False)
        self.risk = RiskCard(model)
        self._build(help_text)
        self._link()

    def _build(self, help_text: str) -> None:
        inputs = row(
            field("Symbol", self.symbol, "Ticker, such as AAPL or BTC-USD; press Enter to load"),
            field("Period", self.period, "How far back"),
            field("Interval", self.interval, "Length of one bar"),
            field("Data source", self.source),
            self.load,
            self.badge,
        )
        indicators = panel(
            heading("On the chart"),
            self.marks,
            self.chips,
            row(field("Add", self.study)),
            self.form.widget,
            row(self.add),
        )
        side = stack(panel(self.signal), self.risk.widget)
        body = styled(w.Box([stack(self.empty, self.chart_panel, indicators), side]), "dt-split")
        head = [inputs, self.blocker, self.messages.widget, self.progress.widget]
        self.widget = self.frame(stack(*head), body, help_panel(help_text))

    def _link(self) -> None:
        model = self.model
        self.bind("symbol", self.symbol)
        self.bind("period", self.period)
        self.bind("interval", self.interval)
        self.bind("source", self.source)
        self.bind("marks", self.marks)
        self.click(self.load, self._load)
        self.symbol.on_submit(model.guard(lambda _text: self._load()))
        self.click(self.add, lambda: model.add_study(self.study.value, self.form.values()))
        self.follow("blockers", self._draw_blockers)
        self.follow("result", self._draw_result)
        self.follow("studies", self._draw_chips)
        self.follow("query", lambda: self.shell.write_query(model.query))
        self.study.observe(model.guard(lambda _change: self._draw_form()), "value")
        self._draw_form()

    def _load(self) -> None:
        self.model.load()

    def _draw_form(self) -> None:
        self.form.set(specs_of_indicator(self.model.catalogue[self.study.value]))

    def _draw_blockers(self) -> None:
        self.load.disabled = bool(self.model.blockers)
        text = " ".join(self.model.blockers)
        self.blocker.value = f'<p class="dt-muted" role="status">{escape(text)}</p>' if text else ""
        show_if(self.blocker, bool(text))

    def _draw_result(self) -> None:
        result = self.model.result
        show_if(self.empty, result is None)
        show_if(self.chart_panel, result is not None)
        self.risk.draw()
        if result is None:
            self.signal.value = signal_html(None, "Load a symbol to see its signal.")
            return
        self.chart.zoom_key = result.request.period or ""
        self.chart.show(result.chart)
        self.badge.value = _badge(result.badge)
        self.signal.value = signal_html(result.signal, result.signal_note)

    def _draw_chips(self) -> None:
        self.chips.children = [self._chip(study) for study in self.model.studies]

    def _chip(self, study: Study) -> w.Button:
        title = title_of(self.model.catalogue[study.key], study)
        chip = styled(w.Button(description=f"{title} ✕", tooltip=f"Remove {title}"), "dt-chip")
        self.click(chip, lambda: self.model.remove_study(study))
        return chip


def _study_options(model: AnalysisModel) -> list[tuple[str, str]]:
    return [
        (f"{e.label} ({e.family.value})", key) for key, e in sorted(model.catalogue.items(), key=lambda i: i[1].label)
    ]


def _source_name(key: str) -> str:
    return _SOURCE_NAMES.get(key, key.replace("_", " ").title())


def _badge(badge: DataBadge) -> str:
    tone: Any = "warn" if badge.sample or badge.simulated else "plain"
    fetched = f"Fetched {badge.fetched_at:%Y-%m-%d %H:%M:%S} UTC" if badge.fetched_at else ""
    return badge_html(badge.text, tone, fetched)


def signal_html(report: SignalReport | None, note: str) -> str:
    """The signal card: the action in words and shape, the score on a scale, each vote with its date.

    The votes that weigh most are shown; the others unfold.
    """
    if report is None:
        return f'<h2>Signal</h2><p class="dt-muted">{escape(note)}</p>'
    action = report.action.value
    votes = [_vote(v, report.time) for v in sorted(report.votes, key=lambda v: -abs(v.value * v.weight))]
    score = f"{report.score:+.0f}".replace("-", "−")
    rest = (
        f'<details class="dt-help"><summary>{len(votes) - SHOWN_VOTES} more reasons</summary>'
        f'<ul class="dt-list">{"".join(votes[SHOWN_VOTES:])}</ul></details>'
        if len(votes) > SHOWN_VOTES
        else ""
    )
    return (
        f'<h2>Signal</h2><div class="dt-signal" data-action="{action}"><strong class="{_TONES[action]}">'
        f'<span aria-hidden="true">{_SHAPES[action]}</span> {action}</strong>'
        f'<span>score {score} <span class="dt-muted">of −100…100</span></span></div>'
        f'<div class="dt-meter" aria-hidden="true"><i style="left:{(report.score + 100) / 2:.1f}%"></i></div>'
        f'<p class="dt-muted">Close of {_when(report.time)}: {report.price:,.2f}</p>'
        f'<ul class="dt-list">{"".join(votes[:SHOWN_VOTES])}</ul>{rest}'
    )


def _vote(vote: Vote, at: datetime) -> str:
    """One reason; its date is written out where it is not the bar's own."""
    sign, tone = _lean(vote.value)
    when = "" if vote.time == at else f", {_when(vote.time)}"
    tip = f"{vote.value:+.2f} × weight {vote.weight:g}, {_when(vote.time)}"
    return (
        f'<li><span class="{tone}" title="{tip}">{sign}</span><span>{escape(vote.sentence)} '
        f'<span class="dt-muted">({escape(vote.group.value)}{when})</span></span></li>'
    )


def _when(time: datetime) -> str:
    """A daily bar's date, or an intraday bar's time."""
    midnight = (time.hour, time.minute) == (0, 0)
    return f"{time:%d %b %Y}" if midnight else f"{time:%d %b %Y %H:%M} UTC"


def _lean(value: float) -> tuple[str, str]:
    if value > 0.1:
        return "▲", "dt-up"
    if value < -0.1:
        return "▼", "dt-down"
    return "■", "dt-muted"
