"""Rules as text and strategies as JSON, both giving the same object back."""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import Any

from dashtrade.domain.strategy import (
    AllOf,
    AnyOf,
    Arithmetic,
    Condition,
    Expression,
    NotOf,
    Number,
    Operand,
    Operator,
    Rule,
    Session,
    Stops,
    Strategy,
)
from dashtrade.errors import InvalidInput
from dashtrade.strategies.parser import parse_condition

FORMAT = 1
_RULES = ("long_entry", "long_exit", "short_entry", "short_exit")


def to_text(rule: Rule | Expression) -> str:
    """The rule in the form that ``parse_condition`` reads back to an equal rule."""
    if isinstance(rule, Number):
        return repr(int(rule.value)) if float(rule.value).is_integer() and abs(rule.value) < 1e15 else repr(rule.value)
    if isinstance(rule, Arithmetic):
        return f"({to_text(rule.left)} {rule.operator} {to_text(rule.right)})"
    if isinstance(rule, Operand):
        settings = ", ".join(f"{name}={value}" for name, value in rule.params)
        text = rule.name + (f"({settings})" if settings else "")
        text += f".{rule.output}" if rule.output else ""
        text += f"[{rule.offset}]" if rule.offset else ""
        return text + (f"@{rule.timeframe}" if rule.timeframe else "")
    if isinstance(rule, Condition):
        left = to_text(rule.left)
        if rule.operator is Operator.OCCURS:
            return left
        if rule.right is None:
            return f"{left} {rule.operator}" + (f" {rule.bars}" if rule.bars > 1 else "")
        if rule.upper is not None:
            return f"{left} between {to_text(rule.right)} and {to_text(rule.upper)}"
        return f"{left} {rule.operator} {to_text(rule.right)}"
    if isinstance(rule, NotOf):
        return f"not {_grouped(rule.rule)}"
    if len(rule.rules) == 1:
        return f"{'all' if isinstance(rule, AllOf) else 'any'}({to_text(rule.rules[0])})"
    return (" and " if isinstance(rule, AllOf) else " or ").join(_grouped(r) for r in rule.rules)


def _grouped(rule: Rule) -> str:
    text = to_text(rule)
    bare = isinstance(rule, Condition | NotOf) or (isinstance(rule, AllOf | AnyOf) and len(rule.rules) == 1)
    return text if bare else f"({text})"


def to_dict(strategy: Strategy) -> dict[str, Any]:
    """Plain JSON values; ``format`` is the version of this form."""
    rules = {name: to_text(rule) for name in _RULES if (rule := getattr(strategy, name)) is not None}
    empty = asdict(Stops())
    stops = {k: v for k, v in asdict(strategy.stops).items() if v != empty[k]}
    out: dict[str, Any] = {"format": FORMAT, "name": strategy.name, "version": strategy.version, **rules}
    if stops:
        out["stops"] = stops
    if strategy.cooldown:
        out["cooldown"] = strategy.cooldown
    if strategy.session is not None:
        out["session"] = {**asdict(strategy.session), "days": list(strategy.session.days)}
    for name in ("family", "description", "size"):
        if getattr(strategy, name):
            out[name] = getattr(strategy, name)
    return out


def from_dict(data: dict[str, Any]) -> Strategy:
    """The strategy of ``to_dict``; InvalidInput names what is wrong or unknown."""
    if not isinstance(data, dict):
        raise InvalidInput("strategy", "the JSON form is an object with name, long_entry and so on.")
    if data.get("format", FORMAT) != FORMAT:
        raise InvalidInput(
            "format", f"{data['format']!r} was written by another version of the program.", allowed=[FORMAT]
        )
    known = {f.name for f in fields(Strategy)} | {"format"}
    unknown = sorted(set(data) - known)
    if unknown:
        raise InvalidInput("strategy", f"has unknown entries {', '.join(unknown)}.", allowed=sorted(known))
    values: dict[str, Any] = {k: v for k, v in data.items() if k != "format"}
    for name in _RULES:
        if values.get(name) is not None:
            values[name] = parse_condition(values[name])
    if "stops" in values:
        values["stops"] = _record(Stops, "stops", values["stops"])
    if values.get("session") is not None:
        session = dict(values["session"])
        if "days" in session:
            session["days"] = tuple(session["days"])
        values["session"] = _record(Session, "session", session)
    if not isinstance(values.get("name"), str) or not values["name"].strip():
        raise InvalidInput("name", "a strategy needs a name.")
    return Strategy(**values)


def _record(cls: type, field: str, data: Any) -> Any:
    known = {f.name for f in fields(cls)}
    if not isinstance(data, dict) or set(data) - known:
        raise InvalidInput(field, "has unknown entries.", allowed=sorted(known))
    return cls(**data)
