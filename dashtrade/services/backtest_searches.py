"""Sweeps and walk-forwards over bars that are still to be fetched: fetch, search, count every try, keep the record."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dashtrade.backtest.control import Control, Progress
from dashtrade.db.unit_of_work import UnitOfWork
from dashtrade.errors import InvalidInput
from dashtrade.services.backtests import Market, RunRequest, build, fetch

if TYPE_CHECKING:
    from dashtrade.backtest.request import BacktestRequest
    from dashtrade.backtest.space import Template
    from dashtrade.backtest.sweep import SweepOptions, SweepResult
    from dashtrade.backtest.walkforward import WalkForwardResult, Windows

Parameters = Mapping[str, Sequence[float]]
_FETCHED = 0.2
"""The share of the work that fetching is told to be."""


@dataclass(frozen=True, slots=True)
class Search:
    """What to try: a run, the values of the settings to vary, and how to search."""

    run: RunRequest
    parameters: Parameters
    options: SweepOptions


def template_of(run: RunRequest) -> Template:
    """The run's strategy with the names of what can be varied in it."""
    from dashtrade.backtest.space import Template
    from dashtrade.strategies import preset

    named = not hasattr(run.strategy, "long_entry")
    return Template(preset(str(run.strategy), **dict(run.settings)) if named else run.strategy)


def run_sweep(
    market: Market,
    search: Search,
    *,
    progress: Progress | None = None,
    cancelled: Callable[[], bool] | None = None,
    uow: UnitOfWork | None = None,
    user_id: int | None = None,
) -> SweepResult:
    """Raises InvalidInput (which names the field), SourceError, BadBars, or Cancelled."""
    from dashtrade.backtest.sweep import sweep

    control = Control(cancelled, progress)
    request = _request(market, search.run, control)
    step = control.part(_FETCHED, 1.0).step
    result = sweep(request, search.parameters, search.options, cancel=cancelled, progress=step)
    if uow is not None and user_id is not None:
        from dashtrade.services.trials import record_sweep

        control.step(1.0, "Keeping the record")  # what is cancelled until now leaves none
        record_sweep(uow, user_id, result)
    return result


def run_walk_forward(
    market: Market,
    search: Search,
    windows: Windows,
    *,
    progress: Progress | None = None,
    cancelled: Callable[[], bool] | None = None,
    uow: UnitOfWork | None = None,
    user_id: int | None = None,
) -> WalkForwardResult:
    """Raises InvalidInput (which names the field), SourceError, BadBars, or Cancelled."""
    from dashtrade.backtest.walkforward import walk_forward

    if len(search.run.symbols) != 1:
        raise InvalidInput("symbols", "walk-forward takes one symbol at a time.")
    control = Control(cancelled, progress)
    request = _request(market, search.run, control)
    step = control.part(_FETCHED, 1.0).step
    result = walk_forward(request, search.parameters, windows, search.options, cancel=cancelled, progress=step)
    if uow is not None and user_id is not None:
        from dashtrade.services.trials import record_walk_forward

        control.step(1.0, "Keeping the record")  # what is cancelled until now leaves none
        record_walk_forward(uow, user_id, result)
    return result


def _request(market: Market, run: RunRequest, control: Control) -> BacktestRequest:
    part = control.part(0.0, _FETCHED)
    bars = fetch(market, run, part.step, lambda: control.cancelled)
    return build(run, bars)
