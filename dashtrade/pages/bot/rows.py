"""Rows and columns of the bot page's tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from dashtrade.domain.bot_views import BotView, SignalView, TradeView
from dashtrade.domain.bots import AccountMode, RiskLimits
from dashtrade.pages.bot.services import Snapshot
from dashtrade.pages.formats import formats
from dashtrade.pages.widgets.table import Column, action

if TYPE_CHECKING:
    from dashtrade.bots.performance import PricedFill
    from dashtrade.bots.replay import Replay
    from dashtrade.pages.bot.study import Compared
    from dashtrade.services.bot_performance import BotPerformance

BOTS = (
    Column("symbol", "Symbol"),
    Column("timeframe", "Timeframe"),
    Column("state", "State", "badge"),
    Column("mode", "Account", "badge"),
    Column("day", "Day P&L $", "signed", help="Realised today and open now, as the daily loss limit counts it"),
    Column("pnl", "Total P&L $", "signed", help="Realised since the bot was made, by FIFO lots, and open now"),
    Column("position", "Position", "number", 9, 0, help="Shares held by this bot; below zero is short"),
    Column("actions", "Actions", "actions"),
    Column("size", "Size $", "money", help="Dollars for each entry"),
    Column("direction", "Direction"),
    Column("limits", "Limits", help="A loss in a day, a size of the position, orders a day, a share of equity"),
    Column("strategy", "Strategy"),
    Column("trades", "Trades", "number", 0),
    Column("signal", "Last signal"),
    Column("signal_time", "At", "time", seconds=True),
)
POSITIONS = (
    Column("symbol", "Symbol"),
    Column("bot", "Bot"),
    Column("mode", "Account", "badge"),
    Column("qty", "Quantity", "number", 9, 0),
    Column("avg_price", "Average price", "money", 4, 2),
    Column("cost", "Cost $", "money"),
    Column("price", "Latest price", "money", 4, 2),
    Column("open", "Open P&L $", "signed", help="If the position were closed at the latest price"),
    Column("opened_at", "Open since", "time"),
)
TRADES = (
    Column("created_at", "Time", "time", seconds=True),
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
    Column("received_at", "Received", "time", seconds=True),
    Column("symbol", "Symbol"),
    Column("timeframe", "Timeframe"),
    Column("action", "Action", "badge"),
    Column("state", "Outcome", "badge"),
    Column("explanation", "Reason"),
    Column("latency", "Latency ms", "number", 1, help="From the first byte of the request to its answer"),
    Column("to_fill", "To fill ms", "number", 0, help="From the request to the last fill of its orders"),
    Column("steps", "Steps", help="When each step happened, in milliseconds after the alert arrived"),
    Column("status", "HTTP", "number", 0),
    Column("payload", "Payload", "code"),
)
RISK = (
    Column("created_at", "Time", "time", seconds=True),
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

HALTS = (
    Column("scope", "Stops", "badge"),
    Column("symbol", "Symbol"),
    Column("cause", "Cause"),
    Column("reason", "Reason"),
    Column("set_by", "Set by"),
    Column("set_at", "Since", "time"),
    Column("actions", "Actions", "actions"),
)
COMPARED = (
    Column("bot", "Bot"),
    Column("strategy", "Strategy"),
    Column("since", "Since", "date"),
    Column("matched", "Matched", "number", 0, help="Fills that both the backtest and the bot had"),
    Column("missed", "Missed", "number", 0, help="Fills of the backtest that the bot never had"),
    Column("extra", "Extra", "number", 0, help="Fills of the bot that the backtest knows nothing of"),
    Column("mean", "Slippage bps", "number", 1, help="On average, above zero where the bot did worse"),
    Column("median", "Median bps", "number", 1),
    Column("pnl", "Realised $", "signed"),
    Column("actions", "Actions", "actions"),
)
FILLS = (
    Column("time", "Time", "time", seconds=True),
    Column("state", "State", "badge"),
    Column("side", "Side", "badge"),
    Column("expected", "Backtest price", "money", 4, 2),
    Column("actual", "Bot price", "money", 4, 2),
    Column("slippage", "Slippage bps", "number", 1, help="Above zero where the bot did worse"),
    Column("delay", "Delay s", "number", 1, help="From the backtest's fill to the bot's"),
    Column("qty", "Quantity", "number", 9, 0),
)
VERDICTS = (
    Column("at", "Received", "time", seconds=True),
    Column("action", "Action", "badge"),
    Column("price", "Price", "money", 4, 2),
    Column("was", "Then", "badge", help="How the alert really ended"),
    Column("outcome", "Under these limits", "badge"),
    Column("why", "Why"),
    Column("held", "Holds after", "number", 4, 0),
    Column("pnl", "P&L $", "signed"),
)

_GOOD = {"traded", "matched", "filled", "done", "success", "buy"}
_BAD = {"missed", "rejected", "error", "refused", "failed", "sell"}
_WARN = {"extra", "skipped", "expired", "canceled", "unknown", "duplicate", "ignored", "submitted", "partially_filled"}


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
        result = snapshot.results.get(bot.id)
        switch = action("off", "Switch off") if c.is_active else action("on", "Switch on")
        yield {
            "id": bot.id, "name": name_of(bot), "symbol": c.symbol, "timeframe": c.timeframe,
            "state": "● On" if c.is_active else "○ Off", "mode": c.account_mode.value.title(),
            "tones": {"state": "good" if c.is_active else "plain", "mode": _mode_tone(c.account_mode)},
            "direction": c.direction.value.replace("_", " "), "size": c.position_size, "position": bot.position_qty,
            "day": result.day if result else None, "pnl": result.total if result else bot.total_pnl,
            "limits": limits_text(c.limits), "strategy": c.strategy_name,
            "trades": bot.total_trades, "signal": bot.last_signal, "signal_time": bot.last_signal_time,
            "actions": [
                switch, action("edit", "Edit"), action("setup", "Alert"), action("delete", "Delete", "danger"),
            ],
        }  # fmt: skip


def limits_text(limits: RiskLimits) -> str:
    """The limits that are on, shortly."""
    f = formats()
    texts = (
        limits.daily_loss_limit and f"loss a day {f.money(limits.daily_loss_limit, places=0)}",
        limits.max_position_size and f"position {f.money(limits.max_position_size, places=0)}",
        limits.max_drawdown and f"drawdown {f.money(limits.max_drawdown, places=0)}",
        limits.risk_limit_percent and f"{f.short(limits.risk_limit_percent)} % of equity",
        limits.max_orders_per_day and f"{limits.max_orders_per_day} orders a day",
        limits.cooldown_losses and f"pause after {limits.cooldown_losses} losses",
    )
    return " · ".join(text for text in texts if text) or "none"


def position_rows(snapshot: Snapshot) -> Iterator[dict[str, Any]]:
    names = {b.id: name_of(b) for b in snapshot.bots}
    for p in snapshot.positions:
        yield {
            "id": f"{p.bot_id}/{p.symbol}", "symbol": p.symbol, "bot": names.get(p.bot_id, f"bot {p.bot_id}"),
            "mode": p.account_mode.title(), "tones": {"mode": "accent"}, "qty": p.qty, "avg_price": p.avg_price,
            "cost": p.cost, "opened_at": p.opened_at, "price": snapshot.prices.get(p.symbol),
            "open": p.qty * snapshot.prices[p.symbol] - p.cost if p.symbol in snapshot.prices else None,
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
            "timeframe": s.timeframe, "steps": steps_text(s),
            "tones": {"state": tone(s.state), "action": tone(s.action)}, "explanation": s.explanation,
            "latency": s.latency_ms, "to_fill": milliseconds_to_fill(s), "status": s.status, "payload": s.payload,
        }  # fmt: skip


def steps_text(signal: SignalView) -> str:
    """``stored +3 ms · decided +20 ms``: each step after the arrival."""
    f = formats()
    later = [(step.name, (step.at - signal.received_at).total_seconds() * 1000) for step in signal.steps[1:]]
    return " · ".join(f"{name.removeprefix('leg 1 ')} +{f.number(max(ms, 0), 0)} ms" for name, ms in later)


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


def halt_rows(snapshot: Snapshot) -> Iterator[dict[str, Any]]:
    scopes = {"system": "Everybody", "user": "All my bots", "symbol": "One symbol"}
    for halt in snapshot.halts:
        yield {
            "id": halt.id, "name": halt.scope, "scope": scopes.get(halt.scope, halt.scope), "symbol": halt.symbol,
            "tones": {"scope": "bad"}, "cause": halt.cause, "reason": halt.reason, "set_by": halt.set_by,
            "set_at": halt.set_at, "actions": [action("resume", "Resume")] if halt.user_id is not None else [],
        }  # fmt: skip


def compared_rows(snapshot: Snapshot, compared: Mapping[int, Compared]) -> Iterator[dict[str, Any]]:
    for bot in snapshot.bots:
        one = compared.get(bot.id)
        if one is None:
            continue
        found = one.found
        yield {
            "id": bot.id, "bot": name_of(bot), "strategy": bot.config.strategy_name,
            "since": found and found.start, "matched": found and len(found.pairs),
            "missed": found and len(found.missed), "extra": found and len(found.extra),
            "mean": found and found.mean_slippage_bps, "median": found and found.median_slippage_bps,
            "pnl": found and found.realized_pnl, "actions": [action("look", "Show")] if found else [],
        }  # fmt: skip


def fill_rows(found: BotPerformance) -> list[dict[str, Any]]:
    """Every fill of either, newest first."""
    rows = [_fill_row("matched", pair.actual, pair.expected.price, pair.actual.price) for pair in found.pairs]
    for shown, pair in zip(rows, found.pairs, strict=True):
        shown |= {"slippage": pair.slippage_bps, "delay": pair.delay.total_seconds()}
    rows += [_fill_row("missed", fill, fill.price, None) for fill in found.missed]
    rows += [_fill_row("extra", fill, None, fill.price) for fill in found.extra]
    rows.sort(key=lambda shown: shown["time"], reverse=True)
    return [shown | {"id": number} for number, shown in enumerate(rows)]


def _fill_row(state: str, fill: PricedFill, expected: float | None, actual: float | None) -> dict[str, Any]:
    side = "▲ BUY" if fill.side == "buy" else "▼ SELL"
    return {
        "time": fill.time, "state": state, "side": side, "expected": expected, "actual": actual, "qty": fill.qty,
        "tones": {"state": tone(state), "side": tone(fill.side)}, "slippage": None, "delay": None,
    }  # fmt: skip


def verdict_rows(found: Replay) -> Iterator[dict[str, Any]]:
    """Newest first."""
    for v in reversed(found.verdicts):
        yield {
            "id": v.past.id, "at": v.past.at, "action": v.past.alert.action.value, "price": v.past.price,
            "was": v.past.was, "outcome": v.outcome, "why": v.why, "held": v.held, "pnl": v.pnl,
            "tones": {"was": tone(v.past.was), "outcome": tone(v.outcome), "action": tone(v.past.alert.action.value)},
        }  # fmt: skip


def replay_sentence(found: Replay) -> str:
    """What the limits would have done, in one or two sentences."""
    f = formats()
    count = len(found.verdicts)
    if not count:
        return "This bot has no stored alert yet."
    then = {"done", "planned"}
    newly = sum(v.past.was in then for v in found.refused)
    text = f"Of {count} alert{'s' if count > 1 else ''}, {found.traded} would have been traded and "
    text += f"{len(found.refused)} refused"
    text += f", {newly} of which {'was' if newly == 1 else 'were'} really traded." if newly else "."
    text += f" Realised {f.money(found.realized, signed=True)}, at worst {f.money(found.lowest, signed=True)}."
    return text


def by_limit(found: Replay) -> list[tuple[str, int]]:
    """How many each limit refused, the busiest first."""
    counts: dict[str, int] = {}
    for v in found.refused:
        name = (v.limit or "other").replace("_", " ").capitalize()
        counts[name] = counts.get(name, 0) + 1
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))
