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
    assert results.num_trades == results.winning_trades + results.losing_trades == plain.statistics["trades"]
    assert results.total_return_percent == pytest.approx(100 * (plain.final_equity / 5000 - 1))
    assert results.max_drawdown == pytest.approx(-100 * plain.statistics["max_drawdown"])
    assert results.win_rate == pytest.approx(100 * results.winning_trades / results.num_trades)
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
    assert Backtester().backtest_strategy(frame, [*ENTRY, never], EXIT).num_trades == 0
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
        .set_stops(stop_loss_pct=5)
    )
    built = builder.build()
    assert isinstance(built, CustomStrategy) and built.strategy().stops.loss == 0.05
    results = builder.test_on_data("AAPL", period="5y", interval="1d", source="sample")
    assert results.num_trades > 5
    assert {t.exit_reason for t in results.trades} <= {"exit", "stop", "open"}


def test_every_documented_field_has_its_documented_meaning(frame):
    """Counted again from the list of trades."""
    results = Backtester().backtest_strategy(frame, ENTRY, EXIT)
    closed = [t for t in results.trades if not t.is_open]
    wins, losses = [t.pnl for t in closed if t.pnl > 0], [t.pnl for t in closed if t.pnl < 0]
    assert len(wins) > 1 and len(losses) > 1
    assert results.total_pnl == pytest.approx(sum(t.pnl for t in closed))
    assert (results.num_trades, results.winning_trades, results.losing_trades) == (len(closed), len(wins), len(losses))
    assert results.avg_win == pytest.approx(sum(wins) / len(wins))
    assert results.avg_loss == pytest.approx(sum(losses) / len(losses))
    assert (results.largest_win, results.largest_loss) == (max(wins), min(losses))
    signs = "".join("+" if t.pnl > 0 else "-" for t in sorted(closed, key=lambda t: t.exit_date))
    assert results.consecutive_wins == max(len(run) for run in signs.split("-"))
    assert results.consecutive_losses == max(len(run) for run in signs.split("+"))
    curve = [10_000, *results.equity_curve]
    falls = [100 * (1 - value / max(curve[: n + 1])) for n, value in enumerate(curve)]
    assert results.max_drawdown == pytest.approx(max(falls))
    for trade in closed:
        assert trade.side == "LONG" and trade.entry_date < trade.exit_date
        assert trade.pnl == pytest.approx(trade.quantity * (trade.exit_price - trade.entry_price) - trade.fees)
        assert trade.pnl_percent == pytest.approx(100 * (trade.exit_price / trade.entry_price - 1))


def test_no_trade_at_all_is_zero_where_documented(frame):
    results = Backtester().backtest_strategy(frame, ["close < 0"])
    assert results.num_trades == results.total_pnl == results.win_rate == results.avg_win == results.largest_loss == 0
    assert np.isnan(results.profit_factor)


def test_the_documented_ways_to_build():
    by_name = StrategyBuilder()
    by_name.add_condition("entry", "ema_9", "crosses_above", "ema_20")
    by_name.add_condition("entry", "rsi", ">", "30")
    by_name.add_condition(condition_type="exit", indicator1="price", operator="<", indicator2="support")
    short = StrategyBuilder().add_condition("ema_9", "crosses_above", "ema_20").add_entry_condition("rsi > 30")
    short.add_condition("price", "<", "support", kind="exit")
    assert by_name.build().strategy() == short.build().strategy()
    documented = CustomStrategy("x", ENTRY, EXIT, 2.0, 5.0)
    assert (documented.strategy().stops.loss, documented.strategy().stops.profit) == (0.02, 0.05)


@pytest.mark.parametrize("wrong", [{"stop_loss_pct": "2%"}, {"stop_loss_pct": 100}, {"take_profit_pct": -1}])
def test_a_wrong_distance_names_its_field(frame, wrong):
    with pytest.raises(InvalidInput, match=next(iter(wrong))):
        Backtester().backtest_strategy(frame, ENTRY, EXIT, **wrong)
