"""Comparison on common dates, against empyrical-reloaded, NumPy and figures worked out by hand."""

from __future__ import annotations

import math

import empyrical
import numpy as np
import pandas as pd
import pytest

from dashtrade.comparing import ComparisonAnalyzer
from dashtrade.errors import BadBars, InvalidInput
from dashtrade.portfolio import comparison as c

YEAR = 252


def frame(prices: list[float], start: str = "2024-01-01") -> pd.DataFrame:
    index = pd.date_range(start, periods=len(prices), freq="1D", tz="UTC", name="time")
    bars = pd.DataFrame({"close": np.array(prices, dtype="float64")}, index=index)
    bars.attrs["interval"] = "1d"
    return bars


@pytest.fixture
def walks() -> dict[str, pd.DataFrame]:
    shocks = np.random.default_rng(7).normal(0.0004, 0.015, (3, 400))
    shocks[1] = 0.6 * shocks[0] + 0.8 * shocks[1]
    return {name: frame(list(100 * np.cumprod(1 + row))) for name, row in zip("ABC", shocks, strict=True)}


def test_figures_worked_out_by_hand() -> None:
    found = c.compare({"A": frame([10, 12, 9, 15]), "B": frame([100, 110, 99, 120])}, "B")
    assert found.normalised["A"].tolist() == [100, 120, 90, 150]
    assert found.drawdowns["A"].tolist() == pytest.approx([0, 0, -0.25, 0])
    assert found.strength["A"].tolist() == pytest.approx([100, 120 / 1.1, 90 / 0.99, 125])
    row = found.statistics.loc["A"]
    assert row["total_return"] == pytest.approx(0.5) and row["max_drawdown"] == pytest.approx(-0.25)
    assert row["strength"] == pytest.approx(125)
    assert list(found.strength.columns) == ["A"]


def test_statistics_equal_empyricals(walks: dict[str, pd.DataFrame]) -> None:
    found = c.compare(walks, "A")
    base = walks["A"]["close"].pct_change().dropna()
    for symbol, bars in walks.items():
        returns, row = bars["close"].pct_change().dropna(), found.statistics.loc[symbol]
        expected = {
            "total_return": empyrical.cum_returns_final(returns),
            "cagr": empyrical.annual_return(returns),
            "volatility": empyrical.annual_volatility(returns),
            "sharpe": empyrical.sharpe_ratio(returns),
            "max_drawdown": empyrical.max_drawdown(returns),
            "beta": empyrical.beta(returns, base),
            "alpha": empyrical.alpha(returns, base),
            "correlation": np.corrcoef(returns, base)[0, 1],
        }
        assert row[list(expected)].to_dict() == pytest.approx(expected, rel=1e-9, abs=1e-12), symbol


def test_rolling_correlation_is_each_windows_own_and_looks_back_only(walks: dict[str, pd.DataFrame]) -> None:
    found = c.compare(walks, "A")
    rolled = found.rolling_correlation(20)
    returns = found.returns
    expected = np.corrcoef(returns["A"].iloc[80:100], returns["B"].iloc[80:100])[0, 1]
    assert rolled["B"].iloc[100] == pytest.approx(expected)  # the 100th return belongs to the 101st price
    assert rolled["B"].iloc[:20].isna().all() and rolled["B"].iloc[20:].notna().all()
    earlier = c.compare({name: bars.iloc[:200] for name, bars in walks.items()}, "A")
    pd.testing.assert_frame_equal(earlier.rolling_correlation(20), rolled.iloc[:200])


def test_only_common_dates_are_compared() -> None:
    stock = frame([10, 11, 12, 13, 14, 15, 16])
    stock = stock.drop(stock.index[[2, 3]])  # a weekend, which the coin does not have
    stock.loc[stock.index[1], "close"] = np.nan
    prices = c.common_prices({"STOCK": stock, "COIN": frame([1, 2, 3, 4, 5, 6, 7])})
    assert prices["STOCK"].tolist() == [10, 14, 15, 16] and prices["COIN"].tolist() == [1, 5, 6, 7]


def test_symbols_without_common_dates_are_named_with_the_remedy() -> None:
    bars = {"OLD": frame([1, 2, 3, 4], "2010-01-01"), "NEW": frame([1, 2, 3, 4], "2020-01-01")}
    with pytest.raises(BadBars, match=r"OLD's bars end on 2010-01-04, and NEW's begin on 2020-01-01.*longer period"):
        c.common_prices(bars)
    with pytest.raises(BadBars, match="NEW has no usable price"):
        c.common_prices({"OLD": bars["OLD"], "NEW": frame([0, -1, math.nan])})


def test_a_symbol_that_does_not_move_has_no_correlation() -> None:
    found = c.compare({"FLAT": frame([5, 5, 5, 5]), "B": frame([1, 2, 1, 2])}, "B")
    row = found.statistics.loc["FLAT"]
    assert math.isnan(row["correlation"]) and math.isnan(row["sharpe"]) and row["volatility"] == 0
    assert found.ranking()["score"].notna().all()


def test_ranking_is_the_weighted_mean_of_places() -> None:
    table = pd.DataFrame(
        {"total_return": [0.3, 0.1, 0.2], "volatility": [0.4, 0.1, 0.4], "sharpe": [1.0, math.nan, 2.0]},
        index=["A", "B", "C"],
    )
    ranked = c.ranking(table, {"total_return": 3, "volatility": 1, "sharpe": 2})
    # points: return 100, 0, 50; volatility 25, 100, 25 (a tie shares); Sharpe 0, none, 100
    assert ranked["score"].to_dict() == pytest.approx({"C": 375 / 6, "A": 325 / 6, "B": 100 / 4})
    assert ranked.index.tolist() == ["C", "A", "B"] and ranked["rank"].tolist() == [1, 2, 3]
    assert c.ranking(table, {"volatility": 1})["rank"].to_dict() == {"B": 1, "A": 2, "C": 2}


@pytest.mark.parametrize(
    ("weights", "said"),
    [({"beta": 1.0}, "not ranked"), ({"sharpe": -1.0}, "0 to 100"), ({"sharpe": math.nan}, "0 to 100"),
     ({"sharpe": 0.0}, "at least one"), ({}, "at least one")],
)  # fmt: skip
def test_weights_are_checked(weights: dict[str, float], said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        c.check_weights(weights)


def test_symbols_are_read_once_each_in_their_order() -> None:
    assert c.parse_symbols("nasdaq:msft, AAPL;aapl ,") == ("MSFT", "AAPL")
    for wrong in ("AAPL", "AAPL,aapl", ",".join(f"S{n}" for n in range(21))):
        with pytest.raises(InvalidInput, match="2 to 20"):
            c.parse_symbols(wrong)
    with pytest.raises(InvalidInput, match="not a ticker"):
        c.parse_symbols("AAPL,<b>")


def test_the_documented_class_fetches_once_and_draws(walks: dict[str, pd.DataFrame]) -> None:
    asked: list[tuple[str, str, str]] = []

    def history(symbol: str, period: str, interval: str) -> pd.DataFrame:
        asked.append((symbol, period, interval))
        return walks[symbol]

    analyzer = ComparisonAnalyzer("a,b,c", "2y", history=history)
    assert set(analyzer.fetch_all_data()) == {"A", "B", "C"}
    assert asked == [("A", "2y", "1d"), ("B", "2y", "1d"), ("C", "2y", "1d")]
    returns = np.diff([walks[s]["close"].to_numpy() for s in "ABC"]) / [
        walks[s]["close"].to_numpy()[:-1] for s in "ABC"
    ]
    np.testing.assert_allclose(analyzer.calculate_correlation(), np.corrcoef(returns), rtol=1e-9)
    assert list(analyzer.relative_strength("b").columns) == ["A", "C"]
    lines = analyzer.plot_normalized().axes[0].get_lines()
    drawn = next(line for line in lines if line.get_label() == "B")
    closes = walks["B"]["close"]
    np.testing.assert_allclose(drawn.get_ydata(), closes / closes.iloc[0] * 100)
    assert len(asked) == 3
    with pytest.raises(InvalidInput, match="not compared"):
        analyzer.relative_strength("IBM")


def test_the_public_function_works_on_sample_data() -> None:
    import dashtrade as dt

    found = dt.compare(["AAPL", "MSFT"], "1y", source="sample")
    assert found.benchmark == "AAPL" and found.bars_per_year == 252
    # the sample's last two closes, by the file
    last = dt.history("MSFT", "1y", source="sample")["close"].iloc[-1]
    assert found.prices["MSFT"].iloc[-1] == last
