"""Parent of the embedded PostgreSQL: starts it, starts it again when it dies, stops it when its last user is gone.

Run by ``embedded.py`` as ``python -m dashtrade.db.keeper '<order as JSON>'``. Standard library only: it lives
as long as the server and should cost little.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Any

PR_SET_PDEATHSIG = 1
FAST_SHUTDOWN = signal.SIGINT  # PostgreSQL: roll back, write out, end
IMMEDIATE_SHUTDOWN = signal.SIGQUIT
SHUTDOWN_SECONDS = 12.0
SHORT_LIFE_SECONDS = 5.0
SHORT_LIVES_ALLOWED = 3
LOG_LIMIT_BYTES = 10_000_000


class _ServerEnded(Exception):
    """Leaves the wait for the lock when the server has ended by itself."""


def _die_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, FAST_SHUTDOWN)


def start_server(order: dict[str, Any]) -> subprocess.Popen[bytes]:
    account = order["account"]
    identity: dict[str, Any] = {}
    if account is not None:
        identity = {"user": account[0], "group": account[1], "extra_groups": []}
    log = Path(order["log"])
    if log.exists() and log.stat().st_size > LOG_LIMIT_BYTES:
        log.replace(log.with_suffix(".log.1"))
    with log.open("ab") as output:
        return subprocess.Popen(
            order["command"],
            stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd="/",
            preexec_fn=_die_with_parent,
            **identity,
        )  # fmt: skip


def stop_server(server: subprocess.Popen[bytes]) -> None:
    for how, seconds in ((FAST_SHUTDOWN, SHUTDOWN_SECONDS), (IMMEDIATE_SHUTDOWN, 3.0), (signal.SIGKILL, 3.0)):
        if server.poll() is not None:
            return
        server.send_signal(how)
        try:
            server.wait(seconds)
        except subprocess.TimeoutExpired:
            continue


def keep(order: dict[str, Any]) -> int:
    lock = os.open(order["lock"], os.O_RDWR | os.O_CLOEXEC)
    stopping = False

    def on_terminate(_signal: int, _frame: FrameType | None) -> None:
        nonlocal stopping
        stopping = True
        raise _ServerEnded

    def on_child(_signal: int, _frame: FrameType | None) -> None:
        raise _ServerEnded

    signal.signal(signal.SIGTERM, on_terminate)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    short_lives = 0
    while True:
        began = time.monotonic()
        server = start_server(order)
        try:
            signal.signal(signal.SIGCHLD, on_child)
            if server.poll() is None:
                fcntl.flock(lock, fcntl.LOCK_EX)
                stopping = True
        except _ServerEnded:
            pass
        finally:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        if stopping:
            stop_server(server)
            return 0
        code = server.wait()
        short_lives = short_lives + 1 if time.monotonic() - began < SHORT_LIFE_SECONDS else 0
        if short_lives >= SHORT_LIVES_ALLOWED:
            return code or 1
        time.sleep(0.2)


if __name__ == "__main__":
    sys.exit(keep(json.loads(sys.argv[1])))
