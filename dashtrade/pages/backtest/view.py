"""Widgets of the backtest page, linked to its models. No services here."""

from __future__ import annotations

from functools import partial
from html import escape
from typing import Any
from urllib.parse import urlencode

import ipywidgets as w

from dashtrade.pages.backtest.around import SymbolSearch
from dashtrade.pages.backtest.form_view import FormView
from dashtrade.pages.backtest.honesty import HonestyModel
from dashtrade.pages.backtest.inputs import RUN, saved_name
from dashtrade.pages.backtest.model import TABS, BacktestModel
from dashtrade.pages.backtest.result_view import HonestyView, ResultView
from dashtrade.pages.backtest.runs import RunsModel
from dashtrade.pages.backtest.runs_view import RunsView
from dashtrade.pages.backtest.search import SearchModel
from dashtrade.pages.backtest.search_view import SearchView
from dashtrade.pages.widgets.bits import field, help_panel, html, panel, row, show_if, stack, styled
from dashtrade.pages.widgets.download import Download
from dashtrade.pages.widgets.view import PageView

RESULT = ("overview", "months", "trades", "statistics", "evidence", "symbols")
"""Tabs that show the result, and so are empty without one."""


class BacktestView(PageView):
    """The request on the left; on the right one tab a reading of the result, then sweep, walk-forward and runs."""

    model: BacktestModel

    def __init__(
        self,
        model: BacktestModel,
        honesty: HonestyModel,
        search: SearchModel,
        runs: RunsModel,
        symbols: SymbolSearch,
        *,
        help_text: str = "",
    ) -> None:
        super().__init__(model, "backtest", "Backtest")
        self.symbols, self.runs_model, self.honesty_model = symbols, runs, honesty
        self.form = FormView(model, symbols.look_up)
        self.result, self.honesty = ResultView(), HonestyView(honesty)
        self.search, self.runs = SearchView(search), RunsView(runs)
        self.tabs = {key: w.Button(description=title) for key, title in TABS.items()}
        self.name = w.Text(placeholder="A name for this run")
        self.keep = w.Button(description="Name this run")
        self.save = w.Button(description="Save as strategy", tooltip="Keeps the rules with their stops under this name")
        self.report = w.Button(description="HTML report", tooltip="Made in the background; it appears under Reports")
        self.notebook = w.Button(description="Open as notebook", tooltip="A notebook that makes this result again")
        self.links, self.hash = html(""), html("")
        self.download = Download()
        self.empty = html('<p class="dt-empty">Choose a strategy and press Run backtest.</p>')
        self._build(help_text)
        self._link()

    def _build(self, help_text: str) -> None:
        name = field("Name", self.name)
        acts = row(name, self.keep, self.save, self.report, self.notebook, self.links)
        self.top = panel(self.result.head, acts, self.hash, self.download)
        bar = styled(w.Box(list(self.tabs.values())), "dt-tabs")
        self.places: dict[str, w.Widget] = {
            **self.result.tabs, "evidence": self.honesty.widget, "search": self.search.widget, "runs": self.runs.widget,
        }  # fmt: skip
        right = stack(self.messages.widget, bar, self.empty, self.top, *self.places.values())
        body = styled(w.Box([self.form.widget, right]), "dt-split", "dt-left")
        self.widget = self.frame(body, help_panel(help_text))

    def _link(self) -> None:
        model = self.model
        for key, button in self.tabs.items():
            self.click(button, partial(setattr, model, "tab", key))
        self.click(self.keep, lambda: self.runs_model.name_last(self.name.value))
        self.click(self.save, lambda: self.shell.toast(model.save_as_strategy(self.name.value), "success"))
        self.click(self.report, lambda: self.shell.toast(model.make_html_report(), "success"))
        self.click(self.notebook, self._notebook)
        self.also(
            self.symbols, ["matches", "note"], lambda: self.form.add.offer(self.symbols.matches, self.symbols.note)
        )
        self.follow("report", self._draw_report)
        self.follow("tab", self._draw_tab)
        self.follow(["values", "report"], self._draw_links)
        self.follow(["query", "tab"], self._write_query)
        self.also(self.search.model, "busy", self._draw_working)

    def _write_query(self) -> None:
        tab = {} if self.model.tab == "overview" else {"tab": self.model.tab}
        self.shell.write_query({**self.model.query, **tab})

    def _notebook(self) -> None:
        name, text = self.model.notebook()
        self.download.save(name, text, "application/x-ipynb+json")
        self.shell.toast(f"{name} is in your downloads. It makes the same orders and compares the hashes.", "success")

    def _draw_report(self) -> None:
        report = self.model.report
        if report is not None:
            self.result.take(report)
            self.hash.value = (
                f'<p class="dt-muted">Result, SHA-256: <code style="overflow-wrap:anywhere">'
                f"{escape(report.result_hash)}</code></p>"
            )
            self.name.value = ""
            self.honesty_model.look_at(self.model.outcome)
        self._draw_tab()

    def _draw_tab(self) -> None:
        tab, report = self.model.tab, self.model.report
        for key, button in self.tabs.items():
            (button.add_class if key == tab else button.remove_class)("dt-on")
            button.tooltip = "Shown now" if key == tab else ""
        shown = "search" if tab in ("sweep", "walk") else tab
        inside = tab in RESULT
        show_if(self.empty, inside and report is None)
        show_if(self.top, inside and report is not None)
        for key, place in self.places.items():
            show_if(place, key == shown and (report is not None or not inside))
        self.search.wake(tab)
        if tab == "runs":
            self.runs.wake()
        if report is not None:
            self.result.wake(tab)
            self.honesty.wake(tab == "evidence")

    def _draw_links(self) -> None:
        """Where the tested strategy can be traded from."""
        model = self.model
        symbol = model.values["symbols"].replace(",", " ").split()[:1]
        own: dict[str, Any] = {"symbol": symbol[0]} if symbol else {}
        own |= {"period": model.values["period"], "interval": model.values["interval"]}
        key = model.values["strategy"]
        if (model.own_strategy is not None or model.preset is not None) and not key.startswith(RUN):
            query = urlencode({"strategy": saved_name(key), **own, "tab": "use"})
            self.links.value = f'<a class="dt-link-button" href="strategies?{escape(query)}">Make it a bot</a>'
        else:
            self.links.value = '<span class="dt-muted">Save it as a strategy to make it a bot.</span>'

    def _draw_working(self) -> None:
        busy = self.search.model.busy
        kind = self.search.model.kind
        for key in ("sweep", "walk"):
            self.tabs[key].description = TABS[key] + (" …" if busy and kind == key else "")
