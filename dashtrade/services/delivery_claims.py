"""Messages are claimed before they are sent, so that a worker that is killed neither loses one nor sends it twice.

The claim is committed first, with the time until which it holds; then the sending process writes to a diary, a file
that outlives the worker, what it begins and what came of it. Whoever finds a claim that ran out reads there what was
sent and notes it; what was never begun waits again. Only a message whose sending had begun and whose answer nobody
wrote down (the machine itself stopped, or cannot be reached with its disk) is in doubt: it is not sent again by itself,
it is shown as perhaps sent, and another message says so.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy import select

from dashtrade.db.tables.alerts import NotificationChannelRow, NotificationDeliveryRow, NotificationRow
from dashtrade.db.unit_of_work import UnitOfWork
from dashtrade.notify.channels import Diary, Outcome, read_diary, seconds_for
from dashtrade.services.notifications import notify
from dashtrade.settings import Settings

FOLDER = "outbox"
MARGIN = timedelta(seconds=30)  # between the end of the sending process and the end of the claim
ELSEWHERE = timedelta(minutes=15)  # so long a diary may be on the disk of another machine that comes back
TRIES = 6
FIRST_PAUSE = timedelta(seconds=30)  # then four times as long each time: 2 min, 8 min, 32 min, 2 h

Due = list[tuple[NotificationDeliveryRow, NotificationRow]]


def claim(batches: Sequence[Due], settings: Settings, now: datetime) -> Path:
    """Marks the messages as being sent; returns the diary, which exists from now on. The caller commits."""
    token = secrets.token_hex(10)
    until = now + timedelta(seconds=seconds_for(len(batches))) + MARGIN
    for number, batch in enumerate(batches):
        for row, _ in batch:
            row.state, row.claim, row.claimed_until = "sending", f"{token}.{number}", until
    diary = _diary(settings, token)
    diary.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    diary.touch(mode=0o600)
    return diary


def claimed(uow: UnitOfWork, diary: Path) -> dict[int, Due]:
    """The messages of a claim by number, locked; without what was deleted, or given to another, meanwhile."""
    d, n = NotificationDeliveryRow, NotificationRow
    query = select(d, n).join(n, n.id == d.notification_id).order_by(d.id).with_for_update(of=d)
    found: dict[int, Due] = {}
    for row, notification in uow.session.execute(
        query.where(d.state == "sending", d.claim.startswith(f"{diary.stem}."))
    ):
        found.setdefault(int((row.claim or "").rpartition(".")[2]), []).append((row, notification))
    return found


def note(batch: Due, outcome: Outcome, now: datetime, number: int = 0) -> None:
    """What came of the message of this number. Messages sent together differ in their time, since the limit for an hour
    counts the times."""
    now += timedelta(microseconds=number)
    for row, _ in batch:
        row.attempts += 1
        row.error = outcome.error
        row.claim = row.claimed_until = None
        if outcome.sent:
            row.state, row.sent_at = "sent", now
        elif outcome.final or row.attempts >= TRIES:
            row.state = "dead"
        else:
            row.state, row.next_try_at = "waiting", now + FIRST_PAUSE * 4 ** (row.attempts - 1)


def settle(uow: UnitOfWork, channel: NotificationChannelRow, settings: Settings, now: datetime) -> bool:
    """Finds out what became of claims that ran out; False while another worker may be sending through the channel."""
    d, n = NotificationDeliveryRow, NotificationRow
    query = select(d, n).join(n, n.id == d.notification_id).where(d.channel_id == channel.id, d.state == "sending")
    free = True
    diaries: dict[Path, Diary] = {}
    for row, notification in uow.session.execute(query.order_by(d.id)).tuples().all():
        until = row.claimed_until or now
        if until > now:
            free = False
            continue
        token, _, number = (row.claim or "").rpartition(".")
        path = _diary(settings, token)
        if not (token.isalnum() and path.exists()):
            if until > now - ELSEWHERE:
                free = False
            else:
                _doubt(uow, channel, row, notification, now)
            continue
        known = diaries.setdefault(path, read_diary(path, int(number) + 1))
        outcome = known.outcomes[int(number)] if int(number) < len(known.outcomes) else None
        if outcome is not None:
            note([(row, notification)], outcome, now, int(number))
        elif int(number) in known.begun:
            _doubt(uow, channel, row, notification, now)
        else:
            row.state, row.claim, row.claimed_until, row.next_try_at = "waiting", None, None, now
    uow.session.flush()
    return free


def delete_diaries(settings: Settings, before: datetime) -> None:
    """Diaries of claims that were settled long ago."""
    for path in (settings.data_dir / FOLDER).glob("*.jsonl"):
        if path.stat().st_mtime < before.timestamp():
            path.unlink(missing_ok=True)


def _doubt(
    uow: UnitOfWork,
    channel: NotificationChannelRow,
    row: NotificationDeliveryRow,
    notification: NotificationRow,
    now: datetime,
) -> None:
    row.attempts += 1
    row.state, row.claim, row.claimed_until = "maybe", None, None
    row.error = "The machine stopped while it was sent; nobody knows whether it arrived."
    if notification.kind == "system":
        return  # no message about a message about a message
    uow.session.flush()
    text = (
        f"The machine stopped while this was sent through {channel.name}: it may have reached you or not. "
        "If it did not, send it again on the alerts page, under Channels."
    )
    title = f"Perhaps not delivered: {notification.title}"
    notify(uow, channel.user_id, "system", title, text, link=notification.link or "alerts?tab=channels")


def _diary(settings: Settings, token: str) -> Path:
    return settings.data_dir / FOLDER / f"{token}.jsonl"
