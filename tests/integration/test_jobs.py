"""The jobs worker with the real queue: transactional, retried, once by the clock, safe against SIGTERM and kill -9."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from procrastinate.periodic import PeriodicDeferrer
from sqlalchemy import select, text

from dashtrade.bootstrap import JOB_MODULES, load_jobs
from dashtrade.db.tables.accounts import AppStateRow, UserSessionRow
from dashtrade.errors import UnknownOption
from dashtrade.processes.job_queue import make_app
from dashtrade.registry import Registry
from dashtrade.services import accounts, jobs
from dashtrade.services.jobs import enqueue, job

QUEUE_KEEPING = {"restart_lost_jobs", "delete_old_jobs"}  # these run by the clock, also during a test


@dataclass
class Context:
    settings: object
    uow: object


@pytest.fixture
def registry(monkeypatch):
    """Jobs of the test alone."""
    own = Registry("job")
    monkeypatch.setattr(jobs, "JOBS", own)
    return own


@pytest.fixture
def run_queue(database_url, uow_factory, registry):
    """Runs everything that waits, and what that queues again, until nothing is due."""

    def run():
        app = make_app(database_url, Context(None, uow_factory), list(registry.values()))

        async def work():
            async with app.open_async():
                await app.run_worker_async(wait=False, listen_notify=False, install_signal_handlers=False)

        asyncio.run(work())

    return run


def states(uow_factory):
    with uow_factory() as uow:
        rows = uow.session.execute(
            text("SELECT task_name, status::text, attempts FROM jobs.procrastinate_jobs ORDER BY id")
        )
        return [tuple(row) for row in rows if row[0] not in QUEUE_KEEPING]


def test_a_job_runs_with_its_arguments_and_the_database(registry, run_queue, uow_factory):
    @job("note")
    def note(context, key, value):
        with context.uow() as uow:
            uow.session.add(AppStateRow(key=key, value=value))
            uow.commit()

    with uow_factory() as uow:
        enqueue(uow, "note", key="a 'quoted' 100% {key}", value={"deep": [1, "zwei", None]})
        uow.commit()
    run_queue()
    with uow_factory() as uow:
        assert uow.session.execute(select(AppStateRow.key, AppStateRow.value)).all() == [
            ("a 'quoted' 100% {key}", {"deep": [1, "zwei", None]})
        ]
    assert states(uow_factory) == [("note", "succeeded", 1)]


def test_a_job_exists_only_when_its_caller_commits(registry, run_queue, uow_factory):
    ran = []
    job("count")(lambda context: ran.append(1))
    with uow_factory() as uow:
        enqueue(uow, "count")
    with uow_factory() as uow:
        enqueue(uow, "count")
        uow.rollback()
    run_queue()
    assert ran == [] and states(uow_factory) == []


def test_an_undeclared_job_is_refused(registry, uow_factory):
    job("known")(lambda context: None)
    with uow_factory() as uow, pytest.raises(UnknownOption, match="known"):
        enqueue(uow, "unknown")


def test_the_same_mark_waits_once(registry, run_queue, uow_factory):
    ran = []
    job("report")(lambda context, user_id: ran.append(user_id))
    with uow_factory() as uow:
        assert enqueue(uow, "report", once="user 1", user_id=1)
        assert enqueue(uow, "report", once="user 1", user_id=1) is None
        assert enqueue(uow, "report", once="user 2", user_id=2)
        uow.session.add(AppStateRow(key="the transaction", value="is still good"))
        uow.commit()
    run_queue()
    assert sorted(ran) == [1, 2]
    with uow_factory() as uow:
        assert enqueue(uow, "report", once="user 1", user_id=1), "after it ran, the mark is free"


def test_a_later_job_waits(registry, run_queue, uow_factory):
    ran = []
    job("later")(lambda context: ran.append(1))
    with uow_factory() as uow:
        enqueue(uow, "later", at=datetime.now(UTC) + timedelta(hours=1))
        enqueue(uow, "later", at=datetime.now(UTC) - timedelta(hours=1))
        uow.commit()
    run_queue()
    assert ran == [1]


def test_a_failing_job_is_tried_again_later_and_then_given_up(registry, run_queue, uow_factory):
    def fail(context):
        raise RuntimeError("always")

    job("fragile", retries=2)(fail)
    job("hopeless")(fail)
    with uow_factory() as uow:
        enqueue(uow, "fragile")
        enqueue(uow, "hopeless")
        uow.commit()
    run_queue()
    assert states(uow_factory) == [("fragile", "todo", 1), ("hopeless", "failed", 1)]
    waits = []
    for _ in range(3):
        with uow_factory() as uow:
            wait = text(
                "SELECT extract(epoch FROM scheduled_at - now()) FROM jobs.procrastinate_jobs WHERE status='todo'"
            )
            waits += uow.session.execute(wait).scalars().all()
            uow.session.execute(text("UPDATE jobs.procrastinate_jobs SET scheduled_at = now() WHERE status = 'todo'"))
            uow.commit()
        run_queue()
    name, status, attempts = states(uow_factory)[0]
    assert (name, status, attempts) == ("fragile", "failed", 3)
    assert [5 < float(wait) <= 10 * 2**n for n, wait in enumerate(waits)] == [True, True]


def test_expired_sessions_are_deleted_by_the_clock(registry, database_url, uow_factory, make_user, monkeypatch):
    """The declared job itself, deferred by procrastinate's periodic deferrer for a moment that has passed."""
    monkeypatch.undo()
    declared = {each.name: each for each in load_jobs()}
    assert declared["delete_expired_sessions"].cron == "*/10 * * * *"
    user = make_user()
    with uow_factory() as uow:
        old = datetime.now(UTC) - timedelta(days=30)
        accounts.open_session(uow, user.id, now=old)
        living = accounts.open_session(uow, user.id)
    app = make_app(database_url, Context(None, uow_factory), [declared["delete_expired_sessions"]])

    async def work():
        async with app.open_async():
            task = app.tasks["delete_expired_sessions"]
            await task.defer_async(timestamp=int(time.time()))
            await app.run_worker_async(wait=False, listen_notify=False, install_signal_handlers=False)

    asyncio.run(work())
    with uow_factory() as uow:
        assert len(uow.session.scalars(select(UserSessionRow)).all()) == 1
        assert accounts.user_of_session(uow, living) == user
    assert {periodic.task.name for periodic in app.periodic_registry.periodic_tasks.values()} == {
        "delete_expired_sessions", "restart_lost_jobs", "delete_old_jobs"
    }  # fmt: skip


def test_a_tick_whose_last_job_still_waits_is_left_out(registry, database_url, uow_factory):
    """After a stop the jobs of the clock run once, not once for every minute that was missed."""
    ran = []
    job("often", cron="* * * * *")(lambda context: ran.append(1))
    app = make_app(database_url, Context(None, uow_factory), list(registry.values()))
    deferrer = PeriodicDeferrer(app.periodic_registry)

    async def work():
        async with app.open_async():
            task = next(each for each in app.periodic_registry.periodic_tasks.values() if each.task.name == "often")
            minute = int(time.time()) // 60 * 60
            await deferrer.defer_jobs([(task, minute - 60 * ago) for ago in (3, 2, 1, 0)])
            await app.run_worker_async(wait=False, listen_notify=False, install_signal_handlers=False)

    asyncio.run(work())
    assert len(ran) <= 2, "what waited, and at most the worker's own clock"
    assert (
        [state for state in states(uow_factory) if state[0] == "often"].count(("often", "succeeded", 1))
        == len(ran)
        >= 1
    )


def test_every_declared_module_can_be_loaded_and_names_are_unique():
    names = [each.name for each in load_jobs()]
    assert len(names) == len(set(names)) >= len(JOB_MODULES)


class Worker:
    """`python -m dashtrade.processes.jobs` on the test's database."""

    def __init__(self, database_url, tmp_path):
        environment = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
        environment |= {"DATABASE_URL": database_url, "DASHTRADE_DATA_DIR": str(tmp_path)}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "dashtrade.processes.jobs"],
            env=environment | {"DASHTRADE_LOG_FORMAT": "json", "PYTHONUNBUFFERED": "1"}, cwd=tmp_path,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        self.lines = []
        self.reader = threading.Thread(target=lambda: self.lines.extend(self.process.stdout), daemon=True)
        self.reader.start()

    def end(self, number):
        self.process.send_signal(number)
        code = self.process.wait(20)
        self.reader.join(5)
        return code


def wait_until(condition, seconds=30):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)


def test_the_process_works_through_the_queue_and_ends_politely(database_url, uow_factory, make_user, tmp_path):
    load_jobs()
    with uow_factory() as uow:
        accounts.open_session(uow, make_user().id, now=datetime.now(UTC) - timedelta(days=30))
        enqueue(uow, "delete_expired_sessions")
        uow.commit()
    worker = Worker(database_url, tmp_path)
    try:
        wait_until(lambda: ("delete_expired_sessions", "succeeded", 1) in states(uow_factory))
    finally:
        code = worker.end(signal.SIGTERM)
    assert code == 0, "".join(worker.lines)
    events = [json.loads(line)["event"] for line in worker.lines]
    assert events[0] == "Jobs worker starts" and events[-1] == "Jobs worker ended"
    assert "Expired sessions deleted" in events
    with uow_factory() as uow:
        assert uow.session.scalars(select(UserSessionRow)).all() == []


def test_a_job_whose_worker_was_killed_starts_again(database_url, uow_factory, registry, run_queue):
    ran = []
    job("long")(lambda context: ran.append(1))
    with uow_factory() as uow:
        enqueue(uow, "long")
        uow.session.execute(  # as a worker that was killed in the middle of it leaves it
            text(
                "WITH w AS (INSERT INTO jobs.procrastinate_workers (last_heartbeat) VALUES (now() - interval '5 min')"
                " RETURNING id) UPDATE jobs.procrastinate_jobs SET status = 'doing', attempts = 1, worker_id = w.id "
                "FROM w"
            )
        )
        uow.commit()
    app = make_app(database_url, Context(None, uow_factory), list(registry.values()))

    async def restart():
        async with app.open_async():
            await app.tasks["restart_lost_jobs"].defer_async(timestamp=0)
            await app.run_worker_async(wait=False, listen_notify=False, install_signal_handlers=False)

    asyncio.run(restart())
    run_queue()
    assert ran == [1]


def test_without_a_schema_the_process_says_what_to_do(empty_database_url, tmp_path):
    worker = Worker(empty_database_url, tmp_path)
    assert worker.process.wait(30) == 1
    worker.reader.join(5)
    assert "dashtrade migrate" in worker.lines[-1] and not any("Traceback" in line for line in worker.lines)
