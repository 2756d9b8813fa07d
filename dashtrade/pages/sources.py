"""What pages ask of market data before they load any."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from dashtrade.domain.market import HistoryRequest
from dashtrade.services.market import MarketData


def reach_check(data: MarketData) -> Callable[[HistoryRequest, str | None], None]:
    """A check that raises InvalidInput, naming the limit, for a pair of period and interval that Yahoo cannot serve."""

    def check(request: HistoryRequest, source: str | None) -> None:
        if (source or data.order[0]) == "yahoo":
            from dashtrade.data.yahoo.source import LIMITS

            LIMITS.check(request, datetime.now(UTC))

    return check
