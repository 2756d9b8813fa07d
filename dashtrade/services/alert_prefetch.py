"""Bars that will be wanted are in the cache before the exchange opens."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import structlog
from sqlalchemy import select

from dashtrade.db.tables.accounts import PriceAlertRow, UserRow, WatchlistRow
from dashtrade.domain.alerts import Scope
from dashtrade.domain.market import HistoryRequest, Interval, Period, parse_interval
from dashtrade.errors import DashTradeError, InvalidInput
from dashtrade.services.alert_engine import FETCHERS, AlertContext, bars_in_order
from dashtrade.services.alert_picture import PERIODS
from dashtrade.services.alert_rules import as_rule, rules_query
from dashtrade.services.jobs import job
from dashtrade.services.source_order import all_source_orders
from dashtrade.services.watchlists import members

log = structlog.get_logger(__name__)

AHEAD = timedelta(minutes=30)  # as often as the job runs, so that each session's opening is met once
LONGEST = 20 * 60.0  # seconds; what is not there by then is fetched when somebody asks


@job("prefetch_bars", cron="*/30 * * * *", alone=True)
def prefetch_bars(context: AlertContext) -> int:
    """Half an hour before an exchange opens: the daily bars of its watched symbols and those its active rules look at.

    Returns how many were fetched. A symbol that fails is left to whoever asks for it.
    """
    from dashtrade.data.sessions import ExchangeHours

    now, hours = datetime.now(UTC), ExchangeHours()
    opening: dict[str, bool] = {}

    def opens_soon(symbol: str) -> bool:
        if symbol not in opening:
            opening[symbol] = not hours.is_open(symbol, now) and hours.next_open(symbol, now) - now <= AHEAD
        return opening[symbol]

    wanted = sorted(each for each in _wanted(context) if opens_soon(each[0]))
    if not wanted:
        return 0
    context.alert_market()  # built once, before threads ask for it
    until = time.monotonic() + LONGEST

    def fetch(each: tuple[str, str, str, str]) -> bool:
        symbol, interval, period, source = each
        if time.monotonic() > until:
            return False
        try:
            bars_in_order(context, HistoryRequest(symbol, Interval(interval), Period(period)), source)
        except DashTradeError as error:
            log.info("Bars were not fetched ahead", symbol=symbol, interval=interval, reason=str(error))
            return False
        return True

    with ThreadPoolExecutor(FETCHERS, thread_name_prefix="prefetch") as pool:
        count = sum(pool.map(fetch, wanted))
    log.info("Bars fetched ahead of the opening", wanted=len(wanted), fetched=count)
    return count


def _wanted(context: AlertContext) -> set[tuple[str, str, str, str]]:
    """Symbol, interval, period and source or order of what pages and rules will ask for."""
    found: set[tuple[str, str, str, str]] = set()
    with context.uow() as uow:
        orders = {user: ",".join(order) for user, order in all_source_orders(uow).items()}
        followed: dict[int, list[str]] = {}
        watched = select(WatchlistRow.user_id, WatchlistRow.symbol).join(UserRow, UserRow.id == WatchlistRow.user_id)
        for user, symbol in uow.session.execute(watched.where(UserRow.is_active)):
            followed.setdefault(user, []).append(symbol)
            found.add((symbol, Interval.D1.value, Period.Y1.value, orders.get(user, "")))
        named = members(uow)
        query = rules_query().join(UserRow, UserRow.id == PriceAlertRow.user_id)
        for row in uow.session.execute(query.where(PriceAlertRow.is_active, UserRow.is_active)):
            rule = as_rule(*row)
            try:
                interval = parse_interval(rule.interval)
            except InvalidInput:
                continue
            symbols: Sequence[str] = followed.get(rule.user_id, []) if rule.scope is Scope.WATCHLIST else [rule.symbol]
            if rule.list_id is not None:
                symbols = named.get(rule.list_id, ())
            for symbol in symbols:
                source = rule.source or orders.get(rule.user_id, "")
                found.add((symbol, interval.value, PERIODS[interval].value, source))
    return found
