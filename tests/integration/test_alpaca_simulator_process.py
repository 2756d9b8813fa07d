"""The simulator as a real process: killed while it works, nothing is half done; told to end, it ends well."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from simulator_server import ROOT, SECRET, SimulatorProcess, fresh_engine, order, until

from dashtrade.db.embedded import EmbeddedPostgres
from dashtrade.domain.orders import OrderStatus, Refusal
from dashtrade.errors import BrokerUnavailable, OrderRefused, OutcomeUnknown


@pytest.fixture
def simulator(postgres_server: EmbeddedPostgres, tmp_path: Path) -> Iterator[SimulatorProcess]:
    with fresh_engine(postgres_server) as engine:
        process = SimulatorProcess(engine, tmp_path)
        process.start()
        yield process
        if process.process is not None and process.process.poll() is None:
            process.end(signal.SIGKILL)


@pytest.mark.fault
def test_orders_survive_kills_once_each(simulator: SimulatorProcess) -> None:
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


def test_it_ends_well_on_sigterm_with_an_open_stream(simulator: SimulatorProcess) -> None:
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


def test_the_sample_prices_orders_where_there_is_no_network(simulator: SimulatorProcess) -> None:
    broker = simulator.broker(2)
    broker.submit(order("in", "3", symbol="AAPL"))
    until(lambda: broker.positions(), 30)
    raw = broker._client.get("/orders:by_client_order_id", {"client_order_id": "in"})
    assert (raw["status"], raw["source"]) == ("filled", "sample")
    broker.close()


def test_it_listens_on_loopback_only(simulator: SimulatorProcess) -> None:
    import psutil

    assert simulator.process is not None
    listening = [c.laddr for c in psutil.Process(simulator.process.pid).net_connections() if c.status == "LISTEN"]
    assert [(address.ip, address.port) for address in listening] == [("127.0.0.1", simulator.port)]


def test_a_taken_port_is_one_clear_end(simulator: SimulatorProcess, tmp_path: Path) -> None:
    second = subprocess.run(
        [sys.executable, "-m", "dashtrade.processes.simulator"],
        env=simulator.environment,
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
