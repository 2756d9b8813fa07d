"""A preset's rules as functions of its settings, so that a sweep need not read text again for every combination.

The text is read once with the defaults and once with each setting moved; where the two differ, that setting stands.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from dashtrade.domain.strategy import AllOf, AnyOf, Arithmetic, Condition, NotOf, Number, Operand, Operator
from dashtrade.indicators import REGISTRY
from dashtrade.strategies import Preset, parse_condition

Build = Callable[[Mapping[str, Any]], Any]


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """A rule, or a part of one, as a function of all settings; ``needs`` names those that it depends on.

    ``comparison`` is (operator, left, right) of a condition that compares two sides.
    """

    build: Build
    needs: frozenset[str] = frozenset()
    comparison: tuple[Operator, Part, Part] | None = None

    def __call__(self, values: Mapping[str, Any]) -> Any:
        return self.build(values)


class NotPlain(Exception):
    """A setting is more than a number put in one place; the text must be read each time."""


def compile_rule(preset: Preset, text: str) -> Part:
    """A function from all of the preset's settings to the rule that ``text`` stands for. Raises NotPlain."""
    defaults = {p.name: (int(p.default) if p.whole else p.default) for p in preset.params}
    base = parse_condition(text.format(**defaults))
    moved = {}
    for param in preset.params:
        step = param.step if param.default + param.step <= param.high else -param.step
        value = defaults[param.name] + (int(step) if param.whole else step)
        moved[param.name] = (value, parse_condition(text.format(**{**defaults, param.name: value})))
    return _compile(base, {n: node for n, (_, node) in moved.items()}, defaults, {n: v for n, (v, _) in moved.items()})


def _compile(base: Any, moved: Mapping[str, Any], old: Mapping[str, Any], new: Mapping[str, Any]) -> Part:
    changed = {n: node for n, node in moved.items() if node != base}
    if not changed and not (isinstance(base, Condition) and base.right is not None and base.upper is None):
        return Part(lambda values: base)
    if any(type(node) is not type(base) for node in changed.values()):
        raise NotPlain
    if isinstance(base, Number):
        if len(changed) != 1:
            raise NotPlain
        name, node = next(iter(changed.items()))
        if (base.value, node.value) != (old[name], new[name]):
            raise NotPlain
        return Part(lambda values: Number(float(values[name])), frozenset((name,)))
    if isinstance(base, Operand):
        return _operand(base, changed, old, new)
    if isinstance(base, NotOf):
        inner = _compile(base.rule, {n: m.rule for n, m in changed.items()}, old, new)
        return Part(lambda values: NotOf(inner(values)), inner.needs)
    if isinstance(base, AllOf | AnyOf):
        group = type(base)
        parts = [
            _compile(rule, {n: m.rules[k] for n, m in changed.items()}, old, new) for k, rule in enumerate(base.rules)
        ]
        needs = frozenset().union(*(part.needs for part in parts))
        return Part(lambda values: group(tuple(part(values) for part in parts)), needs)
    if isinstance(base, Arithmetic | Condition):
        names = [n for n in ("left", "right", "upper") if getattr(base, n, None) is not None]
        fields = {
            n: _compile(getattr(base, n), {k: getattr(m, n) for k, m in changed.items()}, old, new) for n in names
        }
        needs = frozenset().union(*(part.needs for part in fields.values()))
        if isinstance(base, Arithmetic):
            sign, left, right = base.operator, fields["left"], fields["right"]
            return Part(lambda values: Arithmetic(sign, left(values), right(values)), needs)
        left_of, right_of, upper_of = (fields.get(n) for n in ("left", "right", "upper"))
        assert left_of is not None
        return Part(
            lambda values: Condition(
                left_of(values),
                base.operator,
                right_of(values) if right_of else None,
                upper_of(values) if upper_of else None,
                base.bars,
            ),
            needs,
            None if right_of is None or upper_of is not None else (base.operator, left_of, right_of),
        )
    raise NotPlain


def _operand(base: Operand, changed: Mapping[str, Operand], old: Mapping[str, Any], new: Mapping[str, Any]) -> Part:
    entry = REGISTRY.get(base.name)
    if entry is None:
        raise NotPlain
    fixed = entry.checked(dict(base.params))
    taken: dict[str, str] = {}
    for name, node in changed.items():
        if replace(node, params=base.params) != base:
            raise NotPlain
        for param, value in entry.checked(dict(node.params)).items():
            if value != fixed[param]:
                if (fixed[param], value) != (old[name], new[name]) or param in taken:
                    raise NotPlain
                taken[param] = name
    defaults = entry.defaults
    order = [(p.name, taken.get(p.name), fixed[p.name]) for p in entry.params]

    settings = tuple(taken.values())
    made: dict[tuple[Any, ...], Operand] = {}  # few settings, many combinations

    def build(values: Mapping[str, Any]) -> Operand:
        key = tuple(values[name] for name in settings)
        known = made.get(key)
        if known is not None:
            return known
        full = ((param, values[name] if name else value) for param, name, value in order)
        params = tuple((param, value) for param, value in full if value != defaults[param])
        made[key] = Operand(base.name, params, base.output, base.offset, base.timeframe)
        return made[key]

    return Part(build, frozenset(settings))
