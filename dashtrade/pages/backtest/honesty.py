"""The honesty panel: what speaks for and against the shown result. It is computed after the result is drawn."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd
import traitlets as t

from dashtrade.pages.background import Background, inline
from dashtrade.pages.model import Job, PageModel

if TYPE_CHECKING:
    from dashtrade.backtest.evidence import Evidence
    from dashtrade.backtest.result import BacktestResult

MEANINGS: Mapping[str, str] = {
    "total_return": "What the strategy earned, after costs.",
    "buy_and_hold": "Buying at the first open and keeping, without costs.",
    "random_p": "Share of 1,000 strategies with random entries, of the same number, sizes and holding times, that did "
                "at least as well. Below 5 % is hard to put down to luck.",
    "random_median": "What the middle one of those 1,000 earned.",
    "shuffle_low": "The trades drawn again 1,000 times with replacement: one in twenty ends below this.",
    "shuffle_high": "The trades drawn again 1,000 times with replacement: one in twenty ends above this.",
    "shuffle_drawdown": "The same trades in another order: one order in twenty falls at least this far.",
    "breakeven_bps": "How much dearer every order may get before nothing is left.",
    "trials": "Every run and every combination of a sweep counts, on this page, in notebooks and on the command line.",
    "deflated_sharpe": "Chance that the true Sharpe ratio is above what the best of so many tries shows by luck alone: "
                       "Bailey & López de Prado (2014).",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Finding:
    """One figure of the panel."""

    key: str
    label: str
    text: str
    meaning: str


@dataclass(frozen=True, slots=True, eq=False)
class Honesty:
    """``bands``: equity after each trade, columns low, middle, high and own; ``neighbours``: setting → total return."""

    sentences: tuple[str, ...]
    findings: tuple[Finding, ...]
    neighbours: tuple[Finding, ...]
    bands: pd.DataFrame
    trades: int


def make_honesty(found: Evidence, trades: int) -> Honesty:
    rows = [
        Finding(str(key), str(row["label"]), str(row["shown"]), MEANINGS.get(str(key), ""))
        for key, row in found.to_frame().iterrows()
    ]
    beside = tuple(r for r in rows if r.key.startswith("neighbour."))
    return Honesty(found.sentences(), tuple(r for r in rows if r not in beside), beside, found.bands, trades)


class HonestyModel(PageModel):
    """``judge(result, cancel=, progress=)`` makes the evidence with the ledger's count of tries."""

    panel: Honesty | None = t.Instance(Honesty, allow_none=True)  # type: ignore[assignment]

    def __init__(self, judge: Callable[..., Evidence], *, background: Background = inline, **traits: Any) -> None:
        self._judge = judge
        self._result: BacktestResult | None = None
        super().__init__(background=background, **traits)

    def look_at(self, result: BacktestResult | None) -> None:
        """Judges a result; a newer one replaces it."""
        self.panel, self._result = None, result
        self.say(None)
        if result is None:
            self._drop()
            return
        self.again()

    def again(self) -> None:
        """Judges the same result once more, such as after more tries or a cancel."""
        result = self._result
        if result is None:
            return

        def work(job: Job) -> Honesty:
            found = self._judge(result, cancel=job.cancelled, progress=job.report)
            return make_honesty(found, len(result.trades))

        self.in_background(work, self._done, label="Weighing the evidence…")

    def _done(self, panel: Honesty) -> None:
        self.panel = panel
