"""The ``/v2`` routes, in Alpaca's words."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import select
from starlette.requests import Request
from starlette.routing import Route

from dashtrade.brokers.simulator import bodies, queries, store
from dashtrade.brokers.simulator.app import Service, endpoint
from dashtrade.brokers.simulator.drafts import well_formed
from dashtrade.brokers.simulator.history import portfolio_history
from dashtrade.brokers.simulator.hours import NEW_YORK, Phase
from dashtrade.brokers.simulator.refusals import malformed, not_found


def submit(service: Service, account: UUID, request: Request, payload: Any) -> Any:
    return service.exchange.submit(account, payload)


def list_orders(service: Service, account: UUID, request: Request, payload: Any) -> Any:
    return service.exchange.orders(account, request.query_params)


def cancel_orders(service: Service, account: UUID, request: Request, payload: Any) -> Any:
    return service.exchange.cancel_all(account)


def get_order(service: Service, account: UUID, request: Request, payload: Any) -> Any:
    nested = queries.flag(request.query_params, "nested")
    return service.exchange.order(account, request.path_params["order_id"], nested=nested)


def get_by_client_id(service: Service, account: UUID, request: Request, payload: Any) -> Any:
    name = request.query_params.get("client_order_id")
    if not name:
        raise malformed("client_order_id is required")
    return service.exchange.order_by_client_id(account, name)


def replace_order(service: Service, account: UUID, request: Request, payload: Any) -> Any:
    return service.exchange.replace(account, request.path_params["order_id"], payload)


def cancel_order(service: Service, account: UUID, request: Request, payload: Any) -> Any:
    return service.exchange.cancel(account, request.path_params["order_id"])


def list_positions(service: Service, account: UUID, request: Request, payload: Any) -> Any:
    return service.exchange.positions(account)


def get_position(service: Service, account: UUID, request: Request, payload: Any) -> Any:
    return service.exchange.position(account, request.path_params["symbol"])


def close_position(service: Service, account: UUID, request: Request, payload: Any) -> Any:
    return service.exchange.close_position(account, request.path_params["symbol"], request.query_params)


def close_positions(service: Service, account: UUID, request: Request, payload: Any) -> Any:
    cancel = queries.flag(request.query_params, "cancel_orders")
    return service.exchange.close_all(account, cancel_orders=cancel)


def get_account(service: Service, account: UUID, request: Request, payload: Any) -> Any:
    return service.exchange.account(account)


def get_configurations(service: Service, account: UUID, request: Request, payload: Any) -> Any:
    with service.exchange.view(account) as desk:
        row = desk.account
    return {
        "no_shorting": not row.shorting_enabled,
        "suspend_trade": row.trading_blocked,
        "fractional_trading": True,
        "max_margin_multiplier": bodies.text(row.multiplier),
        "trade_confirm_email": "none",
        "ptp_no_exception_entry": False,
        "max_options_trading_level": 0,
    }


def list_activities(service: Service, account: UUID, request: Request, payload: Any) -> Any:
    one = request.path_params.get("type")
    types = (
        [one] if one else [t.strip() for t in request.query_params.get("activity_types", "").split(",") if t.strip()]
    )
    with service.exchange.view(account) as desk:
        rows = queries.activities(desk.connection, account, [t.upper() for t in types], request.query_params)
    return [bodies.activity(row) for row in rows]


def get_history(service: Service, account: UUID, request: Request, payload: Any) -> Any:
    with service.exchange.view(account) as desk:
        return portfolio_history(desk, request.query_params)


def get_clock(service: Service, account: UUID, request: Request, payload: Any) -> Any:
    now, hours = service.clock.now(), service.hours
    return {
        "timestamp": now.astimezone(NEW_YORK).isoformat(),
        "is_open": hours.phase(now) is Phase.REGULAR,
        "next_open": hours.next_open(now).astimezone(NEW_YORK).isoformat(),
        "next_close": hours.next_close(now).astimezone(NEW_YORK).isoformat(),
    }


def get_calendar(service: Service, account: UUID, request: Request, payload: Any) -> Any:
    today = service.clock.now().astimezone(NEW_YORK).date()
    start, end = request.query_params.get("start"), request.query_params.get("end")
    first = queries.day(start, "start") if start else date(today.year, 1, 1)
    last = queries.day(end, "end") if end else date(today.year, 12, 31)
    if last - first > timedelta(days=366 * 20):
        raise malformed("the range is longer than 20 years")
    return [
        {
            "date": session.day.isoformat(),
            "open": f"{session.open.astimezone(NEW_YORK):%H:%M}",
            "close": f"{session.close.astimezone(NEW_YORK):%H:%M}",
            "session_open": "0400",
            "session_close": "2000",
        }
        for session in service.hours.sessions(first, last)
    ]


def list_assets(service: Service, account: UUID, request: Request, payload: Any) -> Any:
    """Symbols that the simulator has met; any other well-formed ticker can be asked for by name."""
    with service.exchange.view(account) as desk:
        rows = {row.symbol: row for row in desk.connection.execute(select(store.assets))}
        met = select(store.orders.c.symbol).where(store.orders.c.account_id == account).distinct()
        symbols = set(desk.connection.execute(met).scalars()) | set(rows)
    return [bodies.asset(s, rows.get(s)) for s in sorted(symbols) if s not in rows or rows[s].known]


def get_asset(service: Service, account: UUID, request: Request, payload: Any) -> Any:
    name = request.path_params["symbol"].upper()
    with service.exchange.view(account) as desk:
        row = desk.connection.execute(select(store.assets).where(store.assets.c.symbol == name)).one_or_none()
    if not well_formed(name) or (row is not None and not row.known):
        raise not_found(f"asset not found for {name[:40]}")
    return bodies.asset(name, row)


ROUTES = [
    Route("/v2/orders", endpoint(submit, body=True), methods=["POST"]),
    Route("/v2/orders", endpoint(list_orders), methods=["GET"]),
    Route("/v2/orders", endpoint(cancel_orders, status=207), methods=["DELETE"]),
    Route("/v2/orders:by_client_order_id", endpoint(get_by_client_id), methods=["GET"]),
    Route("/v2/orders/{order_id}", endpoint(get_order), methods=["GET"]),
    Route("/v2/orders/{order_id}", endpoint(replace_order, body=True), methods=["PATCH"]),
    Route("/v2/orders/{order_id}", endpoint(cancel_order), methods=["DELETE"]),
    Route("/v2/positions", endpoint(list_positions), methods=["GET"]),
    Route("/v2/positions", endpoint(close_positions, status=207), methods=["DELETE"]),
    Route("/v2/positions/{symbol:path}", endpoint(get_position), methods=["GET"]),
    Route("/v2/positions/{symbol:path}", endpoint(close_position), methods=["DELETE"]),
    Route("/v2/account", endpoint(get_account), methods=["GET"]),
    Route("/v2/account/configurations", endpoint(get_configurations), methods=["GET"]),
    Route("/v2/account/activities", endpoint(list_activities), methods=["GET"]),
    Route("/v2/account/activities/{type}", endpoint(list_activities), methods=["GET"]),
    Route("/v2/account/portfolio/history", endpoint(get_history), methods=["GET"]),
    Route("/v2/clock", endpoint(get_clock), methods=["GET"]),
    Route("/v2/calendar", endpoint(get_calendar), methods=["GET"]),
    Route("/v2/assets", endpoint(list_assets), methods=["GET"]),
    Route("/v2/assets/{symbol:path}", endpoint(get_asset), methods=["GET"]),
]
