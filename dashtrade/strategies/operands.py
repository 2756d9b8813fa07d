"""Values of operands over bars, each computed once.

No value depends on a later bar. A longer timeframe is built from completed bars only: its value appears on the first
bar whose own end is at or after the longer bar's end, judged by the nominal lengths and never by the next bar's
presence.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dashtrade.domain.market import Interval, parse_interval
from dashtrade.domain.strategy import Arithmetic, Expression, Number, Operand
from dashtrade.errors import InvalidInput
from dashtrade.indicators import REGISTRY, Columns, compute
from dashtrade.strategies import flags
from dashtrade.strategies.names import LEVEL_WINDOW, LEVELS, PRICES

Values = NDArray[np.float64]
_RULES = {"5m": "5min", "15m": "15min", "30m": "30min", "1h": "1h", "4h": "4h", "1d": "1D", "1wk": "W-MON", "1mo": "MS"}
_AGGREGATE = {"open": "first", "high": "max", "low": "min", "close": "last", "volume": "sum"}


class Operands:
    """The values of any expression over one frame of bars; indicators are computed once for each distinct setting."""

    def __init__(self, bars: pd.DataFrame, interval: Interval | None = None) -> None:
        self.bars = bars
        self.columns = Columns(bars)
        self.size = len(bars)
        self.interval = interval or _interval(bars)
        self._known: dict[Operand, Values] = {}
        self._outputs: dict[tuple[str, tuple[tuple[str, object], ...]], tuple[Values, ...]] = {}
        self._longer: dict[str, tuple[Operands, NDArray[np.int64]]] = {}

    def values(self, expression: Expression) -> Values:
        """float64, one value a bar, NaN where undefined (warm-up, division by zero)."""
        if isinstance(expression, Number):
            return np.full(self.size, expression.value)
        if isinstance(expression, Arithmetic):
            left, right = self.values(expression.left), self.values(expression.right)
            with np.errstate(divide="ignore", invalid="ignore"):
                result: Values = {
                    "+": np.add,
                    "-": np.subtract,
                    "*": np.multiply,
                    "/": np.divide,
                }[expression.operator](left, right)
            return np.where(np.isfinite(result), result, np.nan)
        known = self._known.get(expression)
        if known is None:
            known = self._known[expression] = self._operand(expression)
        return known

    def _operand(self, operand: Operand) -> Values:
        if operand.timeframe is not None:
            plain = Operand(operand.name, operand.params, operand.output, operand.offset)
            if self.interval is not None and operand.timeframe == self.interval.value:
                return self.values(plain)
            longer, last = self._resampled(operand.timeframe)
            values = longer.values(plain)
            return (
                np.where(last >= 0, values[np.maximum(last, 0)], np.nan) if longer.size else np.full(self.size, np.nan)
            )
        if operand.offset:
            base = self.values(Operand(operand.name, operand.params, operand.output))
            shifted = np.full(self.size, np.nan)
            shifted[operand.offset :] = base[: max(self.size - operand.offset, 0)]
            return shifted
        return self._base(operand)

    def _base(self, operand: Operand) -> Values:
        name = operand.name
        if name in PRICES:
            return self.columns[name]
        if name in REGISTRY:
            entry = REGISTRY[name]
            key = (name, operand.params)
            outputs = self._outputs.get(key)
            if outputs is None:
                outputs = self._outputs[key] = compute(entry, self.columns, entry.checked(dict(operand.params)))
            return outputs[entry.outputs.index(operand.output) if operand.output else 0]
        if name in LEVELS:
            window = int(dict(operand.params).get("window", LEVEL_WINDOW))
            return last_swing(self.columns["low" if name == "support" else "high"], window, low=name == "support")
        if name in flags.names():
            return flags.flag(name, self.columns)
        o, h, low, c = (self.columns[p] for p in ("open", "high", "low", "close"))
        return {"price": c, "hl2": (h + low) / 2, "hlc3": (h + low + c) / 3, "ohlc4": (o + h + low + c) / 4}[name]

    def _resampled(self, timeframe: str) -> tuple[Operands, NDArray[np.int64]]:
        if timeframe not in self._longer:
            longer = parse_interval(timeframe)
            if self.interval is None:
                raise InvalidInput("interval", f"@{timeframe} needs bars whose own interval is known.")
            if longer.length <= self.interval.length:
                raise InvalidInput(
                    "interval", f"@{timeframe} is not longer than the bars' own interval, {self.interval.value}."
                )
            rule = _RULES[timeframe]
            left = {"closed": "left", "label": "left"}
            frame = self.bars.resample(rule, **left).agg(_AGGREGATE).dropna(subset=["close"])  # type: ignore[arg-type]
            starts = pd.DatetimeIndex(frame.index)
            if timeframe == "1mo":
                ends = starts + pd.offsets.MonthBegin(1)
            else:
                ends = starts + longer.length
            own_end = pd.DatetimeIndex(self.bars.index) + self.interval.length
            last = np.asarray(ends.searchsorted(own_end, side="right"), dtype=np.int64) - 1
            self._longer[timeframe] = (Operands(frame, longer), last)
        return self._longer[timeframe]


def last_swing(prices: Values, window: int, low: bool) -> Values:
    """The last swing low (or high) known at each bar: a bar lower (higher) than ``window`` bars on both sides.

    A swing is known only ``window`` bars after it, and is stamped there. NaN before the first.
    """
    values = prices if low else -prices
    size = len(values)
    out = np.full(size, np.nan)
    span = 2 * window + 1
    if size >= span:
        around = np.lib.stride_tricks.sliding_window_view(values, span)
        swing = around[:, window] <= np.min(around, axis=1)  # a gap inside compares false
        known = np.flatnonzero(swing) + span - 1
        out[known] = prices[known - window]
    index = np.maximum.accumulate(np.where(np.isnan(out), -1, np.arange(size)))
    return np.where(index >= 0, out[np.maximum(index, 0)], np.nan)


def _interval(bars: pd.DataFrame) -> Interval | None:
    """The bars' stated interval, else the one whose length is the median step."""
    stated = bars.attrs.get("interval")
    if stated:
        return parse_interval(str(stated))
    if not isinstance(bars.index, pd.DatetimeIndex) or len(bars) < 3:
        return None
    step = pd.Series(bars.index).diff().median()
    return next((i for i in Interval if i.length == step), None)
