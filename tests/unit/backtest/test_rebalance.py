"""Rebalancing against a plain loop of its own; weights, costs and contributions; no look-ahead."""

from __future__ import annotations

import importlib.util
import os
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dashtrade as dt
from dashtrade.backtest import BacktestRequest, Cash, Costs, Percent, Rebalance, Stops, SweepOptions
from dashtrade.domain.strategy import Condition, Number, Operator, Signals, Strategy
from dashtrade.errors import InvalidInput

_spec = importlib.util.spec_from_file_location("portfolio_loop", Path(__file__).parents[1] / "oracle/portfolio_loop.py")
assert _spec and _spec.loader
loop = importlib.util.module_from_spec(_spec)
sys.modules["portfolio_loop"] = loop
_spec.loader.exec_module(loop)

ALWAYS = Strategy("x", long_entry=Condition(Number(1), Operator.ABOVE, Number(0)))
START = pd.Timestamp("2021-01-27", tz="UTC")


def bars_of(seed: int, size: int = 90, volatility: float = 0.02, missing: float = 0.0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    closes = 50 * np.exp(np.cumsum(rng.normal(0, volatility, size)))
    opens = closes * np.exp(rng.normal(0, volatility / 2, size))
    index = pd.date_range(START, periods=size, freq="D", name="time")
    frame = pd.DataFrame(
        {"open": opens, "high": np.maximum(opens, closes), "low": np.minimum(opens, closes), "close": closes,
         "volume": 1.0}, index=index,
    )  # fmt: skip
    frame = frame[rng.random(size) >= missing].iloc[int(rng.integers(0, 20)) * (missing > 0) :]
    frame.attrs = {"interval": "1d"}
    return frame


PERIODS = {
    "bar": lambda day: day,
    "week": lambda day: (START + pd.Timedelta(days=day)).isocalendar()[:2],
    "month": lambda day: (START + pd.Timedelta(days=day)).strftime("%Y-%m"),
}


@settings(max_examples=int(os.environ.get("DASHTRADE_ORACLE_EXAMPLES", "100")), deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    count=st.integers(1, 5),
    kind=st.sampled_from(["equal", "inverse_volatility"]),
    every=st.sampled_from(list(PERIODS)),
    band=st.sampled_from([0.0, 0.02, 0.2]),
    window=st.sampled_from([2, 10]),
    costs=st.sampled_from([(0.0, 0.0, 0.0), (0.001, 0.0005, 0.0), (0.01, 0.003, 2.0)]),
    gross=st.sampled_from([100.0, 60.0]),
    whole=st.booleans(),
    missing=st.sampled_from([0.0, 0.3]),
    density=st.sampled_from([0.0, 0.05, 0.4]),
)
def test_orders_and_equity_equal_the_plain_loop(
    seed, count, kind, every, band, window, costs, gross, whole, missing, density
):
    rng = np.random.default_rng(seed)
    names = list("ABCDE")[:count]
    bars = {name: bars_of(seed + k, missing=missing) for k, name in enumerate(names)}
    signals, decisions, plain = {}, {}, {}
    for name, frame in bars.items():
        enter = (rng.random(len(frame)) < density) if density else np.arange(len(frame)) == 0
        leave = rng.random(len(frame)) < density * 0.6
        none = np.zeros(len(frame), dtype=bool)
        signals[name] = Signals(enter, leave, none, none)
        days = ((frame.index - START) / pd.Timedelta(days=1)).astype(int).tolist()
        plain[name] = dict(zip(days, frame[["open", "high", "low", "close"]].to_numpy().tolist(), strict=True))
        decisions[name] = dict(zip(days, zip(enter.tolist(), leave.tolist(), strict=True), strict=True))
    commission, slippage, fixed = costs
    request = BacktestRequest(
        ALWAYS, bars, cash=10_000, size=Percent(gross), costs=Costs(commission, slippage, fixed=fixed),
        whole_shares=whole, rebalance=Rebalance(kind, every, band, window),
    )  # fmt: skip
    result = dt.backtest(request, signals)
    expected, equity = loop.rebalanced(
        plain, decisions, PERIODS[every], cash=10_000, kind=kind, band=band, window=window, gross=gross / 100,
        commission=commission, slippage=slippage, fixed=fixed, whole=whole,
    )  # fmt: skip
    orders = result.orders
    got = sorted(
        ((row.time - START).days, row.symbol, row.side, row.price, row.qty) for row in orders.itertuples(index=False)
    )
    expected = sorted(expected)
    assert [g[:3] for g in got] == [e[:3] for e in expected]
    if got:
        np.testing.assert_allclose([g[3:] for g in got], [e[3:] for e in expected], rtol=1e-7)
    np.testing.assert_allclose(result.equity, equity, rtol=1e-8)
    assert sum(result.contribution.values()) == pytest.approx(result.final_equity - 10_000, rel=1e-6, abs=1e-5)


def test_equal_weights_by_hand():
    """Two symbols at 10 and 20 with 1,000: 50 and 25 shares; after 10 → 30 in A the sale of 16⅔ A buys 25 B."""
    index = pd.date_range("2024-01-30", periods=5, freq="D", tz="UTC", name="time")

    def flat(prices):
        frame = pd.DataFrame(dict.fromkeys(("open", "high", "low", "close"), prices), index=index, dtype=float)
        frame["volume"] = 1.0
        frame.attrs = {"interval": "1d"}
        return frame

    bars = {"A": flat([10, 10, 30, 30, 30]), "B": flat([20, 20, 20, 20, 20])}
    request = BacktestRequest(
        "buy_and_hold", bars, cash=1_000, costs=Costs(0, 0), rebalance=Rebalance("equal", "month")
    )
    result = dt.backtest(request)
    rows = [(str(r.time.date()), r.symbol, r.side, r.qty) for r in result.orders.itertuples()]
    assert rows[:2] == [("2024-01-31", "A", "buy", 50.0), ("2024-01-31", "B", "buy", 25.0)]
    assert rows[2][:3] == ("2024-02-02", "A", "sell") and rows[2][3] == pytest.approx(50 / 3)
    assert rows[3][:3] == ("2024-02-02", "B", "buy") and rows[3][3] == pytest.approx(25)
    assert len(rows) == 4 and result.contribution == pytest.approx({"A": 1_000.0, "B": 0.0})
    assert set(result.orders["reason"]) == {"rebalance"}
    assert len(dt.backtest(replace(request, rebalance=Rebalance(every="month", band=0.3))).orders) == 2


def test_the_quieter_symbol_gets_more():
    bars = {"calm": bars_of(1, volatility=0.01), "wild": bars_of(2, volatility=0.04)}
    request = BacktestRequest(
        "buy_and_hold", bars, costs=Costs(0, 0), rebalance=Rebalance("inverse_volatility", "week", window=20)
    )
    result = dt.backtest(request)
    first = result.orders.iloc[:2]
    assert first["time"].nunique() == 1 and first["time"].iloc[0] >= bars["calm"].index[21]
    decided = bars["calm"].index.get_loc(first["time"].iloc[0]) - 1
    spread = {n: b["close"].pct_change().iloc[decided - 19 : decided + 1].std() for n, b in bars.items()}
    value = (first["qty"] * first["price"]).to_numpy()
    ratio = dict(zip(first["symbol"], value, strict=True))
    assert ratio["calm"] / ratio["wild"] == pytest.approx(spread["wild"] / spread["calm"])


@pytest.mark.parametrize("kind", ["equal", "inverse_volatility"])
def test_what_comes_later_changes_nothing_before(kind):
    bars = {name: bars_of(n, 200) for n, name in enumerate("ABC")}
    request = BacktestRequest("ema_cross", bars, rebalance=Rebalance(kind, "week", window=10))
    whole = dt.backtest(request)
    for cut in (60, 101, 150):
        part = {}
        for name, frame in bars.items():
            part[name] = frame.iloc[:cut].copy()
            part[name].attrs = dict(frame.attrs)
        early = dt.backtest(replace(request, bars=part))
        np.testing.assert_array_equal(early.equity, whole.equity.iloc[:cut])
        pd.testing.assert_frame_equal(early.orders, whole.orders.iloc[: len(early.orders)])


def test_what_does_not_go_together_is_said():
    bars = {"A": bars_of(1), "B": bars_of(2)}
    base = BacktestRequest("ema_cross", bars, rebalance=Rebalance())
    for changes, field in (
        ({"direction": "long_short"}, "direction"), ({"fill": "close"}, "fill"), ({"size": Cash(100)}, "size"),
        ({"share_cash": False}, "share_cash"), ({"stops": Stops(loss=0.1)}, "stops"),
    ):  # fmt: skip
        with pytest.raises(InvalidInput, match=field):
            dt.backtest(replace(base, **changes))
    for values, field in (
        ({"weighting": "cap"}, "equal"), ({"every": "moon"}, "month"), ({"band": 1.0}, "band"),
        ({"band": float("nan")}, "band"), ({"window": 1}, "window"),
    ):  # fmt: skip
        with pytest.raises(InvalidInput, match=field):
            Rebalance(**values)


def test_sweeps_rebalance_too():
    bars = {"A": bars_of(1), "B": bars_of(2)}
    request = BacktestRequest("ema_cross", bars, rebalance=Rebalance(every="week"))
    found = dt.sweep(request, {"fast": [3, 5], "slow": [10, 20]}, SweepOptions(block=2))
    for row in range(4):
        single = found.backtest(row).statistics
        for name in ("final_equity", "sharpe", "max_drawdown", "trades", "profit_factor"):
            assert found.table.at[row, name] == pytest.approx(single[name], rel=1e-9, nan_ok=True)
