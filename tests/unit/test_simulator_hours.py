"""Sessions of known days: half day, holiday, both clock changes. Times are the exchange's published ones."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from dashtrade.brokers.simulator.hours import AlwaysOpen, ExchangeHours, Phase


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.fixture(scope="module")
def exchange() -> ExchangeHours:
    return ExchangeHours()


@pytest.mark.parametrize(
    ("moment", "phase"),
    [
        ("2024-07-02T13:29:59", Phase.EXTENDED),
        ("2024-07-02T13:30:00", Phase.REGULAR),
        ("2024-07-02T19:59:59", Phase.REGULAR),
        ("2024-07-02T20:00:00", Phase.EXTENDED),
        ("2024-07-03T00:00:00", Phase.CLOSED),
        # the day before Independence Day closes at 13:00
        ("2024-07-03T16:59:59", Phase.REGULAR),
        ("2024-07-03T17:00:00", Phase.EXTENDED),
        ("2024-07-03T21:00:00", Phase.CLOSED),
        ("2024-07-02T07:59:59", Phase.CLOSED),
        ("2024-07-02T08:00:00", Phase.EXTENDED),
        ("2024-07-04T15:00:00", Phase.CLOSED),
        ("2024-07-06T15:00:00", Phase.CLOSED),
        # the week of the clock change: an hour earlier in UTC from 11 March
        ("2024-03-08T14:29:00", Phase.EXTENDED),
        ("2024-03-11T13:30:00", Phase.REGULAR),
        ("2024-11-04T14:29:00", Phase.EXTENDED),
    ],
)
def test_phases(exchange: ExchangeHours, moment: str, phase: Phase) -> None:
    assert exchange.phase(utc(moment)) is phase


def test_next_open_and_close_skip_the_holiday(exchange: ExchangeHours) -> None:
    after_half_day = utc("2024-07-03T17:00:00")
    assert exchange.next_open(after_half_day) == utc("2024-07-05T13:30:00")
    assert exchange.day_ends(after_half_day) == utc("2024-07-05T20:00:00")
    assert exchange.day_ends(utc("2024-07-03T14:00:00")) == utc("2024-07-03T17:00:00")
    assert exchange.day_ends(utc("2024-07-03T14:00:00"), extended=True) == utc("2024-07-03T21:00:00")
    assert exchange.day_ends(utc("2024-07-03T21:00:00"), extended=True) == utc("2024-07-06T00:00:00")
    assert exchange.day_starts(utc("2024-07-05T14:00:00")) == utc("2024-07-03T17:00:00")


def test_calendar_of_a_holiday_week(exchange: ExchangeHours) -> None:
    days = exchange.sessions(date(2024, 7, 1), date(2024, 7, 7))
    assert [d.day.day for d in days] == [1, 2, 3, 5]
    assert exchange.sessions(date(2024, 7, 6), date(2024, 7, 7)) == []


def test_always_open_days_end_at_new_york_midnight() -> None:
    hours = AlwaysOpen()
    assert hours.phase(utc("2024-07-06T03:00:00")) is Phase.REGULAR
    assert hours.day_ends(utc("2024-07-06T03:59:00")) == utc("2024-07-06T04:00:00")
    assert hours.day_ends(utc("2024-07-06T04:00:00")) == utc("2024-07-07T04:00:00")
    # 25 hours on the day the clocks go back
    assert hours.day_ends(utc("2024-11-03T04:00:00")) == utc("2024-11-04T05:00:00")
