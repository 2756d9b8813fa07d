"""Numbers and times as one person reads them."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from dashtrade.domain.formats import NUMBER_FORMATS, Formats, parse_number_format
from dashtrade.errors import InvalidInput

NARROW = "\u202f"


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("comma_point", "−1,234,567.80"),
        ("point_comma", "−1.234.567,80"),
        ("space_comma", f"−1{NARROW}234{NARROW}567,80"),
        ("apostrophe_point", "−1’234’567.80"),
    ],
)
def test_numbers_in_each_format(key: str, text: str) -> None:
    formats = Formats.of("UTC", key)
    assert formats.number(-1234567.8) == formats.number(Decimal("-1234567.80")) == text
    assert formats.money(-1234567.8) == "−$" + text[1:]
    assert NUMBER_FORMATS[key].label.replace(" ", NARROW) == formats.number(1234.56)


def test_signs_zeros_and_what_is_missing() -> None:
    formats = Formats()
    assert [Formats.of(own, None, there).zone for own in (None, "Asia/Tokyo") for there in ("Europe/Oslo", "../x")] == [
        "Europe/Oslo", "UTC", "Asia/Tokyo", "Asia/Tokyo"
    ]  # fmt: skip
    assert [formats.number(value, signed=True) for value in (1.005, -0.001, 0, -2)] == [
        "+1.00",
        "0.00",
        "0.00",
        "−2.00",
    ]
    assert [formats.percent(value, 1) for value in (0.0123, -0.5, None, math.nan)] == [
        f"1.2{NARROW}%", f"−50.0{NARROW}%", "–", "–",
    ]  # fmt: skip
    assert formats.percent(0.1, signed=True) == f"+10.00{NARROW}%"
    assert [formats.short(value) for value in (10, 0.125, Decimal("1500.10"), None)] == ["10", "0.125", "1,500.1", "–"]
    assert (formats.money(3, "EUR"), formats.money(3, "CHF"), formats.money(math.inf)) == ("€3.00", "CHF 3.00", "–")
    assert formats.money(0.5, signed=True) == "+$0.50"


def test_times_follow_the_zone_over_the_change_of_clocks() -> None:
    berlin = Formats.of("Europe/Berlin", None)
    before, after = datetime(2026, 3, 29, 0, 59, 30, tzinfo=UTC), datetime(2026, 3, 29, 1, 0, tzinfo=UTC)
    assert (berlin.when(before, seconds=True), berlin.when(after)) == ("2026-03-29 01:59:30", "2026-03-29 03:00")
    assert berlin.when(after, zone=True) == "2026-03-29 03:00 CEST"
    assert (berlin.clock(after), berlin.clock(None), berlin.when(None)) == ("03:00", "–", "–")
    late = datetime(2026, 3, 2, 23, 30, tzinfo=UTC)
    assert berlin.day(late) == "2026-03-03" and Formats().day(late) == "2026-03-02"
    assert berlin.day(date(2026, 3, 2)) == "2026-03-02"
    with pytest.raises(ValueError, match="zone"):
        berlin.when(datetime(2026, 3, 2))


def test_on_hover_a_time_says_what_the_exchange_says() -> None:
    moment = datetime(2026, 3, 9, 13, 30, 5, tzinfo=UTC)
    assert Formats("Europe/London").hint(moment) == (
        "2026-03-09 13:30:05 London · 2026-03-09 13:30:05 UTC · 2026-03-09 09:30:05 New York"
    )
    assert Formats("America/New_York").hint(moment) == "2026-03-09 09:30:05 New York · 2026-03-09 13:30:05 UTC"
    assert Formats("UTC").hint(moment) == "2026-03-09 13:30:05 UTC · 2026-03-09 09:30:05 New York"


@pytest.mark.parametrize("zone", [None, "", "Mars/Olympus", "../../etc/passwd", "Europe", "\0"])
def test_what_is_not_known_is_the_default(zone: str | None) -> None:
    assert Formats.of(zone, "nonsense") == Formats()


def test_a_wrong_choice_names_the_right_ones() -> None:
    with pytest.raises(InvalidInput, match="comma_point"):
        parse_number_format("<b>")


def test_a_price_has_as_many_decimals_as_its_size_asks_for() -> None:
    write = Formats().price
    assert [write(v) for v in (1234.5, 0.5, 0.00123, 0.0)] == [
        "1,234.50",
        "0.5000",
        "0.001230",
        "0.00",
    ]
    assert write(float("nan")) == "–" and write(None) == "–"
    assert Formats.of(None, "point_comma").price(1234.5) == "1.234,50"
