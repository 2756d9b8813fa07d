"""Connections of a process that is mostly idle: one page among many that are open."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import Any

from sqlalchemy import NullPool
from sqlalchemy.pool import ConnectionPoolEntry

LINGER = 1.0
MOST_KEPT = 3


class LingeringPool(NullPool):
    """Keeps a returned connection for a second, so that what follows at once needs no new one.

    A click or a beat of a page reads several things, each in a transaction of its own, and to open a connection costs
    both sides many times what such a transaction does. A page that nobody touches keeps none: many open pages must not
    use up the server's.
    """

    def __init__(self, *args: Any, linger: float = LINGER, **kw: Any) -> None:
        super().__init__(*args, **kw)
        self._linger = linger
        self._kept: deque[tuple[float, ConnectionPoolEntry]] = deque()
        self._kept_lock = threading.Lock()
        self._closing = False

    def status(self) -> str:
        return f"LingeringPool with {len(self._kept)} connections kept"

    def recreate(self) -> LingeringPool:
        new = super().recreate()
        assert isinstance(new, LingeringPool)
        new._linger = self._linger
        return new

    def _do_get(self) -> ConnectionPoolEntry:
        with self._kept_lock:
            if self._kept:
                return self._kept.pop()[1]
        return self._create_connection()

    def _do_return_conn(self, record: ConnectionPoolEntry) -> None:
        with self._kept_lock:
            keep = record.dbapi_connection is not None and len(self._kept) < MOST_KEPT
            if keep:
                self._kept.append((time.monotonic() + self._linger, record))
                if not self._closing:
                    self._closing = True
                    threading.Thread(target=self._close_later, daemon=True, name="connections").start()
        if not keep:
            record.close()

    def _close_later(self) -> None:
        """Until none is kept."""
        while True:
            with self._kept_lock:
                now = time.monotonic()
                old = []
                while self._kept and self._kept[0][0] <= now:
                    old.append(self._kept.popleft()[1])
                self._closing = bool(self._kept)
                wait = self._kept[0][0] - now if self._kept else None
            for record in old:
                record.close()
            if wait is None:
                return
            time.sleep(wait)

    def dispose(self) -> None:
        with self._kept_lock:
            kept, self._kept = list(self._kept), deque()
        for _, record in kept:
            record.close()
