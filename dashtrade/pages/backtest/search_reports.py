"""From a sweep's or a walk-forward's result to what the page shows: frozen values, no widgets."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dashtrade.pages.formats import formats

if TYPE_CHECKING:
    from dashtrade.backtest.sweep import SweepResult
    from dashtrade.backtest.walkforward import WalkForwardResult

MOST_ROWS = 300
"""Rows of a sweep that the table shows, the best first."""
MOST_SIDE = 60
"""Rows and columns of the heat map; finer grids show every n-th."""
OBJECTIVES = {
    "sharpe": "Sharpe ratio", "sortino": "Sortino ratio", "calmar": "Calmar ratio", "total_return": "Total return",
    "cagr": "Yearly growth (CAGR)", "profit_factor": "Profit factor", "max_drawdown": "Smallest drawdown",
    "win_rate": "Win rate", "omega": "Omega ratio",
}  # fmt: skip
SHARES = ("total_return", "cagr", "max_drawdown", "win_rate")


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
        ("Chance of skill", "–" if math.isnan(chance) else f"{formats().number(chance * 100, 0)}%",
         "Deflated Sharpe ratio of the best Sharpe after all those tries: Bailey & López de Prado (2014)."),
    )  # fmt: skip
    return SweepReport(result, objective, len(table), result.skipped, result.best, facts, rows)


def show_value(name: str, value: float) -> str:
    if not math.isfinite(value):
        return "–" if math.isnan(value) else "∞"
    return f"{formats().number(value * 100, 1)}%" if name in SHARES else formats().number(value)


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
    facts = (
        ("Total return", show_value("total_return", found["total_return"]),
         "Out of sample, from the first tested bar to the last."),
        ("Growth a year", show_value("cagr", found["cagr"]), "Out of sample."),
        ("Sharpe ratio", show_value("sharpe", found["sharpe"]), "Out of sample."),
        ("Max drawdown", show_value("max_drawdown", found["max_drawdown"]), "Of the stitched equity."),
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
