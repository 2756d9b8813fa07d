"""Two of each service on one database, as two machines would run them: each its own process and data folder."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from dashboards_server import free_port, running_server
from sqlalchemy import text
from trading_house import PAYLOAD, House, TraderProcess, wait_for

from dashtrade.bootstrap import load_jobs
from dashtrade.db.unit_of_work import UnitOfWork
from dashtrade.services.jobs import enqueue

pytestmark = pytest.mark.fault
SECRET = "one secret for both hosts, 32 characters long"
JOBS = Path(__file__).parents[1] / "jobs_child.py"


def host_environment(database_url: str, folder: Path, **more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("DASHTRADE_", "DATABASE_URL"))}
    folder.mkdir(parents=True, exist_ok=True)
    return {**kept, "DATABASE_URL": database_url, "DASHTRADE_DATA_DIR": str(folder), **more}


@contextmanager
def webhook_host(database_url: str, folder: Path) -> Iterator[httpx.Client]:
    """``python -m webhook`` on a free port, and a client for it."""
    port = free_port()
    environment = host_environment(database_url, folder, DASHTRADE_WEBHOOK_PORT=str(port))
    child = subprocess.Popen([sys.executable, "-m", "webhook"], env=environment, cwd=folder, stdout=subprocess.DEVNULL)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=20, trust_env=False) as client:

            def answers() -> bool:
                try:
                    return client.get("/metrics").status_code == 200
                except httpx.TransportError:
                    return False

            wait_for(answers, "the webhook does not answer", 60)
            yield client
    finally:
        child.terminate()
        child.wait(30)


@pytest.fixture
def traders(database_url: str, house: House) -> Iterator[Callable[..., TraderProcess]]:
    with ExitStack() as stack:

        def start(point: str = "") -> TraderProcess:
            trader = TraderProcess(database_url, house.simulator, point)
            stack.callback(trader.stop)
            return trader

        yield start


def test_alerts_at_both_webhooks_trade_once(
    house: House, traders: Callable[..., TraderProcess], database_url: str, tmp_path: Path
) -> None:
    for symbol in ("AAPL", "MSFT"):
        house.bot(symbol)
    traders(), traders()
    with webhook_host(database_url, tmp_path / "a") as first, webhook_host(database_url, tmp_path / "b") as second:
        sends = [
            (client, {**PAYLOAD, "symbol": symbol, "id": f"{symbol}-{n}"})
            for n in range(5)
            for symbol in ("AAPL", "MSFT")
            for client in (first, second)
        ]
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda s: s[0].post(f"/webhook?token={house.token}", json=s[1]), sends))
        assert {answer.status_code for answer in answers} <= {200, 202}
        signals = {answer.json()["signal_id"] for answer in answers}
        assert len(signals) == 10, "the same alert at the other host is the same signal"
        assert {house.outcome(number, 60)["status"] for number in signals} == {"success"}
    orders = house.broker_orders()
    assert len(orders) == len({order["client_order_id"] for order in orders}) == 10
    assert house.ledger_positions() == house.broker_positions()


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_trader_cut_off_inside_its_order_is_replaced_without_a_double(
    house: House, traders: Callable[..., TraderProcess], when: str
) -> None:
    """The first host stands still while its request is on the way; the second takes over; the first comes back."""
    house.bot()
    house.simulator.faults(
        rules=[{"route": "POST /v2/orders$", "action": "hang", "when": when, "seconds": 1.5, "times": 1}]
    )
    first = traders()
    number = house.post().json()["signal_id"]
    wait_for(lambda: house.rows("SELECT 1 FROM order_intents WHERE state = 'submitting'"), "nothing was sent", 40)
    if when == "after":
        wait_for(house.broker_orders, "no order", 40)
    assert first.process.pid is not None
    os.kill(first.process.pid, signal.SIGSTOP)
    taken_over(house, traders, first, number)


@pytest.mark.parametrize("point", ["planned", "fill_uncommitted"])
def test_a_trader_cut_off_anywhere_is_replaced(house: House, traders: Callable[..., TraderProcess], point: str) -> None:
    """Also where it holds its account's lock in the database."""
    house.bot()
    first = traders(f"stop:{point}")
    number = house.post().json()["signal_id"]
    assert first.process.pid is not None
    state = Path(f"/proc/{first.process.pid}/stat")
    wait_for(lambda: state.read_text().rsplit(")", 1)[1].split()[0] == "T", "it goes on", 40)
    taken_over(house, traders, first, number)


def taken_over(house: House, traders: Callable[..., TraderProcess], first: TraderProcess, number: int) -> None:
    """Another trader ends what the first began, and the first does no harm when it comes back."""
    assert first.process.pid is not None
    try:
        owner = house.rows("SELECT lease_owner FROM account_state")
        traders()
        assert house.outcome(number, 90)["status"] == "success"
        wait_for(lambda: house.rows("SELECT lease_owner FROM account_state") != owner, "nobody took over", 60)
    finally:
        os.kill(first.process.pid, signal.SIGCONT)
    again = house.post(id="after the cut").json()["signal_id"]
    assert house.outcome(again, 60)["status"] == "success"
    assert len(house.broker_orders()) == 2
    assert house.ledger_positions() == house.broker_positions()


def test_dashboards_on_two_hosts_share_sessions(database_url: str, tmp_path: Path) -> None:
    shared = {"DASHTRADE_SESSION_SECRET": SECRET}
    with (
        running_server(database_url, tmp_path / "a", **shared) as first,
        running_server(database_url, tmp_path / "b", users={}, **shared) as second,
        first.signed_in("ada") as browser,
        httpx.Client(base_url=second.url, cookies=browser.cookies, timeout=60, trust_env=False) as elsewhere,
    ):
        page = elsewhere.get("account")
        assert page.status_code == 200 and "ada" in page.text
        token = page.text.split('name="_xsrf" value="')[1].split('"')[0]
        assert elsewhere.post("logout", data={"_xsrf": token}).status_code == 303
        assert browser.get("account").status_code == 302, "the session has ended on both"


def test_jobs_spread_over_both_hosts(database_url: str, uow_factory: Callable[[], UnitOfWork], tmp_path: Path) -> None:
    load_jobs()
    count = 200
    with ExitStack() as stack:
        for name in ("a", "b"):
            child = subprocess.Popen(
                [sys.executable, str(JOBS), "", "start_due_reports"],
                env=host_environment(database_url, tmp_path / name), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                text=True,
            )  # fmt: skip
            stack.callback(child.wait)
            stack.callback(child.kill)
            assert child.stdout is not None
            stack.callback(child.stdout.close)
            assert child.stdout.readline() == "ready\n"
        with uow_factory() as uow:
            numbers = {enqueue(uow, "start_due_reports") for _ in range(count)}
            uow.commit()

        def ended() -> list[Any]:
            with uow_factory() as uow:
                rows = uow.session.execute(
                    text("SELECT id, status::text, attempts, worker_id FROM jobs.procrastinate_jobs")
                ).all()
            mine = [row for row in rows if row.id in numbers]
            return mine if all(row.status == "succeeded" for row in mine) else []

        rows = wait_for(ended, "jobs are left", 60)
    assert len(rows) == count and {row.attempts for row in rows} == {1}
    assert len({row.worker_id for row in rows}) == 2, "one worker did everything"
