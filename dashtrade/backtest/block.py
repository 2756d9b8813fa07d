"""Many settings of one strategy side by side: one column for each, statistics reduced at once."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dashtrade.backtest import sparse
from dashtrade.backtest.bars import Flags, Grid, assemble
from dashtrade.backtest.control import FREE, Control
from dashtrade.backtest.layout import Layout
from dashtrade.backtest.path import settle
from dashtrade.backtest.request import BacktestRequest, RiskPercent
from dashtrade.backtest.run import orders_of
from dashtrade.backtest.stops import StopPlan, plan_stops
from dashtrade.backtest.trades import equity as equity_of
from dashtrade.backtest.trades import held_after, positions_at
from dashtrade.domain.strategy import Direction, Signals, Stops, Strategy
from dashtrade.strategies import Operands, evaluate_many, signals, with_stops

METRICS = (
    "final_equity", "total_return", "cagr", "volatility", "sharpe", "sortino", "calmar", "omega", "max_drawdown",
    "trades", "win_rate", "profit_factor", "exposure",
)  # fmt: skip
Floats = NDArray[np.float64]


def run_block(
    request: BacktestRequest,
    strategies: Sequence[Strategy],
    grid: Grid,
    operands: Mapping[str, Operands],
    factor: float,
    control: Control = FREE,
    compiled: bool = False,
) -> Floats:
    """Statistics of each strategy over the same bars, shape (strategies, METRICS); see
    ``dashtrade.analysis.performance``. ``compiled``: by the compiled loops, where they apply."""
    source = str(next(iter(request.bars.values())).attrs.get("source", ""))
    slippage = request.costs.per_side(source)
    layout = Layout.of(request)
    if request.stops is not None:
        joined = {s.stops: with_stops(s, request.stops).stops for s in {s.stops: s for s in strategies}.values()}
        strategies = [replace(s, stops=joined[s.stops]) for s in strategies]
    alone = len(grid.symbols) > 1 or request.rebalance is not None
    if alone or len({(s.stops.bars, s.cooldown) for s in strategies}) > 1:
        return np.stack([_alone(request, s, grid, operands, slippage, layout, factor, control) for s in strategies])
    symbol = grid.symbols[0]
    count = len(strategies)
    control.check()
    flags = Flags.empty(len(grid.times), count)
    flags.fill_all(_needed(strategies, operands[symbol], request.direction), grid.where[0], request)
    if compiled and all(sparse.applies(request, s) for s in strategies):
        return sparse.measure(request, grid, flags, slippage, factor)
    plans: list[StopPlan] = []
    known: dict[Stops, StopPlan] = {}
    for k, strategy in enumerate(strategies):
        stops = strategy.stops
        fixed = not (stops.uses_atr or isinstance(request.size, RiskPercent))
        fixed = fixed and not (stops.loss is not None and stops.trail is not None)
        plan = known.get(stops) if fixed else None
        if plan is None:
            plan = plan_stops(
                request, stops, request.bars[symbol], grid, 0, flags.le[:, k], flags.se[:, k], slippage, control
            )
            if fixed:
                known[stops] = plan
        plans.append(plan)
    rows = assemble(request, grid, layout, flags, plans, slippage, sharing=False)
    wide = replace(grid, where=grid.where * count)
    _, records = settle(rows, strategies[0], layout, wide, control)
    if compiled:
        return sparse.measure_orders(request, grid, records, held_after(records), count, factor)
    values, positions = columns_equity(records, grid, layout, request.cash, count)
    return measures(records, values, positions, count, request, factor)


def _needed(strategies: Sequence[Strategy], operands: Operands, direction: Direction | str) -> Signals:
    """Signals of shape (strategies, bars); only the side that may trade is evaluated."""
    if any(s.session is not None for s in strategies):
        each = [signals(s, operands) for s in strategies]
        return Signals(*(np.stack([getattr(e, n) for e in each]) for n in Signals.__slots__))
    skipped = {Direction.LONG_ONLY: "short", Direction.SHORT_ONLY: "long"}.get(Direction(direction), "none")
    none = np.zeros((1, operands.size), dtype=bool)
    return Signals(
        *(
            none if name.startswith(skipped) else evaluate_many([getattr(s, name) for s in strategies], operands)
            for name in Signals.__slots__
        )
    )


def _alone(
    request: BacktestRequest, strategy: Strategy, grid: Grid, operands: Mapping[str, Operands], slippage: float,
    layout: Layout, factor: float, control: Control,
) -> Floats:  # fmt: skip
    """One strategy over all symbols, with its own path rules."""
    found = {s: signals(strategy, operands[s]) for s in grid.symbols}
    _, records, after = orders_of(request, strategy, grid, found, slippage, layout, control)
    values, positions = equity_of(records, grid, layout, request.cash, after)
    held = (positions != 0).any(axis=1)
    pnl = [_trade_pnl(records[records["col"] == k]) for k in range(len(grid.symbols))]
    return measures(records, values[None, :], held[None, :], 1, request, factor, np.concatenate(pnl))[0]


def columns_equity(
    records: NDArray[Any], grid: Grid, layout: Layout, cash: float, count: int
) -> tuple[Floats, NDArray[np.bool_]]:
    """(equity, in position) of every column at each close, each of shape (columns, bars): a column's values lie side by
    side, so its sums do not depend on how many columns a block has."""
    bars = len(grid.times)
    cell = records["col"] * bars + records["idx"] // layout.per_bar
    signed = np.where(records["side"] == 0, records["size"], -records["size"])
    paid = -signed * records["price"] - records["fees"]
    money: Floats = np.bincount(cell, weights=paid, minlength=bars * count).astype(np.float64).reshape(count, bars)
    np.cumsum(money, axis=1, out=money)
    shares = positions_at(records, held_after(records), layout, bars, count).T
    money += cash
    money += shares * grid.marks[:, 0]
    return money, shares != 0


def _trade_pnl(records: NDArray[Any]) -> Floats:
    """Money after fees of each closed trade of one column."""
    if not len(records):
        return np.empty(0)
    signed = np.where(records["side"] == 0, records["size"], -records["size"])
    flow = np.cumsum(-signed * records["price"] - records["fees"])
    position = np.cumsum(signed)
    flat = np.flatnonzero(np.abs(position) < 1e-9 * records["size"])
    return np.diff(flow[flat], prepend=0.0)


def _closed(records: NDArray[Any], count: int) -> tuple[NDArray[np.int64], Floats]:
    """(column, money after fees) of every closed trade, by column and time."""
    owner = records["col"]
    starts = np.searchsorted(owner, np.arange(count + 1))
    leaving = (np.arange(len(records)) - starts[owner]) % 2 == 1
    exits = np.flatnonzero(leaving)
    size, side = records["size"], records["side"]
    if (size[exits] == size[exits - 1]).all() and (side[exits] != side[exits - 1]).all():  # in, out, in, out …
        flow = np.where(side == 0, -size, size) * records["price"] - records["fees"]
        return owner[exits], flow[exits] + flow[exits - 1]
    each = [_trade_pnl(records[starts[k] : starts[k + 1]]) for k in range(count)]
    return np.repeat(np.arange(count), [len(p) for p in each]), np.concatenate(each)


def measures(
    records: NDArray[Any],
    values: Floats,
    held: NDArray[np.bool_],
    count: int,
    request: BacktestRequest,
    factor: float,
    pnl_of_all: Floats | None = None,
) -> Floats:
    """METRICS of every column, shape (columns, METRICS); ``values`` and ``held`` are (columns, bars)."""
    cash, bars = request.cash, values.shape[1]
    free = (1 + request.risk_free) ** (1 / factor) - 1
    returns = np.empty_like(values)
    with np.errstate(divide="ignore", invalid="ignore"):
        returns[:, 0] = values[:, 0] / cash - 1
        np.divide(values[:, 1:], values[:, :-1], out=returns[:, 1:])
        returns[:, 1:] -= 1
        ruined = (values <= 0).any(axis=1)
        if ruined.any():
            returns[:, 1:][values[:, :-1] <= 0] = np.nan
        excess = np.subtract(returns, free, out=returns)
        known = np.isfinite(excess)
        total = np.sum
        if not known.all():
            total = np.nansum
        n = known.sum(axis=1)
        sums = total(excess, axis=1)
        mean = sums / n
        apart = excess - mean[:, None]
        spread = np.sqrt(total(np.multiply(apart, apart, out=apart), axis=1) / (n - 1))
        largest = (np.nanmax if total is np.nansum else np.max)(np.abs(excess, out=apart), axis=1)
        down = np.minimum(excess, 0.0, out=apart)
        lost = -total(down, axis=1)
        down_risk = np.sqrt(total(np.multiply(down, down, out=down), axis=1) / n)
        won = sums + lost
        peak = np.maximum(np.maximum.accumulate(values, axis=1), cash)
        deepest = np.minimum((values / peak - 1).min(axis=1), 0.0)
        growth = values[:, -1] / cash
        cagr = np.where(growth > 0, np.power(np.maximum(growth, 1e-300), factor / bars) - 1, -1.0)
        moves = spread > 1e-14 * np.maximum(largest, 1e-300)
        root = math.sqrt(factor)
        out = {
            "final_equity": values[:, -1],
            "total_return": growth - 1,
            "cagr": cagr,
            "volatility": spread * root,
            "sharpe": np.where(moves, mean / spread * root, np.nan),
            "sortino": np.where(down_risk > 0, mean * factor / (down_risk * root), np.where(mean > 0, np.inf, np.nan)),
            "calmar": np.where(deepest < 0, cagr / np.abs(deepest), np.nan),
            "omega": np.where(lost > 0, won / lost, np.nan),
            "max_drawdown": deepest,
            "exposure": held.mean(axis=1),
        }
    if pnl_of_all is None:
        owner, pnl = _closed(records, count)
    else:
        owner, pnl = np.zeros(len(pnl_of_all), dtype=np.int64), pnl_of_all
    trades = np.bincount(owner, minlength=count).astype(np.float64)
    gains = np.bincount(owner, weights=np.maximum(pnl, 0.0), minlength=count)
    losses = np.bincount(owner, weights=np.maximum(-pnl, 0.0), minlength=count)
    with np.errstate(divide="ignore", invalid="ignore"):
        wins = np.bincount(owner, weights=pnl > 0, minlength=count) / trades
        factors = gains / losses
    out |= {"trades": trades, "win_rate": wins, "profit_factor": factors}
    return np.stack([np.broadcast_to(out[m], (count,)) for m in METRICS], axis=1)
