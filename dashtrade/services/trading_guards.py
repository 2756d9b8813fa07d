"""Stop losses and take profits that rest at the broker: a bot's own closing orders, waiting for their price.

They are placed with an entry, under ids of the broker's own, and are found through it. They are in nobody's way: other
alerts of the symbol go on, and an exit of the bot cancels them first, since they hold its shares.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, exists, or_, select, update
from sqlalchemy.orm import Session, aliased

from dashtrade.bots.risk import trading_day
from dashtrade.db.tables.trading import (
    BotRow,
    ExecutionRow,
    IntentRow,
    LotRow,
)
from dashtrade.db.trading_repository import (
    add_event,
    asks_for_legs,
    resting_of,
    without_legs,
)
from dashtrade.db.unit_of_work import UnitOfWork
from dashtrade.domain.bots import IntentState, Purpose
from dashtrade.domain.orders import BrokerOrder, OrderType
from dashtrade.services.trading_lease import Lease, hold
from dashtrade.services.trading_orders import add_trade

STOOD_DOWN = "STOOD_DOWN"
LONG_AFTER = timedelta(days=3650)
# made once: an alias gathers its columns anew each time, which takes longer than the question it is for
_LEG = aliased(IntentRow)


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry whose closing orders are not known here yet."""

    intent_id: int
    client_order_id: str
    broker_order_id: str | None
    submitted_at: datetime


@dataclass(frozen=True, slots=True)
class Guard:
    intent_id: int
    symbol: str
    broker_order_id: str


def entries_without_legs(uow: UnitOfWork, lease: Lease) -> list[Entry]:
    """Entries that are, or may be, at the broker with closing orders that nobody here has seen."""
    with uow:
        rows = uow.session.scalars(select(IntentRow).where(without_legs(lease.account_id))).all()
        return [
            Entry(row.id, row.client_order_id, row.broker_order_id, row.submitted_at)
            for row in rows
            if row.submitted_at is not None
        ]


def adopt_legs(uow: UnitOfWork, lease: Lease, entry_id: int, legs: Sequence[BrokerOrder], now: datetime) -> int:
    """Write down the closing orders of an entry as its bot's own; returns how many were new."""
    with uow:
        account = hold(uow.session, lease)
        placed = uow.session.get_one(IntentRow, entry_id)
        # a pair that was placed again belongs to the first entry, as what it replaces
        entry = placed if placed.parent_id is None else uow.session.get_one(IntentRow, placed.parent_id)
        bot = uow.session.get_one(BotRow, entry.bot_id)
        new = 0
        for leg in legs:
            known = select(exists().where(IntentRow.client_order_id == leg.client_order_id))
            if uow.session.scalar(known):
                continue
            stop = leg.stop_price is not None
            row = IntentRow(
                user_id=entry.user_id,
                bot_id=entry.bot_id,
                account_id=account.id,
                symbol=entry.symbol,
                client_order_id=leg.client_order_id[:48],
                purpose=Purpose.EXIT.value,
                side=leg.side.value,
                qty=leg.qty or placed.qty,
                order_type=(leg.type or (OrderType.STOP if stop else OrderType.LIMIT)).value,
                limit_price=leg.limit_price,
                stop_price=leg.stop_price,
                parent_id=entry.id,
                state=IntentState.RESTING.value,
                broker_order_id=leg.broker_order_id,
                submitted_at=placed.submitted_at or now,
                error_code=STOOD_DOWN if placed.error_code == STOOD_DOWN else None,
                acknowledged_at=now,
                deadline=now + LONG_AFTER,
            )
            uow.session.add(row)
            uow.session.flush()
            price = leg.stop_price if stop else leg.limit_price
            name = "Stop loss" if stop else "Take profit"
            at = f" at {price.normalize():f}" if price is not None else ""
            add_trade(uow.session, row, bot, f"{name}{at}, resting at the broker.")
            add_event(uow.session, account, "resting", f"{name}{at} rests at the broker.", intent=row)
            new += 1
        uow.commit()
        return new


def resting(uow: UnitOfWork, lease: Lease) -> list[Guard]:
    """All closing orders that rest."""
    with uow:
        query = select(IntentRow).where(
            IntentRow.account_id == lease.account_id, IntentRow.state == IntentState.RESTING
        )
        return [_guard(row) for row in uow.session.scalars(query.order_by(IntentRow.id))]


def stand_down(uow: UnitOfWork, lease: Lease, guards: Sequence[int]) -> None:
    """Note that these are cancelled on purpose, so that their end is not taken for an accident."""
    with uow:
        hold(uow.session, lease)
        uow.session.execute(
            update(IntentRow)
            .where(IntentRow.id.in_(guards), IntentRow.state == IntentState.RESTING)
            .values(error_code=STOOD_DOWN)
        )
        uow.commit()


def still_resting(uow: UnitOfWork, guards: Sequence[int]) -> bool:
    with uow:
        query = select(exists().where(IntentRow.id.in_(guards), IntentRow.state == IntentState.RESTING))
        return bool(uow.session.scalar(query))


def of_bots_to_flatten(uow: UnitOfWork, lease: Lease) -> list[Guard]:
    """What rests for bots that must give up their position now."""
    with uow:
        query = (
            select(IntentRow)
            .join(BotRow, BotRow.id == IntentRow.bot_id)
            .where(
                IntentRow.account_id == lease.account_id,
                IntentRow.state == IntentState.RESTING,
                or_(BotRow.flatten_on_breach & (BotRow.order_status == "HALTED"), opened_by_a_leg(lease.account_id)),
            )
        )
        return [_guard(row) for row in uow.session.scalars(query)]


def opened_by_a_leg(account_id: int) -> ColumnElement[bool]:
    """A condition on BotRow: it holds shares that a closing order opened, since both legs of a pair were filled."""
    return exists(
        select(LotRow.id)
        .join(ExecutionRow, ExecutionRow.id == LotRow.execution_id)
        .join(_LEG, _LEG.id == ExecutionRow.intent_id)
        .where(
            LotRow.bot_id == BotRow.id,
            LotRow.account_id == account_id,
            LotRow.open_qty != 0,
            _LEG.parent_id.is_not(None),
        )
        .correlate(BotRow)
    )


def past_their_day(uow: UnitOfWork, lease: Lease, now: datetime) -> list[str]:
    """Broker ids of protected entries of an earlier day that still wait for their limit.

    Closing orders must outlast the day, and the broker gives the entry the same life: so it is ended here.
    """
    with uow:
        query = select(IntentRow.broker_order_id).where(
            IntentRow.account_id == lease.account_id,
            IntentRow.state == IntentState.LIVE,
            IntentRow.purpose == Purpose.ENTRY,
            IntentRow.broker_order_id.is_not(None),
            asks_for_legs(),
            IntentRow.submitted_at < trading_day(now),
        )
        return [str(found) for found in uow.session.scalars(query)]


def _guard(row: IntentRow) -> Guard:
    return Guard(row.id, row.symbol, str(row.broker_order_id))


def guards_of_bot(session: Session, bot_id: int) -> tuple[Guard, ...]:
    """What rests for one bot."""
    return tuple(_guard(row) for row in resting_of(session, bot_id))
