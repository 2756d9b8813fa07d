"""Several symbols compared, and what an account holds: pure functions over bars, positions and prices."""

from __future__ import annotations

from dashtrade.callable_module import make_callable
from dashtrade.portfolio.comparison import (
    DEFAULT_WEIGHTS,
    MEASURES,
    Comparison,
    common_prices,
    compare,
    ranking,
    relative_strength,
    rolling_correlation,
)
from dashtrade.portfolio.holdings import AccountSummary, Holding, HoldingsRisk, holdings_risk, summarise
from dashtrade.portfolio.report import Portfolio, portfolio

__all__ = [
    "DEFAULT_WEIGHTS",
    "MEASURES",
    "AccountSummary",
    "Comparison",
    "Holding",
    "HoldingsRisk",
    "Portfolio",
    "common_prices",
    "compare",
    "holdings_risk",
    "portfolio",
    "ranking",
    "relative_strength",
    "rolling_correlation",
    "summarise",
]

make_callable(__name__, "portfolio")
