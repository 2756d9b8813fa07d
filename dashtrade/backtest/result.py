"""What a backtest gives back."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from dashtrade.backtest.request import BacktestRequest
from dashtrade.backtest.vectorbt_engine import Rows, portfolio
from dashtrade.backtest.words import STATISTICS, shown
from dashtrade.display import Displayed, Fact
from dashtrade.domain.strategy import Strategy
from dashtrade.errors import InvalidInput

if TYPE_CHECKING:
    from ipywidgets import DOMWidget
    from matplotlib.figure import Figure

_KEY_FIGURES = ("total_return", "buy_and_hold_return", "sharpe", "max_drawdown", "trades", "win_rate", "profit_factor")


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class BacktestResult(Displayed):
    """Frozen result of one backtest.

    ``orders``: time (start of the bar of the fill, UTC), symbol, side, price (with slippage), qty, fees, reason.
    ``trades``: flat to flat, see ``dashtrade.backtest.trades.trade_table``. ``equity`` and ``drawdown``: one value a
    bar,
    at its close. ``benchmark``: equity of buying the same symbols in equal parts at the first open and keeping
    them, without costs. ``statistics``: name → number, NaN where not defined. ``contribution``: pnl of each symbol.
    ``warnings``: sentences that belong beside the numbers. ``provenance``: how to make it again. ``.to_frame()`` is the
    table of statistics, ``.plot()`` the equity to zoom, ``.figure()`` the same for a report.
    """

    request: BacktestRequest
    strategy: Strategy
    orders: pd.DataFrame
    trades: pd.DataFrame
    equity: pd.Series
    drawdown: pd.Series
    positions: pd.DataFrame
    benchmark: pd.Series
    statistics: dict[str, float]
    contribution: dict[str, float]
    warnings: tuple[str, ...]
    provenance: dict[str, Any]
    rows: Rows | Callable[[], Rows] | None = field(repr=False)
    rows_per_bar: int = 2

    @property
    def final_equity(self) -> float:
        return float(self.equity.iloc[-1])

    def portfolio(self) -> Any:
        """The same simulation as a ``vectorbt.Portfolio``, on the rows of the two-phase bars (the import takes
        seconds)."""
        if self.rows is None:
            raise InvalidInput("portfolio", "vectorbt has no such simulation for rebalanced symbols; use orders.")
        index = pd.MultiIndex.from_product([self.equity.index, range(self.rows_per_bar)], names=["time", "phase"])
        rows = self.rows() if callable(self.rows) else self.rows
        return portfolio(rows, index, list(self.request.bars))

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values: times as ISO 8601 in UTC, an undefined number as None."""
        return {
            "strategy": self.strategy.name,
            "symbols": list(self.request.bars),
            "initial_cash": self.request.cash,
            "final_equity": self.final_equity,
            "orders": records(self.orders),
            "trades": records(self.trades),
            "statistics": {k: plain(v) for k, v in self.statistics.items()},
            "contribution": {k: plain(v) for k, v in self.contribution.items()},
            "warnings": list(self.warnings),
            "provenance": plain(self.provenance),
        }

    def to_json(self) -> str:
        return json.dumps(self.to_dict(), allow_nan=False)

    def to_frame(self) -> pd.DataFrame:
        """One row a statistic, named by its key: ``label``, ``value`` (a number), ``shown`` (as people read it)."""
        rows = {k: (STATISTICS.get(k, k), v, shown(k, v)) for k, v in self.statistics.items()}
        return pd.DataFrame.from_dict(rows, orient="index", columns=["label", "value", "shown"])

    def plot(self) -> DOMWidget:
        from dashtrade.display.plots import equity_plot

        return equity_plot(self.equity, self.drawdown, self.benchmark)

    def figure(self) -> Figure:
        from dashtrade.display.figures import equity_figure

        return equity_figure(self.equity, self.drawdown, self.benchmark)

    def _headline(self) -> str:
        first, last = self.equity.index[0], self.equity.index[-1]
        return f"{self.strategy.name} on {', '.join(self.request.bars)}, {first:%Y-%m-%d} to {last:%Y-%m-%d}"

    def _facts(self) -> Sequence[Fact]:
        return (
            ("Final equity", f"{self.final_equity:,.2f}"),
            *((STATISTICS[k], shown(k, self.statistics[k])) for k in _KEY_FIGURES),
        )

    def _notes(self) -> Sequence[str]:
        return (*self.warnings, f"Orders, SHA-256: {str(self.provenance['result_hash'])[:16]}…")


def plain(value: Any) -> Any:
    """JSON values of ours: no NaN, no infinity, no NumPy types, times in ISO 8601."""
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, pd.Timestamp):
        return value.isoformat()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of a table as plain values."""
    names = list(table.columns)
    return [{n: plain(v) for n, v in zip(names, row, strict=True)} for row in table.itertuples(index=False, name=None)]
