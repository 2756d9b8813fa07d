"""A declared field of a form: what it is called, what it may hold, and how text becomes its value. No widgets."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from enum import Enum
from typing import Any, Literal

from dashtrade.errors import InvalidInput

_GROUPED = re.compile(r"[+-]?\d{1,3}(,\d{3})+(\.\d*)?")
FieldKind = Literal["int", "float", "decimal", "text", "choice", "bool"]


@dataclass(frozen=True, slots=True)
class FieldSpec:
    """One field of a form. ``low`` and ``high`` are included; ``optional`` fields may be left empty, giving None."""

    name: str
    label: str
    kind: FieldKind
    default: Any = None
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    help: str = ""
    optional: bool = False

    def parse(self, value: Any) -> Any:
        """The control's value as the field's type; raises InvalidInput naming the field and what is allowed."""
        if self.kind == "bool":
            return bool(value)
        text = str(value if value is not None else "").strip()
        if not text:
            if self.optional or self.kind == "text":
                return None if self.optional else ""
            raise InvalidInput(self.label, "is empty." + self._range())
        if self.kind == "choice" and text not in self.choices:
            raise InvalidInput(self.label, f"{text[:40]!r} is not a choice.", allowed=self.choices)
        if self.kind in ("choice", "text"):
            return text
        return self._number(text)

    def _number(self, text: str) -> Any:
        if "," in text and not _GROUPED.fullmatch(text):  # 1,5 is no fifteen
            raise InvalidInput(self.label, f"{text[:40]!r} is not clear; write decimals with a point, such as 1.5.")
        try:
            number = Decimal(text.replace(",", "").replace("_", ""))
        except InvalidOperation:
            raise InvalidInput(self.label, f"{text[:40]!r} is not a number.{self._range()}") from None
        if not (number.is_finite() and self._fits(number)):
            raise InvalidInput(self.label, f"{text[:40]} is not allowed.{self._range()}")
        return int(number) if self.kind == "int" else float(number) if self.kind == "float" else number

    def _fits(self, number: Decimal) -> bool:
        too_low = self.low is not None and number < Decimal(str(self.low))
        too_high = self.high is not None and number > Decimal(str(self.high))
        return not (too_low or too_high or (self.kind == "int" and number != int(number)))

    def _range(self) -> str:
        word = "a whole number" if self.kind == "int" else "a number"
        if self.low is not None and self.high is not None:
            return f" Use {word} from {self.low:g} to {self.high:g}."
        return f" Use {word} of {self.low:g} or more." if self.low is not None else f" Use {word}."


def shown(value: Any) -> str:
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, Decimal):
        return f"{value.normalize():f}"
    if isinstance(value, float):
        return f"{value:g}"
    return "" if value is None else str(value)
