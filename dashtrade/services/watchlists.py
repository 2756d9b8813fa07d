"""Named parts of the watchlist. A symbol is watched once, with one note, and may be in several of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import delete, func, select, update
from sqlalchemy.dialects.postgresql import insert

from dashtrade.db.tables.accounts import PriceAlertRow, UserRow, WatchlistRow
from dashtrade.db.tables.alerts import AlertRuleRow
from dashtrade.db.tables.portfolio import WatchlistMemberRow, WatchlistNameRow
from dashtrade.db.unit_of_work import UnitOfWork
from dashtrade.domain.market import parse_symbol
from dashtrade.errors import InvalidInput, NotFound
from dashtrade.services.watchlist import add_watched
from dashtrade.services.work import working

MOST_LISTS = 50
LONGEST_NAME = 60
EVERYTHING = "All symbols"
"""How pages call the whole watchlist; no list of one's own may be called so."""


@dataclass(frozen=True, slots=True)
class NamedList:
    id: int
    name: str
    symbols: int


def list_names(uow: UnitOfWork, user_id: int) -> list[NamedList]:
    """The user's lists by name, with how many symbols are in each."""
    n, m = WatchlistNameRow, WatchlistMemberRow
    counted = select(n.id, n.name, func.count(m.watchlist_id)).outerjoin(m, m.list_id == n.id)
    with working(uow) as work:
        rows = work.session.execute(counted.where(n.user_id == user_id).group_by(n.id).order_by(func.lower(n.name)))
        return [NamedList(*row) for row in rows]


def create_list(uow: UnitOfWork, user_id: int, name: str) -> str:
    """A new, empty list; returns its name as kept. InvalidInput for a name that is taken, or past 50 lists."""
    kept = checked_name(name)
    with working(uow) as work:
        # the user's row is locked, so that two pages cannot both make the last list that is allowed
        work.session.execute(select(UserRow.id).where(UserRow.id == user_id).with_for_update(key_share=True))
        names = [one.name for one in list_names(work, user_id)]
        if len(names) >= MOST_LISTS:
            raise InvalidInput("list", f"there are {MOST_LISTS} lists already; delete one first.")
        _free(kept, names)
        work.session.add(WatchlistNameRow(user_id=user_id, name=kept))
        work.commit()
    return kept


def rename_list(uow: UnitOfWork, user_id: int, name: str, new_name: str) -> str:
    kept = checked_name(new_name)
    with working(uow) as work:
        list_id = list_id_of(work, user_id, name)
        _free(kept, [one.name for one in list_names(work, user_id) if one.id != list_id])
        n = WatchlistNameRow
        work.session.execute(update(n).where(n.user_id == user_id, n.id == list_id).values(name=kept))
        work.commit()
    return kept


def delete_list(uow: UnitOfWork, user_id: int, name: str) -> None:
    """Ends the list; its symbols stay on the watchlist. Refused while an alert watches the list."""
    n, r, a = WatchlistNameRow, AlertRuleRow, PriceAlertRow
    with working(uow) as work:
        list_id = list_id_of(work, user_id, name)
        used = select(func.count()).select_from(r).join(a, a.id == r.alert_id)
        count = work.session.scalar(used.where(a.user_id == user_id, r.list_id == list_id)) or 0
        if count:
            rules = "An alert watches" if count == 1 else f"{count} alerts watch"
            raise InvalidInput("list", f"{rules} {name!r}. Change or remove them on the page Alerts first.")
        work.session.execute(delete(n).where(n.user_id == user_id, n.id == list_id))
        work.commit()


def put_in(uow: UnitOfWork, user_id: int, name: str, symbol: str, *, notes: str | None = None) -> bool:
    """Adds a symbol to the list, and to the watchlist where it is not watched yet; False when it is in the list."""
    w, m = WatchlistRow, WatchlistMemberRow
    ticker = parse_symbol(symbol)
    with working(uow) as work:
        n = WatchlistNameRow
        # held until the end, so that the list is not deleted in between
        held = select(n.id).where(n.user_id == user_id, n.name == name).with_for_update(read=True, key_share=True)
        list_id = work.session.scalar(held) or list_id_of(work, user_id, name)
        add_watched(work, user_id, ticker, notes=notes)
        watched = select(w.id).where(w.user_id == user_id, w.symbol == ticker)
        values = {"list_id": list_id, "watchlist_id": work.session.scalars(watched).one(), "user_id": user_id}
        query = insert(m).values(**values).on_conflict_do_nothing()
        added = work.session.scalar(query.returning(m.list_id)) is not None
        work.commit()
        return added


def take_out(uow: UnitOfWork, user_id: int, name: str, symbol: str) -> None:
    """Removes a symbol from this list only; raises NotFound when it is not in it."""
    w, m = WatchlistRow, WatchlistMemberRow
    ticker = parse_symbol(symbol)
    with working(uow) as work:
        list_id = list_id_of(work, user_id, name)
        watched = select(w.id).where(w.user_id == user_id, w.symbol == ticker).scalar_subquery()
        query = delete(m).where(m.user_id == user_id, m.list_id == list_id, m.watchlist_id == watched)
        if work.session.scalar(query.returning(m.list_id)) is None:
            raise NotFound(f"{ticker} is not in {name!r}.")
        work.commit()


def list_id_of(uow: UnitOfWork, user_id: int, name: str) -> int:
    """NotFound, naming the lists, for one that is missing or another user's."""
    n = WatchlistNameRow
    with working(uow) as work:
        found = work.session.scalar(select(n.id).where(n.user_id == user_id, n.name == name))
        if found is None:
            known = [one.name for one in list_names(work, user_id)]
            raise NotFound(f"There is no list {name[:LONGEST_NAME]!r}. Lists: {', '.join(known) or 'none yet'}.")
        return found


def contents(uow: UnitOfWork, user_id: int) -> dict[str, tuple[str, ...]]:
    """The user's lists by name with their symbols in the order they were first watched."""
    w, m, n = WatchlistRow, WatchlistMemberRow, WatchlistNameRow
    query = (
        select(n.name, w.symbol)
        .outerjoin(m, m.list_id == n.id)
        .outerjoin(w, (w.id == m.watchlist_id) & (w.user_id == n.user_id))
        .where(n.user_id == user_id)
        .order_by(func.lower(n.name), w.added_at, w.id)
    )
    found: dict[str, tuple[str, ...]] = {}
    with working(uow) as work:
        for name, symbol in work.session.execute(query):
            found[name] = (*found.get(name, ()), *((symbol,) if symbol else ()))
    return found


def members(uow: UnitOfWork) -> dict[int, tuple[str, ...]]:
    """The symbols of every list of every user, by the list's id: for the jobs that watch them."""
    w, m = WatchlistRow, WatchlistMemberRow
    query = select(m.list_id, w.symbol).join(w, (w.id == m.watchlist_id) & (w.user_id == m.user_id))
    found: dict[int, tuple[str, ...]] = {}
    with working(uow) as work:
        for list_id, symbol in work.session.execute(query.order_by(w.added_at, w.id)):
            found[list_id] = (*found.get(list_id, ()), symbol)
    return found


def checked_name(name: str) -> str:
    """The name without outer spaces; InvalidInput for one that is empty, too long or not plain text."""
    kept = " ".join(name.split())
    if not kept or len(kept) > LONGEST_NAME or not kept.isprintable():
        raise InvalidInput("list", f"give it a name of 1 to {LONGEST_NAME} plain characters.")
    if kept.lower() == EVERYTHING.lower():
        raise InvalidInput("list", f"{EVERYTHING!r} is the whole watchlist; choose another name.")
    return kept


def _free(name: str, names: Iterable[str]) -> None:
    if name.lower() in {other.lower() for other in names}:
        raise InvalidInput("list", f"there is a list {name!r} already; choose another name.")
