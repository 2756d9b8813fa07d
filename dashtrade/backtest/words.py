"""Names and number formats of statistics, for the command line, pages and reports."""

from __future__ import annotations

import math

from dashtrade.domain.formats import Formats

STATISTICS = {
    "final_equity": "Final equity",
    "total_return": "Total return",
    "buy_and_hold_return": "Buy and hold",
    "cagr": "Yearly growth (CAGR)",
    "volatility": "Volatility (yearly)",
    "sharpe": "Sharpe ratio",
    "sortino": "Sortino ratio",
    "sharpe_monthly": "Sharpe of months (TradingView)",
    "sortino_monthly": "Sortino of months (TradingView)",
    "calmar": "Calmar ratio",
    "omega": "Omega ratio",
    "max_drawdown": "Max drawdown",
    "longest_drawdown_bars": "Longest drawdown (bars)",
    "value_at_risk_5": "Value at risk, 5 % (one bar)",
    "conditional_value_at_risk_5": "Expected shortfall, 5 %",
    "tail_ratio": "Tail ratio",
    "skewness": "Skewness",
    "kurtosis": "Kurtosis over normal",
    "alpha": "Alpha (yearly)",
    "beta": "Beta",
    "information_ratio": "Information ratio (one bar)",
    "probabilistic_sharpe": "P(true Sharpe > 0)",
    "trades": "Closed trades",
    "open_trades": "Open trades",
    "win_rate": "Win rate",
    "profit_factor": "Profit factor",
    "expectancy": "Expectancy",
    "average_win": "Average win",
    "average_loss": "Average loss",
    "largest_win": "Largest win",
    "largest_loss": "Largest loss",
    "consecutive_wins": "Wins in a row",
    "consecutive_losses": "Losses in a row",
    "system_quality": "System quality (SQN)",
    "kelly": "Kelly fraction",
    "average_bars_in_trade": "Bars in a trade (mean)",
    "exposure": "Time in the market",
    "turnover": "Turnover (yearly)",
    "fees_paid": "Fees paid",
}
_SHARES = {
    "total_return", "buy_and_hold_return", "cagr", "volatility", "max_drawdown", "value_at_risk_5",
    "conditional_value_at_risk_5", "alpha", "probabilistic_sharpe", "win_rate", "kelly", "exposure",
}  # fmt: skip
_COUNTS = {"longest_drawdown_bars", "trades", "open_trades", "consecutive_wins", "consecutive_losses"}


def shown(key: str, value: float, write: Formats = Formats()) -> str:
    """A statistic as people read it; a dash where it is not defined."""
    if math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if key in _SHARES:
        return f"{write.number(value * 100)}%"
    if key in _COUNTS:
        return write.number(value, 0)
    return write.number(value)
