"""The order of price sources, and that asking never waits."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from dashtrade.brokers.simulator.prices import BackgroundFeed, FixedFeed, Prices
from dashtrade.domain.market import Quote
from dashtrade.errors import SourceUnreachable, UnknownSymbol


class Clock:
    def __init__(self) -> None:
        self.time = datetime(2024, 7, 2, 15, tzinfo=UTC)

    def now(self) -> datetime:
        return self.time

    def add(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)


class Source:
    """Answers when it is let."""

    def __init__(self, clock: Clock, key: str = "market", simulated: bool = False) -> None:
        self.clock, self.key, self.simulated = clock, key, simulated
        self.asked: list[str] = []
        self.price = Decimal(10)
        self.error: Exception | None = None
        self.gate = threading.Event()
        self.gate.set()

    def latest(self, symbols: Sequence[str]) -> dict[str, Quote]:
        self.asked += symbols
        assert self.gate.wait(10)
        if self.error is not None:
            raise self.error
        return {s: Quote(s, self.price, self.clock.now(), self.key, simulated=self.simulated) for s in symbols}


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_a_source_that_hangs_delays_nobody_and_its_price_comes_later() -> None:
    clock = Clock()
    source = Source(clock)
    source.gate.clear()
    feed = BackgroundFeed(source.latest, clock)
    heard: list[str] = []
    feed.subscribe(heard.append)
    assert feed.price("AAPL") is None
    assert feed.pending("AAPL")
    source.gate.set()
    until(lambda: heard)
    price = feed.price("AAPL")
    assert price is not None and (price.price, price.source) == (10, "market")
    feed.close()


def test_a_failure_is_remembered_for_a_minute_and_an_old_quote_is_not_used() -> None:
    clock = Clock()
    source = Source(clock)
    feed = BackgroundFeed(source.latest, clock)
    source.error = UnknownSymbol("market", "no such symbol")
    heard: list[str] = []
    feed.subscribe(heard.append)
    feed.price("AAPL")
    until(lambda: heard)
    clock.add(59)
    assert feed.price("AAPL") is None and source.asked == ["AAPL"]
    assert not feed.pending("AAPL")
    clock.add(2)
    source.error = None
    feed.price("AAPL")
    until(lambda: len(heard) == 2)
    assert feed.price("AAPL") is not None
    clock.add(61)
    source.error = UnknownSymbol("market", "gone")
    assert feed.price("AAPL") is None
    feed.close()


def test_an_unreachable_source_is_not_asked_for_another_symbol_either() -> None:
    clock = Clock()
    source = Source(clock)
    source.error = SourceUnreachable("market", "no network")
    feed = BackgroundFeed(source.latest, clock)
    heard: list[str] = []
    feed.subscribe(heard.append)
    feed.price("AAPL")
    until(lambda: heard)
    assert feed.price("MSFT") is None and not feed.pending("MSFT")
    assert source.asked == ["AAPL"]
    feed.close()


def test_hints_go_first_each_account_has_its_own_and_they_grow_old() -> None:
    clock = Clock()
    prices = Prices([FixedFeed({"AAPL": 100})], clock)
    prices.hint("AAPL", Decimal(150), clock.now(), "SIM-1")

    def seen(account: str) -> tuple[Decimal, str]:
        found = prices.price("AAPL", account)
        assert found is not None
        return found.price, found.source

    assert seen("SIM-1") == (150, "hint")
    assert seen("SIM-2") == (100, "fixed")
    clock.add(61)
    assert seen("SIM-1") == (100, "fixed")


def test_an_old_hint_goes_before_made_up_prices_but_not_before_the_market() -> None:
    clock = Clock()
    sample = FixedFeed(source="sample")
    sample.set("AAPL", 430, clock.now(), simulated=True)
    market = FixedFeed(source="market")
    prices = Prices([market, sample], clock)
    prices.hint("AAPL", Decimal("145.50"), clock.now(), "SIM-1")
    clock.add(3600)

    def seen(account: str) -> tuple[Decimal, str]:
        found = prices.price("AAPL", account)
        assert found is not None
        return found.price, found.source

    assert seen("SIM-1") == (Decimal("145.50"), "hint")
    assert seen("SIM-2") == (430, "sample")
    market.set("AAPL", 150, clock.now())
    assert seen("SIM-1") == (150, "market")


def test_the_next_source_is_used_once_the_first_has_had_its_time() -> None:
    clock = Clock()
    market, sample = Source(clock), Source(clock, "sample", simulated=True)
    market.gate.clear()
    feeds = [BackgroundFeed(market.latest, clock), BackgroundFeed(sample.latest, clock)]
    prices = Prices(feeds, clock)
    heard: list[str] = []
    prices.subscribe(heard.append)
    assert prices.price("AAPL", waited=True) is None
    until(lambda: heard)
    assert prices.price("AAPL", waited=False) is None
    found = prices.price("AAPL", waited=True)
    assert found is not None and found.source == "sample"
    market.gate.set()
    until(lambda: len(heard) == 2)
    found = prices.price("AAPL")
    assert found is not None and found.source == "market"
    # what is held at simulated prices keeps them
    kept = prices.price("AAPL", simulated=True)
    assert kept is not None and kept.source == "sample"
    for feed in feeds:
        feed.close()
