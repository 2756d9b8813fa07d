"""Recorded runs: look at one, set several side by side, and run one again to see that the same comes out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import nan
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from dashtrade.backtest.control import Cancel, Control, Progress
from dashtrade.db.tables.research import BacktestRun
from dashtrade.db.unit_of_work import UnitOfWork
from dashtrade.domain.market import HistoryRequest
from dashtrade.errors import InvalidInput, NotFound
from dashtrade.services.work import working

if TYPE_CHECKING:
    import pandas as pd

    from dashtrade.backtest.result import BacktestResult
    from dashtrade.backtest.sweep import SweepResult
    from dashtrade.backtest.walkforward import WalkForwardResult
    from dashtrade.services.backtests import Market

MOST_COMPARED = 12


@dataclass(frozen=True, slots=True)
class StoredRun:
    """A run as it was recorded. ``kind`` is backtest, sweep or walk_forward; an undefined statistic is None. ``name``
    is what the user calls it, empty for none."""

    id: int
    time: datetime
    kind: str
    family: str
    symbols: tuple[str, ...]
    interval: str
    data_hash: str
    request_hash: str
    result_hash: str
    request: Mapping[str, Any]
    statistics: Mapping[str, float | None]
    provenance: Mapping[str, Any]
    trials: int
    seed: int
    name: str = ""

    @property
    def label(self) -> str:
        """A short name that tells runs apart: number, and its own name or strategy and symbols."""
        if self.name:
            return f"#{self.id} {self.name}"
        names = ", ".join(self.symbols[:3]) + (" …" if len(self.symbols) > 3 else "")
        return f"#{self.id} {self.family} {names}"


@dataclass(frozen=True, slots=True, eq=False)
class RunComparison:
    """Runs side by side, one column each, named by ``StoredRun.label``.

    ``statistics``: numbers, rows by key, NaN where not defined. ``shown``: the same as text, rows by label.
    ``settings``: only what differs between the requests, rows by place (``strategy.long_entry``, ``costs.commission``),
    as text, empty where a run has no such setting. ``same_data``: whether all ran on the very same bars.
    """

    runs: tuple[StoredRun, ...]
    statistics: pd.DataFrame
    shown: pd.DataFrame
    settings: pd.DataFrame
    same_data: bool


@dataclass(frozen=True, slots=True, eq=False)
class RunAgain:
    """A recorded run, run again. ``same_result`` compares the hashes; it can only be expected where ``same_data``."""

    stored: StoredRun
    result: BacktestResult | SweepResult | WalkForwardResult
    same_data: bool
    same_result: bool


def get_run(uow: UnitOfWork, user_id: int, run_id: int) -> StoredRun:
    """One recorded run. NotFound for a run that is missing or another user's."""
    return _load(uow, user_id, [run_id])[0]


def compare_runs(uow: UnitOfWork, user_id: int, run_ids: Sequence[int]) -> RunComparison:
    """The user's runs of these numbers side by side, in this order. NotFound names a missing one."""
    import pandas as pd

    from dashtrade.backtest.words import STATISTICS, shown

    wanted = list(dict.fromkeys(run_ids))
    if not 2 <= len(wanted) <= MOST_COMPARED:
        raise InvalidInput("runs", f"{len(wanted)} cannot be compared; choose 2 to {MOST_COMPARED}.")
    runs = _load(uow, user_id, wanted)
    names = [run.label for run in runs]
    known = dict.fromkeys(k for run in runs for k in run.statistics)
    keys = [k for k in STATISTICS if k in known] + [k for k in known if k not in STATISTICS]
    values = [[nan if (v := run.statistics.get(k)) is None else float(v) for run in runs] for k in keys]
    numbers = pd.DataFrame(values, index=keys, columns=names)
    texts = pd.DataFrame(
        [[shown(k, v) for v in row] for k, row in zip(keys, values, strict=True)],
        index=[STATISTICS.get(k, k.replace("_", " ").capitalize()) for k in keys],
        columns=names,
    )
    flat = [_flat({"symbols": run.symbols, "interval": run.interval, **run.request}) for run in runs]
    places = dict.fromkeys(place for fields in flat for place in fields)
    differing = [p for p in places if len({fields.get(p, "") for fields in flat}) > 1]
    settings = pd.DataFrame([[fields.get(p, "") for fields in flat] for p in differing], index=differing, columns=names)
    return RunComparison(runs, numbers, texts, settings, len({run.data_hash for run in runs}) == 1)


def run_again(
    uow: UnitOfWork,
    user_id: int,
    run_id: int,
    market: Market | None = None,
    *,
    bars: Mapping[str, pd.DataFrame] | None = None,
    cancel: Cancel | None = None,
    progress: Progress | None = None,
) -> RunAgain:
    """Runs a recorded backtest, sweep or walk-forward again from its record, on ``bars`` or on bars from ``market``.

    It is not recorded or counted again: it is the same try. Bars that the source has changed since (by a dividend, say)
    give ``same_data`` False. Raises NotFound, InvalidInput, SourceError, Cancelled.
    """
    from dashtrade.backtest import SweepOptions, Windows, backtest, sweep, walk_forward
    from dashtrade.backtest.provenance import request_of

    stored = get_run(uow, user_id, run_id)
    control = Control(cancel, progress)
    if bars is None:
        if market is None:
            raise InvalidInput("bars", "give the bars or the market to fetch them from.")
        bars = _fetch(market, stored, control.part(0.0, 0.5))
    fields = stored.request
    request = request_of(fields, bars)
    step = control.part(0.5, 1.0).step
    result: BacktestResult | SweepResult | WalkForwardResult
    if stored.kind == "backtest":
        result = backtest(request, cancel=cancel, progress=step)
    else:
        search = {n: fields[n] for n in ("method", "objective", "trials")}
        options, parameters = SweepOptions(**search), fields["parameters"]
        if stored.kind == "sweep":
            result = sweep(request, parameters, options, cancel=cancel, progress=step)
        else:
            windows = Windows(**fields["windows"])
            result = walk_forward(request, parameters, windows, options, cancel=cancel, progress=step)
    made = result.provenance
    return RunAgain(stored, result, made["bars_hash"] == stored.data_hash, made["result_hash"] == stored.result_hash)


def _load(uow: UnitOfWork, user_id: int, run_ids: Sequence[int]) -> tuple[StoredRun, ...]:
    r = BacktestRun
    with working(uow) as work:
        found = {
            row.id: StoredRun(
                id=row.id,
                time=row.created_at,
                kind=row.kind,
                family=row.family,
                symbols=tuple(row.symbols),
                interval=row.interval,
                data_hash=row.data_hash,
                request_hash=row.request_hash,
                result_hash=row.result_hash,
                request=row.request,
                statistics=row.statistics,
                provenance=row.provenance,
                trials=row.trials,
                seed=row.seed,
                name=row.name or "",
            )
            for row in work.session.scalars(select(r).where(r.user_id == user_id, r.id.in_(run_ids)))
        }
    for number in run_ids:
        if number not in found:
            raise NotFound(f"There is no run number {number}.")
    return tuple(found[number] for number in run_ids)


def _fetch(market: Market, stored: StoredRun, control: Control) -> dict[str, pd.DataFrame]:
    """The bars of the record's own time, from its source."""
    import pandas as pd

    made = stored.provenance
    first, last = (pd.Timestamp(made[n]).to_pydatetime() for n in ("first_bar", "last_bar"))
    source = None if made["source"] in ("unknown", "") else str(made["source"])
    out = {}
    for n, symbol in enumerate(stored.symbols):
        control.step(n / len(stored.symbols), f"Fetching {symbol}")
        wanted = HistoryRequest.parse(symbol, stored.interval, None, first, last + timedelta(seconds=1))
        frame = market.history(wanted, source)
        own = frame.loc[(frame.index >= first) & (frame.index <= last)]
        own.attrs = dict(frame.attrs)
        out[symbol] = own
    return out


def _flat(value: Any, place: str = "") -> dict[str, str]:
    """Nested values by their dotted place, as text; empty ones are left out."""
    if isinstance(value, Mapping):
        out: dict[str, str] = {}
        for name, inner in value.items():
            out.update(_flat(inner, f"{place}.{name}" if place else str(name)))
        return out
    if value is None or value == "":
        return {}
    if isinstance(value, list | tuple):
        return {place: ", ".join(str(v) for v in value)}
    return {place: f"{value:g}" if isinstance(value, float) else str(value)}
