"""Does a strategy look into the future, and does it need more history than it gets?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from dashtrade.domain.strategy import AllOf, AnyOf, Condition, NotOf, Rule, Strategy
from dashtrade.strategies import Operands, evaluate, to_text
from dashtrade.strategies.operands import Operands as _Operands

_RULES = ("long_entry", "long_exit", "short_entry", "short_exit")


@dataclass(frozen=True, slots=True)
class Finding:
    """A condition whose decision at ``time`` changes with data that should not matter."""

    rule: str
    condition: str
    time: pd.Timestamp

    def __str__(self) -> str:
        return f"{self.rule.replace('_', ' ')}: {self.condition} changes at {self.time:%Y-%m-%d %H:%M}"


def look_ahead(strategy: Strategy, bars: pd.DataFrame, cuts: int = 12) -> list[Finding]:
    """Conditions whose past decisions change when later bars are taken away; empty for an honest strategy.

    The bars are cut at ``cuts`` places; every decision up to the cut must be the same as with all bars.
    """
    size = len(bars)
    ends = sorted({int(e) for e in np.linspace(max(size // 4, 2), size - 1, cuts)})
    whole = _Operands(bars)
    parts = [(end, Operands(_cut(bars, 0, end), whole.interval)) for end in ends]
    found = []
    for name, condition in conditions(strategy):
        full = evaluate(condition, whole)
        for end, part in parts:
            changed = np.flatnonzero(evaluate(condition, part) != full[:end])
            if len(changed):
                found.append(Finding(name, to_text(condition), bars.index[int(changed[0])]))
                break
    return found


def warm_up(strategy: Strategy, bars: pd.DataFrame, shares: tuple[float, ...] = (0.25, 0.5)) -> list[Finding]:
    """Conditions whose later decisions change when the first bars are missing.

    The first quarter and half are taken away; decisions in the last quarter must stay the same. Averages that never
    forget
    (EMA, RSI after Wilder) settle in a few windows; a finding says that the history is too short for them.
    """
    size = len(bars)
    judged = size - size // 4
    whole = _Operands(bars)
    found = []
    for name, condition in conditions(strategy):
        full = evaluate(condition, whole)
        for share in shares:
            start = int(size * share)
            part = Operands(_cut(bars, start, size), whole.interval)
            changed = np.flatnonzero(evaluate(condition, part)[judged - start :] != full[judged:])
            if len(changed):
                found.append(Finding(name, to_text(condition), bars.index[judged + int(changed[0])]))
                break
    return found


def conditions(strategy: Strategy) -> Iterator[tuple[str, Condition]]:
    """(rule, condition) of every single condition."""
    for name in _RULES:
        rule = getattr(strategy, name)
        if rule is not None:
            for condition in _leaves(rule):
                yield name, condition


def _leaves(rule: Rule) -> Iterator[Condition]:
    if isinstance(rule, Condition):
        yield rule
    elif isinstance(rule, NotOf):
        yield from _leaves(rule.rule)
    elif isinstance(rule, AllOf | AnyOf):
        for inner in rule.rules:
            yield from _leaves(inner)


def _cut(bars: pd.DataFrame, start: int, end: int) -> pd.DataFrame:
    part = bars.iloc[start:end]
    part.attrs = dict(bars.attrs)
    return part
