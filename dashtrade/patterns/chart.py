"""Chart patterns with a life: formed, confirmed, then target reached or invalidated.

A pattern is found on pivots, at the bar its last pivot becomes known (``formed_at``). It is confirmed by the first
close through its neckline or boundary, and only then can it be traded. Before that it ends when a close leaves the
other side or it gets older than it took to form; after that when a close passes the stop. What was reported never
changes: later bars only fill in what comes later. A pattern that can break both ways is reported once for each side.

Definitions follow Bulkowski's Encyclopedia of Chart Patterns, with tolerances as shares of the pattern's own height, so
that neither the scale of prices nor of time matters.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from dashtrade.patterns.chart_names import CHART_PATTERNS, KEYS
from dashtrade.patterns.pivots import PricesOf, Zigzag

FINE = 0.5
"""Flags and pennants are small: their pivots need only so large a part of the other patterns' swing."""


@dataclass(frozen=True, slots=True)
class ChartHit:
    """One found pattern. Times are those of bars at whose close the thing was known; None where it has not happened.

    ``level`` is the price of the line broken at confirmation; ``target`` = level ± height, ``target_near`` and
    ``target_far`` are 0.7 and 1.3 of that move. ``quality`` 0–1 is the mean of ``fit`` (lines and equal levels),
    ``symmetry`` (in time) and ``size`` (height in average ranges, 8 or more is 1), all known when formed.
    ``volume_ratio`` is the confirming bar's volume against the mean of the 20 before.
    """

    pattern: str
    name: str
    direction: int
    formed_at: pd.Timestamp
    confirmed_at: pd.Timestamp | None
    reached_at: pd.Timestamp | None
    invalidated_at: pd.Timestamp | None
    level: float
    target: float
    target_near: float
    target_far: float
    stop: float
    height: float
    quality: float
    fit: float
    symmetry: float
    size: float
    volume_ratio: float
    pivots: tuple[tuple[pd.Timestamp, float], ...]


class ChartScanner:
    """Finds chart patterns bar by bar: ``update(bars)`` looks only at bars appended since the last call.

    ``factor`` is the least swing of a pivot in average ranges, ``percent`` in percent instead.
    """

    def __init__(self, factor: float = 3.0, percent: float | None = None) -> None:
        self._settings = (factor, percent)
        self._begin()

    def _begin(self) -> None:
        from dashtrade.patterns.kernels import SHAPES, WIDTH

        factor, percent = self._settings
        fine = None if percent is None else percent * FINE
        self._zigzags = (Zigzag(factor, percent), Zigzag(factor * FINE, fine))
        self._looked = [0, 0]  # pivots looked at
        self._hits = [np.empty((32, WIDTH)), np.empty((32, WIDTH))]
        self._filled = [0, 0]
        self._open_from = [0, 0]
        self._newest = (np.full((SHAPES, 2), -1), np.full((SHAPES, 2), -1))
        # for the shapes at one pivot, and for each scale, as both are looked at at once
        self._room = tuple((np.zeros((8, WIDTH)), np.empty(7), np.empty(7)) for _ in range(2))
        self._seen: tuple[object, ...] = ()
        self._prices: PricesOf | None = None

    def update(self, bars: pd.DataFrame) -> tuple[ChartHit, ...]:
        """Takes all bars again, with some appended; gives the hits that are new or whose life went on.

        Bars that do not begin with the bars of the last call (a new symbol, a corrected history) begin anew.
        """
        return tuple(hit for scale, rows in enumerate(self._scan(bars)) for hit in self._as_hits(scale, rows))

    def follow(self, bars: pd.DataFrame) -> None:
        """The same without telling what changed; read ``hits()`` or ``frame()`` afterwards."""
        self._scan(bars)

    def _scan(self, bars: pd.DataFrame) -> list[np.ndarray]:
        """Goes on to the last bar; gives, for each scale, the hits that changed."""
        prices = PricesOf.of(bars)
        done = self._zigzags[0].done
        if done and (prices.close.size < done or self._seen != _mark(prices, done)):
            self._begin()
            done = 0
        self._prices = prices
        if prices.close.size - done < _AT_ONCE_FROM:
            changed = [self._go_on(0), self._go_on(1)]
        else:  # compiled code lets other threads run
            with ThreadPoolExecutor(2) as pool:
                changed = list(pool.map(self._go_on, (0, 1)))
        self._seen = _mark(prices, prices.close.size)
        return changed

    def _go_on(self, scale: int) -> np.ndarray:
        """Pivots and hits of one scale, up to the last bar; gives the rows of the hits that changed."""
        from dashtrade.patterns.kernels import detect

        prices, zigzag = self._prices, self._zigzags[scale]
        assert prices is not None
        begun = zigzag.done > 0
        zigzag.update(prices)
        hits, filled = self._hits[scale], self._filled[scale]
        waiting = [k for k in range(self._open_from[scale], filled) if hits[k, _STATUS] < _DONE]
        before = hits[waiting, _STATUS] if begun else np.empty(0)
        # as many as shapes come by chance, so that little is copied later; memory not written to costs nothing
        hits = _with_room(hits, filled, (zigzag.count - self._looked[scale]) // (32 if scale else 1))
        while True:
            pivot, self._filled[scale], self._open_from[scale] = detect(
                *(prices.high, prices.low, prices.close, scale == 1, zigzag.at, zigzag.price, zigzag.kind),
                *(zigzag.known, zigzag.swing, self._looked[scale], zigzag.count, hits),
                *(self._filled[scale], self._open_from[scale], self._newest[scale], *self._room[scale]),
            )
            self._looked[scale] = pivot
            if pivot >= zigzag.count:
                break
            hits = _with_room(hits, self._filled[scale], len(hits))
        self._hits[scale] = hits
        moved = [k for k, status in zip(waiting, before, strict=False) if hits[k, _STATUS] != status]
        return np.array([*moved, *range(filled, self._filled[scale])], dtype=np.int64)

    @property
    def fine_pivots(self) -> Zigzag:
        """The pivots of half the swing, which flags and levels use."""
        return self._zigzags[1]

    def hits(self) -> tuple[ChartHit, ...]:
        """Every hit so far, by the time it formed."""
        found = [hit for scale in (0, 1) for hit in self._as_hits(scale, np.arange(self._filled[scale]))]
        return tuple(sorted(found, key=lambda h: h.formed_at))

    def frame(self) -> pd.DataFrame:
        """Every hit so far as a table; the columns are ChartHit's fields."""
        parts = [self._columns(scale, np.arange(self._filled[scale])) for scale in (0, 1)]
        if not parts[0]["formed_at"].size + parts[1]["formed_at"].size:
            nothing = pd.DataFrame({name: parts[0][name] for name in _FIELDS})
            return nothing.astype({"pattern": "str", "name": "str"})
        whole = {name: _joined(parts[0][name], parts[1][name]) for name in _FIELDS}
        order = np.argsort(np.asarray(whole["formed_at"]), kind="stable")
        return pd.DataFrame({name: values[order] for name, values in whole.items()}, copy=False)

    def _as_hits(self, scale: int, rows: np.ndarray) -> list[ChartHit]:
        if not rows.size:
            return []
        columns = self._columns(scale, rows)
        listed = [_plain(columns[name]) for name in _FIELDS]
        return [ChartHit(*values) for values in zip(*listed, strict=True)]

    def _columns(self, scale: int, rows: np.ndarray) -> dict[str, Any]:
        from dashtrade.patterns import kernels as k

        prices = self._prices
        assert prices is not None
        zigzag = self._zigzags[scale]
        hits = self._hits[scale][rows]
        side = hits[:, k.SIDE].astype(np.int64)
        confirmed = hits[:, k.CONFIRMED].astype(np.int64)
        height = hits[:, k.HEIGHT]
        level = side * hits[:, k.LEVEL]
        keys = [KEYS[int(c), -int(s)] for c, s in zip(hits[:, k.CODE], side, strict=True)]
        quality = (hits[:, k.FIT] + hits[:, k.SYMMETRY] + hits[:, k.SIZE]) / 3.0
        first = hits[:, k.FIRST_PIVOT].astype(np.int64)
        points = (
            list(zip(prices.index[zigzag.at[: zigzag.count]], zigzag.price[: zigzag.count].tolist(), strict=True))
            if (rows.size > 16)
            else None
        )
        found = []
        for begin, count in zip(first.tolist(), hits[:, k.COUNT].astype(np.int64).tolist(), strict=True):
            if points is not None:
                found.append(tuple(points[begin : begin + count]))
            else:
                part = slice(begin, begin + count)
                found.append(tuple(zip(prices.index[zigzag.at[part]], zigzag.price[part].tolist(), strict=True)))
        return {
            "pattern": _objects(keys),
            "name": _objects([CHART_PATTERNS[key].name for key in keys]),
            "direction": -side,
            "formed_at": prices.index[hits[:, k.FORMED].astype(np.int64)],
            "confirmed_at": _times(prices.index, confirmed),
            "reached_at": _times(prices.index, hits[:, k.REACHED].astype(np.int64)),
            "invalidated_at": _times(prices.index, hits[:, k.INVALIDATED].astype(np.int64)),
            "level": level,
            "target": level - side * height,
            "target_near": level - side * 0.7 * height,
            "target_far": level - side * 1.3 * height,
            "stop": side * hits[:, k.STOP],
            "height": height,
            "quality": quality,
            "fit": hits[:, k.FIT],
            "symmetry": hits[:, k.SYMMETRY],
            "size": hits[:, k.SIZE],
            "volume_ratio": _volume_ratio(prices.volume, confirmed),
            "pivots": _objects(found),
        }


_FIELDS = tuple(ChartHit.__dataclass_fields__)
_STATUS, _DONE = 22, 2.0  # as in kernels.py, which is not imported before it is needed
_AT_ONCE_FROM = 200_000  # bars from which a second thread is worth its start


def _mark(prices: PricesOf, done: int) -> tuple[object, ...]:
    """What shows whether the first ``done`` bars are still those that were looked at: dividends and splits change the
    past and leave the last bar as it was."""
    if not done:
        return ()
    ends = (prices.index[0], prices.index[done - 1])
    return *ends, *(float(column[:done].sum()) for column in (prices.high, prices.low, prices.close))


def _with_room(hits: np.ndarray, filled: int, more: int) -> np.ndarray:
    """``hits`` with space for at least ``more`` after the first ``filled``."""
    if len(hits) - filled >= more:
        return hits
    larger = np.empty((filled + max(more, len(hits)), hits.shape[1]))
    larger[:filled] = hits[:filled]
    return larger


def _objects(values: list[Any]) -> np.ndarray:
    out = np.empty(len(values), dtype=object)
    out[:] = values
    return out


def _times(index: pd.Index, at: np.ndarray) -> pd.Index:
    if not at.size:
        return index[:0]
    return index[np.maximum(at, 0)].where(at >= 0)


def _joined(a: Any, b: Any) -> Any:
    return a.append(b) if isinstance(a, pd.Index) else np.concatenate((a, b))


def _plain(values: Any) -> list[Any]:
    if isinstance(values, pd.Index):
        return [None if v is pd.NaT else v for v in values]
    return list(values.tolist())


def _volume_ratio(volume: np.ndarray | None, at: np.ndarray) -> np.ndarray:
    out = np.full(at.size, np.nan)
    if volume is not None:
        for k, bar in enumerate(at.tolist()):
            if bar >= 20:
                mean = float(volume[bar - 20 : bar].mean())
                if mean > 0:
                    out[k] = volume[bar] / mean
    return out


def chart_patterns(bars: pd.DataFrame, factor: float = 3.0, percent: float | None = None) -> pd.DataFrame:
    """Every chart pattern in the bars, by the time it formed, with what became of it.

    Args:
        bars: OHLCV bars; a bar without high, low or close is skipped.
        factor: the least swing of a pivot in average ranges (half of it for flags and pennants).
        percent: the least swing in percent instead.

    Returns one row for each hit, with the fields of ChartHit as columns: ``pattern``, ``direction`` (1 or −1),
    ``formed_at``, ``confirmed_at``, ``invalidated_at`` (NaT where it has not happened), ``target``, ``stop``,
    ``quality``, ``pivots`` and more. Target and level are NaN until confirmed. Raises InvalidInput and BadBars.

    >>> import dashtrade as dt
    >>> hits = dt.chart_patterns(dt.history("IBM", period="5y", source="sample"))
    >>> bool((hits["formed_at"] <= hits["confirmed_at"].fillna(hits["formed_at"])).all())
    True
    """
    scanner = ChartScanner(factor, percent)
    scanner.follow(bars)
    return scanner.frame()
