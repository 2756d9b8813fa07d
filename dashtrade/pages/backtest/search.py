"""Sweeps and walk-forwards of the backtest page: what is varied over which values, and what came out. No widgets."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import traitlets as t
from numpy.typing import NDArray

from dashtrade.errors import DashTradeError, InvalidInput
from dashtrade.pages.background import Background, inline
from dashtrade.pages.backtest.model import BacktestModel
from dashtrade.pages.guard import Message, sentence
from dashtrade.pages.model import Job, PageModel

if TYPE_CHECKING:
    from dashtrade.backtest.sweep import SweepResult
    from dashtrade.backtest.walkforward import WalkForwardResult, Windows
    from dashtrade.services.backtest_searches import Search

MOST_RANGES = 5
MOST_VALUES = 2_000
MOST_ROWS = 300
"""Rows of a sweep that the table shows, the best first."""
MOST_SIDE = 60
"""Rows and columns of the heat map; finer grids show every n-th."""
OBJECTIVES = {
    "sharpe": "Sharpe ratio", "sortino": "Sortino ratio", "calmar": "Calmar ratio", "total_return": "Total return",
    "cagr": "Yearly growth (CAGR)", "profit_factor": "Profit factor", "max_drawdown": "Smallest drawdown",
    "win_rate": "Win rate", "omega": "Omega ratio",
}  # fmt: skip
METHODS = {"grid": "All of them", "random": "At random", "optuna": "Learning (TPE)"}
SHARES = ("total_return", "cagr", "max_drawdown", "win_rate")
_STOPS = {
    "stops.loss": ("0.02", "0.1", "0.02"), "stops.profit": ("0.05", "0.2", "0.05"),
    "stops.trail": ("0.03", "0.12", "0.03"), "stops.bars": ("5", "25", "5"),
    "stops.atr_loss": ("1", "4", "0.5"), "stops.atr_profit": ("1", "6", "1"),
    "stops.atr_trail": ("1", "4", "0.5"), "cooldown": ("0", "10", "2"),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Range:
    """One setting to vary, from and to (both included), in steps; texts as typed."""

    name: str
    low: str
    high: str
    step: str

    def values(self) -> tuple[float, ...]:
        """Raises InvalidInput, which names the setting."""
        low, high, step = (self._number(text, what) for text, what in
                           ((self.low, "from"), (self.high, "to"), (self.step, "step")))  # fmt: skip
        if high < low:
            raise InvalidInput(self.name, f"from {low:g} to {high:g} has no values; let the second be the larger.")
        if step <= 0:
            raise InvalidInput(self.name, "use a step above 0.")
        count = math.floor((high - low) / step + 1e-9) + 1
        if count > MOST_VALUES:
            raise InvalidInput(self.name, f"{count:,} values are too many; use a larger step.")
        found = [round(low + n * step, 10) for n in range(count)]
        whole = all(float(v).is_integer() for v in (low, step))
        return tuple(int(v) if whole else v for v in found)

    def _number(self, text: str, what: str) -> float:
        try:
            value = float(text.replace(",", "").strip())
        except ValueError:
            raise InvalidInput(self.name, f"{what}: {text[:20]!r} is not a number.") from None
        if not math.isfinite(value):
            raise InvalidInput(self.name, f"{what}: use a finite number.")
        return value


@dataclass(frozen=True, eq=False)
class SweepReport:
    """``rows`` are the best first; ``maps`` the objective and its plateau over two settings, by (x, y)."""

    result: SweepResult
    objective: str
    count: int
    skipped: int
    best: Mapping[str, float]
    facts: tuple[tuple[str, str, str], ...]
    rows: tuple[dict[str, Any], ...]

    @property
    def names(self) -> tuple[str, ...]:
        return self.result.names

    def grid(self, x: str, y: str, column: str) -> pd.DataFrame:
        """The best of ``column`` (the objective or ``plateau``) over two settings; one row where ``y`` is empty."""
        table = self.result.table
        if not y:
            made = table.groupby(x)[column].max().to_frame().T
            made.index = pd.Index([OBJECTIVES.get(self.objective, self.objective)])
        else:
            made = table.pivot_table(index=y, columns=x, values=column, aggfunc="max", dropna=False)
        down, across = (math.ceil(n / MOST_SIDE) for n in made.shape)
        return made.iloc[::down, ::across]


@dataclass(frozen=True, eq=False)
class WalkReport:
    """Steps as rows, the stitched equity out of sample, and the figures as (label, text, meaning)."""

    times: tuple[datetime, ...]
    equity: NDArray[np.float64]
    benchmark: NDArray[np.float64]
    """Buying at the first tested open and keeping, without costs."""
    drawdown: NDArray[np.float64]
    facts: tuple[tuple[str, str, str], ...]
    rows: tuple[dict[str, Any], ...]
    names: tuple[str, ...]
    objective: str
    intraday: bool


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
        names = (*template.now(), *_STOPS)
        if names != self.names:
            kept = tuple(r for r in self.ranges if r.name in names and r.name not in self._own)
            usual = tuple(self._usual(n) for n in list(template.now())[:2])
            with self.hold_trait_notifications():  # a row must never name what the menu does not offer
                self.names, self.ranges = names, (*usual, *kept) or (self._usual("stops.loss"),)
        self._block()

    def _usual(self, name: str) -> Range:
        """About ten values around what the strategy has now."""
        if name in _STOPS:
            return Range(name, *_STOPS[name])
        now = float(self._now[name])
        step, low, high = self._steps.get(
            name, (1.0 if now.is_integer() else abs(now) / 10 or 1.0, -math.inf, math.inf)
        )
        width = max(step, round(abs(now) * 0.5 / step) * step)
        step = max(step, round(width / 5 / step) * step)
        low, high = max(low, now - 5 * step), min(high, now + 5 * step)
        if now > 0 and low <= 0:
            low = now - step * math.floor((now - 1e-9) / step)
        return Range(name, f"{low:g}", f"{high:g}", f"{step:g}")

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


def make_sweep_report(result: SweepResult, deflated: tuple[int, float]) -> SweepReport:
    """``deflated``: all tries so far, and the deflated Sharpe ratio of the best with them."""
    table, objective = result.table, result.objective
    values = table[objective].to_numpy(dtype=np.float64)
    order = np.argsort(np.where(np.isfinite(values), -values, np.inf), kind="stable")[:MOST_ROWS]
    rows = tuple(_row(result, int(n)) for n in order)
    if not np.isfinite(values).any():
        facts: tuple[tuple[str, str, str], ...] = (("Best", "none traded", "No combination made a trade."),)
        return SweepReport(result, objective, len(table), result.skipped, {}, facts, rows)
    best = table.iloc[int(order[0])]
    level = table["plateau"].to_numpy(dtype=np.float64)
    flat = int(np.nanargmax(level))
    tries, chance = deflated
    label = OBJECTIVES.get(objective, objective)
    facts = (
        (f"Best: {label}", show_value(objective, float(best[objective])), f"With {_words(result.best)}."),
        ("Its neighbourhood", show_value(objective, float(best["plateau"])),
         "Mean of the best row and its direct neighbours on the grid: far below the peak means a lucky point."),
        ("Highest plateau", show_value(objective, float(level[flat])),
         f"The row whose neighbourhood is best: {_words(result.settings(flat))}. A plateau is worth more than a peak."),
        ("Middle of all", show_value(objective, float(np.nanmedian(values))), "Half of the combinations did better."),
        ("Tries so far", f"{tries:,}", "All combinations and runs with this family on these bars, these included."),
        ("Chance of skill", "–" if math.isnan(chance) else f"{chance:.0%}",
         "Deflated Sharpe ratio of the best Sharpe after all those tries: Bailey & López de Prado (2014)."),
    )  # fmt: skip
    return SweepReport(result, objective, len(table), result.skipped, result.best, facts, rows)


def show_value(name: str, value: float) -> str:
    if not math.isfinite(value):
        return "–" if math.isnan(value) else "∞"
    return f"{value:.1%}" if name in SHARES else f"{value:,.2f}"


def _words(settings: Mapping[str, float]) -> str:
    return ", ".join(f"{n} {v:g}" for n, v in settings.items())


def _row(result: SweepResult, number: int) -> dict[str, Any]:
    line = result.table.iloc[number]

    def value(name: str, scale: float = 1.0) -> float | None:
        found = float(line[name]) * scale
        return found if math.isfinite(found) else None

    settings = {f"p{k}": float(line[name]) for k, name in enumerate(result.names)}
    return {
        "id": number, "name": _words(result.settings(number)), **settings,
        "objective": value(result.objective, 100.0 if result.objective in SHARES else 1.0),
        "plateau": value("plateau", 100.0 if result.objective in SHARES else 1.0),
        "total_return": value("total_return", 100.0), "sharpe": value("sharpe"),
        "max_drawdown": value("max_drawdown", 100.0), "trades": value("trades"),
        "do": [{"name": "use", "label": "Use", "kind": "plain"}],
    }  # fmt: skip


def make_walk_report(result: WalkForwardResult, names: Sequence[str]) -> WalkReport:
    found = result.statistics
    objective = str(result.provenance["request"]["objective"])
    percent = "{:.2%}".format
    facts = (
        ("Total return", percent(found["total_return"]), "Out of sample, from the first tested bar to the last."),
        ("Growth a year", percent(found["cagr"]), "Out of sample."),
        ("Sharpe ratio", show_value("sharpe", found["sharpe"]), "Out of sample."),
        ("Max drawdown", percent(found["max_drawdown"]), "Of the stitched equity."),
        ("Stretches won", f"{found['stretches_won']:.0f} of {found['stretches']:.0f}", "Those with a profit."),
        ("Efficiency", show_value("efficiency", result.efficiency),
         "Yearly growth out of sample over the mean in sample (Pardo): near 1 is robust, near 0 is a lucky fit."),
    )  # fmt: skip
    inside = f"in_sample_{objective}"
    scale = 100.0 if objective in SHARES else 1.0
    rows = []
    for line in result.steps.to_dict("records"):
        settings = {f"p{k}": float(line[name]) for k, name in enumerate(names)}
        rows.append({
            "id": line["step"], "number": int(line["step"]) + 1,
            **{n: line[n].to_pydatetime() for n in ("train_from", "train_to", "test_from", "test_to")}, **settings,
            "inside": _finite(line[inside], scale), "inside_cagr": _finite(line["in_sample_cagr"], 100.0),
            "outside": _finite(line["out_of_sample_return"], 100.0),
            "outside_cagr": _finite(line["out_of_sample_cagr"], 100.0),
        })  # fmt: skip
    times = pd.DatetimeIndex(result.equity.index)
    intraday = bool((times.normalize() != times).any())
    bars = next(iter(result.request.bars.values())).loc[times]
    held = bars["close"].to_numpy(dtype=np.float64) / float(bars["open"].iloc[0]) * result.request.cash
    return WalkReport(
        tuple(times.to_pydatetime()), result.equity.to_numpy(dtype=np.float64, copy=True), held,
        result.drawdown.to_numpy(dtype=np.float64, copy=True), facts, tuple(rows), tuple(names), objective, intraday,
    )  # fmt: skip


def _finite(value: Any, scale: float) -> float | None:
    number = float(value) * scale
    return number if math.isfinite(number) else None
