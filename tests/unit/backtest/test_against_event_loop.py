"""The engine against an independent event loop, over random bars with gaps and every combination of settings."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from dashtrade.backtest import BacktestRequest, Cash, Costs, Percent, RiskPercent, Shares, Stops, Strategy
from dashtrade.backtest.bars import make_grid, make_rows
from dashtrade.backtest.layout import Layout
from dashtrade.backtest.path import settle
from dashtrade.backtest.run import resolve
from dashtrade.backtest.trades import equity
from dashtrade.domain.strategy import Condition, Number, Operator, Signals


def oracle(name: str):
    spec = importlib.util.spec_from_file_location(name, Path(__file__).parents[1] / "oracle" / f"{name}.py")
    assert spec and spec.loader
    made = importlib.util.module_from_spec(spec)
    sys.modules[name] = made
    spec.loader.exec_module(made)
    return made


loop, portfolio_loop = oracle("event_loop"), oracle("portfolio_loop")

EXAMPLES = int(os.environ.get("DASHTRADE_ORACLE_EXAMPLES", "340"))
"""Cases for each of the six combinations of direction and fill; raise it for a long search."""

ALWAYS = Condition(Number(1), Operator.ABOVE, Number(0))
SIZES = [Percent(100), Percent(35), Cash(2500), Cash(40_000), Shares(7), Shares(5000), RiskPercent(1.5)]
NAMES = {Percent: "percent", Cash: "cash", Shares: "shares", RiskPercent: "risk"}


def random_bars(seed: int, size: int, volatility: float) -> pd.DataFrame:
    """Bars whose opens jump away from the last close, sometimes far."""
    rng = np.random.default_rng(seed)
    gaps = rng.normal(0, volatility / 2, size) * np.where(rng.random(size) < 0.1, 5, 1)
    moves = rng.normal(0, volatility, size)
    closes = 50 * np.exp(np.cumsum(gaps + moves))
    opens = closes * np.exp(-moves)
    highs = np.maximum(opens, closes) * np.exp(np.abs(rng.normal(0, volatility / 2, size)))
    lows = np.minimum(opens, closes) * np.exp(-np.abs(rng.normal(0, volatility / 2, size)))
    if rng.random() < 0.3:  # coarse prices meet stop levels exactly
        opens, highs, lows, closes = (np.maximum(np.round(x, 0), 1.0) for x in (opens, highs, lows, closes))
        highs, lows = np.maximum.reduce([opens, highs, closes]), np.minimum.reduce([opens, lows, closes])
    index = pd.date_range("2020-01-01", periods=size, freq="D", tz="UTC", name="time")
    return pd.DataFrame({"open": opens, "high": highs, "low": lows, "close": closes, "volume": 1.0}, index=index)


def engine(request: BacktestRequest, signals: dict[str, Signals]):
    strategy = resolve(request)
    grid = make_grid(request.bars)
    layout = Layout.of(request)
    rows = make_rows(request, strategy, grid, signals, request.costs.per_side())
    rows, records = settle(rows, strategy, layout, grid)
    return records, layout, equity(records, grid, layout, request.cash)[0]


def compare(records, layout, values, expected_orders, expected_equity) -> None:
    got = [
        (int(r["idx"]) // layout.per_bar, "buy" if r["side"] == 0 else "sell", r["price"], r["size"], r["fees"])
        for r in records
    ]
    assert [g[:2] for g in got] == [e[:2] for e in expected_orders]
    if got:
        np.testing.assert_allclose([g[2:] for g in got], [e[2:] for e in expected_orders], rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(values, expected_equity, rtol=1e-9, atol=1e-6)


STOPS = st.fixed_dictionaries(
    {},
    optional={
        "loss": st.sampled_from([0.0002, 0.01, 0.03, 0.1]),
        "profit": st.sampled_from([0.005, 0.02, 0.08]),
        "trail": st.sampled_from([0.005, 0.02, 0.06]),
        "bars": st.sampled_from([1, 3, 10]),
    },
)
ATR_STOPS = st.fixed_dictionaries(
    {"atr_window": st.sampled_from([3, 14])},
    optional={
        "atr_loss": st.sampled_from([0.3, 1.5]),
        "atr_profit": st.sampled_from([0.5, 2.0]),
        "atr_trail": st.sampled_from([0.5, 2.5]),
        "bars": st.just(5),
    },
)


@pytest.mark.parametrize("fill", ["next_open", "close"])
@pytest.mark.parametrize("direction", ["long_only", "short_only", "long_short"])
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    seed=st.integers(0, 2**32 - 1),
    density=st.sampled_from([0.03, 0.15, 0.5, 0.9]),
    size=st.sampled_from(SIZES),
    costs=st.sampled_from([(0.0, 0.0, 0.0), (0.001, 0.0005, 0.0), (0.01, 0.003, 1.0)]),
    stops=st.one_of(STOPS, ATR_STOPS),
    cooldown=st.sampled_from([0, 0, 1, 4]),
    whole=st.booleans(),
    volatility=st.sampled_from([0.005, 0.02, 0.06]),
)
@example(  # ruined: the last share cannot be bought back
    seed=55227183, density=0.03, size=SIZES[0], costs=(0.0, 0.0, 0.0), stops={}, cooldown=0, whole=True, volatility=0.06
)
def test_orders_and_equity_equal_the_event_loop(
    fill, direction, seed, density, size, costs, stops, cooldown, whole, volatility
):
    bars = random_bars(seed, 60, volatility)
    rng = np.random.default_rng(seed + 1)
    flags = [rng.random(len(bars)) < density * share for share in (1, 0.7, 0.8, 0.7)]
    strategy = Strategy("x", long_entry=ALWAYS, short_entry=ALWAYS, stops=Stops(**stops), cooldown=cooldown)
    commission, slippage, fixed = costs
    request = BacktestRequest(
        strategy, {"X": bars}, size=size, costs=Costs(commission, slippage, fixed=fixed), direction=direction,
        fill=fill, whole_shares=whole,
    )  # fmt: skip
    records, layout, values = engine(request, {"X": Signals(*flags)})
    given_stops = {k: v for k, v in stops.items() if k != "bars"}
    setup = loop.Setup(
        direction=direction, same_close=fill == "close", size=(NAMES[type(size)], size.value), commission=commission,
        fixed=fixed, slippage=slippage, whole=whole, hold=stops.get("bars"), cooldown=cooldown, **given_stops,
    )  # fmt: skip
    expected_orders, expected_equity = loop.run(bars[["open", "high", "low", "close"]].values.tolist(), *flags, setup)
    assume(not setup.undecided)
    compare(records, layout, values, expected_orders, expected_equity)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), part=st.sampled_from([100.0, 40.0, 15.0]), density=st.sampled_from([0.05, 0.3]))
def test_symbols_share_one_cash(seed, part, density):
    """Several symbols over different days: leave first, then enter in the order of symbols with what is left."""
    rng = np.random.default_rng(seed)
    bars, signals = {}, {}
    for name in ("A", "B", "C"):
        whole = random_bars(int(rng.integers(2**32)), 50, 0.03)
        bars[name] = whole[rng.random(len(whole)) < 0.9]
        flags = [rng.random(len(bars[name])) < density for _ in range(4)]
        signals[name] = Signals(*flags)
    request = BacktestRequest(
        Strategy("x", long_entry=ALWAYS), bars, size=Percent(part), costs=Costs(0.002, 0.001), cash=9_000
    )
    records, _, values = engine(request, signals)
    expected_orders, expected_equity = shared_cash(bars, signals, part, 9_000.0, 0.002, 0.001)
    got = sorted((int(r["idx"]) // 2, int(r["col"]), r["side"], r["price"], r["size"]) for r in records)
    expected = sorted(expected_orders)
    assert [g[:3] for g in got] == [e[:3] for e in expected]
    if got:
        np.testing.assert_allclose([g[3:] for g in got], [e[3:] for e in expected], rtol=1e-9)
    np.testing.assert_allclose(values, expected_equity, rtol=1e-9)


def shared_cash(bars, signals, part, cash, commission, slippage):
    """Long only, without stops: a plain loop over all days."""
    days = sorted(set().union(*(frame.index for frame in bars.values())))
    held = dict.fromkeys(bars, 0.0)
    last = dict.fromkeys(bars, 0.0)
    place = {name: {day: n for n, day in enumerate(frame.index)} for name, frame in bars.items()}
    orders, equity_values = [], []
    for i, day in enumerate(days):
        today = [(k, name, place[name][day]) for k, name in enumerate(bars) if day in place[name]]
        for k, name, n in today:
            if n and held[name] and signals[name].long_exit[n - 1]:
                price = bars[name]["open"].iloc[n] * (1 - slippage)
                orders.append((i, k, 1, price, held[name]))
                cash += held[name] * price * (1 - commission)
                held[name] = 0.0
        worth = cash + sum(
            held[name] * (bars[name]["open"].iloc[place[name][day]] if day in place[name] else last[name])
            for name in bars
        )
        for k, name, n in today:
            wants = n and signals[name].long_entry[n - 1] and not signals[name].long_exit[n - 1]
            if wants and not held[name] and cash > 0:
                price = bars[name]["open"].iloc[n] * (1 + slippage)
                money = min(worth * part / 100, cash)
                quantity = money / (1 + commission) / price
                if quantity > 1e-9:
                    orders.append((i, k, 0, price, quantity))
                    cash -= money
                    held[name] = quantity
        for _, name, n in today:
            last[name] = bars[name]["close"].iloc[n]
        equity_values.append(cash + sum(held[name] * last[name] for name in bars))
    return orders, equity_values


@pytest.mark.parametrize("direction", ["long_only", "short_only", "long_short"])
@settings(max_examples=max(EXAMPLES // 5, 1), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    seed=st.integers(0, 2**32 - 1),
    count=st.integers(2, 4),
    density=st.sampled_from([0.05, 0.3]),
    size=st.sampled_from(
        [Percent(100), Percent(40), Percent(15), Cash(2500), Shares(40), RiskPercent(1), RiskPercent(6)]
    ),
    costs=st.sampled_from([(0.0, 0.0, 0.0), (0.002, 0.001, 0.0), (0.002, 0.001, 1.0)]),
    stops=st.one_of(STOPS, ATR_STOPS),
    cooldown=st.sampled_from([0, 0, 3]),
    whole=st.booleans(),
    missing=st.sampled_from([0.0, 0.15]),
)
def test_many_symbols_on_one_cash_equal_the_plain_loop(
    direction, seed, count, density, size, costs, stops, cooldown, whole, missing
):
    assume(not (cooldown and missing))
    rng = np.random.default_rng(seed)
    bars, signals, plain, decisions = {}, {}, {}, {}
    for name in "ABCD"[:count]:
        frame = random_bars(int(rng.integers(2**32)), 50, 0.02)
        frame = frame[rng.random(len(frame)) >= missing]
        flags = [rng.random(len(frame)) < density * share for share in (1, 0.7, 0.8, 0.7)]
        bars[name], signals[name] = frame, Signals(*flags)
        decisions[name] = [f.tolist() for f in flags]
        decisions[name] = list(zip(*decisions[name], strict=True))
        rows = frame[["open", "high", "low", "close"]].to_numpy().tolist()
        plain[name] = dict(zip(frame.index, map(tuple, rows), strict=True))
    strategy = Strategy("x", long_entry=ALWAYS, short_entry=ALWAYS, stops=Stops(**stops), cooldown=cooldown)
    commission, slippage, fixed = costs
    request = BacktestRequest(
        strategy, bars, size=size, costs=Costs(commission, slippage, fixed=fixed), direction=direction,
        whole_shares=whole,
    )  # fmt: skip
    setup = loop.Setup(
        direction=direction, size=(NAMES[type(size)], size.value), commission=commission, fixed=fixed,
        slippage=slippage, whole=whole, hold=stops.get("bars"), cooldown=cooldown,
        **{k: v for k, v in stops.items() if k != "bars"},
    )  # fmt: skip
    expected, expected_equity, ruined = portfolio_loop.shared(plain, decisions, setup, loop)
    assume(not (setup.undecided or ruined))
    records, layout, values = engine(request, signals)
    got = [
        (int(r["idx"]) // layout.per_bar, int(r["col"]), "buy" if r["side"] == 0 else "sell", r["price"], r["size"])
        for r in records
    ]
    got, expected = sorted(got), sorted(expected)
    assert [g[:3] for g in got] == [e[:3] for e in expected]
    if got:
        np.testing.assert_allclose([g[3:] for g in got], [e[3:] for e in expected], rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(values, expected_equity, rtol=1e-8)
