"""One poller for everybody: interest, prices, notices, pace, failures, and the lock that keeps it one."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from alpaca_stream_server import CRYPTO, SECRET, stream_server
from price_servers import wait_until
from sqlalchemy import Engine

from dashtrade import bootstrap
from dashtrade.data.sample import SampleSource
from dashtrade.data.sessions import ExchangeHours
from dashtrade.db.engine import make_engine
from dashtrade.db.listen import Listener
from dashtrade.domain.market import Quote
from dashtrade.errors import RateLimited, SourceUnreachable
from dashtrade.services.live import CHANNEL, LivePoller, LivePrices
from dashtrade.services.market import MarketData
from dashtrade.settings import load_settings

OPEN = datetime(2024, 1, 3, 16, 0, tzinfo=UTC)


class Clock:
    def __init__(self, now: datetime) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now


class Feed:
    """A source whose prices a test sets, and which notes what it was asked."""

    label = "Feed"

    def __init__(self, key: str, clock: Clock) -> None:
        self.key = key
        self.clock = clock
        self.price = Decimal("10.5")
        self.asked: list[list[str]] = []
        self.error: Exception | None = None

    def latest(self, symbols: Sequence[str]) -> dict[str, Quote]:
        self.asked.append(list(symbols))
        if self.error is not None:
            raise self.error
        return {s: Quote(s, self.price, self.clock.now, self.key) for s in symbols}


@pytest.fixture
def engine(database_url: str):
    made = make_engine(database_url)
    yield made
    made.dispose()


@pytest.fixture
def clock() -> Clock:
    return Clock(OPEN)


@pytest.fixture
def feed(clock: Clock) -> Feed:
    return Feed("yahoo", clock)


@pytest.fixture
def prices(engine: Engine, clock: Clock) -> LivePrices:
    return LivePrices(engine, clock)


@pytest.fixture
def poller(prices: LivePrices, feed: Feed, clock: Clock) -> LivePoller:
    sources = {"yahoo": feed, "sample": SampleSource(now=clock), "alpha_vantage": Feed("alpha_vantage", clock)}
    monotonic = iter(range(0, 10**6, 100))
    market = MarketData(sources, ("yahoo",), clock=lambda: float(next(monotonic)))
    return LivePoller(prices, lambda: market, ExchangeHours(), now=clock)


def test_a_wish_is_served_in_one_call(prices: LivePrices, poller: LivePoller, feed: Feed) -> None:
    assert prices.latest(["MSFT", "AAPL", "AAPL"], "yahoo") == {}
    assert poller.poll() == 2
    assert feed.asked == [["AAPL", "MSFT"]]
    found = prices.latest(["AAPL", "MSFT", "IBM"], "yahoo")
    assert {s: q.price for s, q in found.items()} == {"AAPL": Decimal("10.5"), "MSFT": Decimal("10.5")}
    assert found["AAPL"].time == OPEN


def test_nobody_looks_nobody_asks(prices: LivePrices, poller: LivePoller, feed: Feed, clock: Clock) -> None:
    assert poller.poll() == 0
    prices.latest(["AAPL"], "yahoo")
    clock.now += timedelta(seconds=61)
    assert poller.poll() == 0
    assert feed.asked == []


def test_many_pages_one_poll(prices: LivePrices, poller: LivePoller, feed: Feed, clock: Clock) -> None:
    for _ in range(20):
        prices.latest(["AAPL"], "yahoo")
        poller.poll()
    assert len(feed.asked) == 1
    clock.now += timedelta(seconds=10)
    feed.price = Decimal("11")
    poller.poll()
    assert len(feed.asked) == 2
    assert prices.latest(["AAPL"], "yahoo")["AAPL"].price == Decimal("11")


def test_a_closed_market_is_asked_seldom(prices: LivePrices, poller: LivePoller, feed: Feed, clock: Clock) -> None:
    clock.now = datetime(2024, 1, 6, 16, 0, tzinfo=UTC)  # a Saturday
    for _ in range(12):
        prices.latest(["AAPL", "BTC-USD"], "yahoo")
        poller.poll()
        clock.now += timedelta(seconds=10)
    assert [symbols for symbols in feed.asked if "AAPL" in symbols] == [["AAPL", "BTC-USD"]]
    assert sum("BTC-USD" in symbols for symbols in feed.asked) == 12


def test_an_older_price_never_replaces_a_newer(prices: LivePrices) -> None:
    prices.write([Quote("AAPL", Decimal("2"), OPEN, "yahoo")])
    prices.write([Quote("AAPL", Decimal("1"), OPEN - timedelta(seconds=5), "yahoo")])
    assert prices.latest(["AAPL"], "yahoo")["AAPL"].price == Decimal("2")


def test_old_prices_are_not_given_as_live(prices: LivePrices, clock: Clock) -> None:
    prices.write([Quote("AAPL", Decimal("2"), OPEN, "yahoo")])
    clock.now += timedelta(seconds=61)
    assert prices.latest(["AAPL"], "yahoo") == {}
    assert prices.latest(["AAPL"], "yahoo", max_age=timedelta(hours=1))["AAPL"].price == Decimal("2")


def test_sources_do_not_mix(prices: LivePrices, poller: LivePoller) -> None:
    prices.latest(["AAPL"], "sample")
    prices.latest(["AAPL"], "yahoo")
    poller.poll()
    simulated, real = prices.latest(["AAPL"], "sample")["AAPL"], prices.latest(["AAPL"], "yahoo")["AAPL"]
    assert simulated.simulated is True
    assert real.simulated is False
    assert real.price == Decimal("10.5")


def test_sources_with_a_budget_are_never_polled(prices: LivePrices, poller: LivePoller) -> None:
    prices.latest(["AAPL"], "alpha_vantage")
    assert poller.poll() == 0


@pytest.mark.parametrize(
    ("error", "quiet"),
    [(SourceUnreachable("yahoo", "down"), 40), (RateLimited("yahoo", "wait", 120.0), 120)],
)
def test_a_failing_source_is_left_alone_for_a_while(
    prices: LivePrices, poller: LivePoller, feed: Feed, clock: Clock, error: Exception, quiet: int
) -> None:
    feed.error = error
    prices.latest(["AAPL"], "yahoo")
    prices.latest(["AAPL"], "sample")
    assert poller.poll() == 1  # the sample's price, in spite of Yahoo
    feed.error = None
    clock.now += timedelta(seconds=quiet - 1)
    prices.latest(["AAPL"], "yahoo")
    poller.poll()
    assert len(feed.asked) == 1
    clock.now += timedelta(seconds=1)
    poller.poll()
    assert len(feed.asked) == 2
    assert "AAPL" in prices.latest(["AAPL"], "yahoo")


def test_listeners_hear_of_it(engine: Engine, prices: LivePrices) -> None:
    heard: list[str] = []
    listener = Listener(engine, [CHANNEL], lambda channel, text: heard.append(text) if channel else None)
    listener.start()
    try:
        assert listener.connected.wait(10)
        prices.write([Quote(s, Decimal("2"), OPEN, "yahoo") for s in ("MSFT", "AAPL")])
        assert wait_until(lambda: heard == ["AAPL,MSFT"])
    finally:
        listener.stop()


def test_of_two_processes_one_polls_and_the_other_takes_over(
    engine: Engine, database_url: str, prices: LivePrices, clock: Clock
) -> None:
    asked: list[str] = []

    class Counting(Feed):
        def __init__(self, name: str) -> None:
            super().__init__("yahoo", clock)
            self.name = name

        def latest(self, symbols: Sequence[str]) -> dict[str, Quote]:
            asked.append(self.name)
            return super().latest(symbols)

    stops = {"one": threading.Event(), "two": threading.Event()}
    threads = {}
    for name, stop in stops.items():
        feed = Counting(name)
        market = MarketData({"yahoo": feed}, ("yahoo",), clock=lambda: 0.0)
        market.latest = lambda symbols, source, feed=feed: feed.latest(symbols)  # type: ignore[method-assign]
        poller = LivePoller(
            LivePrices(engine, clock), lambda m=market: m, ExchangeHours(), cadence={"yahoo": 0.0}, now=clock
        )
        threads[name] = threading.Thread(
            target=poller.run, args=(engine, stop), kwargs={"tick": 0.02, "retry": 0.1}, daemon=True
        )
    prices.latest(["AAPL"], "yahoo")
    try:
        for thread in threads.values():
            thread.start()
        assert wait_until(lambda: len(asked) > 5)
        first = asked[0]
        assert set(asked) == {first}
        stops[first].set()
        threads[first].join(10)
        assert wait_until(lambda: len(set(asked)) == 2, 15)
    finally:
        for name, stop in stops.items():
            stop.set()
            threads[name].join(10)


class Trades:
    """A stream whose trades and life a test sets."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.followed: list[str] = []
        self.living: set[str] = set()
        self.new: list[Quote] = []
        self.closed = False

    def follow(self, symbols: Sequence[str]) -> None:
        self.followed = list(symbols)

    def take(self) -> list[Quote]:
        taken, self.new = self.new, []
        return taken

    def alive(self, symbol: str) -> bool:
        return symbol in self.living

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def trades(clock: Clock) -> Trades:
    return Trades(clock)


@pytest.fixture
def streaming(prices: LivePrices, feed: Feed, trades: Trades, clock: Clock) -> LivePoller:
    monotonic = iter(range(0, 10**6, 100))
    market = MarketData({"yahoo": feed}, ("yahoo",), clock=lambda: float(next(monotonic)))
    return LivePoller(prices, lambda: market, ExchangeHours(), streams={"yahoo": lambda: trades}, now=clock)


def rounds(poller: LivePoller, prices: LivePrices, clock: Clock, seconds: int, *symbols: str) -> None:
    for _ in range(seconds):
        prices.latest(symbols, "yahoo")
        poller.poll()
        clock.now += timedelta(seconds=1)


def test_a_streams_trades_are_written_and_it_is_polled_seldom(
    prices: LivePrices, streaming: LivePoller, feed: Feed, trades: Trades, clock: Clock
) -> None:
    trades.living = {"AAPL"}
    rounds(streaming, prices, clock, 25, "AAPL")
    assert trades.followed == ["AAPL"]
    assert len(feed.asked) == 1  # one poll after 15 s; at 10 s a time there would have been three
    trades.new = [Quote("AAPL", Decimal("11.25"), clock.now, "yahoo")]
    assert streaming.poll() >= 1
    assert prices.latest(["AAPL"], "yahoo")["AAPL"].price == Decimal("11.25")


def test_a_silent_stream_is_replaced_by_polling_at_once(
    prices: LivePrices, streaming: LivePoller, feed: Feed, trades: Trades, clock: Clock
) -> None:
    trades.living = {"AAPL"}
    rounds(streaming, prices, clock, 2, "AAPL")
    assert feed.asked == []
    trades.living = set()
    rounds(streaming, prices, clock, 21, "AAPL")
    assert len(feed.asked) == 3


def test_a_stream_follows_open_markets_only_and_ends_with_the_poller(
    prices: LivePrices, streaming: LivePoller, feed: Feed, trades: Trades, clock: Clock
) -> None:
    rounds(streaming, prices, clock, 1, "AAPL", "BTC-USD")
    assert trades.followed == ["AAPL", "BTC-USD"]
    clock.now = datetime(2024, 1, 6, 16, 0, tzinfo=UTC)  # a Saturday
    rounds(streaming, prices, clock, 1, "AAPL", "BTC-USD")
    assert trades.followed == ["BTC-USD"]
    clock.now += timedelta(minutes=2)
    streaming.poll()
    assert trades.followed == []
    streaming.close()
    assert trades.closed


def test_nobody_looks_no_stream(prices: LivePrices, feed: Feed, clock: Clock) -> None:
    made: list[None] = []
    market = MarketData({"yahoo": feed}, ("yahoo",))
    poller = LivePoller(
        prices, lambda: market, ExchangeHours(), streams={"yahoo": lambda: made.append(None)}, now=clock
    )
    poller.poll()
    assert made == []
    rounds(poller, prices, clock, 1, "AAPL")
    assert made == [None]
    assert prices.latest(["AAPL"], "yahoo")["AAPL"].price == Decimal("10.5")  # without keys it is polled


def test_a_closed_markets_last_price_stays(prices: LivePrices, poller: LivePoller, feed: Feed, clock: Clock) -> None:
    clock.now = datetime(2024, 1, 6, 16, 0, tzinfo=UTC)
    prices.latest(["AAPL"], "yahoo")
    poller.poll()
    for _ in range(25):
        clock.now += timedelta(seconds=10)
        assert prices.latest(["AAPL"], "yahoo")["AAPL"].price == Decimal("10.5")
        poller.poll()
    assert len(feed.asked) == 1


def test_from_alpacas_socket_to_a_page(engine: Engine, tmp_path: Path) -> None:
    """The settings' stream, the poller's thread, the shared table: a trade reaches who looks, and nobody polled."""
    now = datetime.now(UTC)
    with stream_server() as server:
        settings = load_settings(
            data_dir=tmp_path,
            alpaca_key="KEYID",
            alpaca_secret=SECRET,
            alpaca_stream_url=server.url,
            # nobody answers polls here
            alpaca_data_url="http://127.0.0.1:9",
        )
        poller = bootstrap.live_poller(bootstrap.Runtime(settings, engine))
        poller._market = lambda: bootstrap.make_market(settings)
        prices = LivePrices(engine)
        stop = threading.Event()
        thread = threading.Thread(target=poller.run, args=(engine, stop), kwargs={"tick": 0.02}, daemon=True)
        prices.latest(["BTC-USD"], "alpaca")
        thread.start()
        try:
            assert wait_until(lambda: server.subscribed.get(CRYPTO) == {"BTC/USD"})
            server.trade(CRYPTO, "BTC/USD", 45000.25, now.timestamp())
            assert wait_until(lambda: "BTC-USD" in prices.latest(["BTC-USD"], "alpaca"))
            found = prices.latest(["BTC-USD"], "alpaca")["BTC-USD"]
            assert (found.price, found.simulated, found.delay_seconds) == (Decimal("45000.25"), False, 0)
            stop.set()
            thread.join(20)
            assert not thread.is_alive()
            assert wait_until(lambda: server.sockets[CRYPTO].state.name == "CLOSED")
        finally:
            stop.set()


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, False),
        ({"alpaca_key": "KEYID"}, False),
        ({"alpaca_key": "KEYID", "alpaca_secret": SECRET}, True),
        # a test's or a proxy's address for the data: the keys go nowhere else
        ({"alpaca_key": "KEYID", "alpaca_secret": SECRET, "alpaca_data_url": "http://127.0.0.1:9"}, False),
    ],
)
def test_a_stream_needs_keys(given: dict[str, str], expected: bool) -> None:
    assert (bootstrap.price_stream(load_settings(**given)) is not None) is expected
