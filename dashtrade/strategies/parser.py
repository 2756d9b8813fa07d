"""The text form of rules: ``ema(9) crosses above ema(20) and rsi < 70``.

    rule      = and-rule {"or" and-rule}
    and-rule  = unary {"and" unary}
    unary     = "not" unary | ("all" | "any") "(" rule {"," rule} ")" | "(" rule ")" | condition
    condition = sum comparison sum | sum "between" sum "and" sum | sum ("rising" | "falling") [bars] | pattern
    sum       = product {("+" | "-") product};  product = factor {("*" | "/") factor}
    factor    = number | "-" factor | "(" sum ")" | operand
    operand   = name ["(" settings ")"] ["." output] ["[" bars back "]"] ["@" interval]

``crosses_above`` may be written with a space or an underscore; ``close[1]`` is the close one bar back.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import get_close_matches

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
    Setting,
)
from dashtrade.errors import InvalidInput
from dashtrade.strategies import names

OPERATORS = {
    ">": Operator.ABOVE,
    "<": Operator.BELOW,
    ">=": Operator.AT_LEAST,
    "<=": Operator.AT_MOST,
    "crosses_above": Operator.CROSSES_ABOVE,
    "crosses_below": Operator.CROSSES_BELOW,
    "above": Operator.ABOVE,
    "below": Operator.BELOW,
}
_WORDS = ("between", "rising", "falling", "occurs")
_KEYWORDS = {"and", "or", "not", "all", "any", *_WORDS, *OPERATORS}
_TOKEN = re.compile(
    r"\s*(?:(?P<number>\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+)|(?P<name>[A-Za-z_]\w*)|(?P<symbol>>=|<=|==|!=|[-+*/()<>\[\].,@=%]))"
)
_INTERVAL = re.compile(r"\d+(?:m|h|d|wk|mo)\b")
_MAX_LENGTH, _MAX_DEPTH = 4000, 40


class RuleSyntaxError(InvalidInput):
    """The text is not a rule. ``position`` is the place in the text, counted from 0."""

    def __init__(self, text: str, position: int, message: str, allowed: tuple[str, ...] | None = None) -> None:
        self.text, self.position = text, position
        excerpt = text[max(0, position - 30) : position] + "⟶" + text[position : position + 30]
        super().__init__("condition", f"{message} (character {position + 1}: {excerpt!r}).", allowed=allowed)


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    at: int


def parse_condition(text: str) -> Rule:
    """The rule that ``text`` describes; RuleSyntaxError points at the place and lists what could stand there."""
    if not isinstance(text, str) or not text.strip():
        raise InvalidInput("condition", "is empty; write for example 'ema_9 crosses_above ema_21'.")
    if len(text) > _MAX_LENGTH:
        raise InvalidInput("condition", f"is longer than {_MAX_LENGTH} characters.")
    return _Parser(text).parse()


class _Parser:
    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = self._tokenise()
        self.position = 0
        self.depth = 0

    def _tokenise(self) -> list[_Token]:
        tokens, at = [], 0
        while self.text[at:].strip():
            found = _TOKEN.match(self.text, at)
            if not found:
                place = at + len(self.text[at:]) - len(self.text[at:].lstrip())
                raise RuleSyntaxError(self.text, place, f"{self.text[place]!r} cannot be read")
            kind = str(found.lastgroup)
            word = found.group(kind)
            start = found.start(kind)
            at = found.end()
            if kind == "name" and word.lower() in {"crosses", "cross", "crossed"}:  # "crosses above" as two words
                following = re.match(r"\s+(above|below|over|under)\b", self.text[at:], re.IGNORECASE)
                if following:
                    word = "crosses_" + {"over": "above", "under": "below"}.get(
                        following[1].lower(), following[1].lower()
                    )
                    at += following.end()
            if (
                kind == "name"
                and word.lower() == "is"
                and re.match(r"\s+(above|below|between|rising|falling)\b", self.text[at:])
            ):
                continue
            tokens.append(_Token(kind, word, start))
            if word == "@":
                interval = _INTERVAL.match(self.text, at)
                if not interval:
                    raise RuleSyntaxError(self.text, at, "an interval must follow @", allowed=names.INTERVALS)
                tokens.append(_Token("interval", interval.group(), at))
                at = interval.end()
        tokens.append(_Token("end", "", len(self.text)))
        return tokens

    @property
    def now(self) -> _Token:
        return self.tokens[self.position]

    def _word(self) -> str:
        return self.now.text.lower() if self.now.kind == "name" else self.now.text

    def _take(self) -> _Token:
        token = self.now
        if token.kind != "end":  # the end can be met again and again
            self.position += 1
        return token

    def _accept(self, text: str) -> bool:
        if self._word() == text and self.now.kind != "end":
            self.position += 1
            return True
        return False

    def _expect(self, text: str) -> None:
        if not self._accept(text):
            raise self._error(f"{text!r} is missing")

    def _error(
        self, message: str, allowed: tuple[str, ...] | None = None, token: _Token | None = None
    ) -> RuleSyntaxError:
        return RuleSyntaxError(self.text, (token or self.now).at, message, allowed)

    def parse(self) -> Rule:
        rule = self._rule()
        if self.now.kind != "end":
            raise self._error(f"{self.now.text!r} is not expected here; join conditions with and, or")
        return rule

    def _rule(self) -> Rule:
        self.depth += 1
        if self.depth > _MAX_DEPTH:
            raise self._error(f"more than {_MAX_DEPTH} levels of brackets")
        rules = [self._and()]
        while self._accept("or"):
            rules.append(self._and())
        self.depth -= 1
        return rules[0] if len(rules) == 1 else AnyOf(tuple(rules))

    def _and(self) -> Rule:
        rules = [self._unary()]
        while self._accept("and"):
            rules.append(self._unary())
        return rules[0] if len(rules) == 1 else AllOf(tuple(rules))

    def _unary(self) -> Rule:
        if self._accept("not"):
            return NotOf(self._unary())
        if self._word() in {"all", "any"} and self.now.kind == "name":
            group = AllOf if self._take().text.lower() == "all" else AnyOf
            self._expect("(")
            rules = [self._rule()]
            while self._accept(","):
                rules.append(self._rule())
            self._expect(")")
            return group(tuple(rules))
        if (
            self.now.text == "("
        ):  # a bracket opens a rule or a calculation: try the rule, go back if a comparison follows
            start, depth = self.position, self.depth
            try:
                self._take()
                rule = self._rule()
                self._expect(")")
                if self._word() not in _KEYWORDS - {"and", "or"} and self.now.text not in {"+", "-", "*", "/"}:
                    return rule
                raise self._error("a calculation")
            except RuleSyntaxError as error:
                reached = error
                self.position, self.depth = start, depth
            try:
                return self._condition()
            except RuleSyntaxError as error:
                raise (error if error.position >= reached.position else reached) from None
        return self._condition()

    def _condition(self) -> Rule:
        start = self.now
        left = self._sum()
        word = self._word()
        if word in OPERATORS:
            self._take()
            return Condition(left, OPERATORS[word], self._sum())
        if self._accept("between"):
            low = self._sum()
            self._expect("and")
            return Condition(left, Operator.BETWEEN, low, self._sum())
        if word in {"rising", "falling"}:
            self._take()
            bars = int(float(self._take().text)) if self.now.kind == "number" else 1
            if bars < 1:
                raise self._error("rising and falling need at least 1 bar", token=start)
            return Condition(left, Operator(word), bars=bars)
        self._accept("occurs")
        if isinstance(left, Operand) and names.is_flag(left.name):
            return Condition(left, Operator.OCCURS)
        near = get_close_matches(word, [*OPERATORS, *_WORDS], 1) if word else []
        if word.startswith("cross"):
            near = ["crosses_above"]
        hint = f"{self.now.text!r} is not an operator" if self.now.kind != "end" else "an operator is missing"
        raise self._error(hint + (f"; did you mean {near[0]}?" if near else ""), allowed=(*OPERATORS, *_WORDS[:3]))

    def _sum(self) -> Expression:
        left = self._product()
        while self.now.text in {"+", "-"}:
            operator = self._take().text
            left = Arithmetic(operator, left, self._product())
        return left

    def _product(self) -> Expression:
        left = self._factor()
        while self.now.text in {"*", "/"}:
            operator = self._take().text
            left = Arithmetic(operator, left, self._factor())
        return left

    def _factor(self) -> Expression:
        token = self._take()
        if token.kind == "number":
            self._accept("%")
            return Number(float(token.text))
        if token.text == "-":
            inner = self._factor()
            return Number(-inner.value) if isinstance(inner, Number) else Arithmetic("-", Number(0.0), inner)
        if token.text == "(":
            self.depth += 1
            if self.depth > _MAX_DEPTH:
                raise self._error(f"more than {_MAX_DEPTH} levels of brackets")
            inner = self._sum()
            self._expect(")")
            self.depth -= 1
            return inner
        if token.kind != "name" or token.text.lower() in _KEYWORDS:
            what = f"{token.text!r} stands where" if token.kind != "end" else "the text ends where"
            raise self._error(f"{what} a price, an indicator or a number is expected", token=token)
        return self._operand(token)

    def _operand(self, token: _Token) -> Operand:
        positional: list[Setting] = []
        named: dict[str, Setting] = {}
        if self._accept("("):
            while not self._accept(")"):
                self._setting(positional, named)
                if not self._accept(","):
                    self._expect(")")
                    break
        output = None
        if self._accept("."):
            output = self._take().text.lower()
        offset = 0
        if self._accept("["):
            if self.now.kind != "number" or not self.now.text.isdigit():
                raise self._error("a whole number of bars back is expected, as in close[1]")
            offset = int(self._take().text)
            self._expect("]")
        timeframe = self._take().text if self._accept("@") else None
        try:
            return names.resolve(token.text.lower(), positional, named, output, offset, timeframe)
        except InvalidInput as error:
            said = str(error).split(" Allowed: ")[0].rstrip(".")  # the place comes before the long list
            raise RuleSyntaxError(self.text, token.at, said, error.allowed) from None

    def _setting(self, positional: list[Setting], named: dict[str, Setting]) -> None:
        name = None
        if self.now.kind == "name" and self.tokens[self.position + 1].text == "=":
            name = self._take().text.lower()
            self._take()
        sign = -1 if self._accept("-") else 1
        token = self._take()
        if token.kind == "number":
            value: Setting = sign * float(token.text)
            value = int(value) if float(value).is_integer() and "." not in token.text else value
        elif token.kind == "name":
            value = token.text.lower()
        else:
            raise self._error("a setting is expected, as in ema(9) or macd(fast=12)", token=token)
        if name is None:
            positional.append(value)
        else:
            named[name] = value
