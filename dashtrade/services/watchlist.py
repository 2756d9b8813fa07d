"""The symbols a user follows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, select, update
from sqlalchemy.dialects.postgresql import insert

from dashtrade.db.tables.accounts import UserRow, WatchlistRow
from dashtrade.db.tables.portfolio import WatchlistMemberRow, WatchlistNameRow
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


def list_watchlist(uow: UnitOfWork, user_id: int, within: str = "") -> list[WatchedSymbol]:
    """In the order they were added; ``within`` takes only those in the named list of this name, which may be gone."""
    query = (
        select(WatchlistRow.symbol, WatchlistRow.name, WatchlistRow.notes, WatchlistRow.added_at)
        .where(WatchlistRow.user_id == user_id)
        .order_by(WatchlistRow.added_at, WatchlistRow.id)
    )
    if within:
        n, m = WatchlistNameRow, WatchlistMemberRow
        listed = select(m.watchlist_id).join(n, n.id == m.list_id).where(n.user_id == user_id, n.name == within)
        query = query.where(WatchlistRow.id.in_(listed))
    with working(uow) as work:
        return [WatchedSymbol(*row) for row in work.session.execute(query)]


def watch(uow: UnitOfWork, user_id: int, symbol: str, *, name: str | None = None, notes: str | None = None) -> bool:
    """Add a symbol; False when it is there already. At most 500, so that a page of them can be drawn."""
    with working(uow) as work:
        added = add_watched(work, user_id, symbol, name=name, notes=notes)
        work.commit()
        return added


def add_watched(
    work: UnitOfWork, user_id: int, symbol: str, *, name: str | None = None, notes: str | None = None
) -> bool:
    """What :func:`watch` does, in the caller's transaction."""
    values = {
        "user_id": user_id,
        "symbol": parse_symbol(symbol),
        "name": name and name[:200],
        "notes": _clean_notes(notes),
    }
    # the user's row is locked, so that two pages cannot both add the five hundredth
    work.session.execute(select(UserRow.id).where(UserRow.id == user_id).with_for_update(key_share=True))
    mine = select(WatchlistRow.symbol).where(WatchlistRow.user_id == user_id)
    watched = set(work.session.scalars(mine))
    if values["symbol"] in watched:
        return False
    if len(watched) >= MOST:
        raise InvalidInput("symbol", f"the watchlist is full ({MOST} symbols); remove one first.")
    query = insert(WatchlistRow).values(**values).on_conflict_do_nothing(index_elements=["user_id", "symbol"])
    return work.session.scalar(query.returning(WatchlistRow.id)) is not None


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
