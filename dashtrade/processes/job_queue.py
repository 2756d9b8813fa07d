"""The job queue: procrastinate's app, made from the declared jobs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import structlog
from procrastinate import App, BaseRetryStrategy, PsycopgConnector, RetryDecision
from procrastinate import JobContext as QueueContext
from procrastinate.jobs import Job as QueuedJob
from structlog.contextvars import bound_contextvars

from dashtrade.db.engine import libpq_url
from dashtrade.services.endpoint import JOB_RUNS, JOB_SECONDS
from dashtrade.services.jobs import Job, JobContext
from dashtrade.services.system_settings import effective

log = structlog.get_logger(__name__)

KEEP_SUCCEEDED_HOURS = 24
WORKER_LOST_AFTER = 60.0


@dataclass(frozen=True, slots=True)
class Patience(BaseRetryStrategy):
    """Tries a failed job again ``retries`` times, after 10 s, 20 s, 40 s and so on."""

    retries: int

    def get_retry_decision(self, *, exception: BaseException, job: QueuedJob) -> RetryDecision | None:
        return None if job.attempts >= self.retries else RetryDecision(retry_in={"seconds": 10 * 2**job.attempts})


def make_app(database_url: str, context: JobContext, jobs: list[Job]) -> App:
    """Procrastinate's app with a task for every job, and two of its own that keep the queue tidy."""
    connector = PsycopgConnector(
        conninfo=libpq_url(database_url),
        kwargs={"options": "-c search_path=jobs -c timezone=UTC"},
        min_size=1,
        max_size=8,
    )
    app = App(connector=connector)
    for each in jobs:
        retry = Patience(each.retries) if each.retries else False
        task = app.task(name=each.name, retry=retry, lock=each.name if each.alone else None)(_runner(each, context))
        if each.cron:
            # a tick that finds the last one waiting still is left out, so that a stop is not followed by a flood
            app.periodic(cron=each.cron, queueing_lock=f"{each.name}:clock")(task)

    @app.periodic(cron="* * * * *")
    @app.task(name="restart_lost_jobs", queueing_lock="restart_lost_jobs", pass_context=True)
    async def restart_lost_jobs(queue: QueueContext, timestamp: int) -> None:
        manager = queue.app.job_manager
        for lost in await manager.get_stalled_jobs(seconds_since_heartbeat=WORKER_LOST_AFTER):
            log.warning("The worker of a job is gone; the job starts again", job=lost.task_name, id=lost.id)
            await manager.retry_job(lost)

    @app.periodic(cron="17 3 * * *")
    @app.task(name="delete_old_jobs", queueing_lock="delete_old_jobs", pass_context=True)
    async def delete_old_jobs(queue: QueueContext, timestamp: int) -> None:
        await queue.app.job_manager.delete_old_jobs(nb_hours=KEEP_SUCCEEDED_HOURS)
        hours = 24 * await asyncio.to_thread(_keep_job_days, context)
        await queue.app.job_manager.delete_old_jobs(nb_hours=hours, include_failed=True, include_aborted=True)

    return app


def _keep_job_days(context: JobContext) -> int:
    with context.uow() as uow:
        return effective(uow, context.settings).keep_job_days


def _runner(job: Job, context: JobContext) -> Callable[..., None]:
    def run(timestamp: int | None = None, **arguments: Any) -> None:
        log.debug("Job starts", job=job.name)
        began = time.perf_counter()
        outcome = "failed"
        with bound_contextvars(job=job.name):
            try:
                job.run(context, **arguments)
                outcome = "succeeded"
            finally:
                JOB_RUNS.labels(job.name, outcome).inc()
                JOB_SECONDS.labels(job.name).observe(time.perf_counter() - began)

    run.__name__ = job.name
    return run
