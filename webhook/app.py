"""The webhook: ``POST /webhook``, ``GET /signals/{id}``, ``GET /health``, ``GET /metrics``.

An alert is stored and committed before it is answered. The answer comes within three seconds whatever happens, since
TradingView waits no longer: storing runs in a bounded pool, reading a body and waiting for an outcome have deadlines.
"""

from __future__ import annotations

import asyncio
import re
import secrets
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import Any, TypeVar

import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from structlog.contextvars import bind_contextvars, clear_contextvars, get_contextvars

from dashtrade.db.engine import limit_idle, refused
from dashtrade.db.unit_of_work import UnitOfWork
from dashtrade.domain.bots import IncomingAlert
from dashtrade.errors import (
    DashTradeError,
    DatabaseUnavailable,
    InvalidInput,
    NotFound,
    PayloadTooLarge,
    RequestTimeout,
)
from dashtrade.services.alerts_in import Arrival, Stored, count_uses, identify, receive, status_of, tell_trader
from dashtrade.services.signals import signal_outcome
from webhook.health import health_report
from webhook.metrics import Metrics
from webhook.outcomes import OutcomeBoard
from webhook.payload import MAX_BYTES, cut_secrets, parse_payload

log = structlog.get_logger("webhook")
T = TypeVar("T")
ANSWER_SECONDS = 2.8
BODY_SECONDS = 2.0
RETRY_AFTER = {"Retry-After": "5"}
NOT_STORED = "The alert could not be stored. It was not lost: send it again."


class Webhook:
    """The routes' state: a bounded pool for the database, the outcomes board, counters."""

    def __init__(self, engine: Engine, *, wait_seconds: float = 2.0, workers: int = 16) -> None:
        self.engine = engine
        self.wait_seconds = wait_seconds
        self.metrics = Metrics()
        self.board = OutcomeBoard(engine)
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="webhook-db")
        self._teller = ThreadPoolExecutor(1, thread_name_prefix="webhook-notify")
        self._told: set[tuple[int, str]] = set()
        self._tell = asyncio.Event()
        self._telling: asyncio.Task[None] | None = None
        self._uses: dict[int, tuple[int, datetime]] = {}
        self._counter: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self.board.start()
        self._counter = asyncio.create_task(self._count_uses())
        self._telling = asyncio.create_task(self._tell_traders())

    async def stop(self) -> None:
        for task in (self._counter, self._telling):
            if task is not None:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
        await self._flush_uses()
        self.board.stop()
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._teller.shutdown(wait=False, cancel_futures=True)

    async def in_pool(self, seconds: float, work: Callable[[], T]) -> T:
        """Run ``work`` in the pool; DatabaseUnavailable where it cannot be done in time."""
        loop = asyncio.get_running_loop()
        try:
            return await asyncio.wait_for(loop.run_in_executor(self._pool, work), max(seconds, 0.05))
        except TimeoutError:
            raise DatabaseUnavailable("The database did not answer in time.") from None
        except SQLAlchemyError as error:
            log.error("database_error", kind=type(error).__name__, code=getattr(error.__cause__, "pgcode", None))
            raise DatabaseUnavailable("The database refused the work.") from None

    async def post(self, request: Request) -> Response:
        started, received_at = time.perf_counter(), datetime.now(UTC)
        bind_contextvars(request=secrets.token_hex(8))
        address = request.client.host if request.client else None
        body, content = await _read(request)
        shown = content.shown if isinstance(content, IncomingAlert) else cut_secrets(body)
        arrival = Arrival(_token(request), content, shown, received_at, address)

        def left() -> float:
            return ANSWER_SECONDS - (time.perf_counter() - started)

        try:
            stored = await self.in_pool(left(), lambda: receive(UnitOfWork(self.engine), arrival))
        except DatabaseUnavailable as error:
            log.error("not_stored", reason=str(error))
            return self._answer(started, request, 503, _error("UNAVAILABLE", NOT_STORED), RETRY_AFTER)
        except DashTradeError as error:
            close = {"Connection": "close"} if error.code in ("PAYLOAD_TOO_LARGE", "REQUEST_TIMEOUT") else None
            return self._answer(started, request, status_of(error), _error(error.code, str(error)), close)
        bind_contextvars(alert=stored.alert_id, user=stored.user_id)
        count, _ = self._uses.get(stored.token_id, (0, received_at))
        self._uses[stored.token_id] = (count + 1, received_at)
        if not stored.duplicate:
            self._told.add((stored.user_id, stored.account_mode))
            self._tell.set()
        self.metrics.stored.observe(time.perf_counter() - started)
        # counted from the arrival: where storing took long, TradingView has waited already
        outcome = await self._outcome(stored, self.wait_seconds - (time.perf_counter() - started), left)
        return self._answer(started, request, _status(outcome), outcome)

    async def signal(self, request: Request) -> Response:
        started = time.perf_counter()
        number, token = request.path_params["signal_id"], _token(request)

        def read() -> dict[str, Any]:
            with UnitOfWork(self.engine) as uow:
                caller = identify(uow.session, token)
                if not re.fullmatch("[0-9]{1,18}", number):  # more digits than the database counts
                    raise NotFound(f"There is no signal {number[:20]}.")
                return signal_outcome(uow.session, caller.user_id, int(number), caller.bot_id)

        try:
            body = await self.in_pool(ANSWER_SECONDS, read)
        except DatabaseUnavailable as error:
            return self._answer(started, request, 503, _error("UNAVAILABLE", str(error)), RETRY_AFTER)
        except DashTradeError as error:
            return self._answer(started, request, status_of(error), _error(error.code, str(error)))
        return self._answer(started, request, 200, body)

    async def health(self, request: Request) -> Response:
        try:
            report = await self.in_pool(2.0, lambda: health_report(UnitOfWork(self.engine), datetime.now(UTC)))
        except DatabaseUnavailable as error:
            return JSONResponse({"status": "down", "database": "down", "message": str(error)}, 503)
        if (full := refused(self.engine)) is not None:
            return JSONResponse(report | {"status": "down", "problems": [full, *report["problems"]]}, 503)
        return JSONResponse(report)

    async def live(self, request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def ready(self, request: Request) -> Response:
        """Whether alerts can be stored; that a trader is missing is no reason to send them elsewhere."""
        try:
            await self.in_pool(2.0, lambda: _ping(self.engine))
        except DatabaseUnavailable as error:
            return JSONResponse({"status": "down", "message": str(error)}, 503, headers=RETRY_AFTER)
        if (full := refused(self.engine)) is not None:
            return JSONResponse({"status": "down", "message": full}, 503, headers=RETRY_AFTER)
        return JSONResponse({"status": "ok"})

    async def scrape(self, request: Request) -> Response:
        with suppress(DatabaseUnavailable):
            self.metrics.show(
                await self.in_pool(1.0, lambda: health_report(UnitOfWork(self.engine), datetime.now(UTC)))
            )
        return Response(self.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    async def _outcome(self, stored: Stored, seconds: float, left: Callable[[], float]) -> dict[str, Any]:
        """How the alert ended, if that is known in time; a repeat gets the answer of the first."""

        def look() -> dict[str, Any]:
            with UnitOfWork(self.engine) as uow:
                return signal_outcome(uow.session, stored.user_id, stored.alert_id)

        accepted = {"status": "accepted", "signal_id": stored.alert_id}
        if stored.duplicate:
            with suppress(DatabaseUnavailable):
                body = await self.in_pool(min(left(), 1.0), look)
                if body["status"] != "accepted":
                    return body
        patience = min(seconds, left())
        return accepted if patience <= 0 else await self.board.wait(stored.alert_id, patience) or accepted

    def _answer(
        self, started: float, request: Request, status: int, body: dict[str, Any], headers: dict[str, str] | None = None
    ) -> Response:
        seconds = time.perf_counter() - started
        self.metrics.requests.labels(request.url.path.split("/")[1], str(status)).inc()
        self.metrics.answered.observe(seconds)
        # The path only: the query holds the token.
        log.info("request", method=request.method, path=request.url.path, status=status, ms=round(seconds * 1000, 1))
        request_id = get_contextvars().get("request")
        clear_contextvars()
        return JSONResponse(
            body, status, headers=(headers or {}) | ({"X-Request-Id": request_id} if request_id else {})
        )

    async def _tell_traders(self) -> None:
        """Wake traders for what was stored meanwhile, in one go."""
        loop = asyncio.get_running_loop()
        while True:
            await self._tell.wait()
            self._tell.clear()
            accounts, self._told = self._told, set()
            try:
                await loop.run_in_executor(self._teller, lambda a=accounts: tell_trader(UnitOfWork(self.engine), a))  # type: ignore[misc]
            except (DashTradeError, SQLAlchemyError) as error:
                log.warning("trader_not_told", kind=type(error).__name__)

    async def _count_uses(self) -> None:
        while True:
            await asyncio.sleep(1.0)
            await self._flush_uses()

    async def _flush_uses(self) -> None:
        uses, self._uses = self._uses, {}
        if uses:
            with suppress(DatabaseUnavailable):
                await self.in_pool(2.0, lambda: count_uses(UnitOfWork(self.engine), uses))


def create_app(engine: Engine, *, wait_seconds: float = 2.0, workers: int = 16) -> Starlette:
    """The ASGI application on a database. Nothing is opened before it starts."""
    limit_idle(engine)
    webhook = Webhook(engine, wait_seconds=wait_seconds, workers=workers)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        await webhook.start()
        yield
        await webhook.stop()

    routes = [
        Route("/webhook", webhook.post, methods=["POST"]),
        Route("/signals/{signal_id}", webhook.signal, methods=["GET"]),
        Route("/health", webhook.health, methods=["GET"]),
        Route("/health/live", webhook.live, methods=["GET"]),
        Route("/health/ready", webhook.ready, methods=["GET"]),
        Route("/metrics", webhook.scrape, methods=["GET"]),
    ]
    handlers: dict[Any, Any] = {404: _no_route, 405: _no_route, Exception: _failed}
    return Starlette(routes=routes, lifespan=lifespan, exception_handlers=handlers)


def _ping(engine: Engine) -> None:
    with engine.connect() as connection:
        connection.exec_driver_sql("SELECT 1")


async def _read(request: Request) -> tuple[bytes, IncomingAlert | DashTradeError]:
    """The body, read no further than its limits, and what it says."""
    size = request.headers.get("content-length", "")
    if size.isdigit() and (len(size) > 12 or int(size) > MAX_BYTES):
        return b"", _too_large()
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for part in request.stream():
                body += part
                if len(body) > MAX_BYTES:
                    return bytes(body[:MAX_BYTES]), _too_large()
    except TimeoutError:
        return bytes(body), RequestTimeout(f"The body did not arrive within {BODY_SECONDS:.0f} s.")
    except ClientDisconnect:
        return bytes(body), RequestTimeout("The sender went away before the body was complete.")
    try:
        return bytes(body), parse_payload(bytes(body))
    except InvalidInput as error:
        return bytes(body), error


def _too_large() -> PayloadTooLarge:
    return PayloadTooLarge(f"The body is larger than {MAX_BYTES // 1024} KB. An alert needs a few fields only.")


def _token(request: Request) -> str | None:
    token = request.query_params.get("token")
    if token:
        return token
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    return value.strip() if scheme.lower() == "bearer" and value.strip() else None


def _error(code: str, message: str) -> dict[str, Any]:
    return {"status": "error", "message": message, "code": code}


def _status(outcome: dict[str, Any]) -> int:
    return {"success": 200, "ignored": 200, "accepted": 202}.get(str(outcome.get("status")), 409)


async def _no_route(request: Request, error: Exception) -> Response:
    status = getattr(error, "status_code", 404)
    message = "Send alerts with POST to /webhook?token=…; read one with GET /signals/{id}."
    return JSONResponse(_error("NOT_FOUND" if status == 404 else "VALIDATION_ERROR", message), status)


async def _failed(request: Request, error: Exception) -> Response:
    log.error("request_failed", kind=type(error).__name__, path=request.url.path)
    return JSONResponse(_error("UNAVAILABLE", NOT_STORED), 503, headers=RETRY_AFTER)
