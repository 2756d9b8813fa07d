"""``StrategyBuilder``: puts a strategy together, tries it on data, and saves it for a user."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dashtrade.backtest.classes import Backtester, BacktestResults, CustomStrategy, StrategyCondition
from dashtrade.errors import InvalidInput

if TYPE_CHECKING:
    from dashtrade.domain.strategy import Strategy


class StrategyBuilder:
    """``StrategyBuilder("mine").add_condition("entry", "ema_9", "crosses_above", "ema_21").test_on_data("AAPL")``.

    >>> import dashtrade as dt
    >>> builder = dt.StrategyBuilder("mine").add_condition("entry", "ema_9", "crosses_above", "ema_21")
    >>> builder.build().name
    'mine'
    """

    def __init__(self, name: str = "my strategy") -> None:
        self.name = name
        self.entry_conditions: list[StrategyCondition | str] = []
        self.exit_conditions: list[StrategyCondition | str] = []
        self.stop_loss_pct: float | None = None
        self.take_profit_pct: float | None = None
        self.trailing_stop_pct: float | None = None

    def add_condition(
        self,
        condition_type: str | float,
        indicator1: str | float | None = None,
        operator: str | float | None = None,
        indicator2: str | float | None = None,
        *,
        kind: str | None = None,
    ) -> StrategyBuilder:
        """``add_condition("entry", "ema_9", "crosses_above", "ema_20")``; the type is entry or exit.

        The type may be left out (entry, unless ``kind`` says otherwise), and a whole condition may be one text:
        ``add_condition("rsi < 70")``.
        """
        lists = {"entry": self.entry_conditions, "exit": self.exit_conditions}
        given = [condition_type, indicator1, operator, indicator2]
        if indicator2 is not None or str(condition_type).strip().lower() in lists:
            kind, given = str(given[0]).strip().lower(), given[1:]
        kind = kind or "entry"
        if kind not in lists:
            raise InvalidInput("condition_type", f"{kind!r} is not known.", allowed=lists)
        parts = [part for part in given if part is not None]
        if len(parts) == 1:
            from dashtrade.strategies import parse_condition

            parse_condition(str(parts[0]))
            lists[kind].append(str(parts[0]))
        elif len(parts) == 3:
            lists[kind].append(StrategyCondition(parts[0], str(parts[1]), parts[2]))
        else:
            raise InvalidInput("condition", "give indicator1, operator and indicator2, or one text.")
        return self

    def add_entry_condition(self, *condition: str | float) -> StrategyBuilder:
        """Its three parts, or one text."""
        return self.add_condition("entry", *condition)

    def add_exit_condition(self, *condition: str | float) -> StrategyBuilder:
        """Its three parts, or one text."""
        return self.add_condition("exit", *condition)

    def set_stops(
        self,
        stop_loss_pct: float | None = None,
        take_profit_pct: float | None = None,
        trailing_stop_pct: float | None = None,
    ) -> StrategyBuilder:
        """Distances in percent of the price: 2 is 2 %."""
        self.stop_loss_pct, self.take_profit_pct = stop_loss_pct, take_profit_pct
        self.trailing_stop_pct = trailing_stop_pct
        return self

    def build(self) -> CustomStrategy:
        """The strategy so far; InvalidInput without an entry condition."""
        if not self.entry_conditions:
            raise InvalidInput("strategy", "has no entry condition; add one with add_condition.")
        built = CustomStrategy(
            self.name,
            tuple(self.entry_conditions),
            tuple(self.exit_conditions),
            self.stop_loss_pct,
            self.take_profit_pct,
            self.trailing_stop_pct,
        )
        built.strategy()
        return built

    def test_on_data(
        self,
        symbol: str,
        period: str = "1y",
        interval: str = "1d",
        initial_capital: float = 10_000,
        position_size_pct: float = 100,
        source: str | None = None,
    ) -> BacktestResults:
        """Backtests the strategy on a symbol's bars. Raises what ``dashtrade.history`` raises."""
        from dashtrade.bootstrap import history

        bars = history(symbol, period, interval, source=source)
        return Backtester().run(self.build(), bars, initial_capital, position_size_pct, symbol)

    def save_strategy(self, user_id: int) -> Strategy:
        """Saves it for a user as a new version under its name."""
        from dashtrade.bootstrap import runtime
        from dashtrade.services.strategies import save_strategy

        return save_strategy(runtime().uow(), user_id, self.build().strategy())
