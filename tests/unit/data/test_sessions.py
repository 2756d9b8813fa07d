"""Opening hours against dates read off the exchanges' own published calendars."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from dashtrade.data.sessions import ExchangeHours, calendar_name
from dashtrade.domain.market import parse_symbol

HOURS = ExchangeHours()


def at(text: str, zone: str = "America/New_York") -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone))


@pytest.mark.parametrize(
    ("symbol", "name"),
    [
        ("AAPL", "XNYS"), ("BRK-B", "XNYS"), ("BRK.B", "XNYS"), ("^GSPC", "XNYS"),
        ("BTC-USD", "24/7"), ("ETH/USD", "24/7"),
        ("EURUSD=X", "24/5"), ("ES=F", "us_futures"), ("VOD.L", "XLON"), ("7203.T", "XTKS"), ("SAP.DE", "XETR"),
    ],
)  # fmt: skip
def test_a_tickers_calendar(symbol: str, name: str) -> None:
    assert calendar_name(parse_symbol(symbol)) == name


@pytest.mark.parametrize(
    ("moment", "is_open"),
    [
        ("2024-01-03T09:29:59", False),
        ("2024-01-03T09:30:00", True),
        ("2024-01-03T15:59:59", True),
        ("2024-01-03T16:00:00", False),
        ("2024-01-06T12:00:00", False),  # Saturday
        ("2024-07-04T12:00:00", False),  # Independence Day
        ("2024-07-03T12:59:00", True),  # the half day before it
        ("2024-07-03T13:00:00", False),
        ("2024-11-29T12:59:00", True),  # the day after Thanksgiving
        ("2024-11-29T13:00:00", False),
        ("2024-03-29T12:00:00", False),  # Good Friday
        ("2025-01-09T12:00:00", False),  # a day of mourning
        ("2012-10-29T12:00:00", False),  # a hurricane
        ("2001-09-12T12:00:00", False),
    ],
)
def test_new_york(moment: str, is_open: bool) -> None:
    assert HOURS.is_open("AAPL", at(moment)) is is_open


def test_half_days_are_marked() -> None:
    half = HOURS.session("AAPL", at("2024-07-03T10:00"))
    assert half is not None
    assert (half.day, half.half_day, half.closes) == (date(2024, 7, 3), True, at("2024-07-03T13:00"))
    whole = HOURS.session("AAPL", at("2024-07-05T10:00"))
    assert whole is not None
    assert whole.half_day is False


@pytest.mark.parametrize(
    ("moment", "opens"),
    [
        ("2024-01-05T16:00", "2024-01-08T09:30"),  # over a weekend
        ("2024-07-03T14:00", "2024-07-05T09:30"),  # over a holiday
        ("2024-03-08T16:00", "2024-03-11T09:30"),  # over the change to summer time
        ("2024-01-03T09:30", "2024-01-04T09:30"),  # the first opening after, not at
        ("2024-01-03T09:29", "2024-01-03T09:30"),
    ],
)
def test_next_open(moment: str, opens: str) -> None:
    found = HOURS.next_open("AAPL", at(moment))
    assert found == at(opens)
    assert found.utcoffset() == timedelta(0)


def test_next_close() -> None:
    assert HOURS.next_close("AAPL", at("2024-07-03T10:00")) == at("2024-07-03T13:00")
    assert HOURS.next_close("AAPL", at("2024-07-03T13:00")) == at("2024-07-05T16:00")


def test_summer_time_moves_the_session_in_utc() -> None:
    found = HOURS.sessions("AAPL", at("2024-03-08T00:00"), at("2024-03-12T00:00"))
    assert [f"{s.opens:%d %H:%M}" for s in found] == ["08 14:30", "11 13:30"]


@pytest.mark.parametrize("moment", ["2024-01-06T03:00", "2024-12-25T12:00", "2024-01-03T12:00"])
def test_crypto_never_closes(moment: str) -> None:
    now = at(moment)
    assert HOURS.is_open("BTC-USD", now)
    assert HOURS.next_open("BTC-USD", now) == now
    assert HOURS.next_close("BTC-USD", now) is None
    session = HOURS.session("BTC-USD", now)
    assert session is not None
    assert session.closes - session.opens == timedelta(days=1)
    assert session.half_day is False


def test_other_exchanges() -> None:
    assert HOURS.is_open("VOD.L", at("2024-01-03T08:00", "Europe/London"))
    assert not HOURS.is_open("VOD.L", at("2024-12-24T12:30", "Europe/London"))  # half day
    assert HOURS.is_open("7203.T", at("2024-01-10T09:00", "Asia/Tokyo"))
    assert not HOURS.is_open("7203.T", at("2024-01-03T10:00", "Asia/Tokyo"))  # new year's holidays
    assert not HOURS.is_open("EURUSD=X", at("2024-01-06T12:00", "UTC"))


def test_a_lunch_break_is_closed() -> None:
    for moment, is_open in (("11:59", True), ("12:00", False), ("12:59", False), ("13:00", True), ("15:59", True)):
        assert HOURS.is_open("0700.HK", at(f"2024-01-10T{moment}", "Asia/Hong_Kong")) is is_open, moment
    noon = at("2024-01-10T12:10", "Asia/Hong_Kong")
    assert HOURS.next_open("0700.HK", noon) == at("2024-01-10T13:00", "Asia/Hong_Kong")
    assert HOURS.next_close("0700.HK", noon) == at("2024-01-10T16:00", "Asia/Hong_Kong")
    assert HOURS.next_close("0700.HK", at("2024-01-10T10:00", "Asia/Hong_Kong")) == at(
        "2024-01-10T12:00", "Asia/Hong_Kong"
    )
    whole = HOURS.session("0700.HK", at("2024-01-10T10:00", "Asia/Hong_Kong"))
    assert whole is not None and whole.closes == at("2024-01-10T16:00", "Asia/Hong_Kong")
    # the eve of the new year closes at noon, without a break or an afternoon
    assert HOURS.is_open("0700.HK", at("2024-12-31T11:00", "Asia/Hong_Kong"))
    assert not HOURS.is_open("0700.HK", at("2024-12-31T14:00", "Asia/Hong_Kong"))
    assert not HOURS.is_open("7203.T", at("2024-01-10T12:00", "Asia/Tokyo"))


def test_a_time_needs_a_zone() -> None:
    with pytest.raises(ValueError, match="zone"):
        HOURS.is_open("AAPL", datetime(2024, 1, 3, 15, 0))


def test_the_years_half_days_are_complete() -> None:
    found = HOURS.sessions("AAPL", datetime(2024, 1, 1, tzinfo=UTC), datetime(2025, 1, 1, tzinfo=UTC))
    assert len(found) == 252
    assert [str(s.day) for s in found if s.half_day] == ["2024-07-03", "2024-11-29", "2024-12-24"]
