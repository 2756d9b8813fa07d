"""What a strategy must pass before a bot may carry its name."""

from __future__ import annotations

from dashtrade.db.unit_of_work import UnitOfWork
from dashtrade.errors import InvalidInput, NotFound

SYMBOL = "AAPL"
"""The symbol of the sample prices on which decisions are looked at."""


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
    from dashtrade.backtest.checks import look_ahead
    from dashtrade.data.sample import SampleSource
    from dashtrade.domain.market import HistoryRequest

    found = []
    for period, interval in (("2y", "1d"), ("1mo", "15m")):
        bars = SampleSource().history(HistoryRequest.parse(SYMBOL, interval, period))
        try:
            found = look_ahead(strategy, bars)
        except InvalidInput:  # a condition on a longer timeframe needs shorter bars
            continue
        break
    if found:
        raise InvalidInput(
            field,
            f"{name!r} looks into the future and cannot be traded: {found[0]}. Change that condition.",
        )
