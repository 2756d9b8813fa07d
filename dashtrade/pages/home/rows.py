"""Rows, columns, cards and lists of the home page."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import Any
from urllib.parse import urlencode

from dashtrade.domain.market import Quote
from dashtrade.pages.formats import formats
from dashtrade.pages.home.model import SAMPLE, Overview
from dashtrade.pages.widgets.bits import Card, Tone, badge_html
from dashtrade.pages.widgets.table import Column, action, link

BOTS = (
    Column("name", "Bot"),
    Column("state", "State", "badge"),
    Column("position", "Position", "number", 9, 0),
    Column("today", "Today $", "signed", help="Realised since midnight in New York"),
    Column("pnl", "P&L $", "signed", help="Realised since the bot was made, by FIFO lots"),
    Column("signal_time", "Last signal", "time"),
)
POSITIONS = (
    Column("symbol", "Symbol", "link"),
    Column("account", "Account", "badge"),
    Column("qty", "Quantity", "number", 9, 0, help="Below zero is short"),
    Column("avg_price", "Average price", "money", 4, 2),
    Column("opened_at", "Open since", "time"),
)
SIGNALS = (
    Column("received_at", "Received", "time"),
    Column("symbol", "Symbol"),
    Column("action", "Action"),
    Column("state", "Outcome", "badge"),
    Column("explanation", "Reason"),
)
ALERTS = (
    Column("time", "Told", "time"),
    Column("symbol", "Symbol", "link"),
    Column("condition", "Condition"),
    Column("close", "Price then", "money", 4, 2),
)
REPORTS = (
    Column("time", "Asked", "time"),
    Column("title", "Report"),
    Column("status", "Status", "badge"),
    Column("page", "Page", "link"),
)
MOVERS = (
    Column("symbol", "Symbol", "link"),
    Column("price", "Price", "money", 4, 2),
    Column("change", "Change %", "signed", help="The latest price against the close before; the widest move first"),
    Column("source", "Source", "badge"),
    Column("actions", "Actions", "actions"),
    Column("time", "At", "time"),
)
_PAGES = {"bot": "Trading bot", "reports": "Reports", "account": "Account"}
_RUNS: dict[str, tuple[str, Tone]] = {
    "queued": ("… waiting", "warn"),
    "running": ("▶ running", "accent"),
    "done": ("✓ done", "good"),
    "failed": ("✕ failed", "bad"),
}


def analysis(symbol: str, *, sample: bool = False) -> str:
    return f"analysis?{urlencode({'symbol': symbol} | ({'source': SAMPLE} if sample else {}))}"


def cards(o: Overview) -> list[Card]:
    made = [_signed(f"Today, {a.mode}", a.equity - a.last_equity, "The account's equity − its equity at the last close",
                    note=formats().money(a.equity))
            for a in o.accounts if a.equity is not None and a.last_equity is not None]  # fmt: skip
    return [
        *made,
        _signed("Realised P&L", o.realised, "Of all bots, since they were made, by FIFO lots"),
        Card("Bots switched on", f"{o.active} of {len(o.bots)}"),
        Card("Open positions", str(len(o.positions))),
        Card("Symbols followed", str(len(o.watchlist))),
    ]


def attention(o: Overview) -> str:
    """A list of sentences with a link each; the grave ones are marked and come first."""
    if not o.attention:
        return '<p class="dt-muted">✓ Nothing needs your attention.</p>'
    items = "".join(
        f"<li><span aria-hidden='true' "
        f'class="{"dt-down" if item.grave else "dt-warn"}">{"■" if item.grave else "⚠"}</span>'
        f'<span>{escape(item.text)} <a class="dt-link" href="{escape(item.href)}">'
        f"{_PAGES[item.href.split('?')[0]]}</a></span></li>"
        for item in o.attention
    )
    return f'<div role="status"><ul class="dt-list">{items}</ul></div>'


def steps(o: Overview, *, sample: bool) -> str:
    """Four first steps with links; what is done is ticked."""
    source = f"&source={SAMPLE}" if sample else ""
    listed = (
        (o.steps.chart, "Look at a chart", f"analysis?symbol=AAPL{source}", "price, indicators, patterns, a signal"),
        (o.steps.backtest, "Run a backtest", f"backtest?symbols=AAPL{source}", "how a strategy would have done"),
        (o.steps.strategy, "Save a strategy of your own", "strategies?tab=build", "from rows of rules"),
        (o.steps.trade, "Make a simulated trade", "bot?tab=setup", "a bot, a test alert, and no real money"),
    )
    items = "".join(
        f'<li><span aria-hidden="true" class="{"dt-up" if done else "dt-muted"}">{"✓" if done else "○"}</span>'
        f'<span><a class="dt-link" href="{escape(href)}">{text}</a>'
        f'<span class="dt-muted"> · {"done" if done else what}</span></span></li>'
        for done, text, href, what in listed
    )
    return (
        f'<p class="dt-muted">{o.steps.done} of 4 done <progress max="4" value="{o.steps.done}" '
        f'aria-label="First steps done"></progress></p><ol class="dt-list">{items}</ol>'
    )


def system(o: Overview) -> str:
    """The trader, the prices and when this was read, as badges with words."""
    if o.trader_on:
        trader = badge_html("● Trader runs", "good")
    else:
        seen = f"last seen {formats().when(o.trader_seen)}" if o.trader_seen else "has not run yet"
        trader = badge_html(f"○ Trader: {seen}", "warn", formats().hint(o.trader_seen) if o.trader_seen else "")
    quotes = [quote for _, quote in o.quotes]
    if o.price_problem:
        prices = badge_html("✕ No prices", "bad", o.price_problem)
    elif not quotes:
        prices = badge_html("○ No prices asked for", "plain")
    else:
        newest = max(quote.time for quote in quotes)
        sources = ", ".join(sorted({told(quote) for quote in quotes}))
        made_up = any(quote.simulated for quote in quotes)
        tone: Tone = "warn" if made_up else "good"
        prices = badge_html(f"{sources} · {formats().clock(newest)}", tone, formats().hint(newest))
    halted = badge_html("■ Entries stopped", "bad") if o.halts else badge_html("● Entries allowed", "good")
    return f'<div class="dt-head">{trader}{prices}{halted}</div>'


def bot_rows(o: Overview) -> Iterator[dict[str, Any]]:
    for bot in o.bots:
        on = bot.config.is_active
        yield {
            "id": bot.id, "name": f"{bot.config.symbol} · {bot.config.timeframe.value}",
            "state": "● On" if on else "○ Off", "tones": {"state": "good" if on else "plain"},
            "position": bot.position_qty, "today": o.today.get(bot.id, 0), "pnl": bot.total_pnl,
            "signal_time": bot.last_signal_time,
        }  # fmt: skip


def position_rows(o: Overview) -> Iterator[dict[str, Any]]:
    for number, held in enumerate(o.positions):
        yield {
            "id": f"{held.bot_id}-{number}", "symbol": link(held.symbol, analysis(held.symbol)),
            "account": held.account_mode, "qty": held.qty, "avg_price": held.avg_price, "opened_at": held.opened_at,
            "tones": {"account": "warn" if held.account_mode == "live" else "plain"},
        }  # fmt: skip


def signal_rows(o: Overview) -> Iterator[dict[str, Any]]:
    tones = {"done": "good", "rejected": "bad", "refused": "bad"}
    for s in o.signals:
        yield {
            "id": s.request_id, "received_at": s.received_at, "symbol": s.symbol, "action": s.action,
            "state": s.state, "tones": {"state": tones.get(s.state, "plain")}, "explanation": s.explanation,
        }  # fmt: skip


def alert_rows(o: Overview) -> Iterator[dict[str, Any]]:
    for told_one in o.told:
        event = told_one.event
        yield {
            "id": event.id, "time": event.triggered_at, "symbol": link(event.symbol, analysis(event.symbol)),
            "condition": event.condition, "close": told_one.close,
        }  # fmt: skip


def report_rows(o: Overview) -> Iterator[dict[str, Any]]:
    for run in o.reports:
        text, tone = _RUNS[run.status]
        yield {
            "id": run.id, "time": run.created_at, "title": run.schedule or run.report.replace("_", " ").capitalize(),
            "status": text, "tones": {"status": tone},
            "page": link("Open", f"reports/{run.id}.html") if run.status == "done" else None,
        }  # fmt: skip


def mover_rows(o: Overview, *, sample: bool) -> list[dict[str, Any]]:
    """The widest move first; symbols without one keep their order behind."""
    quotes = dict(o.quotes)
    rows = []
    for watched in o.watchlist:
        quote, change = quotes.get(watched.symbol), o.change(watched.symbol)
        made_up = quote is not None and quote.simulated
        rows.append({
            "id": watched.symbol, "name": watched.symbol,
            "symbol": link(watched.symbol, analysis(watched.symbol, sample=sample)),
            "price": quote.price if quote else None, "change": None if change is None else change * 100,
            "time": quote.time if quote else None, "source": None if quote is None else told(quote),
            "tones": {"source": "warn" if made_up else "plain"}, "actions": [action("unwatch", "Remove")],
        })  # fmt: skip
    return sorted(rows, key=lambda row: -abs(row["change"]) if row["change"] is not None else 1)


def told(quote: Quote) -> str:
    """The source, and its delay where it has one."""
    if quote.simulated:
        return "simulated"
    return f"{quote.source}, {age(quote.delay_seconds)}" if quote.delay_seconds >= 60 else quote.source


def age(seconds: float) -> str:
    """How late a price is, in the unit that says it shortest."""
    minutes = int(seconds // 60)
    if minutes < 120:
        return f"{minutes} min delayed"
    return f"{minutes // 60} h old" if minutes < 48 * 60 else f"{minutes // (24 * 60)} days old"


def _signed(name: str, value: Any, help_text: str, *, note: str = "") -> Card:
    arrow = "▲ " if value > 0 else "▼ " if value < 0 else ""
    tone: Tone = "good" if value > 0 else "bad" if value < 0 else "plain"
    return Card(name, arrow + formats().money(value), help_text, note=note, tone=tone)
