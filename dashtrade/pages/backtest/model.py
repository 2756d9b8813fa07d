"""State and actions of the backtest page. Services come in as callables; no widgets here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import traitlets as t

from dashtrade.domain.market import HistoryRequest
from dashtrade.domain.strategy import Rule, Strategy
from dashtrade.errors import DashTradeError, InvalidInput, SourceUnreachable
from dashtrade.pages.background import Background, inline
from dashtrade.pages.backtest import inputs
from dashtrade.pages.backtest.inputs import ALWAYS, DATES, DEFAULTS, OWN, RULES, RUN, Known, saved_key
from dashtrade.pages.backtest.loading import load, strategy_of
from dashtrade.pages.backtest.report import Report, make_report
from dashtrade.pages.guard import Message, describe, sentence
from dashtrade.pages.model import Job, PageModel
from dashtrade.services.backtests import RunRequest

if TYPE_CHECKING:
    from dashtrade.backtest.result import BacktestResult
    from dashtrade.services.backtest_runs import StoredRun
    from dashtrade.strategies import Preset

SAMPLE = "sample"
TABS = {
    "overview": "Overview",
    "months": "Months",
    "trades": "Trades",
    "statistics": "Statistics",
    "evidence": "Evidence",
    "symbols": "Symbols",
    "sweep": "Sweep",
    "walk": "Walk-forward",
    "runs": "Runs",
}
Run = Callable[..., "BacktestResult"]


class BacktestServices:
    """What the page needs done. ``run(request, progress=, cancelled=, recorded=)`` fetches the bars and runs the
    backtest; ``saved()`` gives the user's strategies by name; ``watchlists()`` the names of the user's lists and
    ``watched(name)`` the symbols of one ("" for all that is watched); ``recorded(number)`` the strategy of a run."""

    def __init__(
        self,
        *,
        run: Run,
        presets: Mapping[str, Preset],
        parse_rule: Callable[[str], Rule],
        check: Callable[[HistoryRequest, str | None], None],
        sources: Sequence[str],
        remember: Callable[[Mapping[str, str]], None],
        saved: Callable[[], Mapping[str, Strategy]] = dict,
        save_strategy: Callable[[Strategy], Strategy] = lambda strategy: strategy,
        watchlists: Callable[[], Sequence[str]] = tuple,
        watched: Callable[[str], Sequence[str]] = lambda name: (),
        make_report: Callable[[Mapping[str, Any]], int] = lambda parameters: 0,
        recorded: Callable[[int], Strategy] | None = None,
    ) -> None:
        self.run, self.presets, self.parse_rule = run, presets, parse_rule
        self.check, self.sources, self.remember = check, tuple(sources), remember
        self.saved, self.save_strategy = saved, save_strategy
        self.watchlists, self.watched, self.make_report = watchlists, watched, make_report
        self.recorded = recorded


class BacktestModel(PageModel):
    """Texts in, a Report out. ``values`` are the form's fields (``inputs.DEFAULTS``), ``settings`` what differs from a
    preset's own settings. ``blockers`` says at every moment why the backtest cannot run. ``outcome`` is the result that
    ``report`` shows, ``run_id`` its number among the recorded runs (0 for none)."""

    tab: str = t.Unicode("overview")  # type: ignore[assignment]
    values: Mapping[str, str] = t.Any({})  # type: ignore[assignment]
    settings: Mapping[str, str] = t.Any({})  # type: ignore[assignment]
    saved: Mapping[str, Strategy] = t.Any({})  # type: ignore[assignment]
    report: Report | None = t.Instance(Report, allow_none=True)  # type: ignore[assignment]
    loaded: StoredRun | None = t.Any(None)  # type: ignore[assignment]
    query: Mapping[str, str] = t.Any({})  # type: ignore[assignment]

    def __init__(self, services: BacktestServices, *, background: Background = inline, **traits: Any) -> None:
        self._services = services
        self.outcome: BacktestResult | None = None
        self.ran: RunRequest | None = None
        self.run_id = 0
        self._restoring = False
        self._recorded: dict[str, Strategy] = {}
        super().__init__(background=background, values=dict(DEFAULTS), **traits)
        self.attempt(self.read_saved)
        self.observe(self._on_input, ["values", "settings"])
        self._block()

    # ------------------------------------------------------------------ the form

    @property
    def sources(self) -> tuple[str, ...]:
        return ("", *self._services.sources)

    @property
    def strategies(self) -> dict[str, str]:
        """Key → label of every preset, of the user's saved strategies, and of rules typed here."""
        mine = {saved_key(name): f"{name} (mine)" for name in self.saved}
        runs = {key: f"{s.name} (of run {key.removeprefix(RUN)})" for key, s in self._recorded.items()}
        return {key: p.label for key, p in self._services.presets.items()} | mine | runs | {OWN: "Own rules"}

    @property
    def mine(self) -> dict[str, Strategy]:
        """The user's saved strategies, and those of recorded runs that were loaded, by their key in the form."""
        return {saved_key(name): strategy for name, strategy in self.saved.items()} | self._recorded

    @property
    def preset(self) -> Preset | None:
        presets, key = self._services.presets, self.values["strategy"]
        return presets[key] if key in presets else None  # noqa: SIM401 - a registry's get() raises

    @property
    def own_strategy(self) -> Strategy | None:
        """The saved strategy, or that of a recorded run, that is chosen."""
        return self._own_of(self.values["strategy"])

    def _own_of(self, key: str) -> Strategy | None:
        return None if key in self._services.presets else self.mine.get(key)

    def read_saved(self) -> None:
        self.saved = dict(self._services.saved())

    def put(self, name: str, text: str) -> None:
        """One field of the form. A strategy that says its own size brings it along."""
        if name not in DEFAULTS:
            raise InvalidInput("field", f"{name[:40]!r} is not a field.", allowed=DEFAULTS)
        if self.values[name] == text:
            return
        changed = {**self.values, name: text}
        if name == "strategy":
            self._restoring = True
            self.settings = {}
            self._restoring = False
            chosen = self._own_of(text)
            if chosen is not None and chosen.size:
                changed["size"] = chosen.size
            if chosen is not None and chosen.long_entry is None:
                changed["direction"] = "short_only"
        self.values = changed

    def restore(self, values: Mapping[str, str]) -> None:
        """Takes the values of a query or of the last visit; what is wrong with them shows as a blocker."""
        self.attempt(self._fetch_recorded, values.get("strategy", ""))
        self._restoring = True
        self.values = {name: values.get(name, text) for name, text in DEFAULTS.items()}
        chosen = self.own_strategy
        if chosen is not None and chosen.size and "size" not in values:
            self.values = {**self.values, "size": chosen.size}
        known = {p.name for p in self.preset.params} if self.preset else set()
        self.settings = {n.removeprefix("set_"): v for n, v in values.items() if n.removeprefix("set_") in known}
        if values.get("tab") in TABS:
            self.tab = values["tab"]
        self._restoring = False
        self._block()

    def add_symbol(self, text: str) -> None:
        """Puts a symbol behind those that are there."""
        there = inputs.symbols_of(self.values["symbols"]) if self.values["symbols"].strip() else ()
        self.put("symbols", ", ".join(dict.fromkeys((*there, *inputs.symbols_of(text)))))

    @property
    def watchlists(self) -> tuple[str, ...]:
        return tuple(self._services.watchlists())

    def use_watchlist(self, name: str) -> None:
        """The symbols of a watchlist instead of those that are there."""
        found = tuple(self._services.watched(name))
        if not found:
            called = f"list {name}" if name else "watchlist"
            raise InvalidInput("watchlist", f"your {called} is empty; add symbols on the page Analysis or Portfolio.")
        self.put("symbols", ", ".join(found))

    def request(self) -> RunRequest:
        """What the form asks for; InvalidInput says what is wrong with it."""
        from dashtrade.backtest.run import resolve
        from dashtrade.services.backtests import build

        known = Known(self._services.presets, self.mine, self._services.sources, self._services.parse_rule)
        try:
            request = inputs.request_of(self.values, self.settings, known)
            self._services.check(inputs.history_of(request), request.source)
            resolve(build(request, {"": None}))  # type: ignore[dict-item]  # what is wrong should not wait for the bars
        except InvalidInput as error:
            raise inputs.labelled(error) from None
        return request

    # ------------------------------------------------------------------ actions

    def run(self) -> None:
        """Fetches and runs off the event loop; the report comes when it is done."""
        self._block()
        if self.blockers:
            self.say(Message("warning", " ".join(self.blockers)))
            return
        request = self.request()

        def work(job: Job) -> tuple[RunRequest, BacktestResult, Report, int]:
            numbers: list[int] = []
            result = self._services.run(request, progress=job.report, cancelled=job.cancelled, recorded=numbers.append)
            return request, result, make_report(result), numbers[-1] if numbers else 0

        self.in_background(work, self._done, label="Starting…", failed=self._failed)

    def use_sample(self) -> None:
        """The remedy offered when no source can be reached."""
        self.put("source", SAMPLE)
        self.run()

    def show(self, result: BacktestResult, run_id: int = 0, request: RunRequest | None = None) -> None:
        """A result that was made elsewhere, such as a recorded run that was run again."""
        self.outcome, self.ran, self.run_id = result, request, run_id
        self.report = make_report(result)
        self.tab = "overview"

    def load_run(self, run: StoredRun) -> None:
        """The form that asks for a recorded run. InvalidInput says what the form has no field for."""
        loaded = load(run, self._services.presets, {saved_key(n): s for n, s in self.saved.items()},
                      self._services.sources)  # fmt: skip
        if loaded.values["strategy"].startswith(RUN):
            self._recorded = {**self._recorded, loaded.values["strategy"]: strategy_of(run)}
        self.restore({**loaded.values, **{f"set_{n}": v for n, v in loaded.settings.items()}})
        self._keep()
        self.loaded = run
        self.say(Message("success", f"The form has run {run.id}. Press Run backtest to run it."))

    def _fetch_recorded(self, key: str) -> None:
        """A recorded run's strategy that the address names."""
        number = key.removeprefix(RUN)
        if key.startswith(RUN) and number.isdecimal() and self._services.recorded is not None:
            self._recorded = {**self._recorded, key: self._services.recorded(int(number))}

    def take_settings(self, settings: Mapping[str, float]) -> None:
        """The row of a sweep into the form: a preset's settings and stops."""
        stops = {"stops.loss": "stop", "stops.profit": "target", "stops.trail": "trail", "stops.bars": "time_stop",
                 "stops.atr_loss": "stop", "stops.atr_profit": "target", "stops.atr_trail": "trail"}  # fmt: skip
        known = {p.name for p in self.preset.params} if self.preset else set()
        changed, own, left = dict(self.values), dict(self.settings), []
        for name, value in settings.items():
            if name in known:
                own[name] = f"{value:g}"
            elif name in stops:
                changed[stops[name]] = f"{value:g}atr" if ".atr_" in name else f"{value:g}"
            else:
                left.append(name)
        if left:
            raise InvalidInput(
                "settings", f"{', '.join(left)} cannot be set in this form; change the rules' own numbers instead."
            )
        self._restoring = True
        self.values = changed
        self._restoring = False
        self.settings = own
        self._block()

    def save_as_strategy(self, name: str) -> str:
        """Keeps the rules that the shown result came from, with its stops, among the user's strategies."""
        from dataclasses import replace

        if self.outcome is None:
            raise InvalidInput("strategy", "run a backtest first; what it ran is what is saved.")
        made = replace(self.outcome.strategy, name=name.strip(), size=self.values["size"].strip())
        kept = self._services.save_strategy(made)
        self.read_saved()
        return f"Saved as {kept.name}, version {kept.version}."

    def make_html_report(self) -> str:
        """Queues the printed report of what the form asks for; it is made by the jobs worker."""
        number = self._services.make_report(self.report_parameters())
        return f"Report {number} is being made. It will be in the list of reports, and the bell tells when it is ready."

    def report_parameters(self) -> dict[str, Any]:
        """The report's parameters for this form."""
        from dashtrade.services.backtest_texts import texts_of

        texts = texts_of(self.request())
        return {"symbol": texts.pop("symbols"), **texts}

    def notebook(self) -> tuple[str, str]:
        """(file name, text) of a notebook that makes the shown result again and compares the hashes."""
        from dashtrade.services.open_notebook import backtest_notebook

        if self.outcome is None:
            raise InvalidInput("notebook", "run a backtest first.")
        made = self.outcome.provenance
        known = "" if made["source"] == "unknown" else str(made["source"])
        text = backtest_notebook(
            self.outcome.request, self.outcome, source=known or None, interval=str(made["interval"])
        )
        first = next(iter(self.outcome.request.bars)).lower().replace("^", "").replace("/", "-")
        return f"backtest-{first}.ipynb", text

    # ------------------------------------------------------------------ inside

    def _on_input(self, _change: Any) -> None:
        if self._restoring:
            return
        self._block()
        self._keep()

    def _block(self) -> None:
        try:
            self.request()
        except DashTradeError as error:
            self.blockers = (sentence(error),)
        else:
            self.blockers = ()

    def _keep(self) -> None:
        """The address, and what the next visit begins with."""
        own, dates = self.values["strategy"] == OWN, self.values["period"] == DATES
        left_out = {n for n in RULES if not own} | {n for n in ("start", "end") if not dates}
        kept = {n: v for n, v in self.values.items() if n not in left_out and (n in ALWAYS or v != DEFAULTS[n])}
        if own:
            kept |= {n: self.values[n] for n in RULES}
        self.query = kept | {f"set_{n}": str(v) for n, v in self.settings.items()}
        self.attempt(self._services.remember, dict(self.query))

    def _done(self, made: tuple[RunRequest, BacktestResult, Report, int]) -> None:
        self.ran, self.outcome, report, self.run_id = made
        if self.tab in ("sweep", "walk", "runs"):
            self.tab = "overview"
        self.report = report
        self.say(None)
        self._keep()

    def _failed(self, error: Exception) -> None:
        message = describe(error)
        if isinstance(error, SourceUnreachable) and self.values["source"] != SAMPLE:
            message = Message(message.kind, message.text, "use_sample", "Use sample data")
        self.say(message)
