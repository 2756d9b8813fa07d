"""Widgets of the reports page, linked to its model. No services here."""

from __future__ import annotations

from functools import partial
from html import escape
from typing import Any
from zoneinfo import available_timezones

import ipywidgets as w

from dashtrade.pages.reports import rows, times
from dashtrade.pages.reports.model import PREFIX, TABS, ReportsModel
from dashtrade.pages.widgets.bits import field, heading, help_panel, html, panel, row, show_if, stack, styled
from dashtrade.pages.widgets.form import ParamForm
from dashtrade.pages.widgets.table import DataTable
from dashtrade.pages.widgets.view import PageView

EMPTY = {
    "runs": "Nothing has run yet. Choose a report under New report and run it.",
    "schedules": "No schedule yet. Choose a report and a time under New report.",
}


class ReportsView(PageView):
    """Tabs: what has run, the form, the schedules."""

    model: ReportsModel

    def __init__(self, model: ReportsModel, *, help_text: str = "") -> None:
        super().__init__(model, "reports", "Reports")
        self.tabs = {key: w.Button(description=title) for key, title in TABS.items()}
        self.runs = DataTable(rows.RUNS, caption="Runs", filename="report-runs")
        self.schedules = DataTable(rows.SCHEDULES, caption="Schedules", filename="report-schedules")
        self.log = html("")
        self.report = w.Dropdown(options=[(each.title, name) for name, each in model.reports.items()])
        self.params = ParamForm(())
        self.name = w.Text(placeholder="the report's own")
        self.often = w.Dropdown(options=[(text, key) for key, text in times.OFTEN.items()])
        self.at = w.Text(placeholder="16:30")
        self.day = w.Dropdown(options=times.DAYS)
        self.date = w.Text(placeholder="1 to 28")
        self.cron = w.Text(placeholder="30 16 * * 1-5")
        self.timezone = w.Combobox(options=sorted(available_timezones()), placeholder="America/New_York")
        self.trading_days = w.Checkbox(description="Only on days the New York exchange is open", indent=False)
        self.run = w.Button(description="Run now", button_style="primary")
        self.save, self.clear = w.Button(), w.Button()
        self.spoken, self.blocker, self.form_title = html(""), html(""), html("")
        self._controls = {
            "report": self.report, "name": self.name, "often": self.often, "at": self.at, "day": self.day,
            "date": self.date, "cron": self.cron, "timezone": self.timezone,
        }  # fmt: skip
        self._filling, self._shown = False, ""
        self._build(help_text)
        self._link()

    def _build(self, help_text: str) -> None:
        chosen = field("Report", self.report)
        what = panel(self.form_title, row(chosen), self.params.widget, row(self.run))
        self.times = {
            "at": field("At", self.at, "Hours and minutes, such as 16:30"),
            "day": field("On", self.day),
            "date": field("Day of the month", self.date),
            "cron": field("Cron line", self.cron, "Minute, hour, day, month, weekday"),
        }
        when = panel(
            heading("Again and again"),
            row(field("Name", self.name), field("Runs", self.often), *self.times.values(),
                field("Clock of", self.timezone, "A time zone, such as Europe/London")),
            self.trading_days,
            self.spoken,
            self.blocker,
            row(self.save, self.clear),
        )  # fmt: skip
        self.log_box = panel(self.log)
        self.sections = {
            "runs": stack(panel(self.runs), self.log_box),
            "new": stack(what, when),
            "schedules": panel(self.schedules),
        }
        bar = styled(w.Box(list(self.tabs.values())), "dt-tabs")
        head = stack(self.messages.widget, self.progress.widget, bar)
        self.widget = self.frame(head, *self.sections.values(), help_panel(help_text))

    def _link(self) -> None:
        model = self.model
        for key, button in self.tabs.items():
            self.click(button, partial(setattr, model, "tab", key))
        for control in (*self._controls.values(), self.trading_days):
            control.observe(model.guard(self._typed), "value")
        self.click(self.run, model.run)
        self.click(self.save, model.save)
        self.click(self.clear, model.clear)
        self.runs.on_action(model.guard(model.run_action))
        self.schedules.on_action(model.guard(model.schedule_action))
        self.follow("tab", self._draw_tab)
        self.follow(["draft", "editing"], self._draw_draft)
        self.follow(["spoken", "blockers", "run_blockers"], self._draw_verdict)
        self.follow(["overview", "loaded", "shown_run"], self._draw_overview)
        self.follow("query", lambda: self.shell.write_query(model.query))

    def _typed(self, _change: Any) -> None:
        """The form as it is now; another report begins with its own parameters."""
        if self._filling:
            return
        raw = {name: str(control.value) for name, control in self._controls.items() if control.value is not None}
        raw["trading_days"] = "yes" if self.trading_days.value else "no"
        if raw.get("report") == self.model.draft["report"]:
            raw.update({f"{PREFIX}{name}": str(control.value) for name, control in self.params.controls.items()})
        self.model.set_draft(raw)

    def _draw_tab(self) -> None:
        for key, button in self.tabs.items():
            on = key == self.model.tab
            (button.add_class if on else button.remove_class)("dt-on")
            show_if(self.sections[key], on)

    def _draw_draft(self) -> None:
        draft, editing = self.model.draft, self.model.editing
        self._filling = True
        try:
            for name, control in self._controls.items():
                if name == "report" and draft[name] not in self.model.reports:
                    continue
                if control.value != draft[name]:
                    control.value = draft[name]
            self.trading_days.value = draft["trading_days"] == "yes"
            self._draw_params(draft)
        finally:
            self._filling = False
        for name, control in self.times.items():
            wanted = {"at": draft["often"] != times.CRON, "cron": draft["often"] == times.CRON,
                      "day": draft["often"] == times.WEEKLY, "date": draft["often"] == times.MONTHLY}  # fmt: skip
            show_if(control, wanted[name])
        self.form_title.value = f"<h2>{'Edit schedule' if editing else 'What'}</h2>"
        self.tabs["new"].description = "Edit schedule" if editing else TABS["new"]
        self.save.description = "Save changes" if editing else "Save schedule"
        self.clear.description = "Stop editing" if editing else "Clear"

    def _draw_params(self, draft: Any) -> None:
        if self._shown != draft["report"]:
            self._shown = draft["report"]
            self.params.set(self.model.fields(draft["report"]))
            for control in self.params.controls.values():
                control.observe(self.model.guard(self._typed), "value")
        for name, control in self.params.controls.items():
            text = draft[f"{PREFIX}{name}"]
            value: Any = text == "True" if isinstance(control, w.Checkbox) else text
            if isinstance(control, w.Dropdown) and value not in control.options:
                continue
            if control.value != value:
                control.value = value

    def _draw_verdict(self) -> None:
        text = " ".join(self.model.blockers)
        self.blocker.value = f'<p class="dt-blocker" role="status">⚠ {escape(text)}</p>' if text else ""
        show_if(self.blocker, bool(text))
        self.spoken.value = f'<p role="status">{escape(self.model.spoken)}</p>' if self.model.spoken else ""
        show_if(self.spoken, bool(self.model.spoken))
        self.save.disabled = bool(text)
        self.run.disabled = bool(self.model.run_blockers)

    def _draw_overview(self) -> None:
        seen, known = self.model.overview, self.model.reports
        for table, empty in EMPTY.items():
            getattr(self, table).empty = empty if self.model.loaded else "Loading…"
        self.runs.show(rows.run_rows(seen, known))
        self.schedules.show(rows.schedule_rows(seen, known))
        self.log.value = rows.log_html(seen, self.model.shown_run, known)
        show_if(self.log_box, bool(self.log.value))
