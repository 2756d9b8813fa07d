"""Work off the page's event loop, with the result brought back to it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

MOST_HELD = 20.0
"""Seconds after which a page's first results go out even where no browser has said that it drew the page."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a piece of work gave: a value, or the error it raised."""

    value: Any = None
    error: Exception | None = None


Post = Callable[[Callable[[], None]], None]
"""Runs a call on the page's event loop: how work reports on its way."""


def outcome_of(work: Callable[[Post], Any], post: Post) -> Outcome:
    try:
        return Outcome(value=work(post))
    except Exception as error:  # noqa: BLE001 - the edge of the thread: handed to the page's guard, which logs it
        return Outcome(error=error)


class Curtain:
    """Holds calls back until the browser has drawn the page.

    The browser asks for the state of all widgets, then makes them; what a widget sends in between is lost, and since it
    is not sent twice the page would show old values until they change. Down only in a page that was opened.
    """

    def __init__(self) -> None:
        self._held: list[Callable[[], None]] | None = None

    def lower(self, seconds: float = MOST_HELD) -> None:
        """Holds back from now on, at most so long; needs a running event loop, and does nothing without one."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return
        self._held = []
        loop.call_later(seconds, self.rise)

    def rise(self) -> None:
        """What was held back happens now, in its order, and later calls at once."""
        held, self._held = self._held or [], None
        for call in held:
            call()

    def call(self, call: Callable[[], None]) -> None:
        if self._held is None:
            call()
        else:
            self._held.append(call)


_curtain = Curtain()
hold_back, drawn = _curtain.lower, _curtain.rise


class Background(Protocol):
    """Runs ``work`` somewhere and calls ``done`` with its outcome on the page's event loop."""

    def __call__(self, work: Callable[[Post], Any], done: Callable[[Outcome], None]) -> None: ...


def inline(work: Callable[[Post], Any], done: Callable[[Outcome], None]) -> None:
    """Runs at once, in place: where no event loop runs, such as in scripts and tests."""
    done(outcome_of(work, lambda call: call()))


def in_thread(work: Callable[[Post], Any], done: Callable[[Outcome], None]) -> None:
    """Runs in a daemon thread, so that closing the page ends it; ``done`` runs on the calling event loop."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        inline(work, done)
        return

    def post(call: Callable[[], None]) -> None:
        try:
            loop.call_soon_threadsafe(_curtain.call, call)
        except RuntimeError:
            return  # the page was closed while the work ran: nobody is left to tell

    def run() -> None:
        outcome = outcome_of(work, post)
        post(lambda: done(outcome))

    threading.Thread(target=run, daemon=True, name="page-work").start()


def every(seconds: float, call: Callable[[], None]) -> Callable[[], None]:
    """Calls ``call`` on the running event loop again and again; returns what stops it. Without a loop, never calls."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return lambda: None
    handle: asyncio.TimerHandle | None = None
    stopped = False

    def tick() -> None:
        nonlocal handle
        if not stopped:
            call()
            handle = loop.call_later(seconds, tick)

    def stop() -> None:
        nonlocal stopped
        stopped = True
        if handle is not None:
            handle.cancel()

    handle = loop.call_later(seconds, tick)
    return stop
