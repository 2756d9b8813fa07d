"""Words of the trading bot: configurations, alerts, intents and their states. No I/O."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from dashtrade.domain.orders import OrderType, Side
from dashtrade.errors import InvalidInput


class AccountMode(StrEnum):
    """Where a bot trades: the built-in simulator, the broker's paper account, or real money."""

    SIMULATED = "simulated"
    PAPER = "paper"
    LIVE = "live"


class Direction(StrEnum):
    """What a SELL means: close a long, reverse, or open a short."""

    LONG_ONLY = "long_only"
    LONG_SHORT = "long_short"
    SHORT_ONLY = "short_only"


class SessionRule(StrEnum):
    """When an order may be sent. ``AUTO``: any time at the simulator, regular hours elsewhere."""

    AUTO = "auto"
    REGULAR = "regular"
    ANY = "any"


class BotTimeframe(StrEnum):
    """Bar lengths a bot can listen to, in the form shown to users."""

    M1 = "1 Min"
    M2 = "2 Min"
    M3 = "3 Min"
    M5 = "5 Min"
    M10 = "10 Min"
    M15 = "15 Min"
    M30 = "30 Min"
    M45 = "45 Min"
    H1 = "1 Hour"
    H2 = "2 Hour"
    H3 = "3 Hour"
    H4 = "4 Hour"
    D1 = "1 Day"
    W1 = "1 Week"
    MO1 = "1 Month"


class Action(StrEnum):
    """What an alert asks for. EXIT and FLAT are read as CLOSE; LONG and SHORT name the position to hold."""

    BUY = "BUY"
    SELL = "SELL"
    CLOSE = "CLOSE"
    LONG = "LONG"
    SHORT = "SHORT"


class Target(StrEnum):
    """The position an alert in target mode wants to be held."""

    LONG = "long"
    FLAT = "flat"
    SHORT = "short"


class AlertState(StrEnum):
    RECEIVED = "received"
    PLANNED = "planned"
    IGNORED = "ignored"
    REJECTED = "rejected"
    EXPIRED = "expired"
    DONE = "done"

    @property
    def ended(self) -> bool:
        return self not in {AlertState.RECEIVED, AlertState.PLANNED}


class IntentState(StrEnum):
    """``WAITING`` is a second leg whose first has not filled; ``UNKNOWN`` may or may not be at the broker; ``RESTING``
    is a stop loss or take profit that lies at the broker until its price comes, in nobody's way."""

    WAITING = "waiting"
    PLANNED = "planned"
    SUBMITTING = "submitting"
    UNKNOWN = "unknown"
    LIVE = "live"
    RESTING = "resting"
    FILLED = "filled"
    CANCELED = "canceled"
    EXPIRED = "expired"
    REJECTED = "rejected"
    NEVER_LANDED = "never_landed"

    @property
    def ended(self) -> bool:
        return self in ENDED_INTENTS

    @property
    def in_flight(self) -> bool:
        """Takes the one place that an account has for each symbol."""
        return not self.ended and self not in (IntentState.WAITING, IntentState.RESTING)


ENDED_INTENTS = frozenset(
    {
        IntentState.FILLED,
        IntentState.CANCELED,
        IntentState.EXPIRED,
        IntentState.REJECTED,
        IntentState.NEVER_LANDED,
    }
)


class Purpose(StrEnum):
    ENTRY = "entry"
    EXIT = "exit"


class HaltScope(StrEnum):
    """What a kill switch covers: everything, one user, or one symbol of one user (of everybody without a user)."""

    SYSTEM = "system"
    USER = "user"
    SYMBOL = "symbol"


class HaltCause(StrEnum):
    MANUAL = "manual"
    DRIFT = "drift"
    RISK = "risk"


@dataclass(frozen=True, slots=True)
class RiskLimits:
    """A bot's limits; None switches a limit off. Dollars, except where the name says otherwise."""

    risk_limit_percent: Decimal | None = Decimal(10)
    daily_loss_limit: Decimal | None = None
    max_position_size: Decimal | None = None
    max_orders_per_day: int | None = 200
    max_drawdown: Decimal | None = None
    cooldown_losses: int | None = None
    cooldown_minutes: int = 60
    max_price_age_seconds: int = 900
    flatten_on_breach: bool = False


@dataclass(frozen=True, slots=True)
class BotConfig:
    """A bot as decisions see it. ``position_size`` is dollars for each entry."""

    id: int
    user_id: int
    symbol: str
    timeframe: BotTimeframe
    position_size: Decimal
    account_mode: AccountMode = AccountMode.SIMULATED
    direction: Direction = Direction.LONG_ONLY
    is_active: bool = False
    session_rule: SessionRule = SessionRule.AUTO
    freshness_seconds: int = 60
    exit_freshness_seconds: int = 900
    allow_quantity: bool = False
    max_quantity: Decimal | None = None
    fractional: bool = True
    strategy_name: str | None = None
    limits: RiskLimits = field(default_factory=RiskLimits)


@dataclass(frozen=True, slots=True)
class Alert:
    """A parsed alert. ``price`` is a reference only; ``sent_at`` is when TradingView fired it (``timenow``)."""

    action: Action
    symbol: str
    timeframe: BotTimeframe | None = None
    price: Decimal | None = None
    quantity: Decimal | None = None
    target: Target | None = None
    previous: Target | None = None
    position_size: Decimal | None = None
    order_type: OrderType = OrderType.MARKET
    limit_price: Decimal | None = None
    stop_loss: Decimal | None = None
    take_profit: Decimal | None = None
    alert_id: str | None = None
    bar_time: datetime | None = None
    sent_at: datetime | None = None
    delayed_data: bool = False


@dataclass(frozen=True, slots=True)
class Leg:
    """One order that an alert asks for. Exactly one of ``qty`` and ``notional`` is given; ``stop_loss`` and
    ``take_profit`` are the prices at which the broker shall close an entry by itself."""

    purpose: Purpose
    side: Side
    qty: Decimal | None = None
    notional: Decimal | None = None
    order_type: OrderType = OrderType.MARKET
    limit_price: Decimal | None = None
    stop_loss: Decimal | None = None
    take_profit: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """What an alert leads to: legs to trade, or none, with one sentence that says why."""

    state: AlertState
    explanation: str
    legs: tuple[Leg, ...] = ()
    code: str | None = None


_UNITS = {
    "": "min", "m": "min", "min": "min", "mins": "min", "minute": "min", "minutes": "min", "t": "min",
    "h": "hour", "hr": "hour", "hour": "hour", "hours": "hour",
    "d": "day", "day": "day", "days": "day",
    "w": "week", "wk": "week", "week": "week", "weeks": "week",
    "mo": "month", "mon": "month", "month": "month", "months": "month",
}  # fmt: skip
_TIMEFRAMES = {
    ("min", 1): BotTimeframe.M1,
    ("min", 2): BotTimeframe.M2,
    ("min", 3): BotTimeframe.M3,
    ("min", 5): BotTimeframe.M5,
    ("min", 10): BotTimeframe.M10,
    ("min", 15): BotTimeframe.M15,
    ("min", 30): BotTimeframe.M30,
    ("min", 45): BotTimeframe.M45,
    ("min", 60): BotTimeframe.H1,
    ("min", 120): BotTimeframe.H2,
    ("min", 180): BotTimeframe.H3,
    ("min", 240): BotTimeframe.H4,
    ("min", 1440): BotTimeframe.D1,
    ("hour", 1): BotTimeframe.H1,
    ("hour", 2): BotTimeframe.H2,
    ("hour", 3): BotTimeframe.H3,
    ("hour", 4): BotTimeframe.H4,
    ("hour", 24): BotTimeframe.D1,
    ("day", 1): BotTimeframe.D1,
    ("day", 7): BotTimeframe.W1,
    ("week", 1): BotTimeframe.W1,
    ("month", 1): BotTimeframe.MO1,
}


def parse_timeframe(text: object, field: str = "timeframe") -> BotTimeframe:
    """A bar length in TradingView's (``15``, ``D``), Alpaca's (``15Min``) or the display form (``15 Min``).

    Case means nothing, except that ``1m`` is a minute and ``1M`` a month, as TradingView writes them.
    """
    raw = str(text).strip()
    match = re.fullmatch(r"(\d{1,4})?\s*([A-Za-z]*)", raw)
    if match and raw:
        number, unit = int(match[1] or 1), match[2]
        kind = "month" if unit == "M" else _UNITS.get(unit.lower())
        if unit == "" and match[1] is None:
            kind = None
        found = _TIMEFRAMES.get((kind or "", number))
        if found is not None:
            return found
    raise InvalidInput(field, f"{raw[:40]!r} is not a timeframe of a bot.", allowed=[t.value for t in BotTimeframe])


@dataclass(frozen=True, slots=True)
class IncomingAlert:
    """An alert as it came in: parsed, with what is needed to recognise a repeat and to show it.

    ``body_hash`` is SHA-256 over the canonical body (keys sorted, numbers normalised, secrets left out),
    ``carries_time`` says whether the body names a moment, ``shown`` is the body with secrets cut. ``passphrase`` is
    compared and dropped, never stored.
    """

    alert: Alert
    body_hash: str
    carries_time: bool
    shown: str
    extra: dict[str, Any] = field(default_factory=dict)
    passphrase: str | None = field(default=None, repr=False)
