"""Protection that a position lost: placed again after an exit of a part, else told, or the position closed.

A stop loss and take profit hold the bot's shares at the broker, so an exit cancels them first. What is left afterwards
gets them back, under client order ids of ours that stay the same however often the trader is killed on the way.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import ROUND_DOWN, Decimal
from itertools import takewhile

from sqlalchemy import ColumnElement, Select, String, cast, exists, func, literal, or_, select
from sqlalchemy.dialects.postgresql import insert as pg_insert
from sqlalchemy.orm import Session, aliased

from dashtrade.db.tables.trading import (
    AccountRow,
    BotRow,
    ExecutionRow,
    InboxRow,
    IntentRow,
    LotRow,
    RiskEventRow,
)
from dashtrade.db.trading_repository import add_event, asks_for_legs, drift_of, open_lots, symbol_is_busy
from dashtrade.db.unit_of_work import UnitOfWork
from dashtrade.domain.bots import AlertState, IntentState, Purpose
from dashtrade.domain.orders import OrderType, Side
from dashtrade.services.trading_drift import is_doubted
from dashtrade.services.trading_guards import STOOD_DOWN, opened_by_a_leg
from dashtrade.services.trading_lease import Lease, hold
from dashtrade.services.trading_orders import add_trade, client_order_id, closing_order

ZERO = Decimal(0)
EXIT_TIME = timedelta(minutes=15)
PLACE_TIME = timedelta(minutes=1)  # while it is not known whether an order landed, exits of the symbol wait
MOST_REFUSED = 3
ENDED_UNFILLED = (IntentState.CANCELED, IntentState.EXPIRED, IntentState.REJECTED)
# made once: an alias gathers its columns anew each time, which takes longer than the question it is for
_LEG, _OTHER, _ENTRY = aliased(IntentRow), aliased(IntentRow), aliased(IntentRow)
REST = "What the bot still holds has no stop loss or take profit: close it, or protect it at the broker."


@dataclass(frozen=True, slots=True)
class Care:
    """``intent_ids`` are to be sent; ``in_the_way``: broker ids of resting entries that protection waits for."""

    intent_ids: tuple[int, ...] = ()
    in_the_way: tuple[str, ...] = ()


def look_after(
    uow: UnitOfWork, lease: Lease, at_broker: Mapping[str, Decimal], prices: Mapping[str, Decimal], now: datetime
) -> Care:
    """Positions that lost their protection: place it again where an exit took it, else tell the user. Some of the
    intents close what never was protected.

    ``at_broker``: signed holdings there, read now; never more than that is closed. The broker activates the closing
    orders only when an entry has filled in full. What an entry filled before it ended is therefore unprotected, which
    is more risk than was asked for: it is closed.
    """
    with uow:
        account = hold(uow.session, lease)
        planned = _close_unprotected_parts(uow.session, account, at_broker, now)
        _tell_lost_protection(uow.session, account)
        rests, in_the_way = _protect_rests(uow.session, account, at_broker, prices, now)
        uow.commit()
        return Care((*planned, *rests), tuple(in_the_way))


def _close_unprotected_parts(
    session: Session, account: AccountRow, at_broker: Mapping[str, Decimal], now: datetime
) -> list[int]:
    query = select(IntentRow).where(
        IntentRow.account_id == account.id,
        IntentRow.purpose == Purpose.ENTRY,
        IntentRow.state.in_(ENDED_UNFILLED),
        IntentRow.filled_qty > 0,
        IntentRow.ended_at > now - timedelta(days=2),
        asks_for_legs(),
    )
    planned = []
    for entry in session.scalars(query).all():
        key = f"p{entry.id}"
        name = client_order_id(account, key, 1, 1)
        if session.scalar(select(exists().where(IntentRow.client_order_id == name))):
            continue
        held = sum((lot.open_qty for lot in open_lots(session, account.id, entry.bot_id, entry.symbol)), ZERO)
        qty = min(abs(held), entry.filled_qty, _there(at_broker, entry.symbol, held))
        if qty == 0 or (held > 0) != (entry.side == Side.BUY) or symbol_is_busy(session, account.id, entry.symbol):
            continue
        bot = session.get_one(BotRow, entry.bot_id)
        text = f"Only {entry.filled_qty.normalize():f} shares were filled, without the stop loss or take profit."
        side = Side.SELL if held > 0 else Side.BUY
        intent = closing_order(account, bot, key, side, qty, now + EXIT_TIME)
        session.add(intent)
        session.flush()
        add_trade(session, intent, bot, f"Closing what is not protected: {text}")
        _warn(session, account, bot, f"UNPROTECTED:{entry.id}", text, "What was filled is closed.")
        planned.append(intent.id)
    return planned


def _tell_lost_protection(session: Session, account: AccountRow) -> None:
    """A pair that ended at the broker without a fill and without an exit of ours, while its bot still holds shares."""
    leg, other, entry = _LEG, _OTHER, _ENTRY
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
    query = (
        select(leg)
        .join(entry, entry.id == leg.parent_id)
        .where(
            leg.account_id == account.id, leg.state.in_(ENDED_UNFILLED), leg.error_code.is_(None), entry.filled_qty > 0,
            ~kept, ~told, holds,
        )
    )  # fmt: skip
    for row in session.scalars(query).all():
        bot = session.get_one(BotRow, row.bot_id)
        text = f"The stop loss or take profit of {bot.symbol} ended at the broker ({row.state}), not by the bot's exit."
        _warn(session, account, bot, f"UNPROTECTED:{row.parent_id}", text, "The bot holds its shares unprotected.")


def unprotected_rest(bot_id: ColumnElement[int] | int) -> Select[int, int | None]:
    """Bot and entry of closing orders that were cancelled for an exit, while shares of that entry are still held."""
    leg, other = _LEG, _OTHER
    kept = exists(
        select(other.id).where(
            other.parent_id == leg.parent_id, other.state.in_((IntentState.RESTING, IntentState.FILLED))
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
        .order_by(leg.parent_id)
    )


def _protect_rests(
    session: Session,
    account: AccountRow,
    at_broker: Mapping[str, Decimal],
    prices: Mapping[str, Decimal],
    now: datetime,
) -> tuple[list[int], list[str]]:
    """Plan the stop losses and take profits that exits took away; one order at a time for each symbol. Also returns
    entries that rest in a symbol's one place: protection does not wait for their price."""
    undecided = exists(select(InboxRow.id).where(InboxRow.bot_id == BotRow.id, InboxRow.state == AlertState.RECEIVED))
    closing = or_(BotRow.flatten_on_breach & (BotRow.order_status == "HALTED"), opened_by_a_leg(account.id))
    stood_down = exists(
        select(IntentRow.id).where(
            IntentRow.account_id == account.id, IntentRow.bot_id == BotRow.id, IntentRow.error_code == STOOD_DOWN
        )
    )
    planned: list[int] = []
    in_the_way: list[str] = []
    for bot in session.scalars(select(BotRow).where(stood_down, ~undecided, ~closing).order_by(BotRow.id)).all():
        if is_doubted(account, bot.symbol):
            continue
        if symbol_is_busy(session, account.id, bot.symbol):
            if session.execute(unprotected_rest(bot.id)).first():
                in_the_way += _resting_entries(session, account, bot.symbol)
            continue
        for _, entry_id in session.execute(unprotected_rest(bot.id)).all():
            intent = _protect(session, account, bot, session.get_one(IntentRow, entry_id), at_broker, prices, now)
            if intent is not None:
                planned.append(intent.id)
                break
    return planned, in_the_way


def _resting_entries(session: Session, account: AccountRow, symbol: str) -> list[str]:
    query = select(IntentRow.broker_order_id).where(
        IntentRow.account_id == account.id, IntentRow.symbol == symbol, IntentRow.state == IntentState.LIVE,
        IntentRow.purpose == Purpose.ENTRY, IntentRow.broker_order_id.is_not(None),
    )  # fmt: skip
    return [str(found) for found in session.scalars(query)]


def _protect(
    session: Session,
    account: AccountRow,
    bot: BotRow,
    entry: IntentRow,
    at_broker: Mapping[str, Decimal],
    prices: Mapping[str, Decimal],
    now: datetime,
) -> IntentRow | None:
    """The order that protects what is left of an entry, or that closes it where its stop was passed meanwhile."""
    key = f"g{entry.id}x"
    mine = IntentRow.client_order_id.like(f"{account.client_prefix}-{key}%")
    query = select(IntentRow).where(
        IntentRow.account_id == account.id, IntentRow.bot_id == bot.id, or_(IntentRow.parent_id == entry.id, mine)
    )
    earlier = session.scalars(query.order_by(IntentRow.id.desc())).all()
    refused = list(takewhile(lambda row: row.state == IntentState.REJECTED, earlier))
    before = earlier[len(refused)] if len(refused) < len(earlier) else None
    if len(refused) >= MOST_REFUSED:
        text = f"The stop loss and take profit of {bot.symbol} could not be placed again: {refused[0].error_message}"
        _warn(session, account, bot, f"UNPROTECTED_REST:{entry.id}:{refused[0].id}", text, REST)
        return None
    if before is not None and before.parent_id is not None and not _may_follow(before):
        return None  # it ended by somebody's wish, who was told
    left, qty = _left(session, account, bot, entry, at_broker)
    drifts = drift_of(session, account.id, bot.symbol) is not None
    if qty == 0 and left >= 1 and not drifts:
        return None  # the broker's positions were read before its last fill: the next look knows more
    if drifts or qty == 0:
        text = f"The stop loss and take profit of {bot.symbol} were cancelled for an exit that closed a part of it."
        _warn(session, account, bot, f"UNPROTECTED_REST:{entry.id}", text, REST)
        return None
    buys = entry.side == Side.BUY
    stop, profit = entry.stop_loss, entry.take_profit
    price = prices.get(bot.symbol)
    passed = stop is not None and price is not None and (price <= stop if buys else price >= stop)
    number = session.scalar(select(func.count()).where(IntentRow.account_id == account.id, mine)) or 0
    side = Side.SELL if buys else Side.BUY
    intent = closing_order(account, bot, f"{key}{number + 1}", side, qty, now + PLACE_TIME)
    if passed:
        text = f"The stop loss at {_plain(stop)} was passed while it was not placed: what it protected is closed."
    else:
        intent.parent_id = entry.id
        if stop is not None and profit is not None:
            intent.stop_loss, intent.take_profit = stop, profit
        if profit is not None:
            intent.order_type, intent.limit_price = OrderType.LIMIT.value, profit
        else:
            intent.order_type, intent.stop_price = OrderType.STOP.value, stop
        named = [f"stop loss at {_plain(stop)}"] * (stop is not None) + [f"take profit at {_plain(profit)}"] * (
            profit is not None
        )
        text = f"For the {_plain(qty)} shares left, placed again after an exit: {' and '.join(named)}."
    session.add(intent)
    session.flush()
    add_trade(session, intent, bot, text)
    add_event(session, account, "protecting", text, intent=intent)
    if qty < left:
        text = f"{_plain(left - qty)} {bot.symbol} have no stop loss or take profit now: only whole shares get them."
        _warn(session, account, bot, f"UNPROTECTED_REST:{entry.id}:{number}", text, REST)
    return intent


def _may_follow(before: IntentRow) -> bool:
    return before.error_code == STOOD_DOWN or before.state == IntentState.NEVER_LANDED


def _left(
    session: Session, account: AccountRow, bot: BotRow, entry: IntentRow, at_broker: Mapping[str, Decimal]
) -> tuple[Decimal, Decimal]:
    """What is left of an entry, and how much of it can be protected: whole shares that the bot and the broker hold and
    that no other closing order is for."""
    of_entry = (
        select(func.coalesce(func.sum(LotRow.open_qty), 0))
        .join(ExecutionRow, ExecutionRow.id == LotRow.execution_id)
        .where(ExecutionRow.intent_id == entry.id, LotRow.bot_id == bot.id)
    )
    left = Decimal(session.scalar(of_entry) or 0)
    held = sum((lot.open_qty for lot in open_lots(session, account.id, bot.id, bot.symbol)), ZERO)
    if left == 0 or (left > 0) != (entry.side == Side.BUY) or (held > 0) != (left > 0):
        return abs(left), ZERO
    free = _there(at_broker, bot.symbol, held) - _resting(session, account, bot.symbol)
    own = abs(held) - _resting(session, account, bot.symbol, bot)
    return abs(left), max(min(abs(left), own, free), ZERO).to_integral_value(ROUND_DOWN)


def _resting(session: Session, account: AccountRow, symbol: str, bot: BotRow | None = None) -> Decimal:
    """Shares that closing orders at the broker are for; the two of a pair are for the same ones."""
    query = select(func.max(IntentRow.qty - IntentRow.filled_qty)).where(
        IntentRow.account_id == account.id, IntentRow.symbol == symbol, IntentRow.state == IntentState.RESTING
    )
    if bot is not None:
        query = query.where(IntentRow.bot_id == bot.id)
    return sum((qty or ZERO for qty in session.scalars(query.group_by(IntentRow.parent_id))), ZERO)


def _there(at_broker: Mapping[str, Decimal], symbol: str, held: Decimal) -> Decimal:
    """How much of a position the broker holds on the same side."""
    there = at_broker.get(symbol, ZERO)
    return max(there if held > 0 else -there, ZERO)


def _plain(value: Decimal | None) -> str:
    return "" if value is None else f"{value.normalize():f}"


def _warn(session: Session, account: AccountRow, bot: BotRow, key: str, text: str, action: str) -> None:
    statement = pg_insert(RiskEventRow).values(
        user_id=bot.user_id, bot_config_id=bot.id, event_type="UNPROTECTED", symbol=bot.symbol,
        timeframe=bot.timeframe, action_taken=action, message=text, once_key=key,
    )  # fmt: skip
    if session.execute(statement.on_conflict_do_nothing().returning(RiskEventRow.id)).scalar() is not None:
        add_event(session, account, "unprotected", text, symbol=bot.symbol)
