"""A budget of requests per minute, shared by everything that uses one key; exits go before everything else."""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections import deque
from collections.abc import Callable
from enum import IntEnum
from weakref import WeakValueDictionary


class Priority(IntEnum):
    """Smaller goes first."""

    EXIT = 0
    RECONCILE = 1
    ENTRY = 2


# share of the budget that each priority may use up; the rest is kept for the ones before it
_SHARE = {Priority.EXIT: 1.0, Priority.RECONCILE: 0.95, Priority.ENTRY: 0.85}


class RateBudget:
    """At most ``limit`` requests in any ``window`` seconds.

    A sliding window rather than a refilling bucket: a full bucket of 180 that refills at 180 a minute lets 360 requests
    through in its first minute, more than the broker's 200.
    """

    def __init__(self, limit: int = 180, window: float = 60.0, clock: Callable[[], float] = time.monotonic) -> None:
        self.limit = limit
        self.window = window
        self._clock = clock
        self._used: deque[float] = deque()
        self._waiting: list[tuple[int, int]] = []
        self._tickets = itertools.count()
        self._paused_until = 0.0
        self._changed = threading.Condition()

    def acquire(self, priority: Priority, timeout: float | None = None) -> bool:
        """Wait for a turn; False when ``timeout`` seconds pass first. Equal priorities go in order of arrival."""
        deadline = None if timeout is None else self._clock() + timeout
        with self._changed:
            ticket = (int(priority), next(self._tickets))
            heapq.heappush(self._waiting, ticket)
            try:
                while True:
                    now = self._clock()
                    wait = self._wait_for(ticket, now)
                    if wait <= 0:
                        self._used.append(now)
                        return True
                    if deadline is not None:
                        if now >= deadline:
                            return False
                        wait = min(wait, deadline - now)
                    self._changed.wait(wait)
            finally:
                self._waiting.remove(ticket)
                heapq.heapify(self._waiting)
                self._changed.notify_all()

    def wait(self, priority: Priority) -> float:
        """Seconds until a request of this priority could have its turn, if nobody else asks; 0 for now."""
        with self._changed:
            return max(self._room_in(priority, self._clock()), 0.0)

    def pause(self, seconds: float) -> None:
        """The broker asked to wait."""
        with self._changed:
            self._paused_until = max(self._paused_until, self._clock() + seconds)

    @property
    def used(self) -> int:
        """Requests in the current window."""
        with self._changed:
            self._forget(self._clock())
            return len(self._used)

    def _wait_for(self, ticket: tuple[int, int], now: float) -> float:
        if self._waiting[0] != ticket:
            return self.window
        return self._room_in(Priority(ticket[0]), now)

    def _room_in(self, priority: Priority, now: float) -> float:
        self._forget(now)
        if now < self._paused_until:
            return self._paused_until - now
        allowed = max(1, int(self.limit * _SHARE[priority]))
        if len(self._used) < allowed:
            return 0.0
        # the oldest request whose end of window makes room
        return self._used[len(self._used) - allowed] + self.window - now

    def _forget(self, now: float) -> None:
        while self._used and self._used[0] <= now - self.window:
            self._used.popleft()


_shared: WeakValueDictionary[tuple[str, int], RateBudget] = WeakValueDictionary()
_lock = threading.Lock()


def budget_for(key_id: str, limit: int) -> RateBudget:
    """The budget of a key: the same object for everything in this process that uses the key."""
    with _lock:
        budget = _shared.get((key_id, limit))
        if budget is None:
            budget = _shared[key_id, limit] = RateBudget(limit)
        return budget
