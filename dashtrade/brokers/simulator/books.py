"""An account's rows inside one transaction: reading them, and the few ways of changing them.

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
from dashtrade.brokers.simulator.hours import Hours, Phase
from dashtrade.brokers.simulator.ledger import ZERO, Balance, Holding, value
from dashtrade.brokers.simulator.matching import Costs
from dashtrade.brokers.simulator.prices import HINT, Price, Prices

GTC_LIFE = timedelta(days=90)
_O, _P = store.orders, store.positions


@dataclass
class Knobs:
    """What a rehearsal may change about the market itself."""

    visibility_lag: timedelta = timedelta(0)
    partial_fills: tuple[Decimal, ...] = ()
    partial_interval: timedelta = timedelta(0)
    hold_fills: bool = False
    both_legs: bool = False


@dataclass(frozen=True)
class Market:
    """Everything outside the account that an order meets."""

    prices: Prices
    hours: Hours
    costs: Costs
    knobs: Knobs = field(default_factory=Knobs)


class Books:
    """Built inside a transaction; for changes, inside one that holds the account's lock."""

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

    def price(self, symbol: str, *, waited: bool = True) -> Price | None:
        """The price for this account. A position that was filled at a hint is not moved by made-up prices."""
        position = self.positions().get(symbol)
        simulated = position is not None and position.simulated
        found = self.market.prices.price(symbol, self.account.key_id, simulated=simulated, waited=waited)
        if found is not None and found.simulated and position is not None and position.source == HINT:
            return Price(symbol, position.last_price, self.now, HINT)
        return found

    def mark(self, position: Row[Any]) -> Decimal:
        """The price a position is valued at: the market's, else that of its last fill."""
        found = self.price(position.symbol)
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

    # changing

    def add_order(self, **values: Any) -> Row[Any]:
        values.setdefault("client_order_id", str(uuid4()))
        values |= {"id": uuid4(), "account_id": self.account.id}
        values |= {"created_at": self.now, "updated_at": self.now, "submitted_at": self.now}
        return self.connection.execute(insert(_O).values(**values).returning(_O)).one()

    def expiry(self, time_in_force: str, extended_hours: bool = False) -> datetime:
        if time_in_force == "gtc":
            return self.now + GTC_LIFE
        return self.market.hours.day_ends(self.now, extended=extended_hours)

    def may_trade(self, extended_hours: bool) -> bool:
        phase = self.market.hours.phase(self.now)
        return phase is Phase.REGULAR or (extended_hours and phase is Phase.EXTENDED)

    def halted(self, symbol: str) -> bool:
        if symbol not in self._halts:
            query = select(store.assets.c.halted).where(store.assets.c.symbol == symbol)
            self._halts[symbol] = bool(self.connection.execute(query).scalar())
        return self._halts[symbol]

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

    def group(self, order: Row[Any]) -> list[Row[Any]]:
        """The order with its parent and legs."""
        root = order.parent_id or order.id
        query = select(_O).where(or_(_O.c.id == root, _O.c.parent_id == root)).order_by(_O.c.seq)
        return list(self.connection.execute(query))

    def change(self, order: Row[Any], **values: Any) -> Row[Any]:
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
        held = [(row.qty, self.mark(row)) for row in self.positions().values()]
        equity = value(self.cash, held, ZERO, self.account.multiplier).equity
        statement = upsert(store.equity_points).values(account_id=self.account.id, time=self.now, equity=equity)
        self.connection.execute(
            statement.on_conflict_do_update(index_elements=["account_id", "time"], set_={"equity": equity})
        )
