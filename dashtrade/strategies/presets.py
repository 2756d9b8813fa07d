"""Ready strategies with their settings. A preset is text with named gaps, so it can be read, swept and exported like
any rule."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from dashtrade.domain.strategy import Rule, Stops, Strategy
from dashtrade.errors import InvalidInput
from dashtrade.registry import Registry
from dashtrade.strategies.parser import parse_condition

_RULES = ("long_entry", "long_exit", "short_entry", "short_exit")


@dataclass(frozen=True, slots=True)
class PresetParam:
    """One setting with its default and the range in which it makes sense."""

    name: str
    default: float
    low: float
    high: float
    step: float = 1

    @property
    def whole(self) -> bool:
        return float(self.default).is_integer() and float(self.step).is_integer()

    def checked(self, preset: str, value: object) -> float:
        try:
            number = float(value)  # type: ignore[arg-type]
        except (TypeError, ValueError):
            number = float("nan")
        if not self.low <= number <= self.high or (self.whole and not number.is_integer()):
            kind = "a whole number" if self.whole else "a number"
            raise InvalidInput(
                f"{preset}.{self.name}", f"{value!r} is not allowed; use {kind} from {self.low:g} to {self.high:g}."
            )
        return int(number) if self.whole else number


@dataclass(frozen=True, slots=True)
class Preset:
    """A strategy with gaps: ``build(fast=9)`` fills them in, with the defaults for the rest."""

    key: str
    label: str
    description: str
    params: tuple[PresetParam, ...]
    long_entry: str
    long_exit: str = ""
    short_entry: str = ""
    short_exit: str = ""
    stops: Stops = field(default_factory=Stops)
    ordered: tuple[tuple[str, str], ...] = ()
    """Pairs of settings of which the first must stay below the second."""

    def values(self, given: Mapping[str, object]) -> dict[str, float]:
        known = {p.name: p for p in self.params}
        for name in given:
            if name not in known:
                raise InvalidInput(f"{self.key}.{name}", "is not a setting of this strategy.", allowed=known)
        values = {name: p.checked(self.key, given.get(name, p.default)) for name, p in known.items()}
        for first, second in self.ordered:
            if values[first] >= values[second]:
                raise InvalidInput(
                    f"{self.key}.{first}", f"({values[first]:g}) must be below {second} ({values[second]:g})."
                )
        return values

    def build(self, **given: object) -> Strategy:
        values = self.values(given)

        def rule(text: str) -> Rule | None:
            return parse_condition(text.format(**values)) if text else None

        return Strategy(
            name=self.key,
            long_entry=rule(self.long_entry),
            long_exit=rule(self.long_exit),
            short_entry=rule(self.short_entry),
            short_exit=rule(self.short_exit),
            stops=self.stops,
            family=self.key,
            description=self.describe(values),
        )

    def describe(self, values: Mapping[str, float]) -> str:
        """The description with all settings."""
        text = ", ".join(f"{k}={v:g}" for k, v in values.items())
        return f"{self.description} ({text})" if text else self.description

    def settings_of(self, strategy: Strategy) -> dict[str, float] | None:
        """With which settings a strategy is this preset; None where its rules are others. Stops and filters may
        differ."""
        known = {p.name: p for p in self.params}
        given: dict[str, object] = {}
        for part in strategy.description.rpartition("(")[2].rstrip(")").split(", "):
            name, sign, text = part.partition("=")
            if sign and name in known:
                given[name] = text
        try:
            values = self.values(given)
        except InvalidInput:
            return None
        built = self.build(**values)
        same = all(getattr(built, n) == getattr(strategy, n) for n in _RULES)
        return values if same else None


PRESETS: Registry[Preset] = Registry("strategy")


def _add(key: str, label: str, description: str, params: tuple[PresetParam, ...], **rules: object) -> None:
    PRESETS.register(key, Preset(key, label, description, params, **rules))  # type: ignore[arg-type]


def preset(key: str, **values: object) -> Strategy:
    """The preset strategy ``key`` with these settings; UnknownOption lists the presets."""
    return PRESETS[key].build(**values)


def with_stops(strategy: Strategy, stops: Stops) -> Strategy:
    """The same strategy with these stops where they are given, its own elsewhere."""
    default = Stops()
    changes = {n: getattr(stops, n) for n in Stops.__slots__ if getattr(stops, n) != getattr(default, n)}
    for first, second in (("loss", "atr_loss"), ("profit", "atr_profit"), ("trail", "atr_trail")):
        if first in changes or second in changes:
            changes.setdefault(first, None)
            changes.setdefault(second, None)
    return replace(strategy, stops=replace(strategy.stops, **changes))


_P = PresetParam
_MACD = "macd(fast={fast}, slow={slow}, signal={signal})"
_TREND = "supertrend(window={window}, factor={factor})"
_QQE = "qqe(window={window}, smooth={smoothing}, factor={factor})"
_FAST, _SLOW = _P("fast", 9, 2, 200), _P("slow", 21, 3, 400)

_add(
    "ema_cross", "EMA cross", "The fast exponential average crosses the slow one", (_FAST, _SLOW),
    long_entry="ema({fast}) crosses_above ema({slow})",
    long_exit="ema({fast}) crosses_below ema({slow})",
    short_entry="ema({fast}) crosses_below ema({slow})",
    short_exit="ema({fast}) crosses_above ema({slow})",
    ordered=(("fast", "slow"),),
)  # fmt: skip
_add(
    "sma_cross", "SMA cross", "The fast simple average crosses the slow one",
    (_P("fast", 20, 2, 200), _P("slow", 50, 3, 400)),
    long_entry="sma({fast}) crosses_above sma({slow})",
    long_exit="sma({fast}) crosses_below sma({slow})",
    short_entry="sma({fast}) crosses_below sma({slow})",
    short_exit="sma({fast}) crosses_above sma({slow})",
    ordered=(("fast", "slow"),),
)  # fmt: skip
_add(
    "ma_cloud", "Moving-average cloud", "Price and the quick average stand above (below) the cloud of EMA and SMA 20",
    (_P("fast", 4, 2, 50), _P("slow", 20, 5, 200)),
    long_entry="ema({fast}) > ema({slow}) and ema({fast}) > sma({slow}) and close > ema({fast})",
    long_exit="ema({fast}) < ema({slow}) or close < sma({slow})",
    short_entry="ema({fast}) < ema({slow}) and ema({fast}) < sma({slow}) and close < ema({fast})",
    short_exit="ema({fast}) > ema({slow}) or close > sma({slow})",
    ordered=(("fast", "slow"),),
)  # fmt: skip
_add(
    "rsi_reversal", "RSI reversion", "Buys as RSI comes back from oversold, sells as it comes back from overbought",
    (_P("window", 14, 2, 100), _P("low", 30, 1, 49), _P("high", 70, 51, 99)),
    long_entry="rsi({window}) crosses_above {low}",
    long_exit="rsi({window}) crosses_below {high}",
    short_entry="rsi({window}) crosses_below {high}",
    short_exit="rsi({window}) crosses_above {low}",
)  # fmt: skip
_add(
    "macd", "MACD", "The MACD line crosses its signal line",
    (_P("fast", 12, 2, 100), _P("slow", 26, 3, 200), _P("signal", 9, 2, 100)),
    long_entry=f"{_MACD} crosses_above {_MACD}.signal",
    long_exit=f"{_MACD} crosses_below {_MACD}.signal",
    short_entry=f"{_MACD} crosses_below {_MACD}.signal",
    short_exit=f"{_MACD} crosses_above {_MACD}.signal",
    ordered=(("fast", "slow"),),
)  # fmt: skip
_add(
    "bollinger", "Bollinger reversion", "Buys as the close comes back into the bands, leaves at the middle",
    (_P("window", 20, 5, 200), _P("width", 2.0, 0.5, 5, 0.25)),
    long_entry="close crosses_above bollinger(window={window}, deviations={width}).lower",
    long_exit="close >= bollinger(window={window}, deviations={width}).middle",
    short_entry="close crosses_below bollinger(window={window}, deviations={width}).upper",
    short_exit="close <= bollinger(window={window}, deviations={width}).middle",
)  # fmt: skip
_add(
    "donchian", "Donchian breakout", "The close leaves the channel of the last bars; the exit is the shorter channel",
    (_P("entry", 20, 5, 250), _P("exit", 10, 2, 125)),
    long_entry="close > donchian({entry}).upper[1]",
    long_exit="close < donchian({exit}).lower[1]",
    short_entry="close < donchian({entry}).lower[1]",
    short_exit="close > donchian({exit}).upper[1]",
    ordered=(("exit", "entry"),),
)  # fmt: skip
_add(
    "supertrend", "Supertrend", "The close crosses the Supertrend line",
    (_P("window", 10, 2, 100), _P("factor", 3.0, 0.5, 10, 0.5)),
    long_entry=f"close > {_TREND} and close[1] <= {_TREND}[1]",
    long_exit=f"close < {_TREND}",
    short_entry=f"close < {_TREND} and close[1] >= {_TREND}[1]",
    short_exit=f"close > {_TREND}",
)  # fmt: skip
_add(
    "momentum_breakout", "Momentum breakout", "A new high with rising momentum and volume above its average",
    (_P("window", 50, 5, 250), _P("rsi", 60, 50, 90)),
    long_entry="close >= donchian({window}).upper and rsi > {rsi} and volume > volume[1]",
    long_exit="close < ema({window})",
    short_entry="close <= donchian({window}).lower and rsi < 100 - {rsi} and volume > volume[1]",
    short_exit="close > ema({window})",
    stops=Stops(atr_trail=3.0),
)  # fmt: skip
_add(
    "trend_following", "Trend following", "Above the long average with a strong trend by ADX, a trailing ATR stop",
    (_P("window", 100, 20, 400), _P("adx", 20, 10, 50)),
    long_entry="close > ema({window}) and adx > {adx} and ema({window}) rising",
    long_exit="close < ema({window})",
    short_entry="close < ema({window}) and adx > {adx} and ema({window}) falling",
    short_exit="close > ema({window})",
    stops=Stops(atr_trail=4.0),
)  # fmt: skip
_add(
    "mean_reversion", "Mean reversion",
    "A short-term low inside a long-term rise: quick RSI below the limit, above the long average",
    (_P("window", 2, 2, 10), _P("low", 10, 1, 40), _P("trend", 200, 20, 400)),
    long_entry="rsi({window}) < {low} and close > sma({trend})",
    long_exit="close > sma(5)",
    short_entry="rsi({window}) > 100 - {low} and close < sma({trend})",
    short_exit="close < sma(5)",
)  # fmt: skip
_add(
    "qqe", "QQE", "The smoothed RSI crosses its trailing band",
    (_P("window", 14, 2, 100), _P("smoothing", 5, 2, 50), _P("factor", 4.238, 0.5, 10, 0.1)),
    long_entry=f"{_QQE} crosses_above {_QQE}.signal",
    long_exit=f"{_QQE} crosses_below {_QQE}.signal",
    short_entry=f"{_QQE} crosses_below {_QQE}.signal",
    short_exit=f"{_QQE} crosses_above {_QQE}.signal",
)  # fmt: skip
_add(
    "fast_qqe", "Fast QQE", "The quick QQE (8, 3, 3.2): the smoothed RSI crosses its trailing band",
    (_P("window", 8, 2, 100), _P("smoothing", 3, 2, 50), _P("factor", 3.2, 0.5, 10, 0.1)),
    **{k: getattr(PRESETS["qqe"], k) for k in ("long_entry", "long_exit", "short_entry", "short_exit")},
)  # fmt: skip
_add("buy_and_hold", "Buy and hold", "Buys at the first chance and keeps it", (), long_entry="close > 0")
