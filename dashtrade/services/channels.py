"""A user's channels: mail, Telegram, a webhook and so on. Addresses are sealed; nobody is shown one again."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, time
from typing import Any, Protocol
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sqlalchemy import delete, func, select, update
from sqlalchemy.exc import IntegrityError

from dashtrade.auth.vault import Vault
from dashtrade.db.tables.alerts import NotificationChannelRow, NotificationDeliveryRow, NotificationRow
from dashtrade.db.unit_of_work import UnitOfWork
from dashtrade.errors import InvalidInput, NotFound
from dashtrade.notify.channels import service_of
from dashtrade.services import audit
from dashtrade.services.notifications import notify
from dashtrade.services.work import working

MOST = 20
MODE, FIELD = "channel", "url"


class Seal(Protocol):
    """``Vault.seal``, or ``seal_to`` with the public key where there is no vault."""

    def __call__(self, secret: str, *, user_id: int, mode: str, field: str) -> str: ...


@dataclass(frozen=True, slots=True)
class Channel:
    """What may be shown. Quiet hours are ``HH:MM`` on the clock of ``timezone``; over midnight is allowed."""

    id: int
    name: str
    service: str
    is_active: bool
    most_per_hour: int
    quiet_from: str | None
    quiet_until: str | None
    timezone: str


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message on its way through one channel; ``state`` is waiting, sending, sent, maybe or dead."""

    id: int
    channel: str
    title: str
    state: str
    attempts: int
    next_try_at: datetime
    sent_at: datetime | None
    error: str | None


def add_channel(
    uow: UnitOfWork,
    user_id: int,
    seal: Seal,
    name: str,
    url: str,
    *,
    most_per_hour: int = 30,
    quiet_from: str | None = None,
    quiet_until: str | None = None,
    timezone: str = "America/New_York",
) -> Channel:
    """Keeps a channel. InvalidInput where the address is not understood; it never repeats the address."""
    settings = _checked(
        name=name, most_per_hour=most_per_hour, quiet_from=quiet_from, quiet_until=quiet_until, timezone=timezone
    )
    service = service_of(url)
    row = NotificationChannelRow(
        user_id=user_id,
        service=service[:40],
        url_encrypted=seal(url.strip(), user_id=user_id, mode=MODE, field=FIELD),
        **settings,
    )
    with working(uow) as work:
        count = work.session.scalar(select(func.count()).where(NotificationChannelRow.user_id == user_id)) or 0
        if count >= MOST:
            raise InvalidInput("channel", f"there are {MOST} channels already; remove one first.")
        work.session.add(row)
        audit.record(
            work, "channel_added", actor_id=user_id, user_id=user_id, channel=settings["name"], service=service
        )
        _commit(work, settings["name"])
        return next(each for each in list_channels(work, user_id) if each.id == row.id)


def list_channels(uow: UnitOfWork, user_id: int) -> list[Channel]:
    """By name. Reads no ciphertext, so page kernels may call it."""
    c = NotificationChannelRow
    columns = (c.id, c.name, c.service, c.is_active, c.most_per_hour, c.quiet_from, c.quiet_until, c.timezone)
    with working(uow) as work:
        found = work.session.execute(select(*columns).where(c.user_id == user_id).order_by(c.name))
        return [Channel(*row) for row in found]


def update_channel(uow: UnitOfWork, user_id: int, channel_id: int, **changes: Any) -> Channel:
    """Changes name, is_active, most_per_hour, quiet_from with quiet_until, or timezone."""
    with working(uow) as work:
        old = next((each for each in list_channels(work, user_id) if each.id == channel_id), None)
        if old is None:
            raise NotFound("There is no such channel.")
        fields = ("name", "most_per_hour", "quiet_from", "quiet_until", "timezone")
        unknown = set(changes) - {*fields, "is_active"}
        if unknown:
            raise InvalidInput("channel", f"{min(unknown)} cannot be changed.", allowed=[*fields, "is_active"])
        values = _checked(**{name: changes.get(name, getattr(old, name)) for name in fields})
        values["is_active"] = bool(changes.get("is_active", old.is_active))
        c = NotificationChannelRow
        work.session.execute(update(c).where(c.user_id == user_id, c.id == channel_id).values(**values))
        _commit(work, values["name"])
        return next(each for each in list_channels(work, user_id) if each.id == channel_id)


def remove_channel(uow: UnitOfWork, user_id: int, channel_id: int) -> None:
    """Removes the channel and what still waits for it."""
    c = NotificationChannelRow
    with working(uow) as work:
        query = delete(c).where(c.user_id == user_id, c.id == channel_id)
        if work.session.scalar(query.returning(c.id)) is None:
            raise NotFound("There is no such channel.")
        audit.record(work, "channel_removed", actor_id=user_id, user_id=user_id, channel=channel_id)
        work.commit()


def test_channel(uow: UnitOfWork, user_id: int, channel_id: int) -> int:
    """Queues a test message through this channel, whatever its quiet hours; returns the message's number.

    InvalidInput for a channel that is off.
    """
    with working(uow) as work:
        channel = next((each for each in list_channels(work, user_id) if each.id == channel_id), None)
        if channel is None:
            raise NotFound("There is no such channel.")
        if not channel.is_active:
            raise InvalidInput("channel", f"{channel.name} is off, so nothing goes out through it; switch it on first.")
        text = f"This is a test of the channel {channel.name}. Alerts will arrive here."
        number = notify(work, user_id, "test", "Test message from DashTrade", text, channels=[channel_id])
        work.commit()
        return number


def list_deliveries(uow: UnitOfWork, user_id: int, *, state: str | None = None, limit: int = 100) -> list[Delivery]:
    """Newest first; ``state="dead"`` shows what was given up, with the last error."""
    d, c, n = NotificationDeliveryRow, NotificationChannelRow, NotificationRow
    query = (
        select(d.id, c.name, n.title, d.state, d.attempts, d.next_try_at, d.sent_at, d.error)
        .join(c, c.id == d.channel_id)
        .join(n, n.id == d.notification_id)
        .where(d.user_id == user_id)
        .order_by(d.id.desc())
        .limit(max(1, min(limit, 1000)))
    )
    if state is not None:
        query = query.where(d.state == state)
    with working(uow) as work:
        return [Delivery(*row) for row in work.session.execute(query)]


def renew_channels(uow: UnitOfWork, vault: Vault) -> int:
    """After a change of the encryption key: seals every address with the newest; the caller commits."""
    rows = uow.session.scalars(select(NotificationChannelRow).with_for_update()).all()
    for row in rows:
        row.url_encrypted = vault.renew(row.url_encrypted)
    return len(rows)


def _checked(
    *, name: str, most_per_hour: int, quiet_from: str | None, quiet_until: str | None, timezone: str
) -> dict[str, Any]:
    name = name.strip()
    if not 1 <= len(name) <= 80 or not name.isprintable():
        raise InvalidInput("name", "must have 1 to 80 characters.")
    if not 1 <= most_per_hour <= 1000:
        raise InvalidInput("most_per_hour", f"{most_per_hour} is not allowed; use 1 to 1000 messages.")
    if (quiet_from is None) != (quiet_until is None):
        raise InvalidInput("quiet hours", "need both a beginning and an end, such as 22:00 and 07:00.")
    try:
        ZoneInfo(timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise InvalidInput("timezone", f"{timezone!r} is not known; write for example America/New_York.") from None
    return {
        "name": name,
        "most_per_hour": most_per_hour,
        "quiet_from": _clock("quiet_from", quiet_from),
        "quiet_until": _clock("quiet_until", quiet_until),
        "timezone": timezone,
    }


def _clock(field: str, value: str | None) -> str | None:
    if value is None:
        return None
    try:
        return time.fromisoformat(value.strip()).strftime("%H:%M")
    except ValueError:
        raise InvalidInput(field, f"{value!r} is not a time; write for example 22:00.") from None


def _commit(work: UnitOfWork, name: str) -> None:
    try:
        work.commit()
    except IntegrityError:
        work.rollback()
        raise InvalidInput("name", f"there is a channel {name!r} already; choose another name.") from None
