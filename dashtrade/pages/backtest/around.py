"""What stands beside the backtest page's form: the search for symbols."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import traitlets as t

from dashtrade.domain.market import SymbolMatch
from dashtrade.errors import DashTradeError
from dashtrade.pages.background import Background, inline
from dashtrade.pages.guard import describe, sentence
from dashtrade.pages.model import PageModel

MOST_MATCHES = 8


class SymbolSearch(PageModel):
    """Symbols that match what is being typed; ``note`` says why there are none."""

    matches: tuple[SymbolMatch, ...] = t.Any(())  # type: ignore[assignment]
    note: str = t.Unicode("")  # type: ignore[assignment]

    def __init__(
        self, search: Callable[[str], Sequence[SymbolMatch]], *, background: Background = inline, **traits: Any
    ) -> None:
        self._search = search
        super().__init__(background=background, **traits)

    def look_up(self, text: str) -> None:
        wanted = text.strip()[:60]
        if not wanted:
            self._drop()
            self.matches, self.note = (), ""
            return
        self.in_background(lambda _job: tuple(self._search(wanted))[:MOST_MATCHES], self._found, failed=self._failed)

    def _found(self, matches: tuple[SymbolMatch, ...]) -> None:
        self.note = "" if matches else "No symbol or name matches; press Enter to try it as a ticker."
        self.matches = matches

    def _failed(self, error: Exception) -> None:
        self.note = sentence(error) if isinstance(error, DashTradeError) else describe(error).text
        self.matches = ()
