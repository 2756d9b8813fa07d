"""Replays history through the whole brokerage, faster than it happened, so that a strategy can be rehearsed.

Each bar is four prices at its start, a third, two thirds and just before its end: open, the nearer extreme, the other
extreme, close. An up bar is taken to have fallen first, a down bar to have risen first. The clock runs along, and no
price is seen before its time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import groupby
from typing import Any

from starlette.concurrency import run_in_threadpool

from dashtrade.brokers.simulator import drafts
from dashtrade.brokers.simulator.clock import SimulatorClock
from dashtrade.brokers.simulator.exchange import Exchange
from dashtrade.brokers.simulator.prices import FixedFeed
from dashtrade.brokers.simulator.queries import moment
from dashtrade.brokers.simulator.refusals import malformed

MAX_BARS = 200_000
# where in a bar its four prices lie
_POINTS = (0.0, 1 / 3, 2 / 3, 0.999)


@dataclass(frozen=True, slots=True)
class Bar:
    symbol: str
    start: datetime
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal

    def path(self) -> tuple[Decimal, Decimal, Decimal, Decimal]:
        """The four prices in the order they are taken to have happened."""
        if self.close >= self.open:
            return self.open, self.low, self.high, self.close
        return self.open, self.high, self.low, self.close


@dataclass(frozen=True, slots=True)
class Plan:
    """Bars in order of time; ``length`` is a bar's, ``seconds_per_bar`` the real time it is given."""

    bars: tuple[Bar, ...]
    length: timedelta
    seconds_per_bar: float


def read_plan(payload: Mapping[str, Any]) -> Plan:
    """From ``{"interval_seconds", "seconds_per_bar", "bars": [[symbol, time, open, high, low, close], ...]}``."""
    seconds = drafts.number(payload, "interval_seconds")
    pace = drafts.number(payload, "seconds_per_bar")
    if seconds is None or seconds <= 0:
        raise malformed("interval_seconds must be > 0")
    if pace is None or pace < 0:
        raise malformed("seconds_per_bar must be >= 0")
    rows = payload.get("bars")
    if not isinstance(rows, list) or not 0 < len(rows) <= MAX_BARS:
        raise malformed(f"bars must be a list of 1 to {MAX_BARS} rows")
    bars = sorted((_bar(row) for row in rows), key=lambda bar: bar.start)
    return Plan(tuple(bars), timedelta(seconds=float(seconds)), float(pace))


def _bar(row: Any) -> Bar:
    if not isinstance(row, list) or len(row) != 6:
        raise malformed("a bar is [symbol, time, open, high, low, close]")
    symbol = str(row[0]).upper()
    if not drafts.well_formed(symbol):
        raise malformed(f"{symbol[:40]!r} is not a ticker")
    values = [drafts.number({"price": value}, "price") for value in row[2:]]
    prices = [value for value in values if value is not None and value > 0]
    if len(prices) != 4:
        raise malformed(f"a price of {symbol} at {str(row[1])[:40]} is missing or not positive")
    opened, high, low, close = prices
    if high < max(opened, close) or low > min(opened, close):
        raise malformed(f"the bar of {symbol} at {str(row[1])[:40]} does not enclose its open and close")
    return Bar(symbol, moment(str(row[1]), "time"), opened, high, low, close)


class Replay:
    """Runs one plan at a time; while it runs, its prices go before every other and the clock is its own."""

    def __init__(self, exchange: Exchange, clock: SimulatorClock, feed: FixedFeed) -> None:
        self._exchange, self._clock, self._feed = exchange, clock, feed
        self._task: asyncio.Task[None] | None = None
        self._symbols: set[str] = set()
        self._done = self._total = 0
        self._failed: str | None = None

    def status(self) -> dict[str, Any]:
        running = self._task is not None and not self._task.done()
        now = self._clock.now()
        return {
            "running": running,
            "bars": self._total,
            "done": self._done,
            "now": now.isoformat(),
            "failed": self._failed,
        }

    async def start(self, plan: Plan) -> None:
        await self.stop()
        self._symbols = {bar.symbol for bar in plan.bars}
        self._done, self._total, self._failed = 0, len(plan.bars), None
        self._task = asyncio.create_task(self._run(plan))

    async def stop(self) -> None:
        """End the replay; the clock and the prices are those of now again."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._task = None
        for symbol in self._symbols:
            self._feed.remove(symbol)
        self._symbols = set()
        self._clock.reset()

    async def _run(self, plan: Plan) -> None:
        rate = plan.length.total_seconds() / plan.seconds_per_bar if plan.seconds_per_bar else 0.0
        pause = plan.seconds_per_bar / len(_POINTS)
        try:
            for start, group in groupby(plan.bars, key=lambda bar: bar.start):
                bars = list(group)
                for step, fraction in enumerate(_POINTS):
                    self._clock.set(start + plan.length * fraction, rate)
                    await run_in_threadpool(self._step, bars, step)
                    await asyncio.sleep(pause)
                self._done += len(bars)
                await run_in_threadpool(self._exchange.note_equities)
            # the end stays: a clock that ran on would leave the last prices behind
            self._clock.set(self._clock.now(), 0.0)
        except Exception as error:
            self._failed = type(error).__name__
            raise

    def _step(self, bars: Sequence[Bar], step: int) -> None:
        now = self._clock.now()
        for bar in bars:
            self._feed.set(bar.symbol, bar.path()[step], now)
        self._exchange.tick()
        for symbol in symbols(bars):
            self._exchange.match(symbol)


def symbols(bars: Iterable[Bar]) -> list[str]:
    return sorted({bar.symbol for bar in bars})
