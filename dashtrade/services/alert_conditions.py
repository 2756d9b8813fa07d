"""Alert conditions: from text to a check, and where a check is true on closed bars. Nothing here does any I/O."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from dashtrade.domain.alerts import AlertKind
from dashtrade.domain.strategy import (
    AllOf,
    AnyOf,
    Arithmetic,
    Condition,
    Expression,
    NotOf,
    Operand,
    Operator,
    Rule,
)
from dashtrade.errors import BadBars, InvalidInput

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from dashtrade.strategies import Operands

SIGNAL_BARS = 10  # a signal is worked out anew for each bar, so that catching up looks back so far only
MOST_VALUES = 12
_NUMBER = r"(\d+(?:\.\d+)?)"
_PRICE = re.compile(rf"(?:(?:price|close)\s+)?(?:above|below|crosses_above|crosses_below|[<>]=?)?\s*\$?{_NUMBER}")
_OVER = re.compile(rf"{_NUMBER}\s*%?x?(?:\s+over\s+(\d+))?")
_EMAS = re.compile(r"(\d+)[\s,/]+(\d+)(?:\s+(above|below))?")
_RSI = re.compile(rf"(rsi(?:_\d+)?\s+)?(>=?|<=?|above|below|crosses_above|crosses_below)\s*{_NUMBER}")
_NEAR = re.compile(rf"(?:(support|resistance)\s+)?{_NUMBER}\s*%?")


@dataclass(frozen=True, slots=True)
class RuleCheck:
    rule: Rule


@dataclass(frozen=True, slots=True)
class CandleCheck:
    """Any of the usual candlestick patterns."""


@dataclass(frozen=True, slots=True)
class ChartCheck:
    """A chart pattern, or any, at the bar that confirms it."""

    key: str | None


@dataclass(frozen=True, slots=True)
class SignalCheck:
    """The signal became this, or anything else than before."""

    action: str | None


Check = RuleCheck | CandleCheck | ChartCheck | SignalCheck


@lru_cache(maxsize=4096)
def check_of(kind: str, text: str) -> Check:
    """The check behind a condition; InvalidInput names what is wrong and how it is written."""
    from dashtrade.strategies import parse_condition

    try:
        known = AlertKind(kind)
    except ValueError:
        raise InvalidInput("alert_type", f"{kind!r} is not known.", allowed=list(AlertKind)) from None
    text = text.strip()
    if known is AlertKind.RULE:
        return RuleCheck(parse_condition(text))
    if known is AlertKind.INDICATOR_CROSS:
        rule = parse_condition(text)
        if not isinstance(rule, Condition) or rule.operator not in (Operator.CROSSES_ABOVE, Operator.CROSSES_BELOW):
            raise InvalidInput("condition", "is not a cross; write for example 'macd crosses_above macd.signal'.")
        return RuleCheck(rule)
    if known in (AlertKind.CANDLESTICK_PATTERN, AlertKind.CHART_PATTERN, AlertKind.PATTERN_DETECTED):
        return _pattern(known, text.lower().replace(" ", "_").replace("-", "_"))
    if known is AlertKind.SIGNAL_CHANGE:
        word = text.upper() or "ANY"
        if word not in ("ANY", "BUY", "SELL", "HOLD"):
            raise InvalidInput("condition", f"{text!r} is not a signal.", allowed=["any", "BUY", "SELL", "HOLD"])
        return SignalCheck(None if word == "ANY" else word)
    return RuleCheck(parse_condition(_rule_text(known, text.lower())))


def _rule_text(kind: AlertKind, text: str) -> str:
    """The kinds that are short for a rule, as the rule's text."""
    if kind in (AlertKind.PERCENT_MOVE, AlertKind.VOLUME_SPIKE):
        size, bars = _match(_OVER, text, "a number, with 'over 10' for a number of bars")
        if kind is AlertKind.VOLUME_SPIKE:
            return f"relative_volume({bars or 20}) >= {size}"
        before = f"close[{bars or 1}]"
        if not 0 < float(size) <= 1000 or not 1 <= int(bars or 1) <= 500:
            raise InvalidInput("condition", "takes more than 0 and at most 1000 percent, over 1 to 500 bars.")
        return f"100 * (close - {before}) / {before} >= {size} or 100 * ({before} - close) / {before} >= {size}"
    if kind is AlertKind.EMA_CROSS:
        fast, slow, side = _match(_EMAS, text, "two lengths, such as '9 21' or '9 21 above'")
        if int(fast) == int(slow):
            raise InvalidInput("condition", "the two lengths must differ.")
        sides = [side] if side else ["above", "below"]
        return " or ".join(f"ema_{fast} crosses_{each} ema_{slow}" for each in sides)
    if kind is AlertKind.RSI_LEVEL:
        name, operator, level = _match(_RSI, text, "a comparison, such as '> 70' or 'rsi_21 crosses_below 30'")
        return f"{(name or 'rsi').strip()} {operator} {level}"
    if kind is AlertKind.NEAR_LEVEL:
        level, percent = _match(_NEAR, text, "a percentage, such as '1' or 'support 0.5'")
        if not 0 < float(percent) < 50:
            raise InvalidInput("condition", "takes more than 0 and less than 50 percent.")
        share = float(percent) / 100
        levels = [level] if level else ["support", "resistance"]
        return " or ".join(f"close between {n} * {1 - share:.6f} and {n} * {1 + share:.6f}" for n in levels)
    (price,) = _match(_PRICE, text, "a price, such as 150")
    operator = kind.value.removeprefix("price_")
    return f"close {operator} {price}"


def _match(pattern: re.Pattern[str], text: str, wanted: str) -> tuple[Any, ...]:
    found = pattern.fullmatch(text)
    if found is None:
        raise InvalidInput("condition", f"{text[:60]!r} is not understood; write {wanted}.")
    return found.groups()


def _pattern(kind: AlertKind, name: str) -> Check:
    from dashtrade.patterns import CHART_PATTERNS
    from dashtrade.strategies import parse_condition
    from dashtrade.strategies.names import is_flag

    if kind is not AlertKind.CANDLESTICK_PATTERN and name in CHART_PATTERNS:
        return ChartCheck(name)
    if kind is AlertKind.CHART_PATTERN:
        if name == "any":
            return ChartCheck(None)
        raise InvalidInput("condition", f"{name!r} is not a chart pattern.", allowed=["any", *CHART_PATTERNS])
    if name == "any":
        return CandleCheck()
    if not is_flag(name):
        raise InvalidInput("condition", f"{name!r} is not a pattern; write for example hammer, double_bottom or any.")
    return RuleCheck(parse_condition(name))


class BarsView:
    """Closed bars of one symbol, and everything that several rules ask of them, computed once."""

    def __init__(self, bars: pd.DataFrame) -> None:
        from dashtrade.strategies import Operands

        self.bars = bars
        self.size = len(bars)
        self.operands: Operands = Operands(bars)
        self._flags: dict[Check, NDArray[np.bool_]] = {}
        self._chart: list[tuple[str, int]] | None = None
        self._actions: dict[int, str | None] = {}

    def flags(self, check: Check) -> NDArray[np.bool_]:
        """Where the check is true, one value a bar. A signal change is only looked for on the last few bars."""
        known = self._flags.get(check)
        if known is None:
            known = self._flags[check] = self._compute(check)
        return known

    def values(self, check: Check, at: int) -> dict[str, float | str]:
        """The close and what the check looked at, on one bar; undefined values are left out."""
        from dashtrade.strategies import to_text

        out: dict[str, float | str] = {"close": float(self.bars["close"].iloc[at])}
        if isinstance(check, RuleCheck):
            for operand in _operands(check.rule):
                value = float(self.operands.values(operand)[at])
                if np.isfinite(value) and len(out) < MOST_VALUES:
                    out[to_text(operand)] = value
        if isinstance(check, SignalCheck):
            out["signal"] = self._action(at) or ""
        if isinstance(check, ChartCheck):
            out["pattern"] = ", ".join(sorted({key for key, bar in self._chart_hits() if bar == at}))
        return out

    def _compute(self, check: Check) -> NDArray[np.bool_]:
        from dashtrade.patterns import USUAL, candlestick_patterns
        from dashtrade.strategies import evaluate

        if isinstance(check, RuleCheck):
            return evaluate(check.rule, self.operands)
        out = np.zeros(self.size, dtype=bool)
        if isinstance(check, CandleCheck):
            found = candlestick_patterns(self.bars, USUAL)
            out[self.bars.index.isin(found["time"])] = True
        elif isinstance(check, ChartCheck):
            out[[at for key, at in self._chart_hits() if check.key in (None, key)]] = True
        else:
            for at in range(max(1, self.size - SIGNAL_BARS), self.size):
                now, before = self._action(at), self._action(at - 1)
                changed = now is not None and before is not None and now != before
                out[at] = changed and check.action in (None, now)
        return out

    def _chart_hits(self) -> list[tuple[str, int]]:
        """(pattern, number of the confirming bar) of every confirmed chart pattern."""
        if self._chart is None:
            from dashtrade.patterns import ChartScanner

            scanner = ChartScanner()
            scanner.follow(self.bars)
            hits = [(hit.pattern, hit.confirmed_at) for hit in scanner.hits() if hit.confirmed_at is not None]
            self._chart = [(pattern, int(self.bars.index.get_loc(at))) for pattern, at in hits]  # type: ignore[arg-type]
        return self._chart

    def _action(self, at: int) -> str | None:
        """The signal at the close of a bar, from the bars until then; None where they are too few."""
        if at not in self._actions:
            from dashtrade.analysis import signal

            try:
                self._actions[at] = signal(self.bars.iloc[: at + 1]).action.value
            except BadBars:
                self._actions[at] = None
        return self._actions[at]


def _operands(rule: Rule | Expression | None) -> list[Operand]:
    """Every series a rule names, in reading order, each once; the close is left out."""
    found: dict[Operand, None] = {}

    def walk(part: Rule | Expression | None) -> None:
        if isinstance(part, Operand):
            if part != Operand("close"):
                found[part] = None
        elif isinstance(part, Arithmetic):
            walk(part.left)
            walk(part.right)
        elif isinstance(part, Condition):
            walk(part.left)
            walk(part.right)
            walk(part.upper)
        elif isinstance(part, NotOf):
            walk(part.rule)
        elif isinstance(part, AllOf | AnyOf):
            for each in part.rules:
                walk(each)

    walk(rule)
    return list(found)
