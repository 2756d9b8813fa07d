"""Random trading against a second, naive ledger, and the tables' own start."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from simulator_server import fresh_engine, new_user
from sqlalchemy import Engine, select, text, update
from sqlalchemy.exc import SQLAlchemyError

from dashtrade.brokers.simulator import store
from dashtrade.brokers.simulator.books import Market
from dashtrade.brokers.simulator.clock import SimulatorClock
from dashtrade.brokers.simulator.exchange import Exchange
from dashtrade.brokers.simulator.hours import AlwaysOpen
from dashtrade.brokers.simulator.matching import Costs
from dashtrade.brokers.simulator.prices import FixedFeed, Prices
from dashtrade.brokers.simulator.refusals import Refused
from dashtrade.db.embedded import EmbeddedPostgres
from dashtrade.errors import ConfigurationError, DashTradeError


@pytest.fixture(scope="module")
def engine(postgres_server: EmbeddedPostgres) -> Iterator[Engine]:
    with fresh_engine(postgres_server) as made:
        store.ensure_schema(made)
        yield made


prices = st.integers(50, 150)
orders = st.fixed_dictionaries(
    {
        "symbol": st.sampled_from(["AAA", "BBB"]),
        "side": st.sampled_from(["buy", "sell"]),
        "qty": st.sampled_from(["1", "7", "0.5", "300", "1500"]),
        "kind": st.sampled_from(["market", "limit", "stop", "bracket", "trailing", "ioc"]),
        "offset": st.integers(-20, 20),
    }
)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("order"), orders),
        st.tuples(st.just("price"), st.tuples(st.sampled_from(["AAA", "BBB"]), prices)),
        st.tuples(st.just("cancel"), st.integers(0, 20)),
        st.tuples(st.just("partial"), st.booleans()),
    ),
    min_size=5,
    max_size=25,
)


def request(order: dict[str, Any], price: int) -> dict[str, Any]:
    near = max(1, price + order["offset"])
    body = {name: order[name] for name in ("symbol", "side", "qty")} | {"type": "market", "time_in_force": "day"}
    if order["kind"] == "limit":
        body |= {"type": "limit", "limit_price": near}
    elif order["kind"] == "ioc":
        body |= {"type": "limit", "limit_price": near, "time_in_force": "ioc"}
    elif order["kind"] == "stop":
        body |= {"type": "stop", "stop_price": near}
    elif order["kind"] == "trailing":
        body |= {"type": "trailing_stop", "trail_price": 5}
    elif order["kind"] == "bracket":
        up, down = ("take_profit", "stop_loss") if order["side"] == "buy" else ("stop_loss", "take_profit")
        values = {up: price + 10, down: price - 10}
        body |= {
            "order_class": "bracket",
            "take_profit": {"limit_price": values["take_profit"]},
            "stop_loss": {"stop_price": values["stop_loss"]},
        }
    return body


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps)
def test_whatever_is_traded_the_books_agree(engine: Engine, plan: list[tuple[str, Any]]) -> None:
    feed = FixedFeed({"AAA": 100, "BBB": 100})
    clock = SimulatorClock()
    market = Market(Prices([feed], clock), AlwaysOpen(), Costs(spread_bps=Decimal(4), slippage_bps=Decimal(3)))
    published: list[dict[str, Any]] = []
    exchange = Exchange(engine, market, clock, publish=lambda account, messages: published.extend(messages))
    with engine.begin() as connection:  # orders of earlier examples are not this one's business
        connection.execute(update(store.orders).values(status="canceled").where(store.orders.c.status.in_(store.OPEN)))
    account = exchange.open_account(f"SIM-{new_user()}")
    now_at = {"AAA": 100, "BBB": 100}
    for kind, value in plan:
        if kind == "order":
            try:
                exchange.submit(account, request(value, now_at[value["symbol"]]))
            except Refused as refused:
                assert refused.status in {403, 422}
        elif kind == "price":
            symbol, price = value
            now_at[symbol] = price
            feed.set(symbol, price, datetime.now(UTC))
            exchange.match(symbol)
        elif kind == "partial":
            market.knobs.partial_fills = (Decimal("0.4"), Decimal("0.6")) if value else ()
            exchange.tick()
        else:
            resting = exchange.orders(account, {"status": "open"})
            if resting:
                exchange.cancel(account, resting[value % len(resting)]["id"])
        check(exchange, account, published)


def check(exchange: Exchange, account: Any, published: list[dict[str, Any]]) -> None:
    """Everything again from the fills alone."""
    with exchange.engine.connect() as connection:
        fills = connection.execute(
            select(store.activities).where(store.activities.c.account_id == account).order_by(store.activities.c.time)
        ).all()
        orders = connection.execute(select(store.orders).where(store.orders.c.account_id == account)).all()
    cash, held, filled = Decimal(100_000), defaultdict(Decimal), defaultdict(Decimal)
    for fill in fills:
        sign = 1 if fill.side == "buy" else -1
        cash -= sign * fill.qty * fill.price
        held[fill.symbol] += sign * fill.qty
        filled[fill.order_id] += fill.qty
    body = exchange.account(account)
    assert abs(Decimal(body["cash"]) - cash) <= Decimal("0.01")
    positions = {p["symbol"]: p for p in exchange.positions(account)}
    assert {s: q for s, q in held.items() if q} == {s: Decimal(p["qty"]) for s, p in positions.items()}
    for position in positions.values():
        # what is free to sell lies between nothing and all
        assert 0 <= abs(Decimal(position["qty_available"])) <= abs(Decimal(position["qty"]))
        assert Decimal(position["qty_available"]) * Decimal(position["qty"]) >= 0
    for order in orders:
        assert filled[order.id] == order.filled_qty
        assert order.status != "filled" or order.filled_qty == order.qty
        assert order.status in store.OPEN or order.reserved == 0
    groups: dict[Any, list[Any]] = defaultdict(list)
    for order in orders:
        if order.leg is not None:
            groups[order.parent_id].append(order)
    for parent, legs in groups.items():
        assert sum(leg.filled_qty for leg in legs) <= filled[parent]
    told = [m["data"]["execution_id"] for m in published if "execution_id" in m["data"]]
    assert sorted(told) == sorted(str(fill.execution_id) for fill in fills)


def test_simulators_that_start_at_once_make_one_schema(postgres_server: EmbeddedPostgres) -> None:
    with fresh_engine(postgres_server) as fresh:
        failures: list[Exception] = []

        def start() -> None:
            try:
                store.ensure_schema(fresh)
            except (SQLAlchemyError, DashTradeError) as error:
                failures.append(error)

        threads = [threading.Thread(target=start) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert failures == []
        with fresh.connect() as connection:
            assert connection.execute(select(store.schema_version.c.version)).scalars().all() == [store.VERSION]
            assert connection.execute(text("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")).scalar() == 0


def test_the_tables_of_a_newer_program_are_left_alone(postgres_server: EmbeddedPostgres) -> None:
    with fresh_engine(postgres_server) as fresh:
        store.ensure_schema(fresh)
        with fresh.begin() as connection:
            connection.execute(store.schema_version.update().values(version=store.VERSION + 1))
        with pytest.raises(ConfigurationError, match="newer program"):
            store.ensure_schema(fresh)
