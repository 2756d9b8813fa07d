"""What pages ask of market data before they load any."""

from __future__ import annotations

from collections.abc import Callable

from dashtrade.domain.market import HistoryRequest
from dashtrade.services.market import MarketData


def reach_check(data: MarketData) -> Callable[[HistoryRequest, str | None], None]:
    """A check that raises InvalidInput, naming the limit, for a period and interval that no chosen source can serve."""
    return data.check
