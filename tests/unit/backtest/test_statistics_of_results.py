"""Statistics of whole results against empyrical-reloaded and QuantStats: one trade, only wins, none, ruin, gaps.

What a library gives in place of "not defined" (0, or infinity) is stated where it differs; ours is NaN there.
"""

from __future__ import annotations

import math
import warnings

import empyrical as e
import numpy as np
import pandas as pd
import pytest
import quantstats.stats as q

import dashtrade as dt
from dashtrade.backtest import BacktestRequest, BacktestResult, Costs, Shares, Strategy
from dashtrade.domain.strategy import Condition, Number, Operator, Signals

ALWAYS = Condition(Number(1), Operator.ABOVE, Number(0))
BOTH = Strategy("x", ALWAYS, ALWAYS, ALWAYS, ALWAYS)
SIZE = 300


def prices(drift: float = 0.0003, seed: int = 5) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    closes = 100 * np.exp(np.cumsum(rng.normal(drift, 0.015, SIZE)))
    opens = closes * np.exp(rng.normal(0, 0.004, SIZE))
    index = pd.date_range("2020-01-01", periods=SIZE, freq="B", tz="UTC", name="time")
    highs, lows = np.maximum(opens, closes) * 1.003, np.minimum(opens, closes) * 0.997
    frame = pd.DataFrame({"open": opens, "high": highs, "low": lows, "close": closes, "volume": 1.0}, index=index)
    frame.attrs = {"interval": "1d"}
    return frame


def run(bars: pd.DataFrame, enter: list[int], leave: list[int], **fields: object) -> BacktestResult:
    """Decisions at the close of these bars, for the side that ``direction`` trades."""
    request = BacktestRequest(BOTH, {"X": bars}, costs=Costs(0.001, 0.0005), **fields)
    flags = np.zeros((2, len(request.bars["X"])), dtype=bool)
    flags[0, enter], flags[1, leave] = True, True
    none = np.zeros_like(flags)
    both = (*none, *flags) if fields.get("direction") == "short_only" else (*flags, *none)
    return dt.backtest(request, {"X": Signals(*both)})


def rising() -> pd.DataFrame:
    bars = prices()
    bars[["open", "high", "low", "close"]] = (100 * 1.01 ** np.arange(SIZE))[:, None] * [1.0, 1.02, 0.98, 1.005]
    return bars


def with_holes() -> pd.DataFrame:
    bars = prices()
    bars.loc[bars.index[::17], "close"] = np.nan
    return bars


CASES = {
    "many trades": lambda: run(prices(), list(range(5, 280, 20)), list(range(12, 290, 20))),
    "one trade": lambda: run(prices(), [40], [120]),
    "one open trade": lambda: run(prices(), [40], []),
    "all wins": lambda: run(rising(), list(range(5, 280, 20)), list(range(12, 290, 20))),
    "no trades": lambda: run(prices(), [], []),
    "missing bars": lambda: run(with_holes(), list(range(5, 250, 20)), list(range(12, 260, 20))),
    "short": lambda: run(prices(), list(range(5, 280, 20)), list(range(12, 290, 20)), direction="short_only"),
}


@pytest.fixture(scope="module", params=CASES, ids=list(CASES))
def result(request) -> BacktestResult:
    return CASES[request.param]()


def returns_of(values: pd.Series, cash: float) -> pd.Series:
    found = values.div(values.shift(fill_value=cash)).sub(1)
    return found.tz_localize(None)  # QuantStats joins by times without a zone


def same(name: str, ours: float, theirs: float, rel: float = 1e-9) -> None:
    if theirs is None or not np.isfinite(theirs):
        assert not np.isfinite(ours), (name, ours, theirs)
    else:
        assert ours == pytest.approx(float(theirs), rel=rel, abs=1e-11), name


@pytest.fixture(autouse=True)
def quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def test_of_returns(result):
    ours = result.statistics
    r = returns_of(result.equity, result.request.cash)
    market = returns_of(result.benchmark, result.request.cash)
    assert len(r) == ours["bars"] and r.notna().all()
    year = {"annualization": 252}
    theirs = {
        "total_return": e.cum_returns_final(r),
        "cagr": e.annual_return(r, **year),
        "volatility": e.annual_volatility(r, **year),
        "sharpe": e.sharpe_ratio(r, **year),
        "sortino": e.sortino_ratio(r, **year),
        "calmar": e.calmar_ratio(r, **year),
        "max_drawdown": e.max_drawdown(r),
        "value_at_risk_5": e.value_at_risk(r),
        "conditional_value_at_risk_5": e.conditional_value_at_risk(r),
        "tail_ratio": e.tail_ratio(r),
        "omega": e.omega_ratio(r, **year),
        "beta": e.beta(r, market),
        "alpha": e.alpha(r, market, **year),
        "information_ratio": e.excess_sharpe(r, market),
    }
    for name, value in theirs.items():
        same(f"empyrical {name}", ours[name], value)
    own = {"prepare_returns": False}
    theirs = {
        "volatility": q.volatility(r, periods=252),
        "sharpe": q.sharpe(r, periods=252),
        "sortino": q.sortino(r, periods=252),
        "max_drawdown": q.max_drawdown(r),
        "skewness": q.skew(r, **own),
        "kurtosis": q.kurtosis(r, **own),
        "information_ratio": q.information_ratio(r, market, **own),
        "beta": q.greeks(r, market, periods=252, **own)["beta"],
    }
    if not len(result.trades):  # QuantStats gives 0 for the moments and the ratio of an account that never moved
        theirs |= {"skewness": math.nan, "kurtosis": math.nan}
    for name, value in theirs.items():
        same(f"quantstats {name}", ours[name], value)
    details = q.drawdown_details(q.to_drawdown_series(r))
    longest = 0
    for start, end in zip(details.get("start", []), details.get("end", []), strict=True):
        longest = max(longest, int(((r.index >= pd.Timestamp(start)) & (r.index <= pd.Timestamp(end))).sum()))
    assert ours["longest_drawdown_bars"] == longest


def test_of_trades(result):
    ours = result.statistics
    closed = result.trades[result.trades["status"] == "closed"]
    pnl = pd.Series(closed["pnl"].to_numpy(), index=pd.DatetimeIndex(closed["exit_time"])) / 1e6
    if not len(pnl):
        for name in (
            "win_rate",
            "profit_factor",
            "expectancy",
            "average_win",
            "largest_loss",
            "kelly",
            "system_quality",
        ):
            assert math.isnan(ours[name]), name
        assert ours["trades"] == ours["consecutive_wins"] == ours["consecutive_losses"] == 0
        return
    own = {"prepare_returns": False}
    won, lost = bool((pnl > 0).any()), bool((pnl < 0).any())
    theirs = {
        "win_rate": q.win_rate(pnl, **own),
        "expectancy": 1e6 * pnl.mean(),
        "average_win": 1e6 * q.avg_win(pnl, **own) if won else math.nan,
        "average_loss": 1e6 * q.avg_loss(pnl, **own) if lost else math.nan,
        "largest_win": 1e6 * q.best(pnl, **own) if won else math.nan,
        "largest_loss": 1e6 * q.worst(pnl, **own) if lost else math.nan,
        "consecutive_wins": q.consecutive_wins(pnl, **own),
        "consecutive_losses": q.consecutive_losses(pnl, **own),
        "profit_factor": q.profit_factor(pnl, **own) if lost else math.inf,
        "kelly": q.kelly_criterion(pnl, **own) if won and lost else math.nan,
    }
    for name, value in theirs.items():
        same(f"quantstats {name}", ours[name], value)
    spread = pnl.std()
    same(
        "system quality",
        ours["system_quality"],
        math.sqrt(len(pnl)) * pnl.mean() / spread if len(pnl) > 1 else math.nan,
    )
    traded = (result.orders["price"] * result.orders["qty"]).sum()
    same("turnover", ours["turnover"], traded / result.equity.mean() / (ours["bars"] / 252))
    assert ours["exposure"] == (result.positions != 0).any(axis=1).mean()


def test_ruin():
    """A short position of ten times the account over a rise: what comes after could not be earned."""
    bars = rising()
    result = run(bars, [10], [], direction="short_only", size=Shares(80.0))
    ours = result.statistics
    gone = int(np.argmax(result.equity.to_numpy() <= 0))
    assert 10 < gone < SIZE - 1 and ours["ruined"] == 1
    assert ours["cagr"] == -1 and ours["total_return"] < -1 and ours["max_drawdown"] < -1
    r = returns_of(result.equity, result.request.cash)
    same("max drawdown", ours["max_drawdown"], (result.equity / result.equity.cummax().clip(lower=1e4) - 1).min())
    before = r.iloc[: gone + 1]  # up to and with the fall to ruin
    for name, value in {
        "volatility": e.annual_volatility(before, annualization=252),
        "sharpe": e.sharpe_ratio(before, annualization=252),
        "sortino": e.sortino_ratio(before, annualization=252),
        "value_at_risk_5": e.value_at_risk(before),
        "tail_ratio": e.tail_ratio(before),
        "omega": e.omega_ratio(before, annualization=252),
    }.items():
        same(name, ours[name], value)
    assert any("ruined" in line for line in result.warnings)
