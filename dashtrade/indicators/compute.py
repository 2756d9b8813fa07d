"""From bars to an indicator's values: checks, the gap rule, and the index put back.

The gap rule, stated once and applied here only: a bar that lacks a value (NaN or infinite) in any column the indicator
reads is skipped, as if the exchange had been shut. Its own output is NaN, and the next bar continues from the last
complete one, so one missing cell costs one value instead of the rest of the series. Warm-up counts complete bars.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from dashtrade.domain.bars import in_order
from dashtrade.domain.frames import numbers_of
from dashtrade.errors import BadBars
from dashtrade.indicators.catalogue import REGISTRY, Indicator

Arrays = tuple[np.ndarray, ...]


class Columns(Mapping[str, np.ndarray]):
    """The columns of bars as contiguous float64 arrays, made once and shared by many indicators.

    ``time`` is int64 nanoseconds since 1970, UTC; a naive index counts as UTC. Raises BadBars for a missing column,
    bars out of order and two bars with one time.
    """

    def __init__(self, bars: pd.DataFrame) -> None:
        if not isinstance(bars, pd.DataFrame):
            raise BadBars(f"Bars are a DataFrame with open, high, low, close, volume, not {type(bars).__name__}.")
        in_order(bars.index)
        self.index = bars.index
        self.size = len(bars)
        self._bars = bars
        self._numbers: dict[str, np.ndarray] | None = None
        self._arrays: dict[str, np.ndarray] = {}
        self._whole: dict[str, bool] = {}

    def __getitem__(self, name: str) -> np.ndarray:
        array = self._arrays.get(name)
        if array is None:
            array = self._arrays[name] = self._time() if name == "time" else self._column(name)
        return array

    def __iter__(self) -> Any:
        return iter(self._bars.columns)

    def __len__(self) -> int:
        return len(self._bars.columns)

    def _column(self, name: str) -> np.ndarray:
        if self._numbers is None:
            self._numbers = numbers_of(self._bars) or {}
        if name in self._numbers:
            return np.array(self._numbers[name])  # a copy: compiled loops were made for arrays that may be written
        if name not in self._bars.columns:
            have = ", ".join(str(c) for c in self._bars.columns) or "none"
            raise BadBars(
                f"The bars have no column {name!r}; they have {have}. Bars need open, high, low, close, volume, in "
                "small letters."
            )
        if self._bars[name].ndim != 1:
            raise BadBars(f"The bars have more than one column {name!r}.")
        try:
            return np.ascontiguousarray(self._bars[name].to_numpy(dtype=np.float64, na_value=np.nan))
        except (TypeError, ValueError):
            raise BadBars(f"The column {name!r} holds something that is not a number.") from None

    def _time(self) -> np.ndarray:
        if not isinstance(self.index, pd.DatetimeIndex):
            raise BadBars("This indicator needs the time of each bar: the index must be a DatetimeIndex, in UTC.")
        index = self.index if self.index.tz is None else self.index.tz_convert("UTC").tz_localize(None)
        return index.to_numpy(dtype="datetime64[ns]").astype(np.int64)

    def whole(self, name: str) -> bool:
        """True if the column has no missing value. The sum of squares is one quick pass that any NaN poisons."""
        known = self._whole.get(name)
        if known is None:
            array = self[name]
            known = self._whole[name] = name == "time" or bool(
                np.isfinite(np.dot(array, array)) or np.isfinite(array).all()
            )
        return known


def compute(entry: Indicator, columns: Columns, params: Mapping[str, Any]) -> Arrays:
    """The outputs of ``entry`` for checked parameters, under the gap rule; each as long as the bars."""
    inputs = [columns[name] for name in entry.inputs]
    gaps = [name for name in entry.inputs if not columns.whole(name)]
    if not gaps:
        return _run(entry, inputs, columns.size, params)
    complete = np.ones(columns.size, dtype=bool)
    for name in gaps:
        complete &= np.isfinite(columns[name])
    dense = _run(entry, [np.ascontiguousarray(a[complete]) for a in inputs], int(complete.sum()), params)
    spread = []
    for values in dense:
        out = np.full(columns.size, np.nan)
        out[complete] = values
        spread.append(out)
    return tuple(spread)


def _run(entry: Indicator, inputs: list[np.ndarray], size: int, params: Mapping[str, Any]) -> Arrays:
    if size <= min(entry.leading(**params)):
        return tuple(np.full(size, np.nan) for _ in entry.outputs)
    with np.errstate(divide="ignore", invalid="ignore"):  # 0/0 is NaN here, by rule, not an accident
        result = entry.compute(*inputs, **params)
    return result if isinstance(result, tuple) else (result,)


def indicator(bars: pd.DataFrame | Columns, key: str, **params: Any) -> pd.Series | pd.DataFrame:
    """An indicator of the catalogue over bars, such as ``indicator(bars, "rsi", window=14)``.

    Args:
        bars: a frame with the float columns open, high, low, close, volume and a UTC index named time.
        key: a name from ``indicators()``; ``params``: its parameters, each with a default.

    Returns a float64 Series (one output) or a DataFrame whose columns are the declared outputs, with the index of
    ``bars``. Values are NaN during the declared warm-up, at bars with a missing input (see the gap rule above), and
    where the formula is 0/0, as for RSI of constant prices. The value at a bar never depends on later bars.

    Raises UnknownOption for an unknown key, InvalidInput for a wrong parameter, BadBars for a missing column, bars out
    of order or two bars with one time. Fewer bars than the warm-up give NaN everywhere.

    >>> import dashtrade as dt
    >>> bars = dt.history("AAPL", source="sample")
    >>> dt.indicator(bars, "rsi", window=14).name
    'rsi'
    >>> list(dt.indicator(bars, "macd").columns)
    ['macd', 'signal', 'histogram']
    """
    entry = REGISTRY[key]
    checked = entry.checked(params)
    columns = bars if isinstance(bars, Columns) else Columns(bars)
    values = compute(entry, columns, checked)
    if len(entry.outputs) == 1:
        return pd.Series(values[0], index=columns.index, name=key, copy=False)
    return pd.DataFrame(dict(zip(entry.outputs, values, strict=True)), index=columns.index, copy=False)


def indicators() -> pd.DataFrame:
    """The catalogue as a table: one row for each key, with label, family, inputs, outputs, parameters and their ranges,
    warm-up bars at the defaults, panel, library, formula and source.

    >>> import dashtrade as dt
    >>> dt.indicators().loc["rsi", "ranges"]
    'window: a whole number from 2 to 10000'
    """
    rows = [
        {
            "key": e.key,
            "label": e.label,
            "family": e.family.value,
            "inputs": ", ".join(e.inputs),
            "outputs": ", ".join(e.outputs),
            "params": ", ".join(f"{p.name}={p.default}" for p in e.params),
            "ranges": "; ".join(f"{p.name}: {p.range_text}" for p in e.params),
            "warmup": max(e.leading()),
            "panel": "prices" if e.panel.overlay else "own",
            "guides": e.panel.guides,
            "library": e.library,
            "formula": e.formula,
            "source": e.source,
        }
        for e in REGISTRY.values()
    ]
    return pd.DataFrame(rows).set_index("key")
