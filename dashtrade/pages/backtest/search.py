"""Sweeps and walk-forwards of the backtest page: what is varied over which values, and what came out. No widgets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import traitlets as t

from dashtrade.errors import DashTradeError, InvalidInput
from dashtrade.pages.background import Background, inline
from dashtrade.pages.backtest.model import BacktestModel
from dashtrade.pages.backtest.ranges import STOPS, Range, range_of, usual_range
from dashtrade.pages.backtest.search_reports import SweepReport, WalkReport, make_sweep_report, make_walk_report
from dashtrade.pages.guard import Message, sentence
from dashtrade.pages.model import Job, PageModel

if TYPE_CHECKING:
    from dashtrade.backtest.sweep import SweepResult
    from dashtrade.backtest.walkforward import WalkForwardResult, Windows
    from dashtrade.services.backtest_searches import Search

MOST_RANGES = 5
METHODS = {"grid": "All of them", "random": "At random", "optuna": "Learning (TPE)"}


class SearchServices:
    """``sweep(search, ...)`` and ``walk(search, windows, ...)`` fetch, search, count and keep; ``names(request)`` gives
    the settings that can be varied, with their value now (None for those that are off)."""

    def __init__(
        self,
        *,
        sweep: Callable[..., SweepResult],
        walk: Callable[..., WalkForwardResult],
        deflated: Callable[[SweepResult], tuple[int, float]],
    ) -> None:
        self.sweep, self.walk, self.deflated = sweep, walk, deflated


class SearchModel(PageModel):
    """Ranges of settings of the strategy in the page's form. Sweeps and walk-forwards share them."""

    ranges: tuple[Range, ...] = t.Any(())  # type: ignore[assignment]
    names: tuple[str, ...] = t.Any(())  # type: ignore[assignment]
    method: str = t.Unicode("grid")  # type: ignore[assignment]
    objective: str = t.Unicode("sharpe")  # type: ignore[assignment]
    trials: str = t.Unicode("200")  # type: ignore[assignment]
    count: int = t.Int(0)  # type: ignore[assignment]
    kind: str = t.Unicode("")  # type: ignore[assignment]
    report: SweepReport | None = t.Instance(SweepReport, allow_none=True)  # type: ignore[assignment]
    walk: WalkReport | None = t.Instance(WalkReport, allow_none=True)  # type: ignore[assignment]

    def __init__(
        self, page: BacktestModel, services: SearchServices, *, background: Background = inline, **traits: Any
    ) -> None:
        self._page, self._services = page, services
        self._strategy: object = None
        super().__init__(background=background, **traits)
        self.observe(lambda _change: self._block(), ["ranges", "method", "trials"])
        page.observe(self.guard(lambda _change: self._follow()), ["values", "settings", "blockers"])
        page.observe(self.guard(lambda _change: self._take_run()), "loaded")
        self._follow()

    # ------------------------------------------------------------------ ranges

    def add_range(self) -> None:
        """One more setting: the first that is not varied yet."""
        if len(self.ranges) >= MOST_RANGES:
            raise InvalidInput("sweep", f"{MOST_RANGES} settings at once are the most.")
        taken = {r.name for r in self.ranges}
        free = [n for n in self.names if n not in taken]
        if free:
            self.ranges = (*self.ranges, self._usual(free[0]))

    def remove_range(self, number: int) -> None:
        self.ranges = tuple(r for n, r in enumerate(self.ranges) if n != number)

    def put_range(self, number: int, **texts: str) -> None:
        """Changes one row; another setting brings its usual values."""
        row = self.ranges[number]
        changed = replace(row, **texts)
        if changed.name != row.name:
            if changed.name not in self.names:
                raise InvalidInput("sweep", f"{changed.name[:40]!r} cannot be varied.", allowed=self.names)
            changed = self._usual(changed.name)
        if changed != row:
            self.ranges = tuple(changed if n == number else r for n, r in enumerate(self.ranges))

    def parameters(self) -> dict[str, tuple[float, ...]]:
        if not self.ranges:
            raise InvalidInput("sweep", "add at least one setting to vary.")
        names = [r.name for r in self.ranges]
        if len(set(names)) < len(names):
            raise InvalidInput("sweep", "the same setting is there twice.")
        return {r.name: r.values() for r in self.ranges}

    # ------------------------------------------------------------------ searching

    def sweep(self) -> None:
        search = self._ready()
        if search is None:
            return

        def work(job: Job) -> SweepReport:
            result = self._services.sweep(search, progress=job.report, cancelled=job.cancelled)
            return make_sweep_report(result, self._services.deflated(result))

        self.kind = "sweep"
        self.in_background(work, self._swept, label="Starting the sweep…")

    def walk_forward(self, windows: Windows) -> None:
        search = self._ready()
        if search is None:
            return

        def work(job: Job) -> WalkReport:
            result = self._services.walk(search, windows, progress=job.report, cancelled=job.cancelled)
            return make_walk_report(result, tuple(search.parameters))

        self.kind = "walk"
        self.in_background(work, self._walked, label="Starting the walk-forward…")

    def use_row(self, row: int) -> None:
        """Puts the settings of a sweep's row into the form."""
        if self.report is None:
            return
        settings = self.report.result.settings(row)
        self._page.take_settings(settings)
        words = ", ".join(f"{n} {v:g}" for n, v in settings.items())
        self._page.say(Message("success", f"The form has {words}. Press Run backtest to see it in full."))

    def _swept(self, report: SweepReport) -> None:
        self.report = report
        self.say(None)

    def _walked(self, report: WalkReport) -> None:
        self.walk = report
        self.say(None)

    def _ready(self) -> Search | None:
        self._block()
        if self.blockers:
            self.say(Message("warning", " ".join(self.blockers)))
            return None
        return self._search()

    def _search(self) -> Search:
        from dashtrade.backtest.sweep import SweepOptions
        from dashtrade.services.backtest_searches import Search

        try:
            trials = int(self.trials.replace(",", ""))
        except ValueError:
            raise InvalidInput("tries", f"{self.trials[:20]!r} is not a whole number.") from None
        options = SweepOptions(method=self.method, objective=self.objective, trials=trials)
        return Search(self._page.request(), self.parameters(), options)

    def _follow(self) -> None:
        """Another strategy has other settings; those that stay keep their ranges."""
        from dashtrade.services.backtest_searches import template_of

        try:
            template = template_of(self._page.request())
        except DashTradeError:
            self._block()
            return
        self._now, self._own = template.now(), template.own
        self._steps = {p.name: (p.step, p.low, p.high) for p in template.preset.params} if template.preset else {}
        names = (*template.now(), *STOPS)
        if names != self.names:
            kept = tuple(r for r in self.ranges if r.name in names and r.name not in self._own)
            usual = tuple(self._usual(n) for n in list(template.now())[:2])
            with self.hold_trait_notifications():  # a row must never name what the menu does not offer
                self.names, self.ranges = names, (*usual, *kept) or (self._usual("stops.loss"),)
        self._block()

    def _take_run(self) -> None:
        """A recorded sweep or walk-forward that went into the form brings its ranges."""
        run = self._page.loaded
        if run is None or "parameters" not in run.request:
            return
        rows = [range_of(name, values) for name, values in run.request["parameters"].items() if name in self.names]
        asked = run.request
        with self.hold_trait_notifications():
            self.ranges = tuple(row for row in rows if row is not None) or self.ranges
            self.method, self.objective, self.trials = asked["method"], asked["objective"], str(asked["trials"])
        self._block()

    def _usual(self, name: str) -> Range:
        """About ten values around what the strategy has now."""
        return STOPS[name] if name in STOPS else usual_range(name, float(self._now[name]), *self._steps.get(name, ()))

    def _block(self) -> None:
        from dashtrade.backtest.space import Space
        from dashtrade.services.backtest_searches import template_of

        if self._page.blockers:
            self.blockers, self.count = self._page.blockers, 0
            return
        try:
            search = self._search()
            size = Space(template_of(search.run), search.parameters).size
            self.count = size if self.method == "grid" else min(size, search.options.trials)
            if self.count > 1_000_000:
                raise InvalidInput("sweep", f"{self.count:,} combinations; search at random, or use larger steps.")
        except DashTradeError as error:
            self.blockers, self.count = (sentence(error),), 0
        else:
            self.blockers = ()
