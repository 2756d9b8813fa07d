"""Fixtures of the whole suite: one embedded PostgreSQL for the run, a fresh database for every test that asks."""

from __future__ import annotations

import itertools
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings as hypothesis_settings
from sqlalchemy import Engine, NullPool, create_engine, text
from sqlalchemy.engine import make_url

from dashtrade.auth.passwords import hash_password
from dashtrade.db.embedded import EmbeddedPostgres
from dashtrade.db.engine import make_engine
from dashtrade.db.tables.accounts import UserRow
from dashtrade.db.unit_of_work import UnitOfWork
from dashtrade.domain.users import Role, User

TEMPLATE = "dashtrade_template"
PASSWORD = "Correct-Horse-7-Battery"
_numbers = itertools.count(1)

# The same cases in every run, so that a change is judged by what it changes. To look for new ones:
# DASHTRADE_HYPOTHESIS=search, with more of them by DASHTRADE_ORACLE_EXAMPLES.
hypothesis_settings.register_profile("same", derandomize=True)
hypothesis_settings.register_profile("search")
hypothesis_settings.load_profile(os.environ.get("DASHTRADE_HYPOTHESIS", "same"))


def _on_server(url: str, statement: str) -> None:
    engine = create_engine(make_url(url), isolation_level="AUTOCOMMIT", poolclass=NullPool)
    with engine.connect() as connection:
        connection.execute(text(statement))
    engine.dispose()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[EmbeddedPostgres]:
    """An embedded server of this run alone."""
    folder = Path(tempfile.mkdtemp(prefix="dashtrade-tests-"))
    server = EmbeddedPostgres(folder, durable=False)
    try:
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres_url(postgres_server: EmbeddedPostgres) -> str:
    """Address of the run's server; its database ``dashtrade_template`` holds the migrated schema."""
    from dashtrade.db import migrate

    server_url = postgres_server.url()
    _on_server(server_url, f"CREATE DATABASE {TEMPLATE}")
    engine = make_engine(postgres_server.url(TEMPLATE), poolclass=NullPool)
    migrate.upgrade(engine)
    engine.dispose()
    return server_url


@pytest.fixture
def empty_database_url(postgres_server: EmbeddedPostgres) -> Iterator[str]:
    """A database without any table."""
    name = f"empty_{next(_numbers)}"
    _on_server(postgres_server.url(), f"CREATE DATABASE {name}")
    yield postgres_server.url(name)
    _on_server(postgres_server.url(), f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


@pytest.fixture
def database_url(postgres_url: str) -> Iterator[str]:
    """A fresh database with the whole schema and no row."""
    name = f"test_{next(_numbers)}"
    _on_server(postgres_url, f"CREATE DATABASE {name} TEMPLATE {TEMPLATE} STRATEGY file_copy")
    yield make_url(postgres_url).set(database=name).render_as_string(hide_password=False)
    _on_server(postgres_url, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    engine = make_engine(database_url)
    yield engine
    engine.dispose()


@pytest.fixture
def uow_factory(engine: Engine) -> Callable[[], UnitOfWork]:
    """Call it for a new unit of work on the test's database."""
    return lambda: UnitOfWork(engine)


@pytest.fixture
def make_user(uow_factory: Callable[[], UnitOfWork]) -> Callable[..., User]:
    """``make_user("ada", role="admin", password=…)``. The hash is made with few rounds, to keep tests quick."""

    def make(username: str = "ada", role: str = "user", password: str = PASSWORD, is_active: bool = True) -> User:
        with uow_factory() as uow:
            row = UserRow(
                username=username,
                email=f"{username}@example.com",
                password_hash=hash_password(password, rounds=4),
                role=str(role),
                is_active=is_active,
            )
            uow.session.add(row)
            uow.commit()
            return User(row.id, row.username, row.email, Role(row.role), row.full_name, row.is_active)

    return make
