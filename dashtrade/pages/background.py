"""Work off the page's event loop, with the result brought back to it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

MOST_HELD = 60.0
"""Seconds after which results go out even where the browser that asked has not said that it drew the page."""


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
    """Holds calls back between the moment in which a browser asks for the state of all widgets and the one in which it
    has drawn them.

    What a widget sends in between is lost, and since it is not sent twice the page would show old values until they
    change. What comes before is part of the state that the browser gets. Only the first time: a browser that connects
    again has its widgets.
    """

    def __init__(self, seconds: float = MOST_HELD) -> None:
        self._seconds = seconds
        self._held: list[Callable[[], None]] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._drawn = False
        self._late = False

    def fall(self) -> None:
        """A browser has asked. Needs a running event loop, and does nothing without one."""
        if self._drawn or self._held is not None:
            return
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return
        self._held, self._late = [], False
        self._timer = loop.call_later(self._seconds, self._give_up)

    def rise(self) -> bool:
        """The browser has drawn the page: what was held back happens now, in its order, and later calls at once. True
        when it took so long that something was sent before."""
        late, self._drawn, self._late = self._late, True, False
        self._open()
        return late

    def _give_up(self) -> None:
        self._late = True
        self._open()

    def _open(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        held, self._held = self._held or [], None
        for call in held:
            call()

    def call(self, call: Callable[[], None]) -> None:
        if self._held is None:
            call()
        else:
            self._held.append(call)


_curtain = Curtain()
asked, drawn = _curtain.fall, _curtain.rise


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
