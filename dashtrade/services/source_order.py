"""Which market-data sources a user prefers, in order; the installation's order holds for who has chosen none.

Users' own keys at sources are in :mod:`dashtrade.services.source_keys`. What is fetched is cached for everybody.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select

from dashtrade.data.sources import SOURCES
from dashtrade.db.tables.accounts import UserPreferenceRow
from dashtrade.db.unit_of_work import UnitOfWork
from dashtrade.errors import InvalidInput
from dashtrade.services.preferences import get_preference, set_preference
from dashtrade.services.work import working

KEY = "market.sources"


def get_source_order(uow: UnitOfWork, user_id: int) -> tuple[str, ...] | None:
    """The user's order, or None where none is chosen. A source that is no longer there is passed over."""
    text = get_preference(uow, user_id, KEY) or ""
    return tuple(key for key in text.split(",") if key in SOURCES) or None


def all_source_orders(uow: UnitOfWork) -> dict[int, tuple[str, ...]]:
    """Every user's own order, by user; those without one are left out."""
    p = UserPreferenceRow
    with working(uow) as work:
        rows = work.session.execute(select(p.user_id, p.value).where(p.key == KEY)).tuples().all()
    found = {user: tuple(key for key in (text or "").split(",") if key in SOURCES) for user, text in rows}
    return {user: order for user, order in found.items() if order}


def set_source_order(uow: UnitOfWork, user_id: int, order: Sequence[str]) -> tuple[str, ...]:
    """Keep the user's order; an empty one goes back to the installation's. Raises InvalidInput for an unknown one."""
    chosen = tuple(dict.fromkeys(key.strip() for key in order if key.strip()))
    for key in chosen:
        if key not in SOURCES:
            raise InvalidInput("order", f"{key[:40]!r} is not a source.", allowed=list(SOURCES))
    set_preference(uow, user_id, KEY, ",".join(chosen))
    return chosen
