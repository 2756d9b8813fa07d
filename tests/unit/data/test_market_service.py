"""Order of sources, visible failover, shared latest prices, and the limits and sources behind them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pandas as pd
import pytest
from fake_source import Clock, FakeSource

from dashtrade.data.cache import BarCache
from dashtrade.data.live import with_quote
from dashtrade.data.sample import SampleSource
from dashtrade.data.sessions import edges
from dashtrade.data.sources import SOURCES, BuiltSources, SourceContext
from dashtrade.domain.market import Adjustment, CorporateAction, Fundamentals, HistoryRequest, Interval, Quote
from dashtrade.errors import (
    BadAnswer,
    BadBars,
    ConfigurationError,
    InvalidInput,
    NoDataInRange,
    RateLimited,
    SourceError,
    SourceKeyProblem,
    SourceUnreachable,
    UnknownOption,
    UnknownSymbol,
)
from dashtrade.services.market import MarketData, provenance
from dashtrade.settings import load_settings

CLOCK = Clock()
ASK = HistoryRequest.parse("AAPL")


def fakes(**errors: SourceError | None) -> dict[str, FakeSource]:
    found = {}
    for key, error in errors.items():
        found[key] = FakeSource(CLOCK, key)
        found[key].error = error
    return found


def test_the_first_source_answers_and_nobody_else_is_asked() -> None:
    sources = fakes(a=None, b=None)
    bars = MarketData(sources, ("a", "b")).history(ASK)
    assert bars.attrs["source"] == "a"
    assert bars.attrs["notes"] == []
    assert sources["b"].fetches == []


@pytest.mark.parametrize(
    "error",
    [
        SourceUnreachable("a", "down"),
        RateLimited("a", "wait", 5.0),
        BadAnswer("a", "html"),
        UnknownSymbol("a", "unknown"),
        NoDataInRange("a", "nothing"),
        SourceKeyProblem("a", "no key"),
    ],
    ids=lambda e: e.code,
)
def test_failing_over_is_visible(error: SourceError) -> None:
    data = MarketData(fakes(a=error, b=None), ("a", "b"))
    bars = data.history(ASK)
    assert bars.attrs["source"] == "b"
    assert bars.attrs["notes"] == [f"a: {error}"]
    note = data.state("a")
    assert note is not None
    assert (note.source, note.code) == ("a", error.code)
    assert data.state("b") is None


def test_what_one_source_cannot_give_another_may() -> None:
    sources = fakes(a=None, b=None)
    sources["a"].limits = FakeSource(CLOCK, days={Interval.D1: 30}).limits
    bars = MarketData(sources, ("a", "b")).history(ASK)
    assert bars.attrs["source"] == "b"
    assert "30 days" in bars.attrs["notes"][0]


def test_when_all_fail_the_first_error_names_them_all() -> None:
    sources = fakes(a=RateLimited("a", "A asks to wait.", 9.0), b=SourceUnreachable("b", "B is down."), sample=None)
    with pytest.raises(RateLimited) as caught:
        MarketData(sources, ("a", "b")).history(ASK)
    assert caught.value.retry_after == 9.0
    assert str(caught.value) == "A asks to wait. Also tried: b: B is down."
    # The sample was there, and nobody chose it.
    assert sources["sample"].fetches == []


def test_a_chosen_source_is_asked_alone() -> None:
    sources = fakes(a=None, b=SourceUnreachable("b", "B is down."))
    with pytest.raises(SourceUnreachable, match=r"^B is down\.$"):
        MarketData(sources, ("a", "b")).history(ASK, "b")
    assert sources["a"].fetches == []


def test_mistakes_in_the_program_are_not_swallowed() -> None:
    class Broken(FakeSource):
        def history(self, request: HistoryRequest) -> pd.DataFrame:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        MarketData({"a": Broken(CLOCK, "a"), **fakes(b=None)}, ("a", "b")).history(ASK)


def test_unknown_sources() -> None:
    with pytest.raises(ConfigurationError, match=r"yahu.*Allowed: a"):
        MarketData(fakes(a=None), ("yahu",))
    with pytest.raises(ConfigurationError, match="names no source"):
        MarketData(fakes(a=None), ()).history(ASK)


def test_cached_bars_of_any_age_only_when_chosen(tmp_path: Path) -> None:
    clock = Clock()
    source = FakeSource(clock, "a")
    data = MarketData({"a": source}, ("a",), cache=BarCache(tmp_path / "b", tmp_path / "l", now=clock))
    data.history(ASK)
    clock.forward(hours=5)
    source.error = SourceUnreachable("a", "down")
    with pytest.raises(SourceUnreachable) as caught:
        data.history(ASK)
    assert caught.value.cached_at is not None
    bars = data.history(ASK, stale=True)
    assert bars.attrs["cached"] is True
    assert bars.attrs["fetched_at"].startswith("2026-11-22T12:00")


def test_limits_are_checked_without_any_sources_library() -> None:
    program = (
        "import sys\nfrom dashtrade.bootstrap import make_market\nfrom dashtrade.settings import load_settings\n"
        "from dashtrade.domain.market import HistoryRequest\nfrom dashtrade.errors import InvalidInput\n"
        "data = make_market(load_settings(sources=('yahoo',)))\n"
        "data.check(HistoryRequest.parse('AAPL', '1m', '5d'))\n"
        "data.check(HistoryRequest.parse('AAPL', '1m', '1y'), 'sample')\n"
        "data.check(HistoryRequest.parse('AAPL', '1m', '1y'), 'alpaca')\n"
        "try:\n    data.check(HistoryRequest.parse('AAPL', '1m', '1y'))\n"
        "except InvalidInput as error:\n    print(error.field, '8 days' in str(error))\n"
        "print([name for name in ('yfinance', 'alpaca', 'httpx', 'exchange_calendars') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines() == ["period True", "[]"], done.stderr


def test_company_facts_come_from_a_source_that_has_them() -> None:
    class Knowing(FakeSource):
        def actions(self, symbol: str) -> list[CorporateAction]:
            return [CorporateAction(date(2020, 8, 31), "split", Decimal(4))]

        def fundamentals(self, symbol: str) -> Fundamentals:
            return Fundamentals(symbol, "Apple Inc.", currency="USD")

    data = MarketData({**fakes(a=None), "b": Knowing(CLOCK, "b")}, ("a", "b"))
    assert data.actions("AAPL")[0].value == 4
    assert data.fundamentals("AAPL").currency == "USD"
    with pytest.raises(InvalidInput, match="no company facts"):
        data.fundamentals("AAPL", "a")


@pytest.mark.parametrize("key", list(SOURCES))
def test_every_registered_source_keeps_the_port(key: str, tmp_path: Path) -> None:
    class NoBudget:
        def take(self, source: str) -> None: ...

        def used_up(self, source: str) -> float:
            return 0.0

    settings = load_settings(data_dir=tmp_path, alpha_vantage_key="k", alpaca_key="k", alpaca_secret="s")
    source = BuiltSources(SourceContext(settings, NoBudget()))[key]
    assert source.key == key == SOURCES[key].key
    assert source.label
    for name in ("history", "latest", "search", "news"):
        assert callable(getattr(source, name))
    if SOURCES[key].cached:
        # What the cache needs: limits known beforehand for every interval it can give, and a fetch of native bars.
        assert set(source.limits.native) >= set(Interval) - {Interval.M2}
        for native in set(source.limits.native.values()):
            assert source.limits.source_interval(native) is native
        assert callable(source.fetch)
        assert source.adjustment(Interval.D1) in Adjustment


def test_bars_that_cannot_be_used_fail_over_too() -> None:
    class Garbled(FakeSource):
        def fetch(self, *asked: object) -> pd.DataFrame:
            raise BadBars("9 of 10 bars have no usable price.")

    bars = MarketData({"a": Garbled(CLOCK, "a"), **fakes(b=None)}, ("a", "b")).history(ASK)
    assert bars.attrs["notes"] == ["a: 9 of 10 bars have no usable price."]


def test_where_bars_come_from_in_one_line() -> None:
    now = datetime(2026, 3, 4, 15, 5, tzinfo=UTC)
    bars = SampleSource(now=lambda: now - timedelta(minutes=3)).history(HistoryRequest.parse("AAPL", "1h", "1mo"))
    assert provenance(bars, now) == (
        "sample · SIMULATED · adjusted for splits and dividends · no delay · fetched 3 min ago"
    )
    bars.attrs |= {"simulated": False, "adjustment": "raw", "delay_seconds": 900, "last_bar_closed": False}
    bars.attrs |= {"quality": {"duplicates": 2, "empty_cells": 1, "rows": 99}, "notes": ["yahoo: down."]}
    assert provenance(bars, now) == (
        "sample · not adjusted · 15 min delayed · fetched 3 min ago · 3 faults counted · last bar still forming · "
        "instead of yahoo: down."
    )


class Prices:
    """A source of latest prices only."""

    key = "a"
    label = "A"

    def __init__(self) -> None:
        self.asked: list[list[str]] = []

    def latest(self, symbols: Sequence[str]) -> dict[str, Quote]:
        self.asked.append(list(symbols))
        return {s: Quote(s, Decimal(len(self.asked)), CLOCK.now, "a") for s in symbols if s != "NOPE"}


def test_latest_prices_are_asked_together_and_shared_for_two_seconds() -> None:
    source, now = Prices(), [0.0]
    data = MarketData({"a": source}, ("a",), clock=lambda: now[0])  # type: ignore[dict-item]
    assert set(data.latest(["A", "B", "A", "NOPE"])) == {"A", "B"}
    assert source.asked == [["A", "B", "NOPE"]]
    now[0] = 1.9
    assert data.latest(["B", "C"])["B"].price == 1
    assert source.asked[1:] == [["C"]]
    now[0] = 2.0
    assert data.latest(["B"])["B"].price == 3
    assert data.latest([]) == {}


def test_all_sources_are_registered_in_one_place() -> None:
    assert list(SOURCES) == ["yahoo", "alpha_vantage", "alpaca", "files", "sample"]
    with pytest.raises(UnknownOption, match="alpaca, alpha_vantage, files, sample, yahoo"):
        SOURCES["yahu"]


@pytest.mark.parametrize("key", ["alpha_vantage", "alpaca"])
def test_a_missing_key_names_the_setting(key: str, tmp_path: Path) -> None:
    class NoBudget:
        def take(self, source: str) -> None: ...

        def used_up(self, source: str) -> float:
            return 0.0

    settings = load_settings(data_dir=tmp_path, alpha_vantage_key=None, alpaca_key=None, alpaca_secret=None)
    with pytest.raises(SourceKeyProblem, match=f"DASHTRADE_{key.upper()}"):
        BuiltSources(SourceContext(settings, NoBudget()))[key]


def test_sources_come_from_the_settings_as_a_plain_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DASHTRADE_SOURCES", "yahoo, sample")
    assert load_settings().sources == ("yahoo", "sample")


@pytest.mark.parametrize(
    ("start", "end", "match"),
    [
        (datetime(2024, 1, 2, tzinfo=UTC), datetime(2024, 1, 2, tzinfo=UTC), "not before"),
        (datetime(2024, 1, 2), None, "zone"),
    ],
)
def test_impossible_ranges(start: datetime, end: datetime | None, match: str) -> None:
    with pytest.raises(InvalidInput, match=match):
        HistoryRequest.parse("AAPL", start=start, end=end)


class TestLastBar:
    """A latest price moves the last bar, or begins the next."""

    def frame(self, interval: str) -> pd.DataFrame:
        bars = SampleSource().history(HistoryRequest.parse("AAPL", interval, "5d"))
        bars.attrs["simulated"] = False
        return bars

    def quote(self, price: str, moment: datetime, simulated: bool = False) -> Quote:
        return Quote("AAPL", Decimal(price), moment, "x", simulated=simulated)

    def test_inside_the_bar(self) -> None:
        bars = self.frame("1d")
        moved = with_quote(bars, self.quote("500", datetime(2013, 3, 1, 16, tzinfo=UTC)), edges("XNYS"))
        assert len(moved) == len(bars)
        assert moved.iloc[-1][["open", "high", "low", "close", "volume"]].tolist() == [
            bars["open"].iloc[-1], 500.0, bars["low"].iloc[-1], 500.0, bars["volume"].iloc[-1]
        ]  # fmt: skip
        assert moved.attrs["last_bar_closed"] is False
        pd.testing.assert_frame_equal(moved.iloc[:-1], bars.iloc[:-1], check_freq=False)
        assert bars["close"].iloc[-1] != 500.0

    def test_the_next_bar(self) -> None:
        bars = self.frame("1d")
        moved = with_quote(bars, self.quote("500", datetime(2013, 3, 4, 15, tzinfo=UTC)), edges("XNYS"))
        assert str(moved.index[-1].date()) == "2013-03-04"
        assert moved.iloc[-1].tolist() == [500.0, 500.0, 500.0, 500.0, 0.0]
        hours = self.frame("1h")
        moved = with_quote(hours, self.quote("500", datetime(2013, 3, 4, 15, 45, tzinfo=UTC)), edges("XNYS"))
        assert f"{moved.index[-1]:%m-%d %H:%M}" == "03-04 15:30"

    def test_an_older_price_changes_nothing(self) -> None:
        bars = self.frame("1d")
        moved = with_quote(bars, self.quote("500", bars.index[-1] - timedelta(days=1)), edges("XNYS"))
        pd.testing.assert_frame_equal(moved, bars)

    def test_a_simulated_price_moves_the_last_bar_and_says_so(self) -> None:
        bars = self.frame("1d")
        moved = with_quote(bars, self.quote("1", datetime(2026, 1, 1, tzinfo=UTC), simulated=True), edges("XNYS"))
        assert len(moved) == len(bars)
        assert moved["low"].iloc[-1] == 1.0
        assert moved.attrs["simulated"] is True
