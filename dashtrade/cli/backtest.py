"""``dashtrade backtest``: one backtest from the command line, as a table or as one JSON object."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from dashtrade.errors import InvalidInput

if TYPE_CHECKING:
    from dashtrade.backtest import BacktestResult
    from dashtrade.domain.strategy import Stops, Strategy

Text = Annotated[str | None, typer.Option()]


def register(app: typer.Typer) -> None:
    app.command("backtest")(backtest)


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
    json: Annotated[bool, typer.Option("--json", help="One JSON object instead of tables.")] = False,
) -> None:
    """Backtest a preset or your own conditions.

    dashtrade backtest ema_cross AAPL --source sample
    dashtrade backtest --file bars.csv --entry "rsi < 30" --exit "rsi > 60" --stop-loss 2%
    """
    from dashtrade.backtest import Costs
    from dashtrade.backtest import backtest as run
    from dashtrade.services import backtests as service

    if (entry or short_entry) and strategy is not None:  # with own conditions the first word is a symbol
        symbols, strategy = [strategy, *(symbols or [])], None
    owner = _user_id(user) if user else None
    chosen = _strategy(strategy, entry, exit, short_entry, short_exit, owner)
    request = service.RunRequest(
        strategy=chosen,
        symbols=tuple(s for text in symbols or [] for s in text.split(",") if s),
        period=period,
        interval=interval or "1d",
        source=source,
        settings=_settings(setting),
        cash=cash,
        size=service.parse_size(size),
        costs=Costs(
            commission=service.parse_fraction(commission, "commission"),
            slippage=None if slippage is None else service.parse_fraction(slippage, "slippage"),
            spread=None if spread is None else service.parse_fraction(spread, "spread"),
            fixed=fixed_fee,
        ),
        stops=_stops(stop_loss, take_profit, trail, time_stop),
        direction=direction,
        fill=fill,
        whole_shares=whole_shares,
        risk_free=service.parse_fraction(risk_free, "risk_free"),
    )
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
    if json:
        typer.echo(result.to_json())
    else:
        _print(result)


def _strategy(
    name: str | None, entry: str | None, leave: str | None, short_entry: str | None, short_exit: str | None,
    owner: int | None,
) -> Strategy | str:  # fmt: skip
    from dashtrade.domain.strategy import Strategy
    from dashtrade.strategies import PRESETS, parse_condition

    if entry or short_entry:
        rules = {"long_entry": entry, "long_exit": leave, "short_entry": short_entry, "short_exit": short_exit}
        return Strategy(name="custom", **{k: parse_condition(v) for k, v in rules.items() if v})
    if name is None:
        raise InvalidInput("strategy", "name a preset, or give --entry and --exit.", allowed=sorted(PRESETS))
    if owner is not None and name not in PRESETS:
        from dashtrade.bootstrap import runtime
        from dashtrade.services.strategies import load_strategy

        with runtime().uow() as uow:
            return load_strategy(uow, owner, name)
    PRESETS[name]
    return name


def _settings(texts: list[str] | None) -> tuple[tuple[str, float], ...]:
    out = []
    for text in texts or []:
        name, _, value = text.partition("=")
        try:
            out.append((name.strip(), float(value)))
        except ValueError:
            raise InvalidInput("set", f"{text!r} is not understood; write for example --set fast=5.") from None
    return tuple(out)


def _stops(loss: str | None, profit: str | None, trail: str | None, bars: int | None) -> Stops | None:
    from dashtrade.domain.strategy import Stops
    from dashtrade.services.backtests import parse_distance

    if loss is None and profit is None and trail is None and bars is None:
        return None
    given = {**parse_distance(loss, "loss"), **parse_distance(profit, "profit"), **parse_distance(trail, "trail")}
    return Stops(bars=bars, **given)


def _user_id(name: str) -> int:
    from dashtrade.bootstrap import runtime
    from dashtrade.services import users

    with runtime().uow() as uow:
        return next(
            (line.user.id for line in users.list_users(uow) if line.user.username == name.lower()), None
        ) or _none(name)


def _none(name: str) -> int:
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
