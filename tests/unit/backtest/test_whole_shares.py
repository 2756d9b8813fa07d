"""Whole shares: an order that comes to none is no order, and costs nothing."""

from __future__ import annotations

import pandas as pd

import dashtrade as dt
from dashtrade.backtest import BacktestRequest, Costs, Percent
from dashtrade.domain.strategy import Signals, Strategy
from dashtrade.strategies import parse_condition


def flat(price, count=6):
    index = pd.date_range("2024-01-02", periods=count, freq="B", tz="UTC", name="time")
    return pd.DataFrame(dict.fromkeys(("open", "high", "low", "close"), price), index=index).assign(volume=1.0)


def test_no_fee_where_not_one_share_fits():
    bars = {"A": flat(90.0), "B": flat(15.0)}
    at_once = pd.Series([True] * 6).to_numpy()
    never = ~at_once
    signals = {name: Signals(at_once, never, never, never) for name in bars}
    request = BacktestRequest(
        Strategy("x", long_entry=parse_condition("close > 0")), bars, cash=100.0, size=Percent(100),
        costs=Costs(commission=0.0, slippage=0.0, spread=0.0, fixed=1.0), whole_shares=True,
    )  # fmt: skip
    result = dt.backtest(request, signals)
    assert result.orders[["symbol", "qty", "fees"]].values.tolist() == [["A", 1.0, 1.0]]
    assert result.final_equity == 99.0
