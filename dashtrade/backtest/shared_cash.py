"""Sizes in percent of the equity where several symbols share one cash.

The engine's own percentage is of the free cash. So sizes are given to it as numbers of shares, worked out from the
equity that the simulation itself shows at each entry: simulate, read the equity, size again, until nothing changes. The
equity at an entry depends on earlier entries only, so every round settles at least one more, and most settle many.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dashtrade.backtest.vectorbt_engine import AMOUNT, PERCENT, Rows

Floats = NDArray[np.float64]
Settle = Callable[[Rows], tuple[Rows, NDArray[Any]]]
_SAME = 1e-12
_IN_ORDER = 1e-13
"""Entries at one open are filled by rising value, where a short sale counts as negative: this much more (or less, for
a short sale) for each symbol keeps equal ones in order."""


def needed(rows: Rows) -> bool:
    """Whether a percentage has to be worked out. All of the equity is all of the cash to one who only buys."""
    if rows.size_type != PERCENT or not (rows.groups > 1).any():
        return False
    return bool((rows.size != 1).any() or rows.short_entry.any())


def by_equity(rows: Rows, settle: Settle) -> tuple[Rows, NDArray[Any]]:
    """``settle`` with sizes of ``rows`` meant as fractions of the equity at the entry: cash after what is left at that
    moment, and positions at its prices."""
    marks = _marks(rows.close)
    fill = marks * np.where(rows.short_entry, 1 - rows.slippage, 1 + rows.slippage) * (1 + rows.commission)
    fraction = np.broadcast_to(rows.size, rows.shape)
    order = 1 + _IN_ORDER * np.arange(rows.shape[1]) * np.where(rows.short_entry, -1, 1)
    equity = np.full(rows.shape[0], float(rows.cash[0]))
    places = int(np.count_nonzero((rows.long_entry | rows.short_entry).any(axis=1)))
    for _ in range(places + 2):
        wanted = np.maximum(fraction * np.maximum(equity, 0.0)[:, None] - rows.fixed, 0.0)
        with np.errstate(invalid="ignore"):
            shares = np.nan_to_num(wanted / fill * order)
        sized = replace(rows, size=shares, size_type=AMOUNT, lock_cash=bool(rows.short_entry.any()))
        settled, records = settle(sized)
        found, entries = _equity_at(records, marks, float(rows.cash[0]))
        at = records["idx"][entries]
        if np.allclose(found[at], equity[at], rtol=_SAME, atol=0):
            break
        equity = found
    return settled, records


def _equity_at(records: NDArray[Any], marks: Floats, cash: float) -> tuple[Floats, NDArray[np.bool_]]:
    """(equity before the entries of each row and after its exits, which records are entries)."""
    rows, columns = marks.shape
    signed = np.where(records["side"] == 0, records["size"], -records["size"])
    entries = np.zeros(len(records), dtype=bool)
    for column in range(columns):
        own = np.flatnonzero(records["col"] == column)
        before = np.cumsum(signed[own]) - signed[own]
        entries[own] = np.abs(before) < 1e-9 * records["size"][own]
    row = records["idx"] + entries  # an entry counts from the next row on
    paid = -signed * records["price"] - records["fees"]
    money = cash + np.cumsum(np.bincount(row, weights=paid, minlength=rows + 1)[:rows])
    cell = np.bincount(row * columns + records["col"], weights=signed, minlength=(rows + 1) * columns)
    held = np.cumsum(cell.reshape(-1, columns)[:rows], axis=0)
    return money + np.where(held != 0, held * marks, 0.0).sum(axis=1), entries


def _marks(close: Floats) -> Floats:
    """The last price of each column at each row; NaN before the first."""
    known = np.isfinite(close)
    index = np.maximum.accumulate(np.where(known, np.arange(len(close))[:, None], -1), axis=0)
    return np.where(index >= 0, np.take_along_axis(close, np.maximum(index, 0), axis=0), np.nan)
