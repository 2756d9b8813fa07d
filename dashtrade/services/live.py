"""Live prices, asked once for all: pages, alerts and the simulator name symbols, one process polls the sources.

Whoever looks at a symbol renews its interest through :meth:`LivePrices.latest`; the poller in the jobs worker asks each
source for all wanted symbols in one call, writes the prices, and sends a NOTIFY on ``live_prices``. Where a source has
a stream, the stream's trades are written and the source is polled seldom, or at its usual pace while the stream is
silent. An advisory lock keeps it to one poller however many workers run.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import structlog
from sqlalchemy import Connection, Engine, NullPool, create_engine, text
from sqlalchemy.exc import DBAPIError

from dashtrade.domain.market import Quote
from dashtrade.domain.ports import PriceStream, TradingHours
from dashtrade.errors import DashTradeError, RateLimited, UnknownSymbol

if TYPE_CHECKING:
    from dashtrade.services.market import MarketData

log = structlog.get_logger(__name__)

CHANNEL = "live_prices"
INTEREST = timedelta(seconds=60)
# Seconds between calls to a source. Sources with few calls a day, and files, are never polled.
CADENCE: Mapping[str, float] = {"sample": 1.0, "alpaca": 2.0, "yahoo": 10.0}
CLOSED_CADENCE = 300.0
# A symbol whose stream is alive, but which may trade seldom.
STREAMED_CADENCE = 15.0
# How often the last price of a closed market is confirmed, so that it does not look forgotten.
KEPT_CADENCE = 20.0
_LOCK = 7_301_944_021
_NOTICE_BYTES = 7_000

_WANT = text(
    """
    INSERT INTO live_interest (source, symbol, until)
    SELECT :source, unnest(CAST(:symbols AS varchar[])), :until
    ON CONFLICT (source, symbol) DO UPDATE SET until = GREATEST(live_interest.until, EXCLUDED.until)
    """
)
_WRITE = text(
    """
    INSERT INTO live_prices (source, symbol, price, bid, ask, time, delay_seconds, simulated, seen_at)
    VALUES (:source, :symbol, :price, :bid, :ask, :time, :delay_seconds, :simulated, :seen_at)
    ON CONFLICT (source, symbol) DO UPDATE SET price = EXCLUDED.price, bid = EXCLUDED.bid, ask = EXCLUDED.ask,
        time = EXCLUDED.time, delay_seconds = EXCLUDED.delay_seconds, simulated = EXCLUDED.simulated,
        seen_at = EXCLUDED.seen_at
    WHERE live_prices.time <= EXCLUDED.time
    """
)
_KEEP = text(
    """
    UPDATE live_prices SET seen_at = :now
    WHERE source = :source AND symbol = ANY(CAST(:symbols AS varchar[])) AND seen_at < :now
    """
)
_READ = text(
    """
    SELECT symbol, price, bid, ask, time, delay_seconds, simulated FROM live_prices
    WHERE source = :source AND symbol = ANY(CAST(:symbols AS varchar[])) AND seen_at >= :since
    """
)


class LivePrices:
    """The shared table of latest prices. Readers and the poller meet here and nowhere else."""

    def __init__(self, engine: Engine, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._engine = engine
        self._now = now

    def latest(
        self, symbols: Sequence[str], source: str, *, max_age: timedelta = timedelta(seconds=60)
    ) -> dict[str, Quote]:
        """Prices the poller saw within ``max_age``, and a wish for more: symbols without one come within seconds."""
        wanted = sorted(set(symbols))
        if not wanted:
            return {}
        now = self._now()
        with self._engine.begin() as connection:
            connection.execute(_WANT, {"source": source, "symbols": wanted, "until": now + INTEREST})
            return self._read(connection, wanted, source, now - max_age)

    @staticmethod
    def _read(connection: Connection, symbols: list[str], source: str, since: datetime) -> dict[str, Quote]:
        rows = connection.execute(_READ, {"source": source, "symbols": symbols, "since": since})
        return {
            row.symbol: Quote(
                symbol=row.symbol,
                price=row.price.normalize(),
                time=row.time.astimezone(UTC),
                source=source,
                delay_seconds=row.delay_seconds,
                simulated=row.simulated,
                bid=row.bid,
                ask=row.ask,
            )
            for row in rows
        }

    def wanted(self) -> dict[str, list[str]]:
        """Symbols somebody looks at now, by source. Old wishes are removed on the way."""
        now = self._now()
        with self._engine.begin() as connection:
            connection.execute(text("DELETE FROM live_interest WHERE until < :old"), {"old": now - INTEREST})
            rows = connection.execute(
                text("SELECT source, symbol FROM live_interest WHERE until >= :now ORDER BY source, symbol"),
                {"now": now},
            ).all()
        found: dict[str, list[str]] = {}
        for source, symbol in rows:
            found.setdefault(source, []).append(symbol)
        return found

    def write(self, quotes: Iterable[Quote]) -> None:
        """Store prices (never an older one over a newer) and tell the listeners which symbols moved."""
        rows = [
            {
                "source": quote.source,
                "symbol": quote.symbol,
                "price": quote.price,
                "bid": quote.bid,
                "ask": quote.ask,
                "time": quote.time,
                "delay_seconds": quote.delay_seconds,
                "simulated": quote.simulated,
                "seen_at": self._now(),
            }
            for quote in quotes
        ]
        if not rows:
            return
        notice = ",".join(sorted({str(row["symbol"]) for row in rows}))[:_NOTICE_BYTES]
        with self._engine.begin() as connection:
            connection.execute(_WRITE, rows)
            connection.execute(text("SELECT pg_notify(:channel, :notice)"), {"channel": CHANNEL, "notice": notice})

    def keep(self, source: str, symbols: Sequence[str]) -> None:
        """The prices of these symbols still hold: their market is closed."""
        with self._engine.begin() as connection:
            connection.execute(_KEEP, {"source": source, "symbols": sorted(symbols), "now": self._now()})


class LivePoller:
    """Asks the sources for the wanted symbols, each at its own pace; a failing source does not hold up the others.

    ``streams`` makes the stream of a source that has one, or None where there are no keys for it.
    """

    def __init__(
        self,
        prices: LivePrices,
        market: Callable[[], MarketData],
        hours: TradingHours,
        *,
        cadence: Mapping[str, float] = CADENCE,
        streams: Mapping[str, Callable[[], PriceStream | None]] | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._prices = prices
        self._market = market
        self._hours = hours
        self._cadence = cadence
        self._streams = dict(streams or {})
        self._now = now
        self._due: dict[tuple[str, str], float] = {}
        self._failing: dict[tuple[str, str], str] = {}
        self._open_streams: dict[str, PriceStream] = {}
        self._streamed: set[tuple[str, str]] = set()
        self._closed: dict[tuple[str, str], float] = {}

    def poll(self) -> int:
        """One round; returns how many prices were written."""
        written = 0
        wanted = self._prices.wanted()
        moment = self._now()
        self._due = {key: at for key, at in self._due.items() if key[1] in wanted.get(key[0], ())}
        self._closed = {key: at for key, at in self._closed.items() if key in self._due}
        self._failing = {key: code for key, code in self._failing.items() if key in self._due}
        for source in self._streams:
            written += self._listen(source, wanted.get(source, []), moment)
        for source, symbols in wanted.items():
            if source not in self._cadence:
                continue
            self._keep(source, moment)
            due = [s for s in symbols if self._due.get((source, s), 0.0) <= moment.timestamp()]
            # a symbol that the source does not have is asked for alone, or nobody in its company would have a price
            alone = [s for s in due if self._failing.get((source, s)) == UnknownSymbol.code]
            together = [s for s in due if s not in alone]
            for group in ([together] if together else []) + [[s] for s in alone]:
                written += self._ask(source, group, moment)
        return written

    def _ask(self, source: str, symbols: list[str], moment: datetime) -> int:
        pause = self._cadence[source]
        try:
            quotes = self._market().latest(symbols, source)
        except DashTradeError as error:
            if isinstance(error, UnknownSymbol) and len(symbols) > 1:
                return sum(self._ask(source, [symbol], moment) for symbol in symbols)
            waits = error.retry_after if isinstance(error, RateLimited) and error.retry_after else 4 * pause
            self._wait(source, symbols, moment.timestamp() + waits)
            # by symbol: one that the source does not have says nothing about the others
            new = [symbol for symbol in symbols if self._failing.get((source, symbol)) != error.code]
            if new:
                log.warning("Live prices are missing", source=source, symbols=", ".join(new), reason=str(error))
                self._failing.update({(source, symbol): error.code for symbol in new})
            return 0
        back = [symbol for symbol in symbols if self._failing.pop((source, symbol), None)]
        if back:
            log.info("Live prices are back", source=source, symbols=", ".join(back))
        self._prices.write(quotes.values())
        for symbol in symbols:
            closed = source != "sample" and not self._hours.is_open(symbol, moment)
            self._closed.pop((source, symbol), None)
            if closed and symbol in quotes:
                self._closed[source, symbol] = moment.timestamp()
            streamed = STREAMED_CADENCE if (source, symbol) in self._streamed else pause
            self._wait(source, [symbol], moment.timestamp() + (CLOSED_CADENCE if closed else streamed))
        return len(quotes)

    def _listen(self, source: str, symbols: list[str], moment: datetime) -> int:
        """Write what the source's stream has brought; symbols whose stream fell silent are due at once."""
        wanted = [symbol for symbol in symbols if self._hours.is_open(symbol, moment)]
        stream = self._open_streams.get(source)
        if stream is None:
            stream = self._streams[source]() if wanted else None
            if stream is None:
                return 0
            self._open_streams[source] = stream
        stream.follow(wanted)
        trades = stream.take()
        self._prices.write(trades)
        alive = {(source, symbol) for symbol in wanted if stream.alive(symbol)}
        before = {key for key in self._streamed if key[0] == source}
        if bool(alive) != bool(before):
            log.info("Live prices come from the stream" if alive else "Live prices are polled", source=source)
        for key in (before - alive) - self._failing.keys():
            self._due.pop(key, None)
        # The newest trade is here already; the poll that is due would bring an older one.
        for key in (alive - before) - self._failing.keys():
            self._due[key] = moment.timestamp() + STREAMED_CADENCE
        self._streamed = (self._streamed - before) | alive
        return len(trades)

    def _keep(self, source: str, moment: datetime) -> None:
        at = moment.timestamp()
        resting = [s for (of, s), kept in self._closed.items() if of == source and at - kept >= KEPT_CADENCE]
        if resting:
            self._prices.keep(source, resting)
            self._closed.update({(source, symbol): at for symbol in resting})

    def close(self) -> None:
        """End the streams."""
        for stream in self._open_streams.values():
            stream.close()
        self._open_streams.clear()
        self._streamed.clear()

    def _wait(self, source: str, symbols: list[str], until: float) -> None:
        self._due.update({(source, symbol): until for symbol in symbols})

    def run(self, engine: Engine, stop: threading.Event, *, tick: float = 0.5, retry: float = 5.0) -> None:
        """Poll until ``stop``, whenever this is the one process that holds the lock."""
        while not stop.is_set():
            try:
                self._hold(engine, stop, tick)
            except DBAPIError as error:
                log.warning("Live prices wait for the database", reason=type(error).__name__)
            stop.wait(retry)

    def _hold(self, engine: Engine, stop: threading.Event, tick: float) -> None:
        # The lock lives as long as its connection, which therefore belongs to no pool.
        alone = create_engine(engine.url, poolclass=NullPool)
        try:
            with alone.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                held = text("SELECT pg_try_advisory_lock(:lock)")
                if not connection.execute(held, {"lock": _LOCK}).scalar():
                    return
                while not stop.is_set():
                    connection.execute(text("SELECT 1"))
                    self.poll()
                    stop.wait(tick)
        finally:
            self.close()
            alone.dispose()
