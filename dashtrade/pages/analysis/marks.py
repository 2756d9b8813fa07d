"""What is drawn on the chart beside the bars: support, resistance, and chart patterns where they were confirmed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from dashtrade.pages.chart_data import Marker, PriceLevel

if TYPE_CHECKING:
    import pandas as pd

    from dashtrade.analysis import Level

PER_SIDE = 3
MOST_PATTERNS = 12
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
            lines.append(PriceLevel(level.price, f"{letter}{touches}", colour))
    return tuple(lines)


def pattern_markers(hits: pd.DataFrame, first: pd.Timestamp) -> tuple[Marker, ...]:
    """The newest confirmed patterns from ``first`` on, each at the bar that confirmed it, with its target."""
    if hits.empty:
        return ()
    confirmed = hits[hits["confirmed_at"].notna()]
    confirmed = confirmed[confirmed["confirmed_at"] >= first].sort_values("confirmed_at").tail(MOST_PATTERNS)
    columns = (confirmed[name] for name in ("confirmed_at", "direction", "name", "target"))
    return tuple(
        Marker(at.to_pydatetime(), "buy" if direction > 0 else "sell", f"{name} → {target:,.6g}")
        for at, direction, name, target in zip(*columns, strict=True)
    )
