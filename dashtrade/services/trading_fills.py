"""Fills into the ledger: execution, lots first in first out, cash, the user's trade row, the bot's totals.

An execution id counts once for each account, whichever way and however often it is reported.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal

from sqlalchemy import func, select
from sqlalchemy import update as change
from sqlalchemy.dialects.postgresql import insert as pg_insert
from sqlalchemy.orm import Session

from dashtrade.bots.pnl import Fill, Lot, apply_fill, loss_streak
from dashtrade.bots.risk import NEW_YORK
from dashtrade.db.tables.trading import (
    AccountRow,
    BotRow,
    CashLedgerRow,
    ExecutionRow,
    IntentRow,
    LotClosingRow,
    LotRow,
    RiskEventRow,
)
from dashtrade.db.trading_repository import add_event, intent_of, legs_are_missing, lock_account, open_lots
from dashtrade.db.unit_of_work import UnitOfWork
from dashtrade.domain.bots import IntentState
from dashtrade.domain.orders import Execution, OrderUpdate
from dashtrade.services.trading_orders import apply_order, set_state, trade_of

CENT = Decimal("0.0001")
ZERO = Decimal(0)


def cursor(uow: UnitOfWork, account_id: int) -> datetime:
    """Time of the last fill that the broker's own list has confirmed; before the first, when the account came to us."""
    with uow:
        query = select(func.max(ExecutionRow.executed_at)).where(
            ExecutionRow.account_id == account_id, ~ExecutionRow.provisional
        )
        return uow.session.scalar(query) or uow.session.get_one(AccountRow, account_id).created_at


def record_update(
    uow: UnitOfWork,
    account_id: int,
    update: OrderUpdate,
    now: datetime,
    checkpoint: Callable[[str], None] = lambda name: None,
) -> int | None:
    """One event of the broker's stream. Returns the id of the bot it is about, None for an order not ours."""
    with uow:
        account = lock_account(uow.session, account_id)
        account.stream_at = now
        order = update.order
        intent = intent_of(uow.session, account_id, order.client_order_id, order.broker_order_id)
        if update.execution is not None and update.replaces is None:
            _record(uow.session, account, update.execution, "stream", now)
        if intent is not None:
            apply_order(uow.session, account, intent, order, now)
        if update.execution is not None:
            checkpoint("fill_uncommitted")
        uow.commit()
        return intent.bot_id if intent is not None else None


def record_executions(
    uow: UnitOfWork, account_id: int, executions: list[Execution], now: datetime, source: str = "activity"
) -> int:
    """Fills that the broker lists, in the order of their times; returns how many were new. They are authoritative."""
    new = 0
    for execution in _new_ones(uow, account_id, executions):
        with uow:
            account = lock_account(uow.session, account_id)
            if _record(uow.session, account, execution, source, now):
                new += 1
            uow.commit()
    return new


def _new_ones(uow: UnitOfWork, account_id: int, executions: list[Execution]) -> list[Execution]:
    """Those that the ledger does not have yet, in the order of their times; the others are confirmed in one go.

    Lists overlap, so that nearly all of one is known: a transaction for each of those would keep alerts waiting.
    """
    if not executions:
        return []
    listed = [
        ExecutionRow.account_id == account_id,
        ExecutionRow.execution_id.in_([execution.execution_id for execution in executions]),
    ]
    with uow:
        query = select(ExecutionRow.execution_id, ExecutionRow.provisional).where(*listed)
        known = dict(uow.session.execute(query).tuples().all())
        if any(known.values()):
            uow.session.execute(change(ExecutionRow).where(*listed, ExecutionRow.provisional).values(provisional=False))
            uow.commit()
    found = [execution for execution in executions if execution.execution_id not in known]
    return sorted(found, key=lambda item: (item.time, item.execution_id))


def _record(session: Session, account: AccountRow, execution: Execution, source: str, now: datetime) -> bool:
    """Returns whether the execution was new. A repeat from the broker's own list confirms a provisional row."""
    intent = intent_of(session, account.id, execution.client_order_id, execution.broker_order_id)
    if intent is None and legs_are_missing(session, account.id, execution.symbol):
        return False  # perhaps a bot's own closing order: it is entered once those are known
    execution_id = _enter(session, account, intent, execution, source, source == "stream")
    if execution_id is None:
        if source != "stream":
            row = session.scalars(
                select(ExecutionRow).where(
                    ExecutionRow.account_id == account.id, ExecutionRow.execution_id == execution.execution_id
                )
            ).one()
            row.provisional = False
        return False
    _cash(session, account, intent, execution, execution_id)
    if intent is None:
        add_event(
            session,
            account,
            "external_fill",
            f"A fill that nobody here asked for: {execution.side.value} {execution.qty:f} at {execution.price:f}.",
            symbol=execution.symbol,
        )
        return True
    _into_lots(session, account, intent, execution, execution_id)
    _into_intent(session, account, intent, execution, now)
    return True


def _cash(
    session: Session, account: AccountRow, intent: IntentRow | None, execution: Execution, execution_id: int
) -> None:
    sign = -1 if execution.side == "buy" else 1
    session.add(
        CashLedgerRow(
            account_id=account.id,
            user_id=account.user_id,
            bot_id=intent.bot_id if intent else None,
            execution_id=execution_id,
            kind="trade",
            amount=(sign * execution.qty * execution.price).quantize(CENT, ROUND_HALF_EVEN),
            occurred_at=execution.time,
            trade_date=execution.time.astimezone(NEW_YORK).date(),
        )
    )


def enter_execution(
    session: Session,
    account: AccountRow,
    intent: IntentRow | None,
    execution: Execution,
    source: str,
    *,
    provisional: bool,
) -> bool:
    """Execution, cash and lots, without touching the order; False where this execution is known already."""
    execution_id = _enter(session, account, intent, execution, source, provisional)
    if execution_id is None:
        return False
    _cash(session, account, intent, execution, execution_id)
    if intent is not None:
        _into_lots(session, account, intent, execution, execution_id)
    return True


def _enter(
    session: Session,
    account: AccountRow,
    intent: IntentRow | None,
    execution: Execution,
    source: str,
    provisional: bool,
) -> int | None:
    values = {
        "account_id": account.id,
        "user_id": account.user_id,
        "execution_id": execution.execution_id,
        "intent_id": intent.id if intent else None,
        "bot_id": intent.bot_id if intent else None,
        "broker_order_id": execution.broker_order_id,
        "symbol": execution.symbol,
        "side": execution.side.value,
        "qty": execution.qty,
        "price": execution.price,
        "executed_at": execution.time,
        "trade_date": execution.time.astimezone(NEW_YORK).date(),
        "source": source,
        "provisional": provisional,
    }
    statement = pg_insert(ExecutionRow).values(**values)
    statement = statement.on_conflict_do_nothing(index_elements=["account_id", "execution_id"])
    return session.execute(statement.returning(ExecutionRow.id)).scalar()


def _into_lots(
    session: Session, account: AccountRow, intent: IntentRow, execution: Execution, execution_id: int
) -> None:
    rows = {row.id: row for row in open_lots(session, account.id, intent.bot_id, execution.symbol)}
    lots = [Lot(row.id, row.open_qty, row.price, row.opened_at) for row in rows.values()]
    fill = Fill(f"execution {execution_id}", execution.side, execution.qty, execution.price, execution.time)
    left, closings = apply_fill(lots, fill)
    pnl = ZERO
    for closing in closings:
        row = rows[int(closing.lot_key)]
        row.open_qty -= closing.qty
        row.closed_at = execution.time if row.open_qty == 0 else None
        amount = closing.pnl.quantize(CENT, ROUND_HALF_EVEN)
        pnl += amount
        session.add(
            LotClosingRow(
                lot_id=row.id,
                execution_id=execution_id,
                user_id=account.user_id,
                bot_id=intent.bot_id,
                qty=closing.qty,
                open_price=closing.open_price,
                close_price=closing.close_price,
                realized_pnl=amount,
                closed_at=execution.time,
                trade_date=execution.time.astimezone(NEW_YORK).date(),
            )
        )
    opened = [lot for lot in left if lot.key == fill.key]
    for lot in opened:
        session.add(
            LotRow(
                account_id=account.id,
                user_id=account.user_id,
                bot_id=intent.bot_id,
                symbol=execution.symbol,
                execution_id=execution_id,
                opened_qty=lot.qty,
                open_qty=lot.qty,
                price=lot.price,
                opened_at=lot.opened_at,
            )
        )
    held = sum((lot.qty for lot in left), ZERO)
    _bot_totals(session, intent, held, pnl, bool(closings), execution.time)
    if opened and intent.parent_id is not None:
        _note_overshoot(session, account, intent, held)


def _note_overshoot(session: Session, account: AccountRow, intent: IntentRow, held: Decimal) -> None:
    """A stop loss and a take profit were both filled, so that one of them opened the other side."""
    bot = session.get_one(BotRow, intent.bot_id)
    text = (
        f"The stop loss and the take profit of {bot.symbol} were both filled, which left {held.normalize():f} shares "
        "that nobody asked for."
    )
    statement = pg_insert(RiskEventRow).values(
        user_id=bot.user_id, bot_config_id=bot.id, event_type="BOTH_LEGS_FILLED", symbol=bot.symbol,
        timeframe=bot.timeframe, current_value=held.quantize(CENT), message=text,
        action_taken="They are closed again at once.", once_key=f"BOTH_LEGS_FILLED:{intent.parent_id}",
    )  # fmt: skip
    session.execute(statement.on_conflict_do_nothing())
    add_event(session, account, "both_legs_filled", text, intent=intent)


def _bot_totals(
    session: Session, intent: IntentRow, held: Decimal, pnl: Decimal, closed: bool, moment: datetime
) -> None:
    bot = session.get_one(BotRow, intent.bot_id)
    bot.current_position_side = None if held == 0 else "LONG" if held > 0 else "SHORT"
    if not closed:
        return
    bot.total_pnl += pnl
    bot.peak_pnl = max(bot.peak_pnl, bot.total_pnl)
    trade = trade_of(session, intent)
    trade.realized_pnl += pnl
    # A losing streak counts orders, not partial fills: the order's result so far is what is compared.
    if intent.filled_qty == 0:
        bot.loss_streak = loss_streak(bot.loss_streak, pnl)
    if bot.cooldown_losses is not None and bot.loss_streak >= bot.cooldown_losses and pnl < 0:
        bot.cooldown_until = moment + timedelta(minutes=bot.cooldown_minutes)


def _into_intent(session: Session, account: AccountRow, intent: IntentRow, execution: Execution, now: datetime) -> None:
    before = intent.filled_qty
    value = before * (intent.filled_avg_price or ZERO) + execution.qty * execution.price
    intent.filled_qty = before + execution.qty
    intent.filled_avg_price = (value / intent.filled_qty).quantize(Decimal("0.000001"))
    intent.broker_order_id = intent.broker_order_id or execution.broker_order_id
    if before == 0:
        bot = session.get_one(BotRow, intent.bot_id)
        bot.total_trades += 1
    trade = trade_of(session, intent)
    trade.order_id = intent.broker_order_id
    trade.filled_qty = intent.filled_qty
    trade.filled_avg_price = intent.filled_avg_price
    trade.filled_at = execution.time
    if intent.purpose == "entry" and intent.reserved:
        intent_value = (execution.qty * execution.price).quantize(CENT)
        given_back = min(intent.reserved, intent_value)
        intent.reserved -= given_back
        account.reserved_exposure = max(account.reserved_exposure - given_back, ZERO)
    if not IntentState(intent.state).ended:
        if intent.state not in (IntentState.LIVE, IntentState.RESTING):
            intent.acknowledged_at = intent.acknowledged_at or now
        set_state(session, intent, IntentState.LIVE if intent.parent_id is None else IntentState.RESTING)
        # Whoever reports next finds all fills in the ledger and ends the order; look soon if nobody does.
        intent.next_check_at = now
    add_event(
        session,
        account,
        "fill",
        f"{execution.side.value} {execution.qty.normalize():f} at {execution.price.normalize():f}.",
        intent=intent,
    )
