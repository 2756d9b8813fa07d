"""The Alpha Vantage source over real HTTP: data, every refusal, and a key that is never seen."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal

import httpx
import pytest
from price_servers import SHARED, Asked, LocalServer, Reply, serving
from pydantic import SecretStr

from dashtrade.data.alpha_vantage import AlphaVantageSource
from dashtrade.domain.market import HistoryRequest
from dashtrade.errors import (
    BadAnswer,
    BudgetUsedUp,
    DashTradeError,
    InvalidInput,
    NoDataInRange,
    RateLimited,
    SourceError,
    SourceKeyProblem,
    SourceUnreachable,
    UnknownSymbol,
)

KEY = "SECRETKEY0123456"
NOW = datetime(2024, 1, 8, 15, 0, tzinfo=UTC)


class Budget:
    """Counts in memory, as the real one does in the database."""

    def __init__(self, calls: int = 25) -> None:
        self.left = calls

    def take(self, source: str) -> None:
        if self.left == 0:
            raise BudgetUsedUp(source, "used up", 60.0)
        self.left -= 1

    def used_up(self, source: str) -> float:
        self.left = 0
        return 3600.0


def row(close: float) -> dict[str, str]:
    prices = {"1. open": close - 1, "2. high": close + 2, "3. low": close - 2, "4. close": close}
    return {**{name: f"{value:.4f}" for name, value in prices.items()}, "5. volume": "1000"}


DAILY = {
    "Meta Data": {"2. Symbol": "IBM", "5. Time Zone": "US/Eastern"},
    "Time Series (Daily)": {"2024-01-05": row(12), "2024-01-04": row(11), "2024-01-03": row(10), "2023-01-03": row(5)},
}
HOURLY = {
    "Meta Data": {"2. Symbol": "IBM", "4. Interval": "60min", "6. Time Zone": "US/Eastern"},
    "Time Series (60min)": {f"2024-01-05 {hour:02d}:30:00": row(hour) for hour in range(15, 8, -1)},
}


@pytest.fixture
def server() -> Iterator[LocalServer]:
    with serving(lambda asked: Reply(json.dumps(DAILY).encode())) as local:
        yield local


@pytest.fixture
def budget() -> Budget:
    return Budget()


@pytest.fixture
def source(server: LocalServer, budget: Budget) -> AlphaVantageSource:
    timeout = httpx.Timeout(0.5)
    return AlphaVantageSource(SecretStr(KEY), budget, url=server.url, timeout=timeout, now=lambda: NOW)


def says(server: LocalServer, content: object) -> None:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    server.answer = lambda asked: Reply(body)


def test_daily_bars_come_raw_and_in_order(server: LocalServer, source: AlphaVantageSource) -> None:
    bars = source.history(HistoryRequest.parse("IBM", "1d", "1mo"))
    assert [str(t.date()) for t in bars.index] == ["2024-01-03", "2024-01-04", "2024-01-05"]
    assert bars["close"].tolist() == [10.0, 11.0, 12.0]
    assert bars.attrs["adjustment"] == "raw"
    assert bars.attrs["source"] == "alpha_vantage"
    query = server.asked[0].query
    assert (query["function"], query["symbol"], query["outputsize"]) == ("TIME_SERIES_DAILY", "IBM", "compact")
    source.history(HistoryRequest.parse("IBM", "1d", "5y"))
    assert server.asked[1].query["outputsize"] == "full"


def test_hours_become_session_aware_four_hours(server: LocalServer, source: AlphaVantageSource) -> None:
    says(server, HOURLY)
    bars = source.history(HistoryRequest.parse("IBM", "4h", "1d"))
    assert [f"{t:%H:%M}" for t in bars.index] == ["14:30", "18:30"]
    assert bars["close"].tolist() == [12.0, 15.0]
    assert bars["volume"].tolist() == [4000.0, 3000.0]


def test_limits_are_known_before_the_call(server: LocalServer, source: AlphaVantageSource, budget: Budget) -> None:
    with pytest.raises(InvalidInput, match="30 days"):
        source.history(HistoryRequest.parse("IBM", "5m", "1y"))
    assert server.asked == []
    assert budget.left == 25


def test_each_call_counts_and_the_last_is_not_made(server: LocalServer) -> None:
    source = AlphaVantageSource(SecretStr(KEY), Budget(2), url=server.url, now=lambda: NOW)
    for _ in range(2):
        source.history(HistoryRequest.parse("IBM", "1d", "1mo"))
    with pytest.raises(BudgetUsedUp):
        source.history(HistoryRequest.parse("IBM", "1d", "1mo"))
    assert len(server.asked) == 2


DAY = "our standard API rate limit is 25 requests per day. Please subscribe"
REFUSALS: dict[str, tuple[object, type[SourceError]]] = {
    "daily limit": ({"Information": f"We have detected your API key as {KEY} and {DAY}"}, BudgetUsedUp),
    "a second": ({"Information": f"Please spread your requests (1 request per second) {KEY}"}, RateLimited),
    "a minute": ({"Note": f"Our standard API call frequency is 5 calls per minute. {KEY}"}, RateLimited),
    "premium": ({"Information": f"This is a premium endpoint. {KEY}"}, SourceKeyProblem),
    "bad key": ({"Error Message": f"the parameter apikey {KEY} is invalid or missing."}, SourceKeyProblem),
    "bad symbol": ({"Error Message": f"Invalid API call. {KEY} Please retry"}, UnknownSymbol),
    "something else": ({"Information": f"The sky is falling on {KEY}"}, BadAnswer),
    "nothing": ({}, UnknownSymbol),
    "no prices": ({"Meta Data": {}}, BadAnswer),
    "broken prices": ({"Time Series (Daily)": {"2024-01-05": {"1. open": KEY}}}, BadAnswer),
    "HTML": (b"<html>Sorry</html>", BadAnswer),
    "truncated": (json.dumps(DAILY).encode()[:50], BadAnswer),
    "a list": ([1, 2], BadAnswer),
    "old bars only": ({"Time Series (Daily)": {"2001-01-05": row(1)}}, NoDataInRange),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSALS)
def test_refusals_are_told_apart_and_hide_the_key(
    server: LocalServer, source: AlphaVantageSource, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    content, expected = REFUSALS[name]
    says(server, content)
    with caplog.at_level(logging.DEBUG), pytest.raises(SourceError) as caught:
        source.history(HistoryRequest.parse("IBM", "1d", "1mo"))
    assert type(caught.value) is expected, str(caught.value)
    assert KEY not in str(caught.value)
    assert KEY not in repr(caught.value)
    assert KEY not in caplog.text
    if isinstance(caught.value, RateLimited):
        assert (caught.value.retry_after or 0) > 0


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (Reply(b"", 429), RateLimited),
        (Reply(b"", 500), SourceUnreachable),
        (Reply(b"", 403), SourceKeyProblem),
        (Reply(fault="reset"), SourceUnreachable),
        (Reply(fault="hang"), SourceUnreachable),
        (Reply(json.dumps(DAILY).encode(), fault="short"), SourceUnreachable),
    ],
    ids=lambda value: getattr(value, "fault", "") or getattr(value, "status", ""),
)
def test_transport_failures(
    server: LocalServer, source: AlphaVantageSource, reply: Reply, expected: type[SourceError],
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    server.answer = lambda asked: reply
    with caplog.at_level(logging.DEBUG), pytest.raises(SourceError) as caught:
        source.history(HistoryRequest.parse("IBM", "1d", "1mo"))
    assert type(caught.value) is expected
    chain: BaseException | None = caught.value
    while chain is not None:  # httpx's errors hold the request, whose address holds the key
        assert KEY not in str(chain)
        assert not isinstance(chain, httpx.HTTPError)
        chain = chain.__cause__ or chain.__context__
    assert KEY not in caplog.text


def test_the_daily_limit_ends_all_calls_of_the_day(
    server: LocalServer, source: AlphaVantageSource, budget: Budget
) -> None:
    says(server, {"Information": DAY})
    with pytest.raises(BudgetUsedUp) as caught:
        source.history(HistoryRequest.parse("IBM", "1d", "1mo"))
    assert caught.value.retry_after == 3600.0
    assert budget.left == 0
    with pytest.raises(BudgetUsedUp):
        source.search("ibm")
    assert len(server.asked) == 1


def test_the_key_is_not_in_the_sources_text(source: AlphaVantageSource) -> None:
    assert KEY not in repr(source)
    assert KEY not in repr(vars(source))


@pytest.fixture
def recorded(server: LocalServer) -> LocalServer:
    if not SHARED.is_dir():
        pytest.skip("the recorded bodies are not beside the checkout")
    files = {
        "GLOBAL_QUOTE": "global_quote",
        "SYMBOL_SEARCH": "symbol_search",
        "NEWS_SENTIMENT": "news_sentiment_AAPL_202303_1article",
        "TIME_SERIES_INTRADAY": "mock_time_series",
        "TIME_SERIES_DAILY": "error_information_daily_limit",
    }

    def answer(asked: Asked) -> Reply:
        name = files[asked.query["function"]]
        return Reply((SHARED / "protocol" / "alphavantage" / f"{name}.json").read_bytes())

    server.answer = answer
    return server


@pytest.mark.shared
def test_recorded_quote(recorded: LocalServer, source: AlphaVantageSource) -> None:
    quote = source.latest(["MSFT"])["MSFT"]
    assert quote.price == Decimal("112.1300")
    assert quote.time == datetime(2018, 10, 5, 20, 0, tzinfo=UTC)


@pytest.mark.shared
def test_recorded_search(recorded: LocalServer, source: AlphaVantageSource) -> None:
    found = source.search("BA")
    assert (found[0].symbol, found[0].name, found[0].kind) == ("BA", "The Boeing Company", "equity")
    assert recorded.asked[0].query["keywords"] == "BA"


@pytest.mark.shared
def test_recorded_news(recorded: LocalServer, source: AlphaVantageSource) -> None:
    (item,) = source.news("AAPL")
    assert item.sentiment == pytest.approx(0.083408)  # for the ticker, not the article as a whole
    assert item.time == datetime(2023, 3, 7, 12, 23, 44, tzinfo=UTC)
    assert item.source == "Benzinga"


@pytest.mark.shared
def test_recorded_minutes(recorded: LocalServer) -> None:
    now = datetime(2017, 12, 19, 15, 0, tzinfo=UTC)
    source = AlphaVantageSource(SecretStr(KEY), Budget(), url=recorded.url, now=lambda: now)
    bars = source.history(HistoryRequest.parse("MSFT", "1m", "5d"))
    assert bars.index[-1].isoformat() == "2017-12-18T19:56:00+00:00"
    assert bars.iloc[-1].tolist() == [86.49, 86.50, 86.475, 86.50, 10494.0]
    assert bars.index.is_monotonic_increasing
    assert len(bars) == 100


@pytest.mark.shared
def test_recorded_limit(recorded: LocalServer, source: AlphaVantageSource) -> None:
    with pytest.raises(BudgetUsedUp):
        source.history(HistoryRequest.parse("MSFT", "1d", "1mo"))


def test_nobody_listens() -> None:
    with serving(lambda asked: Reply()) as local:
        url = local.url
    with pytest.raises(DashTradeError, match="cannot be reached"):
        AlphaVantageSource(SecretStr(KEY), Budget(), url=url).search("x")
