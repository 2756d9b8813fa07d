"""Starts the zygote from the server's main thread and keeps its address."""

from __future__ import annotations

import atexit
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

from dashtrade.dashboards.chart_library import SERVED, VARIABLE
from dashtrade.dashboards.zygote.lines import log_lines

#: The zygote hears nothing of the server's environment except what Python itself needs.
PASSED_ON = (
    "PATH",
    "HOME",
    "LANG",
    "LC_ALL",
    "PYTHONPATH",
    "VIRTUAL_ENV",
    "TMPDIR",
    "TZ",
    "PYTHONDONTWRITEBYTECODE",
    "PYTHONPYCACHEPREFIX",
)
RESTARTS = 3
#: A kernel has a dozen threads; an area of memory for each would cost it tens of megabytes (read by the C library).
SPARING = {"MALLOC_ARENA_MAX": "2", "MALLOC_TRIM_THRESHOLD_": "131072"}


def supported() -> bool:
    """Forking a warmed process works on Linux only (pidfd, death signal, /proc)."""
    return sys.platform == "linux" and hasattr(os, "pidfd_open")


class Launcher:
    """At most one zygote. ``start`` must be called from the main thread: the death signal follows that thread."""

    def __init__(self) -> None:
        self.modules: tuple[str, ...] | None = None
        self.process: subprocess.Popen[bytes] | None = None
        self.folder: Path | None = None
        self.started = 0

    @property
    def socket_path(self) -> str:
        return str(self.folder / "zygote") if self.folder else ""

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def start(self, modules: tuple[str, ...] | None = None) -> bool:
        """Start it unless it runs; False when kernels have to start in the normal way.

        The server says once what to import; until then nothing is started.
        """
        if modules is not None:
            self.modules = modules
        if self.alive:
            return True
        if self.modules is None or not supported() or self.started > RESTARTS:
            return False
        self.started += 1
        if self.folder is None:
            self.folder = Path(tempfile.mkdtemp(prefix="dashtrade-zygote-"))
            atexit.register(self.stop)
        environment = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        environment.update(SPARING)
        environment[VARIABLE] = SERVED
        self.process = subprocess.Popen(
            [sys.executable, "-m", "dashtrade.dashboards.zygote.server", self.socket_path, ",".join(self.modules)],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # of the pages, apart from what serves them; see child.py
        )
        # ends when the last kernel does, since they all write to it
        threading.Thread(target=log_lines, args=(self.process.stdout,), name="zygote-log", daemon=True).start()
        return True

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)
            self.folder = None


LAUNCHER = Launcher()
