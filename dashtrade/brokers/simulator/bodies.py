"""Rows of the store as the JSON bodies that Alpaca publishes."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5
from zoneinfo import ZoneInfo

from sqlalchemy import Row

from dashtrade.brokers.simulator.drafts import plain
from dashtrade.brokers.simulator.ledger import Balance

Body = dict[str, Any]
NEW_YORK = ZoneInfo("America/New_York")


def asset_id(symbol: str) -> str:
    """Always the same for a symbol."""
    return str(uuid5(NAMESPACE_URL, f"simulator:{symbol}"))


def stamp(time: datetime | None) -> str | None:
    return None if time is None else time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def text(value: Decimal | None) -> str | None:
    return None if value is None else plain(value)


def order(row: Row[Any], legs: list[Body] | None = None, *, status: str | None = None) -> Body:
    """``status`` overrides the stored one. ``source``, which Alpaca lacks, says where the fill's price came from."""
    filled = row.filled_qty or Decimal(0)
    average = None if not filled else plain((row.filled_value / filled).quantize(Decimal("0.000001")))
    return {
        "id": str(row.id),
        "client_order_id": row.client_order_id,
        "created_at": stamp(row.created_at),
        "updated_at": stamp(row.updated_at),
        "submitted_at": stamp(row.submitted_at),
        "filled_at": stamp(row.filled_at),
        "expired_at": stamp(row.expired_at),
        "expires_at": stamp(row.expires_at),
        "canceled_at": stamp(row.canceled_at),
        "failed_at": stamp(row.failed_at),
        "replaced_at": stamp(row.replaced_at),
        "replaced_by": None if row.replaced_by is None else str(row.replaced_by),
        "replaces": None if row.replaces is None else str(row.replaces),
        "asset_id": asset_id(row.symbol),
        "symbol": row.symbol,
        "asset_class": "us_equity",
        "notional": text(row.notional),
        "qty": text(row.qty),
        "filled_qty": plain(filled),
        "filled_avg_price": average,
        "order_class": row.order_class,
        "order_type": row.type,
        "type": row.type,
        "side": row.side,
        "position_intent": row.position_intent,
        "time_in_force": row.time_in_force,
        "limit_price": text(row.limit_price),
        "stop_price": text(row.stop_price),
        "status": status or row.status,
        "extended_hours": row.extended_hours,
        "legs": legs or None,
        "trail_percent": text(row.trail_percent),
        "trail_price": text(row.trail_price),
        "hwm": text(row.hwm),
        "source": row.source,
    }


def account(row: Row[Any], balance: Balance, last_equity: Decimal) -> Body:
    """Only fields that Alpaca still sends; the day-trade fields that it removed in 2026 are left out."""

    def money(value: Decimal) -> str:
        return plain(value.quantize(Decimal("0.01")))

    return {
        "id": str(row.id),
        "account_number": row.number,
        "status": "ACTIVE",
        "crypto_status": "ACTIVE",
        "currency": "USD",
        "cash": money(balance.cash),
        "portfolio_value": money(balance.equity),
        "equity": money(balance.equity),
        "last_equity": money(last_equity),
        "buying_power": money(balance.buying_power),
        "regt_buying_power": money(balance.buying_power),
        "non_marginable_buying_power": money(max(Decimal(0), balance.cash - balance.reserved)),
        "long_market_value": money(balance.long_value),
        "short_market_value": money(balance.short_value),
        "initial_margin": money(balance.initial_margin),
        "maintenance_margin": money(balance.maintenance_margin),
        "last_maintenance_margin": money(balance.maintenance_margin),
        "accrued_fees": "0",
        "sma": "0",
        "multiplier": plain(row.multiplier),
        "shorting_enabled": row.shorting_enabled,
        "trading_blocked": row.trading_blocked,
        "transfers_blocked": False,
        "account_blocked": False,
        "trade_suspended_by_user": False,
        "created_at": stamp(row.created_at),
        "balance_asof": stamp(row.created_at),
    }


def position(row: Row[Any], price: Decimal, day_price: Decimal, held: Decimal) -> Body:
    """``day_price`` is the previous day's price where one is known, else the entry price."""
    qty, entry = row.qty, row.avg_entry_price
    value, cost = qty * price, qty * entry
    profit, today = value - cost, qty * (price - day_price)

    def share(part: Decimal, whole: Decimal) -> str:
        return plain((part / abs(whole)).quantize(Decimal("0.00000001"))) if whole else "0"

    return {
        "asset_id": asset_id(row.symbol),
        "symbol": row.symbol,
        "exchange": "NASDAQ",
        "asset_class": "us_equity",
        "asset_marginable": True,
        "qty": plain(qty),
        "qty_available": plain(qty - held if qty > 0 else qty + held),
        "avg_entry_price": plain(entry),
        "side": "long" if qty > 0 else "short",
        "market_value": plain(value),
        "cost_basis": plain(cost),
        "unrealized_pl": plain(profit),
        "unrealized_plpc": share(profit, cost),
        "unrealized_intraday_pl": plain(today),
        "unrealized_intraday_plpc": share(today, qty * day_price),
        "current_price": plain(price),
        "lastday_price": plain(day_price),
        "change_today": share(price - day_price, day_price),
    }


def activity(row: Row[Any]) -> Body:
    if row.activity_type != "FILL":
        return {
            "id": row.id,
            "activity_type": row.activity_type,
            "date": row.time.astimezone(NEW_YORK).date().isoformat(),
            "net_amount": text(row.net_amount),
            "description": row.description or "",
            "symbol": row.symbol,
            "qty": text(row.qty),
            "status": "executed",
        }
    return {
        "id": row.id,
        "activity_type": "FILL",
        "transaction_time": stamp(row.time),
        "type": "fill" if row.leaves_qty == 0 else "partial_fill",
        "price": text(row.price),
        "qty": text(row.qty),
        "side": row.side,
        "symbol": row.symbol,
        "leaves_qty": text(row.leaves_qty),
        "order_id": str(row.order_id),
        "cum_qty": text(row.cum_qty),
        "order_status": "filled" if row.leaves_qty == 0 else "partially_filled",
        "source": row.source,
    }


def asset(symbol: str, row: Row[Any] | None) -> Body:
    def flag(name: str) -> bool:
        return True if row is None else bool(getattr(row, name))

    return {
        "id": asset_id(symbol),
        "class": "us_equity",
        "exchange": "NASDAQ",
        "symbol": symbol,
        "name": f"{symbol} (simulated)",
        "status": "active",
        "tradable": flag("tradable"),
        "marginable": True,
        "shortable": flag("shortable"),
        "easy_to_borrow": flag("shortable"),
        "fractionable": flag("fractionable"),
        "maintenance_margin_requirement": 30,
        "attributes": [],
    }


def update(event: str, time: datetime, body: Body, **extra: Any) -> Body:
    """A message of the ``trade_updates`` stream."""
    return {
        "stream": "trade_updates",
        "data": {
            "event": event,
            "timestamp": stamp(time),
            "order": body,
            **{k: v for k, v in extra.items() if v is not None},
        },
    }


__all__ = ["UUID", "Body", "account", "activity", "asset", "asset_id", "order", "position", "stamp", "text", "update"]
