"""The documented classes run on the same engine and refuse what they do not know."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import dashtrade as dt
from dashtrade.backtest import BacktestRequest, Costs
from dashtrade.backtest.classes import Backtester, BacktestResults, CustomStrategy, StrategyCondition, Trade
from dashtrade.builder import StrategyBuilder
from dashtrade.errors import InvalidInput
from dashtrade.strategies import preset


@pytest.fixture
def frame() -> pd.DataFrame:
    rng = np.random.default_rng(4)
    closes = 60 * np.exp(np.cumsum(rng.normal(0.0004, 0.015, 400)))
    index = pd.date_range("2019-01-01", periods=400, freq="B")
    data = {"Open": closes * 0.999, "High": closes * 1.01, "Low": closes * 0.99, "Close": closes, "Volume": 1e6}
    return pd.DataFrame(data, index=index)


ENTRY = [StrategyCondition("ema_9", "crosses_above", "ema_21")]
EXIT = [{"indicator1": "ema_9", "operator": "crosses_below", "indicator2": "ema_21"}]


def test_the_same_as_the_engine(frame):
    results = Backtester().backtest_strategy(frame, ENTRY, EXIT, initial_capital=5000, position_size_pct=50)
    assert isinstance(results, BacktestResults)
    bars = frame.rename(columns=str.lower).tz_localize("UTC")
    plain = dt.backtest(
        BacktestRequest(preset("ema_cross"), {"S": bars}, cash=5000, size=dt.backtest.Percent(50), costs=Costs())
    )
    assert results.final_capital == plain.final_equity
    assert results.total_trades == results.winning_trades + results.losing_trades == plain.statistics["trades"]
    assert results.total_return_pct == pytest.approx(100 * (plain.final_equity / 5000 - 1))
    assert results.max_drawdown_pct == pytest.approx(-100 * plain.statistics["max_drawdown"])
    assert results.win_rate == pytest.approx(100 * results.winning_trades / results.total_trades)
    assert all(isinstance(t, Trade) for t in results.trades)
    total = sum(t.pnl for t in results.trades)
    assert 5000 + total == pytest.approx(results.final_capital)
    assert list(frame.columns) == ["Open", "High", "Low", "Close", "Volume"], "the caller's frame is not changed"


def test_conditions_in_every_form_mean_the_same(frame):
    forms = [
        "ema_9 crosses_above ema_21",
        ("ema_9", "crosses above", "ema_21"),
        *ENTRY,
        {**EXIT[0], "operator": "crosses_above"},
    ]
    found = {Backtester().backtest_strategy(frame, [form], EXIT).final_capital for form in forms}
    assert len(found) == 1


def test_all_entries_and_any_exit(frame):
    never = StrategyCondition("close", "<", 0)
    assert Backtester().backtest_strategy(frame, [*ENTRY, never], EXIT).total_trades == 0
    with_never = Backtester().backtest_strategy(frame, ENTRY, [*EXIT, never])
    assert with_never.final_capital == Backtester().backtest_strategy(frame, ENTRY, EXIT).final_capital


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: StrategyCondition("emma_9", ">", 3), "did you mean ema"),
        (lambda: StrategyCondition("ema_9", "=>", 3), "crosses_above"),
        (lambda: Backtester().backtest_strategy(pd.DataFrame(), [{"indicator": "x"}]), "indicator1"),
        (lambda: StrategyBuilder().add_condition("rsi", "<", 30, kind="entrance"), "entry"),
        (lambda: StrategyBuilder().build(), "no entry"),
        (lambda: StrategyBuilder().add_condition("rsi", "<"), "indicator2"),
    ],
)
def test_the_unknown_is_an_error_with_options(make, says):
    with pytest.raises(InvalidInput, match=says):
        make()


def test_the_builder_tests_on_sample_data(tmp_path, monkeypatch):
    builder = (
        StrategyBuilder("mine")
        .add_condition("ema_9", "crosses_above", "ema_21")
        .add_condition("rsi < 70")
        .add_exit_condition("ema_9", "crosses_below", "ema_21")
        .set_stops(stop_loss=0.05)
    )
    built = builder.build()
    assert isinstance(built, CustomStrategy) and built.strategy().stops.loss == 0.05
    results = builder.test_on_data("AAPL", period="5y", interval="1d", source="sample")
    assert results.total_trades > 5
    assert {t.exit_reason for t in results.trades} <= {"exit", "stop", "open"}
