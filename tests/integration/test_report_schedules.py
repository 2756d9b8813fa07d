"""Scheduled reports: when they are due, that they run once, and that a failure is told."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select, text, update

from dashtrade.db.tables.research import ReportRun, ReportSchedule
from dashtrade.errors import InvalidInput, NotFound, UnknownOption
from dashtrade.services import report_schedules as schedules
from dashtrade.services import reports
from dashtrade.services.notifications import list_notifications
from dashtrade.settings import Settings


@dataclass
class Context:
    settings: Settings
    uow: object


@pytest.fixture
def ada(make_user):
    return make_user("ada").id


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Reports of the test alone, each with one parameter and one cell."""
    place = tmp_path / "notebooks"
    place.mkdir()
    codes = {
        "short": "import os\nprint('sum', 40 + number, 'ENCRYPTION_KEY' in os.environ)",
        "slow": "import os, re\nopen('pid', 'w').write(str(os.getpid()))\nre.match('(a+)+$', 'a' * 60 + 'b')",
        "gone": "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)",
        "greedy": "data = bytearray(3_000_000_000)",
    }
    for name, code in codes.items():
        more = {"cell_type": "code", "id": "d", "metadata": {}, "source": "print('before the end')"}
        cells = [
            {"cell_type": "markdown", "id": "a", "metadata": {}, "source": f"# {name.title()}"},
            {"cell_type": "code", "id": "b", "metadata": {"tags": ["parameters"]}, "source": "number = 1"},
            more,
            {"cell_type": "code", "id": "c", "metadata": {}, "source": code},
        ]
        for cell in cells[1:]:
            cell |= {"outputs": [], "execution_count": None}
        kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
        notebook = {"cells": cells, "metadata": kernel, "nbformat": 4, "nbformat_minor": 5}
        (place / f"{name}.ipynb").write_text(json.dumps(notebook))
    monkeypatch.setattr(schedules, "FOLDER", place)
    monkeypatch.setattr(schedules, "report", lambda name: reports.report(name, place))
    return place


@pytest.fixture
def context(uow_factory, tmp_path, monkeypatch):
    monkeypatch.setenv("ENCRYPTION_KEY", "not for reports")
    settings = Settings(_env_file=None, data_dir=tmp_path / "data", report_seconds=60, report_memory_mb=1500)
    return Context(settings, uow_factory)


def at(value):
    return datetime.fromisoformat(value).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("cron", "zone", "after", "trading", "due"),
    [
        ("30 16 * * 1-5", "America/New_York", "2024-07-05T21:00", False, "2024-07-08T20:30"),  # over a weekend
        ("30 16 * * *", "America/New_York", "2024-07-03T21:00", True, "2024-07-05T20:30"),  # 4 July is closed
        ("0 9 * * *", "Europe/Berlin", "2024-03-30T08:30", False, "2024-03-31T07:00"),  # summer time begins
        ("30 2 * * *", "America/New_York", "2024-03-10T06:00", False, "2024-03-10T07:30"),  # 02:30 does not exist
        ("30 1 * * *", "America/New_York", "2024-11-03T05:30", False, "2024-11-04T06:30"),  # 01:30 comes twice
        ("*/15 * * * *", "UTC", "2024-01-01T00:00", False, "2024-01-01T00:15"),
    ],
)
def test_when_a_schedule_is_due(cron, zone, after, trading, due):
    assert schedules.next_time(cron, zone, at(after), trading_days_only=trading) == at(due)


@pytest.mark.parametrize(
    ("cron", "zone", "field"),
    [("* * * *", "UTC", "cron"), ("* * * * * *", "UTC", "cron"), ("61 * * * *", "UTC", "cron"),
     ("x * * * *", "UTC", "cron"), ("0 0 30 2 *", "UTC", "never"), ("0 0 * * *", "Mars/Base", "timezone")],
)  # fmt: skip
def test_what_is_no_schedule(cron, zone, field):
    with pytest.raises(InvalidInput, match=field):
        schedules.next_time(cron, zone, at("2024-01-01T00:00"))


def make_due(uow_factory):
    with uow_factory() as uow:
        uow.session.execute(update(ReportSchedule).values(next_run_at=datetime.now(UTC) - timedelta(days=3)))
        uow.commit()


def test_a_due_report_is_queued_once_and_runs_without_secrets(uow_factory, context, ada, folder, make_user):
    with uow_factory() as uow:
        made = schedules.add_schedule(uow, ada, "short", "* * * * *", parameters={"number": "2"}, name="Sums")
    assert schedules.start_due_reports(context) == 0
    make_due(uow_factory)
    assert (schedules.start_due_reports(context), schedules.start_due_reports(context)) == (1, 0)
    with uow_factory() as uow:
        waiting = uow.session.execute(text("SELECT task_name, args FROM jobs.procrastinate_jobs")).all()
        assert [tuple(row) for row in waiting] == [("run_scheduled_report", {"schedule_id": made.id})]
        assert schedules.list_schedules(uow, ada)[0].next_run_at > datetime.now(UTC)
        uow.session.add(ReportRun(user_id=ada, schedule_id=made.id, report="short", parameters={}, status="running"))
        uow.commit()
    schedules.run_scheduled_report(context, made.id)
    with uow_factory() as uow:
        done, lost = schedules.list_runs(uow, ada)
        assert (lost.status, lost.error) == ("failed", "The worker ended.")
        assert (done.status, done.schedule_id, done.error) == ("done", made.id, None)
        page = (context.settings.data_dir / done.output_path).read_text()
        assert "sum 42 False" in page
        assert [n.title for n in list_notifications(uow, ada)] == ["The report Sums is ready"]
        assert schedules.list_runs(uow, make_user("bob").id) == []


@pytest.mark.parametrize(
    ("name", "limits", "words"),
    [("slow", {"report_seconds": 8.0}, "longer than 8 seconds"), ("gone", {}, "process was ended"),
     ("greedy", {}, "MemoryError")],
)  # fmt: skip
def test_a_failure_is_kept_and_told(uow_factory, context, ada, folder, name, limits, words):
    context.settings = context.settings.model_copy(update=limits)
    with uow_factory() as uow:
        made = schedules.add_schedule(uow, ada, name, "0 0 * * *")
    schedules.run_scheduled_report(context, made.id)
    with uow_factory() as uow:
        [run] = schedules.list_runs(uow, ada)
        assert run.status == "failed" and words in run.error
        page = (context.settings.data_dir / run.output_path).read_text()
        assert "not complete" in page and words in page and "import time" not in page
        if name == "slow":  # ended from outside, on a busy machine before the first cell
            for pid in (context.settings.data_dir / "reports").rglob("pid"):
                assert gone(int(pid.read_text())), "a call that never ends goes with the report"
            return
        notebook = json.loads((context.settings.data_dir / run.notebook_path).read_text())
        assert any(
            "before the end" in "".join(o.get("text", "")) for c in notebook["cells"] for o in c.get("outputs", [])
        )
        [message] = list_notifications(uow, ada)
        assert "failed" in message.title and words in message.body


def gone(pid):
    """Whether a process has ended, within moments."""
    for _ in range(100):
        stat = Path(f"/proc/{pid}/stat")
        if not stat.exists() or ") Z " in stat.read_text():
            return True
        time.sleep(0.1)
    return False


def test_a_schedule_never_runs_twice_at_once(uow_factory, context, ada, folder):
    with uow_factory() as uow:
        made = schedules.add_schedule(uow, ada, "short", "0 0 * * *")
    with uow_factory() as other:
        values = {"lock": schedules._LOCK, "number": made.id}
        other.session.execute(text("SELECT pg_advisory_xact_lock(:lock, :number)"), values)
        schedules.run_scheduled_report(context, made.id)
    with uow_factory() as uow:
        assert uow.session.scalars(select(ReportRun.id)).all() == []


def test_schedules_are_checked_and_belong_to_their_owner(uow_factory, ada, make_user):
    with uow_factory() as uow:
        with pytest.raises(UnknownOption, match="backtest"):
            schedules.add_schedule(uow, ada, "nothing", "0 0 * * *")
        with pytest.raises(InvalidInput, match="parameter"):
            schedules.add_schedule(uow, ada, "backtest", "0 0 * * *", parameters={"colour": "red"})
        made = schedules.add_schedule(uow, ada, "backtest", "0 0 * * *")
        with pytest.raises(NotFound):
            schedules.remove_schedule(uow, make_user("bob").id, made.id)
        schedules.remove_schedule(uow, ada, made.id)
        assert schedules.list_schedules(uow, ada) == []
