"""Small pictures of bars as SVG text, the same every time, readable on light and dark paper."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

UP, DOWN, LINE, MARK = "#2a9d8f", "#d1495b", "#8a8f98", "#e09f3e"
_WIDTH, _EDGE = 720.0, 10.0
_LETTERS = 14.0  # height of a note, with room around it


class BarPicture:
    """Candles from left to right with whatever is drawn over them. Places are bar numbers and prices."""

    def __init__(self, bars: pd.DataFrame, height: float = 240.0, more: Sequence[float] = ()) -> None:
        self._low = min(float(bars["low"].min()), *more) if more else float(bars["low"].min())
        self._high = max(float(bars["high"].max()), *more) if more else float(bars["high"].max())
        self._height = height
        self._step = (_WIDTH - 2 * _EDGE) / len(bars)
        self._parts: list[str] = []
        self._candles(bars)

    def x(self, bar: float) -> float:
        return _EDGE + (bar + 0.5) * self._step

    def y(self, price: float) -> float:
        share = (price - self._low) / ((self._high - self._low) or 1.0)
        return self._height - _EDGE - share * (self._height - 2 * _EDGE)

    def _candles(self, bars: pd.DataFrame) -> None:
        values = bars[["open", "high", "low", "close"]].to_numpy(dtype=np.float64)
        body = max(min(self._step * 0.7, 26.0), 1.0)
        for bar, (open_, high, low, close) in enumerate(values.tolist()):
            colour, x = (UP if close >= open_ else DOWN), self.x(bar)
            top, bottom = self.y(max(open_, close)), self.y(min(open_, close))
            self._parts.append(
                f'<path d="M{x:.1f} {self.y(high):.1f}V{self.y(low):.1f}" stroke="{colour}"/>'
                f'<rect x="{x - body / 2:.1f}" y="{top:.1f}" width="{body:.1f}" '
                f'height="{max(bottom - top, 1.0):.1f}" fill="{colour}"/>'
            )

    def shade(self, first: float, last: float) -> None:
        """A band behind the bars ``first`` to ``last``."""
        left, right = self.x(first) - self._step / 2, self.x(last) + self._step / 2
        self._parts.insert(
            0,
            f'<rect x="{left:.1f}" y="0" width="{right - left:.1f}" height="{self._height:.0f}" rx="4" fill="{MARK}" '
            'fill-opacity="0.18"/>',
        )

    def line(self, points: Sequence[tuple[float, float]], colour: str, *, dashed: bool = False) -> None:
        path = "L".join(f"{self.x(bar):.1f} {self.y(price):.1f}" for bar, price in points)
        dashes = ' stroke-dasharray="5 4"' if dashed else ""
        self._parts.append(f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="1.6"{dashes}/>')

    def note(self, bar: float, price: float, text: str, colour: str) -> None:
        """Words at the right of a place, above it; below it where the picture ends above."""
        y = self.y(price)
        y = y - 4 if y > _LETTERS else y + _LETTERS
        self._parts.append(
            f'<text x="{self.x(bar):.1f}" y="{y:.1f}" fill="{colour}" font-size="12" '
            f'font-family="sans-serif" text-anchor="end">{text}</text>'
        )

    def svg(self, title: str) -> str:
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH:.0f} {self._height:.0f}" role="img" '
            f'width="{_WIDTH:.0f}" height="{self._height:.0f}"><title>{title}</title>{"".join(self._parts)}</svg>\n'
        )
