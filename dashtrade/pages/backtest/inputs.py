"""What is typed into the form, and the run that it asks for. Texts in, a RunRequest or a sentence out; no widgets."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dashtrade.domain.market import HistoryRequest, Interval, Period, parse_symbol
from dashtrade.domain.strategy import Direction, Rule, Stops, Strategy
from dashtrade.errors import InvalidInput
from dashtrade.pages.guard import sentence
from dashtrade.services.backtests import (
    MOST_SYMBOLS,
    RunRequest,
    parse_distance,
    parse_fraction,
    parse_moment,
    parse_size,
)

if TYPE_CHECKING:
    from dashtrade.strategies import Preset

OWN = "own"
OWN_NAME = "own rules"
"""What a strategy of rules typed into the form is called."""
SAVED = "saved:"
RUN = "run:"
"""Before the number of a recorded run whose strategy is neither a preset, nor kept, nor plain rules."""
DATES = "dates"
ON = "yes"
RULES = {
    "long_entry": "Buy when",
    "long_exit": "Sell when",
    "short_entry": "Sell short when",
    "short_exit": "Cover when",
}
DEFAULTS: Mapping[str, str] = {
    "strategy": "ema_cross", "symbols": "AAPL", "period": "5y", "start": "", "end": "", "interval": "1d", "source": "",
    "cash": "10000", "size": "100%", "direction": Direction.LONG_ONLY.value, "fill": "next_open", "whole": "",
    "commission": "0", "fixed": "0", "slippage": "", "spread": "", "stop": "", "target": "", "trail": "",
    "time_stop": "", "weights": "", "every": "month", "band": "0%", "look_back": "63", "risk_free": "0%",
    "long_entry": "ema(9) crosses above ema(21)", "long_exit": "ema(9) crosses below ema(21)", "short_entry": "",
    "short_exit": "",
}  # fmt: skip
"""Every field of the form with its text at the start; the names are those of the page's address."""
ALWAYS = ("strategy", "symbols", "period", "interval", "source")
PERIODS = (*(p.value for p in Period), DATES)
INTERVALS = tuple(i.value for i in Interval)
DIRECTIONS = tuple(d.value for d in Direction)
FILLS = {"next_open": "Next open", "close": "Same close ⚠"}
WEIGHTS = {"": "Off", "equal": "Equal weights", "inverse_volatility": "Inverse volatility"}
EVERY = ("bar", "day", "week", "month", "quarter", "year")
_CHOICES: Mapping[str, Sequence[str]] = {
    "direction": DIRECTIONS, "fill": tuple(FILLS), "weights": tuple(WEIGHTS), "every": EVERY, "period": PERIODS,
    "whole": ("", ON),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Known:
    """What the texts may name: presets, the user's own strategies by their key, sources, and how a rule's text is
    read."""

    presets: Mapping[str, Preset]
    mine: Mapping[str, Strategy]
    sources: tuple[str, ...]
    parse_rule: Callable[[str], Rule]


def saved_key(name: str) -> str:
    """How a saved strategy is called in the form: by its name, with a prefix where that would be mistaken."""
    return SAVED + name if name == OWN or name.startswith((SAVED, RUN)) else name


def saved_name(key: str) -> str:
    return key.removeprefix(SAVED)


def symbols_of(text: str) -> tuple[str, ...]:
    """Tickers with commas or blanks between them, each once."""
    found = tuple(dict.fromkeys(parse_symbol(s, "symbols") for s in text.replace(",", " ").split()))
    if not found:
        raise InvalidInput("symbols", "give at least one, such as AAPL.")
    if len(found) > MOST_SYMBOLS:
        raise InvalidInput("symbols", f"{len(found)} are too many; use at most {MOST_SYMBOLS}.")
    return found


LABELS = {
    "loss": "stop loss", "atr_loss": "stop loss", "profit": "take profit", "atr_profit": "take profit",
    "trail": "trailing stop", "atr_trail": "trailing stop", "bars": "time stop", "window": "look-back",
    "risk_free": "risk-free rate", "fixed": "fee an order", "atr": "size",
}  # fmt: skip
"""What the form calls the fields that the engine names in its errors."""


def labelled(error: InvalidInput) -> InvalidInput:
    """The same error by the name that stands in the form."""
    label = LABELS.get(error.field)
    return error if label is None else InvalidInput(label, str(error).removeprefix(f"{error.field}: "))


def request_of(values: Mapping[str, str], settings: Mapping[str, str], known: Known) -> RunRequest:
    """The run that the form asks for. Raises InvalidInput, which names the field."""
    for name, allowed in (("source", ("", *known.sources)), *_CHOICES.items()):
        if values[name] not in allowed:
            raise InvalidInput(name, f"{values[name][:40]!r} is not known.", allowed=filter(None, allowed))
    symbols = symbols_of(values["symbols"])
    dates = values["period"] == DATES
    start = parse_moment(values["start"], "start") if dates else None
    end = parse_moment(values["end"], "end", last=True) if dates else None
    if dates and start is None:
        raise InvalidInput("start", "give the first day, or choose a period.")
    strategy, preset_settings = _strategy(values, settings, known)
    return RunRequest(
        strategy,
        symbols,
        period=None if dates else values["period"],
        interval=values["interval"],
        start=start,
        end=end,
        source=values["source"] or None,
        settings=preset_settings,
        cash=amount(values["cash"], "capital"),
        size=parse_size(values["size"]),
        costs=_costs(values),
        stops=_stops(values),
        direction=values["direction"],
        fill=values["fill"],
        whole_shares=values["whole"] == ON,
        risk_free=parse_fraction(values["risk_free"] or "0", "risk_free"),
        rebalance=_rebalance(values),
    )


def history_of(request: RunRequest) -> HistoryRequest:
    """The bars of the first symbol."""
    return HistoryRequest.parse(request.symbols[0], request.interval, request.period, request.start, request.end)


def _strategy(
    values: Mapping[str, str], settings: Mapping[str, str], known: Known
) -> tuple[Strategy | str, tuple[tuple[str, float], ...]]:
    key = values["strategy"]
    if key == OWN:
        rules: dict[str, Any] = {}
        for name, label in RULES.items():
            text = values[name].strip()
            try:
                rules[name] = known.parse_rule(text) if text else None
            except InvalidInput as error:
                raise InvalidInput(label, sentence(error)) from None
        made = Strategy(name=OWN_NAME, **rules)
        _has_entry(made.name, values["direction"], made.long_entry, made.short_entry)
        return made, ()
    if key in known.presets:
        preset = known.presets[key]
        filled = preset.values(dict(settings))
        _has_entry(preset.label, values["direction"], preset.long_entry, preset.short_entry)
        return key, tuple(filled.items())
    if key in known.mine:
        strategy = known.mine[key]
        _has_entry(strategy.name, values["direction"], strategy.long_entry, strategy.short_entry)
        return strategy, ()
    raise InvalidInput("strategy", f"{key[:80]!r} is neither a preset nor one of yours.", allowed=known.presets)


def _has_entry(label: str, direction: str, long_entry: object, short_entry: object) -> None:
    if not {"long_only": long_entry, "short_only": short_entry}.get(direction, "any"):
        raise InvalidInput("direction", f"{label} has no entry for {direction.replace('_', ' ')}.")


def _costs(values: Mapping[str, str]) -> Any:
    from dashtrade.backtest.request import Costs

    def optional(name: str) -> float | None:
        return parse_fraction(values[name], name) if values[name].strip() else None

    commission = parse_fraction(values["commission"] or "0", "commission")
    fixed = amount(values["fixed"] or "0", "fee for each order", least=0.0)
    return Costs(commission, optional("slippage"), optional("spread"), fixed)


def _stops(values: Mapping[str, str]) -> Stops | None:
    found: dict[str, Any] = {}
    for name, field in (("stop", "loss"), ("target", "profit"), ("trail", "trail")):
        found |= parse_distance(values[name].strip() or None, field)
    if values["time_stop"].strip():
        found["bars"] = _whole(values["time_stop"], "time stop")
    return Stops(**found) if found else None


def _rebalance(values: Mapping[str, str]) -> Any:
    from dashtrade.backtest.rebalance import Rebalance

    if not values["weights"]:
        return None
    band = parse_fraction(values["band"] or "0", "band")
    return Rebalance(values["weights"], values["every"], band, _whole(values["look_back"], "look-back"))


def _whole(text: str, name: str) -> int:
    try:
        return int(text.strip())
    except ValueError:
        raise InvalidInput(name, f"{text[:40]!r} is not a whole number of bars.") from None


def amount(text: str, name: str, least: float = 1e-9) -> float:
    """Money as people write it: ``$20,000``."""
    try:
        value = float(text.replace(",", "").replace("_", "").strip().removeprefix("$"))
    except ValueError:
        raise InvalidInput(name, f"{text[:40]!r} is not an amount of money, such as 10000.") from None
    if not least <= value < 1e12:
        raise InvalidInput(name, f"use an amount {'above 0' if least else 'of 0 or more'} and below a trillion.")
    return value
