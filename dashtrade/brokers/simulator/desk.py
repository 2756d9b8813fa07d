"""One account inside one transaction: placing, filling and ending orders.

The account's row is locked for the whole transaction, so everything here sees and leaves a consistent account, whatever
arrives at once. Nothing is sent to anybody from here: events are collected, and published after the commit.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Connection, Row, and_, delete, insert, or_, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from dashtrade.brokers.simulator import bodies, store
from dashtrade.brokers.simulator.drafts import Draft, plain, well_formed
from dashtrade.brokers.simulator.hours import Hours, Phase
from dashtrade.brokers.simulator.ledger import ZERO, Balance, Holding, after_fill, shares_for, value
from dashtrade.brokers.simulator.matching import Costs, Working, crosses, examine
from dashtrade.brokers.simulator.prices import Price, Prices
from dashtrade.brokers.simulator.refusals import forbidden, invalid, malformed

GTC_LIFE = timedelta(days=90)
SHORT_MARGIN = Decimal("1.03")  # a short sale is valued 3 % above the market, as Alpaca does
_O, _P = store.orders, store.positions


@dataclass
class Knobs:
    """What a rehearsal may change about the market itself."""

    visibility_lag: timedelta = timedelta(0)
    partial_fills: tuple[Decimal, ...] = ()
    partial_interval: timedelta = timedelta(0)
    hold_fills: bool = False


@dataclass(frozen=True)
class Market:
    """Everything outside the account that an order meets."""

    prices: Prices
    hours: Hours
    costs: Costs
    knobs: Knobs = field(default_factory=Knobs)


class Desk:
    """Built inside a transaction that holds the account's lock."""

    def __init__(self, connection: Connection, account: Row[Any], market: Market, now: datetime) -> None:
        self.connection = connection
        self.account = account
        self.market = market
        self.now = now
        self.cash: Decimal = account.cash
        self.events: list[bodies.Body] = []
        self._positions: dict[str, Row[Any]] | None = None
        self._halts: dict[str, bool] = {}
        self._writes = 0

    # reading

    def positions(self) -> dict[str, Row[Any]]:
        if self._positions is None:
            query = select(_P).where(_P.c.account_id == self.account.id).order_by(_P.c.symbol)
            self._positions = {row.symbol: row for row in self.connection.execute(query)}
        return self._positions

    def open_orders(self, symbol: str | None = None) -> list[Row[Any]]:
        query = select(_O).where(_O.c.account_id == self.account.id, _O.c.status.in_(store.OPEN)).order_by(_O.c.seq)
        return list(self.connection.execute(query if symbol is None else query.where(_O.c.symbol == symbol)))

    def order(self, order_id: UUID) -> Row[Any] | None:
        query = select(_O).where(_O.c.account_id == self.account.id, _O.c.id == order_id)
        return self.connection.execute(query).one_or_none()

    def price(self, symbol: str, *, simulated: bool = False, waited: bool = True) -> Price | None:
        return self.market.prices.price(symbol, self.account.key_id, simulated=simulated, waited=waited)

    def mark(self, position: Row[Any]) -> Decimal:
        """The price a position is valued at: the market's, else that of its last fill."""
        found = self.price(position.symbol, simulated=position.simulated)
        return position.last_price if found is None else found.price

    def balance(self) -> Balance:
        held = [(row.qty, self.mark(row)) for row in self.positions().values()]
        reserved = sum((order.reserved for order in self.open_orders()), ZERO)
        return value(self.cash, held, reserved, self.account.multiplier)

    def held(self, symbol: str, side: str) -> tuple[Decimal, list[Row[Any]]]:
        """Shares held for open closing orders, and those orders. Legs of one group hold their shares once."""
        groups: dict[UUID, Decimal] = {}
        closing = f"{side}_to_close"
        rows = [o for o in self.open_orders(symbol) if o.position_intent == closing and o.active and o.qty is not None]
        for row in rows:
            group = row.parent_id or row.id
            groups[group] = max(groups.get(group, ZERO), row.qty - row.filled_qty)
        return sum(groups.values(), ZERO), rows

    # placing

    def place(self, draft: Draft, *, replaces: Row[Any] | None = None) -> Row[Any]:
        """Check the order against the account, store it with its legs, and try to fill it."""
        asset = self._tradable(draft)
        taken = select(_O.c.id).where(_O.c.account_id == self.account.id, _O.c.client_order_id == draft.client_order_id)
        if self.connection.execute(taken).first() is not None:
            raise malformed("client_order_id must be unique")
        position = self.positions().get(draft.symbol)
        have = ZERO if position is None else position.qty
        closing = have > 0 if draft.side == "sell" else have < 0
        price = self.price(draft.symbol, simulated=position is not None and position.simulated)
        reserved = ZERO
        if closing:
            self._check_available(draft, abs(have), None if price is None else price.price)
        elif draft.order_class == "oco":
            raise forbidden(f"oco orders need a position in {draft.symbol} to close")
        else:
            reserved = self._check_opening(draft, asset, None if price is None else price.price)
        if draft.order_class == "simple":
            self._check_wash_trade(draft)
        row = self._store(draft, f"{draft.side}_to_{'close' if closing else 'open'}", reserved, replaces)
        self.tell("new" if row.status == "new" else "accepted", row)
        self._store_legs(draft, row)
        if not self.market.knobs.hold_fills:
            self._try(row, just_placed=True)
        return row

    def _tradable(self, draft: Draft) -> Row[Any] | None:
        query = select(store.assets).where(store.assets.c.symbol == draft.symbol)
        asset = self.connection.execute(query).one_or_none()
        if not well_formed(draft.symbol) or (asset is not None and not asset.known):
            raise invalid(f'asset "{draft.symbol}" not found')
        if asset is not None and not asset.tradable:
            raise invalid(f"asset {draft.symbol} is not tradable")
        if asset is not None and not asset.fractionable and draft.fractional:
            raise forbidden(f'asset "{draft.symbol}" is not fractionable')
        if self.account.trading_blocked:
            raise forbidden("new orders are rejected by user request")
        return asset

    def _check_available(self, draft: Draft, have: Decimal, price: Decimal | None) -> None:
        wanted = draft.qty
        if wanted is None:
            if price is None or draft.notional is None:
                raise forbidden(f"no price is known for {draft.symbol}; close by quantity instead")
            wanted = shares_for(draft.notional, price)
        held, blocking = self.held(draft.symbol, draft.side)
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

    def _check_opening(self, draft: Draft, asset: Row[Any] | None, price: Decimal | None) -> Decimal:
        """Money to reserve; 0 where no price is known yet, in which case the fill checks again."""
        if draft.side == "sell":
            if draft.fractional:
                raise invalid("fractional orders cannot be sold short")
            if not self.account.shorting_enabled:
                raise forbidden("account is not allowed to short")
            if asset is not None and not asset.shortable:
                raise invalid(f'asset "{draft.symbol}" cannot be sold short')
        cost = self._cost(draft, price)
        if cost is None:
            return ZERO
        if draft.notional is not None and cost < 1:
            raise forbidden("cost basis must be >= minimal amount of order 1")
        available = self.balance().buying_power
        if cost > available:
            raise forbidden(
                "insufficient buying power",
                buying_power=plain(available.quantize(Decimal("0.01"))),
                cost_basis=plain(cost),
            )
        return cost

    def _cost(self, draft: Draft, price: Decimal | None) -> Decimal | None:
        if draft.notional is not None:
            return draft.notional
        assert draft.qty is not None
        if draft.side == "sell":
            bases = [p for p in (draft.limit_price, None if price is None else price * SHORT_MARGIN) if p is not None]
            basis = max(bases, default=None)
        else:
            basis = (
                draft.limit_price or draft.stop_price or (None if price is None else self.market.costs.quote(price)[1])
            )
        return None if basis is None else (draft.qty * basis).quantize(Decimal("0.0001"))

    def _check_wash_trade(self, draft: Draft) -> None:
        for other in self.open_orders(draft.symbol):
            if other.side == draft.side or not other.active:
                continue
            if crosses(draft.side, draft.type, draft.limit_price, other.type, other.limit_price):
                kind = "limit" if other.type in {"limit", "stop_limit"} else "market/stop"
                raise forbidden(
                    "potential wash trade detected. use complex orders",
                    existing_order_id=str(other.id),
                    reject_reason=f"opposite side {kind} order exists",
                )

    def _store(self, draft: Draft, intent: str, reserved: Decimal, replaces: Row[Any] | None) -> Row[Any]:
        limit = draft.limit_price
        if draft.order_class == "oco":
            limit = draft.take_profit
        return self._insert(
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
            status="new" if self._may_trade(draft.extended_hours) else "accepted",
            reserved=reserved,
            replaces=None if replaces is None else replaces.id,
            expires_at=self._expiry(draft.time_in_force),
        )

    def _store_legs(self, draft: Draft, parent: Row[Any]) -> None:
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
            "expires_at": self._expiry(draft.time_in_force),
        }
        if draft.take_profit is not None and not own:
            self._insert(**shared, type="limit", limit_price=draft.take_profit, leg="take_profit")
        if draft.stop_loss is not None:
            kind = "stop" if draft.stop_loss_limit is None else "stop_limit"
            self._insert(
                **shared, type=kind, stop_price=draft.stop_loss, limit_price=draft.stop_loss_limit, leg="stop_loss"
            )

    def _insert(self, **values: Any) -> Row[Any]:
        values.setdefault("client_order_id", str(uuid4()))
        values |= {"id": uuid4(), "account_id": self.account.id}
        values |= {"created_at": self.now, "updated_at": self.now, "submitted_at": self.now}
        return self.connection.execute(insert(_O).values(**values).returning(_O)).one()

    def _expiry(self, time_in_force: str) -> datetime:
        return self.now + GTC_LIFE if time_in_force == "gtc" else self.market.hours.day_ends(self.now)

    def _may_trade(self, extended_hours: bool) -> bool:
        phase = self.market.hours.phase(self.now)
        return phase is Phase.REGULAR or (extended_hours and phase is Phase.EXTENDED)

    # filling

    def match(self, symbol: str) -> None:
        """Fill what the price allows, oldest order first."""
        if self.market.knobs.hold_fills:
            return
        orders, writes = self.open_orders(symbol), self._writes
        for order in orders:
            # once something was written, an earlier fill may have ended this order
            current = order if writes == self._writes else self.order(order.id)
            if current is not None and current.status in store.OPEN:
                self._try(current)

    def _try(self, order: Row[Any], *, just_placed: bool = False) -> None:
        if not order.active or not self._may_trade(order.extended_hours) or self._halted(order.symbol):
            return self._end_immediate(order) if just_placed or self._overdue(order) else None
        if order.status == "accepted":
            order = self._set(order, status="new")
            self.tell("new", order)
        position = self.positions().get(order.symbol)
        waited = order.parent_id is not None or self.now - order.submitted_at >= self.market.prices.grace
        price = self.price(order.symbol, simulated=position is not None and position.simulated, waited=waited)
        if price is None:
            return self._end_immediate(order) if self._overdue(order) else None
        verdict = examine(_working(order), price.price, self.market.costs)
        if (verdict.triggered, verdict.hwm, verdict.stop_price) != (order.triggered, order.hwm, order.stop_price):
            status = "new" if verdict.triggered and order.status == "held" else order.status
            order = self._set(
                order, triggered=verdict.triggered, hwm=verdict.hwm, stop_price=verdict.stop_price, status=status
            )
        if verdict.fill_price is not None:
            qty = self._portion(order, verdict.fill_price)
            if qty > 0:
                order = self._fill(order, qty, verdict.fill_price, price)
        self._end_immediate(order)
        return None

    def _overdue(self, order: Row[Any]) -> bool:
        return self.now - order.submitted_at > self.market.prices.grace

    def _end_immediate(self, order: Row[Any]) -> None:
        """An immediate-or-cancel order does not rest."""
        if order.status in store.OPEN and order.time_in_force in {"ioc", "fok"}:
            self._finish(order, "canceled")

    def _halted(self, symbol: str) -> bool:
        if symbol not in self._halts:
            query = select(store.assets.c.halted).where(store.assets.c.symbol == symbol)
            self._halts[symbol] = bool(self.connection.execute(query).scalar())
        return self._halts[symbol]

    def _portion(self, order: Row[Any], price: Decimal) -> Decimal:
        """How much fills now: all that is left, unless a rehearsal asked for partial fills."""
        total: Decimal = order.qty if order.qty is not None else shares_for(order.notional, price)
        left = total - order.filled_qty
        knobs = self.market.knobs
        if not knobs.partial_fills or order.qty is None:
            return left
        if order.time_in_force == "fok":
            return ZERO
        if order.filled_qty and self.now - order.updated_at < knobs.partial_interval:
            return ZERO
        done, step = ZERO, ZERO
        for fraction in knobs.partial_fills:
            done += fraction
            step = (total * done).quantize(Decimal(1) if total == total.to_integral_value() else Decimal("0.000000001"))
            if step > order.filled_qty:
                return min(step, total) - order.filled_qty
        return ZERO  # the schedule ends before the order is filled: the rest stays open

    def _fill(self, order: Row[Any], qty: Decimal, price: Decimal, feed: Price) -> Row[Any]:
        amount = qty * price
        opening = order.position_intent.endswith("_to_open")
        if opening and not order.reserved and amount > self.balance().buying_power:
            return self._finish(order, "rejected", reject_reason="insufficient buying power")
        position = self.positions().get(order.symbol)
        before = Holding() if position is None else Holding(position.qty, position.avg_entry_price)
        after = after_fill(before, order.side, qty, price)
        self.set_position(order.symbol, after, price, feed)
        self.add_cash(-amount if order.side == "buy" else amount)
        filled = order.filled_qty + qty
        total = order.qty if order.qty is not None else filled
        left = total - filled
        order = self._set(
            order,
            filled_qty=filled,
            filled_value=order.filled_value + amount,
            reserved=(order.reserved * left / (left + qty)) if left else ZERO,
            status="partially_filled" if left else "filled",
            filled_at=None if left else self.now,
            source=feed.source,
        )
        execution = uuid4()
        self.connection.execute(
            insert(store.activities).values(
                id=f"{self.now:%Y%m%d%H%M%S}{self.now.microsecond // 1000:03d}::{execution}",
                account_id=self.account.id,
                activity_type="FILL",
                time=self.now,
                execution_id=execution,
                order_id=order.id,
                symbol=order.symbol,
                side=order.side,
                qty=qty,
                price=price,
                cum_qty=filled,
                leaves_qty=left,
                source=feed.source,
            )
        )
        self.tell(
            "partial_fill" if left else "fill",
            order,
            execution_id=str(execution),
            price=plain(price),
            qty=plain(qty),
            position_qty=plain(after.qty),
        )
        self._after_fill(order, left)
        self.note_equity()
        return order

    def add_cash(self, amount: Decimal) -> None:
        self.cash += amount
        accounts = store.accounts
        self.connection.execute(update(accounts).where(accounts.c.id == self.account.id).values(cash=self.cash))

    def set_position(self, symbol: str, holding: Holding, price: Decimal, feed: Price) -> None:
        self._positions = None
        where = and_(_P.c.account_id == self.account.id, _P.c.symbol == symbol)
        if holding.qty == 0:
            self.connection.execute(delete(_P).where(where))
            return
        values = {
            "qty": holding.qty,
            "avg_entry_price": holding.avg_entry_price,
            "source": feed.source,
            "simulated": feed.simulated,
            "last_price": price,
        }
        statement = upsert(_P).values(account_id=self.account.id, symbol=symbol, **values)
        self.connection.execute(statement.on_conflict_do_update(index_elements=["account_id", "symbol"], set_=values))

    def _after_fill(self, order: Row[Any], left: Decimal) -> None:
        """A filled entry wakes its legs; a filled leg ends the other, a partly filled one shrinks it."""
        if order.order_class == "simple":
            return
        for other in self.group(order):
            if other.status not in store.OPEN or other.id == order.id:
                continue
            if other.parent_id == order.id and order.order_class != "oco":
                if not left:
                    status = "new" if other.leg == "take_profit" else "held"
                    self.tell("new", self._set(other, active=True, status=status))
            elif order.parent_id is None and order.order_class != "oco":
                continue
            elif not left:
                self._finish(other, "canceled", alone=True)
            else:
                self._set(other, qty=other.filled_qty + left)

    # ending

    def cancel(self, order: Row[Any]) -> Row[Any]:
        """Cancels the rest of the order and of its group. Raises Refused when it has already ended."""
        if order.status not in store.OPEN:
            raise invalid(f'order is already in "{order.status}" state')
        return self._finish(order, "canceled")

    def expire(self) -> None:
        """End what is past its time."""
        for order in self.open_orders():
            if order.expires_at is not None and order.expires_at <= self.now:
                current = self.order(order.id)
                if current is not None and current.status in store.OPEN:
                    self._finish(current, "expired")

    def _finish(self, order: Row[Any], status: str, *, alone: bool = False, **values: Any) -> Row[Any]:
        time_column = {"rejected": "failed_at"}.get(status, f"{status}_at")
        order = self._set(order, status=status, reserved=ZERO, **{time_column: self.now}, **values)
        self.tell(status, order)
        if order.order_class != "simple" and not alone:
            for other in self.group(order):
                # ending an entry that never filled, or one leg, ends the whole group
                if other.id != order.id and other.status in store.OPEN:
                    self._finish(other, status if status != "rejected" else "canceled", alone=True)
        return order

    def replace(self, order: Row[Any], draft: Draft) -> Row[Any]:
        """The old order ends as ``replaced``, a new one takes its place."""
        replaced = self._set(order, status="replaced", reserved=ZERO, replaced_at=self.now)
        new = self.place(draft, replaces=order)
        replaced = self._set(replaced, replaced_by=new.id)
        self.tell("replaced", replaced)
        return new

    # helpers

    def group(self, order: Row[Any]) -> list[Row[Any]]:
        """The order with its parent and legs."""
        root = order.parent_id or order.id
        query = select(_O).where(or_(_O.c.id == root, _O.c.parent_id == root)).order_by(_O.c.seq)
        return list(self.connection.execute(query))

    def _set(self, order: Row[Any], **values: Any) -> Row[Any]:
        self._writes += 1
        statement = update(_O).where(_O.c.id == order.id).values(updated_at=self.now, **values).returning(_O)
        return self.connection.execute(statement).one()

    def tell(self, event: str, order: Row[Any], **extra: Any) -> None:
        message = bodies.update(event, self.now, bodies.order(order), **extra)
        self.events.append(message)
        self.connection.execute(
            insert(store.order_events).values(
                account_id=self.account.id,
                order_id=order.id,
                event=event,
                time=self.now,
                source=order.source,
                body=message["data"],
            )
        )

    def note_equity(self) -> None:
        """A point of the equity curve; the last one of a moment counts."""
        equity = self.balance().equity
        statement = upsert(store.equity_points).values(account_id=self.account.id, time=self.now, equity=equity)
        self.connection.execute(
            statement.on_conflict_do_update(index_elements=["account_id", "time"], set_={"equity": equity})
        )


def _working(order: Row[Any]) -> Working:
    return Working(
        order_id=str(order.id),
        side=order.side,
        type=order.type,
        limit_price=order.limit_price,
        stop_price=order.stop_price,
        trail_price=order.trail_price,
        trail_percent=order.trail_percent,
        hwm=order.hwm,
        triggered=order.triggered,
    )
