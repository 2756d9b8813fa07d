"""Widgets of the comparison page, linked to its model. No services here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from html import escape
from typing import Any
from urllib.parse import urlencode

import ipywidgets as w
import pandas as pd

from dashtrade.pages.comparison.model import TABS, WINDOWS, ComparisonModel
from dashtrade.pages.formats import formats
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
    when_html,
)
from dashtrade.pages.widgets.download import Download
from dashtrade.pages.widgets.form import FieldSpec, ParamForm
from dashtrade.pages.widgets.heatmap import heatmap_html
from dashtrade.pages.widgets.lines import LinesPlot, ScatterPlot
from dashtrade.pages.widgets.table import Column, DataTable, link
from dashtrade.pages.widgets.view import PageView
from dashtrade.portfolio.comparison import DEFAULT_WEIGHTS, MEASURES, RANKED
from dashtrade.portfolio.request import Compared

PERCENT = {"total_return", "cagr", "volatility", "max_drawdown", "alpha"}
_SIGNED = {"total_return", "cagr", "alpha"}
WEIGHTS = tuple(
    FieldSpec(m.key, m.label, "float", DEFAULT_WEIGHTS.get(m.key, 0.0), 0, 100, help=m.definition) for m in RANKED
)
COLUMNS = (
    Column("rank", "Rank", "number", 0),
    Column("symbol", "Symbol", "link"),
    Column("score", "Score", "number", 1, help="Mean of the points (0 to 100) by the weights"),
    *(
        Column(
            m.key,
            m.label + (" %" if m.key in PERCENT else ""),
            "signed" if m.key in _SIGNED else "number",
            1 if m.key in PERCENT or m.key == "strength" else 2,
            help=m.definition,
        )
        for m in MEASURES
    ),
)
EXPLAINED = {
    "normalised": "Every price from 100 at the first common date.",
    "strength": "Growth against the benchmark's: above 100, a symbol did better than it since the start.",
    "correlation": "Correlation of the bars' returns: 1 moves alike, 0 not related, −1 opposite.",
    "risk": "Return a year against volatility: further up earned more, further right moved more.",
    "drawdowns": "How far each price was below its highest so far.",
    "ranking": "Points for each symbol's place in each measure, averaged by your weights; weight 0 leaves one out.",
}


class ComparisonView(PageView):
    """Inputs on top, one tab a reading below."""

    model: ComparisonModel

    def __init__(self, model: ComparisonModel, *, help_text: str = "") -> None:
        super().__init__(model, "comparison", "Comparison")
        self.symbols = w.Text(placeholder="AAPL, MSFT, SPY", continuous_update=False)
        self.benchmark = w.Text(placeholder="first symbol", continuous_update=False)
        self.period = w.Dropdown(options=model.periods)
        self.interval = w.Dropdown(options=model.intervals)
        self.source = w.Dropdown(options=[(_source_name(s), s) for s in model.sources])
        self.load = w.Button(description="Compare", button_style="primary")
        self.sample = w.Button(description="Show sample data", tooltip="Four shares from 2008 to 2013, offline")
        self.blocker, self.head, self.explained = html(""), html(""), html("")
        self.notebook = w.Button(description="Open as notebook", tooltip="Download a notebook that makes these numbers")
        self.download, self.hashes = Download(), html("")
        self.tabs = {key: w.Button(description=title) for key, title in TABS.items()}
        self.window = w.Dropdown(options=[(f"{n} bars", n) for n in WINDOWS])
        self.heatmap, self.rolling_note = html(""), html("")
        self.lines: LinesPlot | None = None
        self.scatter: ScatterPlot | None = None
        self.weights = ParamForm(WEIGHTS)
        self.rank = w.Button(description="Rank again", button_style="primary")
        self.reset = w.Button(description="Usual weights")
        self.table = DataTable(COLUMNS, caption="Ranking", filename="comparison", page_size=20)
        self._build(help_text)
        self._link()

    def _build(self, help_text: str) -> None:
        wide = field("Symbols", self.symbols, "Two to twenty tickers with commas; press Enter to compare")
        wide.layout.flex = "3 1 260px"
        wide.layout.max_width = "520px"
        inputs = row(
            wide,
            field("Benchmark", self.benchmark, "What the others are measured against; added when it is not listed"),
            field("Period", self.period, "How far back"),
            field("Interval", self.interval, "Length of one bar"),
            field("Data source", self.source),
            self.load,
        )
        centred = row(self.sample)
        centred.layout.justify_content = "center"
        self.empty = stack(
            html(
                '<p class="dt-empty">Nothing is compared yet. Type symbols such as AAPL, MSFT, SPY and press Compare, '
                "or look at sample data first.</p>"
            ),
            centred,
        )
        self.lines_box, self.scatter_box = stack(), stack()
        self.heatmap_box = stack(self.heatmap, heading("Rolling correlation", 3), row(field("Window", self.window)))
        self.ranking_box = stack(self.weights.widget, row(self.rank, self.reset), self.table)
        body = panel(
            self.explained, self.heatmap_box, self.rolling_note, self.lines_box, self.scatter_box, self.ranking_box
        )
        further = panel(heading("Take it further"), row(self.notebook, self.download), self.hashes)
        self.result = stack(self.head, styled(w.Box(list(self.tabs.values())), "dt-tabs"), body, further)
        head = stack(inputs, self.blocker, self.messages.widget, self.progress.widget)
        self.widget = self.frame(head, self.empty, self.result, help_panel(help_text))

    def _link(self) -> None:
        model = self.model
        for name in ("symbols", "benchmark", "period", "interval", "source", "window"):
            self.bind(name, getattr(self, name))
        for key, button in self.tabs.items():
            self.click(button, partial(setattr, model, "tab", key))
        self.click(self.load, model.load)
        self.click(self.sample, model.use_sample)
        self.click(self.rank, lambda: model.weigh(self.weights.values()))
        self.click(self.reset, lambda: model.weigh(DEFAULT_WEIGHTS))
        self.click(self.notebook, self._save_notebook)
        self.follow("result", lambda: show_if(self.hashes, False))
        self.follow(["blockers", "busy"], self._draw_blockers)
        self.follow("weights", self._draw_weights)
        self.follow(["result", "tab", "rolling", "ranking"], self._draw)
        self.follow("query", lambda: self.shell.write_query(model.query))

    def _save_notebook(self) -> None:
        file = self.model.notebook()
        self.download.save(file.name, file.text, "application/x-ipynb+json")
        self.hashes.value = (
            f'<p class="dt-muted">Saved as {escape(file.name)}. It says whether its numbers are these.</p>'
            f'<div class="dt-copy">Closes {file.data_hash}\nStatistics {file.result_hash}</div>'
        )
        show_if(self.hashes, True)

    def _draw_weights(self) -> None:
        self.weights.fill({spec.name: self.model.weights.get(spec.name, 0.0) for spec in WEIGHTS})

    def _draw_blockers(self) -> None:
        text = " ".join(self.model.blockers)
        self.load.disabled = bool(text) or self.model.busy
        shown = bool(text) and bool(self.model.symbols.strip())  # an empty page is not a warning
        self.blocker.value = f'<p class="dt-blocker" role="status">⚠ {escape(text)}</p>' if shown else ""
        show_if(self.blocker, shown)

    def _draw(self) -> None:
        result, tab = self.model.result, self.model.tab
        show_if(self.empty, result is None)
        show_if(self.result, result is not None)
        for key, button in self.tabs.items():
            (button.add_class if key == tab else button.remove_class)("dt-on")
        if result is None:
            return
        frame, percent = self._frame(result)
        show_if(self.heatmap_box, tab == "correlation")
        show_if(self.lines_box, frame is not None)
        show_if(self.scatter_box, tab == "risk")
        show_if(self.ranking_box, tab == "ranking")
        too_few = tab == "correlation" and frame is None
        show_if(self.rolling_note, too_few)
        if too_few:
            self.rolling_note.value = '<p class="dt-empty">Too few bars for this window; choose a shorter one.</p>'
        self.head.value = _head(result, self.model.provenance(), self.model.source)
        self.explained.value = f'<p class="dt-muted">{EXPLAINED[tab]}</p>'
        if frame is not None:
            if self.lines is None:  # a figure made while its place is hidden has no size to draw in
                self.lines = LinesPlot()
                self.lines_box.children = (self.lines.widget,)
            form = ".1%" if percent else ".2f" if tab == "correlation" else ",.1f"
            self.lines.show(frame, result.comparison.symbols, form=form, percent=percent)
        if tab == "correlation":
            self.heatmap.value = heatmap_html(result.comparison.correlation)
        if tab == "risk":
            self._draw_risk(result)
        if tab == "ranking":
            self.table.show(_rows(self.model.ranking, self.model.source))

    def _frame(self, result: Compared) -> tuple[pd.DataFrame | None, bool]:
        """What the line plot shows on this tab, and whether it is in percent."""
        found = result.comparison
        frames: dict[str, Any] = {
            "normalised": lambda: found.normalised,
            "strength": lambda: found.strength,
            "drawdowns": lambda: found.drawdowns,
            "correlation": lambda: self.model.rolling,
        }
        make = frames.get(self.model.tab)
        return (make() if make else None), self.model.tab == "drawdowns"

    def _draw_risk(self, result: Compared) -> None:
        if self.scatter is None:
            self.scatter = ScatterPlot("Volatility a year", "Return a year")
            self.scatter_box.children = (self.scatter.widget,)
        table = result.comparison.statistics
        self.scatter.show(list(map(str, table.index)), table["volatility"].tolist(), table["cagr"].tolist())


def _rows(ranking: pd.DataFrame | None, source: str) -> list[dict[str, Any]]:
    rows = []
    for symbol, values in (ranking if ranking is not None else pd.DataFrame()).iterrows():
        shown = {str(key): value * 100 if key in PERCENT else value for key, value in values.items()}
        rows.append({"id": str(symbol), "symbol": link(str(symbol), _chart(str(symbol), source)), **shown})
    return rows


def _chart(symbol: str, source: str) -> str:
    return f"analysis?{urlencode({'symbol': symbol} | ({'source': source} if source else {}))}"


def _head(result: Compared, provenance: Mapping[str, Sequence[str]], source: str) -> str:
    prices = result.comparison.prices
    intraday = result.request.history(result.request.symbols[0]).interval.intraday
    ends = [prices.index[i].to_pydatetime() for i in (0, -1)]
    # a trading day has no zone
    first, last = (when_html(end) if intraday else formats().day(end.date()) for end in ends)
    charts = ", ".join(
        f'<a class="dt-link" href="{escape(_chart(symbol, source))}">{escape(symbol)}</a>'
        for symbol in result.comparison.symbols
    )
    lines = "".join(
        f"<div><b>{escape(', '.join(symbols))}</b> {escape(line)}</div>" for line, symbols in provenance.items()
    )
    return (
        f'<div class="dt-head"><h1>{len(prices.columns)} symbols against {escape(result.comparison.benchmark)}</h1>'
        f'{_badge(result)}<span class="dt-muted">{len(prices):,} common dates, {first} to {last} · '
        f"{escape(result.comparison.basis)}</span></div>"
        f'<p class="dt-muted">Charts: {charts}</p>'
        f'<details class="dt-help"><summary>Where the prices come from</summary>{lines}</details>'
    )


def _badge(result: Compared) -> str:
    """Source, the longest delay, and when the oldest of the bars were fetched."""
    told = list(result.attributes.values())
    sources = sorted({str(a.get("source", "unknown")) for a in told})
    if any(a.get("simulated") for a in told):
        return badge_html("Simulated · not market prices", "warn")
    if "sample" in sources:
        return badge_html("Sample data · past prices", "warn")
    delay = max(int(str(a.get("delay_seconds") or 0)) for a in told)
    fetched = min((str(a["fetched_at"]) for a in told if a.get("fetched_at")), default="")
    at = datetime.fromisoformat(fetched) if fetched else None
    parts = [
        ", ".join(map(_source_name, sources)),
        f"{delay // 60} min delayed" if delay >= 60 else "not delayed",
        *([f"fetched {formats().when(at, seconds=True)[11:]}"] if at else []),
    ]
    return badge_html(" · ".join(parts), tip=formats().hint(at) if at else "")


def _source_name(key: str) -> str:
    return {"": "Automatic", "sample": "Sample data (offline)"}.get(key, key.replace("_", " ").title())
