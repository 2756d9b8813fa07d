"""A backup of an installation, and an installation from a backup.

A backup holds the database as of one moment, and of the data folder: reports, imported prices, notebooks and, when it
is sealed with a passphrase, the secrets. Cached prices are not in it. Counts and checksums of all tables, taken from
the same moment as the dump, go along; a restore compares them with what it has restored.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from dashtrade import __version__
from dashtrade.auth import secret_files
from dashtrade.auth.sealed_file import NewFile, SealedReader, SealedWriter
from dashtrade.db import dump as database
from dashtrade.db import schema
from dashtrade.errors import ConfigurationError, MigrationNeeded
from dashtrade.settings import Settings

FOLDERS = ("reports", "imported", "notebooks")
_PIECE = 256 * 1024
_KEYS = (secret_files.ENCRYPTION_KEY, secret_files.SIGNIN_KEY)


@dataclass(frozen=True, slots=True)
class BackupReport:
    """What a backup holds. ``tables`` is ``schema.name`` → rows and checksum; ``parts`` is name → bytes."""

    path: Path
    made_at: str
    program: str
    revision: str
    sealed: bool
    tables: dict[str, list[str]] = field(repr=False)
    parts: dict[str, int] = field(repr=False)

    @property
    def rows(self) -> int:
        return sum(int(facts[0]) for facts in self.tables.values() if not facts[1].isalpha())

    @property
    def files(self) -> int:
        return sum(name.startswith("file:") for name in self.parts)


def back_up(engine: Engine, settings: Settings, path: Path, passphrase: str | None) -> BackupReport:
    """Write a backup to ``path``, a new file; without a passphrase, the secrets are left out.

    Services may go on working meanwhile. Raises ConfigurationError, and leaves no file, when anything fails.
    """
    schema.check_whole(engine)
    now = datetime.now(UTC)
    facts = {"made_at": now.isoformat(timespec="seconds"), "program": __version__, "revision": schema.HEAD}
    parts = {}
    with NewFile(path) as file, database.snapshot(engine) as (connection, name):
        writer = SealedWriter(file, passphrase, facts)
        try:
            tables = database.contents(connection)
        except DBAPIError as error:
            raise ConfigurationError(f"The database could not be read: {str(error.orig).splitlines()[0]}.") from None
        parts["manifest"] = writer.part("manifest", [json.dumps({**facts, "tables": tables}).encode()])
        parts["database"] = writer.part("database", database.dump(engine.url, name))
        if passphrase is not None:
            for secret, value in _secrets(settings):
                parts[f"secret:{secret}"] = writer.part(f"secret:{secret}", [value.encode()])
        for relative in _files(settings.data_dir):
            try:
                parts[f"file:{relative}"] = writer.part(f"file:{relative}", _pieces(settings.data_dir / relative))
            except FileNotFoundError:
                raise ConfigurationError(
                    f"{relative} went away while it was being backed up. Run the command again."
                ) from None
        writer.close()
    return BackupReport(path, facts["made_at"], __version__, schema.HEAD, passphrase is not None, tables, parts)


def inspect_backup(path: Path, passphrase: str | None) -> BackupReport:
    """Read a backup to its end without restoring anything. Raises ConfigurationError when it is not whole."""
    with _open(path) as file:
        reader, manifest, parts = SealedReader(file, passphrase), {}, {}
        for name, pieces in reader.parts():
            size = 0
            kept = []
            for piece in pieces:
                size += len(piece)
                if name == "manifest":
                    kept.append(piece)
            parts[name] = size
            if name == "manifest":
                manifest = json.loads(b"".join(kept))
    if "database" not in parts or not manifest:
        raise ConfigurationError("The backup holds no database. Use another copy.")
    return BackupReport(
        path, manifest["made_at"], manifest["program"], manifest["revision"], reader.sealed, manifest["tables"], parts
    )


def restore_backup(engine: Engine, settings: Settings, path: Path, passphrase: str | None) -> BackupReport:
    """Fill an empty database and the data folder from a backup, compare, and bring the schema to this program's.

    Nothing is overwritten: a database that holds anything, another encryption key in the data folder, and files that
    differ are refused before anything is changed. Raises ConfigurationError or MigrationNeeded.
    """
    from dashtrade.db import migrate

    report = inspect_backup(path, passphrase)
    if report.revision > schema.HEAD:
        raise MigrationNeeded(
            f"The backup is of DashTrade {report.program} with schema {report.revision}, newer than this program "
            f"({schema.HEAD}). Update the program, then restore."
        )
    if not database.is_bare(engine):
        raise ConfigurationError(
            "The database is not empty, and a restore overwrites nothing. Make a new database and name it in "
            "DATABASE_URL, or set DASHTRADE_DATA_DIR to a new folder."
        )
    _restore_files(settings, path, passphrase, write=False)
    with _open(path) as file:
        for name, pieces in SealedReader(file, passphrase).parts():
            if name == "database":
                database.restore(engine.url, pieces)
    with database.snapshot(engine) as (connection, _):
        found = database.contents(connection)
    differing = database.differences(report.tables, found)
    if differing:
        raise ConfigurationError(
            f"What was restored differs from the backup in {', '.join(differing[:5])}. Do not use this database; "
            "restore into another server."
        )
    _restore_files(settings, path, passphrase, write=True)
    if report.revision != schema.HEAD:
        migrate.upgrade(engine)
    schema.check_whole(engine)
    return report


def _restore_files(settings: Settings, path: Path, passphrase: str | None, *, write: bool) -> None:
    """Secrets and files; with ``write`` off, only see whether they can be put where they belong."""
    with _open(path) as file:
        for name, pieces in SealedReader(file, passphrase).parts():
            kind, _, rest = name.partition(":")
            if kind == "secret":
                _restore_secret(settings, rest, b"".join(pieces).decode(), write=write)
            elif kind == "file":
                _restore_file(settings.data_dir, rest, pieces, write=write)


def _restore_secret(settings: Settings, name: str, value: str, *, write: bool) -> None:
    if name not in secret_files.NAMES or getattr(settings, name, None) is not None:
        return  # the operator's setting goes before the file
    target = settings.secrets_dir / name
    if target.is_file():
        if name in _KEYS and target.read_text().strip() != value.strip():
            raise ConfigurationError(
                f"{target} holds another key than the backup's, and what is sealed could not be opened. "
                "Set DASHTRADE_DATA_DIR to a new folder."
            )
        return
    if write:
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _write(target, iter([value.encode()]))


def _restore_file(folder: Path, relative: str, pieces: Iterator[bytes], *, write: bool) -> None:
    target = folder / relative
    if relative.split("/")[0] not in FOLDERS or ".." in Path(relative).parts or Path(relative).is_absolute():
        raise ConfigurationError(f"The backup names a file outside the data folder: {relative[:80]}.")
    if target.exists():
        raise ConfigurationError(f"{target} exists already. Set DASHTRADE_DATA_DIR to a new folder.")
    if write:
        target.parent.mkdir(parents=True, exist_ok=True)
        _write(target, pieces)


def _write(target: Path, pieces: Iterator[bytes]) -> None:
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        for piece in pieces:
            file.write(piece)


def _secrets(settings: Settings) -> Iterator[tuple[str, str]]:
    """The secrets in force. Keys that were retired are remembered in the files, so those go as they are."""
    for name in secret_files.NAMES:
        given, path = getattr(settings, name, None), settings.secrets_dir / name
        if given is not None:
            yield name, given.get_secret_value()
        elif path.is_file():
            yield name, path.read_text()


def _files(folder: Path) -> list[str]:
    return sorted(
        str(path.relative_to(folder))
        for name in FOLDERS
        for path in (folder / name).rglob("*")
        if path.is_file() and not path.is_symlink() and ".ipynb_checkpoints" not in path.parts
    )


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            yield piece


def _open(path: Path) -> Any:
    try:
        return path.open("rb")
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read ({error.strerror}).") from None


def is_sealed(path: Path) -> bool:
    """Whether a passphrase is needed; raises ConfigurationError for a file that is no backup."""
    from dashtrade.auth.sealed_file import header_of

    with _open(path) as file:
        return "scrypt" in header_of(file)
