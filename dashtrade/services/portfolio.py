"""What the comparison and portfolio pages ask for: bars of several symbols, measured side by side."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Protocol

from dashtrade.domain.bot_views import AccountView, BotView, PositionView
from dashtrade.domain.market import HistoryRequest
from dashtrade.errors import BadBars, InvalidInput, NoDataInRange, SourceError, UnknownSymbol
from dashtrade.portfolio.comparison import common_prices, compare
from dashtrade.portfolio.holdings import AccountSummary, Holding, HoldingsRisk, holdings_risk, summarise
from dashtrade.portfolio.request import Compared, CompareRequest
from dashtrade.services.equity import EquityPoint
from dashtrade.services.market import provenance

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


def whence(attributes: Mapping[str, object]) -> str:
    """One line on where bars with these attributes come from: source, adjustment, delay, age."""
    import pandas as pd

    bars = pd.DataFrame()
    bars.attrs = {str(key): value for key, value in attributes.items()}
    return provenance(bars, datetime.now(UTC))


def _closed(bars: pd.DataFrame) -> pd.DataFrame:
    """Without the bar that still forms: it is not comparable between exchanges that close at different hours."""
    if bars.attrs.get("last_bar_closed", True):
        return bars
    if len(bars) < 2:
        raise BadBars("Only the bar that still forms is there. Ask for a longer period.")
    return bars.iloc[:-1]


@dataclass(frozen=True, eq=False)
class Curve:
    """An account's equity by trading day (float64, oldest first), and the benchmark's closes on the days it has, or
    None. ``table`` has equity, its change and drawdown as fractions, and the benchmark; the first change is NaN."""

    equity: pd.Series
    benchmark: pd.Series | None

    @property
    def table(self) -> pd.DataFrame:
        found = self.equity.to_frame("equity")
        found["change"] = self.equity.pct_change()
        found["drawdown"] = self.equity / self.equity.cummax() - 1
        found["benchmark"] = float("nan") if self.benchmark is None else self.benchmark.reindex(found.index)
        return found

    def rebased(self, name: str, benchmark: str) -> pd.DataFrame:
        """Both from 100 at the first day that both have; only the account where no such day is there."""
        lines = {name: self.equity}
        if self.benchmark is not None and len(self.benchmark) > 1:
            lines[benchmark] = self.benchmark
        import pandas as pd

        frame = pd.DataFrame(lines)
        if len(lines) > 1:
            frame = frame.loc[self.benchmark.index[0] :]  # type: ignore[union-attr]
        return frame / frame.iloc[0] * 100


@dataclass(frozen=True, eq=False)
class Book:
    """A user's accounts and holdings, priced where a price was had, and why where not."""

    accounts: tuple[AccountSummary, ...]
    holdings: tuple[Holding, ...]
    risks: Mapping[str, HoldingsRisk]
    notes: tuple[str, ...]
    curves: Mapping[str, Curve] = field(default_factory=dict)


def read_book(
    market: Bars,
    accounts: Sequence[AccountView],
    positions: Sequence[PositionView],
    bots: Sequence[BotView],
    source: str | None = None,
    *,
    benchmark: str = "SPY",
    history: Mapping[str, Sequence[EquityPoint]] | None = None,
    progress: Callable[[float, str], None] = lambda share, text: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> Book:
    """Prices the positions with the last daily bar and takes today's holdings through the past year of each account.

    ``history`` is what each account was worth at the end of past days; it is set against the benchmark.
    """
    history = {mode: points for mode, points in (history or {}).items() if points}
    bars: dict[str, pd.DataFrame] = {}
    notes: list[str] = []
    wanted = dict.fromkeys([*(p.symbol for p in positions), *([benchmark] if positions or history else [])])
    for number, symbol in enumerate(wanted):
        if cancelled():
            raise InvalidInput("holdings", "the reading was cancelled.")
        progress(number / len(wanted), f"Loading {symbol}")
        try:
            period = _reach(history) if symbol == benchmark else "1y"
            bars[symbol] = market.history(HistoryRequest.parse(symbol, "1d", period), source)
        except SourceError as error:
            notes.append(f"{symbol} has no price: {error}")
    holdings = tuple(
        Holding(p.symbol, p.account_mode, p.qty, p.avg_price, _last(bars.get(p.symbol)), p.opened_at) for p in positions
    )
    realised: dict[str, Decimal] = {}
    for bot in bots:
        mode = bot.config.account_mode.value
        realised[mode] = realised.get(mode, Decimal(0)) + bot.total_pnl
    summaries = tuple(
        summarise(
            a.mode, holdings, equity=a.equity, last_equity=a.last_equity, cash=a.cash,
            realised=realised.get(a.mode, Decimal(0)),
        )
        for a in accounts
    )  # fmt: skip
    risks = {}
    for summary in summaries:
        try:
            found = _risk(summary, holdings, bars, benchmark)
        except (BadBars, InvalidInput) as error:
            notes.append(f"The risk of the {summary.account} account was not measured: {error}")
        else:
            if found is not None:
                risks[summary.account] = found
    curves = {mode: _curve(points, bars.get(benchmark)) for mode, points in history.items()}
    return Book(summaries, holdings, risks, tuple(notes), curves)


def _reach(history: Mapping[str, Sequence[EquityPoint]]) -> str:
    """The shortest period of bars that covers the accounts' days."""
    first = min((points[0].day for points in history.values()), default=None)
    days = 0 if first is None else (datetime.now(UTC).date() - first).days
    return next((period for limit, period in ((360, "1y"), (720, "2y"), (1800, "5y")) if days < limit), "max")


def _curve(points: Sequence[EquityPoint], bars: pd.DataFrame | None) -> Curve:
    import pandas as pd

    days = pd.DatetimeIndex([pd.Timestamp(point.day, tz="UTC") for point in points], name="day")
    equity = pd.Series([float(point.equity) for point in points], index=days, dtype="float64")
    if bars is None:
        return Curve(equity, None)
    closes = _closed(bars)["close"]
    closes.index = pd.DatetimeIndex(closes.index).normalize()
    shared = closes[closes.index.isin(days)]
    return Curve(equity, shared if len(shared) else None)


def _risk(
    summary: AccountSummary, holdings: Sequence[Holding], bars: Mapping[str, pd.DataFrame], benchmark: str
) -> HoldingsRisk | None:
    values: dict[str, float] = {}
    for holding in holdings:
        if holding.account == summary.account and holding.value is not None:
            values[holding.symbol] = values.get(holding.symbol, 0.0) + float(holding.value)
    if not values or summary.equity is None:
        return None
    against = benchmark if benchmark in bars else None
    names = dict.fromkeys([*values, *([against] if against else [])])
    closed = {symbol: _closed(bars[symbol]) for symbol in names}
    return holdings_risk(values, common_prices(closed, fewest=1, most=500), float(summary.equity), benchmark=against)


def _last(bars: pd.DataFrame | None) -> Decimal | None:
    return None if bars is None or bars.empty else Decimal(str(round(float(bars["close"].iloc[-1]), 6)))
