"""A kernel client that does not wait a fixed time before its kernel counts as ready."""

from __future__ import annotations

import time
from queue import Empty
from typing import Any

from jupyter_client.asynchronous import AsyncKernelClient

STEP = 0.02  # seconds: one look at a channel
RESEND = 0.5  # seconds: ask again, since the first question may have come before the subscription


class PromptClient(AsyncKernelClient):
    """Ready when one kernel_info request has both its reply and its idle status: the latter proves the subscription."""

    async def _async_wait_for_ready(self, timeout: float | None = None) -> None:
        deadline = time.monotonic() + (timeout or 60)
        while time.monotonic() < deadline:
            asked = self.kernel_info()
            again = time.monotonic() + RESEND
            reply: Any = None
            idle = False
            while time.monotonic() < again:
                if not idle:
                    message = await self._next(self.iopub_channel)
                    idle = (
                        message is not None
                        and message["parent_header"].get("msg_id") == asked
                        and message["content"].get("execution_state") == "idle"
                    )
                if reply is None:
                    message = await self._next(self.shell_channel)
                    if message is not None and message["parent_header"].get("msg_id") == asked:
                        reply = message
                if reply is not None and idle:
                    self._handle_kernel_info_reply(reply)
                    return
            if not await self.is_alive():
                raise RuntimeError("The kernel ended before it was ready")
        raise RuntimeError(f"The kernel was not ready within {timeout or 60} seconds")

    wait_for_ready = _async_wait_for_ready

    @staticmethod
    async def _next(channel: Any) -> Any:
        try:
            return await channel.get_msg(timeout=STEP)
        except Empty:
            return None
