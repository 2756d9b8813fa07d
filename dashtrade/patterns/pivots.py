"""Turning points of prices: a zigzag whose pivots carry both the bar they stand on and the bar at which they were
known."""

from __future__ import annotations

from dataclasses import dataclass, field
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd

from dashtrade.domain.bars import in_order
from dashtrade.errors import BadBars, InvalidInput

ATR_WINDOW = 14


def _frozen(array: np.ndarray) -> np.ndarray:
    """A read-only view. Compiled code has one form for these and another for writable ones, and each takes seconds to
    compile; pandas gives now one, now the other."""
    view = array.view()
    view.flags.writeable = False
    return view


def numbers_of(bars: pd.DataFrame, names: tuple[str, ...]) -> list[np.ndarray]:
    """The columns as contiguous float64 arrays; BadBars for anything that is no frame of bars with these columns."""
    if not isinstance(bars, pd.DataFrame):
        raise BadBars(f"Bars are a DataFrame with open, high, low, close, volume, not {type(bars).__name__}.")
    arrays = []
    for name in names:
        if name not in bars.columns:
            raise BadBars(f"The bars have no column {name!r}; needed here are {', '.join(names)}.")
        column = bars[name]
        if column.ndim != 1:
            raise BadBars(f"The bars have more than one column {name!r}.")
        try:
            arrays.append(np.ascontiguousarray(column.to_numpy(dtype=np.float64, na_value=np.nan)))
        except (TypeError, ValueError):
            raise BadBars(f"The column {name!r} holds something that is not a number.") from None
    return arrays


def whole_between(field: str, value: object, low: int, high: int, unit: str = "") -> None:
    """InvalidInput unless ``value`` is a whole number from ``low`` to ``high``."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or not low <= value <= high:
        raise InvalidInput(field, f"{value!r} is not allowed; use {low} to {high}{unit}.")


def number_between(field: str, value: object, low: float, high: float, unit: str = "") -> float:
    """``value`` as a float; InvalidInput unless it is a number from ``low`` to ``high``."""
    if isinstance(value, bool) or not isinstance(value, Real) or not low <= float(value) <= high:
        raise InvalidInput(field, f"{value!r} is not allowed; use {low:g} to {high:g}{unit}.")
    return float(value)


@dataclass(slots=True)
class PricesOf:
    """High, low and close of the complete bars (a bar missing one of them is skipped), with their times and volume."""

    high: np.ndarray
    low: np.ndarray
    close: np.ndarray
    index: pd.Index
    volume: np.ndarray | None

    @classmethod
    def of(cls, bars: pd.DataFrame) -> PricesOf:
        arrays = numbers_of(bars, ("high", "low", "close"))
        if not isinstance(bars.index, pd.DatetimeIndex):
            raise BadBars("Patterns and levels need the time of each bar: a DatetimeIndex in UTC, oldest bar first.")
        in_order(bars.index)
        volume = numbers_of(bars, ("volume",))[0] if "volume" in bars.columns else None
        index = bars.index
        complete = np.isfinite(arrays[0] + arrays[1] + arrays[2])
        if not complete.all():
            arrays = [a[complete] for a in arrays]
            index = index[complete]
            volume = None if volume is None else volume[complete]
        high, low, close = (_frozen(a) for a in arrays)
        return cls(high, low, close, index, volume)


@dataclass(slots=True)
class Zigzag:
    """Pivots found so far, and where to go on when bars are appended.

    ``factor`` is the swing in average ranges (Wilder's ATR of 14 bars, at each bar), ``percent`` in percent instead.
    Arrays of pivots: ``at`` and ``known`` (bar numbers), ``price``, ``kind`` (1 high, −1 low), ``swing`` (the ATR when
    known); the first ``count`` entries are valid.
    """

    factor: float = 3.0
    percent: float | None = None
    at: np.ndarray = field(default_factory=lambda: np.empty(64, dtype=np.int64))
    price: np.ndarray = field(default_factory=lambda: np.empty(64))
    kind: np.ndarray = field(default_factory=lambda: np.empty(64, dtype=np.int64))
    known: np.ndarray = field(default_factory=lambda: np.empty(64, dtype=np.int64))
    swing: np.ndarray = field(default_factory=lambda: np.empty(64))
    count: int = 0
    done: int = 0
    """Bars looked at."""
    state: np.ndarray = field(default_factory=lambda: np.zeros(9))

    def __post_init__(self) -> None:
        if self.percent is None:
            number_between("factor", self.factor, 0.1, 100, " average ranges")
        else:
            number_between("percent", self.percent, 0.001, 90)

    def update(self, prices: PricesOf) -> None:
        """Goes through the bars after those already seen."""
        from dashtrade.patterns.kernels import zigzag

        factor, share = (float(self.factor), 0.0) if self.percent is None else (0.0, self.percent / 100.0)
        while self.done < prices.close.size:
            if self.count == self.at.size or prices.close.size - self.done > 16 * self.at.size:
                self._grow(prices.close.size - self.done)
            found: Any = zigzag(
                *(prices.high, prices.low, prices.close, self.done, factor, share, ATR_WINDOW, self.state),
                *(self.at, self.price, self.kind, self.known, self.swing, self.count),
            )
            self.done, self.count = found

    def _grow(self, bars: int) -> None:
        """Room for as many pivots again, or one for every 4 bars to come; memory not written to costs nothing."""
        more = max(self.count, bars // 4)
        for name in ("at", "price", "kind", "known", "swing"):
            array = getattr(self, name)
            setattr(self, name, np.concatenate((array, np.empty(more, dtype=array.dtype))))


def pivots(bars: pd.DataFrame, factor: float = 3.0, percent: float | None = None) -> pd.DataFrame:
    """Highs and lows of swings of at least ``factor`` average ranges (or ``percent`` percent), oldest first.

    Columns: ``time`` (the bar the pivot stands on), ``known_at`` (the bar at whose close it was known, always later),
    ``price``, ``kind`` (1 high, −1 low; they alternate). Raises InvalidInput and BadBars.
    """
    prices = PricesOf.of(bars)
    swings = Zigzag(factor, percent)
    swings.update(prices)
    n = swings.count
    return pd.DataFrame(
        {
            "time": prices.index[swings.at[:n]],
            "known_at": prices.index[swings.known[:n]],
            "price": swings.price[:n],
            "kind": swings.kind[:n],
        }
    )
