"""Sessions, replays and what happens to an account from outside, through the real client."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from simulator_server import RunningSimulator, fresh_engine, new_user, order, running, until

from dashtrade.brokers.alpaca import AlpacaBroker
from dashtrade.brokers.simulator.app import SimulatorOptions
from dashtrade.brokers.simulator.hours import ExchangeHours
from dashtrade.brokers.simulator.matching import Costs
from dashtrade.brokers.simulator.prices import FixedFeed
from dashtrade.db.embedded import EmbeddedPostgres
from dashtrade.domain.orders import OrderStatus, OrderType, OrderUpdate, TimeInForce


@pytest.fixture(scope="module")
def feed() -> FixedFeed:
    return FixedFeed()


@pytest.fixture(scope="module")
def simulator(postgres_server: EmbeddedPostgres, feed: FixedFeed) -> Iterator[RunningSimulator]:
    with fresh_engine(postgres_server) as engine, running(engine, [feed], hours=ExchangeHours()) as server:
        yield server


@pytest.fixture
def broker(simulator: RunningSimulator, feed: FixedFeed) -> Iterator[AlpacaBroker]:
    feed.set("AAPL", "150", datetime.now(UTC))
    yield simulator.broker()
    simulator.http.delete("/sim/replay").raise_for_status()
    simulator.http.delete("/sim/faults").raise_for_status()


def status(broker: AlpacaBroker, name: str) -> OrderStatus:
    found = broker.order_by_client_id(name)
    assert found is not None
    return found.status


def at(simulator: RunningSimulator, moment: str) -> None:
    """Set the clock; times are UTC. It runs on from there."""
    simulator.admin("/sim/clock", at=f"{moment}+00:00")


def test_the_clock_and_the_calendar_know_the_half_day(broker: AlpacaBroker, simulator: RunningSimulator) -> None:
    at(simulator, "2024-07-03T16:59:00")
    assert broker.clock().is_open
    assert broker.clock().next_close == datetime(2024, 7, 3, 17, tzinfo=UTC)
    at(simulator, "2024-07-03T17:00:01")
    clock = broker.clock()
    assert not clock.is_open
    assert clock.next_open == datetime(2024, 7, 5, 13, 30, tzinfo=UTC)
    days = broker._client.get("/calendar", {"start": "2024-07-01", "end": "2024-07-07"})
    assert [(d["date"], d["open"], d["close"]) for d in days] == [
        ("2024-07-01", "09:30", "16:00"),
        ("2024-07-02", "09:30", "16:00"),
        ("2024-07-03", "09:30", "13:00"),
        ("2024-07-05", "09:30", "16:00"),
    ]


def test_an_order_after_the_close_waits_for_the_next_open(broker: AlpacaBroker, simulator: RunningSimulator) -> None:
    at(simulator, "2024-07-03T17:30:00")
    placed = broker.submit(order("night"))
    assert placed.raw_status == "accepted"
    at(simulator, "2024-07-04T15:00:00")
    assert status(broker, "night") is OrderStatus.LIVE
    at(simulator, "2024-07-05T13:30:01")
    until(lambda: status(broker, "night") is OrderStatus.FILLED)


def test_a_day_order_ends_with_the_half_day_and_ioc_at_once(broker: AlpacaBroker, simulator: RunningSimulator) -> None:
    at(simulator, "2024-07-03T16:59:00")
    broker.submit(order("day", type=OrderType.LIMIT, limit_price="100"))
    at(simulator, "2024-07-03T17:00:01")
    until(lambda: status(broker, "day") is OrderStatus.EXPIRED)
    broker.submit(order("now", time_in_force=TimeInForce.IOC))
    assert status(broker, "now") is OrderStatus.CANCELED


def test_extended_hours_are_for_limit_orders_that_ask(broker: AlpacaBroker, simulator: RunningSimulator) -> None:
    at(simulator, "2024-07-02T12:00:00")  # 08:00 in New York
    broker.submit(order("early", type=OrderType.LIMIT, limit_price="151", extended_hours=True))
    broker.submit(order("regular", type=OrderType.LIMIT, limit_price="151"))
    assert status(broker, "early") is OrderStatus.FILLED
    assert status(broker, "regular") is OrderStatus.LIVE


def test_an_extended_hours_order_placed_in_the_evening_lives_until_then(
    broker: AlpacaBroker, simulator: RunningSimulator, feed: FixedFeed
) -> None:
    at(simulator, "2024-07-02T20:30:00")  # 16:30 in New York
    broker.submit(order("evening", type=OrderType.LIMIT, limit_price="140", extended_hours=True))
    feed.set("AAPL", "139", datetime.now(UTC))
    until(lambda: status(broker, "evening") is OrderStatus.FILLED)


def test_a_replay_fills_in_the_order_that_prices_happened(broker: AlpacaBroker, simulator: RunningSimulator) -> None:
    at(simulator, "2024-07-02T14:00:00")
    simulator.admin("/sim/clock", at="2024-07-02T14:00:00+00:00", rate=0)
    simulator.faults(hold_fills=True)
    broker.submit(
        order("entry", "10", symbol="HIST", type=OrderType.LIMIT, limit_price="95", time_in_force=TimeInForce.GTC)
    )
    broker.submit(
        order("other", "1", symbol="HIST", type=OrderType.LIMIT, limit_price="80", time_in_force=TimeInForce.GTC)
    )
    simulator.faults(hold_fills=False)
    start = datetime(2024, 7, 2, 14, 0, tzinfo=UTC)
    bars = [
        # an up bar falls to 94 first and ends at 104; then a down bar rises to 108 and ends at 90
        ["HIST", start.isoformat(), 100, 105, 94, 104],
        ["HIST", (start + timedelta(minutes=5)).isoformat(), 104, 108, 89, 90],
    ]
    simulator.admin("/sim/replay", interval_seconds=300, seconds_per_bar=0.2, bars=bars)
    until(lambda: not simulator.http.get("/sim/replay").json()["running"])
    replay = simulator.http.get("/sim/replay").json()
    assert (replay["done"], replay["failed"]) == (2, None)
    (fill,) = broker.executions()
    assert (fill.client_order_id, fill.price) == ("entry", 94)
    # a third into the first bar, in the replay's time
    assert start + timedelta(seconds=100) <= fill.time < start + timedelta(seconds=200)
    assert broker.positions()[0].market_price == 90
    assert status(broker, "other") is OrderStatus.LIVE
    simulator.http.delete("/sim/replay").raise_for_status()
    assert abs(simulator.service.clock.now() - datetime.now(UTC)) < timedelta(seconds=5)


def test_bars_that_make_no_sense_are_refused(simulator: RunningSimulator, broker: AlpacaBroker) -> None:
    good = ["HIST", "2024-07-02T14:00:00+00:00", 100, 105, 94, 104]
    for bad in (
        [*good[:3], 99, *good[4:]],
        good[:5],
        ["not one", *good[1:]],
        [good[0], "noon", *good[2:]],
        [*good[:5], 0],
    ):
        answer = simulator.http.post("/sim/replay", json={"interval_seconds": 60, "seconds_per_bar": 0, "bars": [bad]})
        assert answer.status_code == 422, bad
    assert not simulator.http.get("/sim/replay").json()["running"]


@pytest.fixture
def open_market(simulator: RunningSimulator, broker: AlpacaBroker) -> AlpacaBroker:
    at(simulator, "2024-07-02T15:00:00")
    return broker


def test_a_split_keeps_the_value(open_market: AlpacaBroker, simulator: RunningSimulator, feed: FixedFeed) -> None:
    broker = open_market
    feed.set("SPLT", "400", datetime.now(UTC))
    broker.submit(order("in", "10", symbol="SPLT"))
    broker.submit(order("rest", "5", symbol="SPLT", type=OrderType.LIMIT, limit_price="300"))
    simulator.admin("/sim/split", symbol="SPLT", ratio=4)
    feed.set("SPLT", "100", datetime.now(UTC))
    (position,) = broker.positions()
    assert (position.qty, position.avg_entry_price) == (40, 100)
    assert broker.account().equity == 100_000
    assert status(broker, "rest") is OrderStatus.CANCELED
    (activity,) = broker._client.get("/account/activities/SPLIT")
    assert (activity["symbol"], activity["qty"]) == ("SPLT", "30")


def test_a_renamed_symbol(open_market: AlpacaBroker, simulator: RunningSimulator, feed: FixedFeed) -> None:
    broker = open_market
    feed.set("OLDN", "10", datetime.now(UTC))
    broker.submit(order("in", "10", symbol="OLDN"))
    simulator.admin("/sim/rename", symbol="OLDN", to="NEWN")
    assert [(p.symbol, p.qty) for p in broker.positions()] == [("NEWN", 10)]


def test_a_bust_takes_shares_and_money_back(open_market: AlpacaBroker, simulator: RunningSimulator) -> None:
    broker = open_market
    updates: list[OrderUpdate] = []
    stream = broker.stream(updates.append, lambda gap: None)
    assert stream.wait_connected(10)
    broker.submit(order("one", "10"))
    broker.submit(order("two", "5"))
    first, second = broker.executions()
    simulator.admin("/sim/bust", execution_id=first.execution_id)
    assert [(p.symbol, p.qty) for p in broker.positions()] == [("AAPL", 5)]
    assert broker.account().cash == 100_000 - 5 * 150
    assert broker.executions() == [second]
    until(lambda: "trade_bust" in [u.event for u in updates])
    again = simulator.http.post("/sim/bust", json={"execution_id": first.execution_id})
    assert again.status_code == 404


def test_a_liquidation_ends_orders_and_positions(simulator: RunningSimulator, broker: AlpacaBroker) -> None:
    at(simulator, "2024-07-02T15:00:00")
    user = new_user()
    mine = simulator.broker(user)
    mine.submit(order("in", "10", take_profit="200", stop_loss="100"))
    until(lambda: len(mine.open_orders()) == 2)
    assert simulator.admin("/sim/liquidate", key_id=f"SIM-{user}") == {"closed": ["AAPL"]}
    assert mine.positions() == [] and mine.open_orders() == []
    assert mine.account().cash == 100_000


def test_costs_are_charged_against_the_trader(postgres_server: EmbeddedPostgres) -> None:
    costs = Costs(spread_bps=Decimal(10), slippage_bps=Decimal(5))
    options = SimulatorOptions(costs=costs, faults=True, tick_seconds=0.05)
    with (
        fresh_engine(postgres_server) as engine,
        running(engine, [FixedFeed({"AAPL": 100})], options=options) as server,
    ):
        broker = server.broker()
        broker.submit(order("in"))
        broker.submit(order("out", side="sell"))
        until(lambda: len(broker.executions()) == 2)
        assert [f.price for f in broker.executions()] == [Decimal("100.1"), Decimal("99.9")]
        assert broker.account().equity == 99_998
