"""The connections of a page: kept for a moment, given up when nobody touches it."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from sqlalchemy import Engine, text

from dashtrade.db.engine import make_engine
from dashtrade.db.lingering_pool import MOST_KEPT, LingeringPool
from dashtrade.db.unit_of_work import UnitOfWork

NAME = "lingering-test"


@pytest.fixture
def page(database_url: str):
    made = make_engine(
        database_url, poolclass=LingeringPool, pool_pre_ping=True, connect_args={"application_name": NAME}
    )
    yield made
    made.dispose()


def backend(page: Engine) -> int:
    with UnitOfWork(page) as uow:
        return uow.session.scalar(text("SELECT pg_backend_pid()"))


def open_ones(engine: Engine) -> int:
    with engine.connect() as connection:
        query = text("SELECT count(*) FROM pg_stat_activity WHERE application_name = :name")
        return connection.scalar(query, {"name": NAME})


def wait_until_none(engine: Engine) -> None:
    deadline = time.monotonic() + 30
    while open_ones(engine):
        assert time.monotonic() < deadline, "a page that nobody touches keeps its connection"
        time.sleep(0.02)


def test_what_follows_at_once_uses_the_same_connection_and_later_there_is_none(page, engine):
    page.pool._linger = 60.0
    assert backend(page) == backend(page)
    page.dispose()
    page.pool._linger = 0.2
    backend(page)
    wait_until_none(engine)
    backend(page)  # and again after it was given up
    wait_until_none(engine)


def test_transactions_at_the_same_time_have_connections_of_their_own(page, engine):
    page.pool._linger = 60.0
    together = Barrier(MOST_KEPT + 2)

    def use(number: int) -> int:
        with UnitOfWork(page) as uow:
            found = uow.session.scalar(text("SELECT pg_backend_pid()"))
            together.wait(30)
            return found

    with ThreadPoolExecutor(MOST_KEPT + 2) as pool:
        assert len(set(pool.map(use, range(MOST_KEPT + 2)))) == MOST_KEPT + 2
    assert open_ones(engine) <= MOST_KEPT + 2
    assert len(page.pool._kept) == MOST_KEPT, "the rest was given back"


def test_a_kept_connection_that_the_server_ended_is_replaced(page, engine):
    page.pool._linger = 60.0
    first = backend(page)
    with engine.connect() as connection:
        connection.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": first})
    assert backend(page) != first


def test_nothing_of_one_transaction_is_seen_in_the_next(page):
    page.pool._linger = 60.0
    with UnitOfWork(page) as uow:
        uow.session.execute(text("CREATE TEMPORARY TABLE left_behind (id int)"))
        uow.session.execute(text("SET LOCAL statement_timeout = 7"))
    with UnitOfWork(page) as uow:
        assert uow.session.scalar(text("SELECT to_regclass('left_behind')")) is None
        assert uow.session.scalar(text("SHOW statement_timeout")) == "0"
