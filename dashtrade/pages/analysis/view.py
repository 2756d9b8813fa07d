"""Widgets of the analysis page, linked to its model. No services here."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import Any

import ipywidgets as w

from dashtrade.pages.analysis.around import FactsModel, NewsModel, SearchModel, WatchModel
from dashtrade.pages.analysis.badge import DataBadge
from dashtrade.pages.analysis.cards import facts_html, news_html, signal_html, volume_html
from dashtrade.pages.analysis.layouts import Layouts
from dashtrade.pages.analysis.live import LiveModel
from dashtrade.pages.analysis.model import AnalysisModel
from dashtrade.pages.analysis.notebook import NotebookModel
from dashtrade.pages.analysis.risk import RiskCard
from dashtrade.pages.analysis.studies import Study, title_of
from dashtrade.pages.analysis.tools import AlertBar, LayoutsBar, NotebookBar
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
from dashtrade.pages.widgets.combo import SymbolBox
from dashtrade.pages.widgets.form import ParamForm, specs_of_indicator
from dashtrade.pages.widgets.view import PageView

_SOURCE_NAMES = {"": "Automatic", "sample": "Sample data (offline)"}


@dataclass(frozen=True, slots=True)
class Companions:
    """What stands beside the chart, each asking by itself."""

    news: NewsModel
    facts: FactsModel
    watch: WatchModel
    search: SearchModel
    live: LiveModel
    layouts: Layouts
    notebook: NotebookModel


class AnalysisView(PageView):
    """Inputs on top, the chart with its indicators, the cards beside it."""

    model: AnalysisModel

    def __init__(self, model: AnalysisModel, beside: Companions, *, help_text: str = "") -> None:
        super().__init__(model, "analysis", "Analysis")
        self.beside = beside
        self.symbol = SymbolBox(value=model.symbol, placeholder="AAPL", tip="Ticker or name; press Enter to load")
        self.period = w.Dropdown(options=model.periods)
        self.interval = w.Dropdown(options=model.intervals)
        self.source = w.Dropdown(options=[(_source_name(s), s) for s in model.sources])
        self.load = w.Button(description="Load", button_style="primary", tooltip="Load the chart")
        self.watch = w.Button()
        self.blocker = html("")
        self.badge, self.facts, self.live = html(""), html(""), html("")
        self.chart = PriceChart()
        self.alert = AlertBar(model, self.chart)
        self.chart_panel = stack(panel(self.chart, flush=True), panel(self.alert.widget))
        self.empty = html('<p class="dt-empty">No chart yet. Type a symbol such as AAPL and press Load.</p>')
        self.signal, self.volume, self.news = html(""), html(""), html("")
        self.chips = row()
        self.study = w.Dropdown(options=_study_options(model), tooltip="Indicator")
        self.add = w.Button(description="Add indicator")
        self.form = ParamForm(())
        self.marks = w.Checkbox(description="Levels and chart patterns", indent=False)
        self.candles = w.Checkbox(description="Candlestick patterns", indent=False)
        self.layouts = LayoutsBar(model, beside.layouts)
        self.notebook = NotebookBar(model, beside.notebook)
        self.risk = RiskCard(model)
        self._build(help_text)
        self._link()

    def _build(self, help_text: str) -> None:
        inputs = row(
            self.symbol,
            field("Period", self.period, "How far back"),
            field("Interval", self.interval, "Length of one bar"),
            field("Data source", self.source),
            self.load,
            self.watch,
        )
        about = styled(w.Box([self.facts, self.live, self.badge]), "dt-row", "dt-about")
        indicators = panel(
            heading("On the chart"),
            row(self.marks, self.candles),
            self.chips,
            row(field("Add", self.study)),
            self.form.widget,
            row(self.add),
            self.layouts.widget,
        )
        below = stack(self.empty, self.chart_panel, indicators, panel(heading("Take it further"), self.notebook.widget))
        side = stack(panel(self.signal), self.risk.widget, panel(self.volume), panel(self.news))
        body = styled(w.Box([below, side]), "dt-split")
        head = [inputs, about, self.blocker, self.messages.widget, self.progress.widget]
        self.widget = self.frame(stack(*head), body, help_panel(help_text))

    def _link(self) -> None:
        model, beside = self.model, self.beside
        self.bind("symbol", self.symbol)
        self.bind("period", self.period)
        self.bind("interval", self.interval)
        self.bind("source", self.source)
        self.bind("marks", self.marks)
        self.bind("candles", self.candles)
        self.click(self.load, model.load)
        self.symbol.on_submit(model.guard(model.load))
        self.symbol.on_search(model.guard(beside.search.look_up))
        self.click(self.add, lambda: model.add_study(self.study.value, self.form.values()))
        self.click(self.watch, self._toggle_watch)
        self.follow("blockers", self._draw_blockers)
        self.follow("result", self._draw_result)
        self.follow("studies", self._draw_chips)
        self.follow("query", lambda: self.shell.write_query(model.query))
        self.also(beside.news, "news", self._draw_news)
        self.also(beside.facts, "facts", self._draw_facts)
        self.also(beside.watch, "watched", self._draw_watch)
        self.also(beside.watch, "notice", self._toast)
        self.also(beside.search, ["matches", "note"], self._draw_matches)
        self.also(beside.live, ["live", "problem"], self.draw_live)
        self.also(self.shell, "zone", self._draw_times)
        self.study.observe(model.guard(lambda _change: self._draw_form()), "value")
        self._draw_form()

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
        show_if(self.watch, result is not None)
        self.notebook.open.disabled = result is None
        if result is not None:
            self.chart.zoom_key = result.request.period or ""
            self.chart.show(result.chart)
        self.risk.draw()
        self.alert.draw()
        self._draw_times()

    def _draw_times(self) -> None:
        """Everything that shows a time, in the reader's zone."""
        result, zone = self.model.result, self.shell.zone
        self.chart.zone = zone
        if result is None:
            self.signal.value = signal_html(None, "Load a symbol to see its signal.")
            self.volume.value = volume_html(None)
            return
        self.badge.value = _badge(result.badge, zone)
        self.signal.value = signal_html(result.signal, result.signal_note, zone)
        self.volume.value = volume_html(result.volume)
        self._draw_news()

    def _draw_news(self) -> None:
        self.news.value = news_html(self.beside.news.news, self.shell.zone)

    def _draw_facts(self) -> None:
        self.facts.value = facts_html(self.beside.facts.facts)
        show_if(self.facts, bool(self.facts.value))

    def _draw_watch(self) -> None:
        watched = self.beside.watch.watched
        self.watch.description = "★ On the watchlist" if watched else "☆ Add to watchlist"
        self.watch.tooltip = "Remove it from your watchlist" if watched else "Follow it on the portfolio page"

    def _toast(self) -> None:
        if self.beside.watch.notice:
            self.shell.toast(self.beside.watch.notice, "success")

    def _toggle_watch(self) -> None:
        facts = self.beside.facts.facts
        self.beside.watch.toggle(facts.name if facts is not None else None)

    def _draw_matches(self) -> None:
        self.symbol.offer(self.beside.search.matches, self.beside.search.note)

    def draw_live(self) -> None:
        """The moved bar in the chart, and the age of its price; call it again as the price grows older."""
        live, problem = self.beside.live.live, self.beside.live.problem
        show_if(self.live, bool(live or problem))
        if problem:
            self.live.value = badge_html("No live price", "warn", problem)
        if live is None:
            return
        if not problem:
            self.live.value = badge_html(
                self.beside.live.text(), "warn" if live.simulated else "accent", "Latest price"
            )
        self.chart.update_last(live.bar, live.values)

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


def _badge(badge: DataBadge, zone: str) -> str:
    tone: Any = "warn" if badge.sample or badge.simulated else "plain"
    return badge_html(badge.text(zone), tone, badge.tip(zone))
