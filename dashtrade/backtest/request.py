"""What to backtest: a frozen request, with every assumption spelled out."""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from dashtrade.backtest.rebalance import Rebalance
from dashtrade.domain.frames import numbers_of
from dashtrade.domain.strategy import Direction, Stops, Strategy
from dashtrade.errors import InvalidInput

E = TypeVar("E", bound=StrEnum)

DEFAULT_SLIPPAGE = 0.0005
LEFT_OUT = "bars_left_out"
"""Where a frame's ``attrs`` say how many of its bars had not all four prices."""
_PRICES = ("open", "high", "low", "close")
SPREADS = {"yahoo": 0.0002, "alpha_vantage": 0.0002, "alpaca": 0.0001, "sample": 0.0002}
"""Assumed bid-ask spread, as a fraction of the price, by price source; other sources: 0."""


class Fill(StrEnum):
    """When a decision made at a bar's close is filled."""

    NEXT_OPEN = "next_open"
    CLOSE = "close"
    """At the same close that decided it. Nobody can trade so; the result carries a warning."""


@dataclass(frozen=True, slots=True)
class Percent:
    """Percent of the equity for each position; less where the free cash does not reach.

    Where symbols share one cash, the equity is the cash after what is left at that open, and all that is held at
    its prices.
    """

    value: float = 100.0

    def __post_init__(self) -> None:
        _between("size", self.value, 0, 100, "percent of equity")


@dataclass(frozen=True, slots=True)
class Cash:
    """A fixed amount of money for each position, at the price before costs; less where the cash does not reach."""

    value: float

    def __post_init__(self) -> None:
        _between("size", self.value, 0, math.inf, "amount of money")


@dataclass(frozen=True, slots=True)
class Shares:
    """A fixed number of shares for each position; fewer where the cash does not reach."""

    value: float

    def __post_init__(self) -> None:
        _between("size", self.value, 0, math.inf, "number of shares")


@dataclass(frozen=True, slots=True)
class RiskPercent:
    """As many shares as lose ``value`` percent of the equity at the stop.

    The distance is the strategy's stop (``loss`` or ``atr_loss``); without one, a stop of ``atr`` average true ranges
    is added. Never more than the cash allows.
    """

    value: float = 1.0
    atr: float = 2.0

    def __post_init__(self) -> None:
        _between("size", self.value, 0, 100, "percent of equity at risk")
        _between("atr", self.atr, 0, 100, "multiple of the average true range")


Size = Percent | Cash | Shares | RiskPercent


@dataclass(frozen=True, slots=True)
class Costs:
    """What trading costs, as fractions of the traded value: 0.001 is 0.1 %, or 10 bps.

    ``slippage`` None stands for 5 bps plus half the price source's spread. A slippage that is given is taken as
    it is; half of ``spread`` comes on top only where that is given too. ``fixed`` is money for each order.
    """

    commission: float = 0.0
    slippage: float | None = None
    spread: float | None = None
    fixed: float = 0.0

    def __post_init__(self) -> None:
        for name in ("commission", "slippage", "spread"):
            value = getattr(self, name)
            if value is not None and not (is_number(value) and 0 <= value < 0.5):
                raise InvalidInput(
                    name, f"{value!r} is not a cost; use a fraction from 0 to 0.5, such as 0.001 for 0.1 %."
                )
        _between("fixed", self.fixed, -1e-300, math.inf, "amount of money")

    def per_side(self, source: str = "") -> float:
        """Slippage and half spread together, for bars of this source."""
        if self.slippage is None:
            spread = SPREADS.get(source, 0.0) if self.spread is None else self.spread
            return DEFAULT_SLIPPAGE + spread / 2
        return self.slippage + (self.spread or 0.0) / 2


@dataclass(frozen=True, slots=True, eq=False)
class BacktestRequest:
    """One backtest.

    ``bars`` maps symbols to OHLCV frames (``dashtrade.domain.market``). ``strategy`` is a Strategy or a preset's name.
    Bars without all four prices are left out, which the result says. ``stops`` given here replace the strategy's own
    where set. Several symbols share one cash unless ``share_cash`` is
    off: then each gets an equal part. ``rebalance`` brings the symbols that the strategy is in back to their weights
    again and again (see ``dashtrade.backtest.rebalance``); ``size`` is then the share of the equity for all of them.
    ``whole_shares`` rounds down to whole shares.

    >>> import dashtrade as dt
    >>> bars = {"AAPL": dt.history("AAPL", source="sample")}
    >>> dt.BacktestRequest("ema_cross", bars, cash=-5)
    Traceback (most recent call last):
    dashtrade.errors.InvalidInput: cash: -5 is not an allowed amount of money; use a number above 0.
    """

    strategy: Strategy | str
    bars: Mapping[str, pd.DataFrame]
    cash: float = 10_000.0
    size: Size = field(default_factory=Percent)
    costs: Costs = field(default_factory=Costs)
    stops: Stops | None = None
    direction: Direction | str = Direction.LONG_ONLY
    fill: Fill | str = Fill.NEXT_OPEN
    share_cash: bool = True
    whole_shares: bool = False
    risk_free: float = 0.0
    seed: int = 0
    rebalance: Rebalance | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "direction", _enum(Direction, "direction", self.direction))
        object.__setattr__(self, "fill", _enum(Fill, "fill", self.fill))
        _between("cash", self.cash, 0, math.inf, "amount of money")
        if not is_number(self.risk_free) or not -0.5 <= self.risk_free <= 1:
            raise InvalidInput("risk_free", f"{self.risk_free!r} is not a yearly rate; use a fraction such as 0.02.")
        if not isinstance(self.bars, Mapping) or not self.bars:
            raise InvalidInput("bars", "give at least one symbol with its bars, such as {'AAPL': frame}.")
        if not isinstance(self.strategy, Strategy | str):
            raise InvalidInput("strategy", f"{self.strategy!r} is neither a Strategy nor the name of a preset.")
        for name, kinds in (
            ("size", Percent | Cash | Shares | RiskPercent),
            ("costs", Costs),
            ("stops", Stops | None),
            ("rebalance", Rebalance | None),
        ):
            value = getattr(self, name)
            if not isinstance(value, kinds):
                options = {"size": "Percent(50), Cash(2000), Shares(10) or RiskPercent(1)"}
                raise InvalidInput(name, f"{value!r} is not understood; use {options.get(name, name.capitalize())}.")
        if isinstance(self.seed, bool) or not isinstance(self.seed, int) or self.seed < 0:
            raise InvalidInput("seed", f"{self.seed!r} is not a seed; use a whole number from 0 up.")
        object.__setattr__(self, "bars", {symbol: _complete(frame) for symbol, frame in self.bars.items()})


def _complete(frame: Any) -> Any:
    """The bars that have all four prices; the number of those left out is noted in ``attrs``.

    A bar without an open cannot be filled at, and one without a close cannot be decided on. Left in, a decision to
    leave would be lost on it.
    """
    if isinstance(frame, pd.DataFrame):
        numbers = numbers_of(frame) or {}
        if all(name in numbers and not np.isnan(numbers[name]).any() for name in _PRICES):
            return frame
    columns = getattr(frame, "columns", ())
    if not all(name in columns for name in _PRICES):
        return frame
    whole = frame[list(_PRICES)].notna().all(axis=1)
    if whole.all():
        return frame
    kept = frame[whole]
    kept.attrs = {**frame.attrs, LEFT_OUT: int((~whole).sum())}
    return kept


def is_number(value: object) -> bool:
    """A real number that is not a truth value."""
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def _enum(cls: type[E], name: str, value: E | str) -> E:
    try:
        return cls(str(value))
    except ValueError:
        raise InvalidInput(name, f"{value!r} is not known.", allowed=[e.value for e in cls]) from None


def _between(field: str, value: float, low: float, high: float, what: str) -> None:
    if not is_number(value) or not low < value <= high or math.isinf(value):
        limits = f"above {max(low, 0):g}" + (f", at most {high:g}" if math.isfinite(high) else "")
        raise InvalidInput(field, f"{value!r} is not an allowed {what}; use a number {limits}.")
