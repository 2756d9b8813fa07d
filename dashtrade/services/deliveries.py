"""Sends what waits for the channels: in order, not at night, not too much at once, again after a failure.

One worker at a time sends through a channel: it claims the messages and commits, sends, then writes down what came of
it. ``delivery_claims`` says what becomes of a claim whose worker was killed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Protocol
from zoneinfo import ZoneInfo

import structlog
from sqlalchemy import and_, func, or_, select

from dashtrade.auth import secret_files
from dashtrade.auth.vault import Vault
from dashtrade.db.tables.accounts import UserRow
from dashtrade.db.tables.alerts import (
    AlertEventRow,
    AlertRuleRow,
    NotificationChannelRow,
    NotificationDeliveryRow,
    NotificationRow,
)
from dashtrade.db.unit_of_work import UnitOfWork
from dashtrade.domain.alerts import WATCHLIST
from dashtrade.errors import ConfigurationError
from dashtrade.notify.channels import Message, Outcome, send, takes_pictures
from dashtrade.services.alert_picture import event_picture
from dashtrade.services.channels import FIELD, MODE
from dashtrade.services.delivery_claims import Due, claim, claimed, note, settle
from dashtrade.services.jobs import JobContext, job
from dashtrade.services.notifications import SEND, notify
from dashtrade.services.source_order import get_source_order

if TYPE_CHECKING:
    from dashtrade.services.market import MarketData

log = structlog.get_logger(__name__)

DIGEST_FROM = 4  # so many waiting messages become one
AT_ONCE = 200


class SendingContext(JobContext, Protocol):
    """A job's context that has prices for the pictures."""

    def alert_market(self, order: tuple[str, ...] | None = None) -> MarketData: ...


@job(SEND, cron="* * * * *")
def send_notifications(context: SendingContext) -> int:
    """Sends what is due through every channel no other worker is busy with; returns how many messages went out."""
    now = datetime.now(UTC)
    d, c = NotificationDeliveryRow, NotificationChannelRow
    with context.uow() as uow:
        due = select(d.channel_id).join(c, c.id == d.channel_id)
        waits = and_(d.state == "waiting", d.next_try_at <= now)
        ran_out = and_(d.state == "sending", d.claimed_until <= now)
        due = due.where(or_(waits, ran_out), c.is_active).distinct()
        channels = uow.session.scalars(due).all()
    if not channels:
        return 0
    vault = Vault(secret_files.encryption_key(context.settings))
    allowed = context.settings.private_channels

    def deliver(url: str, messages: Sequence[Message], diary: Path) -> list[Outcome]:
        return send(url, messages, diary, allow_private=allowed)

    return sum(_serve(context, channel, vault, deliver) for channel in channels)


def _serve(
    context: SendingContext,
    channel_id: int,
    vault: Vault,
    deliver: Callable[[str, Sequence[Message], Path], list[Outcome]],
) -> int:
    now = datetime.now(UTC)
    c = NotificationChannelRow
    with context.uow() as uow:
        channel = uow.session.scalar(select(c).where(c.id == channel_id, c.is_active).with_for_update(skip_locked=True))
        if channel is None:
            return 0
        if not settle(uow, channel, context.settings, now):
            uow.commit()
            return 0
        due = _due(uow, channel, now)
        wait = quiet_until(channel, now)
        if wait is not None:
            due = _put_off(due, wait)
        room, free_at = _room(uow, channel, now)
        if due and room <= 0:
            due = _put_off(due, free_at)
        if not due:
            uow.commit()
            return 0
        batches = [due] if len(due) >= DIGEST_FROM or len(due) > room else [[each] for each in due]
        messages = [_message(batch, context.settings.public_url) for batch in batches]
        try:
            url = vault.open(channel.url_encrypted, user_id=channel.user_id, mode=MODE, field=FIELD)
        except ConfigurationError:
            said = "The address cannot be decrypted with the encryption key in use. Remove the channel, enter it again."
            _note(uow, channel_id, dict(enumerate(batches)), [Outcome(False, said, final=True)] * len(batches))
            return 0
        if takes_pictures(url):
            messages = [_with_picture(context, uow, *pair) for pair in zip(messages, batches, strict=True)]
        diary = claim(batches, context.settings, now)
        uow.commit()
    outcomes = deliver(url, messages, diary)
    with context.uow() as uow:
        _note(uow, channel_id, claimed(uow, diary), outcomes)
    diary.unlink(missing_ok=True)
    sent = sum(outcome.sent for outcome in outcomes)
    log.info("Notifications sent", channel=channel_id, sent=sent, failed=len(outcomes) - sent)
    return sent


def _note(uow: UnitOfWork, channel_id: int, batches: dict[int, Due], outcomes: Sequence[Outcome]) -> None:
    """Writes down what came of the messages, and tells in the program of a channel that does not work."""
    now = datetime.now(UTC)
    for number, batch in batches.items():
        note(batch, outcomes[number], now, number)
    dead = [row for batch in batches.values() for row, _ in batch if row.state == "dead"]
    channel = uow.session.get(NotificationChannelRow, channel_id)
    if dead and channel is not None:
        _tell_in_program(uow, channel, dead[0].error)
    uow.commit()


def _due(uow: UnitOfWork, channel: NotificationChannelRow, now: datetime) -> Due:
    d, n = NotificationDeliveryRow, NotificationRow
    query = (
        select(d, n)
        .join(n, n.id == d.notification_id)
        .join(UserRow, UserRow.id == d.user_id)
        .where(d.channel_id == channel.id, d.state == "waiting", d.next_try_at <= now, UserRow.is_active)
        .order_by(d.id)
        .limit(AT_ONCE)
    )
    return [(row, notification) for row, notification in uow.session.execute(query)]


def _put_off(due: Due, until: datetime) -> Due:
    """All but test messages wait; returns the test messages."""
    for row, notification in due:
        if notification.kind != "test":
            row.next_try_at = until
    return [each for each in due if each[1].kind == "test"]


def quiet_until(channel: NotificationChannelRow, now: datetime) -> datetime | None:
    """The end of the quiet hours that ``now`` lies in, or None."""
    if channel.quiet_from is None or channel.quiet_until is None:
        return None
    zone = ZoneInfo(channel.timezone)
    local = now.astimezone(zone)
    start, end = time.fromisoformat(channel.quiet_from), time.fromisoformat(channel.quiet_until)
    clock = local.time().replace(tzinfo=None)
    inside = start <= clock < end if start <= end else clock >= start or clock < end
    if not inside:
        return None
    day = local.date() + timedelta(days=1 if clock >= end else 0)
    return datetime.combine(day, end, zone).astimezone(UTC)


def _room(uow: UnitOfWork, channel: NotificationChannelRow, now: datetime) -> tuple[int, datetime]:
    """How many messages may still go this hour, and when the next may."""
    d = NotificationDeliveryRow
    hour = timedelta(hours=1)
    recent = select(func.count(d.sent_at.distinct()), func.min(d.sent_at))
    count, first = uow.session.execute(recent.where(d.channel_id == channel.id, d.sent_at > now - hour)).one()
    return channel.most_per_hour - count, (first or now) + hour


def _message(batch: Due, public_url: str | None) -> Message:
    def link(notification: NotificationRow) -> list[str]:
        return [f"{public_url}{notification.link}"] if public_url and notification.link else []

    ids = ",".join(str(row.id) for row, _ in batch)
    key = f"dashtrade-{sha256(ids.encode()).hexdigest()[:32]}"  # the same at every try
    if len(batch) == 1:
        notification = batch[0][1]
        return Message(notification.title, "\n".join([notification.body, *link(notification)]), key=key)
    lines = [" · ".join([f"{n.created_at:%d %b %H:%M} UTC", n.title, *link(n)]) for _, n in batch]
    return Message(f"{len(batch)} messages from DashTrade", "\n".join(lines), key=key)


def _with_picture(context: SendingContext, uow: UnitOfWork, message: Message, batch: Due) -> Message:
    """The message with the chart of its alert. A second try goes without: the picture may be what failed."""
    row, notification = batch[0]
    if len(batch) > 1 or row.attempts or notification.alert_event_id is None:
        return message
    e, r = AlertEventRow, AlertRuleRow
    query = select(e, r.source).outerjoin(r, r.alert_id == e.alert_id).where(e.id == notification.alert_event_id)
    event, source = uow.session.execute(query).one()
    if event.symbol == WATCHLIST:
        return message
    market = context.alert_market(None if source else get_source_order(uow, event.user_id))
    where = (event.symbol, event.interval, event.bar_time)
    return replace(message, picture=event_picture(market, *where, notification.title, source or None))


def _tell_in_program(uow: UnitOfWork, channel: NotificationChannelRow, error: str | None) -> None:
    """A channel that does not work is told about in the program, once until that is read."""
    title = f"The channel {channel.name} does not work"
    n = NotificationRow
    told = select(n.id).where(n.user_id == channel.user_id, n.title == title, n.read_at.is_(None)).limit(1)
    if uow.session.scalar(told) is None:
        notify(uow, channel.user_id, "system", title, error or "", link="alerts", channels=[])
