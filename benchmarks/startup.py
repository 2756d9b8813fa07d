"""First and later start of the whole workbench to a served login page, and the memory of each process."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

import psutil


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for s in sockets:
        s.bind(("127.0.0.1", 0))
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1) as answer:
            return answer.status == 200
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False


def start(data_dir: Path, ports: list[int]) -> tuple[float, float, list[tuple[str, float]]]:
    """Seconds to the login page, seconds to the webhook, and (command, PSS in MB) per process."""
    environment = {k: v for k, v in os.environ.items() if k not in ("DATABASE_URL", "PYTHONDONTWRITEBYTECODE")}
    environment |= {
        "DASHTRADE_DATA_DIR": str(data_dir),
        "DASHTRADE_DASHBOARDS_PORT": str(ports[0]),
        "DASHTRADE_WEBHOOK_PORT": str(ports[1]),
        "DASHTRADE_SIMULATOR_PORT": str(ports[2]),
    }
    began = time.perf_counter()
    up = subprocess.Popen(
        [sys.executable, "-m", "dashtrade.cli", "up"],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    login = webhook = 0.0
    try:
        while (not login or not webhook) and time.perf_counter() - began < 120:
            login = login or (answers(f"http://127.0.0.1:{ports[0]}/login") and time.perf_counter() - began)
            webhook = webhook or (answers(f"http://127.0.0.1:{ports[1]}/health") and time.perf_counter() - began)
            time.sleep(0.02)
        time.sleep(5)
        processes = []
        for process in [psutil.Process(up.pid), *psutil.Process(up.pid).children(recursive=True)]:
            command = " ".join(process.cmdline())[-60:]
            processes.append((command, process.memory_full_info().pss / 1e6))
    finally:
        up.send_signal(signal.SIGTERM)
        up.wait(30)
    return login, webhook, processes


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="dt-") as folder:
        for name in ("first start", "second start", "third start"):
            login, webhook, processes = start(Path(folder) / "data", free_ports(3))
            print(f"{name}: login page after {login:.1f} s, webhook after {webhook:.1f} s")
        total = sum(pss for _, pss in processes)
        for command, pss in sorted(processes, key=lambda p: -p[1])[:12]:
            print(f"  {pss:7.1f} MB  {command}")
        print(f"  {total:7.1f} MB  all {len(processes)} processes (proportional set size)")


if __name__ == "__main__":
    main()
