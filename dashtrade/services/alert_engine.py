"""Evaluates alert rules on closed bars: each symbol's bars are fetched and computed once for all rules that watch them.

How far the bars of a symbol were looked at is kept in the database and moves on in the transaction that writes what
they triggered. So a worker that dies has done nothing, another does it again, and no bar is left out or counted twice;
a unique constraint on rule, symbol and bar holds even then. After a time without a worker every missed bar is looked
at, but a rule tells once, with the number of times it would have told.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote

import structlog
from sqlalchemy import ColumnElement, func, or_, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert

from dashtrade.db.tables.accounts import PriceAlertRow, UserRow, WatchlistRow
from dashtrade.db.tables.alerts import AlertCursorRow, AlertEventRow, AlertRuleRow
from dashtrade.db.unit_of_work import UnitOfWork
from dashtrade.domain.alerts import WATCHLIST, AlertEvent, AlertRule, Frequency, Scope
from dashtrade.domain.market import HistoryRequest, parse_interval
from dashtrade.errors import DashTradeError
from dashtrade.services.alert_conditions import BarsView
from dashtrade.services.alert_firings import CATCH_UP, Firing, Group, find_firings
from dashtrade.services.alert_picture import PERIODS
from dashtrade.services.alert_rules import as_event, as_rule, rules_query
from dashtrade.services.jobs import job
from dashtrade.services.notifications import notify
from dashtrade.services.source_order import all_source_orders
from dashtrade.services.watchlists import members

if TYPE_CHECKING:
    import pandas as pd

    from dashtrade.services.market import MarketData

log = structlog.get_logger(__name__)

IDLE = timedelta(minutes=10)  # how often bars are looked at while their exchange is closed, or on daily bars
FETCHERS = 4
TOGETHER = 25  # groups that are evaluated and written in one transaction


class AlertContext(Protocol):
    """What the engine works with; ``bootstrap.Runtime`` is one."""

    def uow(self) -> UnitOfWork: ...

    def alert_market(self, order: tuple[str, ...] | None = None) -> MarketData: ...


@job("evaluate_alerts", cron="* * * * * 2,22,42", alone=True)
def evaluate_alerts(context: AlertContext) -> int:
    """Two seconds after each minute, when bars have closed, and twice more for sources that are late with theirs: all
    users' rules; returns how many told. Bars that cannot be new are not asked for."""
    return len(run_pass(context))


def run_pass(context: AlertContext, user_id: int | None = None) -> list[AlertEvent]:
    """Looks at all bars that may be new; with ``user_id`` at those this user's rules watch, for all rules on them."""
    now = datetime.now(UTC)
    groups = _groups(context, now, user_id)
    events: list[AlertEvent] = []
    fetched = _fetched(context, groups)
    while batch := list(islice(fetched, TOGETHER)):
        events += _evaluate(context, groups, batch, now)
    if events:
        log.info("Alerts told", count=len(events))
    return events if user_id is None else [event for event in events if event.user_id == user_id]


def _groups(context: AlertContext, now: datetime, user_id: int | None) -> dict[Group, list[AlertRule]]:
    """Rules by what they watch, without the bars that cannot be new yet."""
    a, r = PriceAlertRow, AlertRuleRow
    query = rules_query().join(UserRow, UserRow.id == a.user_id).where(a.is_active, UserRow.is_active)
    query = query.where(or_(r.expires_at.is_(None), r.expires_at > now - CATCH_UP))
    found: dict[Group, list[AlertRule]] = defaultdict(list)
    with context.uow() as uow:
        rules = [as_rule(*row) for row in uow.session.execute(query)]
        followed: dict[int, list[str]] = defaultdict(list)
        named = members(uow) if any(rule.list_id is not None for rule in rules) else {}
        if any(rule.scope is Scope.WATCHLIST for rule in rules):
            for owner, symbol in uow.session.execute(select(WatchlistRow.user_id, WatchlistRow.symbol)):
                followed[owner].append(symbol)
        orders = {user: ",".join(order) for user, order in all_source_orders(uow).items()}
        for rule in rules:
            interval = parse_interval(rule.interval)
            symbols: Sequence[str] = followed[rule.user_id] if rule.scope is Scope.WATCHLIST else (rule.symbol,)
            if rule.list_id is not None:
                symbols = named.get(rule.list_id, ())
            for symbol in symbols:
                found[Group(symbol, interval, rule.source or orders.get(rule.user_id, ""))].append(rule)
        if user_id is not None:
            found = {g: rules for g, rules in found.items() if any(rule.user_id == user_id for rule in rules)}
        cursors = {(c.symbol, c.interval, c.source): c for c in uow.session.scalars(select(AlertCursorRow))}
        new = [{"symbol": g.symbol, "interval": g.interval.value, "source": g.source} for g in found]
        new = [key for key in new if tuple(key.values()) not in cursors]
        if new:  # committed before the work begins, so that no other worker waits for it
            uow.session.execute(insert(AlertCursorRow).on_conflict_do_nothing(), new)
            uow.commit()
    return {g: rules for g, rules in found.items() if _due(g, cursors.get((g.symbol, g.interval.value, g.source)), now)}


def _due(group: Group, cursor: AlertCursorRow | None, now: datetime) -> bool:
    """Whether a bar may have closed since the last look."""
    if cursor is None or cursor.checked_at is None or now - cursor.checked_at >= IDLE:
        return True
    if cursor.bar_time is None or not group.interval.intraday:
        return cursor.bar_time is None
    if now < cursor.bar_time + 2 * group.interval.length:
        return False
    from dashtrade.data.sessions import ExchangeHours

    hours = ExchangeHours()
    return hours.is_open(group.symbol, now) or hours.is_open(group.symbol, now - 2 * IDLE)


def _fetched(context: AlertContext, groups: Iterable[Group]) -> Iterator[tuple[Group, pd.DataFrame | DashTradeError]]:
    """Each group with its closed bars, or with the error in their place, so that one symbol cannot stop the others."""

    def fetch(group: Group) -> tuple[Group, pd.DataFrame | DashTradeError]:
        try:
            request = HistoryRequest(group.symbol, group.interval, PERIODS[group.interval])
            return group, closed(bars_in_order(context, request, group.source))
        except DashTradeError as error:
            return group, error

    listed = list(groups)
    if not listed:
        return
    context.alert_market()  # built once, before threads ask for it
    with ThreadPoolExecutor(FETCHERS, thread_name_prefix="alerts") as pool:
        for first in range(0, len(listed), 50):  # so that only some frames are in memory at once
            yield from pool.map(fetch, listed[first : first + 50])


def bars_in_order(context: AlertContext, request: HistoryRequest, source: str) -> pd.DataFrame:
    """Bars for alerts from one source, from several in this order (with commas), or in the installation's order."""
    if "," in source:
        return context.alert_market(tuple(source.split(","))).history(request)
    return context.alert_market().history(request, source or None)


def closed(bars: pd.DataFrame) -> pd.DataFrame:
    """The bars without the one that still forms."""
    return bars if bars.attrs.get("last_bar_closed", True) else bars.iloc[:-1]


def _evaluate(
    context: AlertContext,
    groups: Mapping[Group, list[AlertRule]],
    batch: Sequence[tuple[Group, pd.DataFrame | DashTradeError]],
    now: datetime,
) -> list[AlertEvent]:
    """Evaluates some groups and writes what they triggered in one transaction, all of it or nothing."""
    with context.uow() as uow:
        since = _taken(uow, [group for group, _ in batch])
        found: list[tuple[Group, BarsView, Firing]] = []
        broken: list[tuple[AlertRule, DashTradeError]] = []
        looked: dict[tuple[datetime | None, str | None], list[Group]] = defaultdict(list)
        for group, bars in batch:
            if group not in since:  # another worker is at it
                continue
            if isinstance(bars, DashTradeError):
                looked[since[group], str(bars)[:500]].append(group)
                log.warning(
                    "Bars for alerts cannot be read", symbol=group.symbol, interval=group.interval, reason=str(bars)
                )
                continue
            newest = bars.index[-1].to_pydatetime() if len(bars) else None
            begin = since[group]
            if newest is None or (begin is not None and newest <= begin):
                looked[begin, None].append(group)
                continue
            looked[newest, None].append(group)
            view = BarsView(bars)
            told = _last_told(uow, group, groups[group])
            firings, failed = find_firings(view, group, groups[group], begin, told, now)
            found += [(group, view, firing) for firing in firings]
            broken += failed
        events = _write(uow, found, broken)
        for (bar_time, problem), these in looked.items():
            values = {"checked_at": now, "bar_time": bar_time, "problem": problem}
            uow.session.execute(update(AlertCursorRow).where(_cursors_of(these)).values(values))
        uow.commit()
        return events


def _cursors_of(groups: Sequence[Group]) -> ColumnElement[bool]:
    c = AlertCursorRow
    return tuple_(c.symbol, c.interval, c.source).in_([(g.symbol, g.interval.value, g.source) for g in groups])


def _taken(uow: UnitOfWork, groups: Sequence[Group]) -> dict[Group, datetime | None]:
    """Locks the cursors that no other worker holds; up to which bar each was evaluated."""
    c = AlertCursorRow
    query = select(c.symbol, c.interval, c.source, c.bar_time).where(_cursors_of(groups))
    rows = uow.session.execute(query.with_for_update(skip_locked=True)).tuples().all()
    return {Group(symbol, parse_interval(interval), source): at for symbol, interval, source, at in rows}


def _write(
    uow: UnitOfWork,
    found: Sequence[tuple[Group, BarsView, Firing]],
    broken: Sequence[tuple[AlertRule, DashTradeError]],
) -> list[AlertEvent]:
    """Events and messages. Alerts are locked in the order of their numbers, and the queue of messages last, so that two
    workers never wait for each other in a circle."""
    off = [pair for pair in sorted(broken, key=lambda pair: pair[0].id) if _switch_off(uow, pair[0])]
    in_order = sorted(found, key=lambda each: (each[2].rule.id, each[0].symbol))
    told = [(firing.rule, row) for g, view, firing in in_order if (row := _tell(uow, g, view, firing)) is not None]
    for rule, row in told:
        _notify(uow, rule, row)
    for rule, error in off:
        title = f"The alert {rule.label} was switched off"
        notify(
            uow,
            rule.user_id,
            "system",
            title,
            f"It cannot be evaluated: {error}",
            link="alerts",
            channels=rule.channels,
        )
    return [as_event(row) for _, row in told]


def _last_told(uow: UnitOfWork, group: Group, rules: list[AlertRule]) -> dict[int, datetime]:
    """The newest bar each rule with a cooldown has told about on this symbol."""
    waiting = [rule.id for rule in rules if rule.cooldown]
    if not waiting:
        return {}
    e = AlertEventRow
    query = select(e.alert_id, func.max(e.bar_time)).where(e.alert_id.in_(waiting), e.symbol == group.symbol)
    return dict(uow.session.execute(query.group_by(e.alert_id)).tuples().all())


def _tell(uow: UnitOfWork, group: Group, view: BarsView, firing: Firing) -> AlertEventRow | None:
    """Writes the event; None when the rule was removed, switched off, or has told already."""
    rule, bars = firing.rule, view.bars
    a = PriceAlertRow
    values: dict[str, Any] = {"triggered_at": datetime.now(UTC)}
    if rule.frequency is Frequency.ONCE:
        values["is_active"] = False
    still = update(a).where(a.id == rule.id, a.user_id == rule.user_id, a.is_active).values(**values)
    if uow.session.scalar(still.returning(a.id)) is None:
        return None
    return _event(
        uow,
        rule,
        symbol=group.symbol,
        bar_time=bars.index[firing.at].to_pydatetime(),
        detail=f"Told at the close of the {group.interval} bar.",
        values=view.values(firing.check, firing.at),
        missed=firing.missed,
        simulated=bool(bars.attrs.get("simulated", False)),
    )


def write_event(uow: UnitOfWork, rule: AlertRule, **columns: Any) -> AlertEvent | None:
    """The event and its message, in the caller's transaction; None where this bar has been told about.

    ``columns`` are symbol, bar_time, detail and values, and perhaps missed and simulated.
    """
    row = _event(uow, rule, **columns)
    if row is None:
        return None
    _notify(uow, rule, row)
    return as_event(row)


def _event(
    uow: UnitOfWork,
    rule: AlertRule,
    *,
    symbol: str,
    bar_time: datetime,
    detail: str,
    values: dict[str, Any],
    missed: int = 0,
    simulated: bool = False,
) -> AlertEventRow | None:
    e = AlertEventRow
    row = {
        "user_id": rule.user_id,
        "alert_id": rule.id,
        "symbol": symbol,
        "interval": rule.interval,
        "bar_time": bar_time,
        "condition_text": rule.label,
        "detail": detail,
        "values": values,
        "missed": missed,
        "simulated": simulated,
    }
    return uow.session.scalar(insert(e).values(row).on_conflict_do_nothing().returning(e))


def _notify(uow: UnitOfWork, rule: AlertRule, event: AlertEventRow) -> None:
    symbol = event.symbol
    link = None if symbol == WATCHLIST else f"analysis?symbol={quote(symbol)}&interval={rule.interval}"
    title = f"{symbol}: {rule.label}"
    notify(uow, rule.user_id, "alert", title, _text(event), link=link, alert_event_id=event.id, channels=rule.channels)


def _text(event: AlertEventRow) -> str:
    numbers = [f"{name} {value:,.4g}" if abs(value) < 1 else f"{name} {value:,.2f}"
               for name, value in event.values.items() if isinstance(value, float)]  # fmt: skip
    words = [f"{name} {value}" for name, value in event.values.items() if isinstance(value, str) and value]
    lines = [", ".join(numbers + words), f"{event.interval} bar of {event.bar_time:%Y-%m-%d %H:%M} UTC."]
    if event.detail:
        lines.append(event.detail)
    if event.missed:
        lines.append(f"It would have told {event.missed} times more since the last look.")
    if event.simulated:
        lines.append("SIMULATED prices.")
    return "\n".join(line for line in lines if line)


def _switch_off(uow: UnitOfWork, rule: AlertRule) -> bool:
    """A rule that cannot be evaluated is switched off and its owner told, instead of failing every minute."""
    a = PriceAlertRow
    off = update(a).where(a.id == rule.id, a.is_active).values(is_active=False)
    return uow.session.scalar(off.returning(a.id)) is not None


def trigger(uow: UnitOfWork, user_id: int | None, alert_id: int) -> AlertEvent | None:
    """Tells once by hand, as a test of the whole way; the rule stays as it is. Commits."""
    from dashtrade.errors import NotFound

    a = PriceAlertRow
    query = rules_query().where(a.id == alert_id)
    row = uow.session.execute(query if user_id is None else query.where(a.user_id == user_id)).one_or_none()
    if row is None:
        raise NotFound(f"There is no alert {alert_id}.")
    rule = as_rule(*row)
    now = datetime.now(UTC)
    event = write_event(uow, rule, symbol=rule.symbol, bar_time=now, detail="Told by hand, as a test.", values={})
    uow.session.execute(update(a).where(a.id == alert_id).values(triggered_at=now))
    uow.commit()
    return event
