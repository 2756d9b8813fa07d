"""Alembic without a configuration file: upgrade and downgrade, under a lock, in one transaction."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from dashtrade.db import schema
from dashtrade.errors import ConfigurationError, MigrationNeeded
from dashtrade.resources import folder

_LOCK = 4_242_001  # any fixed number: one migration at a time


def migrations_dir() -> Path:
    """The folder with ``env.py``; raises ConfigurationError when it is missing."""
    return folder("migrations")


def make_config(connection: Connection | None = None):  # type: ignore[no-untyped-def]
    """Alembic's configuration, built in code."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(migrations_dir()).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


def upgrade(engine: Engine, to: str = "head") -> str | None:
    """Bring the schema up to ``to``; returns the revision it is at. Nothing is left half done: a failure rolls back.

    Raises MigrationNeeded when the database holds tables without a version or is newer than the program.
    """
    from alembic import command

    return _change(engine, lambda connection: command.upgrade(make_config(connection), to))


def downgrade(engine: Engine, to: str) -> str | None:
    """Go back to revision ``to`` (``base`` removes every table with its rows)."""
    from alembic import command

    return _change(engine, lambda connection: command.downgrade(make_config(connection), to))


def _change(engine: Engine, change: Callable[[Connection], None]) -> str | None:
    from alembic.util import CommandError

    try:
        with engine.begin() as connection:
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
            _refuse_strange(connection)
            change(connection)
            return schema.revision(connection)
    except CommandError as error:
        raise ConfigurationError(
            f"The schema cannot be changed: {error}. The newest revision is {schema.HEAD}."
        ) from None
    except DBAPIError as error:
        reason = str(error.orig).strip().splitlines()[0]
        raise MigrationNeeded(
            f"The migration failed and was taken back, nothing has changed: {reason}. "
            "Remove the cause, then run `dashtrade migrate`."
        ) from error


def _refuse_strange(connection: Connection) -> None:
    current = schema.revision(connection)
    missing = schema.missing_tables(connection)
    from dashtrade.db.tables import Base

    if current is None and len(missing) < len(Base.metadata.tables):
        raise MigrationNeeded(
            "The database holds some of the program's tables but no schema version: a migration was left half done. "
            "Restore a backup, or point DATABASE_URL at an empty database."
        )
    if current is not None and current > schema.HEAD:
        raise MigrationNeeded(
            f"The database schema is at {current}, newer than this program ({schema.HEAD}). Update the program."
        )
