"""Five hundred bots of fifty users fire in the same second: is everything ordered, within the limits, exits first?

``python -m benchmarks.bot_burst [users]``: each user has ten bots on ten symbols, five of them holding shares. In one
second the holders are told to sell and the others to buy, buys sent first. Prints how many were ordered, how long after
the alert, and how often an entry of an account was sent while an exit of the same account was still waiting.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import statistics
import sys
import time
from decimal import Decimal
from typing import Any

import httpx

from benchmarks._ledger import SimulatedBroker, rows
from benchmarks.bot_soak import Stage, settled
from benchmarks.webhook_round_trip import SECRET, percentile
from dashtrade.db.tables.accounts import UserRow
from dashtrade.db.unit_of_work import UnitOfWork
from dashtrade.domain.bot_views import NewBot
from dashtrade.services import bots

SYMBOLS = ("AAPL", "MSFT", "KO", "SPY", "XOM", "JPM", "PG", "NVDA", "CVX", "WMT")
HOLDING = SYMBOLS[:5]


def make_users(stage: Stage, count: int) -> list[tuple[int, str]]:
    made = []
    for number in range(count):
        with UnitOfWork(stage.engine) as uow:
            user = UserRow(username=f"user{number}", email=f"user{number}@example.com", password_hash="x")
            uow.session.add(user)
            uow.commit()
            user_id = user.id
        for symbol in SYMBOLS:
            request = NewBot(symbol, "15m", Decimal(500), is_active=True, freshness_seconds=600)
            bots.create_bot(UnitOfWork(stage.engine), user_id, request)
        made.append((user_id, bots.create_token(UnitOfWork(stage.engine), user_id).secret))
    return made


async def fire(port: int, alerts: list[tuple[str, dict[str, Any]]]) -> tuple[float, list[int], list[float]]:
    """Send them all, over 64 connections; seconds until the last was acknowledged, statuses, seconds of each from its
    sending to its answer."""
    free = asyncio.Semaphore(64)
    took: list[float] = []

    async def send(client: httpx.AsyncClient, token: str, body: dict[str, Any]) -> int:
        async with free:
            began = time.perf_counter()
            answer = await client.post(f"/webhook?token={token}", json=body)
            took.append(time.perf_counter() - began)
            return answer.status_code

    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30, trust_env=False) as client:
        began = time.perf_counter()
        statuses = await asyncio.gather(*(send(client, token, body) for token, body in alerts))
        return time.perf_counter() - began, list(statuses), took


def alert(action: str, symbol: str, name: str) -> dict[str, Any]:
    return {"action": action, "symbol": symbol, "interval": "15", "price": 100, "id": f"{name}-{symbol}"}


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 50
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(1))  # its children end with it
    stage = Stage()
    try:
        users = make_users(stage, count)
        ready = "SELECT count(*) FROM account_state WHERE reconciled_at IS NOT NULL"
        while rows(stage.engine, ready) != [(count,)] or not stage.works():
            time.sleep(0.3)
        first = [(token, alert("BUY", symbol, "first")) for _, token in users for symbol in HOLDING]
        asyncio.run(fire(stage.webhook_port, first))
        assert settled(stage, 600), "the first positions were not bought"
        buys = [(token, alert("BUY", s, "burst")) for _, token in users for s in SYMBOLS if s not in HOLDING]
        sells = [(token, alert("SELL", symbol, "burst")) for _, token in users for symbol in HOLDING]
        acknowledged, statuses, took = asyncio.run(fire(stage.webhook_port, buys + sells))
        quiet = settled(stage, 600)
        sent = rows(
            stage.engine,
            "SELECT i.account_id, i.purpose, a.stored_at, i.submitted_at,"
            " extract(epoch FROM i.submitted_at - a.received_at) FROM order_intents i JOIN alert_inbox a"
            " ON a.id = i.alert_id WHERE a.id > (SELECT min(id) FROM alert_inbox) + "
            f"{len(first) - 1} AND i.submitted_at IS NOT NULL",
        )
        delays = {kind: [float(row[4]) for row in sent if row[1] == kind] for kind in ("exit", "entry")}
        exits: dict[int, list[Any]] = {}
        for row in sent:
            if row[1] == "exit":
                exits.setdefault(row[0], []).append(row)
        # an entry that went out while an exit of its account was stored and had not gone out yet
        overtaken = sum(any(e[2] < row[3] < e[3] for e in exits.get(row[0], [])) for row in sent if row[1] == "entry")
        orders = [
            order
            for user_id, _ in users
            for order in SimulatedBroker(stage.simulator_port, SECRET).get(user_id, "/v2/orders?status=all&limit=500")
        ]
        print(json.dumps({
            "alerts": len(buys) + len(sells), "statuses": {str(s): statuses.count(s) for s in sorted(set(statuses))},
            "acknowledged_in_s": round(acknowledged, 2),
            "acknowledgement_ms": {name: round(1000 * value) for name, value in (
                ("median", statistics.median(took)), ("p99", percentile(took, 0.99)), ("max", max(took)))},
            "ordered": len(sent), "quiet": quiet,
            "orders_at_broker": len(orders) - len(first),
            "refused": rows(stage.engine, "SELECT count(*) FROM order_intents WHERE state = 'rejected'")[0][0],
            "most_orders_of_one_key": max(len([1 for row in sent if row[0] == a]) for a in {r[0] for r in sent}),
            "limit_of_one_key": 180, "entries_before_a_waiting_exit": overtaken,
            **{f"{kind}_delay_s": {"median": round(statistics.median(d), 2), "p99": round(percentile(d, 0.99), 2),
               "max": round(max(d), 2)} for kind, d in delays.items() if d},
            "load_average": [round(x, 1) for x in os.getloadavg()],
        }, indent=2))  # fmt: skip
    finally:
        stage.stop()


if __name__ == "__main__":
    main()
