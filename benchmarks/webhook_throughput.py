"""Durable acknowledgements per second, as a share of the least that such a server must do.

The least: a bare Starlette handler that inserts one row and commits, through the same driver, pool size and worker
threads. Both run as processes of their own on one embedded PostgreSQL with durable commits, one after the other, three
times in turn; the ratio of the medians is what counts. At 16 connections and at 64; then both with a trader and a
broker at work on every alert that is stored; then PostgreSQL is made to crash under load at 16, and no answer may take
three seconds.

``python benchmarks/webhook_throughput.py [seconds]``
"""

from __future__ import annotations

import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import Engine, text
from webhook_round_trip import SECRET, free_ports, percentile

from dashtrade.auth.passwords import hash_password
from dashtrade.db.embedded import EmbeddedPostgres
from dashtrade.db.engine import make_engine
from dashtrade.db.migrate import upgrade
from dashtrade.db.tables.accounts import UserRow
from dashtrade.db.unit_of_work import UnitOfWork
from dashtrade.domain.bot_views import NewBot
from dashtrade.services import bots

BARE = """
import asyncio, os
from concurrent.futures import ThreadPoolExecutor
import uvicorn
from sqlalchemy import text
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route
from dashtrade.db.engine import make_engine

engine = make_engine(os.environ["DATABASE_URL"], pool_size=16, max_overflow=0)
pool = ThreadPoolExecutor(16)

def store(body):
    with engine.begin() as connection:
        return connection.execute(text("INSERT INTO bare (body) VALUES (:b) RETURNING id"), {"b": body}).scalar()

async def post(request):
    body = (await request.body()).decode()
    number = await asyncio.get_running_loop().run_in_executor(pool, store, body)
    return JSONResponse({"status": "accepted", "signal_id": number}, 202)

app = Starlette(routes=[Route("/webhook", post, methods=["POST"])])
uvicorn.run(app, host="127.0.0.1", port=int(os.environ["DASHTRADE_WEBHOOK_PORT"]), access_log=False, log_config=None)
"""


def crash(server: EmbeddedPostgres, after: float) -> threading.Thread:
    """An immediate shutdown some time from now; its keeper starts it again."""

    def end() -> None:
        time.sleep(after)
        os.kill(int((server.data / "postmaster.pid").read_text().splitlines()[0]), signal.SIGQUIT)

    thread = threading.Thread(target=end)
    thread.start()
    return thread


def load(port: int, token: str, seconds: float, connections: int) -> dict[str, Any]:
    """Each connection sends one alert after another."""
    times: list[float] = []
    statuses: Counter[str] = Counter()
    end = time.monotonic() + seconds

    def send(worker: int) -> None:
        number = 0
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10, trust_env=False) as client:
            while time.monotonic() < end:
                number += 1
                body = {"action": "BUY", "symbol": "AAPL", "timeframe": "15 Min", "price": 145.5,
                        "id": f"{port}-{worker}-{number}-{time.time_ns()}"}  # fmt: skip
                began = time.perf_counter()
                try:
                    status = str(client.post(f"/webhook?token={token}", json=body).status_code)
                except httpx.HTTPError as error:
                    status = type(error).__name__
                times.append(time.perf_counter() - began)
                statuses[status] += 1

    threads = [threading.Thread(target=send, args=(n,)) for n in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return {
        "per_second": round(len(times) / seconds, 1),
        "p50_ms": round(statistics.median(times) * 1000, 1),
        "p99_ms": round(percentile(times, 0.99) * 1000, 1),
        "max_ms": round(max(times) * 1000, 1),
        "statuses": dict(statuses),
        "load_average": round(os.getloadavg()[0], 1),
    }


def start(arguments: list[str], environment: dict[str, str]) -> subprocess.Popen[bytes]:
    """Python in a session of its own, as the supervisor starts a service."""
    return subprocess.Popen([sys.executable, *arguments], env=environment, start_new_session=True)


def states(engine: Engine) -> dict[str, int]:
    """How many alerts are in each state."""
    with engine.connect() as connection:
        return dict(iter(connection.execute(text("SELECT state, count(*) FROM alert_inbox GROUP BY 1"))))


def forget(engine: Engine) -> None:
    """End what the runs before left undecided."""
    ended = "UPDATE alert_inbox SET state = 'expired', reason = 'not traded', ended_at = now() WHERE state = 'received'"
    with engine.begin() as connection:
        connection.execute(text(ended))


def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 5.0
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(1))  # its children end with it
    folder = Path(tempfile.mkdtemp(prefix="dashtrade-bench-"))
    server = EmbeddedPostgres(folder).start()
    engine = make_engine(server.url())
    upgrade(engine)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE bare (id bigserial PRIMARY KEY, body text)")
    with UnitOfWork(engine) as uow:
        user = UserRow(username="ada", email="ada@example.com", password_hash=hash_password("x", rounds=4))
        uow.session.add(user)
        uow.commit()
        user_id = user.id
    bots.create_bot(UnitOfWork(engine), user_id, NewBot("AAPL", "15 Min", Decimal(1000), is_active=True))
    token = bots.create_token(UnitOfWork(engine), user_id).secret
    ports = dict(zip(("bare", "webhook", "simulator"), free_ports(3), strict=True))
    children = []
    try:
        for name, command in (("bare", ["-c", BARE]), ("webhook", ["-m", "webhook"])):
            environment = {
                **os.environ, "DATABASE_URL": server.url(), "DASHTRADE_WEBHOOK_PORT": str(ports[name]),
                "DASHTRADE_WEBHOOK_WAIT_SECONDS": "0", "DASHTRADE_LOG_LEVEL": "ERROR",
                "DASHTRADE_DATA_DIR": str(folder), "DASHTRADE_SIMULATOR_PORT": str(ports["simulator"]),
                "DASHTRADE_SESSION_SECRET": SECRET, "DASHTRADE_SOURCES": '["sample"]',
            }  # fmt: skip
            children.append(start(command, environment))
        for port in (ports["bare"], ports["webhook"]):
            while True:
                try:
                    socket.create_connection(("127.0.0.1", port)).close()
                    break
                except OSError:
                    time.sleep(0.2)
            load(port, token, 5.0, 4)  # warms the pools
        for connections in (16, 64):
            runs: dict[str, list[dict[str, Any]]] = {"bare": [], "webhook": []}
            for _ in range(3):
                for name in runs:
                    runs[name].append(load(ports[name], token, seconds, connections))
            ratio = statistics.median(r["per_second"] for r in runs["webhook"]) / statistics.median(
                r["per_second"] for r in runs["bare"]
            )
            print(json.dumps({"connections": connections, "ratio": round(ratio, 2), **runs}), flush=True)
        children += [start(["-m", f"dashtrade.processes.{name}"], environment) for name in ("simulator", "trader")]
        for connections in (16, 64):
            forget(engine)
            load(ports["webhook"], token, 1.0, 4)
            while not states(engine).get("done"):  # it trades
                time.sleep(0.2)
            before = states(engine)
            found = load(ports["webhook"], token, 3 * seconds, connections)
            ended = {state: n - before.get(state, 0) for state, n in states(engine).items()}
            print(json.dumps({"with_a_busy_trader": {**found, "states_more": ended}}), flush=True)
        for child in children[2:]:
            child.terminate()
            child.wait(30)
        crashing = crash(server, 2.0)
        print(json.dumps({"postgresql_crashes": load(ports["webhook"], token, 12.0, 16)}), flush=True)
        crashing.join()
    finally:
        for child in children:
            child.terminate()
        for child in children:
            child.wait(30)
        engine.dispose()
        server.stop()


if __name__ == "__main__":
    main()
