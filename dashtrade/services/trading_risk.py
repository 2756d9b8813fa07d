"""A limit that is reached: written down once, the bot switched off where the limit says so."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import exists, select
from sqlalchemy.dialects.postgresql import insert as pg_insert
from sqlalchemy.orm import Session, aliased

from dashtrade.bots.risk import Breach, trading_day
from dashtrade.db.tables.trading import AccountRow, BotRow, BotTradeRow, IntentRow, RiskEventRow
from dashtrade.db.trading_repository import add_event
from dashtrade.db.unit_of_work import UnitOfWork
from dashtrade.services.notifications import notify

# made once: an alias gathers its columns anew each time, which takes longer than the question it is for
_LATER, _MINE = aliased(IntentRow), aliased(IntentRow)


def record_breach(session: Session, account: AccountRow, bot: BotRow, breach: Breach, now: datetime) -> bool:
    """Write the breach and act on it. False where this breach was told already today.

    Limits on losses switch the bot off; the others only refuse the entry, and each refusal is its own row.
    """
    if breach.disables:
        bot.is_active = False
        bot.order_status = "HALTED"
        action = "The bot was switched off" + (" and closes its position." if bot.flatten_on_breach else ".")
        key = f"{breach.limit}:{bot.id}:{trading_day(now):%Y-%m-%d}"
    else:
        action, key = "The entry was refused.", None
    statement = pg_insert(RiskEventRow).values(
        user_id=bot.user_id,
        bot_config_id=bot.id,
        event_type=breach.limit,
        symbol=bot.symbol,
        timeframe=bot.timeframe,
        threshold_value=breach.threshold,
        current_value=breach.value,
        action_taken=action,
        message=breach.message,
        once_key=key,
    )
    new = session.execute(statement.on_conflict_do_nothing().returning(RiskEventRow.id)).scalar() is not None
    if new:
        add_event(session, account, "risk", breach.message, symbol=bot.symbol)
    return new


def tell_user(uow: UnitOfWork, user_id: int, now: datetime) -> int:
    """Notify the user of what was not told yet, each event once; equal ones of a bot in one message.

    Returns the number of messages. It is a transaction of its own: no failure of a channel may touch an order.
    """
    import dashtrade.services.deliveries  # noqa: F401 - declares the job that carries messages to channels

    with uow:
        query = select(RiskEventRow).where(
            RiskEventRow.user_id == user_id,
            RiskEventRow.notified_at.is_(None),
            RiskEventRow.created_at > now - timedelta(days=2),
        )
        groups: dict[tuple[int | None, str, str | None], list[RiskEventRow]] = {}
        for row in uow.session.scalars(query.order_by(RiskEventRow.id).with_for_update(skip_locked=True)):
            groups.setdefault((row.bot_config_id, row.event_type, row.symbol), []).append(row)
        for (_, kind, symbol), rows in groups.items():
            newest = rows[-1]
            again = f" This happened {len(rows)} times." if len(rows) > 1 else ""
            title = f"{kind.replace('_', ' ').capitalize()}: {symbol or 'account'}"
            body = f"{newest.message or title} {newest.action_taken or ''}".strip() + again
            notify(uow, user_id, "system", title, body, link="bot")
            for row in rows:
                row.notified_at = now
        told = len(groups) + _tell_failed_orders(uow, user_id, now)
        uow.commit()
        return told


def _tell_failed_orders(uow: UnitOfWork, user_id: int, now: datetime) -> int:
    """Orders that the broker refused or that never reached it, unless a later attempt took their place."""
    later, mine = _LATER, _MINE
    replaced = exists(
        select(later.id).where(
            later.alert_id == mine.alert_id,
            later.leg == mine.leg,
            later.attempt > mine.attempt,
            mine.id == BotTradeRow.intent_id,
        )
    )
    query = select(BotTradeRow).where(
        BotTradeRow.user_id == user_id,
        BotTradeRow.status.in_(("REJECTED", "FAILED")),
        BotTradeRow.notified_at.is_(None),
        BotTradeRow.created_at > now - timedelta(days=2),
        ~replaced,
    )
    groups: dict[tuple[int | None, str], list[BotTradeRow]] = {}
    for row in uow.session.scalars(query.order_by(BotTradeRow.id).with_for_update(skip_locked=True)):
        groups.setdefault((row.bot_config_id, row.purpose), []).append(row)
    for (_, purpose), rows in groups.items():
        newest = rows[-1]
        again = f" This happened {len(rows)} times." if len(rows) > 1 else ""
        title = f"Order not placed: {newest.action} {newest.symbol}"
        body = f"The {purpose} order of the {newest.timeframe} bot was not placed. {newest.error_message or ''}".strip()
        notify(uow, user_id, "system", title, body + again, link="bot")
        for row in rows:
            row.notified_at = now
    return len(groups)
