"""The audit log: who did what. Written in the same transaction as the deed, so neither exists without the other."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Select, func, or_, select

from dashtrade.db.tables.accounts import AuditLogRow, UserRow
from dashtrade.db.unit_of_work import UnitOfWork
from dashtrade.domain.users import Role
from dashtrade.services.actors import require_role

_SECRET_WORDS = ("password", "secret", "token", "key")


@dataclass(frozen=True, slots=True)
class AuditEntry:
    at: datetime
    actor_id: int | None
    user_id: int | None
    action: str
    detail: dict[str, Any]
    address: str | None


@dataclass(frozen=True, slots=True)
class AuditFound:
    """One page of the entries that a search finds, newest first; ``found`` is how many it finds.

    ``names`` has the user names of those in ``entries`` who still exist.
    """

    entries: list[AuditEntry]
    found: int
    names: dict[int, str]


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
    query = select(AuditLogRow).order_by(AuditLogRow.at.desc(), AuditLogRow.id.desc()).limit(max(1, min(limit, 1000)))
    if user_id is not None:
        query = query.where(AuditLogRow.user_id == user_id)
    return _entries(uow, query)


def find_audit(
    uow: UnitOfWork, actor_id: int, *, person: str = "", action: str = "", page: int = 1, size: int = 100
) -> AuditFound:
    """Everybody's entries, by the person and by a part of the action's name; needs the role admin.

    ``person`` is a user name, or the number of a user who is gone; it finds what they did and what was done to them.
    ``page`` counts from 1, with ``size`` entries each; one behind the last is empty.
    """
    require_role(uow, actor_id, Role.ADMIN)
    query = select(AuditLogRow)
    if name := person.strip().lower():
        number = uow.session.scalar(select(UserRow.id).where(UserRow.username == name))
        if number is None and name.isascii() and name.isdigit() and len(name) < 19:
            number = int(name)
        if number is None:
            return AuditFound([], 0, {})
        query = query.where(or_(AuditLogRow.user_id == number, AuditLogRow.actor_id == number))
    if part := action.strip().lower():
        query = query.where(func.strpos(AuditLogRow.action, part) > 0)
    found = uow.session.scalar(select(func.count()).select_from(query.subquery())) or 0
    newest = query.order_by(AuditLogRow.at.desc(), AuditLogRow.id.desc())
    entries = _entries(uow, newest.limit(size).offset((max(1, page) - 1) * size))
    people = {number for entry in entries for number in (entry.actor_id, entry.user_id) if number is not None}
    known = uow.session.execute(select(UserRow.id, UserRow.username).where(UserRow.id.in_(people))).tuples()
    return AuditFound(entries, found, dict(known.all()))


def _entries(uow: UnitOfWork, query: Select[AuditLogRow]) -> list[AuditEntry]:
    return [
        AuditEntry(row.at, row.actor_id, row.user_id, row.action, row.detail, row.address)
        for row in uow.session.scalars(query)
    ]
