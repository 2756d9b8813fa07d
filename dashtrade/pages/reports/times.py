"""When a report runs: the simple form's text as cron, and a cron as words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import time

from dashtrade.errors import InvalidInput

DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
WEEKDAYS, DAILY, WEEKLY, MONTHLY, CRON = "weekdays", "daily", "weekly", "monthly", "cron"
OFTEN = {
    WEEKDAYS: "Monday to Friday",
    DAILY: "Every day",
    WEEKLY: "Every week",
    MONTHLY: "Every month",
    CRON: "As a cron line",
}
_SIMPLE = re.compile(r"(\d{1,2}) (\d{1,2}) (\*|\d{1,2}) \* (\*|1-5|[0-7])")


def to_cron(values: Mapping[str, str]) -> str:
    """Five fields from the form; InvalidInput names the field that cannot be read."""
    often = values["often"]
    if often == CRON:
        return values["cron"].strip()
    if often not in OFTEN:
        raise InvalidInput("often", f"{often[:20]!r} is not known.", allowed=tuple(OFTEN))
    at = _clock(values["at"])
    begin = f"{at.minute} {at.hour}"
    if often == DAILY:
        return f"{begin} * * *"
    if often == WEEKDAYS:
        return f"{begin} * * 1-5"
    if often == WEEKLY:
        if values["day"] not in DAYS:
            raise InvalidInput("day", f"{values['day'][:20]!r} is not a day.", allowed=DAYS)
        return f"{begin} * * {(DAYS.index(values['day']) + 1) % 7}"
    number = values["date"].strip()
    if not (number.isdecimal() and 1 <= int(number) <= 28):
        raise InvalidInput("day of the month", f"{number[:20]!r} is not allowed. Use a whole number from 1 to 28.")
    return f"{begin} {int(number)} * *"


def from_cron(cron: str) -> dict[str, str]:
    """The form's fields of a cron; one that the simple form cannot say stays a cron line."""
    found = _SIMPLE.fullmatch(" ".join(cron.split()))
    if found is None or int(found[1]) > 59 or int(found[2]) > 23:
        return {"often": CRON, "cron": cron}
    minute, hour, date, day = found.groups()
    at = {"at": f"{int(hour):02d}:{int(minute):02d}"}
    if date != "*":
        return (
            {"often": MONTHLY, "date": date, **at} if day == "*" and int(date) <= 28 else {"often": CRON, "cron": cron}
        )
    if day in ("*", "1-5"):
        return {"often": DAILY if day == "*" else WEEKDAYS, **at}
    return {"often": WEEKLY, "day": DAYS[(int(day) - 1) % 7], **at}


def in_words(cron: str, timezone: str, *, trading_days_only: bool) -> str:
    """``Monday to Friday at 16:30, New York time, on trading days``."""
    found = from_cron(cron)
    place = f"{timezone.rpartition('/')[2].replace('_', ' ')} time"
    days = ", on New York's trading days only" if trading_days_only else ""
    if found["often"] == CRON:
        return f"cron {cron}, {place}{days}"
    when = OFTEN[found["often"]]
    if found["often"] == WEEKLY:
        when = f"Every {found['day']}"
    elif found["often"] == MONTHLY:
        when = f"Every month on day {found['date']}"
    return f"{when} at {found['at']}, {place}{days}"


def _clock(text: str) -> time:
    try:
        return time.fromisoformat(text.strip().zfill(5) if len(text.strip()) == 4 else text.strip())
    except ValueError:
        raise InvalidInput("at", f"{text[:20]!r} is not a time; write for example 16:30.") from None
