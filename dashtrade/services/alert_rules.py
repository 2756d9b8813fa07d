"""A user's alert rules: add, list, switch, remove, and what they triggered."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from sqlalchemy import Select, delete, func, select, update

from dashtrade.db.tables.accounts import PriceAlertRow, UserRow
from dashtrade.db.tables.alerts import AlertEventRow, AlertRuleRow, NotificationChannelRow
from dashtrade.db.tables.portfolio import WatchlistNameRow
from dashtrade.db.unit_of_work import UnitOfWork
from dashtrade.domain.alerts import INTERVALS, WATCHLIST, AlertEvent, AlertRule, Frequency, NewAlert, Scope
from dashtrade.domain.market import parse_symbol
from dashtrade.errors import InvalidInput, NotFound
from dashtrade.services.alert_conditions import check_of
from dashtrade.services.watchlists import list_id_of
from dashtrade.services.work import working

MOST = 500
LONGEST_COOLDOWN = timedelta(days=30)


def add_alert(uow: UnitOfWork, user_id: int, new: NewAlert) -> AlertRule:
    """Keeps a rule; only bars that close from now on can trigger it. InvalidInput names the field."""
    check_of(new.kind, new.condition)
    if new.interval not in INTERVALS:
        raise InvalidInput("interval", f"{new.interval!r} is not offered for alerts.", allowed=INTERVALS)
    if new.frequency not in list(Frequency):
        raise InvalidInput("frequency", f"{new.frequency!r} is not known.", allowed=list(Frequency))
    if not timedelta(0) <= new.cooldown <= LONGEST_COOLDOWN:
        raise InvalidInput("cooldown", "must be between nothing and 30 days.")
    now = datetime.now(UTC)
    if new.expires_at is not None and (new.expires_at.tzinfo is None or new.expires_at <= now):
        raise InvalidInput("expires_at", "must be a time in the future, with a zone.")
    if new.within and new.symbol is not None:
        raise InvalidInput("watch", "name a symbol or a list, not both.")
    scope = Scope.WATCHLIST if new.symbol is None else Scope.SYMBOL
    symbol = WATCHLIST if new.symbol is None else parse_symbol(new.symbol)
    with working(uow) as work:
        # the user's row is locked, so that two pages cannot both add the last rule that is allowed
        work.session.execute(select(UserRow.id).where(UserRow.id == user_id).with_for_update(key_share=True))
        count = work.session.scalar(select(func.count()).where(PriceAlertRow.user_id == user_id)) or 0
        if count >= MOST:
            raise InvalidInput("alert", f"there are {MOST} rules already; remove one first.")
        row = PriceAlertRow(
            user_id=user_id, symbol=symbol, alert_type=new.kind, condition_text=new.condition.strip(), created_at=now
        )
        work.session.add(row)
        work.session.flush()
        work.session.add(
            AlertRuleRow(
                alert_id=row.id,
                name=new.name and new.name.strip()[:120],
                scope=scope.value,
                interval=new.interval,
                source=new.source.strip()[:40],
                frequency=new.frequency,
                cooldown_seconds=int(new.cooldown.total_seconds()),
                expires_at=new.expires_at,
                active_since=now,
                list_id=list_id_of(work, user_id, new.within) if new.within else None,
                channel_ids=channels_of(work, user_id, new.channels),
            )
        )
        work.commit()
        return get_alert(work, user_id, row.id)


def channels_of(work: UnitOfWork, user_id: int, wanted: Sequence[int] | None) -> list[int] | None:
    """The numbers in their order, each once; InvalidInput where one is no channel of this user."""
    if wanted is None:
        return None
    c = NotificationChannelRow
    known = set(work.session.scalars(select(c.id).where(c.user_id == user_id)))
    if not known.issuperset(wanted):
        raise InvalidInput("channels", "one of them is gone; choose again.")
    return sorted(set(wanted))


def rules_query() -> Select[PriceAlertRow, AlertRuleRow, str | None]:
    """Alerts with their details and their list's name; an alert without details has the defaults."""
    a, r, n = PriceAlertRow, AlertRuleRow, WatchlistNameRow
    query = select(a, r, n.name).outerjoin(r, r.alert_id == a.id)
    return query.outerjoin(n, (n.id == r.list_id) & (n.user_id == a.user_id))


def as_rule(alert: PriceAlertRow, details: AlertRuleRow | None, within: str | None = None) -> AlertRule:
    own = (alert.id, alert.user_id, alert.symbol, alert.alert_type, alert.condition_text, alert.is_active)
    times = (alert.triggered_at, alert.created_at)
    if details is None:
        return AlertRule(*own, *times, active_since=alert.created_at)
    return AlertRule(
        *own,
        *times,
        active_since=details.active_since,
        name=details.name,
        scope=Scope(details.scope),
        interval=details.interval,
        source=details.source,
        frequency=Frequency(details.frequency),
        cooldown=timedelta(seconds=details.cooldown_seconds),
        expires_at=details.expires_at,
        within=within or "",
        list_id=details.list_id,
        channels=None if details.channel_ids is None else tuple(details.channel_ids),
    )


def list_alerts(uow: UnitOfWork, user_id: int) -> list[AlertRule]:
    """Newest first."""
    query = rules_query().where(PriceAlertRow.user_id == user_id).order_by(PriceAlertRow.id.desc())
    with working(uow) as work:
        return [as_rule(*row) for row in work.session.execute(query)]


def get_alert(uow: UnitOfWork, user_id: int, alert_id: int) -> AlertRule:
    """NotFound for a rule that is missing or another user's."""
    query = rules_query().where(PriceAlertRow.user_id == user_id, PriceAlertRow.id == alert_id)
    with working(uow) as work:
        row = work.session.execute(query).one_or_none()
    if row is None:
        raise NotFound(f"There is no alert {alert_id}.")
    return as_rule(*row)


def set_alert_active(uow: UnitOfWork, user_id: int, alert_id: int, active: bool) -> AlertRule:
    """Switches a rule; what happened while it was off does not trigger it."""
    a, r = PriceAlertRow, AlertRuleRow
    with working(uow) as work:
        query = update(a).where(a.user_id == user_id, a.id == alert_id).values(is_active=active)
        if work.session.scalar(query.returning(a.id)) is None:
            raise NotFound(f"There is no alert {alert_id}.")
        if active:
            if work.session.get(r, alert_id) is None:
                work.session.add(r(alert_id=alert_id))
                work.session.flush()
            work.session.execute(update(r).where(r.alert_id == alert_id).values(active_since=datetime.now(UTC)))
        work.commit()
        work.session.expire_all()
        return get_alert(work, user_id, alert_id)


def remove_alert(uow: UnitOfWork, user_id: int, alert_id: int) -> None:
    """Removes the rule and its history."""
    a = PriceAlertRow
    with working(uow) as work:
        query = delete(a).where(a.user_id == user_id, a.id == alert_id)
        if work.session.scalar(query.returning(a.id)) is None:
            raise NotFound(f"There is no alert {alert_id}.")
        work.commit()


def list_events(uow: UnitOfWork, user_id: int, *, alert_id: int | None = None, limit: int = 100) -> list[AlertEvent]:
    """What was triggered, newest first."""
    e = AlertEventRow
    query = select(e).where(e.user_id == user_id)
    if alert_id is not None:
        query = query.where(e.alert_id == alert_id)
    with working(uow) as work:
        rows = work.session.scalars(query.order_by(e.id.desc()).limit(max(1, min(limit, 1000))))
        return [as_event(row) for row in rows]


def as_event(row: AlertEventRow) -> AlertEvent:
    times = (row.bar_time, row.triggered_at)
    return AlertEvent(
        *(row.id, row.user_id, row.alert_id, row.symbol, row.interval, *times, row.condition_text, row.detail),
        dict(row.values),
        row.missed,
        row.simulated,
    )
