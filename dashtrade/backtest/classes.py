"""The documented classes: ``Backtester``, ``BacktestResults``, ``Trade``, ``StrategyCondition``, ``CustomStrategy``.

They speak in lists of conditions and plain numbers, and run on the same engine as ``backtest``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pandas as pd

from dashtrade.backtest.request import BacktestRequest, Costs, Percent, is_number
from dashtrade.backtest.result import BacktestResult
from dashtrade.backtest.run import backtest
from dashtrade.domain.strategy import AllOf, AnyOf, Rule, Stops, Strategy
from dashtrade.errors import InvalidInput
from dashtrade.strategies import parse_condition
from dashtrade.strategies.parser import OPERATORS


@dataclass(frozen=True, slots=True)
class StrategyCondition:
    """``indicator1 operator indicator2``, such as ``StrategyCondition("ema_9", "crosses_above", "ema_21")``.

    Either side may be a price, an indicator or a number. An unknown name or operator is an error that lists the
    options.

    >>> import dashtrade as dt
    >>> dt.StrategyCondition("ema_9", "crosses_above", "ema_21").rule().operator.value
    'crosses_above'
    """

    indicator1: str | float
    operator: str
    indicator2: str | float

    def __post_init__(self) -> None:
        word = str(self.operator).strip().lower().replace(" ", "_")
        if word not in OPERATORS:
            raise InvalidInput("operator", f"{self.operator!r} is not an operator.", allowed=OPERATORS)
        self.rule()

    def rule(self) -> Rule:
        operator = str(self.operator).strip().lower().replace(" ", "_")
        return parse_condition(f"{self.indicator1} {operator} {self.indicator2}")


ConditionLike = StrategyCondition | str | Mapping[str, Any] | Sequence[Any]


def as_rule(conditions: ConditionLike | Iterable[ConditionLike] | None, any_of: bool = False) -> Rule | None:
    """One rule from conditions given as objects, text, ``{"indicator1": …, "operator": …, "indicator2": …}`` or
    triples."""
    if conditions is None:
        return None
    single = isinstance(conditions, str | StrategyCondition | Mapping)
    items = [conditions] if single else list(conditions)  # type: ignore[arg-type]
    rules = tuple(_one(item) for item in items)
    if not rules:
        return None
    if len(rules) == 1:
        return rules[0]
    return AnyOf(rules) if any_of else AllOf(rules)


def _one(item: Any) -> Rule:
    if isinstance(item, str):
        return parse_condition(item)
    if isinstance(item, StrategyCondition):
        return item.rule()
    if isinstance(item, Mapping):
        missing = [n for n in ("indicator1", "operator", "indicator2") if n not in item]
        if missing:
            raise InvalidInput(
                "condition", f"has no {', '.join(missing)}.", allowed=["indicator1", "operator", "indicator2"]
            )
        return StrategyCondition(item["indicator1"], item["operator"], item["indicator2"]).rule()
    if isinstance(item, Sequence) and len(item) == 3:
        return StrategyCondition(*item).rule()
    raise InvalidInput("condition", f"{item!r} is not a condition; write for example 'ema_9 crosses_above ema_21'.")


@dataclass(frozen=True, slots=True)
class CustomStrategy:
    """Entry when all entry conditions hold, exit when any exit condition does; distances in percent of the price.

    >>> import dashtrade as dt
    >>> dt.CustomStrategy("dip", ["rsi < 30"], ["rsi > 60"], stop_loss_pct=5).strategy().stops.loss
    0.05
    """

    name: str
    entry_conditions: Sequence[ConditionLike]
    exit_conditions: Sequence[ConditionLike] = ()
    stop_loss_pct: float | None = None
    take_profit_pct: float | None = None
    trailing_stop_pct: float | None = None
    description: str = ""

    def strategy(self) -> Strategy:
        return Strategy(
            name=self.name,
            long_entry=as_rule(tuple(_items(self.entry_conditions))),
            long_exit=as_rule(tuple(_items(self.exit_conditions)), any_of=True),
            stops=Stops(
                loss=_fraction("stop_loss_pct", self.stop_loss_pct),
                profit=_fraction("take_profit_pct", self.take_profit_pct),
                trail=_fraction("trailing_stop_pct", self.trailing_stop_pct),
            ),
            description=self.description,
        )


def _fraction(name: str, percent: float | None) -> float | None:
    if percent is None:
        return None
    if not is_number(percent) or not 0 < percent < (math.inf if name == "take_profit_pct" else 100):
        raise InvalidInput(name, f"{percent!r} is not a percentage of the price; 2 is 2 %.")
    return float(percent) / 100


@dataclass(frozen=True, slots=True)
class Trade:
    """One trade from flat to flat.

    ``side`` is LONG or SHORT; ``pnl`` is money after fees, ``pnl_percent`` in percent of the entry's value.
    ``exit_reason`` is exit, stop, target, trail or open; an open trade is valued at the last close.

    >>> import dashtrade as dt
    >>> bars = dt.history("AAPL", period="5y", source="sample")
    >>> found = dt.Backtester().run(dt.CustomStrategy("dip", ["rsi < 35"], ["rsi > 60"]), bars)
    >>> isinstance(found.trades[0], dt.Trade)
    True
    """

    symbol: str
    side: str
    entry_date: datetime
    entry_price: float
    exit_date: datetime
    exit_price: float
    quantity: float
    pnl: float
    pnl_percent: float
    fees: float
    bars_held: int
    exit_reason: str
    is_open: bool


@dataclass(frozen=True, slots=True)
class BacktestResults:
    """What a backtest earned; the whole result is ``result``.

    ``win_rate``, ``max_drawdown`` (positive) and what ends in percent or pct are in percent. ``total_pnl`` and all that
    counts or averages trades are of closed trades, in money after fees; ``total_return`` is money too and
    includes a position that is still open. Averages and extremes of no trades are 0; ratios of no trades are NaN.
    ``consecutive_wins`` and ``consecutive_losses`` are the longest runs of trades in the order of their exits.

    >>> import dashtrade as dt
    >>> bars = dt.history("AAPL", period="5y", source="sample")
    >>> found = dt.Backtester().backtest_strategy(bars, ["rsi < 35"], ["rsi > 60"])
    >>> found.num_trades == found.winning_trades + found.losing_trades
    True
    """

    initial_capital: float
    final_capital: float
    total_pnl: float
    total_return: float
    total_return_percent: float
    buy_hold_return_pct: float
    annual_return_pct: float
    num_trades: int
    winning_trades: int
    losing_trades: int
    win_rate: float
    avg_win: float
    avg_loss: float
    largest_win: float
    largest_loss: float
    profit_factor: float
    expectancy: float
    max_drawdown: float
    max_drawdown_amount: float
    sharpe_ratio: float
    sortino_ratio: float
    calmar_ratio: float
    consecutive_wins: int
    consecutive_losses: int
    avg_bars_held: float
    exposure_pct: float
    trades: tuple[Trade, ...]
    equity_curve: pd.Series
    result: BacktestResult = field(repr=False)

    @classmethod
    def of(cls, result: BacktestResult) -> BacktestResults:
        s = result.statistics
        closed = result.trades[result.trades["status"] == "closed"]
        peak = result.equity.cummax().clip(lower=result.request.cash)
        return cls(
            initial_capital=result.request.cash,
            final_capital=result.final_equity,
            total_pnl=float(closed["pnl"].sum()),
            total_return=result.final_equity - result.request.cash,
            total_return_percent=100 * s["total_return"],
            buy_hold_return_pct=100 * s["buy_and_hold_return"],
            annual_return_pct=100 * s["cagr"],
            num_trades=len(closed),
            winning_trades=int((closed["pnl"] > 0).sum()),
            losing_trades=int((closed["pnl"] < 0).sum()),
            win_rate=_or_zero(100 * s["win_rate"]),
            avg_win=_or_zero(s["average_win"]),
            avg_loss=_or_zero(s["average_loss"]),
            largest_win=_or_zero(s["largest_win"]),
            largest_loss=_or_zero(s["largest_loss"]),
            profit_factor=s["profit_factor"],
            expectancy=s["expectancy"],
            max_drawdown=abs(100 * s["max_drawdown"]),
            max_drawdown_amount=float((peak - result.equity).max()),
            sharpe_ratio=s["sharpe"],
            sortino_ratio=s["sortino"],
            calmar_ratio=s["calmar"],
            consecutive_wins=int(s["consecutive_wins"]),
            consecutive_losses=int(s["consecutive_losses"]),
            avg_bars_held=s["average_bars_in_trade"],
            exposure_pct=100 * s["exposure"],
            trades=tuple(_trade(row) for row in result.trades.to_dict("records")),
            equity_curve=result.equity,
            result=result,
        )


def _or_zero(value: float) -> float:
    return 0.0 if math.isnan(value) else value


def _trade(row: Mapping[Any, Any]) -> Trade:
    return Trade(
        symbol=row["symbol"],
        side=row["direction"].upper(),
        entry_date=row["entry_time"].to_pydatetime(),
        entry_price=row["entry_price"],
        exit_date=row["exit_time"].to_pydatetime(),
        exit_price=row["exit_price"],
        quantity=row["qty"],
        pnl=row["pnl"],
        pnl_percent=100 * row["return"],
        fees=row["fees"],
        bars_held=row["bars"],
        exit_reason=row["reason"],
        is_open=row["status"] == "open",
    )


class Backtester:
    """``Backtester().backtest_strategy(df, entry_conditions, exit_conditions)``.

    >>> import dashtrade as dt
    >>> bars = dt.history("AAPL", period="5y", source="sample")
    >>> dt.Backtester(commission=0.001).backtest_strategy(bars, ["rsi < 35"], ["rsi > 60"]).num_trades > 3
    True
    """

    def __init__(self, commission: float = 0.0, slippage: float | None = None) -> None:
        self.costs = Costs(commission=commission, slippage=slippage)

    def backtest_strategy(
        self,
        df: pd.DataFrame,
        entry_conditions: ConditionLike | Iterable[ConditionLike],
        exit_conditions: ConditionLike | Iterable[ConditionLike] | None = None,
        initial_capital: float = 10_000,
        position_size_pct: float = 100,
        stop_loss_pct: float | None = None,
        take_profit_pct: float | None = None,
        trailing_stop_pct: float | None = None,
        symbol: str | None = None,
    ) -> BacktestResults:
        """Long positions over bars ``df`` (columns in any case). All entry conditions must hold; any exit condition
        leaves.

        Raises InvalidInput for an unknown indicator or operator, listing the options, and BadBars for bars that
        cannot be used.
        """
        strategy = CustomStrategy(
            "custom",
            tuple(_items(entry_conditions)),
            tuple(_items(exit_conditions)),
            stop_loss_pct,
            take_profit_pct,
            trailing_stop_pct,
        )
        return self.run(strategy, df, initial_capital, position_size_pct, symbol)

    def run(
        self,
        strategy: CustomStrategy,
        df: pd.DataFrame,
        initial_capital: float = 10_000,
        position_size_pct: float = 100,
        symbol: str | None = None,
    ) -> BacktestResults:
        """The same for a strategy that is already built."""
        bars = _bars(df)
        name = symbol or str(df.attrs.get("symbol") or "SYMBOL")
        return BacktestResults.of(
            backtest(
                BacktestRequest(
                    strategy=strategy.strategy(),
                    bars={name: bars},
                    cash=initial_capital,
                    size=Percent(position_size_pct),
                    costs=self.costs,
                )
            )
        )


def _items(conditions: Any) -> list[Any]:
    if conditions is None:
        return []
    if isinstance(conditions, str | StrategyCondition | Mapping):
        return [conditions]
    return list(conditions)


def _bars(df: pd.DataFrame) -> pd.DataFrame:
    """Bars with lower-case columns and a UTC index; the frame given is not changed."""
    bars = df.rename(columns={c: str(c).lower() for c in df.columns})
    if isinstance(bars.index, pd.DatetimeIndex) and bars.index.tz is None:
        bars = bars.tz_localize("UTC")
    bars.attrs = dict(df.attrs)
    return bars
