"""``StrategyBuilder``: puts a strategy together, tries it on data, and saves it for a user."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dashtrade.backtest.classes import Backtester, BacktestResults, CustomStrategy, StrategyCondition
from dashtrade.errors import InvalidInput

if TYPE_CHECKING:
    from dashtrade.domain.strategy import Strategy


class StrategyBuilder:
    """``StrategyBuilder("mine").add_condition("ema_9", "crosses_above", "ema_21").test_on_data("AAPL")``."""

    def __init__(self, name: str = "my strategy") -> None:
        self.name = name
        self.entry_conditions: list[StrategyCondition | str] = []
        self.exit_conditions: list[StrategyCondition | str] = []
        self.stop_loss: float | None = None
        self.take_profit: float | None = None
        self.trailing_stop: float | None = None

    def add_condition(
        self,
        indicator1: str | float,
        operator: str | None = None,
        indicator2: str | float | None = None,
        kind: str = "entry",
    ) -> StrategyBuilder:
        """Adds ``indicator1 operator indicator2``, or a whole condition as one text, for ``kind`` entry or exit."""
        lists = {"entry": self.entry_conditions, "exit": self.exit_conditions}
        if kind not in lists:
            raise InvalidInput("kind", f"{kind!r} is not known.", allowed=lists)
        if operator is None and indicator2 is None:
            from dashtrade.strategies import parse_condition

            parse_condition(str(indicator1))
            lists[kind].append(str(indicator1))
        elif operator is None or indicator2 is None:
            raise InvalidInput("condition", "give indicator1, operator and indicator2, or one text.")
        else:
            lists[kind].append(StrategyCondition(indicator1, operator, indicator2))
        return self

    def add_entry_condition(self, *condition: str | float) -> StrategyBuilder:
        return self.add_condition(*_three(condition), kind="entry")

    def add_exit_condition(self, *condition: str | float) -> StrategyBuilder:
        return self.add_condition(*_three(condition), kind="exit")

    def set_stops(
        self, stop_loss: float | None = None, take_profit: float | None = None, trailing_stop: float | None = None
    ) -> StrategyBuilder:
        """Distances as fractions of the price: 0.02 is 2 %."""
        self.stop_loss, self.take_profit, self.trailing_stop = stop_loss, take_profit, trailing_stop
        return self

    def build(self) -> CustomStrategy:
        """The strategy so far; InvalidInput without an entry condition."""
        if not self.entry_conditions:
            raise InvalidInput("strategy", "has no entry condition; add one with add_condition.")
        built = CustomStrategy(
            self.name,
            tuple(self.entry_conditions),
            tuple(self.exit_conditions),
            self.stop_loss,
            self.take_profit,
            self.trailing_stop,
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


def _three(parts: tuple[str | float, ...]) -> tuple[str | float, str | None, str | float | None]:
    """A whole text, or its three parts."""
    if len(parts) == 1:
        return parts[0], None, None
    if len(parts) != 3:
        raise InvalidInput("condition", "give indicator1, operator and indicator2, or one text.")
    return parts[0], str(parts[1]), parts[2]
