"""The real yfinance client against a loopback server: right frames, and every failure told apart."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pandas as pd
import pytest
from price_servers import (
    SHARED,
    LocalServer,
    Reply,
    chart,
    chart_error,
    seconds,
    serving,
    yahoo,
)

from dashtrade.data.yahoo import YahooSource
from dashtrade.domain.market import HistoryRequest
from dashtrade.errors import (
    BadAnswer,
    InvalidInput,
    NoDataInRange,
    RateLimited,
    SourceError,
    SourceUnreachable,
    UnknownSymbol,
)

RANGE = {"start": datetime(2024, 1, 2, tzinfo=UTC), "end": datetime(2024, 1, 6, tzinfo=UTC)}
DAYS = [seconds(f"2024-01-0{day}T14:30") for day in (2, 3, 4, 5)]
CLOSES = [185.64, 184.25, 181.91, 181.18]
NOW = datetime(2024, 1, 8, 15, 0, tzinfo=UTC)


@pytest.fixture
def server() -> Iterator[LocalServer]:
    with serving(yahoo({"AAPL": Reply(chart("AAPL", DAYS, CLOSES))})) as local:
        yield local


@pytest.fixture
def source(server: LocalServer, tmp_path: Path) -> YahooSource:
    return YahooSource(url=server.url, cache_dir=tmp_path / "yf", answer_seconds=0.5, now=lambda: NOW)


def test_daily_bars(source: YahooSource) -> None:
    bars = source.history(HistoryRequest.parse("AAPL", **RANGE))
    assert list(bars.columns) == ["open", "high", "low", "close", "volume"]
    assert bars.index.name == "time"
    assert str(bars.index.tz) == "UTC"
    assert [str(day.date()) for day in bars.index] == ["2024-01-02", "2024-01-03", "2024-01-04", "2024-01-05"]
    assert (bars.index == bars.index.normalize()).all()
    assert bars["close"].tolist() == pytest.approx(CLOSES)
    assert bars["high"].tolist() == pytest.approx([c + 2 for c in CLOSES])
    assert bars["volume"].tolist() == [1000, 1001, 1002, 1003]
    assert bars.attrs["source"] == "yahoo"
    assert bars.attrs["adjustment"] == "splits and dividends"
    assert bars.attrs["simulated"] is False
    assert bars.attrs["last_bar_closed"] is True
    assert bars.attrs["fetched_at"] == "2024-01-08T15:00:00+00:00"
    assert bars.attrs["quality"]["missing_sessions"] == 0


def test_prices_are_adjusted_by_yahoos_factor(server: LocalServer, source: YahooSource) -> None:
    adjusted = [c / 2 for c in CLOSES[:2]] + CLOSES[2:]
    server.answer = yahoo({"AAPL": Reply(chart("AAPL", DAYS, CLOSES, adjusted=adjusted))})
    bars = source.history(HistoryRequest.parse("AAPL", **RANGE))
    assert bars["close"].tolist() == pytest.approx(adjusted)
    assert bars["open"].iloc[0] == pytest.approx((CLOSES[0] - 1) / 2)


def test_faults_are_mended_and_counted(server: LocalServer, source: YahooSource) -> None:
    body = json.loads(chart("AAPL", DAYS, CLOSES))
    quote = body["chart"]["result"][0]["indicators"]["quote"][0]
    quote["high"][1] = 1.0
    quote["open"][2] = None
    server.answer = yahoo({"AAPL": Reply(json.dumps(body).encode())})
    bars = source.history(HistoryRequest.parse("AAPL", **RANGE))
    assert bars.attrs["quality"]["not_enclosing"] == 1
    assert bars.attrs["quality"]["empty_cells"] == 1
    assert bars["open"].iloc[2] == pytest.approx(CLOSES[2] + 2)  # the close before, held inside the bar's range
    assert (bars["high"] >= bars[["open", "close"]].max(axis=1)).all()


def test_a_missing_day_is_counted(server: LocalServer, source: YahooSource) -> None:
    server.answer = yahoo({"AAPL": Reply(chart("AAPL", [DAYS[0], DAYS[1], DAYS[3]], CLOSES[:3]))})
    bars = source.history(HistoryRequest.parse("AAPL", **RANGE))
    assert bars.attrs["quality"]["missing_sessions"] == 1
    assert bars.attrs["quality"]["off_session"] == 0


def test_weeks_are_made_from_days(server: LocalServer, source: YahooSource) -> None:
    bars = source.history(HistoryRequest.parse("AAPL", interval="1wk", **RANGE))
    assert [str(day.date()) for day in bars.index] == ["2024-01-01"]
    asked = server.paths("/chart/AAPL")[-1].query
    assert asked["interval"] == "1d"
    assert int(asked["period1"]) <= seconds("2024-01-01T00:00")


def test_four_hours_start_with_the_session(server: LocalServer, source: YahooSource) -> None:
    hours = [seconds(f"2024-01-05T{hour}:30") for hour in (14, 15, 16, 17, 18, 19, 20)]
    regular = (seconds("2024-01-05T14:30"), seconds("2024-01-05T21:00"))
    closes = [10.0, 11.0, 12.0, 13.0, 14.0, 15.0, 16.0]
    server.answer = yahoo({"AAPL": Reply(chart("AAPL", hours, closes, interval="1h", regular=regular))})
    request = HistoryRequest.parse(
        "AAPL", "4h", start=datetime(2024, 1, 5, tzinfo=UTC), end=datetime(2024, 1, 6, tzinfo=UTC)
    )
    bars = source.history(request)
    assert [f"{t:%H:%M}" for t in bars.index] == ["14:30", "18:30"]
    assert bars["open"].tolist() == [9.0, 13.0]
    assert bars["close"].tolist() == [13.0, 16.0]
    assert bars["high"].tolist() == [15.0, 18.0]
    assert bars["low"].tolist() == [8.0, 12.0]
    assert bars["volume"].tolist() == [1000 + 1001 + 1002 + 1003, 1004 + 1005 + 1006]
    assert bars.attrs["adjustment"] == "splits"


@pytest.mark.parametrize(
    ("interval", "period", "limit"),
    [("1m", "1mo", "8 days"), ("5m", "1y", "60 days"), ("90m", "3mo", "60 days"), ("4h", "5y", "730 days")],
)
def test_impossible_pairs_are_refused_before_the_call(
    server: LocalServer, source: YahooSource, interval: str, period: str, limit: str
) -> None:
    with pytest.raises(InvalidInput, match=limit) as caught:
        source.history(HistoryRequest.parse("AAPL", interval, period))
    assert caught.value.field == "period"
    assert period not in (caught.value.allowed or ())
    assert "1d" in (caught.value.allowed or ())
    assert server.asked == []


def test_a_start_too_long_ago_is_refused_before_the_call(server: LocalServer, source: YahooSource) -> None:
    with pytest.raises(InvalidInput, match="60 days"):
        source.history(HistoryRequest.parse("AAPL", "15m", start=datetime(2023, 1, 1, tzinfo=UTC)))
    assert server.asked == []


HTML = b"<!DOCTYPE html><html><body>Sorry</body></html>"
GOOD = chart("AAPL", DAYS, CLOSES)
NO_RANGE = "Data doesn't exist for startDate = 1, endDate = 2"

FAILURES: dict[str, tuple[Reply, type[SourceError]]] = {
    "unknown symbol": (Reply(chart_error("Not Found", "No data found, symbol may be delisted"), 404), UnknownSymbol),
    "no data in range": (Reply(chart_error("Bad Request", NO_RANGE), 400), NoDataInRange),
    "no bars at all": (Reply(chart("AAPL", [], [])), NoDataInRange),
    "rate limited": (Reply(b"Too Many Requests", 429, "text/plain", {"Retry-After": "17"}), RateLimited),
    "HTML": (Reply(HTML, kind="text/html"), BadAnswer),
    "truncated JSON": (Reply(GOOD[: len(GOOD) // 2]), BadAnswer),
    "JSON of something else": (Reply(b'{"finance": {}}'), BadAnswer),
    "empty body": (Reply(b""), BadAnswer),
    "HTTP 500": (Reply(b"oops", 500, "text/plain"), SourceUnreachable),
    "HTTP 503 as HTML": (Reply(HTML, 503, "text/html"), SourceUnreachable),
    "HTTP 403": (Reply(HTML, 403, "text/html"), BadAnswer),
    "reset": (Reply(fault="reset"), SourceUnreachable),
    "no answer in time": (Reply(fault="hang"), SourceUnreachable),
    "body too slow": (Reply(GOOD, fault="slow"), SourceUnreachable),
    "body cut off": (Reply(GOOD, fault="short"), SourceUnreachable),
}


@pytest.mark.parametrize("name", FAILURES)
def test_failures_are_told_apart(server: LocalServer, source: YahooSource, name: str) -> None:
    reply, expected = FAILURES[name]
    server.answer = yahoo({"AAPL": reply})
    with pytest.raises(SourceError) as caught:
        source.history(HistoryRequest.parse("AAPL", **RANGE))
    assert type(caught.value) is expected, str(caught.value)
    assert caught.value.source == "yahoo"
    if isinstance(caught.value, RateLimited):
        assert caught.value.retry_after == 17.0
        assert "17 seconds" in str(caught.value)


@pytest.mark.parametrize("name", ["HTTP 500", "rate limited", "truncated JSON", "no answer in time"])
def test_a_failure_is_not_remembered(server: LocalServer, source: YahooSource, name: str) -> None:
    server.answer = yahoo({"AAPL": FAILURES[name][0]})
    with pytest.raises(SourceError):
        source.history(HistoryRequest.parse("AAPL", **RANGE))
    server.released.set()
    server.answer = yahoo({"AAPL": Reply(GOOD)})
    assert len(source.history(HistoryRequest.parse("AAPL", **RANGE))) == 4


def test_nobody_listens(tmp_path: Path) -> None:
    with serving(yahoo({})) as local:
        url = local.url
    source = YahooSource(url=url, cache_dir=tmp_path)
    with pytest.raises(SourceUnreachable, match="sample data"):
        source.history(HistoryRequest.parse("AAPL", "1d", "1y"))


def test_a_broken_crumb_does_not_matter_for_bars(server: LocalServer, source: YahooSource) -> None:
    good = server.answer

    def answer(asked):
        return Reply(HTML, 500, "text/html") if asked.path == "/v1/test/getcrumb" else good(asked)

    server.answer = answer
    assert len(source.history(HistoryRequest.parse("AAPL", **RANGE))) == 4


def test_latest_prices_come_in_one_request(server: LocalServer, source: YahooSource) -> None:
    rows = [
        {"symbol": "AAPL", "regularMarketPrice": 244.6, "regularMarketTime": 1739566800, "exchangeDataDelayedBy": 0},
        {"symbol": "VOD.L", "regularMarketPrice": 68.5, "regularMarketTime": 1739566700, "exchangeDataDelayedBy": 15},
    ]
    body = json.dumps({"quoteResponse": {"result": rows, "error": None}}).encode()
    server.answer = yahoo({}, {"/v7/finance/quote": Reply(body)})
    quotes = source.latest(["AAPL", "VOD.L", "NOPE"])
    assert set(quotes) == {"AAPL", "VOD.L"}
    assert quotes["AAPL"].price == Decimal("244.6")
    assert quotes["AAPL"].time == datetime(2025, 2, 14, 21, 0, tzinfo=UTC)
    assert quotes["VOD.L"].delay_seconds == 900
    asked = server.paths("/v7/finance/quote")
    assert len(asked) == 1
    assert asked[0].query["symbols"] == "AAPL,VOD.L,NOPE"


def test_search_and_news(server: LocalServer, source: YahooSource) -> None:
    body = {
        "quotes": [
            {"symbol": "AAPL", "longname": "Apple Inc.", "exchDisp": "NASDAQ", "quoteType": "EQUITY"},
            {"name": "not a symbol"},
        ],
        "news": [
            {"title": "Old", "link": "https://example.org/1", "publisher": "P", "providerPublishTime": 1700000000},
            {"title": "New", "link": "https://example.org/2", "publisher": "P", "providerPublishTime": 1700000100},
        ],
    }
    server.answer = yahoo({}, {"/v1/finance/search": Reply(json.dumps(body).encode())})
    found = source.search("apple")
    assert [(m.symbol, m.name, m.exchange, m.kind) for m in found] == [("AAPL", "Apple Inc.", "NASDAQ", "equity")]
    assert [item.title for item in source.news("AAPL")] == ["New", "Old"]


def test_corporate_actions(server: LocalServer, source: YahooSource) -> None:
    events = {
        "dividends": {str(DAYS[1]): {"amount": 0.24, "date": DAYS[1]}},
        "splits": {str(DAYS[2]): {"date": DAYS[2], "numerator": 4, "denominator": 1, "splitRatio": "4:1"}},
    }
    server.answer = yahoo({"AAPL": Reply(chart("AAPL", DAYS, CLOSES, events=events))})
    actions = source.actions("AAPL")
    assert [(str(a.day), a.kind, a.value) for a in actions] == [
        ("2024-01-03", "dividend", Decimal("0.24")),
        ("2024-01-04", "split", Decimal("4.0")),
    ]


def test_fundamentals(server: LocalServer, source: YahooSource) -> None:
    summary = {
        "assetProfile": {"sector": "Technology", "industry": "Consumer Electronics", "country": "United States"},
        "price": {
            "longName": "Apple Inc.", "quoteType": "EQUITY", "currency": "USD", "exchangeName": "NasdaqGS",
            "marketCap": 3_700_000_000_000,
        },
    }  # fmt: skip
    body = json.dumps({"quoteSummary": {"result": [summary], "error": None}}).encode()
    server.answer = yahoo({}, {"/v10/finance/quoteSummary/AAPL": Reply(body)})
    facts = source.fundamentals("AAPL")
    assert (facts.name, facts.exchange, facts.currency) == ("Apple Inc.", "NasdaqGS", "USD")
    assert (facts.sector, facts.industry, facts.country) == ("Technology", "Consumer Electronics", "United States")
    assert facts.kind == "equity"
    assert facts.market_cap == Decimal(3_700_000_000_000)


@pytest.mark.parametrize("ask", ["latest", "search", "news", "actions", "fundamentals"])
@pytest.mark.parametrize("fault", ["reset", "500", "HTML", "429"])
def test_every_question_fails_in_a_typed_way(server: LocalServer, source: YahooSource, ask: str, fault: str) -> None:
    reply = {
        "reset": Reply(fault="reset"),
        "500": Reply(b"oops", 500),
        "HTML": Reply(HTML, kind="text/html"),
        "429": Reply(b"Too Many Requests", 429, headers={"Retry-After": "17"}),
    }[fault]
    server.answer = lambda asked: reply
    expected = {"reset": SourceUnreachable, "500": SourceUnreachable, "429": RateLimited, "HTML": BadAnswer}[fault]
    with pytest.raises(SourceError) as caught:
        getattr(source, ask)(["AAPL"] if ask == "latest" else "AAPL")
    assert type(caught.value) is expected, str(caught.value)


def test_zones_and_cookies_stay_in_the_given_folder(server: LocalServer, tmp_path: Path) -> None:
    # In a process of its own: yfinance chooses the place once per process.
    home, folder = tmp_path / "home", tmp_path / "yf"
    home.mkdir()
    program = f"""
from datetime import UTC, datetime
from pathlib import Path
from dashtrade.data.yahoo import YahooSource
from dashtrade.domain.market import HistoryRequest
source = YahooSource(url={server.url!r}, cache_dir=Path({str(folder)!r}))
start, end = datetime(2024, 1, 2, tzinfo=UTC), datetime(2024, 1, 6, tzinfo=UTC)
print(len(source.history(HistoryRequest.parse("AAPL", start=start, end=end))))
"""
    environment = {**os.environ, "HOME": str(home), "XDG_CACHE_HOME": str(home / "cache")}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "4", done.stderr
    assert done.stderr == ""
    assert any(folder.iterdir())
    assert not [path for path in home.rglob("*") if path.is_file()]


@pytest.mark.shared
@pytest.mark.skipif(not SHARED.is_dir(), reason="the recorded bodies are not beside the checkout")
@pytest.mark.parametrize(
    ("file", "symbol", "start", "end", "rows", "first_close"),
    [
        # Rows and closes read off the recorded bodies; AAPL's close of 2020-08-31 is 129.04 before dividends.
        ("chart-AAPL-2020-08-31-to-2020-11-07", "AAPL", "2020-08-31", "2020-11-07", 49, None),
        ("historical-via-chart-NVDA-split-2021-02-01-to-2022-01-31", "NVDA", "2021-02-01", "2022-01-31", 252, None),
        ("chart-BTC-USD-2020-01-01-to-2020-01-03", "BTC-USD", "2020-01-01", "2020-01-03", 2, 7200.17),
        ("chart-EURUSD_X-2020-01-01-to-2020-01-03", "EURUSD=X", "2020-01-01", "2020-01-03", 2, 1.1221),
    ],
)
def test_recorded_bodies(
    server: LocalServer,
    source: YahooSource,
    file: str,
    symbol: str,
    start: str,
    end: str,
    rows: int,
    first_close: float,
) -> None:
    body = (SHARED / "protocol" / "yahoo" / f"{file}.body.json").read_bytes()
    server.answer = yahoo({symbol: Reply(body)})
    first, last = (datetime.fromisoformat(day).replace(tzinfo=UTC) for day in (start, end))
    bars = source.history(HistoryRequest.parse(symbol, start=first, end=last))
    assert len(bars) == rows
    assert isinstance(bars.index, pd.DatetimeIndex)
    assert bars.index[0] >= pd.Timestamp(start, tz="UTC")
    adjusted = json.loads(body)["chart"]["result"][0]["indicators"]["adjclose"][0]["adjclose"]
    assert bars["close"].iloc[-1] == pytest.approx(adjusted[rows - 1], rel=1e-6)
    if first_close is not None:
        assert bars["close"].iloc[0] == pytest.approx(first_close, rel=1e-4)
