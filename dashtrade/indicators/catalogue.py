"""What an indicator declares, and the registry of all of them.

An entry is data plus one function: charts, the strategy builder, alerts, sweeps and the reference page all read the
same declaration, so a new indicator is one ``register(...)`` in its family's module.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from numbers import Integral, Real
from typing import Any

from dashtrade.errors import InvalidInput
from dashtrade.registry import Registry

Value = int | float | str


class Family(StrEnum):
    AVERAGE = "moving averages"
    TREND = "trend"
    MOMENTUM = "momentum"
    VOLATILITY = "volatility"
    VOLUME = "volume"


@dataclass(frozen=True, slots=True)
class Param:
    """One setting: a whole number, a decimal number, or one of ``choices``. ``low`` and ``high`` are included."""

    name: str
    default: Value
    low: float = 0
    high: float = 0
    label: str = ""
    choices: tuple[str, ...] = ()
    free_text: bool = False
    """True where a value outside ``choices`` is allowed, such as a date; the indicator itself checks it."""

    @property
    def kind(self) -> str:
        """``"choice"``, ``"int"`` or ``"float"``."""
        if self.choices:
            return "choice"
        return "int" if isinstance(self.default, int) else "float"

    @property
    def range_text(self) -> str:
        if self.choices:
            return "one of " + ", ".join(self.choices) + (" or a date such as 2024-01-31" if self.free_text else "")
        word = "a whole number" if self.kind == "int" else "a number"
        return f"{word} from {self.low:g} to {self.high:g}"

    def checked(self, key: str, value: Any) -> Value:
        """``value`` as the declared type, or InvalidInput naming the range."""
        field = f"{key}.{self.name}"
        if self.choices:
            if isinstance(value, str) and (value in self.choices or self.free_text):
                return str(value)
            raise InvalidInput(field, f"{value!r} is not allowed; use {self.range_text}.")
        wanted = Integral if self.kind == "int" else Real
        number: Value | None = None
        if isinstance(value, wanted) and not isinstance(value, bool):
            number = int(float(value)) if self.kind == "int" else float(value)
        elif (
            self.kind == "int" and isinstance(value, Real) and float(value).is_integer() and not isinstance(value, bool)
        ):
            number = int(float(value))
        if number is None or not self.low <= float(number) <= self.high:
            raise InvalidInput(field, f"{value!r} is not allowed; use {self.range_text}.")
        return number


@dataclass(frozen=True, slots=True)
class Panel:
    """Where a chart draws it: over the prices, or in a panel of its own with guide lines."""

    overlay: bool
    guides: tuple[float, ...] = ()


OVERLAY = Panel(overlay=True)


def panel(*guides: float) -> Panel:
    """A panel of its own with guide lines at these values."""
    return Panel(overlay=False, guides=guides)


@dataclass(frozen=True, slots=True)
class Indicator:
    """One entry of the catalogue.

    ``compute`` takes the arrays named by ``inputs`` in that order (float64, contiguous, of one length, free of NaN;
    ``time`` is int64 nanoseconds, UTC) and the parameters by keyword, and gives one float64 array for each output. It
    checks nothing: sweeps call it directly, everybody else goes through ``indicator()``, which checks and applies the
    gap rule. ``warmup`` takes the parameters by keyword and gives the number of leading NaN bars, one number, or one
    for each output. ``flat_nan`` says that constant prices leave the indicator undefined (0/0), so NaN.
    """

    key: str
    label: str
    family: Family
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    params: tuple[Param, ...]
    warmup: Callable[..., int | tuple[int, ...]]
    panel: Panel
    library: str
    compute: Callable[..., Any]
    formula: str
    source: str
    flat_nan: bool = False
    off_price: tuple[str, ...] = ()
    """Outputs of an overlay that are no prices, such as a direction or a width; a chart does not draw them with it."""
    rule: Callable[..., str | None] | None = None
    """Gives a sentence when parameters do not fit each other."""

    @property
    def main_param(self) -> str | None:
        """The parameter that a short name such as ``ema_9`` sets: ``window`` where there is one."""
        names = [p.name for p in self.params]
        return "window" if "window" in names else (names[0] if names else None)

    @property
    def defaults(self) -> dict[str, Value]:
        return {p.name: p.default for p in self.params}

    def checked(self, params: Mapping[str, Any]) -> dict[str, Value]:
        """All parameters with defaults filled in; InvalidInput for an unknown name, a value out of range, or values
        that do not fit each other."""
        values = self.checked_without_rule(params)
        complaint = self.rule(**values) if self.rule else None
        if complaint:
            raise InvalidInput(self.key, complaint)
        return values

    def checked_without_rule(self, params: Mapping[str, Any]) -> dict[str, Value]:
        """Each parameter by itself."""
        known = {p.name: p for p in self.params}
        for name in params:
            if name not in known:
                hint = f"it takes {', '.join(known)}" if known else "it takes no parameters"
                raise InvalidInput(f"{self.key}.{name}", f"not a parameter of {self.label}; {hint}.")
        return {name: p.checked(self.key, params[name]) if name in params else p.default for name, p in known.items()}

    def leading(self, **params: Any) -> tuple[int, ...]:
        """Leading NaN bars of each output, for these (or the default) parameters."""
        bars = self.warmup(**{**self.defaults, **params})
        return bars if isinstance(bars, tuple) else (bars,) * len(self.outputs)

    def arrays(self, inputs: Mapping[str, Any], **params: Any) -> tuple[Any, ...]:
        """The outputs for arrays without gaps, nothing checked: the quick path for sweeps."""
        result = self.compute(*(inputs[name] for name in self.inputs), **{**self.defaults, **params})
        return result if isinstance(result, tuple) else (result,)


REGISTRY: Registry[Indicator] = Registry("indicator")


def register(key: str, label: str, family: Family, **declared: Any) -> Indicator:
    """Adds an entry; the declaration's words are the fields of Indicator."""
    declared.setdefault("params", ())
    declared.setdefault("library", "TA-Lib")
    return REGISTRY.register(key, Indicator(key=key, label=label, family=family, **declared))


def window(default: int, low: int = 2, high: int = 10_000, name: str = "window", label: str = "Bars") -> Param:
    return Param(name, default, low, high, label)


def factor(name: str, default: float, low: float = 0.01, high: float = 100.0, label: str = "") -> Param:
    return Param(name, default, low, high, label or name.replace("_", " ").capitalize())


def fast_below_slow(**params: Any) -> str | None:
    if params["fast"] >= params["slow"]:
        return f"fast ({params['fast']}) must be smaller than slow ({params['slow']})."
    return None
