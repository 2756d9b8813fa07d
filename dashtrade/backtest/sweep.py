"""``sweep``: one strategy over many settings.

Indicators are computed once for each distinct setting, combinations are simulated in blocks of columns (several
blocks at
once in threads: the engine frees the interpreter), only statistics are kept, and the equity of any row is rebuilt on
demand.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dashtrade.analysis import performance as measure
from dashtrade.analysis.annualisation import annualisation, interval_of
from dashtrade.backtest.bars import make_grid
from dashtrade.backtest.block import METRICS, run_block
from dashtrade.backtest.provenance import bars_hash, hash_of, request_fields
from dashtrade.backtest.request import BacktestRequest
from dashtrade.backtest.result import BacktestResult
from dashtrade.backtest.run import backtest
from dashtrade.backtest.space import Space, Template
from dashtrade.errors import DashTradeError, InvalidInput
from dashtrade.strategies import Operands

OBJECTIVES = (
    "sharpe", "sortino", "calmar", "total_return", "cagr", "profit_factor", "max_drawdown", "win_rate", "omega",
)  # fmt: skip
METHODS = ("grid", "random", "optuna")
BLOCK = 64
MOST_COMBINATIONS = 5_000_000


class Stopped(DashTradeError):
    """The sweep was cancelled; with ``resume`` the finished blocks are kept."""

    code = "CANCELLED"


@dataclass(frozen=True, slots=True, eq=False)
class SweepResult:
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
        return backtest(replace(self.request, strategy=self.template.build(settings)))

    def heatmap(self, x: str, y: str) -> pd.DataFrame:
        """The objective over two settings, the best over all others: rows are y, columns x."""
        for name in (x, y):
            if name not in self.names:
                raise InvalidInput("heatmap", f"{name!r} was not varied.", allowed=self.names)
        return self.table.pivot_table(index=y, columns=x, values=self.objective, aggfunc="max")

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
    """How to search. ``trials`` bounds random and optuna searches; ``resume`` is a folder for finished blocks."""

    method: str = "grid"
    objective: str = "sharpe"
    trials: int = 200
    threads: int = 2
    block: int = BLOCK
    resume: Path | None = None
    progress: Callable[[int, int], None] | None = field(default=None, compare=False)
    cancelled: Callable[[], bool] | None = field(default=None, compare=False)

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
) -> SweepResult:
    """Backtests ``request`` with every combination of ``parameters``.

    A name is a preset's setting (``fast``), a stop (``stops.loss``), ``cooldown``, or, for a strategy that is no
    preset, an
    indicator's setting by its place (``long_entry.ema.window``; ``Template.names`` lists them). Raises InvalidInput
    for an
    unknown name, Stopped when cancelled.
    """
    options = options or SweepOptions()
    template = Template(request.strategy)
    space = Space(template, parameters)
    if options.method == "grid" and space.size > MOST_COMBINATIONS:
        raise InvalidInput(
            "parameters", f"{space.size:,} combinations; use method random, or at most {MOST_COMBINATIONS:,}."
        )
    operands = {s: Operands(bars, interval_of(bars)) for s, bars in request.bars.items()}
    made: dict[str, Any] = {
        "bars_hash": bars_hash(request.bars),
        "request": request_fields(request, template.build({})),
        "parameters": {k: list(v) for k, v in space.values.items()},
        "method": options.method,
        "trials": options.trials if options.method != "grid" else space.size,
        "seed": request.seed,
        "bars_per_year": annualisation(request.bars, next(iter(request.bars.values()))).factor,
    }
    grid = make_grid(request.bars)
    run = _Runner(request, template, space, grid, operands, made["bars_per_year"], options, hash_of(made))
    if options.method == "optuna":
        from dashtrade.backtest.optuna_search import search

        picks, metrics = search(run, space, options, request.seed)
    else:
        picks = space.all() if options.method == "grid" else space.sample(options.trials, request.seed)
        metrics = run.all(picks)
    columns = {n: space.column(picks, n) for n in space.names}
    table = pd.DataFrame({**columns, **{m: metrics[:, k] for k, m in enumerate(METRICS)}})
    table["plateau"] = space.plateau(picks, table[options.objective].to_numpy())
    skipped = (space.size if options.method == "grid" else len(picks)) - len(picks)
    return SweepResult(template, request, table, space.names, options.objective, skipped, made)


class _Runner:
    """Simulates picked combinations in blocks, a few at a time."""

    def __init__(
        self, request: BacktestRequest, template: Template, space: Space, grid: Any, operands: Any, factor: float,
        options: SweepOptions, key: str,
    ) -> None:  # fmt: skip
        self.request, self.template, self.space, self.grid = request, template, space, grid
        self.operands, self.factor, self.options, self.key = operands, factor, options, key

    def block(self, picks: NDArray[np.int64]) -> NDArray[np.float64]:
        """Statistics of these combinations, shape (combinations, metrics)."""
        strategies = [self.template.build(self.space.settings(pick)) for pick in picks]
        return run_block(self.request, strategies, self.grid, self.operands, self.factor)

    def all(self, picks: NDArray[np.int64]) -> NDArray[np.float64]:
        out = np.full((len(picks), len(METRICS)), np.nan)
        size = self.options.block
        starts = range(0, len(picks), size)
        done = 0
        with ThreadPoolExecutor(self.options.threads) as pool:
            waiting: list[tuple[int, Future[NDArray[np.float64]]]] = []
            for start in [*starts, None]:
                if start is not None:
                    kept = self._load(start)
                    if kept is not None:
                        out[start : start + len(kept)] = kept
                        done += len(kept)
                        continue
                    waiting.append((start, pool.submit(self.block, picks[start : start + size])))
                while waiting and (start is None or len(waiting) > 2 * self.options.threads):
                    first, future = waiting.pop(0)
                    values = future.result()
                    out[first : first + len(values)] = values
                    self._keep(first, values)
                    done += len(values)
                    if self.options.progress:
                        self.options.progress(done, len(picks))
                    if self.options.cancelled and self.options.cancelled():
                        for _, rest in waiting:
                            rest.cancel()
                        raise Stopped(f"Stopped after {done:,} of {len(picks):,} combinations.")
        return out

    def _file(self, start: int) -> Path | None:
        if self.options.resume is None:
            return None
        return self.options.resume / f"{self.key[:16]}-{self.options.block}-{start:09d}.npy"

    def _load(self, start: int) -> NDArray[np.float64] | None:
        path = self._file(start)
        if path is None or not path.is_file():
            return None
        return np.asarray(np.load(path, allow_pickle=False))

    def _keep(self, start: int, values: NDArray[np.float64]) -> None:
        path = self._file(start)
        if path is None:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        half = path.with_suffix(".part")
        with half.open("wb") as file:
            np.save(file, values)
        half.replace(path)  # a killed run leaves whole blocks only


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
