"""Two-phase bars: every bar becomes an *open* row and an *inside* row, so that fills are honest.

Decisions are made at a bar's close and act at the next bar's open row, where every price is the open. The inside row
has the
bar's open, high, low and close; only stops act there. So a gap through a stop fills at the open, a stop works on the
entry
bar, and where stop and target lie inside one bar the stop goes first.

Where both directions may be held there are two open rows, one to leave and one to enter, so that a reversal is two
orders at
the same open. For ``fill="close"`` the signals act on the inside row of their own bar, at its close.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dashtrade.backtest.control import FREE, Control
from dashtrade.backtest.layout import Layout
from dashtrade.backtest.request import BacktestRequest, Cash, Fill, Percent, RiskPercent, Shares
from dashtrade.backtest.stops import StopPlan, plan_stops
from dashtrade.backtest.vectorbt_engine import AMOUNT, PERCENT, VALUE, Rows
from dashtrade.domain.frames import numbers_of
from dashtrade.domain.market import OHLCV
from dashtrade.domain.strategy import Direction, Signals, Strategy
from dashtrade.errors import BadBars

Floats = NDArray[np.float64]
_PRICES = OHLCV[:4]


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
    """All symbols on one time axis: arrays of shape (bars, symbols), NaN where a symbol has no bar at a time. The
    bars of a symbol lie side by side in memory.

    ``where[k]`` gives the place on the common axis of each of symbol k's own bars.
    """

    times: pd.DatetimeIndex
    symbols: tuple[str, ...]
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    where: tuple[NDArray[np.int64], ...]

    @property
    def marks(self) -> Floats:
        """The last known close of each symbol at each time; NaN before its first bar."""
        known = np.isfinite(self.close)
        if known.all():
            return self.close
        index = np.maximum.accumulate(np.where(known, np.arange(len(self.close))[:, None], -1), axis=0)
        return np.where(index >= 0, np.take_along_axis(self.close, np.maximum(index, 0), axis=0), np.nan)


def prices_of(symbol: str, bars: pd.DataFrame) -> list[Floats]:
    """Open, high, low and close of each bar; BadBars where a frame is not one of bars."""
    if not isinstance(bars, pd.DataFrame):
        raise BadBars(f"The bars of {symbol} must be a DataFrame, not {type(bars).__name__}.")
    numbers = numbers_of(bars)
    names = bars.columns if numbers is None else numbers
    missing = [c for c in _PRICES if c not in names]
    if missing:
        raise BadBars(f"The bars of {symbol} have no {', '.join(missing)}; they need {', '.join(OHLCV)}.")
    if not isinstance(bars.index, pd.DatetimeIndex):
        raise BadBars(f"The bars of {symbol} need a DatetimeIndex, not {type(bars.index).__name__}.")
    if len(bars) < 2:
        raise BadBars(f"{symbol} has {len(bars)} bars; a backtest needs at least 2. Choose a longer period.")
    if not bars.index.is_monotonic_increasing or not bars.index.is_unique:
        raise BadBars(f"The bars of {symbol} must be sorted by time, without repeats.")
    if numbers is None:
        try:
            values = list(bars[list(_PRICES)].to_numpy(dtype=np.float64).T)
        except (TypeError, ValueError):
            raise BadBars(f"The prices of {symbol} are not all numbers.") from None
    else:
        values = [numbers[c] for c in _PRICES]
    return values


def check_prices(symbol: str, times: pd.DatetimeIndex, values: Sequence[Floats]) -> None:
    """BadBars where no bar can have such an open, high, low and close."""
    if not all(v.min() > 0 and v.max() < np.inf for v in values):  # a missing price is in neither range
        raise BadBars(f"{symbol} has prices that are infinite, at or below 0; remove or mend those bars.")
    turned = values[1] < values[2]
    if turned.any():
        when = times[int(np.argmax(turned))]
        raise BadBars(f"{symbol} has a high below its low at {when}; mend or remove such bars.")


def make_grid(bars: Mapping[str, pd.DataFrame]) -> Grid:
    symbols = tuple(bars)
    prices = [prices_of(symbol, bars[symbol]) for symbol in symbols]
    indices: list[pd.DatetimeIndex] = [bars[symbol].index for symbol in symbols]  # type: ignore[misc]
    times = indices[0]
    if len({index.tz is None for index in indices}) > 1:
        raise BadBars(f"Some of the bars of {', '.join(symbols)} have a time zone and some have none.")
    alike = all(index.equals(times) for index in indices[1:])
    if alike:
        where = (np.arange(len(times)),) * len(symbols)
        whole = np.empty((4, len(symbols), len(times)))
        for n in range(4):
            np.stack([own[n] for own in prices], out=whole[n])
        sound = whole.min() > 0 and whole.max() < np.inf and not (whole[1] < whole[2]).any()
    else:
        sound = False
        times = _joined(indices)
        where = tuple(np.asarray(times.get_indexer(index), dtype=np.int64) for index in indices)
        whole = np.full((4, len(symbols), len(times)), np.nan)
        for k, own in enumerate(prices):
            for n in range(4):
                whole[n, k, where[k]] = own[n]
    if not sound:  # all at once is quicker, one by one says which
        for symbol, index, own in zip(symbols, indices, prices, strict=True):
            check_prices(symbol, index, own)
    columns = {name: whole[n].T for n, name in enumerate(_PRICES)}
    return Grid(times, symbols, **columns, where=where)


def _joined(indices: Sequence[pd.DatetimeIndex]) -> pd.DatetimeIndex:
    """All times of all indices. Equal ones are looked at once: joining costs the length of the whole each time."""
    times = indices[0]
    for n, index in enumerate(indices[1:], 1):
        if not index.equals(indices[n - 1]) and not index.equals(times):
            times = pd.DatetimeIndex(times.union(index))
    return times


def make_rows(
    request: BacktestRequest,
    strategy: Strategy,
    grid: Grid,
    signals: Mapping[str, Signals],
    slippage: float,
    control: Control = FREE,
) -> Rows:
    """The engine's input for a request: one column for each symbol."""
    layout = Layout.of(request)
    flags = make_flags(request, grid, signals)
    plans: list[StopPlan] = []
    for k, symbol in enumerate(grid.symbols):
        control.check()
        le, se, bars = flags.le[:, k], flags.se[:, k], request.bars[symbol]
        plans.append(plan_stops(request, strategy.stops, bars, grid, k, le, se, slippage, control))
    sharing = request.share_cash and len(grid.symbols) > 1
    return assemble(request, grid, layout, flags, plans, slippage, sharing)


def make_flags(request: BacktestRequest, grid: Grid, signals: Mapping[str, Signals]) -> Flags:
    """One column of flags for each symbol."""
    flags = Flags.empty(*grid.close.shape)
    for k, symbol in enumerate(grid.symbols):
        flags.fill(k, signals[symbol], grid.where[k], request)
    return flags


@dataclass(frozen=True, slots=True, eq=False)
class Flags:
    """When to enter and leave, by the bar on which it fills; arrays of shape (bars, columns), the bars of a column side
    by side in memory."""

    le: NDArray[np.bool_]
    lx: NDArray[np.bool_]
    se: NDArray[np.bool_]
    sx: NDArray[np.bool_]

    @classmethod
    def empty(cls, bars: int, columns: int) -> Flags:
        return cls(*(np.zeros((bars, columns), dtype=bool, order="F") for _ in range(4)))

    def fill(self, k: int, signals: Signals, own: NDArray[np.int64], request: BacktestRequest) -> None:
        """Column ``k`` from decisions on its own bars, under the rules for what excludes what."""
        Flags(*(getattr(self, n)[:, k : k + 1] for n in ("le", "lx", "se", "sx"))).fill_all(signals, own, request)

    def fill_all(self, signals: Signals, own: NDArray[np.int64], request: BacktestRequest) -> None:
        """All columns from decisions of shape (columns, bars), or (bars,) for one column."""
        lag = 1 if request.fill == Fill.NEXT_OPEN else 0
        whole = len(own) == len(self.le)
        acts: Any = slice(lag, None) if whole else own[lag:]
        size = len(own) - lag
        decided = {n: np.atleast_2d(getattr(signals, n)).T[:size] for n in Signals.__slots__}
        if request.direction != Direction.SHORT_ONLY:
            self.lx[acts] = decided["long_exit"]
            self.le[acts] = decided["long_entry"] & ~decided["long_exit"]  # an exit forbids the entry of its side
        if request.direction != Direction.LONG_ONLY:
            self.sx[acts] = decided["short_exit"]
            self.se[acts] = decided["short_entry"] & ~decided["short_exit"]
        if request.direction == Direction.LONG_SHORT:
            both = self.le & self.se  # entries to both sides cancel each other
            self.le[:] &= ~both
            self.se[:] &= ~both


def assemble(
    request: BacktestRequest,
    grid: Grid,
    layout: Layout,
    flags: Flags,
    plans: Sequence[StopPlan],
    slippage: float,
    sharing: bool,
) -> Rows:
    """Rows from flags and stops. The grid may have one column for all of the flags' columns."""
    bars, count = flags.le.shape
    allowed = {id(p): p.allowed for p in plans}  # many settings share a plan
    if not all(a.all() for a in allowed.values()):
        stacked = np.stack([p.allowed for p in plans], axis=1)
        flags.le[:] &= stacked
        flags.se[:] &= stacked
    if request.direction == Direction.LONG_SHORT:  # an entry to the other side leaves first
        flags.lx[:] |= flags.se
        flags.sx[:] |= flags.le

    def spread(at: int, values: NDArray[np.bool_]) -> NDArray[np.bool_]:
        out = np.zeros((bars * layout.per_bar, count), dtype=bool)
        out[at :: layout.per_bar] = values
        return out

    def prices(inside: Floats) -> Floats:
        out = np.repeat(grid.open, layout.per_bar, axis=0)
        out[layout.inside :: layout.per_bar] = inside
        for extra in range(layout.inside + 1, layout.per_bar):
            out[extra :: layout.per_bar] = grid.close
        return out

    size, kind = _sizes(request, plans, layout)
    used = any(p.used for p in plans)
    one = np.full((1, 1), np.nan)
    parts = 1 if len(grid.symbols) == 1 else count
    return Rows(
        open=prices(grid.open),
        high=prices(grid.high),
        low=prices(grid.low),
        close=prices(grid.close),
        long_entry=spread(layout.entry, flags.le),
        long_exit=spread(layout.exit, flags.lx),
        short_entry=spread(layout.entry, flags.se),
        short_exit=spread(layout.exit, flags.sx),
        size=size,
        size_type=kind,
        loss=_by_row([p.loss for p in plans], layout, np.nan) if used else one,
        trailing=_by_row([p.trailing for p in plans], layout, False) if used else np.zeros((1, 1), dtype=bool),
        profit=_by_row([p.profit for p in plans], layout, np.nan) if used else one,
        cash=np.array([float(request.cash)]) if sharing else np.full(count, float(request.cash) / parts),
        groups=np.array([count]) if sharing else np.ones(count, dtype=np.int64),
        commission=request.costs.commission,
        fixed=request.costs.fixed,
        slippage=slippage,
        granularity=1.0 if request.whole_shares else float("nan"),
        lock_cash=kind != PERCENT and request.direction != Direction.LONG_ONLY,
        use_stops=used,
    )


def _by_row(columns: list[NDArray], layout: Layout, empty: float | bool) -> NDArray:
    """Values of each bar's entry row; one row where every column is constant, one value where all are the same."""
    constant = {id(c): bool((c == c[0]).all() or (c != c).all()) for c in columns}  # many settings share a plan
    if all(constant.values()):
        row = np.array([[c[0] for c in columns]])
        alike = (row == row[0, 0]).all() or (row != row).all()
        return row[:, :1].copy() if alike else row
    stacked = np.stack(columns, axis=1)
    out = np.full((stacked.shape[0] * layout.per_bar, stacked.shape[1]), empty, dtype=stacked.dtype)
    out[layout.entry :: layout.per_bar] = stacked
    return out


def _sizes(request: BacktestRequest, plans: Sequence[StopPlan], layout: Layout) -> tuple[Floats, int]:
    size = request.size
    if isinstance(size, Percent):
        return np.full((1, 1), float(size.value) / 100), PERCENT
    if isinstance(size, Cash):
        return np.full((1, 1), float(size.value)), VALUE
    if isinstance(size, Shares):
        return np.full((1, 1), float(size.value)), AMOUNT
    assert isinstance(size, RiskPercent)
    # shares = risk × cash / distance, and a percentage p of the cash buys p × cash / (fill × (1 + commission)) shares
    share = np.stack([p.risk_share for p in plans], axis=1) * (size.value / 100) * (1 + request.costs.commission)
    return _by_row(list(np.minimum(share, 1.0).T), layout, np.nan), PERCENT
