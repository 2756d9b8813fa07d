"""The simulator's clock: the real one, unless a rehearsal moves, speeds up or stops it."""

from __future__ import annotations

import threading
from datetime import UTC, datetime


class SimulatorClock:
    """UTC. ``rate`` 1 is real time, 60 a minute a second, 0 stopped."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._base: datetime | None = None
        self._since = datetime.now(UTC)
        self._rate = 1.0

    def now(self) -> datetime:
        with self._lock:
            real = datetime.now(UTC)
            return real if self._base is None else self._base + (real - self._since) * self._rate

    def set(self, at: datetime, rate: float = 1.0) -> None:
        with self._lock:
            self._base, self._since, self._rate = at.astimezone(UTC), datetime.now(UTC), rate

    def reset(self) -> None:
        with self._lock:
            self._base = None
