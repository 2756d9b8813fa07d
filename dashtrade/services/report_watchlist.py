"""The watchlist's report: what moved, trends and signals, returns and risk of every watched symbol."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from dashtrade.db.unit_of_work import UnitOfWork
from dashtrade.domain.market import parse_symbol
from dashtrade.errors import InvalidInput
from dashtrade.services import report_parts as parts
from dashtrade.services.portfolio import Bars
from dashtrade.services.report_parts import Cell, Html
from dashtrade.services.watching import ScanHit, Watched, WatchRow, read_watchlist, scan
from dashtrade.services.watchlist import WatchedSymbol, list_watchlist

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SPANS = {"1 week": 5, "1 month": 21, "3 months": 63, "1 year": 250}
MOST_LINES, MOST_CORRELATED = 8, 15
_TRADING_DAYS = 252


@dataclass(frozen=True, eq=False)
class WatchlistReport:
    watched: Watched
    hits: tuple[ScanHit, ...]
    rule: str

    @property
    def rows(self) -> list[WatchRow]:
        return [row for row in self.watched.rows if row.price is not None]


def read(
    uow: UnitOfWork, market: Bars, user_id: int, symbols: Sequence[str] = (), source: str = "", rule: str = ""
) -> WatchlistReport:
    """The user's watchlist, or ``symbols``, with their daily bars of a year; ``rule`` is tried on each.

    Raises InvalidInput for an empty list, RuleSyntaxError for a wrong rule, SourceError where no bars can be had.
    """
    now = datetime.now(UTC)
    chosen = [WatchedSymbol(parse_symbol(each), None, None, now) for each in symbols]
    listed = chosen or list_watchlist(uow, user_id)
    if not listed:
        raise InvalidInput("symbols", "are missing: the watchlist is empty. Add symbols to it, or name some.")
    watched = read_watchlist(market, listed, source or None)
    if not watched.bars:
        raise InvalidInput("symbols", f"have no prices: {watched.rows[0].problem}")
    return WatchlistReport(watched, scan(watched.bars, rule) if rule.strip() else (), rule.strip())


def headline(found: WatchlistReport) -> Html:
    moves = {row.symbol: row.change for row in found.rows if row.change is not None}
    best, worst = (max(moves, key=lambda s: moves[s]), min(moves, key=lambda s: moves[s])) if moves else ("", "")
    last = max(each.index[-1] for each in found.watched.bars.values())
    tiles = [
        ("Symbols", str(len(found.watched.rows))),
        ("Up / down", f"{sum(m > 0 for m in moves.values())} / {sum(m < 0 for m in moves.values())}"),
        ("Best", f"{best} {moves[best]:+.1%}" if moves else "–"),
        ("Worst", f"{worst} {moves[worst]:+.1%}" if moves else "–"),
        ("Signal BUY", str(sum(row.signal == "BUY" for row in found.rows))),
        ("Signal SELL", str(sum(row.signal == "SELL" for row in found.rows))),
    ]
    return parts.heading("Watchlist", f"Daily bars to {last:%d %b %Y}", tiles)


def notes(found: WatchlistReport) -> Html:
    said = [f"{row.symbol}: {row.problem}" for row in found.watched.rows if row.problem]
    if parts.is_made_up(found.watched.bars.values()):
        said.insert(0, "The prices are sample data, not today's market.")
    return parts.aside(said)


def moves_chart(found: WatchlistReport) -> Html:
    """The newest bar's change of each symbol, the largest first."""
    from matplotlib.ticker import PercentFormatter

    from dashtrade.display.figures import bars_figure

    moves = pd.Series({row.symbol: row.change for row in found.rows if row.change is not None}, dtype=float)
    moves = moves.sort_values(ascending=False)
    if len(moves) > 30:
        moves = pd.concat([moves.head(15), moves.tail(15)])
    figure = bars_figure(moves, "Change of the newest bar")
    figure.axes[0].xaxis.set_major_formatter(PercentFormatter(1.0, decimals=1))
    return parts.chart(figure, "Change of the newest bar of each symbol")


def performance_chart(found: WatchlistReport) -> Html:
    """Closing prices of the strongest and weakest symbols, as the change since the first common bar."""
    from dashtrade.display.figures import lines_figure

    closes = pd.DataFrame({s: each["close"] for s, each in found.watched.bars.items()}).ffill().dropna()
    if closes.empty:
        return Html("<p>The symbols have no days in common.</p>")
    change = closes / closes.iloc[0] - 1
    if len(change.columns) > MOST_LINES:
        ranked = change.iloc[-1].sort_values(ascending=False).index
        change = change[[*ranked[: MOST_LINES // 2], *ranked[-MOST_LINES // 2 :]]]
    figure: Figure = lines_figure(change, f"Change since {change.index[0]:%d %b %Y}", percent=True, level=0.0)
    return parts.chart(figure, "Change of closing prices over the year")


def readings(found: WatchlistReport) -> Html:
    """Price, change, trend, RSI and signal of each symbol."""
    tones = {"up": 1, "down": -1, "BUY": 1, "SELL": -1}
    rows: list[list[Cell | str]] = [
        [row.symbol, parts.plain(row.price), parts.signed(row.change, "+.2%"),
         Cell(row.trend or "–", tones.get(row.trend, 0)),
         parts.plain(row.rsi, ".1f"), Cell(row.signal or "–", tones.get(row.signal, 0)), parts.plain(row.score, "+.0f"),
         row.notes[:60]]
        for row in found.rows
    ]  # fmt: skip
    return parts.table(["Symbol", "Price", "Change", "Trend", "RSI 14", "Signal", "Score", "Note"], rows)


def returns(found: WatchlistReport) -> Html:
    """Returns over several spans, volatility and the deepest fall of the year."""
    rows: list[list[Cell | str]] = []
    for symbol, bars in found.watched.bars.items():
        close = bars["close"].to_numpy(dtype=np.float64)
        if len(close) < 2:
            continue
        spans = [close[-1] / close[-1 - n] - 1 if len(close) > n else None for n in _SPANS.values()]
        daily = np.diff(np.log(close))
        volatility = float(daily.std(ddof=1) * np.sqrt(_TRADING_DAYS)) if len(daily) > 20 else None
        fall = float((close / np.maximum.accumulate(close) - 1).min())
        from_high = float(close[-1] / close.max() - 1)
        rows.append(
            [symbol, *(parts.signed(each, "+.1%") for each in spans), parts.plain(volatility, ".1%"),
             parts.signed(fall, ".1%"), parts.signed(from_high, ".1%")]
        )  # fmt: skip
    return parts.table(["Symbol", *_SPANS, "Volatility", "Max drawdown", "From the high"], rows)


def correlation_chart(found: WatchlistReport) -> Html:
    """Correlation of daily returns."""
    from dashtrade.display.figures import heatmap_figure

    closes = {s: b["close"] for s, b in list(found.watched.bars.items())[:MOST_CORRELATED]}
    daily = pd.DataFrame(closes).pct_change(fill_method=None)
    if len(daily.columns) < 2 or len(daily.dropna()) < 20:
        return Html("<p>It takes two symbols with at least 20 days in common.</p>")
    figure = heatmap_figure(daily.corr(min_periods=20), "Correlation")
    return parts.chart(figure, "Correlation of the daily returns of the watched symbols")


def scan_table(found: WatchlistReport) -> Html:
    """Where the rule is true on the newest bar, and since when."""
    if not found.rule:
        return Html("<p>No rule was given; the parameter <i>rule</i> takes one, such as rsi &lt; 30.</p>")
    rows: list[list[Cell | str]] = [
        [hit.symbol, Cell("yes" if hit.now else "no", 1 if hit.now else 0),
         "–" if hit.since is None else f"{hit.since:%Y-%m-%d}", str(hit.times), hit.problem]
        for hit in found.hits
    ]  # fmt: skip
    return parts.table([found.rule, "True now", "Last became true", "Times in the year", ""], rows)


def assumptions(found: WatchlistReport) -> Html:
    return parts.pairs(
        [
            ("Bars", "closed daily bars of one year; the price may be of the bar that still forms"),
            ("Trend", "up where the close and the 20-bar average are above the 50-bar one, down where both are below"),
            ("RSI", "Wilder's, 14 bars"),
            ("Signal and score", "the weighted votes of the analysis page; -100 to +100"),
            ("Returns", "over 5, 21, 63 and 250 bars, dividends as the source corrects for them"),
            ("Volatility", f"standard deviation of daily log returns × √{_TRADING_DAYS}"),
            ("Max drawdown", "deepest fall of the close below its highest close before, within the year"),
            ("Correlation", f"Pearson, of daily returns, on common days; at most {MOST_CORRELATED} symbols"),
        ]
    )


def provenance(found: WatchlistReport) -> Html:
    return parts.data_provenance(found.watched.bars)
