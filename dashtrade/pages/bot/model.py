"""State and actions of the bot page. Services come in as callables that know the user; no widgets here."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

import traitlets as t

from dashtrade.domain.bot_views import (
    BotView,
    HaltView,
    NewBot,
    NewToken,
    PositionView,
    RiskEventView,
    SignalView,
    TokenView,
    TradeView,
)
from dashtrade.domain.bots import HaltScope
from dashtrade.errors import InvalidInput
from dashtrade.pages.background import Background, inline
from dashtrade.pages.bot.messages import KINDS, STRATEGY, alert_message, trial_body, webhook_url
from dashtrade.pages.guard import Message, describe
from dashtrade.pages.model import PageModel

TABS = {"overview": "Overview", "setup": "Set up", "orders": "Orders", "signals": "Signals", "risk": "Risk"}
ACTIONS = ("BUY", "SELL", "CLOSE")


@dataclass(frozen=True, slots=True)
class AlertAnswer:
    """What the webhook answered: HTTP status, the body's text, and how long it took."""

    status: int
    body: str
    milliseconds: float

    @property
    def signal_id(self) -> int | None:
        """The stored alert's number, where the body names one."""
        try:
            number = json.loads(self.body)["signal_id"]
        except (ValueError, KeyError, TypeError):
            return None
        return number if isinstance(number, int) else None


@dataclass(frozen=True, slots=True)
class BotServices:
    """What the page needs done, for the signed-in user. ``send_alert`` posts a body with a token to the webhook."""

    list_bots: Callable[[], Sequence[BotView]]
    list_positions: Callable[[], Sequence[PositionView]]
    list_trades: Callable[[], Sequence[TradeView]]
    list_signals: Callable[[], Sequence[SignalView]]
    list_risk_events: Callable[[], Sequence[RiskEventView]]
    list_tokens: Callable[[], Sequence[TokenView]]
    list_halts: Callable[[], Sequence[HaltView]]
    create_bot: Callable[[NewBot], BotView]
    set_bot_active: Callable[[int, bool], BotView]
    delete_bot: Callable[[int], None]
    create_token: Callable[[int | None, str | None], NewToken]
    revoke_token: Callable[[int], TokenView]
    halt: Callable[[str], object]
    resume: Callable[[int], None]
    send_alert: Callable[[str, str], AlertAnswer]
    webhook_base: str


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything the tables show, read at one moment."""

    bots: tuple[BotView, ...] = ()
    positions: tuple[PositionView, ...] = ()
    trades: tuple[TradeView, ...] = ()
    signals: tuple[SignalView, ...] = ()
    risk_events: tuple[RiskEventView, ...] = ()
    tokens: tuple[TokenView, ...] = ()
    halts: tuple[HaltView, ...] = ()

    @property
    def halted(self) -> HaltView | None:
        """The kill switch that stops all of the user's entries, if one is open."""
        widest = (HaltScope.SYSTEM.value, HaltScope.USER.value)
        return next((h for scope in widest for h in self.halts if h.scope == scope), None)

    @property
    def resumable(self) -> HaltView | None:
        """The user's own kill switch. One for everybody is the administrators' to open."""
        return next((h for h in self.halts if h.scope == HaltScope.USER.value), None)

    @property
    def total_pnl(self) -> Decimal:
        return sum((b.total_pnl for b in self.bots), Decimal(0))


class BotModel(PageModel):
    """The user's bots. ``refresh`` reads everything; each action reads everything again when it is done."""

    snapshot: Snapshot = t.Any(Snapshot())  # type: ignore[assignment]
    loaded: bool = t.Bool(False)  # type: ignore[assignment]
    tab: str = t.Unicode("overview")  # type: ignore[assignment]
    chosen_bot: int | None = t.Int(None, allow_none=True)  # type: ignore[assignment]
    message_kind: str = t.Unicode(STRATEGY)  # type: ignore[assignment]
    test_action: str = t.Unicode("BUY")  # type: ignore[assignment]
    token: str = t.Unicode("")  # type: ignore[assignment]
    answer: AlertAnswer | None = t.Instance(AlertAnswer, allow_none=True)  # type: ignore[assignment]
    refreshed_at: datetime | None = t.Any(None)  # type: ignore[assignment]
    sending: bool = t.Bool(False)  # type: ignore[assignment]

    def __init__(self, services: BotServices, *, background: Background = inline, **traits: Any) -> None:
        self._services = services
        self._refreshing = False
        self._troubled = False
        super().__init__(background=background, **traits)

    @property
    def bot(self) -> BotView | None:
        """The bot the set-up steps are about."""
        return next((b for b in self.snapshot.bots if b.id == self.chosen_bot), None)

    @property
    def url(self) -> str:
        return webhook_url(self._services.webhook_base, self.token or "YOUR_TOKEN")

    @property
    def paste_message(self) -> str:
        return alert_message(self.bot.config, self.message_kind) if self.bot else ""

    @property
    def outcome(self) -> SignalView | None:
        """What became of the test alert, once it shows among the signals: an answer of 202 does not tell it."""
        number = self.answer.signal_id if self.answer else None
        return next((s for s in self.snapshot.signals if number is not None and s.signal_id == number), None)

    @t.validate("tab")
    def _known_tab(self, proposal: Any) -> str:
        if proposal["value"] not in TABS:
            raise InvalidInput("tab", "is not known.", allowed=TABS)
        return str(proposal["value"])

    @t.validate("message_kind")
    def _known_kind(self, proposal: Any) -> str:
        if proposal["value"] not in KINDS:
            raise InvalidInput("message", "is not known.", allowed=KINDS)
        return str(proposal["value"])

    @t.validate("test_action")
    def _known_action(self, proposal: Any) -> str:
        if proposal["value"] not in ACTIONS:
            raise InvalidInput("action", "is not known.", allowed=ACTIONS)
        return str(proposal["value"])

    def refresh(self) -> None:
        """Reads everything off the event loop; skipped while a read is under way."""
        if self._refreshing:
            return
        self._refreshing = True

        def done(outcome: Any) -> None:
            self._refreshing = False
            if outcome.error is None:
                if self._troubled:
                    self._troubled = False
                    self.say(Message("success", "Connected again."))
                self._show(outcome.value)
            elif not self._troubled:  # said once, not at every beat
                self._troubled = True
                self.say(describe(outcome.error))

        self._background(lambda _post: self._read(), self.guard(done))

    def create_bot(self, values: Mapping[str, Any]) -> None:
        """From the form's values; the service checks every field again."""
        view = self._services.create_bot(NewBot(**values))
        self._reread()
        self.chosen_bot = view.id
        state = "on" if view.config.is_active else "off; switch it on in the overview when you are ready"
        what = f"{view.config.symbol} at {view.config.timeframe.value}"
        self.say(Message("success", f"The bot for {what} is there and {state}. Next: its token."))

    def row_action(self, name: str, row_id: str) -> None:
        """A button in one of the tables."""
        number = int(row_id)
        if name in ("on", "off"):
            self._services.set_bot_active(number, name == "on")
        elif name == "delete":
            self._services.delete_bot(number)
        elif name == "setup":
            self.chosen_bot, self.tab = number, "setup"
            return
        elif name == "revoke":
            self._services.revoke_token(number)
            self.say(Message("success", "The token is revoked: no request with it is accepted any more."))
        else:
            raise InvalidInput("action", f"{name!r} is not known.")
        self._reread()

    def create_token(self, *, for_one_bot: bool = False) -> None:
        """The secret is shown on this page until it is closed, and nowhere else."""
        bot = self.bot
        label = f"{bot.config.symbol} {bot.config.timeframe.value}" if bot else None
        made = self._services.create_token(bot.id if bot and for_one_bot else None, label)
        self.token = made.secret
        self._reread()
        self.say(Message("success", "Copy the address now: the token is shown only until this page is closed."))

    def send_test(self) -> None:
        """Sends a test alert through the webhook, as TradingView would. One at a time."""
        bot = self.bot
        if bot is None:
            raise InvalidInput("bot", "choose the bot to test first.")
        if not self.token.strip():
            raise InvalidInput("token", "create a token first, or paste one that you kept.")
        if self.sending:
            return
        self.sending, self.answer = True, None
        token, body = self.token.strip(), trial_body(bot.config, self.test_action)

        def done(outcome: Any) -> None:
            self.sending = False
            if outcome.error is not None:
                self.say(describe(outcome.error))
                return
            self.answer = outcome.value
            self.refresh()

        self._background(lambda _post: self._services.send_alert(token, body), self.guard(done))

    def halt(self) -> None:
        """The kill switch: entries stop at once, exits still run."""
        self._services.halt("Stopped on the bot page.")
        self._reread()
        self.say(Message("warning", "Trading is stopped: no bot of yours enters a position. Exits still run."))

    def resume(self) -> None:
        halt = self.snapshot.resumable
        if halt is None:
            raise InvalidInput("kill switch", "there is none of yours to open.")
        self._services.resume(halt.id)
        self._reread()
        self.say(Message("success", "Trading may go on: bots that are on act on their next alert."))

    def _read(self) -> Snapshot:
        s = self._services
        return Snapshot(
            tuple(s.list_bots()),
            tuple(s.list_positions()),
            tuple(s.list_trades()),
            tuple(s.list_signals()),
            tuple(s.list_risk_events()),
            tuple(s.list_tokens()),
            tuple(s.list_halts()),
        )

    def _reread(self) -> None:
        self._show(self._read())

    def _show(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        if self.chosen_bot not in {b.id for b in snapshot.bots}:
            self.chosen_bot = snapshot.bots[0].id if snapshot.bots else None
        if not self.loaded:
            self.loaded = True
            if not snapshot.bots:
                self.tab = "setup"
