"""Stored API keys at Alpaca: sealed, and opened by the trader alone. Everybody else sees them masked.

The dashboards cannot open a key either: they seal it to the public key that the holder of the encryption key publishes.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert

from dashtrade.auth.vault import Vault, seal_to
from dashtrade.db.tables.accounts import UserApiKeyRow
from dashtrade.db.unit_of_work import UnitOfWork
from dashtrade.errors import ConfigurationError, InvalidInput, NotFound
from dashtrade.services import audit
from dashtrade.services.app_state import get_state, set_state

MODES = ("paper", "live")
PUBLIC_KEY = "api_keys_public_key"  # page kernels may read app_state and not write it


@dataclass(frozen=True, slots=True)
class ApiKeyView:
    """What may be shown: the mode and the key id's last characters."""

    mode: str
    hint: str | None
    is_active: bool
    updated_at: datetime


@dataclass(frozen=True, slots=True, repr=False)
class ApiKeys:
    """The opened pair; never logged, so its repr shows nothing."""

    key: str
    secret: str

    def __repr__(self) -> str:
        return "ApiKeys(*****)"


def store_api_keys(uow: UnitOfWork, user_id: int, vault: Vault, mode: str, key: str, secret: str) -> ApiKeyView:
    """Seal and keep the pair for this mode, in place of an older one. The caller has confirmed the password."""
    mode, key, secret = _mode(mode), _clean("key", key), _clean("secret", secret)
    sealed_key = vault.seal(key, user_id=user_id, mode=mode, field="key")
    return _keep(uow, user_id, mode, sealed_key, vault.seal(secret, user_id=user_id, mode=mode, field="secret"), key)


def hand_over_api_keys(uow: UnitOfWork, user_id: int, mode: str, key: str, secret: str) -> ApiKeyView:
    """Like :func:`store_api_keys` for a process without the encryption key, which can never read them back.

    The caller has confirmed the password. Raises ConfigurationError while no public key is published.
    """
    mode, key, secret = _mode(mode), _clean("key", key), _clean("secret", secret)
    public = public_key(uow, "API keys")
    sealed_key = seal_to(public, key, user_id=user_id, mode=mode, field="key")
    return _keep(
        uow, user_id, mode, sealed_key, seal_to(public, secret, user_id=user_id, mode=mode, field="secret"), key
    )


def publish_public_key(uow: UnitOfWork, vault: Vault) -> None:
    """Tell the other processes what to seal API keys to. Called by who holds the encryption key, at the start."""
    set_state(uow, PUBLIC_KEY, vault.public_key)
    uow.commit()


def public_key(uow: UnitOfWork, what: str) -> str:
    """The one that was published. Raises ConfigurationError, saying that ``what`` cannot be stored, while none is."""
    published = get_state(uow, PUBLIC_KEY)
    if not isinstance(published, str):
        raise ConfigurationError(f"{what} cannot be stored before the trader has started once. Start `dashtrade up`.")
    return published


def _keep(uow: UnitOfWork, user_id: int, mode: str, sealed_key: str, sealed_secret: str, key: str) -> ApiKeyView:
    now = datetime.now(UTC)
    values = {
        "alpaca_api_key_encrypted": sealed_key,
        "alpaca_secret_key_encrypted": sealed_secret,
        "key_hint": key[-4:],
        "is_active": True,
        "updated_at": now,
    }
    query = insert(UserApiKeyRow).values(user_id=user_id, alpaca_mode=mode, **values)
    uow.session.execute(query.on_conflict_do_update(index_elements=["user_id", "alpaca_mode"], set_=values))
    audit.record(uow, "api_keys_stored", actor_id=user_id, user_id=user_id, mode=mode)
    uow.commit()
    return ApiKeyView(mode, key[-4:], True, now)


def list_api_keys(uow: UnitOfWork, user_id: int) -> list[ApiKeyView]:
    """Which modes have keys. Reads no ciphertext, so page kernels may call it."""
    query = (
        select(UserApiKeyRow.alpaca_mode, UserApiKeyRow.key_hint, UserApiKeyRow.is_active, UserApiKeyRow.updated_at)
        .where(UserApiKeyRow.user_id == user_id)
        .order_by(UserApiKeyRow.alpaca_mode)
    )
    return [ApiKeyView(*row) for row in uow.session.execute(query)]


def open_api_keys(uow: UnitOfWork, user_id: int, vault: Vault, mode: str) -> ApiKeys:
    """The user's pair for this mode; raises NotFound when none is stored, ConfigurationError for a wrong key."""
    mode = _mode(mode)
    query = select(UserApiKeyRow).where(
        UserApiKeyRow.user_id == user_id, UserApiKeyRow.alpaca_mode == mode, UserApiKeyRow.is_active
    )
    row = uow.session.scalar(query)
    if row is None:
        raise NotFound(f"No {mode} API keys are stored. Enter them on the account page.")
    return ApiKeys(
        vault.open(row.alpaca_api_key_encrypted, user_id=user_id, mode=mode, field="key"),
        vault.open(row.alpaca_secret_key_encrypted, user_id=user_id, mode=mode, field="secret"),
    )


def delete_api_keys(uow: UnitOfWork, user_id: int, mode: str) -> None:
    mode = _mode(mode)
    query = delete(UserApiKeyRow).where(UserApiKeyRow.user_id == user_id, UserApiKeyRow.alpaca_mode == mode)
    if uow.session.scalar(query.returning(UserApiKeyRow.id)) is None:
        raise NotFound(f"No {mode} API keys are stored.")
    audit.record(uow, "api_keys_deleted", actor_id=user_id, user_id=user_id, mode=mode)
    uow.commit()


def check_vault(uow: UnitOfWork, vault: Vault) -> int:
    """Open every stored key id; raises ConfigurationError when the key is not the one they were sealed with."""
    rows = uow.session.scalars(select(UserApiKeyRow)).all()
    for row in rows:
        vault.open(row.alpaca_api_key_encrypted, user_id=row.user_id, mode=row.alpaca_mode, field="key")
    return len(rows)


def renew_api_keys(uow: UnitOfWork, vault: Vault) -> int:
    """After a rotation: seal everything with the newest key; returns how many pairs."""
    rows = uow.session.scalars(select(UserApiKeyRow).with_for_update()).all()
    for row in rows:
        row.alpaca_api_key_encrypted = vault.renew(row.alpaca_api_key_encrypted)
        row.alpaca_secret_key_encrypted = vault.renew(row.alpaca_secret_key_encrypted)
    audit.record(uow, "encryption_rotated", count=len(rows))
    uow.commit()
    return len(rows)


def _mode(mode: str) -> str:
    if mode not in MODES:
        raise InvalidInput("mode", f"{mode!r} is not a mode.", allowed=MODES)
    return mode


def _clean(field: str, value: str) -> str:
    value = value.strip()
    if not 8 <= len(value) <= 200 or not value.isascii() or not value.isprintable() or " " in value:
        raise InvalidInput(field, "is not an Alpaca key: 8 to 200 letters, digits and signs without spaces.")
    return value
