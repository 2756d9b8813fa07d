"""The kinds of alert as forms: which fields each has, its condition's text from them and back, and in words."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dashtrade.domain.alerts import AlertKind
from dashtrade.pages.fields import FieldSpec, shown

Values = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind. ``write`` makes the condition's text from the fields' values; ``read`` gives the fields of a text, or
    None where it was written in another way; ``words`` says a condition with these values."""

    key: str
    title: str
    fields: tuple[FieldSpec, ...]
    write: Callable[[Values], str]
    read: Callable[[str], dict[str, str] | None]
    words: Callable[[Values], str]
    help: str = ""


def _level(key: AlertKind, title: str, words: str) -> Kind:
    field = FieldSpec("level", "Price", "decimal", None, 0.0001, 10_000_000, help="In the symbol's currency")
    return Kind(
        key.value,
        title,
        (field,),
        lambda v: shown(v["level"]),
        _reader(r"(?:(?:price|close)\s+)?(?:above|below|crosses_above|crosses_below|[<>]=?)?\s*\$?(?P<level>[\d.]+)"),
        lambda v: f"Close {words} {shown(v['level'])}",
    )


def _reader(pattern: str, **defaults: str) -> Callable[[str], dict[str, str] | None]:
    compiled = re.compile(pattern, re.IGNORECASE)

    def read(text: str) -> dict[str, str] | None:
        found = compiled.fullmatch(text.strip())
        return None if found is None else {**defaults, **{k: v for k, v in found.groupdict().items() if v is not None}}

    return read


_CROSSES = {"crosses_above": "crosses above", "crosses_below": "crosses below"}
_COMPARE = {">": "is above", ">=": "is at or above", "<": "is below", "<=": "is at or below", "above": "is above",
            "below": "is below", **_CROSSES}  # fmt: skip


def _over(bars: Any) -> str:
    return "over one bar" if int(bars) == 1 else f"over {bars} bars"


def _rsi_text(v: Values) -> str:
    name = "" if int(v["length"]) == 14 else f"rsi_{v['length']} "
    return f"{name}{v['operator']} {shown(v['level'])}"


def _cross_read(text: str) -> dict[str, str] | None:
    found = re.fullmatch(r"\s*(.+?)\s+crosses[ _](above|below)\s+(.+?)\s*", text, re.IGNORECASE)
    if found is None:
        return None
    return {"left": found[1], "operator": f"crosses_{found[2].lower()}", "right": found[3]}


def _plain_name(name: str) -> str:
    return name.replace("_", " ")


def _named(key: AlertKind, title: str, label: str, names: Sequence[str], words: str, help_text: str) -> Kind:
    def read(text: str) -> dict[str, str] | None:
        name = text.strip().lower().replace(" ", "_").replace("-", "_")
        return {"pattern": name} if name in names else None

    def say(v: Values) -> str:
        return f"Any {words}" if v["pattern"] == "any" else f"{_plain_name(v['pattern']).capitalize()} {words}"

    field = FieldSpec("pattern", label, "choice", names[0], choices=tuple(names))
    return Kind(key.value, title, (field,), lambda v: str(v["pattern"]), read, say, help_text)


def kinds(candles: Sequence[str], charts: Sequence[str]) -> dict[str, Kind]:
    """All kinds by key, in the order a person looks for them; ``candles`` and ``charts`` name the known patterns."""
    k = AlertKind
    percent = FieldSpec("percent", "Percent", "float", 5, 0.01, 1000, help="Up or down, from close to close")
    bars = FieldSpec("bars", "Bars", "int", 1, 1, 500, help="Over so many bars")
    length = {"kind": "int", "low": 2, "high": 500}
    found = (
        _level(k.PRICE_ABOVE, "Price above", "is above"),
        _level(k.PRICE_BELOW, "Price below", "is below"),
        _level(k.PRICE_CROSSES_ABOVE, "Price crosses above", "crosses above"),
        _level(k.PRICE_CROSSES_BELOW, "Price crosses below", "crosses below"),
        Kind(
            k.PERCENT_MOVE.value, "Moves by a percentage", (percent, bars),
            lambda v: shown(v["percent"]) + ("" if v["bars"] == 1 else f" over {v['bars']}"),
            _reader(r"(?P<percent>[\d.]+)\s*%?x?(?:\s+over\s+(?P<bars>\d+))?", bars="1"),
            lambda v: f"Close moves {shown(v['percent'])} % or more, up or down, {_over(v['bars'])}",
        ),
        Kind(
            k.EMA_CROSS.value, "EMA cross",
            (
                FieldSpec("fast", "First length", default=9, help="Of the average that crosses", **length),  # type: ignore[arg-type]
                FieldSpec("slow", "Second length", default=21, help="Of the average that is crossed", **length),  # type: ignore[arg-type]
                FieldSpec("direction", "Direction", "choice", "either", choices=("either", "above", "below")),
            ),
            lambda v: f"{v['fast']} {v['slow']}" + ("" if v["direction"] == "either" else f" {v['direction']}"),
            _reader(r"(?P<fast>\d+)[\s,/]+(?P<slow>\d+)(?:\s+(?P<direction>above|below))?", direction="either"),
            lambda v: f"EMA {v['fast']} crosses "
            + ("" if v["direction"] == "either" else f"{v['direction']} ") + f"EMA {v['slow']}"
            + (" either way" if v["direction"] == "either" else ""),
        ),
        Kind(
            k.INDICATOR_CROSS.value, "Indicator crosses",
            (
                FieldSpec("left", "This", "text", "macd", help="An indicator, price or level, such as macd or rsi_21"),
                FieldSpec("operator", "Does", "choice", "crosses_above", choices=tuple(_CROSSES)),
                FieldSpec("right", "That", "text", "macd.signal", help="Another one, or a number"),
            ),
            lambda v: f"{v['left']} {v['operator']} {v['right']}",
            _cross_read,
            lambda v: f"{v['left']} {_CROSSES[v['operator']]} {v['right']}",
        ),
        Kind(
            k.RSI_LEVEL.value, "RSI level",
            (
                FieldSpec("operator", "RSI", "choice", "<", choices=(">", ">=", "<", "<=", *_CROSSES)),
                FieldSpec("level", "Level", "float", 30, 0, 100),
                FieldSpec("length", "RSI length", default=14, **length),  # type: ignore[arg-type]
            ),
            _rsi_text,
            _rsi_read,
            lambda v: f"RSI {v['length']} {_COMPARE[v['operator']]} {shown(v['level'])}",
        ),
        Kind(
            k.VOLUME_SPIKE.value, "Volume spike",
            (
                FieldSpec("times", "Times the usual", "float", 2, 1, 1000, help="Multiples of the mean volume"),
                FieldSpec("bars", "Bars of the mean", "int", 20, 2, 500),
            ),
            lambda v: shown(v["times"]) + ("" if v["bars"] == 20 else f" over {v['bars']}"),
            _reader(r"(?P<times>[\d.]+)\s*%?x?(?:\s+over\s+(?P<bars>\d+))?", bars="20"),
            lambda v: f"Volume is at least {shown(v['times'])} × the mean of the {v['bars']} bars before",
        ),
        Kind(
            k.NEAR_LEVEL.value, "Near support or resistance",
            (
                FieldSpec("which", "Level", "choice", "either", choices=("either", "support", "resistance")),
                FieldSpec("percent", "Within percent", "float", 1, 0.01, 49.9),
            ),
            lambda v: ("" if v["which"] == "either" else f"{v['which']} ") + shown(v["percent"]),
            _reader(r"(?:(?P<which>support|resistance)\s+)?(?P<percent>[\d.]+)\s*%?", which="either"),
            lambda v: f"Close is within {shown(v['percent'])} % of "
            + ("support or resistance" if v["which"] == "either" else v["which"]),
        ),
        _named(k.CANDLESTICK_PATTERN, "Candlestick pattern", "Pattern", ("any", *candles), "candlestick pattern",
               "any stands for the usual fifteen."),
        _named(k.CHART_PATTERN, "Chart pattern confirmed", "Pattern", ("any", *charts), "chart pattern is confirmed",
               "Told at the bar that confirms it, never at one before."),
        Kind(
            k.SIGNAL_CHANGE.value, "Signal changes",
            (FieldSpec("signal", "Becomes", "choice", "any", choices=("any", "BUY", "SELL", "HOLD"),
                       help="The signal of the analysis page"),),
            lambda v: str(v["signal"]),
            lambda text: {"signal": _signal(text)} if _signal(text) in ("any", "BUY", "SELL", "HOLD") else None,
            lambda v: "Signal changes" if v["signal"] == "any" else f"Signal becomes {v['signal']}",
        ),
        Kind(
            k.RULE.value, "Rule of the strategy builder",
            (FieldSpec("rule", "Rule", "text", "ema(9) crosses above ema(21) and rsi < 70",
                       help="As on the strategies: any indicator, price or level, with and, or, not"),),
            lambda v: str(v["rule"]),
            lambda text: {"rule": text},
            lambda v: str(v["rule"]),
        ),
        _named(k.PATTERN_DETECTED, "Any candlestick or chart pattern", "Pattern", ("any", *candles, *charts),
               "pattern", "any stands for the usual candlestick patterns."),
    )  # fmt: skip
    return {kind.key: kind for kind in found}


def _signal(text: str) -> str:
    word = text.strip()
    return "any" if word.lower() in ("", "any") else word.upper()


def _rsi_read(text: str) -> dict[str, str] | None:
    found = re.fullmatch(
        r"\s*(?:rsi(?:_(\d+))?\s+)?(>=?|<=?|above|below|crosses_above|crosses_below)\s*([\d.]+)\s*", text, re.IGNORECASE
    )
    if found is None:
        return None
    operator = {"above": ">", "below": "<"}.get(found[2].lower(), found[2].lower())
    return {"length": found[1] or "14", "operator": operator, "level": found[3]}


def parse_values(kind: Kind, raw: Mapping[str, Any]) -> dict[str, Any]:
    """The fields' values from what was typed; InvalidInput names the field and what is allowed."""
    return {field.name: field.parse(raw.get(field.name, field.default)) for field in kind.fields}


def in_words(known: Mapping[str, Kind], key: str, text: str) -> str:
    """A stored condition as a sentence; its own text where it cannot be read back."""
    kind = known.get(key)
    raw = kind.read(text) if kind is not None else None
    if kind is None or raw is None:
        return f"{_plain_name(key)} {text}".strip()
    return kind.words({**{f.name: f.default for f in kind.fields}, **raw})
