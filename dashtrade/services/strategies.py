"""A user's own strategies, kept with versions: saving again adds one, and none is ever changed."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import delete, func, select
from sqlalchemy.exc import IntegrityError

from dashtrade.db.tables.accounts import UserPreferenceRow
from dashtrade.db.tables.research import SavedStrategy
from dashtrade.db.unit_of_work import UnitOfWork
from dashtrade.domain.strategy import Strategy
from dashtrade.errors import InvalidInput, NotFound
from dashtrade.services.preferences import set_preference
from dashtrade.services.work import working
from dashtrade.strategies import PRESETS, from_dict, to_dict

_LONGEST_NAME = 80
_PREFERENCE = "strategy:"
"""The newest version is also among the user's preferences, under this and its name."""


@dataclass(frozen=True, slots=True)
class StrategyLine:
    """One saved strategy: its newest version and when that was saved."""

    name: str
    version: int
    saved_at: datetime


def save_strategy(uow: UnitOfWork, user_id: int, strategy: Strategy, notes: str | None = None) -> Strategy:
    """Saves a new version under the strategy's name; returns it with its version number."""
    name = strategy.name.strip()
    if not name or len(name) > _LONGEST_NAME:
        raise InvalidInput("name", f"must have 1 to {_LONGEST_NAME} characters.")
    if name in PRESETS:
        raise InvalidInput("name", f"{name!r} is the name of a preset; choose another.")
    s = SavedStrategy
    with working(uow) as work:
        newest = work.session.scalar(select(func.max(s.version)).where(s.user_id == user_id, s.name == name)) or 0
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
    query = select(s.name, func.max(s.version), func.max(s.created_at)).where(s.user_id == user_id)
    with working(uow) as work:
        return [StrategyLine(*row) for row in work.session.execute(query.group_by(s.name).order_by(s.name))]


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
