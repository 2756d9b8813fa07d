"""From order records to orders and trades with names, times and reasons, and to the equity of every bar."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dashtrade.backtest.bars import Grid
from dashtrade.backtest.layout import Layout
from dashtrade.backtest.vectorbt_engine import Rows

ORDER_COLUMNS = ("time", "symbol", "side", "price", "qty", "fees", "reason")
TRADE_COLUMNS = (
    "symbol", "direction", "entry_time", "entry_price", "exit_time", "exit_price", "qty", "fees", "pnl", "return",
    "bars", "reason", "status",
)  # fmt: skip
_CLOSE_ENOUGH = 1e-9


def equity(
    records: NDArray[Any], grid: Grid, layout: Layout, cash: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(equity, positions): account value at each bar's close, and shares held, of shapes (bars,) and (bars,
    symbols)."""
    bars, count = grid.close.shape
    bar = records["idx"] // layout.per_bar
    signed = np.where(records["side"] == 0, records["size"], -records["size"])
    paid = -signed * records["price"] - records["fees"]
    cash_at = cash + np.cumsum(np.bincount(bar, weights=paid, minlength=bars), dtype=np.float64)
    positions = positions_at(records, held_after(records), layout, bars, count)
    value = np.where(positions != 0, positions * grid.marks, 0.0)
    return cash_at + value.sum(axis=1), positions


def positions_at(
    records: NDArray[Any], after: NDArray[np.float64], layout: Layout, bars: int, count: int
) -> NDArray[np.float64]:
    """Shares held at each bar's close, of shape (bars, columns), from those held ``after`` each order."""
    last = np.zeros((bars, count), dtype=np.int64)  # which order was the last; 0 is none
    last[records["idx"] // layout.per_bar, records["col"]] = np.arange(1, len(records) + 1)
    np.maximum.accumulate(last, axis=0, out=last)
    return np.concatenate(([0.0], after))[last]


def held_after(records: NDArray[Any]) -> NDArray[np.float64]:
    """Shares held after each order, by the engine's own arithmetic: a position is gone when the order that left it took
    all of it, however small it was. Records of a column must be in order of time."""
    signed = np.where(records["side"] == 0, records["size"], -records["size"])
    order = np.argsort(records["col"], kind="stable")
    column, own = records["col"][order], signed[order]
    place = np.arange(len(own)) - np.searchsorted(column, column)
    leaving = np.flatnonzero(place % 2)
    found = np.where(place % 2, 0.0, own)
    if not (own[leaving] == -own[leaving - 1]).all():  # not in, out, in, out …
        held, before = 0.0, -1
        for n, (k, change) in enumerate(zip(column.tolist(), own.tolist(), strict=True)):
            held = change if k != before else _added(held, change)
            found[n], before = held, k
    out = np.empty(len(own))
    out[order] = found
    return out


def _added(held: float, change: float) -> float:
    """The sum, 0 where the two differ by rounding only (the tolerance of ``vectorbt.utils.math_``)."""
    if held == 0 or (held > 0) == (change > 0):
        return held + change
    apart = abs(held + change)
    return 0.0 if apart <= max(_CLOSE_ENOUGH * max(abs(held), abs(change)), 1e-12) else held + change


def order_table(records: NDArray[Any], reasons: NDArray[Any], grid: Grid, layout: Layout) -> pd.DataFrame:
    """Orders in order of time: time is the bar's start, price includes slippage, fees the commission."""
    order = np.lexsort((records["id"], records["idx"]))
    own = records[order]
    return pd.DataFrame(
        {
            "time": grid.times[own["idx"] // layout.per_bar],
            "symbol": np.array(grid.symbols, dtype=object)[own["col"]],
            "side": np.where(own["side"] == 0, "buy", "sell"),
            "price": own["price"],
            "qty": own["size"],
            "fees": own["fees"],
            "reason": reasons[order],
        },
        columns=list(ORDER_COLUMNS),
    )


def why(records: NDArray[Any], rows: Rows, layout: Layout) -> NDArray[Any]:
    """The reason of each order: ``entry``, ``exit`` (a signal or the time stop), ``stop``, ``trail`` or ``target``."""
    reasons = np.full(len(records), "entry", dtype=object)
    slip = rows.slippage
    for column in range(rows.shape[1]):
        position = 0.0
        entry_row, entry_price = 0, 0.0
        for n, row, size, price, _, side_of in _of_column(records, column):
            signed = size if side_of == 0 else -size
            if position == 0:
                entry_row, entry_price = row, price
            elif position * signed < 0:
                exits = rows.long_exit if position > 0 else rows.short_exit
                side = 1.0 if position > 0 else -1.0
                raw = price / (1 - side * slip)
                target = _at(rows.profit, entry_row, column)
                close = rows.close[row, column]
                if exits[row, column] and abs(raw - close) <= 1e-12 * close:
                    reasons[n] = "exit"
                elif side * (raw - entry_price * (1 + side * target)) >= -_CLOSE_ENOUGH * raw:
                    reasons[n] = "target"
                else:
                    reasons[n] = "trail" if _at(rows.trailing, entry_row, column) else "stop"
            position += signed
            if abs(position) < _CLOSE_ENOUGH * size:
                position = 0.0
    return reasons


def sides_of(records: NDArray[Any]) -> NDArray[Any]:
    """The reason of each order where there are no stops: ``entry`` or ``exit``."""
    after = held_after(records)
    bought = records["side"] == 0
    return np.where((after != 0) & ((after > 0) == bought), "entry", "exit").astype(object)


def _of_column(records: NDArray[Any], column: int) -> Iterator[tuple[int, int, float, float, float, int]]:
    """(place among all records, row, size, price, fees, side: 0 for a purchase) of one column's orders."""
    own = np.flatnonzero(records["col"] == column)
    found = (records[name][own].tolist() for name in ("idx", "size", "price", "fees", "side"))
    return zip(own.tolist(), *found, strict=True)


def _at(values: NDArray[Any], row: int, column: int) -> Any:
    return values[row if values.shape[0] > 1 else 0, column if values.shape[1] > 1 else 0]


def trade_table(records: NDArray[Any], reasons: NDArray[Any], grid: Grid, layout: Layout) -> pd.DataFrame:
    """Trades from flat to flat, in order of entry; the last of each symbol may be open, valued at its last close.

    ``pnl`` is money after all fees; ``return`` is pnl over the entry's value; ``bars`` counts bars from entry to exit.
    """
    trades: list[tuple[Any, ...]] = []
    marks = grid.marks[-1]
    last = len(grid.times) - 1
    for column, symbol in enumerate(grid.symbols):
        state: _Open | None = None
        for n, row, size, price, fees, side_of in _of_column(records, column):
            side = 1.0 if side_of == 0 else -1.0
            bar = row // layout.per_bar
            if state is None:
                state = _Open(side, bar)
            if side == state.side:
                state.enter(size, price, fees)
            else:
                state.leave(size, price, fees)
            if state.held <= _CLOSE_ENOUGH * size:
                trades.append(state.row(symbol, bar, str(reasons[n]), "closed"))
                state = None
        if state is not None:
            state.leave(state.held, float(marks[column]), 0.0)
            trades.append(state.row(symbol, last, "open", "open"))
    trades.sort(key=lambda t: t[2])
    cells = zip(*trades, strict=True) if trades else ((),) * len(TRADE_COLUMNS)
    columns: dict[str, Any] = dict(zip(TRADE_COLUMNS, cells, strict=True))
    for name in ("entry_time", "exit_time"):
        columns[name] = grid.times[np.array(columns[name], dtype=np.int64)]
    return pd.DataFrame(columns)


class _Open:
    """A position being built and left, at average prices."""

    __slots__ = ("bar", "bought", "cost", "fees", "held", "proceeds", "side", "sold")

    def __init__(self, side: float, bar: int) -> None:
        self.side, self.bar = side, bar
        self.held = self.bought = self.cost = self.sold = self.proceeds = self.fees = 0.0

    def enter(self, size: float, price: float, fees: float) -> None:
        self.held += size
        self.bought += size
        self.cost += size * price
        self.fees += fees

    def leave(self, size: float, price: float, fees: float) -> None:
        self.held -= size
        self.sold += size
        self.proceeds += size * price
        self.fees += fees

    def row(self, symbol: str, bar: int, reason: str, status: str) -> tuple[Any, ...]:
        pnl = self.side * (self.proceeds - self.cost) - self.fees
        return (
            symbol, "long" if self.side > 0 else "short", self.bar, self.cost / self.bought,
            bar, self.proceeds / self.sold, self.bought, self.fees, pnl, pnl / self.cost,
            bar - self.bar, reason, status,
        )  # fmt: skip
