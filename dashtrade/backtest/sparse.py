"""The plain case of a simulation, looked at only where something was decided (``dashtrade.backtest.kernels``).

Plain is: no stops, no time stop, no cooldown, no sizes by risk, and a cash of its own for each column. Everything else
goes to the engine's own call, which gives the same orders for the plain case to the last bit, only later.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dashtrade.backtest.bars import Flags, Grid
from dashtrade.backtest.layout import Layout
from dashtrade.backtest.request import BacktestRequest, Cash, Percent, RiskPercent, Shares
from dashtrade.backtest.vectorbt_engine import AMOUNT, ORDER_DTYPE, PERCENT, VALUE
from dashtrade.domain.strategy import Direction, Strategy

Floats = NDArray[np.float64]
ENOUGH = 400_000
"""Bars × columns from which on loading the compiled loops pays."""


def applies(request: BacktestRequest, strategy: Strategy) -> bool:
    """Whether this is the plain case."""
    stops = strategy.stops
    path = stops.any_price or stops.bars is not None or bool(strategy.cooldown)
    sharing = request.share_cash and len(request.bars) > 1
    return not (path or sharing or request.rebalance is not None or isinstance(request.size, RiskPercent))


def worth(request: BacktestRequest, strategy: Strategy, cells: int) -> bool:
    """Whether so many bars × columns of this are simulated by the compiled loops."""
    return cells >= ENOUGH and applies(request, strategy)


@dataclass(frozen=True, slots=True, eq=False)
class Account:
    """What every column starts with and pays, as the compiled loops take it."""

    cash: float
    size: float
    kind: int
    costs: Floats
    locked: bool
    layout: NDArray[np.int64]

    @classmethod
    def of(cls, request: BacktestRequest, slippage: float) -> Account:
        size, layout, costs = request.size, Layout.of(request), request.costs
        assert isinstance(size, Percent | Cash | Shares)
        kind = {Percent: PERCENT, Cash: VALUE, Shares: AMOUNT}[type(size)]
        value = float(size.value) / 100 if kind == PERCENT else float(size.value)
        whole = 1.0 if request.whole_shares else np.nan
        return cls(
            float(request.cash) / len(request.bars),
            value,
            kind,
            np.array([costs.commission, costs.fixed, slippage, whole], dtype=np.float64),
            kind != PERCENT and request.direction != Direction.LONG_ONLY,
            np.array([layout.per_bar, layout.exit, layout.entry], dtype=np.int64),
        )

    @property
    def arguments(self) -> tuple[Any, ...]:
        return self.cash, self.size, self.kind, self.costs, self.locked, self.layout


def sides(flags: Flags, direction: Direction | str) -> tuple[NDArray[np.bool_], ...]:
    """Flags by column, (columns, bars), side by side in memory; no rows for a side that may not trade."""
    if direction == Direction.LONG_SHORT:  # an entry to the other side leaves first
        flags = Flags(flags.le, flags.lx | flags.se, flags.se, flags.sx | flags.le)
    none = np.zeros((0, 0), dtype=bool)
    le, lx = (none, none) if direction == Direction.SHORT_ONLY else (flags.le.T, flags.lx.T)
    se, sx = (none, none) if direction == Direction.LONG_ONLY else (flags.se.T, flags.sx.T)
    return tuple(np.ascontiguousarray(f) for f in (le, lx, se, sx))


def bar_rate(request: BacktestRequest, factor: float) -> float:
    """The risk-free rate of one bar."""
    return float((1 + request.risk_free) ** (1 / factor) - 1)


def measure(request: BacktestRequest, grid: Grid, flags: Flags, slippage: float, factor: float) -> Floats:
    """Statistics of every column of flags over the same bars, of shape (columns, METRICS); no equity is built."""
    from dashtrade.backtest import kernels

    account = Account.of(request, slippage)
    price = fills(request, grid)[0]
    out = np.empty((flags.le.shape[1], kernels.MEASURES))
    orders, after = np.empty(2 * len(price), dtype=ORDER_DTYPE), np.empty(2 * len(price))
    kernels.measure_flags(  # type: ignore[call-arg]
        *sides(flags, request.direction), price, np.ascontiguousarray(grid.close[:, 0]), *account.arguments, factor,
        bar_rate(request, factor), orders, after, out,
    )  # fmt: skip
    return out


def measure_orders(
    request: BacktestRequest, grid: Grid, records: NDArray[Any], after: Floats, count: int, factor: float
) -> Floats:
    """The same from the engine's order records of ``count`` columns and the shares held after each."""
    from dashtrade.backtest import kernels

    out = np.empty((count, kernels.MEASURES))
    starts = np.searchsorted(records["col"], np.arange(count + 1))
    kernels.measure_orders(
        np.ascontiguousarray(records, dtype=ORDER_DTYPE), after, starts, np.ascontiguousarray(grid.marks[:, 0]),
        float(request.cash), Layout.of(request).per_bar, factor, bar_rate(request, factor), out,
    )  # fmt: skip
    return out


def fills(request: BacktestRequest, grid: Grid) -> Floats:
    """Prices at which decisions fill, (symbols, bars)."""
    from dashtrade.backtest.request import Fill

    return np.ascontiguousarray((grid.open if request.fill == Fill.NEXT_OPEN else grid.close).T)


def simulate(request: BacktestRequest, grid: Grid, flags: Flags, slippage: float) -> tuple[NDArray[Any], Floats]:
    """(order records as ``vectorbt_engine.simulate`` gives them, shares held after each)."""
    from dashtrade.backtest import kernels

    account = Account.of(request, slippage)
    each = sides(flags, request.direction)
    room = sum(int(np.count_nonzero(f)) for f in each) + 1  # an order needs a flag
    orders = np.empty(room, dtype=ORDER_DTYPE)
    after = np.empty(room)
    made = kernels.simulate(*each, fills(request, grid), *account.arguments, orders, after)  # type: ignore[call-arg]
    return orders[:made], after[:made]
