"""A strategy as a Pine v6 strategy script for TradingView.

Every series becomes a variable at the top, since Pine's functions must run on every bar to be right. What Pine has no
words for is refused with its name; nothing is left out silently.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

from dashtrade.domain.strategy import (
    AllOf,
    Arithmetic,
    Condition,
    Direction,
    Expression,
    NotOf,
    Number,
    Operand,
    Operator,
    Rule,
    Strategy,
)
from dashtrade.errors import InvalidInput
from dashtrade.indicators import REGISTRY
from dashtrade.strategies.names import LEVEL_WINDOW

_PRICES = {"open", "high", "low", "close", "volume", "hl2", "hlc3", "ohlc4"}
_TIMEFRAMES = {"5m": "5", "15m": "15", "30m": "30", "1h": "60", "4h": "240", "1d": "D", "1wk": "W", "1mo": "M"}


class CannotExport(InvalidInput):
    """The strategy uses things that Pine cannot express; ``names`` lists them."""

    def __init__(self, names: list[str]) -> None:
        self.names = tuple(sorted(set(names)))
        super().__init__(
            "strategy", f"Pine has no words for {', '.join(self.names)}; use other conditions to export it."
        )


# indicator → Pine expression of its first (or only) output
_SINGLE: dict[str, Callable[[dict[str, Any]], str]] = {
    "sma": lambda p: f"ta.sma(close, {p['window']})",
    "ema": lambda p: f"ta.ema(close, {p['window']})",
    "rma": lambda p: f"ta.rma(close, {p['window']})",
    "wma": lambda p: f"ta.wma(close, {p['window']})",
    "hma": lambda p: f"ta.hma(close, {p['window']})",
    "vwma": lambda p: f"ta.vwma(close, {p['window']})",
    "rsi": lambda p: f"ta.rsi(close, {p['window']})",
    "cci": lambda p: f"ta.cci(hlc3, {p['window']})",
    "roc": lambda p: f"ta.roc(close, {p['window']})",
    "momentum": lambda p: f"ta.mom(close, {p['window']})",
    "cmo": lambda p: f"ta.cmo(close, {p['window']})",
    "mfi": lambda p: f"ta.mfi(hlc3, {p['window']})",
    "williams_r": lambda p: f"ta.wpr({p['window']})",
    "atr": lambda p: f"ta.atr({p['window']})",
    "natr": lambda p: f"100 * ta.atr({p['window']}) / close",
    "true_range": lambda p: "ta.tr",
    "stddev": lambda p: f"ta.stdev(close, {p['window']})",
    "obv": lambda p: "ta.obv",
    "psar": lambda p: f"ta.sar({p['step']}, {p['step']}, {p['maximum']})",
    "relative_volume": lambda p: f"volume / ta.sma(volume, {p['window']})",
}
# indicator → (names of the outputs in Pine's order, Pine call)
_TUPLES: dict[str, tuple[tuple[str, ...], Callable[[dict[str, Any]], str]]] = {
    "macd": (("macd", "signal", "histogram"), lambda p: f"ta.macd(close, {p['fast']}, {p['slow']}, {p['signal']})"),
    "bollinger": (("middle", "upper", "lower"), lambda p: f"ta.bb(close, {p['window']}, {p['deviations']})"),
    "supertrend": (("supertrend", "direction"), lambda p: f"ta.supertrend({p['factor']}, {p['window']})"),
    "adx": (("plus_di", "minus_di", "adx"), lambda p: f"ta.dmi({p['window']}, {p['window']})"),
}
_QQE = """\
{n}Line = ta.ema(ta.rsi(close, {window}), {smooth})
{n}Reach = {factor:g} * ta.ema(ta.ema(math.abs({n}Line - {n}Line[1]), {slow}), {slow})
var float {n}Below = na
var float {n}Above = na
var float {n}Side = 1.0
if not na({n}Line) and not na({n}Reach)
    below = {n}Line - {n}Reach
    above = {n}Line + {n}Reach
    if not na({n}Below)
        before = {n}Line[1]
        if {n}Line > {n}Above and before <= {n}Above
            {n}Side := 1.0
        else if {n}Line < {n}Below and before >= {n}Below
            {n}Side := -1.0
        if before > {n}Below and {n}Line > {n}Below
            below := math.max({n}Below, below)
        if before < {n}Above and {n}Line < {n}Above
            above := math.min({n}Above, above)
    {n}Below := below
    {n}Above := above
{n}Direction = na({n}Below) ? na : {n}Side
{n}Signal = {n}Side > 0 ? {n}Below : {n}Above"""
"""Line by line what ``dashtrade.indicators.kernels.trailing_band`` does; Pine has no such function of its own."""
_REFUSED_OUTPUTS = {("supertrend", "direction")}  # the sign is the other way round in Pine


def to_pine(
    strategy: Strategy,
    cash: float = 10_000.0,
    percent: float = 100.0,
    direction: Direction | str = Direction.LONG_SHORT,
) -> str:
    """The script's text, for the sides that ``direction`` allows and the strategy has.

    Raises CannotExport, which names what Pine cannot express.
    """
    if direction == Direction.LONG_ONLY:
        strategy = replace(strategy, short_entry=None, short_exit=None)
    elif direction == Direction.SHORT_ONLY:
        strategy = replace(strategy, long_entry=None, long_exit=None)
    return _Script(strategy).text(cash, percent)


class _Script:
    def __init__(self, strategy: Strategy) -> None:
        self.strategy = strategy
        self.lines: list[str] = []
        self.known: dict[Any, str] = {}
        self.refused: list[str] = []

    def text(self, cash: float, percent: float) -> str:
        s = self.strategy
        rules = {n: getattr(s, n) for n in ("long_entry", "long_exit", "short_entry", "short_exit")}
        flags = {n: self.rule(r) for n, r in rules.items() if r is not None}
        if s.session is not None:
            self.refused.append("the session filter")
        if s.cooldown:
            self.refused.append("the cooldown")
        if self.refused:
            raise CannotExport(self.refused)
        title = re.sub(r'["\\\n]', " ", s.name)
        head = [
            "//@version=6",
            f'strategy("{title}", overlay = true, initial_capital = {cash:g}, '
            f"default_qty_type = strategy.percent_of_equity, default_qty_value = {percent:g}, "
            "process_orders_on_close = false, calc_on_every_tick = false)",
            "",
        ]
        body = ["", *(f"{_camel(n)} = {text}" for n, text in flags.items()), ""]
        for side, other in (("long", "short"), ("short", "long")):
            if f"{side}_entry" in flags:
                body += self._side(side, flags, other)
        return "\n".join([*head, *self.lines, *body]).rstrip() + "\n"

    def _side(self, side: str, flags: dict[str, str], other: str) -> list[str]:
        name = side.capitalize()
        leaves = f"{side}_exit" in flags
        guard = f" and not {_camel(f'{side}_exit')}" if leaves else ""
        enter = _camel(f"{side}_entry")
        lines = [
            f"if {enter}{guard} and strategy.position_size == 0"
            if other + "_entry" not in flags
            else f"if {enter}{guard}"
        ]
        lines.append(f'    strategy.entry("{name}", strategy.{side})')
        if leaves:
            lines += [f"if {_camel(f'{side}_exit')}", f'    strategy.close("{name}")']
        return lines + self._stops(side, name, enter) + [""]

    def _stops(self, side: str, name: str, enter: str) -> list[str]:
        stops = self.strategy.stops
        sign, back = ("-", "+") if side == "long" else ("+", "-")
        base = "strategy.position_avg_price"
        out: list[str] = []
        arguments: list[str] = []
        if stops.uses_atr:
            out += [f"var float {side}Atr = na", f"if {enter}", f"    {side}Atr := ta_atr_{stops.atr_window}"]
            variable = f"ta_atr_{stops.atr_window}"
            if f"{variable} = ta.atr({stops.atr_window})" not in self.lines:
                self.lines.append(f"{variable} = ta.atr({stops.atr_window})")
        if stops.loss is not None:
            arguments.append(f"stop = {base} * (1 {sign} {stops.loss:g})")
        if stops.atr_loss is not None:
            arguments.append(f"stop = {base} {sign} {stops.atr_loss:g} * {side}Atr")
        if stops.profit is not None:
            arguments.append(f"limit = {base} * (1 {back} {stops.profit:g})")
        if stops.atr_profit is not None:
            arguments.append(f"limit = {base} {back} {stops.atr_profit:g} * {side}Atr")
        if stops.trail is not None:
            arguments.append(f"trail_price = {base}, trail_offset = {stops.trail:g} * {base} / syminfo.mintick")
        if stops.atr_trail is not None:
            arguments.append(f"trail_price = {base}, trail_offset = {stops.atr_trail:g} * {side}Atr / syminfo.mintick")
        if arguments:
            out += [f"if strategy.position_size {'>' if side == 'long' else '<'} 0"]
            out += [f'    strategy.exit("{name} stop", "{name}", {", ".join(arguments)})']
        if stops.bars is not None:
            opened = "strategy.opentrades.entry_bar_index(strategy.opentrades - 1)"
            held = f"strategy.position_size {'>' if side == 'long' else '<'} 0"
            out += [f"if {held} and bar_index - {opened} >= {stops.bars - 1}", f'    strategy.close("{name}")']
        return out

    def rule(self, rule: Rule) -> str:
        if isinstance(rule, Condition):
            return self._variable("c", self.condition(rule))
        if isinstance(rule, NotOf):
            return f"not {self.rule(rule.rule)}"
        word = " and " if isinstance(rule, AllOf) else " or "
        return "(" + word.join(self.rule(r) for r in rule.rules) + ")"

    def condition(self, c: Condition) -> str:
        left = self.expression(c.left)
        if c.operator is Operator.OCCURS:
            self.refused.append(c.left.name if isinstance(c.left, Operand) else "a pattern")
            return left
        if c.operator in {Operator.RISING, Operator.FALLING}:
            series = self._variable("x", left)
            sign = ">" if c.operator is Operator.RISING else "<"
            past = [series, *(f"{series}[{n}]" for n in range(1, c.bars + 1))]
            return " and ".join(f"{a} {sign} {b}" for a, b in pairwise(past))
        assert c.right is not None
        right = self.expression(c.right)
        if c.upper is not None:
            return f"{left} >= {right} and {left} <= {self.expression(c.upper)}"
        if c.operator is Operator.CROSSES_ABOVE:
            return f"ta.crossover({left}, {right})"
        if c.operator is Operator.CROSSES_BELOW:
            return f"ta.crossunder({left}, {right})"
        return f"{left} {c.operator} {right}"

    def expression(self, e: Expression) -> str:
        if isinstance(e, Number):
            return f"{e.value:g}" if e.value >= 0 else f"({e.value:g})"
        if isinstance(e, Arithmetic):
            return f"({self.expression(e.left)} {e.operator} {self.expression(e.right)})"
        back = f"[{e.offset}]" if e.offset else ""
        if e.timeframe is None:
            return self._series(e) + back
        inner = self._inline(e)
        call = (
            f'request.security(syminfo.tickerid, "{_TIMEFRAMES[e.timeframe]}", ({inner})[{e.offset + 1}], '
            "lookahead = barmerge.lookahead_on)"  # the last completed bar: this form does not repaint
        )
        return self._variable("higher", call)

    def _series(self, e: Operand) -> str:
        if e.name in _PRICES:
            return e.name
        inline = self._inline(e)
        return self._variable(_camel(e.name), inline) if inline else "na"

    def _inline(self, e: Operand) -> str:
        """Pine's expression of an operand; an indicator with several outputs is taken apart at the top first."""
        if e.name in _PRICES:
            return e.name
        if e.name in {"support", "resistance"}:
            window = dict(e.params).get("window", LEVEL_WINDOW)
            kind, price = ("pivotlow", "low") if e.name == "support" else ("pivothigh", "high")
            return f"fixnan(ta.{kind}({price}, {window}, {window}))"
        if e.name not in REGISTRY:
            self.refused.append(e.name)
            return ""
        settings = REGISTRY[e.name].checked(dict(e.params))
        output = e.output or REGISTRY[e.name].outputs[0]
        if e.name in _SINGLE and output == REGISTRY[e.name].outputs[0]:
            return _SINGLE[e.name](settings)
        if e.name == "donchian" and not settings.get("offset"):
            high, low = f"ta.highest(high, {settings['window']})", f"ta.lowest(low, {settings['window']})"
            return {"upper": high, "lower": low, "middle": f"({high} + {low}) / 2"}[output]
        if e.name in {"qqe", "qqe_fast"} and e.timeframe is None:
            return self._qqe(settings, output)
        if e.name in _TUPLES and output in _TUPLES[e.name][0] and (e.name, output) not in _REFUSED_OUTPUTS:
            if e.timeframe is not None:
                self.refused.append(f"{e.name} on a longer timeframe")
                return ""
            names, call = _TUPLES[e.name]
            return self._taken_apart(e.name, names, call(settings))[output]
        self.refused.append(f"{e.name}.{output}" if e.output else e.name)
        return ""

    def _qqe(self, settings: dict[str, Any], output: str) -> str:
        key = ("qqe", *settings.values())
        if key not in self.known:
            self.known[key] = f"qqe{sum(isinstance(k, tuple) for k in self.known) + 1}"
            slow = 2 * settings["window"] - 1
            self.lines += _QQE.format(n=self.known[key], slow=slow, **settings).split("\n")
        return self.known[key] + {"signal": "Signal", "direction": "Direction"}.get(output, "Line")

    def _taken_apart(self, name: str, outputs: tuple[str, ...], call: str) -> dict[str, str]:
        number = self.known.setdefault(("tuple", call), str(sum(isinstance(k, tuple) for k in self.known) + 1))
        names = {o: f"{_camel(name)}{number}{o.title().replace('_', '')}" for o in outputs}
        line = f"[{', '.join(names.values())}] = {call}"
        if line not in self.lines:
            self.lines.append(line)
        return names

    def _variable(self, prefix: str, text: str) -> str:
        """A variable at the top that holds ``text``; the same text is held once. A plain name is its own variable."""
        if re.fullmatch(r"\w+", text):
            return text
        if text not in self.known:
            self.known[text] = f"{prefix}{sum(not isinstance(k, tuple) for k in self.known) + 1}"
            self.lines.append(f"{self.known[text]} = {text}")
        return self.known[text]


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)
