"""Engine, unit of work and fixtures on the real server."""

from __future__ import annotations

from traceback import format_exception

import pytest
from sqlalchemy import NullPool, select, text
from sqlalchemy.exc import ProgrammingError

from dashtrade.db.embedded import free_port
from dashtrade.db.engine import each_commits, make_engine
from dashtrade.db.tables.accounts import UserRow
from dashtrade.errors import ConfigurationError, DatabaseUnavailable


def test_leaving_without_commit_rolls_back(uow_factory, make_user):
    user = make_user("ada")
    with uow_factory() as uow:
        uow.session.get(UserRow, user.id).full_name = "Ada"
    with uow_factory() as uow:
        assert uow.session.get(UserRow, user.id).full_name is None
        uow.session.get(UserRow, user.id).full_name = "Ada"
        uow.commit()
    with uow_factory() as uow:
        assert uow.session.scalars(select(UserRow.full_name)).all() == ["Ada"]


@pytest.mark.parametrize("_", range(2))
def test_every_test_starts_with_an_empty_database(_, make_user, uow_factory):
    make_user("same-name")
    with uow_factory() as uow:
        assert len(uow.session.scalars(select(UserRow)).all()) == 1


def test_the_session_speaks_utc(engine):
    with engine.connect() as connection:
        assert connection.execute(text("SHOW timezone")).scalar() == "UTC"


def test_an_unreachable_server_is_one_sentence_without_the_password():
    engine = make_engine(f"postgresql://someone:very-secret@127.0.0.1:{free_port()}/books")
    with pytest.raises(DatabaseUnavailable) as caught, engine.connect():
        pass
    assert "127.0.0.1" in str(caught.value) and "books" in str(caught.value) and "nothing listens" in str(caught.value)
    assert "very-secret" not in "".join(format_exception(caught.value))


def test_a_refused_password_is_said_without_showing_it(database_url):
    engine = make_engine(database_url.replace("dashtrade:", "dashtrade:wrong", 1))
    with pytest.raises(DatabaseUnavailable, match="password or user name was refused") as caught, engine.connect():
        pass
    assert "wrong" not in str(caught.value)


@pytest.mark.parametrize(
    ("option", "reason"),
    [
        ("sslmode=require", "it has no TLS, which sslmode asks for"),
        ("sslmode=nonsense", "an option or a value in the address is not allowed"),
        ("nonsense=1", "an option or a value in the address is not allowed"),
        ("sslmode=verify-full&sslrootcert=/nowhere.pem", "it has no TLS|the certificate is missing"),
        ("host=/nowhere", "nothing listens there"),
    ],
)
def test_an_option_of_the_address_that_does_not_work_is_told(database_url, option, reason):
    engine = make_engine(f"{database_url}?{option}", poolclass=NullPool)
    with pytest.raises(DatabaseUnavailable, match=reason) as caught, engine.connect():
        pass
    assert str(engine.url.password) not in str(caught.value) and "DATABASE_URL" in str(caught.value)


def test_a_server_with_a_full_disk_is_unavailable_and_keeps_what_it_has(engine, make_user):
    user = make_user("ada")
    full = "DO $$ BEGIN RAISE EXCEPTION 'could not extend file' USING ERRCODE = 'disk_full'; END $$"
    with (
        pytest.raises(DatabaseUnavailable, match="no space left on its disk"),
        engine.begin() as connection,
    ):
        connection.execute(text("DELETE FROM users"))
        connection.execute(text(full))
    with engine.connect() as connection:
        assert connection.execute(text("SELECT id FROM users")).scalars().all() == [user.id]


def test_a_lost_connection_is_unavailable_and_then_recovers(engine):
    with engine.connect() as connection:
        with engine.connect() as other:
            pid = connection.execute(text("SELECT pg_backend_pid()")).scalar()
            other.execute(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": pid})
        with pytest.raises(DatabaseUnavailable):
            connection.execute(text("SELECT 1"))
    with engine.connect() as connection:
        assert connection.execute(text("SELECT 1")).scalar() == 1


def test_a_connection_on_which_each_statement_commits_is_given_back_as_it_was(database_url, make_user):
    number = make_user("ada").id
    change = text("UPDATE users SET full_name = :name WHERE id = :id")
    engine = make_engine(database_url, pool_size=1, max_overflow=0)
    seen = []
    with each_commits(engine) as connection:
        connection.execute(change, {"name": "Ada", "id": number})
        with make_engine(database_url, poolclass=NullPool).connect() as other:
            seen.append(other.execute(text("SELECT full_name FROM users")).scalar())
    with pytest.raises(ProgrammingError), each_commits(engine) as connection:
        connection.execute(text("SELECT nonsense"))
    with engine.connect() as connection:  # the same one, in transactions again
        connection.execute(change, {"name": "Grace", "id": number})
        connection.rollback()
        seen.append(connection.execute(text("SELECT full_name FROM users")).scalar())
    engine.dispose()
    assert seen == ["Ada", "Ada"]


@pytest.mark.parametrize(
    "url", ["mysql://root@localhost/books", "sqlite:///books.db", "nonsense", "postgresql://h:port/d"]
)
def test_other_databases_are_refused_by_name(url):
    with pytest.raises(ConfigurationError, match="DATABASE_URL"):
        make_engine(url)
