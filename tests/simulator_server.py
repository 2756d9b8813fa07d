"""A real simulator on a free port, in a thread of the test process."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import httpx
import uvicorn
from sqlalchemy import Engine

from dashtrade.brokers.alpaca import AlpacaBroker
from dashtrade.brokers.simulator.app import SimulatorOptions, create_app
from dashtrade.brokers.simulator.prices import PriceFeed
from dashtrade.domain.simulated import simulated_credentials

SECRET = "test-session-secret"


class RunningSimulator:
    def __init__(self, url: str, app: Any) -> None:
        self.url = url
        self.app = app
        self.service = app.state.service
        self.http = httpx.Client(base_url=url, timeout=10, trust_env=False)

    def broker(self, user_id: int = 1, **options: Any) -> AlpacaBroker:
        key, secret = simulated_credentials(SECRET, user_id)
        return AlpacaBroker(key, secret, mode="simulated", url_override=self.url, **options)

    def headers(self, user_id: int = 1) -> dict[str, str]:
        key, secret = simulated_credentials(SECRET, user_id)
        return {"APCA-API-KEY-ID": key, "APCA-API-SECRET-KEY": secret}

    def faults(self, **settings: Any) -> None:
        self.http.post("/sim/faults", json=settings).raise_for_status()


@contextmanager
def running(engine: Engine, feeds: Sequence[PriceFeed], **kw: Any) -> Iterator[RunningSimulator]:
    kw.setdefault("options", SimulatorOptions(faults=True, tick_seconds=0.05))
    app = create_app(engine, feeds, SECRET, **kw)
    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning", ws_ping_interval=None)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 20
    while not server.started:
        assert thread.is_alive() and time.monotonic() < deadline, "the simulator did not start"
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    simulator = RunningSimulator(f"http://127.0.0.1:{port}", app)
    try:
        yield simulator
    finally:
        simulator.http.close()
        server.should_exit = True
        server.force_exit = True
        thread.join(10)
