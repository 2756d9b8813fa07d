"""Stop distances of every possible entry, as fractions of its fill price.

The engine follows one stop for each position: fixed or trailing. Where a strategy has both, the one that would act
first is
known from the prices alone, entry by entry, so each entry carries that one; the result is the same as following both,
since the position leaves at the first of the two.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dashtrade.backtest.control import FREE, Control
from dashtrade.backtest.layout import Layout
from dashtrade.backtest.request import BacktestRequest, Fill, RiskPercent
from dashtrade.domain.strategy import Stops
from dashtrade.indicators import REGISTRY, Columns, compute

if TYPE_CHECKING:
    from dashtrade.backtest.bars import Grid

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class StopPlan:
    """One value for each bar on which an entry may fill.

    ``allowed`` is False where a distance is not known yet (warm-up of the average true range). ``risk_share`` is the
    fill
    price over the distance to the stop, for sizing by risk.
    """

    loss: Floats
    trailing: Flags
    profit: Floats
    allowed: Flags
    risk_share: Floats
    used: bool


def plan_stops(
    request: BacktestRequest,
    stops: Stops,
    bars: pd.DataFrame,
    grid: Grid,
    column: int,
    long_entry: Flags,
    short_entry: Flags,
    slippage: float,
    control: Control = FREE,
) -> StopPlan:
    """Stops of the grid's ``column``; entries fill on the bars flagged in ``long_entry`` and ``short_entry``."""
    layout = Layout.of(request)
    size = len(grid.times)
    at_open = request.fill == Fill.NEXT_OPEN
    price = (grid.open if at_open else grid.close)[:, column]
    fill = price * np.where(short_entry, 1 - slippage, 1 + slippage)
    nothing = np.full(size, np.nan)
    allowed = np.ones(size, dtype=bool)
    risk = request.size if isinstance(request.size, RiskPercent) else None
    added = risk is not None and stops.loss is None and stops.atr_loss is None
    range_share = nothing
    if stops.uses_atr or added:
        known = _average_true_range(bars, grid, column, stops.atr_window, lag=at_open)
        range_share = known / fill
        allowed = range_share > 0  # not known yet, or prices that do not move: no distance, no entry

    def distance(fraction: float | None, ranges: float | None) -> Floats:
        if fraction is not None:
            return np.full(size, float(fraction))
        return range_share * ranges if ranges is not None else nothing

    atr_loss = risk.atr if added and risk is not None else stops.atr_loss
    loss, trail = distance(stops.loss, atr_loss), distance(stops.trail, stops.atr_trail)
    profit = distance(stops.profit, stops.atr_profit)
    trailing = np.isfinite(trail)
    if trailing.any() and np.isfinite(loss).any():
        trailing = _trail_first(grid, column, long_entry, short_entry, fill, loss, trail, layout, control)
    with np.errstate(divide="ignore", invalid="ignore"):
        risk_share = 1 / loss
    chosen = np.where(trailing, trail, loss)
    used = bool(np.isfinite(chosen).any() or np.isfinite(profit).any())
    return StopPlan(chosen, trailing, profit, allowed, risk_share, used)


def _average_true_range(bars: pd.DataFrame, grid: Grid, column: int, window: int, lag: bool) -> Floats:
    """The average true range known when the entry was decided, on the common time axis."""
    entry = REGISTRY["atr"]
    values = compute(entry, Columns(bars), entry.checked({"window": window}))[0]
    own = grid.where[column]
    out = np.full(len(grid.times), np.nan)
    if lag:
        out[own[1:]] = values[:-1]
    else:
        out[own] = values
    return out


def _trail_first(
    grid: Grid,
    column: int,
    long_entry: Flags,
    short_entry: Flags,
    fill: Floats,
    loss: Floats,
    trail: Floats,
    layout: Layout,
    control: Control,
) -> Flags:
    """For each possible entry: whether the trailing stop acts before the fixed one."""
    trailing = trail <= loss  # then the trailing level is never the farther one
    rows = layout.per_bar
    prices = []
    for inside in (grid.open, grid.high, grid.low):
        expanded = np.repeat(grid.open[:, column], rows)
        expanded[layout.inside :: rows] = inside[:, column]
        for extra in range(layout.inside + 1, rows):
            expanded[extra::rows] = grid.close[:, column]
        prices.append(expanded)
    opens, highs, lows = prices
    for n, bar in enumerate(np.flatnonzero((long_entry | short_entry) & ~trailing)):
        if n % 1024 == 0:
            control.check()
        start = bar * rows + layout.entry + 1
        side = -1.0 if short_entry[bar] else 1.0
        best, worst = (highs, lows) if side > 0 else (lows, highs)
        fixed = fill[bar] * (1 - side * loss[bar])
        peak, width = fill[bar], 64
        while start < len(opens):
            stop = start + width
            o, b, w = opens[start:stop], best[start:stop], worst[start:stop]
            extreme = np.fmax if side > 0 else np.fmin
            peaks = extreme.accumulate(np.concatenate(([peak], b)))
            level = peaks[:-1] * (1 - side * trail[bar])
            hit_trail = (side * (o - level) <= 0) | (side * (w - level) <= 0)
            hit_fixed = (side * (o - fixed) <= 0) | (side * (w - fixed) <= 0)
            either = np.flatnonzero(hit_trail | hit_fixed)
            if len(either):
                i = either[0]
                trailing[bar] = hit_trail[i] and (not hit_fixed[i] or side * (level[i] - fixed) >= 0)
                break
            peak, start, width = peaks[-1], stop, width * 4
    return trailing
