"""Base of every page's model: messages, background work with cancel, blockers. Traitlets only, no widgets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import traitlets as t

from dashtrade.pages.background import Background, Outcome, inline
from dashtrade.pages.guard import Message, describe, guarded


class PageModel(t.HasTraits):
    """State and actions of a page. Views observe the traits and call the methods; services come in as callables."""

    message: Message | None = t.Instance(Message, allow_none=True)  # type: ignore[assignment]
    busy: bool = t.Bool(False)  # type: ignore[assignment]
    progress: str = t.Unicode("")  # type: ignore[assignment]
    blockers: tuple[str, ...] = t.Any(())  # type: ignore[assignment]

    def __init__(self, *, background: Background = inline, **traits: Any) -> None:
        super().__init__(**traits)
        self._background = background
        self._job = 0

    def say(self, message: Message | None) -> None:
        self.message = message

    def guard(self, callback: Callable[..., Any]) -> Callable[..., None]:
        """``callback`` whose failures are shown on this page."""
        return guarded(callback, self.say)

    def attempt(self, work: Callable[..., Any], *args: Any) -> None:
        self.guard(work)(*args)

    def in_background(
        self,
        work: Callable[[], Any],
        done: Callable[[Any], None],
        *,
        label: str = "Working…",
        failed: Callable[[Exception], None] | None = None,
    ) -> None:
        """Runs ``work`` off the event loop, then ``done`` with its result. A newer job or cancel() drops the result."""
        self._job += 1
        job = self._job
        self.busy, self.progress = True, label

        def finish(outcome: Outcome) -> None:
            if job != self._job:
                return
            self.busy, self.progress = False, ""
            if outcome.error is None:
                done(outcome.value)
            elif failed is not None:
                failed(outcome.error)
            else:
                self.say(describe(outcome.error))

        self._background(work, self.guard(finish))

    def cancel(self) -> None:
        """Drops the running job's result and frees the page at once."""
        if self.busy:
            self._job += 1
            self.busy, self.progress = False, ""
            self.say(Message("info", "Cancelled. Nothing was changed."))

    def act(self, name: str) -> None:
        """Calls the method that the shown message offers; any other name is ignored."""
        if self.message is not None and name and name == self.message.action:
            self.say(None)
            self.attempt(getattr(self, name))
