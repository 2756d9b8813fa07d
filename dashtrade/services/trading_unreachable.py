"""A broker that cannot be asked: its alerts wait, and neither they nor their user may wait in silence."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert as pg_insert

from dashtrade.bots.risk import trading_day
from dashtrade.db.tables.trading import BotRow, InboxRow, RiskEventRow
from dashtrade.db.trading_repository import add_event
from dashtrade.db.unit_of_work import UnitOfWork
from dashtrade.domain.bots import AlertState
from dashtrade.services.trading import end_alert
from dashtrade.services.trading_lease import Lease, hold

SOON = timedelta(minutes=5)


def note_unreachable(uow: UnitOfWork, lease: Lease, since: datetime, now: datetime, reason: str) -> bool:
    """Say once a day that the broker has not answered since ``since``, and end alerts past every limit of their bot.

    Does nothing in the first minutes. Returns whether there is something to tell the user.
    """
    if now - since < SOON:
        return False
    with uow:
        account = hold(uow.session, lease)
        text = f"The broker of the {account.mode} account has not answered since {since:%Y-%m-%d %H:%M} UTC: {reason}"
        statement = pg_insert(RiskEventRow).values(
            user_id=account.user_id, event_type="BROKER_UNREACHABLE", message=text,
            action_taken="Nothing is traded. Alerts wait, and one that waited too long is ended.",
            once_key=f"BROKER_UNREACHABLE:{account.id}:{trading_day(now):%Y-%m-%d}",
        )  # fmt: skip
        new = uow.session.execute(statement.on_conflict_do_nothing().returning(RiskEventRow.id)).scalar() is not None
        if new:
            add_event(uow.session, account, "broker_unreachable", text)
        waiting = (
            select(InboxRow, BotRow)
            .join(BotRow, BotRow.id == InboxRow.bot_id)
            .where(
                InboxRow.state == AlertState.RECEIVED,
                InboxRow.user_id == account.user_id,
                BotRow.account_mode == account.mode,
            )
            .with_for_update(of=InboxRow, skip_locked=True)
        )
        for alert, bot in uow.session.execute(waiting).tuples():
            # whether it is an exit is not known without the books, so the longer limit counts
            age = now - alert.received_at
            if age > timedelta(seconds=max(bot.freshness_seconds, bot.exit_freshness_seconds)):
                told = f"The alert waited {age.total_seconds():.0f} s, and the broker could not be asked: {reason}"
                end_alert(uow.session, alert, AlertState.EXPIRED, told, "ACCOUNT_UNAVAILABLE", now)
                new = True
        uow.commit()
        return new
