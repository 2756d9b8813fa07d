"""Rules as rows while a person edits them: texts as typed, put together to the text form and taken from it again.

The text is what counts. Rows compose to a text even when something in them is wrong, so that the parser alone says
what.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

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
)
from dashtrade.errors import InvalidInput
from dashtrade.indicators import REGISTRY
from dashtrade.strategies import RuleSyntaxError, flags, parse_condition, to_text
from dashtrade.strategies.names import DERIVED_PRICES, LEVELS, PRICES

PRICE, INDICATOR, LEVEL, PATTERN, NUMBER, FORMULA = "price", "indicator", "level", "pattern", "number", "formula"
KINDS = {
    INDICATOR: "Indicator",
    PRICE: "Price",
    NUMBER: "Number",
    LEVEL: "Level",
    PATTERN: "Pattern",
    FORMULA: "Formula",
}
OPERATORS = {
    Operator.ABOVE.value: "is above",
    Operator.BELOW.value: "is below",
    Operator.AT_LEAST.value: "is at least",
    Operator.AT_MOST.value: "is at most",
    Operator.CROSSES_ABOVE.value: "crosses above",
    Operator.CROSSES_BELOW.value: "crosses below",
    Operator.BETWEEN.value: "is between",
    Operator.RISING.value: "is rising",
    Operator.FALLING.value: "is falling",
    Operator.OCCURS.value: "occurs",
}
_TREND = (Operator.RISING.value, Operator.FALLING.value)
ALONE = (*_TREND, Operator.OCCURS.value)
"""Operators without a right side."""
GroupKind = Literal["all", "any", "not"]


@dataclass(frozen=True, slots=True)
class Side:
    """One operand as typed. ``text`` holds a number or a formula, ``name`` and the rest everything else."""

    kind: str = INDICATOR
    name: str = "ema"
    settings: tuple[tuple[str, str], ...] = ()
    output: str = ""
    offset: str = ""
    timeframe: str = ""
    text: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """One condition as typed; ``right`` and ``upper`` are kept while the operator does not use them."""

    left: Side = Side(settings=(("window", "9"),))
    operator: str = Operator.CROSSES_ABOVE.value
    right: Side = Side(settings=(("window", "21"),))
    upper: Side = Side(NUMBER, text="70")
    bars: str = "1"


@dataclass(frozen=True, slots=True)
class Group:
    """All of, any of, or not (all of) its children."""

    kind: GroupKind = "all"
    children: tuple[Row | Group, ...] = ()


@dataclass(frozen=True, slots=True)
class PartDraft:
    """One of the four rules: its text, what it means when it can be read, and its rows.

    With an ``error`` the rows are those of the last text that could be read, unless the rows themselves made the text.
    ``position`` is the place of the error in the text, -1 where it has none.
    """

    text: str = ""
    tree: Group = Group()
    rule: Rule | None = None
    error: str = ""
    position: int = -1


def names_of(kind: str) -> dict[str, str]:
    """Name → label of everything of a kind that can stand in a row."""
    if kind == PRICE:
        return {name: name.upper() if name[0] in "ho" and name[-1].isdigit() else name.capitalize()
                for name in (*PRICES, *DERIVED_PRICES) if name != "price"}  # fmt: skip
    if kind == LEVEL:
        return {name: f"{name.capitalize()} (last swing)" for name in LEVELS}
    if kind == PATTERN:
        return {name: name.replace("_", " ").capitalize() for name in sorted(flags.names())}
    if kind == INDICATOR:
        return {key: f"{key} · {REGISTRY[key].label}" for key in sorted(REGISTRY)}
    return {}


def side_text(side: Side) -> str:
    """The operand in the text form."""
    if side.kind in (NUMBER, FORMULA):
        return side.text.strip()
    settings = ", ".join(f"{name}={value.strip()}" for name, value in side.settings if value.strip())
    text = side.name + (f"({settings})" if settings else "")
    text += f".{side.output}" if side.output else ""
    text += f"[{side.offset.strip()}]" if side.offset.strip() not in ("", "0") else ""
    return text + (f"@{side.timeframe}" if side.timeframe else "")


def text_of(node: Row | Group) -> str:
    """A row, or a group as it stands inside another, in the text form."""
    if isinstance(node, Row):
        left = side_text(node.left)
        if node.operator == Operator.OCCURS:
            return left
        if node.operator in _TREND:
            bars = node.bars.strip()
            return f"{left} {node.operator}" + (f" {bars}" if bars not in ("", "1") else "")
        if node.operator == Operator.BETWEEN:
            return f"{left} between {side_text(node.right)} and {side_text(node.upper)}"
        return f"{left} {node.operator} {side_text(node.right)}"
    if node.kind == "not":
        return "not " + (_bracketed(node.children[0]) if len(node.children) == 1 else f"({_joined(node, ' and ')})")
    if len(node.children) == 1:
        return f"{node.kind}({text_of(node.children[0])})"
    return _joined(node, " and " if node.kind == "all" else " or ")


def whole_text(tree: Group) -> str:
    """The text of a part's outermost group; empty for no rows."""
    if not tree.children:
        return ""
    if len(tree.children) == 1 and tree.kind != "not":
        return text_of(tree.children[0])
    return text_of(tree)


def _joined(group: Group, word: str) -> str:
    return word.join(_bracketed(child) for child in group.children)


def _bracketed(node: Row | Group) -> str:
    text = text_of(node)
    bare = isinstance(node, Row) or node.kind == "not" or len(node.children) == 1
    return text if bare else f"({text})"


def tree_of(rule: Rule | None) -> Group:
    """The rows of a rule."""
    if rule is None:
        return Group()
    node = _node(rule)
    if isinstance(node, Group) and node.kind != "not" and len(node.children) > 1:
        return node
    return Group("all", (node,))


def _node(rule: Rule) -> Row | Group:
    if isinstance(rule, Condition):
        default = Row()
        return Row(
            side_of(rule.left),
            rule.operator.value,
            side_of(rule.right) if rule.right is not None else default.right,
            side_of(rule.upper) if rule.upper is not None else default.upper,
            str(rule.bars),
        )
    if isinstance(rule, NotOf):
        inner = rule.rule
        many = isinstance(inner, AllOf) and len(inner.rules) > 1
        return Group("not", tuple(_node(r) for r in inner.rules) if many else (_node(inner),))  # type: ignore[union-attr]
    assert isinstance(rule, AllOf | AnyOf)
    return Group("all" if isinstance(rule, AllOf) else "any", tuple(_node(r) for r in rule.rules))


def side_of(expression: Expression) -> Side:
    """An operand, a number or a calculation as a row shows it."""
    if isinstance(expression, Number):
        return Side(NUMBER, "", text=to_text(expression))
    if isinstance(expression, Arithmetic):
        return Side(FORMULA, "", text=to_text(expression)[1:-1])  # a calculation is always written in brackets
    return Side(
        kind_of(expression),
        expression.name,
        tuple((name, str(value)) for name, value in expression.params),
        expression.output or "",
        str(expression.offset) if expression.offset else "",
        expression.timeframe or "",
    )


def kind_of(operand: Operand) -> str:
    if operand.name in REGISTRY:
        return INDICATOR
    if operand.name in LEVELS:
        return LEVEL
    return PATTERN if operand.name in flags.names() else PRICE


def from_text(text: str, before: PartDraft | None = None) -> PartDraft:
    """A part from its text; a text that cannot be read keeps the rows that were there before."""
    if not text.strip():
        return PartDraft()
    try:
        rule = parse_condition(text)
    except RuleSyntaxError as error:
        return PartDraft(text, before.tree if before else Group(), None, message_of(error), error.position)
    except InvalidInput as error:
        return PartDraft(text, before.tree if before else Group(), None, str(error))
    return PartDraft(text, tree_of(rule), rule)


def from_tree(tree: Group) -> PartDraft:
    """A part from its rows, which stay as typed."""
    read = from_text(whole_text(tree))
    return PartDraft(read.text, tree, read.rule, read.error, read.position)


def row_error(row: Row) -> str:
    """What is wrong with one row, or nothing."""
    return from_text(text_of(row)).error or ("" if text_of(row).strip() else "The condition is empty.")


def message_of(error: RuleSyntaxError) -> str:
    """The parser's sentence without the excerpt, which the page shows as a mark in the text."""
    text = (
        str(error).split(" (character ")[0].removeprefix("condition: ").replace("indicator: ", "").split(" Allowed:")[0]
    )
    text = text[:1].upper() + text[1:]
    allowed = f" Use one of {', '.join(error.allowed)}." if error.allowed and len(error.allowed) <= 12 else ""
    return (text if text.endswith("?") else text.rstrip(".") + ".") + allowed
