"""The Alpaca wrapper against the real simulator: the way of an order from placing to its fill."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from decimal import Decimal

import pytest
from simulator_server import RunningSimulator, running
from sqlalchemy import Engine

from dashtrade.brokers.simulator.prices import FixedFeed
from dashtrade.domain.orders import OrderRequest, OrderStatus, OrderUpdate, Side, StreamGap


@pytest.fixture
def feed() -> FixedFeed:
    return FixedFeed({"AAPL": "150", "MSFT": "300"})


@pytest.fixture
def simulator(engine: Engine, feed: FixedFeed) -> Iterator[RunningSimulator]:
    with running(engine, [feed]) as server:
        yield server


def until(condition: Callable[[], object], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


def buy(name: str, qty: str = "10", symbol: str = "AAPL", side: Side = Side.BUY, **kw: object) -> OrderRequest:
    return OrderRequest(client_order_id=name, symbol=symbol, side=side, qty=Decimal(qty), **kw)


def test_an_order_goes_from_placing_to_fill_position_account_and_stream(simulator: RunningSimulator) -> None:
    broker = simulator.broker()
    updates: list[OrderUpdate] = []
    gaps: list[StreamGap] = []
    stream = broker.stream(updates.append, gaps.append)
    assert stream.wait_connected(10)
    placed = broker.submit(buy("one"))
    assert (placed.client_order_id, placed.symbol, placed.qty) == ("one", "AAPL", Decimal(10))
    until(lambda: any(u.event == "fill" for u in updates))
    filled = broker.order_by_client_id("one")
    assert filled is not None
    assert (filled.status, filled.filled_qty, filled.filled_avg_price) == (OrderStatus.FILLED, 10, 150)
    assert [(p.symbol, p.qty, p.avg_entry_price) for p in broker.positions()] == [("AAPL", 10, 150)]
    account = broker.account()
    assert (account.cash, account.equity, account.last_equity) == (98_500, 100_000, 100_000)
    (execution,) = broker.executions()
    streamed = next(u.execution for u in updates if u.event == "fill")
    assert streamed is not None
    assert execution.execution_id == streamed.execution_id
    assert (execution.client_order_id, execution.qty, execution.price) == ("one", 10, 150)
    assert broker.order_by_client_id("nothing") is None
    assert gaps == [StreamGap.CONNECTED]
    broker.close()
    assert not stream.connected
