"""A watchlist read against the market: one row a symbol, scanned with a rule, brought in from CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from math import isfinite
from typing import TYPE_CHECKING

from dashtrade.db.unit_of_work import UnitOfWork
from dashtrade.domain.market import HistoryRequest, parse_symbol
from dashtrade.errors import BadBars, DashTradeError, InvalidInput, SourceUnreachable
from dashtrade.services.portfolio import Bars
from dashtrade.services.watchlist import WatchedSymbol, set_notes, watch
from dashtrade.services.watchlists import put_in

if TYPE_CHECKING:
    import pandas as pd

    from dashtrade.domain.strategy import Strategy

PERIOD, SPARK_BARS = "1y", 60
NEW_CANDLES, NEW_CHARTS = 3, 10
"""Of so many closed bars at the end, candlestick patterns and confirmed chart patterns are named."""
LONGEST_FILE = 200_000
DEFUSED = tuple("=+-@\uff1d\uff0b\uff0d\uff20")  # first characters before which a table's CSV puts an apostrophe


@dataclass(frozen=True, slots=True)
class Mark:
    """A pattern of the newest closed bars: ``direction`` 1 for rising, −1 for falling, and the bar that ended it."""

    name: str
    direction: int
    time: datetime


@dataclass(frozen=True, eq=False)
class WatchRow:
    """A watched symbol as its closed daily bars read it; ``price`` may be of the bar that still forms.

    ``trend`` is up where the close and the 20-bar average are above the 50-bar one, down where both are below, else
    sideways. ``problem`` is the sentence that stands in for what could not be had.
    """

    symbol: str
    notes: str
    price: float | None = None
    change: float | None = None
    trend: str = ""
    rsi: float | None = None
    signal: str = ""
    score: float | None = None
    patterns: tuple[Mark, ...] = ()
    spark: tuple[float, ...] = ()
    time: datetime | None = None
    source: str = ""
    made_up: bool = False
    problem: str = ""


@dataclass(frozen=True, eq=False)
class Watched:
    """The rows, and the closed bars behind them by symbol."""

    rows: tuple[WatchRow, ...]
    bars: Mapping[str, pd.DataFrame]


@dataclass(frozen=True, slots=True)
class ScanHit:
    """Where the rule stands for one symbol: true on the last closed bar or not, and when it last became true;
    ``since`` is None where that was before the first bar, or never."""

    symbol: str
    now: bool
    since: datetime | None
    times: int
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Imported:
    """How many symbols a file added, how many were there, and a sentence for each line that was refused."""

    added: int
    known: int
    refused: tuple[str, ...]


def read_watchlist(
    market: Bars,
    watched: Sequence[WatchedSymbol],
    source: str | None = None,
    *,
    progress: Callable[[float, str], None] = lambda share, text: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> Watched:
    """One row for each symbol, in the order given. A symbol that fails keeps its row with the reason; a source that
    cannot be reached is raised where it is the first to be asked, since every other would fail too."""
    rows: list[WatchRow] = []
    bars: dict[str, pd.DataFrame] = {}
    for number, entry in enumerate(watched):
        if cancelled():
            break
        progress(number / len(watched), f"Loading {entry.symbol}")
        try:
            found = market.history(HistoryRequest.parse(entry.symbol, "1d", PERIOD), source)
            bars[entry.symbol] = found if found.attrs.get("last_bar_closed", True) else found.iloc[:-1]
            rows.append(_row(entry, found, bars[entry.symbol]))
        except SourceUnreachable as error:
            if not bars:
                raise
            rows.append(WatchRow(entry.symbol, entry.notes or "", problem=str(error)))
        except DashTradeError as error:
            rows.append(WatchRow(entry.symbol, entry.notes or "", problem=str(error)))
    return Watched(tuple(rows), bars)


def scan(
    bars: Mapping[str, pd.DataFrame],
    rule: str,
    *,
    progress: Callable[[float, str], None] = lambda share, text: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> tuple[ScanHit, ...]:
    """``rule`` in the words of the strategy parser, tried on the closed bars of every symbol; those where it is true
    now come first. Raises RuleSyntaxError where the text is not a rule; a cancelled scan has the symbols so far."""
    from dashtrade.strategies import Operands, evaluate, parse_condition

    condition = parse_condition(rule)
    hits = []
    for number, (symbol, frame) in enumerate(bars.items()):
        if cancelled():
            break
        progress(number / len(bars), f"Scanning {symbol}")
        try:
            flags = evaluate(condition, Operands(frame))
        except BadBars as error:
            hits.append(ScanHit(symbol, now=False, since=None, times=0, problem=str(error)))
            continue
        began = [i for i in range(1, len(flags)) if flags[i] and not flags[i - 1]]
        since = frame.index[began[-1]].to_pydatetime() if began else None
        hits.append(ScanHit(symbol, bool(len(flags) and flags[-1]), since, len(began)))
    return tuple(sorted(hits, key=lambda hit: (not hit.now, hit.symbol)))


def entry_rules(saved: Iterable[Strategy]) -> dict[str, str]:
    """The entry rules of saved strategies, then of the presets with their usual settings, as texts by their names."""
    from dashtrade.strategies import PRESETS, to_text

    found: dict[str, str] = {}
    for mine, strategy in (*((True, s) for s in saved), *((False, p.build()) for p in PRESETS.values())):
        label = strategy.name if mine else f"Preset: {PRESETS[strategy.name].label}"
        for side, rule in (("", strategy.long_entry), (" (short)", strategy.short_entry)):
            if rule is not None:
                found[label + side] = to_text(rule)
    return found


def import_watchlist(uow: Callable[[], UnitOfWork], user_id: int, text: str, within: str = "") -> Imported:
    """Adds the symbols of a CSV with a ``symbol`` column and perhaps ``notes``, or of plain lines with one symbol each;
    ``within`` puts them in this named list too.

    A symbol that is watched already keeps its place, and takes the file's note where there is one.
    """
    if len(text) > LONGEST_FILE:
        raise InvalidInput("file", f"is longer than {LONGEST_FILE:,} characters.")
    added = known = 0
    refused: list[str] = []
    for line, symbol, notes in _lines(text):
        try:
            if within:
                new = put_in(uow(), user_id, within, symbol, notes=notes)
            else:
                new = watch(uow(), user_id, symbol, notes=notes)
            if new:
                added += 1
            else:
                known += 1
                if notes:
                    set_notes(uow(), user_id, symbol, notes)
        except InvalidInput as error:
            refused.append(f"Line {line}: {error}")
    if not added and not known and not refused:
        raise InvalidInput("file", "has no symbols; write one on each line, or a CSV with a column named symbol.")
    return Imported(added, known, tuple(refused))


def _lines(text: str) -> list[tuple[int, str, str | None]]:
    rows = [
        (number, cells)
        for number, cells in enumerate(csv.reader(io.StringIO(text.lstrip("\ufeff"))), start=1)
        if any(cell.strip() for cell in cells)
    ]
    if not rows:
        return []
    names = [cell.strip().lower() for cell in rows[0][1]]
    at, note_at = (names.index("symbol"), None) if "symbol" in names else (0, 1)
    if "symbol" in names:
        note_at = names.index("notes") if "notes" in names else None
        rows = rows[1:]
    found = []
    for number, cells in rows:
        notes = cells[note_at].strip() if note_at is not None and note_at < len(cells) else ""
        if notes[:1] == "'" and notes[1:2] in DEFUSED:
            notes = notes[1:]
        found.append((number, cells[at].strip() if at < len(cells) else "", notes or None))
    return found


def last_closes(market: Bars, symbols: Sequence[str], source: str | None = None) -> dict[str, float]:
    """The close before each symbol's last session: what its latest price is measured against, so that on a day
    without trading the last session's move is shown. A symbol whose bars cannot be had is left out; a source that
    cannot be reached ends the asking."""
    found: dict[str, float] = {}
    for symbol in symbols:
        try:
            bars = market.history(HistoryRequest.parse(symbol, "1d", PERIOD), source)
        except SourceUnreachable:
            break
        except DashTradeError:
            continue
        if len(bars) > 1:
            found[symbol] = float(bars["close"].iloc[-2])
    return found


def newest_patterns(bars: pd.DataFrame) -> tuple[Mark, ...]:
    """Candlestick patterns (the usual ones) of the last 3 bars, and chart patterns that the last 10 confirmed and that
    have not been undone since; newest first, each name once."""
    from dashtrade.patterns import USUAL, candlestick_patterns, chart_patterns

    if bars.empty:
        return ()
    candles = candlestick_patterns(bars, USUAL, last=min(NEW_CANDLES, len(bars)))
    marks = [
        Mark(str(name), int(direction), time.to_pydatetime())
        for name, direction, time in zip(candles["name"], candles["direction"], candles["time"], strict=True)
    ]
    charts = chart_patterns(bars)
    since = bars.index[-min(NEW_CHARTS, len(bars))]
    charts = charts[(charts["confirmed_at"] >= since) & charts["invalidated_at"].isna()]
    marks += [
        Mark(str(name), int(direction), time.to_pydatetime())
        for name, direction, time in zip(charts["name"], charts["direction"], charts["confirmed_at"], strict=True)
    ]
    newest = sorted(marks, key=lambda mark: mark.time, reverse=True)
    return tuple({(mark.name, mark.direction): mark for mark in reversed(newest)}.values())[::-1]


def _row(entry: WatchedSymbol, bars: pd.DataFrame, closed: pd.DataFrame) -> WatchRow:
    from dashtrade.analysis import signal
    from dashtrade.indicators import indicator

    close = closed["close"]
    rsi = indicator(closed, "rsi").to_numpy()
    fast, slow = (indicator(closed, "ema", window=n).to_numpy() for n in (20, 50))
    price = float(bars["close"].iloc[-1])
    action, score, problem = "", None, ""
    try:
        report = signal(closed)
        action, score = report.action.value, report.score
    except BadBars as error:
        problem = str(error)
    trend = ""
    if len(close) and isfinite(slow[-1]):
        last, short, long = float(close.iloc[-1]), float(fast[-1]), float(slow[-1])
        trend = "up" if min(last, short) > long else "down" if max(last, short) < long else "sideways"
    before = float(bars["close"].iloc[-2]) if len(bars) > 1 else None
    return WatchRow(
        symbol=parse_symbol(entry.symbol),
        notes=entry.notes or "",
        price=price,
        change=price / before - 1 if before else None,
        trend=trend,
        rsi=float(rsi[-1]) if len(rsi) and isfinite(rsi[-1]) else None,
        signal=action,
        score=score,
        patterns=newest_patterns(closed),
        spark=tuple(map(float, bars["close"].iloc[-SPARK_BARS:])),
        time=bars.index[-1].to_pydatetime(),
        source=str(bars.attrs.get("source", "unknown")),
        made_up=bool(bars.attrs.get("simulated")) or bars.attrs.get("source") == "sample",
        problem=problem,
    )
