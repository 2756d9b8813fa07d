"""Rows and columns of the alerts page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from dashtrade.domain.alerts import AGAIN, AlertRule, Scope
from dashtrade.pages.alerts.drafts import SHORT, span_text
from dashtrade.pages.alerts.kinds import Kind, in_words
from dashtrade.pages.alerts.model import Overview
from dashtrade.pages.widgets.table import Column, action, link

RULES = (
    Column("state", "State", "badge"),
    Column("symbol", "Symbol"),
    Column("condition", "Condition", help="What has to be true at a bar's close"),
    Column("interval", "Bars"),
    Column("frequency", "Tells", help="Once, at each close where it is true, or each time it becomes true"),
    Column("told", "Last told", "time"),
    Column("actions", "Actions", "actions"),
    Column("cooldown", "Pause", help="Least time between two bars that it tells about"),
    Column("expires", "Until", "time"),
    Column("channels", "Channels", help="The program itself always, and the rule's channels that are on"),
    Column("title", "Name"),
    Column("source", "Prices from"),
    Column("remark", "Remark", help="Why its bars could not be read the last time"),
)
TOLD = (
    Column("symbol", "Symbol"),
    Column("condition", "Alert"),
    Column("told", "Told", "time"),
    Column("close", "Price then", "money", 4, 2, help="Close of the bar that triggered it"),
    Column("now", "Price now", "money", 4, 2),
    Column("since", "Since %", "signed", help="From the close then to the price now"),
    Column("sent", "Sent", "badge", help="In the program, and through each channel"),
    Column("actions", "Actions", "actions"),
    Column("data", "Data", "badge"),
    Column("chart", "Chart", "link"),
    Column("bar", "Bar", "time", help="Start of the bar"),
    Column("values", "Values then"),
    Column("missed", "Not told", "number", 0, help="Earlier bars of the same look at which it would have told as well"),
)
_PAST = (
    Column("symbol", "Symbol"),
    Column("close", "Close", "money", 4, 2),
    Column("since", "Since %", "signed", help="From that close to the last one"),
)
PAST_BARS = (Column("time", "Bar", "time"), *_PAST)
PAST_DAYS = (Column("time", "Bar of", "date"), *_PAST)
CHANNELS = (
    Column("state", "State", "badge"),
    Column("name", "Name"),
    Column("service", "Service"),
    Column("limit", "Most an hour", "number", 0, help="What is more waits, and comes as one message"),
    Column("quiet", "Quiet hours"),
    Column("actions", "Actions", "actions"),
)
DELIVERIES = (
    Column("state", "State", "badge"),
    Column("channel", "Channel"),
    Column("title", "Message"),
    Column("attempts", "Tries", "number", 0),
    Column("sent", "Sent", "time"),
    Column("next", "Next try", "time"),
    Column("error", "Last error"),
    Column("actions", "Actions", "actions"),
)
_SENT = {"sent": ("✓ sent", "good"), "waiting": ("… waiting", "warn"), "sending": ("… being sent", "warn"),
         "maybe": ("? perhaps sent", "warn"), "dead": ("✕ given up", "bad")}  # fmt: skip


def rule_rows(seen: Overview, known: Mapping[str, Kind]) -> list[dict[str, Any]]:
    rows = []
    for rule in seen.rules:
        words = in_words(known, rule.kind, rule.condition)
        watchlist = rule.scope is Scope.WATCHLIST
        symbol = f"{rule.within or 'Watchlist'} ({len(_watched(rule, seen))})" if watchlist else rule.symbol
        rows.append({
            "id": rule.id, "name": f"{symbol}, {words}", "symbol": symbol, "title": rule.name,
            "state": "● on" if rule.is_active else "○ off",
            "condition": words, "interval": rule.interval,
            "frequency": SHORT[rule.frequency.value], "cooldown": span_text(rule.cooldown),
            "expires": rule.expires_at, "channels": _through(rule, seen), "told": rule.triggered_at,
            "source": rule.source, "remark": _problem(rule, seen),
            "tones": {"state": "good" if rule.is_active else "plain"},
            "actions": [
                action("off", "Switch off") if rule.is_active else action("on", "Switch on"),
                action("edit", "Edit"), action("copy", "Copy"), action("test", "Test"),
                action("delete", "Delete", "danger"),
            ],
        })  # fmt: skip
    return rows


def _through(rule: AlertRule, seen: Overview) -> str:
    """The names of what carries the rule's messages now; one that is off is said to be."""
    if rule.channels is None:
        return ", ".join(["program", *(c.name for c in seen.channels if c.is_active)])
    known = {c.id: c.name if c.is_active else f"{c.name} (off)" for c in seen.channels}
    return ", ".join(["program", *(known.get(number, "a removed channel") for number in rule.channels)])


def _watched(rule: AlertRule, seen: Overview) -> tuple[str, ...]:
    return seen.lists.get(rule.within, ()) if rule.within else seen.watched


def _problem(rule: AlertRule, seen: Overview) -> str:
    symbols = _watched(rule, seen) if rule.scope is Scope.WATCHLIST else (rule.symbol,)
    found = [seen.problems[key] for s in symbols if (key := (s, rule.interval, rule.source)) in seen.problems]
    return " ".join(found[:2])


def told_rows(seen: Overview, known: Mapping[str, Kind]) -> list[dict[str, Any]]:
    rows = []
    for each in seen.told:
        event = each.event
        quote = seen.quotes.get((each.source, event.symbol))
        now = float(quote.price) if quote is not None else None
        close = each.close
        sent, tone = _sent(each.sent)
        made_up = event.simulated or (quote is not None and quote.simulated)
        rows.append({
            "id": event.id, "name": f"{event.symbol}, {event.condition}", "told": event.triggered_at,
            "symbol": event.symbol, "condition": _spoken(known, each.kind, event.condition),
            "close": close, "now": now, "since": None if now is None or not close else (now / close - 1) * 100,
            "sent": sent, "bar": event.bar_time, "values": values_text(event.values), "missed": event.missed or None,
            "data": "SIMULATED" if made_up else "market",
            "tones": {"sent": tone, "data": "warn" if made_up else "plain"},
            "chart": _chart(event.symbol, event.interval, each.source),
            "actions": [action("again", "Send again")] if any(s.state in AGAIN for s in each.sent) else [],
        })  # fmt: skip
    return rows


def _spoken(known: Mapping[str, Kind], kind: str, label: str) -> str:
    """A rule without a name is labelled by kind and text; those are said in words, a name as it is."""
    start = kind.replace("_", " ")
    return in_words(known, kind, label[len(start) :].strip()) if label.startswith(start) else label


def _chart(symbol: str, interval: str, source: str) -> dict[str, str] | None:
    if symbol == "WATCHLIST":
        return None
    query = {"symbol": symbol, "interval": interval, **({"source": source} if source else {})}
    return link("Open", f"analysis?{urlencode(query)}")


def _sent(sent: Sequence[Any]) -> tuple[str, str]:
    """All ways of one event in a line, and the worst of their tones."""
    parts = ["✓ program"]
    for one in sent:
        text = _SENT[one.state][0][0]
        parts.append(f"{text} {one.channel}" + (f" ({one.error})" if one.state in AGAIN and one.error else ""))
    states = {one.state for one in sent}
    return " · ".join(parts), "bad" if "dead" in states else "good" if states <= {"sent"} else "warn"


def values_text(values: Mapping[str, Any]) -> str:
    """``rsi 28.4, close 101.2``: what the rule looked at."""
    return ", ".join(
        f"{name} {value:,.4g}" if isinstance(value, float) and abs(value) < 1
        else f"{name} {value:,.2f}" if isinstance(value, float) else f"{name} {value}"
        for name, value in values.items() if name != "close" and value != ""
    )  # fmt: skip


def channel_rows(seen: Overview) -> list[dict[str, Any]]:
    return [
        {
            "id": c.id, "state": "● on" if c.is_active else "○ off", "name": c.name, "service": c.service,
            "limit": c.most_per_hour, "quiet": f"{c.quiet_from}–{c.quiet_until} {c.timezone}" if c.quiet_from else "",
            "tones": {"state": "good" if c.is_active else "plain"},
            "actions": [
                action("test", "Send test"), action("off", "Switch off") if c.is_active else action("on", "Switch on"),
                action("remove", "Remove", "danger"),
            ],
        }
        for c in seen.channels
    ]  # fmt: skip


def delivery_rows(seen: Overview) -> list[dict[str, Any]]:
    return [
        {
            "id": d.id, "name": f"{d.title}, {d.channel}", "state": _SENT[d.state][0], "channel": d.channel,
            "title": d.title, "attempts": d.attempts,
            "sent": d.sent_at, "next": d.next_try_at if d.state == "waiting" else None, "error": d.error,
            "tones": {"state": _SENT[d.state][1]},
            "actions": [action("again", "Send again")] if d.state in AGAIN else [],
        }
        for d in seen.deliveries
    ]  # fmt: skip


def past_rows(past: Sequence[Any]) -> list[dict[str, Any]]:
    rows = [
        {"id": f"{p.symbol}-{at:%Y%m%d%H%M}", "time": at, "symbol": p.symbol, "close": close,
         "since": (p.close / close - 1) * 100 if p.close and close else None}
        for p in past for at, close in zip(p.told, p.closes, strict=True)
    ]  # fmt: skip
    return sorted(rows, key=lambda row: row["time"], reverse=True)


def past_html(past: Sequence[Any]) -> str:
    """How often it would have told, and when last, as a sentence."""
    times = sorted(at for p in past for at in p.told)
    known = [p for p in past if p.first is not None]
    if not known:
        return "<p>There are no bars to try it on.</p>"
    count = len(times)
    said = f"<b>{count} time{'' if count == 1 else 's'}</b>" if count else "<b>never</b>"
    last = f", last on <b>{_day(times[-1])}</b>" if times else ""
    span = f"{_day(min(p.first for p in known))} to {_day(max(p.last for p in known))}"
    told = sum(bool(p.told) for p in past)
    many = f" On {told} of {len(past)} symbols." if len(past) > 1 else ""
    return f"<p>Would have told {said}{last}, on closed bars from {span}.{many}</p>"


def past_notes(past: Sequence[Any]) -> list[str]:
    notes = [f"{p.symbol}: {p.problem}" for p in past if p.problem]
    if any(p.simulated for p in past):
        notes.append("These bars are simulated.")
    return notes


def _day(at: datetime) -> str:
    return f"{at:%d %b %Y}"
