"""The honesty panel: how much of a result could be luck, costs, or one fortunate setting."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from dashtrade.analysis import performance as measure
from dashtrade.backtest.request import Costs
from dashtrade.backtest.result import BacktestResult
from dashtrade.backtest.run import backtest
from dashtrade.backtest.space import Template
from dashtrade.errors import InvalidInput

RANDOM_ENTRIES = 1_000
SHUFFLES = 1_000


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """What speaks for and against a result.

    ``random_p``: share of 1,000 strategies with random entries, of the same number and holding times, that did at
    least as
    well (add-one estimate). ``shuffle_low`` and ``shuffle_high``: 5 % and 95 % of the final equity when the trades
    are drawn
    again with replacement; ``shuffle_drawdown``: the 95 % worst drawdown when their order is shuffled.
    ``breakeven_bps``: the
    extra cost of each order, in basis points, at which the profit is gone. ``neighbours``: total return with each
    setting one step up and down. ``deflated_sharpe`` counts all ``trials`` of this user on these data.
    """

    total_return: float
    buy_and_hold: float
    random_p: float
    random_median: float
    shuffle_low: float
    shuffle_high: float
    shuffle_drawdown: float
    breakeven_bps: float
    neighbours: dict[str, float]
    trials: int
    deflated_sharpe: float

    def sentences(self) -> tuple[str, ...]:
        """The same in words."""
        out = []
        if self.buy_and_hold > self.total_return:
            out.append(f"Buying and holding earned more: {self.buy_and_hold:.1%} against {self.total_return:.1%}.")
        if not math.isnan(self.random_p):
            verdict = "hard to put down to luck" if self.random_p < 0.05 else "within reach of luck"
            out.append(f"{self.random_p:.1%} of random entries with the same holding times did as well: {verdict}.")
        if math.isfinite(self.breakeven_bps):
            out.append(f"The profit is gone at {self.breakeven_bps:.1f} bps more cost an order.")
        if self.neighbours:
            lost = sum(v <= 0 for v in self.neighbours.values())
            out.append(f"{lost} of {len(self.neighbours)} neighbouring settings lose money.")
        if self.trials > 1 and not math.isnan(self.deflated_sharpe):
            out.append(f"After {self.trials} tries, the chance that there is skill is {self.deflated_sharpe:.0%}.")
        return tuple(out)


def evidence(result: BacktestResult, trials: int = 1, variance: float = 0.0, seed: int | None = None) -> Evidence:
    """The panel of a result of one symbol. ``trials`` and ``variance`` come from the trial ledger.

    Deterministic for the same seed (the request's, unless given). Raises InvalidInput for several symbols.
    """
    if len(result.request.bars) != 1:
        raise InvalidInput("symbols", "the honesty panel takes results of one symbol.")
    rng = np.random.default_rng(result.request.seed if seed is None else seed)
    returns = measure.returns_of(result.equity.to_numpy(), result.request.cash)
    random_p, random_median = _random_entries(result, rng)
    low, high, drawdown = _shuffled(result, rng)
    return Evidence(
        total_return=result.statistics["total_return"],
        buy_and_hold=result.statistics["buy_and_hold_return"],
        random_p=random_p,
        random_median=random_median,
        shuffle_low=low,
        shuffle_high=high,
        shuffle_drawdown=drawdown,
        breakeven_bps=breakeven_bps(result),
        neighbours=neighbours(result),
        trials=trials,
        deflated_sharpe=measure.deflated_sharpe(returns, trials, variance),
    )


def _random_entries(result: BacktestResult, rng: np.random.Generator) -> tuple[float, float]:
    """(p-value, median log growth as a return) of random entries from open to open, fully invested, with the same
    costs."""
    trades = result.trades
    if not len(trades):
        return math.nan, math.nan
    bars = next(iter(result.request.bars.values()))
    opens = np.log(bars["open"].to_numpy(dtype=np.float64))
    lengths = np.maximum(trades["bars"].to_numpy(dtype=np.int64), 1)
    sides = np.where(trades["direction"] == "long", 1.0, -1.0)
    costs = result.request.costs.per_side(str(bars.attrs.get("source", ""))) + result.request.costs.commission
    free = max(len(opens) - 1 - int(lengths.sum()), 0)
    order = rng.permuted(np.tile(np.arange(len(lengths)), (RANDOM_ENTRIES, 1)), axis=1)
    held, side = lengths[order], sides[order]
    gaps = np.sort(rng.integers(0, free + 1, held.shape), axis=1)  # the free bars, spread between the stretches
    starts = np.minimum(gaps + np.cumsum(held, axis=1) - held, len(opens) - 1)
    moves = np.expm1(opens[np.minimum(starts + held, len(opens) - 1)] - opens[starts])
    growth = np.log(np.maximum(1 + side * moves - 2 * costs, 1e-9)).sum(axis=1)
    entry = trades["entry_price"].to_numpy(dtype=np.float64)
    leave = trades["exit_price"].to_numpy(dtype=np.float64)
    own = np.log(np.maximum(1 + sides * (leave / entry - 1) - 2 * result.request.costs.commission, 1e-9)).sum()
    return float((1 + (growth >= own).sum()) / (1 + RANDOM_ENTRIES)), float(np.expm1(np.median(growth)))


def _shuffled(result: BacktestResult, rng: np.random.Generator) -> tuple[float, float, float]:
    """(5 %, 95 % of final equity with trades drawn again; 95 % worst drawdown in shuffled order).

    A trade is its pnl as a share of the equity before it; trades compound.
    """
    trades = result.trades
    if not len(trades):
        return math.nan, math.nan, math.nan
    cash = result.request.cash
    before = np.concatenate(([cash], result.equity.to_numpy()[:-1]))
    at = result.equity.index.get_indexer(pd.Index(trades["entry_time"]))
    growth = np.maximum(1 + trades["pnl"].to_numpy(dtype=np.float64) / np.maximum(before[at], 1e-9), 0.0)
    drawn = cash * rng.choice(growth, (SHUFFLES, len(growth))).prod(axis=1)
    paths = cash * np.cumprod(rng.permuted(np.tile(growth, (SHUFFLES, 1)), axis=1), axis=1)
    peaks = np.maximum(np.maximum.accumulate(paths, axis=1), cash)
    deepest = (paths / peaks - 1).min(axis=1)
    low, high = np.quantile(drawn, [0.05, 0.95])
    return float(low), float(high), float(min(np.quantile(deepest, 0.05), 0.0))


def breakeven_bps(result: BacktestResult) -> float:
    """The extra cost of each order at which the profit is gone, found by bisection; 0 for a loss, infinite without
    orders."""
    if not len(result.orders):
        return math.inf
    if result.statistics["total_return"] <= 0:
        return 0.0
    request = result.request
    base = result.provenance["slippage_per_side"]

    def profit(bps: float) -> float:
        costs = Costs(request.costs.commission, base + bps / 10_000, fixed=request.costs.fixed)
        return backtest(replace(request, costs=costs)).statistics["total_return"]

    low, high = 0.0, 10.0
    while profit(high) > 0:
        low, high = high, high * 2
        if high > 4_000:
            return math.inf
    for _ in range(12):
        middle = (low + high) / 2
        low, high = (middle, high) if profit(middle) > 0 else (low, middle)
    return (low + high) / 2


def neighbours(result: BacktestResult) -> dict[str, float]:
    """Total return with each of a preset's settings one step lower and higher; empty for other strategies."""
    from dashtrade.strategies import PRESETS

    if result.strategy.name not in PRESETS:
        return {}
    chosen = PRESETS[result.strategy.name]
    now = _settings_of(result)
    template = Template(result.strategy.name)
    out: dict[str, float] = {}
    for param in chosen.params:
        for step in (-param.step, param.step):
            settings: dict[str, Any] = {**now, param.name: now[param.name] + step}
            if not param.low <= settings[param.name] <= param.high or not template.possible(settings):
                continue
            strategy = replace(template.build(settings), stops=result.strategy.stops)
            other = backtest(replace(result.request, strategy=strategy))
            out[f"{param.name}={settings[param.name]:g}"] = other.statistics["total_return"]
    return out


def _settings_of(result: BacktestResult) -> dict[str, Any]:
    """The preset's settings as its description states them."""
    from dashtrade.strategies import PRESETS

    chosen = PRESETS[result.strategy.name]
    values: dict[str, Any] = {p.name: p.default for p in chosen.params}
    inside = result.strategy.description.rpartition("(")[2].rstrip(")")
    for part in inside.split(", "):
        name, sign, text = part.partition("=")
        if sign and name in values:
            values[name] = int(text) if text.lstrip("-").isdigit() else float(text)
    return values
