"""Houses for fault tests: one whose trader each test starts, and one shared by many tests, each with its own user."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from dashboards_server import clone_database
from simulator_server import RunningSimulator, running
from sqlalchemy import Engine
from trading_house import House, running_trader, running_webhook

from dashtrade.brokers.simulator.prices import FixedFeed
from dashtrade.db.engine import make_engine
from dashtrade.db.tables.accounts import UserRow
from dashtrade.db.unit_of_work import UnitOfWork
from dashtrade.domain.users import User

PRICES = {"AAPL": 145, "MSFT": 300, "KO": 60, "SPY": 500, "XOM": 100}
_numbers = itertools.count(1)


@pytest.fixture
def house(engine: Engine, make_user: Callable[..., User]) -> Iterator[House]:
    """Simulator and webhook; no trader yet. The webhook waits briefly, as many alerts here find no trader."""
    with running(engine, [FixedFeed(PRICES)]) as simulator, running_webhook(engine, wait_seconds=0.2) as client:
        yield House(engine, simulator, client, make_user().id)


@pytest.fixture(scope="module")
def shop(postgres_url: str) -> Iterator[tuple[Engine, RunningSimulator, object, object]]:
    """Simulator, webhook and trader for a whole module."""
    engine = make_engine(clone_database(postgres_url, f"shop_{next(_numbers)}"), pool_size=20)
    with ExitStack() as stack:
        simulator = stack.enter_context(running(engine, [FixedFeed(PRICES)]))
        client = stack.enter_context(running_webhook(engine))
        trader = stack.enter_context(running_trader(engine, simulator))
        yield engine, simulator, client, trader
    engine.dispose()


@pytest.fixture
def desk(shop: tuple) -> Iterator[House]:
    """A new user in the shop, with no fault set before or after."""
    engine, simulator, client, trader = shop
    with UnitOfWork(engine) as uow:
        name = f"user{next(_numbers)}"
        row = UserRow(username=name, email=f"{name}@example.com", password_hash="x", role="user")
        uow.session.add(row)
        uow.commit()
        user_id = row.id
    simulator.http.delete("/sim/faults")
    yield House(engine, simulator, client, user_id, trader=trader)
    simulator.http.delete("/sim/faults")
    with UnitOfWork(engine) as uow:
        uow.session.get_one(UserRow, user_id).is_active = False
        uow.commit()
