"""The audit log: who did what. Written in the same transaction as the deed, so neither exists without the other."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select

from dashtrade.db.tables.accounts import AuditLogRow
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
    return [
        AuditEntry(row.at, row.actor_id, row.user_id, row.action, row.detail, row.address)
        for row in uow.session.scalars(query)
    ]
