"""Backtests that could have been earned: ``backtest(BacktestRequest(...))`` on two-phase bars."""

from __future__ import annotations

from dashtrade.backtest.request import BacktestRequest, Cash, Costs, Fill, Percent, RiskPercent, Shares
from dashtrade.backtest.result import BacktestResult
from dashtrade.backtest.run import backtest
from dashtrade.callable_module import make_callable
from dashtrade.domain.strategy import Direction, Stops, Strategy

__all__ = [
    "BacktestRequest",
    "BacktestResult",
    "Cash",
    "Costs",
    "Direction",
    "Fill",
    "Percent",
    "RiskPercent",
    "Shares",
    "Stops",
    "Strategy",
    "backtest",
]

make_callable(__name__, "backtest")
