"""One setting of a sweep and the values it takes. Texts as typed; no widgets."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from dashtrade.errors import InvalidInput

MOST_VALUES = 2_000


@dataclass(frozen=True, slots=True)
class Range:
    """One setting to vary, from and to (both included), in steps; texts as typed."""

    name: str
    low: str
    high: str
    step: str

    def values(self) -> tuple[float, ...]:
        """Raises InvalidInput, which names the setting."""
        low, high, step = (self._number(text, what) for text, what in
                           ((self.low, "from"), (self.high, "to"), (self.step, "step")))  # fmt: skip
        if high < low:
            raise InvalidInput(self.name, f"from {low:g} to {high:g} has no values; let the second be the larger.")
        if step <= 0:
            raise InvalidInput(self.name, "use a step above 0.")
        count = math.floor((high - low) / step + 1e-9) + 1
        if count > MOST_VALUES:
            raise InvalidInput(self.name, f"{count:,} values are too many; use a larger step.")
        found = [round(low + n * step, 10) for n in range(count)]
        whole = all(float(v).is_integer() for v in (low, step))
        return tuple(int(v) if whole else v for v in found)

    def _number(self, text: str, what: str) -> float:
        try:
            value = float(text.replace(",", "").strip())
        except ValueError:
            raise InvalidInput(self.name, f"{what}: {text[:20]!r} is not a number.") from None
        if not math.isfinite(value):
            raise InvalidInput(self.name, f"{what}: use a finite number.")
        return value


STOPS = {
    name: Range(name, *texts)
    for name, texts in {
        "stops.loss": ("0.02", "0.1", "0.02"), "stops.profit": ("0.05", "0.2", "0.05"),
        "stops.trail": ("0.03", "0.12", "0.03"), "stops.bars": ("5", "25", "5"),
        "stops.atr_loss": ("1", "4", "0.5"), "stops.atr_profit": ("1", "6", "1"),
        "stops.atr_trail": ("1", "4", "0.5"), "cooldown": ("0", "10", "2"),
    }.items()
}  # fmt: skip
"""What every strategy can be given, with its usual values."""


def usual_range(name: str, now: float, step: float = 0.0, low: float = -math.inf, high: float = math.inf) -> Range:
    """About ten values around what the strategy has now, between ``low`` and ``high``; ``step`` 0 for none known."""
    step = step or (1.0 if now.is_integer() else abs(now) / 10 or 1.0)
    width = max(step, round(abs(now) * 0.5 / step) * step)
    step = max(step, round(width / 5 / step) * step)
    low, high = max(low, now - 5 * step), min(high, now + 5 * step)
    if now > 0 and low <= 0:
        low = now - step * math.floor((now - 1e-9) / step)
    return Range(name, f"{low:g}", f"{high:g}", f"{step:g}")


def range_of(name: str, values: Sequence[float]) -> Range | None:
    """The row that stands for these values; None where they are not evenly spaced."""
    step = values[1] - values[0] if len(values) > 1 else 1.0
    made = Range(name, *(f"{round(v, 10):.12g}" for v in (values[0], values[-1], step)))
    try:
        return made if list(made.values()) == list(values) else None
    except InvalidInput:
        return None
