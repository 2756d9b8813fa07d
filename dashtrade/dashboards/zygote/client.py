"""A kernel client that does not wait a fixed time before its kernel counts as ready."""

from __future__ import annotations

import asyncio
import time
from queue import Empty
from typing import Any

from jupyter_client.asynchronous import AsyncKernelClient

#: Seconds until it is asked again: the first, and the longest. The time grows, so that a machine that is too busy to
#: answer does not get more to do.
FIRST, LONGEST = 0.5, 4.0
#: Seconds from the reply until it is asked again, at first. The reply comes for certain, but the status before it is
#: lost where the subscription was not there yet, which is so for every third kernel.
SOON = 0.01
#: Seconds between two looks at a channel. Sending may take away the sign that a reply has come (ZeroMQ signals once, to
#: whoever touches the socket next), and whoever only waits for that sign waits for good.
LOOK = 0.1


class PromptClient(AsyncKernelClient):
    """Ready when kernel_info requests have had a reply and an idle status: the latter proves the subscription."""

    def start_channels(
        self, shell: bool = True, iopub: bool = True, stdin: bool = True, hb: bool = False, control: bool = True
    ) -> None:
        """Without a heartbeat: the manager knows whether its kernel lives, and a heart that is stopped in the moment in
        which its thread begins is waited for without end, by the whole server."""
        super().start_channels(shell, iopub, stdin, hb, control)

    async def _async_wait_for_ready(self, timeout: float | None = None) -> None:
        deadline = time.monotonic() + (timeout or 60)
        patience, soon = FIRST, SOON
        asked: set[str] = set()
        shell = asyncio.create_task(self._reply(asked))
        iopub = asyncio.create_task(self._idle(asked))
        try:
            while time.monotonic() < deadline:
                asked.add(self.kernel_info())
                await asyncio.wait((shell,), timeout=patience)
                if shell.done():
                    await asyncio.wait((iopub,), timeout=soon)
                    soon = min(2 * soon, LONGEST)
                else:
                    patience = min(2 * patience, LONGEST)
                if shell.done() and iopub.done():
                    await iopub
                    self._handle_kernel_info_reply(await shell)
                    return
                if not await self.is_alive():
                    raise RuntimeError("The kernel ended before it was ready")
        finally:
            shell.cancel()
            iopub.cancel()
        raise RuntimeError(f"The kernel was not ready within {timeout or 60} seconds")

    wait_for_ready = _async_wait_for_ready

    async def _reply(self, asked: set[str]) -> dict[str, Any]:
        """The reply to any of the questions."""
        while True:
            message = await self._next(self.shell_channel)
            if message["parent_header"].get("msg_id") in asked:
                return message

    async def _idle(self, asked: set[str]) -> None:
        """Returns when the kernel says that it is done with any of the questions."""
        while True:
            message = await self._next(self.iopub_channel)
            state = message["content"].get("execution_state")
            if state == "idle" and message["parent_header"].get("msg_id") in asked:
                return

    @staticmethod
    async def _next(channel: Any) -> dict[str, Any]:
        while True:
            try:
                message: dict[str, Any] = await channel.get_msg(timeout=LOOK)
            except Empty:
                continue
            return message
