"""A limit that is reached: written down once, the bot switched off where the limit says so."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.dialects.postgresql import insert as pg_insert
from sqlalchemy.orm import Session

from dashtrade.bots.risk import Breach, trading_day
from dashtrade.db.tables.trading import AccountRow, BotRow, RiskEventRow
from dashtrade.db.trading_repository import add_event


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
