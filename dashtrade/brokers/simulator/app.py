"""The Alpaca-compatible server: a Starlette app that the real client and its stream talk to unchanged.

Each user has an account of their own, opened on first use; the credentials are derived from the server's secret
(:mod:`dashtrade.domain.simulated`), so nothing about them is stored.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import Engine
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from dashtrade.brokers.simulator import store, stream
from dashtrade.brokers.simulator.books import Knobs, Market
from dashtrade.brokers.simulator.clock import SimulatorClock
from dashtrade.brokers.simulator.exchange import Exchange
from dashtrade.brokers.simulator.hours import AlwaysOpen, Hours
from dashtrade.brokers.simulator.matching import Costs
from dashtrade.brokers.simulator.prices import FixedFeed, PriceFeed, Prices
from dashtrade.brokers.simulator.refusals import Refused, malformed, unauthorized
from dashtrade.brokers.simulator.replay import Replay
from dashtrade.domain.simulated import PREFIX, simulated_credentials
from dashtrade.errors import DatabaseUnavailable

logger = logging.getLogger(__name__)
MAX_BODY = 64 * 1024


@dataclass(frozen=True)
class SimulatorOptions:
    """How the simulated brokerage behaves. Times between looks at resting orders and equity are real time."""

    costs: Costs = field(default_factory=Costs)
    initial_cash: Decimal = Decimal(100_000)
    multiplier: Decimal = Decimal(2)
    hint_life: timedelta = timedelta(seconds=60)
    price_grace: timedelta = timedelta(seconds=1)
    tick_seconds: float = 0.5
    equity_seconds: float = 300.0
    faults: bool = False


class Service:
    """What the routes share: the brokerage, its clock and prices, and who listens."""

    def __init__(
        self,
        engine: Engine,
        feeds: Sequence[PriceFeed],
        session_secret: str,
        clock: SimulatorClock | None = None,
        hours: Hours | None = None,
        options: SimulatorOptions | None = None,
    ) -> None:
        from dashtrade.brokers.simulator.faults import Faults

        self.options = options or SimulatorOptions()
        self.clock = clock or SimulatorClock()
        self.hours = hours or AlwaysOpen()
        self.knobs = Knobs()
        self.faults = Faults(self.knobs)
        self.hub = stream.Hub(self.faults.on_stream)
        replayed = FixedFeed(source="replay")
        self.prices = Prices(
            [replayed, *feeds], self.clock, hint_life=self.options.hint_life, grace=self.options.price_grace
        )
        self.exchange = Exchange(
            engine,
            Market(self.prices, self.hours, self.options.costs, self.knobs),
            self.clock,
            initial_cash=self.options.initial_cash,
            multiplier=self.options.multiplier,
            publish=self.hub.publish,
        )
        self.replay = Replay(self.exchange, self.clock, replayed)
        self._secret = session_secret
        self._changed: set[str] = set()
        self._wake = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self.prices.subscribe(self.on_price)

    def authenticate(self, key_id: str, secret_key: str) -> UUID | None:
        """The account of valid credentials. The comparison takes the same time for every wrong secret."""
        digits = key_id.removeprefix(PREFIX)
        known = key_id.startswith(PREFIX) and digits.isascii() and digits.isdigit() and len(digits) < 19
        user_id = int(digits) if known else 0
        expected = simulated_credentials(self._secret, user_id)[1]
        matches = hmac.compare_digest(expected.encode(), secret_key.encode())
        return self.exchange.open_account(key_id) if known and matches else None

    def on_price(self, symbol: str) -> None:
        """A price arrived, from any thread: look at its orders soon."""
        self._changed.add(symbol)
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._wake.set)

    async def run(self) -> None:
        """The loop over resting orders, until cancelled."""
        self._loop = asyncio.get_running_loop()
        last_equity = self._loop.time()
        while True:
            try:
                await asyncio.wait_for(self._wake.wait(), self.options.tick_seconds)
            except TimeoutError:
                pass
            self._wake.clear()
            changed, self._changed = self._changed, set()
            try:
                for symbol in sorted(changed):
                    await run_in_threadpool(self.exchange.match, symbol)
                if not changed:
                    await run_in_threadpool(self.exchange.tick)
                if self._loop.time() - last_equity >= self.options.equity_seconds:
                    last_equity = self._loop.time()
                    await run_in_threadpool(self.exchange.note_equities)
            except Exception:  # edge of the background loop: the database may be away, and comes back
                logger.warning("the simulator could not look at its open orders; it tries again", exc_info=True)
                await asyncio.sleep(1)


Endpoint = Callable[[Request], Awaitable[Response]]


def endpoint(work: Callable[[Service, UUID, Request, Any], Any], *, status: int = 200, body: bool = False) -> Endpoint:
    """A route: authenticate, read JSON where wanted, do the work in a thread, answer JSON. None answers 204."""

    async def handle(request: Request) -> Response:
        service: Service = request.app.state.service
        try:
            account_id = await run_in_threadpool(
                service.authenticate,
                request.headers.get("apca-api-key-id", ""),
                request.headers.get("apca-api-secret-key", ""),
            )
            if account_id is None:
                raise unauthorized()
            payload = await read_json(request) if body else None
            answer = await run_in_threadpool(work, service, account_id, request, payload)
        except Refused as refused:
            return JSONResponse(refused.body, refused.status)
        except DatabaseUnavailable as error:
            logger.warning("a request cannot be answered: %s", error)
            return JSONResponse({"code": 50310000, "message": "service unavailable"}, 503)
        return Response(status_code=204) if answer is None else JSONResponse(answer, status)

    return handle


async def read_json(request: Request, limit: int = MAX_BODY) -> dict[str, Any]:
    raw = bytearray()
    async for chunk in request.stream():
        raw += chunk
        if len(raw) > limit:
            raise malformed("request body is too large")
    try:
        payload = await run_in_threadpool(_parse, bytes(raw))
    except (ValueError, RecursionError):
        raise malformed("request body format is invalid") from None
    if not isinstance(payload, dict):
        raise malformed("request body format is invalid")
    return payload


def _parse(raw: bytes) -> Any:
    import json

    # decimals stay exact: 0.1 shares are not 0.1000000000000000055
    return json.loads(raw or b"{}", parse_float=Decimal, parse_constant=_refuse_constant)


def _refuse_constant(name: str) -> Any:
    raise ValueError(name)


def create_app(
    engine: Engine,
    prices: Sequence[PriceFeed],
    session_secret: str,
    clock: SimulatorClock | None = None,
    *,
    hours: Hours | None = None,
    options: SimulatorOptions | None = None,
) -> Starlette:
    """The app. ``prices`` are tried in order, after hints. The tables are made at start-up if they are missing."""
    from dashtrade.brokers.simulator import admin, routes

    service = Service(engine, prices, session_secret, clock, hours, options)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        await run_in_threadpool(store.ensure_schema, engine)
        service.hub.start()
        loop = asyncio.create_task(service.run())
        try:
            yield
        finally:
            await service.replay.stop()
            loop.cancel()
            await asyncio.gather(loop, return_exceptions=True)

    async def on_stream(socket: WebSocket) -> None:
        await stream.serve(socket, service.hub, service.authenticate)

    async def health(request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def failed(request: Request, error: Exception) -> Response:
        return JSONResponse({"code": 50010000, "message": "internal server error occurred"}, 500)

    app = Starlette(
        routes=[
            Route("/health", health),
            *routes.ROUTES,
            *admin.routes(service.options.faults),
            WebSocketRoute("/stream", on_stream),
        ],
        lifespan=lifespan,
        exception_handlers={Exception: failed},
    )
    app.state.service = service
    if service.options.faults:
        app.add_middleware(service.faults.middleware())
    return app
