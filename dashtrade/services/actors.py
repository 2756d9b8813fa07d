"""Who acts, looked up anew in every service call, so that a changed role counts at once."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select

from dashtrade.db.tables.accounts import UserRow
from dashtrade.db.unit_of_work import UnitOfWork
from dashtrade.domain.users import Role, User
from dashtrade.errors import Forbidden, NotFound

COLUMNS = (
    UserRow.id, UserRow.username, UserRow.email, UserRow.role, UserRow.full_name, UserRow.is_active,
    UserRow.must_change_password, UserRow.may_use_lab,
)  # fmt: skip


def find_user(uow: UnitOfWork, user_id: int) -> User | None:
    """The user, without touching columns that page kernels may not read."""
    row = uow.session.execute(select(*COLUMNS).where(UserRow.id == user_id)).one_or_none()
    return None if row is None else user_from(row)


def user_from(row: Any) -> User:
    """The user of a row that begins with :data:`COLUMNS`."""
    return User(row[0], row[1], row[2], Role(row[3]), *row[4:8])


def get_user(uow: UnitOfWork, user_id: int) -> User:
    user = find_user(uow, user_id)
    if user is None:
        raise NotFound(f"There is no user {user_id}.")
    return user


def require_role(uow: UnitOfWork, actor_id: int | None, role: Role) -> User | None:
    """The acting user, who must be active and have ``role``; None (the operator at the command line) may do all."""
    if actor_id is None:
        return None
    user = find_user(uow, actor_id)
    if user is None or not user.is_active or not user.role.includes(role):
        raise Forbidden(f"This needs the role {role.value}.")
    return user
