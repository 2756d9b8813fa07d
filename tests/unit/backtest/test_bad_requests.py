"""What a request may not be is said in one typed error, and bars with holes lose no decision."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import dashtrade as dt
from dashtrade.backtest import BacktestRequest, Cash, Costs, Percent, Stops
from dashtrade.domain.strategy import Condition, Number, Operand, Operator, Signals, Strategy
from dashtrade.errors import BadBars, InvalidInput

ALWAYS = Condition(Number(1), Operator.ABOVE, Number(0))
STRATEGY = Strategy("x", long_entry=ALWAYS, short_entry=ALWAYS)


def frame(prices, start="2024-01-01") -> pd.DataFrame:
    values = np.asarray(prices, dtype=float)
    index = pd.date_range(start, periods=len(values), freq="D", tz="UTC", name="time")
    return pd.DataFrame({"open": values, "high": values, "low": values, "close": values, "volume": 1.0}, index=index)


BARS = frame([100, 101, 102, 103, 104, 105])


def changed(**columns) -> pd.DataFrame:
    bars = BARS.copy()
    for name, (place, value) in columns.items():
        bars.iloc[place, bars.columns.get_loc(name)] = value
    return bars


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: BacktestRequest(STRATEGY, BARS), "bars"),
        (lambda: BacktestRequest(STRATEGY, {}), "bars"),
        (lambda: BacktestRequest(None, {"X": BARS}), "strategy"),
        (lambda: BacktestRequest(STRATEGY, {"X": BARS}, size=50), r"Percent\(50\)"),
        (lambda: BacktestRequest(STRATEGY, {"X": BARS}, costs=0.001), "costs"),
        (lambda: BacktestRequest(STRATEGY, {"X": BARS}, stops=0.02), "stops"),
        (lambda: BacktestRequest(STRATEGY, {"X": BARS}, cash="1000"), "cash"),
        (lambda: BacktestRequest(STRATEGY, {"X": BARS}, cash=float("nan")), "cash"),
        (lambda: BacktestRequest(STRATEGY, {"X": BARS}, risk_free="2%"), "risk_free"),
        (lambda: BacktestRequest(STRATEGY, {"X": BARS}, seed=-1), "seed"),
        (lambda: Costs(commission="0.1%"), "commission"),
        (lambda: Costs(slippage=-0.1), "slippage"),
        (lambda: Cash(0), "size"),
        (lambda: Percent(101), "size"),
        (lambda: Stops(loss="2%"), "loss"),
        (lambda: Stops(profit=float("inf")), "profit"),
        (lambda: Stops(bars=1.5), "bars"),
    ],
)
def test_a_wrong_request_is_named(make, says):
    with pytest.raises(InvalidInput, match=says):
        make()


@pytest.mark.parametrize(
    ("bars", "says"),
    [
        ({"X": None}, "must be a DataFrame"),
        ({"X": BARS.iloc[:1]}, "at least 2"),
        ({"X": BARS.drop(columns="low")}, "no low"),
        ({"X": BARS.astype(object).replace(103.0, "n/a")}, "not all numbers"),
        ({"X": changed(close=(2, np.inf))}, "infinite"),
        ({"X": changed(low=(2, 0.0))}, "at or below 0"),
        ({"X": changed(high=(2, 90.0))}, "high below its low at 2024-01-03"),
        ({"X": BARS, "Y": BARS.tz_localize(None)}, "time zone"),
        ({"X": BARS.reset_index(drop=True)}, "DatetimeIndex"),
        ({"X": BARS.iloc[::-1]}, "sorted"),
        ({"X": pd.concat([BARS, BARS.tail(1)])}, "repeats"),
    ],
)
def test_bars_that_cannot_be_used_are_named(bars, says):
    with pytest.raises(BadBars, match=says):
        dt.backtest(BacktestRequest(STRATEGY, bars))


def test_numpy_numbers_are_numbers():
    request = BacktestRequest(STRATEGY, {"X": BARS}, cash=np.int64(500), size=Percent(np.float32(50)), seed=3)
    assert dt.backtest(request).to_dict()["initial_cash"] == 500


@pytest.mark.parametrize("column", ["open", "high", "low", "close"])
def test_a_bar_with_a_hole_loses_no_decision(column):
    """In at the second open; the exit is decided on the third bar, and the fourth has a hole: out at the fifth."""
    leave = Condition(Operand("close"), Operator.ABOVE, Number(101.5))
    strategy = Strategy("x", long_entry=Condition(Operand("close"), Operator.BELOW, Number(100.5)), long_exit=leave)
    request = BacktestRequest(strategy, {"X": changed(**{column: (3, np.nan)})}, costs=Costs(0, 0))
    result = dt.backtest(request)
    assert result.orders["time"].dt.day.tolist() == [2, 5]
    assert result.orders["price"].tolist() == [101.0, 104.0]
    assert any("1 bars of X had not all four prices" in line for line in result.warnings)
    assert len(result.equity) == 5


def test_zero_or_unknown_volume_changes_nothing():
    plain = dt.backtest(BacktestRequest("ema_cross", {"X": BARS}))
    for volume in (0.0, np.nan):
        again = dt.backtest(BacktestRequest("ema_cross", {"X": BARS.assign(volume=volume)}))
        assert again.final_equity == plain.final_equity


def test_a_ruined_account_says_when_and_makes_no_empty_orders():
    prices = frame([100, 100, 100, 250, 300, 300, 50, 50])
    strategy = Strategy("x", short_entry=ALWAYS)
    result = dt.backtest(BacktestRequest(strategy, {"X": prices}, costs=Costs(0, 0), direction="short_only"))
    assert result.statistics["ruined"] == 1
    assert any("on 2024-01-04" in line for line in result.warnings)
    leave = [False, False, False, False, True, True, True, False]
    never = np.zeros(8, dtype=bool)
    signals = Signals(never, never, np.ones(8, dtype=bool) & ~np.array(leave), np.array(leave))
    request = BacktestRequest(
        strategy, {"X": prices}, costs=Costs(0, 0), direction="short_only", whole_shares=True, size=Cash(9_990)
    )
    orders = dt.backtest(request, {"X": signals}).orders
    assert (orders["qty"] > 0).all()


def test_a_symbol_that_stops_trading_is_said():
    short = BARS.iloc[:3]
    result = dt.backtest(BacktestRequest("buy_and_hold", {"A": BARS, "B": short}, size=Percent(40)))
    assert any("B has no bars after 2024-01-03" in line for line in result.warnings)
    assert sum(result.contribution.values()) == pytest.approx(result.final_equity - 10_000)
