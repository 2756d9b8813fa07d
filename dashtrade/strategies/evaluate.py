"""From rules to signals: what a strategy decided at the close of each bar."""

from __future__ import annotations

from datetime import time

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dashtrade.domain.strategy import AllOf, AnyOf, Condition, NotOf, Operator, Rule, Session, Signals, Strategy
from dashtrade.errors import InvalidInput
from dashtrade.strategies.operands import Operands

Flags = NDArray[np.bool_]


def signals(strategy: Strategy, bars: pd.DataFrame | Operands) -> Signals:
    """Entries and exits of both sides, one boolean a bar.

    A condition over an undefined value is not true, and neither is its negation. An exit that is true forbids the
    entry of the same side. The session filter bears on entries only.
    """
    operands = bars if isinstance(bars, Operands) else Operands(bars)
    long_entry, long_exit, short_entry, short_exit = (
        evaluate(rule, operands)
        for rule in (strategy.long_entry, strategy.long_exit, strategy.short_entry, strategy.short_exit)
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
    trues, knowns = [p[0] & p[1] for p in parts], [p[1] for p in parts]
    if isinstance(rule, AllOf):
        true = np.logical_and.reduce(trues)
        false = np.logical_or.reduce([k & ~t for t, k in zip(trues, knowns, strict=True)])
        return true, true | false
    assert isinstance(rule, AnyOf)
    true = np.logical_or.reduce(trues)
    return true, true | np.logical_and.reduce(knowns)


def _condition(condition: Condition, operands: Operands) -> tuple[Flags, Flags]:
    left = operands.values(condition.left)
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
    assert condition.right is not None
    right = operands.values(condition.right)
    known = ~(np.isnan(left) | np.isnan(right))
    if operator is Operator.BETWEEN:
        assert condition.upper is not None
        upper = operands.values(condition.upper)
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
    out[bars:] = flags[:-bars] if bars < len(flags) else False
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
