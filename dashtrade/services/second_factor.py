"""The second factor: an authenticator app, with recovery codes for when it is lost.

Its secrets are sealed with the sign-in key, which the dashboard server alone is given. Without that key nobody with a
second factor can sign in: it is never skipped.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import delete, func, select, update

from dashtrade.auth import totp
from dashtrade.auth.tokens import token_digest
from dashtrade.auth.totp import Enrolment
from dashtrade.auth.vault import Vault
from dashtrade.db.tables.accounts import RecoveryCodeRow, UserRow, UserSessionRow
from dashtrade.db.unit_of_work import UnitOfWork
from dashtrade.domain.users import Role
from dashtrade.errors import AuthFailed, ConfigurationError, InvalidInput, NotFound, TooManyAttempts
from dashtrade.services import audit, throttle
from dashtrade.services.actors import get_user, require_role

MODE, FIELD = "totp", "secret"
WRONG = "The code is not right. Each code works once and for about a minute."
NO_KEY = "Codes cannot be checked now: the sign-in key is missing or was replaced. Ask the operator."


@dataclass(frozen=True, slots=True)
class SecondFactor:
    """What the account page shows. ``since`` None: off. ``recovery_codes``: how many are left."""

    since: datetime | None
    recovery_codes: int

    @property
    def is_on(self) -> bool:
        return self.since is not None


def second_factor(uow: UnitOfWork, user_id: int) -> SecondFactor:
    """The user's state."""
    since = uow.session.scalar(select(UserRow.totp_confirmed_at).where(UserRow.id == user_id))
    left = select(func.count()).where(RecoveryCodeRow.user_id == user_id, RecoveryCodeRow.used_at.is_(None))
    return SecondFactor(since, int(uow.session.scalar(left) or 0))


def start(uow: UnitOfWork, user_id: int, vault: Vault) -> Enrolment:
    """A new secret, kept but not asked for before :func:`confirm`. The caller has confirmed the password."""
    row = _row(uow, user_id)
    if row.totp_confirmed_at is not None:
        raise InvalidInput("second factor", "is on already; switch it off first.")
    secret = totp.new_secret()
    row.totp_secret_encrypted = vault.seal(secret, user_id=user_id, mode=MODE, field=FIELD)
    row.totp_last_step = None
    name = row.username
    uow.commit()
    return totp.enrolment(secret, name)


def waiting(uow: UnitOfWork, user_id: int, vault: Vault) -> Enrolment | None:
    """The enrolment that :func:`start` began and nobody has confirmed."""
    row = uow.session.get(UserRow, user_id)
    if row is None or row.totp_secret_encrypted is None or row.totp_confirmed_at is not None:
        return None
    return totp.enrolment(_open(vault, row), row.username)


def confirm(
    uow: UnitOfWork,
    user_id: int,
    vault: Vault,
    code: str,
    *,
    keep: str | None = None,
    address: str | None = None,
    now: datetime | None = None,
) -> list[str]:
    """Switch it on with a code that the app shows; returns the recovery codes, which are shown once.

    All other sessions end; ``keep`` is the token of the browser that asks.
    """
    now = now or datetime.now(UTC)
    _wait(uow, user_id, address, now)
    row = _row(uow, user_id)
    if row.totp_confirmed_at is not None:
        raise InvalidInput("second factor", "is on already.")
    if row.totp_secret_encrypted is None:
        raise InvalidInput("second factor", "begin again: scan a new picture.")
    step = totp.matching_step(_open(vault, row), totp.clean_code(code), now, row.totp_last_step)
    if step is None:
        throttle.count_second_step(uow, user_id, address, now)
        uow.commit()
        raise InvalidInput(
            "code",
            "is not the one your app shows now. Check the clock of your phone, and that it scanned the last picture.",
        )
    row.totp_confirmed_at, row.totp_last_step = now, step
    codes = _new_codes(uow, user_id)
    sessions = delete(UserSessionRow).where(UserSessionRow.user_id == user_id)
    if keep:
        sessions = sessions.where(UserSessionRow.token_sha256 != token_digest(keep))
    uow.session.execute(sessions)
    audit.record(uow, "second_factor_on", actor_id=user_id, user_id=user_id, address=address)
    uow.commit()
    return codes


def renew_recovery_codes(uow: UnitOfWork, user_id: int, *, address: str | None = None) -> list[str]:
    """Ten new codes in place of the old ones. The caller has confirmed the password."""
    if _row(uow, user_id).totp_confirmed_at is None:
        raise InvalidInput("second factor", "is off.")
    codes = _new_codes(uow, user_id)
    audit.record(uow, "recovery_codes_made", actor_id=user_id, user_id=user_id, address=address)
    uow.commit()
    return codes


def switch_off(uow: UnitOfWork, user_id: int, *, address: str | None = None) -> None:
    """The user's own wish; the caller has confirmed the password. Also forgets an enrolment that was not finished."""
    if _clear(uow, user_id):
        audit.record(uow, "second_factor_off", actor_id=user_id, user_id=user_id, address=address)
    uow.commit()


def reset(uow: UnitOfWork, user_id: int, *, actor_id: int | None = None) -> None:
    """For somebody who lost app and codes: an admin may for users, a superadmin for everybody. Their sessions end."""
    user = get_user(uow, user_id)
    require_role(uow, actor_id, Role.ADMIN if user.role is Role.USER else Role.SUPERADMIN)
    if not _clear(uow, user_id):
        raise InvalidInput("second factor", f"{user.username} has none.")
    uow.session.execute(delete(UserSessionRow).where(UserSessionRow.user_id == user_id))
    audit.record(uow, "second_factor_reset", actor_id=actor_id, user_id=user_id)
    uow.commit()


def check(
    uow: UnitOfWork, user_id: int, vault: Vault, typed: str, *, address: str | None = None, now: datetime | None = None
) -> str:
    """Take the app's code or a recovery code; returns which it was. Each works once. The caller commits a success.

    Raises AuthFailed for a wrong or used code, TooManyAttempts after several, ConfigurationError without the key.
    """
    now = now or datetime.now(UTC)
    _wait(uow, user_id, address, now)
    row = _row(uow, user_id)  # locked: of two browsers with the same code one is late
    if row.totp_confirmed_at is None or row.totp_secret_encrypted is None:
        raise AuthFailed("Sign in again.")
    code = totp.clean_code(typed)
    step = totp.matching_step(_open(vault, row), code, now, row.totp_last_step)
    if step is not None:
        row.totp_last_step = step
        return "code"
    used = (
        update(RecoveryCodeRow)
        .where(
            RecoveryCodeRow.user_id == user_id,
            RecoveryCodeRow.code_sha256 == totp.recovery_digest(code),
            RecoveryCodeRow.used_at.is_(None),
        )
        .values(used_at=now)
        .returning(RecoveryCodeRow.id)
    )
    if uow.session.scalar(used) is not None:
        return "recovery code"
    throttle.count_second_step(uow, user_id, address, now)
    audit.record(uow, "second_step_failed", user_id=user_id, address=address)
    uow.commit()
    raise AuthFailed(WRONG)


def renew_second_factors(uow: UnitOfWork, vault: Vault, user_id: int) -> None:
    """Seal one user's secret with the newest key; the caller commits."""
    row = _row(uow, user_id)
    if row.totp_secret_encrypted is not None:
        row.totp_secret_encrypted = vault.renew(row.totp_secret_encrypted)


def unreadable(uow: UnitOfWork, vault: Vault) -> list[str]:
    """Names of the people whose second factor does not open with these keys: none of them can sign in."""
    rows = uow.session.scalars(select(UserRow).where(UserRow.totp_confirmed_at.is_not(None)).order_by(UserRow.username))
    found = []
    for row in rows:
        try:
            _open(vault, row)
        except ConfigurationError:
            found.append(row.username)
    return found


def _new_codes(uow: UnitOfWork, user_id: int) -> list[str]:
    uow.session.execute(delete(RecoveryCodeRow).where(RecoveryCodeRow.user_id == user_id))
    codes = totp.new_recovery_codes()
    uow.session.add_all(RecoveryCodeRow(user_id=user_id, code_sha256=totp.recovery_digest(code)) for code in codes)
    return codes


def _clear(uow: UnitOfWork, user_id: int) -> bool:
    row = _row(uow, user_id)
    was_on = row.totp_confirmed_at is not None
    row.totp_secret_encrypted = row.totp_confirmed_at = row.totp_last_step = None
    uow.session.execute(delete(RecoveryCodeRow).where(RecoveryCodeRow.user_id == user_id))
    return was_on


def _wait(uow: UnitOfWork, user_id: int, address: str | None, now: datetime) -> None:
    wait = throttle.second_step_wait(uow, user_id, address, now)
    if wait:
        uow.rollback()
        raise TooManyAttempts(wait)


def _open(vault: Vault, row: UserRow) -> str:
    try:
        return vault.open(row.totp_secret_encrypted or "", user_id=row.id, mode=MODE, field=FIELD)
    except ConfigurationError:
        raise ConfigurationError(NO_KEY) from None


def _row(uow: UnitOfWork, user_id: int) -> UserRow:
    row = uow.session.get(UserRow, user_id, populate_existing=True, with_for_update=True)
    if row is None:
        raise NotFound(f"There is no user {user_id}.")
    return row
