"""Messages to a user: always in the program itself, and through every channel the user has set up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import func, literal, select, update
from sqlalchemy.dialects.postgresql import insert

from dashtrade.db.tables.alerts import NotificationChannelRow, NotificationDeliveryRow, NotificationRow
from dashtrade.db.unit_of_work import UnitOfWork
from dashtrade.services.jobs import enqueue
from dashtrade.services.work import working

SEND = "send_notifications"


@dataclass(frozen=True, slots=True)
class Notification:
    id: int
    kind: str
    title: str
    body: str
    link: str | None
    created_at: datetime
    read_at: datetime | None


def notify(
    uow: UnitOfWork,
    user_id: int,
    kind: str,
    title: str,
    body: str,
    *,
    link: str | None = None,
    alert_event_id: int | None = None,
    channels: Sequence[int] | None = None,
) -> int:
    """Adds a message and its deliveries; the caller commits. Returns the message's number.

    ``kind`` is alert, report, test or system. ``channels`` names some of the user's channels, None all; only those
    that are on carry it. The job that sends is queued in the same transaction.
    """
    row = NotificationRow(
        user_id=user_id, kind=kind, title=title[:200], body=body, link=link, alert_event_id=alert_event_id
    )
    uow.session.add(row)
    uow.session.flush()
    channel = NotificationChannelRow
    wanted = select(channel.user_id, literal(row.id), channel.id).where(channel.user_id == user_id, channel.is_active)
    if channels is not None:
        wanted = wanted.where(channel.id.in_(channels))
    query = insert(NotificationDeliveryRow).from_select(["user_id", "notification_id", "channel_id"], wanted)
    if uow.session.scalars(query.returning(NotificationDeliveryRow.id)).all():
        enqueue(uow, SEND, once="now")
    return row.id


def list_notifications(uow: UnitOfWork, user_id: int, *, unread: bool = False, limit: int = 100) -> list[Notification]:
    """Newest first."""
    n = NotificationRow
    query = select(n.id, n.kind, n.title, n.body, n.link, n.created_at, n.read_at).where(n.user_id == user_id)
    if unread:
        query = query.where(n.read_at.is_(None))
    with working(uow) as work:
        found = work.session.execute(query.order_by(n.id.desc()).limit(max(1, min(limit, 1000))))
        return [Notification(*row) for row in found]


def unread_count(uow: UnitOfWork, user_id: int) -> int:
    n = NotificationRow
    with working(uow) as work:
        query = select(func.count()).where(n.user_id == user_id, n.read_at.is_(None))
        return int(work.session.scalar(query) or 0)


def mark_read(uow: UnitOfWork, user_id: int, ids: Sequence[int] | None = None) -> int:
    """Marks these messages, or all, as read; returns how many were not."""
    n = NotificationRow
    query = update(n).where(n.user_id == user_id, n.read_at.is_(None))
    if ids is not None:
        query = query.where(n.id.in_(ids))
    with working(uow) as work:
        count = len(work.session.scalars(query.values(read_at=datetime.now(UTC)).returning(n.id)).all())
        work.commit()
        return count
