"""Statistics against empyrical-reloaded and QuantStats on real and awkward returns, and against values by hand."""

from __future__ import annotations

import json
import math
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dashtrade.analysis import performance as s
from dashtrade.backtest import trade_statistics as t

SHARED = Path(__file__).parents[3].parent / "shared" / "data"
ANNUAL = 252.0


def real_returns() -> np.ndarray:
    path = SHARED / "daily" / "yahoo4_adjclose.csv.gz"
    if not path.is_file():
        pytest.skip("the recorded data is not beside the checkout")
    frame = pd.read_csv(path)
    return frame[frame["symbol"] == "SPY"]["adj_close"].pct_change().to_numpy()[1:]


def cases() -> list[np.ndarray]:
    rng = np.random.default_rng(11)
    base = rng.normal(0.0005, 0.012, 800)
    with_gaps = base.copy()
    with_gaps[::37] = np.nan
    return [base, with_gaps, np.abs(base[:60]), -np.abs(base[:60]), base[:2], rng.standard_t(3, 500) * 0.01]


@pytest.fixture(params=range(7), ids=["real", "normal", "gaps", "all wins", "all losses", "two bars", "fat tails"])
def returns(request) -> np.ndarray:
    return real_returns() if request.param == 0 else cases()[request.param - 1]


def series(values: np.ndarray) -> pd.Series:
    clean = values[np.isfinite(values)]
    return pd.Series(clean, index=pd.date_range("2015-01-01", periods=len(clean), freq="B"))


def equity(values: np.ndarray) -> np.ndarray:
    return 1000 * np.cumprod(1 + np.nan_to_num(values))


def same(ours: float, theirs: float, rel: float = 1e-9) -> None:
    if theirs is None or not np.isfinite(theirs):
        assert not np.isfinite(ours), (ours, theirs)
    else:
        assert ours == pytest.approx(float(theirs), rel=rel, abs=1e-12)


def test_empyrical(returns):
    import empyrical as e

    r = series(returns)
    values = equity(r.to_numpy())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        same(s.volatility(returns, ANNUAL), e.annual_volatility(r, annualization=252))
        same(s.sharpe(returns, ANNUAL), e.sharpe_ratio(r, annualization=252))
        same(s.sharpe(returns, ANNUAL, 0.0001), e.sharpe_ratio(r, risk_free=0.0001, annualization=252))
        same(s.sortino(returns, ANNUAL), e.sortino_ratio(r, annualization=252))
        same(s.downside_deviation(returns, ANNUAL), e.downside_risk(r, annualization=252))
        same(s.max_drawdown(values, 1000.0), e.max_drawdown(r))
        same(s.cagr(values, 1000.0, ANNUAL), e.annual_return(r, annualization=252))
        same(s.total_return(values, 1000.0), e.cum_returns_final(r))
        same(s.calmar(values, 1000.0, ANNUAL), e.calmar_ratio(r, annualization=252))
        same(s.omega(returns), e.omega_ratio(r, annualization=252))
        same(s.value_at_risk(returns), e.value_at_risk(r))
        same(s.conditional_value_at_risk(returns), e.conditional_value_at_risk(r))
        same(s.tail_ratio(returns), e.tail_ratio(r))


def test_against_a_benchmark_equals_empyrical():
    import empyrical as e

    ours, market = cases()[0], cases()[5]
    ours = ours[: len(market)] + 0.4 * market
    a, b = series(ours), series(market)
    same(s.beta(ours, market), e.beta(a, b))
    same(s.alpha(ours, market, ANNUAL), e.alpha(a, b, annualization=252))
    same(s.alpha(ours, market, ANNUAL, 0.0001), e.alpha(a, b, risk_free=0.0001, annualization=252))
    same(s.information_ratio(ours, market), e.excess_sharpe(a, b))


def test_quantstats(returns):
    if len(returns) < 20:
        pytest.skip("QuantStats needs more bars")
    import quantstats.stats as q

    r = series(returns)
    values = equity(r.to_numpy())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        same(s.sharpe(returns, ANNUAL), q.sharpe(r, periods=252))
        same(s.volatility(returns, ANNUAL), q.volatility(r, periods=252))
        if (r < 0).any() and (r > 0).any():
            same(s.sortino(returns, ANNUAL), q.sortino(r, periods=252))
            same(s.omega(returns), q.omega(r, periods=252))
            same(s.probabilistic_sharpe(returns), q.probabilistic_sharpe_ratio(r, periods=252), rel=0.02)
        same(s.max_drawdown(values, 1000.0), q.max_drawdown(r))


def test_the_literals_of_empyricals_own_tests():
    path = SHARED / "oracles" / "metrics" / "empyrical_expected.json"
    if not path.is_file():
        pytest.skip("the recorded data is not beside the checkout")
    data = json.loads(path.read_text())
    inputs = {k: np.array(v, dtype=float) / 100 for k, v in data["inputs_percent"].items() if isinstance(v, list)}
    known = {(name, who): value for name, who, options, value in data["expected"] if not options}
    for who in ("mixed_returns", "negative_returns", "positive_returns"):
        r = inputs[who]
        values = equity(r)
        ours = {
            "cum_returns_final": s.total_return(values, 1000.0),
            "max_drawdown": s.max_drawdown(values, 1000.0),
            "annual_volatility": s.volatility(r, ANNUAL),
            "sharpe_ratio": s.sharpe(r, ANNUAL),
            "sortino_ratio": s.sortino(r, ANNUAL),
            "downside_risk": s.downside_deviation(r, ANNUAL),
        }  # their literal tail ratio counts a missing return as 0; ours leaves it out
        for name, value in ours.items():
            if (name, who) in known:
                digits = 1e-4 if name == "cum_returns_final" else 1e-9  # that literal is rounded
                assert value == pytest.approx(float(known[name, who]), rel=digits), (name, who)


def test_nothing_traded_and_ruin():
    flat = np.full(50, 1000.0)
    r = s.returns_of(flat, 1000.0)
    assert s.total_return(flat, 1000.0) == 0 and s.cagr(flat, 1000.0, ANNUAL) == 0 and s.max_drawdown(flat, 1000.0) == 0
    assert all(math.isnan(v) for v in (s.sharpe(r, ANNUAL), s.sortino(r, ANNUAL), s.calmar(flat, 1000.0, ANNUAL)))
    ruined = np.array([1000.0, 400.0, -50.0, -80.0])
    r = s.returns_of(ruined, 1000.0)
    assert np.isnan(r[3]) and r[2] == pytest.approx(-1.125)
    assert s.cagr(ruined, 1000.0, ANNUAL) == -1.0
    assert s.max_drawdown(ruined, 1000.0) == pytest.approx(-1.08)


def test_drawdown_length_by_hand():
    assert s.longest_drawdown(np.array([100, 110, 105, 100, 111, 109, 112.0]), 100.0) == 2
    assert s.longest_drawdown(np.array([99, 98, 97.0]), 100.0) == 3


def test_trades_by_hand():
    pnl = np.array([100.0, -50.0, 200.0, 50.0, -25.0, -25.0])
    assert t.win_rate(pnl) == 0.5
    assert t.profit_factor(pnl) == 3.5
    assert t.expectancy(pnl) == pytest.approx(250 / 6)
    assert (t.average_win(pnl), t.average_loss(pnl)) == pytest.approx((350 / 3, -100 / 3))
    assert (t.largest_win(pnl), t.largest_loss(pnl)) == (200.0, -50.0)
    assert (t.longest_streak(pnl > 0), t.longest_streak(pnl < 0)) == (2, 2)
    assert t.kelly(pnl) == pytest.approx(0.5 - 0.5 / 3.5)
    assert t.system_quality(pnl) == pytest.approx(math.sqrt(6) * np.mean(pnl) / np.std(pnl, ddof=1))
    empty = np.array([])
    assert math.isnan(t.win_rate(empty)) and math.isnan(t.kelly(empty)) and math.isnan(t.profit_factor(empty))
    assert t.profit_factor(np.array([5.0])) == math.inf and t.longest_streak(empty > 0) == 0


def test_probabilistic_and_deflated_sharpe_of_the_paper():
    """Bailey & López de Prado (2014), section "A numerical example": Sharpe 2.5 a year over 5 years of days, skewness
    −3,
    kurtosis 10, 100 trials with a yearly variance of 1/2 give an expected maximum of 0.1132 a day and DSR 0.9004."""
    assert s.expected_best_sharpe(100, 0.5 / 250) == pytest.approx(0.1132, abs=2e-4)
    n, sharpe, skew, kurt = 1250, 2.5 / math.sqrt(250), -3.0, 10.0
    z = (sharpe - 0.1132) * math.sqrt(n - 1) / math.sqrt(1 - skew * sharpe + (kurt - 1) / 4 * sharpe**2)
    assert 0.5 * (1 + math.erf(z / math.sqrt(2))) == pytest.approx(0.9004, abs=2e-3)


def test_deflated_sharpe_falls_with_the_number_of_tries():
    r = np.random.default_rng(5).normal(0.001, 0.01, 1000)
    values = [s.deflated_sharpe(r, n, 0.0005) for n in (1, 10, 1000)]
    assert values[0] == s.probabilistic_sharpe(r)
    assert values[0] > values[1] > values[2]


def test_monthly_ratios_by_hand():
    """Months of +10 %, −5 %, +2 % with 2 % a year risk-free: mean 0.023333, population deviation 0.061283."""
    ends = 1000 * np.cumprod([1.10, 0.95, 1.02])
    sharpe, sortino = s.monthly_ratios(ends, 1000.0)
    assert sharpe == pytest.approx((0.07 / 3 - 0.02 / 12) / 0.0612825877, rel=1e-6)
    assert sortino == pytest.approx((0.07 / 3 - 0.02 / 12) / (0.0516666667 / math.sqrt(3)), rel=1e-6)
