"""The zygote: ``python -m dashtrade.dashboards.zygote.server SOCKET MODULES [SKIPPED]``.

One thread. It imports, listens on a local socket, and forks one kernel per request. A request is one JSON line
``{"argv": [...], "env": {...}, "cwd": "..."}``; the answer is the child's process id and its pidfd.

It listens as soon as the common libraries are in, and imports the modules of the pages between requests. A module
that leaves a thread or a connection behind would make forking unsafe: the process then starts afresh without it.
"""

from __future__ import annotations

import contextlib
import gc
import json
import logging
import os
import selectors
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dashtrade.dashboards.zygote import child, warm
from dashtrade.dashboards.zygote.gaps import fill_gaps
from dashtrade.dashboards.zygote.lines import write_to

log = logging.getLogger("dashtrade.dashboards.zygote")

REQUEST_LIMIT = 256 * 1024
#: Marks a name in the list of modules that a child tries first.
REHEARSED = "first-in-a-child "


class Zygote:
    """Listens, imports what is still waiting, forks."""

    def __init__(self, path: str, waiting: list[str], retry_without: Callable[[str], None]) -> None:
        self.waiting = waiting
        self.retry_without = retry_without
        self.pid = os.getpid()
        self.rehearsals: dict[int, str] = {}
        self.filling: list[Any] = []
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        warm.allow_socket(self.listener.fileno())
        with contextlib.suppress(FileNotFoundError):
            Path(path).unlink()
        mask = os.umask(0o177)
        self.listener.bind(path)
        os.umask(mask)
        self.listener.listen(128)
        # the signal of a child's end only has to wake select()
        self.wake_read, self.wake_write = os.pipe()
        os.set_blocking(self.wake_read, False)
        os.set_blocking(self.wake_write, False)
        signal.set_wakeup_fd(self.wake_write, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.listener, selectors.EVENT_READ)
        self.selector.register(self.wake_read, selectors.EVENT_READ)

    def serve(self) -> None:
        while True:
            ready = self.selector.select(timeout=0 if self.waiting else None)
            for key, _ in ready:
                if key.fileobj is self.listener:
                    self._answer()
                else:
                    self._reap()
            if not ready and self.waiting:
                self._import_next()

    def _import_next(self) -> None:
        name = self.waiting.pop(0)
        if name.startswith(REHEARSED):
            self._rehearse(name.removeprefix(REHEARSED))
            return
        problem = warm.import_one(name)
        if problem:
            log.warning("%s is not preloaded: %s", name, problem)
        if warm.why_unsafe():
            self.retry_without(name)
        settle()
        if not self.waiting:
            self.filling = fill_gaps()
            settle()
            log.info("Warm kernels: all modules are in, pid %d", self.pid)

    def _rehearse(self, name: str) -> None:
        """Work that may compile for a long time: a child does it first and leaves the result on disk, so that no page
        waits; then this process does it again in a moment."""
        pid = os.fork()
        if pid == 0:
            self.selector.close()
            self.listener.close()
            problem = warm.import_one(name)
            if problem:
                log.warning("%s is not preloaded: %s", name, problem)
            os._exit(1 if problem else 0)
        self.rehearsals[pid] = name

    def _reap(self) -> None:
        os.read(self.wake_read, 4096)
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            if (rehearsed := self.rehearsals.pop(pid, None)) is not None:
                if status == 0:
                    self.waiting.append(rehearsed)
                continue
            if status and os.waitstatus_to_exitcode(status) not in (-signal.SIGKILL, -signal.SIGTERM):
                log.warning("Kernel process %d ended with %d", pid, os.waitstatus_to_exitcode(status))

    def _answer(self) -> None:
        connection, _ = self.listener.accept()
        with connection:
            connection.settimeout(5)
            try:
                with connection.makefile("rb") as lines:
                    request = json.loads(lines.readline(REQUEST_LIMIT))
                arguments, environment, folder = list(request["argv"]), dict(request["env"]), str(request["cwd"])
            except (OSError, ValueError, KeyError, TypeError) as error:
                log.warning("A request could not be read: %r", error)
                return
            pid = os.fork()
            if pid == 0:
                self._become_kernel(connection, arguments, environment, folder)
            handle = os.pidfd_open(pid)
            try:
                socket.send_fds(connection, [b"%d\n" % pid], [handle])
            except OSError as error:  # nobody will ever own this kernel
                log.warning("The server went away while kernel process %d started: %r", pid, error)
                os.kill(pid, signal.SIGKILL)
            finally:
                os.close(handle)

    def _become_kernel(
        self, connection: socket.socket, arguments: list[str], environment: dict[str, str], folder: str
    ) -> None:
        code = 1
        try:
            self.selector.close()
            self.listener.close()
            connection.close()
            os.close(self.wake_read)
            os.close(self.wake_write)
            child.run_kernel(arguments, environment, folder, self.pid)
            code = 0
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else 0
        except BaseException:  # the edge of a process: say why, then leave
            log.exception("A kernel could not go on")
        finally:
            with contextlib.suppress(OSError, ValueError):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(code)  # never the zygote's own exit handlers


def settle() -> None:
    """Move what was imported out of the collector's sight, so that children do not copy those pages of memory."""
    gc.collect()
    gc.freeze()


def main(path: str, modules: str, skipped: str = "") -> None:
    child.die_with_parent()
    write_to(os.dup(2))  # a copy: kernels put something else in the place of 2
    os.environ.update(warm.SINGLE_THREADED)
    begin = time.perf_counter()
    refused = {name for name in skipped.split(",") if name}
    warm.skip_unwanted()
    gc.disable()

    def again_without(name: str) -> None:
        reasons = ", ".join(warm.why_unsafe())
        if name in warm.KERNEL_MODULES:
            log.error("Kernels cannot be forked here: %s leaves %s", name, reasons)
            sys.exit(3)
        log.warning("%s leaves %s; starting again without it", name, reasons)
        without = ",".join(sorted(refused | {name}))
        command = [sys.executable, "-m", "dashtrade.dashboards.zygote.server", path, modules, without]
        os.execv(sys.executable, command)  # noqa: S606  no shell is wanted

    for name in (*warm.KERNEL_MODULES, *warm.PAGE_MODULES):
        if name in refused:
            continue
        problem = warm.import_one(name)
        if problem:
            log.warning("%s is not preloaded: %s", name, problem)
        if warm.why_unsafe():
            again_without(name)
    settle()
    waiting = [name for name in modules.split(",") if name and name not in refused]
    zygote = Zygote(path, waiting, again_without)
    log.info("Warm kernels: ready in %.1f s, pid %d", time.perf_counter() - begin, zygote.pid)
    zygote.serve()


if __name__ == "__main__":
    main(*sys.argv[1:4])
