"""A user's own strategies, kept with versions: saving again adds one, and none is ever changed."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import delete, func, select, update
from sqlalchemy.exc import IntegrityError

from dashtrade.db.tables.accounts import UserPreferenceRow
from dashtrade.db.tables.research import SavedStrategy
from dashtrade.db.tables.trading import BotRow
from dashtrade.db.unit_of_work import UnitOfWork
from dashtrade.domain.strategy import Strategy
from dashtrade.errors import InvalidInput, NotFound
from dashtrade.services.preferences import set_preference
from dashtrade.services.work import working
from dashtrade.strategies import PRESETS, from_dict, to_dict

_LONGEST_NAME = 80
_PREFERENCE = "strategy:"
"""The newest version is also among the user's preferences, under this and its name."""
_DRAFT = "Draft: "
"""A version whose notes begin so may be kept and tried, but no bot may carry it; the reason follows."""


@dataclass(frozen=True, slots=True)
class StrategyLine:
    """One saved strategy: its newest version and when that was saved. ``draft`` says why it cannot be promoted."""

    name: str
    version: int
    saved_at: datetime
    draft: str = ""


@dataclass(frozen=True, slots=True)
class StrategyVersion:
    """One version of a strategy, with its rules and why it is a draft, if it is."""

    strategy: Strategy
    saved_at: datetime
    draft: str = ""


class ChangedElsewhere(InvalidInput):
    """The strategy has a newer version than the one the edit began from; nothing was saved."""

    def __init__(self, name: str, base: int, newest: int) -> None:
        self.base, self.newest = base, newest
        began = f"your edit began from version {base}" if base else "you are making a new one"
        super().__init__(
            "strategy", f"{name!r} has version {newest}, saved elsewhere, while {began}. Nothing was lost."
        )


def checked_name(name: str) -> str:
    """The name without outer spaces; InvalidInput for one that is empty, too long, a preset's, or not plain text."""
    name = name.strip()
    if not name or len(name) > _LONGEST_NAME:
        raise InvalidInput("name", f"must have 1 to {_LONGEST_NAME} characters.")
    if not name.isprintable():
        raise InvalidInput("name", "has line breaks or other characters that cannot be shown.")
    if name in PRESETS:
        raise InvalidInput("name", f"{name!r} is the name of a preset; choose another.")
    return name


def save_strategy(
    uow: UnitOfWork,
    user_id: int,
    strategy: Strategy,
    notes: str | None = None,
    *,
    base: int | None = None,
    draft: str = "",
) -> Strategy:
    """Saves a new version under the strategy's name; returns it with its version number.

    ``base`` is the version the edit began from, 0 for a new name: ChangedElsewhere where another is the newest.
    ``draft`` is the reason why this version may not be promoted.
    """
    name = checked_name(strategy.name)
    notes = _DRAFT + draft if draft else notes
    s = SavedStrategy
    with working(uow) as work:
        newest = work.session.scalar(select(func.max(s.version)).where(s.user_id == user_id, s.name == name)) or 0
        if base is not None and base != newest:
            raise ChangedElsewhere(name, base, newest)
        saved = replace(strategy, name=name, version=newest + 1)
        work.session.add(s(user_id=user_id, name=name, version=saved.version, definition=to_dict(saved), notes=notes))
        try:
            work.session.flush()
            set_preference(work, user_id, _PREFERENCE + name, json.dumps(to_dict(saved)))
            work.commit()
        except IntegrityError:
            work.rollback()
            raise InvalidInput("name", f"{name!r} was saved at the same time elsewhere; save again.") from None
    return saved


def load_strategy(uow: UnitOfWork, user_id: int, name: str, version: int | None = None) -> Strategy:
    """The newest version, or the one asked for. NotFound for a strategy that is missing or another user's."""
    s = SavedStrategy
    query = select(s.definition).where(s.user_id == user_id, s.name == name)
    query = query.where(s.version == version) if version is not None else query.order_by(s.version.desc())
    with working(uow) as work:
        definition = work.session.scalar(query.limit(1))
    if definition is None:
        which = f" version {version}" if version is not None else ""
        raise NotFound(f"There is no strategy {name!r}{which}. Presets: {', '.join(sorted(PRESETS))}.")
    return from_dict(definition)


def list_strategies(uow: UnitOfWork, user_id: int) -> list[StrategyLine]:
    """The user's strategies by name."""
    s = SavedStrategy
    query = select(s.name, s.version, s.created_at, s.notes).where(s.user_id == user_id)
    with working(uow) as work:
        rows = work.session.execute(query.distinct(s.name).order_by(s.name, s.version.desc()))
        return [StrategyLine(name, version, at, _reason(notes)) for name, version, at, notes in rows]


def list_versions(uow: UnitOfWork, user_id: int, name: str) -> list[StrategyVersion]:
    """Every version of one strategy, the newest first. NotFound for one that is missing or another user's."""
    s = SavedStrategy
    query = select(s.definition, s.created_at, s.notes).where(s.user_id == user_id, s.name == name)
    with working(uow) as work:
        found = [
            StrategyVersion(from_dict(definition), at, _reason(notes))
            for definition, at, notes in work.session.execute(query.order_by(s.version.desc()))
        ]
    if not found:
        raise NotFound(f"There is no strategy {name!r}.")
    return found


def rename_strategy(uow: UnitOfWork, user_id: int, name: str, new_name: str) -> str:
    """Gives all versions another name, and the user's bots that carry the old one; returns it.

    InvalidInput where the name is taken, NotFound for a strategy that is missing or another user's.
    """
    new = checked_name(new_name)
    if new == name:
        return new
    s, b, p = SavedStrategy, BotRow, UserPreferenceRow
    with working(uow) as work:
        rows = work.session.scalars(select(s).where(s.user_id == user_id, s.name == name).order_by(s.version)).all()
        if not rows:
            raise NotFound(f"There is no strategy {name!r}.")
        if work.session.scalar(select(s.id).where(s.user_id == user_id, s.name == new).limit(1)):
            raise InvalidInput("name", f"you have a strategy {new!r} already; choose another.")
        for row in rows:
            row.name, row.definition = new, {**row.definition, "name": new}
        work.session.execute(delete(p).where(p.user_id == user_id, p.key == _PREFERENCE + name))
        work.session.execute(update(b).where(b.user_id == user_id, b.strategy_name == name).values(strategy_name=new))
        try:
            work.session.flush()
            set_preference(work, user_id, _PREFERENCE + new, json.dumps(rows[-1].definition))
            work.commit()
        except IntegrityError:
            work.rollback()
            raise InvalidInput("name", f"{new!r} was saved at the same time elsewhere; choose another.") from None
    return new


def _reason(notes: str | None) -> str:
    return notes.removeprefix(_DRAFT) if notes and notes.startswith(_DRAFT) else ""


def delete_strategy(uow: UnitOfWork, user_id: int, name: str) -> None:
    """Removes all versions; recorded runs keep their own copy of the rules."""
    s = SavedStrategy
    with working(uow) as work:
        gone = work.session.execute(delete(s).where(s.user_id == user_id, s.name == name))
        if not gone.rowcount:  # type: ignore[attr-defined]
            raise NotFound(f"There is no strategy {name!r}.")
        p = UserPreferenceRow
        work.session.execute(delete(p).where(p.user_id == user_id, p.key == _PREFERENCE + name))
        work.commit()
