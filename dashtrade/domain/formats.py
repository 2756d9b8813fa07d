"""How one person reads numbers, money and times: the one place that turns values into text for them.

Nothing here rounds what is computed; it only writes. None and NaN are a dash.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, date, datetime, tzinfo
from decimal import Decimal
from zoneinfo import ZoneInfo

from dashtrade.errors import InvalidInput

DASH = "–"
MINUS = "−"
TIME_ZONE = "time_zone"
"""The key of the time zone in the user's preferences: an IANA name."""
NUMBERS = "number_format"
"""The key of the number format in the user's preferences: a key of NUMBER_FORMATS."""

Number = float | int | Decimal | None


@dataclass(frozen=True, slots=True)
class NumberFormat:
    """``group`` separates thousands, ``point`` the decimals."""

    key: str
    label: str
    group: str
    point: str


_NARROW = "\N{NARROW NO-BREAK SPACE}"
_APOSTROPHE = "\N{RIGHT SINGLE QUOTATION MARK}"
NUMBER_FORMATS: dict[str, NumberFormat] = {
    each.key: each
    for each in (
        NumberFormat("comma_point", "1,234.56", ",", "."),
        NumberFormat("point_comma", "1.234,56", ".", ","),
        NumberFormat("space_comma", "1 234,56", _NARROW, ","),
        NumberFormat("apostrophe_point", f"1{_APOSTROPHE}234.56", _APOSTROPHE, "."),
    )
}  # fmt: skip
_SIGNS = {"USD": "$", "EUR": "€", "GBP": "£", "JPY": "¥"}


def known_zone(name: str) -> bool:
    """Whether this is a time zone; False also for names that are folders or lead out of the zone files."""
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return False
    return True


@dataclass(frozen=True, slots=True)
class Formats:
    """One person's choice. Make it with :meth:`of`, which takes the default for what is not known."""

    zone: str = "UTC"
    numbers: NumberFormat = NUMBER_FORMATS["comma_point"]

    @classmethod
    def of(cls, zone: str | None, numbers: str | None, browser: str | None = None) -> Formats:
        """``browser`` is the zone to take where the person has chosen none."""
        known = next((name for name in (zone, browser) if name and known_zone(name)), "UTC")
        return cls(known, NUMBER_FORMATS.get(numbers or "", NUMBER_FORMATS["comma_point"]))

    def number(self, value: Number, places: int = 2, *, signed: bool = False) -> str:
        """``1,234.50``; with ``signed`` a plus sign before gains."""
        if value is None or not math.isfinite(value):
            return DASH
        text = f"{abs(value):,.{places}f}"
        text = text.translate({ord(","): self.numbers.group, ord("."): self.numbers.point})
        if not any(digit in "123456789" for digit in text):
            return text  # no sign before a zero that was rounded
        return (MINUS if value < 0 else "+" if signed else "") + text

    def price(self, value: Number) -> str:
        """``430.47``; four decimals below 1, six below 0.01."""
        if value is None or not math.isfinite(value):
            return DASH
        size = abs(float(value))
        return self.number(value, 2 if size >= 1 or size == 0 else 4 if size >= 0.01 else 6)

    def short(self, value: Number) -> str:
        """A quantity without needless zeros: ``10``, ``0.125``."""
        if value is None or not math.isfinite(value):
            return DASH
        digits = f"{abs(value):.8f}".rstrip("0").partition(".")[2]
        return self.number(value, len(digits))

    def money(self, value: Number, currency: str = "USD", places: int = 2, *, signed: bool = False) -> str:
        """``$1,234.50``, ``−$3.00``; other currencies by their code where they have no common sign."""
        text = self.number(value, places, signed=signed)
        if text == DASH:
            return text
        sign = _SIGNS.get(currency, f"{currency} ")
        return text[0] + sign + text[1:] if text[0] in (MINUS, "+") else sign + text

    def percent(self, fraction: Number, places: int = 2, *, signed: bool = False) -> str:
        """``0.0123`` is ``1.23 %`` with a space that does not break."""
        text = self.number(None if fraction is None else fraction * 100, places, signed=signed)
        return text if text == DASH else f"{text}{_NARROW}%"

    def place(self) -> tzinfo:
        return UTC if self.zone == "UTC" else ZoneInfo(self.zone)

    def when(self, moment: datetime | None, *, seconds: bool = False, zone: bool = False) -> str:
        """``2026-03-02 15:04`` in the person's zone; with ``zone`` its short name behind."""
        if moment is None:
            return DASH
        local = _with_zone(moment).astimezone(self.place())
        return local.strftime("%Y-%m-%d %H:%M" + (":%S" if seconds else "") + (" %Z" if zone else ""))

    def hint(self, moment: datetime) -> str:
        """To the second in the person's zone, in UTC and on New York's clock, by which a trading day is counted."""
        places = dict.fromkeys((self.zone, "UTC", "America/New_York"))
        return " · ".join(
            f"{Formats(zone).when(moment, seconds=True)} {zone.rpartition('/')[2].replace('_', ' ')}" for zone in places
        )

    def clock(self, moment: datetime | None) -> str:
        """``15:04``."""
        return self.when(moment)[11:] if moment is not None else DASH

    def day(self, moment: datetime | date | None) -> str:
        """``2026-03-02``: of a moment in the person's zone; of a trading day, which has no zone, as it is."""
        if moment is None:
            return DASH
        return self.when(moment)[:10] if isinstance(moment, datetime) else moment.isoformat()


def parse_number_format(text: str) -> NumberFormat:
    """Raises InvalidInput naming the formats."""
    if text not in NUMBER_FORMATS:
        raise InvalidInput("number format", f"{text[:40]!r} is not known.", allowed=list(NUMBER_FORMATS))
    return NUMBER_FORMATS[text]


def _with_zone(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise ValueError("a moment needs its zone")
    return moment
