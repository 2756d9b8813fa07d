"""State and actions of the home page. Services come in as callables that know the user; no widgets here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import traitlets as t

from dashtrade.domain.bot_views import BotView, HaltView, PositionView, SignalView
from dashtrade.domain.market import Quote, parse_symbol
from dashtrade.errors import DashTradeError, InvalidInput
from dashtrade.pages.background import Background, inline
from dashtrade.pages.guard import Message, describe, sentence
from dashtrade.pages.model import PageModel

if TYPE_CHECKING:
    from dashtrade.services.watchlist import WatchedSymbol


@dataclass(frozen=True, slots=True)
class HomeServices:
    """What the page needs done, for the signed-in user. ``quotes`` gives the latest prices of the symbols it knows."""

    list_bots: Callable[[], Sequence[BotView]]
    list_positions: Callable[[], Sequence[PositionView]]
    list_signals: Callable[[], Sequence[SignalView]]
    list_halts: Callable[[], Sequence[HaltView]]
    list_watchlist: Callable[[], Sequence[WatchedSymbol]]
    quotes: Callable[[Sequence[str]], Mapping[str, Quote]]
    watch: Callable[[str], bool]
    unwatch: Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Overview:
    """Everything the page shows, read at one moment. ``price_problem`` says why prices are missing."""

    bots: tuple[BotView, ...] = ()
    positions: tuple[PositionView, ...] = ()
    signals: tuple[SignalView, ...] = ()
    halts: tuple[HaltView, ...] = ()
    watchlist: tuple[WatchedSymbol, ...] = ()
    quotes: tuple[tuple[str, Quote], ...] = ()
    price_problem: str = ""

    @property
    def realised(self) -> Decimal:
        return sum((bot.total_pnl for bot in self.bots), Decimal(0))


class HomeModel(PageModel):
    """``refresh`` reads everything off the event loop; following a symbol reads it again."""

    overview: Overview = t.Any(Overview())  # type: ignore[assignment]
    loaded: bool = t.Bool(False)  # type: ignore[assignment]

    def __init__(self, services: HomeServices, *, background: Background = inline, **traits: Any) -> None:
        self._services = services
        self._refreshing = False
        self._troubled = False
        super().__init__(background=background, **traits)

    def refresh(self) -> None:
        """Skipped while a read is under way; a failure is said once and not at every beat."""
        if self._refreshing:
            return
        self._refreshing = True

        def done(outcome: Any) -> None:
            self._refreshing = False
            if outcome.error is None:
                if self._troubled:
                    self.say(Message("success", "Connected again."))
                self._troubled, self.overview, self.loaded = False, outcome.value, True
            elif not self._troubled:
                self._troubled = True
                self.say(describe(outcome.error))

        self._background(lambda _post: self._read(), self.guard(done))

    def watch(self, symbol: str) -> None:
        ticker = parse_symbol(symbol)
        if not self._services.watch(ticker):
            raise InvalidInput("symbol", f"{ticker} is on your watchlist already.")
        self.say(None)
        self.refresh()

    def unwatch(self, name: str, symbol: str) -> None:
        """The button of a row; ``name`` is the button's."""
        if name != "unwatch":
            raise InvalidInput("action", f"{name!r} is not known.")
        self._services.unwatch(symbol)
        self.refresh()

    def _read(self) -> Overview:
        s = self._services
        watchlist = tuple(s.list_watchlist())
        quotes: Mapping[str, Quote] = {}
        problem = ""
        if watchlist:
            try:
                quotes = s.quotes([w.symbol for w in watchlist])
            except DashTradeError as error:
                problem = sentence(error)
        return Overview(
            tuple(s.list_bots()),
            tuple(s.list_positions()),
            tuple(s.list_signals()),
            tuple(s.list_halts()),
            watchlist,
            tuple(quotes.items()),
            problem,
        )
