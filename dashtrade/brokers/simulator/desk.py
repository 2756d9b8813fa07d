"""Filling and ending the orders of one account, inside one transaction."""

from __future__ import annotations

from decimal import Decimal
from typing import Any
from uuid import uuid4

from sqlalchemy import Row, insert

from dashtrade.brokers.simulator import store
from dashtrade.brokers.simulator.books import Books
from dashtrade.brokers.simulator.drafts import plain
from dashtrade.brokers.simulator.ledger import ZERO, Holding, after_fill, shares_for
from dashtrade.brokers.simulator.matching import Working, examine
from dashtrade.brokers.simulator.prices import Price
from dashtrade.brokers.simulator.refusals import invalid


class Desk(Books):
    """What happens to orders once they are in the books. ``placing.place`` puts them there."""

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
                self.attempt(current)

    def attempt(self, order: Row[Any], *, just_placed: bool = False) -> None:
        if not order.active or not self.may_trade(order.extended_hours) or self.halted(order.symbol):
            return self._end_immediate(order) if just_placed or self._overdue(order) else None
        if order.status == "accepted":
            order = self.change(order, status="new")
            self.tell("new", order)
        waited = order.parent_id is not None or self.now - order.submitted_at >= self.market.prices.grace
        price = self.price(order.symbol, waited=waited)
        if price is None:
            return self._end_immediate(order) if self._overdue(order) else None
        verdict = examine(_working(order), price.price, self.market.costs)
        if (verdict.triggered, verdict.hwm, verdict.stop_price) != (order.triggered, order.hwm, order.stop_price):
            status = "new" if verdict.triggered and order.status == "held" else order.status
            order = self.change(
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
        order = self.change(
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
                    self.tell("new", self.change(other, active=True, status=status))
            elif (order.parent_id is None and order.order_class != "oco") or self.market.knobs.both_legs:
                continue
            elif not left:
                self._finish(other, "canceled", alone=True)
            else:
                self.change(other, qty=other.filled_qty + left)

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
        order = self.change(order, status=status, reserved=ZERO, **{time_column: self.now}, **values)
        self.tell(status, order)
        if order.order_class != "simple" and not alone:
            for other in self.group(order):
                # ending an entry that never filled, or one leg, ends the whole group
                if other.id != order.id and other.status in store.OPEN:
                    self._finish(other, status if status != "rejected" else "canceled", alone=True)
        return order


def _working(order: Row[Any]) -> Working:
    return Working(
        name=order.client_order_id,
        side=order.side,
        type=order.type,
        limit_price=order.limit_price,
        stop_price=order.stop_price,
        trail_price=order.trail_price,
        trail_percent=order.trail_percent,
        hwm=order.hwm,
        triggered=order.triggered,
    )
