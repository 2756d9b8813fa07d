"""What is known about the symbol beside its prices: name, news, whether it is watched; and the search for symbols."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

import traitlets as t

from dashtrade.domain.market import Fundamentals, NewsItem, SymbolMatch
from dashtrade.errors import DashTradeError
from dashtrade.pages.analysis.companion import Companion
from dashtrade.pages.analysis.model import AnalysisModel
from dashtrade.pages.background import Background, inline
from dashtrade.pages.guard import describe, sentence

MOST_NEWS = 8
MOST_MATCHES = 8
NO_SENTIMENT = (
    "This source gives no sentiment. Alpha Vantage does: set DASHTRADE_ALPHA_VANTAGE_KEY in the settings (the .env "
    "file), or give your own key under Account, and choose it as data source."
)


@dataclass(frozen=True, slots=True)
class News:
    """Articles, newest first, and a sentence on what is missing."""

    items: tuple[NewsItem, ...] = ()
    note: str = ""


class NewsModel(Companion):
    """News of the symbol on the chart; asked again only when symbol or source change."""

    news: News | None = t.Instance(News, allow_none=True)  # type: ignore[assignment]

    def __init__(
        self,
        page: AnalysisModel,
        ask: Callable[[str, str | None], Sequence[NewsItem]],
        background: Background = inline,
    ) -> None:
        super().__init__(page, background)
        self._news = ask
        self._of: tuple[str, str] | None = None
        page.observe(lambda _change: self.refresh(), "result")

    def refresh(self) -> None:
        result = self.page.result
        if result is None or (result.request.symbol, self.page.source) == self._of:
            return
        self._of = (result.request.symbol, self.page.source)
        symbol, source = result.request.symbol, self.page.source or None
        self.news = None
        self.ask(lambda: self._news(symbol, source), self._answered, self._failed)

    def _answered(self, items: Sequence[NewsItem]) -> None:
        if not items:
            self.news = News(note="No news on this symbol from this source.")
            return
        note = "" if any(item.sentiment is not None for item in items) else NO_SENTIMENT
        self.news = News(tuple(items[:MOST_NEWS]), note)

    def _failed(self, error: Exception) -> None:
        text = sentence(error) if isinstance(error, DashTradeError) else describe(error).text
        self.news = News(note=text)


class FactsModel(Companion):
    """Name, exchange, sector and currency of the symbol, where the source says."""

    facts: Fundamentals | None = t.Instance(Fundamentals, allow_none=True)  # type: ignore[assignment]

    def __init__(
        self,
        page: AnalysisModel,
        ask: Callable[[str, str | None], Fundamentals],
        background: Background = inline,
    ) -> None:
        super().__init__(page, background)
        self._ask_facts = ask
        self._of: tuple[str, str] | None = None
        page.observe(lambda _change: self.refresh(), "result")

    def refresh(self) -> None:
        result = self.page.result
        if result is None or (result.request.symbol, self.page.source) == self._of:
            return
        symbol, source = result.request.symbol, self.page.source or None
        self._of = (symbol, self.page.source)
        self.facts = None
        self.ask(lambda: self._ask_facts(symbol, source), self._answered, self._failed)

    def _answered(self, facts: Fundamentals) -> None:
        self.facts = facts

    def _failed(self, error: Exception) -> None:
        self.facts = None
        if not isinstance(error, DashTradeError):
            describe(error)  # logs it; a missing name is no message


class WatchModel(Companion):
    """Whether the symbol on the chart is on the user's watchlist, and the switch for it."""

    watched: bool = t.Bool(False)  # type: ignore[assignment]
    notice: str = t.Unicode("")  # type: ignore[assignment]

    def __init__(
        self,
        page: AnalysisModel,
        watched: Callable[[], Collection[str]],
        watch: Callable[[str, str | None], Any],
        unwatch: Callable[[str], Any],
        background: Background = inline,
    ) -> None:
        super().__init__(page, background)
        self._list, self._watch, self._unwatch = watched, watch, unwatch
        self._of = ""
        page.observe(lambda _change: self.refresh(), "result")

    def refresh(self) -> None:
        result = self.page.result
        if result is None or result.request.symbol == self._of:
            return
        symbol = self._of = result.request.symbol
        self.ask(lambda: symbol in self._list(), self._set)

    def toggle(self, name: str | None = None) -> None:
        result = self.page.result
        if result is None:
            return
        symbol, wanted = result.request.symbol, not self.watched
        work = (lambda: self._watch(symbol, name)) if wanted else (lambda: self._unwatch(symbol))
        said = f"{symbol} is on your watchlist." if wanted else f"{symbol} is off your watchlist."
        self.ask(work, lambda _answer: self._switched(wanted, said))

    def _switched(self, watched: bool, said: str) -> None:
        self.watched = watched
        self.notice = ""
        self.notice = said

    def _set(self, watched: bool) -> None:
        self.watched = watched


class SearchModel(Companion):
    """Symbols that match what is being typed."""

    matches: tuple[SymbolMatch, ...] = t.Any(())  # type: ignore[assignment]
    note: str = t.Unicode("")  # type: ignore[assignment]

    def __init__(
        self,
        page: AnalysisModel,
        search: Callable[[str, str | None], Sequence[SymbolMatch]],
        background: Background = inline,
    ) -> None:
        super().__init__(page, background)
        self._search = search

    def look_up(self, text: str) -> None:
        """Matches for ``text``; none, with a note, where nothing is found or the source fails."""
        wanted = text.strip()[:60]
        if not wanted:
            self._turn += 1
            self.matches, self.note = (), ""
            return
        source = self.page.source or None
        self.ask(lambda: self._search(wanted, source), self._found, self._failed)

    def _found(self, matches: Sequence[SymbolMatch]) -> None:
        self.note = "" if matches else "No symbol or name matches; press Enter to try it as a ticker."
        self.matches = tuple(matches[:MOST_MATCHES])

    def _failed(self, error: Exception) -> None:
        self.note = sentence(error) if isinstance(error, DashTradeError) else describe(error).text
        self.matches = ()
