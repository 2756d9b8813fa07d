"""What the bot page asks of services, and what it shows of them at one moment. No widgets."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any

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
from dashtrade.services.bot_connection import Connection
from dashtrade.services.bot_day import BotResult

if TYPE_CHECKING:
    from dashtrade.bots.replay import Replay
    from dashtrade.services.bot_performance import BotPerformance


@dataclass(frozen=True, slots=True)
class AlertAnswer:
    """What the webhook answered: HTTP status, the body's text, and how long it took."""

    status: int
    body: str
    milliseconds: float

    @property
    def values(self) -> Mapping[str, Any]:
        """The body, where it is a JSON object."""
        try:
            found = json.loads(self.body)
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}

    @property
    def signal_id(self) -> int | None:
        """The stored alert's number, where the body names one."""
        number = self.values.get("signal_id")
        return number if isinstance(number, int) else None


@dataclass(frozen=True, slots=True)
class BotServices:
    """What the page needs done, for the signed-in user. ``send_alert`` posts a body with a token to the webhook.

    ``latest_change`` gives a mark that differs when something is new. ``halt`` takes the reason and a symbol, or None
    for all of the user's entries. ``prices`` gives the latest price of each symbol that has one. ``compare`` sets a bot
    against its strategy's backtest.
    """

    latest_change: Callable[[], tuple[Any, ...]]
    list_bots: Callable[[], Sequence[BotView]]
    list_positions: Callable[[], Sequence[PositionView]]
    list_trades: Callable[[], Sequence[TradeView]]
    list_signals: Callable[[], Sequence[SignalView]]
    list_risk_events: Callable[[], Sequence[RiskEventView]]
    list_tokens: Callable[[], Sequence[TokenView]]
    list_halts: Callable[[], Sequence[HaltView]]
    realized_today: Callable[[], Mapping[int, Decimal]]
    prices: Callable[[Sequence[str]], Mapping[str, Decimal]]
    create_bot: Callable[[NewBot, str | None], BotView]
    update_bot: Callable[[int, Mapping[str, Any]], BotView]
    set_bot_active: Callable[[int, bool], BotView]
    delete_bot: Callable[[int], None]
    create_token: Callable[[int | None, str | None], NewToken]
    revoke_token: Callable[[int], TokenView]
    halt: Callable[[str, str | None], object]
    resume: Callable[[int], None]
    connection: Callable[[str], Connection]
    ask_connection: Callable[[str], None]
    strategies: Callable[[], Sequence[str]]
    compare: Callable[[int], BotPerformance]
    replay: Callable[[int, Mapping[str, Any], Decimal | None], Replay]
    send_alert: Callable[[str, str], AlertAnswer]
    webhook_base: str
    remember: Callable[[Mapping[str, str]], None] = field(default=lambda _values: None)


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
    results: Mapping[int, BotResult] = field(default_factory=dict)
    prices: Mapping[str, Decimal] = field(default_factory=dict)

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
    def day_pnl(self) -> Decimal:
        return sum((r.day for r in self.results.values()), Decimal(0))

    @property
    def total_pnl(self) -> Decimal:
        return sum((r.total for r in self.results.values()), Decimal(0))
