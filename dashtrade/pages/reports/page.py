"""The reports page, put together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dashtrade.domain.users import Role
from dashtrade.pages.context import PageContext
from dashtrade.pages.registry import page

HELP = (
    "A report is a notebook that is run with your values and kept as a page without code. Run it now, or keep a "
    "schedule: the jobs worker starts it, one run of a schedule at a time, within the limits of time and memory that "
    "the operator has set. When it is ready, or has failed, the bell and your channels tell you. A run that failed "
    "keeps the page with the error and the notebook as far as it came. Times are on the clock you choose; only on "
    "trading days leaves out weekends and holidays of the New York exchange."
)
BEAT_SECONDS = 2.0
CALM_BEATS = 5  # so many beats between two looks while nothing runs


@page("reports", title="Reports", role=Role.USER, order=70, icon="▥", help=HELP)
def build(context: PageContext) -> object:
    from dashtrade.bootstrap import runtime
    from dashtrade.domain.market import Interval, Period
    from dashtrade.domain.strategy import Direction
    from dashtrade.pages.background import every, in_thread
    from dashtrade.pages.memory import Memory
    from dashtrade.pages.reports.model import ReportsModel, ReportsServices
    from dashtrade.pages.reports.view import ReportsView
    from dashtrade.pages.sources import own_market
    from dashtrade.services import report_control, report_files, report_schedules, reports
    from dashtrade.strategies import PRESETS

    rt, user_id = runtime(), context.user_id
    memory = Memory(context, "reports")

    def mine(service: Callable[..., Any]) -> Callable[..., Any]:
        """The service for the signed-in user, each call in a unit of work of its own."""

        def call(*args: Any, **kw: Any) -> Any:
            with rt.uow() as uow:
                return service(uow, user_id, *args, **kw)

        return call

    def files(run: Any) -> list[str]:
        kinds = (report_files.HTML, report_files.NOTEBOOK)
        return [k for k in kinds if report_files.beside(rt.settings.data_dir, run.output_path, k) is not None]

    services = ReportsServices(
        reports=reports.reports,
        check=reports.check_parameters,
        next_time=report_schedules.next_time,
        list_schedules=mine(report_schedules.list_schedules),
        list_runs=mine(report_control.view_runs),
        files=files,
        run_now=mine(report_control.run_now),
        run_schedule_now=mine(report_control.run_schedule_now),
        add_schedule=mine(report_schedules.add_schedule),
        update_schedule=mine(report_control.update_schedule),
        set_active=mine(report_control.set_schedule_active),
        remove=mine(report_schedules.remove_schedule),
        remember=memory.save,
        choices={
            "period": tuple(p.value for p in Period),
            "interval": tuple(i.value for i in Interval),
            "direction": tuple(d.value for d in Direction),
            "strategy": tuple(PRESETS),
            "source": ("", *own_market(context).sources()),
        },
    )
    model = ReportsModel(services, background=in_thread)
    view = ReportsView(model, help_text=HELP)
    model.restore(context.query or memory.load())
    model.refresh()
    beats = 0

    def beat() -> None:
        nonlocal beats
        beats += 1
        if view.shell.visible and (model.under_way or beats % CALM_BEATS == 0):
            model.refresh()

    every(BEAT_SECONDS, beat)
    return view.widget
