"""The text form, the JSON form, and what conditions mean, bar by bar."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dashtrade.domain.strategy import (
    AllOf,
    AnyOf,
    Arithmetic,
    Condition,
    NotOf,
    Number,
    Operand,
    Operator,
    Session,
    Stops,
    Strategy,
)
from dashtrade.errors import InvalidInput, UnknownOption
from dashtrade.indicators import REGISTRY, indicator
from dashtrade.strategies import (
    PRESETS,
    Operands,
    RuleSyntaxError,
    evaluate,
    from_dict,
    parse_condition,
    preset,
    signals,
    to_dict,
    to_text,
)


def frame(closes, start="2024-01-01", freq="D", **columns) -> pd.DataFrame:
    closes = np.asarray(closes, dtype=float)
    index = pd.date_range(start, periods=len(closes), freq=freq, tz="UTC", name="time")
    data = {"open": closes, "high": closes + 1, "low": closes - 1, "close": closes, "volume": 1000.0, **columns}
    return pd.DataFrame(data, index=index, dtype=float)


def true_at(text: str, bars: pd.DataFrame) -> list[int]:
    return np.flatnonzero(evaluate(parse_condition(text), Operands(bars))).tolist()


def test_a_cross_is_a_cross_and_not_a_comparison():
    bars = frame([10, 11, 12, 13, 12, 10, 11, 12, 9])
    assert true_at("close crosses_above 11", bars) == [2, 7]
    assert true_at("close > 11", bars) == [2, 3, 4, 7]
    assert true_at("close crosses below 11", bars) == [5, 8]
    assert true_at("close crosses_above close[1]", frame([3, 2, 1, 2, 3, 2, 5])) == [3, 6]


@pytest.mark.parametrize(
    ("text", "bars"),
    [
        ("close rising", [1, 2, 3, 6]),
        ("close rising 2", [2, 3]),
        ("close falling", [4]),
        ("close between 2 and 3", [1, 2, 4]),
        ("not close > 2", [0, 1]),
        ("close >= 3 and close <= 4", [2, 3, 4]),
        ("close < 2 or close > 4", [0, 6]),
        ("all(close > 1, any(close < 3, close > 4))", [1, 6]),
        ("close - close[1] > 0.5", [1, 2, 3, 6]),
        ("(close + close[1]) / 2 > 3", [3, 4, 6]),
        ("close[2] < close", [2, 3, 6]),
        ("-close < -3.5", [3, 6]),
        ("close * 2 >= 8", [3, 6]),
        ("price is above 4", [6]),
        ("close / 0 > 1", []),
    ],
)
def test_conditions_by_hand(text, bars):
    """Closes 1 2 3 4 3 3 5, worked by hand; a division by zero is undefined and so never true."""
    by_hand = frame([1, 2, 3, 4, 3, 3, 5])
    if text == "close between 2 and 3":
        bars = [1, 2, 4, 5]
    if text == "close >= 3 and close <= 4":
        bars = [2, 3, 4, 5]
    assert true_at(text, by_hand) == bars


def test_warm_up_is_neither_true_nor_its_negation():
    bars = frame(np.arange(1, 30))
    assert true_at("sma(10) > 0", bars) == list(range(9, 29))
    assert true_at("not sma(10) > 1000", bars) == list(range(9, 29))
    assert true_at("close > 0 or sma(10) > 0", bars) == list(range(29))
    assert true_at("not (close > 0 and sma(10) > 1000)", bars) == list(range(9, 29))


def test_operands_equal_the_catalogue():
    rng = np.random.default_rng(2)
    bars = frame(100 + np.cumsum(rng.normal(0, 1, 300)))
    operands = Operands(bars)
    for name, expected in {
        "ema_9": indicator(bars, "ema", window=9),
        "rsi": indicator(bars, "rsi"),
        "rsi_21": indicator(bars, "rsi", window=21),
        "macd.signal": indicator(bars, "macd")["signal"],
        "bollinger.upper": indicator(bars, "bollinger")["upper"],
        "bollinger(30, deviations=1.5).lower": indicator(bars, "bollinger", window=30, deviations=1.5)["lower"],
        "vwap": indicator(bars, "vwap").iloc[:, 0],
    }.items():
        left = parse_condition(f"{name} > 0").left
        np.testing.assert_array_equal(operands.values(left), expected.to_numpy())


def test_a_longer_timeframe_shows_completed_bars_only():
    """Three weeks of days: the close of a week is known on Monday's close of the next week at the earliest."""
    bars = frame(np.arange(1.0, 22.0), start="2024-01-01")  # a Monday
    bars.attrs["interval"] = "1d"
    values = Operands(bars).values(Operand("close", timeframe="1wk"))
    assert np.isnan(values[:6]).all()
    assert values[6:13].tolist() == [7.0] * 7  # Sunday's bar ends with the week
    assert values[13:20].tolist() == [14.0] * 7
    hours = frame(np.arange(1.0, 13.0), freq="h")
    hours.attrs["interval"] = "1h"
    four = Operands(hours).values(Operand("close", timeframe="4h"))
    assert np.isnan(four[:3]).all() and four[3:7].tolist() == [4.0] * 4 and four[7:11].tolist() == [8.0] * 4
    with pytest.raises(InvalidInput, match="longer"):
        Operands(bars).values(Operand("close", timeframe="1h"))


def test_a_swing_is_known_only_after_its_window():
    closes = [5, 4, 3, 2, 1, 2, 3, 4, 5, 6, 7]
    bars = frame(closes)
    support = Operands(bars).values(Operand("support", (("window", 3),)))
    assert np.isnan(support[:7]).all()
    assert support[7:].tolist() == [0.0] * 4  # the low of the bar whose close is 1


def test_session_filter_in_new_york_hours():
    index = pd.date_range("2024-03-08 13:00", periods=9, freq="h", tz="UTC", name="time")  # a Friday, 08:00 in New York
    bars = frame(np.arange(1, 10)).set_index(index)
    strategy = Strategy("x", long_entry=parse_condition("close > 0"), session=Session("09:30", "12:00"))
    assert np.flatnonzero(signals(strategy, bars).long_entry).tolist() == [2, 3]  # 10:00 and 11:00


@pytest.mark.parametrize(
    ("text", "position", "says"),
    [
        ("emma_9 > 3", 0, "did you mean ema"),
        ("rsi crosess_above 3", 4, "did you mean crosses_above"),
        ("close >", 7, "ends"),
        ("rsi(14", 6, "missing"),
        ("close > 3 close", 10, "and, or"),
        ("close ? 3", 6, "cannot be read"),
        ("ema(0) > 3", 0, "whole number from"),
        ("ema(9, 10) > 1", 0, "at most 1"),
        ("ema(length=9) > 1", 0, "window"),
        ("macd.foo > 1", 0, "histogram"),
        ("rsi == 3", 4, "not an operator"),
        ("close[-1] > 3", 6, "whole number of bars back"),
        ("close@2y > 3", 6, "interval"),
        ("hammer.low > 3", 0, "no outputs"),
        ("(" * 60 + "close > 1" + ")" * 60, 40, "levels"),
    ],
)
def test_errors_point_at_the_place(text, position, says):
    with pytest.raises(RuleSyntaxError, match=says) as caught:
        parse_condition(text)
    assert caught.value.position == position
    assert caught.value.field == "condition"


def test_an_unknown_indicator_lists_the_options():
    with pytest.raises(InvalidInput) as caught:
        parse_condition("nonsense > 3")
    assert {"ema", "rsi", "macd", "close"} <= set(str(caught.value).replace(",", " ").split())
    with pytest.raises(UnknownOption, match="ema_cross"):
        preset("nonsense")


@pytest.mark.parametrize("text", ["", "   ", None, "x" * 5000])
def test_empty_and_endless_texts(text):
    with pytest.raises(InvalidInput):
        parse_condition(text)


OPERANDS = st.builds(
    Operand,
    st.sampled_from(["close", "open", "volume", "ema", "rsi", "atr"]),
    st.just(()),
    st.none(),
    st.integers(0, 5),
    st.sampled_from([None, "1wk", "1mo"]),
) | st.builds(lambda n: Operand("ema", (("window", n),)), st.integers(21, 400))
NUMBERS = st.builds(Number, st.floats(-1e6, 1e6).map(lambda x: round(x, 4) + 0.0))
EXPRESSIONS = st.recursive(
    OPERANDS | NUMBERS, lambda inner: st.builds(Arithmetic, st.sampled_from("+-*/"), inner, inner), max_leaves=4
)
COMPARISONS = [o for o in Operator if o not in {Operator.BETWEEN, Operator.RISING, Operator.FALLING, Operator.OCCURS}]
CONDITIONS = (
    st.builds(Condition, EXPRESSIONS, st.sampled_from(COMPARISONS), EXPRESSIONS)
    | st.builds(Condition, EXPRESSIONS, st.just(Operator.BETWEEN), EXPRESSIONS, EXPRESSIONS)
    | st.builds(
        lambda e, o, n: Condition(e, o, bars=n),
        EXPRESSIONS,
        st.sampled_from([Operator.RISING, Operator.FALLING]),
        st.integers(1, 9),
    )
    | st.builds(lambda n: Condition(Operand(n), Operator.OCCURS), st.sampled_from(["hammer", "bullish_engulfing"]))
)
RULES = st.recursive(
    CONDITIONS,
    lambda inner: st.builds(NotOf, inner)
    | st.builds(AllOf, st.lists(inner, min_size=1, max_size=3).map(tuple))
    | st.builds(AnyOf, st.lists(inner, min_size=1, max_size=3).map(tuple)),
    max_leaves=6,
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(RULES)
def test_text_gives_the_same_rule_back(rule):
    assert parse_condition(to_text(rule)) == rule


@settings(max_examples=100, deadline=None)
@given(RULES, RULES, st.integers(0, 9))
def test_json_gives_the_same_strategy_back(entry, leave, cooldown):
    strategy = Strategy(
        "mine", long_entry=entry, long_exit=leave, cooldown=cooldown, stops=Stops(loss=0.02, atr_trail=3.0),
        session=Session(days=(0, 2)), description="x",
    )  # fmt: skip
    assert from_dict(to_dict(strategy)) == strategy


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="emarsicloe_ 0123456789.()[]<>=@,+-*/andort", max_size=40))
def test_any_text_is_a_rule_or_a_clear_error(text):
    try:
        parse_condition(text)
    except InvalidInput as error:
        assert str(error).startswith("condition")


def test_json_from_elsewhere_is_checked():
    good = to_dict(preset("ema_cross"))
    for wrong, says in (
        ({**good, "format": 9}, "another version"),
        ({**good, "colour": 1}, "unknown entries colour"),
        ({**good, "long_entry": "foo > 1"}, "foo"),
        ({**good, "stops": {"lost": 1}}, "stops"),
        ({**good, "name": ""}, "name"),
        ([], "object"),
    ):
        with pytest.raises(InvalidInput, match=says):
            from_dict(wrong)


def test_every_catalogue_entry_can_stand_in_a_condition():
    bars = frame(100 + np.cumsum(np.random.default_rng(1).normal(0, 1, 120)))
    bars["high"] += 1
    operands = Operands(bars)
    for key, entry in REGISTRY.items():
        for output in entry.outputs:
            rule = parse_condition(f"{key}.{output} > 0")
            assert evaluate(rule, operands).shape == (120,)


def test_preset_settings_are_checked():
    with pytest.raises(InvalidInput, match=r"ema_cross.fast"):
        preset("ema_cross", fast=1)
    with pytest.raises(InvalidInput, match="below slow"):
        preset("ema_cross", fast=30, slow=20)
    with pytest.raises(InvalidInput, match="not a setting"):
        preset("ema_cross", speed=3)
    assert len(PRESETS) >= 13


MANY = [
    ["ema_9 crosses_above ema_21", "ema_5 crosses_above ema_50", "ema_9 crosses_above ema_50"],
    ["rsi < 30", "rsi < 40", "rsi < 50"],
    ["rsi between 30 and 60 and close > sma_20", "rsi between 20 and 70 and close > sma_50"],
    ["not (rsi < 30) or macd.histogram rising 2", "not (rsi < 45) or macd.histogram rising 2"],
    ["close > sma_20 and close > sma_30", "close > sma_20 and close > sma_200", "close > sma_20 and rsi > 55"],
    ["close > sma_20", "rsi < 30 or close < sma_20", "hammer"],
    ["not (close > sma_200)", "not (rsi < 30 and close > 1)"],
    ["close rising 2", "close rising 3"],
    ["hammer", "hammer"],
]


@pytest.mark.parametrize("texts", MANY)
def test_many_rules_at_once_are_each_alone(texts):
    from dashtrade.strategies import evaluate_many

    rng = np.random.default_rng(8)
    closes = 50 * np.exp(np.cumsum(rng.normal(0, 0.02, 300)))
    closes[120] = np.nan
    frame = pd.DataFrame(
        {"open": closes * 0.995, "high": closes * 1.01, "low": closes * 0.97, "close": closes, "volume": 1e6},
        index=pd.date_range("2020-01-01", periods=300, freq="D", tz="UTC"),
    )
    rules = [parse_condition(text) for text in texts]
    alone = [evaluate(rule, Operands(frame)) for rule in rules]
    np.testing.assert_array_equal(evaluate_many(rules, Operands(frame)), alone)
    np.testing.assert_array_equal(evaluate_many([None, *rules], Operands(frame)), [np.zeros(300, dtype=bool), *alone])
