"""Asking a source whose key this process does not hold: the jobs worker, which does, asks it and writes the answer.

A page kernel holds no encryption key, so :class:`RemoteSource` puts its question into the database and waits for the
answer; :class:`RequestServer` in the jobs worker takes it, opens the user's key, and calls the source. Bars then go
through the shared cache like any others. Only users' sources travel this way; a key never does.
"""

from __future__ import annotations

import io
import json
import select as select_module
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, fields
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import psycopg2
import structlog
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from dashtrade.data.sources import SOURCES
from dashtrade.db.engine import libpq_url
from dashtrade.db.listen import ALIVE
from dashtrade.domain.market import Adjustment, HistoryRequest, Interval, NewsItem, Quote, SymbolMatch
from dashtrade.errors import (
    BadAnswer,
    BadBars,
    BudgetUsedUp,
    DashTradeError,
    InvalidInput,
    NoDataInRange,
    RateLimited,
    SourceError,
    SourceKeyProblem,
    SourceUnreachable,
    UnknownSymbol,
)

if TYPE_CHECKING:
    import pandas as pd

    from dashtrade.services.market import MarketData

log = structlog.get_logger(__name__)

ASKED, ANSWERED = "source_requests", "source_answers"
_ALIVE_KEY = 6
WAIT_SECONDS = 40.0
_KEPT_SECONDS = 300
_AT_ONCE = 4
_LIMITS: dict[str, type[RateLimited]] = {kind.code: kind for kind in (RateLimited, BudgetUsedUp)}
_ERRORS: dict[str, type[SourceError]] = {
    kind.code: kind for kind in (BadAnswer, NoDataInRange, SourceKeyProblem, SourceUnreachable, UnknownSymbol)
}

_ASK = text(
    "INSERT INTO source_requests (user_id, source, what, arguments) "
    "VALUES (:user, :source, :what, CAST(:arguments AS jsonb)) RETURNING id"
)
_TAKE = text(
    """
    UPDATE source_requests SET state = 'taken' WHERE id IN (
        SELECT id FROM source_requests WHERE state = 'waiting' ORDER BY id LIMIT :most FOR UPDATE SKIP LOCKED)
    RETURNING id, user_id, source, what, arguments
    """
)


class RemoteSource:
    """A source with a key, asked through the jobs worker for one user. Raises the errors the source itself raises."""

    def __init__(self, key: str, engine: Callable[[], Engine], user_id: int, *, wait: float = WAIT_SECONDS) -> None:
        entry = SOURCES[key]
        if entry.limits is None or entry.adjustment is None:
            raise InvalidInput("source", f"{key} is asked directly.")
        self.key = key
        self.label = entry.label
        self.limits = entry.limits
        self.allowance = f"{key}-{user_id}"
        self._adjustment = entry.adjustment
        self._engine = engine
        self._user_id = user_id
        self._wait = wait

    def adjustment(self, interval: Interval) -> Adjustment:
        return self._adjustment(interval)

    def history(self, request: HistoryRequest) -> pd.DataFrame:
        from dashtrade.data.pipeline import answer

        return answer(self, request, datetime.now(UTC))

    def fetch(self, symbol: str, interval: Interval, start: datetime | None, end: datetime | None) -> pd.DataFrame:
        from dashtrade.data.barfile import decode

        given = {"symbol": symbol, "interval": interval.value, "start": _iso(start), "end": _iso(end)}
        return decode(io.BytesIO(self._ask("fetch", given))).bars

    def latest(self, symbols: Sequence[str]) -> dict[str, Quote]:
        rows = json.loads(self._ask("latest", {"symbols": list(symbols)}))
        return {row["symbol"]: _revived(Quote, row) for row in rows}

    def search(self, text: str) -> list[SymbolMatch]:
        return [_revived(SymbolMatch, row) for row in json.loads(self._ask("search", {"text": text}))]

    def news(self, symbol: str) -> list[NewsItem]:
        return [_revived(NewsItem, row) for row in json.loads(self._ask("news", {"symbol": symbol}))]

    def _ask(self, what: str, arguments: dict[str, Any]) -> bytes:
        given = {"user": self._user_id, "source": self.key, "what": what, "arguments": json.dumps(arguments)}
        try:
            with self._engine().connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                state, answer = self._answer(connection, given)
        except DBAPIError as error:
            raise SourceUnreachable(
                self.key, f"{self.label} is asked through the database, which gave no answer ({type(error).__name__})."
            ) from None
        if state == "failed":
            raise _error(self.key, json.loads(answer))
        return answer

    def _answer(self, connection: Connection, given: dict[str, Any]) -> tuple[str, bytes]:
        # An exclusive lock is free only where no worker holds its shared one.
        free = text("SELECT pg_try_advisory_xact_lock(:kind, :key)")
        if connection.scalar(free, {"kind": ALIVE, "key": _ALIVE_KEY}):
            raise SourceUnreachable(
                self.key,
                f"The key for {self.label} is held by the jobs worker, which is not running. Start `dashtrade up`, or "
                "choose another source.",
            )
        connection.execute(text(f"LISTEN {ANSWERED}"))
        number = connection.scalar(_ASK, given)
        connection.execute(text(f"SELECT pg_notify('{ASKED}', '')"))
        raw: Any = connection.connection.driver_connection
        deadline = time.monotonic() + self._wait
        try:
            while time.monotonic() < deadline:
                row = connection.execute(
                    text("SELECT state, answer FROM source_requests WHERE id = :id"), {"id": number}
                ).one_or_none()
                if row is None or row.state in ("done", "failed"):
                    break
                # A notice that came with the last answer of the server is here already.
                if not any(notice.payload == str(number) for notice in raw.notifies):
                    select_module.select([raw], [], [], 0.5)
                    raw.poll()
                raw.notifies.clear()
            else:
                row = None
        finally:
            connection.execute(text("DELETE FROM source_requests WHERE id = :id"), {"id": number})
            connection.execute(text(f"UNLISTEN {ANSWERED}"))
        if row is None:
            raise SourceUnreachable(
                self.key, f"{self.label} gave no answer within {self._wait:.0f} seconds. Try again, or see the log."
            )
        return row.state, bytes(row.answer)


class RequestServer:
    """Answers the questions of processes without keys. ``market_for(user_id, key)`` has that source, with its key.

    Several may run; each question is taken by one.
    """

    def __init__(self, engine: Engine, market_for: Callable[[int, str], MarketData]) -> None:
        self._engine = engine
        self._market_for = market_for

    def run(self, stop: threading.Event, *, retry: float = 2.0) -> None:
        """Serve until ``stop``, coming back for as long as it takes where the database is away."""
        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="source-requests") as pool:
            while not stop.is_set():
                try:
                    self._serve(stop, pool)
                except (psycopg2.Error, DBAPIError) as error:
                    log.warning("Questions to sources wait for the database", reason=type(error).__name__)
                    stop.wait(retry)

    def _serve(self, stop: threading.Event, pool: ThreadPoolExecutor) -> None:
        url = libpq_url(self._engine.url.render_as_string(hide_password=False))
        connection = psycopg2.connect(url, connect_timeout=3, application_name="dashtrade-source-requests")
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(f"LISTEN {ASKED}")
                cursor.execute("SELECT pg_advisory_lock_shared(%s, %s)", (ALIVE, _ALIVE_KEY))
            swept = 0.0
            while not stop.is_set():
                if time.monotonic() - swept > 60:
                    self._sweep()
                    swept = time.monotonic()
                for row in self._taken():
                    pool.submit(self._handle, *row)
                select_module.select([connection], [], [], 0.5)
                connection.poll()
                connection.notifies.clear()
        finally:
            with suppress(psycopg2.Error):
                connection.close()

    def _taken(self) -> list[tuple[int, int, str, str, dict[str, Any]]]:
        with self._engine.begin() as connection:
            rows = connection.execute(_TAKE, {"most": 2 * _AT_ONCE}).all()
        return [(row.id, row.user_id, row.source, row.what, row.arguments) for row in rows]

    def _sweep(self) -> None:
        old = text("DELETE FROM source_requests WHERE created_at < now() - make_interval(secs => :seconds)")
        with self._engine.begin() as connection:
            connection.execute(old, {"seconds": _KEPT_SECONDS})

    def _handle(self, number: int, user_id: int, source: str, what: str, arguments: dict[str, Any]) -> None:
        try:
            state, answer = "done", _performed(self._market_for(user_id, source), source, what, arguments)
        except DashTradeError as error:
            state, answer = "failed", json.dumps(_described(error)).encode()
        except Exception as error:  # noqa: BLE001 - a thread's edge: whoever asked must not wait in vain
            log.error("A question to a source failed", source=source, what=what, reason=type(error).__name__)
            words = "The question to the source failed; the log of the jobs worker says why."
            state, answer = "failed", json.dumps({"code": BadAnswer.code, "message": words}).encode()
        done = text("UPDATE source_requests SET state = :state, answer = :answer WHERE id = :id")
        try:
            with self._engine.begin() as connection:
                connection.execute(done, {"state": state, "answer": answer, "id": number})
                connection.execute(text("SELECT pg_notify(:channel, :id)"), {"channel": ANSWERED, "id": str(number)})
        except DBAPIError as error:
            log.warning("An answer of a source was lost", source=source, reason=type(error).__name__)


def _performed(market: MarketData, source: str, what: str, arguments: dict[str, Any]) -> bytes:
    if what == "fetch":
        from dashtrade.data.barfile import BarFile, encode

        start, end = (moment and datetime.fromisoformat(moment) for moment in (arguments["start"], arguments["end"]))
        interval = Interval(arguments["interval"])
        bars = market.source(source).fetch(arguments["symbol"], interval, start, end)
        return encode(BarFile(bars, datetime.now(UTC), start))
    if what == "latest":
        found: list[Any] = list(market.latest(arguments["symbols"], source).values())
    elif what == "search":
        found = list(market.search(arguments["text"], source))
    elif what == "news":
        found = list(market.news(arguments["symbol"], source))
    else:
        raise InvalidInput("what", f"{what!r} is no question to a source.")
    return json.dumps([asdict(one) for one in found], default=_plain).encode()


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(UTC).isoformat()


def _plain(value: object) -> str:
    return value.isoformat() if isinstance(value, (datetime, date)) else str(value)


def _revived(kind: Any, row: dict[str, Any]) -> Any:
    """A dataclass from the JSON of its fields; times and amounts travel as text."""
    values = {}
    for one in fields(kind):
        value = row[one.name]
        if value is not None and "Decimal" in str(one.type):
            value = Decimal(value)
        elif value is not None and "datetime" in str(one.type):
            value = datetime.fromisoformat(value)
        values[one.name] = value
    return kind(**values)


def _described(error: DashTradeError) -> dict[str, Any]:
    described: dict[str, Any] = {"code": error.code, "message": str(error)}
    if isinstance(error, RateLimited):
        described["retry_after"] = error.retry_after
    return described


def _error(source: str, described: dict[str, Any]) -> DashTradeError:
    code, message = described["code"], described["message"]
    if code in _LIMITS:
        return _LIMITS[code](source, message, described.get("retry_after"))
    if code in _ERRORS:
        return _ERRORS[code](source, message)
    if code == InvalidInput.code:
        field, _, rest = message.partition(": ")
        return InvalidInput(field, rest)
    if code == BadBars.code:
        return BadBars(message)
    # A wrong encryption key, say: the operator's to mend, and for the user a source that cannot be asked.
    return SourceError(source, message)
