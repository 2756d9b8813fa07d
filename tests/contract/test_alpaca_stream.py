"""The real alpaca-py streaming clients against a loopback server that speaks the stream's protocol (msgpack)."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from alpaca_stream_server import CRYPTO, MOMENT, SECRET, STOCKS, StreamServer, stream_server
from price_servers import wait_until
from pydantic import SecretStr

from dashtrade.data.alpaca_stream import MOST_SYMBOLS, TradeStream
from dashtrade.domain.market import Quote


@pytest.fixture
def server() -> Iterator[StreamServer]:
    with stream_server() as local:
        yield local


@pytest.fixture
def stream(server: StreamServer) -> Iterator[TradeStream]:
    made = TradeStream(SecretStr("KEYID"), SecretStr(SECRET), url=server.url, silence=1.0, backoff=(0.05, 0.1))
    yield made
    made.close()


def subscribed(server: StreamServer, path: str, *tickers: str) -> bool:
    return wait_until(lambda: server.subscribed.get(path) == set(tickers))


def taken(stream: TradeStream) -> list[Quote]:
    found: list[Quote] = []
    assert wait_until(lambda: bool(found.extend(stream.take()) or found))
    return found


def test_trades_of_stocks_and_crypto_arrive(server: StreamServer, stream: TradeStream) -> None:
    stream.follow(["AAPL", "BRK-B", "BTC-USD"])
    assert subscribed(server, STOCKS, "AAPL", "BRK.B")
    assert subscribed(server, CRYPTO, "BTC/USD")
    assert server.signed[0]["key"] == "KEYID"
    assert not stream.alive("AAPL")
    server.trade(STOCKS, "BRK.B", 363.21)
    (quote,) = taken(stream)
    assert (quote.symbol, quote.price, quote.source) == ("BRK-B", Decimal("363.21"), "alpaca")
    assert quote.time == datetime(2024, 1, 8, 15, 0, 42, 123456, tzinfo=UTC)
    assert (quote.delay_seconds, quote.simulated) == (0, False)
    server.trade(CRYPTO, "BTC/USD", 45000.25)
    assert taken(stream)[0].symbol == "BTC-USD"
    assert wait_until(lambda: stream.alive("AAPL") and stream.alive("BTC-USD"))
    assert not stream.alive("MSFT")
    assert stream.take() == []


def test_only_the_newest_trade_is_kept(server: StreamServer, stream: TradeStream) -> None:
    stream.follow(["AAPL", "MSFT"])
    assert subscribed(server, STOCKS, "AAPL", "MSFT")
    server.trade(STOCKS, "AAPL", 10.0, MOMENT)
    server.trade(STOCKS, "AAPL", 11.0, MOMENT + 1)
    server.trade(STOCKS, "AAPL", 9.0, MOMENT - 5)  # reported late
    server.trade(STOCKS, "MSFT", 1.0)
    found: dict[str, Decimal] = {}

    def both() -> bool:
        found.update({quote.symbol: quote.price for quote in stream.take()})
        return "MSFT" in found

    assert wait_until(both)
    assert found == {"AAPL": Decimal("11.0"), "MSFT": Decimal("1.0")}


def test_symbols_come_and_go_on_one_connection(server: StreamServer, stream: TradeStream) -> None:
    stream.follow(["AAPL"])
    assert subscribed(server, STOCKS, "AAPL")
    assert wait_until(lambda: (stream.follow(["MSFT", "IBM"]), server.subscribed[STOCKS] == {"MSFT", "IBM"})[1])
    assert server.opened == [STOCKS]
    stream.follow([])
    assert wait_until(lambda: server.sockets[STOCKS].state.name == "CLOSED")
    assert not stream.alive("MSFT")


def test_a_lost_connection_comes_back_with_its_symbols(server: StreamServer, stream: TradeStream) -> None:
    stream.follow(["AAPL"])
    assert subscribed(server, STOCKS, "AAPL")
    server.trade(STOCKS, "AAPL", 10.0)
    taken(stream)
    server.subscribed.clear()
    server.cut(STOCKS)
    assert wait_until(lambda: server.opened == [STOCKS, STOCKS])
    assert subscribed(server, STOCKS, "AAPL")
    server.trade(STOCKS, "AAPL", 12.0, MOMENT + 9)
    assert taken(stream)[0].price == Decimal("12.0")


def test_a_silent_socket_is_not_alive_and_is_opened_anew(server: StreamServer, stream: TradeStream) -> None:
    stream.follow(["AAPL"])
    assert subscribed(server, STOCKS, "AAPL")
    server.trade(STOCKS, "AAPL", 10.0)
    assert wait_until(lambda: stream.alive("AAPL"))
    assert wait_until(lambda: not stream.alive("AAPL"))
    assert wait_until(lambda: len(server.opened) >= 2)


def test_a_server_that_says_nothing_is_left(
    server: StreamServer, stream: TradeStream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dashtrade.data.alpaca_stream._OPENING", 0.2)
    server.mute = True
    stream.follow(["AAPL"])
    assert wait_until(lambda: len(server.opened) >= 2)
    assert not stream.alive("AAPL")
    server.mute = False
    assert subscribed(server, STOCKS, "AAPL")


def test_refused_keys_are_tried_again_and_never_logged(
    server: StreamServer, stream: TradeStream, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    server.refuse = True
    stream.follow(["AAPL"])
    assert wait_until(lambda: len(server.signed) >= 2)
    assert not stream.alive("AAPL")
    assert "auth failed" in caplog.text
    assert SECRET not in caplog.text
    assert SECRET not in repr(stream)


def test_unreadable_trades_are_passed_over(server: StreamServer, stream: TradeStream) -> None:
    stream.follow(["AAPL"])
    assert subscribed(server, STOCKS, "AAPL")
    for wrong in ({"p": None}, {"p": "much"}, {"t": "yesterday"}, {"p": -1.0}, {"S": "ELSE"}):
        server.trade(STOCKS, "AAPL", 10.0, **wrong)
    server.trade(STOCKS, "AAPL", 13.0)
    assert [quote.price for quote in taken(stream)] == [Decimal("13.0")]
    assert server.opened == [STOCKS]


def test_the_plans_number_of_symbols_is_kept(server: StreamServer, stream: TradeStream) -> None:
    stream.follow([f"S{i}" for i in range(MOST_SYMBOLS + 5)])
    assert wait_until(lambda: len(server.subscribed.get(STOCKS, ())) == MOST_SYMBOLS)


def test_following_never_waits(server: StreamServer, stream: TradeStream) -> None:
    server.mute = True
    began = threading.Event()

    def follow() -> None:
        for symbols in (["AAPL"], ["MSFT"], ["IBM", "AAPL"], []):
            stream.follow(symbols)
            time.sleep(0.05)
        began.set()

    threading.Thread(target=follow, daemon=True).start()
    assert began.wait(5)
