"""Whether the database's schema is this program's: one cheap query, without Alembic, for every process that starts."""

from __future__ import annotations

from sqlalchemy import Connection, Engine, text

from dashtrade.errors import MigrationNeeded

HEAD = "0009"  # newest revision in migrations/versions; a test compares

_STATE = text(
    """
    SELECT to_regclass('public.alembic_version') IS NOT NULL,
           (SELECT count(*) FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'alembic_version')
    """
)


def revision(connection: Connection) -> str | None:
    """The revision the database says it is at; None when nothing was ever migrated."""
    versioned, _ = connection.execute(_STATE).one()
    if not versioned:
        return None
    return connection.execute(text("SELECT max(version_num) FROM alembic_version")).scalar()


def missing_tables(connection: Connection) -> list[str]:
    """Tables of the program that the database does not have."""
    from dashtrade.db.tables import Base

    found = set(connection.execute(text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")).scalars())
    return sorted(set(Base.metadata.tables) - found)


def is_empty(engine: Engine) -> bool:
    """Whether the database has no table at all."""
    with engine.connect() as connection:
        versioned, tables = connection.execute(_STATE).one()
    return not versioned and not tables


def is_current(engine: Engine) -> bool:
    """Whether the database says it is at this program's revision."""
    with engine.connect() as connection:
        return revision(connection) == HEAD


def check_schema(engine: Engine) -> None:
    """Return when the schema is current; else raise MigrationNeeded, which says what is the matter and the remedy."""
    with engine.connect() as connection:
        versioned, tables = connection.execute(_STATE).one()
        current = (
            connection.execute(text("SELECT max(version_num) FROM alembic_version")).scalar() if versioned else None
        )
    if current is None and tables:
        raise MigrationNeeded(
            f"The database holds {tables} tables but no schema version: a migration was left half done, or the "
            "database belongs to another program. Restore a backup or point DATABASE_URL at an empty database, "
            "then run `dashtrade migrate`."
        )
    if current is None:
        raise MigrationNeeded("The database has no tables yet. Run `dashtrade migrate`.")
    if current > HEAD:
        raise MigrationNeeded(
            f"The database schema is at {current}, newer than this program ({HEAD}). Update the program, or go back "
            f"with the newer program's `dashtrade migrate --down {HEAD}`."
        )
    if current < HEAD:
        raise MigrationNeeded(
            f"The database schema is at {current}, this program needs {HEAD}. Run `dashtrade migrate`."
        )


def check_whole(engine: Engine) -> None:
    """Like :func:`check_schema`, and every table must be there; for `up`, `migrate` and `doctor`."""
    check_schema(engine)
    with engine.connect() as connection:
        missing = missing_tables(connection)
    if missing:
        names = ", ".join(missing[:5]) + (" and more" if missing[5:] else "")
        raise MigrationNeeded(
            f"The database says it is at {HEAD} but lacks {names}: a migration or a restore was left half done. "
            "Restore a backup, or point DATABASE_URL at an empty database and run `dashtrade migrate`."
        )
