"""The real alpaca-py data clients against a loopback server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from price_servers import SHARED, Asked, LocalServer, Reply, serving
from pydantic import SecretStr

from dashtrade.data.alpaca import AlpacaSource
from dashtrade.domain.market import HistoryRequest
from dashtrade.errors import (
    BadAnswer,
    InvalidInput,
    NoDataInRange,
    RateLimited,
    SourceError,
    SourceKeyProblem,
    SourceUnreachable,
    UnknownSymbol,
)

NOW = datetime(2024, 1, 8, 15, 0, tzinfo=UTC)
SECRET = "secret-that-nobody-may-see"


def bar(moment: str, close: float) -> dict[str, Any]:
    prices = {"o": close - 1, "h": close + 2, "l": close - 2, "c": close}
    return {"t": moment, **prices, "v": 1000, "n": 10, "vw": close}


def reply(content: object, status: int = 200, **headers: str) -> Reply:
    return Reply(json.dumps(content).encode(), status, headers=headers)


DAYS = [bar(f"2024-01-0{day}T05:00:00Z", float(10 + day)) for day in (3, 4, 5)]


def stocks(asked: Asked) -> Reply:
    """Two pages of daily bars, or a latest trade."""
    if asked.path.endswith("/stocks/bars"):
        if "page_token" in asked.query:
            return reply({"bars": {"AAPL": DAYS[2:]}, "next_page_token": None})
        return reply({"bars": {"AAPL": DAYS[:2]}, "next_page_token": "more"})
    if asked.path.endswith("/stocks/trades/latest"):
        return reply({"trades": {"AAPL": {"t": "2024-01-08T14:59:58.123456789Z", "p": 185.5, "s": 100, "x": "V"}}})
    return reply({"message": "not found"}, 404)


@pytest.fixture
def server() -> Iterator[LocalServer]:
    with serving(stocks) as local:
        yield local


@pytest.fixture
def source(server: LocalServer) -> AlpacaSource:
    keys = (SecretStr("KEYID"), SecretStr(SECRET))
    return AlpacaSource(*keys, url=server.url, seconds=(0.5, 0.5), now=lambda: NOW)


def test_daily_bars_of_all_pages(server: LocalServer, source: AlpacaSource) -> None:
    bars = source.history(HistoryRequest.parse("AAPL", "1d", "1mo"))
    assert [str(t.date()) for t in bars.index] == ["2024-01-03", "2024-01-04", "2024-01-05"]
    assert (bars.index == bars.index.normalize()).all()
    assert bars["close"].tolist() == [13.0, 14.0, 15.0]
    assert bars.attrs["adjustment"] == "splits and dividends"
    query = server.asked[0].query
    assert (query["timeframe"], query["adjustment"], query["feed"]) == ("1Day", "all", "sip")
    # The newest quarter of an hour needs a paid plan.
    assert datetime.fromisoformat(query["end"]) <= NOW - timedelta(minutes=15)
    assert server.asked[0].headers["APCA-API-KEY-ID"] == "KEYID"
    assert SECRET not in server.asked[0].path


def test_hours_begin_with_the_session_and_stay_inside(server: LocalServer, source: AlpacaSource) -> None:
    # Half hours from four in the morning to eight in the evening, New York; the session is 14:30 to 21:00 UTC.
    start = datetime(2024, 1, 5, 9, 0, tzinfo=UTC)
    rows = [bar((start + timedelta(minutes=30 * i)).strftime("%Y-%m-%dT%H:%M:%SZ"), 100.0 + i) for i in range(32)]
    server.answer = lambda asked: reply({"bars": {"AAPL": rows}, "next_page_token": None})
    bars = source.history(HistoryRequest.parse("AAPL", "1h", "1d"))
    assert server.asked[0].query["timeframe"] == "30Min"
    assert [f"{t:%H:%M}" for t in bars.index] == ["14:30", "15:30", "16:30", "17:30", "18:30", "19:30", "20:30"]
    assert bars["open"].iloc[0] == 110.0  # the half hour at 14:30 is the twelfth: its close is 111
    assert bars["close"].iloc[0] == 112.0
    assert bars["volume"].tolist() == [2000.0] * 6 + [1000.0]


def test_latest_prices_of_stocks_and_crypto(server: LocalServer, source: AlpacaSource) -> None:
    def answer(asked: Asked) -> Reply:
        if "/crypto/" in asked.path:
            return reply({"trades": {"BTC/USD": {"t": "2024-01-08T14:59:59Z", "p": 45000.25, "s": 1}}})
        return stocks(asked)

    server.answer = answer
    quotes = source.latest(["AAPL", "BTC-USD", "NOPE"])
    assert {symbol: quote.price for symbol, quote in quotes.items()} == {
        "AAPL": Decimal("185.5"),
        "BTC-USD": Decimal("45000.25"),
    }
    assert quotes["AAPL"].time == datetime(2024, 1, 8, 14, 59, 58, 123456, tzinfo=UTC)
    assert quotes["AAPL"].delay_seconds == 0
    assert len(server.asked) == 2
    assert server.paths("/stocks/trades/latest")[0].query["feed"] == "iex"


def test_crypto_bars(server: LocalServer, source: AlpacaSource) -> None:
    rows = [bar(f"2024-01-0{day}T00:00:00Z", float(day)) for day in (6, 7, 8)]
    server.answer = lambda asked: reply({"bars": {"BTC/USD": rows}, "next_page_token": None})
    bars = source.history(HistoryRequest.parse("BTC-USD", "1d", "5d"))
    assert [str(t.date()) for t in bars.index] == ["2024-01-06", "2024-01-07", "2024-01-08"]
    assert bars.attrs["last_bar_closed"] is False
    assert server.asked[0].query["symbols"] == "BTC/USD"


def test_no_bars_and_no_symbol_are_two_things(server: LocalServer, source: AlpacaSource) -> None:
    empty = {"bars": {}, "next_page_token": None}
    server.answer = lambda asked: reply(empty) if asked.path.endswith("/bars") else stocks(asked)
    with pytest.raises(NoDataInRange, match="2016"):
        source.history(HistoryRequest.parse("AAPL", "1d", "1mo"))
    with pytest.raises(UnknownSymbol, match="NOPE"):
        source.history(HistoryRequest.parse("NOPE", "1d", "1mo"))


FAILURES: dict[str, tuple[Reply, type[SourceError]]] = {
    "wrong keys": (reply({"message": "forbidden."}, 403), SourceKeyProblem),
    "no keys": (reply({"message": "unauthorized"}, 401), SourceKeyProblem),
    "plan": (reply({"message": "subscription does not permit querying recent SIP data"}, 403), SourceKeyProblem),
    "symbol": (reply({"message": "invalid symbol: A.B.C"}, 400), UnknownSymbol),
    "limited": (reply({"message": "too many requests."}, 429, **{"X-RateLimit-Reset": "1704726042"}), RateLimited),
    "fault": (reply({"message": "internal server error"}, 500), SourceUnreachable),
    "fault as HTML": (Reply(b"<html>", 502, "text/html"), SourceUnreachable),
    "HTML": (Reply(b"<html>Sorry</html>", kind="text/html"), BadAnswer),
    "truncated": (Reply(b'{"bars": {"AAPL": [{"t": '), BadAnswer),
    "other rows": (reply({"bars": {"AAPL": [{"x": 1}]}, "next_page_token": None}), BadAnswer),
    "reset": (Reply(fault="reset"), SourceUnreachable),
    "hang": (Reply(fault="hang"), SourceUnreachable),
    "cut off": (Reply(json.dumps({"bars": {"AAPL": DAYS}}).encode(), fault="short"), SourceUnreachable),
}


@pytest.mark.parametrize("name", FAILURES)
def test_failures_are_told_apart(server: LocalServer, source: AlpacaSource, name: str) -> None:
    answer, expected = FAILURES[name]
    server.answer = lambda asked: answer
    with pytest.raises(SourceError) as caught:
        source.history(HistoryRequest.parse("AAPL", "1d", "1mo"))
    assert type(caught.value) is expected, str(caught.value)
    assert SECRET not in str(caught.value)
    if isinstance(caught.value, RateLimited):
        assert caught.value.retry_after == pytest.approx(1704726042 - NOW.timestamp())
        # Waiting is left to the caller: nothing was asked twice.
        assert len(server.asked) == 1


@pytest.mark.shared
@pytest.mark.skipif(not SHARED.is_dir(), reason="the recorded bodies are not beside the checkout")
def test_recorded_news(server: LocalServer, source: AlpacaSource) -> None:
    body = json.loads((SHARED / "protocol" / "alpaca" / "historical_news_data__get_news.json").read_text())
    body["next_page_token"] = None
    server.answer = lambda asked: reply(body)
    items = source.news("AAPL")
    assert len(items) == len(body["news"])
    assert items[0].title == "headline"
    assert items[0].time == datetime(2024, 8, 18, 20, 15, 44, tzinfo=UTC)


def test_there_is_no_search(source: AlpacaSource) -> None:
    with pytest.raises(InvalidInput, match="another source"):
        source.search("apple")
