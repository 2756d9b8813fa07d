"""What alerts have told, with how each message fared on its way; and sending again what was given up."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import func, or_, select, update

from dashtrade.db.tables.accounts import PriceAlertRow, WatchlistRow
from dashtrade.db.tables.alerts import (
    AlertCursorRow,
    AlertEventRow,
    AlertRuleRow,
    NotificationChannelRow,
    NotificationDeliveryRow,
    NotificationRow,
)
from dashtrade.db.unit_of_work import UnitOfWork
from dashtrade.domain.alerts import AGAIN, AlertEvent
from dashtrade.errors import InvalidInput, NotFound
from dashtrade.services import deliveries  # noqa: F401 - declares the job that sends, in a page's kernel too
from dashtrade.services.alert_rules import as_event
from dashtrade.services.jobs import enqueue
from dashtrade.services.notifications import SEND
from dashtrade.services.work import working


@dataclass(frozen=True, slots=True)
class Sent:
    """An event's message in one channel; ``state`` is waiting, sending, sent, maybe or dead."""

    id: int
    channel: str
    state: str
    attempts: int
    error: str | None


@dataclass(frozen=True, slots=True)
class Told:
    """An event with its rule's kind and source, and its messages by channel."""

    event: AlertEvent
    kind: str
    source: str
    sent: tuple[Sent, ...] = ()

    @property
    def close(self) -> float | None:
        """The close of the bar that triggered it; None for one told by hand."""
        value = self.event.values.get("close")
        return float(value) if isinstance(value, int | float) else None


def alert_history(uow: UnitOfWork, user_id: int, *, limit: int = 200) -> list[Told]:
    """Newest first."""
    e, a, r, n = AlertEventRow, PriceAlertRow, AlertRuleRow, NotificationRow
    d, c = NotificationDeliveryRow, NotificationChannelRow
    events = (
        select(e, a.alert_type, r.source)
        .join(a, a.id == e.alert_id)
        .outerjoin(r, r.alert_id == e.alert_id)
        .where(e.user_id == user_id)
        .order_by(e.id.desc())
        .limit(max(1, min(limit, 1000)))
    )
    with working(uow) as work:
        rows = [(as_event(event), kind, source or "") for event, kind, source in work.session.execute(events)]
        messages = (
            select(n.alert_event_id, d.id, c.name, d.state, d.attempts, d.error)
            .join(n, n.id == d.notification_id)
            .join(c, c.id == d.channel_id)
            .where(d.user_id == user_id, n.alert_event_id.in_([event.id for event, _, _ in rows]))
            .order_by(c.name)
        )
        sent: dict[int, list[Sent]] = defaultdict(list)
        for event_id, number, channel, state, attempts, error in work.session.execute(messages):
            if event_id is not None:
                sent[event_id].append(Sent(number, channel, state, attempts, error))
    return [Told(event, kind, source, tuple(sent[event.id])) for event, kind, source in rows]


def retry_delivery(uow: UnitOfWork, user_id: int, delivery_id: int) -> None:
    """Puts a message that was given up, or was perhaps not sent, into the queue again, as if it were new."""
    d = NotificationDeliveryRow
    with working(uow) as work:
        mine = select(d.state).where(d.user_id == user_id, d.id == delivery_id)
        state = work.session.scalar(mine)
        if state is None:
            raise NotFound("There is no such message.")
        again = update(d).where(d.user_id == user_id, d.id == delivery_id, d.state.in_(AGAIN))
        values = {"state": "waiting", "attempts": 0, "next_try_at": datetime.now(UTC), "claim": None}
        if work.session.scalar(again.values(**values).returning(d.id)) is None:
            raise InvalidInput("message", "only one that was given up, or perhaps not sent, can be sent again.")
        enqueue(work, SEND, once="now")
        work.commit()


def watch_problems(uow: UnitOfWork, user_id: int) -> dict[tuple[str, str, str], str]:
    """Why bars that the user's rules watch could not be read the last time, by symbol, interval and source."""
    c, a, r, w = AlertCursorRow, PriceAlertRow, AlertRuleRow, WatchlistRow
    mine = select(a.symbol).where(a.user_id == user_id, a.is_active)
    followed = select(w.symbol).where(w.user_id == user_id)
    sources = select(func.coalesce(r.source, "")).select_from(a).outerjoin(r, r.alert_id == a.id)
    query = select(c.symbol, c.interval, c.source, c.problem).where(
        c.problem.is_not(None),
        or_(c.symbol.in_(mine), c.symbol.in_(followed)),
        c.source.in_(sources.where(a.user_id == user_id)),
    )
    with working(uow) as work:
        found = work.session.execute(query)
        return {(symbol, interval, source): text or "" for symbol, interval, source, text in found}
