"""How an installation is, read from its database: what the metrics, the health checks and `dashtrade status` say."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import func, select, text

from dashtrade.db import schema
from dashtrade.db.tables.trading import HaltRow, InboxRow, IntentRow, TraderHeartbeatRow
from dashtrade.db.unit_of_work import UnitOfWork

TRADER_LATE_SECONDS = 15.0
QUEUE_LATE_SECONDS = 30.0
JOBS_LATE_SECONDS = 180.0
WORKER_LATE_SECONDS = 60.0
OPEN_STATES = ("waiting", "planned", "submitting", "unknown", "live", "resting")
_WORKERS = text(
    "SELECT count(*) FILTER (WHERE last_heartbeat > now() - make_interval(secs => :late)), max(last_heartbeat)"
    " FROM jobs.procrastinate_workers"
)
_JOBS = text(
    """
    SELECT count(*) FILTER (WHERE status = 'todo' AND (scheduled_at IS NULL OR scheduled_at <= now())),
           count(*) FILTER (WHERE status = 'doing'),
           count(*) FILTER (WHERE status = 'failed'),
           (SELECT min(coalesce(j.scheduled_at, e.at)) FROM jobs.procrastinate_jobs j
            JOIN jobs.procrastinate_events e ON e.job_id = j.id AND e.type = 'deferred'
            WHERE j.status = 'todo' AND (j.scheduled_at IS NULL OR j.scheduled_at <= now()))
    FROM jobs.procrastinate_jobs
    """
)


@dataclass(frozen=True, slots=True)
class Observation:
    """Ages in seconds at ``at``; None where there is nothing to have an age."""

    at: datetime
    revision: str | None
    queue_age: float
    alerts_waiting: int
    traders: int
    trader_age: float | None
    stream_age: float | None
    jobs_waiting: int
    jobs_running: int
    jobs_failed: int
    jobs_age: float
    workers: int
    worker_age: float | None
    halts: int
    orders: dict[str, int] = field(default_factory=dict)


def observe(uow: UnitOfWork, now: datetime) -> Observation:
    """One reading, in a few quick queries on indexes. Raises DatabaseUnavailable, and SQLAlchemy's errors where the
    schema is not this program's."""

    def age(moment: datetime | None) -> float | None:
        return None if moment is None else max((now - moment).total_seconds(), 0.0)

    with uow:
        session = uow.session
        waiting, oldest = session.execute(
            select(func.count(), func.min(InboxRow.received_at)).where(InboxRow.state == "received")
        ).one()
        beat, stream = session.execute(
            select(func.max(TraderHeartbeatRow.beat_at), func.max(TraderHeartbeatRow.stream_at))
        ).one()
        alive = session.scalar(
            select(func.count()).where(
                TraderHeartbeatRow.beat_at > func.now() - func.make_interval(0, 0, 0, 0, 0, 0, TRADER_LATE_SECONDS)
            )
        )
        todo, doing, failed, first = session.execute(_JOBS).one()
        workers, worker = session.execute(_WORKERS, {"late": WORKER_LATE_SECONDS}).one()
        halts = session.scalar(select(func.count()).where(HaltRow.cleared_at.is_(None)))
        orders = session.execute(
            select(IntentRow.state, func.count()).where(IntentRow.state.in_(OPEN_STATES)).group_by(IntentRow.state)
        ).all()
        return Observation(
            at=now,
            revision=schema.revision(session.connection()),
            queue_age=age(oldest) or 0.0,
            alerts_waiting=int(waiting),
            traders=int(alive or 0),
            trader_age=age(beat),
            stream_age=age(stream),
            jobs_waiting=int(todo),
            jobs_running=int(doing),
            jobs_failed=int(failed),
            jobs_age=age(first) or 0.0,
            workers=int(workers),
            worker_age=age(worker),
            halts=int(halts or 0),
            orders=dict.fromkeys(OPEN_STATES, 0) | {str(state): int(count) for state, count in orders},
        )


def problems(seen: Observation) -> list[str]:
    """What somebody should look at, a sentence each."""
    found = []
    if seen.revision != schema.HEAD:
        found.append(f"The schema is at {seen.revision}, this program needs {schema.HEAD}: run `dashtrade migrate`.")
    if not seen.traders:
        found.append("No trader is running: alerts are stored and wait.")
    if seen.queue_age > QUEUE_LATE_SECONDS:
        found.append(f"The oldest alert has waited {seen.queue_age:.0f} s for a decision.")
    if not seen.workers:
        found.append("No jobs worker is running: alerts are not evaluated and reports not made.")
    if seen.jobs_age > JOBS_LATE_SECONDS:
        found.append(f"The oldest job has waited {seen.jobs_age:.0f} s.")
    if seen.orders.get("unknown"):
        found.append(f"The outcome of {seen.orders['unknown']} orders is not known yet.")
    return found
