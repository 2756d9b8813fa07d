"""Links that open an account or reset a password: shown once, kept as SHA-256, good once and for a limited time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlalchemy import select, update

from dashtrade.auth.tokens import new_token, token_digest
from dashtrade.db.tables.accounts import AccountTokenRow, UserRow
from dashtrade.db.unit_of_work import UnitOfWork
from dashtrade.domain.users import Role, User
from dashtrade.errors import Forbidden, InvalidInput
from dashtrade.services import audit, users
from dashtrade.services.actors import require_role
from dashtrade.services.users import RESET, clean_email, create_user, parse_role
from dashtrade.settings import Settings

INVITATION = "invitation"
GOOD_FOR = {INVITATION: timedelta(days=7), RESET: timedelta(hours=1)}
FIRST_PASSWORD = timedelta(days=7)
GONE = "this link is not valid any more; ask for another."


def invite(
    uow: UnitOfWork,
    *,
    actor_id: int | None = None,
    email: str | None = None,
    role: Role | str = Role.USER,
    now: datetime | None = None,
) -> str:
    """Token of an invitation. With ``email`` it is good for that address alone. An admin invites users, a superadmin
    admins."""
    wanted = parse_role(role)
    require_role(uow, actor_id, Role.ADMIN if wanted is Role.USER else Role.SUPERADMIN)
    mail = clean_email(email) if email else None
    token = _issue(uow, INVITATION, now, email=mail, role=wanted.value)
    audit.record(uow, "user_invited", actor_id=actor_id, role=wanted.value)
    uow.commit()
    return token


def register(
    uow: UnitOfWork,
    settings: Settings,
    username: str,
    email: str,
    password: str,
    *,
    invitation: str | None = None,
    address: str | None = None,
    now: datetime | None = None,
) -> User:
    """Open one's own account, as the setting ``registration`` allows: open, by invitation, or not at all."""
    if invitation is None:
        if settings.registration != "open":
            raise Forbidden("New accounts need an invitation. Ask an administrator.")
        return create_user(uow, username, email, password, address=address)
    if settings.registration == "closed":
        raise Forbidden("New accounts are closed. Ask an administrator.")
    row = _valid(uow, INVITATION, invitation, now)
    if row.email and row.email != clean_email(email):
        raise InvalidInput("email", "is not the address that was invited.")
    role, row_id = row.role, row.id
    # the account first: a refused name or password must not use the invitation up
    user = create_user(uow, username, email, password, address=address)
    if not _use(uow, row_id, now):
        users.set_active(uow, user.id, False)
        raise InvalidInput("invitation", GONE)
    uow.commit()
    return users.set_role(uow, user.id, role) if role != user.role else user


def check_invitation(uow: UnitOfWork, invitation: str, *, now: datetime | None = None) -> None:
    """Raises InvalidInput when the invitation opens no account any more."""
    _valid(uow, INVITATION, invitation, now)


def start_reset(uow: UnitOfWork, email: str, *, now: datetime | None = None) -> tuple[User, str] | None:
    """User and token of a reset link to be sent to that address; None when nobody active has it.

    The page answers the same in both cases, or it would tell who has an account.
    """
    found = prepare_reset(uow, email, now=now)
    uow.commit()
    return found


def prepare_reset(uow: UnitOfWork, email: str, *, now: datetime | None = None) -> tuple[User, str] | None:
    """Like :func:`start_reset`; the caller commits once the link is sent."""
    query = select(UserRow.id).where(UserRow.email == email.strip().lower()[:254], UserRow.is_active)
    user_id = uow.session.scalar(query)
    if user_id is None:
        return None
    token = _issue(uow, RESET, now, user_id=user_id)
    audit.record(uow, "reset_started", user_id=user_id)
    return users.get_user(uow, user_id), token


def reset_link(uow: UnitOfWork, user_id: int, *, actor_id: int | None = None, now: datetime | None = None) -> str:
    """Token of a link with which the user sets a new password. An admin may for users, a superadmin for everybody."""
    user = users.get_user(uow, user_id)
    require_role(uow, actor_id, Role.ADMIN if user.role is Role.USER else Role.SUPERADMIN)
    if not user.is_active:
        raise InvalidInput("user", "is disabled; enable the account first.")
    token = _issue(uow, RESET, now, user_id=user_id)
    audit.record(uow, "reset_link_made", actor_id=actor_id, user_id=user_id)
    uow.commit()
    return token


def create_with_link(
    uow: UnitOfWork,
    username: str,
    email: str,
    *,
    role: Role | str = Role.USER,
    full_name: str | None = None,
    actor_id: int | None = None,
    now: datetime | None = None,
) -> tuple[User, str]:
    """A new user and the token of a link to set their own password: nobody else ever knows one."""
    user = create_user(uow, username, email, new_token(), role=role, full_name=full_name, actor_id=actor_id)
    token = _issue(uow, RESET, now, good_for=FIRST_PASSWORD, user_id=user.id)
    audit.record(uow, "reset_link_made", actor_id=actor_id, user_id=user.id)
    uow.commit()
    return user, token


def owner_of_link(uow: UnitOfWork, link: str, *, now: datetime | None = None) -> User:
    """Whose password a reset link sets; raises InvalidInput when it is not good any more."""
    row = _valid(uow, RESET, link, now)
    assert row.user_id is not None  # a constraint of the table
    user = users.get_user(uow, row.user_id)
    if not user.is_active:
        raise InvalidInput("link", GONE)
    return user


def finish_reset(uow: UnitOfWork, link: str, password: str, *, now: datetime | None = None) -> User:
    """Set the password; all sessions and all other reset links of the user end."""
    row = _valid(uow, RESET, link, now)
    user_id, row_id = row.user_id, row.id
    assert user_id is not None  # a constraint of the table
    user = users.get_user(uow, user_id)
    if not user.is_active:
        raise InvalidInput("link", GONE)
    users.check_new_password(password, username=user.username, email=user.email)
    users.lock_user(uow, user_id)  # of two links that are used at once, one ends the other
    if not _use(uow, row_id, now):
        raise InvalidInput("link", GONE)
    users.set_password(uow, user_id, password)
    return user


def _issue(
    uow: UnitOfWork, purpose: str, now: datetime | None, *, good_for: timedelta | None = None, **values: object
) -> str:
    now = now or datetime.now(UTC)
    token = new_token()
    expires = now + (good_for or GOOD_FOR[purpose])
    uow.session.add(
        AccountTokenRow(purpose=purpose, token_sha256=token_digest(token), created_at=now, expires_at=expires, **values)
    )
    return token


def _valid(uow: UnitOfWork, purpose: str, token: str, now: datetime | None) -> AccountTokenRow:
    query = select(AccountTokenRow).where(
        AccountTokenRow.token_sha256 == token_digest(token),
        AccountTokenRow.purpose == purpose,
        AccountTokenRow.used_at.is_(None),
        AccountTokenRow.expires_at > (now or datetime.now(UTC)),
    )
    row = uow.session.scalar(query)
    if row is None:
        raise InvalidInput("invitation" if purpose == INVITATION else "link", GONE)
    return row


def _use(uow: UnitOfWork, row_id: int, now: datetime | None) -> bool:
    """Mark it used; False when somebody was quicker."""
    moment = now or datetime.now(UTC)
    query = update(AccountTokenRow).where(AccountTokenRow.id == row_id, AccountTokenRow.used_at.is_(None))
    return uow.session.scalar(query.values(used_at=moment).returning(AccountTokenRow.id)) is not None
