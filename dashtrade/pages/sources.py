"""What pages ask of market data before they load any."""

from __future__ import annotations

import os
from collections.abc import Callable

from dashtrade.domain.market import HistoryRequest
from dashtrade.errors import DashTradeError
from dashtrade.pages.context import PageContext
from dashtrade.pages.guard import log
from dashtrade.services.market import MarketData


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
