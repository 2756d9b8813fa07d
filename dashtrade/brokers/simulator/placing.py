"""Placing an order: the checks of the account, in Alpaca's words, and the rows of the order and its legs."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from sqlalchemy import Row, select

from dashtrade.brokers.simulator import store
from dashtrade.brokers.simulator.desk import Desk
from dashtrade.brokers.simulator.drafts import Draft, plain, well_formed
from dashtrade.brokers.simulator.ledger import ZERO, shares_for
from dashtrade.brokers.simulator.matching import crosses
from dashtrade.brokers.simulator.refusals import forbidden, invalid, malformed

SHORT_MARGIN = Decimal("1.03")  # a short sale is valued 3 % above the market, as Alpaca does
_O = store.orders


def place(desk: Desk, draft: Draft, *, replaces: Row[Any] | None = None) -> Row[Any]:
    """Check the order against the account, store it with its legs, and try to fill it."""
    asset = _tradable(desk, draft)
    taken = select(_O.c.id).where(_O.c.account_id == desk.account.id, _O.c.client_order_id == draft.client_order_id)
    if desk.connection.execute(taken).first() is not None:
        raise malformed("client_order_id must be unique")
    position = desk.positions().get(draft.symbol)
    have = ZERO if position is None else position.qty
    closing = have > 0 if draft.side == "sell" else have < 0
    price = desk.price(draft.symbol)
    reserved = ZERO
    if closing:
        if draft.order_class in {"bracket", "oto"}:
            raise invalid(f"{draft.order_class} orders must be entry orders")
        _check_available(desk, draft, abs(have), None if price is None else price.price)
    elif draft.order_class == "oco":
        raise forbidden(f"oco orders need a position in {draft.symbol} to close")
    else:
        reserved = _check_opening(desk, draft, asset, None if price is None else price.price)
    if draft.order_class == "simple":
        _check_wash_trade(desk, draft)
    row = _store(desk, draft, f"{draft.side}_to_{'close' if closing else 'open'}", reserved, replaces)
    desk.tell("new" if row.status == "new" else "accepted", row)
    _store_legs(desk, draft, row)
    if not desk.market.knobs.hold_fills:
        desk.attempt(row, just_placed=True)
    return row


def _tradable(desk: Desk, draft: Draft) -> Row[Any] | None:
    query = select(store.assets).where(store.assets.c.symbol == draft.symbol)
    asset = desk.connection.execute(query).one_or_none()
    if not well_formed(draft.symbol) or (asset is not None and not asset.known):
        raise invalid(f'asset "{draft.symbol}" not found')
    if asset is not None and not asset.tradable:
        raise invalid(f"asset {draft.symbol} is not tradable")
    if asset is not None and not asset.fractionable and draft.fractional:
        raise forbidden(f'asset "{draft.symbol}" is not fractionable')
    if desk.account.trading_blocked:
        raise forbidden("new orders are rejected by user request")
    return asset


def _check_available(desk: Desk, draft: Draft, have: Decimal, price: Decimal | None) -> None:
    wanted = draft.qty
    if wanted is None:
        if price is None or draft.notional is None:
            raise forbidden(f"no price is known for {draft.symbol}; close by quantity instead")
        wanted = shares_for(draft.notional, price)
    held, blocking = desk.held(draft.symbol, draft.side)
    available = max(ZERO, have - held)
    if wanted > available:
        raise forbidden(
            f"insufficient qty available for order (requested: {plain(wanted)}, available: {plain(available)})",
            available=plain(available),
            existing_qty=plain(have),
            held_for_orders=plain(held),
            related_orders=[str(order.id) for order in blocking],
            symbol=draft.symbol,
        )


def _check_opening(desk: Desk, draft: Draft, asset: Row[Any] | None, price: Decimal | None) -> Decimal:
    """Money to reserve; 0 where no price is known yet, in which case the fill checks again."""
    if draft.side == "sell":
        if draft.fractional:
            raise invalid("fractional orders cannot be sold short")
        if not desk.account.shorting_enabled:
            raise forbidden("account is not allowed to short")
        if asset is not None and not asset.shortable:
            raise invalid(f'asset "{draft.symbol}" cannot be sold short')
    cost = _cost(desk, draft, price)
    if cost is None:
        return ZERO
    if draft.notional is not None and cost < 1:
        raise forbidden("cost basis must be >= minimal amount of order 1")
    available = desk.balance().buying_power
    if cost > available:
        raise forbidden(
            "insufficient buying power",
            buying_power=plain(available.quantize(Decimal("0.01"))),
            cost_basis=plain(cost),
        )
    return cost


def _cost(desk: Desk, draft: Draft, price: Decimal | None) -> Decimal | None:
    if draft.notional is not None:
        return draft.notional
    assert draft.qty is not None
    if draft.side == "sell":
        bases = [p for p in (draft.limit_price, None if price is None else price * SHORT_MARGIN) if p is not None]
        basis = max(bases, default=None)
    else:
        basis = draft.limit_price or draft.stop_price or (None if price is None else desk.market.costs.quote(price)[1])
    return None if basis is None else (draft.qty * basis).quantize(Decimal("0.0001"))


def _check_wash_trade(desk: Desk, draft: Draft) -> None:
    for other in desk.open_orders(draft.symbol):
        if other.side == draft.side or not other.active:
            continue
        if crosses(draft.side, draft.type, draft.limit_price, other.type, other.limit_price):
            kind = "limit" if other.type in {"limit", "stop_limit"} else "market/stop"
            raise forbidden(
                "potential wash trade detected. use complex orders",
                existing_order_id=str(other.id),
                reject_reason=f"opposite side {kind} order exists",
            )


def _store(desk: Desk, draft: Draft, intent: str, reserved: Decimal, replaces: Row[Any] | None) -> Row[Any]:
    limit = draft.limit_price
    if draft.order_class == "oco":
        limit = draft.take_profit
    return desk.add_order(
        client_order_id=draft.client_order_id,
        symbol=draft.symbol,
        side=draft.side,
        type=draft.type,
        order_class=draft.order_class,
        time_in_force=draft.time_in_force,
        qty=draft.qty,
        notional=draft.notional,
        limit_price=limit,
        stop_price=draft.stop_price,
        trail_price=draft.trail_price,
        trail_percent=draft.trail_percent,
        extended_hours=draft.extended_hours,
        position_intent=intent,
        status="new" if desk.may_trade(draft.extended_hours) else "accepted",
        reserved=reserved,
        replaces=None if replaces is None else replaces.id,
        expires_at=desk.expiry(draft.time_in_force, draft.extended_hours),
    )


def _store_legs(desk: Desk, draft: Draft, parent: Row[Any]) -> None:
    if draft.order_class == "simple":
        return
    own = draft.order_class == "oco"
    side = draft.side if own else ("sell" if draft.side == "buy" else "buy")
    shared = {
        "symbol": draft.symbol,
        "side": side,
        "order_class": draft.order_class,
        "time_in_force": draft.time_in_force,
        "qty": draft.qty,
        "position_intent": f"{side}_to_close",
        "status": "held",
        "active": own,
        "parent_id": parent.id,
        "expires_at": desk.expiry(draft.time_in_force),
    }
    if draft.take_profit is not None and not own:
        desk.add_order(**shared, type="limit", limit_price=draft.take_profit, leg="take_profit")
    if draft.stop_loss is not None:
        kind = "stop" if draft.stop_loss_limit is None else "stop_limit"
        desk.add_order(
            **shared, type=kind, stop_price=draft.stop_loss, limit_price=draft.stop_loss_limit, leg="stop_loss"
        )


def replace(desk: Desk, order: Row[Any], draft: Draft) -> Row[Any]:
    """The old order ends as ``replaced``, a new one takes its place."""
    replaced = desk.change(order, status="replaced", reserved=ZERO, replaced_at=desk.now)
    new = place(desk, draft, replaces=order)
    replaced = desk.change(replaced, replaced_by=new.id)
    desk.tell("replaced", replaced)
    return new
