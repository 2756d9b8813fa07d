"""A real simulator on a free port: in a thread of the test process, or as a process of its own."""

from __future__ import annotations

import itertools
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from sqlalchemy import Engine, NullPool, text

from dashtrade.brokers.alpaca import AlpacaBroker
from dashtrade.brokers.simulator.app import SimulatorOptions, create_app
from dashtrade.brokers.simulator.prices import PriceFeed
from dashtrade.db.embedded import EmbeddedPostgres
from dashtrade.db.engine import make_engine
from dashtrade.domain.orders import OrderRequest, Side
from dashtrade.domain.simulated import simulated_credentials

SECRET = "a-session-secret-for-tests-of-at-least-32-characters"
ROOT = Path(__file__).resolve().parents[1]
_databases = itertools.count(1)
_users = itertools.count(1)


def new_user() -> int:
    """A user id that no other test of this run has used."""
    return next(_users)


def until(condition: Callable[[], object], seconds: float = 15) -> None:
    """Wait for something that other threads bring about."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


def order(name: str, qty: str | None = "10", symbol: str = "AAPL", side: str = "buy", **kw: Any) -> OrderRequest:
    """An order request; numbers may be given as text."""
    for field in ("notional", "limit_price", "stop_price", "take_profit", "stop_loss", "trail_price", "trail_percent"):
        if kw.get(field) is not None:
            kw[field] = Decimal(str(kw[field]))
    return OrderRequest(name, symbol, Side(side), qty=None if qty is None else Decimal(qty), **kw)


class RunningSimulator:
    def __init__(self, url: str, app: Any) -> None:
        self.url = url
        self.app = app
        self.service = app.state.service
        self.http = httpx.Client(base_url=url, timeout=10, trust_env=False)
        self._brokers: list[AlpacaBroker] = []

    def broker(self, user_id: int | None = None, **options: Any) -> AlpacaBroker:
        """A broker for a user; without one, for a new user."""
        key, secret = simulated_credentials(SECRET, new_user() if user_id is None else user_id)
        broker = AlpacaBroker(key, secret, mode="simulated", url_override=options.pop("url", self.url), **options)
        self._brokers.append(broker)
        return broker

    def headers(self, user_id: int = 1) -> dict[str, str]:
        key, secret = simulated_credentials(SECRET, user_id)
        return {"APCA-API-KEY-ID": key, "APCA-API-SECRET-KEY": secret}

    def faults(self, *rules: dict[str, Any], **settings: Any) -> None:
        answer = self.http.post("/sim/faults", json={"rules": list(rules), **settings})
        assert answer.status_code == 200, answer.text

    def admin(self, path: str, **body: Any) -> dict[str, Any]:
        answer = self.http.post(path, json=body)
        assert answer.status_code == 200, answer.text
        result: dict[str, Any] = answer.json()
        return result

    def close(self) -> None:
        for broker in self._brokers:
            broker.close()
        self.http.close()


class WithRealKeys:
    """Lets a simulator accept keys that look like a real account's: ``PK7`` with user 7's secret is user 7."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            given = dict(scope["headers"])
            key = given.get(b"apca-api-key-id", b"")
            if key[:2] in {b"PK", b"AK"}:
                given[b"apca-api-key-id"] = b"SIM-" + key[2:]
                scope = {**scope, "headers": list(given.items())}
        await self.app(scope, receive, send)


@contextmanager
def fresh_engine(server: EmbeddedPostgres) -> Iterator[Engine]:
    """A database of its own, for a module of tests that share a simulator and differ in users."""
    name = f"simulator_{next(_databases)}"
    admin = make_engine(server.url(), isolation_level="AUTOCOMMIT", poolclass=NullPool)
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    engine = make_engine(server.url(name))
    yield engine
    engine.dispose()
    with admin.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))


@contextmanager
def running(engine: Engine, feeds: Sequence[PriceFeed], *, port: int = 0, **kw: Any) -> Iterator[RunningSimulator]:
    """Options are those of ``create_app``; faults can be set unless ``options`` says otherwise."""
    kw.setdefault("options", SimulatorOptions(faults=True, tick_seconds=0.05))
    app = create_app(engine, feeds, SECRET, **kw)
    config = uvicorn.Config(WithRealKeys(app), host="127.0.0.1", port=port, log_level="warning", ws_ping_interval=None)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 20
    while not server.started:
        assert thread.is_alive() and time.monotonic() < deadline, "the simulator did not start"
        time.sleep(0.005)
    port = server.servers[0].sockets[0].getsockname()[1]
    simulator = RunningSimulator(f"http://127.0.0.1:{port}", app)
    try:
        yield simulator
    finally:
        simulator.close()
        server.should_exit = True
        server.force_exit = True
        thread.join(10)


class SimulatorProcess:
    """The real process, with sample prices."""

    def __init__(self, engine: Engine, folder: Path, **environment: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._log = (folder / "simulator.log").open("ab")
        self.log = folder / "simulator.log"
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "DATABASE_URL": engine.url.render_as_string(hide_password=False),
            "DASHTRADE_DATA_DIR": str(folder),
            "DASHTRADE_SESSION_SECRET": SECRET,
            "DASHTRADE_SIMULATOR_PORT": str(self.port),
            "DASHTRADE_SOURCES": '["sample"]',
            **environment,
        }
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "dashtrade.processes.simulator"],
            env=self.environment,
            cwd=ROOT,
            stdout=self._log,
            stderr=self._log,
        )
        until(self._answers, 60)

    def _answers(self) -> bool:
        assert self.process is not None and self.process.poll() is None, self.log.read_text()
        try:
            return httpx.get(f"{self.url}/health", timeout=1, trust_env=False).status_code == 200
        except httpx.HTTPError:
            return False

    def end(self, number: int) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(20)

    def broker(self, user_id: int) -> AlpacaBroker:
        key, secret = simulated_credentials(SECRET, user_id)
        return AlpacaBroker(key, secret, mode="simulated", url_override=self.url, read_timeout=5)

    def hint(self, user_id: int, symbol: str, price: str) -> None:
        key, secret = simulated_credentials(SECRET, user_id)
        headers = {"APCA-API-KEY-ID": key, "APCA-API-SECRET-KEY": secret}
        body = {"symbol": symbol, "price": price}
        httpx.post(f"{self.url}/sim/prices", json=body, headers=headers, trust_env=False).raise_for_status()
