"""The wizard's widgets: account, bot, token and alert, test. No services here."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from html import escape
from typing import Any
from urllib.parse import urlencode

import ipywidgets as w

from dashtrade.domain.bots import AccountMode, BotTimeframe, Direction
from dashtrade.pages.bot import rows
from dashtrade.pages.bot.messages import KINDS
from dashtrade.pages.bot.model import BotModel
from dashtrade.pages.bot.setup import ACTIONS, MODES, STEPS, AlertStep
from dashtrade.pages.widgets.bits import field, heading, html, panel, row, show_if, stack, styled
from dashtrade.pages.widgets.form import FieldSpec, ParamForm
from dashtrade.pages.widgets.table import DataTable
from dashtrade.pages.widgets.view import PageView
from dashtrade.services.bot_connection import CheckStep

_TIMEFRAMES = tuple(tf.value for tf in BotTimeframe)
BASICS = (
    FieldSpec("symbol", "Symbol", "text", "AAPL", help="Ticker, such as AAPL"),
    FieldSpec("timeframe", "Timeframe", "choice", "1 Hour", choices=_TIMEFRAMES, help="Length of the alert's bars"),
    FieldSpec("position_size", "Position size $", "decimal", 1000, 1, 10_000_000, help="Dollars for each entry"),
    FieldSpec("direction", "Direction", "choice", "long_only", choices=tuple(d.value for d in Direction),
              help="long_only: SELL closes. long_short: SELL reverses. short_only: SELL opens a short"),
)  # fmt: skip
RISK_LIMITS = (
    FieldSpec("daily_loss_limit", "Daily loss limit $", "decimal", None, 1, optional=True,
              help="At this loss in a day the bot is switched off"),
    FieldSpec("max_position_size", "Largest position $", "decimal", None, 1, optional=True),
    FieldSpec("max_drawdown", "Largest drawdown $", "decimal", None, 1, optional=True,
              help="So far below its best result the bot is switched off"),
    FieldSpec("risk_limit_percent", "Risk limit % of equity", "decimal", 10, 0.1, 100, optional=True,
              help="No entry may use more of the account's equity than this"),
    FieldSpec("max_orders_per_day", "Orders a day", "int", 200, 1, 100_000, optional=True),
    FieldSpec("cooldown_losses", "Pause after losses", "int", None, 1, 1000, optional=True,
              help="So many losses in a row pause the bot for an hour"),
)  # fmt: skip
SWITCHES = (
    FieldSpec("flatten_on_breach", "Close the position at a loss limit", "bool", False),
    FieldSpec("is_active", "Switch on at once", "bool", True),
)
NOTES = {
    AccountMode.SIMULATED.value: "The built-in broker: orders fill at market prices, with no account elsewhere.",
    AccountMode.PAPER.value: "Alpaca's practice account. Its keys are entered on the account page and opened by the "
    "trader alone; this page never sees them.",
    AccountMode.LIVE.value: "Orders with real money. Beside the live keys it takes your password and a typed sentence "
    "on the account page, which this page cannot give for you. A live bot starts switched off.",
}
NEW = 0
"""The form's choice for a bot that is not there yet: a list shows no label for None."""
_SIGNS = {True: ("✓", "dt-up"), False: ("✕", "dt-down"), None: ("…", "dt-muted")}


class SetupView:
    """Four steps, one panel each; the bar of steps leads to any of them."""

    def __init__(self, model: BotModel, page: PageView) -> None:
        self.model = model
        self.steps = {key: w.Button(description=title) for key, title in STEPS.items()}
        self.mode = w.Dropdown(options=[(text, key) for key, text in MODES.items()])
        self.mode_note, self.checks = html(""), html("")
        self.check = w.Button(description="Check the connection", button_style="primary")
        self.to_bot = w.Button(description="Next: the bot")
        self.form_bot = w.Dropdown(options=[("A new bot", NEW)])
        self.strategy = w.Dropdown(options=[("None, or a script of TradingView's own", "")])
        self.basics, self.limits, self.switches = ParamForm(BASICS), ParamForm(RISK_LIMITS), ParamForm(SWITCHES)
        self.new_passphrase = w.Password(placeholder="none, or 8 characters at least", continuous_update=False)
        self.create = w.Button(description="Create bot", button_style="primary")
        self.form_note = html("")
        self.chosen = w.Dropdown(options=[("no bot yet", None)])
        self.new_token = w.Button(description="New token", button_style="primary")
        self.for_one = w.Checkbox(False, description="only for this bot", indent=False)
        self.token = w.Password(placeholder="or paste a token that you kept", continuous_update=False)
        self.passphrase = w.Password(placeholder="the bot's passphrase", continuous_update=False)
        self.base = w.Text(placeholder="https://hooks.example.com", continuous_update=False)
        self.url, self.paste, self.url_problem, self.script = html(""), html(""), html(""), html("")
        self.kind = w.Dropdown(options=[(label, key) for key, label in KINDS.items()])
        self.to_test = w.Button(description="Next: a test alert")
        self.tested = w.Dropdown(options=[("no bot yet", None)])
        self.action = w.Dropdown(options=ACTIONS)
        self.send = w.Button(description="Send test alert", button_style="primary")
        self.answer = html("")
        self.tokens = DataTable(
            rows.TOKENS, caption="Your tokens", filename="tokens", empty="No token yet.", page_size=5
        )
        self._build()
        self._link(page)

    def _build(self) -> None:
        self.mode.layout.max_width = "520px"
        account = panel(
            heading("Where it trades"),
            row(field("Account", self.mode)),
            self.mode_note,
            self.checks,
            row(self.check, self.to_bot),
        )
        phrase = field("Passphrase", self.new_passphrase, "Alerts must name it in their body")
        bot = panel(
            heading("The bot"),
            row(field("Bot", self.form_bot), field("Strategy", self.strategy)),
            self.basics.widget,
            heading("Limits"),
            self.limits.widget,
            row(phrase, *self.switches.controls.values()),
            self.form_note,
            row(self.create),
        )
        self.phrase_row = row(field("Passphrase", self.passphrase, "As given when the bot was made"))
        token = panel(
            heading("Its token"),
            html('<p class="dt-muted">The token lets TradingView speak for you. It is shown once.</p>'),
            row(field("Bot", self.chosen)),
            row(self.new_token, self.for_one),
            row(field("Token", self.token)),
            self.phrase_row,
            self.tokens,
        )
        alert = panel(
            heading("The alert in TradingView"),
            html('<p class="dt-muted">Create an alert, paste the address under Notifications, Webhook URL, and the '
                 "text under Message.</p>"),
            row(field("Public address of the webhook", self.base, "As TradingView reaches it, on port 443 or 80")),
            self.url_problem,
            html('<span class="dt-label">Webhook URL</span>'), self.url,
            row(field("Message for", self.kind)), self.script, self.paste,
            row(self.to_test),
        )  # fmt: skip
        test = panel(
            heading("A test alert"),
            html('<p class="dt-muted">Goes the whole way as an alert of TradingView does: webhook, checks, order, '
                 "fill. A paper bot really places its order at Alpaca; a live bot is not tested.</p>"),
            row(field("Bot", self.tested), field("Action", self.action), self.send),
            self.answer,
        )  # fmt: skip
        self.panels = {
            "account": account, "bot": bot, "alert": styled(w.Box([token, alert]), "dt-columns"), "test": test,
        }  # fmt: skip
        bar = styled(w.Box(list(self.steps.values())), "dt-tabs")
        self.widget = stack(bar, *self.panels.values())

    def _link(self, page: PageView) -> None:
        model = self.model
        for key, button in self.steps.items():
            page.click(button, partial(self._go, key))
        page.click(self.check, model.check_connection)
        page.click(self.to_bot, partial(self._go, "bot"))
        page.click(self.to_test, partial(self._go, "test"))
        page.click(self.create, self._save)
        page.click(self.new_token, lambda: model.create_token(for_one_bot=self.for_one.value))
        page.click(self.send, model.send_test)
        self.tokens.on_action(model.guard(model.row_action))
        page.bind("mode", self.mode)
        page.bind("message_kind", self.kind)
        page.bind("test_action", self.action)
        page.bind("token", self.token)
        page.bind("passphrase", self.passphrase)
        page.bind("base", self.base)
        page.follow("step", self._draw_step)
        page.follow(["connection", "mode"], self._draw_account)
        page.follow("strategies", self._draw_strategies)
        page.follow(["snapshot", "chosen_bot", "form_bot"], self._draw_choice)
        page.follow("form_bot", self._draw_form)
        page.follow(["form_bot", "mode"], self._draw_form_note)
        page.follow(["token", "chosen_bot", "message_kind", "base", "passphrase", "snapshot"], self._draw_paste)
        page.follow(["answer", "sending", "snapshot"], self._draw_answer)
        page.follow("strategy", self._draw_strategy)
        for control in (self.chosen, self.tested):
            control.observe(model.guard(self._choose), "value")
        self.form_bot.observe(model.guard(self._open), "value")
        self.strategy.observe(model.guard(lambda change: setattr(model, "strategy", change["new"] or "")), "value")

    # ------------------------------------------------------------------ from the controls

    def _go(self, step: str) -> None:
        self.model.step = step

    def _save(self) -> None:
        values = {**self.basics.values(), **self.limits.values(), **self.switches.values()}
        phrase, self.new_passphrase.value = self.new_passphrase.value, ""
        self.model.save_bot(values, phrase)

    def _choose(self, change: dict[str, object]) -> None:
        if change["new"] is not None:
            self.model.chosen_bot = change["new"]  # type: ignore[assignment]

    def _open(self, change: dict[str, Any]) -> None:
        chosen = change["new"] or None
        if chosen != self.model.form_bot:
            self.model.edit(chosen)

    # ------------------------------------------------------------------ to the controls

    def _draw_step(self) -> None:
        for key, button in self.steps.items():
            on = key == self.model.step
            (button.add_class if on else button.remove_class)("dt-on")
            show_if(self.panels[key], on)

    def _draw_account(self) -> None:
        self.mode_note.value = f'<p class="dt-muted">{escape(NOTES[self.model.mode])}</p>'
        found = self.model.connection
        if found is None:
            self.checks.value = '<p class="dt-muted" role="status">Looking…</p>'
            return
        ready = (
            ""
            if not found.ready
            else '<p class="dt-up" role="status" style="margin-top:8px">✓ A bot of this account can trade.</p>'
        )
        self.checks.value = checks_html(found.steps) + ready
        self.check.disabled = found.waiting

    def _draw_strategies(self) -> None:
        names = self.model.strategies
        options = [("None, or a script of TradingView's own", ""), *((name, name) for name in names)]
        kept = self.model.strategy
        if kept and kept not in names:
            options.append((kept, kept))
        self.strategy.options = options
        self.strategy.value = kept

    def _draw_strategy(self) -> None:
        if self.model.strategy not in [value for _, value in self.strategy.options]:
            self._draw_strategies()
        self.strategy.value = self.model.strategy

    def _draw_choice(self) -> None:
        bots = self.model.snapshot.bots
        options: list[tuple[str, int | None]] = [(rows.name_of(b), b.id) for b in bots]
        form: list[tuple[str, int | None]] = [("A new bot", NEW), *options]
        options = options or [("no bot yet", None)]
        chosen = self.model.chosen_bot
        for control in (self.chosen, self.tested):
            if list(control.options) != options:
                control.options = options
            if chosen in [value for _, value in options]:
                control.value = chosen
        if list(self.form_bot.options) != form:
            self.form_bot.options = form
        self.form_bot.value = self.model.form_bot or NEW

    def _draw_form(self) -> None:
        bot = self.model.edited
        for form in (self.basics, self.limits, self.switches):
            if bot is None:
                form.reset()
        self.create.description = "Save changes" if bot else "Create bot"
        show_if(self.new_passphrase, bot is None)
        show_if(self.switches.controls["is_active"], bot is None)
        if bot is None:
            return
        c, limits = bot.config, bot.config.limits
        self.basics.fill(
            {"symbol": c.symbol, "timeframe": c.timeframe.value, "position_size": c.position_size,
             "direction": c.direction.value}
        )  # fmt: skip
        self.limits.fill({spec.name: getattr(limits, spec.name) for spec in RISK_LIMITS})
        self.switches.fill({"flatten_on_breach": limits.flatten_on_breach})

    def _draw_form_note(self) -> None:
        bot, mode = self.model.edited, self.model.mode
        on = self.switches.controls["is_active"]
        live = mode == AccountMode.LIVE.value
        if live != on.disabled:  # a live bot starts switched off; any other as it did before
            on.disabled, on.value = live, not live
        where = f"Trades in the {mode} account"
        if bot is not None:
            phrase = " and needs a passphrase" if bot.has_passphrase else ""
            text = f"{where}{phrase}. The account and the passphrase of a bot that is there are not changed here."
        else:
            text = f"{where}; step 1 chooses another."
        self.form_note.value = f'<p class="dt-muted">{escape(text)}</p>'

    def _draw_paste(self) -> None:
        model = self.model
        self.url.value = f'<code class="dt-copy" aria-label="Webhook URL">{escape(model.url)}</code>'
        text = model.paste_message or "Create a bot first."
        self.paste.value = f'<code class="dt-copy" aria-label="Alert message">{escape(text)}</code>'
        problem = model.url_problem
        self.url_problem.value = f'<p class="dt-blocker" role="status">⚠ {escape(problem)}</p>' if problem else ""
        show_if(self.url_problem, bool(problem))
        bot = model.bot
        show_if(self.phrase_row, bot is not None and bot.has_passphrase)
        name = bot.config.strategy_name if bot else None
        link = f'<a class="dt-link" href="strategies?{escape(urlencode({"name": name}))}">' if name else ""
        self.script.value = (
            f'<p class="dt-muted">Its strategy is {escape(name)}: {link}take its Pine script from the strategies '
            "page</a>, add it to the chart, and set the alert on it.</p>"
            if name
            else ""
        )
        show_if(self.script, bool(name))

    def _draw_answer(self) -> None:
        self.send.disabled = self.model.sending
        answer = self.model.answer
        if self.model.sending:
            self.answer.value = '<span role="status"><i class="dt-spinner"></i>Sent; waiting for the answer…</span>'
            return
        if answer is None:
            self.answer.value = ""
            return
        outcome = self.model.outcome
        state = f' data-state="{escape(outcome.state)}"' if outcome else ""
        self.answer.value = (
            f'<div role="status" data-status="{answer.status}"{state}>{steps_html(self.model.test_steps)}</div>'
            f'<details class="dt-help" style="margin-top:8px"><summary>What the webhook answered</summary>'
            f'<code class="dt-copy">{escape(_pretty(answer.body))}</code></details>'
        )


def steps_html(steps: Sequence[AlertStep]) -> str:
    return _list_html([(step.ok, step.name, escape(step.text)) for step in steps])


def checks_html(steps: Sequence[CheckStep]) -> str:
    found = []
    for step in steps:
        link = f' <a class="dt-link" href="{escape(step.link)}">Account page</a>' if step.link else ""
        found.append((step.ok, step.name, escape(step.text) + link))
    return _list_html(found)


def _list_html(items: Sequence[tuple[bool | None, str, str]]) -> str:
    parts = []
    for ok, name, text in items:
        sign, tone = _SIGNS[ok]
        word = {True: "done", False: "problem", None: "waiting"}[ok]
        parts.append(
            f'<li data-ok="{word}"><b class="{tone}" role="img" aria-label="{word}">{sign}</b>'
            f"<span><b>{escape(name)}</b> {text}</span></li>"
        )
    return f'<ul class="dt-list">{"".join(parts)}</ul>'


def _pretty(body: str) -> str:
    try:
        return json.dumps(json.loads(body), indent=1, ensure_ascii=False)
    except ValueError:
        return body[:2000]
