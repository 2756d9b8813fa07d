"""Backtests as a page, a notebook or a command asks for them: fetch bars, run, count the trial, keep a record."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol

from dashtrade.backtest.control import Cancelled as Cancelled
from dashtrade.backtest.control import Control
from dashtrade.backtest.control import Progress as Progress
from dashtrade.backtest.rebalance import Rebalance
from dashtrade.backtest.request import BacktestRequest, Cash, Costs, Fill, Percent, RiskPercent, Shares, Size
from dashtrade.domain.market import HistoryRequest
from dashtrade.domain.strategy import Direction, Stops, Strategy
from dashtrade.errors import InvalidInput

if TYPE_CHECKING:
    import pandas as pd

    from dashtrade.backtest.result import BacktestResult
    from dashtrade.db.unit_of_work import UnitOfWork

MOST_SYMBOLS = 500


class Market(Protocol):
    """What is needed of market data."""

    def history(self, request: HistoryRequest, source: str | None = None) -> pd.DataFrame: ...


@dataclass(frozen=True, slots=True)
class RunRequest:
    """A backtest over bars that are still to be fetched. ``settings`` are a preset's parameters."""

    strategy: Strategy | str
    symbols: tuple[str, ...]
    period: str | None = "5y"
    interval: str = "1d"
    start: datetime | None = None
    end: datetime | None = None
    source: str | None = None
    settings: tuple[tuple[str, float], ...] = ()
    cash: float = 10_000.0
    size: Size = field(default_factory=Percent)
    costs: Costs = field(default_factory=Costs)
    stops: Stops | None = None
    direction: Direction | str = Direction.LONG_ONLY
    fill: Fill | str = Fill.NEXT_OPEN
    whole_shares: bool = False
    risk_free: float = 0.0
    seed: int = 0
    rebalance: Rebalance | None = None


def build(request: RunRequest, bars: dict[str, pd.DataFrame]) -> BacktestRequest:
    """The engine's request for these bars."""
    from dashtrade.strategies import preset

    strategy = request.strategy
    if not isinstance(strategy, Strategy):
        strategy = preset(strategy, **dict(request.settings))
    elif request.settings:
        raise InvalidInput("settings", "only presets take settings; change the strategy's own conditions instead.")
    return BacktestRequest(
        strategy=strategy,
        bars=bars,
        cash=request.cash,
        size=request.size,
        costs=request.costs,
        stops=request.stops,
        direction=request.direction,
        fill=request.fill,
        whole_shares=request.whole_shares,
        risk_free=request.risk_free,
        seed=request.seed,
        rebalance=request.rebalance,
    )


def fetch(
    market: Market, request: RunRequest, progress: Progress | None = None, cancelled: Callable[[], bool] | None = None
) -> dict[str, pd.DataFrame]:
    """The bars of every symbol, in order. Raises SourceError, InvalidInput, or Cancelled between two symbols."""
    if not request.symbols:
        raise InvalidInput("symbols", "give at least one symbol, such as AAPL.")
    if len(request.symbols) > MOST_SYMBOLS:
        raise InvalidInput("symbols", f"{len(request.symbols)} are too many; use at most {MOST_SYMBOLS}.")
    bars: dict[str, pd.DataFrame] = {}
    for n, text in enumerate(request.symbols):
        wanted = HistoryRequest.parse(text, request.interval, request.period, request.start, request.end)
        _step(0.8 * n / len(request.symbols), f"Fetching {wanted.symbol}", progress, cancelled)
        bars[wanted.symbol] = market.history(wanted, request.source)
    return bars


def run_backtest(
    market: Market,
    request: RunRequest,
    *,
    progress: Progress | None = None,
    cancelled: Callable[[], bool] | None = None,
    uow: UnitOfWork | None = None,
    user_id: int | None = None,
    recorded: Callable[[int], None] | None = None,
) -> BacktestResult:
    """Fetches the bars, runs the backtest and, for a user, counts the trial and keeps the record, whose number
    ``recorded`` is called with.

    Raises InvalidInput (which names the field), SourceError, BadBars, or Cancelled.
    """
    from dashtrade.backtest.run import backtest, resolve

    resolve(build(request, {"": None}))  # type: ignore[dict-item]  # what is wrong should not wait for the data
    bars = fetch(market, request, progress, cancelled)
    _step(0.8, "Running", progress, cancelled)
    result = backtest(build(request, bars), cancel=cancelled)
    if uow is not None and user_id is not None:
        from dashtrade.services.trials import record_run

        _step(0.95, "Keeping the record", progress, cancelled)
        number = record_run(uow, user_id, result)
        if recorded is not None:
            recorded(number)
    _step(1.0, "Done", progress, None)
    return result


def _step(share: float, text: str, progress: Progress | None, cancelled: Callable[[], bool] | None) -> None:
    Control(cancelled, progress).step(share, text)


def parse_fraction(text: str, field: str) -> float:
    """``0.02``, ``2%`` and ``200bps`` are the same."""
    word = str(text).strip().lower().replace(" ", "")
    for suffix, scale in (("%", 100.0), ("bps", 10_000.0), ("bp", 10_000.0)):
        if word.endswith(suffix):
            return _number(word.removesuffix(suffix), text, field) / scale
    return _number(word, text, field)


def parse_distance(text: str | None, name: str) -> dict[str, float]:
    """A stop distance: a fraction such as ``2%``, or ``3atr`` for multiples of the average true range."""
    if text is None:
        return {}
    word = str(text).strip().lower()
    if word.endswith("atr"):
        return {f"atr_{name}": _number(word.removesuffix("atr").strip(), text, name)}
    return {name: parse_fraction(word, name)}


def parse_size(text: str) -> Size:
    """``50%`` or ``50`` of equity, ``$2000``, ``10 shares``, ``risk 1%``, or ``risk 1% 3atr`` for a stop 3 ATR away."""
    word = str(text).strip().lower().replace(":", " ")
    if word.startswith("risk"):
        both = re.fullmatch(r"risk\s*(\S+?)\s*%?\s+(\S+?)\s*atr", word)
        if both is not None:
            return RiskPercent(_number(both[1], text, "size"), _number(both[2], text, "size"))
        return RiskPercent(_number(word.removeprefix("risk").strip().removesuffix("%"), text, "size"))
    if word.startswith(("$", "cash")):
        return Cash(_number(word.removeprefix("cash").strip().removeprefix("$"), text, "size"))
    if word.startswith("shares"):
        return Shares(_number(word.removeprefix("shares").strip(), text, "size"))
    for ending in ("shares", "share", "sh"):
        if word.endswith(ending):
            return Shares(_number(word.removesuffix(ending).strip(), text, "size"))
    return Percent(_number(word.removeprefix("percent").strip().removesuffix("%"), text, "size"))


def parse_moment(text: str, field: str, *, last: bool = False) -> datetime | None:
    """``2020-01-31`` (UTC) or a moment such as ``2020-01-31T14:30+00:00``; None for empty text. A ``last`` day is in it
    to its end."""
    word = str(text).strip()
    if not word:
        return None
    try:
        if len(word) <= 10:
            day = date.fromisoformat(word)
            return datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=int(last))
        moment = datetime.fromisoformat(word)
    except (ValueError, OverflowError):
        raise InvalidInput(field, f"{word[:40]!r} is not a day; write for example 2020-01-31.") from None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def from_text(
    *,
    symbols: str,
    strategy: str = "ema_cross",
    settings: Mapping[str, float] | None = None,
    rules: Mapping[str, Any] | None = None,
    entry: str = "",
    exit: str = "",
    short_entry: str = "",
    short_exit: str = "",
    source: str = "",
    period: str = "5y",
    interval: str = "1d",
    start: str = "",
    end: str = "",
    cash: float = 10_000.0,
    size: str = "100%",
    direction: str = "long_only",
    fill: str = "next_open",
    stop_loss: str = "",
    take_profit: str = "",
    trail: str = "",
    time_stop: int | None = None,
    commission: str = "0",
    slippage: str = "",
    spread: str = "",
    fixed_fee: float = 0.0,
    whole_shares: bool = False,
    risk_free: str = "0",
    rebalance: str = "",
    every: str = "month",
    band: str = "0",
    window: int = 63,
) -> RunRequest:
    """A request from what a person types: forms, notebooks and the command line share it. Empty text means "not given".

    With ``entry`` (or ``short_entry``) the conditions are the strategy, and ``strategy`` is only its name. ``rules`` is
    a whole strategy in its JSON form, and goes before both. ``start`` and ``end`` are days (the last is in it) or
    moments, and go before ``period``.
    """
    from dashtrade.strategies import from_dict, parse_condition

    chosen: Strategy | str = strategy
    if rules:
        chosen = from_dict(dict(rules))
    elif entry.strip() or short_entry.strip():
        typed: dict[str, str] = {
            "long_entry": entry,
            "long_exit": exit,
            "short_entry": short_entry,
            "short_exit": short_exit,
        }
        parsed: dict[str, Any] = {k: parse_condition(v) for k, v in typed.items() if v.strip()}
        chosen = Strategy(name="custom", **parsed)
    distances: dict[str, Any] = {}
    for text, name in ((stop_loss, "loss"), (take_profit, "profit"), (trail, "trail")):
        distances |= parse_distance(text or None, name)
    return RunRequest(
        strategy=chosen,
        symbols=tuple(s.strip() for s in symbols.replace(",", " ").split()),
        period=None if start.strip() else period,
        interval=interval,
        start=parse_moment(start, "start"),
        end=parse_moment(end, "end", last=True),
        source=source or None,
        settings=tuple((settings or {}).items()),
        cash=cash,
        size=parse_size(size),
        costs=Costs(
            commission=parse_fraction(commission or "0", "commission"),
            slippage=parse_fraction(slippage, "slippage") if slippage else None,
            spread=parse_fraction(spread, "spread") if spread else None,
            fixed=fixed_fee,
        ),
        stops=Stops(bars=time_stop, **distances) if distances or time_stop is not None else None,
        direction=direction,
        fill=fill,
        whole_shares=whole_shares,
        risk_free=parse_fraction(risk_free, "risk_free"),
        rebalance=Rebalance(rebalance, every, parse_fraction(band, "band"), window) if rebalance else None,
    )


def _number(word: str, text: object, field: str) -> float:
    examples = {"size": ("50%", "$2000", "10 shares", "risk 1%")}.get(field, ("0.02", "2%", "20bps"))
    try:
        return float(word)
    except ValueError:
        raise InvalidInput(
            field, f"{str(text)[:40]!r} is not understood; write for example {', '.join(examples)}."
        ) from None
