"""Requests that wait for their alert's outcome, woken by the trader's notices."""

from __future__ import annotations

import asyncio
import json
import threading
from collections import OrderedDict
from typing import Any

from sqlalchemy import Engine

from dashtrade.db.listen import Listener
from dashtrade.services.alerts_in import OUTCOMES_CHANNEL

REMEMBERED = 10_000


class OutcomeBoard:
    """``await wait(alert_id, seconds)`` gives the outcome's body, or None where it is not known in time.

    The last outcomes are remembered, since a quick one can arrive before its request starts to wait.
    """

    def __init__(self, engine: Engine) -> None:
        self._lock = threading.Lock()
        self._known: OrderedDict[int, dict[str, Any]] = OrderedDict()
        self._waiting: dict[int, list[tuple[asyncio.AbstractEventLoop, asyncio.Future[dict[str, Any]]]]] = {}
        self._listener = Listener(engine, [OUTCOMES_CHANNEL], self._heard)

    def start(self) -> None:
        self._listener.start()

    def stop(self) -> None:
        self._listener.stop()

    async def wait(self, alert_id: int, seconds: float) -> dict[str, Any] | None:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[dict[str, Any]] = loop.create_future()
        with self._lock:
            known = self._known.get(alert_id)
            if known is not None:
                return known
            self._waiting.setdefault(alert_id, []).append((loop, future))
        try:
            return await asyncio.wait_for(future, seconds)
        except TimeoutError:
            return None
        finally:
            with self._lock:
                entries = [entry for entry in self._waiting.get(alert_id, []) if entry[1] is not future]
                if entries:
                    self._waiting[alert_id] = entries
                else:
                    self._waiting.pop(alert_id, None)

    def _heard(self, channel: str | None, payload: str) -> None:
        if channel is None:
            return
        body = json.loads(payload)
        alert_id = int(body["signal_id"])
        with self._lock:
            self._known[alert_id] = body
            while len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
            entries = list(self._waiting.get(alert_id, []))
        for loop, future in entries:
            loop.call_soon_threadsafe(_resolve, future, body)


def _resolve(future: asyncio.Future[dict[str, Any]], body: dict[str, Any]) -> None:
    if not future.done():
        future.set_result(body)
