"""Settings of one user, as text under a key."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert

from dashtrade.db.tables.accounts import UserPreferenceRow
from dashtrade.db.unit_of_work import UnitOfWork
from dashtrade.errors import InvalidInput
from dashtrade.services.work import working

LONGEST_KEY = 100
LONGEST_VALUE = 20_000


def get_preference(uow: UnitOfWork, user_id: int, key: str) -> str | None:
    """The value kept under ``key``, or None."""
    with working(uow) as work:
        row = UserPreferenceRow
        return work.session.scalar(select(row.value).where(row.user_id == user_id, row.key == key))


def get_preferences(uow: UnitOfWork, user_id: int, keys: Sequence[str]) -> dict[str, str]:
    """The values kept under ``keys``, in one query; what is not kept is left out."""
    with working(uow) as work:
        row = UserPreferenceRow
        query = select(row.key, row.value).where(row.user_id == user_id, row.key.in_(keys))
        return {key: value for key, value in work.session.execute(query) if value is not None}


def set_preference(uow: UnitOfWork, user_id: int, key: str, value: str) -> None:
    """Keeps ``value`` under ``key``, replacing what was there; two pages may write at once."""
    if not 0 < len(key) <= LONGEST_KEY:
        raise InvalidInput("key", f"must have 1 to {LONGEST_KEY} characters.")
    if len(value) > LONGEST_VALUE:
        raise InvalidInput("value", f"must have at most {LONGEST_VALUE} characters.")
    with working(uow) as work:
        new = insert(UserPreferenceRow).values(user_id=user_id, key=key, value=value)
        work.session.execute(
            new.on_conflict_do_update(
                index_elements=["user_id", "key"], set_={"value": value, "updated_at": func.now()}
            )
        )
        work.commit()
