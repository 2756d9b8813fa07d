"""Kernel provisioner that asks the zygote for a forked kernel, and starts one in the normal way where it cannot."""

from __future__ import annotations

import asyncio
import json
import os
import select
import signal
import socket
import time
from pathlib import Path
from typing import Any

from jupyter_client.provisioning.local_provisioner import LocalProvisioner

from dashtrade.dashboards.zygote.launcher import LAUNCHER

#: Longest wait for a zygote that is still importing, in seconds.
PATIENCE = 60.0


class ForkProvisioner(LocalProvisioner):
    """Registered as ``dashtrade-fork``. ``pidfd`` is set for a forked kernel and stays None for a normal one."""

    pidfd: int | None = None
    _look: asyncio.Task[None] | None = None

    @property
    def has_process(self) -> bool:
        return self.pidfd is not None or super().has_process

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> Any:
        request = {"argv": cmd[cmd.index("-f") :], "env": kwargs["env"], "cwd": str(kwargs.get("cwd") or Path.cwd())}
        # here, not in the worker thread: the zygote dies with the thread that starts it
        if LAUNCHER.start():
            loop = asyncio.get_running_loop()
            try:
                self.pid, pidfd = await loop.run_in_executor(None, ask_for_kernel, request)
            except OSError as error:
                self.log.warning("No warm kernel (%s); starting a normal one", error)
            else:
                self.pidfd = pidfd
                loop.add_reader(pidfd, self._process_ended, loop, pidfd)
                self.pgid = self.pid
                self.cwd = request["cwd"]
                return self.connection_info
        return await super().launch_kernel(cmd, **kwargs)

    async def poll(self) -> int | None:
        if self.pidfd is None:
            return await super().poll()
        return 0 if self._ended() else None

    async def wait(self) -> int | None:
        if self.pidfd is None:
            return await super().wait()
        while not self._ended():
            await asyncio.sleep(0.02)
        asyncio.get_running_loop().remove_reader(self.pidfd)
        os.close(self.pidfd)
        self.pidfd = None
        return 0

    async def send_signal(self, signum: int) -> None:
        if self.pidfd is None:
            await super().send_signal(signum)
            return
        if self._ended():
            return
        try:
            if signum == signal.SIGINT:
                signal.pidfd_send_signal(self.pidfd, signum)
            else:
                os.killpg(int(self.pid or 0), signum)  # the kernel leads a process group of its own
        except ProcessLookupError:  # before it became the leader, or already gone
            try:
                signal.pidfd_send_signal(self.pidfd, signum)
            except ProcessLookupError:
                return

    async def kill(self, restart: bool = False) -> None:
        if self.pidfd is None:
            await super().kill(restart=restart)
        else:
            await self.send_signal(signal.SIGKILL)

    async def terminate(self, restart: bool = False) -> None:
        if self.pidfd is None:
            await super().terminate(restart=restart)
        else:
            await self.send_signal(signal.SIGTERM)

    def _process_ended(self, loop: asyncio.AbstractEventLoop, pidfd: int) -> None:
        """Jupyter looks every three seconds whether a kernel has died; its page need not wait for that."""
        loop.remove_reader(pidfd)
        manager: Any = self.parent
        restarter = getattr(manager, "_restarter", None)
        if restarter is not None and not manager.shutting_down:
            self._look = loop.create_task(restarter.poll())

    def _ended(self) -> bool:
        poll = select.poll()
        poll.register(self.pidfd if self.pidfd is not None else -1, select.POLLIN)
        return bool(poll.poll(0))


def ask_for_kernel(request: dict[str, Any]) -> tuple[int, int]:
    """Process id and pidfd of a new kernel. Raises OSError when the zygote is gone or silent."""
    deadline = time.monotonic() + PATIENCE
    while True:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            try:
                connection.connect(LAUNCHER.socket_path)
            except (FileNotFoundError, ConnectionRefusedError):
                if not LAUNCHER.alive or time.monotonic() > deadline:
                    raise
                time.sleep(0.02)
                continue
            connection.settimeout(PATIENCE)
            connection.sendall(json.dumps(request).encode() + b"\n")
            data, handles, _, _ = socket.recv_fds(connection, 64, 1)
        if not data or not handles:
            raise ConnectionResetError("the zygote closed the connection")
        return int(data), handles[0]
