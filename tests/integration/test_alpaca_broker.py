"""The Alpaca wrapper and the simulated brokerage together: orders of every kind, from placing to their end."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import uuid4

import pytest
from simulator_server import RunningSimulator, fresh_engine, new_user, order, running, until
from sqlalchemy import insert, select, update

from dashtrade.brokers.alpaca import AlpacaBroker
from dashtrade.brokers.simulator import store
from dashtrade.brokers.simulator.prices import FixedFeed
from dashtrade.db.embedded import EmbeddedPostgres
from dashtrade.domain.orders import BrokerOrder, OrderStatus, OrderType, OrderUpdate, Refusal, StreamGap, TimeInForce
from dashtrade.errors import OrderRefused

LIMIT, STOP, STOP_LIMIT, TRAIL = OrderType.LIMIT, OrderType.STOP, OrderType.STOP_LIMIT, OrderType.TRAILING_STOP


@pytest.fixture(scope="module")
def feed() -> FixedFeed:
    return FixedFeed()


@pytest.fixture(scope="module")
def simulator(postgres_server: EmbeddedPostgres, feed: FixedFeed) -> Iterator[RunningSimulator]:
    with fresh_engine(postgres_server) as engine, running(engine, [feed]) as server:
        yield server


@pytest.fixture(autouse=True)
def prices(simulator: RunningSimulator, feed: FixedFeed) -> Iterator[FixedFeed]:
    for symbol, price in {"AAPL": "150", "MSFT": "300"}.items():
        feed.set(symbol, price, datetime.now(UTC))
    yield feed
    simulator.http.delete("/sim/faults").raise_for_status()


@pytest.fixture
def broker(simulator: RunningSimulator) -> AlpacaBroker:
    return simulator.broker()


def state(broker: AlpacaBroker, name: str) -> OrderStatus:
    found = broker.order_by_client_id(name)
    assert found is not None
    return found.status


def wait(broker: AlpacaBroker, name: str, status: OrderStatus) -> BrokerOrder:
    until(lambda: state(broker, name) is status)
    found = broker.order_by_client_id(name)
    assert found is not None
    return found


def refusal(broker: AlpacaBroker, *args: str, **kw: object) -> OrderRefused:
    with pytest.raises(OrderRefused) as caught:
        broker.submit(order(*args, **kw))
    return caught.value


def held(broker: AlpacaBroker) -> dict[str, Decimal]:
    return {position.symbol: position.qty for position in broker.positions()}


def test_the_stream_tells_the_same_story_as_the_questions(broker: AlpacaBroker) -> None:
    updates: list[OrderUpdate] = []
    gaps: list[StreamGap] = []
    stream = broker.stream(updates.append, gaps.append)
    assert stream.wait_connected(10)
    broker.submit(order("one"))
    until(lambda: any(u.event == "fill" for u in updates))
    streamed = updates[-1].execution
    (execution,) = broker.executions()
    assert streamed == execution
    assert [u.event for u in updates] == ["new", "fill"]
    assert updates[-1].position_qty == 10
    assert updates[-1].order == broker.order_by_client_id("one")
    assert stream.age is not None
    assert gaps == [StreamGap.CONNECTED]
    broker.close()
    assert not stream.connected


def test_limit_and_stop_orders_wait_for_their_price(broker: AlpacaBroker, prices: FixedFeed) -> None:
    broker.submit(order("limit", "2", type=LIMIT, limit_price="140"))
    broker.submit(order("stop", "3", type=STOP, stop_price="160"))
    prices.set("AAPL", "141", datetime.now(UTC))
    prices.set("AAPL", "139.5", datetime.now(UTC))
    assert wait(broker, "limit", OrderStatus.FILLED).filled_avg_price == Decimal("139.5")
    assert state(broker, "stop") is OrderStatus.LIVE
    prices.set("AAPL", "161", datetime.now(UTC))
    assert wait(broker, "stop", OrderStatus.FILLED).filled_avg_price == 161
    assert held(broker) == {"AAPL": 5}


def test_a_trailing_stop_sells_after_a_fall_from_the_high(broker: AlpacaBroker, prices: FixedFeed) -> None:
    broker.submit(order("in"))
    wait(broker, "in", OrderStatus.FILLED)
    broker.submit(order("trail", side="sell", type=TRAIL, trail_percent=10))
    prices.set("AAPL", "200", datetime.now(UTC))
    until(lambda: broker.order_by_client_id("trail"))
    # the high of 200 must have been seen before the fall
    until(lambda: broker._client.get("/orders:by_client_order_id", {"client_order_id": "trail"})["hwm"] == "200")
    prices.set("AAPL", "181", datetime.now(UTC))
    prices.set("AAPL", "180", datetime.now(UTC))
    assert wait(broker, "trail", OrderStatus.FILLED).filled_avg_price == 180
    assert held(broker) == {}


def test_a_bracket_takes_profit_once_and_ends_its_stop(broker: AlpacaBroker, prices: FixedFeed) -> None:
    broker.submit(order("entry", take_profit="165", stop_loss="140"))
    wait(broker, "entry", OrderStatus.FILLED)
    legs = {o.raw_status: o for o in broker.open_orders()}
    assert set(legs) == {"new", "held"}
    refused = refusal(broker, "exit", side="sell", is_exit=True)
    assert refused.kind is Refusal.HELD_FOR_ORDERS
    assert refused.related_order_id in {o.broker_order_id for o in legs.values()}
    prices.set("AAPL", "166", datetime.now(UTC))
    until(lambda: not broker.open_orders())
    # both legs can never fill: the shares are sold once
    prices.set("AAPL", "130", datetime.now(UTC))
    assert held(broker) == {}
    assert [(f.side.value, f.price) for f in broker.executions()] == [("buy", 150), ("sell", 166)]
    stop = broker.order(legs["held"].broker_order_id)
    assert stop is not None and stop.status is OrderStatus.CANCELED


def test_cancelling_one_leg_ends_the_group_and_frees_the_shares(broker: AlpacaBroker) -> None:
    broker.submit(order("entry", take_profit="165", stop_loss="140"))
    wait(broker, "entry", OrderStatus.FILLED)
    leg = next(o for o in broker.open_orders() if o.raw_status == "new")
    broker.cancel(leg.broker_order_id)
    assert broker.open_orders() == []
    broker.submit(order("exit", side="sell", is_exit=True))
    wait(broker, "exit", OrderStatus.FILLED)
    assert held(broker) == {}


def test_a_bracket_cannot_close(broker: AlpacaBroker) -> None:
    broker.submit(order("short", side="sell"))
    wait(broker, "short", OrderStatus.FILLED)
    assert refusal(broker, "cover", take_profit="165", stop_loss="140").kind is Refusal.INVALID_ORDER


def test_one_triggers_other(broker: AlpacaBroker, prices: FixedFeed) -> None:
    broker.submit(order("entry", type=LIMIT, limit_price="145", stop_loss="130"))
    # the stop must not act before there is anything to sell
    prices.set("AAPL", "149", datetime.now(UTC))
    assert held(broker) == {}
    prices.set("AAPL", "144", datetime.now(UTC))
    wait(broker, "entry", OrderStatus.FILLED)
    prices.set("AAPL", "129", datetime.now(UTC))
    until(lambda: held(broker) == {})
    assert [f.price for f in broker.executions()] == [144, 129]


def test_immediate_or_cancel_and_fill_or_kill_never_rest(broker: AlpacaBroker, simulator: RunningSimulator) -> None:
    broker.submit(order("ioc", type=LIMIT, limit_price="100", time_in_force=TimeInForce.IOC))
    broker.submit(order("fok", type=LIMIT, limit_price="100", time_in_force=TimeInForce.FOK))
    assert state(broker, "ioc") is OrderStatus.CANCELED
    assert state(broker, "fok") is OrderStatus.CANCELED
    simulator.faults(partial_fills=["0.3"])
    broker.submit(order("part", time_in_force=TimeInForce.IOC))
    ended = wait(broker, "part", OrderStatus.CANCELED)
    assert ended.filled_qty == 3
    broker.submit(order("none", time_in_force=TimeInForce.FOK))
    assert wait(broker, "none", OrderStatus.CANCELED).filled_qty == 0


def test_buying_power_counts_what_is_reserved(broker: AlpacaBroker) -> None:
    # 200,000 of buying power; a resting order holds 150,000 of it
    broker.submit(order("rest", "1000", type=LIMIT, limit_price="149.99"))
    assert broker.account().buying_power == Decimal("50010")
    refused = refusal(broker, "more", "400")
    assert refused.kind is Refusal.BUYING_POWER
    assert refused.broker_code == 40310000
    broker.cancel(broker.open_orders()[0].broker_order_id)
    broker.submit(order("more", "400"))
    assert wait(broker, "more", OrderStatus.FILLED).filled_qty == 400


def test_orders_at_once_never_exceed_buying_power(simulator: RunningSimulator) -> None:
    broker = simulator.broker()

    def place(n: int) -> bool:
        try:
            broker.submit(order(f"at-once-{n}", "100"))
        except OrderRefused as error:
            assert error.kind is Refusal.BUYING_POWER
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        placed = list(pool.map(place, range(20)))
    assert sum(placed) == 13  # 13 × 15,000 fit into 200,000
    until(lambda: held(broker) == {"AAPL": 1300})
    assert broker.account().buying_power == 5_000


def test_a_flip_in_one_order_is_refused_and_two_orders_do_it(broker: AlpacaBroker) -> None:
    broker.submit(order("long"))
    wait(broker, "long", OrderStatus.FILLED)
    assert refusal(broker, "flip", "15", side="sell").kind is Refusal.INSUFFICIENT_QTY
    broker.submit(order("close", side="sell"))
    wait(broker, "close", OrderStatus.FILLED)
    broker.submit(order("open", "5", side="sell"))
    wait(broker, "open", OrderStatus.FILLED)
    assert held(broker) == {"AAPL": -5}
    assert refusal(broker, "back", "8").kind is Refusal.INSUFFICIENT_QTY


def test_wash_trades_are_refused_and_name_the_order_in_the_way(broker: AlpacaBroker) -> None:
    broker.submit(order("in"))
    wait(broker, "in", OrderStatus.FILLED)
    resting = broker.submit(order("more", type=LIMIT, limit_price="140"))
    refused = refusal(broker, "exit", side="sell", is_exit=True)
    assert refused.kind is Refusal.WASH_TRADE
    assert refused.related_order_id == resting.broker_order_id
    broker.submit(order("exit", side="sell", type=LIMIT, limit_price="141", is_exit=True))
    wait(broker, "exit", OrderStatus.FILLED)


def test_short_sales_have_their_rules(broker: AlpacaBroker, simulator: RunningSimulator, prices: FixedFeed) -> None:
    simulator.admin("/sim/assets", symbol="HARD", shortable=False)
    prices.set("HARD", "10", datetime.now(UTC))
    assert refusal(broker, "a", side="sell", symbol="HARD").kind is Refusal.NOT_SHORTABLE
    assert refusal(broker, "b", "0.5", side="sell").kind is Refusal.NOT_SHORTABLE
    # valued 3 % above the market: 1,294 × 154.5 is just under 200,000 of buying power, 1,295 is not
    assert refusal(broker, "c", "1295", side="sell").kind is Refusal.BUYING_POWER
    broker.submit(order("d", "1294", side="sell"))
    wait(broker, "d", OrderStatus.FILLED)


def test_unknown_and_untradable_symbols(broker: AlpacaBroker, simulator: RunningSimulator) -> None:
    simulator.admin("/sim/assets", symbol="NOSUCH", known=False)
    simulator.admin("/sim/assets", symbol="FROZEN", tradable=False)
    assert refusal(broker, "a", symbol="NOSUCH").kind is Refusal.UNKNOWN_SYMBOL
    assert refusal(broker, "b", symbol="NOT A TICKER").kind is Refusal.UNKNOWN_SYMBOL
    assert refusal(broker, "c", symbol="FROZEN").kind is Refusal.NOT_TRADABLE


def test_a_symbol_without_a_price_waits_until_a_hint(broker: AlpacaBroker, simulator: RunningSimulator) -> None:
    broker.submit(order("wait", "2", symbol="NEWCO"))
    assert state(broker, "wait") is OrderStatus.LIVE
    key = {"APCA-API-KEY-ID": broker._key, "APCA-API-SECRET-KEY": broker._secret}
    answer = simulator.http.post("/sim/prices", json={"symbol": "NEWCO", "price": "12.50"}, headers=key)
    assert answer.json()["price"] == "12.5"
    assert wait(broker, "wait", OrderStatus.FILLED).filled_avg_price == Decimal("12.5")
    # a hint is its sender's alone
    other = simulator.broker()
    other.submit(order("wait", "2", symbol="NEWCO"))
    assert state(other, "wait") is OrderStatus.LIVE


def test_an_order_without_a_price_at_first_is_rejected_when_it_turns_out_too_dear(
    broker: AlpacaBroker, prices: FixedFeed
) -> None:
    broker.submit(order("dear", "100", symbol="DEAR"))
    prices.set("DEAR", "5000", datetime.now(UTC))
    assert wait(broker, "dear", OrderStatus.REJECTED).filled_qty == 0
    assert broker.account().cash == 100_000


def test_a_halted_symbol_fills_after_the_halt(broker: AlpacaBroker, simulator: RunningSimulator) -> None:
    simulator.admin("/sim/assets", symbol="MSFT", halted=True)
    broker.submit(order("halted", "1", symbol="MSFT"))
    assert state(broker, "halted") is OrderStatus.LIVE
    simulator.admin("/sim/assets", symbol="MSFT", halted=False)
    wait(broker, "halted", OrderStatus.FILLED)


def test_day_orders_expire_and_lasting_ones_stay(broker: AlpacaBroker, simulator: RunningSimulator) -> None:
    broker.submit(order("day", type=LIMIT, limit_price="100"))
    broker.submit(order("gtc", type=LIMIT, limit_price="101", time_in_force=TimeInForce.GTC))
    simulator.admin("/sim/clock", at=(datetime.now(UTC) + timedelta(days=1, hours=1)).isoformat())
    wait(broker, "day", OrderStatus.EXPIRED)
    assert state(broker, "gtc") is OrderStatus.LIVE
    assert broker.account().buying_power == 200_000 - 1_010


def test_accounts_are_apart(simulator: RunningSimulator) -> None:
    one, two = simulator.broker(), simulator.broker()
    placed = one.submit(order("same-name"))
    two.submit(order("same-name", "1"))
    wait(one, "same-name", OrderStatus.FILLED)
    wait(two, "same-name", OrderStatus.FILLED)
    assert (held(one), held(two)) == ({"AAPL": 10}, {"AAPL": 1})
    assert two.order(placed.broker_order_id) is None
    assert one.account().account_id != two.account().account_id


def test_many_open_orders_are_all_found(broker: AlpacaBroker, simulator: RunningSimulator) -> None:
    """More orders than one page holds, many with the same time."""
    template_id = broker.submit(
        order("first", "1", type=LIMIT, limit_price="1", time_in_force=TimeInForce.GTC)
    ).broker_order_id
    engine = simulator.service.exchange.engine
    with engine.begin() as connection:
        row = connection.execute(select(store.orders).where(store.orders.c.id == template_id)).one()._asdict()
        row.pop("seq")
        time = row["submitted_at"] - timedelta(hours=1)
        rows = [
            {**row, "id": uuid4(), "client_order_id": f"n{n}", "submitted_at": time + timedelta(seconds=n // 50)}
            for n in range(1200)
        ]
        connection.execute(insert(store.orders), rows)
    found = broker.open_orders()
    assert len(found) == len({o.client_order_id for o in found}) == 1201
    with engine.begin() as connection:
        connection.execute(update(store.orders).values(status="canceled").where(store.orders.c.status == "new"))


def test_last_equity_is_yesterdays(broker: AlpacaBroker, simulator: RunningSimulator, prices: FixedFeed) -> None:
    broker.submit(order("in", "100"))
    wait(broker, "in", OrderStatus.FILLED)
    prices.set("AAPL", "160", datetime.now(UTC))
    simulator.service.exchange.note_equities()
    assert (broker.account().equity, broker.account().last_equity) == (101_000, 100_000)
    simulator.admin("/sim/clock", at=(datetime.now(UTC) + timedelta(days=1)).isoformat())
    prices.set("AAPL", "165", datetime.now(UTC))
    assert (broker.account().equity, broker.account().last_equity) == (101_500, 101_000)


def test_a_manual_order_and_a_new_user_id_do_not_disturb(simulator: RunningSimulator) -> None:
    user = new_user()
    broker = simulator.broker(user)
    broker.submit(order("mine"))
    answer = simulator.http.post(
        "/v2/orders",
        json={"symbol": "MSFT", "qty": 1, "side": "buy", "type": "market", "time_in_force": "day"},
        headers=simulator.headers(user),
    )
    assert answer.status_code == 200
    until(lambda: held(broker) == {"AAPL": 10, "MSFT": 1})
    names = {f.symbol: f.client_order_id for f in broker.executions()}
    assert names == {"AAPL": "mine", "MSFT": answer.json()["client_order_id"]}
