"""Charts and portfolios of the public API: what they say, draw and refuse."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

import dashtrade as dt
from dashtrade.display import card_html
from dashtrade.display.plots import TimeScale, bars_plot, equity_plot, heatmap_plot, lines_plot
from dashtrade.errors import BadBars, InvalidInput


@pytest.fixture(scope="module")
def bars():
    return {s: dt.history(s, start="2010-01-01", end="2013-01-01", source="sample") for s in ("AAPL", "MSFT", "^GSPC")}


def test_a_chart_is_shown_as_widget_picture_and_text(bars):
    orders = pd.DataFrame(
        {"time": bars["AAPL"].index[[5, 9]], "side": ["buy", "sell"], "price": [30.0, 31.0], "qty": 1}
    )
    view = dt.chart(bars["AAPL"], ["ema_50", "rsi", "macd"], levels=True, patterns=True, orders=orders)
    bundle = view._repr_mimebundle_()
    assert bundle["image/svg+xml"].startswith("<svg")
    assert "application/vnd.jupyter.widget-view+json" in bundle
    assert bundle["text/plain"].startswith("<AAPL · 1d: bars")
    frame = view.to_frame()
    assert list(frame.columns[5:]) == ["ema(50)", "rsi", "macd.macd", "macd.signal", "macd.histogram"]
    pd.testing.assert_series_equal(frame["ema(50)"], dt.indicator(bars["AAPL"], "ema", window=50), check_names=False)
    widget = view.plot()
    assert [p["title"] for p in widget.panels] and len(widget.bars) == 48 * len(bars["AAPL"])
    assert {m["side"] for m in widget.markers} >= {"buy", "sell"}


def test_a_chart_refuses_what_it_cannot_draw(bars):
    with pytest.raises(InvalidInput, match="indicator: 'emma_50' is not known"):
        dt.chart(bars["AAPL"], ["emma_50"])
    with pytest.raises(InvalidInput, match="'support' is not an indicator"):
        dt.chart(bars["AAPL"], ["support"])
    with pytest.raises(InvalidInput, match="orders: there is no column side"):
        dt.chart(bars["AAPL"], orders=pd.DataFrame({"time": [], "price": [], "qty": []}))
    with pytest.raises(BadBars, match="no column volume"):
        dt.chart(bars["AAPL"].drop(columns="volume"))
    with pytest.raises(BadBars, match="too few"):
        dt.chart(bars["AAPL"].iloc[:1])


def test_a_portfolio_adds_up(bars):
    held = dt.portfolio({"aapl": 10, "MSFT": (-50, 28.0)}, bars, cash=5_000, benchmark="^GSPC")
    last = {s: float(frame["close"].iloc[-1]) for s, frame in bars.items()}
    first = float(bars["AAPL"]["close"].iloc[0])
    frame = held.to_frame()
    assert frame["value"].to_dict() == pytest.approx({"AAPL": 10 * last["AAPL"], "MSFT": -50 * last["MSFT"]})
    assert frame["unrealised"].to_dict() == pytest.approx(
        {"AAPL": 10 * (last["AAPL"] - first), "MSFT": -50 * (last["MSFT"] - 28)}, abs=1e-4
    )
    assert frame["weight"].sum() == pytest.approx(1)
    assert float(held.summary.equity) == pytest.approx(5_000 + frame["value"].sum(), abs=1e-4)
    moves = pd.DataFrame({s: bars[s]["close"].pct_change() for s in ("AAPL", "MSFT")}).iloc[1:]
    own = (moves * (frame["value"] / float(held.summary.equity))).sum(axis=1)
    assert held.equity.iloc[-1] == pytest.approx(float(np.prod(1 + own)))
    assert held.equity.iloc[0] == 1 and len(held.equity) == len(bars["AAPL"])
    assert "AAPL" in held._repr_html_() and "Beta" in held._repr_html_()
    assert held.figure().axes[0].lines[0].get_label() == "holdings"


@pytest.mark.parametrize(
    ("positions", "options", "said"),
    [
        ({}, {}, "positions: give at least one symbol"),
        ({"AAPL": 0}, {}, "the quantity of AAPL must not be 0"),
        ({"AAPL": Decimal("NaN")}, {}, "the quantity of AAPL must not be 0"),
        ({"AAPL": (1, 0)}, {}, "the average price of AAPL"),
        ({"IBM": 1}, {}, "bars: there are no bars of IBM"),
        ({"AAPL": -10}, {}, "equity must be above 0"),
        ({"AAPL": 1}, {"benchmark": "IBM"}, "there are no bars of IBM"),
        ({"AAPL": 1}, {"tail": 0.9}, "tail: use a share"),
    ],
)
def test_a_portfolio_refuses(bars, positions, options, said):
    with pytest.raises(InvalidInput, match=said):
        dt.portfolio(positions, bars, **options)


def test_text_in_a_card_is_text():
    markup = card_html("<b>x</b>", [("<i>", "<script>")], pd.DataFrame({"<u>": ["<img src=x>"]}), ["<a>"])
    for hostile in ("<b>x", "<i>", "<script>", "<u>", "<img", "<a>"):
        assert hostile not in markup


def test_a_time_scale_takes_back_what_the_browser_sends():
    scale = TimeScale()
    scale.set_state({"min": "2020-01-02T03:04:05.678Z", "max": None})
    assert (scale.min.year, scale.min.microsecond, scale.max) == (2020, 678000, None)


def test_every_plot_is_made(bars):
    closes = pd.DataFrame({s: frame["close"] for s, frame in bars.items()})
    assert len(lines_plot(closes, "Price").marks) == 3
    equity = closes["AAPL"]
    upper, lower = equity_plot(equity, equity / equity.cummax() - 1, closes["MSFT"]).children
    assert len(upper.marks) == 2 and lower.marks[0].fill == "top"
    table = pd.DataFrame([[1.0, np.nan], [2.0, 3.0]], index=pd.Index([5, 10], name="fast"), columns=[20, 30])
    assert heatmap_plot(table, "sharpe").marks[0].color.shape == (2, 2)
    assert len(bars_plot(pd.Series({"a": 1.0, "b": -1.0}), "score").marks[0].y) == 2
