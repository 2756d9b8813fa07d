"""Reports that run by themselves: schedules, the jobs that start and run them, and what came out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import structlog
from sqlalchemy import delete, func, select, text, update

from dashtrade.db.tables.research import ReportRun, ReportSchedule
from dashtrade.db.unit_of_work import UnitOfWork
from dashtrade.errors import DashTradeError, InvalidInput, NotFound
from dashtrade.services.jobs import JobContext, enqueue, job
from dashtrade.services.notifications import notify
from dashtrade.services.report_child import run_limited
from dashtrade.services.reports import FOLDER, ReportFailed, check_parameters, kernel_environment, report
from dashtrade.services.work import working

log = structlog.get_logger(__name__)

MOST = 50
RUN = "run_scheduled_report"
_LOCK = 0x7E90  # of advisory locks, beside the schedule's number
_LOOK_AHEAD = 1000  # times tried until one is a trading day


@dataclass(frozen=True, slots=True)
class Schedule:
    id: int
    name: str
    report: str
    parameters: dict[str, Any]
    cron: str
    timezone: str
    trading_days_only: bool
    is_active: bool
    next_run_at: datetime | None
    last_run_at: datetime | None


@dataclass(frozen=True, slots=True)
class Run:
    """One execution; ``output_path`` is the HTML, relative to the data folder, also of one that failed, where there is
    one; ``schedule_id`` None for one by hand."""

    id: int
    report: str
    schedule_id: int | None
    status: str
    started_at: datetime | None
    finished_at: datetime | None
    output_path: str | None
    error: str | None

    @property
    def notebook_path(self) -> str | None:
        """The executed notebook, which lies beside the HTML."""
        return self.output_path and self.output_path.removesuffix(".html") + ".ipynb"


def next_time(cron: str, timezone: str, after: datetime, *, trading_days_only: bool = False) -> datetime:
    """When a schedule is due next, in UTC: the first time after ``after`` on the clock of ``timezone``.

    A time that the change to summer time leaves out is taken an hour later; one that comes twice counts once. Raises
    InvalidInput for anything but five fields, an unknown zone, and a schedule that is never due.
    """
    from croniter import CroniterBadDateError, CroniterError, croniter

    from dashtrade.data.sessions import edges

    try:
        zone = ZoneInfo(timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise InvalidInput("timezone", f"{timezone!r} is not known; write for example America/New_York.") from None
    if len(cron.split()) != 5:
        raise InvalidInput("cron", f"{cron!r} does not have five fields; write for example '30 16 * * 1-5'.")
    try:
        times = croniter(cron, after.astimezone(zone).replace(tzinfo=None))
        days = set(edges("XNYS").days.tolist()) if trading_days_only else None
        for _ in range(_LOOK_AHEAD):
            local: datetime = times.get_next(datetime)
            due = local.replace(tzinfo=zone).astimezone(UTC)
            if due > after and (days is None or local.date() in days):
                return due
    except CroniterBadDateError:
        pass
    except (CroniterError, ValueError, KeyError):
        raise InvalidInput("cron", f"{cron!r} is not understood; write for example '30 16 * * 1-5'.") from None
    raise InvalidInput("cron", f"{cron!r} is never due.")


def add_schedule(
    uow: UnitOfWork,
    user_id: int,
    report_name: str,
    cron: str,
    *,
    name: str | None = None,
    parameters: Mapping[str, Any] | None = None,
    timezone: str = "America/New_York",
    trading_days_only: bool = False,
) -> Schedule:
    """Keeps a schedule. Raises UnknownOption for an unknown report, InvalidInput for a wrong parameter or time."""
    chosen = report(report_name)
    values = check_parameters(chosen, parameters or {})
    due = next_time(cron, timezone, datetime.now(UTC), trading_days_only=trading_days_only)
    with working(uow) as work:
        count = work.session.scalar(select(func.count()).where(ReportSchedule.user_id == user_id)) or 0
        if count >= MOST:
            raise InvalidInput("schedule", f"there are {MOST} schedules already; remove one first.")
        row = ReportSchedule(
            user_id=user_id,
            report=report_name,
            name=(name or chosen.title).strip()[:120],
            parameters=values,
            cron=" ".join(cron.split()),
            timezone=timezone,
            trading_days_only=trading_days_only,
            next_run_at=due,
        )
        work.session.add(row)
        work.commit()
        return _schedule(row)


def list_schedules(uow: UnitOfWork, user_id: int) -> list[Schedule]:
    """In the order they were added."""
    query = select(ReportSchedule).where(ReportSchedule.user_id == user_id).order_by(ReportSchedule.id)
    with working(uow) as work:
        return [_schedule(row) for row in work.session.scalars(query)]


def remove_schedule(uow: UnitOfWork, user_id: int, schedule_id: int) -> None:
    """Removes a schedule; what it has made stays."""
    s = ReportSchedule
    with working(uow) as work:
        query = delete(s).where(s.user_id == user_id, s.id == schedule_id)
        if work.session.scalar(query.returning(s.id)) is None:
            raise NotFound(f"There is no schedule {schedule_id}.")
        work.commit()


def list_runs(uow: UnitOfWork, user_id: int, *, schedule_id: int | None = None, limit: int = 100) -> list[Run]:
    """Newest first, those by hand included."""
    r = ReportRun
    columns = (r.id, r.report, r.schedule_id, r.status, r.started_at, r.finished_at, r.output_path, r.error)
    query = select(*columns).where(r.user_id == user_id).order_by(r.id.desc()).limit(max(1, min(limit, 1000)))
    if schedule_id is not None:
        query = query.where(r.schedule_id == schedule_id)
    with working(uow) as work:
        return [Run(*row) for row in work.session.execute(query)]


@job("start_due_reports", cron="* * * * *")
def start_due_reports(context: JobContext) -> int:
    """Queues what is due; a schedule whose times were missed runs once. Returns how many were queued."""
    s = ReportSchedule
    now = datetime.now(UTC)
    with context.uow() as uow:
        due = select(s).where(s.is_active, s.next_run_at <= now).with_for_update(skip_locked=True)
        queued = 0
        for row in uow.session.scalars(due).all():
            queued += enqueue(uow, RUN, once=str(row.id), schedule_id=row.id) is not None
            try:
                row.next_run_at = next_time(row.cron, row.timezone, now, trading_days_only=row.trading_days_only)
            except InvalidInput as error:
                row.is_active = False
                notify(uow, row.user_id, "report", f"The schedule {row.name} was switched off", str(error))
        uow.commit()
    return queued


@job(RUN)
def run_scheduled_report(context: JobContext, schedule_id: int) -> None:
    """Runs a schedule's report and tells its owner; while it runs, another run of the schedule is left out.

    When a worker died in it, the queue starts the job again: the unfinished run is marked as failed, a new one made.
    """
    with context.uow() as guard:
        # held by the connection, so that it goes with the worker, and only until the block's end
        lock = {"lock": _LOCK, "number": schedule_id}
        if not guard.session.scalar(text("SELECT pg_try_advisory_xact_lock(:lock, CAST(:number AS int))"), lock):
            log.info("The schedule's report still runs", schedule=schedule_id)
            return
        _run(context, schedule_id)


def _run(context: JobContext, schedule_id: int) -> None:
    settings = context.settings
    with context.uow() as uow:
        row = uow.session.get(ReportSchedule, schedule_id)
        if row is None or not row.is_active:
            return
        left = update(ReportRun).where(ReportRun.schedule_id == schedule_id, ReportRun.status == "running")
        uow.session.execute(left.values(status="failed", error="The worker ended.", finished_at=datetime.now(UTC)))
        schedule, owner = _schedule(row), row.user_id
        row.last_run_at = datetime.now(UTC)
        run = ReportRun(
            user_id=owner,
            schedule_id=schedule_id,
            report=schedule.report,
            parameters=schedule.parameters,
            status="running",
            started_at=row.last_run_at,
        )
        uow.session.add(run)
        uow.commit()
        number = run.id
    outcome: dict[str, Any]
    try:
        with context.uow() as uow:
            environment = kernel_environment(report(schedule.report), uow, owner)
        path = run_limited(
            schedule.report,
            schedule.parameters,
            data_dir=settings.data_dir,
            user_id=owner,
            seconds=settings.report_seconds,
            memory_mb=settings.report_memory_mb,
            folder=FOLDER,
            environment=environment,
        )
        outcome = {"status": "done", "output_path": str(path.relative_to(settings.data_dir)), "error": None}
    except ReportFailed as error:
        kept = error.path and str(error.path.relative_to(settings.data_dir))
        outcome = {"status": "failed", "output_path": kept, "error": str(error)}
    except DashTradeError as error:
        outcome = {"status": "failed", "output_path": None, "error": str(error)}
    with context.uow() as uow:
        done = update(ReportRun).where(ReportRun.id == number)
        uow.session.execute(done.values(**outcome, finished_at=datetime.now(UTC)))
        failed = outcome["error"] is not None
        title = f"The report {schedule.name} " + ("failed" if failed else "is ready")
        notify(uow, owner, "report", title, outcome["error"] or "It is in the list of reports.", link="reports")
        uow.commit()


def _schedule(row: ReportSchedule) -> Schedule:
    own = (row.id, row.name, row.report, dict(row.parameters), row.cron, row.timezone, row.trading_days_only)
    return Schedule(*own, row.is_active, row.next_run_at, row.last_run_at)
