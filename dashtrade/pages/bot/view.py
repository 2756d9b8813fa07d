"""Widgets of the bot page, linked to its model. No services here."""

from __future__ import annotations

from functools import partial
from html import escape

import ipywidgets as w

from dashtrade.pages.bot import rows
from dashtrade.pages.bot.model import TABS, BotModel
from dashtrade.pages.bot.setup_view import SetupView
from dashtrade.pages.bot.study_view import PerformanceView, ReplayView
from dashtrade.pages.formats import formats
from dashtrade.pages.widgets.bits import (
    Card,
    ConfirmButton,
    Tone,
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
    when_html,
)
from dashtrade.pages.widgets.table import DataTable
from dashtrade.pages.widgets.view import PageView

EMPTY = {
    "bots": "No bot yet. Make one under Set up.",
    "positions": "No bot holds anything.",
    "trades": "No orders yet. Send a test alert under Set up.",
    "signals": "No alert has arrived yet, refused ones included.",
    "risk": "No limit was reached.",
    "halts": "No kill switch is on.",
}


class BotView(PageView):
    """Tabs: overview, set-up, orders, signals, performance, replay, risk."""

    model: BotModel

    def __init__(self, model: BotModel, *, help_text: str = "") -> None:
        super().__init__(model, "bot", "Trading bot")
        self.tabs = {key: w.Button(description=title) for key, title in TABS.items()}
        self.cards, self.halted = html(""), html("")
        self.stop = ConfirmButton(model, "Stop all trading", "Yes, stop every entry", model.halt)
        self.resume = w.Button(description="Resume trading", button_style="primary")
        self.bots = DataTable(rows.BOTS, caption="Bots", filename="bots")
        self.positions = DataTable(rows.POSITIONS, caption="Positions", filename="positions")
        self.trades = DataTable(rows.TRADES, caption="Orders", filename="orders")
        self.signals = DataTable(rows.SIGNALS, caption="Signals", filename="signals")
        self.risk = DataTable(rows.RISK, caption="Risk events", filename="risk_events")
        self.halts = DataTable(rows.HALTS, caption="Kill switches that are on", filename="kill_switches", page_size=5)
        self.halt_symbol = w.Text(placeholder="AAPL")
        self.stop_symbol = ConfirmButton(model, "Stop this symbol", "Yes, stop its entries", self._stop_symbol)
        self.setup = SetupView(model, self)
        self.performance, self.replay = PerformanceView(model, self), ReplayView(model, self)
        self._build(help_text)
        self._link()

    def _build(self, help_text: str) -> None:
        note = html(
            '<p class="dt-muted">A kill switch blocks entries at once and never an exit. The one for all your bots is '
            "at the top of this page, a single bot is switched off in the overview, and a symbol is stopped here. "
            "Whoever is stopped gets a message.</p>"
        )
        switches = panel(
            heading("Kill switches"),
            note,
            row(field("Symbol", self.halt_symbol), *self.stop_symbol.widget.children),
            self.halts,
        )
        self.sections = {
            "overview": stack(self.cards, panel(self.bots), panel(self.positions)),
            "setup": self.setup.widget,
            "orders": panel(self.trades),
            "signals": panel(self.signals),
            "performance": self.performance.widget,
            "replay": self.replay.widget,
            "risk": stack(switches, panel(self.risk)),
        }
        bar = styled(w.Box(list(self.tabs.values())), "dt-tabs")
        stop = row(self.halted, self.stop.widget, self.resume)
        head = stack(stop, self.messages.widget, self.progress.widget, bar)
        self.widget = self.frame(head, *self.sections.values(), help_panel(help_text))

    def _link(self) -> None:
        model = self.model
        for key, button in self.tabs.items():
            self.click(button, partial(setattr, model, "tab", key))
        self.click(self.resume, model.resume)
        for table in (self.bots, self.halts):
            table.on_action(model.guard(model.row_action))
        self.follow("tab", self._draw_tab)
        self.follow(["snapshot", "loaded"], self._draw_tables)
        self.follow("query", lambda: self.shell.write_query(model.query))

    def _stop_symbol(self) -> None:
        self.model.halt_symbol(self.halt_symbol.value)
        self.halt_symbol.value = ""

    def _draw_tab(self) -> None:
        for key, button in self.tabs.items():
            on = key == self.model.tab
            (button.add_class if on else button.remove_class)("dt-on")
            show_if(self.sections[key], on)

    def _draw_tables(self) -> None:
        s = self.model.snapshot
        for name, text in EMPTY.items():
            getattr(self, name).empty = text if self.model.loaded else "Loading…"
        self.bots.show(rows.bot_rows(s))
        self.positions.show(rows.position_rows(s))
        self.trades.show(rows.trade_rows(s))
        self.signals.show(rows.signal_rows(s))
        self.risk.show(rows.risk_rows(s))
        self.halts.show(rows.halt_rows(s))
        self.setup.tokens.show(rows.token_rows(s))
        self._draw_cards()
        halt = s.halted
        show_if(self.halted, halt is not None)
        show_if(self.resume, s.resumable is not None)
        self.stop.show(s.resumable is None)
        self.halted.value = (
            f'<div role="alert"><b class="dt-down">■ Trading is stopped</b> since '
            f"{when_html(halt.set_at, zone=True)}: "
            f"{escape(halt.reason)} Entries are blocked, exits still run.</div>"
            if halt
            else ""
        )

    def _draw_cards(self) -> None:
        s = self.model.snapshot
        on = sum(b.config.is_active for b in s.bots)
        blind = any(r.open is None for r in s.results.values())
        note = "without what has no price" if blind else ""
        self.cards.value = cards_html(
            (
                Card("Bots switched on", f"{on} of {len(s.bots)}"),
                Card("Day P&L", _signed(s.day_pnl), "Realised today on New York's calendar, and open now", note,
                     _tone(s.day_pnl)),
                Card("Total P&L", _signed(s.total_pnl), "Of all bots, since they were made, by FIFO lots, and open now",
                     note, _tone(s.total_pnl)),
                Card("Open positions", str(len(s.positions))),
                Card("Signals shown", str(len(s.signals)), "The newest 200"),
                Card("Risk events", str(len(s.risk_events)), tone="bad" if s.risk_events else "plain"),
            )
        )  # fmt: skip


def _signed(amount: object) -> str:
    value = float(str(amount))
    arrow = "▲ " if value > 0 else "▼ " if value < 0 else ""
    return f"{arrow}{formats().money(value)}"


def _tone(amount: object) -> Tone:
    value = float(str(amount))
    return "good" if value > 0 else "bad" if value < 0 else "plain"
