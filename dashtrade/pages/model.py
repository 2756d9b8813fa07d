"""Base of every page's model: messages, background work with cancel, blockers. Traitlets only, no widgets."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import traitlets as t

from dashtrade.pages.background import Background, Outcome, Post, inline
from dashtrade.pages.guard import Message, describe, guarded


class Job:
    """A piece of work under way: it may ask whether it was cancelled, and report how far it is."""

    def __init__(self, report: Callable[[Job, float, str], None]) -> None:
        self._cancelled = threading.Event()
        self._report = report
        self._post: Post = lambda call: call()

    def run(self, work: Callable[[Job], Any], post: Post) -> Any:
        self._post = post
        return work(self)

    def cancel(self) -> None:
        self._cancelled.set()

    def cancelled(self) -> bool:
        return self._cancelled.is_set()

    def report(self, share: float, text: str) -> None:
        """From any thread: the share done (0…1) and what is being done."""
        self._post(lambda: self._report(self, share, text))


class PageModel(t.HasTraits):
    """State and actions of a page. Views observe the traits and call the methods; services come in as callables."""

    message: Message | None = t.Instance(Message, allow_none=True)  # type: ignore[assignment]
    busy: bool = t.Bool(False)  # type: ignore[assignment]
    progress: str = t.Unicode("")  # type: ignore[assignment]
    share: float = t.Float(0.0)  # type: ignore[assignment]
    blockers: tuple[str, ...] = t.Any(())  # type: ignore[assignment]

    def __init__(self, *, background: Background = inline, **traits: Any) -> None:
        super().__init__(**traits)
        self._background = background
        self._job: Job | None = None

    def say(self, message: Message | None) -> None:
        self.message = message

    def guard(self, callback: Callable[..., Any]) -> Callable[..., None]:
        """``callback`` whose failures are shown on this page."""
        return guarded(callback, self.say)

    def attempt(self, work: Callable[..., Any], *args: Any) -> None:
        self.guard(work)(*args)

    def in_background(
        self,
        work: Callable[[Job], Any],
        done: Callable[[Any], None],
        *,
        label: str = "Working…",
        failed: Callable[[Exception], None] | None = None,
    ) -> None:
        """Runs ``work`` off the event loop, then ``done`` with its result. A newer job or cancel() drops the result."""
        self._drop()
        job = self._job = Job(self._on_report)
        self.busy, self.progress, self.share = True, label, 0.0

        def finish(outcome: Outcome) -> None:
            if job is not self._job:
                return
            self._drop()
            if outcome.error is None:
                done(outcome.value)
            elif failed is not None:
                failed(outcome.error)
            else:
                self.say(describe(outcome.error))

        self._background(lambda post: job.run(work, post), self.guard(finish))

    def cancel(self) -> None:
        """Tells the running job to stop, drops its result, and frees the page at once."""
        if self.busy:
            self._drop()
            self.say(Message("info", "Cancelled. Nothing was changed."))

    def _drop(self) -> None:
        if self._job is not None:
            self._job.cancel()
        self._job = None
        self.busy, self.progress, self.share = False, "", 0.0

    def _on_report(self, job: Job, share: float, text: str) -> None:
        if job is self._job:
            self.share, self.progress = share, f"{text}…"

    def act(self, name: str) -> None:
        """Calls the method that the shown message offers; any other name is ignored."""
        if self.message is not None and name and name == self.message.action:
            self.say(None)
            self.attempt(getattr(self, name))
