"""Returns of calendar months and years, as tables for heat maps."""

from __future__ import annotations

import numpy as np
import pandas as pd

from dashtrade.backtest.result import BacktestResult

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def monthly_table(result: BacktestResult) -> pd.DataFrame:
    """Returns of calendar months as fractions: one row a year, columns 1–12, NaN where there is no bar."""
    return monthly_returns(result.equity, result.request.cash)


def monthly_returns(equity: pd.Series, cash: float) -> pd.DataFrame:
    """The same of any equity curve that began with ``cash``. A month is that of the bars' own clock (UTC).

    A month after ruin (equity at or below 0 before it) is NaN.
    """
    times = pd.DatetimeIndex(equity.index)
    table = _changes(equity, [times.year, times.month], cash).unstack().reindex(columns=range(1, 13))
    table.index.name, table.columns.name = "year", "month"
    return table


def yearly_returns(equity: pd.Series, cash: float) -> pd.Series:
    """Returns of calendar years, indexed by year."""
    changes = _changes(equity, [pd.DatetimeIndex(equity.index).year], cash)
    changes.index.name = "year"
    return changes


def _changes(equity: pd.Series, by: list[pd.Index], cash: float) -> pd.Series:
    last = equity.groupby(by).last()
    before = np.concatenate(([cash], last.to_numpy()[:-1]))
    with np.errstate(divide="ignore", invalid="ignore"):
        return pd.Series(np.where(before > 0, last.to_numpy() / before - 1, np.nan), index=last.index, name="return")
