"""The recorded runs of the backtest page: name them, run them again, set them side by side. No widgets."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import traitlets as t

from dashtrade.errors import DashTradeError, InvalidInput
from dashtrade.pages.background import Background, inline
from dashtrade.pages.backtest.model import BacktestModel
from dashtrade.pages.formats import formats
from dashtrade.pages.guard import Message, sentence
from dashtrade.pages.model import Job, PageModel

if TYPE_CHECKING:
    from dashtrade.services.backtest_library import RunLine
    from dashtrade.services.backtest_runs import RunAgain, RunComparison, StoredRun

KINDS = {"backtest": "Backtest", "sweep": "Sweep", "walk_forward": "Walk-forward"}
MOST_DRAWN = 7


@dataclass(frozen=True, slots=True)
class RunServices:
    """All for the signed-in user. ``again(run, cancel=, progress=)`` fetches the bars of the record and runs it."""

    list_lines: Callable[[], Sequence[RunLine]]
    get: Callable[[int], StoredRun]
    rename: Callable[[int, str], str]
    delete: Callable[[Sequence[int]], int]
    compare: Callable[[Sequence[int]], RunComparison]
    again: Callable[..., RunAgain]


@dataclass(frozen=True, eq=False)
class Comparison:
    """Runs side by side. ``equity``: each from 100 at its first bar, one column a run; ``notes``: what is missing."""

    found: RunComparison
    equity: pd.DataFrame
    notes: tuple[str, ...]


class RunsModel(PageModel):
    """The list, the chosen runs, the one that is open, and their comparison."""

    lines: tuple[RunLine, ...] = t.Any(())  # type: ignore[assignment]
    chosen: tuple[int, ...] = t.Any(())  # type: ignore[assignment]
    opened: StoredRun | None = t.Any(None)  # type: ignore[assignment]
    comparison: Comparison | None = t.Instance(Comparison, allow_none=True)  # type: ignore[assignment]
    again: str = t.Unicode("")  # type: ignore[assignment]

    def __init__(
        self, page: BacktestModel, services: RunServices, *, background: Background = inline, **traits: Any
    ) -> None:
        self._page, self._services = page, services
        super().__init__(background=background, **traits)

    def refresh(self) -> None:
        """Reads the list; runs that are gone are no longer chosen."""
        self.lines = tuple(self._services.list_lines())
        there = {line.id for line in self.lines}
        self.chosen = tuple(n for n in self.chosen if n in there)

    def action(self, name: str, run_id: str) -> None:
        """A button in the table."""
        number = int(run_id)
        {"choose": self.choose, "open": self.open}[name](number)

    def choose(self, number: int) -> None:
        """Into the comparison, or out of it."""
        if number in self.chosen:
            self.chosen = tuple(n for n in self.chosen if n != number)
        else:
            self.chosen = (*self.chosen, number)

    def open(self, number: int) -> None:
        self.again = ""
        self.opened = self._services.get(number)

    def close(self) -> None:
        self.opened, self.again = None, ""

    def rename(self, name: str) -> None:
        """Names the run that is open."""
        if self.opened is None:
            return
        number = self.opened.id
        kept = self._services.rename(number, name)
        self.refresh()
        self.opened = self._services.get(number)
        self.say(Message("success", f"Run {number} is called {kept}." if kept else f"Run {number} has no name now."))

    def name_last(self, name: str) -> None:
        """Names the run that the page shows."""
        if not self._page.run_id:
            raise InvalidInput("name", "run a backtest first; then it can be named.")
        if not name.strip():
            raise InvalidInput("name", "type a name for this run.")
        kept = self._services.rename(self._page.run_id, name)
        self.refresh()
        self._page.say(Message("success", f"Run {self._page.run_id} is kept as {kept}."))

    def delete(self, number: int) -> None:
        self._services.delete([number])
        if self.opened is not None and self.opened.id == number:
            self.close()
        self.comparison = None
        self.refresh()
        self.say(Message("success", f"Run {number} is deleted. Its tries stay counted."))

    def run_again(self, number: int) -> None:
        """Once more from its record; a backtest is then what the page shows."""
        self.open(number)

        def work(job: Job) -> RunAgain:
            return self._services.again(number, cancel=job.cancelled, progress=job.report)

        self.in_background(work, self._ran_again, label=f"Running {number} again…")

    def load(self) -> None:
        """The run that is open into the form; of a sweep or a walk-forward, what was varied."""
        if self.opened is not None:
            self._page.load_run(self.opened)

    def compare(self) -> None:
        """Statistics side by side, and the equity of each, which is computed again from its record."""
        if len(self.chosen) < 2:
            raise InvalidInput("runs", "choose at least two runs to compare.")
        found = self._services.compare(self.chosen)

        def work(job: Job) -> Comparison:
            curves, notes = {}, []
            drawable = [run for run in found.runs if run.kind != "sweep"]
            for n, run in enumerate(drawable[:MOST_DRAWN]):
                job.report(n / len(drawable), f"Drawing {run.label}")
                try:
                    made = self._services.again(run.id, cancel=job.cancelled)
                except DashTradeError as error:
                    notes.append(f"{run.label} cannot be drawn: {sentence(error)}")
                    continue
                if not made.same_data:
                    notes.append(
                        f"{run.label}: the source has changed its bars since, so the curve is of the new ones."
                    )
                equity: pd.Series = made.result.equity  # type: ignore[union-attr]
                curves[run.label] = 100 * equity / made.result.request.cash
            if len(drawable) < len(found.runs):
                notes.append("A sweep has no equity of its own; its best row's statistics are in the table.")
            if len(drawable) > MOST_DRAWN:
                notes.append(f"The first {MOST_DRAWN} are drawn.")
            frame = pd.DataFrame(curves).ffill() if curves else pd.DataFrame()
            return Comparison(found, frame, tuple(notes))

        self.comparison = None
        self.in_background(work, self._compared, label="Comparing…")

    def clear(self) -> None:
        self.chosen, self.comparison = (), None

    def _compared(self, made: Comparison) -> None:
        self.comparison = made
        self.say(None)

    def _ran_again(self, made: RunAgain) -> None:
        number, hashes = made.stored.id, (made.stored.result_hash, str(made.result.provenance["result_hash"]))
        if made.same_result:
            text = f"Run {number} gave the very same result again: {hashes[0][:16]}…"
        elif not made.same_data:
            text = (
                f"Run {number} gave another result, since the source has changed its bars: "
                f"{hashes[1][:16]}… now, {hashes[0][:16]}… then."
            )
        else:
            text = f"Run {number} gave another result on the same bars: another version of the program made it."
        self.again = text
        if made.stored.kind == "backtest":
            self._page.show(made.result, number)  # type: ignore[arg-type]
            self._page.say(Message("success" if made.same_result else "warning", text))
        else:
            self.say(Message("success" if made.same_result else "warning", text))


def line_rows(lines: Sequence[RunLine], chosen: Sequence[int]) -> list[dict[str, Any]]:
    """The table of runs."""

    def share(value: float | None) -> float | None:
        return None if value is None or not np.isfinite(value) else value * 100

    return [
        {
            "id": line.id, "name": line.name or f"#{line.id}", "number": line.id, "called": line.name or "–",
            "time": line.time, "kind": KINDS.get(line.kind, line.kind), "strategy": line.strategy,
            "symbols": ", ".join(line.symbols[:4]) + (f" +{len(line.symbols) - 4}" if len(line.symbols) > 4 else ""),
            "interval": line.interval, "trials": line.trials, "total_return": share(line.total_return),
            "sharpe": line.sharpe, "max_drawdown": share(line.max_drawdown), "hash": line.result_hash[:10],
            "do": [
                {"name": "choose", "label": "Don't compare" if line.id in chosen else "Compare", "kind": "plain"},
                {"name": "open", "label": "Open", "kind": "plain"},
            ],
        }
        for line in lines
    ]  # fmt: skip


def _size(size: Mapping[str, Any]) -> str:
    """As it is typed; as it was written where this version does not know the kind."""
    from dashtrade.backtest.provenance import size_of
    from dashtrade.services.backtest_texts import size_text

    try:
        return size_text(size_of(size))
    except (KeyError, TypeError, InvalidInput):
        return " ".join(str(v) for v in size.values())


def settings_of(run: StoredRun) -> tuple[tuple[str, str], ...]:
    """What a recorded run was asked for, and its hashes."""
    asked: Mapping[str, Any] = run.request
    size = asked.get("size", {})
    facts = [
        ("Kind", KINDS.get(run.kind, run.kind)), ("Strategy", run.family), ("Symbols", ", ".join(run.symbols)),
        ("Bars", f"{run.interval}, {str(run.provenance.get('first_bar'))[:10]} to "
                 f"{str(run.provenance.get('last_bar'))[:10]}, {run.provenance.get('source')}"),
        ("Capital", formats().money(asked.get("cash", 0))), ("Size", _size(size)),
        ("Direction", str(asked.get("direction")).replace("_", " ")), ("Tries", f"{run.trials:,}"),
        ("Bars, SHA-256", run.data_hash), ("Request, SHA-256", run.request_hash), ("Result, SHA-256", run.result_hash),
    ]  # fmt: skip
    return tuple((name, str(value)) for name, value in facts)
