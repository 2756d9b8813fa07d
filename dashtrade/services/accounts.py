"""Signing in: passwords, sessions, and who a browser belongs to. Every function commits what it did.

Administration of users is in ``users.py``; its functions are offered here too.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import delete, or_, select, update

from dashtrade.auth.passwords import hash_password, needs_rehash, verify_password
from dashtrade.auth.sessions import RULES, SessionRules
from dashtrade.auth.tokens import new_token, token_digest
from dashtrade.db.tables.accounts import UserRow, UserSessionRow
from dashtrade.db.unit_of_work import UnitOfWork
from dashtrade.domain.users import Role, User
from dashtrade.errors import AuthFailed, NotFound, TooManyAttempts
from dashtrade.services import audit, throttle
from dashtrade.services.users import (
    change_password,
    create_user,
    get_user,
    list_users,
    set_active,
    set_password,
    set_role,
)

__all__ = [
    "SessionView",
    "authenticate",
    "change_password",
    "close_session",
    "confirm_session",
    "create_user",
    "delete_expired_sessions",
    "end_other_sessions",
    "end_session",
    "get_user",
    "list_sessions",
    "list_users",
    "open_session",
    "session_is_confirmed",
    "set_active",
    "set_password",
    "set_role",
    "user_of_session",
]

WRONG = "The user name or the password is not right."


@dataclass(frozen=True, slots=True)
class SessionView:
    """A signed-in browser, as its owner sees it."""

    id: int
    created_at: datetime
    last_seen_at: datetime
    expires_at: datetime
    address: str | None
    user_agent: str | None
    is_current: bool


def authenticate(
    uow: UnitOfWork, username: str, password: str, *, address: str | None = None, now: datetime | None = None
) -> User:
    """The user with this name (or e-mail address) and password.

    Raises AuthFailed with one text, after the same work, for an unknown user, a wrong password and a disabled account;
    TooManyAttempts after too many of those. bcrypt takes about 0.3 s of CPU: call it from a worker thread.
    """
    now = now or datetime.now(UTC)
    typed = username.strip().lower()[:254].replace("\x00", "")
    wait = throttle.seconds_to_wait(uow, typed, address, now)
    if wait:
        uow.rollback()
        raise TooManyAttempts(wait)
    row = uow.session.scalar(select(UserRow).where(or_(UserRow.username == typed, UserRow.email == typed)))
    password_hash = row.password_hash if row is not None else None
    uow.rollback()  # no connection is held during bcrypt
    matches = verify_password(password, password_hash)
    row = uow.session.get(UserRow, row.id, populate_existing=True) if row is not None else None
    if row is None or not matches or not row.is_active or row.password_hash != password_hash:
        throttle.count_failure(uow, typed, address, now)
        audit.record(uow, "login_failed", user_id=row.id if row is not None else None, address=address)
        uow.commit()
        raise AuthFailed(WRONG)
    if needs_rehash(row.password_hash):
        row.password_hash = hash_password(password)
    row.last_login = now
    throttle.forget_failures(uow, typed, address)
    audit.record(uow, "login", actor_id=row.id, user_id=row.id, address=address)
    user = User(row.id, row.username, row.email, Role(row.role), row.full_name, row.is_active)
    uow.commit()
    return user


def open_session(
    uow: UnitOfWork,
    user_id: int,
    *,
    address: str | None = None,
    user_agent: str | None = None,
    replaces: str | None = None,
    now: datetime | None = None,
    rules: SessionRules = RULES,
) -> str:
    """Token of a new session, to be put into the cookie; only its hash is kept.

    ``replaces`` is the token the browser came with: it ends, so that a planted one is worth nothing.
    """
    now = now or datetime.now(UTC)
    if replaces:
        uow.session.execute(delete(UserSessionRow).where(UserSessionRow.token_sha256 == token_digest(replaces)))
    token = new_token()
    uow.session.add(
        UserSessionRow(
            user_id=user_id,
            token_sha256=token_digest(token),
            created_at=now,
            last_seen_at=now,
            confirmed_at=now,
            expires_at=rules.ends(now),
            address=address and address[:64],
            user_agent=user_agent and user_agent[:300].replace("\x00", ""),
        )
    )
    uow.commit()
    return token


def user_of_session(
    uow: UnitOfWork, token: str, *, now: datetime | None = None, rules: SessionRules = RULES
) -> User | None:
    """Who is signed in with this token, with the role of this moment; None when the session is over or unknown."""
    now = now or datetime.now(UTC)
    query = (
        select(UserSessionRow, UserRow)
        .join(UserRow, UserRow.id == UserSessionRow.user_id)
        .where(UserSessionRow.token_sha256 == token_digest(token))
    )
    found = uow.session.execute(query).one_or_none()
    if found is None:
        return None
    session, row = found
    if rules.is_over(session.last_seen_at, session.expires_at, now) or not row.is_active:
        uow.session.execute(delete(UserSessionRow).where(UserSessionRow.id == session.id))
        uow.commit()
        return None
    if now - session.last_seen_at >= rules.touch:
        uow.session.execute(update(UserSessionRow).where(UserSessionRow.id == session.id).values(last_seen_at=now))
        uow.commit()
    return User(row.id, row.username, row.email, Role(row.role), row.full_name, row.is_active)


def close_session(uow: UnitOfWork, token: str) -> None:
    """Sign out. A token that is unknown or over is no error."""
    query = delete(UserSessionRow).where(UserSessionRow.token_sha256 == token_digest(token))
    user_id = uow.session.scalar(query.returning(UserSessionRow.user_id))
    if user_id is not None:
        audit.record(uow, "logout", actor_id=user_id, user_id=user_id)
    uow.commit()


def list_sessions(
    uow: UnitOfWork,
    user_id: int,
    *,
    current: str | None = None,
    now: datetime | None = None,
    rules: SessionRules = RULES,
) -> list[SessionView]:
    """The user's living sessions, newest use first. ``current`` is the token of the browser that asks."""
    now = now or datetime.now(UTC)
    here = token_digest(current) if current else b""
    query = select(UserSessionRow).where(UserSessionRow.user_id == user_id).order_by(UserSessionRow.last_seen_at.desc())
    return [
        SessionView(
            row.id, row.created_at, row.last_seen_at, row.expires_at, row.address, row.user_agent,
            row.token_sha256 == here,
        )
        for row in uow.session.scalars(query)
        if not rules.is_over(row.last_seen_at, row.expires_at, now)
    ]  # fmt: skip


def end_session(uow: UnitOfWork, user_id: int, session_id: int) -> None:
    """Sign one of the user's own browsers out; raises NotFound for anybody else's."""
    query = delete(UserSessionRow).where(UserSessionRow.id == session_id, UserSessionRow.user_id == user_id)
    if uow.session.scalar(query.returning(UserSessionRow.id)) is None:
        raise NotFound("There is no such session.")
    audit.record(uow, "session_ended", actor_id=user_id, user_id=user_id)
    uow.commit()


def end_other_sessions(uow: UnitOfWork, user_id: int, *, keep: str | None = None) -> int:
    """Sign all the user's browsers out but the one with the token ``keep``; returns how many."""
    query = delete(UserSessionRow).where(UserSessionRow.user_id == user_id)
    if keep:
        query = query.where(UserSessionRow.token_sha256 != token_digest(keep))
    ended = len(uow.session.scalars(query.returning(UserSessionRow.id)).all())
    audit.record(uow, "sessions_ended", actor_id=user_id, user_id=user_id, count=ended)
    uow.commit()
    return ended


def confirm_session(
    uow: UnitOfWork, token: str, password: str, *, address: str | None = None, now: datetime | None = None
) -> None:
    """Step-up before keys and live trading: the password once more. Raises AuthFailed; wrong ones are throttled."""
    now = now or datetime.now(UTC)
    user = user_of_session(uow, token, now=now)
    if user is None:
        raise AuthFailed("Sign in again.")
    authenticate(uow, user.username, password, address=address, now=now)
    uow.session.execute(
        update(UserSessionRow).where(UserSessionRow.token_sha256 == token_digest(token)).values(confirmed_at=now)
    )
    uow.commit()


def session_is_confirmed(
    uow: UnitOfWork, token: str, *, now: datetime | None = None, rules: SessionRules = RULES
) -> bool:
    """Whether the password was given in the last minutes."""
    query = select(UserSessionRow.confirmed_at).where(UserSessionRow.token_sha256 == token_digest(token))
    return rules.is_confirmed(uow.session.scalar(query), now or datetime.now(UTC))


def delete_expired_sessions(uow: UnitOfWork, *, now: datetime | None = None, rules: SessionRules = RULES) -> int:
    """Housekeeping: sessions that are over and failures that no longer count. Returns how many sessions went."""
    now = now or datetime.now(UTC)
    over = or_(UserSessionRow.expires_at <= now, UserSessionRow.last_seen_at <= now - rules.idle)
    ended = len(uow.session.scalars(delete(UserSessionRow).where(over).returning(UserSessionRow.id)).all())
    throttle.delete_old_failures(uow, now)
    uow.commit()
    return ended
