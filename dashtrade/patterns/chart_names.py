"""The chart patterns by name, and which shape and direction each is."""

from __future__ import annotations

from dataclasses import dataclass

from dashtrade.registry import Registry


@dataclass(frozen=True, slots=True)
class ChartPattern:
    """One pattern of the catalogue; ``sides`` as for candlesticks: 1 bullish, −1 bearish, 0 either way."""

    key: str
    name: str
    sides: int
    meaning: str


CHART_PATTERNS: Registry[ChartPattern] = Registry("chart pattern")

KEYS: dict[tuple[int, int], str] = {}
"""(shape, direction) → pattern; a shape's number is its place in kernels.py."""


def _pair(shape: int, down: str, up: str, down_meaning: str, up_meaning: str) -> None:
    for key, side, meaning in ((down, -1, down_meaning), (up, 1, up_meaning)):
        KEYS[shape, side] = key
        if key not in CHART_PATTERNS:
            sides = 0 if down == up or shape >= _EITHER else side
            CHART_PATTERNS.register(key, ChartPattern(key, key.replace("_", " ").capitalize(), sides, meaning))


_EITHER = 12
for _shape, (_down, _up, _down_meaning, _up_meaning) in enumerate(
    (
        ("double_top", "double_bottom", "two equal highs end a rise", "two equal lows end a fall"),
        ("triple_top", "triple_bottom", "three equal highs end a rise", "three equal lows end a fall"),
        (
            "head_and_shoulders",
            "inverse_head_and_shoulders",
            "a high between two lower ones ends a rise",
            "a low between two higher ones ends a fall",
        ),
        ("three_falling_peaks", "three_rising_valleys", "each rally fails earlier", "each fall is bought earlier"),
        ("descending_triangle", "ascending_triangle", "falling highs on a flat floor", "rising lows under a flat lid"),
        ("symmetrical_triangle", "symmetrical_triangle", "highs and lows close in", "highs and lows close in"),
        ("rising_wedge", "falling_wedge", "a rise that narrows and tires", "a fall that narrows and tires"),
        ("bear_flag", "bull_flag", "a short rest in a steep fall", "a short rest in a steep rise"),
        ("bear_pennant", "bull_pennant", "a narrowing rest in a steep fall", "a narrowing rest in a steep rise"),
        ("inverse_cup_and_handle", "cup_and_handle", "a dome and a weak rally", "a bowl and a shallow dip"),
        ("rounding_top", "rounding_bottom", "a slow turn from rise to fall", "a slow turn from fall to rise"),
        (
            "diamond_top",
            "diamond_bottom",
            "swings widen, then narrow, on a high",
            "swings widen, then narrow, on a low",
        ),
        ("rectangle_top", "rectangle_bottom", "a flat range entered from below", "a flat range entered from above"),
        ("rectangle_bottom", "rectangle_top", "a flat range entered from above", "a flat range entered from below"),
        (
            "broadening_top",
            "broadening_bottom",
            "widening swings entered from below",
            "widening swings entered from above",
        ),
        (
            "broadening_bottom",
            "broadening_top",
            "widening swings entered from above",
            "widening swings entered from below",
        ),
        ("falling_channel", "rising_channel", "parallel lines falling", "parallel lines rising"),
        ("rising_channel", "falling_channel", "parallel lines rising", "parallel lines falling"),
    )
):
    _pair(_shape, _down, _up, _down_meaning, _up_meaning)
