"""``dashtrade backtest``: one backtest from the command line, as a table or as one JSON object."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from dashtrade.cli.run_options import (
    RebalanceOptions,
    RunOptions,
    bars_of,
    expanded,
    known,
    market_of,
    owner_of,
    request_of,
)
from dashtrade.cli.run_options import user_id as user_id  # other commands take it from here
from dashtrade.errors import InvalidInput

if TYPE_CHECKING:
    from dashtrade.backtest import BacktestResult
    from dashtrade.backtest.evidence import Evidence


def register(app: typer.Typer) -> None:
    from dashtrade.cli import strategy, sweeps

    app.command("backtest")(backtest)
    app.command("sweep")(sweeps.sweep)
    app.command("walkforward")(sweeps.walkforward)
    app.add_typer(strategy.app, name="strategy")


@expanded
def backtest(
    strategy: Annotated[str | None, typer.Argument(help="A preset, or a saved strategy with --user.")] = None,
    symbols: Annotated[list[str] | None, typer.Argument(help="Symbols, such as AAPL MSFT.")] = None,
    *,
    entry: Annotated[str | None, typer.Option(help="Entry condition: 'ema_9 crosses_above ema_21'.")] = None,
    exit: Annotated[str | None, typer.Option(help="Exit condition.")] = None,
    short_entry: Annotated[str | None, typer.Option(help="Entry condition of short positions.")] = None,
    short_exit: Annotated[str | None, typer.Option(help="Exit condition of short positions.")] = None,
    setting: Annotated[list[str] | None, typer.Option("--set", help="A preset's setting: --set fast=5.")] = None,
    run: RunOptions,
    weights: RebalanceOptions,
    evidence: Annotated[bool, typer.Option("--evidence", help="Also how much of it could be luck.")] = False,
) -> None:
    """Backtest a preset or your own conditions.

    dashtrade backtest ema_cross AAPL --source sample
    dashtrade backtest --file bars.csv --entry "rsi < 30" --exit "rsi > 60" --stop-loss 2%
    dashtrade backtest buy_and_hold AAPL MSFT IBM --rebalance equal --every month --band 5%
    """
    from dashtrade.backtest import backtest as simulate
    from dashtrade.bootstrap import runtime
    from dashtrade.services import backtests as service

    rules = {"entry": entry, "exit": exit, "short_entry": short_entry, "short_exit": short_exit}
    own = bool(entry or short_entry)
    if own and strategy is not None:  # with own conditions the first word is a symbol
        symbols, strategy = [strategy, *(symbols or [])], None
    owner = owner_of(run)
    chosen = "custom" if own else known(strategy, owner)
    request = request_of(
        chosen, symbols or [], run, weights, settings=settings_of(setting), **{n: v or "" for n, v in rules.items()}
    )
    if run.file is not None:
        result = simulate(service.build(request, bars_of(run.file, request, run.interval)))
        if owner is not None:
            from dashtrade.services.trials import record_run

            record_run(runtime().uow(), owner, result)
    else:
        uow = runtime().uow() if owner is not None else None
        result = service.run_backtest(market_of(owner), request, uow=uow, user_id=owner)
    panel = _evidence(result, owner) if evidence else None
    if run.json:
        from json import dumps

        from dashtrade.backtest.result import plain

        found = result.to_dict()
        if panel is not None:
            figures = panel.to_frame()["value"].to_dict()
            found["evidence"] = plain({**figures, "neighbours": panel.neighbours, "sentences": panel.sentences()})
        typer.echo(dumps(found, allow_nan=False))
        return
    _print(result)
    if len(result.contribution) > 1:
        typer.echo("\nContribution")
        for symbol, earned in result.contribution.items():
            typer.echo(f"  {symbol:<32}{earned:>16,.2f}")
    for line in panel.sentences() if panel is not None else ():
        typer.echo(f"Evidence: {line}")


def _evidence(result: BacktestResult, owner: int | None) -> Evidence:
    """The honesty panel; with the user's own number of tries where there is a user."""
    from dashtrade.backtest.evidence import evidence

    if owner is None:
        return evidence(result)
    from dashtrade.bootstrap import runtime
    from dashtrade.services.trials import evidence_of

    return evidence_of(runtime().uow(), owner, result)


def settings_of(texts: list[str] | None) -> dict[str, float]:
    out = {}
    for text in texts or []:
        name, _, value = text.partition("=")
        try:
            out[name.strip()] = float(value)
        except ValueError:
            raise InvalidInput("set", f"{text!r} is not understood; write for example --set fast=5.") from None
    return out


def _print(result: BacktestResult) -> None:
    """Statistics, the last trades, and what one should know."""
    from dashtrade.backtest.words import STATISTICS, shown

    typer.echo(f"{result.strategy.name} on {', '.join(result.request.bars)}")
    for key, label in STATISTICS.items():
        typer.echo(f"  {label:<32}{shown(key, result.statistics[key]):>16}")
    if len(result.trades):
        typer.echo("\nLast trades")
        columns = ["symbol", "direction", "entry_time", "entry_price", "exit_time", "exit_price", "pnl", "reason"]
        typer.echo(result.trades[columns].tail(10).to_string(index=False, float_format=lambda v: f"{v:,.2f}"))
    for line in result.warnings:
        typer.echo(f"Note: {line}")
