"""``dashtrade sweep`` and ``dashtrade walkforward``: many settings of one strategy."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dashtrade.errors import InvalidInput

if TYPE_CHECKING:
    from dashtrade.backtest import BacktestRequest

Strategy = Annotated[str, typer.Argument(help="A preset, or a saved strategy with --user.")]
Symbol = Annotated[str | None, typer.Argument(help="A symbol, such as AAPL.")]
Values = Annotated[
    list[str], typer.Option("--param", "-p", help="fast=5:20:5 (from, to, step) or slow=20,30,40; may be repeated.")
]
File = Annotated[str | None, typer.Option(help="Bars from a CSV or Parquet file.")]
Period = Annotated[str, typer.Option(help="How far back: 1y, 5y, max.")]
IntervalText = Annotated[str, typer.Option(help="Length of a bar: 1d, 1h, 15m.")]
Source = Annotated[str | None, typer.Option(help="Only this price source, such as sample.")]
Money = Annotated[float, typer.Option(help="Money at the start.")]
SizeText = Annotated[str, typer.Option(help="'50%', '$2000', '10 shares' or 'risk 1%'.")]
Side = Annotated[str, typer.Option(help="long_only, short_only or long_short.")]
Loss = Annotated[str | None, typer.Option(help="Distance: 0.02, 2% or 2atr.")]
Cost = Annotated[str, typer.Option(help="Each side: 0.001, 0.1% or 10bps.")]
Slip = Annotated[str | None, typer.Option(help="Each side; default 5 bps plus half the spread.")]
Objective = Annotated[str, typer.Option(help="What is best: sharpe, sortino, calmar, total_return …")]
Method = Annotated[str, typer.Option(help="grid, random or optuna.")]
Trials = Annotated[int, typer.Option(help="How many, for random and optuna.")]
Threads = Annotated[int, typer.Option(help="Blocks at once.")]
Seed = Annotated[int, typer.Option(help="Of random choices.")]
User = Annotated[str | None, typer.Option(help="Whose saved strategy; every combination is counted for this user.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object instead of a table.")]


def sweep(
    strategy: Strategy,
    symbol: Symbol = None,
    param: Values = [],  # noqa: B006 - typer needs a list
    file: File = None,
    period: Period = "5y",
    interval: IntervalText = "1d",
    source: Source = None,
    cash: Money = 10_000.0,
    size: SizeText = "100%",
    direction: Side = "long_only",
    stop_loss: Loss = None,
    take_profit: Loss = None,
    trail: Loss = None,
    commission: Cost = "0",
    slippage: Slip = None,
    objective: Objective = "sharpe",
    method: Method = "grid",
    trials: Trials = 200,
    threads: Threads = 2,
    seed: Seed = 0,
    user: User = None,
    resume: Annotated[str | None, typer.Option(help="Folder for finished blocks; run again to go on.")] = None,
    top: Annotated[int, typer.Option(help="How many rows to show.")] = 20,
    json: Json = False,
) -> None:
    """Backtest every combination of settings.

    dashtrade sweep ema_cross AAPL -p fast=5:20:5 -p slow=20:60:10 --source sample
    """
    from dashtrade.backtest import SweepOptions
    from dashtrade.backtest import sweep as run
    from dashtrade.backtest.result import plain, records

    request = _request(locals())
    options = SweepOptions(
        method=method, objective=objective, trials=trials, threads=threads, resume=Path(resume) if resume else None
    )
    result = run(request, ranges(param), options, progress=None if json else _show)
    table = result.table.sort_values(objective, ascending=False, na_position="last").head(top)
    tries = len(result.table)
    deflated = result.deflated_sharpe()
    if user is not None:
        from dashtrade.bootstrap import runtime
        from dashtrade.cli.backtest import user_id
        from dashtrade.services.trials import record_sweep

        counted = record_sweep(runtime().uow(), user_id(user), result)
        tries, deflated = counted.count, result.deflated_sharpe(counted.count, counted.variance)
    if json:
        best = result.best
        found = {
            "best": plain(best),
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


def walkforward(
    strategy: Strategy,
    symbol: Symbol = None,
    param: Values = [],  # noqa: B006 - typer needs a list
    file: File = None,
    period: Period = "max",
    interval: IntervalText = "1d",
    source: Source = None,
    cash: Money = 10_000.0,
    size: SizeText = "100%",
    direction: Side = "long_only",
    stop_loss: Loss = None,
    take_profit: Loss = None,
    trail: Loss = None,
    commission: Cost = "0",
    slippage: Slip = None,
    objective: Objective = "sharpe",
    method: Method = "grid",
    trials: Trials = 200,
    threads: Threads = 2,
    seed: Seed = 0,
    user: User = None,
    train: Annotated[int, typer.Option(help="Bars to choose settings on.")] = 504,
    test: Annotated[int, typer.Option(help="Bars to trade them on.")] = 126,
    purge: Annotated[int, typer.Option(help="Unused bars between the two.")] = 0,
    embargo: Annotated[int, typer.Option(help="Bars after a test that later training leaves out.")] = 0,
    expanding: Annotated[bool, typer.Option("--expanding", help="Train on everything before.")] = False,
    json: Json = False,
) -> None:
    """Choose settings on the past, trade them on what follows, again and again.

    dashtrade walkforward ema_cross AAPL -p fast=5:20:5 -p slow=20:60:10 --source sample
    """
    from dashtrade.backtest import SweepOptions, Windows, walk_forward
    from dashtrade.backtest.result import plain, records

    request = _request(locals())
    windows = Windows(train=train, test=test, purge=purge, embargo=embargo, expanding=expanding)
    options = SweepOptions(method=method, objective=objective, trials=trials, threads=threads)
    result = walk_forward(request, ranges(param), windows, options)
    tries = len(result.tried)
    if user is not None:
        from dashtrade.bootstrap import runtime
        from dashtrade.cli.backtest import user_id
        from dashtrade.services.trials import record_walk_forward

        tries = record_walk_forward(runtime().uow(), user_id(user), result).count
    if json:
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


def _request(given: dict[str, Any]) -> BacktestRequest:
    """The engine's request, with the bars, from a command's options."""
    from dataclasses import replace

    from dashtrade.cli.backtest import known, user_id
    from dashtrade.services import backtests as service

    chosen = known(given["strategy"], user_id(given["user"]) if given["user"] else None)
    if isinstance(chosen, str):
        given = {**given, "strategy": chosen}
    else:
        given = {**given, "strategy": "ema_cross"}  # its place is taken below
    names = ("strategy", "period", "interval", "cash", "size", "direction", "commission")
    texts: dict[str, Any] = {n: given[n] or "" for n in ("source", "stop_loss", "take_profit", "trail", "slippage")}
    wanted = service.from_text(symbols=given["symbol"] or "", **{n: given[n] for n in names}, **texts)
    if not isinstance(chosen, str):
        wanted = replace(wanted, strategy=chosen)
    service.build(wanted, {"": None})  # type: ignore[dict-item]  # a wrong name should not wait for the data
    if given["file"] is not None:
        from dashtrade.services.bar_files import read_bars

        frame = read_bars(given["file"], given["symbol"] or "", given["interval"])
        bars = {frame.attrs["symbol"]: frame}
    else:
        from dashtrade.bootstrap import market

        bars = service.fetch(market(), wanted)
    return replace(service.build(wanted, bars), seed=given["seed"])


def _dump(found: dict[str, Any]) -> str:
    import json

    return json.dumps(found, allow_nan=False)


def _show(share: float, text: str) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"\r{text} " + ("\n" if share >= 1 else ""))
