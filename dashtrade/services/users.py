"""Users: create, list, passwords, roles, on and off. ``actor_id`` None is the operator at the command line."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import case, delete, func, select, update
from sqlalchemy.exc import IntegrityError

from dashtrade.auth.passwords import check_new_password, hash_password, verify_password
from dashtrade.auth.tokens import token_digest
from dashtrade.db.tables.accounts import AccountTokenRow, UserRow, UserSessionRow
from dashtrade.db.unit_of_work import UnitOfWork
from dashtrade.domain.users import Role, User
from dashtrade.errors import AuthFailed, Forbidden, InvalidInput, NotFound
from dashtrade.services import audit
from dashtrade.services.actors import COLUMNS, get_user, require_role, user_from
from dashtrade.services.listing import Listing

USERNAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,49}")
# without what has a meaning in the header of a mail: "a,b@example.com" would go to b@example.com
EMAIL = re.compile(r"[^@\s<>()\[\]\"\\,;:]+@[^@\s<>()\[\]\"\\,;:]+")


SECOND_STEP, RESET = "second_step", "reset"
_SUMMARY = select(*COLUMNS, UserRow.created_at, UserRow.last_login, UserRow.totp_confirmed_at)


@dataclass(frozen=True, slots=True)
class UserSummary:
    """A line of the list of users."""

    user: User
    created_at: datetime
    last_login: datetime | None
    has_second_factor: bool = False


def create_user(
    uow: UnitOfWork,
    username: str,
    email: str,
    password: str,
    *,
    role: Role | str = Role.USER,
    full_name: str | None = None,
    actor_id: int | None = None,
    address: str | None = None,
) -> User:
    """A new active user. Raises InvalidInput naming the field; an admin makes users, a superadmin makes admins."""
    wanted = parse_role(role)
    _may_give(uow, actor_id, wanted)
    name, mail = clean_username(username), clean_email(email)
    check_new_password(password, username=name, email=mail)
    full = " ".join((full_name or "").split())[:100] or None
    _refuse_taken(uow, name, mail)
    uow.rollback()  # no connection is held during bcrypt
    row = UserRow(
        username=name,
        email=mail,
        password_hash=hash_password(password),
        role=wanted.value,
        full_name=full,
        is_active=True,
    )
    uow.session.add(row)
    try:
        uow.session.flush()
    except IntegrityError:
        uow.rollback()
        _refuse_taken(uow, name, mail)
        raise
    audit.record(uow, "user_created", actor_id=actor_id, user_id=row.id, address=address, role=wanted.value)
    user = User(row.id, name, mail, wanted, full, True)
    uow.commit()
    return user


def list_users(uow: UnitOfWork, *, actor_id: int | None = None) -> list[UserSummary]:
    """All users by name; needs the role admin."""
    require_role(uow, actor_id, Role.ADMIN)
    return [_summary(row) for row in uow.session.execute(_SUMMARY.order_by(UserRow.username))]


def find_users(uow: UnitOfWork, search: str = "", *, actor_id: int | None = None) -> Listing[UserSummary]:
    """Users whose user name, address or name holds ``search`` in any case, by user name; needs the role admin."""
    require_role(uow, actor_id, Role.ADMIN)
    query = _SUMMARY
    if wanted := search.strip().lower():
        shown = func.concat_ws(" ", UserRow.username, UserRow.email, func.lower(UserRow.full_name))
        query = query.where(func.strpos(shown, wanted) > 0)  # not LIKE: % and _ are letters here
    rank = case({role.value: number for number, role in enumerate(Role)}, value=UserRow.role)
    return Listing(
        uow,
        query,
        _summary,
        {
            "username": UserRow.username,
            "email": UserRow.email,
            "role": rank,
            "state": UserRow.is_active,
            "last_login": UserRow.last_login,
            "created": UserRow.created_at,
        },
        (UserRow.username,),
        UserRow.id,
    )


def count_users(uow: UnitOfWork, *, actor_id: int | None = None) -> int:
    """How many users there are; needs the role admin."""
    require_role(uow, actor_id, Role.ADMIN)
    return uow.session.scalar(select(func.count()).select_from(UserRow)) or 0


def _summary(row: Any) -> UserSummary:
    mine = len(COLUMNS)
    return UserSummary(user_from(row), row[mine], row[mine + 1], row[mine + 2] is not None)


def user_named(uow: UnitOfWork, username: str) -> User:
    """The user of this name; raises NotFound."""
    user_id = uow.session.scalar(select(UserRow.id).where(UserRow.username == username.strip().lower()))
    if user_id is None:
        raise NotFound(f"There is no user {username!r}. `dashtrade user list` shows all.")
    return get_user(uow, user_id)


def change_password(
    uow: UnitOfWork, user_id: int, current: str, new: str, *, keep: str | None = None, address: str | None = None
) -> None:
    """The user's own change. Ends all other sessions and all reset links; ``keep`` is the token of the browser that
    asks."""
    row = _row(uow, user_id)
    if not verify_password(current, row.password_hash):
        audit.record(uow, "password_change_refused", actor_id=user_id, user_id=user_id, address=address)
        uow.commit()
        raise AuthFailed("The current password is not right.")
    if new == current:
        raise InvalidInput("new password", "must differ from the current one.")
    check_new_password(new, username=row.username, email=row.email, field="new password")
    _store_password(uow, row, new, keep)
    audit.record(uow, "password_changed", actor_id=user_id, user_id=user_id, address=address)
    uow.commit()


def set_password(
    uow: UnitOfWork, user_id: int, new: str, *, actor_id: int | None = None, must_change: bool = False
) -> None:
    """Set somebody's password; ends all their sessions and reset links. A superadmin, or the operator at the command
    line.

    ``must_change``: it opens nothing but the form for one of their own, since somebody else knows this one.
    """
    require_role(uow, actor_id, Role.SUPERADMIN)
    row = _row(uow, user_id)
    check_new_password(new, username=row.username, email=row.email)
    _store_password(uow, row, new, None)
    row.must_change_password = must_change
    audit.record(uow, "password_set", actor_id=actor_id, user_id=user_id)
    uow.commit()


def set_role(
    uow: UnitOfWork,
    user_id: int,
    role: Role | str,
    *,
    actor_id: int | None = None,
    seen: Role | str | None = None,
) -> User:
    """Give a role. Counts at once, also in pages that are open. The last superadmin keeps theirs.

    ``seen`` is the role that whoever decided this saw; raises InvalidInput where it is another one by now.
    """
    wanted = parse_role(role)
    row = _row(uow, user_id)
    _may_give(uow, actor_id, wanted)
    _may_give(uow, actor_id, Role(row.role))
    if seen is not None and parse_role(seen) is not Role(row.role):
        raise InvalidInput("role", f"{row.username} is {row.role} by now: somebody else changed it. Look again.")
    if wanted is not Role.SUPERADMIN:
        keep_a_superadmin(uow, user_id)
    if wanted.rank > Role(row.role).rank:
        # whoever made a link for the lower rank must not come into the higher one with it
        _end_reset_links(uow, user_id)
    before, row.role = row.role, wanted.value
    audit.record(uow, "role_changed", actor_id=actor_id, user_id=user_id, before=before, after=wanted.value)
    uow.commit()
    return get_user(uow, user_id)


def set_active(uow: UnitOfWork, user_id: int, active: bool, *, actor_id: int | None = None) -> User:
    """Switch an account off (all its sessions and reset links end) or on again."""
    row = _row(uow, user_id)
    _may_give(uow, actor_id, Role(row.role))
    if not active:
        keep_a_superadmin(uow, user_id)
        uow.session.execute(delete(UserSessionRow).where(UserSessionRow.user_id == user_id))
        _end_reset_links(uow, user_id)
    row.is_active = active
    audit.record(uow, "user_enabled" if active else "user_disabled", actor_id=actor_id, user_id=user_id)
    uow.commit()
    return get_user(uow, user_id)


def set_lab_access(uow: UnitOfWork, user_id: int, allowed: bool, *, actor_id: int | None = None) -> User:
    """Give or take JupyterLab, where any code runs with the rights of the server: a superadmin's to decide."""
    require_role(uow, actor_id, Role.SUPERADMIN)
    row = _row(uow, user_id)
    row.may_use_lab = allowed
    audit.record(uow, "lab_allowed" if allowed else "lab_refused", actor_id=actor_id, user_id=user_id)
    uow.commit()
    return get_user(uow, user_id)


def parse_role(role: Role | str) -> Role:
    try:
        return Role(str(role).strip().lower())
    except ValueError:
        raise InvalidInput("role", f"{role!r} is not a role.", allowed=[r.value for r in Role]) from None


def clean_username(username: str) -> str:
    name = username.strip().lower()
    if not USERNAME.fullmatch(name):
        raise InvalidInput(
            "username",
            "use 1 to 50 letters a to z, digits, dots, dashes and underscores, starting with a letter or digit.",
        )
    return name


def clean_email(email: str) -> str:
    mail = email.strip().lower()
    if len(mail) > 254 or not EMAIL.fullmatch(mail) or not mail.isprintable():
        raise InvalidInput("email", "is not an e-mail address such as ada@example.com.")
    return mail


def _refuse_taken(uow: UnitOfWork, name: str, mail: str) -> None:
    if uow.session.scalar(select(UserRow.id).where(UserRow.username == name)) is not None:
        raise InvalidInput("username", f"{name!r} is taken; choose another.")
    if uow.session.scalar(select(UserRow.id).where(UserRow.email == mail)) is not None:
        raise InvalidInput("email", "is used by another account.")


def _may_give(uow: UnitOfWork, actor_id: int | None, role: Role) -> None:
    """Roles above user are a superadmin's to give and to take."""
    require_role(uow, actor_id, Role.ADMIN if role is Role.USER else Role.SUPERADMIN)


def keep_a_superadmin(uow: UnitOfWork, leaving: int) -> None:
    """The rows are locked, so that two superadmins cannot remove each other at the same moment."""
    query = select(UserRow.id).where(UserRow.role == Role.SUPERADMIN.value, UserRow.is_active).order_by(UserRow.id)
    remaining = set(uow.session.scalars(query.with_for_update()))
    if remaining == {leaving}:
        raise Forbidden("This is the last superadmin. Give the role to somebody else first.")


def _row(uow: UnitOfWork, user_id: int) -> UserRow:
    row = uow.session.get(UserRow, user_id, populate_existing=True)
    if row is None:
        raise NotFound(f"There is no user {user_id}.")
    return row


def _store_password(uow: UnitOfWork, row: UserRow, new: str, keep: str | None) -> None:
    row.password_hash = hash_password(new)
    row.password_changed_at = datetime.now(UTC)
    row.must_change_password = False
    sessions = delete(UserSessionRow).where(UserSessionRow.user_id == row.id)
    if keep:
        sessions = sessions.where(UserSessionRow.token_sha256 != token_digest(keep))
    uow.session.execute(sessions)
    # sign-ins between their two steps began with the old password
    half = AccountTokenRow.user_id == row.id, AccountTokenRow.purpose == SECOND_STEP
    uow.session.execute(delete(AccountTokenRow).where(*half))
    _end_reset_links(uow, row.id)


def lock_user(uow: UnitOfWork, user_id: int) -> None:
    """Nobody else changes this user until the transaction ends. Locked before the user's links, always."""
    uow.session.execute(select(UserRow.id).where(UserRow.id == user_id).with_for_update(key_share=True))


def _end_reset_links(uow: UnitOfWork, user_id: int) -> None:
    lock_user(uow, user_id)
    open_links = (
        AccountTokenRow.user_id == user_id,
        AccountTokenRow.purpose == RESET,
        AccountTokenRow.used_at.is_(None),
    )
    uow.session.execute(update(AccountTokenRow).where(*open_links).values(used_at=datetime.now(UTC)))


def wants_email(uow: UnitOfWork, user_id: int) -> bool:
    """Whether messages may go to the user's e-mail address."""
    return bool(uow.session.scalar(select(UserRow.email_enabled).where(UserRow.id == user_id)))


def set_profile(
    uow: UnitOfWork, user_id: int, *, full_name: str | None = None, email_enabled: bool | None = None
) -> None:
    """The user's own name and whether messages may go to their e-mail address; None leaves it as it is."""
    row = _row(uow, user_id)
    if full_name is not None:
        row.full_name = " ".join(full_name.split())[:100].replace("\x00", "") or None
    if email_enabled is not None:
        row.email_enabled = email_enabled
    uow.commit()
