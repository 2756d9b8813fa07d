"""From rules to signals: what a strategy decided at the close of each bar."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import time

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dashtrade.domain.strategy import (
    AllOf,
    AnyOf,
    Condition,
    Direction,
    Expression,
    NotOf,
    Operator,
    Rule,
    Session,
    Signals,
    Strategy,
)  # fmt: skip
from dashtrade.errors import InvalidInput
from dashtrade.strategies.operands import Operands, Values

Flags = NDArray[np.bool_]


def signals(strategy: Strategy, bars: pd.DataFrame | Operands, direction: Direction | str = "long_short") -> Signals:
    """Entries and exits of both sides, one boolean a bar; all False for a side that ``direction`` does not trade.

    A condition over an undefined value is not true, and neither is its negation. An exit that is true forbids the
    entry of the same side. The session filter bears on entries only.
    """
    operands = bars if isinstance(bars, Operands) else Operands(bars)
    skipped = {Direction.LONG_ONLY: "short", Direction.SHORT_ONLY: "long"}.get(Direction(direction), "none")
    long_entry, long_exit, short_entry, short_exit = (
        evaluate(None if name.startswith(skipped) else getattr(strategy, name), operands) for name in Signals.__slots__
    )
    if strategy.session is not None:
        inside = in_session(strategy.session, operands.bars)
        long_entry, short_entry = long_entry & inside, short_entry & inside
    return Signals(
        long_entry=long_entry & ~long_exit,
        long_exit=long_exit,
        short_entry=short_entry & ~short_exit,
        short_exit=short_exit,
    )


def evaluate(rule: Rule | None, operands: Operands) -> Flags:
    """Where the rule is true; all False for no rule."""
    if rule is None:
        return np.zeros(operands.size, dtype=bool)
    true, known = _evaluate(rule, operands)
    return true & known


def _evaluate(rule: Rule, operands: Operands) -> tuple[Flags, Flags]:
    """(true, known) in Kleene's three-valued logic, so that ``not`` in warm-up stays unknown."""
    if isinstance(rule, Condition):
        return _condition(rule, operands)
    if isinstance(rule, NotOf):
        true, known = _evaluate(rule.rule, operands)
        return ~true & known, known
    parts = [_evaluate(r, operands) for r in rule.rules]
    return _join(rule, parts)


def _join(rule: AllOf | AnyOf, parts: Sequence[tuple[Flags, Flags]]) -> tuple[Flags, Flags]:
    trues, knowns = [p[0] & p[1] for p in parts], [p[1] for p in parts]
    if len({t.shape for t in trues}) > 1:  # what all rules share has one row
        shape = np.broadcast_shapes(*(t.shape for t in trues))
        trues, knowns = ([np.broadcast_to(f, shape) for f in group] for group in (trues, knowns))
    if isinstance(rule, AllOf):
        true = np.logical_and.reduce(trues)
        false = np.logical_or.reduce([k & ~t for t, k in zip(trues, knowns, strict=True)])
        return true, true | false
    assert isinstance(rule, AnyOf)
    true = np.logical_or.reduce(trues)
    return true, true | np.logical_and.reduce(knowns)


def _condition(condition: Condition, operands: Operands) -> tuple[Flags, Flags]:
    sides = (condition.left, condition.right, condition.upper)
    return _compare(condition, *(None if side is None else operands.values(side) for side in sides))


def evaluate_many(rules: Sequence[Rule | None], operands: Operands) -> Flags:
    """Where each of many rules is true, of shape (rules, bars). Rules that differ in their settings only are compared
    all at once."""
    if all(rule == rules[0] for rule in rules[1:]):
        return np.broadcast_to(evaluate(rules[0], operands), (len(rules), operands.size))
    true, known = _many(rules, operands)
    return true & known


def _many(rules: Sequence[Rule | None], operands: Operands) -> tuple[Flags, Flags]:
    first = rules[0]
    kind = type(first)
    same = all(type(rule) is kind for rule in rules)
    if same and isinstance(first, Condition):
        given: list[Condition] = rules  # type: ignore[assignment]
        if len({(c.operator, c.bars, c.right is None) for c in given}) == 1:
            sides = (_stack([getattr(c, side) for c in given], operands) for side in ("left", "right", "upper"))
            return _compare(first, *sides)
    if same and isinstance(first, NotOf):
        true, known = _many([rule.rule for rule in rules], operands)  # type: ignore[union-attr]
        return ~true & known, known
    if same and isinstance(first, AllOf | AnyOf) and len({len(rule.rules) for rule in rules}) == 1:  # type: ignore[union-attr]
        parts = [_many([rule.rules[n] for rule in rules], operands) for n in range(len(first.rules))]  # type: ignore[union-attr]
        return _join(first, parts)
    nothing = np.zeros(operands.size, dtype=bool)
    each = [(nothing, nothing) if rule is None else _evaluate(rule, operands) for rule in rules]
    return np.stack([true for true, _ in each]), np.stack([known for _, known in each])


def _stack(sides: Sequence[Expression | None], operands: Operands) -> Values | None:
    """Values of each expression, of shape (expressions, bars), or (1, bars) where all are the same."""
    if sides[0] is None:
        return None
    if all(side == sides[0] for side in sides[1:]):
        return operands.values(sides[0])[None, :]
    return np.stack([operands.values(side) for side in sides if side is not None])


def _compare(
    condition: Condition, left: Values | None, right: Values | None, upper: Values | None
) -> tuple[Flags, Flags]:
    """(true, known); time runs along the last axis."""
    assert left is not None
    operator = condition.operator
    if operator is Operator.OCCURS:
        return left > 0, ~np.isnan(left)
    if operator in {Operator.RISING, Operator.FALLING}:
        step = np.diff(left, prepend=np.nan)
        moved = step > 0 if operator is Operator.RISING else step < 0
        true, known = moved.copy(), ~np.isnan(step)
        for back in range(1, condition.bars):
            true &= _shifted(moved, back)
            known &= _shifted(~np.isnan(step), back)
        return true, known
    assert right is not None
    known = ~(np.isnan(left) | np.isnan(right))
    if operator is Operator.BETWEEN:
        assert upper is not None
        return (left >= right) & (left <= upper), known & ~np.isnan(upper)
    if operator in {Operator.CROSSES_ABOVE, Operator.CROSSES_BELOW}:
        above = left > right if operator is Operator.CROSSES_ABOVE else left < right
        return above & _shifted(~above & known, 1), known & _shifted(known, 1)
    compare = {
        Operator.ABOVE: np.greater,
        Operator.BELOW: np.less,
        Operator.AT_LEAST: np.greater_equal,
        Operator.AT_MOST: np.less_equal,
    }[operator]
    return compare(left, right), known


def _shifted(flags: Flags, bars: int) -> Flags:
    out = np.zeros_like(flags)
    if bars < flags.shape[-1]:
        out[..., bars:] = flags[..., :-bars]
    return out


def in_session(session: Session, bars: pd.DataFrame) -> Flags:
    """Which bars start inside the session's hours and days."""
    if not isinstance(bars.index, pd.DatetimeIndex) or bars.index.tz is None:
        raise InvalidInput("session", "needs bars with a time zone.")
    local = bars.index.tz_convert(session.timezone)
    try:
        start, end = (time.fromisoformat(t) for t in (session.start, session.end))
    except ValueError:
        raise InvalidInput("session", f"{session.start}–{session.end} are not times; write 09:30 and 16:00.") from None
    minutes = np.asarray(local.hour * 60 + local.minute)
    low, high = start.hour * 60 + start.minute, end.hour * 60 + end.minute
    inside = (minutes >= low) & (minutes < high) if low < high else (minutes >= low) | (minutes < high)
    return np.asarray(inside & np.isin(np.asarray(local.dayofweek), session.days))
