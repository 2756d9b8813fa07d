"""Widgets of the home page, linked to its model. No services here."""

from __future__ import annotations

import ipywidgets as w

from dashtrade.pages.home import rows
from dashtrade.pages.home.model import HomeModel
from dashtrade.pages.widgets.bits import (
    cards_html,
    columns,
    field,
    heading,
    help_panel,
    html,
    panel,
    row,
    show_if,
    stack,
)
from dashtrade.pages.widgets.table import DataTable
from dashtrade.pages.widgets.view import PageView

WELCOME = (
    "<p>Nothing is here yet. Follow the symbols you care about below, take the first steps, or look around with the "
    "past prices of four shares, which need no network.</p>"
)


class HomeView(PageView):
    """What needs attention and the day's figures on top, then movers, bots, positions, alerts, reports and signals."""

    model: HomeModel

    def __init__(self, model: HomeModel, *, help_text: str = "") -> None:
        super().__init__(model, "home", "Home")
        self.cards, self.attention, self.steps, self.system = html(""), html(""), html(""), html("")
        self.bots = DataTable(
            rows.BOTS, caption="Bots", filename="bots", empty="No bot yet. Make one on the page Trading bot.",
            page_size=8,
        )  # fmt: skip
        self.positions = DataTable(
            rows.POSITIONS, caption="Open positions", filename="positions", empty="No bot holds anything.", page_size=8
        )
        self.signals = DataTable(
            rows.SIGNALS, caption="Newest signals", filename="signals", empty="No alert has arrived yet.", page_size=8
        )
        self.alerts = DataTable(
            rows.ALERTS, caption="Alerts told", filename="alerts", empty="No rule has told anything yet. Make one on "
            "the page Alerts.", page_size=8,
        )  # fmt: skip
        self.reports = DataTable(
            rows.REPORTS, caption="Last reports", filename="reports", empty="No report has run yet.", page_size=5
        )
        self.watchlist = DataTable(
            rows.MOVERS,
            caption="Watchlist movers",
            filename="watchlist",
            empty="Follow a symbol, such as AAPL, with the field above.",
        )
        self.symbol = w.Text(placeholder="AAPL")
        self.add = w.Button(description="Follow", button_style="primary")
        self.sample = w.Button(description="Look around with sample data", button_style="primary")
        self.market = w.Button(description="Back to market prices", tooltip="Prices of your own sources again")
        self.welcome = panel(heading("Welcome"), html(WELCOME), row(self.sample))
        self.first = panel(heading("First steps"), self.steps)
        top = columns(stack(panel(heading("Needs attention"), self.attention, self.system), self.cards), self.first)
        movers = panel(row(field("Symbol", self.symbol), self.add, self.market), self.watchlist)
        head = stack(self.messages.widget, self.welcome, top)
        self.widget = self.frame(
            head,
            columns(movers, stack(panel(self.bots), panel(self.positions))),
            columns(panel(self.alerts), panel(self.reports)),
            panel(self.signals),
            help_panel(help_text),
        )
        self.click(self.add, self._follow_symbol)
        self.click(self.sample, model.use_sample)
        self.click(self.market, model.use_market)
        self.symbol.on_submit(model.guard(lambda _text: self._follow_symbol()))
        self.watchlist.on_action(model.guard(model.unwatch))
        self.follow(["overview", "loaded", "sample"], self._draw)
        self.follow("query", lambda: self.shell.write_query(model.query))

    def _follow_symbol(self) -> None:
        self.model.watch(self.symbol.value)
        self.symbol.value = ""

    def _draw(self) -> None:
        o, sample = self.model.overview, self.model.sample
        show_if(self.welcome, self.model.loaded and o.fresh)
        show_if(self.first, o.steps.done < 4)
        show_if(self.market, sample)
        self.attention.value = rows.attention(o) if self.model.loaded else '<p class="dt-muted">Reading…</p>'
        self.steps.value = rows.steps(o, sample=sample)
        self.system.value = rows.system(o) if self.model.loaded else ""
        self.cards.value = cards_html(rows.cards(o))
        self.bots.show(rows.bot_rows(o))
        self.positions.show(rows.position_rows(o))
        self.signals.show(rows.signal_rows(o))
        self.alerts.show(rows.alert_rows(o))
        self.reports.show(rows.report_rows(o))
        self.watchlist.show(rows.mover_rows(o, sample=sample))
