"""The analysis page's model and view: real indicators and signal, bars from a fake source."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import pytest

from dashtrade.analysis import find_levels, read_volume, signal
from dashtrade.data.live import with_quote
from dashtrade.data.pipeline import session_edges
from dashtrade.data.reach import YAHOO
from dashtrade.data.sample import SampleSource
from dashtrade.domain.market import Fundamentals, HistoryRequest, NewsItem, Quote, SymbolMatch
from dashtrade.errors import InvalidInput, NoDataInRange, SourceError, SourceUnreachable, UnknownSymbol
from dashtrade.indicators import REGISTRY, indicator
from dashtrade.pages.analysis.around import FactsModel, NewsModel, SearchModel, WatchModel
from dashtrade.pages.analysis.drawing import AnalysisServices
from dashtrade.pages.analysis.layouts import Layouts
from dashtrade.pages.analysis.live import LiveModel
from dashtrade.pages.analysis.model import AnalysisModel
from dashtrade.pages.analysis.notebook import NotebookModel
from dashtrade.pages.analysis.risk import plan_at_close
from dashtrade.pages.analysis.studies import Study, parse_studies
from dashtrade.pages.analysis.view import AnalysisView, Companions
from dashtrade.pages.sources import longer, warmed_history
from dashtrade.patterns import USUAL, candlestick_patterns, chart_patterns
from dashtrade.services import open_notebook
from dashtrade.services.market import MarketData

MakeBars = Callable[..., pd.DataFrame]


class House:
    """The page over a source that can be told to fail."""

    def __init__(self, make_bars: MakeBars) -> None:
        self.bars = make_bars()
        self.before = 0
        self.asked: list[tuple[HistoryRequest, str | None]] = []
        self.kept: list[Mapping[str, str]] = []
        self.error: Exception | None = None
        services = AnalysisServices(
            history=self.history,
            check=self.check,
            indicator=indicator,
            catalogue=REGISTRY,
            signal=signal,
            levels=find_levels,
            patterns=chart_patterns,
            candles=lambda bars: candlestick_patterns(bars, USUAL),
            volume=read_volume,
            plan=plan_at_close,
            sources=("yahoo", "sample"),
            remember=self.kept.append,
        )
        self.model = model = AnalysisModel(services)
        self.articles: list[NewsItem] = []
        self.facts = Fundamentals("AAPL", "Apple <Inc.>", "NASDAQ", "USD", "Technology")
        self.beside_error: Exception | None = None
        self.watchlist: set[str] = set()
        self.layouts: str | None = None
        self.quote: Quote | None = None
        beside = Companions(
            news=NewsModel(model, lambda *_: self.answer(self.articles)),
            facts=FactsModel(model, lambda *_: self.answer(self.facts)),
            watch=WatchModel(model, lambda: self.watchlist, lambda s, _: self.watchlist.add(s), self.watchlist.remove),
            search=SearchModel(model, lambda *_: self.answer([SymbolMatch("IBM", "International <Business>", "NYSE")])),
            live=LiveModel(model, self.moved, lambda source: source == "yahoo"),
            layouts=Layouts(model, lambda: self.layouts, lambda text: setattr(self, "layouts", text)),
            notebook=NotebookModel(model, open_notebook.analysis_numbers, open_notebook.analysis_notebook),
        )
        self.view = AnalysisView(model, beside)

    def answer(self, value: Any) -> Any:
        if self.beside_error is not None:
            raise self.beside_error
        return value

    def moved(self, bars: pd.DataFrame) -> pd.DataFrame:
        return bars if self.quote is None else with_quote(bars, self.quote, session_edges("AAPL"))

    def history(self, request: HistoryRequest, source: str | None, warm_up: int) -> tuple[pd.DataFrame, int]:
        self.asked.append((request, source))
        if self.error is not None and source != "sample":
            raise self.error
        self.bars.attrs.update(source=source or "yahoo")
        return self.bars, self.before

    def check(self, request: HistoryRequest, source: str | None) -> None:
        if source != "sample":
            YAHOO.check(request, pd.Timestamp("2024-12-01", tz="UTC").to_pydatetime())


@pytest.fixture
def house(make_bars: MakeBars) -> House:
    return House(make_bars)


@pytest.fixture
def market_of_sample() -> MarketData:
    return MarketData({"sample": SampleSource()}, ("sample",))


def values_of(house: House, label: str) -> np.ndarray:
    [line] = [line for line in house.view.chart.lines if line["label"] == label]
    return np.frombuffer(line["values"], "<f8")


def test_loading_draws_bars_ribbon_and_rsi(house: House) -> None:
    house.view.load.click()
    chart = house.view.chart
    drawn = np.frombuffer(chart.bars, "<f8").reshape(-1, 6)
    np.testing.assert_array_equal(drawn[:, 4], house.bars["close"])
    assert [line["label"] for line in chart.lines[:5]] == ["EMA 9", "EMA 20", "EMA 50", "EMA 100", "EMA 200"]
    expected = house.bars["close"].ewm(span=9, adjust=False).mean().to_numpy()
    np.testing.assert_allclose(values_of(house, "EMA 9")[-1], expected[-1], rtol=1e-9)
    assert np.isnan(values_of(house, "EMA 200")[:199]).all() and np.isfinite(values_of(house, "EMA 200")[199:]).all()
    [rsi] = [line for line in chart.lines if line["pane"] == 1]
    assert np.nanmin(np.frombuffer(rsi["values"], "<f8")) >= 0
    assert chart.panels[0]["guides"][:1] == [30] or 30 in chart.panels[0]["guides"]


def test_the_signal_card_shows_action_score_and_every_reason_with_its_date(house: House) -> None:
    house.view.load.click()
    report = signal(house.bars)
    card = house.view.signal.value
    assert f'data-action="{report.action.value}"' in card
    assert all(f"{vote.time:%d %b %Y}" in card for vote in report.votes)
    assert card.count("<li>") == len(report.votes)


def test_an_open_last_bar_has_no_say_in_the_signal(house: House) -> None:
    house.bars.attrs["last_bar_closed"] = False
    house.model.load()
    assert house.model.result is not None and house.model.result.signal is not None
    assert house.model.result.signal.time == house.bars.index[-2].to_pydatetime()


def test_too_few_bars_say_so_instead_of_a_signal(house: House, make_bars: MakeBars) -> None:
    house.bars = make_bars(5)
    house.model.load()
    assert house.model.result is not None and house.model.result.signal is None
    assert "too few" in house.view.signal.value
    assert len(house.view.chart.bars) == 5 * 48


def test_the_badge_tells_source_delay_and_time(house: House) -> None:
    house.view.load.click()
    assert "Yahoo · 15 min delayed · fetched 15:03:10 UTC" in house.view.badge.value
    house.view.source.value = "sample"
    assert "Sample data" in house.view.badge.value and "dt-badge-warn" in house.view.badge.value
    house.bars.attrs["simulated"] = True
    house.view.load.click()
    assert "Simulated · not market prices" in house.view.badge.value


def test_a_failover_is_said(house: House) -> None:
    house.bars.attrs["notes"] = ["alpha_vantage: the calls of the day are used up."]
    house.view.load.click()
    assert "Another source was used" in house.view.messages.text and "used up" in house.view.messages.text


def test_an_impossible_pair_is_blocked_with_its_limit(house: House) -> None:
    house.view.interval.value = "1m"  # with a period of a year
    assert house.view.load.disabled
    assert "last 8 days only" in house.view.blocker.value and "5d" in house.view.blocker.value
    assert house.asked == []
    house.model.load()  # a call past the disabled button
    assert house.asked == []
    house.view.period.value = "5d"
    assert not house.view.load.disabled and len(house.asked) == 1


@pytest.mark.parametrize("text", ["", "AA PL", "<script>", "x" * 30])
def test_a_symbol_that_cannot_be_is_refused_before_the_source(house: House, text: str) -> None:
    house.view.symbol.value = text
    assert house.view.load.disabled and "ticker" in house.view.blocker.value
    assert "<script>" not in house.view.blocker.value
    assert house.asked == []


def test_when_yahoo_is_away_a_button_offers_sample_data(house: House) -> None:
    house.error = SourceUnreachable("yahoo", "Yahoo cannot be reached. Check the network, or choose sample data.")
    house.view.load.click()
    assert "cannot be reached" in house.view.messages.text
    assert house.view.messages.action.description == "Show sample data"
    assert house.model.result is None  # never swapped by itself
    house.view.messages.action.click()
    assert house.model.source == "sample" and house.model.result is not None
    assert house.asked[-1][1] == "sample" and house.view.source.value == "sample"


@pytest.mark.parametrize(
    "error",
    [UnknownSymbol("yahoo", "Yahoo has no symbol ZZZZ. Correct the ticker."),
     NoDataInRange("yahoo", "No bars in that range. Widen it.")],
)  # fmt: skip
def test_other_failures_say_their_remedy_and_keep_the_last_chart(house: House, error: SourceError) -> None:
    house.view.load.click()
    before = house.model.result
    house.error = error
    house.view.symbol.value = "ZZZZ"
    assert str(error) in house.view.messages.text
    assert house.view.messages.action.description == ""
    assert house.model.result is before


def test_an_unexpected_failure_shows_no_detail(house: House) -> None:
    house.error = RuntimeError("secret detail")
    house.view.load.click()
    assert "secret" not in house.view.messages.text and "reference" in house.view.messages.text


def test_state_is_restored_from_the_address_and_written_back(house: House) -> None:
    house.model.restore(
        {"symbol": "nasdaq:msft", "period": "6mo", "interval": "1d", "source": "sample", "studies": "rsi:window=21"}
    )
    assert house.asked == []
    house.model.load()
    assert house.view.shell.query == "symbol=MSFT&period=6mo&interval=1d&source=sample&studies=rsi%3Awindow%3D21"
    assert house.kept[-1]["symbol"] == "MSFT"
    assert (house.view.symbol.value, house.view.period.value) == ("MSFT", "6mo")


def test_what_is_wrong_in_an_address_is_said_and_the_rest_is_used(house: House) -> None:
    house.model.restore({"symbol": "MSFT", "period": "9y", "interval": "1d", "studies": "nope", "source": "<b>"})
    assert house.model.symbol == "MSFT" and house.model.period == "1y" and house.model.source == ""
    assert "period" in house.view.messages.text
    house.model.load()
    assert "period" in house.view.messages.text  # the first chart does not wipe it
    house.model.load()
    assert house.view.messages.text == ""


def test_any_indicator_of_the_catalogue_can_be_added_and_removed(house: House) -> None:
    house.view.load.click()
    house.view.study.value = "macd"
    house.view.form.controls["fast"].value = "8"
    house.view.add.click()
    assert Study("macd", (("fast", 8),)) in house.model.studies
    assert {line["pane"] for line in house.view.chart.lines} == {0, 1, 2}
    assert "macd%3Afast%3D8" in house.view.shell.query
    house.view.add.click()
    assert "already" in house.view.messages.text
    [chip] = [c for c in house.view.chips.children if c.description.startswith("MACD")]
    chip.click()
    assert {line["pane"] for line in house.view.chart.lines} == {0, 1}
    assert len(house.asked) == 1  # no new data was needed


def test_a_wrong_parameter_names_its_range(house: House) -> None:
    house.view.study.value = "rsi"
    house.view.form.controls["window"].value = "1"
    house.view.add.click()
    assert "a whole number from" in house.view.messages.text


def test_every_indicator_of_the_catalogue_can_be_drawn(house: House) -> None:
    house.model.load()
    for key in REGISTRY:
        house.model.studies = (Study(key),)
        assert house.model.message is None, key
        assert house.view.chart.lines, key


def test_a_band_width_does_not_flatten_the_candles(house: House) -> None:
    house.model.studies = (Study("bollinger"),)
    house.model.load()
    labels = [line["label"] for line in house.view.chart.lines]
    assert {"upper", "middle", "lower"} <= set(labels) and "width" not in labels


def test_studies_in_an_address_are_bounded() -> None:
    text = ",".join(f"ema:window={n}" for n in range(2, 12))
    with pytest.raises(InvalidInput, match="at most 8"):
        parse_studies(text, REGISTRY)


def test_a_source_by_hand_is_refused(house: House) -> None:
    house.model.source = "evil"  # as a message over the wire could set it
    assert house.model.blockers and house.asked == []


def test_cancelling_a_slow_load_frees_the_page(make_bars: MakeBars) -> None:
    house = House(make_bars)
    waiting: list[Any] = []
    house.model._background = lambda work, done: waiting.append((work, done))
    house.view.load.click()
    assert house.model.busy and "Loading AAPL" in house.view.progress._text.value
    house.view.progress.cancel.click()
    assert not house.model.busy and "Cancelled" in house.view.messages.text


def test_bars_in_front_of_the_period_warm_the_averages_and_are_not_drawn(house: House, make_bars: MakeBars) -> None:
    house.bars = make_bars(520)
    house.before = 260
    house.view.load.click()
    drawn = np.frombuffer(house.view.chart.bars, "<f8").reshape(-1, 6)
    np.testing.assert_array_equal(drawn[:, 4], house.bars["close"].iloc[260:])
    average = house.bars["close"].rolling(200).mean().iloc[199]
    for close in house.bars["close"].iloc[200:261]:  # by the recurrence, from the simple average at bar 200
        average += (close - average) * 2 / 201
    np.testing.assert_allclose(values_of(house, "EMA 200")[0], average, rtol=1e-9)


def test_more_bars_than_a_browser_bears_are_cut_and_counted(house: House, make_bars: MakeBars) -> None:
    house.bars = make_bars(20_100, interval="5m")
    house.view.source.value = "sample"
    house.view.load.click()
    assert len(house.view.chart.bars) == 20_000 * 48
    assert "newest 20,000 of 20,100" in house.view.messages.text


def test_levels_and_patterns_are_drawn_and_switched_off(house: House, market_of_sample: MarketData) -> None:
    house.bars = market_of_sample.history(HistoryRequest.parse("AAPL", "1d", "2y"), "sample")
    house.view.load.click()
    last = float(house.bars["close"].iloc[-1])
    levels = house.view.chart.levels
    assert levels and all((level["price"] > last) == level["label"].startswith("R") for level in levels)
    hits = chart_patterns(house.bars)
    confirmed = hits[hits["confirmed_at"].notna()].sort_values("confirmed_at").tail(12)
    assert len(confirmed) > 0
    assert [m["time"] for m in house.view.chart.markers] == [time.timestamp() for time in confirmed["confirmed_at"]]
    house.view.marks.value = False
    assert house.view.chart.levels == [] and house.view.chart.markers == []
    assert "marks=off" in house.view.shell.query and len(house.asked) == 1
    house.model.restore({"marks": "perhaps"})
    assert "marks" in house.view.messages.text


def test_the_risk_card_sizes_a_trade(house: House) -> None:
    assert "Load a symbol" in house.view.risk.result.value
    house.view.load.click()
    form = house.view.risk.form.controls
    form["account"].value, form["risk"].value = "50000", "2"
    plan = house.model.plan(50_000, 2, "long")
    assert plan is not None
    assert plan.entry == house.bars["close"].iloc[-1] > plan.stop
    assert plan.shares == min(int(1000 // (plan.entry - plan.stop)), int(50_000 // plan.entry))
    assert f'<td class="dt-num">{plan.shares:,}</td>' in house.view.risk.result.value
    form["risk"].value = "200"
    assert "Risk %" in house.view.risk.result.value and "0.01 to 100" in house.view.risk.result.value


@pytest.mark.parametrize(
    ("period", "interval", "warm_up", "expected"),
    [
        ("1y", "1d", 600, ["5y", "2y"]),
        ("1y", "1d", 100, ["2y"]),
        ("5y", "1wk", 300, ["max", "10y"]),
        ("1d", "5m", 600, ["1mo", "5d"]),
        ("5y", "1m", 600, []),
        ("max", "1d", 600, []),
    ],
)
def test_a_longer_period_holds_the_warm_up(period: str, interval: str, warm_up: int, expected: list[str]) -> None:
    request = HistoryRequest.parse("AAPL", interval, period)
    assert [str(more.period) for more in longer(request, warm_up)] == expected


def test_the_sample_gives_the_period_and_the_bars_in_front(market_of_sample: MarketData) -> None:
    request = HistoryRequest.parse("AAPL", "1d", "1y")
    alone = market_of_sample.history(request, "sample")
    bars, before = warmed_history(market_of_sample)(request, "sample", 600)
    assert before == 600
    pd.testing.assert_frame_equal(bars.iloc[before:], alone)
