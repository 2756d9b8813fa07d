"""What each brokerage account was worth at the end of each New York trading day.

The trader keeps an account's latest equity in ``account_state``; here one value a day is kept of it. The reading that
the broker itself calls the last close, which comes with the next session, replaces one taken after the close.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Protocol

import structlog
from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from dashtrade.db.tables.portfolio import AccountEquityRow
from dashtrade.db.tables.trading import AccountRow
from dashtrade.db.unit_of_work import UnitOfWork
from dashtrade.domain.market import Session
from dashtrade.services.jobs import JobContext, job
from dashtrade.services.work import working

log = structlog.get_logger(__name__)

NEW_YORK = "SPY"
"""Any symbol of the New York calendar."""


class Sessions(Protocol):
    """Trading sessions by exchange; see dashtrade.data.sessions.ExchangeHours."""

    def session(self, symbol: str, at: datetime) -> Session | None: ...

    def sessions(self, symbol: str, start: datetime, end: datetime) -> list[Session]: ...


@dataclass(frozen=True, slots=True)
class EquityPoint:
    """An account's equity at the end of a trading day; deposits and withdrawals are in it."""

    day: date
    equity: Decimal
    cash: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """The trading day that a reading of an account tells about; ``official`` where it is the broker's own last
    close."""

    day: date
    equity: Decimal
    cash: Decimal | None
    official: bool


def reading_of(
    hours: Sessions, at: datetime, equity: Decimal | None, last_equity: Decimal | None, cash: Decimal | None
) -> Reading | None:
    """While New York trades, the last equity is the session before's close; at any other time the equity is that of
    the session that has ended. None where the broker has not said it."""
    running = hours.session(NEW_YORK, at)
    ended = [s for s in hours.sessions(NEW_YORK, at - timedelta(days=15), at) if s.closes <= at]
    if not ended:
        return None
    if running is not None:
        return None if last_equity is None else Reading(ended[-1].day, last_equity, None, official=True)
    return None if equity is None else Reading(ended[-1].day, equity, cash, official=False)


@job("record_equity", cron="9,39 * * * *", alone=True)
def record_equity(context: JobContext) -> int:
    """Twice an hour, from what the trader last read: a value a day for each account; returns how many were kept.

    An account that nobody read for days has no value for them, rather than one of another day.
    """
    from dashtrade.data.sessions import ExchangeHours

    hours, kept = ExchangeHours(), 0
    a = AccountRow
    columns = (a.id, a.user_id, a.refreshed_at, a.equity, a.last_equity, a.cash)
    with context.uow() as uow:
        for account_id, user_id, at, equity, last_equity, cash in uow.session.execute(select(*columns)).all():
            found = None if at is None else reading_of(hours, at, equity, last_equity, cash)
            if found is not None:
                kept += _keep(uow, account_id, user_id, found)
        uow.commit()
    if kept:
        log.info("Equity of accounts kept", count=kept)
    return kept


def equity_history(uow: UnitOfWork, user_id: int) -> dict[str, tuple[EquityPoint, ...]]:
    """The user's accounts by mode, each with its days, oldest first."""
    e, a = AccountEquityRow, AccountRow
    query = select(a.mode, e.day, e.equity, e.cash).join(a, (a.id == e.account_id) & (a.user_id == e.user_id))
    with working(uow) as work:
        rows: dict[str, list[EquityPoint]] = {}
        for mode, day, equity, cash in work.session.execute(query.where(e.user_id == user_id).order_by(e.day)):
            rows.setdefault(mode, []).append(EquityPoint(day, equity, cash))
    return {mode: tuple(points) for mode, points in rows.items()}


def _keep(uow: UnitOfWork, account_id: int, user_id: int, found: Reading) -> int:
    e = AccountEquityRow
    values = {"account_id": account_id, "user_id": user_id, "day": found.day, "equity": found.equity}
    query = insert(e).values(**values, cash=found.cash)
    if found.official:
        query = query.on_conflict_do_update(
            index_elements=["account_id", "day"], set_={"equity": found.equity}, where=e.equity != found.equity
        )
    else:
        query = query.on_conflict_do_nothing()
    return uow.session.scalar(query.returning(e.account_id)) is not None
