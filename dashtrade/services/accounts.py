"""Signing in: passwords, sessions, and who a browser belongs to. Every function commits what it did.

Administration of users is in ``users.py``; its functions are offered here too.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from sqlalchemy import ColumnElement, delete, or_, select, update

from dashtrade.auth.passwords import hash_password, needs_rehash, verify_password
from dashtrade.auth.sessions import RULES, SessionRules
from dashtrade.auth.tokens import new_token, token_digest
from dashtrade.auth.vault import Vault
from dashtrade.db.tables.accounts import AccountTokenRow, UserRow, UserSessionRow
from dashtrade.db.unit_of_work import UnitOfWork
from dashtrade.domain.users import Role, User
from dashtrade.errors import AuthFailed, NotFound, TooManyAttempts
from dashtrade.services import audit, second_factor, throttle
from dashtrade.services.actors import COLUMNS, user_from
from dashtrade.services.users import (
    SECOND_STEP,
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
    "SignIn",
    "authenticate",
    "change_password",
    "close_session",
    "confirm_session",
    "create_user",
    "delete_expired_sessions",
    "finish_sign_in",
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
    "sign_in",
    "user_of_session",
]

WRONG = "The user name or the password is not right."
SECOND_STEP_FOR = timedelta(minutes=5)


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


@dataclass(frozen=True, slots=True)
class SignIn:
    """``token`` of a session, or where ``needs_code`` of a sign-in that waits for its second step."""

    token: str = field(repr=False)
    needs_code: bool


def sign_in(
    uow: UnitOfWork,
    username: str,
    password: str,
    *,
    address: str | None = None,
    user_agent: str | None = None,
    replaces: str | None = None,
    now: datetime | None = None,
) -> SignIn:
    """Name and password. Who has a second factor gets no session before :func:`finish_sign_in`. Raises like
    :func:`authenticate`; ``replaces`` is the token the browser came with."""
    now = now or datetime.now(UTC)
    user = authenticate(uow, username, password, address=address, now=now)
    if not second_factor.second_factor(uow, user.id).is_on:
        return SignIn(
            open_session(uow, user.id, address=address, user_agent=user_agent, replaces=replaces, now=now), False
        )
    token = new_token()
    uow.session.add(
        AccountTokenRow(
            purpose=SECOND_STEP,
            token_sha256=token_digest(token),
            user_id=user.id,
            created_at=now,
            expires_at=now + SECOND_STEP_FOR,
        )
    )
    uow.commit()
    return SignIn(token, True)


def finish_sign_in(
    uow: UnitOfWork,
    step: str,
    code: str,
    vault: Vault,
    *,
    address: str | None = None,
    user_agent: str | None = None,
    replaces: str | None = None,
    now: datetime | None = None,
) -> str:
    """The second step: token of a new session for the token of the first step and a code, of the app or for recovery.

    Raises NotFound where the first step is too long ago; else like :func:`second_factor.check`.
    """
    now = now or datetime.now(UTC)
    query = select(AccountTokenRow).where(
        AccountTokenRow.token_sha256 == token_digest(step),
        AccountTokenRow.purpose == SECOND_STEP,
        AccountTokenRow.expires_at > now,
    )
    row = uow.session.scalar(query)
    user = uow.session.get(UserRow, row.user_id) if row is not None and row.user_id is not None else None
    if row is None or user is None or not user.is_active:
        raise NotFound("That took too long. Sign in again.")
    user_id, step_id, names = user.id, row.id, (user.username, user.email)
    factor = second_factor.check(uow, user_id, vault, code, address=address, now=now)
    # gone in the same transaction that uses the code up: one session for each first step
    ended = delete(AccountTokenRow).where(AccountTokenRow.id == step_id).returning(AccountTokenRow.id)
    if uow.session.scalar(ended) is None:
        raise NotFound("That took too long. Sign in again.")
    for name in names:
        throttle.forget_failures(uow, name, address)
    throttle.forget_second_step(uow, user_id, address)
    uow.session.execute(update(UserRow).where(UserRow.id == user_id).values(last_login=now))
    audit.record(uow, "login", actor_id=user_id, user_id=user_id, address=address, factor=factor)
    return open_session(uow, user_id, address=address, user_agent=user_agent, replaces=replaces, now=now)


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
    if row.totp_confirmed_at is None:
        row.last_login = now
        throttle.forget_failures(uow, typed, address)
        audit.record(uow, "login", actor_id=row.id, user_id=row.id, address=address)
    else:  # half a sign-in: it makes no address known and no failure forgotten
        audit.record(uow, "password_accepted", actor_id=row.id, user_id=row.id, address=address)
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
        select(UserSessionRow, *COLUMNS)
        .join(UserRow, UserRow.id == UserSessionRow.user_id)
        .where(UserSessionRow.token_sha256 == token_digest(token))
    )
    found = uow.session.execute(query).one_or_none()
    if found is None:
        return None
    session, user = found[0], user_from(found[1:])
    if rules.is_over(session.last_seen_at, session.expires_at, now) or not user.is_active:
        uow.session.execute(delete(UserSessionRow).where(UserSessionRow.id == session.id))
        uow.commit()
        return None
    if now - session.last_seen_at >= rules.touch:
        uow.session.execute(update(UserSessionRow).where(UserSessionRow.id == session.id).values(last_seen_at=now))
        uow.commit()
    return user


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


def session_is_over(now: datetime, rules: SessionRules = RULES) -> ColumnElement[bool]:
    """:meth:`SessionRules.is_over` as the database asks it."""
    return or_(UserSessionRow.expires_at <= now, UserSessionRow.last_seen_at <= now - rules.idle)


def delete_expired_sessions(uow: UnitOfWork, *, now: datetime | None = None, rules: SessionRules = RULES) -> int:
    """Housekeeping: sessions that are over and failures that no longer count. Returns how many sessions went."""
    now = now or datetime.now(UTC)
    over = delete(UserSessionRow).where(session_is_over(now, rules))
    ended = len(uow.session.scalars(over.returning(UserSessionRow.id)).all())
    long_over = AccountTokenRow.expires_at <= now - throttle.KEEP
    uow.session.execute(delete(AccountTokenRow).where(AccountTokenRow.purpose == SECOND_STEP, long_over))
    throttle.delete_old_failures(uow, now)
    uow.commit()
    return ended
