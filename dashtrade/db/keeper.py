"""Parent of the embedded PostgreSQL: starts it, starts it again when it dies, stops it when its last user is gone.

A server that never came up is given up, so that whoever starts it is told. One that has worked is tried for as long as
somebody uses it: its disk was full, say, and the services go on with it once there is room.

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
SHORT_LIVES_ALLOWED = 3
LONGEST_PAUSE_SECONDS = 5.0
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
    # says that a keeper lives, also while the server does not: a second one would start it at another port
    fcntl.flock(os.open(order["keeper"], os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), fcntl.LOCK_EX)
    stopping = False

    def on_terminate(_signal: int, _frame: FrameType | None) -> None:
        nonlocal stopping
        stopping = True
        raise _ServerEnded

    def on_child(_signal: int, _frame: FrameType | None) -> None:
        raise _ServerEnded

    signal.signal(signal.SIGTERM, on_terminate)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    short_lives, has_worked, pause = 0, False, 0.2
    while True:
        began = time.monotonic()
        try:
            server = start_server(order)
        except OSError:  # its log cannot be written
            if not has_worked:
                return 1
            if _nobody_left(lock, LONGEST_PAUSE_SECONDS):
                return 0
            continue
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
        if time.monotonic() - began < order["short_life"]:
            short_lives += 1
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
        else:
            short_lives, has_worked, pause = 0, True, 0.2
        if short_lives >= SHORT_LIVES_ALLOWED and not has_worked:
            return code or 1
        if _nobody_left(lock, pause):
            return 0


def _nobody_left(lock: int, seconds: float) -> bool:
    """Wait; True as soon as nobody uses the server any more."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            time.sleep(0.1)
        else:
            return True
    return False


if __name__ == "__main__":
    sys.exit(keep(json.loads(sys.argv[1])))
