"""The compiled loops against the engine's own call: the same orders to the last bit, and the same statistics."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import dashtrade as dt
from dashtrade.backtest import (
    BacktestRequest,
    Cash,
    Costs,
    Percent,
    RiskPercent,
    Shares,
    Stops,
    Strategy,
    SweepOptions,
    blocks,
    sparse,
)
from dashtrade.backtest.bars import make_flags, make_grid, make_rows
from dashtrade.backtest.layout import Layout
from dashtrade.backtest.trades import equity, held_after
from dashtrade.backtest.vectorbt_engine import simulate
from dashtrade.domain.strategy import Condition, Number, Operator, Signals
from dashtrade.errors import InvalidInput
from dashtrade.strategies import parse_condition

ALWAYS = Condition(Number(1), Operator.ABOVE, Number(0))
BOTH = Strategy("x", ALWAYS, ALWAYS, ALWAYS, ALWAYS)
FIELDS = ("col", "idx", "size", "price", "fees", "side")
DIRECTIONS = ("long_only", "short_only", "long_short")
SIZES = [
    Percent(100), Percent(35), Cash(2500), Cash(1e6), Shares(7), Shares(1e5), Shares(0.3), Shares(1e-8), Shares(1e-9),
]  # fmt: skip


OWN = Strategy(
    "own", parse_condition("ema(5) crosses_above ema(20)"), parse_condition("rsi(14) > 70"),
    parse_condition("ema(5) < ema(20)"), parse_condition("close > ema(9)[1]"),
)  # fmt: skip


def random_bars(rng: np.random.Generator, size: int, volatility: float, coarse: bool) -> pd.DataFrame:
    closes = 50 * np.exp(np.cumsum(rng.normal(0, volatility, size)))
    opens = closes * np.exp(rng.normal(0, volatility, size))
    if coarse:
        opens, closes = (np.maximum(np.round(p), 1.0) for p in (opens, closes))
    whole = pd.date_range("2020-01-01", periods=60, freq="D", tz="UTC", name="time")
    index = whole[np.sort(rng.choice(60, size, replace=False))]  # symbols miss bars of one another
    highs, lows = np.maximum(opens, closes), np.minimum(opens, closes)
    return pd.DataFrame({"open": opens, "high": highs, "low": lows, "close": closes, "volume": 1.0}, index=index)


@settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    seed=st.integers(0, 2**32 - 1),
    count=st.integers(1, 3),
    volatility=st.sampled_from([0.001, 0.02, 0.3]),
    density=st.sampled_from([0.05, 0.3, 0.7]),
    size=st.sampled_from(SIZES),
    cash=st.sampled_from([1e4, 1e9, 30.0, 1.0, 1e-7]),
    costs=st.tuples(
        st.sampled_from([0.0, 0.001, 0.1, 0.49]), st.sampled_from([0.0, 0.001, 0.2]), st.sampled_from([0.0, 1.0, 20.0])
    ),
    direction=st.sampled_from(DIRECTIONS),
    fill=st.sampled_from(["next_open", "close"]),
    whole=st.booleans(),
    coarse=st.booleans(),
)
@example(9, 1, 0.3, 0.3, Percent(100), 1e9, (0.1, 0.001, 0.0), "short_only", "next_open", False, False)
@example(5, 2, 0.02, 0.7, Shares(1e-9), 1e-7, (0.0, 0.0, 0.0), "long_short", "close", False, False)
@example(5, 1, 0.3, 0.7, Cash(1e6), 30.0, (0.49, 0.2, 20.0), "short_only", "next_open", False, True)
def test_orders_and_equity_are_those_of_the_engine_to_the_last_bit(
    seed, count, volatility, density, size, cash, costs, direction, fill, whole, coarse
):
    rng = np.random.default_rng(seed)
    bars = {f"S{k}": random_bars(rng, int(rng.integers(2, 60)), volatility, coarse) for k in range(count)}
    signals = {s: Signals(*(rng.random(len(frame)) < density for _ in range(4))) for s, frame in bars.items()}
    commission, slippage, fixed = costs
    request = BacktestRequest(
        BOTH, bars, cash=cash, size=size, costs=Costs(commission, slippage, fixed=fixed), direction=direction,
        fill=fill, share_cash=False, whole_shares=whole,
    )  # fmt: skip
    assert sparse.applies(request, BOTH)
    grid, layout, slippage = make_grid(bars), Layout.of(request), request.costs.per_side()
    expected = simulate(make_rows(request, BOTH, grid, signals, slippage))
    orders, after = sparse.simulate(request, grid, make_flags(request, grid, signals), slippage)
    for name in FIELDS:
        np.testing.assert_array_equal(orders[name], expected[name], err_msg=name)
    np.testing.assert_array_equal(held_after(expected), after)
    dust = 0.0 if cash >= 1 else 1e-11  # of an account of a ten-millionth, rounding may be all that is left
    for got, wanted in zip(equity(orders, grid, layout, cash), equity(expected, grid, layout, cash), strict=True):
        np.testing.assert_allclose(got, wanted, rtol=0, atol=dust)


def test_what_is_not_plain_is_left_to_the_engine():
    rng = np.random.default_rng(1)
    one, two = ({n: random_bars(rng, 30, 0.02, False) for n in names} for names in ("A", "AB"))
    assert sparse.applies(BacktestRequest(BOTH, one), BOTH)
    assert not sparse.applies(BacktestRequest(BOTH, two), BOTH)
    assert sparse.applies(BacktestRequest(BOTH, two, share_cash=False), BOTH)
    assert not sparse.applies(BacktestRequest(BOTH, one, size=RiskPercent(1)), BOTH)
    for changed in (
        replace(BOTH, stops=Stops(loss=0.1)),
        replace(BOTH, stops=Stops(bars=3)),
        replace(BOTH, cooldown=2),
    ):
        assert not sparse.applies(BacktestRequest(changed, one), changed)


def prices(size: int, seed: int = 3) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    closes = 80 * np.exp(np.cumsum(rng.normal(0.0004, 0.03, size)))
    opens = closes * np.exp(rng.normal(0, 0.006, size))
    index = pd.date_range("2015-01-01", periods=size, freq="D", tz="UTC", name="time")
    highs, lows = np.maximum(opens, closes) * 1.004, np.minimum(opens, closes) * 0.996
    frame = pd.DataFrame({"open": opens, "high": highs, "low": lows, "close": closes, "volume": 1e6}, index=index)
    frame.attrs = {"interval": "1d", "source": "test"}
    return frame


@pytest.mark.parametrize(
    ("strategy", "grid", "lines"),
    [
        ("ema_cross", {"fast": [3, 5, 9, 20], "slow": [10, 21, 40]}, True),
        ("rsi_reversal", {"window": [5, 14], "low": [25, 35], "high": [60, 70, 80]}, True),
        (
            OWN,
            {
                "long_entry.ema.window": [3, 5],
                "long_entry.ema_2.window": [9, 20],
                "long_exit.rsi.window": [7, 14],
                "long_exit.value": [60, 75],
            },
            True,
        ),
        ("mean_reversion", {"window": [3, 5], "low": [20, 35], "trend": [40, 80]}, False),
    ],
)
@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"fill": "close", "size": Cash(3000), "risk_free": 0.03, "whole_shares": True},
        {"cash": 50.0, "size": Shares(3), "costs": Costs(0.05, 0.02, fixed=1.0)},
    ],
)
def test_a_sweep_has_the_same_table_by_either_way(monkeypatch, strategy, grid, lines, direction, changes):
    request = replace(BacktestRequest(strategy, {"X": prices(700)}, costs=Costs(0.001, 0.0005)), **changes)
    request = replace(request, direction=direction)
    try:
        expected = dt.sweep(request, grid, SweepOptions(scheduler="")).table
    except InvalidInput as problem:  # a preset without rules for that side
        assert problem.field == "direction"
        return
    monkeypatch.setattr(blocks, "ENOUGH", 1)
    job = blocks.Job(request, grid)
    assert job.compiled and (job.lines is not None) == lines
    found = dt.sweep(request, grid, SweepOptions(scheduler="", block=3)).table
    pd.testing.assert_frame_equal(found, expected, rtol=1e-9, atol=1e-12)
    monkeypatch.setattr(blocks.Lines, "of", classmethod(lambda *_: None))
    flags = dt.sweep(request, grid, SweepOptions(scheduler="")).table
    pd.testing.assert_frame_equal(flags, found, check_exact=True)


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize(
    ("stops", "more"),
    [
        (Stops(loss=0.03, profit=0.06), {}),
        (Stops(trail=0.04), {"stops.loss": [0.02, 0.05]}),
        (Stops(atr_loss=2.0), {"stops.profit": [0.03, 0.08], "cooldown": [2]}),
        (Stops(bars=4), {"stops.trail": [0.02, 0.09]}),
    ],
)
def test_a_sweep_with_stops_has_the_same_statistics_by_either_way(monkeypatch, stops, more, direction):
    request = BacktestRequest(
        "ema_cross", {"X": prices(700)}, costs=Costs(0.001, 0.0005), stops=stops, direction=direction, risk_free=0.02
    )
    grid = {"fast": [3, 9], "slow": [10, 40], **more}
    expected = dt.sweep(request, grid, SweepOptions(scheduler="")).table
    monkeypatch.setattr(blocks, "ENOUGH", 1)
    found = dt.sweep(request, grid, SweepOptions(scheduler="", block=3)).table
    pd.testing.assert_frame_equal(found, expected, rtol=1e-9, atol=1e-12)
    whole = dt.sweep(request, grid, SweepOptions(scheduler="")).table
    pd.testing.assert_frame_equal(whole, found, check_exact=True)
    row = len(found) - 1
    one = dt.sweep(request, grid, SweepOptions(scheduler="")).backtest(row)
    assert one.final_equity == pytest.approx(found["final_equity"][row], rel=1e-9)
    assert one.statistics["trades"] == found["trades"][row] > 0


def test_a_long_backtest_is_the_same_by_either_way(monkeypatch):
    bars = {"A": prices(800), "B": prices(500, 4)}
    request = BacktestRequest("ema_cross", bars, share_cash=False, direction="long_short", costs=Costs(0.001, 0.0))
    expected = dt.backtest(request)
    monkeypatch.setattr(sparse, "ENOUGH", 1)
    found = dt.backtest(request)
    for name in ("orders", "trades", "positions"):
        pd.testing.assert_frame_equal(getattr(found, name), getattr(expected, name), check_exact=True)
    pd.testing.assert_series_equal(found.equity, expected.equity, check_exact=True)
    assert found.provenance["result_hash"] == expected.provenance["result_hash"]
    assert {n: v for n, v in found.statistics.items() if v == v} == {
        n: v for n, v in expected.statistics.items() if v == v
    }
    np.testing.assert_array_equal(found.rows().long_entry, expected.rows.long_entry)


def test_a_small_position_after_a_large_one_is_still_held():
    """A fortune lost: the last position is below a billionth of the largest one."""
    times = pd.date_range("2020-01-01", periods=8, freq="D", tz="UTC", name="time")
    opens = np.array([1e-9, 1e-9, 1e-9, 1e-9, 1e4, 1e4, 2e4, 2e4])
    frame = pd.DataFrame(dict.fromkeys(("open", "high", "low", "close"), opens) | {"volume": 1.0}, index=times)
    flags = np.zeros((4, 8), dtype=bool)
    flags[0, [0, 3]], flags[1, 2] = True, True  # in at bar 1, out at bar 3, in again at bar 4
    request = BacktestRequest(BOTH, {"X": frame}, size=Percent(100), costs=Costs(0.0, 0.0))
    result = dt.backtest(request, {"X": Signals(*flags)})
    held = result.positions["X"].to_numpy()
    assert held[1] == pytest.approx(1e13) and held[3] == 0 and held[-1] == pytest.approx(1.0)
    assert result.final_equity == pytest.approx(20_000)
