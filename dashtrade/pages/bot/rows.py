"""Rows and columns of the bot page's tables."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dashtrade.domain.bot_views import BotView, SignalView, TradeView
from dashtrade.domain.bots import AccountMode
from dashtrade.pages.bot.model import Snapshot
from dashtrade.pages.widgets.table import Column, action

BOTS = (
    Column("symbol", "Symbol"),
    Column("timeframe", "Timeframe"),
    Column("state", "State", "badge"),
    Column("mode", "Account", "badge"),
    Column("direction", "Direction"),
    Column("size", "Size $", "money", help="Dollars for each entry"),
    Column("position", "Position", "number", 9, 0, help="Shares held by this bot; below zero is short"),
    Column("pnl", "P&L $", "signed", help="Realised profit and loss since the bot was made"),
    Column("trades", "Trades", "number", 0),
    Column("signal", "Last signal"),
    Column("signal_time", "At", "time"),
    Column("actions", "Actions", "actions"),
)
POSITIONS = (
    Column("symbol", "Symbol"),
    Column("bot", "Bot"),
    Column("mode", "Account", "badge"),
    Column("qty", "Quantity", "number", 9, 0),
    Column("avg_price", "Average price", "money", 4, 2),
    Column("cost", "Cost $", "money"),
    Column("opened_at", "Open since", "time"),
)
TRADES = (
    Column("created_at", "Time", "time"),
    Column("symbol", "Symbol"),
    Column("timeframe", "Timeframe"),
    Column("action", "Action", "badge"),
    Column("purpose", "Purpose"),
    Column("status", "Status", "badge"),
    Column("notional", "Notional $", "money"),
    Column("filled_qty", "Filled", "number", 9, 0),
    Column("filled_avg_price", "Price", "money", 4, 2),
    Column("pnl", "P&L $", "signed"),
    Column("why", "Why"),
    Column("order_id", "Order", "code"),
)
SIGNALS = (
    Column("received_at", "Received", "time"),
    Column("symbol", "Symbol"),
    Column("action", "Action", "badge"),
    Column("state", "Outcome", "badge"),
    Column("explanation", "Reason"),
    Column("latency", "Latency ms", "number", 1, help="From the first byte of the request to its answer"),
    Column("to_fill", "To fill ms", "number", 0, help="From the request to the last fill of its orders"),
    Column("status", "HTTP", "number", 0),
    Column("payload", "Payload", "code"),
)
RISK = (
    Column("created_at", "Time", "time"),
    Column("event_type", "Event", "badge"),
    Column("symbol", "Symbol"),
    Column("timeframe", "Timeframe"),
    Column("threshold", "Limit", "number"),
    Column("current", "Value", "number"),
    Column("action_taken", "Action taken"),
    Column("message", "What happened"),
)
TOKENS = (
    Column("prefix", "Token", "code"),
    Column("label", "Label"),
    Column("scope", "For"),
    Column("state", "State", "badge"),
    Column("requests", "Requests", "number", 0),
    Column("last_used_at", "Last used", "time"),
    Column("actions", "Actions", "actions"),
)

_GOOD = {"filled", "done", "success", "buy"}
_BAD = {"rejected", "error", "refused", "failed", "sell"}
_WARN = {"expired", "canceled", "unknown", "duplicate", "ignored", "submitted", "partially_filled"}


def tone(word: str | None) -> str:
    text = (word or "").lower()
    return "good" if text in _GOOD else "bad" if text in _BAD else "warn" if text in _WARN else "plain"


def _mode_tone(mode: AccountMode) -> str:
    return "warn" if mode is AccountMode.LIVE else "accent"


def name_of(bot: BotView) -> str:
    return f"{bot.config.symbol} · {bot.config.timeframe.value}"


def bot_rows(snapshot: Snapshot) -> Iterator[dict[str, Any]]:
    for bot in snapshot.bots:
        c = bot.config
        switch = action("off", "Switch off") if c.is_active else action("on", "Switch on")
        yield {
            "id": bot.id, "name": name_of(bot), "symbol": c.symbol, "timeframe": c.timeframe,
            "state": "● On" if c.is_active else "○ Off", "mode": c.account_mode.value.title(),
            "tones": {"state": "good" if c.is_active else "plain", "mode": _mode_tone(c.account_mode)},
            "direction": c.direction.value.replace("_", " "), "size": c.position_size, "position": bot.position_qty,
            "pnl": bot.total_pnl, "trades": bot.total_trades, "signal": bot.last_signal,
            "signal_time": bot.last_signal_time,
            "actions": [switch, action("setup", "Set up"), action("delete", "Delete", "danger")],
        }  # fmt: skip


def position_rows(snapshot: Snapshot) -> Iterator[dict[str, Any]]:
    names = {b.id: name_of(b) for b in snapshot.bots}
    for p in snapshot.positions:
        yield {
            "id": f"{p.bot_id}/{p.symbol}", "symbol": p.symbol, "bot": names.get(p.bot_id, f"bot {p.bot_id}"),
            "mode": p.account_mode.title(), "tones": {"mode": "accent"}, "qty": p.qty, "avg_price": p.avg_price,
            "cost": p.cost, "opened_at": p.opened_at,
        }  # fmt: skip


def trade_rows(snapshot: Snapshot) -> Iterator[dict[str, Any]]:
    for trade in snapshot.trades:
        yield _trade_row(trade)


def _trade_row(trade: TradeView) -> dict[str, Any]:
    arrow = {"BUY": "▲ BUY", "SELL": "▼ SELL"}.get(trade.action.upper(), trade.action)
    return {
        "id": trade.id, "created_at": trade.created_at, "symbol": trade.symbol, "timeframe": trade.timeframe,
        "action": arrow, "purpose": trade.purpose, "status": trade.status,
        "tones": {"status": tone(trade.status), "action": tone(trade.action)},
        "notional": trade.notional, "filled_qty": trade.filled_qty, "filled_avg_price": trade.filled_avg_price,
        "pnl": trade.realized_pnl if trade.purpose == "exit" else None,
        "why": trade.error_message or trade.explanation, "order_id": trade.order_id,
    }  # fmt: skip


def signal_rows(snapshot: Snapshot) -> Iterator[dict[str, Any]]:
    for s in snapshot.signals:
        yield {
            "id": s.request_id, "received_at": s.received_at, "symbol": s.symbol, "action": s.action, "state": s.state,
            "tones": {"state": tone(s.state), "action": tone(s.action)}, "explanation": s.explanation,
            "latency": s.latency_ms, "to_fill": milliseconds_to_fill(s), "status": s.status, "payload": s.payload,
        }  # fmt: skip


def milliseconds_to_fill(signal: SignalView) -> float | None:
    """From the arrival of the alert to its last fill; None where nothing was filled."""
    fills = [step.at for step in signal.steps if step.name.endswith("filled")]
    return (max(fills) - signal.received_at).total_seconds() * 1000 if fills else None


def risk_rows(snapshot: Snapshot) -> Iterator[dict[str, Any]]:
    for e in snapshot.risk_events:
        yield {
            "id": e.id, "created_at": e.created_at, "event_type": e.event_type.replace("_", " "),
            "tones": {"event_type": "bad"}, "symbol": e.symbol, "timeframe": e.timeframe,
            "threshold": e.threshold_value, "current": e.current_value,
            "action_taken": e.action_taken, "message": e.message,
        }  # fmt: skip


def token_rows(snapshot: Snapshot) -> Iterator[dict[str, Any]]:
    names = {b.id: name_of(b) for b in snapshot.bots}
    for token in snapshot.tokens:
        yield {
            "id": token.id, "name": token.prefix, "prefix": f"{token.prefix}…", "label": token.label,
            "scope": "all bots" if token.bot_id is None else names.get(token.bot_id, f"bot {token.bot_id}"),
            "state": "active" if token.is_active else "revoked",
            "tones": {"state": "good" if token.is_active else "plain"},
            "requests": token.request_count, "last_used_at": token.last_used_at,
            "actions": [action("revoke", "Revoke", "danger")] if token.is_active else [],
        }  # fmt: skip
