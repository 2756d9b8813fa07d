"""Exports: Pine scripts against golden files that were read line by line, the alert message against the webhook's
reader."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import nbformat
import pytest

from dashtrade.domain.strategy import Stops, Strategy
from dashtrade.strategies import PRESETS, parse_condition, preset
from dashtrade.strategies.exporters import CannotExport, alert_message, to_notebook, to_pine

KNOWN = [
    "open",
    "high",
    "low",
    "close",
    "volume",
    "hl2",
    "hlc3",
    "ohlc4",
    "ta",
    "na",
    "and",
    "or",
    "not",
    "if",
    "var",
    "float",
    "true",
    "false",
    "strategy",
    "syminfo",
]
GOLDEN = Path(__file__).parent / "golden"


@pytest.mark.parametrize("key", PRESETS)
def test_presets_in_pine(key):
    assert to_pine(preset(key)) == (GOLDEN / f"{key}.pine").read_text()


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.pine")), ids=lambda p: p.stem)
def test_golden_scripts_are_sound(path):
    """Version line, one strategy call, every name defined before use, brackets closed, no series function in a
    branch."""
    text = path.read_text()
    assert text.startswith("//@version=6\nstrategy(")
    assert text.count("strategy(") == 1
    assert text.count("(") == text.count(")") and text.count("[") == text.count("]")
    known = {
        "open",
        "high",
        "low",
        "close",
        "volume",
        "hl2",
        "hlc3",
        "ohlc4",
        "ta",
        "math",
        "na",
        "and",
        "or",
        "not",
        "if",
        "var",
        "float",
        "true",
        "false",
        "strategy",
        "syminfo",
    }
    for line in text.splitlines()[3:]:
        if line.startswith("    "):
            assert "ta." not in line.replace("strategy.", "")
            continue
        target, sign, value = line.partition(" = ")
        names = re.findall(r"(?<![\w.])[A-Za-z_]\w*", re.sub(r'"[^"]*"', "", value if sign else line))
        assert set(names) <= known | {"bar_index"}, (line, set(names) - known)
        if sign:
            known |= set(re.findall(r"[A-Za-z_]\w*", target))


def test_what_pine_cannot_say_is_named():
    strategy = Strategy("x", long_entry=parse_condition("hammer and kama(10) > 3 and macd@1wk > 0"), cooldown=3)
    with pytest.raises(CannotExport) as caught:
        to_pine(strategy)
    assert set(caught.value.names) == {"hammer", "kama", "macd on a longer timeframe", "the cooldown"}


def test_stops_and_longer_timeframes_in_pine():
    strategy = Strategy(
        'a "name"', long_entry=parse_condition("ema(20)@1wk rising and close[2] < support"),
        stops=Stops(loss=0.02, profit=0.05, bars=10),
    )  # fmt: skip
    text = to_pine(strategy, direction="long_only")
    assert 'strategy("a  name ",' in text
    security = 'request.security(syminfo.tickerid, "W", (ta.ema(close, 20))[1], lookahead = barmerge.lookahead_on)'
    assert security in text
    assert "fixnan(ta.pivotlow(low, 5, 5))" in text
    assert "stop = strategy.position_avg_price * (1 - 0.02)" in text
    assert "limit = strategy.position_avg_price * (1 + 0.05)" in text
    assert "strategy.short" not in text


def test_the_alert_message_is_json_once_filled_in():
    filled = alert_message()
    values = {
        "{{strategy.order.action}}": "buy", "{{exchange}}": "NASDAQ", "{{ticker}}": "AAPL", "{{interval}}": "15",
        "{{close}}": "145.5", "{{timenow}}": "2026-01-05T15:30:00Z", "{{strategy.market_position}}": "long",
        "{{strategy.prev_market_position}}": "flat", "{{strategy.position_size}}": "7",
    }  # fmt: skip
    for gap, value in values.items():
        assert gap in filled
        filled = filled.replace(gap, value)
    assert "{{" not in filled
    payload = json.loads(filled)
    assert payload["symbol"] == "NASDAQ:AAPL" and payload["price"] == 145.5 and payload["market_position"] == "long"


def test_a_notebook_of_a_strategy():
    book = nbformat.reads(to_notebook(preset("macd")), as_version=4)
    nbformat.validate(book)
    for cell in book.cells:
        if cell.cell_type == "code":
            assert not cell.outputs
            tree = ast.parse(cell.source)
            assert not any(isinstance(n, ast.FunctionDef | ast.Lambda) for n in ast.walk(tree))
    assert "crosses_above" in json.dumps(book)
