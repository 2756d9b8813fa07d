"""The simulator's own routes, beside Alpaca's: price hints for everybody, and rehearsal controls when switched on.

``POST /sim/prices {"symbol": "AAPL", "price": "145.50", "time": …}`` with a user's credentials sets a price for that
user's account alone, so that no user can move another's fills. The other routes exist only where the simulator was
started for rehearsals, and answer to the local machine only; there, a price without credentials holds for every
account.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy.dialects.postgresql import insert as upsert
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from dashtrade.brokers.simulator import bodies, corporate, drafts, store
from dashtrade.brokers.simulator.app import Service, read_json
from dashtrade.brokers.simulator.queries import moment
from dashtrade.brokers.simulator.refusals import Refused, malformed, not_found, unauthorized
from dashtrade.brokers.simulator.replay import read_plan

MAX_BODY = 32 * 1024 * 1024  # a replay's bars
LOOPBACK = frozenset({"127.0.0.1", "::1", "testclient"})
Work = Callable[[Service, Request, dict[str, Any]], Awaitable[Any]]


def _route(path: str, work: Work, method: str) -> Route:
    async def handle(request: Request) -> Response:
        service: Service = request.app.state.service
        try:
            # a web page that is open on this machine is not the local operator
            if request.client is None or request.client.host not in LOOPBACK or "origin" in request.headers:
                raise not_found("not found")
            payload = await read_json(request, MAX_BODY) if method == "POST" else {}
            return JSONResponse(await work(service, request, payload))
        except Refused as refused:
            return JSONResponse(refused.body, refused.status)

    return Route(path, handle, methods=[method])


async def set_price(service: Service, request: Request, payload: dict[str, Any]) -> Any:
    key_id = request.headers.get("apca-api-key-id")
    if key_id is not None:
        secret = request.headers.get("apca-api-secret-key", "")
        if await run_in_threadpool(service.authenticate, key_id, secret) is None:
            raise unauthorized()
    elif not service.options.faults:
        raise unauthorized()
    symbol = str(payload.get("symbol") or "").upper()
    price = drafts.number(payload, "price")
    if not drafts.well_formed(symbol):
        raise malformed("symbol is required")
    if price is None or price <= 0:
        raise malformed("price must be > 0")
    time = moment(str(payload["time"]), "time") if payload.get("time") else service.clock.now()
    # a time in the future would keep a wrong price alive
    time = min(time, service.clock.now())
    hint = service.prices.hint(symbol, price, time, key_id)
    service.on_price(symbol)
    return {"symbol": symbol, "price": drafts.plain(hint.price), "time": bodies.stamp(hint.time)}


async def set_faults(service: Service, request: Request, payload: dict[str, Any]) -> Any:
    changed = service.faults.set(payload)
    service.exchange.look_again()
    return changed


async def get_faults(service: Service, request: Request, payload: dict[str, Any]) -> Any:
    return service.faults.describe()


async def clear_faults(service: Service, request: Request, payload: dict[str, Any]) -> Any:
    service.faults.clear()
    service.clock.reset()
    service.exchange.look_again()
    return service.faults.describe()


async def set_clock(service: Service, request: Request, payload: dict[str, Any]) -> Any:
    """``{"at": time, "rate": 60}``, or ``{"offset_seconds": 3600}``; an empty object is real time again."""
    rate = drafts.number(payload, "rate")
    offset = drafts.number(payload, "offset_seconds")
    if payload.get("at"):
        service.clock.set(moment(str(payload["at"]), "at"), 1.0 if rate is None else float(rate))
    elif offset is not None:
        service.clock.set(datetime.now().astimezone() + timedelta(seconds=float(offset)), float(rate or 1))
    else:
        service.clock.reset()
    return {"now": bodies.stamp(service.clock.now())}


async def set_asset(service: Service, request: Request, payload: dict[str, Any]) -> Any:
    """``{"symbol": …, "known": false}``; also ``halted``, ``tradable``, ``shortable`` and ``fractionable``."""
    symbol = str(payload.get("symbol") or "").upper()
    if not symbol:
        raise malformed("symbol is required")
    flags = {
        name: bool(payload[name])
        for name in ("known", "tradable", "shortable", "fractionable", "halted")
        if name in payload
    }

    def work() -> None:
        with service.exchange.engine.begin() as connection:
            statement = upsert(store.assets).values(symbol=symbol, **flags)
            if flags:
                statement = statement.on_conflict_do_update(index_elements=["symbol"], set_=flags)
            else:
                statement = statement.on_conflict_do_nothing()
            connection.execute(statement)

    await run_in_threadpool(work)
    service.on_price(symbol)
    return {"symbol": symbol, **flags}


async def start_replay(service: Service, request: Request, payload: dict[str, Any]) -> Any:
    await service.replay.start(await run_in_threadpool(read_plan, payload))
    return service.replay.status()


async def get_replay(service: Service, request: Request, payload: dict[str, Any]) -> Any:
    return service.replay.status()


async def stop_replay(service: Service, request: Request, payload: dict[str, Any]) -> Any:
    await service.replay.stop()
    return service.replay.status()


async def split(service: Service, request: Request, payload: dict[str, Any]) -> Any:
    """``{"symbol": "AAPL", "ratio": "4"}``: four shares for one in every account; a reverse split is below 1."""
    symbol, ratio = str(payload.get("symbol") or "").upper(), drafts.number(payload, "ratio")
    if not symbol or ratio is None or ratio <= 0:
        raise malformed("a split needs a symbol and a ratio > 0")
    return {"accounts": await run_in_threadpool(corporate.split, service.exchange, symbol, ratio)}


async def rename(service: Service, request: Request, payload: dict[str, Any]) -> Any:
    """``{"symbol": "FB", "to": "META"}``: positions change their name, open orders end."""
    symbol, new = str(payload.get("symbol") or "").upper(), str(payload.get("to") or "").upper()
    if not drafts.well_formed(symbol) or not drafts.well_formed(new):
        raise malformed("a rename needs two tickers: symbol and to")
    return {"accounts": await run_in_threadpool(corporate.rename, service.exchange, symbol, new)}


async def bust(service: Service, request: Request, payload: dict[str, Any]) -> Any:
    """``{"execution_id": …}``: the exchange takes a fill back."""
    try:
        execution = UUID(str(payload.get("execution_id")))
    except ValueError:
        raise malformed("execution_id is not an id") from None
    await run_in_threadpool(corporate.bust, service.exchange, execution)
    return {"execution_id": str(execution)}


async def book(service: Service, request: Request, payload: dict[str, Any]) -> Any:
    """``{"key_id": "SIM-1", "type": "CSD", "amount": "500"}``: money in or out; FEE and others may name a symbol."""
    key_id, amount = str(payload.get("key_id") or ""), drafts.number(payload, "amount")
    kind, symbol = str(payload.get("type") or "CSD").upper(), payload.get("symbol")
    if not key_id or amount is None or not kind.isalpha() or len(kind) > 10:
        raise malformed("a booking needs a key_id, a type such as CSD, CSW or FEE, and an amount")
    text = str(payload.get("description") or kind)[:200]
    await run_in_threadpool(corporate.book, service.exchange, key_id, kind, amount, symbol, text)
    return {"type": kind, "amount": drafts.plain(amount)}


async def liquidate(service: Service, request: Request, payload: dict[str, Any]) -> Any:
    """``{"key_id": "SIM-1"}``: the brokerage cancels all orders of an account and closes its positions."""
    account = await run_in_threadpool(service.exchange.open_account, str(payload.get("key_id") or ""))
    answers = await run_in_threadpool(lambda: service.exchange.close_all(account, cancel_orders=True))
    return {"closed": [answer["symbol"] for answer in answers]}


def routes(rehearsal: bool) -> list[Route]:
    """The routes that exist in this mode."""
    found = [_route("/sim/prices", set_price, "POST")]
    if rehearsal:
        found += [
            _route("/sim/faults", set_faults, "POST"),
            _route("/sim/faults", get_faults, "GET"),
            _route("/sim/faults", clear_faults, "DELETE"),
            _route("/sim/clock", set_clock, "POST"),
            _route("/sim/assets", set_asset, "POST"),
            _route("/sim/replay", start_replay, "POST"),
            _route("/sim/replay", get_replay, "GET"),
            _route("/sim/replay", stop_replay, "DELETE"),
            _route("/sim/split", split, "POST"),
            _route("/sim/rename", rename, "POST"),
            _route("/sim/bust", bust, "POST"),
            _route("/sim/liquidate", liquidate, "POST"),
            _route("/sim/book", book, "POST"),
        ]
    return found
