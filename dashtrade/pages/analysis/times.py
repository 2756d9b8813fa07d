"""Times in words: a bar's date, and clocks in the reader's zone."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from dashtrade.domain.formats import known_zone

EXCHANGE_ZONE = "America/New_York"


def in_zone(time: datetime, zone: str) -> datetime:
    """``time`` on the clock of ``zone``; in UTC where the name is empty or unknown here."""
    return time.astimezone(ZoneInfo(zone) if zone and zone != "UTC" and known_zone(zone) else UTC)


def clock(time: datetime, zone: str, form: str = "%H:%M:%S") -> str:
    """The time of day in ``zone``; UTC says so."""
    local = in_zone(time, zone)
    return f"{local:{form}}" + (" UTC" if local.tzinfo is UTC else "")


def when(time: datetime, zone: str = "") -> str:
    """A daily bar's date (never shifted by a zone), or an intraday bar's time in ``zone``."""
    if (time.hour, time.minute) == (0, 0):
        return f"{time:%d %b %Y}"
    return f"{in_zone(time, zone):%d %b %Y} {clock(time, zone, '%H:%M')}"


def at_exchange(time: datetime) -> str:
    """An intraday bar's time on the exchange's clock, for hover; empty for a daily bar."""
    if (time.hour, time.minute) == (0, 0):
        return ""
    return f"{in_zone(time, EXCHANGE_ZONE):%d %b %Y %H:%M} at the exchange (New York)"
