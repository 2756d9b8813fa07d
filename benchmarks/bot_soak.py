"""Soak of the bot: alerts as TradingView sends them, while trader, webhook, simulator and PostgreSQL are killed.

``python -m benchmarks.bot_soak [alerts] [seconds between kills] [minutes of killing]`` starts an embedded PostgreSQL
with durable commits and the three processes; sends the alerts of several bots, each again on 5xx or no answer, as
TradingView does; kills a random process with SIGKILL at random moments (PostgreSQL too) and starts it again. The next
kill waits until the last victim works again, so that a slow machine has progress between them, and after the given
minutes there are none. Once everything is quiet it counts what was lost (acknowledged, not in the inbox or never
ended), doubled (two orders for one leg), and what the ledger and the broker hold.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import Engine

from benchmarks._ledger import OPEN_WORK, SimulatedBroker, comparison, rows
from benchmarks.webhook_round_trip import SECRET, free_ports
from dashtrade.db.embedded import EmbeddedPostgres
from dashtrade.db.engine import make_engine
from dashtrade.db.migrate import upgrade
from dashtrade.db.tables.accounts import UserRow
from dashtrade.db.unit_of_work import UnitOfWork
from dashtrade.domain.bot_views import NewBot
from dashtrade.services import bots

SYMBOLS = ("AAPL", "MSFT", "KO", "SPY", "XOM", "JPM", "PG", "NVDA")
USERS = 12  # each has a request budget of its own at the broker
SENDERS = 8
MODULES = ("webhook", "dashtrade.processes.trader", "dashtrade.processes.simulator")


class Stage:
    """The processes, the database, and the hand that kills them."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="dashtrade-soak-"))
        self.server = EmbeddedPostgres(self.folder).start()
        self.webhook_port, self.simulator_port = free_ports(2)
        self.environment = {
            **os.environ,
            "DATABASE_URL": self.server.url(),
            "DASHTRADE_DATA_DIR": str(self.folder),
            "DASHTRADE_WEBHOOK_PORT": str(self.webhook_port),
            "DASHTRADE_WEBHOOK_WAIT_SECONDS": "0",
            "DASHTRADE_SIMULATOR_PORT": str(self.simulator_port),
            "DASHTRADE_SESSION_SECRET": SECRET,
            "DASHTRADE_SOURCES": '["sample"]',
        }
        self.engine = make_engine(self.server.url())
        upgrade(self.engine)
        self.log = (self.folder / "processes.log").open("w")
        self.children = {module: self._start(module) for module in reversed(MODULES)}
        self.kills: Counter[str] = Counter()
        self.mending = threading.Lock()

    def _start(self, module: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", module]
        # a session each, as the supervisor gives them
        return subprocess.Popen(command, env=self.environment, stdout=self.log, stderr=self.log, start_new_session=True)

    def kill_one(self, chance: random.Random) -> None:
        name = chance.choice([*MODULES, "postgresql"])
        self.kills[name] += 1
        if name == "postgresql":
            # An immediate shutdown, as in a crash: no checkpoint, recovery from the log. Its keeper starts it again.
            with suppress(FileNotFoundError, ProcessLookupError):  # it may be down from the last time
                pid = int((self.server.data / "postmaster.pid").read_text().splitlines()[0])
                os.kill(pid, signal.SIGQUIT)
        else:
            self.children[name].kill()
            self.children[name].wait()
        self.mend()

    def mend(self) -> None:
        """What the supervisor does: a process that ended is started again."""
        with self.mending:
            for name, child in self.children.items():
                if child.poll() is not None:
                    self.children[name] = self._start(name)

    def works(self) -> bool:
        """All processes answer, and the trader's heartbeat is new."""
        try:
            health = httpx.get(f"http://127.0.0.1:{self.webhook_port}/health", timeout=3, trust_env=False).json()
            httpx.get(f"http://127.0.0.1:{self.simulator_port}/health", timeout=3, trust_env=False).raise_for_status()
        except (httpx.HTTPError, ValueError):
            return False
        return health.get("trader_age_seconds") is not None and health["trader_age_seconds"] < 5

    def stop(self) -> None:
        for child in self.children.values():
            child.terminate()
        for child in self.children.values():
            child.wait(40)
        self.engine.dispose()
        self.server.stop()


def make_users(engine: Engine) -> list[tuple[int, str]]:
    made = []
    for number in range(USERS):
        with UnitOfWork(engine) as uow:
            user = UserRow(username=f"user{number}", email=f"user{number}@example.com", password_hash="x")
            uow.session.add(user)
            uow.commit()
            user_id = user.id
        for symbol in SYMBOLS:
            request = NewBot(
                symbol, "15m", Decimal(500), max_orders_per_day=None, is_active=True, freshness_seconds=3600,
                exit_freshness_seconds=3600,
            )  # fmt: skip
            bots.create_bot(UnitOfWork(engine), user_id, request)
        made.append((user_id, bots.create_token(UnitOfWork(engine), user_id).secret))
    return made


def send(client: httpx.Client, token: str, body: dict[str, Any]) -> int | None:
    """The signal's id once acknowledged; like TradingView again on 5xx or no answer, but without giving up."""
    while True:
        try:
            answer = client.post(f"/webhook?token={token}", json=body, timeout=3)
            if answer.status_code < 500:
                return int(answer.json()["signal_id"]) if answer.status_code in (200, 202, 409) else None
        except (httpx.HTTPError, KeyError):
            pass
        time.sleep(0.3)


def settled(stage: Stage, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        stage.mend()
        if rows(stage.engine, OPEN_WORK) == [(0, 0)]:
            return True
        time.sleep(0.5)
    return False


def main() -> None:
    alerts = int(sys.argv[1]) if len(sys.argv) > 1 and sys.argv[1].isdigit() else 10_000
    between = float(sys.argv[2]) if len(sys.argv) > 2 else 8.0
    minutes = float(sys.argv[3]) if len(sys.argv) > 3 else float("inf")
    chance = random.Random(7)
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(1))  # its children end with it
    stage = Stage()
    began = time.monotonic()
    done = threading.Event()
    try:
        users = make_users(stage.engine)
        while not rows(stage.engine, "SELECT 1 FROM account_state WHERE reconciled_at IS NOT NULL"):
            time.sleep(0.2)

        def killing() -> None:
            while not done.wait(between * chance.uniform(0.5, 1.5)) and time.monotonic() - began < minutes * 60:
                stage.kill_one(chance)
                while not stage.works() and not done.wait(0.5):
                    stage.mend()

        killer = threading.Thread(target=killing)
        killer.start()
        base = f"http://127.0.0.1:{stage.webhook_port}"
        acknowledged: list[int | None] = []
        with httpx.Client(base_url=base, trust_env=False) as client, ThreadPoolExecutor(SENDERS) as pool:

            def one(number: int) -> int | None:
                body = {"action": ("BUY", "SELL")[number // (USERS * len(SYMBOLS)) % 2], "interval": "15",
                        "symbol": SYMBOLS[number % len(SYMBOLS)], "price": 100, "id": f"n{number}"}  # fmt: skip
                return send(client, users[number // len(SYMBOLS) % USERS][1], body)

            acknowledged = list(pool.map(one, range(alerts)))
        sending = time.monotonic() - began
        ended = "SELECT count(*) FROM alert_inbox WHERE ended_at IS NOT NULL"
        while rows(stage.engine, ended)[0][0] < alerts * 0.9:  # the killing goes on until most are done
            stage.mend()
            time.sleep(0.5)
        done.set()
        killer.join()
        quiet = settled(stage, 900)
        print(json.dumps(report(stage, users, acknowledged, quiet, sending, time.monotonic() - began), indent=2))
    finally:
        done.set()
        stage.stop()


def report(
    stage: Stage, users: list[tuple[int, str]], acknowledged: list[int | None], quiet: bool, sending: float, all_: float
) -> dict[str, Any]:
    ids = [number for number in acknowledged if number is not None]
    kept = {row[0] for row in rows(stage.engine, "SELECT id FROM alert_inbox WHERE ended_at IS NOT NULL")}
    states = dict(rows(stage.engine, "SELECT state, count(*) FROM alert_inbox GROUP BY 1"))
    codes = dict(rows(stage.engine, "SELECT code, count(*) FROM alert_inbox WHERE code IS NOT NULL GROUP BY 1"))
    return {
        "alerts": len(acknowledged),
        "acknowledged": len(ids),
        "kills": dict(stage.kills),
        "lost": len(set(ids) - kept),
        "stored_twice": len(ids) - len(set(ids)),
        **comparison(stage.engine, SimulatedBroker(stage.simulator_port, SECRET), [user_id for user_id, _ in users]),
        "states": states,
        "codes": codes,
        "quiet": quiet,
        "seconds_sending": round(sending, 1),
        "seconds": round(all_, 1),
    }


if __name__ == "__main__":
    main()
