"""Widgets of the home page, linked to its model. No services here."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import Any

import ipywidgets as w

from dashtrade.domain.market import Quote
from dashtrade.pages.home.model import HomeModel
from dashtrade.pages.widgets.bits import (
    Card,
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
from dashtrade.pages.widgets.table import Column, DataTable, action
from dashtrade.pages.widgets.view import PageView

BOTS = (
    Column("name", "Bot"),
    Column("state", "State", "badge"),
    Column("position", "Position", "number", 9, 0),
    Column("pnl", "P&L $", "signed"),
    Column("signal_time", "Last signal", "time"),
)
SIGNALS = (
    Column("received_at", "Received", "time"),
    Column("symbol", "Symbol"),
    Column("action", "Action"),
    Column("state", "Outcome", "badge"),
    Column("explanation", "Reason"),
)
WATCHLIST = (
    Column("symbol", "Symbol"),
    Column("price", "Price", "money", 4, 2),
    Column("time", "At", "time"),
    Column("source", "Source", "badge"),
    Column("actions", "Actions", "actions"),
)


class HomeView(PageView):
    """Figures on top, then the watchlist, the bots and the newest signals."""

    model: HomeModel

    def __init__(self, model: HomeModel, *, help_text: str = "") -> None:
        super().__init__(model, "home", "Home")
        self.cards, self.halted, self.problem = html(""), html(""), html("")
        self.bots = DataTable(
            BOTS, caption="Bots", filename="bots", empty="No bot yet. Make one on the page Trading bot.", page_size=8
        )
        self.signals = DataTable(
            SIGNALS, caption="Newest signals", filename="signals", empty="No alert has arrived yet.", page_size=8
        )
        self.watchlist = DataTable(
            WATCHLIST,
            caption="Watchlist",
            filename="watchlist",
            empty="Follow a symbol, such as AAPL, with the field above.",
        )
        self.symbol = w.Text(placeholder="AAPL")
        self.add = w.Button(description="Follow", button_style="primary")
        lists = columns(
            panel(
                heading("Follow a symbol"), row(field("Symbol", self.symbol), self.add), self.problem, self.watchlist
            ),
            panel(self.bots),
        )
        head = stack(self.halted, self.messages.widget, self.cards)
        self.widget = self.frame(head, lists, panel(self.signals), help_panel(help_text))
        self.click(self.add, self._follow_symbol)
        self.symbol.on_submit(model.guard(lambda _text: self._follow_symbol()))
        self.watchlist.on_action(model.guard(model.unwatch))
        self.follow("overview", self._draw)

    def _follow_symbol(self) -> None:
        self.model.watch(self.symbol.value)
        self.symbol.value = ""

    def _draw(self) -> None:
        o = self.model.overview
        self.bots.show(self._bot_rows())
        self.signals.show(self._signal_rows())
        self.watchlist.show(self._watch_rows())
        pnl = o.realised
        arrow = "▲ " if pnl > 0 else "▼ " if pnl < 0 else ""
        on = sum(bot.config.is_active for bot in o.bots)
        self.cards.value = cards_html(
            (
                Card("Bots switched on", f"{on} of {len(o.bots)}"),
                Card("Open positions", str(len(o.positions))),
                Card("Realised P&L", f"{arrow}${pnl:,.2f}", "Of all bots, since they were made, by FIFO lots",
                     tone="good" if pnl > 0 else "bad" if pnl < 0 else "plain"),
                Card("Symbols followed", str(len(o.watchlist))),
            )
        )  # fmt: skip
        self.problem.value = (
            f'<p class="dt-blocker">⚠ No prices: {escape(o.price_problem)}</p>' if o.price_problem else ""
        )
        show_if(self.problem, bool(o.price_problem))
        stopped = "; ".join(f"{h.symbol or h.scope}: {h.reason}" for h in o.halts)
        self.halted.value = (
            f'<div role="alert"><b class="dt-down">■ Stopped</b> {escape(stopped)}</div>' if stopped else ""
        )
        show_if(self.halted, bool(stopped))

    def _bot_rows(self) -> Iterator[dict[str, Any]]:
        for bot in self.model.overview.bots:
            on = bot.config.is_active
            yield {
                "id": bot.id, "name": f"{bot.config.symbol} · {bot.config.timeframe.value}",
                "state": "● On" if on else "○ Off", "tones": {"state": "good" if on else "plain"},
                "position": bot.position_qty, "pnl": bot.total_pnl, "signal_time": bot.last_signal_time,
            }  # fmt: skip

    def _signal_rows(self) -> Iterator[dict[str, Any]]:
        tones = {"done": "good", "rejected": "bad", "refused": "bad"}
        for s in self.model.overview.signals:
            yield {
                "id": s.request_id, "received_at": s.received_at, "symbol": s.symbol, "action": s.action,
                "state": s.state, "tones": {"state": tones.get(s.state, "plain")}, "explanation": s.explanation,
            }  # fmt: skip

    def _watch_rows(self) -> Iterator[dict[str, Any]]:
        quotes = dict(self.model.overview.quotes)
        for watched in self.model.overview.watchlist:
            quote = quotes.get(watched.symbol)
            made_up = quote is not None and quote.simulated
            yield {
                "id": watched.symbol, "symbol": watched.symbol, "price": quote.price if quote else None,
                "time": quote.time if quote else None,
                "source": None if quote is None else "simulated" if made_up else _told(quote),
                "tones": {"source": "warn" if made_up else "plain"}, "actions": [action("unwatch", "Remove")],
            }  # fmt: skip


def _told(quote: Quote) -> str:
    """The source, and its delay where it has one."""
    return f"{quote.source}, {quote.delay_seconds // 60} min delayed" if quote.delay_seconds else quote.source
