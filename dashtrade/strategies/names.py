"""What a name in a condition stands for: a price field, an indicator of the catalogue, a level, or a pattern."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches

from dashtrade.domain.strategy import Operand, Setting
from dashtrade.errors import InvalidInput, UnknownOption
from dashtrade.indicators import REGISTRY
from dashtrade.strategies import flags

PRICES = ("open", "high", "low", "close", "volume")
DERIVED_PRICES = ("price", "hl2", "hlc3", "ohlc4")
LEVELS = ("support", "resistance")
LEVEL_WINDOW = 5
INTERVALS = ("5m", "15m", "30m", "1h", "4h", "1d", "1wk", "1mo")
_SUFFIX = re.compile(r"^(?P<base>.+?)_(?P<value>\d+(?:_\d+)*)$")


class UnknownName(UnknownOption):
    """A name in a condition that stands for nothing; lists what it could be, and the nearest."""

    def __init__(self, name: str, hint: str, options: Sequence[str]) -> None:
        InvalidInput.__init__(self, "indicator", f"{name!r} is not known{hint}", allowed=options)
        self.name = name


def is_flag(name: str) -> bool:
    """Whether the name is a pattern, which is a condition by itself."""
    return name in flags.names()


def operand_names() -> list[str]:
    """Every name that can stand in a condition."""
    return [*PRICES, *DERIVED_PRICES, *LEVELS, *REGISTRY, *sorted(flags.names())]


def resolve(
    name: str,
    positional: Sequence[Setting] = (),
    named: Mapping[str, Setting] | None = None,
    output: str | None = None,
    offset: int = 0,
    timeframe: str | None = None,
) -> Operand:
    """The operand for a name with settings.

    ``ema_9`` is ``ema(9)``: a number after the last underscore sets the first setting. Raises UnknownOption (which
    lists the names), or InvalidInput for a wrong setting, output or interval.
    """
    named = dict(named or {})
    if name in REGISTRY:
        base = name
    else:
        base, positional = _shorthand(name, positional)
    if timeframe is not None and timeframe not in INTERVALS:
        raise InvalidInput("interval", f"{timeframe!r} is not an interval for a condition.", allowed=INTERVALS)
    if base in REGISTRY:
        entry = REGISTRY[base]
        declared = [p.name for p in entry.params]
        if entry.main_param in declared:  # the main setting comes first, whatever the order of declaration
            declared.remove(entry.main_param)
            declared.insert(0, entry.main_param)
        values = _settings(base, declared, positional, named)
        entry.checked(values)
        params = tuple(
            (p.name, values[p.name]) for p in entry.params if p.name in values and values[p.name] != p.default
        )
        if output is not None and output not in entry.outputs:
            raise InvalidInput(f"{base}.{output}", "is not an output.", allowed=entry.outputs)
        chosen = None if output == entry.outputs[0] else output
        return Operand(base, params, chosen, offset, timeframe)
    if output is not None:
        raise InvalidInput(f"{base}.{output}", f"{base} has no outputs.")
    if base in LEVELS:
        values = _settings(base, ["window"], positional, named)
        window = values.get("window", LEVEL_WINDOW)
        if not isinstance(window, int) or not 1 <= window <= 250:
            raise InvalidInput(f"{base}.window", f"{window!r} is not allowed; use a whole number from 1 to 250.")
        return Operand(base, () if window == LEVEL_WINDOW else (("window", window),), None, offset, timeframe)
    _settings(base, [], positional, named)
    return Operand("close" if base == "price" else base, (), None, offset, timeframe)


def _shorthand(name: str, positional: Sequence[Setting]) -> tuple[str, Sequence[Setting]]:
    plain = {*PRICES, *DERIVED_PRICES, *LEVELS, *flags.names()}
    if name in plain:
        return name, positional
    found = _SUFFIX.match(name)
    if found and (found["base"] in REGISTRY or found["base"] in LEVELS):
        if positional:
            raise InvalidInput(name, f"the setting is given twice; write {found['base']}({found['value']}).")
        return found["base"], tuple(int(v) for v in found["value"].split("_"))
    everything = operand_names()
    near = get_close_matches(name, everything, 1) or (get_close_matches(found["base"], everything, 1) if found else [])
    hint = f"; did you mean {near[0]}?" if near else "."
    options = sorted({*PRICES, *DERIVED_PRICES, *LEVELS, *REGISTRY})
    raise UnknownName(name, hint, [*options, "or a candlestick pattern such as hammer"])


def _settings(
    base: str, declared: Sequence[str], positional: Sequence[Setting], named: Mapping[str, Setting]
) -> dict[str, Setting]:
    if len(positional) > len(declared):
        takes = f"takes at most {len(declared)}: {', '.join(declared)}" if declared else "takes no settings"
        raise InvalidInput(base, f"has {len(positional)} settings, but {takes}.")
    values = dict(zip(declared, positional, strict=False))
    for key, value in named.items():
        if key not in declared:
            hint = f"it takes {', '.join(declared)}" if declared else "it takes none"
            raise InvalidInput(f"{base}.{key}", f"is not a setting; {hint}.")
        if key in values:
            raise InvalidInput(f"{base}.{key}", "is given twice.")
        values[key] = value
    return values
