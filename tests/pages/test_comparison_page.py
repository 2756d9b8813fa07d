"""The comparison page's model and view over the real service; bars from a fake source."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import pytest

from dashtrade.domain.market import HistoryRequest
from dashtrade.errors import NotFound, SourceUnreachable, UnknownSymbol
from dashtrade.pages.comparison.model import ComparisonModel, ComparisonServices
from dashtrade.pages.comparison.view import ComparisonView
from dashtrade.pages.widgets.heatmap import heatmap_html
from dashtrade.pages.widgets.lines import look_of, round_steps
from dashtrade.services.open_notebook import comparison_notebook, comparison_numbers
from dashtrade.services.portfolio import run_comparison, whence

MakeBars = Callable[..., pd.DataFrame]


class House:
    """The page over a source that can be told to fail."""

    def __init__(self, make_bars: MakeBars) -> None:
        self.make_bars = make_bars
        self.asked: list[tuple[HistoryRequest, str | None]] = []
        self.kept: list[Mapping[str, str]] = []
        self.errors: dict[str, Exception] = {}
        services = ComparisonServices(
            compare=lambda request, **kw: run_comparison(self, request, **kw),
            check=lambda request, source: None,
            sources=("yahoo", "sample"),
            remember=self.kept.append,
            write=comparison_notebook,
            numbers=comparison_numbers,
            whence=whence,
        )
        self.model = ComparisonModel(services)
        self.view = ComparisonView(self.model)

    def history(self, request: HistoryRequest, source: str | None = None) -> pd.DataFrame:
        self.asked.append((request, source))
        if request.symbol in self.errors and source != "sample":
            raise self.errors[request.symbol]
        bars = self.make_bars(300)
        noise = np.random.default_rng(sum(map(ord, request.symbol))).normal(0.001, 0.02, len(bars))
        bars["close"] = 50 * np.cumprod(1 + noise)
        bars.attrs.update(symbol=request.symbol, source=source or "yahoo")
        return bars

    def compare(self, symbols: str, **texts: str) -> None:
        for name, text in texts.items():
            getattr(self.view, name).value = text
        self.view.symbols.value = symbols


@pytest.fixture
def house(make_bars: MakeBars) -> House:
    return House(make_bars)


def test_an_empty_page_says_what_to_do_without_a_warning(house: House) -> None:
    assert "dt-hidden" not in house.view.empty._dom_classes and "dt-hidden" in house.view.result._dom_classes
    assert house.view.load.disabled and house.view.blocker.value == "" and house.asked == []


def test_symbols_typed_are_fetched_and_drawn_from_100(house: House) -> None:
    house.compare("msft, aapl;ibm")
    assert [request.symbol for request, _ in house.asked] == ["MSFT", "AAPL", "IBM"]
    lines = house.view.lines.figure.marks
    assert [line.labels[0] for line in lines] == ["MSFT", "AAPL", "IBM"]
    closes = house.history(HistoryRequest.parse("AAPL"))["close"].to_numpy()
    assert lines[1].y[0] == pytest.approx(100) and lines[1].y[-1] == pytest.approx(closes[-1] / closes[0] * 100)
    assert house.view.symbols.value == "MSFT, AAPL, IBM" and house.view.benchmark.value == "MSFT"
    assert house.kept[-1] == {"symbols": "MSFT,AAPL,IBM", "benchmark": "MSFT", "period": "1y", "interval": "1d",
                              "source": ""}  # fmt: skip


def test_a_benchmark_that_is_not_listed_is_added(house: House) -> None:
    house.compare("AAPL", benchmark="SPY")
    assert house.model.result.comparison.symbols == ("AAPL", "SPY")
    house.view.tabs["strength"].click()
    assert [line.labels[0] for line in house.view.lines.figure.marks] == ["AAPL"]
    assert house.view.shell.query.endswith("tab=strength")


def test_each_tab_shows_its_reading_and_hides_the_others(house: House) -> None:
    house.compare("AAPL,IBM")
    view, boxes = house.view, {}
    for tab in view.tabs:
        view.tabs[tab].click()
        parts = {"heat": view.heatmap_box, "lines": view.lines_box, "dots": view.scatter_box, "rank": view.ranking_box}
        boxes[tab] = {name for name, box in parts.items() if "dt-hidden" not in box._dom_classes}
    assert boxes == {"normalised": {"lines"}, "strength": {"lines"}, "correlation": {"heat", "lines"},
                     "risk": {"dots"}, "drawdowns": {"lines"}, "ranking": {"rank"}}  # fmt: skip
    statistics = house.model.result.comparison.statistics
    assert list(view.scatter.points.names) == ["AAPL", "IBM"]
    np.testing.assert_allclose(view.scatter.points.x, statistics["volatility"])


def test_weights_change_the_ranking_without_loading_again(house: House) -> None:
    house.compare("AAPL,IBM,GOOG")
    house.view.tabs["ranking"].click()
    asked = len(house.asked)
    for key, control in house.view.weights.controls.items():
        control.value = "1" if key == "volatility" else "0"
    house.view.rank.click()
    statistics = house.model.result.comparison.statistics
    assert [row["id"] for row in house.view.table.rows] == list(statistics["volatility"].sort_values().index)
    assert house.view.table.rows[0]["score"] == 100 and house.view.table.rows[2]["score"] == 0
    assert house.kept[-1]["weights"] == "volatility:1" and len(house.asked) == asked
    house.view.weights.controls["volatility"].value = "0"
    house.view.rank.click()
    assert "at least one" in house.view.messages.text and house.kept[-1]["weights"] == "volatility:1"
    house.view.reset.click()
    assert "weights" not in house.kept[-1] and house.view.weights.controls["sharpe"].value == "2"


def test_what_is_shown_is_saved_as_a_notebook_with_its_hashes(house: House) -> None:
    with pytest.raises(NotFound, match="Compare"):
        house.model.notebook()
    house.compare("AAPL,IBM", benchmark="SPY")
    sent: list[dict[str, Any]] = []
    house.view.download.send = lambda content, *_: sent.append(content)
    house.view.notebook.click()
    assert sent[0]["name"].startswith("comparison-AAPL-IBM-SPY-") and sent[0]["name"].endswith(".ipynb")
    numbers = comparison_numbers(house.model.result.comparison)
    for digest in (numbers.data_hash, numbers.result_hash):
        assert digest in sent[0]["text"] and digest in house.view.hashes.value
    assert "source='yahoo'" in sent[0]["text"] and "benchmark='SPY'" in sent[0]["text"]
    house.compare("AAPL,GOOG")
    assert "dt-hidden" in house.view.hashes._dom_classes, "they are of what was shown before"


def test_a_symbol_that_nobody_knows_is_left_out_and_said(house: House) -> None:
    house.errors["NOPE"] = UnknownSymbol("yahoo", "It knows no NOPE.")
    house.compare("AAPL,NOPE,IBM")
    assert house.model.result.comparison.symbols == ("AAPL", "IBM")
    assert "Left out: It knows no NOPE." in house.view.messages.text
    house.compare("NOPE,AAPL", benchmark="NOPE")
    assert "knows no NOPE" in house.view.messages.text and "Left out" not in house.view.messages.text


def test_a_source_that_is_away_offers_sample_data(house: House) -> None:
    house.errors["AAPL"] = SourceUnreachable("yahoo", "It cannot be reached.")
    house.compare("AAPL,IBM")
    assert house.model.result is None and house.view.messages.action.description == "Show sample data"
    house.view.messages.action.click()
    assert house.model.result.comparison.symbols == ("AAPL", "GOOG", "IBM", "MSFT")
    assert {source for _, source in house.asked[-4:]} == {"sample"} and "Sample data" in house.view.head.value


def test_the_address_is_taken_up_and_what_is_wrong_in_it_is_said(house: House) -> None:
    house.model.restore({"symbols": "AAPL,IBM", "tab": "correlation", "window": "20", "weights": "sharpe:3"})
    house.model.load()
    assert (house.model.tab, house.model.window, house.model.weights) == ("correlation", 20, {"sharpe": 3.0})
    assert "AAPL and IBM" in house.view.heatmap.value
    for wrong in ({"tab": "x"}, {"window": "7"}, {"weights": "sharpe"}, {"weights": "x:1"}, {"source": "<b>"}):
        house.model.restore(wrong)
        assert "Allowed" in house.view.messages.text and "<b>" not in house.view.messages.text.split("</b>")[1]


def test_what_was_wrong_in_the_address_stays_said_beside_the_first_result(house: House) -> None:
    house.model.restore({"symbols": "AAPL,IBM", "window": "-4"})
    house.model.load()
    assert house.model.result is not None and "is not offered" in house.view.messages.text
    house.model.load()
    assert house.model.message is None


@pytest.mark.parametrize(
    ("symbols", "said"), [("AAPL", "2 to 20"), ("AAPL,<i>", "not a ticker"), (",".join("ABCDEFGHIJKLMNOPQRSTU"), "20")]
)
def test_what_blocks_is_said_and_nothing_is_asked(house: House, symbols: str, said: str) -> None:
    house.compare(symbols)
    assert said in house.view.blocker.value and "<i>" not in house.view.blocker.value
    assert house.view.load.disabled and house.asked == []


def test_a_cancelled_comparison_stops_asking(house: House) -> None:
    waiting: list[Any] = []
    house.model._background = lambda work, done: waiting.append(work)
    house.compare("AAPL,IBM")
    house.view.progress.cancel.click()
    with pytest.raises(Exception, match="cancelled"):
        waiting[0](lambda call: call())
    assert house.asked == [] and not house.model.busy


def test_a_forming_bar_is_not_compared(house: House, make_bars: MakeBars) -> None:
    house.make_bars = lambda n: make_bars(n, last_bar_closed=False)
    house.compare("AAPL,IBM")
    assert len(house.model.result.comparison.prices) == 299


def test_the_heatmap_marks_opposites_otherwise_and_escapes() -> None:
    names = ["A<b>", "B"]
    text = heatmap_html(pd.DataFrame([[1.0, -0.5], [-0.5, np.nan]], index=names, columns=names))
    assert "−0.50" in text and "--dt-warn" in text and "<b>" not in text and "did not move" in text


def test_twenty_symbols_look_different_each() -> None:
    assert len({look_of(n) for n in range(20)}) == 20


@pytest.mark.parametrize(("low", "high"), [(0.0, 0.42), (-0.3, 1.1), (0.0, 13.0), (-0.004, 0.003)])
def test_axis_steps_are_round_and_few(low: float, high: float) -> None:
    steps = round_steps(low, high)
    assert 2 <= len(steps) <= 6 and steps[0] >= low - 1e-12 and steps[-1] <= high + 1e-12
    gap = float(steps[1] - steps[0])
    assert round(gap / 10 ** np.floor(np.log10(gap) + 1e-9)) in (1, 2, 5, 10)


def test_the_badge_says_source_delay_and_age_and_charts_are_a_click_away(house: House) -> None:
    house.compare("AAPL,IBM", benchmark="AAPL")
    head = house.view.head.value
    assert "Yahoo · 15 min delayed · fetched 15:03:10" in head
    assert "<b>AAPL, IBM</b> yahoo · not adjusted · 15 min delayed · fetched" in head and "days ago" in head
    assert 'href="analysis?symbol=IBM"' in head
    house.view.tabs["ranking"].click()
    assert {row["symbol"]["href"] for row in house.view.table.rows} == {"analysis?symbol=AAPL", "analysis?symbol=IBM"}
    house.view.source.value = "sample"
    assert "Sample data · past prices" in house.view.head.value
    assert "analysis?symbol=IBM&amp;source=sample" in house.view.head.value
