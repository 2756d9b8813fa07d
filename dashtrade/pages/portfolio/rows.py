"""Rows, columns and cards of the portfolio page."""

from __future__ import annotations

from decimal import Decimal
from math import isfinite
from typing import Any
from urllib.parse import urlencode

from dashtrade.pages.formats import formats
from dashtrade.pages.widgets.bits import Card
from dashtrade.pages.widgets.table import Column, action, link

WATCH = (
    Column("symbol", "Symbol", "link"),
    Column("price", "Price", "money", 4, 2),
    Column("change", "Change %", "signed", help="Against the bar before"),
    Column("trend", "Trend", "badge", help="Close and 20-bar average above (up) or below (down) the 50-bar average"),
    Column("rsi", "RSI", "number", 1, help="Wilder's RSI of 14 closed daily bars"),
    Column("signal", "Signal", "badge", help="The votes of the analysis page, from closed bars only"),
    Column("score", "Score", "number", 0, help="From −100 to 100"),
    Column(
        "patterns", "Patterns", help="Candlestick patterns of the last 3 bars, chart patterns confirmed in the last 10"
    ),
    Column("spark", "60 days", "spark"),
    Column("notes", "Notes"),
    Column("actions", "Actions", "actions"),
    Column("time", "Bar of", "date"),
    Column("problem", "Remark", help="Why a figure is missing"),
)
SCAN = (
    Column("symbol", "Symbol", "link"),
    Column("now", "Rule is", "badge"),
    Column("since", "Last became true", "date"),
    Column("times", "Times in a year", "number", 0),
    Column("problem", "Remark"),
)
HOLDINGS = (
    Column("symbol", "Symbol"),
    Column("account", "Account", "badge"),
    Column("qty", "Quantity", "number", 9, 0, help="Below zero is short"),
    Column("avg_price", "Average price", "money", 4, 2),
    Column("price", "Price", "money", 4, 2, help="Of the last daily bar"),
    Column("value", "Value $", "money"),
    Column("unrealised", "Unrealised $", "signed"),
    Column("share", "Unrealised %", "signed"),
    Column("opened_at", "Open since", "time"),
)
DAYS = (
    Column("day", "Day", "date"),
    Column("equity", "Equity $", "money"),
    Column("change", "Change %", "signed", help="Against the day before; money paid in or out is in it"),
    Column("drawdown", "Drawdown %", "number", help="Below the highest so far"),
    Column("benchmark", "Benchmark", "money", 4, 2),
)
NOTHING_WATCHED = "Nothing is watched yet. Add a ticker above."
NO_CURVE = (
    "No curve yet: an account's value is kept once for each trading day after the close, while the trader runs. "
    "Come back after two trading days."
)
_TREND = {"up": ("▲ up", "good"), "down": ("▼ down", "bad"), "sideways": ("■ sideways", "plain")}
_SIGNAL = {"BUY": ("▲ BUY", "good"), "SELL": ("▼ SELL", "bad"), "HOLD": ("■ HOLD", "plain")}


def watch_rows(watched: Any, *, in_list: bool = False, source: str = "") -> list[dict[str, Any]]:
    """One row a symbol; in a list its button takes it out of the list, which asks no second time."""
    take = action("remove", "Take out") if in_list else action("remove", "Remove", "danger")
    rows = []
    for row in watched.rows:
        trend, signal = _TREND.get(row.trend, ("–", "plain")), _SIGNAL.get(row.signal, ("–", "plain"))
        rows.append({
            "id": row.symbol, "name": row.symbol, "symbol": chart(row.symbol, source), "price": row.price,
            "change": None if row.change is None else row.change * 100,
            "trend": trend[0], "rsi": row.rsi, "signal": signal[0], "score": row.score,
            "patterns": _patterns(row.patterns),
            "spark": list(row.spark), "time": row.time, "notes": row.notes,
            "problem": row.problem,
            "tones": {"trend": trend[1], "signal": signal[1]},
            "actions": [action("note", "Note"), take],
        })  # fmt: skip
    return rows


def chart(symbol: str, source: str) -> dict[str, str]:
    """The symbol, leading to the analysis page on the same source."""
    return link(symbol, f"analysis?{urlencode({'symbol': symbol} | ({'source': source} if source else {}))}")


def _patterns(marks: Any) -> str:
    """The two newest by name, and how many more there are."""
    named = [f"{'▲' if m.direction > 0 else '▼'} {m.name}" for m in marks[:2]]
    return ", ".join(named) + (f" +{len(marks) - 2}" if len(marks) > 2 else "")


def scan_rows(hits: Any, *, source: str = "") -> list[dict[str, Any]]:
    return [
        {
            "id": hit.symbol, "name": hit.symbol, "symbol": chart(hit.symbol, source),
            "now": "✓ true" if hit.now else "– not true", "since": hit.since,
            "times": hit.times, "problem": hit.problem, "tones": {"now": "good" if hit.now else "plain"},
        }
        for hit in hits
    ]  # fmt: skip


def holding_rows(book: Any) -> list[dict[str, Any]]:
    return [
        {
            "id": f"{h.account}-{h.symbol}-{n}", "symbol": h.symbol, "account": h.account, "qty": h.qty,
            "avg_price": h.avg_price, "price": h.price, "value": h.value, "unrealised": h.unrealised,
            "share": None if h.unrealised_share is None else h.unrealised_share * 100, "opened_at": h.opened_at,
            "tones": {"account": "warn" if h.account == "live" else "plain"},
        }
        for n, h in enumerate(book.holdings)
    ]  # fmt: skip


def day_rows(curve: Any) -> list[dict[str, Any]]:
    """Newest first."""
    return [
        {
            "id": f"{day:%Y-%m-%d}", "day": day.to_pydatetime(), "equity": values["equity"],
            "change": values["change"] * 100, "drawdown": values["drawdown"] * 100, "benchmark": values["benchmark"],
        }
        for day, values in curve.table[::-1].iterrows()
    ]  # fmt: skip


def account_cards(summary: Any, risk: Any) -> list[Card]:
    """The figures of one account; what is not known is a dash, never a nought."""
    cards = [
        Card("Equity", money(summary.equity), "As the broker last said"),
        signed("Day P&L", summary.day_pnl, "Equity − the equity at the last close", note=percent(summary.day_return)),
        signed("Realised", summary.realised, "Of all the account's bots, by FIFO lots"),
        signed("Unrealised", summary.unrealised, "Quantity × (price − average price) of what is open"),
        Card("Gross exposure", money(summary.gross), "Long value + the size of short value",
             note=f"net {money(summary.net)}"),
        Card("Leverage", "–" if summary.leverage is None else f"{summary.leverage:.2f}×", "Gross exposure / equity"),
        Card("Largest", summary.largest or "–", "The holding with most of the gross exposure",
             note="" if summary.largest_share is None else percent(summary.largest_share)),
        Card("Concentration", "–" if summary.concentration is None else f"{summary.concentration:.2f}",
             "Herfindahl index: 1 for one holding, 1/n for n equal ones"),
    ]  # fmt: skip
    if risk is not None:
        cards += [
            Card("VaR 95 %, a day", percent(risk.value_at_risk),
                 "In the past year, today's holdings lost more than this on one day in twenty; share of equity"),
            Card("CVaR 95 %", percent(risk.expected_shortfall), "Mean loss of those worst days"),
            Card("Deepest drawdown", percent(risk.max_drawdown), "Of today's holdings, held through the past year"),
            Card("Volatility", percent(risk.volatility), "A year, of today's holdings"),
            Card("Past year", percent(risk.total_return), "Of today's holdings, resized daily to today's value",
                 note=f"benchmark {percent(risk.benchmark_return)}"),
            Card("Beta", f"{risk.beta:.2f}" if isfinite(risk.beta) else "–", "Against the benchmark"),
        ]  # fmt: skip
    return cards


def money(value: Decimal | None) -> str:
    return formats().money(value)


def percent(value: Decimal | float | None) -> str:
    return formats().percent(value, 1)


def signed(name: str, value: Decimal | None, help_text: str, *, note: str = "") -> Card:
    arrow = "▲ " if value and value > 0 else "▼ " if value and value < 0 else ""
    tone: Any = "good" if value and value > 0 else "bad" if value and value < 0 else "plain"
    return Card(name, arrow + money(value), help_text, note=note if note != "–" else "", tone=tone)
