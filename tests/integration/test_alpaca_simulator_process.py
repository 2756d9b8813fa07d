"""The simulator as a real process: killed while it works, nothing is half done; told to end, it ends well."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import httpx
import pytest
from simulator_server import SECRET, fresh_engine, order, until
from sqlalchemy import Engine

from dashtrade.brokers.alpaca import AlpacaBroker
from dashtrade.db.embedded import EmbeddedPostgres
from dashtrade.domain.orders import OrderStatus, Refusal
from dashtrade.domain.simulated import simulated_credentials
from dashtrade.errors import BrokerUnavailable, OrderRefused, OutcomeUnknown

ROOT = Path(__file__).resolve().parents[2]


class Process:
    def __init__(self, engine: Engine, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._log = (folder / "simulator.log").open("ab")
        self.log = folder / "simulator.log"
        self._environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "DATABASE_URL": engine.url.render_as_string(hide_password=False),
            "DASHTRADE_DATA_DIR": str(folder),
            "DASHTRADE_SESSION_SECRET": SECRET,
            "DASHTRADE_SIMULATOR_PORT": str(self.port),
            "DASHTRADE_SOURCES": '["sample"]',
        }
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "dashtrade.processes.simulator"],
            env=self._environment,
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


@pytest.fixture
def simulator(postgres_server: EmbeddedPostgres, tmp_path: Path) -> Iterator[Process]:
    with fresh_engine(postgres_server) as engine:
        process = Process(engine, tmp_path)
        process.start()
        yield process
        if process.process is not None and process.process.poll() is None:
            process.end(signal.SIGKILL)


@pytest.mark.fault
def test_orders_survive_kills_once_each(simulator: Process) -> None:
    """Orders stream in while the process is killed twice; each is settled by its client order id alone."""
    broker = simulator.broker(1)
    simulator.hint(1, "KILL", "10")
    names = iter(range(10_000))
    sent: list[str] = []
    failures: Counter[str] = Counter()
    stop = threading.Event()

    def settle(name: str) -> None:
        """Send until the broker says that it has the order: what a careful trader does."""
        while True:
            try:
                broker.submit(order(name, "1", symbol="KILL"))
                return
            except OutcomeUnknown:
                failures["unknown"] += 1
            except OrderRefused as refused:
                assert refused.kind is Refusal.DUPLICATE_CLIENT_ORDER_ID
                failures["found again"] += 1
                return
            time.sleep(0.02)

    def work() -> None:
        while not stop.is_set():
            name = f"k{next(names)}"
            sent.append(name)
            settle(name)

    workers = [threading.Thread(target=work) for _ in range(3)]
    for worker in workers:
        worker.start()
    for _ in range(2):
        so_far = len(sent)
        until(lambda n=so_far: len(sent) > n + 12, 60)  # type: ignore[misc]
        assert simulator.end(signal.SIGKILL) == -signal.SIGKILL
        simulator.start()
    until(lambda n=len(sent): len(sent) > n + 5, 60)  # type: ignore[misc]
    stop.set()
    for worker in workers:
        worker.join(60)
    assert failures["unknown"] > 0
    simulator.hint(1, "KILL", "10")  # hints are not kept over a restart
    until(lambda: not broker.open_orders(), 30)
    orders = {name: broker.order_by_client_id(name) for name in sent}
    assert all(found is not None and found.status is OrderStatus.FILLED for found in orders.values())
    fills = broker.executions()
    assert Counter(fill.client_order_id for fill in fills) == Counter(sent)
    (position,) = broker.positions()
    assert position.qty == len(sent) == sum(fill.qty for fill in fills)
    spent = sum((fill.qty * fill.price for fill in fills), Decimal(0))
    assert abs(broker.account().cash - (100_000 - spent)) < Decimal("0.01")
    broker.close()


def test_it_ends_well_on_sigterm_with_an_open_stream(simulator: Process) -> None:
    broker = simulator.broker(1)
    stream = broker.stream(lambda update: None, lambda gap: None)
    assert stream.wait_connected(10)
    began = time.monotonic()
    assert simulator.end(signal.SIGTERM) == 0
    assert time.monotonic() - began < 8
    with pytest.raises(BrokerUnavailable):
        broker.account()
    broker.close()
    assert SECRET not in simulator.log.read_text()


def test_the_sample_prices_orders_where_there_is_no_network(simulator: Process) -> None:
    broker = simulator.broker(2)
    broker.submit(order("in", "3", symbol="AAPL"))
    until(lambda: broker.positions(), 30)
    raw = broker._client.get("/orders:by_client_order_id", {"client_order_id": "in"})
    assert (raw["status"], raw["source"]) == ("filled", "sample")
    broker.close()


def test_it_listens_on_loopback_only(simulator: Process) -> None:
    import psutil

    assert simulator.process is not None
    listening = [c.laddr for c in psutil.Process(simulator.process.pid).net_connections() if c.status == "LISTEN"]
    assert [(address.ip, address.port) for address in listening] == [("127.0.0.1", simulator.port)]


def test_a_taken_port_is_one_clear_end(simulator: Process, tmp_path: Path) -> None:
    second = subprocess.run(
        [sys.executable, "-m", "dashtrade.processes.simulator"],
        env=simulator._environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert second.returncode == 1
    assert f"Port {simulator.port} of 127.0.0.1 is in use" in second.stdout
    assert "Traceback" not in second.stdout + second.stderr


def test_an_unreachable_database_is_one_sentence(tmp_path: Path) -> None:
    environment = {
        "PATH": os.environ["PATH"],
        "DATABASE_URL": "postgresql://nobody:hidden-password@127.0.0.1:9/none",
        "DASHTRADE_DATA_DIR": str(tmp_path),
        "DASHTRADE_SESSION_SECRET": SECRET,
    }
    command = [sys.executable, "-m", "dashtrade.processes.simulator"]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "database" in done.stdout.lower()
    assert "Traceback" not in done.stdout + done.stderr
    assert "hidden-password" not in done.stdout + done.stderr


def test_starting_needs_no_heavy_import() -> None:
    code = (
        "import sys; import dashtrade.processes.simulator; "
        "print([m for m in ('pandas', 'numpy', 'alpaca', 'exchange_calendars', 'yfinance') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "[]"
