"""The sample source: real daily bars from a file in the package, simulated minutes and live prices; offline."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from importlib.resources import files

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from dashtrade.data.periods import cut
from dashtrade.data.quality import bars_frame, check_bars, stamp
from dashtrade.data.resample import resample
from dashtrade.data.sample.simulate import live_price, minute_bars
from dashtrade.domain.market import OHLCV, Adjustment, HistoryRequest, Interval, NewsItem, Period, Quote, SymbolMatch
from dashtrade.errors import NoDataInRange, UnknownSymbol

NAMES = {
    "AAPL": ("Apple Inc.", "NasdaqGS", "equity"),
    "GOOG": ("Google Inc.", "NasdaqGS", "equity"),
    "IBM": ("International Business Machines", "NYSE", "equity"),
    "MSFT": ("Microsoft Corporation", "NasdaqGS", "equity"),
    "^GSPC": ("S&P 500", "SNP", "index"),
    "^IXIC": ("NASDAQ Composite", "Nasdaq", "index"),
}
_MINUTE = np.int64(60_000_000_000)


class _Table:
    """One symbol's columns as arrays. Times are int64 nanoseconds UTC."""

    def __init__(self, rows: pa.Table) -> None:
        self.days = rows["date"].to_numpy().astype("datetime64[D]")
        self.values = np.column_stack([rows[name].to_numpy() for name in OHLCV]).astype("float64", copy=False)
        self.opens = rows["session_open"].to_numpy().astype("datetime64[ns]").astype("int64")
        self.minutes = rows["minutes"].to_numpy().astype("int64")

    def edges(self, first: int, last: int) -> tuple[np.ndarray, np.ndarray]:
        return self.opens, self.opens + self.minutes * _MINUTE


@lru_cache(maxsize=1)
def _tables() -> dict[str, _Table]:
    with files("dashtrade.data.sample").joinpath("bars.parquet").open("rb") as stream:
        # no threads, for reading ahead neither: the warm process has this read before it forks
        table = pq.ParquetFile(stream, pre_buffer=False).read(use_threads=False)
    symbols = table["symbol"].combine_chunks().dictionary_encode()
    numbers = symbols.indices.to_numpy()
    return {
        symbol: _Table(table.take(np.flatnonzero(numbers == number)))
        for number, symbol in enumerate(symbols.dictionary.to_pylist())
    }


class SampleSource:
    """Prices of a few symbols between 1999 and 2018. Periods count back from the sample's last bar, not from today."""

    key = "sample"
    label = "Sample data (1999-2018, offline)"

    def __init__(self, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._now = now

    def history(self, request: HistoryRequest) -> pd.DataFrame:
        """Bars of any interval and period. Intraday bars are simulated inside the real daily ones, and marked so."""
        table = self._table(request.symbol)
        daily = bars_frame(table.days.astype("datetime64[ns]").astype("int64"), table.values)
        whole = not (request.interval.intraday or request.interval is Interval.D1)
        if request.interval.intraday:
            bars = self._intraday(request, table, daily)
        elif whole:
            daily.attrs["interval"] = Interval.D1.value
            bars = cut(resample(daily, request.interval, table), request)
        else:
            bars = cut(daily, request)
        if not len(bars):
            span = f"{table.days[0]} to {table.days[-1]}"
            raise NoDataInRange(
                self.key, f"The sample has no bars of {request.symbol} in that range; it covers {span}."
            )
        return stamp(
            check_bars(bars),
            symbol=request.symbol,
            interval=request.interval,
            source=self.key,
            adjustment=Adjustment.ALL if NAMES[request.symbol][2] == "equity" else Adjustment.RAW,
            simulated=request.interval.intraday,
            fetched_at=self._now(),
        )

    def latest(self, symbols: Sequence[str]) -> dict[str, Quote]:
        """A simulated live price that wanders around the sample's last close."""
        now = self._now()
        quotes = {}
        for symbol in symbols:
            price = live_price(symbol, float(self._table(symbol).values[-1, 3]), now)
            quotes[symbol] = Quote(symbol, Decimal(f"{price:.2f}"), now, self.key, simulated=True)
        return quotes

    def search(self, text: str) -> list[SymbolMatch]:
        """Symbols whose ticker starts with, or whose name contains, ``text``."""
        wanted = text.strip().lower()
        return [
            SymbolMatch(symbol, name, exchange, kind)
            for symbol, (name, exchange, kind) in NAMES.items()
            if wanted and (symbol.lower().strip("^").startswith(wanted.strip("^")) or wanted in name.lower())
        ]

    def news(self, symbol: str) -> list[NewsItem]:
        """The sample has no news."""
        self._table(symbol)
        return []

    def _table(self, symbol: str) -> _Table:
        tables = _tables()
        if symbol not in tables:
            raise UnknownSymbol(self.key, f"The sample has no {symbol}. It has {', '.join(tables)}.")
        return tables[symbol]

    def _intraday(self, request: HistoryRequest, table: _Table, daily: pd.DataFrame) -> pd.DataFrame:
        # Pick the days from daily bars first, so that only those are simulated.
        floor = None if request.start is None else pd.Timestamp(request.start).normalize()
        if request.end is not None:
            within = daily.iloc[: daily.index.searchsorted(pd.Timestamp(request.end), side="left")]
        else:
            within = daily
        if floor is not None:
            chosen = within.iloc[
                within.index.searchsorted(floor.to_datetime64() if floor.tz is None else floor, side="left") :
            ]
        else:
            chosen = cut(within, HistoryRequest(request.symbol, Interval.D1, request.period or Period.MAX))
        if not len(chosen):
            return chosen
        first = int(daily.index.searchsorted(chosen.index[0]))
        rows = np.arange(first, first + len(chosen))
        minutes = self._minutes(request.symbol, table, rows)
        minutes.attrs["interval"] = Interval.M1.value
        bars = minutes if request.interval is Interval.M1 else resample(minutes, request.interval, table)
        if request.end is not None:
            bars = bars.iloc[: bars.index.searchsorted(pd.Timestamp(request.end), side="left")]
        if request.start is not None:
            bars = bars.iloc[bars.index.searchsorted(pd.Timestamp(request.start), side="left") :]
        return bars

    @staticmethod
    def _minutes(symbol: str, table: _Table, rows: np.ndarray) -> pd.DataFrame:
        lengths = table.minutes[rows]
        ends = np.cumsum(lengths)
        values = np.empty((int(ends[-1]), len(OHLCV)))
        offsets = np.arange(int(ends[-1])) - np.repeat(ends - lengths, lengths)
        times = np.repeat(table.opens[rows], lengths) + offsets * _MINUTE
        for length in np.unique(lengths):
            of_length = np.flatnonzero(lengths == length)
            simulated = minute_bars(symbol, table.days[rows[of_length]], table.values[rows[of_length]], int(length))
            target = (ends - lengths)[of_length][:, None] + np.arange(length)[None, :]
            values[target.ravel()] = simulated.reshape(-1, len(OHLCV))
        return bars_frame(times, values)


__all__ = ["SampleSource"]
