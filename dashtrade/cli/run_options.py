"""What ``backtest``, ``sweep`` and ``walkforward`` have in common: their options, and the request made from them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import MISSING, dataclass, fields, is_dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from dashtrade.errors import InvalidInput

if TYPE_CHECKING:
    import pandas as pd

    from dashtrade.domain.strategy import Strategy
    from dashtrade.services.backtests import Market, RunRequest


@dataclass(frozen=True, slots=True)
class RunOptions:
    """Bars, account and costs."""

    file: Annotated[str | None, typer.Option(help="Bars from a CSV or Parquet file instead of a source.")] = None
    period: Annotated[
        str | None, typer.Option(help="How far back: 1y, 5y, max. Default 5y; walkforward: max.", show_default=False)
    ] = None
    interval: Annotated[str | None, typer.Option(help="Length of a bar: 1d, 1h, 15m. Default 1d.")] = None
    source: Annotated[str | None, typer.Option(help="Only this price source, such as sample.")] = None
    cash: Annotated[float, typer.Option(help="Money at the start.")] = 10_000.0
    size: Annotated[str, typer.Option(help="'50%', '$2000', '10 shares' or 'risk 1%'.")] = "100%"
    direction: Annotated[str, typer.Option(help="long_only, short_only or long_short.")] = "long_only"
    fill: Annotated[str, typer.Option(help="next_open, or close (which nobody can trade).")] = "next_open"
    stop_loss: Annotated[str | None, typer.Option(help="Distance: 0.02, 2% or 2atr.")] = None
    take_profit: Annotated[str | None, typer.Option(help="Distance: 0.05, 5% or 3atr.")] = None
    trail: Annotated[str | None, typer.Option(help="Trailing distance: 0.03, 3% or 3atr.")] = None
    time_stop: Annotated[int | None, typer.Option(help="Leave after this many bars.")] = None
    commission: Annotated[str, typer.Option(help="Each side: 0.001, 0.1% or 10bps.")] = "0"
    slippage: Annotated[str | None, typer.Option(help="Each side; default 5 bps plus half the spread.")] = None
    spread: Annotated[str | None, typer.Option(help="Bid-ask spread, half of it paid on each side.")] = None
    fixed_fee: Annotated[float, typer.Option(help="Money for each order.")] = 0.0
    whole_shares: Annotated[bool, typer.Option("--whole-shares", help="No fractions of shares.")] = False
    risk_free: Annotated[str, typer.Option(help="Yearly rate for the ratios.")] = "0"
    seed: Annotated[int, typer.Option(help="Of random choices.")] = 0
    user: Annotated[
        str | None,
        typer.Option(help="Whose saved strategy and order of price sources; what is tried is counted for this user."),
    ] = None
    json: Annotated[bool, typer.Option("--json", help="One JSON object instead of tables.")] = False


@dataclass(frozen=True, slots=True)
class RebalanceOptions:
    """Many symbols with one cash."""

    rebalance: Annotated[str | None, typer.Option(help="Weights of the symbols: equal or inverse_volatility.")] = None
    every: Annotated[str, typer.Option(help="When weights are looked at: bar, day, week, month, quarter, year.")] = (
        "month"
    )
    band: Annotated[str, typer.Option(help="How far off a weight may be before something is done: 0.05 or 5%.")] = "0"
    window: Annotated[int, typer.Option(help="Bars that volatility is measured on.")] = 63


@dataclass(frozen=True, slots=True)
class SearchOptions:
    """Which settings, and how they are searched."""

    param: Annotated[
        list[str] | None,
        typer.Option("--param", "-p", help="fast=5:20:5 (from, to, step) or slow=20,30,40; may be repeated."),
    ] = None
    objective: Annotated[str, typer.Option(help="What is best: sharpe, sortino, calmar, total_return …")] = "sharpe"
    method: Annotated[str, typer.Option(help="grid, random or optuna.")] = "grid"
    trials: Annotated[int, typer.Option(help="How many, for random and optuna.")] = 200
    threads: Annotated[int, typer.Option(help="Blocks at once on this machine.")] = 2
    resume: Annotated[str | None, typer.Option(help="Folder for finished blocks; run again to go on.")] = None


_RULES = ("entry", "exit", "short_entry", "short_exit")
_OPTIONS = {
    "loss": "stop-loss", "atr_loss": "stop-loss", "profit": "take-profit", "atr_profit": "take-profit",
    "atr_trail": "trail", "bars": "time-stop", "fixed": "fixed-fee", "risk_free": "risk-free",
}  # fmt: skip
"""Fields of a request by the names of their options, where those differ."""


@contextmanager
def _naming(option: str = "") -> Iterator[None]:
    """What is wrong, under the name that was typed: ``option``, or the one that stands for the field."""
    try:
        yield
    except InvalidInput as error:
        name = option.replace("_", "-") or _OPTIONS.get(error.field)
        if name is None:
            raise
        raise InvalidInput(name, str(error).removeprefix(f"{error.field}: ")) from None


def expanded(command: Callable[..., None]) -> Callable[..., None]:
    """Every parameter that is a dataclass of options becomes those options on the command line."""
    hints = get_type_hints(command, include_extras=True)
    groups = {name: kind for name, kind in hints.items() if isinstance(kind, type) and is_dataclass(kind)}
    parameters = []
    for parameter in inspect.signature(command).parameters.values():
        if parameter.name not in groups:
            parameters.append(parameter.replace(annotation=hints[parameter.name], kind=parameter.KEYWORD_ONLY))
            continue
        own = get_type_hints(groups[parameter.name], include_extras=True)
        for field in fields(groups[parameter.name]):
            default = parameter.empty if field.default is MISSING else field.default
            parameters.append(
                inspect.Parameter(field.name, parameter.KEYWORD_ONLY, default=default, annotation=own[field.name])
            )

    def call(**given: Any) -> None:
        for name, kind in groups.items():
            given[name] = kind(**{field.name: given.pop(field.name) for field in fields(kind)})
        command(**given)

    call.__doc__ = command.__doc__
    call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    call.__annotations__ = {p.name: p.annotation for p in parameters}
    return call


def owner_of(run: RunOptions) -> int | None:
    """The id of the user named by --user; InvalidInput where there is none."""
    return user_id(run.user) if run.user else None


def user_id(name: str) -> int:
    """The id of the user of this name; InvalidInput where there is none."""
    from dashtrade.bootstrap import runtime
    from dashtrade.services import users

    with runtime().uow() as uow:
        for line in users.list_users(uow):
            if line.user.username == name.strip().lower():
                return line.user.id
    raise InvalidInput("user", f"there is no user {name!r}; `dashtrade user list` shows them.")


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


def request_of(
    chosen: Strategy | str,
    symbols: list[str],
    run: RunOptions,
    weights: RebalanceOptions | None = None,
    period: str = "5y",
    **rules: Any,
) -> RunRequest:
    """What is asked for; ``rules`` are ``settings`` of a preset and conditions as text."""
    from dashtrade.services import backtests as service
    from dashtrade.strategies import parse_condition

    for name in ("period", "source"):
        if run.file is not None and getattr(run, name):
            raise InvalidInput(name, "is for price sources; the bars of --file are taken as they are. Leave one out.")
    names = ("cash", "size", "direction", "fill", "time_stop", "commission", "fixed_fee", "whole_shares", "risk_free")
    texts: dict[str, Any] = {
        n: getattr(run, n) or "" for n in ("source", "stop_loss", "take_profit", "trail", "slippage", "spread")
    }
    if weights is not None:
        texts |= {n: getattr(weights, n) or "" for n in ("rebalance", "every", "band")} | {"window": weights.window}
    for name, text in rules.items():
        if name in _RULES and text.strip():
            with _naming(name):
                parse_condition(text)
    with _naming():
        request = service.from_text(
            symbols=" ".join(symbols),
            strategy=chosen if isinstance(chosen, str) else "custom",
            period=run.period or period,
            interval=run.interval or "1d",
            **{n: getattr(run, n) for n in names},
            **texts,
            **rules,
        )
    request = replace(request, seed=run.seed)
    return request if isinstance(chosen, str) else replace(request, strategy=chosen)


def market_of(owner: int | None) -> Market:
    """Market data in the user's order of sources; without a user, in the installation's."""
    from dashtrade import bootstrap

    return bootstrap.market() if owner is None else bootstrap.market_of(owner)


def bars_of(file: str, request: RunRequest, interval: str | None) -> dict[str, pd.DataFrame]:
    """Bars from a file, for the symbols asked for."""
    from dashtrade.services.bar_files import read_bars

    return {b.attrs["symbol"]: b for b in (read_bars(file, s, interval) for s in request.symbols or ("",))}
