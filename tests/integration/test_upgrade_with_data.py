"""From every earlier revision with rows in its tables: up to this program's, everything still there, and back."""

from __future__ import annotations

import pytest
from installation_rows import ROWS, fill
from sqlalchemy import Connection, NullPool, text

from dashtrade.db import migrate, schema
from dashtrade.db.engine import make_engine

REVISIONS = [f"{number:04d}" for number in range(1, int(schema.HEAD) + 1)]
EARLIER = REVISIONS[:-1]


def columns(connection: Connection) -> dict[str, list[str]]:
    """Table → its columns, in order."""
    found: dict[str, list[str]] = {}
    query = (
        "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'public'"
        " AND table_name <> 'alembic_version' ORDER BY table_name, ordinal_position"
    )
    for table, column in connection.execute(text(query)):
        found.setdefault(table, []).append(column)
    return found


def rows(connection: Connection, tables: dict[str, list[str]]) -> dict[str, list[str]]:
    """Table → its rows as text, of these columns alone."""
    return {
        table: sorted(
            connection.execute(text(f"SELECT ROW({', '.join(f't.{n}' for n in names)})::text FROM {table} t")).scalars()
        )
        for table, names in tables.items()
    }


def test_there_are_rows_for_every_revision():
    assert sorted(ROWS) == REVISIONS


@pytest.mark.parametrize("revision", EARLIER)
def test_rows_survive_the_way_up_and_back(empty_database_url, revision):
    engine = make_engine(empty_database_url, poolclass=NullPool)
    assert migrate.upgrade(engine, revision) == revision
    fill(engine, revision)
    with engine.connect() as connection:
        tables = columns(connection)
        before = rows(connection, tables)
    if revision == "0001":
        assert [table for table, found in before.items() if not found] == [], "every table is tried with a row"
    assert migrate.upgrade(engine) == schema.HEAD
    schema.check_whole(engine)
    with engine.connect() as connection:
        assert rows(connection, tables) == before, "changed or lost on the way up"
    assert migrate.downgrade(engine, revision) == revision
    with engine.connect() as connection:
        assert columns(connection).keys() == tables.keys()
        assert {t: sorted(c) for t, c in columns(connection).items()} == {t: sorted(c) for t, c in tables.items()}
        assert rows(connection, tables) == before, "changed or lost on the way back"
    engine.dispose()


def test_what_newer_revisions_hold_does_not_stop_the_way_back(empty_database_url):
    """An operator who goes back loses what only the newer schema can hold, and nothing else."""
    engine = make_engine(empty_database_url, poolclass=NullPool)
    migrate.upgrade(engine)
    fill(engine, schema.HEAD)
    assert migrate.downgrade(engine, "0001") == "0001"
    with engine.connect() as connection:
        left = rows(connection, columns(connection))
        purposes = connection.execute(text("SELECT purpose FROM account_tokens")).scalars().all()
        states = connection.execute(text("SELECT state FROM order_intents ORDER BY id")).scalars().all()
    assert purposes == ["reset"] and len(states) == 2 and "resting" not in states
    assert all(left.values())
    assert migrate.upgrade(engine) == schema.HEAD
    engine.dispose()
