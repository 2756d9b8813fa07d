"""A strategy in plain English."""

from __future__ import annotations

from dashtrade.domain.strategy import (
    AllOf,
    AnyOf,
    Arithmetic,
    Condition,
    Expression,
    NotOf,
    Number,
    Operator,
    Rule,
    Session,
    Stops,
    Strategy,
)
from dashtrade.indicators import REGISTRY
from dashtrade.strategies import to_text
from dashtrade.strategies.names import is_flag

VERBS = {"long_entry": "Buy", "long_exit": "Sell", "short_entry": "Sell short", "short_exit": "Buy back"}
_COMPARED = {
    Operator.ABOVE: "is above",
    Operator.BELOW: "is below",
    Operator.AT_LEAST: "is at or above",
    Operator.AT_MOST: "is at or below",
    Operator.CROSSES_ABOVE: "crosses above",
    Operator.CROSSES_BELOW: "crosses below",
}
_INTERVALS = {
    "5m": "5-minute", "15m": "15-minute", "30m": "30-minute", "1h": "hourly", "4h": "4-hour", "1d": "daily",
    "1wk": "weekly", "1mo": "monthly",
}  # fmt: skip
_PRICES = {"hl2": "the middle of high and low", "hlc3": "the mean of high, low and close", "ohlc4": "the mean price"}
_SIGNS = {"+": "plus", "-": "minus", "*": "times", "/": "divided by"}
_PEOPLE = ("Bollinger", "Donchian", "Keltner", "Tillson", "Kaufman", "Hull", "Chaikin", "Aroon", "Ichimoku", "Williams")
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def describe(strategy: Strategy) -> tuple[str, ...]:
    """One sentence for each rule, then the stops and filters."""
    lines = []
    for part, verb in VERBS.items():
        rule = getattr(strategy, part)
        if rule is not None:
            lines.append(f"{verb} when {in_words(rule)}.")
    lines += _stops(strategy.stops)
    if strategy.cooldown:
        lines.append(f"After an exit wait {_bars(strategy.cooldown)} before the next entry.")
    if strategy.session is not None:
        lines.append(_session(strategy.session))
    if strategy.size:
        lines.append(f"Each entry takes {_size(strategy.size)}.")
    return tuple(lines)


def in_words(rule: Rule) -> str:
    """A rule without capital and full stop."""
    if isinstance(rule, Condition):
        return _condition(rule)
    if isinstance(rule, NotOf):
        return f"it is not true that {_grouped(rule.rule)}"
    word = " and " if isinstance(rule, AllOf) else " or "
    return word.join(_grouped(r) for r in rule.rules)


def _grouped(rule: Rule) -> str:
    text = in_words(rule)
    return f"({text})" if isinstance(rule, AllOf | AnyOf) and len(rule.rules) > 1 else text


def _condition(c: Condition) -> str:
    left = _operand(c.left)
    if c.operator is Operator.OCCURS:
        return f"{left} ends on the bar" if "ago" not in left else left.replace(" of ", " ended ", 1)
    if c.operator in (Operator.RISING, Operator.FALLING):
        way = "risen" if c.operator is Operator.RISING else "fallen"
        return f"{left} is {c.operator}" if c.bars == 1 else f"{left} has {way} for {c.bars} bars in a row"
    assert c.right is not None
    if c.upper is not None:
        return f"{left} is between {_operand(c.right)} and {_operand(c.upper)}"
    return f"{left} {_COMPARED[c.operator]} {_operand(c.right)}"


def _operand(e: Expression) -> str:
    if isinstance(e, Number):
        return to_text(e)
    if isinstance(e, Arithmetic):
        if isinstance(e.left, Number) and isinstance(e.right, Number):
            return _computed(e.operator, e.left.value, e.right.value)
        return f"({_operand(e.left)} {_SIGNS[e.operator]} {_operand(e.right)})"
    if e.name in REGISTRY:
        entry = REGISTRY[e.name]
        values = entry.defaults | dict(e.params)
        label = entry.label if entry.label[1:2].isupper() or entry.label[:1].isdigit() else _lower(entry.label)
        shown = ", ".join(f"{v:g}" if isinstance(v, float) else str(v) for v in values.values())
        text = f"the {label} ({shown})" if shown else f"the {label}"
        output = e.output or entry.outputs[0]
        if len(entry.outputs) > 1 and output != e.name:
            text = f"the {output.replace('_', ' ')} line of {text}"
    elif is_flag(e.name):
        name = e.name.replace("_", " ")
        text = f"{'an' if name[0] in 'aeiou' else 'a'} {name} pattern"
    elif e.name in ("support", "resistance"):
        low = "low" if e.name == "support" else "high"
        text = f"{e.name} (the last swing {low})"
    else:
        text = _PRICES.get(e.name, f"the {e.name}")
    if e.timeframe:
        text += f" on {_INTERVALS.get(e.timeframe, e.timeframe)} bars"
    return text + (f" of {_bars(e.offset)} ago" if e.offset else "")


def _lower(label: str) -> str:
    """``Exponential moving average`` → small; a name such as Wilder's or Supertrend's inventor keeps its capital."""
    first = label.split()[0]
    return label if "'" in first or first in _PEOPLE else label[:1].lower() + label[1:]


def _stops(stops: Stops) -> list[str]:
    said = []
    for name, words in (("loss", "a loss of"), ("profit", "a profit of"), ("trail", "giving back")):
        share, multiple = getattr(stops, name), getattr(stops, f"atr_{name}")
        end = " from its best price" if name == "trail" else ""
        if share is not None:
            said.append(f"{words} {share * 100:g} %{end}")
        if multiple is not None:
            said.append(f"{words} {multiple:g} times the average true range ({stops.atr_window}){end}")
    if stops.bars is not None:
        said.append(_bars(stops.bars))
    if not said:
        return []
    if len(said) == 1:
        return [f"Close a position after {said[0]}."]
    return [f"Close a position after {', '.join(said[:-1])} or {said[-1]}, whichever comes first."]


def _session(session: Session) -> str:
    days = session.days
    if days == (0, 1, 2, 3, 4):
        when = "Monday to Friday"
    elif days == tuple(range(7)):
        when = "every day"
    else:
        when = ", ".join(_DAYS[d] for d in days if 0 <= d < 7)
    return f"Enter only on bars that start from {session.start} to {session.end} ({session.timezone}), {when}."


def _size(text: str) -> str:
    text = text.strip()
    if text.endswith("%") and not text.lower().startswith("risk"):
        return f"{text} of the equity"
    if text.lower().startswith("risk"):
        return f"as much as risks {text[4:].strip()} of the equity at its stop"
    return text


def _computed(operator: str, left: float, right: float) -> str:
    """Of two numbers the result; a division by zero is left as it is, which is undefined."""
    if operator == "/" and right == 0:
        return f"({left:g} divided by 0)"
    found = {"+": left + right, "-": left - right, "*": left * right}
    return f"{found[operator] if operator in found else left / right:g}"


def _bars(count: int) -> str:
    return f"{count} bar" if count == 1 else f"{count} bars"
