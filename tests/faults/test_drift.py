"""A position that differs from the broker's: seen once it is doubted, seen twice the symbol is stopped.

Promises: C no exit is larger than what the broker holds, D the ledger equals the broker or the symbol is stopped, E an
exit does not wait behind an entry. The agent is driven step by step, so that each comparison is the test's own.
"""

from __future__ import annotations

import itertools
import json
import threading
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from trading_house import House, wait_for

from dashtrade.errors import BrokerUnavailable
from dashtrade.processes.trader import agent as agents
from dashtrade.processes.trader.agent import AccountAgent, Tools
from dashtrade.services.trading_lease import acquire_lease

pytestmark = pytest.mark.fault
_owners = itertools.count(1)


class Killed(BaseException):
    """The process ends here, as far as the agent can tell."""


class Desk:
    """A house with an agent that compares its books only when told to; ``later`` seconds are added to its clock."""

    def __init__(self, house: House) -> None:
        self.house, self.later, self.die_at = house, 0.0, ""
        house.bot(allow_quantity=True)
        self.agent = self.take_over()

    def take_over(self) -> AccountAgent:
        account = self.house.rows("SELECT id FROM account_state WHERE user_id = :u", u=self.house.user_id)[0][0]
        with self.house.engine.begin() as connection:
            connection.exec_driver_sql("UPDATE account_state SET lease_until = now()")
        lease = acquire_lease(self.house.uow(), account, f"test:{next(_owners)}:x")
        assert lease is not None
        broker = self.house.simulator.broker(self.house.user_id)
        self.agent = AccountAgent(lease, Tools(self.house.uow, broker, now=self.now, checkpoint=self.checkpoint))
        return self.agent

    def now(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=self.later)

    def checkpoint(self, name: str) -> None:
        if name == self.die_at:
            raise Killed

    def trade(self, **changes: Any) -> dict[str, Any]:
        return self.finish(self.post(**changes))

    def post(self, **changes: Any) -> int:
        return self.house.post(**changes).json()["signal_id"]

    def finish(self, signal: int) -> dict[str, Any]:
        ended = "SELECT 1 FROM alert_inbox WHERE id = :i AND ended_at IS NOT NULL"
        wait_for(lambda: (self.agent.step(), self.house.rows(ended, i=signal))[1], "the alert did not end", 30)
        return self.house.outcome(signal)

    def step_often(self) -> None:
        for _ in range(4):
            self.agent.step()

    def compare(self, broker_says: str | None = None) -> None:
        """One comparison, two seconds later, with a broker that holds ``broker_says`` AAPL; None: what it holds."""
        self.later += 2
        if broker_says is not None:
            self.broker_says(broker_says)
        self.agent.reconcile()
        self.house.simulator.http.delete("/sim/faults")

    def broker_says(self, qty: str) -> None:
        position = {"symbol": "AAPL", "qty": qty, "side": "long", "avg_entry_price": "145", "current_price": "145"}
        body = json.dumps([position] if Decimal(qty) else [])
        rule = {"route": "GET /v2/positions$", "action": "error", "status": 200, "body": body, "times": 10_000}
        self.house.simulator.faults(rule)

    @property
    def doubts(self) -> list[str]:
        return sorted(self.house.rows("SELECT suspected_drifts FROM account_state")[0][0])

    @property
    def stopped(self) -> list[tuple[Any, ...]]:
        return [
            tuple(row)
            for row in self.house.rows("SELECT scope, symbol, cause FROM trading_halts WHERE cleared_at IS NULL")
        ]


@pytest.fixture
def desk(house: House, monkeypatch: pytest.MonkeyPatch) -> Desk:
    for name in ("DOUBT_SECONDS", "RECONCILE_SECONDS"):
        monkeypatch.setattr(agents, name, 10_000.0)
    made = Desk(house)
    assert made.trade(id="in", quantity=10)["status"] == "success"
    made.compare()
    assert made.doubts == [] == made.stopped
    return made


STOPPED = [("symbol", "AAPL", "drift")]


def test_a_broker_that_is_late_once_stops_nothing(desk: Desk) -> None:
    desk.compare("0")
    assert desk.doubts == ["AAPL"] and desk.stopped == []
    desk.compare()
    assert desk.doubts == [] == desk.stopped
    desk.compare("0")
    assert desk.stopped == [], "seen before, but not twice in a row"
    assert desk.house.rows("SELECT 1 FROM bot_risk_events") == []
    desk.compare()
    assert desk.trade(id="more", quantity=1)["status"] == "success"


def test_the_second_comparison_stops_the_symbol_also_in_another_traders_hands(desk: Desk) -> None:
    desk.compare("4")
    assert desk.stopped == []
    desk.take_over()
    desk.compare("4")
    assert desk.stopped == STOPPED and desk.doubts == []
    assert desk.house.rows("SELECT event_type FROM bot_risk_events") == [("DRIFT",)]
    assert desk.trade(id="more")["code"] == "HALTED"
    desk.compare()
    assert desk.stopped == []


def test_two_looks_at_once_count_as_one(desk: Desk) -> None:
    desk.compare("4")
    desk.later -= 1.9
    desk.compare("4")
    assert desk.doubts == ["AAPL"] and desk.stopped == []
    desk.compare("4")
    assert desk.stopped == STOPPED


def test_an_order_between_two_comparisons_begins_the_count_anew(desk: Desk) -> None:
    desk.compare("20")
    assert desk.trade(action="SELL", id="out", quantity=3)["filled_qty"] == 3
    desk.compare("20")
    assert desk.doubts == ["AAPL"] and desk.stopped == []
    desk.compare("20")
    assert desk.stopped == STOPPED


@pytest.mark.parametrize("true", [True, False])
def test_an_entry_waits_for_the_second_comparison(desk: Desk, true: bool) -> None:
    desk.compare("4")
    signal = desk.post(id="more", quantity=1)
    desk.step_often()
    assert desk.house.rows("SELECT state FROM alert_inbox WHERE id = :i", i=signal) == [("received",)]
    assert len(desk.house.broker_orders()) == 1
    desk.compare("4" if true else None)
    body = desk.finish(signal)
    assert (body["code"] == "HALTED") if true else (body["status"] == "success")
    assert len(desk.house.broker_orders()) == (1 if true else 2)


def test_an_exit_that_the_broker_covers_does_not_wait(desk: Desk) -> None:
    desk.compare("13")
    desk.broker_says("13")
    assert desk.trade(action="SELL", id="out")["filled_qty"] == 10


def test_an_exit_larger_than_what_the_broker_holds_waits_and_then_takes_no_more(desk: Desk) -> None:
    desk.compare("4")
    desk.broker_says("4")
    signal = desk.post(action="SELL", id="out")
    desk.step_often()
    assert len(desk.house.broker_orders()) == 1, "the broker may be late, and the exit would be too small"
    desk.compare("4")
    assert desk.stopped == STOPPED
    desk.broker_says("4")
    assert desk.finish(signal)["filled_qty"] == 4


def test_a_late_broker_does_not_shrink_an_exit(desk: Desk) -> None:
    desk.compare("4")
    desk.broker_says("4")
    signal = desk.post(action="SELL", id="out")
    desk.step_often()
    desk.compare()
    assert desk.finish(signal)["filled_qty"] == 10
    assert desk.house.broker_positions() == {} == desk.house.ledger_positions()


def test_an_exit_does_not_wait_behind_an_entry_that_waits(desk: Desk) -> None:
    desk.compare("13")
    entry = desk.post(id="more", quantity=1)
    desk.step_often()
    desk.broker_says("13")
    assert desk.trade(action="SELL", id="out")["filled_qty"] == 10
    body = desk.house.outcome(entry)
    assert body["status"] == "ignored" and "newer alert" in body["message"]
    assert len(desk.house.broker_orders()) == 2


def test_a_reversal_closes_at_once_and_opens_nothing_in_doubt(desk: Desk) -> None:
    with desk.house.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE user_bot_configs SET direction = 'long_short'")
    desk.compare("13")
    desk.broker_says("13")
    body = desk.trade(action="SELL", id="turn", quantity=2)
    assert body["filled_qty"] == 10 and "without opening the other side" in body["message"]
    assert desk.house.ledger_positions() == {}


def test_after_a_kill_nothing_is_sent_before_the_books_were_compared(desk: Desk) -> None:
    """One order was planned, and one may have been sent, when the trader was killed."""
    desk.house.bot("MSFT")
    signals = []
    for point, symbol in (("planned", "AAPL"), ("submitting", "MSFT")):
        signals.append(desk.post(id=point, symbol=symbol, price=None))
        desk.die_at = point
        with pytest.raises(Killed):
            desk.step_often()
    desk.die_at = ""
    desk.take_over()
    desk.house.simulator.faults({"route": "GET /v2/positions$", "action": "error", "status": 500, "times": 100})
    for _ in range(3):
        desk.agent.reconcile_soon()
        with pytest.raises(BrokerUnavailable):
            desk.agent.step()
    assert len(desk.house.broker_orders()) == 1
    desk.house.simulator.http.delete("/sim/faults")
    desk.agent.reconcile_soon()
    assert [desk.finish(signal)["status"] for signal in signals] == ["success", "success"]
    assert len(desk.house.broker_orders()) == 3


class Counted(threading.Event):
    """Ends a loop after so many failures, which is when it waits."""

    def __init__(self, failures: int) -> None:
        super().__init__()
        self.left = failures

    def wait(self, timeout: float | None = None) -> bool:
        self.left -= 1
        if self.left <= 0:
            self.set()
        return self.is_set()


def test_a_broker_that_refuses_the_keys_is_told_once_and_alerts_do_not_wait_for_ever(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.agent = desk.take_over()
    desk.house.simulator.faults(
        {"route": "GET /v2/account$", "action": "error", "status": 401, "times": 10_000,
         "body": json.dumps({"code": 40110000, "message": "request is not authorized"})}
    )  # fmt: skip
    signal = desk.post(id="more")
    events = "SELECT event_type FROM bot_risk_events"

    def run_for_a_moment() -> None:
        """Until the agent has failed twice, and so has complained or decided not to."""
        stop = Counted(2)
        monkeypatch.setattr(agents, "WATCH_SECONDS", 0.0)
        desk.agent.run(stop)

    run_for_a_moment()
    assert desk.house.rows(events) == [], "not in the first minutes"
    desk.later += 400
    run_for_a_moment()
    assert desk.house.rows(events) == [("BROKER_UNREACHABLE",)]
    assert desk.house.rows("SELECT state FROM alert_inbox WHERE id = :i", i=signal) == [("received",)]
    desk.later += 900
    run_for_a_moment()
    body = desk.house.outcome(signal)
    assert body["code"] == "ACCOUNT_UNAVAILABLE" and "refused the keys" in body["message"]
    assert desk.house.rows(events) == [("BROKER_UNREACHABLE",)]
    told = desk.house.rows("SELECT title FROM notifications WHERE title LIKE 'Broker%'")
    assert told == [("Broker unreachable: account",)]
