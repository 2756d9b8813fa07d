"""``dashtrade sweep`` and ``dashtrade walkforward``: many settings of one strategy."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dashtrade.cli.run_options import (
    RebalanceOptions,
    RunOptions,
    SearchOptions,
    bars_of,
    expanded,
    known,
    market_of,
    owner_of,
    request_of,
)
from dashtrade.errors import InvalidInput

if TYPE_CHECKING:
    from dashtrade.backtest import BacktestRequest, SweepOptions

Strategy = Annotated[str, typer.Argument(help="A preset, or a saved strategy with --user.")]


@expanded
def sweep(
    strategy: Strategy,
    symbols: Annotated[list[str] | None, typer.Argument(help="Symbols, such as AAPL.")] = None,
    *,
    run: RunOptions,
    search: SearchOptions,
    weights: RebalanceOptions,
    top: Annotated[int, typer.Option(help="How many rows to show.")] = 20,
) -> None:
    """Backtest every combination of settings.

    dashtrade sweep ema_cross AAPL -p fast=5:20:5 -p slow=20:60:10 --source sample

    Runs on this machine, or on the Dask cluster that DASHTRADE_DASK_SCHEDULER names. With --resume, a run that was
    stopped or killed goes on where it was.
    """
    from dashtrade.backtest import sweep as start
    from dashtrade.backtest.result import plain, records

    if top < 1:
        raise InvalidInput("top", f"{top} rows cannot be shown; use 1 or more.")
    owner, objective = owner_of(run), search.objective
    request = _request(strategy, symbols or [], run, owner, weights)
    result = start(request, ranges(search.param or []), _options(search), progress=None if run.json else _show)
    table = result.table.sort_values(objective, ascending=False, na_position="last").head(top)
    tries = len(result.table)
    deflated = result.deflated_sharpe()
    if owner is not None:
        from dashtrade.bootstrap import runtime
        from dashtrade.services.trials import record_sweep

        counted = record_sweep(runtime().uow(), owner, result)
        tries, deflated = counted.count, result.deflated_sharpe(counted.count, counted.variance)
    if run.json:
        found = {
            "best": plain(result.best) if table[objective].notna().any() else None,
            "objective": objective,
            "combinations": len(result.table),
            "skipped": result.skipped,
            "trials": tries,
            "deflated_sharpe": plain(deflated),
            "rows": records(table),
            "provenance": plain(result.provenance),
        }
        typer.echo(_dump(found))
        return
    typer.echo(f"{len(result.table):,} combinations; the best by {objective}:")
    columns = [*result.names, objective, "plateau", "total_return", "max_drawdown", "trades"]
    typer.echo(table[list(dict.fromkeys(columns))].to_string(index=False, float_format=lambda v: f"{v:,.3f}"))
    typer.echo(f"Deflated Sharpe of the best (chance of skill after {tries:,} tries): {deflated:.0%}")


@expanded
def walkforward(
    strategy: Strategy,
    symbol: Annotated[str | None, typer.Argument(help="A symbol, such as AAPL.")] = None,
    *,
    run: RunOptions,
    search: SearchOptions,
    train: Annotated[int, typer.Option(help="Bars to choose settings on.")] = 504,
    test: Annotated[int, typer.Option(help="Bars to trade them on.")] = 126,
    purge: Annotated[int, typer.Option(help="Unused bars between the two.")] = 0,
    embargo: Annotated[int, typer.Option(help="Bars after a test that later training leaves out.")] = 0,
    expanding: Annotated[bool, typer.Option("--expanding", help="Train on everything before.")] = False,
) -> None:
    """Choose settings on the past, trade them on what follows, again and again.

    dashtrade walkforward ema_cross AAPL -p fast=5:20:5 -p slow=20:60:10 --source sample
    """
    from dashtrade.backtest import Windows, walk_forward
    from dashtrade.backtest.result import plain, records

    owner = owner_of(run)
    windows = Windows(train=train, test=test, purge=purge, embargo=embargo, expanding=expanding)
    request = _request(strategy, [symbol] if symbol else [], run, owner, period="max")
    values = ranges(search.param or [])
    result = walk_forward(request, values, windows, _options(search), progress=None if run.json else _show)
    tries = len(result.tried)
    if owner is not None:
        from dashtrade.bootstrap import runtime
        from dashtrade.services.trials import record_walk_forward

        tries = record_walk_forward(runtime().uow(), owner, result).count
    if run.json:
        found = {
            "trials": tries,
            "final_equity": float(result.equity.iloc[-1]),
            "efficiency": plain(result.efficiency),
            "statistics": plain(result.statistics),
            "steps": records(result.steps),
            "provenance": plain(result.provenance),
        }
        typer.echo(_dump(found))
        return
    names = [n for n in result.steps.columns if n not in {"train_from", "train_to", "step", "in_sample_cagr"}]
    typer.echo(result.steps[names].to_string(index=False, float_format=lambda v: f"{v:,.3f}"))
    for key, value in result.statistics.items():
        typer.echo(f"  {key.replace('_', ' '):<24}{value:>14,.3f}")
    typer.echo(f"  {'efficiency (out / in)':<24}{result.efficiency:>14,.3f}")


def ranges(texts: list[str]) -> dict[str, list[float]]:
    """``fast=5:20:5`` (both ends included) and ``slow=20,30,40``."""
    out: dict[str, list[float]] = {}
    for text in texts:
        name, sign, values = text.partition("=")
        try:
            if ":" in values:
                first, last, *step = (float(v) for v in values.split(":"))
                by = step[0] if step else 1.0
                if by <= 0 or len(step) > 1 or (last - first) / by > 1_000_000:
                    raise ValueError
                found = [first + by * n for n in range(int((last - first) / by + 1e-9) + 1)]
            else:
                found = [float(v) for v in values.split(",")]
        except ValueError:
            sign = ""
            found = []
        if not sign or not found:
            raise InvalidInput("param", f"{text!r} is not understood; write fast=5:20:5 or slow=20,30,40.")
        out[name.strip()] = [int(v) if v.is_integer() else v for v in found]
    return out


def _options(search: SearchOptions) -> SweepOptions:
    from dashtrade.backtest import SweepOptions

    return SweepOptions(
        method=search.method, objective=search.objective, trials=search.trials, threads=search.threads,
        resume=Path(search.resume) if search.resume else None,
    )  # fmt: skip


def _request(
    strategy: str,
    symbols: list[str],
    run: RunOptions,
    owner: int | None,
    weights: RebalanceOptions | None = None,
    period: str = "5y",
) -> BacktestRequest:
    """The engine's request, with the bars."""
    from dashtrade.services import backtests as service

    wanted = request_of(known(strategy, owner), symbols, run, weights, period)
    service.build(wanted, {"": None})  # type: ignore[dict-item]  # a wrong name should not wait for the data
    if run.file is not None:
        return service.build(wanted, bars_of(run.file, wanted, run.interval))
    return service.build(wanted, service.fetch(market_of(owner), wanted))


def _dump(found: dict[str, Any]) -> str:
    import json

    return json.dumps(found, allow_nan=False)


def _show(share: float, text: str) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"\r{text:<60}" + ("\n" if share >= 1 else ""))
