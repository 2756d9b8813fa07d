"""The engine: equal to vectorbt's own call, reproduces published rows, leaves no trace of its stand-in."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import dashtrade as dt
from dashtrade.backtest import BacktestRequest, Costs, Percent, RiskPercent, Shares, Stops
from dashtrade.errors import BadBars, InvalidInput
from dashtrade.strategies import preset

SHARED = Path(__file__).parents[3].parent / "shared" / "data"
REFERENCE = SHARED / "backtests" / "backtestingpy_GOOG.json"


def bars_of(size: int = 400, seed: int = 3) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    closes = 80 * np.exp(np.cumsum(rng.normal(0.0003, 0.02, size)))
    opens = closes * np.exp(rng.normal(0, 0.008, size))
    highs = np.maximum(opens, closes) * np.exp(np.abs(rng.normal(0, 0.006, size)))
    lows = np.minimum(opens, closes) * np.exp(-np.abs(rng.normal(0, 0.006, size)))
    index = pd.date_range("2015-01-01", periods=size, freq="B", tz="UTC", name="time")
    frame = pd.DataFrame({"open": opens, "high": highs, "low": lows, "close": closes, "volume": 1e6}, index=index)
    frame.attrs = {"interval": "1d", "source": "test"}
    return frame


@pytest.fixture(scope="module")
def google() -> pd.DataFrame:
    path = SHARED / "daily" / "backtestingpy_GOOG_daily.csv.gz"
    if not path.is_file():
        pytest.skip("the recorded data is not beside the checkout")
    frame = pd.read_csv(path)
    index = pd.DatetimeIndex(pd.to_datetime(frame["date"], utc=True), name="time")
    return frame[["open", "high", "low", "close", "volume"]].astype(float).set_axis(index)


@pytest.mark.shared
@pytest.mark.parametrize("row", range(5))
def test_published_rows_of_another_engine(google, row):
    """backtesting.py's SmaCross over GOOG: all in, whole shares, reversing, commission on each side."""
    known = json.loads(REFERENCE.read_text())["backtestingpy_GOOG_SmaCross_0.6.6"]["rows"][row]
    result = dt.backtest(
        BacktestRequest(
            preset("sma_cross", fast=known["n1"], slow=known["n2"]),
            {"GOOG": google},
            direction="long_short",
            whole_shares=True,
            costs=Costs(commission=known["fee"], slippage=0),
        )
    )
    assert result.final_equity == pytest.approx(known["equity_final"], abs=1e-6)
    assert result.statistics["trades"] == known["trades"]
    assert 100 * result.statistics["max_drawdown"] == pytest.approx(known["max_dd_pct"], abs=1e-6)
    assert 100 * result.statistics["win_rate"] == pytest.approx(known["win_rate_pct"], abs=1e-6)


@pytest.mark.parametrize(
    "request_fields",
    [
        {"direction": "long_only", "stops": Stops(loss=0.02, profit=0.05)},
        {"direction": "short_only", "stops": Stops(trail=0.03), "size": Percent(50)},
        {"direction": "long_short", "stops": Stops(loss=0.04), "size": Shares(20)},
        {"direction": "long_only", "size": RiskPercent(1), "fill": "close"},
    ],
)
def test_equal_to_vectorbt_on_the_same_rows(request_fields):
    """``result.portfolio()`` is vectorbt's public ``Portfolio.from_signals``; its numba path is asked, not ours."""
    result = dt.backtest(BacktestRequest("ema_cross", {"X": bars_of()}, costs=Costs(0.001, 0.0005), **request_fields))
    portfolio = result.portfolio()
    orders = portfolio.orders.values
    assert len(orders) == len(result.orders) > 4
    np.testing.assert_allclose(orders["size"], result.orders["qty"], rtol=1e-12)
    np.testing.assert_allclose(orders["price"], result.orders["price"], rtol=1e-12)
    np.testing.assert_allclose(orders["fees"], result.orders["fees"], rtol=1e-12)
    values = np.asarray(portfolio.value()).ravel()[result.rows_per_bar - 1 :: result.rows_per_bar]
    np.testing.assert_allclose(values, result.equity.to_numpy(), rtol=1e-12)


def test_the_first_result_does_not_import_vectorbt():
    code = """
import sys
from dashtrade.data.sample import SampleSource
from dashtrade.domain.market import HistoryRequest
import dashtrade as dt
from dashtrade.backtest import BacktestRequest
bars = SampleSource().history(HistoryRequest.parse("AAPL", "1d", "1y"))
result = dt.backtest(BacktestRequest("ema_cross", {"AAPL": bars}))
assert len(result.orders)
heavy = {"vectorbt", "numba", "plotly", "sklearn", "matplotlib", "scipy"} & set(sys.modules)
assert not heavy, heavy
assert not [m for m in sys.modules if m.startswith("vectorbt.")]
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_threads_share_the_stand_in():
    """Many runs at once give what one run gives, and nothing stays behind."""
    request = BacktestRequest("ema_cross", {"X": bars_of()}, stops=Stops(loss=0.03))
    alone = dt.backtest(request).provenance["result_hash"]
    found: list[str] = []
    threads = [
        threading.Thread(target=lambda: found.extend(dt.backtest(request).provenance["result_hash"] for _ in range(8)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [alone] * 32
    assert getattr(sys.modules.get("vectorbt"), "__file__", "real") is not None


def test_a_gap_through_the_stop_fills_at_the_open():
    """Worked by hand: bought at 100, stop 5 % below, the next day opens at 90."""
    bars = bars_of(6)
    bars[["open", "high", "low", "close"]] = [
        [100, 101, 99, 100], [100, 101, 99, 100], [100, 102, 98, 101], [90, 93, 88, 92],
        [92, 93, 91, 92], [92, 93, 91, 92],
    ]  # fmt: skip
    strategy = dt.Strategy("buy", long_entry=preset("buy_and_hold").long_entry, stops=Stops(loss=0.05), cooldown=9)
    result = dt.backtest(BacktestRequest(strategy, {"X": bars}, cash=1000, costs=Costs(slippage=0)))
    assert result.orders[["side", "price", "qty", "reason"]].values.tolist() == [
        ["buy", 100.0, 10.0, "entry"],
        ["sell", 90.0, 10.0, "stop"],
    ]
    assert result.final_equity == 900.0
    assert result.trades.loc[0, "return"] == pytest.approx(-0.10)


def test_the_stop_goes_before_the_target_inside_one_bar():
    bars = bars_of(5)
    bars[["open", "high", "low", "close"]] = [
        [100, 101, 99, 100], [100, 101, 99, 100], [100, 120, 80, 100], [100, 101, 99, 100], [100, 101, 99, 100],
    ]  # fmt: skip
    strategy = dt.Strategy("buy", long_entry=preset("buy_and_hold").long_entry, cooldown=9)
    stops = Stops(loss=0.1, profit=0.1)
    result = dt.backtest(BacktestRequest(strategy, {"X": bars}, stops=stops, costs=Costs(slippage=0)))
    assert result.orders["price"].tolist() == [100.0, 90.0]
    assert result.orders["reason"].tolist() == ["entry", "stop"]


def test_wrong_input_names_the_field_and_the_remedy():
    bars = bars_of(50)
    with pytest.raises(InvalidInput, match=r"direction.*long_only"):
        BacktestRequest("ema_cross", {"X": bars}, direction="up")
    with pytest.raises(InvalidInput, match=r"strategy.*ema_cross"):
        dt.backtest(BacktestRequest("nothing", {"X": bars}))
    with pytest.raises(InvalidInput, match="short"):
        dt.backtest(BacktestRequest("buy_and_hold", {"X": bars}, direction="short_only"))
    with pytest.raises(BadBars, match="no close"):
        dt.backtest(BacktestRequest("ema_cross", {"X": bars.drop(columns="close")}))
    with pytest.raises(BadBars, match="sorted"):
        dt.backtest(BacktestRequest("ema_cross", {"X": bars.iloc[::-1]}))
    with pytest.raises(InvalidInput, match="cash"):
        BacktestRequest("ema_cross", {"X": bars}, cash=0)
    with pytest.raises(InvalidInput, match="loss"):
        Stops(loss=-0.02)
    with pytest.raises(InvalidInput, match="commission"):
        Costs(commission=0.7)


def test_running_again_gives_the_same_hashes():
    first = dt.backtest(BacktestRequest("macd", {"X": bars_of()}))
    again = dt.backtest(BacktestRequest("macd", {"X": bars_of()}))
    other = dt.backtest(BacktestRequest("macd", {"X": bars_of(seed=4)}))
    names = ("bars_hash", "request_hash", "result_hash")
    assert [first.provenance[n] for n in names] == [again.provenance[n] for n in names]
    assert first.provenance["bars_hash"] != other.provenance["bars_hash"]


def test_a_short_that_ruins_the_account_is_said_so():
    bars = bars_of(40)
    prices = np.concatenate(([100.0] * 5, np.linspace(100, 500, 35)))
    for name, factor in (("open", 1.0), ("close", 1.0), ("high", 1.001), ("low", 0.999)):
        bars[name] = prices * factor
    short = dt.Strategy("short", short_entry=preset("buy_and_hold").long_entry)
    result = dt.backtest(BacktestRequest(short, {"X": bars}, direction="short_only"))
    assert result.final_equity < 0
    assert result.statistics["ruined"] == 1.0
    assert result.statistics["cagr"] == -1.0
    assert any("ruined" in w for w in result.warnings)
    json.loads(result.to_json())
