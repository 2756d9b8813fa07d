"""The documented classes: ``Backtester``, ``BacktestResults``, ``Trade``, ``StrategyCondition``, ``CustomStrategy``.

They speak in lists of conditions and plain numbers, and run on the same engine as ``backtest``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pandas as pd

from dashtrade.backtest.request import BacktestRequest, Costs, Percent
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
    """Entry when all entry conditions hold, exit when any exit condition does; distances are fractions of the price."""

    name: str
    entry_conditions: tuple[ConditionLike, ...]
    exit_conditions: tuple[ConditionLike, ...] = ()
    stop_loss: float | None = None
    take_profit: float | None = None
    trailing_stop: float | None = None
    description: str = ""

    def strategy(self) -> Strategy:
        return Strategy(
            name=self.name,
            long_entry=as_rule(self.entry_conditions),
            long_exit=as_rule(self.exit_conditions, any_of=True),
            stops=Stops(loss=self.stop_loss, profit=self.take_profit, trail=self.trailing_stop),
            description=self.description,
        )


@dataclass(frozen=True, slots=True)
class Trade:
    """One trade from flat to flat; ``exit_reason`` is exit, stop, target, trail or open."""

    symbol: str
    side: str
    entry_date: datetime
    entry_price: float
    exit_date: datetime
    exit_price: float
    quantity: float
    pnl: float
    pnl_pct: float
    fees: float
    bars_held: int
    exit_reason: str
    is_open: bool


@dataclass(frozen=True, slots=True)
class BacktestResults:
    """What a backtest earned. Percentages are in percent, ``max_drawdown`` is positive; the whole result is
    ``result``."""

    initial_capital: float
    final_capital: float
    total_return: float
    total_return_pct: float
    buy_hold_return_pct: float
    annual_return_pct: float
    total_trades: int
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
    max_drawdown_pct: float
    sharpe_ratio: float
    sortino_ratio: float
    calmar_ratio: float
    max_consecutive_wins: int
    max_consecutive_losses: int
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
            total_return=result.final_equity - result.request.cash,
            total_return_pct=100 * s["total_return"],
            buy_hold_return_pct=100 * s["buy_and_hold_return"],
            annual_return_pct=100 * s["cagr"],
            total_trades=len(closed),
            winning_trades=int((closed["pnl"] > 0).sum()),
            losing_trades=int((closed["pnl"] < 0).sum()),
            win_rate=100 * s["win_rate"],
            avg_win=s["average_win"],
            avg_loss=s["average_loss"],
            largest_win=s["largest_win"],
            largest_loss=s["largest_loss"],
            profit_factor=s["profit_factor"],
            expectancy=s["expectancy"],
            max_drawdown=float((peak - result.equity).max()),
            max_drawdown_pct=-100 * s["max_drawdown"],
            sharpe_ratio=s["sharpe"],
            sortino_ratio=s["sortino"],
            calmar_ratio=s["calmar"],
            max_consecutive_wins=int(s["consecutive_wins"]),
            max_consecutive_losses=int(s["consecutive_losses"]),
            avg_bars_held=s["average_bars_in_trade"],
            exposure_pct=100 * s["exposure"],
            trades=tuple(_trade(row) for row in result.trades.to_dict("records")),
            equity_curve=result.equity,
            result=result,
        )


def _trade(row: Mapping[Any, Any]) -> Trade:
    return Trade(
        symbol=row["symbol"],
        side=row["direction"],
        entry_date=row["entry_time"].to_pydatetime(),
        entry_price=row["entry_price"],
        exit_date=row["exit_time"].to_pydatetime(),
        exit_price=row["exit_price"],
        quantity=row["qty"],
        pnl=row["pnl"],
        pnl_pct=100 * row["return"],
        fees=row["fees"],
        bars_held=row["bars"],
        exit_reason=row["reason"],
        is_open=row["status"] == "open",
    )


class Backtester:
    """``Backtester().backtest_strategy(df, entry_conditions, exit_conditions)``."""

    def __init__(self, commission: float = 0.0, slippage: float | None = None) -> None:
        self.costs = Costs(commission=commission, slippage=slippage)

    def backtest_strategy(
        self,
        df: pd.DataFrame,
        entry_conditions: ConditionLike | Iterable[ConditionLike],
        exit_conditions: ConditionLike | Iterable[ConditionLike] | None = None,
        initial_capital: float = 10_000,
        position_size_pct: float = 100,
        stop_loss: float | None = None,
        take_profit: float | None = None,
        trailing_stop: float | None = None,
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
            stop_loss,
            take_profit,
            trailing_stop,
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
