"""Round trip of the webhook: post to answer, with the order filled at the simulator in between.

``python benchmarks/webhook_round_trip.py [alerts] [seconds between them]`` starts an embedded PostgreSQL with durable
commits in a temporary
folder, and simulator, webhook and trader as processes of their own; sends alerts one after another, BUY and SELL in
turn; prints the median and the 99th percentile of post → answer, of post → stored, and of alert → order sent.
"""

from __future__ import annotations

import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from decimal import Decimal
from pathlib import Path

import httpx
from sqlalchemy import text

from dashtrade.auth.passwords import hash_password
from dashtrade.db.embedded import EmbeddedPostgres
from dashtrade.db.engine import make_engine
from dashtrade.db.migrate import upgrade
from dashtrade.db.tables.accounts import UserRow
from dashtrade.db.unit_of_work import UnitOfWork
from dashtrade.domain.bot_views import NewBot
from dashtrade.services import bots

SECRET = "benchmark-session-secret-of-more-than-32-characters"


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def percentile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]


def main() -> None:
    alerts = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    pause = float(sys.argv[2]) if len(sys.argv) > 2 else 0.0
    folder = Path(tempfile.mkdtemp(prefix="dashtrade-bench-"))
    server = EmbeddedPostgres(folder).start()
    webhook_port, simulator_port = free_ports(2)
    environment = {
        **os.environ,
        "DATABASE_URL": server.url(),
        "DASHTRADE_DATA_DIR": str(folder),
        "DASHTRADE_WEBHOOK_PORT": str(webhook_port),
        "DASHTRADE_SIMULATOR_PORT": str(simulator_port),
        "DASHTRADE_SESSION_SECRET": SECRET,
        "DASHTRADE_SOURCES": "sample",
    }
    engine = make_engine(server.url())
    upgrade(engine)
    modules = ("dashtrade.processes.simulator", "webhook", "dashtrade.processes.trader")
    log = (folder / "processes.log").open("w")
    children = [subprocess.Popen([sys.executable, "-m", m], env=environment, stdout=log, stderr=log) for m in modules]
    try:
        with UnitOfWork(engine) as uow:
            user = UserRow(username="ada", email="ada@example.com", password_hash=hash_password("x", rounds=4))
            uow.session.add(user)
            uow.commit()
            user_id = user.id
        bots.create_bot(
            UnitOfWork(engine), user_id,
            NewBot("AAPL", "15 Min", Decimal(1000), max_orders_per_day=None, is_active=True),
        )  # fmt: skip
        token = bots.create_token(UnitOfWork(engine), user_id).secret
        with httpx.Client(base_url=f"http://127.0.0.1:{webhook_port}", timeout=10, trust_env=False) as client:
            ready = False
            while not ready:
                try:
                    with engine.connect() as connection:
                        reconciled = connection.execute(text("SELECT max(reconciled_at) FROM account_state")).scalar()
                    ready = client.get("/health").status_code == 200 and reconciled is not None
                except httpx.HTTPError:
                    pass
                time.sleep(0.1)
            times, statuses = [], []
            for number in range(alerts + 5):
                body = {"action": "BUY" if number % 2 == 0 else "SELL", "symbol": "AAPL", "timeframe": "15 Min",
                        "price": 145.50, "id": str(number)}  # fmt: skip
                began = time.perf_counter()
                answer = client.post(f"/webhook?token={token}", json=body)
                took = time.perf_counter() - began
                time.sleep(max(pause - took, 0.0))
                if number >= 5:  # the first few warm the pools
                    times.append(took * 1000)
                    statuses.append(answer.status_code)
        with engine.connect() as connection:
            sent = [
                float(row[0]) for row in connection.execute(text(
                    "SELECT extract(epoch FROM i.acknowledged_at - a.received_at) * 1000 FROM order_intents i"
                    " JOIN alert_inbox a ON a.id = i.alert_id WHERE a.id > 5 AND i.acknowledged_at IS NOT NULL"
                ))
            ]  # fmt: skip
            stored = [
                float(row[0])
                for row in connection.execute(text("SELECT latency_ms FROM webhook_requests WHERE id > 5"))
            ]
        report = {
            name: {"median_ms": round(statistics.median(values), 1), "p99_ms": round(percentile(values, 0.99), 1)}
            for name, values in (("answer", times), ("stored", stored), ("alert_to_order", sent))
        }
        counts = {str(status): statuses.count(status) for status in sorted(set(statuses))}
        load = [round(value, 1) for value in os.getloadavg()]
        print(json.dumps({"alerts": alerts, "statuses": counts, **report, "load_average": load}, indent=2))
    finally:
        for child in children:
            child.terminate()
        for child in children:
            child.wait(30)
        engine.dispose()
        server.stop()


if __name__ == "__main__":
    main()
