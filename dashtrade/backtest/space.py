"""What can be varied in a strategy, and the combinations of it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dashtrade.backtest.compiled import Build, NotPlain, Part, compile_rule
from dashtrade.domain.strategy import (
    Arithmetic,
    Condition,
    NotOf,
    Number,
    Operand,
    Rule,
    Stops,
    Strategy,
)
from dashtrade.errors import InvalidInput
from dashtrade.indicators import REGISTRY
from dashtrade.strategies import PRESETS, Preset, parse_condition, preset

_RULES = ("long_entry", "long_exit", "short_entry", "short_exit")
_parse = lru_cache(maxsize=4096)(parse_condition)


class Template:
    """A strategy with settings that can be changed by name."""

    def __init__(self, strategy: Strategy | str) -> None:
        self.base = preset(strategy) if isinstance(strategy, str) else strategy
        self.preset = PRESETS.get(self.base.name)
        found = self.preset.settings_of(self.base) if self.preset else None
        if found is None:
            self.preset = None  # own rules under a preset's name: vary what they say
        self.current: dict[str, Any] = _settings(self.base) if found is None else dict(found)
        self.own = tuple(self.current)
        stops = [f"stops.{f.name}" for f in fields(Stops)]
        self.names = (*self.own, *stops, "cooldown")
        self._compiled: dict[str, Build] | None = None

    def now(self) -> dict[str, int | float]:
        """The value of every numeric setting of the rules."""
        return {n: v for n, v in self.current.items() if isinstance(v, int | float) and not isinstance(v, bool)}

    def check(self, name: str) -> None:
        if name not in self.names:
            raise InvalidInput("parameters", f"{name!r} cannot be varied in {self.base.name}.", allowed=self.names)

    def build(self, settings: Mapping[str, Any], described: bool = False) -> Strategy:
        """The strategy with these settings; InvalidInput where they are out of range or contradict each other.

        ``described`` also puts a preset's settings into the description.
        """
        own = {k: v for k, v in settings.items() if k in self.own}
        strategy = self.base
        if self.preset is not None and own:
            values = self.preset.values({**self.current, **own})
            rules: dict[str, Any] = {name: build(values) for name, build in self.rules().items()}
            if described:
                rules["description"] = self.preset.describe(values)
            strategy = replace(self.base, **rules)
        elif own:
            strategy = replace(strategy, **{n: _changed(getattr(strategy, n), n, own) for n in _RULES})
        stops = {k.removeprefix("stops."): v for k, v in settings.items() if k.startswith("stops.")}
        if stops:
            strategy = replace(strategy, stops=replace(strategy.stops, **stops))
        if "cooldown" in settings:
            strategy = replace(strategy, cooldown=int(settings["cooldown"]))
        return strategy

    def rules(self) -> dict[str, Build]:
        """The rules as functions of all settings, made once."""
        if self._compiled is None and self.preset is None:
            given = {name: getattr(self.base, name) for name in _RULES}
            self._compiled = {name: _own_rule(rule, name) for name, rule in given.items() if rule is not None}
        if self._compiled is None:
            assert self.preset is not None
            self._compiled = {}
            for name in _RULES:
                text = getattr(self.preset, name)
                if text:
                    self._compiled[name] = _rule(self.preset, text)
        return self._compiled

    def possible(self, settings: Mapping[str, Any]) -> bool:
        """Whether the settings agree with each other (fast below slow)."""
        if self.preset is None:
            return True
        merged = {**self.current, **settings}
        return all(merged[a] < merged[b] for a, b in self.preset.ordered)


def _rule(preset: Preset, text: str) -> Build:
    try:
        return compile_rule(preset, text)
    except NotPlain:
        return lambda values: _parse(text.format(**values))


def _own_rule(rule: Rule, where: str) -> Part:
    """A rule that is no preset's as a function of all settings."""

    def build(values: Mapping[str, Any]) -> Any:
        return _changed(rule, where, values)

    if not isinstance(rule, Condition) or rule.right is None or rule.upper is not None:
        return Part(build)
    names, found = _Names(where), []
    for side in (rule.left, rule.right):
        own: set[str] = set()

        def look(leaf: Operand | Number, own: set[str] = own) -> Operand | Number:
            place = names.of(leaf)
            if isinstance(leaf, Number):
                own.add(place)
            elif leaf.name in REGISTRY:
                own.update(f"{place}.{param.name}" for param in REGISTRY[leaf.name].params)
            return leaf

        _rebuilt(side, look)
        found.append(frozenset(own))
    left, right = found
    sides = Part(lambda v: build(v).left, left), Part(lambda v: build(v).right, right)
    return Part(build, left | right, (rule.operator, *sides))


def _settings(strategy: Strategy) -> dict[str, Any]:
    """Everything that a strategy's rules set or could set, by name, with its value now.

    ``long_entry.ema.window`` is the window of the first average in that rule, ``long_entry.ema_2.window`` that of the
    next one that differs; ``long_entry.value`` is the first plain number, ``long_entry.value_2`` the second.
    """
    found: dict[str, Any] = {}
    for where in _RULES:
        names = _Names(where)

        def look(leaf: Operand | Number, names: _Names = names) -> Operand | Number:
            place = names.of(leaf)
            if isinstance(leaf, Number):
                found[place] = int(leaf.value) if float(leaf.value).is_integer() else leaf.value
            elif leaf.name in REGISTRY:
                values = REGISTRY[leaf.name].checked(dict(leaf.params))
                found.update({f"{place}.{param}": value for param, value in values.items()})
            return leaf

        _rebuilt(getattr(strategy, where), look)
    return found


class _Names:
    """Names of a rule's operands and numbers, in the order in which they stand."""

    def __init__(self, where: str) -> None:
        self._where = where
        self._known: dict[Any, str] = {}
        self._count: Counter[str] = Counter()

    def of(self, leaf: Operand | Number) -> str:
        if isinstance(leaf, Number):
            return self._next("value")
        key = (leaf.name, leaf.params, leaf.timeframe)
        if key not in self._known:
            self._known[key] = self._next(leaf.name)
        return self._known[key]

    def _next(self, name: str) -> str:
        self._count[name] += 1
        return f"{self._where}.{name}" + (f"_{self._count[name]}" if self._count[name] > 1 else "")


def _changed(rule: Any, where: str, settings: Mapping[str, Any]) -> Any:
    """The rule with the settings put in."""
    names = _Names(where)

    def change(leaf: Operand | Number) -> Operand | Number:
        place = names.of(leaf)
        if isinstance(leaf, Number):
            return Number(float(settings[place])) if place in settings else leaf
        if leaf.name not in REGISTRY:
            return leaf
        entry = REGISTRY[leaf.name]
        values = dict(leaf.params)
        for param in entry.params:
            if f"{place}.{param.name}" in settings:
                values[param.name] = settings[f"{place}.{param.name}"]
        entry.checked(values)
        return replace(leaf, params=tuple((p.name, values[p.name]) for p in entry.params if p.name in values))

    return _rebuilt(rule, change)


def _rebuilt(node: Any, leaf: Callable[[Operand | Number], Operand | Number]) -> Any:
    """The rule with every operand and number replaced by ``leaf`` of it, from left to right."""
    if node is None:
        return None
    if isinstance(node, Operand | Number):
        return leaf(node)
    if isinstance(node, Arithmetic):
        return replace(node, left=_rebuilt(node.left, leaf), right=_rebuilt(node.right, leaf))
    if isinstance(node, Condition):
        return replace(node, **{n: _rebuilt(getattr(node, n), leaf) for n in ("left", "right", "upper")})
    if isinstance(node, NotOf):
        return NotOf(_rebuilt(node.rule, leaf))
    rules: tuple[Rule, ...] = tuple(_rebuilt(r, leaf) for r in node.rules)
    return replace(node, rules=rules)


class Space:
    """All combinations of some values, numbered as on a grid."""

    def __init__(self, template: Template, parameters: Mapping[str, Sequence[float]]) -> None:
        if not parameters:
            raise InvalidInput("parameters", "name at least one setting to vary.", allowed=template.names)
        self.template = template
        self.values: dict[str, list[Any]] = {}
        for name, given in parameters.items():
            template.check(name)
            values = [v.item() if isinstance(v, np.generic) else v for v in given]
            if not values:
                raise InvalidInput("parameters", f"{name} has no values.")
            self.values[name] = list(dict.fromkeys(values))
        self.names = tuple(self.values)
        self.shape = tuple(len(v) for v in self.values.values())
        self.size = math.prod(self.shape)
        for name, values in self.values.items():  # out-of-range values are an error here, not in the middle of the run
            for value in (min(values), max(values)):
                self._alone(name, value)

    def _alone(self, name: str, value: Any) -> None:
        if self.template.preset is not None and name in self.template.own:
            param = next(p for p in self.template.preset.params if p.name == name)
            param.checked(self.template.preset.key, value)
        else:
            self.template.build({name: value})

    def settings(self, pick: int) -> dict[str, Any]:
        places = np.unravel_index(int(pick), self.shape)
        return {n: self.values[n][int(i)] for n, i in zip(self.names, places, strict=True)}

    def column(self, picks: NDArray[np.int64], name: str) -> NDArray[Any]:
        axis = self.names.index(name)
        return np.asarray(self.values[name])[np.unravel_index(picks, self.shape)[axis]]

    def all(self) -> NDArray[np.int64]:
        """All combinations whose settings agree with each other."""
        picks = np.arange(self.size)
        chosen = self.template.preset
        for first, second in chosen.ordered if chosen else ():
            now = self.template.current
            low = self.column(picks, first) if first in self.names else now[first]
            high = self.column(picks, second) if second in self.names else now[second]
            picks = picks[np.broadcast_to(np.asarray(low) < np.asarray(high), picks.shape)]
        if not len(picks):
            raise InvalidInput("parameters", "no combination is possible: the settings contradict each other.")
        return picks

    def sample(self, trials: int, seed: int) -> NDArray[np.int64]:
        """Different combinations at random, the same for the same seed."""
        rng = np.random.default_rng(seed)
        if self.size <= 4 * trials or self.size <= 100_000:
            picks = self.all()
            return np.sort(rng.permutation(picks)[:trials])
        found: dict[int, None] = {}
        for _ in range(200):
            for pick in rng.integers(0, self.size, trials).tolist():
                if self.template.possible(self.settings(pick)):
                    found.setdefault(pick)
            if len(found) >= trials:
                break
        return np.sort(np.array(list(found)[:trials], dtype=np.int64))

    def plateau(self, picks: NDArray[np.int64], objective: NDArray[np.float64]) -> NDArray[np.float64]:
        """Mean objective of each combination and its neighbours one step away on each axis, those that were run."""
        order = None if (picks[1:] > picks[:-1]).all() else np.argsort(picks)
        ascending = picks if order is None else picks[order]
        total = np.where(np.isfinite(objective), objective, 0.0)
        count = np.isfinite(objective).astype(np.int64)
        stride = self.size
        for length in self.shape:
            stride //= length
            place = picks // stride % length
            for step in (-1, 1):
                wanted = picks + step * stride
                at = np.minimum(np.searchsorted(ascending, wanted), len(picks) - 1)
                good = (place > 0) if step < 0 else (place < length - 1)
                good &= ascending[at] == wanted
                neighbour = objective[at if order is None else order[at]]
                good &= np.isfinite(neighbour)
                np.add(total, neighbour, out=total, where=good)
                count += good
        with np.errstate(invalid="ignore"):
            return np.where(np.isfinite(objective) & (count > 0), total / count, np.nan)
