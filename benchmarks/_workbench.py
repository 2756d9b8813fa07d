"""The whole workbench as one program for a benchmark, with its log, and memory and CPU of its processes over time."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from contextlib import suppress
from pathlib import Path

import psutil
from sqlalchemy import Engine

from benchmarks._ledger import SimulatedBroker
from benchmarks.startup import answers, free_ports
from dashtrade.db.engine import make_engine

SAMPLE_EVERY = 15.0  # seconds; to read the memory of a hundred processes is work, too


class Workbench:
    """``dashtrade up`` with its log, and a connection to its database."""

    def __init__(self, folder: Path, sessions: int) -> None:
        self.folder, self.log = folder, folder / "up.log"
        self.ports = free_ports(3)
        environment = {k: v for k, v in os.environ.items() if k not in ("DATABASE_URL", "PYTHONDONTWRITEBYTECODE")}
        environment |= {
            "DASHTRADE_DATA_DIR": str(folder / "data"),
            "DASHTRADE_SOURCES": "sample",
            "DASHTRADE_DASHBOARDS_PORT": str(self.ports[0]),
            "DASHTRADE_WEBHOOK_PORT": str(self.ports[1]),
            "DASHTRADE_SIMULATOR_PORT": str(self.ports[2]),
            "DASHTRADE_PAGES_TOTAL": str(max(200, 2 * sessions)),
        }
        with self.log.open("wb") as output:
            command = [sys.executable, "-m", "dashtrade.cli", "up"]
            self.up = subprocess.Popen(command, env=environment, stdout=output, stderr=output, cwd=folder)
        self.dashboards = f"http://127.0.0.1:{self.ports[0]}/"
        self.webhook = f"http://127.0.0.1:{self.ports[1]}/"
        began = time.monotonic()
        while not (answers(self.dashboards + "login") and answers(self.webhook + "health")):
            if time.monotonic() - began > 180 or self.up.poll() is not None:
                self.stop()
                raise RuntimeError(f"the workbench did not start:\n{self.log.read_text()}")
            time.sleep(0.2)
        self.engine: Engine = make_engine(self._database_url())

    def _database_url(self) -> str:
        """From the environment of a service, which is this program's own child."""
        for child in psutil.Process(self.up.pid).children():
            if "webhook" in child.cmdline():
                return child.environ()["DATABASE_URL"]
        raise RuntimeError("the webhook does not run")

    def broker(self) -> SimulatedBroker:
        secret = (self.folder / "data" / "secrets" / "session_secret").read_text().strip()
        return SimulatedBroker(self.ports[2], secret)

    def stop(self) -> None:
        if self.up.poll() is None:
            self.up.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            self.up.wait(60)

    def complaints(self) -> tuple[Counter[str], int]:
        """Warnings and errors of the log with their numbers cut, and how many tracebacks there are."""
        found: Counter[str] = Counter()
        lines = self.log.read_text(errors="replace").splitlines()
        for line in lines:
            if re.search(r"\b(WARNING|ERROR|CRITICAL)\b", line):
                found[re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}|\d+(\.\d+)?", "#", line)[:150]] += 1
        return found, sum("Traceback" in line for line in lines)


def kind_of(name: str, command: list[str], child_of_dashboards: bool) -> str:
    text = " ".join(command)
    if "postgres" in name:
        return "PostgreSQL"
    if "zygote" in text:
        return "warm process of the pages" if child_of_dashboards else "pages"
    for part in ("dashtrade.dashboards", "webhook", "simulator", "trader", "jobs", "guardian", "dashtrade.cli"):
        if part in text:
            return "supervisor" if part == "dashtrade.cli" else part.replace("dashtrade.", "")
    return "pages" if "ipykernel" in text else "other"


class Memory:
    """PSS and CPU by kind of process: of each a list of samples (seconds, MB, number)."""

    def __init__(self, up: int, folder: Path) -> None:
        self.up, self.folder, self.began = psutil.Process(up), folder, time.monotonic()
        self.samples: dict[str, list[tuple[float, float, int]]] = defaultdict(list)
        self.busy: dict[str, float] = defaultdict(float)
        self._seen: dict[int, float] = {}

    def _processes(self) -> dict[int, tuple[psutil.Process, str]]:
        """Pid → process and its kind; PostgreSQL is no descendant of the program."""
        table = {p.pid: p for p in psutil.process_iter(["pid", "ppid", "name", "cmdline"])}
        wanted, found = {self.up.pid}, {}
        wanted |= {pid for pid, p in table.items() if f"{self.folder}/" in " ".join(p.info["cmdline"] or [])
                   and "postgres" in (p.info["name"] or "")}  # fmt: skip
        grown = True
        while grown:
            new = {pid for pid, p in table.items() if p.info["ppid"] in wanted} - wanted
            wanted, grown = wanted | new, bool(new)
        servers = {
            pid for pid in wanted if pid in table and "dashtrade.dashboards" in (table[pid].info["cmdline"] or [])
        }
        for pid in wanted & table.keys():
            info = table[pid].info
            found[pid] = (table[pid], kind_of(info["name"] or "", info["cmdline"] or [], info["ppid"] in servers))
        own = psutil.Process()
        found[own.pid] = (own, "(the people)")
        for child in own.children(recursive=True):
            if child.pid not in found:
                found[child.pid] = (child, "(Chromium)")
        return found

    def sample(self) -> None:
        mb: dict[str, float] = defaultdict(float)
        count: Counter[str] = Counter()
        for pid, (process, kind) in self._processes().items():
            try:
                mb[kind] += process.memory_full_info().pss / 1e6
                count[kind] += 1
                times = process.cpu_times()
            except (psutil.Error, OSError):
                continue  # it has just ended
            busy = times.user + times.system
            self.busy[kind] += busy - self._seen.get(pid, 0.0 if self.samples else busy)
            self._seen[pid] = busy
        for kind, value in mb.items():
            self.samples[kind].append((time.monotonic() - self.began, value, count[kind]))

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.to_thread(self.sample)
            await asyncio.sleep(SAMPLE_EVERY)
