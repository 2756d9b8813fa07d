"""Backtests that could have been earned: ``backtest(BacktestRequest(...))`` on two-phase bars."""

from __future__ import annotations

from dashtrade.backtest.control import Cancelled
from dashtrade.backtest.rebalance import Rebalance
from dashtrade.backtest.request import BacktestRequest, Cash, Costs, Fill, Percent, RiskPercent, Shares
from dashtrade.backtest.result import BacktestResult
from dashtrade.backtest.run import backtest
from dashtrade.backtest.sweep import SweepOptions, SweepResult, sweep
from dashtrade.backtest.walkforward import WalkForwardResult, Windows, walk_forward
from dashtrade.callable_module import make_callable
from dashtrade.domain.strategy import Direction, Stops, Strategy

__all__ = [
    "BacktestRequest",
    "BacktestResult",
    "Cancelled",
    "Cash",
    "Costs",
    "Direction",
    "Fill",
    "Percent",
    "Rebalance",
    "RiskPercent",
    "Shares",
    "Stops",
    "Strategy",
    "SweepOptions",
    "SweepResult",
    "WalkForwardResult",
    "Windows",
    "backtest",
    "sweep",
    "walk_forward",
]

make_callable(__name__, "backtest")
