"""Two hosts on one database, cut off and brought back: ``python -m benchmarks.hosts``. Linux, as root, with iproute2.

Three network namespaces: one with PostgreSQL and the broker, and two hosts, each with webhook, trader, jobs worker and
dashboards, joined to the first by a link of its own. Alerts are posted at both webhooks; sessions and jobs are shared;
and the link of the host that trades is taken down while its order is on the way, before and after the broker has it.
Nothing leaves these namespaces, and they end with this program. The exit code is 1 where something is not as promised.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import Engine

from benchmarks._ledger import SimulatedBroker, comparison, rows
from benchmarks.webhook_round_trip import SECRET
from dashtrade.auth.passwords import hash_password
from dashtrade.bootstrap import load_jobs
from dashtrade.db.embedded import EmbeddedPostgres
from dashtrade.db.engine import make_engine, parse_url
from dashtrade.db.migrate import upgrade
from dashtrade.db.tables.accounts import UserRow
from dashtrade.db.unit_of_work import UnitOfWork
from dashtrade.domain.bot_views import NewBot
from dashtrade.services import bots
from dashtrade.services.jobs import enqueue

INSIDE = "DASHTRADE_BENCH_NAMESPACE"  # set where this program has its own namespace already
PASSWORD = "Correct-Horse-7-Battery"
SIMULATOR, POSTGRES, WEBHOOK, DASHBOARDS = 8190, 5432, 8080, 5000
ROLES = ("webhook", "dashtrade.processes.trader", "dashtrade.processes.jobs", "dashtrade.dashboards")


async def forward(listen: tuple[str, int], to: tuple[str, int]) -> None:
    """Every connection to ``listen`` goes on to ``to``."""

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        with suppress(OSError):
            writer.close()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection(*to)
        except OSError:
            writer.close()
            return
        await asyncio.gather(copy(reader, far_writer), copy(far_reader, writer))

    server = await asyncio.start_server(accept, *listen)
    await server.serve_forever()


def wait_for(check: Callable[[], Any], problem: str, seconds: float = 90) -> Any:
    deadline = time.monotonic() + seconds
    while True:
        with suppress(httpx.HTTPError):
            found = check()
            if found:
                return found
        if time.monotonic() > deadline:
            raise RuntimeError(problem)
        time.sleep(0.05)


class Host:
    """A namespace with a link to this one. ``near`` is this end's address, ``far`` the host's."""

    def __init__(self, number: int, folder: Path, database_url: str) -> None:
        self.near, self.far, self.link = f"10.77.{number}.1", f"10.77.{number}.2", f"dt{number}"
        self.folder = folder / f"host{number}"
        self.folder.mkdir()
        self.children: list[subprocess.Popen[bytes]] = []
        self.namespace = subprocess.Popen(["unshare", "--net", "sleep", "infinity"])
        wait_for(
            lambda: os.readlink(f"/proc/{self.namespace.pid}/ns/net") != os.readlink("/proc/self/ns/net"), "unshare"
        )
        ip("link", "add", self.link, "type", "veth", "peer", "name", "up0", "netns", str(self.namespace.pid))
        ip("addr", "add", f"{self.near}/24", "dev", self.link)
        ip("link", "set", self.link, "up")
        self._inside(["ip", "addr", "add", f"{self.far}/24", "dev", "up0"]).wait()
        self._inside(["ip", "link", "set", "up0", "up"]).wait()
        self._inside(["ip", "link", "set", "lo", "up"]).wait()
        for port, to in ((POSTGRES, parse_url(database_url).port or 0), (SIMULATOR, SIMULATOR)):
            forwarding((self.near, port), ("127.0.0.1", to))
        url = parse_url(database_url).set(host=self.near, port=POSTGRES).render_as_string(hide_password=False)
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("DASHTRADE_", "DATABASE_URL"))}
        self.environment = kept | {
            "DATABASE_URL": url, "DASHTRADE_DATA_DIR": str(self.folder), "DASHTRADE_HOST": self.far,
            "DASHTRADE_SESSION_SECRET": SECRET, "DASHTRADE_SOURCES": "sample", "DASHTRADE_WEBHOOK_WAIT_SECONDS": "0",
        }  # fmt: skip
        here = [
            sys.executable,
            "-m",
            "benchmarks.hosts",
            "forward",
            "127.0.0.1",
            str(SIMULATOR),
            self.near,
            str(SIMULATOR),
        ]
        self.children.append(self._inside(here))  # the trader expects the simulated broker on its own machine
        log = (self.folder / "log").open("wb")
        for role in ROLES:
            self.children.append(
                self._inside([sys.executable, "-m", role], stdout=log, stderr=log, env=self.environment)
            )
        self.http = httpx.Client(timeout=20, trust_env=False)

    def _inside(self, command: list[str], **options: Any) -> subprocess.Popen[bytes]:
        return subprocess.Popen(["nsenter", f"--net=/proc/{self.namespace.pid}/ns/net", *command], **options)

    def ready(self) -> bool:
        """The webhook and the dashboards answer."""
        urls = (f"http://{self.far}:{WEBHOOK}/health", f"http://{self.far}:{DASHBOARDS}/login")
        return all(self.http.get(url).status_code == 200 for url in urls)

    @property
    def trader(self) -> int:
        return self.children[1 + ROLES.index("dashtrade.processes.trader")].pid

    def post(self, token: str, **body: Any) -> int:
        """The signal's id."""
        given = {"action": "BUY", "symbol": "AAPL", "timeframe": "15 Min", "price": 145.5, **body}
        answer = self.http.post(f"http://{self.far}:{WEBHOOK}/webhook", params={"token": token}, json=given)
        return int(answer.raise_for_status().json()["signal_id"])

    def cut(self) -> None:
        ip("link", "set", self.link, "down")

    def join(self) -> None:
        ip("link", "set", self.link, "up")

    def stop(self) -> None:
        for child in self.children:
            child.terminate()
        for child in self.children:
            with suppress(subprocess.TimeoutExpired):
                child.wait(20)
            child.kill()
        self.namespace.kill()
        self.namespace.wait()


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


def forwarding(listen: tuple[str, int], to: tuple[str, int]) -> None:
    threading.Thread(target=lambda: asyncio.run(forward(listen, to)), daemon=True).start()


@contextmanager
def stage(folder: Path) -> Iterator[tuple[Engine, SimulatedBroker, list[Host]]]:
    """The database, the broker, and two hosts that are ready."""
    server = EmbeddedPostgres(folder, durable=False).start()
    engine = make_engine(server.url())
    upgrade(engine)
    environment = {**os.environ, "DATABASE_URL": server.url(), "DASHTRADE_DATA_DIR": str(folder / "broker"),
                   "DASHTRADE_SESSION_SECRET": SECRET, "DASHTRADE_SOURCES": "sample",
                   "DASHTRADE_SIMULATOR_FAULTS": "true", "DASHTRADE_SIMULATOR_PORT": str(SIMULATOR)}  # fmt: skip
    log = (folder / "broker.log").open("wb")
    simulator = subprocess.Popen(
        [sys.executable, "-m", "dashtrade.processes.simulator"], env=environment, stdout=log, stderr=log
    )
    hosts: list[Host] = []
    try:
        hosts += [Host(1, folder, server.url()), Host(2, folder, server.url())]
        for host in hosts:
            wait_for(host.ready, f"{host.far} is not ready: {(host.folder / 'log').read_text()[-2000:]}")
        wait_for(lambda: rows(engine, "SELECT count(*) FROM trader_heartbeats") == [(2,)], "two traders did not start")
        yield engine, SimulatedBroker(SIMULATOR, SECRET), hosts
    except BaseException:
        for host in hosts:
            print((host.folder / "log").read_text()[-3000:], file=sys.stderr)
        raise
    finally:
        for host in hosts:
            host.stop()
        simulator.terminate()
        simulator.wait(20)
        engine.dispose()
        server.stop()


def both_webhooks(engine: Engine, hosts: list[Host], token: str) -> dict[str, bool]:
    """Every alert goes to both hosts at once."""
    sends = [(host, {"symbol": symbol, "id": f"{symbol}-{n}"})
             for n in range(5) for symbol in ("AAPL", "MSFT") for host in hosts]  # fmt: skip
    with ThreadPoolExecutor(8) as pool:
        signals = set(pool.map(lambda send: send[0].post(token, **send[1]), sends))
    wait_for(lambda: ended(engine, signals), "alerts were not decided")
    filled = "SELECT count(*) FROM order_intents WHERE filled_qty > 0"
    return {"alerts at both webhooks are stored once": len(signals) == 10,
            "and ordered once": rows(engine, filled) == [(10,)]}  # fmt: skip


def ended(engine: Engine, signals: set[int]) -> bool:
    listed = ", ".join(map(str, signals))
    return rows(engine, f"SELECT count(*) FROM alert_inbox WHERE id IN ({listed}) AND ended_at IS NOT NULL") == [
        (len(signals),)
    ]


def shared_sessions(hosts: list[Host]) -> dict[str, bool]:
    with httpx.Client(timeout=30, trust_env=False) as browser:
        first, second = (f"http://{host.far}:{DASHBOARDS}/" for host in hosts)
        token = browser.get(first + "login").text.split('name="_xsrf" value="')[1].split('"')[0]
        browser.post(first + "login", data={"_xsrf": token, "username": "ada", "password": PASSWORD})
        cookies = {cookie.name: cookie.value or "" for cookie in browser.cookies.jar}
        page = httpx.get(second + "account", cookies=cookies, timeout=30, trust_env=False)
        return {"a session counts on both hosts": page.status_code == 200 and "ada" in page.text}


def shared_jobs(engine: Engine) -> dict[str, bool]:
    load_jobs()
    with UnitOfWork(engine) as uow:
        numbers = [enqueue(uow, "start_due_reports") for _ in range(200)]
        uow.commit()
    listed = ", ".join(map(str, numbers))
    done = f"SELECT worker_id, attempts FROM jobs.procrastinate_jobs WHERE id IN ({listed}) AND status = 'succeeded'"
    found = wait_for(lambda: (r := rows(engine, done)) and len(r) == 200 and r, "jobs are left")
    return {"both workers took jobs": len({worker for worker, _ in found}) == 2,
            "each job ran once": {attempts for _, attempts in found} == {1}}  # fmt: skip


def cut_off(engine: Engine, hosts: list[Host], token: str, when: str) -> tuple[dict[str, bool], float]:
    """The trading host's link goes down while its order is on the way; seconds until the other has taken over."""
    owners = "SELECT coalesce(lease_owner, '') FROM account_state"
    owner = rows(engine, owners)[0][0]
    trading = next(host for host in hosts if f":{host.trader}:" in owner)
    other = next(host for host in hosts if host is not trading)
    rule = {"route": "POST /v2/orders$", "action": "hang", "when": when, "seconds": 2.0, "times": 1}
    url = f"http://127.0.0.1:{SIMULATOR}/sim/faults"
    httpx.post(url, json={"rules": [rule]}, trust_env=False).raise_for_status()
    on_the_way = "SELECT count(*) FROM order_intents WHERE submitted_at IS NOT NULL"
    sent = rows(engine, on_the_way)[0][0]
    number = other.post(token, id=f"cut off {when}")
    wait_for(lambda: rows(engine, on_the_way)[0][0] > sent, "nothing was sent")
    time.sleep(0.3)  # the request has left the host
    trading.cut()
    began = time.monotonic()
    try:
        wait_for(lambda: ended(engine, {number}), "the order was not ended by the other host")
        wait_for(lambda: f":{other.trader}:" in rows(engine, owners)[0][0], "the other host did not take over")
        seconds = time.monotonic() - began
    finally:
        trading.join()
    again = trading.post(token, id=f"after {when}")
    wait_for(lambda: ended(engine, {again}), "the host that came back is no use")
    status = rows(engine, f"SELECT state FROM alert_inbox WHERE id IN ({number}, {again})")
    orders = rows(engine, on_the_way)[0][0] - sent
    name = f"cut off {when} the broker had the order: the other host took over, and both alerts traded once"
    return {name: status == [("done",)] * 2 and orders == 2}, seconds


def play(folder: Path) -> int:
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    began = time.monotonic()
    with stage(folder) as (engine, broker, hosts):
        print(f"two hosts are up after {time.monotonic() - began:.0f} s", flush=True)
        with UnitOfWork(engine) as uow:
            user = UserRow(username="ada", email="ada@example.com", password_hash=hash_password(PASSWORD, rounds=4))
            uow.session.add(user)
            uow.commit()
            user_id = user.id
        for symbol in ("AAPL", "MSFT"):
            request = NewBot(symbol, "15m", Decimal(500), is_active=True, freshness_seconds=600)
            bots.create_bot(UnitOfWork(engine), user_id, request)
        token = bots.create_token(UnitOfWork(engine), user_id).secret
        checks = both_webhooks(engine, hosts, token) | shared_sessions(hosts) | shared_jobs(engine)
        for when in ("before", "after"):
            found, seconds = cut_off(engine, hosts, token, when)
            checks |= found
            print(
                f"cut off {when} the broker had the order: taken over by the other host after {seconds:.1f} s",
                flush=True,
            )
        compared = comparison(engine, broker, [user_id])
    checks |= {"no order is doubled": not compared["doubled"], "books equal the broker's": compared["orders_equal"]
               and compared["positions_equal"]}  # fmt: skip
    for name, good in checks.items():
        print(f"{'yes' if good else 'NO ':<4} {name}")
    print(json.dumps(compared))
    return 0 if all(checks.values()) else 1


def main() -> int:
    if sys.argv[1:2] == ["forward"]:
        asyncio.run(forward((sys.argv[2], int(sys.argv[3])), (sys.argv[4], int(sys.argv[5]))))
    if os.environ.get(INSIDE) != "1":
        able = shutil.which("ip") and shutil.which("nsenter") and shutil.which("unshare")
        if not able or subprocess.run(["unshare", "--net", "true"], capture_output=True, check=False).returncode:
            print("Skipped: network namespaces cannot be made here (Linux, as root, with iproute2).")
            return 0
        command = ["unshare", "--net", sys.executable, "-m", "benchmarks.hosts"]
        return subprocess.run(command, env={**os.environ, INSIDE: "1"}, check=False).returncode
    with tempfile.TemporaryDirectory(prefix="dashtrade-hosts-") as folder:
        return play(Path(folder))


if __name__ == "__main__":
    sys.exit(main())
