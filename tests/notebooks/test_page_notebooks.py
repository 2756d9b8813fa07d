"""Notebooks that pages hand out make the page's numbers again: same hashes, from a clean namespace."""

from __future__ import annotations

import json
from dataclasses import replace

import nbformat
import pytest

import dashtrade as dt
from dashtrade.backtest import BacktestRequest, Cash, Costs, Percent, Rebalance, RiskPercent, Shares, Stops
from dashtrade.pages.strategies.exports import make_export
from dashtrade.portfolio import compare
from dashtrade.portfolio.request import Compared, CompareRequest
from dashtrade.services.open_notebook import backtest_notebook, comparison_notebook, comparison_numbers
from dashtrade.strategies import Strategy, parse_condition


@pytest.fixture(scope="module")
def bars():
    return {symbol: dt.history(symbol, period="5y", source="sample") for symbol in ("AAPL", "IBM", "MSFT")}


def ran(text: str) -> dict[str, object]:
    """Runs the code cells one after the other; the answer of the comparing cell is under ``answer``."""
    book = nbformat.reads(text, as_version=4)
    nbformat.validate(book)
    space: dict[str, object] = {}
    for cell in book.cells:
        if cell.cell_type == "code" and ".compare(\n" in cell.source:
            space["answer"] = eval(cell.source, space)
        elif cell.cell_type == "code":
            exec(cell.source, space)
    return space


OWN = Strategy(
    name='Band\'s "own"',
    long_entry=parse_condition("close < bollinger.lower and rsi < 40"),
    long_exit=parse_condition("close > bollinger.middle"),
    short_entry=parse_condition("close > bollinger.upper"),
    short_exit=parse_condition("close < bollinger.middle"),
    cooldown=2,
)
CASES = {
    "plain preset": (("AAPL",), {"strategy": "ema_cross"}),
    "all settings": (
        ("AAPL", "IBM"),
        {
            "strategy": OWN, "cash": 50_000.0, "size": RiskPercent(0.5, 3.0), "direction": "long_short",
            "fill": "close", "share_cash": False, "whole_shares": True, "risk_free": 0.02, "seed": 7,
            "stops": Stops(atr_loss=2.0, profit=0.2, bars=30),
            "costs": Costs(commission=0.001, slippage=0.0003, spread=0.0002, fixed=1.0),
        },
    ),
    "money": (("IBM", "AAPL"), {"strategy": "rsi_reversal", "size": Cash(2500)}),
    "shares": (("IBM",), {"strategy": "macd", "size": Shares(20), "stops": Stops(trail=0.08)}),
    "rebalanced": (
        ("AAPL", "IBM", "MSFT"),
        {"strategy": "ema_cross", "size": Percent(90), "rebalance": Rebalance("inverse_volatility", "week", 0.02, 40)},
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_a_backtests_notebook_gives_the_pages_orders(case, bars):
    symbols, settings = CASES[case]
    request = BacktestRequest(bars={symbol: bars[symbol] for symbol in symbols}, **settings)
    result = dt.backtest(request)
    assert len(result.orders) > 2
    text = backtest_notebook(request, result, source="sample", interval="1d", start=None, end=None)
    assert text == backtest_notebook(request, result, source="sample", interval="1d", start=None, end=None)
    made = ran(text)
    again = made["result"].provenance
    for name in ("result_hash", "bars_hash", "request_hash"):
        assert again[name] == result.provenance[name], name
    assert result.provenance["result_hash"] in made["answer"] and "same" in made["answer"]
    assert result.provenance["bars_hash"] in json.loads(text)["cells"][1]["source"][2]


def test_a_strategys_notebook_gives_the_orders_whose_hashes_the_page_shows(bars):
    shown = make_export("notebook", replace(OWN, size="$2000"), "IBM", "5y", "1d", bars["IBM"])
    made = ran(shown.text)
    assert len(made["result"].orders) > 2 and made["request"].size == Cash(2000.0)
    assert set(made["result"].orders["side"]) == {"buy", "sell"} and str(made["request"].direction) == "long_short"
    assert made["result"].provenance["result_hash"] in shown.hint and "same" in made["answer"]
    assert made["result"].provenance["bars_hash"] in shown.hint


def test_a_changed_setting_is_told(bars):
    request = BacktestRequest("ema_cross", {"AAPL": bars["AAPL"]}, costs=Costs(commission=0.001))
    text = backtest_notebook(request, dt.backtest(request), source="sample", interval="1d", start=None, end=None)
    assert "commission=0.001" in text
    assert "the results are not" in ran(text.replace("commission=0.001", "commission=0.02"))["answer"]


def test_a_comparisons_notebook_gives_the_pages_figures(bars):
    request = CompareRequest.parse("AAPL, IBM", "MSFT", "5y", "1d", "sample")
    compared = Compared(request, compare(bars, "MSFT"), {s: dict(f.attrs) for s, f in bars.items()})
    numbers = comparison_numbers(compared.comparison)
    text = comparison_notebook(compared, {"sharpe": 2.0, "volatility": 1.0}, 120)
    assert numbers.data_hash in text and numbers.result_hash in text and "sharpe" in text
    made = ran(text)
    assert comparison_numbers(made["found"]) == numbers
    assert numbers.result_hash in made["answer"]
    other = ran(text.replace("benchmark='MSFT'", "benchmark='IBM'"))["answer"]
    assert "the results are not" in other
