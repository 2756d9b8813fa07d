"""What pages ask of market data before they load any."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from dashtrade.domain.market import HistoryRequest, Period
from dashtrade.errors import DashTradeError, InvalidInput
from dashtrade.pages.context import PageContext
from dashtrade.pages.guard import log
from dashtrade.services.market import MarketData

if TYPE_CHECKING:
    import pandas as pd

# Calendar days of each period that more bars can be asked with, shortest first.
_DAYS = {
    Period.D1: 1,
    Period.D5: 7,
    Period.MO1: 31,
    Period.MO3: 92,
    Period.MO6: 184,
    Period.Y1: 366,
    Period.YTD: 366,
    Period.Y2: 731,
    Period.Y5: 1827,
    Period.Y10: 3653,
    Period.MAX: 1_000_000,
}
# Trading hours a calendar day, at the least: five sessions of 6.5 hours a week, less holidays.
_HOURS = 6.5 * 5 / 7 * 0.95
_PLENTY = 25_000
"""A period of so many bars has its warm-up within: a chart shows fewer."""


def own_market(context: PageContext) -> MarketData:
    """Market data in the signed-in user's order of sources; the installation's without a database."""
    from dashtrade.bootstrap import market, market_of

    if not os.environ.get("DATABASE_URL"):
        return market()
    try:
        return market_of(context.user_id)
    except DashTradeError as error:
        log.warning("the user's order of sources was not read: %s", error)
        return market()


def reach_check(data: MarketData) -> Callable[[HistoryRequest, str | None], None]:
    """A check that raises InvalidInput, naming the limit, for a period and interval that no chosen source can serve."""
    return data.check


def longer(request: HistoryRequest, warm_up: int) -> list[HistoryRequest]:
    """``request`` with the periods that hold ``warm_up`` bars more, shortest first, then the longest that does not."""
    if request.period is None or request.period is Period.MAX or warm_up <= 0:
        return []
    hours = request.interval.length.total_seconds() / 3600
    per_bar = hours / _HOURS if request.interval.intraday else max(hours / 24, 1.5 if hours <= 24 else 0)
    asked = _DAYS[request.period]
    if asked / per_bar > _PLENTY:
        return []
    wanted = asked + warm_up * per_bar + 4
    others = [p for p, days in _DAYS.items() if days > asked and p is not Period.YTD]
    enough = [p for p in others if _DAYS[p] >= wanted][:1]
    short = [p for p in reversed(others) if _DAYS[p] < wanted]
    return [replace(request, period=p) for p in enough + short]


def warmed_history(data: MarketData) -> Callable[[HistoryRequest, str | None, int], tuple[pd.DataFrame, int]]:
    """Bars of a request with up to ``warm_up`` more in front, in one call to the source, and how many are in front.

    An average that looks back 200 bars then has a value at the first bar of the period. Where the source's limit
    allows no longer period, none are in front.
    """

    def history(request: HistoryRequest, source: str | None, warm_up: int) -> tuple[pd.DataFrame, int]:
        from dashtrade.data.periods import cut

        for more in longer(request, warm_up):
            try:
                data.check(more, source)
            except InvalidInput:
                continue
            bars = data.history(more, source)
            before = len(bars) - len(cut(bars, request))
            skipped = max(before - warm_up, 0)
            kept = bars.iloc[skipped:]
            kept.attrs = bars.attrs
            return kept, before - skipped
        return data.history(request, source), 0

    return history
