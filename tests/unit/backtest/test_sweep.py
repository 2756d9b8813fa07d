"""Sweeps give what single runs give; walk-forward uses no bar twice; checks catch a cheat; evidence is reproducible."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import dashtrade as dt
from dashtrade.analysis import performance as measure
from dashtrade.backtest import (
    BacktestRequest,
    Cancelled,
    Costs,
    Percent,
    RiskPercent,
    Shares,
    Stops,
    SweepOptions,
    Windows,
)
from dashtrade.backtest.checks import look_ahead, warm_up
from dashtrade.backtest.evidence import breakeven_bps, evidence
from dashtrade.backtest.space import Space, Template
from dashtrade.backtest.walkforward import split
from dashtrade.errors import InvalidInput
from dashtrade.indicators import REGISTRY
from dashtrade.strategies import PRESETS, parse_condition, preset


def bars_of(size: int = 600, seed: int = 8) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    closes = 80 * np.exp(np.cumsum(rng.normal(0.0004, 0.015, size)))
    opens = closes * np.exp(rng.normal(0, 0.006, size))
    highs = np.maximum(opens, closes) * np.exp(np.abs(rng.normal(0, 0.004, size)))
    lows = np.minimum(opens, closes) * np.exp(-np.abs(rng.normal(0, 0.004, size)))
    index = pd.date_range("2015-01-01", periods=size, freq="B", tz="UTC", name="time")
    frame = pd.DataFrame({"open": opens, "high": highs, "low": lows, "close": closes, "volume": 1e6}, index=index)
    frame.attrs = {"interval": "1d", "source": "test"}
    return frame


REQUEST = BacktestRequest("ema_cross", {"X": bars_of()}, costs=Costs(0.001, 0.0005))
GRID = {"fast": [3, 5, 9, 12], "slow": [10, 20, 40]}
SAME = (
    "final_equity", "total_return", "cagr", "volatility", "sharpe", "sortino", "calmar", "omega", "max_drawdown",
    "trades", "win_rate", "profit_factor", "exposure",
)  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "parameters"),
    [
        ({}, GRID),
        ({"direction": "long_short", "size": Percent(40)}, GRID),
        ({"direction": "short_only", "stops": Stops(trail=0.03)}, GRID),
        ({"size": RiskPercent(1)}, {"fast": [5, 9], "stops.loss": [0.01, 0.05], "stops.profit": [0.02, 0.08]}),
        (
            {"size": Shares(10)},
            {"slow": [20, 30], "stops.atr_loss": [1.0, 3.0], "stops.bars": [5, 9], "cooldown": [0, 4]},
        ),
        ({"bars": {"X": bars_of(), "Y": bars_of(500, 9)}, "size": Percent(50)}, {"fast": [5, 9]}),
    ],
)
def test_every_row_equals_a_single_run(changes, parameters):
    result = dt.sweep(replace(REQUEST, **changes), parameters, SweepOptions(block=5))
    assert len(result.table) == math.prod(len(v) for v in parameters.values()) - result.skipped
    for row in range(len(result.table)):
        single = result.backtest(row).statistics
        for name in SAME:
            assert result.table.at[row, name] == pytest.approx(single[name], rel=1e-9, abs=1e-12, nan_ok=True), (
                row,
                name,
            )


def test_contradictory_settings_are_skipped_and_counted():
    result = dt.sweep(REQUEST, {"fast": [5, 20, 30], "slow": [10, 25]})
    assert list(zip(result.table["fast"], result.table["slow"], strict=True)) == [(5, 10), (5, 25), (20, 25)]
    assert result.skipped == 3
    with pytest.raises(InvalidInput, match="contradict"):
        dt.sweep(REQUEST, {"fast": [50], "slow": [10]})


def test_threads_and_blocks_do_not_change_the_table():
    one = dt.sweep(REQUEST, GRID, SweepOptions(threads=1, block=64)).table
    many = dt.sweep(REQUEST, GRID, SweepOptions(threads=4, block=2)).table
    pd.testing.assert_frame_equal(one, many, check_exact=True)


def test_random_search_is_the_same_for_the_same_seed_and_part_of_the_grid():
    options = SweepOptions(method="random", trials=6)
    one, again = (dt.sweep(REQUEST, GRID, options).table for _ in range(2))
    other = dt.sweep(replace(REQUEST, seed=5), GRID, options).table
    pd.testing.assert_frame_equal(one, again)
    assert (len(one) == 6 and not one["fast"].equals(other["fast"])) or not one["slow"].equals(other["slow"])
    whole = dt.sweep(REQUEST, GRID).table.set_index(["fast", "slow"])["sharpe"]
    for row in one.itertuples():
        assert row.sharpe == whole[row.fast, row.slow]


def test_optuna_finds_the_best_of_a_small_grid():
    pytest.importorskip("optuna")
    whole = dt.sweep(REQUEST, GRID)
    found = dt.sweep(REQUEST, GRID, SweepOptions(method="optuna", trials=60))
    assert found.table["sharpe"].max() == whole.table["sharpe"].max()
    assert found.best == whole.best


def test_a_killed_sweep_goes_on_where_it_was(tmp_path):
    seen: list[float] = []
    stop = SweepOptions(block=2, threads=1, resume=tmp_path)
    with pytest.raises(Cancelled, match="of 11"):
        dt.sweep(REQUEST, GRID, stop, cancel=lambda: len(seen) >= 3, progress=lambda share, _: seen.append(share))
    kept = sorted(tmp_path.glob("*.npy"))
    assert 2 <= len(kept) < 6
    marks = {p: p.stat().st_mtime_ns for p in kept}
    (tmp_path / "half.part").write_bytes(b"broken")
    went_on = dt.sweep(REQUEST, GRID, SweepOptions(block=2, resume=tmp_path)).table
    assert {p: p.stat().st_mtime_ns for p in kept} == marks, "finished blocks are not computed again"
    pd.testing.assert_frame_equal(went_on, dt.sweep(REQUEST, GRID).table)
    other = replace(REQUEST, bars={"X": bars_of(seed=99)})
    pd.testing.assert_frame_equal(
        dt.sweep(other, GRID, SweepOptions(block=2, resume=tmp_path)).table, dt.sweep(other, GRID).table
    )


def test_own_conditions_can_be_varied():
    strategy = dt.Strategy(
        "mine", long_entry=parse_condition("ema(9) crosses_above sma(21)"), long_exit=parse_condition("close < sma(21)")
    )
    names = Template(strategy).names
    assert {"long_entry.ema.window", "long_entry.sma.window", "long_exit.sma.window", "stops.loss"} <= set(names)
    result = dt.sweep(replace(REQUEST, strategy=strategy), {"long_entry.ema.window": [5, 9], "stops.loss": [0.02]})
    changed = replace(strategy, long_entry=parse_condition("ema(5) crosses_above sma(21)"), stops=Stops(loss=0.02))
    assert result.backtest(0).final_equity == dt.backtest(replace(REQUEST, strategy=changed)).final_equity
    with pytest.raises(InvalidInput, match=r"long_entry\.ema\.window"):
        dt.sweep(replace(REQUEST, strategy=strategy), {"fast": [5]})
    with pytest.raises(InvalidInput, match="window"):
        dt.sweep(replace(REQUEST, strategy=strategy), {"long_entry.ema.window": [0]})


@pytest.mark.parametrize("key", [k for k in PRESETS if PRESETS[k].params])
def test_settings_put_in_without_reading_the_text_give_the_same_rules(key):
    template, chosen = Template(key), PRESETS[key]
    rng = np.random.default_rng(3)
    for _ in range(12):
        settings = {p.name: p.low + p.step * int(rng.integers(0, (p.high - p.low) / p.step + 1)) for p in chosen.params}
        if not template.possible(settings):
            continue
        built, read = template.build(settings), chosen.build(**settings)
        for rule in ("long_entry", "long_exit", "short_entry", "short_exit"):
            assert getattr(built, rule) == getattr(read, rule)


def test_plateau_by_hand():
    space = Space(Template("ema_cross"), {"fast": [2, 3, 4], "slow": [50, 60]})
    picks = space.all()
    values = np.array([1.0, 2.0, 4.0, 8.0, np.nan, 32.0])
    plateau = space.plateau(picks, values)
    assert plateau[0] == pytest.approx((1 + 2 + 4) / 3)
    assert plateau[3] == pytest.approx((8 + 2 + 4 + 32) / 4)
    assert np.isnan(plateau[4])


def test_heatmap_and_deflated_sharpe():
    result = dt.sweep(REQUEST, GRID)
    heat = result.heatmap("fast", "slow")
    assert heat.loc[20, 5] == result.table.query("fast == 5 and slow == 20")["sharpe"].item()
    assert np.isnan(heat.loc[10, 12])
    best = result.backtest()
    returns = measure.returns_of(best.equity.to_numpy(), 10_000.0)
    assert result.deflated_sharpe() < measure.probabilistic_sharpe(returns)


def test_windows_touch_and_never_leak():
    windows = Windows(train=100, test=30, purge=5, embargo=10)
    stretches = split(300, windows)
    assert [(s.test_start, s.test_end) for s in stretches] == [(105 + 30 * k, 135 + 30 * k) for k in range(6)]
    for n, stretch in enumerate(stretches):
        assert max(stretch.train) == stretch.test_start - 6
        assert not set(stretch.train) & set(range(stretch.test_start - 5, stretch.test_end))
        for before in stretches[:n]:
            assert not set(stretch.train) & set(range(before.test_end, before.test_end + 10))
    assert min(split(300, Windows(train=100, test=30, expanding=True))[-1].train) == 0
    with pytest.raises(InvalidInput, match="are needed"):
        split(100, windows)


def test_walk_forward_trades_what_the_past_chose():
    windows = Windows(train=200, test=80, warmup=100)
    result = dt.walk_forward(REQUEST, GRID, windows)
    bars = REQUEST.bars["X"]
    assert result.equity.index.is_unique and len(result.equity) == 5 * 80
    assert result.equity.index[0] == bars.index[200]
    train = bars.iloc[80:280]
    train.attrs = dict(bars.attrs)
    chosen = dt.sweep(replace(REQUEST, bars={"X": train}), GRID)
    assert {n: result.steps.at[1, n] for n in ("fast", "slow")} == chosen.best
    ends = result.equity.to_numpy()[79::80]
    starts = np.concatenate(([10_000.0], ends[:-1]))
    np.testing.assert_allclose(result.steps["out_of_sample_return"], ends / starts - 1)
    future = bars.copy()
    future.iloc[440:, :4] *= 3.0  # what comes later must not change what came before
    future.attrs = dict(bars.attrs)
    again = dt.walk_forward(replace(REQUEST, bars={"X": future}), GRID, windows)
    np.testing.assert_array_equal(again.equity.to_numpy()[:239], result.equity.to_numpy()[:239])


def test_a_cheat_is_caught_by_name(monkeypatch):
    """An indicator that reads tomorrow's close, put in the catalogue for the length of this test."""
    honest = REGISTRY["momentum"]

    def tomorrow(close, **_):
        out = np.full(len(close), np.nan)
        out[:-1] = close[1:] - close[:-1]
        return out

    strategy = dt.Strategy("x", long_entry=parse_condition("rsi < 60 and momentum > 0"))
    assert look_ahead(strategy, bars_of()) == []
    monkeypatch.setitem(REGISTRY._entries, "momentum", replace(honest, compute=tomorrow, inputs=("close",)))
    found = look_ahead(strategy, bars_of())
    assert [f.condition for f in found] == ["momentum > 0"]
    assert "long entry" in str(found[0])


def test_short_history_for_a_slow_average_is_found():
    strategy = dt.Strategy("x", long_entry=parse_condition("close > ema(400)"), long_exit=parse_condition("rsi > 70"))
    assert [f.rule for f in warm_up(strategy, bars_of(500))] == ["long_entry"]
    assert warm_up(preset("donchian"), bars_of(500)) == []


def test_evidence_is_reproducible_and_in_bounds():
    result = dt.backtest(REQUEST)
    one, again = evidence(result), evidence(result)
    pd.testing.assert_frame_equal(one.to_frame(), again.to_frame(), check_exact=True)
    pd.testing.assert_frame_equal(one.bands, again.bands, check_exact=True)
    np.testing.assert_array_equal(one.random_returns, again.random_returns)
    assert 0 < one.random_p <= 1 and one.shuffle_low < one.shuffle_high
    assert -1 <= one.shuffle_drawdown <= 0
    assert set(one.neighbours) == {"fast=8", "fast=10", "slow=20", "slow=22"}
    neighbour = dt.backtest(replace(REQUEST, strategy=preset("ema_cross", fast=8)))
    assert one.neighbours["fast=8"] == neighbour.statistics["total_return"]
    assert one.sentences()
    many = evidence(result, trials=500, variance=0.001)
    assert many.deflated_sharpe < one.deflated_sharpe


def test_the_break_even_cost_breaks_even():
    bars = bars_of(400, 21)
    bars[["open", "high", "low", "close"]] *= np.exp(np.linspace(0, 0.6, 400))[:, None]
    result = dt.backtest(replace(REQUEST, bars={"X": bars}))
    assert result.statistics["total_return"] > 0
    extra = breakeven_bps(result)
    costs = Costs(0.001, 0.0005 + extra / 10_000)
    at = dt.backtest(replace(REQUEST, bars={"X": bars}, costs=costs)).statistics["total_return"]
    assert abs(at) < 0.02


def test_random_entries_on_noise_are_no_evidence():
    """Over pure noise the p-value must not pile up near 0."""
    values = [
        evidence(dt.backtest(replace(REQUEST, bars={"X": bars_of(400, s)}, costs=Costs(0, 0)))).random_p
        for s in range(12)
    ]
    assert 0.15 < float(np.mean(values)) < 0.85
