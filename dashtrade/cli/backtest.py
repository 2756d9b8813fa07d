"""``dashtrade backtest``: one backtest from the command line, as a table or as one JSON object."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Annotated

import typer

from dashtrade.errors import InvalidInput

if TYPE_CHECKING:
    from dashtrade.backtest import BacktestResult
    from dashtrade.backtest.evidence import Evidence
    from dashtrade.domain.strategy import Strategy

Text = Annotated[str | None, typer.Option()]


def register(app: typer.Typer) -> None:
    from dashtrade.cli import strategy, sweeps

    app.command("backtest")(backtest)
    app.command("sweep")(sweeps.sweep)
    app.command("walkforward")(sweeps.walkforward)
    app.add_typer(strategy.app, name="strategy")


def backtest(
    strategy: Annotated[str | None, typer.Argument(help="A preset, or a saved strategy with --user.")] = None,
    symbols: Annotated[list[str] | None, typer.Argument(help="Symbols, such as AAPL MSFT.")] = None,
    file: Annotated[str | None, typer.Option(help="Bars from a CSV or Parquet file instead of a source.")] = None,
    entry: Annotated[str | None, typer.Option(help="Entry condition: 'ema_9 crosses_above ema_21'.")] = None,
    exit: Annotated[str | None, typer.Option(help="Exit condition.")] = None,
    short_entry: Annotated[str | None, typer.Option(help="Entry condition of short positions.")] = None,
    short_exit: Annotated[str | None, typer.Option(help="Exit condition of short positions.")] = None,
    setting: Annotated[list[str] | None, typer.Option("--set", help="A preset's setting: --set fast=5.")] = None,
    period: Annotated[str, typer.Option(help="How far back: 1y, 5y, max.")] = "5y",
    interval: Annotated[str | None, typer.Option(help="Length of a bar: 1d, 1h, 15m. Default 1d.")] = None,
    source: Annotated[str | None, typer.Option(help="Only this price source, such as sample.")] = None,
    cash: Annotated[float, typer.Option(help="Money at the start.")] = 10_000.0,
    size: Annotated[str, typer.Option(help="'50%', '$2000', '10 shares' or 'risk 1%'.")] = "100%",
    direction: Annotated[str, typer.Option(help="long_only, short_only or long_short.")] = "long_only",
    fill: Annotated[str, typer.Option(help="next_open, or close (which nobody can trade).")] = "next_open",
    stop_loss: Annotated[str | None, typer.Option(help="Distance: 0.02, 2% or 2atr.")] = None,
    take_profit: Annotated[str | None, typer.Option(help="Distance: 0.05, 5% or 3atr.")] = None,
    trail: Annotated[str | None, typer.Option(help="Trailing distance: 0.03, 3% or 3atr.")] = None,
    time_stop: Annotated[int | None, typer.Option(help="Leave after this many bars.")] = None,
    commission: Annotated[str, typer.Option(help="Each side: 0.001, 0.1% or 10bps.")] = "0",
    slippage: Annotated[str | None, typer.Option(help="Each side; default 5 bps plus half the spread.")] = None,
    spread: Annotated[str | None, typer.Option(help="Bid-ask spread, half of it paid on each side.")] = None,
    fixed_fee: Annotated[float, typer.Option(help="Money for each order.")] = 0.0,
    whole_shares: Annotated[bool, typer.Option("--whole-shares", help="No fractions of shares.")] = False,
    risk_free: Annotated[str, typer.Option(help="Yearly rate for the ratios.")] = "0",
    user: Annotated[str | None, typer.Option(help="Whose saved strategy; the run is counted for this user.")] = None,
    evidence: Annotated[
        bool, typer.Option("--evidence", help="Also how much of it could be luck (one symbol).")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="One JSON object instead of tables.")] = False,
) -> None:
    """Backtest a preset or your own conditions.

    dashtrade backtest ema_cross AAPL --source sample
    dashtrade backtest --file bars.csv --entry "rsi < 30" --exit "rsi > 60" --stop-loss 2%
    """
    from dashtrade.backtest import backtest as run
    from dashtrade.services import backtests as service

    if (entry or short_entry) and strategy is not None:  # with own conditions the first word is a symbol
        symbols, strategy = [strategy, *(symbols or [])], None
    owner = user_id(user) if user else None
    saved = strategy if entry or short_entry else known(strategy, owner)
    request = service.from_text(
        symbols=" ".join(symbols or []),
        strategy=saved if isinstance(saved, str) else "custom",
        settings=_settings(setting),
        entry=entry or "",
        exit=exit or "",
        short_entry=short_entry or "",
        short_exit=short_exit or "",
        source=source or "",
        period=period,
        interval=interval or "1d",
        cash=cash,
        size=size,
        direction=direction,
        fill=fill,
        stop_loss=stop_loss or "",
        take_profit=take_profit or "",
        trail=trail or "",
        time_stop=time_stop,
        commission=commission,
        slippage=slippage or "",
        spread=spread or "",
        fixed_fee=fixed_fee,
        whole_shares=whole_shares,
        risk_free=risk_free,
    )
    if saved is not None and not isinstance(saved, str):
        request = replace(request, strategy=saved)
    if file is not None:
        from dashtrade.services.bar_files import read_bars

        bars = {b.attrs["symbol"]: b for b in (read_bars(file, s, interval) for s in request.symbols or ("",))}
        result = run(service.build(request, bars))
        if owner is not None:
            _record(owner, result)
    else:
        from dashtrade.bootstrap import market, runtime

        uow = runtime().uow() if owner is not None else None
        result = service.run_backtest(market(), request, uow=uow, user_id=owner)
    panel = _evidence(result, owner) if evidence else None
    if json:
        from json import dumps

        from dashtrade.backtest.result import plain

        found = result.to_dict()
        if panel is not None:
            found["evidence"] = plain({**asdict(panel), "sentences": panel.sentences()})
        typer.echo(dumps(found, allow_nan=False))
        return
    _print(result)
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


def known(name: str | None, owner: int | None) -> Strategy | str:
    """A preset's name, or the saved strategy of this name."""
    from dashtrade.strategies import PRESETS

    if name is None:
        raise InvalidInput("strategy", "name a preset, or give --entry and --exit.", allowed=sorted(PRESETS))
    if owner is not None and name not in PRESETS:
        from dashtrade.bootstrap import runtime
        from dashtrade.services.strategies import load_strategy

        with runtime().uow() as uow:
            return load_strategy(uow, owner, name)
    return PRESETS[name].key


def _settings(texts: list[str] | None) -> dict[str, float]:
    out = {}
    for text in texts or []:
        name, _, value = text.partition("=")
        try:
            out[name.strip()] = float(value)
        except ValueError:
            raise InvalidInput("set", f"{text!r} is not understood; write for example --set fast=5.") from None
    return out


def user_id(name: str) -> int:
    """The id of the user of this name; InvalidInput where there is none."""
    from dashtrade.bootstrap import runtime
    from dashtrade.services import users

    with runtime().uow() as uow:
        for line in users.list_users(uow):
            if line.user.username == name.strip().lower():
                return line.user.id
    raise InvalidInput("user", f"there is no user {name!r}; `dashtrade user list` shows them.")


def _record(owner: int, result: BacktestResult) -> None:
    from dashtrade.bootstrap import runtime
    from dashtrade.services.trials import record_run

    record_run(runtime().uow(), owner, result)


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
