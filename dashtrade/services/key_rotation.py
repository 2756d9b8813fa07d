"""Changing the keys that seal stored secrets, while everything runs.

The encryption key seals API keys and the addresses of channels; the sign-in key seals second factors. A rotation puts a
new key in front of each file, publishes the new public key and seals every record again, one transaction each, so that
it may be killed at any moment and go on later. Running processes read the files each time they need a key. The old keys
stay in the files until they are retired.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import select, text

from dashtrade.auth import secret_files
from dashtrade.auth.vault import Vault, new_key
from dashtrade.db.tables import Base
from dashtrade.db.tables.accounts import UserRow
from dashtrade.db.unit_of_work import UnitOfWork
from dashtrade.errors import ConfigurationError
from dashtrade.services import audit
from dashtrade.services.api_keys import check_vault, publish_public_key
from dashtrade.services.app_state import get_state, set_state
from dashtrade.services.source_keys import check_source_keys
from dashtrade.settings import Settings

STATE = "key_rotation"
LOCK = 7_305_511_904  # an advisory lock: one rotation at a time
#: A form that was being answered when the new key was published is done by then.
SETTLED = timedelta(minutes=1)

#: What the sealed records of a table are, and what becomes of those that nothing opens.
_WORDS = {
    "user_api_keys": ("API keys", "deleted and stored again"),
    "user_source_keys": ("Keys at data sources", "deleted and stored again"),
    "notification_channels": ("Notification channels", "removed and added again"),
    "users": ("Second factors", "reset with `dashtrade user reset-second-factor NAME`"),
}

NewUow = Callable[[], UnitOfWork]


class RotationRuns(ConfigurationError):
    """Another process is changing the keys at this moment: wait until it is done."""


def check_sealed(uow: UnitOfWork, vault: Vault) -> None:
    """The keys must open what is sealed with the encryption key; raises ConfigurationError. Nothing of it is kept."""
    check_vault(uow, vault)
    check_source_keys(uow, vault)


@dataclass(frozen=True, slots=True)
class Rotation:
    """How far the last rotation came. Times are ISO 8601; ``keys`` are fingerprints of the newest keys."""

    started_at: str
    total: int
    done: int
    keys: tuple[str, ...]
    finished_at: str | None = None
    retired_at: str | None = None
    request: str | None = None  # which request from the pages it answers (``key_changes``)

    @property
    def is_finished(self) -> bool:
        return self.finished_at is not None


@dataclass(frozen=True, slots=True)
class _Sealed:
    """Columns of a table that hold ciphertexts of one key."""

    table: type[Base]
    columns: tuple[str, ...]
    key: str


def _sealed() -> list[_Sealed]:
    """Every column named ``*_encrypted``, so that a new table is rotated without anybody thinking of it."""
    found = []
    for mapper in sorted(Base.registry.mappers, key=lambda mapper: mapper.class_.__tablename__):
        names = tuple(column.key for column in mapper.columns if column.key.endswith("_encrypted"))
        if names:
            key = secret_files.SIGNIN_KEY if mapper.class_ is UserRow else secret_files.ENCRYPTION_KEY
            found.append(_Sealed(mapper.class_, names, key))
    return found


def last_rotation(uow: UnitOfWork) -> Rotation | None:
    """What is known of the last one; None: there was none."""
    value = get_state(uow, STATE)
    return Rotation(**{**value, "keys": tuple(value["keys"])}) if isinstance(value, dict) else None


def rotate(new_uow: NewUow, settings: Settings, *, request: str | None = None, now: datetime | None = None) -> Rotation:
    """Seal everything with new keys; goes on where an earlier run was interrupted.

    A ``request`` is answered once: where the last rotation has finished and was its, nothing is done. Where a key is a
    setting and not a file, the operator has put the new one in front of it; raises ConfigurationError where there is no
    second one, and where a record does not open with the keys of now, before any key is changed. Raises RotationRuns
    when another rotation runs.
    """
    now = now or datetime.now(UTC)
    with _alone(new_uow):
        with new_uow() as uow:
            state = last_rotation(uow)
        if state is not None and state.is_finished and request is not None and state.request == request:
            return state
        if state is None or state.is_finished:
            for name in _names():
                _check_begin(settings, name)
            with new_uow() as uow:
                _check_records(uow, _vaults(settings))
            keys = tuple(secret_files.fingerprint(_begin(settings, name)) for name in _names())
            with new_uow() as uow:
                state = Rotation(now.isoformat(), _count(uow), 0, keys, request=request)
                _keep(uow, state)
                audit.record(uow, "encryption_rotation_started", fingerprints=list(keys))
                uow.commit()
        else:  # whoever goes on with it, it is still the answer to that request
            request = request or state.request
        vaults = _vaults(settings)
        with new_uow() as uow:
            publish_public_key(uow, vaults[secret_files.ENCRYPTION_KEY])
        done = 0
        for sealed, row_id in list(_records(new_uow)):
            with new_uow() as uow:
                _renew(uow, sealed, row_id, vaults[sealed.key])
                done += 1
                state = Rotation(state.started_at, max(state.total, done), done, state.keys, request=request)
                _keep(uow, state)
                uow.commit()
        with new_uow() as uow:
            finished = datetime.now(UTC).isoformat()
            state = Rotation(state.started_at, done, done, state.keys, finished_at=finished, request=request)
            _keep(uow, state)
            audit.record(uow, "encryption_rotated", count=done)
            uow.commit()
        return state


def retire(new_uow: NewUow, settings: Settings, *, request: str | None = None, now: datetime | None = None) -> Rotation:
    """Take the old keys out of the files, after looking that no record needs them. From then on they open nothing.

    Run again after a kill it does what is left; a ``request`` is recorded once.
    """
    now = now or datetime.now(UTC)
    with _alone(new_uow), new_uow() as uow:
        state = last_rotation(uow)
        if state is None or state.finished_at is None:
            raise ConfigurationError("No finished rotation is known. Run `dashtrade keys rotate` first.")
        if now - datetime.fromisoformat(state.finished_at) < SETTLED:
            raise ConfigurationError("The rotation has only just finished. Try again in a minute.")
        names = ", ".join(sealed.table.__tablename__ for sealed in _sealed())
        uow.session.execute(text(f"LOCK TABLE {names} IN SHARE ROW EXCLUSIVE MODE"))
        vaults = _vaults(settings)
        for sealed, row_id in list(_records(lambda: uow, open_already=True)):
            _renew(uow, sealed, row_id, vaults[sealed.key])
        if state.retired_at is None or request is None or state.request != request:
            state = Rotation(**{**asdict(state), "retired_at": now.isoformat(), "request": request})
            _keep(uow, state)
            audit.record(uow, "encryption_retired", fingerprints=list(state.keys))
        uow.commit()
        for name in _names():  # still alone: a rotation that began now would lose the key it starts from
            file = secret_files.key_file(settings, name)
            if _follows_file(settings, name):
                file.write(file.read()[:1])
    return state


def is_running(uow: UnitOfWork) -> bool:
    """Whether any process is changing the keys now; asked without getting in its way."""
    held = text(
        "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1"
        " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        " AND classid::bigint = :high AND objid::bigint = :low)"
    )
    return bool(uow.session.scalar(held, {"high": LOCK >> 32, "low": LOCK & 0xFFFFFFFF}))


def check_files(settings: Settings, names: tuple[str, ...] | None = None) -> None:
    """The keys must be files that this process reads and writes; raises ConfigurationError with the way that is left.

    For who begins a change without being at the server's command line, where settings can be changed besides.
    """
    for name in names or _names():
        file = secret_files.key_file(settings, name)
        if not _follows_file(settings, name):
            raise ConfigurationError(
                f"{file.setting} is a setting and not a file, so that it cannot be changed from here. On the server, "
                "put a new key in front of it, start DashTrade again, then run `dashtrade keys rotate`."
            )
        file.read()
        if not os.access(file.path.parent, os.W_OK):
            raise ConfigurationError(
                f"{file.path} cannot be written by the process that changes keys. Correct the owner of its folder."
            )


def check_opens(uow: UnitOfWork, settings: Settings) -> None:
    """Before a change: what is stored must open with the keys of now. Raises ConfigurationError."""
    vaults = _vaults(settings)
    _check_records(uow, vaults)
    check_sealed(uow, vaults[secret_files.ENCRYPTION_KEY])  # also that each belongs where it stands


def _names() -> tuple[str, ...]:
    return secret_files.ENCRYPTION_KEY, secret_files.SIGNIN_KEY


def _follows_file(settings: Settings, name: str) -> bool:
    given = getattr(settings, name)
    file = secret_files.key_file(settings, name)
    return given is None or (file.path.is_file() and file.knew(given.get_secret_value()))


def _begin(settings: Settings, name: str) -> str:
    """The key to seal with: a new one in front of the file, or the first of the setting."""
    if _follows_file(settings, name):
        file, key = secret_files.key_file(settings, name), new_key()
        file.write([key, *file.read()])
        return key
    return _given(settings, name)[0]


def _given(settings: Settings, name: str) -> list[str]:
    return [key.strip() for key in getattr(settings, name).get_secret_value().split(",") if key.strip()]


def _check_begin(settings: Settings, name: str) -> None:
    """All keys are looked at before the first is changed."""
    if _follows_file(settings, name):
        secret_files.key_file(settings, name).read()
    elif len(_given(settings, name)) < 2:
        setting = secret_files.key_file(settings, name).setting
        raise ConfigurationError(
            f"{setting} is a setting, so that it cannot be changed from here. Put a new key in front of it, separated "
            "by a comma (`dashtrade keys new` makes one), start DashTrade again, then rotate."
        )


def _vaults(settings: Settings) -> dict[str, Vault]:
    return {
        secret_files.ENCRYPTION_KEY: Vault(secret_files.encryption_key(settings)),
        secret_files.SIGNIN_KEY: Vault(secret_files.signin_key(settings)),
    }


@contextmanager
def _alone(new_uow: NewUow) -> Iterator[None]:
    with new_uow() as guard:
        if not guard.session.scalar(text("SELECT pg_try_advisory_xact_lock(:key)"), {"key": LOCK}):
            raise RotationRuns("A rotation is running already. Wait until it is done.")
        yield


def _records(new_uow: NewUow, *, open_already: bool = False) -> Iterator[tuple[_Sealed, int]]:
    for sealed in _sealed():
        table: Any = sealed.table
        query = select(table.id).where(getattr(table, sealed.columns[0]).is_not(None)).order_by(table.id)
        if open_already:
            numbers = list(new_uow().session.scalars(query))
        else:
            with new_uow() as uow:
                numbers = list(uow.session.scalars(query))
        yield from ((sealed, number) for number in numbers)


def _count(uow: UnitOfWork) -> int:
    return sum(1 for _ in _records(lambda: uow, open_already=True))


def _check_records(uow: UnitOfWork, vaults: dict[str, Vault]) -> None:
    """All records are looked at before the first is changed: one that is left over would keep the rotation open."""
    closed = {}
    for sealed in _sealed():
        table: Any = sealed.table
        query = select(_owner(table), *(getattr(table, column) for column in sealed.columns)).order_by(table.id)
        owners = [
            row[0] for row in uow.session.execute(query)
            if any(value is not None and not vaults[sealed.key].opens(value) for value in row[1:])
        ]  # fmt: skip
        if owners:
            closed[sealed] = owners
    if closed:
        raise ConfigurationError(" ".join(_not_opened(uow, sealed, owners) for sealed, owners in closed.items()))


def _owner(table: Any) -> Any:
    return table.id if table is UserRow else table.user_id


def _not_opened(uow: UnitOfWork, sealed: _Sealed, owners: list[int]) -> str:
    """What to do about records that the keys in use do not open."""
    found = select(UserRow.username).where(UserRow.id.in_(owners)).order_by(UserRow.username).limit(5)
    names = ", ".join(uow.session.scalars(found)) + (" and others" if len(set(owners)) > 5 else "")
    what, remedy = _WORDS.get(sealed.table.__tablename__, (sealed.table.__tablename__, "removed and entered again"))
    file = "signin_key" if sealed.key == secret_files.SIGNIN_KEY else "encryption_key"
    return (
        f"{what} of {names} cannot be opened with the keys in use. They have to be {remedy}, or the key that sealed "
        f"them has to be put behind the others of {file}."
    )


def _renew(uow: UnitOfWork, sealed: _Sealed, row_id: int, vault: Vault) -> None:
    """One record under the newest key; one that is there already, or gone, is left alone."""
    row: Any = uow.session.get(sealed.table, row_id, populate_existing=True, with_for_update=True)
    for column in sealed.columns:
        value = getattr(row, column, None)
        if value is None or vault.is_newest(value):
            continue
        if not vault.opens(value):
            raise ConfigurationError(_not_opened(uow, sealed, [row.id if sealed.table is UserRow else row.user_id]))
        setattr(row, column, vault.renew(value))


def _keep(uow: UnitOfWork, state: Rotation) -> None:
    set_state(uow, STATE, {**asdict(state), "keys": list(state.keys)})
