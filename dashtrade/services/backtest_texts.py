"""A run as the texts that ask for it: what a form, a report or a command would have been given. ``from_text`` in
``dashtrade.services.backtests`` reads them back to the same run."""

from __future__ import annotations

from typing import Any

from dashtrade.backtest.request import Cash, Percent, RiskPercent, Shares, Size
from dashtrade.domain.strategy import Stops, Strategy
from dashtrade.errors import InvalidInput
from dashtrade.services.backtests import RunRequest, parse_fraction, parse_size
from dashtrade.strategies import to_dict


def number_text(value: float) -> str:
    """The shortest text that is read back as exactly this number."""
    text = f"{value:.12g}"
    return text if float(text) == value else repr(float(value))


def share_text(value: float | None) -> str:
    """A fraction as percent where that is exact, such as ``0.1%``; empty for None."""
    if value is None:
        return ""
    text = f"{number_text(round(value * 100, 10))}%"
    return text if parse_fraction(text, "share") == value else repr(float(value))


def distance_text(stops: Stops | None, name: str) -> str:
    """A stop's distance as people write it, ``2%`` or ``3atr``; empty for none. ``name``: loss, profit or trail."""
    if stops is None:
        return ""
    multiple = getattr(stops, f"atr_{name}")
    return share_text(getattr(stops, name)) if multiple is None else f"{number_text(multiple)}atr"


def size_text(size: Size) -> str:
    """``50%``, ``$2000``, ``10 shares``, ``risk 1%``, or ``risk 1% 3atr`` for another stop than the usual one."""
    value = number_text(size.value)
    if isinstance(size, RiskPercent):
        usual = size.atr == RiskPercent(size.value).atr
        return f"risk {value}%" if usual else f"risk {value}% {number_text(size.atr)}atr"
    text = {Percent: f"{value}%", Cash: f"${value}", Shares: f"{value} shares"}[type(size)]
    assert parse_size(text) == size
    return text


def texts_of(request: RunRequest) -> dict[str, Any]:
    """The arguments of ``from_text`` that give this run, as plain values. A strategy of one's own goes in as its rules,
    with its stops and filters. Raises InvalidInput for stops over another window than the usual one, which no text
    says."""
    stops, plan, costs = request.stops, request.rebalance, request.costs
    if stops is not None and stops.atr_window != Stops().atr_window:
        raise InvalidInput(
            "stops", "put another ATR window into the strategy itself; a run's own stops have the usual."
        )
    own = isinstance(request.strategy, Strategy)
    found: dict[str, Any] = {
        "symbols": ", ".join(request.symbols),
        "strategy": request.strategy.name if isinstance(request.strategy, Strategy) else request.strategy,
        "settings": dict(request.settings),
        "rules": to_dict(request.strategy) if isinstance(request.strategy, Strategy) else {},
        "source": request.source or "",
        "period": request.period or "",
        "interval": request.interval,
        "start": "" if request.start is None else request.start.isoformat(),
        "end": "" if request.end is None else request.end.isoformat(),
        "cash": request.cash,
        "size": size_text(request.size),
        "direction": str(request.direction),
        "fill": str(request.fill),
        "stop_loss": distance_text(stops, "loss"),
        "take_profit": distance_text(stops, "profit"),
        "trail": distance_text(stops, "trail"),
        "time_stop": 0 if stops is None or stops.bars is None else stops.bars,
        "commission": share_text(costs.commission),
        "slippage": share_text(costs.slippage),
        "spread": share_text(costs.spread),
        "fixed_fee": costs.fixed,
        "whole_shares": request.whole_shares,
        "risk_free": share_text(request.risk_free),
    }
    if plan is not None:
        found |= {
            "rebalance": str(plan.weighting),
            "every": str(plan.every),
            "band": share_text(plan.band),
            "window": plan.window,
        }
    return {name: value for name, value in found.items() if name != "settings" or not own}
