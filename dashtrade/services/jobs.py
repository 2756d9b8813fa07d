"""Background jobs: what there is to do, and putting it into the queue in the caller's own transaction.

A service module declares its jobs here with :func:`job`; the jobs worker (processes/jobs.py) runs them on as many
machines as wanted. The queue is procrastinate's, in the database's schema ``jobs``.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from dashtrade.db.unit_of_work import UnitOfWork
from dashtrade.registry import Registry
from dashtrade.settings import Settings


class JobContext(Protocol):
    """What a job works with; ``bootstrap.Runtime`` is one."""

    @property
    def settings(self) -> Settings: ...

    def uow(self) -> UnitOfWork: ...


@dataclass(frozen=True, slots=True)
class Job:
    """``run(context, **arguments)`` may run twice after a crash, so it must do no harm the second time.

    ``cron`` (five fields, UTC; a sixth is seconds) runs it by the clock, without arguments, once for all machines.
    ``retries`` is how often a failed run is tried again, after 10 s, 20 s, 40 s and so on. ``alone``: never two of it
    at the same time.
    """

    name: str
    run: Callable[..., object]
    cron: str | None = None
    retries: int = 0
    alone: bool = False


JOBS: Registry[Job] = Registry("job")

_DEFER = text(
    """
    SELECT unnest(jobs.procrastinate_defer_jobs_v1(ARRAY[
        ROW('default', CAST(:name AS text), 0, CAST(:lock AS text), CAST(:once AS text), CAST(:arguments AS jsonb),
            CAST(:at AS timestamptz))::jobs.procrastinate_job_to_defer_v1]))
    """
)


def job(
    name: str, *, cron: str | None = None, retries: int = 0, alone: bool = False
) -> Callable[[Callable[..., object]], Callable[..., object]]:
    """Decorator: the function becomes the job ``name``."""

    def register(run: Callable[..., object]) -> Callable[..., object]:
        JOBS.register(name, Job(name, run, cron, retries, alone))
        return run

    return register


def enqueue(
    uow: UnitOfWork, name: str, *, at: datetime | None = None, once: str | None = None, **arguments: Any
) -> int | None:
    """Queue the job in the unit of work's transaction: it exists if, and only if, the caller commits.

    ``arguments`` must be JSON values. ``at`` delays it. With ``once``, None is returned when a job with the same mark
    still waits. Raises UnknownOption for a job that is not declared.
    """
    declared = JOBS[name]
    values = {
        "name": name,
        "lock": name if declared.alone else None,
        "once": once and f"{name}:{once}",
        "arguments": json.dumps(arguments),
        "at": at,
    }
    try:
        with uow.session.begin_nested():
            return int(uow.session.scalar(_DEFER, values))
    except IntegrityError:
        if once is None:
            raise
        return None
