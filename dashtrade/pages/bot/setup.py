"""The wizard's state: the account with its check, the bot, its token and alert, a test alert."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import traitlets as t

from dashtrade.domain.bot_views import BotView, NewBot, SignalView
from dashtrade.domain.bots import AccountMode
from dashtrade.errors import InvalidInput
from dashtrade.pages.bot.messages import KINDS, STRATEGY, alert_message, trial_body, webhook_url
from dashtrade.pages.bot.services import AlertAnswer, BotServices, Snapshot
from dashtrade.pages.guard import Message, describe
from dashtrade.pages.model import PageModel
from dashtrade.services.bot_connection import Connection

STEPS = {"account": "1 · Account", "bot": "2 · Bot", "alert": "3 · Token and alert", "test": "4 · Test alert"}
MODES = {
    AccountMode.SIMULATED.value: "Simulated: prices move, no money does",
    AccountMode.PAPER.value: "Paper: Alpaca's practice account",
    AccountMode.LIVE.value: "Live: real money at Alpaca",
}
ACTIONS = ("BUY", "SELL", "CLOSE")


@dataclass(frozen=True, slots=True)
class AlertStep:
    """One step of a test alert's way. ``ok`` is None while it is waited for."""

    name: str
    ok: bool | None
    text: str


class SetupModel(PageModel):
    """``chosen_bot`` is whose alert and test are shown; ``form_bot`` the one the form changes, None for a new one."""

    snapshot: Snapshot = t.Any(Snapshot())  # type: ignore[assignment]
    tab: str = t.Unicode("overview")  # type: ignore[assignment]
    step: str = t.Unicode("account")  # type: ignore[assignment]
    mode: str = t.Unicode(AccountMode.SIMULATED.value)  # type: ignore[assignment]
    connection: Connection | None = t.Any(None)  # type: ignore[assignment]
    strategy: str = t.Unicode("")  # type: ignore[assignment]
    strategies: tuple[str, ...] = t.Any(())  # type: ignore[assignment]
    form_bot: int | None = t.Int(None, allow_none=True)  # type: ignore[assignment]
    chosen_bot: int | None = t.Int(None, allow_none=True)  # type: ignore[assignment]
    message_kind: str = t.Unicode(STRATEGY)  # type: ignore[assignment]
    test_action: str = t.Unicode("BUY")  # type: ignore[assignment]
    base: str = t.Unicode("")  # type: ignore[assignment]
    token: str = t.Unicode("")  # type: ignore[assignment]
    passphrase: str = t.Unicode("")  # type: ignore[assignment]
    answer: AlertAnswer | None = t.Instance(AlertAnswer, allow_none=True)  # type: ignore[assignment]
    sending: bool = t.Bool(False)  # type: ignore[assignment]
    _services: BotServices

    # ------------------------------------------------------------------ what is shown

    @property
    def bot(self) -> BotView | None:
        """The bot whose alert is set up."""
        return next((b for b in self.snapshot.bots if b.id == self.chosen_bot), None)

    @property
    def edited(self) -> BotView | None:
        return next((b for b in self.snapshot.bots if b.id == self.form_bot), None)

    @property
    def url(self) -> str:
        return webhook_url(self.base or self._services.webhook_base, self.token or "YOUR_TOKEN")

    @property
    def url_problem(self) -> str:
        """Why TradingView could not reach the address as it stands; empty where it could."""
        parts = urlsplit(self.base or self._services.webhook_base)
        try:
            port = parts.port
        except ValueError:
            port = -1
        host = parts.hostname or ""
        if host in ("localhost", "::1") or host.startswith(("127.", "0.")):
            return (
                "TradingView cannot reach this machine's own address. Put a proxy with a public name in front of the "
                "webhook, on port 443 or 80, and type its address above."
            )
        if port not in (None, 80, 443):
            return f"TradingView sends to ports 80 and 443 only, not to {port if port != -1 else 'this port'}."
        return ""

    @property
    def paste_message(self) -> str:
        return alert_message(self.bot.config, self.message_kind, self._phrase(self.bot)) if self.bot else ""

    @property
    def outcome(self) -> SignalView | None:
        """What became of the test alert, once it shows among the signals: an answer of 202 does not tell it."""
        number = self.answer.signal_id if self.answer else None
        return next((s for s in self.snapshot.signals if number is not None and s.signal_id == number), None)

    @property
    def test_steps(self) -> tuple[AlertStep, ...]:
        """The way of the test alert so far."""
        answer = self.answer
        if answer is None:
            return ()
        ok = answer.status < 300
        first = AlertStep("Webhook", ok, f"It answered HTTP {answer.status} in {answer.milliseconds:.0f} ms.")
        if answer.signal_id is None:
            said = str(answer.values.get("message") or "") or "The alert was not stored."
            return (first,) if ok else (first, AlertStep("Stored", False, said))
        found = self.outcome
        if found is None:
            return first, AlertStep("Stored", True, f"As signal {answer.signal_id}."), AlertStep("Decided", None, "…")
        return first, *signal_steps(found, answer.values)

    # ------------------------------------------------------------------ actions

    def check_connection(self) -> None:
        """Asks the trader to ask the broker; the page's beat brings the answer."""
        mode = self.mode

        def work(_post: Any) -> Connection:
            self._services.ask_connection(mode)
            return self._services.connection(mode)

        self._background(work, self.guard(self._connected))

    def look_at_connection(self) -> None:
        mode = self.mode
        self._background(lambda _post: self._services.connection(mode), self.guard(self._connected))

    def _connected(self, outcome: Any) -> None:
        if outcome.error is not None:
            self.say(describe(outcome.error))
        elif outcome.value.mode.value == self.mode:
            self.connection = outcome.value

    def edit(self, number: int | None) -> None:
        """Opens the form with a bot's values, or empty for a new one."""
        self.form_bot = number
        bot = self.edited
        if bot is not None:
            self.mode, self.strategy = bot.config.account_mode.value, bot.config.strategy_name or ""
        self.tab, self.step = "setup", "bot"

    def save_bot(self, values: Mapping[str, Any], passphrase: str = "") -> None:
        """From the form's values, for a new bot or the edited one; the service checks every field again."""
        given = {**values, "strategy_name": self.strategy or None}
        if self.edited is not None:
            given.pop("is_active", None)
            view = self._services.update_bot(self.edited.id, given)
            self.reread()
            self.chosen_bot = view.id
            self.say(Message("success", f"The bot for {_name(view)} is changed. Its next alert counts by it."))
            return
        phrase = passphrase.strip()
        view = self._services.create_bot(NewBot(account_mode=self.mode, **given), phrase or None)
        self.reread()
        self.chosen_bot, self.passphrase, self.step = view.id, phrase, "alert"
        state = "on" if view.config.is_active else "off; switch it on in the overview when you are ready"
        self.say(Message("success", f"The bot for {_name(view)} is there and {state}. Next: its token."))

    def create_token(self, *, for_one_bot: bool = False) -> None:
        """The secret is shown on this page until it is closed, and nowhere else."""
        bot = self.bot
        label = f"{bot.config.symbol} {bot.config.timeframe.value}" if bot else None
        made = self._services.create_token(bot.id if bot and for_one_bot else None, label)
        self.token = made.secret
        self.reread()
        self.say(Message("success", "Copy the address now: the token is shown only until this page is closed."))

    def send_test(self) -> None:
        """Sends a test alert through the webhook, as TradingView would. One at a time."""
        bot = self.bot
        if bot is None:
            raise InvalidInput("bot", "choose the bot to test first.")
        if bot.config.account_mode is AccountMode.LIVE:
            raise InvalidInput("bot", "a test alert of a live bot would trade real money. Test with a simulated one.")
        if not self.token.strip():
            raise InvalidInput("token", "create a token first, or paste one that you kept.")
        phrase = self._phrase(bot)
        if bot.has_passphrase and not self.passphrase.strip():
            raise InvalidInput("passphrase", "this bot's alerts need its passphrase. Type it under Token and alert.")
        if self.sending:
            return
        self.sending, self.answer = True, None
        price = self.snapshot.prices.get(bot.config.symbol)
        token, body = self.token.strip(), trial_body(bot.config, self.test_action, passphrase=phrase, price=price)

        def done(outcome: Any) -> None:
            self.sending = False
            if outcome.error is not None:
                self.say(describe(outcome.error))
                return
            self.answer = outcome.value
            self.refresh()

        self._background(lambda _post: self._services.send_alert(token, body), self.guard(done))

    def _phrase(self, bot: BotView) -> str | None:
        if not bot.has_passphrase:
            return None
        return self.passphrase.strip() or "YOUR_PASSPHRASE"

    def refresh(self) -> None:
        raise NotImplementedError

    def reread(self) -> None:
        raise NotImplementedError

    # ------------------------------------------------------------------ what may not be set

    @t.validate("step", "mode", "message_kind", "test_action")
    def _known(self, proposal: Any) -> str:
        name = proposal["trait"].name
        allowed = {"step": STEPS, "mode": MODES, "message_kind": KINDS, "test_action": ACTIONS}[name]
        if proposal["value"] not in allowed:
            raise InvalidInput(name.replace("_", " "), "is not known.", allowed=tuple(allowed))
        return str(proposal["value"])

    @t.observe("mode")
    def _other_account(self, _change: Any) -> None:
        self.connection = None
        if self.loaded_once:
            self.look_at_connection()

    loaded_once = False


def signal_steps(signal: SignalView, answered: Mapping[str, Any]) -> tuple[AlertStep, ...]:
    """Stored, decided, and each order's way, with milliseconds since the alert arrived."""
    times = {step.name: (step.at - signal.received_at).total_seconds() * 1000 for step in signal.steps}
    after = {name: f"{max(ms, 0):,.0f} ms" for name, ms in times.items() if math.isfinite(ms)}
    found = []
    if "stored" in after:
        found.append(AlertStep("Stored", True, f"After {after['stored']}, as signal {signal.signal_id}."))
    refused = signal.state in ("rejected", "expired", "refused")
    if "decided" not in after and not refused and signal.state != "duplicate":
        return *found, AlertStep("Decided", None, signal.explanation)
    when = f"After {after['decided']}: " if "decided" in after else ""
    found.append(AlertStep("Decided", not refused, f"{when}{signal.explanation}"))
    for name, text in after.items():
        if name.startswith("leg "):
            leg, _, what = name.rpartition(" ")
            shown = {"sent": "Order sent", "acknowledged": "Broker took it", "filled": "Filled"}[what]
            more = _fill_text(answered) if what == "filled" else ""
            found.append(AlertStep(shown if leg == "leg 1" else f"{shown} ({leg})", True, f"After {text}{more}."))
    if signal.state == "planned":
        found.append(AlertStep("Filled", None, "Waiting for the fill."))
    return tuple(found)


def _fill_text(answered: Mapping[str, Any]) -> str:
    quantity, price = answered.get("filled_qty"), answered.get("filled_avg_price")
    if isinstance(quantity, int | float) and isinstance(price, int | float) and quantity:
        return f": {quantity:g} at ${price:,.2f}"
    return ""


def _name(view: BotView) -> str:
    return f"{view.config.symbol} at {view.config.timeframe.value}"
