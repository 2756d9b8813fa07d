"""What can be varied in a strategy, and the combinations of it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dashtrade.backtest.compiled import Build, NotPlain, compile_rule
from dashtrade.domain.strategy import (
    AllOf,
    AnyOf,
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
        self.preset = PRESETS[strategy] if isinstance(strategy, str) else PRESETS.get(strategy.name)
        self.base = preset(strategy) if isinstance(strategy, str) else strategy
        if self.preset is not None and not isinstance(strategy, str) and self.preset.build() != strategy:
            self.preset = None  # a changed preset: vary what it says now
        own = [p.name for p in self.preset.params] if self.preset else [name for name, _, _ in _settings(self.base)]
        self.own = tuple(dict.fromkeys(own))
        stops = [f"stops.{f.name}" for f in fields(Stops)]
        self.names = (*self.own, *stops, "cooldown")
        self._compiled: dict[str, Build] | None = None

    def check(self, name: str) -> None:
        if name not in self.names:
            raise InvalidInput("parameters", f"{name!r} cannot be varied in {self.base.name}.", allowed=self.names)

    def build(self, settings: Mapping[str, Any]) -> Strategy:
        """The strategy with these settings; InvalidInput where they are out of range or contradict each other."""
        own = {k: v for k, v in settings.items() if k in self.own}
        strategy = self.base
        if self.preset is not None and own:
            values = self.preset.values(own)
            rules: dict[str, Any] = {name: build(values) for name, build in self._rules().items()}
            strategy = replace(self.base, **rules)
        elif own:
            strategy = replace(strategy, **{n: _changed(getattr(strategy, n), n, own) for n in _RULES})
        stops = {k.removeprefix("stops."): v for k, v in settings.items() if k.startswith("stops.")}
        if stops:
            strategy = replace(strategy, stops=replace(strategy.stops, **stops))
        if "cooldown" in settings:
            strategy = replace(strategy, cooldown=int(settings["cooldown"]))
        return strategy

    def _rules(self) -> dict[str, Build]:
        """The preset's rules as functions of all its settings, made once."""
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
        defaults = {p.name: p.default for p in self.preset.params}
        merged = {**defaults, **settings}
        return all(merged[a] < merged[b] for a, b in self.preset.ordered)


def _rule(preset: Preset, text: str) -> Build:
    try:
        return compile_rule(preset, text)
    except NotPlain:
        return lambda values: _parse(text.format(**values))


def _settings(strategy: Strategy) -> Iterator[tuple[str, Operand, str]]:
    """(name, operand, parameter) of everything that a strategy's rules set or could set."""
    for rule_name in _RULES:
        for operand in _operands(getattr(strategy, rule_name)):
            if operand.name in REGISTRY:
                for param in REGISTRY[operand.name].params:
                    yield f"{rule_name}.{operand.name}.{param.name}", operand, param.name


def _operands(node: Any) -> Iterator[Operand]:
    if isinstance(node, Operand):
        yield node
    elif isinstance(node, Arithmetic):
        yield from _operands(node.left)
        yield from _operands(node.right)
    elif isinstance(node, Condition):
        for part in (node.left, node.right, node.upper):
            yield from _operands(part)
    elif isinstance(node, AllOf | AnyOf):
        for rule in node.rules:
            yield from _operands(rule)
    elif isinstance(node, NotOf):
        yield from _operands(node.rule)


def _changed(node: Any, where: str, settings: Mapping[str, Any]) -> Any:
    """The rule with the settings named ``where.indicator.parameter`` put in."""
    if isinstance(node, Operand) and node.name in REGISTRY:
        entry = REGISTRY[node.name]
        values = dict(node.params)
        for param in entry.params:
            name = f"{where}.{node.name}.{param.name}"
            if name in settings:
                values[param.name] = settings[name]
        entry.checked(values)
        return replace(node, params=tuple((p.name, values[p.name]) for p in entry.params if p.name in values))
    if isinstance(node, Number | Operand) or node is None:
        return node
    if isinstance(node, Arithmetic):
        return replace(node, left=_changed(node.left, where, settings), right=_changed(node.right, where, settings))
    if isinstance(node, Condition):
        parts = {n: _changed(getattr(node, n), where, settings) for n in ("left", "right", "upper")}
        return replace(node, **parts)
    if isinstance(node, NotOf):
        return NotOf(_changed(node.rule, where, settings))
    rules: tuple[Rule, ...] = tuple(_changed(r, where, settings) for r in node.rules)
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
            defaults = {p.name: p.default for p in chosen.params} if chosen else {}
            low = self.column(picks, first) if first in self.names else defaults[first]
            high = self.column(picks, second) if second in self.names else defaults[second]
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
        order = np.argsort(picks)
        sorted_picks, places = picks[order], np.stack(np.unravel_index(picks, self.shape))
        total = np.where(np.isfinite(objective), objective, 0.0)
        count = np.isfinite(objective).astype(np.float64)
        for axis in range(len(self.shape)):
            for step in (-1, 1):
                moved = places.copy()
                moved[axis] += step
                inside = (moved[axis] >= 0) & (moved[axis] < self.shape[axis])
                wanted = np.ravel_multi_index(tuple(np.clip(moved, 0, np.array(self.shape)[:, None] - 1)), self.shape)
                at = np.minimum(np.searchsorted(sorted_picks, wanted), len(picks) - 1)
                known = inside & (sorted_picks[at] == wanted)
                neighbour = objective[order[at]]
                good = known & np.isfinite(neighbour)
                total += np.where(good, neighbour, 0.0)
                count += good
        with np.errstate(invalid="ignore"):
            return np.where(np.isfinite(objective) & (count > 0), total / count, np.nan)
