"""Accounts whose books were not compared with the broker for too long: the trader is woken, and the owner told."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import structlog
from sqlalchemy import exists, or_, select, text

from dashtrade.db.tables.alerts import NotificationRow
from dashtrade.db.tables.trading import AccountRow, BotRow, LotRow
from dashtrade.services.alerts_in import ALERTS_CHANNEL
from dashtrade.services.jobs import JobContext, job
from dashtrade.services.notifications import notify

log = structlog.get_logger(__name__)

WAKE_AFTER, TELL_AFTER = timedelta(minutes=10), timedelta(minutes=30)


@job("hint_reconcile", cron="*/5 * * * *", alone=True)
def hint_reconcile(context: JobContext) -> int:
    """Accounts with an active bot or an open position only. Returns how many were late."""
    now = datetime.now(UTC)
    a, b, lot, n = AccountRow, BotRow, LotRow, NotificationRow
    in_use = or_(
        exists().where(b.user_id == a.user_id, b.account_mode == a.mode, b.is_active),
        exists().where(lot.account_id == a.id, lot.open_qty != 0),
    )
    late = or_(a.reconciled_at.is_(None), a.reconciled_at < now - WAKE_AFTER)
    with context.uow() as uow:
        query = select(a.user_id, a.mode, a.reconciled_at, a.created_at).where(
            in_use, late, a.created_at < now - WAKE_AFTER
        )
        found = uow.session.execute(query.order_by(a.id)).tuples().all()
        for user, mode, checked, made in found:
            told = json.dumps({"user": user, "mode": mode})
            uow.session.execute(text("SELECT pg_notify(:channel, :told)"), {"channel": ALERTS_CHANNEL, "told": told})
            title = f"The {mode} account is not being checked against its broker"
            known = select(n.id).where(n.user_id == user, n.title == title, n.read_at.is_(None)).limit(1)
            if (checked or made) < now - TELL_AFTER and uow.session.scalar(known) is None:
                since = "never" if checked is None else f"at {checked:%Y-%m-%d %H:%M} UTC"
                notify(
                    uow,
                    user,
                    "system",
                    title,
                    f"Last {since}. See that the trader runs and its keys are right.",
                    link="bot",
                )
        uow.commit()
    if found:
        log.warning("Accounts are late in being reconciled", count=len(found))
    return len(found)
