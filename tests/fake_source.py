"""A price source that serves a table it is given and notes every fetch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd

from dashtrade.data.limits import Limits
from dashtrade.data.pipeline import answer
from dashtrade.data.quality import check_bars, stamp
from dashtrade.domain.market import Adjustment, HistoryRequest, Interval, NewsItem, Quote, SymbolMatch
from dashtrade.errors import NoDataInRange, SourceError


def daily_table(last: str = "2026-11-20", days: int = 3000) -> pd.DataFrame:
    index = pd.bdate_range(end=last, periods=days, tz="UTC", name="time")
    close = 100 + np.arange(len(index)) * 0.1
    return pd.DataFrame(
        {"open": close - 0.05, "high": close + 1, "low": close - 1, "close": close, "volume": 1000.0}, index=index
    )


def minute_table(last: datetime, count: int) -> pd.DataFrame:
    index = pd.date_range(end=last, periods=count, freq="min", name="time")
    close = 100 + np.sin(np.arange(count) / 50)
    return pd.DataFrame(
        {"open": close, "high": close + 1, "low": close - 1, "close": close, "volume": 1.0}, index=index
    )


class FakeSource:
    """Bars up to ``now()`` out of ``tables``; daily ones unless the interval has its own table."""

    label = "Fake"

    def __init__(self, now: Callable[[], datetime], key: str = "fake", days: dict[Interval, int] | None = None) -> None:
        self.key = key
        self._now = now
        native = {i: i if i.intraday else Interval.D1 for i in Interval}
        self.limits = Limits("Fake", native, days or {})
        self.tables: dict[Interval, pd.DataFrame] = {Interval.D1: daily_table()}
        self.fetches: list[tuple[str, str, datetime | None, datetime | None]] = []
        self.error: SourceError | None = None

    def adjustment(self, interval: Interval) -> Adjustment:
        return Adjustment.ALL

    def history(self, request: HistoryRequest) -> pd.DataFrame:
        return answer(self, request, self._now())

    def fetch(self, symbol: str, interval: Interval, start: datetime | None, end: datetime | None) -> pd.DataFrame:
        self.fetches.append((symbol, interval.value, start, end))
        if self.error is not None:
            raise self.error
        table = self.tables[interval]
        table = table[table.index <= pd.Timestamp(self._now())]
        if start is not None:
            table = table[table.index >= pd.Timestamp(start)]
        if end is not None:
            table = table[table.index < pd.Timestamp(end)]
        if not len(table):
            raise NoDataInRange(self.key, "Fake has nothing there.")
        return stamp(
            check_bars(table), symbol=symbol, interval=interval, source=self.key, adjustment=Adjustment.ALL,
            fetched_at=self._now(),
        )  # fmt: skip

    def latest(self, symbols: Sequence[str]) -> dict[str, Quote]:
        raise NotImplementedError

    def search(self, text: str) -> list[SymbolMatch]:
        raise NotImplementedError

    def news(self, symbol: str) -> list[NewsItem]:
        raise NotImplementedError


class Clock:
    """A clock a test moves by hand."""

    def __init__(self, text: str = "2026-11-22T12:00") -> None:
        self.now = datetime.fromisoformat(text).replace(tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def forward(self, **span: float) -> None:
        self.now += timedelta(**span)
