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

__all__ = [
    "DEFAULT_WEIGHTS",
    "MEASURES",
    "Comparison",
    "common_prices",
    "compare",
    "ranking",
    "relative_strength",
    "rolling_correlation",
]
