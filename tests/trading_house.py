"""The whole way of an alert in one test: a real simulator, webhook and trader on the test's database."""

from __future__ import annotations

import multiprocessing
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import httpx
import uvicorn
from simulator_server import SECRET, RunningSimulator
from sqlalchemy import Engine, text
from trader_child import run_trader

from dashtrade.db.unit_of_work import UnitOfWork
from dashtrade.domain.bot_views import BotView, NewBot
from dashtrade.processes.trader.runner import Trader
from dashtrade.services import bots
from dashtrade.settings import load_settings
from webhook.app import create_app

PAYLOAD = {"action": "BUY", "symbol": "AAPL", "timeframe": "15 Min", "price": 145.50}
RAISING = """
CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN IF {condition} THEN RAISE EXCEPTION 'made to fail' USING ERRCODE = '{code}'; END IF; RETURN NEW; END $$;
CREATE TRIGGER failing BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION fail()
"""
_forks = multiprocessing.get_context("forkserver")
_forks.set_forkserver_preload(["dashtrade.processes.trader.runner", "dashtrade.db.engine", "trader_child"])


@contextmanager
def running_webhook(engine: Engine, **options: Any) -> Iterator[httpx.Client]:
    """A webhook on a free port, in a thread, and a client for it."""
    config = uvicorn.Config(create_app(engine, **options), host="127.0.0.1", port=0, log_config=None, access_log=False)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    wait_for(lambda: server.started, "the webhook did not start")
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=20, trust_env=False) as client:
            yield client
    finally:
        server.should_exit = True
        thread.join(10)


@contextmanager
def running_trader(engine: Engine, simulator: RunningSimulator, **options: Any) -> Iterator[Trader]:
    """A trader in a thread of the test process."""
    trader = Trader(engine, trader_settings(simulator), **options)
    thread = threading.Thread(target=trader.run, daemon=True)
    thread.start()
    try:
        yield trader
    finally:
        trader.stop()
        thread.join(30)


def trader_settings(simulator: RunningSimulator) -> Any:
    port = int(simulator.url.rsplit(":", 1)[1])
    return load_settings(simulator_port=port, session_secret=SECRET, sources=("sample",))


class TraderProcess:
    """A real trader process, which ends itself with SIGKILL at a named point when asked to.

    Forked from a server that has imported everything: to start one costs milliseconds instead of seconds.
    """

    def __init__(self, database_url: str, simulator: RunningSimulator, crash_at: str = "") -> None:
        environment = {
            "DATABASE_URL": database_url,
            "DASHTRADE_SIMULATOR_PORT": simulator.url.rsplit(":", 1)[1],
            "DASHTRADE_SESSION_SECRET": SECRET,
            "DASHTRADE_SOURCES": '["sample"]',
        }
        self.process = _forks.Process(target=run_trader, args=(environment, crash_at))
        self.process.start()

    def wait_killed(self, seconds: float = 40) -> None:
        assert self.wait(seconds) == -signal.SIGKILL

    def wait(self, seconds: float = 40) -> int | None:
        """How it ended; None where it still runs."""
        self.process.join(seconds)
        return self.process.exitcode

    def stop(self) -> None:
        self.process.terminate()
        if self.wait(30) is None:
            self.process.kill()
            self.process.join()


@dataclass
class House:
    """A user with the parts that are running, and shorthand for what tests do with them."""

    engine: Engine
    simulator: RunningSimulator
    client: httpx.Client
    user_id: int
    token: str = ""
    bot_ids: list[int] = field(default_factory=list)
    trader: Trader | None = None

    def uow(self) -> UnitOfWork:
        return UnitOfWork(self.engine)

    def bot(self, symbol: str = "AAPL", timeframe: str = "15 Min", size: str = "1000", **fields: Any) -> BotView:
        fields.setdefault("is_active", True)
        view = bots.create_bot(self.uow(), self.user_id, NewBot(symbol, timeframe, Decimal(size), **fields))
        if not self.token:
            self.token = bots.create_token(self.uow(), self.user_id).secret
        self.bot_ids.append(view.id)
        return view

    def post(self, payload: Any = None, *, token: str | None = None, **changes: Any) -> httpx.Response:
        body = {**PAYLOAD, **changes} if payload is None else payload
        return self.client.post(f"/webhook?token={self.token if token is None else token}", json=body)

    def settled(self, **changes: Any) -> httpx.Response:
        """The final answer, also where a busy machine was late with it: a repeat gets the answer of the first."""
        answer = self.post(**changes)
        if answer.status_code == 202:
            self.outcome(answer.json()["signal_id"], 40)
            answer = self.post(**changes)
        return answer

    def outcome(self, signal_id: int, seconds: float = 20) -> dict[str, Any]:
        """The signal's body once it has ended."""

        def ended() -> dict[str, Any] | None:
            body = self.client.get(f"/signals/{signal_id}?token={self.token}").json()
            # a machine too busy to ask the database says so, which is no outcome
            return None if body["status"] == "accepted" or body.get("code") == "UNAVAILABLE" else body

        return wait_for(ended, f"signal {signal_id} did not end", seconds)

    def rows(self, query: str, **parameters: Any) -> list[Any]:
        with self.engine.connect() as connection:
            return list(connection.execute(text(query), parameters))

    def broker_orders(self) -> list[dict[str, Any]]:
        answer = self.simulator.http.get(
            "/v2/orders?status=all&limit=500", headers=self.simulator.headers(self.user_id)
        )
        return answer.raise_for_status().json()

    def broker_positions(self) -> dict[str, Decimal]:
        answer = self.simulator.http.get("/v2/positions", headers=self.simulator.headers(self.user_id))
        return {p["symbol"]: Decimal(p["qty"]) for p in answer.raise_for_status().json()}

    def ledger_positions(self) -> dict[str, Decimal]:
        rows = self.rows("SELECT symbol, sum(open_qty) FROM lots WHERE open_qty <> 0 GROUP BY 1")
        return {row[0]: row[1] for row in rows}

    def set_price(self, symbol: str, price: str | float) -> None:
        answer = self.simulator.http.post("/sim/prices", json={"symbol": symbol, "price": str(price)})
        answer.raise_for_status()


def wait_for(check: Callable[[], Any], problem: str, seconds: float = 20) -> Any:
    deadline = time.monotonic() + seconds
    while True:
        found = check()
        if found:
            return found
        assert time.monotonic() < deadline, problem
        time.sleep(0.02)
