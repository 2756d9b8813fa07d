"""The list of a user's recorded runs: name one, find it again, throw it away. Comparing and running again is in
``dashtrade.services.backtest_runs``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, select, update

from dashtrade.db.tables.research import BacktestRun
from dashtrade.db.unit_of_work import UnitOfWork
from dashtrade.errors import InvalidInput, NotFound
from dashtrade.services.work import working

LONGEST_NAME = 80
MOST_LISTED = 500


@dataclass(frozen=True, slots=True)
class RunLine:
    """One recorded run in the list. A statistic that is not defined is None."""

    id: int
    time: datetime
    kind: str
    name: str
    strategy: str
    symbols: tuple[str, ...]
    interval: str
    trials: int
    total_return: float | None
    sharpe: float | None
    max_drawdown: float | None
    result_hash: str


def list_lines(uow: UnitOfWork, user_id: int, limit: int = MOST_LISTED) -> tuple[RunLine, ...]:
    """The user's runs, newest first."""
    r = BacktestRun
    numbers = [r.statistics[key].as_float() for key in ("total_return", "sharpe", "max_drawdown")]
    query = (
        select(r.id, r.created_at, r.kind, r.name, r.family, r.symbols, r.interval, r.trials, *numbers, r.result_hash)
        .where(r.user_id == user_id)
        .order_by(r.created_at.desc(), r.id.desc())
        .limit(max(1, min(limit, MOST_LISTED)))
    )
    with working(uow) as work:
        return tuple(
            RunLine(number, time, kind, name or "", family, tuple(symbols), *rest)
            for number, time, kind, name, family, symbols, *rest in work.session.execute(query)
        )


def rename_run(uow: UnitOfWork, user_id: int, run_id: int, name: str) -> str:
    """Gives a run a name, or takes it away with an empty one; returns what is kept.

    InvalidInput for a name that is too long or no plain text, NotFound for a run that is missing or another user's.
    """
    name = name.strip()
    if len(name) > LONGEST_NAME or not name.isprintable():
        raise InvalidInput("name", f"use up to {LONGEST_NAME} characters on one line.")
    r = BacktestRun
    query = update(r).where(r.user_id == user_id, r.id == run_id).values(name=name or None)
    with working(uow) as work:
        if work.session.scalar(query.returning(r.id)) is None:
            raise NotFound(f"There is no run number {run_id}.")
        work.commit()
    return name


def delete_runs(uow: UnitOfWork, user_id: int, run_ids: Sequence[int]) -> int:
    """Removes the user's runs of these numbers; returns how many there were. The tries stay counted: what was tried
    cannot be made untried."""
    r = BacktestRun
    query = delete(r).where(r.user_id == user_id, r.id.in_(run_ids))
    with working(uow) as work:
        gone = len(work.session.scalars(query.returning(r.id)).all())
        work.commit()
    return gone
