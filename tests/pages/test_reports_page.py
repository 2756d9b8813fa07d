"""The reports page over the real services and a real database; the report itself is a small notebook."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from html import unescape
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import select, text, update

from dashtrade.db.tables.research import ReportRun, ReportSchedule
from dashtrade.domain.users import User
from dashtrade.errors import InvalidInput, NotFound
from dashtrade.pages.reports import times
from dashtrade.pages.reports.model import ReportsModel, ReportsServices
from dashtrade.pages.reports.view import ReportsView
from dashtrade.services import report_control, report_files, report_schedules, reports
from dashtrade.services.notifications import list_notifications
from dashtrade.settings import Settings

CODE = """
print('made of', symbol, days, share, wide, names)
if symbol == 'FAIL':
    raise ValueError('no such thing')
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with one report that has a parameter of each type."""
    import nbformat
    from nbformat import v4

    cell = v4.new_code_cell(
        "symbol = 'AAPL'\ndays = 90\nshare = 0.5\nwide = False\nnames = ['a', 'b']\nsettings = {}\nperiod = '1y'"
    )
    cell.metadata["tags"] = ["parameters"]
    notebook = v4.new_notebook(cells=[v4.new_markdown_cell("# Small report"), cell, v4.new_code_cell(CODE)])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    place = tmp_path / "reports"
    place.mkdir()
    nbformat.write(notebook, place / "small.ipynb")
    monkeypatch.setattr(report_control, "FOLDER", place)
    for module in (report_control, report_schedules):
        monkeypatch.setattr(module, "report", lambda name, folder=place: reports.report(name, folder))
    return place


class House:
    """The page of one user."""

    def __init__(self, uow: Callable[[], Any], user: User, folder: Path, data_dir: Path) -> None:
        self.uow, self.user, self.data_dir = uow, user, data_dir

        def mine(service: Callable[..., Any]) -> Callable[..., Any]:
            def call(*args: Any, **kw: Any) -> Any:
                with uow() as work:
                    return service(work, user.id, *args, **kw)

            return call

        services = ReportsServices(
            reports=lambda: reports.reports(folder),
            check=reports.check_parameters,
            next_time=report_schedules.next_time,
            list_schedules=mine(report_schedules.list_schedules),
            list_runs=mine(report_control.view_runs),
            files=lambda run: [k for k in ("html", "ipynb") if report_files.beside(data_dir, run.output_path, k)],
            run_now=mine(report_control.run_now),
            run_schedule_now=mine(report_control.run_schedule_now),
            add_schedule=mine(report_schedules.add_schedule),
            update_schedule=mine(report_control.update_schedule),
            set_active=mine(report_control.set_schedule_active),
            remove=mine(report_schedules.remove_schedule),
            remember=lambda values: None,
            choices={"period": ("1mo", "1y")},
        )
        self.model = ReportsModel(services)
        self.view = ReportsView(self.model)
        self.model.restore({})
        self.model.refresh()

    def press(self, table: str, name: str, row: object) -> None:
        getattr(self.view, table)._handle_custom_msg({"type": "action", "name": name, "id": str(row)}, [])

    def queued(self) -> list[tuple[str, dict[str, Any]]]:
        """Jobs that wait in the real queue."""
        query = "SELECT task_name, args FROM jobs.procrastinate_jobs WHERE status = 'todo' ORDER BY id"
        with self.uow() as work:
            return [(name, args) for name, args in work.session.execute(text(query))]

    def work_off(self) -> None:
        """What a jobs worker does with the runs that wait."""
        settings = Settings(_env_file=None, data_dir=self.data_dir)  # type: ignore[call-arg]
        context = SimpleNamespace(settings=settings, uow=self.uow)
        for name, args in self.queued():
            if name == report_control.RUN_NOW:
                report_control.run_report_now(context, **args)  # type: ignore[arg-type]
        self.model.refresh()

    @property
    def schedules(self) -> list[Any]:
        return report_schedules.list_schedules(self.uow(), self.user.id)

    @property
    def said(self) -> str:
        return unescape(self.view.messages.text)


@pytest.fixture
def house(uow_factory: Callable[[], Any], make_user: Callable[..., User], folder: Path, tmp_path: Path) -> House:
    return House(uow_factory, make_user("ada"), folder, tmp_path / "data")


def test_a_report_is_run_by_hand_and_its_files_are_the_owners_alone(
    house: House, make_user: Callable[..., User]
) -> None:
    view = house.view
    assert [view.report.options, view.report.value] == [(("Small report", "small"),), "small"]
    controls = view.params.controls
    controls["symbol"].value, controls["names"].value, controls["wide"].value = "<b>IBM</b>", "x, y", True
    view.run.click()
    [(name, args)] = house.queued()
    assert name == "run_report_now" and "is queued" in house.said
    [row] = view.runs.rows
    assert (row["status"], row["page"], row["parameters"]) == (
        "… waiting", None, "symbol <b>IBM</b>, wide True, names x, y",
    )  # fmt: skip
    with house.uow() as work:  # as if a worker had died in it: another begins anew
        work.session.execute(update(ReportRun).values(status="running"))
        work.commit()
    house.work_off()
    [row] = view.runs.rows
    assert row["status"] == "✓ done" and row["seconds"] > 0 and "is ready" in house.said
    run_id = args["run_id"]
    assert row["page"] == {"text": "Open", "href": f"reports/{run_id}.html"}
    assert row["notebook"] == {"text": "Download", "href": f"reports/{run_id}.ipynb"}
    with house.uow() as work:
        page = report_files.report_file(work, house.user.id, run_id, "html", house.data_dir).read_text()
        notebook = report_files.report_file(work, house.user.id, run_id, "ipynb", house.data_dir).read_text()
        with pytest.raises(NotFound):
            report_files.report_file(work, make_user("mallory").id, run_id, "html", house.data_dir)
    assert "made of &lt;b&gt;IBM&lt;/b&gt; 90 0.5 True ['x', 'y']" in page.replace("&#39;", "'")
    assert json.loads(notebook)["cells"]
    [told] = list_notifications(house.uow(), house.user.id)
    assert told.title == "The report Small report is ready" and told.link == "reports"
    with house.uow() as work:
        path = select(ReportRun.output_path)
        first = work.session.scalar(path)
        house.work_off()  # the queue may hand a job over twice: what has ended is not run again
        assert work.session.scalar(path) == first
    house.press("runs", "log", run_id)
    assert "queued" in view.log.value and "<b>IBM" not in view.log.value


def test_a_failed_run_shows_its_error_and_tells(house: House) -> None:
    house.view.params.controls["symbol"].value = "FAIL"
    house.view.run.click()
    house.work_off()
    [row] = house.view.runs.rows
    assert row["status"] == "✕ failed" and "ValueError: no such thing" in row["error"]
    assert row["notebook"] is not None, "the notebook stays, to look for the reason"
    assert 'data-kind="error"' in house.said and "no such thing" in house.said
    [told] = list_notifications(house.uow(), house.user.id)
    assert "failed" in told.title and "no such thing" in told.body
    house.press("runs", "again", row["id"])
    assert [r["status"] for r in house.view.runs.rows] == ["… waiting", "✕ failed"]


def test_only_so_many_runs_may_wait(house: House) -> None:
    for _ in range(report_control.MOST_WAITING + 1):
        house.view.run.click()
        house.model.tab = "new"
    assert "are waiting already" in house.said
    assert len(house.view.runs.rows) == report_control.MOST_WAITING


def test_a_schedule_is_kept_changed_paused_run_and_deleted(house: House) -> None:
    view = house.view
    view.name.value, view.often.value, view.day.value, view.at.value = "Friday's", "weekly", "Friday", "17:05"
    view.timezone.value, view.trading_days.value = "Europe/London", False
    view.params.controls["days"].value = "30"
    assert view.spoken.value.startswith('<p role="status">Every Friday at 17:05, London time.')
    view.save.click()
    [kept] = house.schedules
    assert (kept.cron, kept.timezone, kept.parameters, kept.name) == (
        "5 17 * * 5", "Europe/London", {"days": 30}, "Friday's",
    )  # fmt: skip
    assert house.model.tab == "schedules"

    house.press("schedules", "edit", kept.id)
    assert (view.often.value, view.day.value, view.at.value) == ("weekly", "Friday", "17:05")
    assert view.params.controls["days"].value == "30"
    view.often.value, view.cron.value, view.trading_days.value = "cron", "*/15 9-16 * * 1-5", True
    view.save.click()
    [changed] = house.schedules
    assert (changed.id, changed.cron, changed.trading_days_only) == (kept.id, "*/15 9-16 * * 1-5", True)

    house.press("schedules", "run", kept.id)
    assert house.queued()[-1] == ("run_scheduled_report", {"schedule_id": kept.id})
    house.press("schedules", "pause", kept.id)
    assert house.view.schedules.rows[0]["state"] == "‖ paused"
    house.press("schedules", "run", kept.id)
    assert house.queued()[-1][0] == "run_report_now", "a paused schedule runs as by hand"
    with house.uow() as work:
        long_ago = datetime.now(UTC) - timedelta(days=40)
        work.session.execute(update(ReportSchedule).values(next_run_at=long_ago))
        work.commit()
    house.press("schedules", "resume", kept.id)
    assert house.schedules[0].next_run_at > datetime.now(UTC), "what was due in between is left out"
    house.press("schedules", "delete", kept.id)
    assert house.schedules == [] and "What it has made stays" in house.said


def test_the_form_says_which_field_is_wrong(house: House) -> None:
    view = house.view
    view.params.controls["days"].value = "many"
    assert "Days" in view.blocker.value and view.run.disabled and view.save.disabled
    view.params.controls["days"].value = "90"
    view.params.controls["settings"].value = "fast"
    assert "settings" in view.blocker.value
    view.params.controls["settings"].value = '{"fast": 3}'
    view.at.value = "25:00"
    assert "16:30" in view.blocker.value and not view.run.disabled, "it can be run now all the same"
    view.at.value, view.timezone.value = "8:30", "Mars/Base"
    assert "America/New_York" in view.blocker.value
    view.timezone.value, view.often.value, view.cron.value = "UTC", "cron", "every day"
    assert "five fields" in view.blocker.value


def test_the_address_fills_the_form_in(house: House) -> None:
    house.model.restore({"report": "small", "p.symbol": "IBM", "p.period": "1mo", "often": "daily", "at": "08:00"})
    assert house.model.tab == "new"
    assert (house.view.params.controls["symbol"].value, house.view.params.controls["period"].value) == ("IBM", "1mo")
    assert dict(house.model.query) == {
        "tab": "new", "report": "small", "p.symbol": "IBM", "p.period": "1mo", "often": "daily", "at": "08:00",
    }  # fmt: skip
    house.model.restore({"report": "nothing"})
    assert "'nothing' is not known" in house.said


def test_another_users_schedules_are_out_of_reach(house: House, make_user: Callable[..., User]) -> None:
    house.view.save.click()
    [kept] = house.schedules
    other = make_user("mallory").id
    with house.uow() as work:
        for act in (
            lambda: report_control.run_schedule_now(work, other, kept.id),
            lambda: report_control.set_schedule_active(work, other, kept.id, False),
            lambda: report_control.update_schedule(work, other, kept.id, "small", "0 8 * * *"),
        ):
            with pytest.raises(NotFound):
                act()
        assert report_control.view_runs(work, other) == []


def test_a_path_that_leads_out_of_the_reports_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "reports").mkdir()
    (tmp_path / "secret.html").write_text("secret")
    for path in ("../secret.html", "reports/../secret.html", "secret.html", "/etc/passwd", None, ""):
        assert report_files.beside(tmp_path, path, "html") is None
    (tmp_path / "reports" / "link.html").symlink_to(tmp_path / "secret.html")
    assert report_files.beside(tmp_path, "reports/link.html", "html") is None


@pytest.mark.parametrize(
    ("form", "cron"),
    [
        ({"often": "daily", "at": "08:00"}, "0 8 * * *"),
        ({"often": "weekdays", "at": "16:30"}, "30 16 * * 1-5"),
        ({"often": "weekly", "day": "Sunday", "at": "00:05"}, "5 0 * * 0"),
        ({"often": "monthly", "date": "28", "at": "23:59"}, "59 23 28 * *"),
        ({"often": "cron", "cron": "*/5 * * * *"}, "*/5 * * * *"),
    ],
)
def test_the_simple_form_and_cron_say_the_same(form: dict[str, str], cron: str) -> None:
    assert times.to_cron(form) == cron
    assert times.from_cron(cron) == form


def test_a_day_that_not_every_month_has_is_refused() -> None:
    with pytest.raises(InvalidInput, match="1 to 28"):
        times.to_cron({"often": "monthly", "date": "31", "at": "08:00"})
    assert times.from_cron("0 8 31 * *") == {"often": "cron", "cron": "0 8 31 * *"}
    assert times.from_cron("99 8 * * *")["often"] == "cron"
