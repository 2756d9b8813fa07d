"""Evaluates alert rules on closed bars: each symbol's bars are fetched and computed once for all rules that watch them.

How far the bars of a symbol were looked at is kept in the database and moves on in the transaction that writes what
they triggered. So a worker that dies has done nothing, another does it again, and no bar is left out or counted twice;
a unique constraint on rule, symbol and bar holds even then. After a time without a worker every missed bar is looked
at, but a rule tells once, with the number of times it would have told.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol

import structlog
from sqlalchemy import func, or_, select, update
from sqlalchemy.dialects.postgresql import insert

from dashtrade.db.tables.accounts import PriceAlertRow, UserRow, WatchlistRow
from dashtrade.db.tables.alerts import AlertCursorRow, AlertEventRow, AlertRuleRow
from dashtrade.db.unit_of_work import UnitOfWork
from dashtrade.domain.alerts import AlertEvent, AlertRule, Frequency, Scope
from dashtrade.domain.market import HistoryRequest, Interval, parse_interval
from dashtrade.errors import DashTradeError
from dashtrade.services.alert_conditions import BarsView, Check, check_of
from dashtrade.services.alert_picture import PERIODS
from dashtrade.services.alert_rules import as_event, as_rule, rules_query
from dashtrade.services.jobs import job
from dashtrade.services.notifications import notify
from dashtrade.services.source_order import all_source_orders

if TYPE_CHECKING:
    import pandas as pd

    from dashtrade.services.market import MarketData

log = structlog.get_logger(__name__)

CATCH_UP = timedelta(days=7)  # bars that closed longer ago are not told about any more
IDLE = timedelta(minutes=10)  # how often bars are looked at while their exchange is closed, or on daily bars
FETCHERS = 4


class AlertContext(Protocol):
    """What the engine works with; ``bootstrap.Runtime`` is one."""

    def uow(self) -> UnitOfWork: ...

    def alert_market(self, order: tuple[str, ...] | None = None) -> MarketData: ...


@dataclass(frozen=True, slots=True)
class Group:
    """The bars that some rules watch together; ``source`` is one source, or a user's order of several with commas, or
    empty for the installation's own order."""

    symbol: str
    interval: Interval
    source: str


@dataclass(frozen=True, slots=True)
class Firing:
    """A rule is met at the close of bar number ``at``, and was on ``missed`` earlier bars of the same look."""

    rule: AlertRule
    check: Check
    at: int
    missed: int


@job("evaluate_alerts", cron="* * * * *", alone=True)
def evaluate_alerts(context: AlertContext) -> int:
    """Every minute: all users' rules; returns how many told."""
    return len(run_pass(context))


def run_pass(context: AlertContext, user_id: int | None = None) -> list[AlertEvent]:
    """Looks at all bars that may be new; with ``user_id`` at those this user's rules watch, for all rules on them."""
    now = datetime.now(UTC)
    groups = _groups(context, now, user_id)
    events: list[AlertEvent] = []
    for group, bars in _fetched(context, groups):
        events += _evaluate(context, group, groups[group], bars, now)
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
        if any(rule.scope is Scope.WATCHLIST for rule in rules):
            for owner, symbol in uow.session.execute(select(WatchlistRow.user_id, WatchlistRow.symbol)):
                followed[owner].append(symbol)
        orders = {user: ",".join(order) for user, order in all_source_orders(uow).items()}
        for rule in rules:
            interval = parse_interval(rule.interval)
            for symbol in followed[rule.user_id] if rule.scope is Scope.WATCHLIST else (rule.symbol,):
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
    context: AlertContext, group: Group, rules: list[AlertRule], bars: pd.DataFrame | DashTradeError, now: datetime
) -> list[AlertEvent]:
    c = AlertCursorRow
    key = {"symbol": group.symbol, "interval": group.interval.value, "source": group.source}
    with context.uow() as uow:
        cursor = uow.session.scalar(select(c).filter_by(**key).with_for_update(skip_locked=True))
        if cursor is None:  # another worker is at it
            return []
        cursor.checked_at = now
        if isinstance(bars, DashTradeError):
            cursor.problem = str(bars)[:500]
            uow.commit()
            log.warning(
                "Bars for alerts cannot be read", symbol=group.symbol, interval=group.interval, reason=str(bars)
            )
            return []
        cursor.problem = None
        events: list[AlertEvent] = []
        newest = bars.index[-1].to_pydatetime() if len(bars) else None
        if newest is not None and (cursor.bar_time is None or newest > cursor.bar_time):
            view = BarsView(bars)
            told = _last_told(uow, group, rules)
            firings, broken = find_firings(view, group, rules, cursor.bar_time, told, now)
            events = [event for firing in firings if (event := _tell(uow, group, view, firing)) is not None]
            for rule, error in broken:
                _switch_off(uow, rule, error)
            cursor.bar_time = newest
        uow.commit()
        return events


def _last_told(uow: UnitOfWork, group: Group, rules: list[AlertRule]) -> dict[int, datetime]:
    """The newest bar each rule with a cooldown has told about on this symbol."""
    waiting = [rule.id for rule in rules if rule.cooldown]
    if not waiting:
        return {}
    e = AlertEventRow
    query = select(e.alert_id, func.max(e.bar_time)).where(e.alert_id.in_(waiting), e.symbol == group.symbol)
    return dict(uow.session.execute(query.group_by(e.alert_id)).tuples().all())


def find_firings(
    view: BarsView,
    group: Group,
    rules: list[AlertRule],
    since: datetime | None,
    told: dict[int, datetime],
    now: datetime,
) -> tuple[list[Firing], list[tuple[AlertRule, DashTradeError]]]:
    """Which rules are met on the bars after ``since``, and which cannot be evaluated at all. Pure.

    ``told`` gives the bar each rule with a cooldown told about last. A bar counts for a rule when it closed after the
    rule was switched on and not after it expired.
    """
    index = view.bars.index
    oldest = now - CATCH_UP - 2 * group.interval.length  # times are those of a bar's start
    begin = max(since, oldest) if since is not None else oldest
    first = int(index.searchsorted(begin, side="right"))
    found: list[Firing] = []
    broken: list[tuple[AlertRule, DashTradeError]] = []
    for rule in rules:
        try:
            check = check_of(rule.kind, rule.condition)
            flags = view.flags(check)
        except DashTradeError as error:
            broken.append((rule, error))
            continue
        hits = (at for at in range(first, view.size) if flags[at])
        if rule.frequency is Frequency.EVERY:
            hits = (at for at in hits if at > 0 and not flags[at - 1])
        at, count = _chosen(rule, group, index, hits, told.get(rule.id))
        if at is not None:
            found.append(Firing(rule, check, at, count - 1))
    return found, broken


def _chosen(
    rule: AlertRule, group: Group, index: pd.Index, hits: Iterable[int], last: datetime | None
) -> tuple[int | None, int]:
    """The bar to tell about (the first for ``once``, else the last), and on how many bars the rule would have told."""
    from dashtrade.data.pipeline import is_closed

    chosen, count = None, 0
    for at in hits:
        label = index[at]
        start = label.to_pydatetime()
        if is_closed(label, group.symbol, group.interval, rule.active_since):
            continue
        if rule.expires_at is not None and not is_closed(label, group.symbol, group.interval, rule.expires_at):
            break
        if last is not None and rule.cooldown and start - last < rule.cooldown:
            continue
        chosen, count, last = at, count + 1, start
        if rule.frequency is Frequency.ONCE:
            break
    return chosen, count


def _tell(uow: UnitOfWork, group: Group, view: BarsView, firing: Firing) -> AlertEvent | None:
    """Writes the event with its message; None when the rule was removed, switched off, or has told already."""
    rule, bars = firing.rule, view.bars
    a = PriceAlertRow
    values: dict[str, Any] = {"triggered_at": datetime.now(UTC)}
    if rule.frequency is Frequency.ONCE:
        values["is_active"] = False
    still = update(a).where(a.id == rule.id, a.user_id == rule.user_id, a.is_active).values(**values)
    if uow.session.scalar(still.returning(a.id)) is None:
        return None
    return write_event(
        uow,
        rule,
        symbol=group.symbol,
        bar_time=bars.index[firing.at].to_pydatetime(),
        detail=f"Told at the close of the {group.interval} bar.",
        values=view.values(firing.check, firing.at),
        missed=firing.missed,
        simulated=bool(bars.attrs.get("simulated", False)),
    )


def write_event(
    uow: UnitOfWork,
    rule: AlertRule,
    *,
    symbol: str,
    bar_time: datetime,
    detail: str,
    values: dict[str, Any],
    missed: int = 0,
    simulated: bool = False,
) -> AlertEvent | None:
    """The event and its message, in the caller's transaction; None where this bar has been told about."""
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
    event = uow.session.scalar(insert(e).values(row).on_conflict_do_nothing().returning(e))
    if event is None:
        return None
    link = None if symbol == "WATCHLIST" else f"analysis?symbol={symbol}&interval={rule.interval}"
    notify(uow, rule.user_id, "alert", f"{symbol}: {rule.label}", _text(event), link=link, alert_event_id=event.id)
    return as_event(event)


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


def _switch_off(uow: UnitOfWork, rule: AlertRule, error: DashTradeError) -> None:
    """A rule that cannot be evaluated is switched off and its owner told, instead of failing every minute."""
    a = PriceAlertRow
    off = update(a).where(a.id == rule.id, a.is_active).values(is_active=False)
    if uow.session.scalar(off.returning(a.id)) is not None:
        title = f"The alert {rule.label} was switched off"
        notify(uow, rule.user_id, "system", title, f"It cannot be evaluated: {error}", link="alerts")


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
