"""Values of the whole system, by key: rows of ``app_state``, which page kernels may read and not write."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from dashtrade.db.tables.accounts import AppStateRow
from dashtrade.db.unit_of_work import UnitOfWork


def get_state(uow: UnitOfWork, key: str) -> Any:
    """What JSON can carry; None where nothing is kept."""
    return uow.session.scalar(select(AppStateRow.value).where(AppStateRow.key == key))


def lock_state(uow: UnitOfWork, key: str) -> Any:
    """Like :func:`get_state`, and nobody else changes it until the caller commits; ``{}`` where nothing was kept."""
    uow.session.execute(insert(AppStateRow).values(key=key, value={}).on_conflict_do_nothing())
    return uow.session.scalar(select(AppStateRow.value).where(AppStateRow.key == key).with_for_update())


def set_state(uow: UnitOfWork, key: str, value: Any) -> None:
    """The caller commits. Its version counts the changes: keeping the same again is none."""
    query = insert(AppStateRow).values(key=key, value=value)
    changed = {"value": value, "version": AppStateRow.version + 1, "updated_at": datetime.now(UTC)}
    uow.session.execute(
        query.on_conflict_do_update(
            index_elements=["key"], set_=changed, where=AppStateRow.value != query.excluded.value
        )
    )
