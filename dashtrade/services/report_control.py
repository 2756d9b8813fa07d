"""Reports run by hand in the jobs worker, and schedules paused, resumed and changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import structlog
from sqlalchemy import func, select, text, update

from dashtrade.db.tables.research import ReportRun, ReportSchedule
from dashtrade.db.unit_of_work import UnitOfWork
from dashtrade.errors import DashTradeError, InvalidInput, NotFound
from dashtrade.services import report_schedules
from dashtrade.services.jobs import JobContext, enqueue, job
from dashtrade.services.notifications import notify
from dashtrade.services.report_child import run_limited
from dashtrade.services.reports import FOLDER, ReportFailed, check_parameters, kernel_environment, report
from dashtrade.services.work import working

log = structlog.get_logger(__name__)

RUN_NOW = "run_report_now"
MOST_WAITING = 5
_LOCK = 0x7E91  # of advisory locks, beside the run's number


@dataclass(frozen=True, slots=True)
class RunView:
    """One run with what it was asked for; ``output_path`` is relative to the data folder."""

    id: int
    report: str
    schedule_id: int | None
    schedule: str | None
    parameters: dict[str, Any]
    status: str
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    output_path: str | None
    error: str | None


def view_runs(uow: UnitOfWork, user_id: int, *, limit: int = 200) -> list[RunView]:
    """Newest first, with the name of the schedule each belongs to."""
    r, s = ReportRun, ReportSchedule
    what = (r.id, r.report, r.schedule_id, s.name, r.parameters, r.status)
    query = (
        select(*what, r.created_at, r.started_at, r.finished_at, r.output_path, r.error)
        .outerjoin(s, s.id == r.schedule_id)
        .where(r.user_id == user_id)
        .order_by(r.id.desc())
        .limit(max(1, min(limit, 1000)))
    )
    with working(uow) as work:
        return [RunView(*row) for row in work.session.execute(query)]


def run_now(uow: UnitOfWork, user_id: int, report_name: str, parameters: Mapping[str, Any] | None = None) -> int:
    """Queues a report to be run as soon as a jobs worker is free; returns the run's number.

    Raises UnknownOption for an unknown report, InvalidInput for a wrong parameter or too many that wait.
    """
    values = check_parameters(report(report_name), parameters or {})
    r = ReportRun
    with working(uow) as work:
        waiting = select(func.count()).where(r.user_id == user_id, r.status == "queued")
        if (work.session.scalar(waiting) or 0) >= MOST_WAITING:
            raise InvalidInput("report", f"{MOST_WAITING} are waiting already; wait until one has begun.")
        row = r(user_id=user_id, report=report_name, parameters=values, status="queued")
        work.session.add(row)
        work.session.flush()
        enqueue(work, RUN_NOW, run_id=row.id)
        work.commit()
        return row.id


def run_schedule_now(uow: UnitOfWork, user_id: int, schedule_id: int) -> None:
    """Queues a schedule's report at once; its times stay. A paused one runs as by hand."""
    s = ReportSchedule
    with working(uow) as work:
        row = work.session.scalar(select(s).where(s.user_id == user_id, s.id == schedule_id))
        if row is None:
            raise NotFound(f"There is no schedule {schedule_id}.")
        if not row.is_active:
            run_now(work, user_id, row.report, row.parameters)
            return
        enqueue(work, report_schedules.RUN, once=str(row.id), schedule_id=row.id)
        work.commit()


def set_schedule_active(uow: UnitOfWork, user_id: int, schedule_id: int, active: bool) -> None:
    """Pauses a schedule, or goes on with it: what was due in between is left out."""
    s = ReportSchedule
    with working(uow) as work:
        row = work.session.scalar(select(s).where(s.user_id == user_id, s.id == schedule_id).with_for_update())
        if row is None:
            raise NotFound(f"There is no schedule {schedule_id}.")
        if active:
            now = datetime.now(UTC)
            row.next_run_at = report_schedules.next_time(
                row.cron, row.timezone, now, trading_days_only=row.trading_days_only
            )
        row.is_active = active
        work.commit()


def update_schedule(
    uow: UnitOfWork,
    user_id: int,
    schedule_id: int,
    report_name: str,
    cron: str,
    *,
    name: str | None = None,
    parameters: Mapping[str, Any] | None = None,
    timezone: str = "America/New_York",
    trading_days_only: bool = False,
) -> None:
    """Changes a schedule in place; what it has made stays. Raises as ``add_schedule`` does."""
    chosen = report(report_name)
    values = check_parameters(chosen, parameters or {})
    due = report_schedules.next_time(cron, timezone, datetime.now(UTC), trading_days_only=trading_days_only)
    s = ReportSchedule
    with working(uow) as work:
        new = {
            "report": report_name,
            "name": (name or chosen.title).strip()[:120],
            "parameters": values,
            "cron": " ".join(cron.split()),
            "timezone": timezone,
            "trading_days_only": trading_days_only,
            "next_run_at": due,
        }
        query = update(s).where(s.user_id == user_id, s.id == schedule_id).values(**new)
        if work.session.scalar(query.returning(s.id)) is None:
            raise NotFound(f"There is no schedule {schedule_id}.")
        work.commit()


@job(RUN_NOW)
def run_report_now(context: JobContext, run_id: int) -> None:
    """Runs a queued run. When a worker died in it, the queue starts the job again, and the run begins anew."""
    with context.uow() as guard:
        # held by the connection, so that it goes with the worker, and only until the block's end
        lock = {"lock": _LOCK, "number": run_id % 2**31}
        if guard.session.scalar(text("SELECT pg_try_advisory_xact_lock(:lock, CAST(:number AS int))"), lock):
            _run(context, run_id)


def _run(context: JobContext, run_id: int) -> None:
    settings = context.settings
    with context.uow() as uow:
        row = uow.session.get(ReportRun, run_id)
        if row is None or row.status not in ("queued", "running"):
            return
        name, values, owner = row.report, dict(row.parameters), row.user_id
        row.status, row.started_at = "running", datetime.now(UTC)
        uow.commit()
    outcome: dict[str, Any] = {"status": "failed", "output_path": None, "error": None}
    title = name
    try:
        chosen = report(name)
        title = chosen.title
        with context.uow() as uow:
            environment = kernel_environment(chosen, uow, owner)
        path = run_limited(
            name,
            values,
            data_dir=settings.data_dir,
            user_id=owner,
            seconds=settings.report_seconds,
            memory_mb=settings.report_memory_mb,
            folder=FOLDER,
            environment=environment,
        )
        outcome.update(status="done", output_path=str(path.relative_to(settings.data_dir)))
    except ReportFailed as error:
        outcome.update(error=str(error), output_path=error.path and str(error.path.relative_to(settings.data_dir)))
    except DashTradeError as error:
        outcome.update(error=str(error))
    with context.uow() as uow:
        done = update(ReportRun).where(ReportRun.id == run_id)
        uow.session.execute(done.values(**outcome, finished_at=datetime.now(UTC)))
        said = "failed" if outcome["error"] else "is ready"
        body = outcome["error"] or "It is in the list of reports."
        notify(uow, owner, "report", f"The report {title} {said}", body, link="reports")
        uow.commit()
