"""The form of a rule: what was typed, as a rule; and a rule, as what would be typed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from dashtrade.domain.alerts import INTERVALS, AlertRule, Frequency, NewAlert, Scope
from dashtrade.errors import InvalidInput
from dashtrade.pages.alerts.kinds import Kind, parse_values
from dashtrade.pages.fields import shown

SYMBOL, WATCHLIST = "symbol", "watchlist"
LIST = "list:"
"""Before the name of a list, in the field ``watch``."""
PROGRAM, SOME = "program", "some"
"""In the field ``channels``: the program alone; ``some 1 3``: these channels. Nothing is every channel."""
EMPTY: Mapping[str, str] = {
    "type": "price_above", "watch": SYMBOL, "symbol": "", "interval": "1d", "source": "", "frequency": "once",
    "cooldown": "", "expires": "", "name": "", "channels": "",
}  # fmt: skip
FREQUENCIES = {
    Frequency.ONCE.value: "Once, then switch off",
    Frequency.BAR.value: "At every bar's close where it is true",
    Frequency.EVERY.value: "Every time it becomes true",
}
SHORT = {Frequency.ONCE.value: "Once", Frequency.BAR.value: "Each close", Frequency.EVERY.value: "Each time"}
SPOKEN = {
    Frequency.ONCE.value: "Tells once, then switches itself off",
    Frequency.BAR.value: "Tells at every close where it is true",
    Frequency.EVERY.value: "Tells every time it becomes true",
}
BARS = {"1m": "1-minute", "5m": "5-minute", "15m": "15-minute", "30m": "30-minute", "1h": "hourly", "4h": "4-hour",
        "1d": "daily", "1wk": "weekly"}  # fmt: skip
_SPAN = re.compile(r"(\d{1,6})\s*(m|h|d)")
_UNITS = {"m": 60, "h": 3600, "d": 86_400}


def to_rule(draft: Mapping[str, str], known: Mapping[str, Kind], zone: str) -> NewAlert:
    """What the form says; InvalidInput names the first field that cannot be read, and what it may hold."""
    kind = known.get(draft.get("type", ""))
    if kind is None:
        raise InvalidInput("type", f"{draft.get('type', '')[:40]!r} is not known.", allowed=tuple(known))
    symbol: str | None = draft["symbol"].strip()
    watch, within = draft["watch"], draft["watch"].removeprefix(LIST) if draft["watch"].startswith(LIST) else ""
    if watch not in (SYMBOL, WATCHLIST) and not within:
        raise InvalidInput("watch", f"{watch[:40]!r} is not known.", allowed=(SYMBOL, WATCHLIST))
    if watch != SYMBOL:
        symbol = None
    elif not symbol:
        raise InvalidInput("symbol", "type a ticker, such as AAPL.")
    text = kind.write(parse_values(kind, draft))
    if draft["interval"] not in INTERVALS:
        raise InvalidInput("bars", f"{draft['interval'][:10]!r} is not offered for alerts.", allowed=INTERVALS)
    return NewAlert(
        kind.key,
        text,
        symbol,
        draft["interval"],
        draft["frequency"],
        span(draft["cooldown"]),
        end_of_day(draft["expires"], zone),
        draft["name"].strip() or None,
        draft["source"],
        within,
        through(draft["channels"]),
    )


def from_rule(rule: AlertRule, known: Mapping[str, Kind], zone: str) -> dict[str, str]:
    """The form filled in from a rule. One whose condition was written in another way becomes a rule of its text."""
    kind = known.get(rule.kind)
    raw = kind.read(rule.condition) if kind is not None else None
    if raw is None:
        raise InvalidInput("condition", f"{rule.condition[:60]!r} has no form; delete it and add it anew.")
    watchlist = rule.scope is Scope.WATCHLIST
    return {
        **EMPTY,
        "type": rule.kind,
        "watch": LIST + rule.within if rule.within else WATCHLIST if watchlist else SYMBOL,
        "symbol": "" if watchlist else rule.symbol,
        "interval": rule.interval,
        "source": rule.source,
        "frequency": rule.frequency.value,
        "cooldown": span_text(rule.cooldown),
        "expires": "" if rule.expires_at is None else rule.expires_at.astimezone(zone_of(zone)).date().isoformat(),
        "name": rule.name or "",
        "channels": through_text(rule.channels),
        **raw,
    }


def usable(values: Mapping[str, Any], known: Mapping[str, Kind]) -> dict[str, str]:
    """The part of an address's query that belongs to the form: its own fields, and those of the kind it names."""
    if values.get("type") == "price_crosses":  # either way: no kind of its own, but a rule
        level = str(values.get("level", "")).strip()
        either = f"close crosses_above {level} or close crosses_below {level}"
        values = {**values, "type": "rule", "rule": either}
    kind = known.get(str(values.get("type", EMPTY["type"])))
    names = set(EMPTY) | ({field.name for field in kind.fields} if kind is not None else set())
    return {name: str(value) for name, value in values.items() if name in names}


def with_defaults(draft: Mapping[str, str], known: Mapping[str, Kind]) -> dict[str, str]:
    """The draft with a value for every field of its kind."""
    full = {**EMPTY, **draft}
    kind = known.get(full["type"])
    return {**({f.name: shown(f.default) for f in kind.fields} if kind is not None else {}), **full}


def through(text: str) -> tuple[int, ...] | None:
    """Numbers of channels from the field: None for every one, nothing for the program alone."""
    if not text:
        return None
    if text == PROGRAM:
        return ()
    word, *numbers = text.split()
    if word != SOME or not all(number.isascii() and number.isdecimal() and len(number) < 19 for number in numbers):
        raise InvalidInput("channels", f"{text[:40]!r} is not known.", allowed=("", PROGRAM, f"{SOME} 1 2"))
    if not numbers:
        raise InvalidInput("channels", "choose one at least, or let the program alone tell.")
    return tuple(int(number) for number in numbers)


def through_text(channels: tuple[int, ...] | None) -> str:
    """The inverse of :func:`through`."""
    return "" if channels is None else " ".join([SOME, *map(str, channels)]) if channels else PROGRAM


def span(text: str) -> timedelta:
    """``30m``, ``4h``, ``2d``; nothing is none."""
    text = text.strip().lower()
    if text in ("", "0"):
        return timedelta(0)
    found = _SPAN.fullmatch(text)
    if found is None:
        raise InvalidInput("cooldown", f"{text[:20]!r} is not a span; write 30m, 4h or 2d.")
    return timedelta(seconds=int(found[1]) * _UNITS[found[2]])


def span_text(value: timedelta) -> str:
    """The inverse of :func:`span`, in the largest unit that is exact."""
    seconds = int(value.total_seconds())
    if not seconds:
        return ""
    unit = next((u for u in ("d", "h", "m") if seconds % _UNITS[u] == 0), "m")
    return f"{max(1, seconds // _UNITS[unit])}{unit}"


def end_of_day(text: str, zone: str) -> datetime | None:
    """The end of a day on the clock of ``zone``; nothing is never."""
    if not text.strip():
        return None
    try:
        day = date.fromisoformat(text.strip()[:10])
    except ValueError:
        raise InvalidInput("expires", f"{text[:20]!r} is not a date; write for example 2030-12-31.") from None
    return datetime.combine(day, time(23, 59, 59), zone_of(zone)).astimezone(UTC)


def zone_of(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name or "UTC")
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return ZoneInfo("UTC")
