"""When the simulated market is open: always, or in the exchange's sessions with half days and holidays."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING, Protocol
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    from exchange_calendars import ExchangeCalendar

NEW_YORK = ZoneInfo("America/New_York")
AFTER_HOURS = timedelta(hours=4)


class Phase(StrEnum):
    REGULAR = "regular"
    EXTENDED = "extended"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Session:
    """One trading day; times are UTC."""

    day: date
    open: datetime
    close: datetime


class Hours(Protocol):
    def phase(self, now: datetime) -> Phase: ...

    def next_open(self, now: datetime) -> datetime: ...

    def next_close(self, now: datetime) -> datetime: ...

    def day_ends(self, now: datetime, *, extended: bool = False) -> datetime:
        """When a day order placed now expires; ``extended`` ones live on after the close."""

    def sessions(self, start: date, end: date) -> list[Session]: ...

    def day_starts(self, now: datetime) -> datetime:
        """The close of the previous trading day, where ``last_equity`` is taken."""


class AlwaysOpen:
    """Open around the clock; a trading day is New York's calendar day, so that day orders still end."""

    def phase(self, now: datetime) -> Phase:
        return Phase.REGULAR

    def next_open(self, now: datetime) -> datetime:
        return _midnight(now.astimezone(NEW_YORK).date() + timedelta(days=1))

    def next_close(self, now: datetime) -> datetime:
        return self.next_open(now)

    def day_ends(self, now: datetime, *, extended: bool = False) -> datetime:
        return self.next_open(now)

    def day_starts(self, now: datetime) -> datetime:
        return _midnight(now.astimezone(NEW_YORK).date())

    def sessions(self, start: date, end: date) -> list[Session]:
        days = [start + timedelta(days=n) for n in range((end - start).days + 1)]
        return [Session(day, _midnight(day), _midnight(day + timedelta(days=1)) - timedelta(minutes=1)) for day in days]


class ExchangeHours:
    """New York Stock Exchange sessions. The calendar is loaded on first use, since that takes a second."""

    @cached_property
    def _calendar(self) -> ExchangeCalendar:
        import exchange_calendars

        return exchange_calendars.get_calendar("XNYS", start="2010-01-01")

    def phase(self, now: datetime) -> Phase:
        local = now.astimezone(NEW_YORK)
        found = self.sessions(local.date(), local.date())
        if not found:
            return Phase.CLOSED
        session = found[0]
        if session.open <= now < session.close:
            return Phase.REGULAR
        early = time(4) <= local.time() and now < session.open
        late = session.close <= now < session.close + AFTER_HOURS
        return Phase.EXTENDED if early or late else Phase.CLOSED

    def next_open(self, now: datetime) -> datetime:
        return next(session.open for session in self._around(now) if session.open > now)

    def next_close(self, now: datetime) -> datetime:
        return next(session.close for session in self._around(now) if session.close > now)

    def day_ends(self, now: datetime, *, extended: bool = False) -> datetime:
        """The close of the session that is on or comes next; for extended hours four hours later."""
        longer = AFTER_HOURS if extended else timedelta(0)
        return next(end for end in (session.close + longer for session in self._around(now)) if end > now)

    def day_starts(self, now: datetime) -> datetime:
        day = now.astimezone(NEW_YORK).date()
        return max(session.close for session in self._around(now) if session.day < day)

    def sessions(self, start: date, end: date) -> list[Session]:
        import pandas as pd

        calendar = self._calendar
        first = max(pd.Timestamp(start), calendar.first_session)
        last = min(pd.Timestamp(end), calendar.last_session)
        if first > last:
            return []
        schedule = calendar.schedule.loc[first:last, ["open", "close"]]
        return [
            Session(day.date(), opens.to_pydatetime().astimezone(UTC), closes.to_pydatetime().astimezone(UTC))
            for day, opens, closes in schedule.itertuples()
        ]

    def _around(self, now: datetime) -> list[Session]:
        day = now.astimezone(NEW_YORK).date()
        return self.sessions(day - timedelta(days=12), day + timedelta(days=12))


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), NEW_YORK).astimezone(UTC)


def hours_for(name: str) -> Hours:
    """``always`` or ``exchange``."""
    return ExchangeHours() if name == "exchange" else AlwaysOpen()
