"""The SQLAlchemy engine: one place that knows the driver, the time zone and what an unreachable server looks like."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, ExceptionContext, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError

from dashtrade.errors import ConfigurationError, DatabaseUnavailable

CONNECT_TIMEOUT = 5
IDLE_LIMIT = 10.0
DISK_FULL = "53100"
FULL_FOR = 15.0  # seconds after a change that was refused
_SCHEMES = {"postgres", "postgresql", "postgresql+psycopg2", "postgresql+psycopg"}


_refused_at: WeakKeyDictionary[Engine, float] = WeakKeyDictionary()


def refused(engine: Engine) -> str | None:
    """A sentence while a change was refused a moment ago because the server's disk is full; reading may well go on.

    It ends by itself: where nothing is sent to a process that is not ready, nothing could show that there is room.
    """
    if time.monotonic() - _refused_at.get(engine, float("-inf")) >= FULL_FOR:
        return None
    return "PostgreSQL has no space left on its disk and refuses changes. Free space."


def parse_url(url: str) -> URL:
    """``url`` with the driver this program uses; raises ConfigurationError for anything but PostgreSQL.

    The text of the error never holds the password.
    """
    try:
        parsed = make_url(url)
        parsed.port  # noqa: B018 - a port that is not a number is found here
    except (ArgumentError, ValueError):
        raise ConfigurationError(
            "DATABASE_URL is not a database address. Write it as postgresql://user:password@host:5432/database."
        ) from None
    if parsed.drivername not in _SCHEMES:
        raise ConfigurationError(
            f"DATABASE_URL names {parsed.drivername!r}, but DashTrade keeps its data in PostgreSQL. "
            "Write it as postgresql://user:password@host:5432/database, or unset it to use the embedded server."
        )
    return parsed.set(drivername="postgresql+psycopg2")


def describe(url: URL) -> str:
    """``host:port/database``: enough for a person to find the server, and no secret."""
    host = url.query.get("host") or url.host or "localhost"
    return f"{host}:{url.port or 5432}/{url.database or ''}"


def libpq_url(url: str) -> str:
    """The address in the form that libpq and psycopg 3 understand."""
    return parse_url(url).set(drivername="postgresql").render_as_string(hide_password=False)


def _reason(error: BaseException | None) -> str:
    text = str(error).lower()
    for part, reason in (
        ("does not support ssl", "it has no TLS, which sslmode asks for"),
        ("certificate", "the certificate is missing or was refused (sslmode, sslrootcert)"),
        ("invalid", "an option or a value in the address is not allowed"),
        ("password authentication failed", "the password or user name was refused"),
        ("no password supplied", "the server asks for a password"),
        ("does not exist", "the database or user does not exist"),
        ("could not translate host", "the host name is not known"),
        ("name or service not known", "the host name is not known"),
        ("connection refused", "nothing listens there"),
        ("no such file or directory", "nothing listens there"),
        ("no pg_hba.conf entry", "it lets nobody in from here (pg_hba.conf)"),
        ("timeout", "it did not answer in time"),
        ("too many", "it has no connection left"),
        ("starting up", "it is starting"),
        ("shutting down", "it is shutting down"),
    ):
        if part in text:
            return reason
    return "the connection failed"


def make_engine(url: str, **kw: Any) -> Engine:
    """An engine for ``url``; keyword arguments go to ``create_engine``.

    A connection that cannot be made or is lost, and a server whose disk is full, raise DatabaseUnavailable (without
    the password); every other database error keeps SQLAlchemy's type. No connection is made here.
    """
    parsed = parse_url(url)
    connect_args = {"connect_timeout": CONNECT_TIMEOUT, "options": "-c timezone=UTC", **kw.pop("connect_args", {})}
    if "poolclass" not in kw:
        kw.setdefault("pool_pre_ping", True)
    engine = create_engine(parsed, connect_args=connect_args, hide_parameters=True, **kw)

    @event.listens_for(engine, "handle_error")
    def _unavailable(context: ExceptionContext) -> None:
        if context.is_pre_ping:
            return
        original = context.original_exception
        if getattr(original, "pgcode", None) == DISK_FULL:
            _refused_at[engine] = time.monotonic()
            raise DatabaseUnavailable(
                f"PostgreSQL at {describe(parsed)} has no space left on its disk, and the change was taken back. "
                "Free space, then try again."
            ) from None
        connecting = context.connection is None and isinstance(context.sqlalchemy_exception, DBAPIError)
        if connecting or context.is_disconnect:
            raise DatabaseUnavailable(
                f"PostgreSQL at {describe(parsed)} cannot be reached: {_reason(original)}. "
                "Start it or correct DATABASE_URL, then try again."
            ) from None

    return engine


@contextmanager
def each_commits(engine: Engine) -> Iterator[Connection]:
    """A connection on which every statement is a transaction of its own, without the trips for BEGIN and COMMIT.

    The driver's own switch is used: SQLAlchemy's ``AUTOCOMMIT`` sends a SET each time the connection is given back.
    """
    with engine.connect() as connection:
        driver: Any = connection.connection.dbapi_connection
        driver.autocommit = True
        try:
            yield connection
        finally:
            if not driver.closed:
                driver.autocommit = False


def limit_idle(engine: Engine, seconds: float = IDLE_LIMIT) -> None:
    """Let the server end a session that stands still inside a transaction, for processes whose transactions are short.

    A host that is cut off or frozen would otherwise keep its row locks, and whoever takes over would wait for them
    until the network gives the connection up, which can be hours.
    """

    @event.listens_for(engine, "connect")
    def _limit(connection: Any, _record: Any) -> None:
        with connection.cursor() as cursor:
            cursor.execute(f"SET idle_in_transaction_session_timeout = {int(seconds * 1000)}")
        connection.commit()
