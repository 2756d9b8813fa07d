"""Base of what stands beside the chart and is fetched by itself: a slow or failing part never holds up the chart."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import traitlets as t

from dashtrade.pages.analysis.model import AnalysisModel
from dashtrade.pages.background import Background, Outcome, inline
from dashtrade.pages.guard import describe


class Companion(t.HasTraits):
    """Asks off the event loop for the page's model; the answer to an older question is dropped."""

    def __init__(self, page: AnalysisModel, background: Background = inline) -> None:
        super().__init__()
        self.page = page
        self._background = background
        self._turn = 0

    def ask(
        self, work: Callable[[], Any], done: Callable[[Any], None], failed: Callable[[Exception], None] | None = None
    ) -> None:
        """``done`` with what ``work`` gave; a failure goes to ``failed``, else to the page's message."""
        self._turn += 1
        turn = self._turn

        def finish(outcome: Outcome) -> None:
            if turn != self._turn:
                return
            if outcome.error is None:
                done(outcome.value)
            elif failed is not None:
                failed(outcome.error)
            else:
                self.page.say(describe(outcome.error))

        self._background(lambda _post: work(), self.page.guard(finish))
