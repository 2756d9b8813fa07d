"""Alpaca's JSON as domain values.

Only what a decision needs is required; an unknown word for a state is a state of its own, never an error. Everything
else that does not fit raises Unreadable, and the caller decides what that means for its request.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from dashtrade.domain.orders import (
    AccountActivity,
    BrokerAccount,
    BrokerOrder,
    BrokerPosition,
    Execution,
    OrderStatus,
    OrderType,
    OrderUpdate,
    Side,
)

_STATUS = {
    "new": OrderStatus.LIVE,
    "accepted": OrderStatus.LIVE,
    "pending_cancel": OrderStatus.LIVE,
    "pending_replace": OrderStatus.LIVE,
    "held": OrderStatus.LIVE,
    "stopped": OrderStatus.LIVE,
    "accepted_for_bidding": OrderStatus.LIVE,
    "pending_new": OrderStatus.PENDING,
    "pending_review": OrderStatus.PENDING,
    "suspended": OrderStatus.PENDING,
    "partially_filled": OrderStatus.PARTIALLY_FILLED,
    "filled": OrderStatus.FILLED,
    "canceled": OrderStatus.CANCELED,
    "replaced": OrderStatus.CANCELED,
    "expired": OrderStatus.EXPIRED,
    "done_for_day": OrderStatus.EXPIRED,
    "rejected": OrderStatus.REJECTED,
}
FILLS = frozenset({"fill", "partial_fill"})


class Unreadable(ValueError):
    """The answer is not what was asked for; ``field`` says where."""


def order(raw: Any) -> BrokerOrder:
    body = _object(raw, "order")
    word = _text(body, "status")
    return BrokerOrder(
        broker_order_id=_text(body, "id"),
        client_order_id=_text(body, "client_order_id"),
        symbol=_text(body, "symbol"),
        side=_side(body),
        status=_STATUS.get(word, OrderStatus.UNKNOWN),
        qty=_number(body, "qty"),
        notional=_number(body, "notional"),
        filled_qty=_number(body, "filled_qty") or Decimal(0),
        filled_avg_price=_number(body, "filled_avg_price"),
        submitted_at=_time(body, "submitted_at"),
        updated_at=_time(body, "updated_at"),
        raw_status=word,
        type=_kind(body),
        limit_price=_number(body, "limit_price"),
        stop_price=_number(body, "stop_price"),
        legs=tuple(order(leg) for leg in _list(body.get("legs") or [], "legs")),
    )


def orders(raw: Any) -> list[BrokerOrder]:
    return [order(item) for item in _list(raw, "orders")]


def position(raw: Any) -> BrokerPosition:
    """Some answers give a short position's quantity without a sign; ``side`` decides."""
    body = _object(raw, "position")
    qty = _required(body, "qty")
    if body.get("side") == "short":
        qty = -abs(qty)
    return BrokerPosition(
        symbol=_text(body, "symbol"),
        qty=qty,
        avg_entry_price=_required(body, "avg_entry_price"),
        market_price=_number(body, "current_price"),
    )


def positions(raw: Any) -> list[BrokerPosition]:
    return [position(item) for item in _list(raw, "positions")]


def account(raw: Any) -> BrokerAccount:
    body = _object(raw, "account")
    return BrokerAccount(
        account_id=_text(body, "id"),
        status=_text(body, "status"),
        equity=_required(body, "equity"),
        last_equity=_required(body, "last_equity"),
        cash=_required(body, "cash"),
        buying_power=_required(body, "buying_power"),
    )


def fill(raw: Any, client_order_id: str) -> Execution:
    """A FILL activity. Its id is ``time::uuid``; the uuid is the execution's, the same that the stream names."""
    body = _object(raw, "activity")
    time = _time(body, "transaction_time")
    if time is None:
        raise Unreadable("transaction_time is missing")
    return Execution(
        execution_id=_text(body, "id").rpartition("::")[2],
        broker_order_id=_text(body, "order_id"),
        client_order_id=client_order_id,
        symbol=_text(body, "symbol"),
        side=_side(body),
        qty=_required(body, "qty"),
        price=_required(body, "price"),
        time=time,
    )


def activity(raw: Mapping[str, Any]) -> AccountActivity:
    """One that is no trade; it names a day, not a time."""
    try:
        day = date.fromisoformat(str(raw.get("date"))[:10])
    except ValueError:
        raise Unreadable("date is not a day") from None
    symbol = raw.get("symbol")
    return AccountActivity(
        activity_id=_text(raw, "id"),
        kind=_text(raw, "activity_type").upper(),
        day=day,
        amount=_number(raw, "net_amount") or Decimal(0),
        symbol=str(symbol) if symbol else None,
        qty=_number(raw, "qty"),
        description=str(raw.get("description") or "")[:200],
    )


def update(raw: Any) -> OrderUpdate:
    """The ``data`` of a ``trade_updates`` message."""
    body = _object(raw, "update")
    event = _text(body, "event")
    found = order(body.get("order"))
    time = _time(body, "timestamp") or _time(body, "at") or datetime.now(UTC)
    execution, replaces = None, None
    if event == "trade_bust":
        replaces = _text(body, "execution_id")
    elif event == "trade_correct":
        replaces = _text(body, "previous_execution_id")
    if event in FILLS or event == "trade_correct":
        execution = Execution(
            execution_id=_text(body, "execution_id"),
            broker_order_id=found.broker_order_id,
            client_order_id=found.client_order_id,
            symbol=found.symbol,
            side=found.side,
            qty=_required(body, "qty"),
            price=_required(body, "price"),
            time=time,
        )
    return OrderUpdate(event, found, time, execution, _number(body, "position_qty"), replaces)


def objects(raw: Any, what: str) -> list[Mapping[str, Any]]:
    return [_object(item, what) for item in _list(raw, what)]


def _object(raw: Any, what: str) -> Mapping[str, Any]:
    if not isinstance(raw, Mapping):
        raise Unreadable(f"{what} is not an object")
    return raw


def _list(raw: Any, what: str) -> list[Any]:
    if not isinstance(raw, list):
        raise Unreadable(f"{what} is not a list")
    return raw


def _text(body: Mapping[str, Any], name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str) or not value:
        raise Unreadable(f"{name} is missing")
    return value


def _number(body: Mapping[str, Any], name: str) -> Decimal | None:
    value = body.get(name)
    if value is None or value == "":
        return None
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        raise Unreadable(f"{name} is not a number") from None
    if not number.is_finite():
        raise Unreadable(f"{name} is not a number")
    return number


def _required(body: Mapping[str, Any], name: str) -> Decimal:
    value = _number(body, name)
    if value is None:
        raise Unreadable(f"{name} is missing")
    return value


def _kind(body: Mapping[str, Any]) -> OrderType | None:
    word = body.get("type") or body.get("order_type")
    return OrderType(word) if word in set(OrderType) else None


def _side(body: Mapping[str, Any]) -> Side:
    word = _text(body, "side")
    if word == "sell_short":
        return Side.SELL
    try:
        return Side(word)
    except ValueError:
        raise Unreadable(f"side is {word[:20]!r}") from None


def _time(body: Mapping[str, Any], name: str) -> datetime | None:
    value = body.get(name)
    if value is None or value == "":
        return None
    try:
        time = datetime.fromisoformat(str(value))
    except ValueError:
        raise Unreadable(f"{name} is not a time") from None
    return time if time.tzinfo is not None else time.replace(tzinfo=UTC)
