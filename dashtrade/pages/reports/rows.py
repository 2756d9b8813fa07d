"""Rows and columns of the reports page."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from dashtrade.pages.reports.model import Overview, value_text
from dashtrade.pages.reports.times import in_words
from dashtrade.pages.widgets.table import Column, action, link

RUNS = (
    Column("status", "State", "badge"),
    Column("title", "Report"),
    Column("page", "Page", "link"),
    Column("notebook", "Notebook", "link"),
    Column("started", "Began", "time"),
    Column("seconds", "Seconds", "number", 1),
    Column("actions", "Actions", "actions"),
    Column("parameters", "Parameters", help="Those that differ from the report's own"),
    Column("schedule", "Schedule", help="Which schedule started it; by hand where there is none"),
    Column("error", "Error"),
)
SCHEDULES = (
    Column("state", "State", "badge"),
    Column("title", "Name"),
    Column("report", "Report"),
    Column("when", "Runs"),
    Column("next", "Next", "time"),
    Column("last", "Last", "time"),
    Column("outcome", "Last run", "badge"),
    Column("actions", "Actions", "actions"),
    Column("parameters", "Parameters", help="Those that differ from the report's own"),
)
_STATES = {"queued": ("… waiting", "warn"), "running": ("▶ running", "accent"), "done": ("✓ done", "good"),
           "failed": ("✕ failed", "bad")}  # fmt: skip


def run_rows(seen: Overview, known: Mapping[str, Any]) -> list[dict[str, Any]]:
    rows = []
    for run in seen.runs:
        text, tone = _STATES[run.status]
        files = seen.files.get(run.id, ())
        seconds = (run.finished_at - run.started_at).total_seconds() if run.finished_at and run.started_at else None
        title = _title(run.report, known)
        again = [action("again", "Run again")] if run.report in known else []
        rows.append({
            "id": run.id, "name": f"{title}, run {run.id}", "status": text, "title": title,
            "parameters": _parameters(run, known), "schedule": run.schedule or "by hand",
            "started": run.started_at, "seconds": seconds,
            "page": link("Open", f"reports/{run.id}.html") if "html" in files else None,
            "notebook": link("Download", f"reports/{run.id}.ipynb") if "ipynb" in files else None,
            "error": run.error, "tones": {"status": tone},
            "actions": [action("log", "Log"), *(again if run.status in ("done", "failed") else [])],
        })  # fmt: skip
    return rows


def schedule_rows(seen: Overview, known: Mapping[str, Any]) -> list[dict[str, Any]]:
    newest = {run.schedule_id: run for run in reversed(seen.runs) if run.schedule_id is not None}
    rows = []
    for s in seen.schedules:
        last = newest.get(s.id)
        outcome = _STATES[last.status] if last is not None else ("–", "plain")
        rows.append({
            "id": s.id, "name": s.name, "title": s.name, "state": "● on" if s.is_active else "‖ paused",
            "report": _title(s.report, known),
            "when": in_words(s.cron, s.timezone, trading_days_only=s.trading_days_only),
            "next": s.next_run_at if s.is_active else None, "last": s.last_run_at, "outcome": outcome[0],
            "parameters": _parameters(s, known),
            "tones": {"state": "good" if s.is_active else "plain", "outcome": outcome[1]},
            "actions": [
                action("run", "Run now"),
                action("pause", "Pause") if s.is_active else action("resume", "Resume"),
                action("edit", "Edit"), action("delete", "Delete", "danger"),
            ],
        })  # fmt: skip
    return rows


def log_html(seen: Overview, number: int, known: Mapping[str, Any]) -> str:
    """What is known of one run: when it waited, began and ended, with what, and the error in full."""
    run = next((r for r in seen.runs if r.id == number), None)
    if run is None:
        return ""
    lines = [f"{run.created_at:%Y-%m-%d %H:%M:%S} UTC  queued"]
    if run.started_at:
        lines.append(f"{run.started_at:%Y-%m-%d %H:%M:%S} UTC  began")
    if run.finished_at:
        lines.append(f"{run.finished_at:%Y-%m-%d %H:%M:%S} UTC  {run.status}")
    lines.append(f"parameters  {_parameters(run, known) or 'as the report has them'}")
    if run.error:
        lines += ["", run.error]
    title = f"{_title(run.report, known)}, run {run.id}"
    return f'<h2>{escape(title)}</h2><div class="dt-copy" role="log">{escape(chr(10).join(lines))}</div>'


def _title(name: str, known: Mapping[str, Any]) -> str:
    return str(known[name].title) if name in known else name


def _parameters(asked: Any, known: Mapping[str, Any]) -> str:
    """What differs from the report's own values, in the order the report names them."""
    names = list(known[asked.report].parameters) if asked.report in known else sorted(asked.parameters)
    return ", ".join(f"{name} {value_text(asked.parameters[name])}" for name in names if name in asked.parameters)
