"""Changing an alert rule, and what it would have told in the past."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
from sqlalchemy import update

from dashtrade.db.tables.accounts import PriceAlertRow
from dashtrade.db.tables.alerts import AlertRuleRow
from dashtrade.db.unit_of_work import UnitOfWork
from dashtrade.domain.alerts import INTERVALS, WATCHLIST, AlertRule, Frequency, NewAlert, Scope
from dashtrade.domain.market import HistoryRequest, Period, parse_interval, parse_symbol
from dashtrade.errors import BadBars, DashTradeError, InvalidInput, NoDataInRange, NotFound
from dashtrade.services.alert_conditions import BarsView, SignalCheck, check_of
from dashtrade.services.alert_rules import LONGEST_COOLDOWN, channels_of, get_alert
from dashtrade.services.watchlists import list_id_of
from dashtrade.services.work import working

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from dashtrade.services.market import MarketData

MOST_SYMBOLS = 20  # of a watchlist that are looked at for a preview
# Of a year of bars where sources have one; of the longest they give for short bars.
PERIODS = {"1m": Period.D5, "5m": Period.MO1, "15m": Period.MO1, "30m": Period.MO1, "1h": Period.Y1, "4h": Period.Y1}
WARM_UP = {"1d": Period.Y2, "1wk": Period.Y5}
YEAR = timedelta(days=365)


@dataclass(frozen=True, slots=True)
class Past:
    """What a rule would have told on one symbol's bars from ``first`` to ``last``. ``told`` are starts of bars, and
    ``closes`` the closes there; ``problem`` says why there is nothing."""

    symbol: str
    told: tuple[datetime, ...] = ()
    closes: tuple[float, ...] = ()
    first: datetime | None = None
    last: datetime | None = None
    close: float | None = None
    simulated: bool = False
    problem: str = ""


def check_alert(new: NewAlert) -> NewAlert:
    """The rule with its symbol and texts in their usual form; InvalidInput names the field and what is allowed."""
    check_of(new.kind, new.condition)
    if new.interval not in INTERVALS:
        raise InvalidInput("interval", f"{new.interval!r} is not offered for alerts.", allowed=INTERVALS)
    if new.frequency not in list(Frequency):
        raise InvalidInput("frequency", f"{new.frequency!r} is not known.", allowed=list(Frequency))
    if not timedelta(0) <= new.cooldown <= LONGEST_COOLDOWN:
        raise InvalidInput("cooldown", "must be between nothing and 30 days.")
    if new.expires_at is not None and (new.expires_at.tzinfo is None or new.expires_at <= datetime.now(UTC)):
        raise InvalidInput("expires_at", "must be a time in the future, with a zone.")
    if new.within and new.symbol is not None:
        raise InvalidInput("watch", "name a symbol or a list, not both.")
    symbol = None if new.symbol is None else parse_symbol(new.symbol)
    name = new.name.strip()[:120] if new.name and new.name.strip() else None
    return NewAlert(
        new.kind,
        new.condition.strip(),
        symbol,
        new.interval,
        new.frequency,
        new.cooldown,
        new.expires_at,
        name,
        new.source.strip()[:40],
        new.within,
        new.channels,
    )


def update_alert(uow: UnitOfWork, user_id: int, alert_id: int, new: NewAlert) -> AlertRule:
    """Changes a rule in place; its history stays. Only bars that close from now on can trigger what it is now."""
    new = check_alert(new)
    a, r = PriceAlertRow, AlertRuleRow
    with working(uow) as work:
        base = {"symbol": new.symbol or WATCHLIST, "alert_type": new.kind, "condition_text": new.condition}
        query = update(a).where(a.user_id == user_id, a.id == alert_id).values(**base)
        if work.session.scalar(query.returning(a.id)) is None:
            raise NotFound(f"There is no alert {alert_id}.")
        if work.session.get(r, alert_id) is None:
            work.session.add(r(alert_id=alert_id))
            work.session.flush()
        details: dict[str, Any] = {
            "name": new.name,
            "scope": (Scope.WATCHLIST if new.symbol is None else Scope.SYMBOL).value,
            "interval": new.interval,
            "source": new.source,
            "frequency": str(new.frequency),
            "cooldown_seconds": int(new.cooldown.total_seconds()),
            "expires_at": new.expires_at,
            "active_since": datetime.now(UTC),
            "list_id": list_id_of(work, user_id, new.within) if new.within else None,
            "channel_ids": channels_of(work, user_id, new.channels),
        }
        work.session.execute(update(r).where(r.alert_id == alert_id).values(**details))
        work.commit()
        work.session.expire_all()
        return get_alert(work, user_id, alert_id)


def past_alerts(
    market: MarketData,
    new: NewAlert,
    symbols: list[str],
    *,
    progress: Callable[[float, str], None] = lambda _share, _text: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> list[Past]:
    """What the rule would have told in the last year, by symbol, on closed bars alone.

    ``symbols`` are those to look at: the rule's own, or the watchlist. The frequency and the cooldown count, except
    that a rule which tells once is shown every time it would have been the first, as a rule made then.
    """
    new = check_alert(new)
    found: list[Past] = []
    listed = symbols[:MOST_SYMBOLS]
    for number, symbol in enumerate(listed):
        if cancelled():
            break
        progress(number / len(listed), f"Looking at {symbol}")
        try:
            found.append(_past_of(market, new, symbol, cancelled))
        except DashTradeError as error:
            if len(listed) == 1:
                raise
            found.append(Past(symbol, problem=str(error)))
    return found


def _past_of(market: MarketData, new: NewAlert, symbol: str, cancelled: Callable[[], bool]) -> Past:
    from dashtrade.services.alert_engine import closed

    interval = parse_interval(new.interval)
    period = WARM_UP.get(new.interval) or PERIODS.get(new.interval, Period.Y1)
    bars = closed(market.history(HistoryRequest(symbol, interval, period), new.source or None))
    if not len(bars):
        raise NoDataInRange(str(bars.attrs.get("source", "")), f"There are no closed {new.interval} bars of {symbol}.")
    end = bars.index[-1].to_pydatetime()
    begin = int(bars.index.searchsorted(end - YEAR))
    flags = _flags(bars, new, begin, cancelled)
    at = told_at(bars.index, flags, begin, new)
    closes = bars["close"].to_numpy()
    return Past(
        symbol,
        tuple(bars.index[n].to_pydatetime() for n in at),
        tuple(float(closes[n]) for n in at),
        bars.index[begin].to_pydatetime(),
        end,
        float(closes[-1]),
        bool(bars.attrs.get("simulated", False)),
    )


def told_at(index: pd.Index, flags: NDArray[np.bool_], begin: int, new: NewAlert) -> list[int]:
    """Numbers of the bars from ``begin`` on at whose close the rule tells. Pure."""
    starts_only = new.frequency != Frequency.BAR
    told: list[int] = []
    for at in (np.flatnonzero(flags[begin:]) + begin).tolist():
        if starts_only and at > 0 and flags[at - 1]:
            continue
        if told and new.cooldown and index[at] - index[told[-1]] < new.cooldown:
            continue
        told.append(at)
    return told


def _flags(bars: pd.DataFrame, new: NewAlert, begin: int, cancelled: Callable[[], bool]) -> NDArray[np.bool_]:
    check = check_of(new.kind, new.condition)
    if not isinstance(check, SignalCheck):
        return BarsView(bars).flags(check)
    # the engine looks for a change of signal on the newest bars alone; here each bar of the year is worked out
    flags = np.zeros(len(bars), dtype=bool)
    before = _action(bars, begin - 1)
    for at in range(begin, len(bars)):
        if cancelled():
            break
        now = _action(bars, at)
        flags[at] = now is not None and before is not None and now != before and check.action in (None, now)
        before = now
    return flags


def _action(bars: pd.DataFrame, at: int) -> str | None:
    from dashtrade.analysis import signal

    if at < 0:
        return None
    try:
        return signal(bars.iloc[: at + 1]).action.value
    except BadBars:
        return None
