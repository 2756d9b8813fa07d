"""The simulated brokerage: every operation of the API as one transaction, and the loop that fills resting orders."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Connection, Engine, Row, func, or_, select
from sqlalchemy.dialects.postgresql import insert as upsert

from dashtrade.brokers.simulator import bodies, drafts, placing, queries, store
from dashtrade.brokers.simulator.bodies import Body
from dashtrade.brokers.simulator.books import Market
from dashtrade.brokers.simulator.desk import Desk
from dashtrade.brokers.simulator.refusals import Refused, invalid, malformed, not_found
from dashtrade.domain.ports import Clock

logger = logging.getLogger(__name__)
Publish = Callable[[UUID, list[Body]], None]
_O = store.orders


class Exchange:
    """Thread-safe: all state is in the database. ``publish(account_id, messages)`` is called after each commit."""

    def __init__(
        self,
        engine: Engine,
        market: Market,
        clock: Clock,
        *,
        initial_cash: Decimal = Decimal(100_000),
        multiplier: Decimal = Decimal(2),
        publish: Publish = lambda account_id, messages: None,
    ) -> None:
        self.engine = engine
        self.market = market
        self.clock = clock
        self.publish = publish
        self._initial_cash = initial_cash
        self._multiplier = multiplier
        self._accounts: dict[str, UUID] = {}
        self._seen: dict[tuple[UUID, str], object] = {}

    # accounts and transactions

    def open_account(self, key_id: str) -> UUID:
        """The account of a key, made on first use."""
        known = self._accounts.get(key_id)
        if known is not None:
            return known
        accounts = store.accounts
        new = uuid4()
        with self.engine.begin() as connection:
            made = upsert(accounts).values(
                id=new,
                key_id=key_id,
                number=f"SIM{new.hex[:8].upper()}",
                cash=self._initial_cash,
                initial_cash=self._initial_cash,
                multiplier=self._multiplier,
                created_at=self.clock.now(),
            )
            connection.execute(made.on_conflict_do_nothing(index_elements=["key_id"]))
            found: UUID = connection.execute(select(accounts.c.id).where(accounts.c.key_id == key_id)).scalar_one()
        self._accounts[key_id] = found
        return found

    @contextmanager
    def desk(self, account_id: UUID) -> Iterator[Desk]:
        """The account under its lock; leaving commits, then publishes what happened."""
        with self.engine.begin() as connection:
            desk = self._desk(connection, account_id, lock=True)
            yield desk
        if desk.events:
            self.publish(account_id, desk.events)

    @contextmanager
    def view(self, account_id: UUID) -> Iterator[Desk]:
        """The account for reading: one snapshot, no lock."""
        with self.engine.connect().execution_options(isolation_level="REPEATABLE READ") as connection:
            yield self._desk(connection, account_id, lock=False)

    def _desk(self, connection: Connection, account_id: UUID, *, lock: bool) -> Desk:
        query = select(store.accounts).where(store.accounts.c.id == account_id)
        account = connection.execute(query.with_for_update() if lock else query).one()
        return Desk(connection, account, self.market, self.clock.now())

    # orders

    def submit(self, account_id: UUID, payload: Mapping[str, Any]) -> Body:
        """Place an order. The answer shows it as just received, as Alpaca's does; what follows comes by the stream."""
        draft = drafts.read(payload)
        with self.desk(account_id) as desk:
            row = placing.place(desk, draft)
            legs = [bodies.order(leg, status="held") for leg in desk.group(row) if leg.id != row.id]
            return bodies.order(row, legs, status="pending_new" if row.status == "new" else row.status)

    def cancel(self, account_id: UUID, order_id: str) -> None:
        with self.desk(account_id) as desk:
            desk.cancel(self._find(desk, order_id))

    def cancel_all(self, account_id: UUID) -> list[Body]:
        results: list[Body] = []
        with self.desk(account_id) as desk:
            for order in desk.open_orders():
                current = desk.order(order.id)
                if current is not None and current.status in store.OPEN:
                    desk.cancel(current)
                results.append({"id": str(order.id), "status": 200})
        return results

    def replace(self, account_id: UUID, order_id: str, payload: Mapping[str, Any]) -> Body:
        with self.desk(account_id) as desk:
            order = self._find(desk, order_id)
            if order.status not in store.OPEN:
                raise invalid(f'order is already in "{order.status}" state')
            if order.order_class != "simple" or order.notional is not None:
                raise invalid("only simple orders by quantity can be replaced")
            return bodies.order(placing.replace(desk, order, _changed(order, payload)))

    def order(self, account_id: UUID, order_id: str, *, nested: bool = False) -> Body:
        with self.view(account_id) as desk:
            return self._body(desk, self._visible(desk, self._find(desk, order_id), order_id), nested)

    def order_by_client_id(self, account_id: UUID, client_order_id: str) -> Body:
        with self.view(account_id) as desk:
            query = select(_O).where(_O.c.account_id == account_id, _O.c.client_order_id == client_order_id)
            row = desk.connection.execute(query).one_or_none()
            return self._body(desk, self._visible(desk, row, client_order_id), nested=False)

    def orders(self, account_id: UUID, query: Mapping[str, str]) -> list[Body]:
        with self.view(account_id) as desk:
            rows = queries.orders(desk.connection, account_id, query)
            lag = self.market.knobs.visibility_lag
            if lag:
                rows = [row for row in rows if row.submitted_at + lag <= desk.now]
            return [self._body(desk, row, queries.flag(query, "nested")) for row in rows]

    def _find(self, desk: Desk, order_id: str) -> Row[Any]:
        try:
            row = desk.order(UUID(order_id))
        except ValueError:
            raise malformed(f"order_id is not an id: {order_id[:60]}") from None
        if row is None:
            raise not_found(f"order not found for {order_id}")
        return row

    def _visible(self, desk: Desk, row: Row[Any] | None, name: str) -> Row[Any]:
        lag = self.market.knobs.visibility_lag
        if row is None or (lag and row.submitted_at + lag > desk.now):
            raise not_found(f"order not found for {name}")
        return row

    def _body(self, desk: Desk, row: Row[Any], nested: bool) -> Body:
        legs = (
            [bodies.order(leg) for leg in desk.group(row) if leg.id != row.id] if nested and not row.parent_id else None
        )
        return bodies.order(row, legs)

    # positions

    def positions(self, account_id: UUID) -> list[Body]:
        with self.view(account_id) as desk:
            return [self._position(desk, row) for row in desk.positions().values()]

    def position(self, account_id: UUID, name: str) -> Body:
        with self.view(account_id) as desk:
            return self._position(desk, self._held(desk, name))

    def _position(self, desk: Desk, row: Row[Any]) -> Body:
        held, _ = desk.held(row.symbol, "sell" if row.qty > 0 else "buy")
        return bodies.position(row, desk.mark(row), row.avg_entry_price, held)

    def _held(self, desk: Desk, name: str) -> Row[Any]:
        for symbol, row in desk.positions().items():
            if name.upper() == symbol or name.lower() == bodies.asset_id(symbol):
                return row
        raise not_found("position does not exist")

    def close_position(self, account_id: UUID, name: str, query: Mapping[str, str]) -> Body:
        with self.desk(account_id) as desk:
            row = self._held(desk, name)
            qty, percentage = drafts.number(query, "qty"), drafts.number(query, "percentage")
            if qty is None and percentage is not None:
                if not 0 < percentage <= 100:
                    raise malformed("percentage must be between 0 and 100")
                qty = (abs(row.qty) * percentage / 100).quantize(Decimal("0.000000001"))
            return bodies.order(placing.place(desk, _closing(row, qty or abs(row.qty))), status="pending_new")

    def close_all(self, account_id: UUID, *, cancel_orders: bool) -> list[Body]:
        if cancel_orders:
            self.cancel_all(account_id)
        with self.view(account_id) as desk:
            symbols = list(desk.positions())
        results: list[Body] = []
        for symbol in symbols:
            try:
                results.append({"symbol": symbol, "status": 200, "body": self.close_position(account_id, symbol, {})})
            except Refused as refused:
                results.append({"symbol": symbol, "status": refused.status, "body": refused.body})
        return results

    # the account

    def account(self, account_id: UUID) -> Body:
        with self.view(account_id) as desk:
            return bodies.account(desk.account, desk.balance(), self.last_equity(desk))

    def last_equity(self, desk: Desk) -> Decimal:
        """Equity at the close of the previous trading day: the last point of the curve before it."""
        points = store.equity_points
        query = (
            select(points.c.equity)
            .where(points.c.account_id == desk.account.id, points.c.time <= self.market.hours.day_starts(desk.now))
            .order_by(points.c.time.desc())
            .limit(1)
        )
        found = desk.connection.execute(query).scalar()
        return desk.account.initial_cash if found is None else found

    # the loop

    def match(self, symbol: str) -> None:
        """Try every account's open orders of a symbol at the price of now."""
        with self.engine.connect() as connection:
            query = select(_O.c.account_id).where(_O.c.status.in_(store.OPEN), _O.c.symbol == symbol).distinct()
            found = connection.execute(query).scalars().all()
        for account_id in found:
            with self.desk(account_id) as desk:
                desk.match(symbol)

    def tick(self) -> None:
        """Expire what is past its time, and try the open orders for which something has changed.

        One query looks at everything; an account is locked only where the price or the phase of the market differs from
        the last look, or an order is waiting for something else than a price.
        """
        restless = or_(_O.c.status == "accepted", _O.c.type == "market", _O.c.time_in_force.in_(("ioc", "fok")))
        query = (
            select(
                _O.c.account_id,
                store.accounts.c.key_id,
                _O.c.symbol,
                func.min(_O.c.expires_at).label("expires_at"),
                func.bool_or(restless).label("restless"),
            )
            .join(store.accounts)
            .where(_O.c.status.in_(store.OPEN))
            .group_by(_O.c.account_id, store.accounts.c.key_id, _O.c.symbol)
        )
        with self.engine.connect() as connection:
            rows = connection.execute(query).all()
        if not rows:
            return
        now = self.clock.now()
        phase = self.market.hours.phase(now)
        seen: dict[tuple[UUID, str], object] = {}
        partial = bool(self.market.knobs.partial_fills)
        for row in rows:
            price = self.market.prices.price(row.symbol, row.key_id)
            state = (price, phase)
            seen[row.account_id, row.symbol] = state
            expired = row.expires_at is not None and row.expires_at <= now
            if expired or row.restless or partial or self._seen.get((row.account_id, row.symbol)) != state:
                with self.desk(row.account_id) as desk:
                    desk.expire()
                    desk.match(row.symbol)
        self._seen = seen

    def look_again(self) -> None:
        """Something other than a price has changed: the next look takes nothing for known."""
        self._seen = {}

    def note_equities(self) -> None:
        """A point of the equity curve for every account that holds something."""
        with self.engine.connect() as connection:
            holders = connection.execute(select(store.positions.c.account_id).distinct()).scalars().all()
        for account_id in holders:
            with self.desk(account_id) as desk:
                desk.note_equity()


def _closing(row: Row[Any], qty: Decimal) -> drafts.Draft:
    side = "sell" if row.qty > 0 else "buy"
    return drafts.read({"symbol": row.symbol, "side": side, "type": "market", "time_in_force": "day", "qty": qty})


def _changed(order: Row[Any], payload: Mapping[str, Any]) -> drafts.Draft:
    """The draft of a replacement: the order with the given fields changed, for what is not filled yet."""
    trail = payload.get("trail")
    qty = drafts.number(payload, "qty")
    total = order.qty if qty is None else qty
    if total <= order.filled_qty:
        raise invalid("qty must be more than what is already filled")
    fields = {
        "symbol": order.symbol,
        "side": order.side,
        "type": order.type,
        "time_in_force": payload.get("time_in_force") or order.time_in_force,
        "qty": total - order.filled_qty,
        "limit_price": payload.get("limit_price") or order.limit_price,
        "stop_price": None if order.type == "trailing_stop" else payload.get("stop_price") or order.stop_price,
        "trail_price": trail if trail and order.trail_price is not None else order.trail_price,
        "trail_percent": trail if trail and order.trail_percent is not None else order.trail_percent,
        "extended_hours": order.extended_hours,
        "client_order_id": payload.get("client_order_id"),
    }
    return drafts.read({name: value for name, value in fields.items() if value is not None})
