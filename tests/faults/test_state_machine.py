"""Random alerts × faults × kills, with the promises checked once everything is quiet.

The agent is the real one with the real client, simulator and database; it is stepped by hand, so that a failure is
found again. A kill is an exception at one of the checkpoints that nothing handles: the agent is thrown away as it is,
and another takes the account over.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from dashboards_server import clone_database
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from simulator_server import RunningSimulator, running
from sqlalchemy import Engine, text

from dashtrade.brokers.simulator.prices import FixedFeed
from dashtrade.db.engine import make_engine
from dashtrade.db.tables.accounts import UserRow
from dashtrade.db.unit_of_work import UnitOfWork
from dashtrade.domain.bot_views import NewBot
from dashtrade.errors import DashTradeError
from dashtrade.processes.trader.agent import AccountAgent, Tools
from dashtrade.services import bots
from dashtrade.services.alerts_in import Arrival, receive
from dashtrade.services.trading_lease import acquire_lease
from webhook.payload import parse_payload

pytestmark = pytest.mark.fault
EXAMPLES = int(os.environ.get("STATE_MACHINE_EXAMPLES", "8"))
LIMIT = Decimal(2500)
POINTS = ("claimed", "planned", "submitting", "sent", "recorded")
FAULTS = (
    {"action": "error", "when": "after", "status": 504},
    {"action": "error", "when": "before", "status": 500},
    {"action": "error", "when": "before", "status": 403, "body": '{"code": 40310000, "message": "no buying power"}'},
    {"action": "truncate"},
    {"action": "reset", "when": "after"},
    {"action": "rewrite", "set": {"status": "quantum"}},
)
ROUTES = ("POST /v2/orders$", "GET /v2/orders:by", "GET /v2/account", "GET /v2/positions", "GET /v2/orders")


class Killed(BaseException):
    """Not an Exception, so that nothing handles it."""


class World:
    """The servers, shared by all runs of the machine."""

    engine: Engine
    simulator: RunningSimulator
    count = 0


@pytest.fixture
def world(postgres_url: str) -> Iterator[World]:
    with ExitStack() as stack:
        made = World()
        made.engine = make_engine(clone_database(postgres_url, "state_machine"))
        stack.callback(made.engine.dispose)
        made.simulator = stack.enter_context(running(made.engine, [FixedFeed({"AAPL": 145})]))
        yield made


def machine(world: World) -> Callable[[], RuleBasedStateMachine]:
    class Bot(RuleBasedStateMachine):
        def __init__(self) -> None:
            super().__init__()
            world.count += 1
            world.simulator.http.delete("/sim/faults")
            with self.uow() as uow:
                name = f"user{world.count}"
                row = UserRow(username=name, email=f"{name}@example.com", password_hash="x")
                uow.session.add(row)
                uow.commit()
                self.user = row.id
            self.kill_at: str | None = None
            self.sent = 0
            self.broker = world.simulator.broker(self.user, total_timeout=2.0)

        def uow(self) -> UnitOfWork:
            return UnitOfWork(world.engine)

        @initialize(direction=st.sampled_from(["long_only", "long_short", "short_only"]))
        def create(self, direction: str) -> None:
            request = NewBot("AAPL", "15m", Decimal(1000), direction=direction, max_position_size=LIMIT, is_active=True)
            bots.create_bot(self.uow(), self.user, request)
            self.token = bots.create_token(self.uow(), self.user).secret
            self.account = self.rows("SELECT id FROM account_state WHERE user_id = :u")[0][0]
            self.agent = self.new_agent()

        def rows(self, query: str) -> list[tuple]:
            with world.engine.connect() as connection:
                return [tuple(row) for row in connection.execute(text(query), {"u": self.user})]

        def new_agent(self) -> AccountAgent:
            lease = acquire_lease(self.uow(), self.account, "machine")
            assert lease is not None

            def checkpoint(name: str) -> None:
                if name == self.kill_at:
                    self.kill_at = None
                    raise Killed

            return AccountAgent(lease, Tools(self.uow, self.broker, checkpoint=checkpoint))

        @rule(
            action=st.sampled_from(["BUY", "SELL", "CLOSE", "LONG", "SHORT"]),
            held=st.sampled_from([None, "long", "flat", "short"]),
            copies=st.integers(1, 2),
        )
        def alert(self, action: str, held: str | None, copies: int) -> None:
            self.sent += 1
            position = f', "market_position": "{held}"' if held else ""
            body = f'{{"action": "{action}", "symbol": "AAPL", "price": 145, "id": "{self.sent}"{position}}}'.encode()
            for _ in range(copies):
                receive(self.uow(), Arrival(self.token, parse_payload(body), "", datetime.now(UTC), None))

        @rule(fault=st.sampled_from(FAULTS), route=st.sampled_from(ROUTES), times=st.integers(1, 2))
        def break_broker(self, fault: dict, route: str, times: int) -> None:
            # a made-up refusal of anything but an order would be the truth about it
            if fault.get("status") == 403 and not route.startswith("POST"):
                return
            world.simulator.faults(rules=[{"route": route, **fault, "times": times}])

        @rule(point=st.sampled_from(POINTS))
        def kill(self, point: str) -> None:
            self.kill_at = point

        @rule(parts=st.sampled_from([[], [0.5, 0.5], [0.2, 0.3, 0.5]]))
        def fill_in_parts(self, parts: list[float]) -> None:
            world.simulator.faults(partial_fills=parts, partial_interval=0.05)

        @rule()
        def step(self) -> None:
            try:
                self.agent.step()
            except Killed:
                self.agent = self.new_agent()
            except DashTradeError:
                pass  # what the agent's own loop does: log, and step again

        @invariant()
        def promise_c_no_limit_is_exceeded(self) -> None:
            if hasattr(self, "account"):
                exposure = self.rows("SELECT coalesce(sum(abs(open_qty) * price), 0) FROM lots WHERE user_id = :u")[0][
                    0
                ]
                assert exposure <= LIMIT + 1

        def teardown(self) -> None:
            if not hasattr(self, "account"):
                return
            self.kill_at = None
            world.simulator.http.delete("/sim/faults")
            for _ in range(400):
                self.agent._reconcile_at = 0.0
                self.step()
                if not self.rows("SELECT 1 FROM alert_inbox WHERE user_id = :u AND ended_at IS NULL"):
                    break
            self.agent._reconcile_at = 0.0
            self.step()
            self.promises()
            self.broker.close()

        def promises(self) -> None:
            assert self.rows("SELECT reason FROM alert_inbox WHERE user_id = :u AND code = 'INTERNAL'") == []
            alerts = self.rows("SELECT state, reason FROM alert_inbox WHERE user_id = :u")
            assert len(alerts) == self.sent, "B: every alert that was acknowledged is there, once"
            assert all(state in ("done", "ignored", "rejected") and reason for state, reason in alerts), alerts
            orders = world.simulator.http.get(
                "/v2/orders?status=all&limit=500", headers=world.simulator.headers(self.user)
            ).json()
            intents = self.rows("SELECT client_order_id, state, filled_qty FROM order_intents WHERE user_id = :u")
            ids = [order["client_order_id"] for order in orders]
            assert len(ids) == len(set(ids)) and set(ids) <= {row[0] for row in intents}, "A: an order for each leg"
            filled = {order["client_order_id"]: Decimal(order["filled_qty"]) for order in orders}
            assert {row[0]: row[2] for row in intents if row[2]} == {k: v for k, v in filled.items() if v}, "D"
            held = self.rows("SELECT symbol, sum(open_qty) FROM lots WHERE user_id = :u AND open_qty <> 0 GROUP BY 1")
            assert dict(held) == {p.symbol: p.qty for p in self.broker.positions()}, "D: the ledger equals the broker"
            assert self.rows("SELECT reserved_exposure FROM account_state WHERE user_id = :u") == [(0,)], "C"
            assert self.rows("SELECT 1 FROM trading_halts WHERE user_id = :u AND cleared_at IS NULL") == []

    return Bot


def test_promises_hold_whatever_happens(world: World) -> None:
    run_state_machine_as_test(
        machine(world),
        settings=settings(
            max_examples=EXAMPLES, stateful_step_count=14, deadline=None, database=None, print_blob=False,
            suppress_health_check=list(HealthCheck),
        ),
    )  # fmt: skip
