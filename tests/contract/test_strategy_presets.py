"""What every preset strategy keeps: it trades, it does not look ahead, it round-trips, and it exports."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from dashtrade.data.sample import SampleSource
from dashtrade.domain.market import HistoryRequest
from dashtrade.strategies import PRESETS, from_dict, parse_condition, preset, signals, to_dict, to_text

RULES = ("long_entry", "long_exit", "short_entry", "short_exit")


@pytest.fixture(scope="module")
def bars() -> pd.DataFrame:
    return SampleSource().history(HistoryRequest.parse("AAPL", "1d", "5y"))


@pytest.mark.parametrize("key", PRESETS)
def test_round_trip(key):
    strategy = preset(key)
    assert from_dict(to_dict(strategy)) == strategy
    for name in RULES:
        rule = getattr(strategy, name)
        assert rule is None or parse_condition(to_text(rule)) == rule


@pytest.mark.parametrize("key", PRESETS)
def test_every_entry_becomes_true_sometime(key, bars):
    found = signals(preset(key), bars)
    assert found.long_entry.any()
    assert key == "buy_and_hold" or (found.short_entry.any() and found.long_exit.any() and found.short_exit.any())


@pytest.mark.parametrize("key", PRESETS)
def test_truncated_data_gives_the_same_decisions(key, bars):
    """A decision at a bar's close depends on nothing later."""
    whole = signals(preset(key), bars)
    for end in (150, 377, 901):
        part = signals(preset(key), bars.iloc[:end])
        for name in RULES:
            np.testing.assert_array_equal(getattr(part, name), getattr(whole, name)[:end], err_msg=name)


@pytest.mark.parametrize("key", PRESETS)
def test_defaults_lie_inside_their_ranges(key):
    for param in PRESETS[key].params:
        assert param.low <= param.default <= param.high
    assert PRESETS[key].label and PRESETS[key].description
