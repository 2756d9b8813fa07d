"""What surrounds the rules, as typed: stops, size, cooldown, session. Texts to a strategy and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import time
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

from dashtrade.domain.strategy import Session, Stops, Strategy
from dashtrade.errors import DashTradeError, InvalidInput
from dashtrade.pages.guard import sentence
from dashtrade.pages.strategies.draft import PartDraft
from dashtrade.services.backtests import parse_distance, parse_size
from dashtrade.strategies import to_text

PARTS = {"long_entry": "Buy", "long_exit": "Sell", "short_entry": "Sell short", "short_exit": "Buy back"}
DISTANCES = {"loss": "Stop loss", "profit": "Take profit", "trail": "Trailing stop"}
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
TEXTS = {
    "loss": ("Stop loss", "2% or 2atr; empty for none"),
    "profit": ("Take profit", "5% or 3atr; empty for none"),
    "trail": ("Trailing stop", "3% or 3atr; empty for none"),
    "time_stop": ("Time stop, bars", "Leave after so many bars; empty for none"),
    "atr_window": ("ATR window", "Bars of the average true range that the atr distances are multiples of"),
    "cooldown": ("Cooldown, bars", "Bars after an exit without a new entry"),
    "size": ("Position size", "50%, $2000, 10 shares or risk 1%; empty leaves it to the run"),
    "session_start": ("From", "First time at which a bar may start, such as 09:30"),
    "session_end": ("To", "Bars that start at this time or later are out, such as 16:00"),
    "session_zone": ("Time zone", "Such as America/New_York or Europe/Berlin"),
    "session_days": ("Days", "0 is Monday"),
}
DEFAULTS = {
    "loss": "", "profit": "", "trail": "", "time_stop": "", "atr_window": "14", "cooldown": "0", "size": "",
    "session": "", "session_start": "09:30", "session_end": "16:00", "session_zone": "America/New_York",
    "session_days": "0,1,2,3,4",
}  # fmt: skip


def strategy_of(
    name: str, parts: Mapping[str, PartDraft], values: Mapping[str, str], family: str, description: str
) -> tuple[Strategy | None, tuple[str, ...]]:
    """The strategy, or None and every reason why there is none."""
    problems = [f"{PARTS[part]}: {draft.error}" for part, draft in parts.items() if draft.error]
    found: dict[str, Any] = {}
    for key, read in (("stops", _stops), ("cooldown", _cooldown), ("session", _session), ("size", _size)):
        try:
            found[key] = read(values)
        except DashTradeError as error:
            problems.append(sentence(error))
    if not any(parts[part].text.strip() for part in ("long_entry", "short_entry")):
        problems.append("There is no entry yet: add a condition under Buy or Sell short.")
    if problems:
        return None, tuple(problems)
    rules: dict[str, Any] = {part: draft.rule for part, draft in parts.items()}
    return Strategy(name=name, **rules, **found, family=family, description=description), ()


def values_of(strategy: Strategy) -> dict[str, str]:
    """The texts that give this strategy's stops and filters again."""
    stops, values = strategy.stops, dict(DEFAULTS)
    for name in DISTANCES:
        share, multiple = getattr(stops, name), getattr(stops, f"atr_{name}")
        values[name] = (
            f"{share * 100:.10g}%" if share is not None else f"{multiple:g}atr" if multiple is not None else ""
        )
    values["time_stop"] = str(stops.bars or "")
    values["atr_window"], values["cooldown"], values["size"] = (
        str(stops.atr_window), str(strategy.cooldown), strategy.size,
    )  # fmt: skip
    if strategy.session is not None:
        s = strategy.session
        values |= {
            "session": "1", "session_start": s.start, "session_end": s.end, "session_zone": s.timezone,
            "session_days": ",".join(map(str, s.days)),
        }  # fmt: skip
    return values


def texts_of(strategy: Strategy) -> dict[str, str]:
    """Part → text of its rule, empty where it has none."""
    return {part: to_text(rule) if (rule := getattr(strategy, part)) is not None else "" for part in PARTS}


def same(first: Strategy, second: Strategy) -> bool:
    """Whether two strategies decide the same; the version does not matter."""
    return replace(first, version=1) == replace(second, version=1)


def _stops(values: Mapping[str, str]) -> Stops:
    distances: dict[str, Any] = {}
    for name, label in DISTANCES.items():
        text = values[name].strip()
        try:
            given = parse_distance(text or None, name)
            Stops(**given)  # type: ignore[arg-type]
        except DashTradeError as error:
            raise InvalidInput(label, sentence(error).removeprefix(f"{name}: ")) from None
        distances |= given
    window = _whole(values["atr_window"] or "14", "ATR window", 1, 500)
    bars = _whole(values["time_stop"], "Time stop", 1, 100_000) if values["time_stop"].strip() else None
    return Stops(**distances, bars=bars, atr_window=window)


def _cooldown(values: Mapping[str, str]) -> int:
    return _whole(values["cooldown"] or "0", "Cooldown", 0, 100_000)


def _size(values: Mapping[str, str]) -> str:
    text = values["size"].strip()
    if text:
        parse_size(text)
    return text


def _session(values: Mapping[str, str]) -> Session | None:
    if not values["session"]:
        return None
    hours = []
    for name in ("session_start", "session_end"):
        try:
            hours.append(f"{time.fromisoformat(values[name].strip()):%H:%M}")
        except ValueError:
            raise InvalidInput("Session hours", f"{values[name][:20]!r} is not a time; write 09:30.") from None
    if hours[0] == hours[1]:
        raise InvalidInput("Session hours", "the first and the last are the same, so no bar is inside.")
    zone = values["session_zone"].strip()
    if zone not in available_timezones():
        raise InvalidInput("Time zone", f"{zone[:40]!r} is not known; write one such as America/New_York.")
    ZoneInfo(zone)
    days = tuple(sorted({int(d) for d in values["session_days"].split(",") if d.strip() in tuple("0123456")}))
    if not days:
        raise InvalidInput("Session days", "choose at least one.")
    return Session(hours[0], hours[1], days, zone)


def _whole(text: str, label: str, low: int, high: int) -> int:
    try:
        number = int(text.strip())
    except ValueError:
        number = low - 1
    if not low <= number <= high:
        raise InvalidInput(label, f"{text[:20]!r} is not allowed; use a whole number from {low} to {high}.")
    return number
