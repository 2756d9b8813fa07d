"""DashTrade: a trading research workbench for Jupyter.

The public names below resolve on first use (PEP 562), so that ``import dashtrade`` stays light.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

# public name → module that defines it
_PUBLIC: dict[str, str] = {
    "DashTradeError": "dashtrade.errors",
    "history": "dashtrade.bootstrap",
    "search": "dashtrade.bootstrap",
    "indicator": "dashtrade.indicators",
    "indicators": "dashtrade.indicators",
    "candlestick_patterns": "dashtrade.patterns",
    "chart_patterns": "dashtrade.patterns",
    "levels": "dashtrade.analysis",
    "signal": "dashtrade.analysis",
    "analyze": "dashtrade.analysis",
    "Strategy": "dashtrade.strategies",
    "backtest": "dashtrade.backtest",
    "sweep": "dashtrade.backtest",
    "walk_forward": "dashtrade.backtest",
    "BacktestRequest": "dashtrade.backtest",
    "Backtester": "dashtrade.backtest.classes",
    "BacktestResults": "dashtrade.backtest.classes",
    "Trade": "dashtrade.backtest.classes",
    "StrategyCondition": "dashtrade.backtest.classes",
    "CustomStrategy": "dashtrade.backtest.classes",
    "StrategyBuilder": "dashtrade.builder",
    "AlertMonitor": "dashtrade.alert_monitor",
    "compare": "dashtrade.comparing",
    "ComparisonAnalyzer": "dashtrade.comparing",
    "portfolio": "dashtrade.portfolio",
    "chart": "dashtrade.charting",
}

__all__ = ["__version__", *_PUBLIC]


def __getattr__(name: str) -> Any:
    module = _PUBLIC.get(name)
    if module is None:
        raise AttributeError(f"module 'dashtrade' has no attribute {name!r}")
    home = import_module(module)
    # a package that can be called stays itself, whichever way it was reached first: dt.backtest(…), dt.backtest.request
    value = home if module == f"dashtrade.{name}" else getattr(home, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
