"""A worker killed with SIGKILL in the middle of each kind of job: two others do it, and nothing is there twice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from alert_house import SYMBOL
from channel_server import receiver
from sqlalchemy import text, update

from dashtrade.auth.vault import Vault, new_key
from dashtrade.bootstrap import load_jobs
from dashtrade.db.tables.alerts import AlertRuleRow
from dashtrade.domain.alerts import NewAlert
from dashtrade.services import channels, report_schedules
from dashtrade.services.alert_rules import add_alert, list_events
from dashtrade.services.jobs import enqueue
from dashtrade.services.notifications import list_notifications, notify
from dashtrade.services.reports import FOLDER

CHILD = Path(__file__).parents[1] / "jobs_child.py"
KEY = new_key()


@pytest.fixture
def ada(make_user):
    return make_user("ada").id


@pytest.fixture
def workers(database_url, tmp_path):
    """Starts workers; whatever is left of them is killed at the end."""
    with ExitStack() as stack:
        environment = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
        environment |= {
            "DATABASE_URL": database_url,
            "DASHTRADE_DATA_DIR": str(tmp_path / "data"),
            "ENCRYPTION_KEY": KEY,
        }
        environment |= {"DASHTRADE_PRIVATE_CHANNELS": "true", "REPORTS_OF_THE_TEST": str(tmp_path / "notebooks")}

        @contextmanager
        def process(point, only):
            child = subprocess.Popen(
                [sys.executable, str(CHILD), point, *only], env=environment, stdout=subprocess.PIPE, text=True
            )
            try:
                assert child.stdout.readline() == "ready\n"
                yield child
            finally:
                child.kill()
                child.wait()
                child.stdout.close()

        yield lambda point, *only: stack.enter_context(process(point, only))


def alerts(uow_factory, ada, tmp_path):
    with uow_factory() as uow:
        rule = add_alert(uow, ada, NewAlert("price_above", "100", SYMBOL, "1h"))
        since = datetime.now(UTC) - timedelta(days=1)
        uow.session.execute(update(AlertRuleRow).where(AlertRuleRow.alert_id == rule.id).values(active_since=since))
        enqueue(uow, "evaluate_alerts")
        uow.commit()

    def done(uow):
        assert len(list_events(uow, ada)) == 1
        assert [n.title for n in list_notifications(uow, ada)] == [f"{SYMBOL}: price above 100"]

    return done


def messages(uow_factory, ada, tmp_path):
    server = receiver()
    state = server.__enter__()
    with uow_factory() as uow:
        channels.add_channel(uow, ada, Vault(KEY).seal, "hook", state.url)
        notify(uow, ada, "alert", "once", "body")
        uow.commit()

    def done(uow):
        server.__exit__(None, None, None)
        assert [message["title"] for message in state.got] == ["once"]
        assert [d.state for d in channels.list_deliveries(uow, ada)] == ["sent"]

    return done


def report(uow_factory, ada, tmp_path):
    folder = tmp_path / "notebooks"
    folder.mkdir()
    cell = {"cell_type": "code", "id": "a", "metadata": {"tags": ["parameters"]}, "source": "number = 1"}
    cell |= {"outputs": [], "execution_count": None}
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    notebook = {"cells": [cell], "metadata": kernel, "nbformat": 4, "nbformat_minor": 5}
    (folder / "small.ipynb").write_text(json.dumps(notebook))
    with uow_factory() as uow:
        made = report_schedules.add_schedule(uow, ada, "backtest", "0 0 * * *", name="Nightly")
        uow.session.execute(text("UPDATE report_schedules SET report = 'small'"))
        enqueue(uow, report_schedules.RUN, schedule_id=made.id)
        uow.commit()

    def done(uow):
        runs = report_schedules.list_runs(uow, ada)
        assert [(run.status, run.error) for run in runs] == [("done", None), ("failed", "The worker ended.")]
        assert [n.title for n in list_notifications(uow, ada)] == ["The report Nightly is ready"]
        assert len(list((tmp_path / "data" / "reports").rglob("*.html"))) == 1

    return done


def old_records(uow_factory, ada, tmp_path):
    with uow_factory() as uow:
        for day in (1, 500):
            notify(uow, ada, "system", f"{day} days old", "")
        uow.session.execute(
            text("UPDATE notifications SET created_at = now() - interval '500 days' WHERE title ~ '500'")
        )
        enqueue(uow, "delete_old_records")
        uow.commit()

    def done(uow):
        assert [n.title for n in list_notifications(uow, ada)] == ["1 days old"]

    return done


KINDS = {
    "evaluate_alerts": (alerts, "alert_engine.notify"),
    "send_notifications": (messages, "deliveries.send"),
    "send_notifications after the answer": (messages, "deliveries.claimed"),
    "run_scheduled_report": (report, "report_schedules.run_limited"),
    "delete_old_records": (old_records, "housekeeping._pages_kept"),
}


@pytest.mark.parametrize("name", KINDS)
def test_a_worker_killed_in_a_job(name, workers, uow_factory, ada, tmp_path):
    load_jobs()
    prepare, point = KINDS[name]
    name = name.partition(" ")[0]
    done = prepare(uow_factory, ada, tmp_path)
    killed = workers(point, name)
    assert killed.stdout.readline() == "there\n"
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    with uow_factory() as uow:  # the minute after which a worker counts as lost is over
        uow.session.execute(text("UPDATE jobs.procrastinate_workers SET last_heartbeat = now() - interval '5 minutes'"))
        lost = "UPDATE jobs.procrastinate_jobs SET scheduled_at = NULL WHERE status = 'todo'"
        uow.session.execute(text(lost))
        uow.session.execute(text("UPDATE notification_deliveries SET claimed_until = now() - interval '1 minute'"))
        uow.commit()
    others = [workers("", name), workers("", name)]
    defer_restart(uow_factory)
    wait_until_quiet(uow_factory, name)
    with uow_factory() as uow:
        done(uow)
    assert all(each.poll() is None for each in others)
    assert FOLDER.is_dir()


def defer_restart(uow_factory):
    """What the clock does every minute: jobs of lost workers start again."""
    query = """SELECT unnest(jobs.procrastinate_defer_jobs_v1(ARRAY[ROW('default', 'restart_lost_jobs', 0, NULL, NULL,
        '{"timestamp": 0}'::jsonb, NULL)::jobs.procrastinate_job_to_defer_v1]))"""
    with uow_factory() as uow:
        uow.session.execute(text(query))
        uow.commit()


def wait_until_quiet(uow_factory, name):
    deadline = time.monotonic() + 90
    while True:
        with uow_factory() as uow:
            found = uow.session.execute(
                text("SELECT status::text, attempts FROM jobs.procrastinate_jobs WHERE task_name = :name"),
                {"name": name},
            )
            states = [tuple(row) for row in found]
        if states == [("succeeded", 2)]:
            return
        assert time.monotonic() < deadline, states
        time.sleep(0.1)
