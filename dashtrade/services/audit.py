"""The audit log: who did what. Written in the same transaction as the deed, so neither exists without the other."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import String, cast, false, func, or_, select
from sqlalchemy.orm import aliased

from dashtrade.db.tables.accounts import AuditLogRow, UserRow
from dashtrade.db.unit_of_work import UnitOfWork
from dashtrade.domain.users import Role
from dashtrade.services.actors import require_role
from dashtrade.services.listing import Listing

_SECRET_WORDS = ("password", "secret", "token", "key")
_COLUMNS = (
    AuditLogRow.at, AuditLogRow.actor_id, AuditLogRow.user_id, AuditLogRow.action, AuditLogRow.detail,
    AuditLogRow.address,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class AuditEntry:
    at: datetime
    actor_id: int | None
    user_id: int | None
    action: str
    detail: dict[str, Any]
    address: str | None


@dataclass(frozen=True, slots=True)
class AuditLine:
    """An entry with the user names of who did it and whom it is about; the number of somebody who is gone."""

    entry: AuditEntry
    actor: str | None
    user: str | None


def record(
    uow: UnitOfWork,
    action: str,
    *,
    actor_id: int | None = None,
    user_id: int | None = None,
    address: str | None = None,
    **detail: object,
) -> None:
    """Add an entry; the caller commits. ``actor_id`` None is the operator at the command line or nobody known.

    Raises ValueError for a detail that is named like a secret, since nothing can be removed from the log again.
    """
    for name in detail:
        if any(word in name.lower() for word in _SECRET_WORDS):
            raise ValueError(f"{name} looks like a secret and must not be logged")
    uow.session.add(
        AuditLogRow(
            action=action, actor_id=actor_id, user_id=user_id, address=address and address[:64], detail=dict(detail)
        )
    )


def list_audit(uow: UnitOfWork, actor_id: int, *, user_id: int | None = None, limit: int = 200) -> list[AuditEntry]:
    """Newest first. One's own entries need no role; everybody's need the role admin."""
    if user_id != actor_id:
        require_role(uow, actor_id, Role.ADMIN)
    query = select(*_COLUMNS).order_by(AuditLogRow.at.desc(), AuditLogRow.id.desc()).limit(max(1, min(limit, 1000)))
    if user_id is not None:
        query = query.where(AuditLogRow.user_id == user_id)
    return [AuditEntry(*row) for row in uow.session.execute(query)]


def find_audit(
    uow: UnitOfWork,
    actor_id: int,
    *,
    person: str = "",
    action: str = "",
    since: datetime | None = None,
    until: datetime | None = None,
) -> Listing[AuditLine]:
    """Everybody's entries, by the person and by a part of the action's name, newest first; needs the role admin.

    ``person`` is a user name, or the number of a user who is gone; it finds what they did and what was done to them.
    ``since`` is the first moment, ``until`` the one after the last.
    """
    require_role(uow, actor_id, Role.ADMIN)
    actor, user = aliased(UserRow), aliased(UserRow)
    by = func.coalesce(actor.username, cast(AuditLogRow.actor_id, String))
    about = func.coalesce(user.username, cast(AuditLogRow.user_id, String))
    query = (
        select(*_COLUMNS, by, about)
        .outerjoin(actor, actor.id == AuditLogRow.actor_id)
        .outerjoin(user, user.id == AuditLogRow.user_id)
    )
    if name := person.strip().lower():
        number = uow.session.scalar(select(UserRow.id).where(UserRow.username == name))
        if number is None and name.isascii() and name.isdigit() and len(name) < 19:
            number = int(name)
        mine = or_(AuditLogRow.user_id == number, AuditLogRow.actor_id == number)
        query = query.where(false() if number is None else mine)
    if part := action.strip().lower():
        query = query.where(func.strpos(AuditLogRow.action, part) > 0)
    if since is not None:
        query = query.where(AuditLogRow.at >= since)
    if until is not None:
        query = query.where(AuditLogRow.at < until)
    return Listing(
        uow,
        query,
        lambda row: AuditLine(AuditEntry(*row[:6]), row[6], row[7]),
        {"at": AuditLogRow.at, "action": AuditLogRow.action, "by": by, "about": about, "address": AuditLogRow.address},
        (AuditLogRow.at.desc(), AuditLogRow.id.desc()),
        AuditLogRow.id,
    )
