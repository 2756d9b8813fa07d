"""What every result of the public API keeps: it cannot be changed, and shows itself short, as a card and as a table."""

from __future__ import annotations

import inspect
import subprocess
import sys
from dataclasses import FrozenInstanceError, fields, replace

import pandas as pd
import pytest

import dashtrade as dt
from dashtrade.backtest import BacktestRequest, Windows, charts
from dashtrade.backtest.evidence import evidence


@pytest.fixture(scope="module")
def results():
    bars = {symbol: dt.history(symbol, period="5y", source="sample") for symbol in ("AAPL", "IBM")}
    request = BacktestRequest("ema_cross", {"AAPL": bars["AAPL"]})
    tested = dt.backtest(request)
    return {
        "backtest": tested,
        "evidence": evidence(tested),
        "sweep": dt.sweep(request, {"fast": [5, 9], "slow": [20, 30]}),
        "walk_forward": dt.walk_forward(request, {"fast": [5, 9]}, Windows(train=378, test=200)),
        "compare": dt.compare(["AAPL", "IBM"], source="sample"),
        "portfolio": dt.portfolio({"AAPL": 5}, bars),
        "signal": dt.signal(bars["AAPL"]),
        "analyze": dt.analyze(bars["AAPL"]),
        "chart": dt.chart(bars["AAPL"], ["rsi"]),
    }


NAMES = ("backtest", "evidence", "sweep", "walk_forward", "compare", "portfolio", "signal", "analyze", "chart")


@pytest.mark.parametrize("name", NAMES)
def test_a_result_is_frozen_and_shows_itself(name, results):
    result = results[name]
    first = fields(result)[0].name
    with pytest.raises(FrozenInstanceError):
        setattr(result, first, None)
    text = repr(result)
    assert text.startswith("<") and len(text) < 700 and "\n" not in text
    assert result._repr_html_().startswith("<div")
    assert isinstance(result.to_frame(), pd.DataFrame) and len(result.to_frame())
    picture = result.figure()
    assert picture.axes, "a figure for reports"
    assert not [a for a in vars(type(result)) if a.startswith("to_") and not callable(getattr(result, a))]


def test_completion_shows_what_matters():
    assert set(dir(dt)) == set(dt.__all__)
    for name in ("backtest", "indicators", "portfolio"):
        module = getattr(dt, name)
        assert dir(module) == sorted(module.__all__)
        assert name in dir(module) and not [word for word in dir(module) if word.startswith("_")]
    assert dt.backtest.request.BacktestRequest is dt.BacktestRequest, "what is hidden is there by its name"
    assert list(inspect.signature(dt.portfolio).parameters)[:2] == ["positions", "bars"]


def test_an_unknown_public_name_says_so_and_importing_stays_light():
    with pytest.raises(AttributeError, match="no attribute 'backtset'"):
        dt.backtset  # noqa: B018
    code = "import sys, dashtrade; dir(dashtrade); print('pandas' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "False"


def test_a_charts_description_is_text(results):
    chart = charts.equity_chart(results["backtest"])
    hostile = replace(chart, description='"><img src=x onerror=alert(1)>')
    assert "<img" not in hostile._repr_html_() and "&lt;img" in hostile._repr_html_()
