"""Stop losses and take profits that rest at the broker: a bot's own closing orders, waiting for their price.

They are placed with an entry, under ids of the broker's own, and are found through it. They are in nobody's way: other
alerts of the symbol go on, and an exit of the bot cancels them first, since they hold its shares.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from sqlalchemy import ColumnElement, Select, String, cast, exists, literal, or_, select, update
from sqlalchemy.dialects.postgresql import insert as pg_insert
from sqlalchemy.orm import Session, aliased

from dashtrade.bots.risk import trading_day
from dashtrade.db.tables.trading import (
    AccountRow,
    BotRow,
    ExecutionRow,
    InboxRow,
    IntentRow,
    LotRow,
    RiskEventRow,
)
from dashtrade.db.trading_repository import (
    add_event,
    asks_for_legs,
    open_lots,
    resting_of,
    symbol_is_busy,
    without_legs,
)
from dashtrade.db.unit_of_work import UnitOfWork
from dashtrade.domain.bots import AlertState, IntentState, Purpose
from dashtrade.domain.orders import BrokerOrder, OrderType, Side
from dashtrade.services.trading_lease import Lease, hold
from dashtrade.services.trading_orders import add_trade, client_order_id

ZERO = Decimal(0)
STOOD_DOWN = "STOOD_DOWN"
LONG_AFTER = timedelta(days=3650)
EXIT_TIME = timedelta(minutes=15)
ENDED_UNFILLED = (IntentState.CANCELED, IntentState.EXPIRED, IntentState.REJECTED)
REST = "What the bot still holds has no stop loss or take profit: close it, or protect it at the broker."


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
        entry = uow.session.get_one(IntentRow, entry_id)
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
                qty=leg.qty or entry.qty,
                order_type=(leg.type or (OrderType.STOP if stop else OrderType.LIMIT)).value,
                limit_price=leg.limit_price,
                stop_price=leg.stop_price,
                parent_id=entry.id,
                state=IntentState.RESTING.value,
                broker_order_id=leg.broker_order_id,
                submitted_at=entry.submitted_at or now,
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
    leg = aliased(IntentRow)
    return exists(
        select(LotRow.id)
        .join(ExecutionRow, ExecutionRow.id == LotRow.execution_id)
        .join(leg, leg.id == ExecutionRow.intent_id)
        .where(
            LotRow.bot_id == BotRow.id,
            LotRow.account_id == account_id,
            LotRow.open_qty != 0,
            leg.parent_id.is_not(None),
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


def look_after(uow: UnitOfWork, lease: Lease, now: datetime) -> list[int]:
    """Positions that lost their protection: tell the user; returns ids of intents that close what never had it.

    The broker activates the closing orders only when an entry has filled in full. What an entry filled before it ended
    is therefore unprotected, which is more risk than was asked for: it is closed.
    """
    with uow:
        account = hold(uow.session, lease)
        planned = _close_unprotected_parts(uow.session, account, now)
        _tell_lost_protection(uow.session, account)
        _tell_unprotected_rest(uow.session, account)
        uow.commit()
        return planned


def _close_unprotected_parts(session: Session, account: AccountRow, now: datetime) -> list[int]:
    ended = (IntentState.CANCELED, IntentState.EXPIRED, IntentState.REJECTED)
    query = select(IntentRow).where(
        IntentRow.account_id == account.id,
        IntentRow.purpose == Purpose.ENTRY,
        IntentRow.state.in_(ended),
        IntentRow.filled_qty > 0,
        IntentRow.ended_at > now - timedelta(days=2),
        asks_for_legs(),
    )
    planned = []
    for entry in session.scalars(query).all():
        name = client_order_id(account, f"p{entry.id}", 1, 1)
        if session.scalar(select(exists().where(IntentRow.client_order_id == name))):
            continue
        held = sum((lot.open_qty for lot in open_lots(session, account.id, entry.bot_id, entry.symbol)), ZERO)
        qty = min(abs(held), entry.filled_qty)
        if qty == 0 or (held > 0) != (entry.side == Side.BUY) or symbol_is_busy(session, account.id, entry.symbol):
            continue
        bot = session.get_one(BotRow, entry.bot_id)
        text = f"Only {entry.filled_qty.normalize():f} shares were filled, without the stop loss or take profit."
        intent = IntentRow(
            user_id=entry.user_id,
            bot_id=entry.bot_id,
            account_id=account.id,
            symbol=entry.symbol,
            client_order_id=name,
            purpose=Purpose.EXIT.value,
            side=(Side.SELL if held > 0 else Side.BUY).value,
            qty=qty,
            deadline=now + EXIT_TIME,
        )
        session.add(intent)
        session.flush()
        add_trade(session, intent, bot, f"Closing what is not protected: {text}")
        _warn(session, account, bot, f"UNPROTECTED:{entry.id}", text, "What was filled is closed.")
        planned.append(intent.id)
    return planned


def _tell_lost_protection(session: Session, account: AccountRow) -> None:
    """A pair that ended at the broker without a fill and without an exit of ours, while its bot still holds shares."""
    leg, other = aliased(IntentRow), aliased(IntentRow)
    ended = (IntentState.CANCELED, IntentState.EXPIRED, IntentState.REJECTED)
    kept = exists(
        select(other.id).where(
            other.parent_id == leg.parent_id, or_(other.state == IntentState.RESTING, other.filled_qty > 0)
        )
    )
    told = exists(
        select(RiskEventRow.id).where(
            RiskEventRow.once_key == literal("UNPROTECTED:").concat(cast(leg.parent_id, String))
        )
    )
    holds = exists(select(LotRow.id).where(LotRow.bot_id == leg.bot_id, LotRow.open_qty != 0))
    entry = aliased(IntentRow)
    query = (
        select(leg)
        .join(entry, entry.id == leg.parent_id)
        .where(
            leg.account_id == account.id, leg.state.in_(ended), leg.error_code.is_(None), entry.filled_qty > 0,
            ~kept, ~told, holds,
        )
    )  # fmt: skip
    for row in session.scalars(query).all():
        bot = session.get_one(BotRow, row.bot_id)
        text = f"The stop loss or take profit of {bot.symbol} ended at the broker ({row.state}), not by the bot's exit."
        _warn(session, account, bot, f"UNPROTECTED:{row.parent_id}", text, "The bot holds its shares unprotected.")


def unprotected_rest(bot_id: ColumnElement[int] | int) -> Select[int, int | None]:
    """Bot and entry of closing orders that were cancelled for an exit, while shares of that entry are still held."""
    leg, other = aliased(IntentRow), aliased(IntentRow)
    kept = exists(
        select(other.id).where(
            other.parent_id == leg.parent_id, or_(other.state == IntentState.RESTING, other.filled_qty > 0)
        )
    )
    held = exists(
        select(LotRow.id)
        .join(ExecutionRow, ExecutionRow.id == LotRow.execution_id)
        .where(ExecutionRow.intent_id == leg.parent_id, LotRow.open_qty != 0)
    )
    return (
        select(leg.bot_id, leg.parent_id)
        .where(leg.bot_id == bot_id, leg.error_code == STOOD_DOWN, leg.state.in_(ENDED_UNFILLED), ~kept, held)
        .distinct()
    )


def _tell_unprotected_rest(session: Session, account: AccountRow) -> None:
    """An exit gave up a part of a protected position: its closing orders were cancelled for it and are not put back,
    since their prices were the alert's, for the whole position. Told once the exit is done."""
    undecided = exists(select(InboxRow.id).where(InboxRow.bot_id == BotRow.id, InboxRow.state == AlertState.RECEIVED))
    closing = or_(BotRow.flatten_on_breach & (BotRow.order_status == "HALTED"), opened_by_a_leg(account.id))
    stood_down = exists(
        select(IntentRow.id).where(
            IntentRow.account_id == account.id, IntentRow.bot_id == BotRow.id, IntentRow.error_code == STOOD_DOWN
        )
    )
    for bot in session.scalars(select(BotRow).where(stood_down, ~undecided, ~closing)).all():
        if symbol_is_busy(session, account.id, bot.symbol):
            continue
        for _, parent in session.execute(unprotected_rest(bot.id)).all():
            text = f"The stop loss and take profit of {bot.symbol} were cancelled for an exit that closed a part of it."
            _warn(session, account, bot, f"UNPROTECTED_REST:{parent}", text, REST)


def _warn(session: Session, account: AccountRow, bot: BotRow, key: str, text: str, action: str) -> None:
    statement = pg_insert(RiskEventRow).values(
        user_id=bot.user_id, bot_config_id=bot.id, event_type="UNPROTECTED", symbol=bot.symbol,
        timeframe=bot.timeframe, action_taken=action, message=text, once_key=key,
    )  # fmt: skip
    session.execute(statement.on_conflict_do_nothing())
    add_event(session, account, "unprotected", text, symbol=bot.symbol)


def _guard(row: IntentRow) -> Guard:
    return Guard(row.id, row.symbol, str(row.broker_order_id))


def guards_of_bot(session: Session, bot_id: int) -> tuple[Guard, ...]:
    """What rests for one bot."""
    return tuple(_guard(row) for row in resting_of(session, bot_id))
