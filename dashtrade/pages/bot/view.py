"""Widgets of the bot page, linked to its model. No services here."""

from __future__ import annotations

import json
from functools import partial
from html import escape

import ipywidgets as w

from dashtrade.domain.bots import BotTimeframe, Direction
from dashtrade.pages.bot import rows
from dashtrade.pages.bot.messages import KINDS
from dashtrade.pages.bot.model import ACTIONS, TABS, BotModel
from dashtrade.pages.widgets.bits import (
    Card,
    ConfirmButton,
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
    styled,
)
from dashtrade.pages.widgets.form import FieldSpec, ParamForm
from dashtrade.pages.widgets.table import DataTable
from dashtrade.pages.widgets.view import PageView

_TIMEFRAMES = tuple(tf.value for tf in BotTimeframe)
BASICS = (
    FieldSpec("symbol", "Symbol", "text", "AAPL", help="Ticker, such as AAPL"),
    FieldSpec("timeframe", "Timeframe", "choice", "1 Hour", choices=_TIMEFRAMES, help="Length of the alert's bars"),
    FieldSpec("position_size", "Position size $", "decimal", 1000, 1, 10_000_000, help="Dollars for each entry"),
    FieldSpec("direction", "Direction", "choice", "long_only", choices=tuple(d.value for d in Direction),
              help="long_only: SELL closes. long_short: SELL reverses. short_only: SELL opens a short"),
)  # fmt: skip
LIMITS = (
    FieldSpec("daily_loss_limit", "Daily loss limit $", "decimal", None, 1, optional=True,
              help="At this loss in a day the bot is switched off"),
    FieldSpec("max_position_size", "Largest position $", "decimal", None, 1, optional=True),
    FieldSpec("risk_limit_percent", "Risk limit % of equity", "decimal", 10, 0.1, 100,
              help="No entry may use more of the account's equity than this"),
    FieldSpec("max_orders_per_day", "Orders a day", "int", 200, 1, 100_000),
    FieldSpec("cooldown_losses", "Pause after losses", "int", None, 1, 1000, optional=True,
              help="So many losses in a row pause the bot for an hour"),
    FieldSpec("is_active", "Switch on at once", "bool", True),
)  # fmt: skip


class BotView(PageView):
    """Tabs: overview, set-up in four steps, orders, signals, risk."""

    model: BotModel

    def __init__(self, model: BotModel, *, help_text: str = "") -> None:
        super().__init__(model, "bot", "Trading bot")
        self.tabs = {key: w.Button(description=title) for key, title in TABS.items()}
        self.cards = html("")
        self.halted = html("")
        self.stop = ConfirmButton(model, "Stop all trading", "Yes, stop every entry", model.halt)
        self.resume = w.Button(description="Resume trading", button_style="primary")
        self.bots = DataTable(rows.BOTS, caption="Bots", filename="bots", empty="No bot yet. Make one under Set up.")
        self.positions = DataTable(
            rows.POSITIONS, caption="Positions", filename="positions", empty="No bot holds anything."
        )
        self.trades = DataTable(
            rows.TRADES, caption="Orders", filename="orders", empty="No orders yet. Send a test alert under Set up."
        )
        self.signals = DataTable(
            rows.SIGNALS,
            caption="Signals",
            filename="signals",
            empty="No alert has arrived yet, refused ones included.",
        )
        self.risk = DataTable(rows.RISK, caption="Risk events", filename="risk_events", empty="No limit was reached.")
        self.tokens = DataTable(
            rows.TOKENS, caption="Your tokens", filename="tokens", empty="No token yet.", page_size=5
        )
        self._set_up()
        self._build(help_text)
        self._link()

    def _set_up(self) -> None:
        self.basics, self.limits = ParamForm(BASICS), ParamForm(LIMITS)
        self.create = w.Button(description="Create bot", button_style="primary")
        self.chosen = w.Dropdown(options=[("no bot yet", None)])
        self.new_token = w.Button(description="New token", button_style="primary")
        self.for_one = w.Checkbox(False, description="only for this bot", indent=False)
        self.token = w.Password(placeholder="or paste a token that you kept", continuous_update=False)
        self.url, self.paste = html(""), html("")
        self.kind = w.Dropdown(options=[(label, key) for key, label in KINDS.items()])
        self.action = w.Dropdown(options=ACTIONS)
        self.send = w.Button(description="Send test alert", button_style="primary")
        self.answer = html("")

    def _build(self, help_text: str) -> None:
        one = panel(
            heading("1 · The bot"), self.basics.widget, heading("Limits", 3), self.limits.widget, row(self.create)
        )
        note = html('<p class="dt-muted">Trades in your simulated account: prices move, no money does.</p>')
        one.children = [one.children[0], note, *one.children[1:]]
        two = panel(
            heading("2 · Its token"),
            html('<p class="dt-muted">The token lets TradingView speak for you. It is shown once.</p>'),
            row(field("Bot", self.chosen)),
            row(self.new_token, self.for_one),
            row(field("Token", self.token)),
            self.tokens,
        )
        three = panel(
            heading("3 · The alert in TradingView"),
            html('<p class="dt-muted">Create an alert, paste the address under Notifications, Webhook URL, and the '
                 "text under Message. TradingView needs a public address on port 80 or 443 in front of this "
                 "server.</p>"),
            html('<span class="dt-label">Webhook URL</span>'), self.url,
            row(field("Message for", self.kind)), self.paste,
        )  # fmt: skip
        four = panel(
            heading("4 · A test alert"),
            html('<p class="dt-muted">Goes the whole way: webhook, checks, order, fill. At the simulator only.</p>'),
            row(field("Action", self.action), self.send),
            self.answer,
        )
        self.sections = {
            "overview": stack(self.cards, panel(self.bots), panel(self.positions)),
            "setup": columns(one, stack(two), stack(three, four)),
            "orders": panel(self.trades),
            "signals": panel(self.signals),
            "risk": panel(self.risk),
        }
        bar = styled(w.Box(list(self.tabs.values())), "dt-tabs")
        stop = row(self.halted, self.stop.widget, self.resume)
        head = stack(stop, self.messages.widget, bar)
        self.widget = self.frame(head, *self.sections.values(), help_panel(help_text))

    def _link(self) -> None:
        model = self.model
        for key, button in self.tabs.items():
            self.click(button, partial(setattr, model, "tab", key))
        self.click(self.create, self._create)
        self.click(self.new_token, lambda: model.create_token(for_one_bot=self.for_one.value))
        self.click(self.send, model.send_test)
        self.click(self.resume, model.resume)
        for table in (self.bots, self.tokens):
            table.on_action(model.guard(model.row_action))
        self.bind("message_kind", self.kind)
        self.bind("test_action", self.action)
        self.bind("token", self.token)
        self.follow("tab", self._draw_tab)
        self.follow("snapshot", self._draw_tables)
        self.follow(["snapshot", "chosen_bot"], self._draw_choice)
        self.follow(["token", "chosen_bot", "message_kind"], self._draw_paste)
        self.follow(["answer", "sending", "snapshot"], self._draw_answer)
        self.chosen.observe(model.guard(self._choose), "value")

    def _create(self) -> None:
        self.model.create_bot({**self.basics.values(), **self.limits.values()})

    def _choose(self, change: dict[str, object]) -> None:
        if change["new"] is not None:
            self.model.chosen_bot = change["new"]  # type: ignore[assignment]

    def _draw_tab(self) -> None:
        for key, button in self.tabs.items():
            on = key == self.model.tab
            (button.add_class if on else button.remove_class)("dt-on")
            show_if(self.sections[key], on)

    def _draw_choice(self) -> None:
        bots = self.model.snapshot.bots
        options: list[tuple[str, int | None]] = [(rows.name_of(b), b.id) for b in bots]
        options = options or [("no bot yet", None)]
        if list(self.chosen.options) != options:
            self.chosen.options = options
        if self.model.chosen_bot in [value for _, value in options]:
            self.chosen.value = self.model.chosen_bot

    def _draw_tables(self) -> None:
        s = self.model.snapshot
        self.bots.show(rows.bot_rows(s))
        self.positions.show(rows.position_rows(s))
        self.trades.show(rows.trade_rows(s))
        self.signals.show(rows.signal_rows(s))
        self.risk.show(rows.risk_rows(s))
        self.tokens.show(rows.token_rows(s))
        on = sum(b.config.is_active for b in s.bots)
        pnl = s.total_pnl
        arrow = "▲ " if pnl > 0 else "▼ " if pnl < 0 else ""
        self.cards.value = cards_html(
            (
                Card("Bots switched on", f"{on} of {len(s.bots)}"),
                Card("Realised P&L", f"{arrow}${pnl:,.2f}", "Of all bots, since they were made, by FIFO lots",
                     tone="good" if pnl > 0 else "bad" if pnl < 0 else "plain"),
                Card("Open positions", str(len(s.positions))),
                Card("Signals shown", str(len(s.signals)), "The newest 200"),
                Card("Risk events", str(len(s.risk_events)), tone="bad" if s.risk_events else "plain"),
            )
        )  # fmt: skip
        halt = s.halted
        show_if(self.halted, halt is not None)
        show_if(self.resume, s.resumable is not None)
        self.stop.show(s.resumable is None)
        self.halted.value = (
            f'<div role="alert"><b class="dt-down">■ Trading is stopped</b> since {halt.set_at:%Y-%m-%d %H:%M} UTC: '
            f"{escape(halt.reason)} Entries are blocked, exits still run.</div>"
            if halt
            else ""
        )

    def _draw_paste(self) -> None:
        self.url.value = f'<code class="dt-copy" aria-label="Webhook URL">{escape(self.model.url)}</code>'
        text = self.model.paste_message or "Create a bot first."
        self.paste.value = f'<code class="dt-copy" aria-label="Alert message">{escape(text)}</code>'

    def _draw_answer(self) -> None:
        self.send.disabled = self.model.sending
        answer = self.model.answer
        if self.model.sending:
            self.answer.value = '<span role="status"><i class="dt-spinner"></i>Sent; waiting for the answer…</span>'
        elif answer is None:
            self.answer.value = ""
        else:
            ok = answer.status < 300
            sign, tone = ("✓", "dt-up") if ok else ("✕", "dt-down")
            self.answer.value = (
                f'<p role="status" data-status="{answer.status}"><b class="{tone}">{sign} HTTP {answer.status}</b> '
                f"in {answer.milliseconds:.0f} ms</p>{self._outcome_html()}"
                f'<code class="dt-copy">{escape(_pretty(answer.body))}</code>'
            )

    def _outcome_html(self) -> str:
        found = self.model.outcome
        if found is None:
            return ""
        return f'<p data-state="{escape(found.state)}">Outcome: {escape(found.state)}. {escape(found.explanation)}</p>'


def _pretty(body: str) -> str:
    try:
        return json.dumps(json.loads(body), indent=1, ensure_ascii=False)
    except ValueError:
        return body[:2000]
