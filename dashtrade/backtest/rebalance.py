"""Many symbols with one cash, brought back to their weights again and again.

Weights are decided at a bar's close from closes up to it, and traded at each symbol's next open: sales first, then
purchases, all scaled down alike where the cash does not reach. Where symbols trade at different times, purchases that
the cash cut short go on until the sales of the same decision are filled. A decision is made

* whenever the strategy lets a symbol in or out,
* on the first bar of each period (``every``), if some weight is off its target by more than ``band``, or a symbol is
  held that should not be, or not held that should.

A new decision replaces what is left of the last one. A symbol that has ended keeps its share at its last price.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dashtrade.backtest.control import FREE, Control
from dashtrade.backtest.vectorbt_engine import ORDER_DTYPE
from dashtrade.errors import InvalidInput

if TYPE_CHECKING:
    from dashtrade.backtest.bars import Grid
    from dashtrade.backtest.request import BacktestRequest
    from dashtrade.domain.strategy import Signals, Strategy

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
_LEAST = 1e-9
"""Orders of less than this share of the equity are not worth sending."""


class Weighting(StrEnum):
    """How the equity is divided over the symbols that are in."""

    EQUAL = "equal"
    INVERSE_VOLATILITY = "inverse_volatility"
    """In proportion to 1 / standard deviation (n − 1) of the last ``window`` one-bar returns of the close; a symbol
    without so many, or that did not move, waits."""


class Every(StrEnum):
    """The period on whose first bar weights are looked at, by the calendar of the bars (UTC)."""

    BAR = "bar"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    QUARTER = "quarter"
    YEAR = "year"


_PERIODS = {Every.DAY: "D", Every.WEEK: "W", Every.MONTH: "M", Every.QUARTER: "Q", Every.YEAR: "Y"}


@dataclass(frozen=True, slots=True)
class Rebalance:
    """``band`` is the most by which a weight may be off before something is done: 0.05 is 5 points of the equity."""

    weighting: Weighting | str = Weighting.EQUAL
    every: Every | str = Every.MONTH
    band: float = 0.0
    window: int = 63

    def __post_init__(self) -> None:
        for name, kind in (("weighting", Weighting), ("every", Every)):
            value = str(getattr(self, name))
            if value not in list(kind):
                raise InvalidInput(name, f"{value!r} is not known.", allowed=list(kind))
            object.__setattr__(self, name, kind(value))
        band = self.band
        if isinstance(band, bool) or not isinstance(band, int | float) or not 0 <= band < 1:
            raise InvalidInput("band", f"{band!r} is not a share; use 0 up to 1, such as 0.05 for 5 %.")
        window = self.window
        if isinstance(window, bool) or not isinstance(window, int) or window < 2:
            raise InvalidInput("window", f"{window!r} is not a number of bars; use 2 or more.")


def rebalance(
    request: BacktestRequest, strategy: Strategy, grid: Grid, signals: Mapping[str, Signals], slippage: float,
    per_bar: int, control: Control = FREE,
) -> NDArray[Any]:  # fmt: skip
    """Order records, by symbol and time as the engine gives them."""
    plan = request.rebalance
    assert plan is not None
    marks, there, size = grid.marks, np.isfinite(grid.close), len(grid.times)
    inside = np.stack([_inside(signals[s], grid.where[k], size) for k, s in enumerate(grid.symbols)], axis=1)
    changed = np.zeros(size, dtype=bool)
    changed[0], changed[1:] = inside[0].any(), (inside[1:] != inside[:-1]).any(axis=1)
    spread = _deviations(grid, plan.window) if plan.weighting is Weighting.INVERSE_VOLATILITY else None
    account = _Account(request, slippage, len(grid.symbols))
    looked = np.flatnonzero(changed | _scheduled(grid.times, Every(plan.every)))
    for n, i in enumerate(looked):
        if n % 256 == 0:
            control.check()
        weights = _weights(inside[i], None if spread is None else spread[i]) * (request.size.value / 100)
        held = account.worth_of(marks[i])
        worth = account.cash + held.sum()
        if worth <= 0:
            break
        other = ((weights > 0) != (account.shares > 0)).any()
        if changed[i] or other or np.abs(held / worth - weights).max() > plan.band:
            account.decide(weights)
        until = looked[n + 1] if n + 1 < len(looked) else size - 1
        for t in range(i + 1, until + 1):
            if not account.pending.any():
                break
            account.trade(t * per_bar, np.where(there[t], grid.open[t], marks[t]), there[t])
    return account.records()


def check(request: BacktestRequest, strategy: Strategy) -> None:
    """InvalidInput where a request asks for what does not go with rebalancing."""
    from dashtrade.backtest.request import Fill, Percent
    from dashtrade.domain.strategy import Direction

    if request.direction != Direction.LONG_ONLY:
        raise InvalidInput("direction", "rebalancing holds long positions; use long_only.")
    if request.fill != Fill.NEXT_OPEN:
        raise InvalidInput("fill", "rebalancing trades at the next open; use next_open.")
    if not isinstance(request.size, Percent):
        raise InvalidInput("size", "rebalancing divides a share of the equity; use a percentage such as 100%.")
    if not request.share_cash:
        raise InvalidInput("share_cash", "rebalancing needs one cash for all symbols.")
    if strategy.stops.any_price or strategy.stops.bars is not None or strategy.cooldown:
        raise InvalidInput("stops", "rebalancing takes no stops and no cooldown; let conditions decide who is in.")


def _inside(signals: Signals, own: NDArray[np.int64], size: int) -> Flags:
    """Whether the strategy wants the symbol, after the decision at each time: from an entry until an exit."""
    out = np.zeros(size, dtype=np.int8)
    out[own[signals.long_entry & ~signals.long_exit]] = 1
    out[own[signals.long_exit]] = -1
    last = np.maximum.accumulate(np.where(out != 0, np.arange(size), 0))
    return np.asarray(out[last] == 1)


def _deviations(grid: Grid, window: int) -> Floats:
    """Standard deviation of the last ``window`` one-bar returns of each symbol's own closes, as last known at each
    time; NaN before."""
    out = np.full(grid.close.shape, np.nan)
    for k, own in enumerate(grid.where):
        closes = pd.Series(grid.close[own, k])
        returns = closes / closes.shift() - 1
        spread = returns.rolling(window).std().to_numpy()
        moved = (returns != 0).rolling(window).sum().to_numpy() > 0  # a running sum leaves crumbs where nothing moved
        out[own, k] = np.where(moved, spread, np.nan)
    return np.asarray(pd.DataFrame(out).ffill().to_numpy())


def _scheduled(times: pd.DatetimeIndex, every: Every) -> Flags:
    """The first bar of each period; also the very first of all."""
    out = np.ones(len(times), dtype=bool)
    if every is not Every.BAR:
        plain = times.tz_convert("UTC").tz_localize(None) if times.tz is not None else times
        number = plain.to_period(_PERIODS[every]).asi8
        out[1:] = number[1:] != number[:-1]
    return out


def _weights(members: Flags, spread: Floats | None) -> Floats:
    """Shares of the equity that sum to 1 (or are all 0)."""
    if spread is None:
        raw = members.astype(np.float64)
    else:
        with np.errstate(divide="ignore", invalid="ignore"):
            raw = np.where(members & (spread > 0), 1 / spread, 0.0)
    total = raw.sum()
    return raw / total if total > 0 else raw


class _Account:
    """Cash and shares, and the orders that changed them."""

    def __init__(self, request: BacktestRequest, slippage: float, symbols: int) -> None:
        self.cash = float(request.cash)
        self.shares = np.zeros(symbols)
        self.pending = np.zeros(symbols, dtype=bool)
        self._weights = np.zeros(symbols)
        self._commission, self._fixed, self._slippage = request.costs.commission, request.costs.fixed, slippage
        self._whole = request.whole_shares
        self._orders: list[tuple[int, int, float, float, float, int]] = []

    def worth_of(self, prices: Floats) -> Floats:
        return np.where(self.shares != 0, self.shares * prices, 0.0)

    def decide(self, weights: Floats) -> None:
        """From now on every symbol goes to its share of the equity, when it can be traded."""
        self._weights = weights
        self.pending = np.ones(len(weights), dtype=bool)

    def trade(self, row: int, prices: Floats, open_now: Flags) -> None:
        """Trades the pending symbols that are open; ``prices`` holds a value for every symbol that is held."""
        worth = self.cash + self.worth_of(prices).sum()
        now = self.pending & open_now
        with np.errstate(invalid="ignore"):
            wanted = worth * self._weights / prices
        if self._whole:
            wanted = np.floor(wanted)
        change = np.where(now, wanted - self.shares, 0.0)
        change[~(np.abs(change) * prices > _LEAST * worth)] = 0.0
        self.pending &= ~now
        for k in np.flatnonzero(change < 0).tolist():
            self._fill(row, k, change[k], prices[k] * (1 - self._slippage))
        buying = change > 0
        if not buying.any():
            return
        fills = prices * (1 + self._slippage)
        cost = np.where(buying, change * fills, 0.0).sum() * (1 + self._commission)
        part = min(1.0, max(self.cash - self._fixed * int(buying.sum()), 0.0) / cost)
        for k in np.flatnonzero(buying).tolist():
            quantity = math.floor(change[k] * part) if self._whole and part < 1 else change[k] * part
            if quantity * prices[k] > _LEAST * worth:
                self._fill(row, k, quantity, fills[k])
        sales = self.pending & (self.worth_of(prices) > worth * self._weights)
        if part < 1 and sales.any():
            self.pending |= buying

    def _fill(self, row: int, symbol: int, signed: float, price: float) -> None:
        fees = abs(signed) * price * self._commission + self._fixed
        self.cash -= signed * price + fees
        after = self.shares[symbol] + signed
        self.shares[symbol] = 0.0 if abs(after) <= 1e-12 * abs(signed) else after
        self._orders.append((row, symbol, abs(signed), price, fees, int(signed < 0)))

    def records(self) -> NDArray[Any]:
        out = np.zeros(len(self._orders), dtype=ORDER_DTYPE)
        if self._orders:
            for name, values in zip(
                ("idx", "col", "size", "price", "fees", "side"), zip(*self._orders, strict=True), strict=True
            ):
                out[name] = values
            out["id"] = np.arange(len(out))
        return out[np.lexsort((out["idx"], out["col"]))]
