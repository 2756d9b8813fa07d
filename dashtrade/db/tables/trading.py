"""Tables of the trading bot. The rules of the ledger are constraints here, so that no code path can break them.

Names follow the documented tables (user_bot_configs, bot_trades, user_webhook_tokens, bot_risk_events); the others
carry an alert from its arrival to the ledger: webhook_requests → alert_inbox → order_intents → executions → lots.
"""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Computed,
    Date,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    Numeric,
    SmallInteger,
    String,
    Text,
    UniqueConstraint,
    false,
    func,
    text,
    true,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from dashtrade.db.tables.base import Base, CreatedAt, Money, PrimaryKey, Quantity, Timestamp
from dashtrade.domain.bots import (
    AccountMode,
    AlertState,
    BotTimeframe,
    Direction,
    HaltCause,
    HaltScope,
    IntentState,
    Purpose,
    SessionRule,
)
from dashtrade.domain.orders import OrderType, Side

Price = Annotated[Decimal, mapped_column(Numeric(18, 6))]
TickerSymbol = Annotated[str, mapped_column(String(20))]
UserRef = Annotated[int, mapped_column(BigInteger, ForeignKey("users.id", ondelete="CASCADE"))]

TRADE_STATUSES = ("SUBMITTED", "PENDING", "PARTIAL", "FILLED", "CANCELED", "EXPIRED", "REJECTED", "UNKNOWN", "FAILED")
OPEN_INTENTS = "state IN ('planned', 'submitting', 'unknown', 'live')"


def _one_of(column: str, allowed: type[StrEnum] | tuple[str, ...], name: str | None = None) -> CheckConstraint:
    values = allowed if isinstance(allowed, tuple) else tuple(member.value for member in allowed)
    listed = ", ".join(f"'{value}'" for value in values)
    return CheckConstraint(f"{column} IN ({listed})", name=name or column)


class BotRow(Base):
    """A user's bot. A deleted bot stays, marked, so that its trades keep their owner."""

    __tablename__ = "user_bot_configs"
    __table_args__ = (
        _one_of("timeframe", BotTimeframe),
        _one_of("account_mode", AccountMode),
        _one_of("direction", Direction),
        _one_of("session_rule", SessionRule),
        _one_of("order_status", ("IDLE", "PENDING", "LIVE", "HALTED", "ERROR")),
        CheckConstraint("position_size > 0", name="position_size_positive"),
        CheckConstraint("risk_limit_percent > 0 AND risk_limit_percent <= 100", name="risk_limit_percent_range"),
        CheckConstraint("daily_loss_limit > 0", name="daily_loss_limit_positive"),
        CheckConstraint("max_position_size > 0", name="max_position_size_positive"),
        CheckConstraint("max_orders_per_day > 0", name="max_orders_per_day_positive"),
        CheckConstraint("max_drawdown > 0", name="max_drawdown_positive"),
        CheckConstraint("freshness_seconds BETWEEN 1 AND 86400", name="freshness_seconds_range"),
        CheckConstraint("exit_freshness_seconds BETWEEN 1 AND 86400", name="exit_freshness_seconds_range"),
        CheckConstraint("current_position_side IN ('LONG', 'SHORT')", name="current_position_side"),
        CheckConstraint("NOT is_active OR deleted_at IS NULL", name="deleted_is_inactive"),
        Index(
            "uq_user_bot_configs_symbol_timeframe",
            "user_id",
            "symbol",
            "timeframe",
            unique=True,
            postgresql_where=text("deleted_at IS NULL"),
        ),
    )

    id: Mapped[PrimaryKey]
    user_id: Mapped[UserRef]
    symbol: Mapped[TickerSymbol]
    timeframe: Mapped[str] = mapped_column(String(20))
    position_size: Mapped[Money]
    strategy_name: Mapped[str | None] = mapped_column(String(100))
    risk_limit_percent: Mapped[Decimal | None] = mapped_column(Numeric(7, 4), server_default="10")
    daily_loss_limit: Mapped[Money | None]
    max_position_size: Mapped[Money | None]
    signal_source: Mapped[str] = mapped_column(String(20), server_default="webhook")
    strategy_type: Mapped[str] = mapped_column(String(50), server_default="none")
    is_active: Mapped[bool] = mapped_column(server_default=false())
    order_status: Mapped[str] = mapped_column(String(20), server_default="IDLE")
    last_signal: Mapped[str | None] = mapped_column(String(20))
    last_signal_time: Mapped[Timestamp | None]
    current_position_side: Mapped[str | None] = mapped_column(String(10))
    total_pnl: Mapped[Decimal] = mapped_column(Numeric(18, 4), server_default="0")
    total_trades: Mapped[int] = mapped_column(Integer, server_default="0")
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[datetime] = mapped_column(
        DateTime(timezone=True), server_default=func.now(), onupdate=func.now()
    )
    # beyond the documented columns
    account_mode: Mapped[str] = mapped_column(String(10), server_default=AccountMode.SIMULATED.value)
    direction: Mapped[str] = mapped_column(String(12), server_default=Direction.LONG_ONLY.value)
    session_rule: Mapped[str] = mapped_column(String(10), server_default=SessionRule.AUTO.value)
    freshness_seconds: Mapped[int] = mapped_column(Integer, server_default="60")
    exit_freshness_seconds: Mapped[int] = mapped_column(Integer, server_default="900")
    allow_quantity: Mapped[bool] = mapped_column(server_default=false())
    max_quantity: Mapped[Quantity | None]
    fractional: Mapped[bool] = mapped_column(server_default=true())
    max_orders_per_day: Mapped[int | None] = mapped_column(Integer, server_default="200")
    max_drawdown: Mapped[Money | None]
    cooldown_losses: Mapped[int | None] = mapped_column(Integer)
    cooldown_minutes: Mapped[int] = mapped_column(Integer, server_default="60")
    cooldown_until: Mapped[Timestamp | None]
    max_price_age_seconds: Mapped[int] = mapped_column(Integer, server_default="900")
    flatten_on_breach: Mapped[bool] = mapped_column(server_default=false())
    # loaded on demand only: the database account of the pages may not read it
    passphrase_hash: Mapped[str | None] = mapped_column(String(120), deferred=True)
    has_passphrase: Mapped[bool] = mapped_column(Computed("passphrase_hash IS NOT NULL", persisted=True))
    peak_pnl: Mapped[Decimal] = mapped_column(Numeric(18, 4), server_default="0")
    loss_streak: Mapped[int] = mapped_column(Integer, server_default="0")
    deleted_at: Mapped[Timestamp | None]


class WebhookTokenRow(Base):
    """A token for POST /webhook; ``token`` is its SHA-256 in hex, ``prefix`` the part that may be shown."""

    __tablename__ = "user_webhook_tokens"
    __table_args__ = (
        UniqueConstraint("token"),
        CheckConstraint("token ~ '^[0-9a-f]{64}$'", name="token_is_hash"),
        CheckConstraint("request_count >= 0", name="request_count"),
        Index("ix_user_webhook_tokens_user_id", "user_id"),
    )

    id: Mapped[PrimaryKey]
    user_id: Mapped[UserRef]
    token: Mapped[str] = mapped_column(String(64))
    is_active: Mapped[bool] = mapped_column(server_default=true())
    request_count: Mapped[int] = mapped_column(BigInteger, server_default="0")
    last_used_at: Mapped[Timestamp | None]
    created_at: Mapped[CreatedAt]
    prefix: Mapped[str] = mapped_column(String(12))
    label: Mapped[str | None] = mapped_column(String(100))
    bot_config_id: Mapped[int | None] = mapped_column(ForeignKey("user_bot_configs.id", ondelete="CASCADE"))
    revoked_at: Mapped[Timestamp | None]
    allowed_addresses: Mapped[str | None] = mapped_column(Text)


class AccountRow(Base):
    """One brokerage account of one user: its lease, its halt, and what the broker last said of it."""

    __tablename__ = "account_state"
    __table_args__ = (
        UniqueConstraint("user_id", "mode"),
        UniqueConstraint("client_prefix"),
        _one_of("mode", AccountMode),
        CheckConstraint("reserved_exposure >= 0", name="reserved_exposure"),
        CheckConstraint("epoch >= 0", name="epoch"),
    )

    id: Mapped[PrimaryKey]
    user_id: Mapped[UserRef]
    mode: Mapped[str] = mapped_column(String(10))
    # Begins every client order id, so that two installations never meet at one broker account.
    client_prefix: Mapped[str] = mapped_column(String(16))
    epoch: Mapped[int] = mapped_column(BigInteger, server_default="0")
    lease_owner: Mapped[str | None] = mapped_column(String(100))
    lease_until: Mapped[Timestamp | None]
    halted: Mapped[bool] = mapped_column(server_default=false())
    halt_reason: Mapped[str | None] = mapped_column(Text)
    reserved_exposure: Mapped[Decimal] = mapped_column(Numeric(18, 4), server_default="0")
    session_date: Mapped[date | None] = mapped_column(Date)
    broker_account_id: Mapped[str | None] = mapped_column(String(64))
    equity: Mapped[Money | None]
    last_equity: Mapped[Money | None]
    cash: Mapped[Money | None]
    buying_power: Mapped[Money | None]
    refreshed_at: Mapped[Timestamp | None]
    reconciled_at: Mapped[Timestamp | None]
    stream_at: Mapped[Timestamp | None]
    activities_cursor: Mapped[Timestamp | None]
    # positions that differed once, by symbol: the next comparison stops the symbol or forgets it
    suspected_drifts: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=text("'{}'::jsonb"))
    live_confirmed_at: Mapped[Timestamp | None]
    # a question of the user's, whether the broker can be reached, and the trader's answer
    check_asked_at: Mapped[Timestamp | None]
    check_done_at: Mapped[Timestamp | None]
    check_ok: Mapped[bool | None]
    check_text: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[CreatedAt]


class InboxRow(Base):
    """A stored alert: from the moment this row is committed, it is not lost."""

    __tablename__ = "alert_inbox"
    __table_args__ = (
        UniqueConstraint("user_id", "dedupe_key"),
        _one_of("state", AlertState),
        Index("ix_alert_inbox_open", "received_at", postgresql_where=text("state IN ('received', 'planned')")),
        Index("ix_alert_inbox_user_id_received_at", "user_id", "received_at"),
        Index("ix_alert_inbox_undecided", "bot_id", "received_at", "id", postgresql_where=text("state = 'received'")),
        Index("ix_alert_inbox_user_id_body_hash", "user_id", "body_hash", "received_at"),
        CheckConstraint("state IN ('received', 'planned') OR reason IS NOT NULL", name="ended_says_why"),
    )

    id: Mapped[PrimaryKey]
    user_id: Mapped[UserRef]
    bot_id: Mapped[int] = mapped_column(ForeignKey("user_bot_configs.id", ondelete="CASCADE"))
    token_id: Mapped[int | None] = mapped_column(ForeignKey("user_webhook_tokens.id", ondelete="SET NULL"))
    dedupe_key: Mapped[str] = mapped_column(String(140))
    dedupe_rule: Mapped[str] = mapped_column(String(20))
    body_hash: Mapped[str] = mapped_column(String(64))
    payload: Mapped[dict[str, Any]] = mapped_column(JSONB)
    received_at: Mapped[Timestamp]
    stored_at: Mapped[CreatedAt]
    state: Mapped[str] = mapped_column(String(10), server_default=AlertState.RECEIVED.value)
    reason: Mapped[str | None] = mapped_column(Text)
    code: Mapped[str | None] = mapped_column(String(30))
    decided_at: Mapped[Timestamp | None]
    ended_at: Mapped[Timestamp | None]
    duplicates: Mapped[int] = mapped_column(Integer, server_default="0")
    attempts: Mapped[int] = mapped_column(Integer, server_default="0")
    not_before: Mapped[Timestamp | None]
    lease: Mapped[str | None] = mapped_column(String(100))


class WebhookRequestRow(Base):
    """Every request to the webhook, refused ones too. Without a known token there is no user."""

    __tablename__ = "webhook_requests"
    __table_args__ = (
        Index("ix_webhook_requests_user_id_received_at", "user_id", "received_at"),
        Index("ix_webhook_requests_received_at", "received_at"),
    )

    id: Mapped[PrimaryKey]
    user_id: Mapped[int | None] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    token_id: Mapped[int | None] = mapped_column(ForeignKey("user_webhook_tokens.id", ondelete="SET NULL"))
    alert_id: Mapped[int | None] = mapped_column(ForeignKey("alert_inbox.id", ondelete="CASCADE"))
    received_at: Mapped[Timestamp]
    source_address: Mapped[str | None] = mapped_column(String(64))
    payload: Mapped[str | None] = mapped_column(Text)
    status: Mapped[int] = mapped_column(SmallInteger)
    code: Mapped[str] = mapped_column(String(30))
    reason: Mapped[str] = mapped_column(Text)
    latency_ms: Mapped[Decimal] = mapped_column(Numeric(12, 3))


class IntentRow(Base):
    """An order that was decided on. Written before the broker is asked, so that a crash can never hide one."""

    __tablename__ = "order_intents"
    __table_args__ = (
        UniqueConstraint("alert_id", "leg", "attempt"),
        UniqueConstraint("client_order_id"),
        UniqueConstraint("account_id", "broker_order_id"),
        _one_of("state", IntentState),
        _one_of("purpose", Purpose),
        _one_of("side", Side),
        _one_of("order_type", OrderType),
        CheckConstraint("(qty IS NULL) <> (notional IS NULL)", name="qty_or_notional"),
        CheckConstraint("qty > 0", name="qty_positive"),
        CheckConstraint("notional > 0", name="notional_positive"),
        CheckConstraint("reserved >= 0", name="reserved"),
        CheckConstraint("filled_qty >= 0", name="filled_qty"),
        CheckConstraint("leg >= 1 AND attempt >= 1", name="numbered_from_one"),
        # One order at a time for each symbol of an account: whatever arrives at once, limits see all of it.
        Index(
            "uq_order_intents_open_symbol",
            "account_id",
            "symbol",
            unique=True,
            postgresql_where=text(OPEN_INTENTS),
        ),
        Index(
            "ix_order_intents_open",
            "account_id",
            "state",
            postgresql_where=text("state IN ('waiting', 'planned', 'submitting', 'unknown', 'live')"),
        ),
        Index("ix_order_intents_bot_id", "bot_id", "created_at"),
        Index("ix_order_intents_account_id_ended_at", "account_id", "ended_at"),
        Index("ix_order_intents_parent_id", "parent_id", postgresql_where=text("parent_id IS NOT NULL")),
        Index("ix_order_intents_resting", "account_id", "symbol", postgresql_where=text("state = 'resting'")),
    )

    id: Mapped[PrimaryKey]
    alert_id: Mapped[int | None] = mapped_column(ForeignKey("alert_inbox.id", ondelete="CASCADE"))
    leg: Mapped[int] = mapped_column(SmallInteger, server_default="1")
    attempt: Mapped[int] = mapped_column(SmallInteger, server_default="1")
    user_id: Mapped[UserRef]
    bot_id: Mapped[int] = mapped_column(ForeignKey("user_bot_configs.id", ondelete="CASCADE"))
    account_id: Mapped[int] = mapped_column(ForeignKey("account_state.id", ondelete="CASCADE"))
    symbol: Mapped[TickerSymbol]
    client_order_id: Mapped[str] = mapped_column(String(48))
    purpose: Mapped[str] = mapped_column(String(5))
    side: Mapped[str] = mapped_column(String(4))
    qty: Mapped[Quantity | None]
    notional: Mapped[Money | None]
    order_type: Mapped[str] = mapped_column(String(15), server_default=OrderType.MARKET.value)
    limit_price: Mapped[Price | None]
    stop_price: Mapped[Price | None]
    reference_price: Mapped[Price | None]
    # an entry's: where the broker shall close it by itself; those closing orders name the entry as their parent
    stop_loss: Mapped[Price | None]
    take_profit: Mapped[Price | None]
    parent_id: Mapped[int | None] = mapped_column(ForeignKey("order_intents.id", ondelete="CASCADE"))
    reserved: Mapped[Decimal] = mapped_column(Numeric(18, 4), server_default="0")
    state: Mapped[str] = mapped_column(String(12), server_default=IntentState.PLANNED.value)
    deadline: Mapped[Timestamp]
    epoch: Mapped[int | None] = mapped_column(BigInteger)
    lease: Mapped[str | None] = mapped_column(String(100))
    broker_order_id: Mapped[str | None] = mapped_column(String(64))
    filled_qty: Mapped[Decimal] = mapped_column(Numeric(18, 9), server_default="0")
    filled_avg_price: Mapped[Price | None]
    broker_filled_qty: Mapped[Decimal] = mapped_column(Numeric(18, 9), server_default="0")
    checks: Mapped[int] = mapped_column(Integer, server_default="0")
    checked_at: Mapped[Timestamp | None]
    next_check_at: Mapped[Timestamp | None]
    error_code: Mapped[str | None] = mapped_column(String(40))
    error_message: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[CreatedAt]
    submitted_at: Mapped[Timestamp | None]
    acknowledged_at: Mapped[Timestamp | None]
    ended_at: Mapped[Timestamp | None]


class BotTradeRow(Base):
    """What users see: one row for each order, filled from executions."""

    __tablename__ = "bot_trades"
    __table_args__ = (
        UniqueConstraint("intent_id"),
        _one_of("status", TRADE_STATUSES),
        _one_of("action", ("BUY", "SELL")),
        CheckConstraint("filled_qty >= 0", name="filled_qty"),
        Index("ix_bot_trades_user_id_created_at", "user_id", "created_at"),
        Index("ix_bot_trades_bot_config_id", "bot_config_id"),
    )

    id: Mapped[PrimaryKey]
    user_id: Mapped[UserRef]
    bot_config_id: Mapped[int | None] = mapped_column(ForeignKey("user_bot_configs.id", ondelete="SET NULL"))
    symbol: Mapped[TickerSymbol]
    timeframe: Mapped[str] = mapped_column(String(20))
    action: Mapped[str] = mapped_column(String(10))
    notional: Mapped[Money | None]
    order_id: Mapped[str | None] = mapped_column(String(64))
    filled_qty: Mapped[Quantity | None]
    filled_avg_price: Mapped[Money | None]
    status: Mapped[str] = mapped_column(String(20), server_default="SUBMITTED")
    error_message: Mapped[str | None] = mapped_column(Text)
    filled_at: Mapped[Timestamp | None]
    created_at: Mapped[CreatedAt]
    # beyond the documented columns
    intent_id: Mapped[int | None] = mapped_column(ForeignKey("order_intents.id", ondelete="CASCADE"))
    alert_id: Mapped[int | None] = mapped_column(ForeignKey("alert_inbox.id", ondelete="SET NULL"))
    client_order_id: Mapped[str | None] = mapped_column(String(48))
    account_mode: Mapped[str] = mapped_column(String(10), server_default=AccountMode.SIMULATED.value)
    purpose: Mapped[str] = mapped_column(String(5), server_default=Purpose.ENTRY.value)
    realized_pnl: Mapped[Decimal] = mapped_column(Numeric(18, 4), server_default="0")
    explanation: Mapped[str | None] = mapped_column(Text)
    notified_at: Mapped[Timestamp | None]


class RiskEventRow(Base):
    """A limit that was reached, with its value, and what was done about it."""

    __tablename__ = "bot_risk_events"
    __table_args__ = (
        Index("ix_bot_risk_events_user_id_created_at", "user_id", "created_at"),
        # A lasting breach is told once: the same limit of the same bot at most once in its period.
        UniqueConstraint("once_key"),
    )

    id: Mapped[PrimaryKey]
    user_id: Mapped[UserRef]
    bot_config_id: Mapped[int | None] = mapped_column(ForeignKey("user_bot_configs.id", ondelete="SET NULL"))
    event_type: Mapped[str] = mapped_column(String(50))
    symbol: Mapped[str | None] = mapped_column(String(20))
    timeframe: Mapped[str | None] = mapped_column(String(20))
    threshold_value: Mapped[Money | None]
    current_value: Mapped[Money | None]
    action_taken: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[CreatedAt]
    message: Mapped[str | None] = mapped_column(Text)
    once_key: Mapped[str | None] = mapped_column(String(140))
    notified_at: Mapped[Timestamp | None]


class ExecutionRow(Base):
    """One fill. The pair of account and execution id keeps a repeated report from counting twice."""

    __tablename__ = "executions"
    __table_args__ = (
        UniqueConstraint("account_id", "execution_id"),
        _one_of("side", Side),
        CheckConstraint("qty > 0", name="qty_positive"),
        CheckConstraint("price >= 0", name="price"),
        _one_of("source", ("stream", "poll", "activity")),
        Index("ix_executions_intent_id", "intent_id"),
        Index("ix_executions_account_id_symbol", "account_id", "symbol", "executed_at"),
        Index("ix_executions_user_id_executed_at", "user_id", "executed_at"),
    )

    id: Mapped[PrimaryKey]
    account_id: Mapped[int] = mapped_column(ForeignKey("account_state.id", ondelete="CASCADE"))
    user_id: Mapped[UserRef]
    execution_id: Mapped[str] = mapped_column(String(100))
    intent_id: Mapped[int | None] = mapped_column(ForeignKey("order_intents.id", ondelete="CASCADE"))
    bot_id: Mapped[int | None] = mapped_column(ForeignKey("user_bot_configs.id", ondelete="CASCADE"))
    broker_order_id: Mapped[str | None] = mapped_column(String(64))
    symbol: Mapped[TickerSymbol]
    side: Mapped[str] = mapped_column(String(4))
    qty: Mapped[Quantity]
    price: Mapped[Price]
    fee: Mapped[Decimal] = mapped_column(Numeric(18, 4), server_default="0")
    executed_at: Mapped[Timestamp]
    trade_date: Mapped[date] = mapped_column(Date)
    source: Mapped[str] = mapped_column(String(10))
    provisional: Mapped[bool] = mapped_column(server_default=false())
    recorded_at: Mapped[CreatedAt]


class LotRow(Base):
    """Shares a bot holds from one execution; negative quantities are short. Closed first in, first out."""

    __tablename__ = "lots"
    __table_args__ = (
        CheckConstraint("opened_qty <> 0", name="opened_qty"),
        CheckConstraint(
            "(opened_qty > 0 AND open_qty BETWEEN 0 AND opened_qty)"
            " OR (opened_qty < 0 AND open_qty BETWEEN opened_qty AND 0)",
            name="open_qty_within_opened",
        ),
        CheckConstraint("(open_qty = 0) = (closed_at IS NOT NULL)", name="closed_at"),
        UniqueConstraint("execution_id"),
        Index("ix_lots_open", "account_id", "bot_id", "symbol", postgresql_where=text("open_qty <> 0")),
    )

    id: Mapped[PrimaryKey]
    account_id: Mapped[int] = mapped_column(ForeignKey("account_state.id", ondelete="CASCADE"))
    user_id: Mapped[UserRef]
    bot_id: Mapped[int] = mapped_column(ForeignKey("user_bot_configs.id", ondelete="CASCADE"))
    symbol: Mapped[TickerSymbol]
    execution_id: Mapped[int] = mapped_column(ForeignKey("executions.id", ondelete="CASCADE"))
    opened_qty: Mapped[Quantity]
    open_qty: Mapped[Quantity]
    price: Mapped[Price]
    opened_at: Mapped[Timestamp]
    closed_at: Mapped[Timestamp | None]


class LotClosingRow(Base):
    """A part of a lot closed by an execution, with its realised profit or loss before fees."""

    __tablename__ = "lot_closings"
    __table_args__ = (
        UniqueConstraint("lot_id", "execution_id"),
        CheckConstraint("qty <> 0", name="qty"),
        Index("ix_lot_closings_bot_id_trade_date", "bot_id", "trade_date"),
    )

    id: Mapped[PrimaryKey]
    lot_id: Mapped[int] = mapped_column(ForeignKey("lots.id", ondelete="CASCADE"))
    execution_id: Mapped[int] = mapped_column(ForeignKey("executions.id", ondelete="CASCADE"))
    user_id: Mapped[UserRef]
    bot_id: Mapped[int] = mapped_column(ForeignKey("user_bot_configs.id", ondelete="CASCADE"))
    qty: Mapped[Quantity]
    open_price: Mapped[Price]
    close_price: Mapped[Price]
    realized_pnl: Mapped[Money]
    closed_at: Mapped[Timestamp]
    trade_date: Mapped[date] = mapped_column(Date)


class CashLedgerRow(Base):
    """Cash in and out of an account: trades, fees, and flows that are not trades."""

    __tablename__ = "cash_ledger"
    __table_args__ = (
        _one_of("kind", ("trade", "fee", "deposit", "withdrawal", "dividend", "adjustment")),
        UniqueConstraint("execution_id", "kind"),
        UniqueConstraint("account_id", "external_id"),
        Index("ix_cash_ledger_account_id_occurred_at", "account_id", "occurred_at"),
    )

    id: Mapped[PrimaryKey]
    account_id: Mapped[int] = mapped_column(ForeignKey("account_state.id", ondelete="CASCADE"))
    user_id: Mapped[UserRef]
    bot_id: Mapped[int | None] = mapped_column(ForeignKey("user_bot_configs.id", ondelete="SET NULL"))
    execution_id: Mapped[int | None] = mapped_column(ForeignKey("executions.id", ondelete="CASCADE"))
    external_id: Mapped[str | None] = mapped_column(String(100))
    kind: Mapped[str] = mapped_column(String(12))
    amount: Mapped[Money]
    occurred_at: Mapped[Timestamp]
    trade_date: Mapped[date] = mapped_column(Date)


class OrderEventRow(Base):
    """What happened to an order, append-only: a row is never changed."""

    __tablename__ = "order_events"
    __table_args__ = (
        Index("ix_order_events_intent_id", "intent_id"),
        Index("ix_order_events_user_id_at", "user_id", "at"),
    )

    id: Mapped[PrimaryKey]
    user_id: Mapped[UserRef]
    account_id: Mapped[int | None] = mapped_column(ForeignKey("account_state.id", ondelete="CASCADE"))
    intent_id: Mapped[int | None] = mapped_column(ForeignKey("order_intents.id", ondelete="CASCADE"))
    alert_id: Mapped[int | None] = mapped_column(ForeignKey("alert_inbox.id", ondelete="CASCADE"))
    symbol: Mapped[str | None] = mapped_column(String(20))
    kind: Mapped[str] = mapped_column(String(40))
    detail: Mapped[str | None] = mapped_column(Text)
    at: Mapped[CreatedAt]


class ExternalOrderRow(Base):
    """An order at the broker that nobody here made: shown, never touched."""

    __tablename__ = "external_orders"
    __table_args__ = (UniqueConstraint("account_id", "broker_order_id"),)

    id: Mapped[PrimaryKey]
    account_id: Mapped[int] = mapped_column(ForeignKey("account_state.id", ondelete="CASCADE"))
    user_id: Mapped[UserRef]
    broker_order_id: Mapped[str] = mapped_column(String(64))
    client_order_id: Mapped[str | None] = mapped_column(String(128))
    symbol: Mapped[TickerSymbol]
    side: Mapped[str] = mapped_column(String(4))
    qty: Mapped[Quantity | None]
    filled_qty: Mapped[Decimal] = mapped_column(Numeric(18, 9), server_default="0")
    filled_avg_price: Mapped[Price | None]
    status: Mapped[str] = mapped_column(String(20))
    first_seen_at: Mapped[CreatedAt]


class HaltRow(Base):
    """A kill switch. It blocks entries and never exits; at most one open for each thing it covers.

    ``account_id`` narrows a symbol's switch to one account, as when the books of that account disagree.
    """

    __tablename__ = "trading_halts"
    __table_args__ = (
        _one_of("scope", HaltScope),
        _one_of("cause", HaltCause),
        CheckConstraint("(scope = 'symbol') = (symbol IS NOT NULL)", name="symbol_scope_has_symbol"),
        CheckConstraint("scope <> 'user' OR user_id IS NOT NULL", name="user_scope_has_user"),
        CheckConstraint("scope <> 'system' OR user_id IS NULL", name="system_scope_has_no_user"),
        Index(
            "uq_trading_halts_open",
            "scope",
            text("coalesce(user_id, 0)"),
            text("coalesce(account_id, 0)"),
            text("coalesce(symbol, '')"),
            "cause",
            unique=True,
            postgresql_where=text("cleared_at IS NULL"),
        ),
    )

    id: Mapped[PrimaryKey]
    scope: Mapped[str] = mapped_column(String(10))
    user_id: Mapped[int | None] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    account_id: Mapped[int | None] = mapped_column(ForeignKey("account_state.id", ondelete="CASCADE"))
    symbol: Mapped[str | None] = mapped_column(String(20))
    cause: Mapped[str] = mapped_column(String(10), server_default=HaltCause.MANUAL.value)
    reason: Mapped[str] = mapped_column(Text)
    set_by: Mapped[str] = mapped_column(String(100))
    set_at: Mapped[CreatedAt]
    cleared_at: Mapped[Timestamp | None]
    cleared_by: Mapped[str | None] = mapped_column(String(100))


class TraderHeartbeatRow(Base):
    """A trader process that is alive, for GET /health."""

    __tablename__ = "trader_heartbeats"

    name: Mapped[str] = mapped_column(String(100), primary_key=True)
    started_at: Mapped[CreatedAt]
    beat_at: Mapped[CreatedAt]
    accounts: Mapped[int] = mapped_column(Integer, server_default="0")
    stream_at: Mapped[Timestamp | None]
