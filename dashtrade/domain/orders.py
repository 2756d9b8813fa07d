"""Orders, executions and positions, as every broker is made to speak of them. All numbers are Decimal, times UTC."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum


class Side(StrEnum):
    BUY = "buy"
    SELL = "sell"


class OrderType(StrEnum):
    MARKET = "market"
    LIMIT = "limit"
    STOP = "stop"
    STOP_LIMIT = "stop_limit"
    TRAILING_STOP = "trailing_stop"


class TimeInForce(StrEnum):
    DAY = "day"
    GTC = "gtc"
    IOC = "ioc"
    FOK = "fok"
    OPG = "opg"
    CLS = "cls"


class OrderStatus(StrEnum):
    """The broker's states, reduced to what a decision needs; ``UNKNOWN`` is a state we have no word for yet."""

    PENDING = "pending"
    LIVE = "live"
    PARTIALLY_FILLED = "partially_filled"
    FILLED = "filled"
    CANCELED = "canceled"
    EXPIRED = "expired"
    REJECTED = "rejected"
    UNKNOWN = "unknown"

    @property
    def ended(self) -> bool:
        return self in {OrderStatus.FILLED, OrderStatus.CANCELED, OrderStatus.EXPIRED, OrderStatus.REJECTED}


class Refusal(StrEnum):
    """Why a broker said no, as far as a decision needs to tell refusals apart."""

    DUPLICATE_CLIENT_ORDER_ID = "duplicate_client_order_id"
    BUYING_POWER = "buying_power"
    HELD_FOR_ORDERS = "held_for_orders"
    INSUFFICIENT_QTY = "insufficient_qty"
    WASH_TRADE = "wash_trade"
    NOT_SHORTABLE = "not_shortable"
    MARKET_CLOSED = "market_closed"
    HALTED = "halted"
    UNKNOWN_SYMBOL = "unknown_symbol"
    NOT_TRADABLE = "not_tradable"
    ORDER_NOT_FOUND = "order_not_found"
    ALREADY_ENDED = "already_ended"
    INVALID_ORDER = "invalid_order"
    ACCOUNT_BLOCKED = "account_blocked"
    UNAUTHORIZED = "unauthorized"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class OrderRequest:
    """What to send. ``client_order_id`` is always given, so that a repeated send can never make a second order."""

    client_order_id: str
    symbol: str
    side: Side
    qty: Decimal | None = None
    notional: Decimal | None = None
    type: OrderType = OrderType.MARKET
    time_in_force: TimeInForce = TimeInForce.DAY
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None
    extended_hours: bool = False
    # protective legs: both make a bracket, one makes an order that triggers the other
    take_profit: Decimal | None = None
    stop_loss: Decimal | None = None
    # this order itself closes: its two prices are of one order for which the first to fill cancels the other
    oco: bool = False
    trail_price: Decimal | None = None
    trail_percent: Decimal | None = None
    # never sent: exits go ahead of everything else when the broker's rate limit is near
    is_exit: bool = False


@dataclass(frozen=True, slots=True)
class BrokerOrder:
    """An order as the broker reports it. ``legs`` are the closing orders that were asked for with it."""

    broker_order_id: str
    client_order_id: str
    symbol: str
    side: Side
    status: OrderStatus
    qty: Decimal | None
    notional: Decimal | None
    filled_qty: Decimal
    filled_avg_price: Decimal | None
    submitted_at: datetime | None = None
    updated_at: datetime | None = None
    raw_status: str = ""
    type: OrderType | None = None  # None for a kind that we have no word for yet
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None
    legs: tuple[BrokerOrder, ...] = ()


@dataclass(frozen=True, slots=True)
class Execution:
    """One fill. ``execution_id`` is unique within an account."""

    execution_id: str
    broker_order_id: str
    client_order_id: str
    symbol: str
    side: Side
    qty: Decimal
    price: Decimal
    time: datetime


@dataclass(frozen=True, slots=True)
class AccountActivity:
    """Something the broker booked that is no trade. ``day`` is New York's; ``qty`` is the change in shares, if any."""

    activity_id: str
    kind: str
    day: date
    amount: Decimal
    symbol: str | None = None
    qty: Decimal | None = None
    description: str = ""


class StreamGap(StrEnum):
    """Why a stream's listener must ask the broker for what it may have missed."""

    CONNECTED = "connected"
    LOST = "lost"
    MISSED_FILL = "missed_fill"
    SILENT = "silent"
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class OrderUpdate:
    """One event of the broker's stream. ``execution`` is set on fills; stream rows are provisional."""

    event: str
    order: BrokerOrder
    time: datetime
    execution: Execution | None = None
    position_qty: Decimal | None = None
    replaces: str | None = None  # the execution that a bust or correction takes back


@dataclass(frozen=True, slots=True)
class BrokerPosition:
    """Signed quantity: negative is short."""

    symbol: str
    qty: Decimal
    avg_entry_price: Decimal
    market_price: Decimal | None = None


@dataclass(frozen=True, slots=True)
class BrokerAccount:
    """Only the fields a decision uses are required; the broker may drop any other."""

    account_id: str
    status: str
    equity: Decimal
    last_equity: Decimal
    cash: Decimal
    buying_power: Decimal
