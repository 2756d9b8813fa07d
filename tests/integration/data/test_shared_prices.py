"""Prices for everybody: from the poller where it has them, else asked for once; never one poll per page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from sqlalchemy import Engine, text

from dashtrade.data.sessions import ExchangeHours
from dashtrade.db.engine import make_engine
from dashtrade.domain.market import Quote
from dashtrade.errors import SourceUnreachable
from dashtrade.services.live import LivePoller, LivePrices
from dashtrade.services.market import MarketData
from dashtrade.services.shared_prices import SharedPrices

START = datetime(2024, 1, 3, 16, 0, tzinfo=UTC)


class World:
    """A clock, two sources that note what they are asked, the poller, and pages."""

    def __init__(self, engine: Engine) -> None:
        self.now = START
        self.engine = engine
        self.feeds = {key: Feed(key, self) for key in ("yahoo", "alpaca", "alpha_vantage")}
        self.prices = LivePrices(engine, lambda: self.now)
        self.poller = LivePoller(self.prices, lambda: self.market("yahoo"), ExchangeHours(), now=lambda: self.now)

    def market(self, *order: str) -> MarketData:
        return MarketData(self.feeds, order, clock=self.seconds)  # type: ignore[arg-type]

    def seconds(self) -> float:
        return (self.now - START).total_seconds()

    def page(self, *order: str) -> SharedPrices:
        made = self.market(*order)
        return SharedPrices(self.prices, lambda: made, order, clock=self.seconds)


class Feed:
    label = "Feed"

    def __init__(self, key: str, world: World) -> None:
        self.key, self.world = key, world
        self.asked: list[list[str]] = []
        self.error: Exception | None = None

    def latest(self, symbols: Sequence[str]) -> dict[str, Quote]:
        self.asked.append(list(symbols))
        if self.error is not None:
            raise self.error
        price = Decimal("10") + Decimal(int(self.world.seconds()))
        return {s: Quote(s, price, self.world.now, self.key) for s in symbols}


@pytest.fixture
def world(database_url: str) -> Iterator[World]:
    engine = make_engine(database_url)
    yield World(engine)
    engine.dispose()


def test_ten_pages_ask_once_each_and_then_one_process_polls(world: World) -> None:
    pages = [world.page("yahoo") for _ in range(10)]
    for page in pages:
        assert page.latest(["AAPL", "MSFT"])["AAPL"].price == Decimal("10")
    assert len(world.feeds["yahoo"].asked) == 10
    for _ in range(60):
        world.poller.poll()
        for page in pages:
            assert set(page.latest(["AAPL", "MSFT"])) == {"AAPL", "MSFT"}
        world.now += timedelta(seconds=1)
    # A poll every ten seconds, whatever the number of pages; alone they would have asked 60 times.
    assert len(world.feeds["yahoo"].asked) == 10 + 6
    assert pages[0].latest(["AAPL"])["AAPL"].price == Decimal("60")


def test_a_page_that_opens_later_asks_nobody(world: World) -> None:
    world.page("yahoo").latest(["AAPL"])
    world.poller.poll()
    asked = len(world.feeds["yahoo"].asked)
    assert world.page("yahoo").latest(["AAPL"])["AAPL"].source == "yahoo"
    assert len(world.feeds["yahoo"].asked) == asked


def test_without_a_poller_prices_go_on_at_its_pace(world: World) -> None:
    page = world.page("yahoo")
    seen = []
    for _ in range(30):
        seen.append(page.latest(["AAPL"])["AAPL"].price)
        world.now += timedelta(seconds=1)
    assert len(world.feeds["yahoo"].asked) == 3
    assert sorted(set(seen)) == [Decimal("10"), Decimal("20"), Decimal("30")]


def test_an_old_shared_price_is_asked_for_again(world: World) -> None:
    page = world.page("yahoo")
    world.prices.write([Quote("AAPL", Decimal("5"), START, "yahoo")])
    world.now += timedelta(seconds=20)
    assert page.latest(["AAPL"])["AAPL"].price == Decimal("5")
    assert page.latest(["AAPL"], max_age=timedelta(seconds=15))["AAPL"].price == Decimal("30")


def test_the_source_that_stands_in_is_polled_too(world: World) -> None:
    world.feeds["yahoo"].error = SourceUnreachable("yahoo", "down")
    page = world.page("yahoo", "alpaca")
    assert page.latest(["AAPL"])["AAPL"].source == "alpaca"
    for _ in range(60):
        world.poller.poll()
        assert page.latest(["AAPL"])["AAPL"].source == "alpaca"
        world.now += timedelta(seconds=1)
    # Once directly for Yahoo; then the poller, which leaves a failing source alone for a while.
    assert len(world.feeds["yahoo"].asked) <= 4
    world.feeds["yahoo"].error = None
    for _ in range(45):
        world.poller.poll()
        world.now += timedelta(seconds=1)
        found = page.latest(["AAPL"])
    assert found["AAPL"].source == "yahoo"


def test_a_failure_is_told_and_not_repeated_at_every_look(world: World) -> None:
    world.feeds["yahoo"].error = SourceUnreachable("yahoo", "down")
    page = world.page("yahoo")
    for _ in range(5):
        with pytest.raises(SourceUnreachable, match="down"):
            page.latest(["AAPL"])
        world.now += timedelta(seconds=1)
    assert len(world.feeds["yahoo"].asked) == 1


def test_what_is_known_is_given_in_spite_of_a_failure(world: World) -> None:
    page = world.page("yahoo")
    page.latest(["AAPL"])
    world.poller.poll()
    world.feeds["yahoo"].error = SourceUnreachable("yahoo", "down")
    assert set(page.latest(["AAPL", "MSFT"])) == {"AAPL"}


def test_a_source_with_a_budget_is_asked_once_a_minute(world: World) -> None:
    page = world.page("alpha_vantage")
    for _ in range(120):
        assert page.latest(["IBM"])["IBM"].source == "alpha_vantage"
        world.now += timedelta(seconds=1)
    assert len(world.feeds["alpha_vantage"].asked) == 2


def test_without_the_shared_table_the_source_is_asked(world: World) -> None:
    with world.engine.begin() as connection:
        connection.execute(text("DROP TABLE live_prices"))
    assert world.page("yahoo").latest(["AAPL"])["AAPL"].price == Decimal("10")
