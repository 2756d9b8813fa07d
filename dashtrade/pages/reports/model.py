"""State and actions of the reports page. Services come in as callables that know the user; no widgets here."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import traitlets as t

from dashtrade.errors import DashTradeError, InvalidInput, NotFound
from dashtrade.pages.background import Background, inline
from dashtrade.pages.fields import FieldSpec, shown
from dashtrade.pages.guard import Message, describe, sentence
from dashtrade.pages.model import PageModel
from dashtrade.pages.reports import times

TABS = {"runs": "Runs", "new": "New report", "schedules": "Schedules"}
WHEN: Mapping[str, str] = {
    "name": "", "often": times.WEEKDAYS, "at": "16:30", "day": "Friday", "date": "1", "cron": "30 16 * * 1-5",
    "timezone": "America/New_York", "trading_days": "yes",
}  # fmt: skip
PREFIX = "p."  # of a report's parameters among the form's fields


@dataclass(frozen=True, slots=True)
class ReportsServices:
    """What the page needs done, for the signed-in user. ``reports`` gives each report by name, with its title and its
    parameters' defaults; ``files`` which of a run's files are there; ``choices`` what parameters of a name may hold."""

    reports: Callable[[], Mapping[str, Any]]
    check: Callable[[Any, Mapping[str, Any]], Mapping[str, Any]]
    next_time: Callable[..., datetime]
    list_schedules: Callable[[], Sequence[Any]]
    list_runs: Callable[[], Sequence[Any]]
    files: Callable[[Any], Sequence[str]]
    run_now: Callable[[str, Mapping[str, Any]], int]
    run_schedule_now: Callable[[int], None]
    add_schedule: Callable[..., Any]
    update_schedule: Callable[..., Any]
    set_active: Callable[[int, bool], None]
    remove: Callable[[int], None]
    remember: Callable[[Mapping[str, str]], None]
    choices: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Overview:
    """What the tables show, read at one moment; ``files`` by the run's number."""

    schedules: tuple[Any, ...] = ()
    runs: tuple[Any, ...] = ()
    files: Mapping[int, Sequence[str]] = field(default_factory=dict)


class ReportsModel(PageModel):
    """A form that runs a report now or keeps a schedule, the schedules, and what has run. ``draft`` is what the form
    holds, as text; ``editing`` the schedule it changes, 0 for a new one."""

    tab: str = t.Unicode("runs")  # type: ignore[assignment]
    overview: Overview = t.Any(Overview())  # type: ignore[assignment]
    loaded: bool = t.Bool(False)  # type: ignore[assignment]
    draft: Mapping[str, str] = t.Any({})  # type: ignore[assignment]
    editing: int = t.Int(0)  # type: ignore[assignment]
    shown_run: int = t.Int(0)  # type: ignore[assignment]
    spoken: str = t.Unicode("")  # type: ignore[assignment]
    run_blockers: tuple[str, ...] = t.Any(())  # type: ignore[assignment]
    query: Mapping[str, str] = t.Any({})  # type: ignore[assignment]

    def __init__(self, services: ReportsServices, *, background: Background = inline, **traits: Any) -> None:
        self._services = services
        self._reading = self._troubled = False
        self._started: set[int] = set()
        self.reports: Mapping[str, Any] = dict(services.reports())
        super().__init__(background=background, **traits)
        self.set_draft({})

    def restore(self, values: Mapping[str, str]) -> None:
        """Takes a query or the last visit; a report's name, or fields of the form, open it."""
        problem = None
        given = {k: v for k, v in values.items() if k in ("report", *WHEN) or k.startswith(PREFIX)}
        if given.get("report", next(iter(self.reports), "")) not in self.reports:
            problem = InvalidInput("report", f"{given['report'][:40]!r} is not known.", allowed=tuple(self.reports))
            given = {}
        if given.get("often", times.DAILY) not in times.OFTEN or given.get("day", "Friday") not in times.DAYS:
            problem = problem or InvalidInput("often", "is not known.", allowed=tuple(times.OFTEN))
            given = {k: v for k, v in given.items() if k not in ("often", "day")}
        self.set_draft(given)
        tab = values.get("tab", "new" if given else "runs")
        if tab in TABS:
            self.tab = tab
        else:
            problem = problem or InvalidInput("tab", f"{tab[:40]!r} is not known.", allowed=tuple(TABS))
        if problem is not None:
            self.say(describe(problem))

    # ------------------------------------------------------------------ reading

    def refresh(self) -> None:
        """Reads everything off the event loop; skipped while a read is under way, a failure is said once."""
        if self._reading:
            return
        self._reading = True

        def done(outcome: Any) -> None:
            self._reading = False
            if outcome.error is None:
                if self._troubled:
                    self.say(Message("success", "Connected again."))
                self._troubled, self.overview, self.loaded = False, outcome.value, True
                self._say_what_ended()
            elif not self._troubled:
                self._troubled = True
                self.say(describe(outcome.error))

        self._background(lambda _post: self._read(), self.guard(done))

    def _read(self) -> Overview:
        runs = tuple(self._services.list_runs())
        files = {run.id: tuple(self._services.files(run)) for run in runs}
        return Overview(tuple(self._services.list_schedules()), runs, files)

    def _say_what_ended(self) -> None:
        """A run that was started here and has ended since is told about in place."""
        for run in self.overview.runs:
            if run.id in self._started and run.status in ("done", "failed"):
                self._started.discard(run.id)
                name = self.reports[run.report].title if run.report in self.reports else run.report
                if run.status == "done":
                    self.say(Message("success", f"{name}, run {run.id}, is ready: open its page below."))
                else:
                    self.say(Message("error", f"{name}, run {run.id}, failed. {run.error or ''}".strip()))

    @property
    def under_way(self) -> bool:
        """Whether something waits or runs, so that it is worth looking often."""
        return any(run.status in ("queued", "running") for run in self.overview.runs)

    # ------------------------------------------------------------------ the form

    def fields(self, name: str) -> tuple[FieldSpec, ...]:
        """The form of a report's parameters, from their defaults."""
        chosen = self.reports.get(name)
        known = self._services.choices
        return () if chosen is None else tuple(_field(key, value, known) for key, value in chosen.parameters.items())

    def set_draft(self, raw: Mapping[str, str]) -> None:
        """What the form holds now; says in words when it runs, or why it cannot."""
        name = raw.get("report") or next(iter(self.reports), "")
        own = {f"{PREFIX}{f.name}": shown_text(f) for f in self.fields(name)}
        known = {"report": name, **WHEN, **own}
        self.draft = {key: str(raw.get(key, default)) for key, default in known.items()}
        self.run_blockers = self._reasons(self._parameters)
        if not self.reports:
            self.run_blockers = ("No report is installed: the folder notebooks/reports is empty.",)
        due = None
        timing: tuple[str, ...] = ()
        try:
            due = self._due()
        except DashTradeError as error:
            timing = (sentence(error),)
        self.blockers = (*self.run_blockers, *timing)
        self.spoken = "" if due is None else self._spoken(due)
        self._write_query()

    def _reasons(self, work: Callable[[], Any]) -> tuple[str, ...]:
        try:
            work()
        except DashTradeError as error:
            return (sentence(error),)
        return ()

    def _parameters(self) -> Mapping[str, Any]:
        """The chosen values that differ from the report's own, in their types."""
        chosen = self.reports.get(self.draft["report"])
        if chosen is None:
            raise InvalidInput("report", f"{self.draft['report'][:40]!r} is not known.", allowed=tuple(self.reports))
        given: dict[str, Any] = {}
        for spec in self.fields(chosen.name):
            text = self.draft[f"{PREFIX}{spec.name}"]
            if isinstance(chosen.parameters[spec.name], dict) and not text.strip():
                continue
            given[spec.name] = spec.parse(text == "True" if spec.kind == "bool" else text)
        checked = self._services.check(chosen, {k: v for k, v in given.items() if v is not None})
        return {k: v for k, v in checked.items() if v != chosen.parameters[k]}

    def _due(self) -> datetime:
        trading = self.draft["trading_days"] == "yes"
        cron = times.to_cron(self.draft)
        return self._services.next_time(cron, self.draft["timezone"], datetime.now(UTC), trading_days_only=trading)

    def _spoken(self, due: datetime) -> str:
        trading = self.draft["trading_days"] == "yes"
        words = times.in_words(times.to_cron(self.draft), self.draft["timezone"], trading_days_only=trading)
        return f"{words}. First at {due:%a %d %b %Y, %H:%M} UTC."

    def clear(self) -> None:
        self.editing = 0
        self.set_draft({"report": self.draft["report"]})
        self.say(None)

    def run(self) -> None:
        """Queues the report of the form for the jobs worker."""
        if self.run_blockers:
            self.say(Message("warning", " ".join(self.run_blockers)))
            return
        self._begin(self.draft["report"], self._parameters())

    def _begin(self, name: str, parameters: Mapping[str, Any]) -> None:
        number = self._services.run_now(name, parameters)
        self._started.add(number)
        self.tab = "runs"
        self.say(Message("info", f"Run {number} is queued. It begins as soon as a jobs worker is free."))
        self.refresh()

    def save(self) -> None:
        """Keeps the schedule, or changes the one that is edited."""
        if self.blockers:
            self.say(Message("warning", " ".join(self.blockers)))
            return
        timing = {
            "name": self.draft["name"].strip() or None,
            "parameters": self._parameters(),
            "timezone": self.draft["timezone"],
            "trading_days_only": self.draft["trading_days"] == "yes",
        }
        cron = times.to_cron(self.draft)
        if self.editing:
            self._services.update_schedule(self.editing, self.draft["report"], cron, **timing)
        else:
            self._services.add_schedule(self.draft["report"], cron, **timing)
        said = f"{'Changed' if self.editing else 'Saved'}. {self.spoken}"
        self.editing = 0
        self.set_draft({"report": self.draft["report"]})
        self.tab = "schedules"
        self.say(Message("success", said))
        self.refresh()

    # ------------------------------------------------------------------ rows

    def schedule_action(self, name: str, row: str) -> None:
        schedule = next((s for s in self.overview.schedules if str(s.id) == row), None)
        if schedule is None:
            raise NotFound("This schedule is gone. It was deleted somewhere else.")
        if name == "run":
            self._services.run_schedule_now(schedule.id)
            self.tab = "runs"
            self.say(Message("success", f"{schedule.name} is queued. It begins as soon as a jobs worker is free."))
        elif name in ("pause", "resume"):
            self._services.set_active(schedule.id, name == "resume")
            self.say(None)
        elif name == "delete":
            self._services.remove(schedule.id)
            if self.editing == schedule.id:
                self.clear()
            self.say(Message("success", f"{schedule.name} is deleted. What it has made stays."))
        elif name == "edit":
            if schedule.report not in self.reports:
                raise NotFound(f"The report {schedule.report} is not installed any more. Delete the schedule.")
            self.editing = schedule.id
            self.set_draft(self._draft_of(schedule))
            self.tab = "new"
            self.say(None)
            return
        else:
            raise InvalidInput("action", f"{name!r} is not known.")
        self.refresh()

    def _draft_of(self, schedule: Any) -> dict[str, str]:
        own = {f"{PREFIX}{name}": value_text(value) for name, value in schedule.parameters.items()}
        return {
            "report": schedule.report,
            "name": schedule.name,
            "timezone": schedule.timezone,
            "trading_days": "yes" if schedule.trading_days_only else "no",
            **times.from_cron(schedule.cron),
            **own,
        }

    def run_action(self, name: str, row: str) -> None:
        run = next((r for r in self.overview.runs if str(r.id) == row), None)
        if run is None:
            raise NotFound("This run is gone.")
        if name == "log":
            self.shown_run = 0 if self.shown_run == run.id else run.id
        elif name == "again":
            if run.report not in self.reports:
                raise NotFound(f"The report {run.report} is not installed any more.")
            self._begin(run.report, run.parameters)
        else:
            raise InvalidInput("action", f"{name!r} is not known.")

    # ------------------------------------------------------------------ address

    @t.validate("tab")
    def _known_tab(self, proposal: Any) -> str:
        if proposal["value"] not in TABS:
            raise InvalidInput("tab", f"{proposal['value'][:40]!r} is not known.", allowed=tuple(TABS))
        return str(proposal["value"])

    @t.observe("tab")
    def _on_tab(self, _change: Any) -> None:
        self._write_query()
        self.attempt(self._services.remember, {"tab": self.tab})

    def _write_query(self) -> None:
        found = {"tab": self.tab}
        if self.tab == "new":
            own = {f"{PREFIX}{f.name}": shown_text(f) for f in self.fields(self.draft["report"])}
            plain = {**WHEN, **own}
            found.update({k: v for k, v in self.draft.items() if k == "report" or v != plain.get(k)})
        self.query = found


def _field(name: str, default: Any, known: Mapping[str, tuple[str, ...]]) -> FieldSpec:
    label = name.replace("_", " ").capitalize()
    if isinstance(default, str) and default in known.get(name, ()):
        return FieldSpec(name, label, "choice", default, choices=known[name], optional=default == "")
    if isinstance(default, bool):
        return FieldSpec(name, label, "bool", default)
    if isinstance(default, int):
        return FieldSpec(name, label, "int", default, help="A whole number")
    if isinstance(default, float):
        return FieldSpec(name, label, "float", default, help="A number")
    if isinstance(default, dict):
        return FieldSpec(name, label, "text", value_text(default), help='Such as {"fast": 9, "slow": 21}')
    tip = "Several with commas" if isinstance(default, list) else "May be left empty" if default == "" else ""
    return FieldSpec(name, label, "text", value_text(default), help=tip)


def shown_text(spec: FieldSpec) -> str:
    return str(bool(spec.default)) if spec.kind == "bool" else shown(spec.default)


def value_text(value: Any) -> str:
    """A parameter's value as it is typed."""
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, dict):
        return json.dumps(value) if value else ""
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return shown(value)
