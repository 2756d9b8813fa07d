"""The analysis page's model and view: real indicators and signal, bars from a fake source."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from html import escape
from itertools import pairwise
from typing import Any

import nbformat
import numpy as np
import pandas as pd
import pytest

from dashtrade import bootstrap
from dashtrade.analysis import find_levels, read_volume, signal
from dashtrade.backtest.provenance import bars_hash
from dashtrade.data.live import with_quote
from dashtrade.data.pipeline import session_edges
from dashtrade.data.reach import YAHOO
from dashtrade.data.sample import SampleSource
from dashtrade.domain.market import Fundamentals, HistoryRequest, NewsItem, Quote, SymbolMatch
from dashtrade.errors import (
    InvalidInput,
    NoDataInRange,
    SourceError,
    SourceKeyProblem,
    SourceUnreachable,
    UnknownSymbol,
)
from dashtrade.indicators import REGISTRY, indicator
from dashtrade.pages.analysis.around import FactsModel, NewsModel, SearchModel, WatchModel
from dashtrade.pages.analysis.drawing import AnalysisServices
from dashtrade.pages.analysis.layouts import Layouts, read_layouts
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
            watch=WatchModel(
                model, lambda: self.watchlist, lambda s, _: self.watchlist.add(s), lambda s: self.watchlist.remove(s)
            ),
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


def test_news_shows_sentiment_in_words_and_never_markup(house: House) -> None:
    at = datetime(2024, 9, 17, 13, 30, tzinfo=UTC)
    house.articles = [
        NewsItem(at, "<script>alert(1)</script> rises", "https://example.com/a?b=1&c=2", "Wire", "More", 0.41),
        NewsItem(at, "Falls", "javascript:alert(1)", "Wire", sentiment=-0.2),
        NewsItem(at, "Stays", "", "Wire", sentiment=0.0),
    ]
    house.view.load.click()
    card = house.view.news.value
    assert "<script>" not in card and "javascript:" not in card and 'href="https://example.com/a?b=1&amp;c=2"' in card
    assert "▲ bullish +0.41" in card and "▼ somewhat bearish −0.20" in card and "■ neutral +0.00" in card
    assert "17 Sep 13:30 UTC" in card and "09:30 at the exchange" in card
    house.view.shell.zone = "Europe/Berlin"  # as the browser says
    assert "17 Sep 15:30" in house.view.news.value and "UTC" not in house.view.news.value


def test_news_without_a_key_or_without_sentiment_say_where_a_key_goes(house: House) -> None:
    house.articles = [NewsItem(datetime(2024, 9, 17, tzinfo=UTC), "Title", "", "Wire")]
    house.view.load.click()
    assert "DASHTRADE_ALPHA_VANTAGE_KEY" in house.view.news.value
    house.beside_error = SourceKeyProblem("alpha_vantage", "Alpha Vantage needs a key: set it.")
    house.view.source.value = "sample"
    assert "Alpha Vantage needs a key: set it." in house.view.news.value
    assert house.view.messages.text == ""  # the chart is there: nothing failed but the news


def test_facts_are_one_line_of_what_is_known(house: House) -> None:
    house.view.load.click()
    assert "<b>Apple &lt;Inc.&gt;</b> · NASDAQ · Technology · USD" in house.view.facts.value


def test_a_symbol_is_watched_and_let_go(house: House) -> None:
    house.watchlist = {"IBM"}
    house.view.load.click()
    assert "Add" in house.view.watch.description
    house.view.watch.click()
    assert house.watchlist == {"IBM", "AAPL"} and house.view.watch.description.startswith("★")
    house.view.watch.click()
    assert house.watchlist == {"IBM"}
    house.view.symbol.value = "ibm"
    assert house.view.watch.description.startswith("★")


def test_a_layout_brings_back_indicators_and_marks(house: House) -> None:
    house.view.load.click()
    house.model.show_studies("macd:fast=8,rsi", marks=False, candles=True)
    bar = house.view.layouts
    bar.name.value = "  Swing   set-up "
    bar.save.click()
    house.model.show_studies("none", marks=True, candles=False)
    assert house.view.chart.lines == []
    bar.choice.value = ""
    bar.choice.value = "Swing set-up"
    assert house.model.studies_text == "macd:fast=8,rsi" and not house.model.marks and house.model.candles
    assert {line["pane"] for line in house.view.chart.lines} == {1, 2}
    bar.delete.click()
    assert bar.choice.options == (("Choose…", ""),) and house.layouts == "[]"
    bar.name.value = ""
    bar.save.click()
    assert "a name has 1 to 40" in house.view.messages.text


@pytest.mark.parametrize("text", ["", "not json", '{"a": 1}', '[1, {"studies": "rsi"}]'])
def test_kept_layouts_that_cannot_be_read_are_left_out(text: str) -> None:
    assert read_layouts(text) == ()


def test_the_live_bar_moves_the_chart_and_its_indicators(house: House) -> None:
    house.view.load.click()
    house.view.beside.live.poll()
    assert house.view.chart.last == []  # no price yet
    last = house.bars.index[-1]
    house.quote = Quote("AAPL", Decimal("400"), last.to_pydatetime() + timedelta(hours=15), "yahoo", 900)
    house.view.beside.live.poll()
    time, _open, high, low, close, _volume = house.view.chart.last
    assert time == last.timestamp() and (high, close) == (400, 400) and low == house.bars["low"].iloc[-1]
    moved = house.bars["close"].copy()
    moved.iloc[-1] = 400.0
    expected = moved.ewm(span=9, adjust=False).mean().iloc[-1]
    np.testing.assert_allclose(house.view.chart.last_values[0], expected, rtol=1e-9)
    assert "Live 400.00 · " in house.view.live.value and "days old" in house.view.live.value
    house.quote = Quote("AAPL", Decimal("390"), last.to_pydatetime() + timedelta(hours=16), "yahoo")
    house.view.beside.live.poll()
    assert house.view.chart.last[2] == 400 and house.view.chart.last[4] == 390  # the high stays
    assert house.model.result is not None and house.model.result.chart.bars[-1, 4] == house.bars["close"].iloc[-1]
    house.bars = house.bars.copy()
    house.view.load.click()
    assert house.view.beside.live.live is None and house.view.chart.last != []  # the chart's are the same bars


def test_a_source_without_live_prices_is_not_asked(house: House) -> None:
    house.quote = Quote("AAPL", Decimal("400"), house.bars.index[-1].to_pydatetime(), "sample")
    house.view.source.value = "sample"
    house.view.beside.live.poll()
    assert house.view.beside.live.live is None


def test_search_offers_what_is_found_and_a_choice_loads(house: House) -> None:
    box = house.view.symbol
    box._receive(box, {"type": "search", "text": "business"}, None)
    assert box.matches == [{"value": "IBM", "name": "International <Business>", "detail": "NYSE"}]
    house.beside_error = SourceUnreachable("yahoo", "Yahoo cannot be reached.")
    box._receive(box, {"type": "search", "text": "b"}, None)
    assert box.matches == [] and box.note == "Yahoo cannot be reached."
    box.value = "ibm"
    assert house.asked[-1][0].symbol == "IBM" and box.value == "IBM"
    box._receive(box, {"type": "submit"}, None)
    assert len(house.asked) == 2


def test_a_click_on_the_chart_becomes_an_alerts_address(house: House) -> None:
    assert "href" not in house.view.alert.link.value
    house.view.load.click()
    close = float(house.bars["close"].iloc[-1])
    house.view.chart.clicked_price = close - 10.004
    assert house.view.alert.kind.value == "price_below"
    level = f"{round(close - 10.004, 2):.10g}"
    assert f'href="alerts?symbol=AAPL&amp;type=price_below&amp;level={level}"' in house.view.alert.link.value
    house.view.alert.level.value = "dear"
    assert "is not a number" in house.view.alert.link.value and "href" not in house.view.alert.link.value


def test_the_risk_card_follows_the_signal_until_a_side_is_chosen(house: House) -> None:
    house.view.load.click()
    house.bars.update(house.bars.assign(close=house.bars["close"].to_numpy()[::-1] + 0.0)[["close"]])
    house.bars[["open", "high", "low"]] = np.column_stack([house.bars["close"] + d for d in (0.5, 1, -1)])
    house.view.load.click()
    assert house.model.result is not None and house.model.result.signal is not None
    assert house.model.result.signal.action.value == "SELL"
    assert "Short, as the signal says SELL" in house.view.risk.result.value
    house.view.risk.form.controls["side"].value = "long"
    assert "as the signal" not in house.view.risk.result.value
    assert house.kept[-1]["side"] == "long" and "side" not in house.model.query


def test_candlestick_patterns_are_small_marks_with_words_on_hover(house: House, market_of_sample: MarketData) -> None:
    house.bars = market_of_sample.history(HistoryRequest.parse("AAPL", "1d", "1y"), "sample")
    house.model.marks = False
    house.view.load.click()
    assert house.view.chart.markers == []
    house.view.candles.value = True
    marks = house.view.chart.markers
    hits = candlestick_patterns(house.bars, USUAL)
    newest = sorted({time.timestamp() for time in hits["time"]})[-10:]
    assert sorted({m["time"] for m in marks})[-10:] == newest
    assert {m["side"] for m in marks} <= {"bullish", "bearish"} and all("candlestick: " in m["detail"] for m in marks)
    assert "candles=on" in house.view.shell.query


def test_the_volume_card_reads_volume_in_words(house: House) -> None:
    house.view.load.click()
    reading = read_volume(house.bars)
    assert reading is not None
    assert all(escape(sentence) in house.view.volume.value for sentence in reading.sentences)


def test_a_missing_key_offers_the_automatic_source(house: House) -> None:
    house.error = SourceKeyProblem("yahoo", "Alpaca's data need keys: set them.")
    house.view.source.value = "yahoo"
    assert "need keys" in house.view.messages.text
    house.error = None
    house.view.messages.action.click()
    assert house.model.source == "" and house.model.result is not None


def test_the_notebook_makes_the_pages_numbers_again(
    house: House, market_of_sample: MarketData, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bootstrap, "market", lambda: market_of_sample)
    bars = market_of_sample.history(HistoryRequest.parse("AAPL", "1d", "1y"), "sample")
    bars.attrs.pop("notes", None)
    house.bars = bars
    house.model.source = "sample"
    house.model.show_studies("rsi:window=21,macd", marks=True, candles=False)
    house.view.notebook.open.click()
    file = house.view.beside.notebook.file
    assert file is not None and file.data_hash == bars_hash({"AAPL": bars})
    assert file.result_hash in house.view.notebook.hashes.value
    book = nbformat.reads(file.text, as_version=4)
    nbformat.validate(book)
    space: dict[str, Any] = {"display": lambda *_: None}
    said = ""
    for cell in book.cells:
        if cell.cell_type == "code":
            tree = ast.parse(cell.source)
            last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
            exec(compile(tree, "cell", "exec"), space)
            value = eval(compile(ast.Expression(last.value), "cell", "eval"), space) if last else None
            said = value if isinstance(value, str) else said
    assert said == f"The same bars and the same results as on the page: {file.result_hash}"
    pd.testing.assert_series_equal(space["values"]["rsi"], indicator(bars, "rsi", window=21))
    assert "differ" in space["numbers"].compare("0" * 64, file.result_hash)


def test_hovering_a_pattern_tells_its_confirmation_and_what_became_of_it(
    house: House, market_of_sample: MarketData
) -> None:
    house.bars = market_of_sample.history(HistoryRequest.parse("AAPL", "1d", "2y"), "sample")
    house.view.load.click()
    hits = chart_patterns(house.bars)
    newest = hits[hits["confirmed_at"].notna()].sort_values("confirmed_at").iloc[-1]
    detail = house.view.chart.markers[-1]["detail"]
    assert f"confirmed {newest['confirmed_at']:%d %b %Y}" in detail and f"stop {newest['stop']:,.2f}" in detail
    zones = sorted(house.view.chart.zones, key=lambda zone: zone["start"])
    assert zones and all(a["end"] < b["start"] for a, b in pairwise(zones))
