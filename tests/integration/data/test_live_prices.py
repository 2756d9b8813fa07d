"""One poller for everybody: interest, prices, notices, pace, failures, and the lock that keeps it one."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from price_servers import wait_until
from sqlalchemy import Engine

from dashtrade.data.sample import SampleSource
from dashtrade.data.sessions import ExchangeHours
from dashtrade.db.engine import make_engine
from dashtrade.db.listen import Listener
from dashtrade.domain.market import Quote
from dashtrade.errors import RateLimited, SourceUnreachable
from dashtrade.services.live import CHANNEL, LivePoller, LivePrices
from dashtrade.services.market import MarketData

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
