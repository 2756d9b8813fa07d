"""Long lists: found by the database, in the order that was asked for, a page at a time or all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from sqlalchemy import Select, func, select

from dashtrade.db.unit_of_work import UnitOfWork
from dashtrade.errors import InvalidInput

T = TypeVar("T")
CHUNK = 1_000  # rows that the server sends at once where all are read


@dataclass(frozen=True, slots=True)
class View:
    """Which lines of a list: page ``page``, which counts from 1, of ``size`` lines each.

    ``sort`` names a column, ``-column`` is from the greatest to the least; nothing is the list's own order. Lines
    without a value in that column come last either way.
    """

    sort: str = ""
    page: int = 1
    size: int = 100


@dataclass(frozen=True, slots=True)
class Found(Generic[T]):
    """One page of what a search finds; ``found`` is how many lines it finds. A page behind the last is empty."""

    lines: list[T]
    found: int


@dataclass(frozen=True, slots=True)
class Listing(Generic[T]):
    """What a search finds. ``sorts`` are the columns it can be sorted by, ``order`` is its own order, ``tie`` a unique
    column that keeps lines apart which are equal in the one sorted by."""

    uow: UnitOfWork
    query: Select[*tuple[Any, ...]]
    make: Callable[[Any], T]
    sorts: Mapping[str, Any]
    order: tuple[Any, ...]
    tie: Any

    def count(self) -> int:
        return self.uow.session.scalar(select(func.count()).select_from(self.query.subquery())) or 0

    def page(self, view: View) -> Found[T]:
        """Raises InvalidInput for a column that is not one of ``sorts``."""
        query = self._sorted(view.sort).limit(view.size).offset((max(1, view.page) - 1) * view.size)
        return Found([self.make(row) for row in self.uow.session.execute(query)], self.count())

    def every(self, sort: str = "") -> Iterator[T]:
        """All lines as of one moment, read bit by bit, so that a list of any length fits into memory."""
        query = self._sorted(sort).execution_options(yield_per=CHUNK)
        for row in self.uow.session.execute(query):
            yield self.make(row)

    def _sorted(self, sort: str) -> Select[*tuple[Any, ...]]:
        if not sort:
            return self.query.order_by(*self.order)
        column = self.sorts.get(sort.removeprefix("-"))
        if column is None:
            raise InvalidInput("sort", f"{sort[:40]!r} is no column of this list.", allowed=list(self.sorts))
        down = sort.startswith("-")
        first = column.desc() if down else column.asc()
        return self.query.order_by(first.nulls_last(), self.tie.desc() if down else self.tie.asc())
