"""Strategies: rules over named series, their text and JSON forms, presets, and the signals they give."""

from __future__ import annotations

from dashtrade.domain.strategy import (
    AllOf,
    AnyOf,
    Condition,
    Direction,
    NotOf,
    Number,
    Operand,
    Operator,
    Rule,
    Session,
    Signals,
    Stops,
    Strategy,
)
from dashtrade.strategies.evaluate import evaluate, evaluate_many, signals
from dashtrade.strategies.names import operand_names
from dashtrade.strategies.operands import Operands
from dashtrade.strategies.parser import RuleSyntaxError, parse_condition
from dashtrade.strategies.presets import PRESETS, Preset, preset, with_stops
from dashtrade.strategies.text import from_dict, to_dict, to_text

__all__ = [
    "AllOf",
    "AnyOf",
    "Condition",
    "Direction",
    "NotOf",
    "Number",
    "Operand",
    "Operands",
    "Operator",
    "PRESETS",
    "Preset",
    "Rule",
    "RuleSyntaxError",
    "Session",
    "Signals",
    "Stops",
    "Strategy",
    "evaluate",
    "evaluate_many",
    "from_dict",
    "operand_names",
    "parse_condition",
    "preset",
    "signals",
    "to_dict",
    "to_text",
    "with_stops",
]
