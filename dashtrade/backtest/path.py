"""Rules that depend on what happened before: time stop, cooldown, and no re-entry at the open that stopped out.

The engine reads fixed signals. So the simulation runs, the earliest breach is mended in the signals (an entry taken
away, an
exit put in), and it runs again: everything before the breach is final, and each run settles at least one more trade.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dashtrade.backtest.bars import Grid
from dashtrade.backtest.control import FREE, Control
from dashtrade.backtest.layout import Layout
from dashtrade.backtest.shared_cash import by_equity, needed
from dashtrade.backtest.vectorbt_engine import Rows, simulate
from dashtrade.domain.strategy import Strategy


def settle(
    rows: Rows, strategy: Strategy, layout: Layout, grid: Grid, control: Control = FREE
) -> tuple[Rows, NDArray[Any]]:
    """The rows with mended signals and worked out sizes, and the orders they give."""
    if needed(rows):
        return by_equity(rows, lambda sized: _settle(sized, strategy, layout, grid, control))
    return _settle(rows, strategy, layout, grid, control)


def _settle(rows: Rows, strategy: Strategy, layout: Layout, grid: Grid, control: Control) -> tuple[Rows, NDArray[Any]]:
    control.check()
    hold, cooldown = strategy.stops.bars, strategy.cooldown
    reentry = layout.per_bar == 3 and (rows.use_stops or hold is not None)
    records = simulate(rows)
    if hold is None and not cooldown and not reentry:
        return rows, records
    rows = replace(
        rows,
        long_entry=rows.long_entry.copy(),
        long_exit=rows.long_exit.copy(),
        short_entry=rows.short_entry.copy(),
        short_exit=rows.short_exit.copy(),
    )
    done = np.zeros(rows.shape[1], dtype=np.int64)
    shared = bool((rows.groups > 1).any())
    while True:
        control.check()
        breaches = []
        for column in range(rows.shape[1]):
            own = records[records["col"] == column]
            breach = _first_breach(own, column, rows, layout, grid, hold, cooldown, reentry, int(done[column]))
            if breach is not None:
                breaches.append(breach)
        if not breaches:
            return rows, records
        if shared:  # cash links the symbols: only the earliest breach stands on final ground
            breaches = [min(breaches, key=lambda b: b[0])]
        for _, column, kind, first, last, upto in breaches:
            if kind == "exit":
                rows.long_exit[first, column] = rows.short_exit[first, column] = True
                rows.long_entry[first, column] = rows.short_entry[first, column] = False
            else:
                rows.long_entry[first : last + 1, column] = False
                rows.short_entry[first : last + 1, column] = False
            done[column] = upto
        records = simulate(rows)


def _first_breach(
    orders: NDArray[Any],
    column: int,
    rows: Rows,
    layout: Layout,
    grid: Grid,
    hold: int | None,
    cooldown: int,
    reentry: bool,
    done: int,
) -> tuple[int, int, str, int, int, int] | None:
    """(row, column, kind, first row, last row, orders settled) of the earliest breach after ``done`` orders."""
    per = layout.per_bar
    index, size, side = orders["idx"], orders["size"], orders["side"]
    signed = np.where(side == 0, size, -size)
    position = np.cumsum(signed)
    position[np.abs(position) < 1e-9 * np.maximum(size, 1e-300)] = 0.0
    for n in range(max(done - 2, 0), len(orders)):
        row = int(index[n])
        bar = row // per
        before = position[n - 1] if n else 0.0
        if before == 0:  # an entry
            if reentry and n >= 1 and int(index[n - 1]) == bar * per + layout.exit:
                held = position[n - 2] if n >= 2 else 0.0
                if np.sign(held) == np.sign(position[n]):
                    return row, column, "entry", row, row, n
            if hold is not None:
                own = grid.where[column]
                place = int(np.searchsorted(own, bar)) + hold
                leave = int(own[place]) * per + layout.exit if place < len(own) else rows.shape[0]
                next_row = int(index[n + 1]) if n + 1 < len(orders) else rows.shape[0]
                asked = leave < rows.shape[0] and rows.long_exit[leave, column] and rows.short_exit[leave, column]
                if leave < next_row and not asked:
                    return leave, column, "exit", leave, leave, n
        elif cooldown and position[n] == 0:  # an exit
            first, last = row, (bar + cooldown) * per + per - 1
            window = slice(first, last + 1)
            if rows.long_entry[window, column].any() or rows.short_entry[window, column].any():
                return row, column, "cooldown", first, min(last, rows.shape[0] - 1), n
    return None
