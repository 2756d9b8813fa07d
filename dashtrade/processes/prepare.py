"""Everything `up` checks and makes before the first service starts. Each failure is one sentence with the remedy."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import secrets
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from dashtrade.auth import secret_files
from dashtrade.bootstrap import Runtime
from dashtrade.errors import ConfigurationError
from dashtrade.services.listening import check_port
from dashtrade.settings import Settings

PORTS = {"dashboards_port": "dashboards", "webhook_port": "webhook", "simulator_port": "simulator"}


@dataclass(frozen=True, slots=True)
class Prepared:
    """``password`` is that of the superadmin just created, to be shown once."""

    pages_database_url: str | None = field(repr=False)
    encryption_key: str = field(repr=False)
    session_secret: str = field(repr=False)
    signin_key: str = field(repr=False)
    created: list[str]
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    warning: str | None = None
    locked_out: str | None = None


def check_data_dir(folder: Path) -> None:
    """Write for real: root and some file systems ignore the permission bits."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(b"x" * 4096)
            probe.flush()
    except OSError as error:
        what = "is full" if error.errno == errno.ENOSPC else f"cannot be written ({error.strerror})"
        raise ConfigurationError(
            f"The data folder {folder} {what}. Make it writable, or set DASHTRADE_DATA_DIR to another folder."
        ) from None


@contextlib.contextmanager
def only_one(folder: Path, note: dict[str, object]) -> Iterator[None]:
    """Hold the folder's lock; the kernel drops it with the process, so a lock file left behind means nothing."""
    path = folder / "up.lock"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ConfigurationError(_already_running(folder, path)) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(note | {"pid": os.getpid()}).encode(), 0)
        yield
        os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


def running(folder: Path) -> dict[str, object] | None:
    """The note of the `up` that runs in this folder, or None."""
    path = folder / "up.lock"
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return _note(path)
    finally:
        os.close(descriptor)
    return None


def _note(path: Path) -> dict[str, object]:
    try:
        note = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return note if isinstance(note, dict) else {}


def _already_running(folder: Path, path: Path) -> str:
    note = _note(path)
    pid, url = note.get("pid"), note.get("url")
    where = f" at {url}" if url else ""
    how = f"`kill {pid}`" if pid else "Ctrl-C in its terminal"
    return (
        f"DashTrade is running already in {folder}{where} (process {pid or 'unknown'}). "
        f"Stop it with {how}, or set DASHTRADE_DATA_DIR and the ports to run a second one."
    )


def check_ports(settings: Settings) -> None:
    """Raise ConfigurationError where services cannot have their ports; it names the setting."""
    seen: dict[int, str] = {}
    for name, owner in PORTS.items():
        port = getattr(settings, name)
        setting = f"DASHTRADE_{name.upper()}"
        if port in seen:
            raise ConfigurationError(f"{setting} and {seen[port]} are both {port}. Give them different ports.")
        seen[port] = setting
        host = "127.0.0.1" if owner == "simulator" else settings.host
        check_port(host, port, setting)


def prepare(runtime: Runtime) -> Prepared:
    """Schema, secrets, page role and, in a database without users, a superadmin."""
    from dashtrade.db.migrate import upgrade
    from dashtrade.db.pages_role import ensure_pages_role, pages_url
    from dashtrade.db.schema import check_whole, is_current

    settings, engine = runtime.settings, runtime.engine
    created = secret_files.ensure_secrets(settings)
    key = secret_files.encryption_key(settings)
    session_secret = secret_files.session_secret(settings)
    if not is_current(engine):
        upgrade(engine)
    check_whole(engine)
    _check_key(runtime, key)
    password = secret_files.pages_password(settings)
    warning = ensure_pages_role(engine, password)
    database_url = engine.url.render_as_string(hide_password=False)
    username, shown = _first_superadmin(runtime)
    return Prepared(
        pages_database_url=None if warning else pages_url(database_url, password),
        encryption_key=key,
        session_secret=session_secret,
        signin_key=secret_files.signin_key(settings),
        created=created,
        username=username,
        password=shown,
        warning=warning,
        locked_out=_locked_out(runtime),
    )


def _check_key(runtime: Runtime, keys: str) -> None:
    """The key must open what is stored."""
    from dashtrade.auth.vault import Vault
    from dashtrade.services.key_rotation import check_sealed

    with runtime.uow() as uow:
        check_sealed(uow, Vault(keys))


def _locked_out(runtime: Runtime) -> str | None:
    """A sentence where second factors do not open with the sign-in key. It stops nothing: the bots have to go on."""
    from dashtrade.auth.vault import Vault
    from dashtrade.services.second_factor import unreadable

    with runtime.uow() as uow:
        names = unreadable(uow, Vault(secret_files.signin_key(runtime.settings)))
    if not names:
        return None
    shown = ", ".join(names[:5]) + (" and others" if names[5:] else "")
    return (
        f"the sign-in key does not open the second factor of {shown}, who cannot sign in. Restore signin_key in "
        f"{runtime.settings.secrets_dir} or DASHTRADE_SIGNIN_KEY, or run `dashtrade user reset-second-factor NAME`."
    )


def _first_superadmin(runtime: Runtime) -> tuple[str | None, str | None]:
    from sqlalchemy import select

    from dashtrade.db.tables.accounts import UserRow
    from dashtrade.domain.users import Role

    with runtime.uow() as uow:
        if uow.session.scalar(select(UserRow.id).limit(1)) is not None:
            return None, None
        from dashtrade.services.users import create_user

        password = secrets.token_urlsafe(15)
        user = create_user(uow, "admin", "admin@localhost", password, role=Role.SUPERADMIN)
        return user.username, password
