"""The kernel that runs a report: an ordinary Jupyter kernel, started without the program's secrets."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
from collections.abc import Mapping
from typing import Any, ClassVar

from jupyter_client.manager import AsyncKernelManager

SECRETS = (
    "ENCRYPTION_KEY",
    "DASHTRADE_ENCRYPTION_KEY",
    "DASHTRADE_SESSION_SECRET",
    "DATABASE_URL",
    "DASHTRADE_DATABASE_URL",
    "DASHTRADE_PAGES_DATABASE_URL",
    # This pair can trade as well as read prices.
    "DASHTRADE_ALPACA_KEY",
    "DASHTRADE_ALPACA_SECRET",
)

_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None
_PR_SET_PDEATHSIG = 1


class ReportKernelManager(AsyncKernelManager):
    """Starts this program's own interpreter, whatever the kernelspec says, and without the secrets."""

    given: ClassVar[Mapping[str, str]] = {}

    async def start_kernel(self, **options: Any) -> None:  # type: ignore[override]
        environment = {**os.environ, **(options.get("env") or {})}
        options["env"] = {k: v for k, v in environment.items() if k not in SECRETS} | dict(self.given)
        if sys.platform == "linux" and threading.current_thread() is threading.main_thread():
            options["preexec_fn"] = _end_with_parent
        await self._async_start_kernel(**options)

    def format_kernel_cmd(self, extra_arguments: list[str] | None = None) -> list[str]:
        command = super().format_kernel_cmd(extra_arguments)
        return [sys.executable, *command[1:]]


def _end_with_parent() -> None:
    """The kernel watches its parent itself, but cannot while one long call keeps it busy; Linux ends it then too."""
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def manager_with(environment: Mapping[str, str]) -> type[ReportKernelManager]:
    """A manager whose kernels also get these variables."""
    return type("GivenKernelManager", (ReportKernelManager,), {"given": dict(environment)})
