"""What is drawn on the chart beside the bars: support, resistance, and patterns where they were confirmed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from dashtrade.pages.analysis.times import when
from dashtrade.pages.chart_data import Marker, PriceLevel, Zone
from dashtrade.pages.formats import formats

if TYPE_CHECKING:
    import pandas as pd

    from dashtrade.analysis import Level

PER_SIDE = 3
MOST_PATTERNS = 12
MOST_CANDLES = 60
MOST_ZONES = 3
_FAR = 20.0
"""Percent from the last close beyond which a level would only flatten the candles."""
_APART = 0.7
"""Percent between two levels of one side: nearer ones would hide each other's names."""


def level_lines(found: Iterable[Level]) -> tuple[PriceLevel, ...]:
    """The strongest levels of each side within reach of the price, named with their touches."""
    lines: list[PriceLevel] = []
    for kind, letter, colour in (("resistance", "R", "--dt-down"), ("support", "S", "--dt-up")):
        near = [level for level in found if level.kind == kind and abs(level.distance_percent) <= _FAR]
        strongest: list[Level] = []
        for level in sorted(near, key=lambda level: -level.strength):
            apart = all(abs(level.distance_percent - other.distance_percent) >= _APART for other in strongest)
            if apart and len(strongest) < PER_SIDE:
                strongest.append(level)
        for level in sorted(strongest, key=lambda level: abs(level.distance_percent)):
            touches = f" · {level.touches}×" if level.source == "pivots" and level.touches > 1 else ""
            lines.append(PriceLevel(level.price, f"{letter}{touches}", colour, level.sentence))
    return tuple(lines)


def _newest(hits: pd.DataFrame, first: pd.Timestamp) -> Iterable[Any]:
    """Rows with the columns of ChartHit as attributes."""
    confirmed = hits[hits["confirmed_at"].notna()]
    newest = confirmed[confirmed["confirmed_at"] >= first].sort_values("confirmed_at").tail(MOST_PATTERNS)
    return newest.itertuples(name="Hit")


def pattern_markers(hits: pd.DataFrame, first: pd.Timestamp) -> tuple[Marker, ...]:
    """The newest confirmed patterns from ``first`` on, each at the bar that confirmed it, with its target."""
    if hits.empty:
        return ()
    price = formats().price
    return tuple(
        Marker(
            hit.confirmed_at.to_pydatetime(),
            "buy" if hit.direction > 0 else "sell",
            f"{hit.name} → {price(hit.target)}",
            f"{hit.name}, confirmed {when(hit.confirmed_at)} at {price(hit.level)}: target {price(hit.target)}, "
            f"stop {price(hit.stop)}, {_outcome(hit)}",
        )
        for hit in _newest(hits, first)
    )


def _outcome(hit: Any) -> str:
    """What became of a confirmed pattern."""
    for name, words in (("reached_at", "target reached"), ("invalidated_at", "stopped")):
        at = getattr(hit, name)
        if at is not None and at == at:
            return f"{words} {when(at)}"
    return "still open"


def pattern_zones(hits: pd.DataFrame, first: pd.Timestamp) -> tuple[Zone, ...]:
    """The ground the newest patterns stand on, from the first turning point to the confirmation; never one over
    another, which would hide the candles."""
    if hits.empty:
        return ()
    zones: list[Zone] = []
    for hit in reversed(list(_newest(hits, first))):
        times, prices = zip(*hit.pivots, strict=True) if hit.pivots else ((), ())
        if not prices or times[0] < first:
            continue
        colour = "--dt-up" if hit.direction > 0 else "--dt-down"
        begin, end = times[0].to_pydatetime(), hit.confirmed_at.to_pydatetime()
        if all(end < other.start or begin > other.end for other in zones):
            zones.append(Zone(begin, end, min(prices), max(prices), hit.name, colour))
    return tuple(zones[:MOST_ZONES])


def candle_markers(hits: pd.DataFrame, first: pd.Timestamp) -> tuple[Marker, ...]:
    """The newest candlestick patterns from ``first`` on, one mark for each bar and direction, named on hover."""
    if hits.empty:
        return ()
    seen = hits[hits["time"] >= first]
    grouped: dict[tuple[pd.Timestamp, int], list[str]] = {}
    for time, direction, name in zip(seen["time"], seen["direction"], seen["name"], strict=True):
        grouped.setdefault((time, int(direction)), []).append(str(name))
    return tuple(
        Marker(
            time.to_pydatetime(),
            "bullish" if direction > 0 else "bearish",
            "",
            f"{'Bullish' if direction > 0 else 'Bearish'} candlestick: {', '.join(names)}",
        )
        for (time, direction), names in list(grouped.items())[-MOST_CANDLES:]
    )
