"""Bars of one's own: CSV and Parquet files, imported once and then a source like any other.

How they get in: :mod:`dashtrade.data.importer`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from urllib.parse import quote, unquote

import pandas as pd

from dashtrade.data.barfile import BarFile, Store
from dashtrade.data.periods import cut
from dashtrade.data.pipeline import session_edges
from dashtrade.data.resample import resample
from dashtrade.domain.market import HistoryRequest, Interval, NewsItem, Quote, SymbolMatch
from dashtrade.errors import InvalidInput, NoDataInRange, UnknownSymbol


class FilesSource:
    """Imported bars below ``root``. Longer bars than the imported ones are made from them."""

    key = "files"
    label = "Own files"

    def __init__(self, root: str | Path, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self.store = Store(root)
        self._now = now

    def history(self, request: HistoryRequest) -> pd.DataFrame:
        entry, stored = self._entry(request.symbol, request.interval)
        bars = entry.bars
        if stored.length != request.interval.length:
            bars = resample(bars, request.interval, session_edges(request.symbol))
        attrs = {**bars.attrs, "interval": request.interval.value, "fetched_at": entry.fetched_at.isoformat()}
        bars = cut(bars, request)
        if not len(bars):
            span = f"{entry.bars.index[0]:%Y-%m-%d} to {entry.bars.index[-1]:%Y-%m-%d}"
            raise NoDataInRange(self.key, f"The imported bars of {request.symbol} cover {span} only.")
        bars.attrs = attrs
        return bars

    def latest(self, symbols: Sequence[str]) -> dict[str, Quote]:
        """The last imported close, with its own time: no live price."""
        quotes = {}
        for symbol in symbols:
            intervals = self.intervals(symbol)
            if intervals:
                bars = self._entry(symbol, intervals[0])[0].bars
                moment = bars.index[-1].to_pydatetime()
                age = int((self._now() - moment).total_seconds())
                quotes[symbol] = Quote(symbol, Decimal(str(bars["close"].iloc[-1])), moment, self.key, max(age, 0))
        if symbols and not quotes:
            raise UnknownSymbol(self.key, self._unknown(symbols[0]))
        return quotes

    def search(self, text: str) -> list[SymbolMatch]:
        wanted = text.strip().upper()
        return [SymbolMatch(s, s, "imported", "file") for s in self.symbols() if wanted and wanted in s]

    def news(self, symbol: str) -> list[NewsItem]:
        raise InvalidInput("source", "Imported files have no news; ask another source.")

    def symbols(self) -> list[str]:
        return sorted({unquote(name.split("/")[0]) for name, _, _ in self.store.files()})

    def intervals(self, symbol: str) -> list[Interval]:
        """The imported lengths of this symbol's bars, shortest first."""
        folder = quote(symbol, safe="")
        names = [name for name, _, _ in self.store.files() if name.split("/")[0] == folder]
        return sorted((Interval(name.rsplit("/", 1)[1].removesuffix(".parquet")) for name in names), key=_length)

    def _entry(self, symbol: str, interval: Interval) -> tuple[BarFile, Interval]:
        stored = self.intervals(symbol)
        if not stored:
            raise UnknownSymbol(self.key, self._unknown(symbol))
        serving = [one for one in stored if one.length <= interval.length and not _uneven(one, interval)]
        if not serving:
            have = ", ".join(stored)
            raise InvalidInput("interval", f"{symbol} was imported as {have}; {interval} cannot be made from that.")
        chosen = serving[-1]
        entry = self.store.read(file_name(symbol, chosen))
        if entry is None:
            raise UnknownSymbol(self.key, self._unknown(symbol))
        return entry, chosen

    def _unknown(self, symbol: str) -> str:
        have = ", ".join(self.symbols()[:20]) or "nothing yet"
        return f"No bars of {symbol} were imported (there is {have}). Run `dashtrade data import FILE`."


def file_name(symbol: str, interval: Interval) -> str:
    return f"{quote(symbol, safe='')}/{interval.value}.parquet"


def _length(interval: Interval) -> float:
    return interval.length.total_seconds()


def _uneven(stored: Interval, wanted: Interval) -> bool:
    if wanted.intraday:
        return wanted.length % stored.length != stored.length * 0
    return not stored.intraday and stored not in (Interval.D1, wanted)
