"""Fault 14: kill -9 of a real trader process at each of its eight points. Promises A (at most one order for each
alert), B (no acknowledged alert is lost) and D (the ledger equals the broker)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from trading_house import House, TraderProcess, wait_for

pytestmark = pytest.mark.fault

POINTS = (
    "claimed",
    "planned",
    "submitting",
    "sent",
    "recorded",
    "fill_received",
    "fill_uncommitted",
    "fill_recorded",
)


@pytest.fixture
def start(house: House, database_url: str) -> Iterator[object]:
    started: list[TraderProcess] = []

    def make(crash_at: str = "") -> TraderProcess:
        started.append(TraderProcess(database_url, house.simulator, crash_at))
        return started[-1]

    yield make
    for process in started:
        process.stop()


def test_killed_between_storing_and_ordering_the_order_appears_exactly_once(house: House, start) -> None:
    house.bot()
    trader = start("submitting")
    answer = house.post()
    assert answer.status_code == 202
    trader.wait_killed()
    assert house.broker_orders() == []
    assert house.rows("SELECT state FROM order_intents") == [("submitting",)]
    start()
    body = house.outcome(answer.json()["signal_id"])
    assert body["status"] == "success"
    orders = house.broker_orders()
    assert [order["id"] for order in orders] == [body["order_id"]]
    assert house.ledger_positions() == house.broker_positions()


def test_killed_at_each_point_in_turn(house: House, start) -> None:
    """Every process but the last dies at its point, while the one after it mends what it left."""
    house.bot(size="100", max_orders_per_day=None)
    signals: list[int] = []
    for number, point in enumerate(POINTS):
        trader = start(point)
        answer = house.post(action="BUY" if number % 2 == 0 else "SELL", id=f"signal-{number}")
        assert answer.status_code in (200, 202), answer.text
        signals.append(answer.json()["signal_id"])
        trader.wait_killed()
    start()
    outcomes = [house.outcome(signal, 40) for signal in signals]
    assert [body["status"] for body in outcomes] == ["success"] * len(POINTS)
    orders = house.broker_orders()
    assert sorted(order["id"] for order in orders) == sorted(body["order_id"] for body in outcomes)
    assert all(order["status"] == "filled" for order in orders)
    fills = house.rows("SELECT count(*), count(DISTINCT execution_id) FROM executions")[0]
    assert fills == (len(POINTS), len(POINTS))
    assert house.ledger_positions() == house.broker_positions() == {}
    wait_for(
        lambda: house.rows("SELECT reserved_exposure FROM account_state")[0][0] == 0, "a reservation was left behind"
    )
