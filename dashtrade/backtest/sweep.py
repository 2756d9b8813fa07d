"""``sweep``: one strategy over many settings.

Indicators are computed once for each distinct setting, combinations are simulated in blocks of columns, side by side on
this machine or on a Dask cluster (``dashtrade.backtest.blocks``), only statistics are kept, and the equity of any row
is rebuilt on demand.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dashtrade.analysis import performance as measure
from dashtrade.backtest.block import METRICS
from dashtrade.backtest.blocks import BLOCK, Job, Runner
from dashtrade.backtest.control import Cancel, Control, Progress
from dashtrade.backtest.provenance import bars_hash, hash_of, request_fields, source_fields, versions
from dashtrade.backtest.request import BacktestRequest
from dashtrade.backtest.result import BacktestResult
from dashtrade.backtest.run import backtest
from dashtrade.backtest.space import Template
from dashtrade.display import Displayed, Fact
from dashtrade.errors import InvalidInput
from dashtrade.strategies import with_stops

if TYPE_CHECKING:
    from ipywidgets import DOMWidget
    from matplotlib.figure import Figure

OBJECTIVES = (
    "sharpe", "sortino", "calmar", "total_return", "cagr", "profit_factor", "max_drawdown", "win_rate", "omega",
)  # fmt: skip
METHODS = ("grid", "random", "optuna")
MOST_COMBINATIONS = 5_000_000


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class SweepResult(Displayed):
    """``table``: one row for each combination: its settings, then the statistics. ``best``: the best row's settings.

    ``plateau`` (a column) is the mean objective of a row and its direct neighbours on the grid: a high plateau is
    worth more than a high peak. ``skipped`` counts combinations whose settings contradict each other.
    """

    template: Template
    request: BacktestRequest
    table: pd.DataFrame
    names: tuple[str, ...]
    objective: str
    skipped: int
    provenance: dict[str, Any]

    @property
    def best(self) -> dict[str, float]:
        values = self.table[self.objective]
        if not values.notna().any():
            raise InvalidInput("sweep", f"no combination has a {self.objective}; none of them traded.")
        return self.settings(int(np.nanargmax(values.to_numpy())))

    def settings(self, row: int) -> dict[str, float]:
        return {name: _plain(self.table.at[row, name]) for name in self.names}

    def backtest(self, row: int | None = None) -> BacktestResult:
        """The whole result of one row (the best, if none is named), computed again from its settings."""
        settings = self.best if row is None else self.settings(row)
        return backtest(replace(self.request, strategy=self.template.build(settings, described=True)))

    def heatmap(self, x: str, y: str) -> pd.DataFrame:
        """The objective over two settings, the best over all others: rows are y, columns x."""
        for name in (x, y):
            if name not in self.names:
                raise InvalidInput("heatmap", f"{name!r} was not varied.", allowed=self.names)
        return self.table.pivot_table(index=y, columns=x, values=self.objective, aggfunc="max")

    def to_frame(self) -> pd.DataFrame:
        """``table`` with the best objective first."""
        return self.table.sort_values(self.objective, ascending=False, na_position="last")

    def figure(self) -> Figure:
        """The heat map of the first two settings; for one setting, a line over its values."""
        from dashtrade.display.figures import bars_figure, heatmap_figure

        if len(self.names) == 1:
            return bars_figure(self._line(), self.objective)
        return heatmap_figure(self.heatmap(*self.names[:2]), self.objective, centre=None)

    def plot(self) -> DOMWidget:
        from dashtrade.display.plots import bars_plot, heatmap_plot

        if len(self.names) == 1:
            return bars_plot(self._line(), self.objective)
        return heatmap_plot(self.heatmap(*self.names[:2]), self.objective)

    def _line(self) -> pd.Series:
        return self.table.groupby(self.names[0])[self.objective].max()

    def _headline(self) -> str:
        return f"{self.template.base.name} on {', '.join(self.request.bars)}: {len(self.table):,} combinations"

    def _facts(self) -> Sequence[Fact]:
        known = self.table[self.objective].dropna()
        if known.empty:
            return (("Best", "none traded"),)
        best = ", ".join(f"{name} {value:g}" for name, value in self.best.items())
        row = self.table.iloc[int(np.nanargmax(self.table[self.objective].to_numpy()))]
        return (
            (f"Best {self.objective}", f"{row[self.objective]:,.3g}"),
            ("With", best),
            ("Its neighbourhood", f"{row['plateau']:,.3g}"),
            ("Median of all", f"{known.median():,.3g}"),
        )

    def _notes(self) -> Sequence[str]:
        return ("The best of many tries looks better than it is: see .deflated_sharpe() and dt.walk_forward.",)

    def _shown_rows(self) -> pd.DataFrame:
        wanted = ("plateau", "sharpe", "total_return", "max_drawdown", "trades")
        return self.to_frame()[[*self.names, *(c for c in wanted if c in self.table.columns)]]

    @property
    def tried(self) -> NDArray[np.float64]:
        """The Sharpe ratio of one bar of each combination; NaN where it is not defined."""
        per_bar: NDArray[np.float64] = self.table["sharpe"].to_numpy() / math.sqrt(self.provenance["bars_per_year"])
        return per_bar

    def deflated_sharpe(self, trials: int | None = None, variance: float | None = None) -> float:
        """Of the row with the best Sharpe, discounted for the number of tries and how their Sharpe ratios spread.

        Unless given (by the trial ledger), the tries are this sweep's combinations. NaN where no row has a Sharpe.
        """
        if not np.isfinite(self.tried).any():
            return math.nan
        known = self.tried[np.isfinite(self.tried)]
        result = self.backtest(int(np.nanargmax(self.tried)))
        returns = measure.returns_of(result.equity.to_numpy(), self.request.cash)
        if trials is None or variance is None:
            trials, variance = len(self.table), float(known.var(ddof=1)) if len(known) > 1 else 0.0
        return measure.deflated_sharpe(returns, trials, variance)


@dataclass(frozen=True, slots=True)
class SweepOptions:
    """How to search. ``trials`` bounds random and optuna searches; ``resume`` is a folder for finished blocks.

    ``scheduler`` is the address of a Dask scheduler; None stands for the setting ``DASHTRADE_DASK_SCHEDULER``, and
    where that is not set either (or with ``""``) the sweep runs in ``threads`` on this machine. Where it runs, and in
    blocks of how many combinations, does not change a single number.
    """

    method: str = "grid"
    objective: str = "sharpe"
    trials: int = 200
    threads: int = 2
    block: int = BLOCK
    resume: Path | None = None
    scheduler: str | None = None

    def __post_init__(self) -> None:
        for name, allowed in (("method", METHODS), ("objective", OBJECTIVES)):
            if getattr(self, name) not in allowed:
                raise InvalidInput(name, f"{getattr(self, name)!r} is not known.", allowed=allowed)
        for name in ("trials", "threads", "block"):
            if getattr(self, name) < 1:
                raise InvalidInput(name, "use 1 or more.")


def sweep(
    request: BacktestRequest,
    parameters: Mapping[str, Sequence[float]],
    options: SweepOptions | None = None,
    *,
    cancel: Cancel | None = None,
    progress: Progress | None = None,
) -> SweepResult:
    """Backtests ``request`` with every combination of ``parameters``.

    A name is a preset's setting (``fast``), a stop (``stops.loss``), ``cooldown``, or, for a strategy that is no
    preset, an indicator's setting by its place (``long_entry.ema.window``; ``Template.names`` lists them). ``cancel``
    (an event or a callable) stops it with Cancelled; with ``resume`` the finished blocks are kept. Raises InvalidInput
    for an unknown name, ClusterUnavailable where a Dask scheduler is asked for and not there.

    >>> import dashtrade as dt
    >>> bars = {"AAPL": dt.history("AAPL", period="2y", source="sample")}
    >>> found = dt.sweep(dt.BacktestRequest("ema_cross", bars), {"fast": [5, 10, 20], "slow": [15, 30]})
    >>> len(found.table), found.skipped, sorted(found.best)
    (5, 1, ['fast', 'slow'])
    """
    options, control = options or SweepOptions(), Control(cancel, progress)
    job = Job(request, parameters)
    space, template = job.space, job.template
    if options.method == "grid" and space.size > MOST_COMBINATIONS:
        raise InvalidInput(
            "parameters", f"{space.size:,} combinations; use method random, or at most {MOST_COMBINATIONS:,}."
        )
    strategy = with_stops(template.build({}), request.stops) if request.stops is not None else template.build({})
    fields = {
        **request_fields(request, strategy),
        "parameters": {k: list(v) for k, v in space.values.items()},
        "method": options.method,
        "trials": options.trials if options.method != "grid" else space.size,
        "objective": options.objective,
    }
    made: dict[str, Any] = {
        **source_fields(request, bars_hash(request.bars)),
        "request_hash": hash_of(fields),
        "request": fields,
        "slippage_per_side": job.slippage,
        "bars_per_year": job.factor,
        "versions": versions(),
    }
    with Runner(job, options, control, job.key(made)) as run:
        if options.method == "optuna":
            from dashtrade.backtest.optuna_search import search

            picks, metrics = search(run, space, options, request.seed)
        else:
            picks = space.all() if options.method == "grid" else space.sample(options.trials, request.seed)
            metrics = run.all(picks)
    digest = hashlib.sha256(np.ascontiguousarray(picks, dtype="<i8").data)
    digest.update(np.ascontiguousarray(metrics).data)
    made["result_hash"] = digest.hexdigest()
    table = pd.DataFrame(metrics, columns=list(METRICS), copy=False)  # a million rows are held once
    for n, name in enumerate(space.names):
        table.insert(n, name, space.column(picks, name))
    table["plateau"] = space.plateau(picks, table[options.objective].to_numpy())
    skipped = (space.size if options.method == "grid" else len(picks)) - len(picks)
    return SweepResult(template, request, table, space.names, options.objective, skipped, made)


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
