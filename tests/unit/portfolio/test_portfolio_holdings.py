"""Holdings, exposure and risk, by hand and against empyrical-reloaded."""

from __future__ import annotations

import math
from decimal import Decimal as D

import empyrical
import numpy as np
import pandas as pd
import pytest

from dashtrade.errors import BadBars, InvalidInput
from dashtrade.portfolio.holdings import Holding, holdings_risk, summarise

BOOK = (
    Holding("AAPL", "paper", D(10), D(100), D(120)),
    Holding("TSLA", "paper", D(-5), D(200), D(160)),
    Holding("IBM", "paper", D(2), D(50), None),
    Holding("AAPL", "simulated", D(1), D(1), D(120)),
)


def test_results_and_exposure_worked_out_by_hand() -> None:
    found = summarise("paper", BOOK, equity=D(4000), last_equity=D(4100), cash=D(3500), realised=D("12.50"))
    assert (found.day_pnl, found.day_return) == (D(-100), D(-100) / D(4100))
    assert BOOK[0].unrealised == 200 and BOOK[1].unrealised == 200  # a short position whose price fell has won
    assert BOOK[1].unrealised_share == D("0.2") and BOOK[1].value == -800
    assert (found.unrealised, found.realised) == (D(400), D("12.50"))
    assert (found.long_value, found.short_value, found.gross, found.net) == (1200, -800, 2000, 400)
    assert found.leverage == D("0.5") and (found.largest, found.largest_share) == ("AAPL", D("0.6"))
    assert found.concentration == D("0.52")  # 0.6² + 0.4²
    assert found.unpriced == ("IBM",)


def test_what_is_not_known_is_none_and_not_nought() -> None:
    empty = summarise("live", BOOK)
    assert (empty.day_pnl, empty.day_return, empty.leverage, empty.concentration, empty.largest_share) == (None,) * 5
    assert empty.gross == 0 and summarise("paper", BOOK, equity=D(0)).leverage is None
    assert summarise("paper", BOOK, equity=D(5), last_equity=D(0)).day_return is None
    assert BOOK[2].unrealised is None and BOOK[2].unrealised_share is None


def test_a_symbol_held_by_two_bots_is_one_exposure() -> None:
    book = (Holding("A", "paper", D(3), D(1), D(10)), Holding("A", "paper", D(-1), D(1), D(10)))
    found = summarise("paper", book, equity=D(40))
    assert (found.gross, found.leverage, found.concentration) == (20, D("0.5"), 1)


@pytest.fixture
def prices() -> pd.DataFrame:
    shocks = np.random.default_rng(3).normal(0.0005, 0.02, (300, 3))
    index = pd.date_range("2023-01-02", periods=300, freq="B", tz="UTC")
    return pd.DataFrame(50 * np.cumprod(1 + shocks, axis=0), index=index, columns=["A", "B", "SPY"])


@pytest.mark.parametrize("tail", [0.05, 0.01])
def test_risk_equals_empyricals(prices: pd.DataFrame, tail: float) -> None:
    found = holdings_risk({"A": 6000.0, "B": -2000.0}, prices, 10_000.0, benchmark="SPY", tail=tail)
    moves = prices.pct_change().dropna()
    expected = 0.6 * moves["A"] - 0.2 * moves["B"]
    np.testing.assert_allclose(found.returns, expected, rtol=1e-12)
    assert found.value_at_risk == pytest.approx(empyrical.value_at_risk(expected, tail))
    assert found.expected_shortfall == pytest.approx(empyrical.conditional_value_at_risk(expected, tail))
    assert found.volatility == pytest.approx(empyrical.annual_volatility(expected))
    assert found.max_drawdown == pytest.approx(empyrical.max_drawdown(expected))
    assert found.beta == pytest.approx(empyrical.beta(expected, moves["SPY"]))
    assert found.total_return == pytest.approx(empyrical.cum_returns_final(expected))
    assert found.benchmark_return == pytest.approx(empyrical.cum_returns_final(moves["SPY"]))
    assert found.benchmark_correlation == pytest.approx(np.corrcoef(expected, moves["SPY"])[0, 1])
    assert found.correlation.loc["A", "B"] == pytest.approx(np.corrcoef(moves["A"], moves["B"])[0, 1])


def test_half_in_cash_risks_half(prices: pd.DataFrame) -> None:
    full = holdings_risk({"A": 1000.0}, prices, 1000.0)
    half = holdings_risk({"A": 1000.0}, prices, 2000.0)
    assert half.value_at_risk == pytest.approx(full.value_at_risk / 2)
    assert math.isnan(full.beta) and math.isnan(full.benchmark_correlation)


def test_what_cannot_be_measured_is_refused(prices: pd.DataFrame) -> None:
    with pytest.raises(InvalidInput, match="equity"):
        holdings_risk({"A": 1.0}, prices, 0.0)
    with pytest.raises(InvalidInput, match="nothing"):
        holdings_risk({}, prices, 1.0)
    with pytest.raises(InvalidInput, match="tail"):
        holdings_risk({"A": 1.0}, prices, 1.0, tail=0.5)
    with pytest.raises(BadBars, match="NOPE"):
        holdings_risk({"NOPE": 1.0}, prices, 1.0)
