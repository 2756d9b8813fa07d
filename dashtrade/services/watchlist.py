"""The symbols a user follows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, func, select, update
from sqlalchemy.dialects.postgresql import insert

from dashtrade.db.tables.accounts import UserRow, WatchlistRow
from dashtrade.db.unit_of_work import UnitOfWork
from dashtrade.domain.market import parse_symbol
from dashtrade.errors import InvalidInput, NotFound
from dashtrade.services.work import working

MOST = 500
LONGEST_NOTE = 2_000


@dataclass(frozen=True, slots=True)
class WatchedSymbol:
    symbol: str
    name: str | None
    notes: str | None
    added_at: datetime


def list_watchlist(uow: UnitOfWork, user_id: int) -> list[WatchedSymbol]:
    """In the order they were added."""
    query = (
        select(WatchlistRow.symbol, WatchlistRow.name, WatchlistRow.notes, WatchlistRow.added_at)
        .where(WatchlistRow.user_id == user_id)
        .order_by(WatchlistRow.added_at, WatchlistRow.id)
    )
    with working(uow) as work:
        return [WatchedSymbol(*row) for row in work.session.execute(query)]


def watch(uow: UnitOfWork, user_id: int, symbol: str, *, name: str | None = None, notes: str | None = None) -> bool:
    """Add a symbol; False when it is there already. At most 500, so that a page of them can be drawn."""
    values = {
        "user_id": user_id,
        "symbol": parse_symbol(symbol),
        "name": name and name[:200],
        "notes": _clean_notes(notes),
    }
    with working(uow) as work:
        # the user's row is locked, so that two pages cannot both add the five hundredth
        work.session.execute(select(UserRow.id).where(UserRow.id == user_id).with_for_update(key_share=True))
        count = work.session.scalar(select(func.count()).where(WatchlistRow.user_id == user_id)) or 0
        if count >= MOST:
            raise InvalidInput("symbol", f"the watchlist is full ({MOST} symbols); remove one first.")
        query = insert(WatchlistRow).values(**values).on_conflict_do_nothing(index_elements=["user_id", "symbol"])
        added = work.session.scalar(query.returning(WatchlistRow.id)) is not None
        work.commit()
        return added


def unwatch(uow: UnitOfWork, user_id: int, symbol: str) -> None:
    """Remove a symbol; raises NotFound when it is not on this user's list."""
    query = delete(WatchlistRow).where(WatchlistRow.user_id == user_id, WatchlistRow.symbol == parse_symbol(symbol))
    with working(uow) as work:
        if work.session.scalar(query.returning(WatchlistRow.id)) is None:
            raise NotFound(f"{symbol} is not on the watchlist.")
        work.commit()


def set_notes(uow: UnitOfWork, user_id: int, symbol: str, notes: str | None) -> None:
    """Change the note; an empty one removes it."""
    query = (
        update(WatchlistRow)
        .where(WatchlistRow.user_id == user_id, WatchlistRow.symbol == parse_symbol(symbol))
        .values(notes=_clean_notes(notes))
    )
    with working(uow) as work:
        if work.session.scalar(query.returning(WatchlistRow.id)) is None:
            raise NotFound(f"{symbol} is not on the watchlist.")
        work.commit()


def _clean_notes(notes: str | None) -> str | None:
    if notes and len(notes) > LONGEST_NOTE:
        raise InvalidInput("notes", f"must have at most {LONGEST_NOTE} characters.")
    return (notes or "").replace("\x00", "").strip() or None
