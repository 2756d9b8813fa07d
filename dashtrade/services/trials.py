"""The trial ledger: every run is counted for its user, family of strategies and data, to tell skill from luck."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import Float, cast, func, select
from sqlalchemy.dialects.postgresql import insert

from dashtrade.db.tables.research import BacktestRun, TrialCount
from dashtrade.db.unit_of_work import UnitOfWork
from dashtrade.services.work import working

if TYPE_CHECKING:
    from dashtrade.backtest.control import Cancel, Progress
    from dashtrade.backtest.evidence import Evidence
    from dashtrade.backtest.result import BacktestResult
    from dashtrade.backtest.sweep import SweepResult
    from dashtrade.backtest.walkforward import WalkForwardResult


@dataclass(frozen=True, slots=True)
class Trials:
    """How many tries, and the variance of their Sharpe ratios of one bar (0 for fewer than two)."""

    count: int
    variance: float


def trials_of(uow: UnitOfWork, user_id: int, family: str, data_hash: str) -> Trials:
    """All tries of this user with one family of strategies on one data set."""
    t = TrialCount
    with working(uow) as work:
        row = work.session.execute(
            select(t.count, t.sharpe_m2).where(t.user_id == user_id, t.family == family, t.data_hash == data_hash)
        ).first()
    if row is None:
        return Trials(0, 0.0)
    return Trials(int(row[0]), float(row[1]) / (row[0] - 1) if row[0] > 1 else 0.0)


def count_trials(uow: UnitOfWork, user_id: int, family: str, data_hash: str, sharpes: Sequence[float]) -> None:
    """Adds tries with these Sharpe ratios of one bar (NaN counts as 0). Several may count at once: one statement.

    Mean and squared deviations are merged by Chan, Golub & LeVeque (1979).
    """
    values = [s if math.isfinite(s) else 0.0 for s in sharpes]
    if not values:
        return
    n = len(values)
    mean = sum(values) / n
    m2 = sum((v - mean) ** 2 for v in values)
    t = TrialCount
    new = insert(t).values(user_id=user_id, family=family, data_hash=data_hash, count=n, sharpe_mean=mean, sharpe_m2=m2)
    total = cast(t.count + n, Float)
    step = new.excluded.sharpe_mean - t.sharpe_mean
    with working(uow) as work:
        work.session.execute(
            new.on_conflict_do_update(
                index_elements=["user_id", "family", "data_hash"],
                set_={
                    "count": t.count + n,
                    "sharpe_mean": t.sharpe_mean + step * n / total,
                    "sharpe_m2": t.sharpe_m2 + new.excluded.sharpe_m2 + step * step * t.count * n / total,
                    "updated_at": func.now(),
                },
            )
        )
        work.commit()


def record_run(uow: UnitOfWork, user_id: int, result: BacktestResult) -> int:
    """Keeps what was run on what data and what came out, and counts it as a try. Returns the record's number."""
    per_bar = result.statistics["sharpe"] / math.sqrt(result.statistics["bars_per_year"])
    return _keep(
        uow, user_id, "backtest", result.strategy.trial_family, result.provenance, result.statistics, [per_bar]
    )


def record_sweep(uow: UnitOfWork, user_id: int, result: SweepResult) -> Trials:
    """Keeps the sweep with the statistics of its best row, and counts every combination. Returns all tries so far,
    these included.

    Where no combination traded there is no best row; the sweep is kept and its tries count all the same.
    """
    family, made = result.template.base.trial_family, dict(result.provenance)
    best: dict[str, float] = {}
    if result.table[result.objective].notna().any():
        made["best"] = result.best
        best = result.backtest().statistics
    _keep(uow, user_id, "sweep", family, made, best, result.tried.tolist())
    return trials_of(uow, user_id, family, made["bars_hash"])


def record_walk_forward(uow: UnitOfWork, user_id: int, result: WalkForwardResult) -> Trials:
    """Keeps the walk-forward with its figures out of sample, and counts every combination of every training stretch as
    a try on the whole data. Returns all tries so far."""
    made = result.provenance
    figures = {**result.statistics, "efficiency": result.efficiency, "final_equity": float(result.equity.iloc[-1])}
    _keep(uow, user_id, "walk_forward", result.family, made, figures, result.tried.tolist())
    return trials_of(uow, user_id, result.family, made["bars_hash"])


def _keep(
    uow: UnitOfWork,
    user_id: int,
    kind: str,
    family: str,
    made: Mapping[str, Any],
    statistics: Mapping[str, float],
    tries: Sequence[float],
) -> int:
    from dashtrade.backtest.result import plain

    request = plain(made["request"])
    row = BacktestRun(
        user_id=user_id,
        kind=kind,
        family=family,
        symbols=list(request["symbols"]),
        interval=str(made["interval"])[:8],
        data_hash=made["bars_hash"],
        request_hash=made["request_hash"],
        result_hash=made["result_hash"],
        request=request,
        statistics=plain(dict(statistics)),
        provenance=plain({k: v for k, v in made.items() if k != "request"}),
        trials=len(tries),
        seed=int(request["seed"]),
    )
    with working(uow) as work:
        work.session.add(row)
        work.session.flush()
        number = row.id
        count_trials(work, user_id, family, made["bars_hash"], tries)
        return number


def evidence_of(
    uow: UnitOfWork,
    user_id: int,
    result: BacktestResult,
    *,
    cancel: Cancel | None = None,
    progress: Progress | None = None,
) -> Evidence:
    """The honesty panel of a result that was recorded, with the true number of tries."""
    from dashtrade.backtest.evidence import evidence

    found = trials_of(uow, user_id, result.strategy.trial_family, result.provenance["bars_hash"])
    return evidence(result, max(found.count, 1), found.variance, cancel=cancel, progress=progress)


def list_runs(uow: UnitOfWork, user_id: int, limit: int = 100) -> list[dict[str, Any]]:
    """The user's runs, newest first."""
    r = BacktestRun
    with working(uow) as work:
        found = work.session.scalars(
            select(r).where(r.user_id == user_id).order_by(r.created_at.desc(), r.id.desc()).limit(limit)
        )
        return [
            {
                "id": row.id,
                "time": row.created_at,
                "kind": row.kind,
                "strategy": row.family,
                "symbols": ", ".join(row.symbols),
                "interval": row.interval,
                "trials": row.trials,
                "total_return": row.statistics.get("total_return"),
                "sharpe": row.statistics.get("sharpe"),
                "max_drawdown": row.statistics.get("max_drawdown"),
                "result_hash": row.result_hash,
            }
            for row in found
        ]
