"""Several symbols compared, and what an account holds: pure functions over bars, positions and prices."""

from __future__ import annotations

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

__all__ = [
    "DEFAULT_WEIGHTS",
    "MEASURES",
    "AccountSummary",
    "Comparison",
    "Holding",
    "HoldingsRisk",
    "common_prices",
    "compare",
    "holdings_risk",
    "ranking",
    "relative_strength",
    "rolling_correlation",
    "summarise",
]
