"""From order records to orders and trades with names, times and reasons, and to the equity of every bar."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
REASONS = ("entry", "exit", "stop", "trail", "target", "rebalance", "open")
"""Why an order was given; ``open`` stands for a trade without its last order."""
ENTRY, EXIT, STOP, TRAIL, TARGET, REBALANCE, OPEN = range(7)
_CLOSE_ENOUGH = 1e-9


def equity(
    records: NDArray[Any], grid: Grid, layout: Layout, cash: float, after: NDArray[np.float64] | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(equity, positions): account value at each bar's close, and shares held, of shapes (bars,) and (bars,
    symbols). With ``after``, the shares held after each order, it is a compiled loop that adds them up."""
    bars, count = grid.close.shape
    if after is not None:
        from dashtrade.backtest import kernels

        values, held = np.empty(bars), np.zeros((count, bars))
        kernels.value(records, after, layout.per_bar, np.ascontiguousarray(grid.marks.T), cash, values, held)
        return values, held.T
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
            "symbol": _words(grid.symbols, own["col"]),
            "side": _words(("buy", "sell"), own["side"]),
            "price": own["price"],
            "qty": own["size"],
            "fees": own["fees"],
            "reason": _words(REASONS, reasons[order]),
        },
        columns=list(ORDER_COLUMNS),
    )


def _words(words: Sequence[str], which: NDArray[Any]) -> Any:
    """A column of words that repeat: chosen from a few, which pandas need not look at one by one."""
    return pd.Index(words).array.take(which)


def why(records: NDArray[Any], rows: Rows, layout: Layout) -> NDArray[Any]:
    """The reason of each order, its place in ``REASONS``: an exit is a signal or the time stop."""
    reasons = np.full(len(records), ENTRY)
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
                    reasons[n] = EXIT
                elif side * (raw - entry_price * (1 + side * target)) >= -_CLOSE_ENOUGH * raw:
                    reasons[n] = TARGET
                else:
                    reasons[n] = TRAIL if _at(rows.trailing, entry_row, column) else STOP
            position += signed
            if abs(position) < _CLOSE_ENOUGH * size:
                position = 0.0
    return reasons


def sides_of(records: NDArray[Any]) -> NDArray[Any]:
    """The reason of each order where there are no stops, its place in ``REASONS``."""
    after = held_after(records)
    bought = records["side"] == 0
    return np.where((after != 0) & ((after > 0) == bought), ENTRY, EXIT)


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
    cells = _in_pairs(records, reasons, grid, layout)
    if cells is None:
        trades = _one_by_one(records, reasons, grid, layout)
        trades.sort(key=lambda t: t[2])
        columns = zip(*trades, strict=True) if trades else ((),) * len(TRADE_COLUMNS)
        cells = dict(zip(TRADE_COLUMNS, columns, strict=True))
    for name in ("entry_time", "exit_time"):
        cells[name] = grid.times[np.array(cells[name], dtype=np.int64)]
    return pd.DataFrame(cells, columns=list(TRADE_COLUMNS))


def _in_pairs(records: NDArray[Any], reasons: NDArray[Any], grid: Grid, layout: Layout) -> dict[str, Any] | None:
    """The columns of the table where every position is entered by one order and left whole by the next; else None."""
    own = np.argsort(records["col"], kind="stable")
    column = records["col"][own]
    place = np.arange(len(own)) - np.searchsorted(column, column)
    first = own[place % 2 == 0]
    closed = np.append(column[1:] == column[:-1], False)[place % 2 == 0] if len(own) else np.zeros(0, dtype=bool)
    size, side, price, fees, bar = (records[n] for n in ("size", "side", "price", "fees", "idx"))
    bar = bar // layout.per_bar
    last = own[place % 2 == 1]
    if (
        not len(own)
        or not ((size[last] == size[first[closed]]) & (side[last] != side[first[closed]]) & (size[last] > 0)).all()
    ):
        return None
    col, sign = records["col"][first], np.where(side[first] == 0, 1.0, -1.0)
    left, bars, reason = grid.marks[-1][col], np.full(len(first), len(grid.times) - 1), np.full(len(first), OPEN)
    paid = fees[first].astype(np.float64)
    left[closed], bars[closed], reason[closed] = price[last], bar[last], reasons[last]
    paid[closed] += fees[last]
    # in the order of the loop below, so that both give the same last bit
    cost, proceeds = size[first] * price[first], size[first] * left
    pnl = sign * (proceeds - cost) - paid
    order = np.argsort(bar[first], kind="stable")
    cells = (
        _words(grid.symbols, col), _words(("long", "short"), side[first]), bar[first],
        cost / size[first], bars, proceeds / size[first], size[first], paid, pnl, pnl / cost, bars - bar[first],
        _words(REASONS, reason), _words(("open", "closed"), closed.astype(np.int64)),
    )  # fmt: skip
    return {name: values[order] for name, values in zip(TRADE_COLUMNS, cells, strict=True)}


def _one_by_one(records: NDArray[Any], reasons: NDArray[Any], grid: Grid, layout: Layout) -> list[tuple[Any, ...]]:
    """Rows of the table, times as numbers of bars, by symbol; positions may be built and left in parts."""
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
                trades.append(state.row(symbol, bar, REASONS[reasons[n]], "closed"))
                state = None
        if state is not None:
            state.leave(state.held, float(marks[column]), 0.0)
            trades.append(state.row(symbol, last, REASONS[OPEN], "open"))
    return trades


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
