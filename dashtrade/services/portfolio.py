"""What the comparison and portfolio pages ask for: bars of several symbols, measured side by side."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from dashtrade.domain.market import HistoryRequest
from dashtrade.errors import BadBars, InvalidInput, NoDataInRange, UnknownSymbol
from dashtrade.portfolio.comparison import compare
from dashtrade.portfolio.request import Compared, CompareRequest

if TYPE_CHECKING:
    import pandas as pd


class Bars(Protocol):
    """Where bars come from; see dashtrade.services.market.MarketData."""

    def history(self, request: HistoryRequest, source: str | None = None) -> pd.DataFrame: ...


def run_comparison(
    market: Bars,
    request: CompareRequest,
    *,
    progress: Callable[[float, str], None] = lambda share, text: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> Compared:
    """Fetches every symbol and measures them. A symbol without bars is left out and said, unless it is the benchmark
    or fewer than 2 would be left; a source that cannot be reached is raised. A cancelled run raises InvalidInput."""
    bars: dict[str, pd.DataFrame] = {}
    left_out: list[str] = []
    missing: UnknownSymbol | NoDataInRange | None = None
    for number, symbol in enumerate(request.symbols):
        if cancelled():
            raise InvalidInput("symbols", "the comparison was cancelled.")
        progress(number / len(request.symbols), f"Loading {symbol}")
        try:
            bars[symbol] = market.history(request.history(symbol), request.source)
        except (UnknownSymbol, NoDataInRange) as error:
            if symbol == request.benchmark:
                raise
            missing = missing or error
            left_out.append(str(error))
    if len(bars) < 2 and missing is not None:
        raise missing
    closed = {symbol: _closed(frame) for symbol, frame in bars.items()}
    return Compared(
        request,
        compare(closed, request.benchmark),
        {s: {str(k): v for k, v in f.attrs.items()} for s, f in bars.items()},
        tuple(left_out),
    )


def _closed(bars: pd.DataFrame) -> pd.DataFrame:
    """Without the bar that still forms: it is not comparable between exchanges that close at different hours."""
    if bars.attrs.get("last_bar_closed", True):
        return bars
    if len(bars) < 2:
        raise BadBars("Only the bar that still forms is there. Ask for a longer period.")
    return bars.iloc[:-1]
