"""What pages and commands ask of the bot services and get back. Frozen; money and quantities are Decimal."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from dashtrade.domain.bots import AccountMode, BotConfig, BotTimeframe, Direction, SessionRule


@dataclass(frozen=True, slots=True)
class NewBot:
    """A bot to create. Texts are parsed by the service; ``position_size`` is dollars for each entry."""

    symbol: str
    timeframe: str | BotTimeframe
    position_size: Decimal
    account_mode: AccountMode | str = AccountMode.SIMULATED
    direction: Direction | str = Direction.LONG_ONLY
    strategy_name: str | None = None
    strategy_type: str = "none"
    risk_limit_percent: Decimal | None = Decimal(10)
    daily_loss_limit: Decimal | None = None
    max_position_size: Decimal | None = None
    max_orders_per_day: int | None = 200
    max_drawdown: Decimal | None = None
    cooldown_losses: int | None = None
    cooldown_minutes: int = 60
    max_price_age_seconds: int = 900
    flatten_on_breach: bool = False
    session_rule: SessionRule | str = SessionRule.AUTO
    freshness_seconds: int = 60
    exit_freshness_seconds: int = 900
    allow_quantity: bool = False
    max_quantity: Decimal | None = None
    fractional: bool = True
    is_active: bool = False


@dataclass(frozen=True, slots=True)
class BotView:
    """A bot with how it is doing."""

    config: BotConfig
    order_status: str
    last_signal: str | None
    last_signal_time: datetime | None
    current_position_side: str | None
    position_qty: Decimal
    total_pnl: Decimal
    total_trades: int
    cooldown_until: datetime | None
    created_at: datetime
    has_passphrase: bool = False

    @property
    def id(self) -> int:
        return self.config.id


@dataclass(frozen=True, slots=True)
class TokenView:
    """A webhook token; the token itself is never shown again after its creation."""

    id: int
    prefix: str
    label: str | None
    bot_id: int | None
    is_active: bool
    request_count: int
    last_used_at: datetime | None
    created_at: datetime
    allowed_addresses: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class NewToken:
    """``secret`` is shown to the user once and not kept."""

    secret: str
    view: TokenView


@dataclass(frozen=True, slots=True)
class SignalStep:
    """One step of an alert's way, with its time."""

    name: str
    at: datetime


@dataclass(frozen=True, slots=True)
class SignalView:
    """A request to the webhook and what became of it. ``explanation`` is one sentence."""

    request_id: int
    signal_id: int | None
    received_at: datetime
    state: str
    code: str
    explanation: str
    symbol: str | None
    action: str | None
    timeframe: str | None
    bot_id: int | None
    payload: str | None
    status: int
    latency_ms: Decimal
    source_address: str | None
    steps: tuple[SignalStep, ...] = ()


@dataclass(frozen=True, slots=True)
class TradeView:
    """One order of a bot."""

    id: int
    bot_id: int | None
    symbol: str
    timeframe: str
    action: str
    purpose: str
    status: str
    notional: Decimal | None
    filled_qty: Decimal | None
    filled_avg_price: Decimal | None
    realized_pnl: Decimal
    order_id: str | None
    client_order_id: str | None
    account_mode: str
    created_at: datetime
    filled_at: datetime | None
    explanation: str | None
    error_message: str | None


@dataclass(frozen=True, slots=True)
class PositionView:
    """What a bot holds: signed quantity and the average price of its open lots."""

    bot_id: int
    symbol: str
    account_mode: str
    qty: Decimal
    avg_price: Decimal
    cost: Decimal
    opened_at: datetime


@dataclass(frozen=True, slots=True)
class RiskEventView:
    """A limit that was reached and what was done."""

    id: int
    bot_id: int | None
    event_type: str
    symbol: str | None
    timeframe: str | None
    threshold_value: Decimal | None
    current_value: Decimal | None
    action_taken: str | None
    message: str | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class HaltView:
    """An open kill switch."""

    id: int
    scope: str
    user_id: int | None
    symbol: str | None
    cause: str
    reason: str
    set_by: str
    set_at: datetime


@dataclass(frozen=True, slots=True)
class AccountView:
    """A user's account at a broker, as last reconciled."""

    mode: str
    equity: Decimal | None
    last_equity: Decimal | None
    cash: Decimal | None
    buying_power: Decimal | None
    halted: bool
    halt_reason: str | None
    refreshed_at: datetime | None
    reconciled_at: datetime | None
    stream_at: datetime | None


Payload = dict[str, Any]
