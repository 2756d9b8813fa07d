"""What alert conditions mean, on bars whose answers are plain to see."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from alert_house import SYMBOL, hourly, last_hour

from dashtrade.domain.alerts import AlertRule, Frequency
from dashtrade.domain.market import Interval
from dashtrade.errors import InvalidInput
from dashtrade.services.alert_conditions import BarsView, check_of
from dashtrade.services.alert_engine import Group, find_firings

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
GROUP = Group(SYMBOL, Interval.H1, "")


def true_at(kind, text, bars):
    return np.flatnonzero(BarsView(bars).flags(check_of(kind, text))).tolist()


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        ("price_above", "102", [3, 4]),
        ("price_above", "price > $102", [3, 4]),
        ("price_below", "100", [1]),
        ("price_crosses_above", "102", [3]),
        ("price_crosses_below", "100", [1]),
        ("percent_move", "5", [2, 3]),
        ("percent_move", "10 over 3", [3]),
        ("rule", "close > 101 and close < 110", [2, 4]),
        ("indicator_cross", "close crosses_below 106", [4]),
    ],
)
def test_prices(kind, text, expected):
    # moves: −4 %, +6.3 %, +7.8 %, −4.5 %; over three bars: +10 %, then +9.4 %
    assert true_at(kind, text, hourly([100, 96, 102, 110, 105])) == expected


def test_volume_spike_compares_with_the_bars_before():
    bars = hourly([100] * 30)
    bars.loc[bars.index[25], "volume"] = 2500.0
    assert true_at("volume_spike", "2.5", bars) == [25]
    assert true_at("volume_spike", "2.6", bars) == []


def test_rsi_and_ema_follow_a_turn():
    bars = hourly([100 - i for i in range(30)] + [70 + 2 * i for i in range(1, 31)])
    assert true_at("rsi_level", "< 10", bars)[0] == 14 and max(true_at("rsi_level", "< 10", bars)) <= 30
    crossed = true_at("ema_cross", "5 10", bars)
    assert len(crossed) == 1 and 30 <= crossed[0] <= 36
    assert true_at("ema_cross", "5 10 above", bars) == crossed and true_at("ema_cross", "5 10 below", bars) == []


def test_near_a_level_known_from_before():
    closes = [110, 108, 106, 104, 102, 100, 102, 104, 106, 108, 110, 108, 104, 100.4, 99.5]
    # the low of 99 becomes a level five bars later; 1 % around it is 98.01 to 99.99
    assert true_at("near_level", "support 1", hourly(closes)) == [14]


def test_candles_and_chart_patterns_agree_with_the_scanners():
    from dashtrade.bootstrap import history
    from dashtrade.patterns import USUAL, candlestick_patterns, chart_patterns

    bars = history("AAPL", period="2y", source="sample")
    hits = candlestick_patterns(bars, USUAL)
    assert true_at("candlestick_pattern", "any", bars) == sorted(set(bars.index.get_indexer(hits["time"])))
    hammers = hits[hits["pattern"] == "CDLHAMMER"]["time"]
    assert true_at("pattern_detected", "hammer", bars) == bars.index.get_indexer(hammers).tolist()
    table = chart_patterns(bars)
    confirmed = table[table["confirmed_at"].notna()]
    assert len(confirmed), "no pattern was confirmed: the comparison would be empty"
    at = sorted(set(bars.index.get_indexer(pd.DatetimeIndex(confirmed["confirmed_at"]))))
    assert true_at("chart_pattern", "any", bars) == at
    name = confirmed["pattern"].iloc[0]
    first = bars.index.get_loc(confirmed["confirmed_at"].iloc[0])
    assert first in true_at("pattern_detected", name.replace("_", " "), bars)


def test_a_signal_change_is_a_difference_from_the_bar_before():
    from dashtrade.analysis import signal
    from dashtrade.bootstrap import history

    bars = history("AAPL", period="1y", source="sample")
    actions = {n: signal(bars.iloc[:n]).action.value for n in (100, 140, 180, 220, len(bars))}
    low, high = next((a, b) for a, b in pairwise(actions) if actions[a] != actions[b])
    while high - low > 1:  # to the very bar that changed it
        middle = (low + high) // 2
        actions[middle] = signal(bars.iloc[:middle]).action.value
        low, high = (low, middle) if actions[middle] != actions[low] else (middle, high)
    end, now, before = high, actions[high], actions[low]
    part = bars.iloc[:end]
    assert true_at("signal_change", "any", part)[-1] == end - 1
    assert true_at("signal_change", now, part)[-1] == end - 1
    assert end - 1 not in true_at("signal_change", before, part)


@pytest.mark.parametrize(
    ("kind", "text", "words"),
    [
        ("price_over", "1", "price_above"),
        ("price_above", "much", "a price, such as 150"),
        ("price_above", "-5", "a price"),
        ("ema_cross", "9", "two lengths"),
        ("ema_cross", "9 9", "differ"),
        ("indicator_cross", "rsi > 70", "not a cross"),
        ("rsi_level", "70", "a comparison"),
        ("near_level", "80", "less than 50"),
        ("percent_move", "0", "more than 0"),
        ("chart_pattern", "hammer", "double_bottom"),
        ("pattern_detected", "unicorn", "not a pattern"),
        ("signal_change", "maybe", "BUY"),
        ("rule", "close >", "character"),
        ("rule", "close > close[-1]", "number"),
    ],
)
def test_what_is_not_understood_is_named(kind, text, words):
    with pytest.raises(InvalidInput, match=words):
        check_of(kind, text)


def test_the_future_does_not_change_the_past():
    bars = hourly([100 + 10 * np.sin(i / 5) + i % 3 for i in range(200)])
    for kind, text in [("ema_cross", "9 21"), ("rsi_level", "> 60"), ("chart_pattern", "any"), ("near_level", "2")]:
        whole = BarsView(bars).flags(check_of(kind, text))
        for cut in (120, 160, 199):
            part = BarsView(bars.iloc[:cut]).flags(check_of(kind, text))
            assert np.array_equal(part, whole[:cut]), (kind, cut)


def fire(rule, closes, since=None, told=None, now=None):
    bars = hourly(closes)
    firings, broken = find_firings(BarsView(bars), GROUP, [rule], since, told or {}, now or datetime.now(UTC))
    assert broken == []
    return [(f.at, f.missed) for f in firings]


ABOVE = AlertRule(1, 1, SYMBOL, "price_above", "100", True, None, LONG_AGO, LONG_AGO, interval="1h")
UPS = [101, 99, 101, 102, 99, 101]  # above at 0, 2, 3, 5


@pytest.mark.parametrize(
    ("frequency", "expected"), [(Frequency.ONCE, [(0, 0)]), (Frequency.BAR, [(5, 3)]), (Frequency.EVERY, [(5, 1)])]
)
def test_how_often(frequency, expected):
    # "every" has no bar before the first one, so it cannot say that it became true there
    assert fire(replace(ABOVE, frequency=frequency), UPS) == expected


def test_only_bars_after_the_last_look_count():
    since = last_hour() - timedelta(hours=2)
    assert fire(replace(ABOVE, frequency=Frequency.BAR), UPS, since) == [(5, 0)]
    assert fire(replace(ABOVE, frequency=Frequency.BAR), UPS, last_hour()) == []


def test_bars_that_closed_before_the_rule_was_switched_on_do_not_count():
    closing = last_hour() + timedelta(hours=1) - timedelta(hours=2)  # of bar 3
    assert fire(replace(ABOVE, active_since=closing), UPS) == [(5, 0)]
    assert fire(replace(ABOVE, active_since=closing - timedelta(seconds=1)), UPS) == [(3, 0)]


def test_expiry_and_cooldown():
    closing = last_hour() + timedelta(hours=1) - timedelta(hours=2)
    bar = replace(ABOVE, frequency=Frequency.BAR)
    assert fire(replace(bar, expires_at=closing), UPS) == [(3, 2)]
    assert fire(replace(bar, expires_at=closing - timedelta(seconds=1)), UPS) == [(2, 1)]
    assert fire(replace(bar, cooldown=timedelta(hours=3)), UPS) == [(3, 1)]  # 0, then 3 hours later 3, and 5 waits
    told = {1: last_hour() - timedelta(hours=1)}
    assert fire(replace(bar, cooldown=timedelta(hours=3)), UPS, told=told) == []


def test_long_ago_is_not_told_about():
    assert fire(ABOVE, UPS, now=datetime.now(UTC) + timedelta(days=8)) == []
