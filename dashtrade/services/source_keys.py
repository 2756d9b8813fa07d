"""Users' own keys at sources of market data: sealed like the broker's, and opened by who holds the encryption key.

Page kernels see masked keys only; :mod:`dashtrade.services.source_requests` asks the jobs worker in their name.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert

from dashtrade.auth.vault import Vault, seal_to
from dashtrade.db.tables.market import UserSourceKeyRow
from dashtrade.db.unit_of_work import UnitOfWork
from dashtrade.errors import InvalidInput, NotFound
from dashtrade.services import audit
from dashtrade.services.api_keys import public_key
from dashtrade.services.channels import Seal
from dashtrade.services.work import working


@dataclass(frozen=True, slots=True)
class Provider:
    """A source a user may have a key at. ``secret_label`` is empty where one key is all there is."""

    key: str
    label: str
    key_label: str
    secret_label: str
    where: str


PROVIDERS = (
    Provider("alpha_vantage", "Alpha Vantage", "API key", "", "alphavantage.co/support/#api-key"),
    Provider("alpaca", "Alpaca (market data)", "API key ID", "Secret key", "app.alpaca.markets"),
)


@dataclass(frozen=True, slots=True)
class SourceKeyView:
    """What may be shown: the source and the key's last characters."""

    source: str
    hint: str | None
    updated_at: datetime


@dataclass(frozen=True, slots=True, repr=False)
class SourceKeys:
    """The opened key; never logged, so its repr shows nothing. ``secret`` is empty where the source has none."""

    key: str
    secret: str = ""

    def __repr__(self) -> str:
        return "SourceKeys(*****)"


def providers() -> tuple[Provider, ...]:
    """The sources that a form for keys offers."""
    return PROVIDERS


def _provider(source: str) -> Provider:
    for one in PROVIDERS:
        if one.key == source:
            return one
    raise InvalidInput("source", f"{source[:40]!r} takes no key.", allowed=[one.key for one in PROVIDERS])


def mode_of(source: str) -> str:
    """What the ciphertext is bound to beside the user and the field."""
    return f"source:{source}"


def store_source_keys(
    uow: UnitOfWork, user_id: int, vault: Vault, source: str, key: str, secret: str = ""
) -> SourceKeyView:
    """Seal and keep the user's key at this source, in place of an older one. Raises InvalidInput."""
    return _keep(uow, user_id, vault.seal, source, key, secret)


def hand_over_source_keys(uow: UnitOfWork, user_id: int, source: str, key: str, secret: str = "") -> SourceKeyView:
    """Like :func:`store_source_keys` for a process without the encryption key, which can never read it back.

    The caller has confirmed the password. Raises ConfigurationError while no public key is published.
    """
    with working(uow) as work:
        public = public_key(work, "Keys")
    return _keep(uow, user_id, partial(seal_to, public), source, key, secret)


def _keep(uow: UnitOfWork, user_id: int, seal: Seal, source: str, key: str, secret: str) -> SourceKeyView:
    provider = _provider(source)
    key = _clean("key", key, provider)
    if provider.secret_label:
        secret = _clean("secret", secret, provider)
    elif secret.strip():
        raise InvalidInput("secret", f"{provider.label} has one key and no secret; leave it empty.")
    now, mode = datetime.now(UTC), mode_of(source)
    values = {
        "key_encrypted": seal(key, user_id=user_id, mode=mode, field="key"),
        "secret_encrypted": seal(secret, user_id=user_id, mode=mode, field="secret") if provider.secret_label else None,
        "key_hint": key[-4:],
        "updated_at": now,
    }
    query = insert(UserSourceKeyRow).values(user_id=user_id, source=source, **values)
    with working(uow) as work:
        work.session.execute(query.on_conflict_do_update(index_elements=["user_id", "source"], set_=values))
        audit.record(work, "source_keys_stored", actor_id=user_id, user_id=user_id, source=source)
        work.commit()
    return SourceKeyView(source, key[-4:], now)


def list_source_keys(uow: UnitOfWork, user_id: int) -> list[SourceKeyView]:
    """Sources the user has a key at. Reads no ciphertext, so page kernels may call it."""
    row = UserSourceKeyRow
    query = select(row.source, row.key_hint, row.updated_at).where(row.user_id == user_id).order_by(row.source)
    with working(uow) as work:
        return [SourceKeyView(*found) for found in work.session.execute(query)]


def open_source_keys(uow: UnitOfWork, user_id: int, vault: Vault, source: str) -> SourceKeys | None:
    """The user's key at this source, or None where there is none; raises ConfigurationError for a wrong vault."""
    row = UserSourceKeyRow
    with working(uow) as work:
        found = work.session.scalar(select(row).where(row.user_id == user_id, row.source == source))
    if found is None:
        return None
    mode = mode_of(source)
    key = vault.open(found.key_encrypted, user_id=user_id, mode=mode, field="key")
    if found.secret_encrypted is None:
        return SourceKeys(key)
    return SourceKeys(key, vault.open(found.secret_encrypted, user_id=user_id, mode=mode, field="secret"))


def delete_source_keys(uow: UnitOfWork, user_id: int, source: str) -> None:
    """Remove the user's key at this source; raises NotFound where there is none."""
    provider = _provider(source)
    row = UserSourceKeyRow
    with working(uow) as work:
        query = delete(row).where(row.user_id == user_id, row.source == source).returning(row.id)
        if work.session.scalar(query) is None:
            raise NotFound(f"No key at {provider.label} is stored.")
        audit.record(work, "source_keys_deleted", actor_id=user_id, user_id=user_id, source=source)
        work.commit()


def check_source_keys(uow: UnitOfWork, vault: Vault) -> int:
    """Open every stored key; raises ConfigurationError when they were sealed with another encryption key."""
    rows = uow.session.scalars(select(UserSourceKeyRow)).all()
    for row in rows:
        vault.open(row.key_encrypted, user_id=row.user_id, mode=mode_of(row.source), field="key")
    return len(rows)


def renew_source_keys(uow: UnitOfWork, vault: Vault) -> int:
    """After a rotation: seal everything with the newest key; returns how many. The caller commits."""
    rows = uow.session.scalars(select(UserSourceKeyRow).with_for_update()).all()
    for row in rows:
        row.key_encrypted = vault.renew(row.key_encrypted)
        row.secret_encrypted = row.secret_encrypted and vault.renew(row.secret_encrypted)
    return len(rows)


def _clean(field: str, value: str, provider: Provider) -> str:
    value = value.strip()
    if not 8 <= len(value) <= 200 or not value.isascii() or not value.isprintable() or " " in value:
        raise InvalidInput(field, f"is not a key of {provider.label}: 8 to 200 letters, digits, signs, no spaces.")
    return value
