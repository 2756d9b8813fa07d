"""What a strategy must pass before a bot may carry its name."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import TYPE_CHECKING

from dashtrade.db.unit_of_work import UnitOfWork
from dashtrade.domain.bots import BotTimeframe, Direction
from dashtrade.errors import InvalidInput, NotFound

if TYPE_CHECKING:
    import pandas as pd

    from dashtrade.backtest.checks import Finding
    from dashtrade.domain.bot_views import BotView
    from dashtrade.domain.strategy import Strategy

SYMBOL = "AAPL"
"""The symbol of the sample prices on which decisions are looked at."""
TIMEFRAMES = {
    "1m": BotTimeframe.M1, "2m": BotTimeframe.M2, "5m": BotTimeframe.M5, "15m": BotTimeframe.M15,
    "30m": BotTimeframe.M30, "60m": BotTimeframe.H1, "1h": BotTimeframe.H1, "4h": BotTimeframe.H4,
    "1d": BotTimeframe.D1, "1wk": BotTimeframe.W1,
}  # fmt: skip
"""The bars of a chart that a bot can listen to."""


def check_promotion(uow: UnitOfWork, user_id: int, name: str | None, field: str = "strategy_name") -> None:
    """Refuses a strategy that looks into the future, naming the condition: InvalidInput.

    ``name`` is a preset or a saved strategy of this user; any other text is only a label (such as that of a TradingView
    script) and passes. The check needs nothing but the sample prices that come with the package.
    """
    from dashtrade.services.strategies import load_strategy
    from dashtrade.strategies import PRESETS, preset

    name = (name or "").strip()
    if not name or name == "none":
        return
    try:
        strategy = preset(name) if name in PRESETS else load_strategy(uow, user_id, name)
    except NotFound:
        return
    found = future_looks(strategy)
    if found:
        raise InvalidInput(
            field,
            f"{name!r} looks into the future and cannot be traded: {found[0]}. Change that condition.",
        )


def future_looks(strategy: Strategy) -> list[Finding]:
    """The conditions that look into the future, on the sample prices; none for an honest strategy."""
    from dashtrade.backtest.checks import look_ahead

    return _on_sample(look_ahead, strategy)


def unsettled(strategy: Strategy) -> list[Finding]:
    """The conditions that need more than a quarter of the sample before they decide the same whatever came before."""
    from dashtrade.backtest.checks import warm_up

    return _on_sample(warm_up, strategy)


def _on_sample(check: Callable[[Strategy, pd.DataFrame], list[Finding]], strategy: Strategy) -> list[Finding]:
    from dashtrade.data.sample import SampleSource
    from dashtrade.domain.market import HistoryRequest

    for period, interval in (("2y", "1d"), ("1mo", "15m")):
        bars = SampleSource().history(HistoryRequest.parse(SYMBOL, interval, period))
        try:
            return check(strategy, bars)
        except InvalidInput:  # a condition on a longer timeframe needs shorter bars
            continue
    return []


def promote(uow: UnitOfWork, user_id: int, name: str, symbol: str, interval: str, position_size: Decimal) -> BotView:
    """A bot, switched off, on the simulated account, that carries a saved strategy's name or a preset's.

    Raises InvalidInput where the strategy looks into the future (the condition is named), for bars no bot can listen
    to, and where a bot has this symbol and timeframe; NotFound for a strategy that is missing.
    """
    from dashtrade.domain.bot_views import NewBot
    from dashtrade.services.bots import create_bot
    from dashtrade.services.strategies import load_strategy
    from dashtrade.strategies import PRESETS

    if interval not in TIMEFRAMES:
        raise InvalidInput("interval", f"no bot listens to {interval} bars.", allowed=TIMEFRAMES)
    strategy = PRESETS[name].build() if name in PRESETS else load_strategy(uow, user_id, name)
    sides = (strategy.long_entry is not None, strategy.short_entry is not None)
    direction = {(True, True): Direction.LONG_SHORT, (False, True): Direction.SHORT_ONLY}.get(
        sides, Direction.LONG_ONLY
    )
    request = NewBot(symbol, TIMEFRAMES[interval], position_size, direction=direction, strategy_name=name)
    return create_bot(uow, user_id, request)
