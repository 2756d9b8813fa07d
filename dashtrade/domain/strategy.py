"""What a trading strategy is: conditions over named series, grouped by all, any and not, with stops and filters.

Everything here is plain frozen data. A rule has a text form (``dashtrade.strategies.parse_condition``) and a JSON form
(``dashtrade.strategies.to_dict``); both give the same object back.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import StrEnum
from numbers import Integral, Real
from typing import TYPE_CHECKING

from dashtrade.errors import InvalidInput

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Setting = int | float | str


class Operator(StrEnum):
    """How a condition compares. A comparison with an undefined value (NaN) is never true."""

    ABOVE = ">"
    BELOW = "<"
    AT_LEAST = ">="
    AT_MOST = "<="
    CROSSES_ABOVE = "crosses_above"
    """At most the other on the bar before, above it on this one."""
    CROSSES_BELOW = "crosses_below"
    BETWEEN = "between"
    """Both ends included."""
    RISING = "rising"
    """Higher than the bar before, on each of the last ``bars`` bars."""
    FALLING = "falling"
    OCCURS = "occurs"
    """The left side is a pattern or a flag and is set on this bar."""


class Direction(StrEnum):
    """Which positions a backtest may hold. In ``long_short`` an entry to the other side reverses."""

    LONG_ONLY = "long_only"
    SHORT_ONLY = "short_only"
    LONG_SHORT = "long_short"


@dataclass(frozen=True, slots=True)
class Number:
    value: float


@dataclass(frozen=True, slots=True)
class Operand:
    """A series by name: a price field, an indicator with parameters, a level or a pattern.

    ``offset`` counts bars back; ``timeframe`` computes it on completed bars of a longer interval.
    """

    name: str
    params: tuple[tuple[str, Setting], ...] = ()
    output: str | None = None
    offset: int = 0
    timeframe: str | None = None

    def __post_init__(self) -> None:
        if self.offset < 0:
            raise InvalidInput(
                "offset", f"{self.name}[{self.offset}] would look into the future; use 0 or more bars back."
            )


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """``left operator right`` with ``+ - * /``; a division by zero is undefined."""

    operator: str
    left: Expression
    right: Expression


Expression = Number | Operand | Arithmetic


@dataclass(frozen=True, slots=True)
class Condition:
    """``left operator right``; ``upper`` is the second end of ``between``, ``bars`` the length of rising and
    falling."""

    left: Expression
    operator: Operator
    right: Expression | None = None
    upper: Expression | None = None
    bars: int = 1

    def __post_init__(self) -> None:
        alone = self.operator in {Operator.RISING, Operator.FALLING, Operator.OCCURS}
        if alone == (self.right is not None):
            raise InvalidInput("condition", f"{self.operator} takes {'no' if alone else 'a'} right side.")
        if (self.operator is Operator.BETWEEN) != (self.upper is not None):
            raise InvalidInput("condition", "between takes two ends, as in 'rsi between 30 and 70'.")
        if self.bars < 1:
            raise InvalidInput("condition", "rising and falling need at least 1 bar.")


@dataclass(frozen=True, slots=True)
class AllOf:
    rules: tuple[Rule, ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    rules: tuple[Rule, ...]


@dataclass(frozen=True, slots=True)
class NotOf:
    """Undefined stays undefined: the negation of a condition in warm-up is not true."""

    rule: Rule


Rule = Condition | AllOf | AnyOf | NotOf


@dataclass(frozen=True, slots=True)
class Stops:
    """Exits that need no condition. Fractions are of the entry price: 0.02 is 2 %.

    ``trail`` follows the best price since entry. ``bars`` leaves at the open after that many bars. The ``atr_``
    distances
    are multiples of the average true range (``atr_window``) known when the entry was decided. Where several would
    act in one bar the worst for the position goes first.
    """

    loss: float | None = None
    profit: float | None = None
    trail: float | None = None
    bars: int | None = None
    atr_loss: float | None = None
    atr_profit: float | None = None
    atr_trail: float | None = None
    atr_window: int = 14

    def __post_init__(self) -> None:
        for name in ("loss", "profit", "trail", "atr_loss", "atr_profit", "atr_trail"):
            value = getattr(self, name)
            if value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, Real) or not 0 < float(value) < math.inf:
                raise InvalidInput(name, f"{value!r} is not a distance; use a number above 0, such as 0.02 for 2 %.")
        for name in ("loss", "trail"):
            value = getattr(self, name)
            if value is not None and value >= 1:
                raise InvalidInput(
                    name, f"{value:g} would be {value:.0%} of the price; use a fraction below 1, such as 0.02 for 2 %."
                )
        for first, second in (("loss", "atr_loss"), ("profit", "atr_profit"), ("trail", "atr_trail")):
            if getattr(self, first) is not None and getattr(self, second) is not None:
                raise InvalidInput(second, f"give either {first} or {second}.")
        if self.bars is not None and (not isinstance(self.bars, Integral) or self.bars < 1):
            raise InvalidInput("bars", f"{self.bars!r} is not a time stop; use a whole number of bars from 1 up.")

    @property
    def any_price(self) -> bool:
        return any(
            getattr(self, n) is not None for n in ("loss", "profit", "trail", "atr_loss", "atr_profit", "atr_trail")
        )

    @property
    def uses_atr(self) -> bool:
        return any(getattr(self, n) is not None for n in ("atr_loss", "atr_profit", "atr_trail"))


@dataclass(frozen=True, slots=True)
class Session:
    """Entries only on bars that start inside these hours (``HH:MM``, end excluded) and weekdays (0 is Monday)."""

    start: str = "09:30"
    end: str = "16:00"
    days: tuple[int, ...] = (0, 1, 2, 3, 4)
    timezone: str = "America/New_York"


@dataclass(frozen=True, slots=True)
class Strategy:
    """Entry and exit rules for both sides, with stops and filters.

    ``cooldown`` is the number of bars after an exit on which no entry may fill. ``family`` is the name under
    which trials are counted, so that every tuning of one idea counts as one more try. ``size`` is how much an entry
    takes where a run does not say, as people write it: ``50%``, ``$2000``, ``10 shares``, ``risk 1%``; empty for none.

    >>> import dashtrade as dt
    >>> from dashtrade.strategies import parse_condition
    >>> crossing = parse_condition("ema(9) crosses above ema(21) and rsi < 70")
    >>> dt.Strategy("cross", long_entry=crossing).trial_family
    'cross'
    """

    name: str
    long_entry: Rule | None = None
    long_exit: Rule | None = None
    short_entry: Rule | None = None
    short_exit: Rule | None = None
    stops: Stops = field(default_factory=Stops)
    cooldown: int = 0
    session: Session | None = None
    family: str = ""
    description: str = ""
    version: int = 1
    size: str = ""

    def __post_init__(self) -> None:
        if self.long_entry is None and self.short_entry is None:
            raise InvalidInput("strategy", f"{self.name!r} has no entry condition; give one for long or for short.")
        if self.cooldown < 0:
            raise InvalidInput("cooldown", "use 0 or more bars.")

    @property
    def trial_family(self) -> str:
        return self.family or self.name


@dataclass(frozen=True, slots=True, eq=False)
class Signals:
    """Four boolean arrays, one value a bar, decided at the bar's close and free of any later data."""

    long_entry: NDArray[np.bool_]
    long_exit: NDArray[np.bool_]
    short_entry: NDArray[np.bool_]
    short_exit: NDArray[np.bool_]
