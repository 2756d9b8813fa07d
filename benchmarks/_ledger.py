"""What the broker has against what the ledger has, for the benchmarks that trade."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import httpx
from sqlalchemy import Engine, text
from sqlalchemy.exc import SQLAlchemyError

from dashtrade.domain.simulated import simulated_credentials
from dashtrade.errors import DashTradeError

OPEN_WORK = (
    "SELECT (SELECT count(*) FROM alert_inbox WHERE ended_at IS NULL), (SELECT count(*) FROM order_intents"
    " WHERE state IN ('waiting', 'planned', 'submitting', 'unknown', 'live'))"
)


@dataclass(frozen=True)
class SimulatedBroker:
    """The simulator at a port, asked as each user's own client would ask it."""

    port: int
    session_secret: str

    def get(self, user_id: int, path: str) -> Any:
        key, secret = simulated_credentials(self.session_secret, user_id)
        headers = {"APCA-API-KEY-ID": key, "APCA-API-SECRET-KEY": secret}
        url = f"http://127.0.0.1:{self.port}{path}"
        while True:
            answer = httpx.get(url, headers=headers, timeout=30, trust_env=False)
            if answer.status_code != 429:  # the account's budget of requests is the trader's too
                return answer.raise_for_status().json()
            time.sleep(1)

    def orders(self, user_id: int) -> list[dict[str, Any]]:
        """All of the user's orders, whatever became of them."""
        found: dict[str, dict[str, Any]] = {}
        until = ""
        while True:
            page = self.get(user_id, f"/v2/orders?status=all&limit=500&direction=desc{until}")
            new = [order for order in page if order["id"] not in found]
            found.update({order["id"]: order for order in new})
            if len(page) < 500 or not new:
                return list(found.values())
            until = f"&until={page[-1]['submitted_at'].replace('+', '%2B')}"


def rows(engine: Engine, query: str) -> list[Any]:
    """The rows of a query, asked again for as long as the database does not answer."""
    while True:
        try:
            with engine.connect() as connection:
                return [tuple(row) for row in connection.execute(text(query))]
        except (SQLAlchemyError, DashTradeError):
            time.sleep(0.2)


def comparison(engine: Engine, broker: SimulatedBroker, user_ids: Iterable[int]) -> dict[str, Any]:
    """Orders and positions on both sides. ``doubled`` counts legs that were filled by more than one order."""
    legs: Counter[str] = Counter()
    filled_there: dict[str, Decimal] = {}
    held_there: dict[tuple[int, str], Decimal] = {}
    for user_id in user_ids:
        for order in broker.orders(user_id):
            filled_there[order["client_order_id"]] = Decimal(order["filled_qty"])
            if Decimal(order["filled_qty"]):
                legs[order["client_order_id"].rpartition("-")[0]] += 1
        for position in broker.get(user_id, "/v2/positions"):
            held_there[user_id, position["symbol"]] = Decimal(position["qty"])
    fills = "SELECT client_order_id, filled_qty FROM order_intents WHERE filled_qty > 0"
    filled_here = dict(rows(engine, fills))
    lots = "SELECT user_id, symbol, sum(open_qty) FROM lots WHERE open_qty <> 0 GROUP BY 1, 2"
    held_here = {(row[0], row[1]): row[2] for row in rows(engine, lots)}
    return {
        "orders_filled": len(filled_here),
        "doubled": sum(count - 1 for count in legs.values()),
        "orders_equal": filled_here == {name: qty for name, qty in filled_there.items() if qty},
        "positions_equal": held_here == held_there,
        "reserved_left": str(rows(engine, "SELECT sum(reserved_exposure) FROM account_state")[0][0]),
    }
