"""Watching a long run and stopping it: every function of the engine takes ``cancel`` and ``progress``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from dashtrade.errors import DashTradeError

Progress = Callable[[float, str], None]
"""Called with the share done (0…1) and a sentence, always on the caller's own thread."""


class Flag(Protocol):
    """What is needed of a ``threading.Event``."""

    def is_set(self) -> bool: ...


Cancel = Callable[[], bool] | Flag
"""Says whether to stop: an event, or a callable that any thread may call, often."""


class Cancelled(DashTradeError):
    """The user stopped the run."""

    code = "CANCELLED"


class Control:
    """Both together, as the engine's parts hand them on. Without arguments it never stops and tells nobody."""

    __slots__ = ("_cancel", "_progress")

    def __init__(self, cancel: Cancel | None = None, progress: Progress | None = None) -> None:
        self._cancel: Callable[[], bool] | None = cancel if cancel is None or callable(cancel) else cancel.is_set
        self._progress = progress

    @property
    def cancelled(self) -> bool:
        return self._cancel is not None and self._cancel()

    def check(self, text: str = "Stopped. Nothing was kept.") -> None:
        """Raises Cancelled where the run was stopped."""
        if self.cancelled:
            raise Cancelled(text)

    def step(self, share: float, text: str) -> None:
        """Raises Cancelled where the run was stopped; else tells how far it is."""
        self.check()
        if self._progress is not None:
            self._progress(share, text)

    def part(self, low: float, high: float, prefix: str = "") -> Control:
        """The same for a piece of the work that goes from share ``low`` to ``high``."""
        progress = self._progress
        if progress is None:
            return self
        return Control(self._cancel, lambda share, text: progress(low + (high - low) * share, prefix + text))

    def silent(self) -> Control:
        """The same without progress, for work on other threads."""
        return Control(self._cancel)


FREE = Control()
