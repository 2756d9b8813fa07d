"""What happens to an account from outside: splits, renamed symbols, fills that the exchange takes back."""

from __future__ import annotations

from decimal import ROUND_DOWN, Decimal
from uuid import UUID, uuid4

from sqlalchemy import and_, insert, select, update

from dashtrade.brokers.simulator import store
from dashtrade.brokers.simulator.desk import Desk
from dashtrade.brokers.simulator.exchange import Exchange
from dashtrade.brokers.simulator.ledger import UNIT, Holding, after_fill
from dashtrade.brokers.simulator.prices import Price
from dashtrade.brokers.simulator.refusals import invalid, not_found

_P, _A = store.positions, store.activities


def split(exchange: Exchange, symbol: str, ratio: Decimal) -> int:
    """Quantities times ``ratio``, entry prices divided by it, open orders cancelled, a SPLIT activity for each
    account.
    """
    accounts = _holders(exchange, symbol)
    for account_id in accounts:
        with exchange.desk(account_id) as desk:
            _end_orders(desk, symbol)
            row = desk.positions()[symbol]
            qty = (row.qty * ratio).quantize(UNIT, rounding=ROUND_DOWN)
            desk.connection.execute(
                update(_P)
                .where(_P.c.account_id == account_id, _P.c.symbol == symbol)
                .values(
                    qty=qty,
                    avg_entry_price=(row.avg_entry_price / ratio).quantize(UNIT),
                    last_price=(row.last_price / ratio).quantize(UNIT),
                )
            )
            _note(desk, "SPLIT", symbol, qty - row.qty, f"{symbol} split {ratio}:1")
    return len(accounts)


def rename(exchange: Exchange, symbol: str, new: str) -> int:
    """Positions get the new symbol, open orders of the old one are cancelled. As at Alpaca, two NC activities for each
    account: one takes the shares from the old name, one gives them to the new.
    """
    accounts = _holders(exchange, symbol)
    for account_id in accounts:
        with exchange.desk(account_id) as desk:
            _end_orders(desk, symbol)
            if new in desk.positions():
                raise invalid(f"the account holds {new} already")
            qty = desk.positions()[symbol].qty
            where = and_(_P.c.account_id == account_id, _P.c.symbol == symbol)
            desk.connection.execute(update(_P).where(where).values(symbol=new))
            _note(desk, "NC", symbol, -qty, "")
            _note(desk, "NC", new, qty, "")
    return len(accounts)


def bust(exchange: Exchange, execution_id: UUID) -> None:
    """The fill never was: its shares and money go back, its activity is gone from the list of fills.

    The order keeps its state, as at a real broker; the account's owner learns of it from the TRADE_BUST activity,
    from the position, or from the event of that name.
    """
    with exchange.engine.connect() as connection:
        found = connection.execute(select(_A).where(_A.c.execution_id == execution_id, ~_A.c.busted)).one_or_none()
    if found is None:
        raise not_found(f"execution not found for {execution_id}")
    with exchange.desk(found.account_id) as desk:
        row = desk.positions().get(found.symbol)
        before = Holding() if row is None else Holding(row.qty, row.avg_entry_price)
        opposite = "sell" if found.side == "buy" else "buy"
        after = after_fill(before, opposite, found.qty, found.price)
        desk.set_position(found.symbol, after, found.price, Price(found.symbol, found.price, desk.now, "bust"))
        amount = found.qty * found.price
        desk.add_cash(amount if found.side == "buy" else -amount)
        desk.connection.execute(
            update(_A).where(_A.c.execution_id == execution_id).values(busted=True, activity_type="BUSTED")
        )
        order = desk.order(found.order_id)
        if order is not None:
            desk.tell("trade_bust", order, execution_id=str(execution_id))
        _note(desk, "TRADE_BUST", found.symbol, -found.qty, f"execution {execution_id} was taken back")


def _holders(exchange: Exchange, symbol: str) -> list[UUID]:
    with exchange.engine.connect() as connection:
        return list(connection.execute(select(_P.c.account_id).where(_P.c.symbol == symbol)).scalars())


def _end_orders(desk: Desk, symbol: str) -> None:
    for order in desk.open_orders(symbol):
        current = desk.order(order.id)
        if current is not None and current.status in store.OPEN:
            desk.cancel(current)


def book(exchange: Exchange, key_id: str, kind: str, amount: Decimal, symbol: str | None, description: str) -> None:
    """Money in or out of an account that is no trade: a deposit, a withdrawal, a fee, a dividend."""
    with exchange.desk(exchange.open_account(key_id)) as desk:
        desk.add_cash(amount)
        _note(desk, kind, symbol, None, description, amount)


def _note(
    desk: Desk, kind: str, symbol: str | None, qty: Decimal | None, description: str, amount: Decimal = Decimal(0)
) -> None:
    desk.connection.execute(
        insert(_A).values(
            id=f"{desk.now:%Y%m%d%H%M%S}{desk.now.microsecond // 1000:03d}::{uuid4()}",
            account_id=desk.account.id,
            activity_type=kind,
            time=desk.now,
            symbol=symbol,
            qty=qty,
            net_amount=amount,
            description=description,
        )
    )
    desk.note_equity()
