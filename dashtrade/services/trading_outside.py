"""What others do to positions that bots hold: closings at the broker that nobody here asked for, fills taken back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from decimal import ROUND_HALF_EVEN, Decimal

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from dashtrade.bots.reconcile import TOLERANCE, Drift, outside_closings
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
from dashtrade.db.trading_repository import add_event, lock_account
from dashtrade.db.unit_of_work import UnitOfWork
from dashtrade.domain.orders import Execution, Side
from dashtrade.services.trading_fills import enter_execution
from dashtrade.services.trading_lease import Lease, hold

ZERO = Decimal(0)
CENT = Decimal("0.0001")


def adopt_closings(uow: UnitOfWork, lease: Lease, drifts: Sequence[Drift]) -> bool:
    """Where fills that nobody here asked for explain a difference, and closed what bots held, close the bots' lots.

    So it is after a liquidation, or when the user sells at the broker. The oldest lots go first, whichever bot's. A
    difference that fills do not explain to the share stays one. Returns whether anything was adopted.
    """
    with uow:
        account = hold(uow.session, lease)
        adopted = [_adopt(uow.session, account, drift) for drift in drifts]
        uow.commit()
        return any(adopted)


def take_back(uow: UnitOfWork, account_id: int, execution_id: str, now: datetime, corrected: Execution | None) -> bool:
    """A fill that the exchange took back, or replaced by ``corrected``: undone by an opposite entry at its price.

    The order keeps its state, as it does at the broker. False where the fill is unknown here or was undone before.
    """
    with uow:
        account = lock_account(uow.session, account_id)
        query = select(ExecutionRow).where(
            ExecutionRow.account_id == account_id, ExecutionRow.execution_id == execution_id
        )
        row = uow.session.scalar(query)
        if row is None:
            return False
        intent = None if row.intent_id is None else uow.session.get(IntentRow, row.intent_id)
        opposite = Side.SELL if row.side == Side.BUY else Side.BUY
        undone = Execution(
            f"undo:{execution_id}"[:100], row.broker_order_id or "", "", row.symbol, opposite, row.qty, row.price, now
        )
        new = enter_execution(uow.session, account, intent, undone, "stream", provisional=False)
        if new:
            text = f"The exchange took back a fill: {row.side} {row.qty.normalize():f} at {row.price.normalize():f}."
            add_event(uow.session, account, "fill_taken_back", text, intent=intent, symbol=row.symbol)
        if corrected is not None:
            corrected = replace(corrected, side=Side(row.side))
            enter_execution(uow.session, account, intent, corrected, "stream", provisional=True)
        uow.commit()
        return new


def _adopt(session: Session, account: AccountRow, drift: Drift) -> bool:
    fills = session.scalars(
        select(ExecutionRow)
        .where(
            ExecutionRow.account_id == account.id,
            ExecutionRow.symbol == drift.symbol,
            ExecutionRow.intent_id.is_(None),
            ExecutionRow.bot_id.is_(None),
        )
        .order_by(ExecutionRow.executed_at, ExecutionRow.id)
    ).all()
    signed = [fill.qty if fill.side == Side.BUY else -fill.qty for fill in fills]
    parts = outside_closings(drift, signed)
    if parts is None:
        return False
    told: dict[int, Decimal] = {}
    for fill, part in zip(fills, parts, strict=True):
        bot_ids = _close_lots(session, account, fill, part, told) if part else []
        # Marks the fill as accounted for; lot_closings say which bot it closed how much of.
        first = bot_ids[0] if bot_ids else next(iter(told), None)
        fill.bot_id = first
        if bot_ids:
            session.execute(update(CashLedgerRow).where(CashLedgerRow.execution_id == fill.id).values(bot_id=first))
    for fill in fills:
        fill.bot_id = fill.bot_id or next(iter(told), None)
    for bot_id, qty in told.items():
        _tell(session, account, session.get_one(BotRow, bot_id), qty)
    return True


def _close_lots(
    session: Session, account: AccountRow, fill: ExecutionRow, part: Decimal, told: dict[int, Decimal]
) -> list[int]:
    """Take ``part`` (signed as the fill) from the account's open lots; returns whose they were."""
    query = select(LotRow).where(LotRow.account_id == account.id, LotRow.symbol == fill.symbol, LotRow.open_qty != 0)
    found: list[int] = []
    left = part
    for lot in session.scalars(query.order_by(LotRow.opened_at, LotRow.id)):
        if abs(left) <= TOLERANCE or (lot.open_qty > 0) == (left > 0):
            continue
        closed = lot.open_qty if abs(lot.open_qty) <= abs(left) else -left
        pnl = (closed * (fill.price - lot.price)).quantize(CENT, ROUND_HALF_EVEN)
        lot.open_qty -= closed
        lot.closed_at = fill.executed_at if lot.open_qty == 0 else None
        left += closed
        session.add(
            LotClosingRow(
                lot_id=lot.id,
                execution_id=fill.id,
                user_id=account.user_id,
                bot_id=lot.bot_id,
                qty=closed,
                open_price=lot.price,
                close_price=fill.price,
                realized_pnl=pnl,
                closed_at=fill.executed_at,
                trade_date=fill.trade_date,
            )
        )
        bot = session.get_one(BotRow, lot.bot_id)
        bot.total_pnl += pnl
        bot.peak_pnl = max(bot.peak_pnl, bot.total_pnl)
        told[lot.bot_id] = told.get(lot.bot_id, ZERO) + abs(closed)
        found.append(lot.bot_id)
    return found


def _tell(session: Session, account: AccountRow, bot: BotRow, qty: Decimal) -> None:
    session.flush()
    query = select(LotRow.open_qty).where(LotRow.bot_id == bot.id, LotRow.open_qty != 0)
    held = sum(session.scalars(query), ZERO)
    bot.current_position_side = None if held == 0 else "LONG" if held > 0 else "SHORT"
    text = (
        f"{qty.normalize():f} {bot.symbol} of this bot were closed at the broker by somebody else, such as a "
        f"liquidation; the bot now holds {held.normalize():f}."
    )
    session.add(
        RiskEventRow(
            user_id=bot.user_id,
            bot_config_id=bot.id,
            event_type="CLOSED_OUTSIDE",
            symbol=bot.symbol,
            timeframe=bot.timeframe,
            current_value=qty.quantize(CENT),
            action_taken="The bot's books were brought in line.",
            message=text,
        )
    )
    add_event(session, account, "closed_outside", text, symbol=bot.symbol)
