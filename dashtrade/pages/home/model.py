"""State and actions of the home page. Services come in as callables that know the user; no widgets here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import traitlets as t

from dashtrade.domain.bot_views import AccountView, BotView, HaltView, PositionView, SignalView
from dashtrade.domain.market import Quote, parse_symbol
from dashtrade.errors import DashTradeError, InvalidInput
from dashtrade.pages.background import Background, inline
from dashtrade.pages.guard import Message, describe, sentence
from dashtrade.pages.model import PageModel
from dashtrade.services.overview import FirstSteps

if TYPE_CHECKING:
    from dashtrade.services.alert_history import Told
    from dashtrade.services.report_control import RunView
    from dashtrade.services.watchlist import WatchedSymbol

SAMPLE = "sample"
SAMPLE_SYMBOLS = ("AAPL", "GOOG", "IBM", "MSFT")
CLOSES_KEPT = timedelta(minutes=10)
RECENT = timedelta(days=3)
"""A report that failed longer ago needs no attention any more."""


@dataclass(frozen=True, slots=True)
class HomeServices:
    """What the page needs done, for the signed-in user. ``quotes(symbols, source)`` gives the latest prices of those it
    knows, ``closes(symbols, source)`` the closes before the running day; ``today`` what each bot realised today."""

    list_bots: Callable[[], Sequence[BotView]]
    list_accounts: Callable[[], Sequence[AccountView]]
    list_positions: Callable[[], Sequence[PositionView]]
    list_signals: Callable[[], Sequence[SignalView]]
    list_halts: Callable[[], Sequence[HaltView]]
    list_watchlist: Callable[[], Sequence[WatchedSymbol]]
    list_told: Callable[[], Sequence[Told]]
    list_reports: Callable[[], Sequence[RunView]]
    today: Callable[[], Mapping[int, Decimal]]
    steps: Callable[[], FirstSteps]
    trader_seen: Callable[[], datetime | None]
    trader_runs: Callable[[datetime | None], bool]
    quotes: Callable[[Sequence[str], str | None], Mapping[str, Quote]]
    closes: Callable[[Sequence[str], str | None], Mapping[str, float]]
    watch: Callable[[str], bool]
    unwatch: Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Attention:
    """Something the person should know or do: a sentence, and the page where it is done."""

    text: str
    href: str
    grave: bool = False


@dataclass(frozen=True, slots=True)
class Overview:
    """Everything the page shows, read at one moment. ``price_problem`` says why prices are missing."""

    bots: tuple[BotView, ...] = ()
    accounts: tuple[AccountView, ...] = ()
    positions: tuple[PositionView, ...] = ()
    signals: tuple[SignalView, ...] = ()
    halts: tuple[HaltView, ...] = ()
    watchlist: tuple[WatchedSymbol, ...] = ()
    told: tuple[Told, ...] = ()
    reports: tuple[RunView, ...] = ()
    today: Mapping[int, Decimal] = field(default_factory=dict)
    steps: FirstSteps = field(default_factory=FirstSteps)
    trader_seen: datetime | None = None
    trader_on: bool = False
    quotes: tuple[tuple[str, Quote], ...] = ()
    closes: Mapping[str, float] = field(default_factory=dict)
    price_problem: str = ""
    read_at: datetime | None = None

    @property
    def realised(self) -> Decimal:
        return sum((bot.total_pnl for bot in self.bots), Decimal(0))

    @property
    def active(self) -> int:
        return sum(bot.config.is_active for bot in self.bots)

    @property
    def fresh(self) -> bool:
        """Whether this person has nothing here yet."""
        return not (self.watchlist or self.bots or self.told or self.reports or self.steps.done)

    @property
    def attention(self) -> tuple[Attention, ...]:
        """What is wrong comes first."""
        now = self.read_at or datetime.now(UTC)
        found = [Attention(f"Entries are stopped ({h.symbol or h.scope}): {h.reason}", "bot?tab=risk", True)
                 for h in self.halts]  # fmt: skip
        found += [
            Attention(f"The {a.mode} account is stopped: {a.halt_reason or 'no reason given'}", "bot?tab=risk", True)
            for a in self.accounts
            if a.halted
        ]
        if self.active and not self.trader_on:
            since = "has not run yet" if self.trader_seen is None else "is not running"
            count = f"{self.active} bot{'s are' if self.active > 1 else ' is'} switched on"
            found.append(Attention(f"The trader {since}, but {count}: no order is sent.", "bot", True))
        found += [
            Attention(f"Report {run.id} ({run.report}) failed.", "reports")
            for run in self.reports
            if run.status == "failed" and now - run.created_at < RECENT
        ]
        failing = [s for s in self.signals if s.state in ("rejected", "refused") and now - s.received_at < RECENT]
        if failing:
            text = f"{len(failing)} of the newest signals {'were' if len(failing) > 1 else 'was'} not traded."
            found.append(Attention(text, "bot?tab=signals"))
        if self.price_problem:
            found.append(Attention(f"No prices: {self.price_problem}", "account"))
        return tuple(found)

    def change(self, symbol: str) -> float | None:
        """The latest price against the close before, as a fraction."""
        quote, close = dict(self.quotes).get(symbol), self.closes.get(symbol)
        return float(quote.price) / close - 1 if quote is not None and close else None


class HomeModel(PageModel):
    """``refresh`` reads everything off the event loop; following a symbol reads it again. With ``sample`` the prices
    are sample data."""

    overview: Overview = t.Any(Overview())  # type: ignore[assignment]
    loaded: bool = t.Bool(False)  # type: ignore[assignment]
    sample: bool = t.Bool(False)  # type: ignore[assignment]
    query: Mapping[str, str] = t.Any({})  # type: ignore[assignment]

    def __init__(self, services: HomeServices, *, background: Background = inline, **traits: Any) -> None:
        self._services = services
        self._refreshing = self._again = False
        self._troubled = False
        self._closes: tuple[tuple[str, ...], bool, datetime, Mapping[str, float]] | None = None
        super().__init__(background=background, **traits)

    def restore(self, values: Mapping[str, str]) -> None:
        self.sample = values.get("source") == SAMPLE
        self._write_query()

    def refresh(self) -> None:
        """Skipped at a beat while a read is under way; a failure is said once and not at every beat."""
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
            if self._again:
                self._again = False
                self.refresh()

        self._background(lambda _post: self._read(), self.guard(done))

    def watch(self, symbol: str) -> None:
        ticker = parse_symbol(symbol)
        if not self._services.watch(ticker):
            raise InvalidInput("symbol", f"{ticker} is on your watchlist already.")
        self.say(None)
        self._read_again()

    def unwatch(self, name: str, symbol: str) -> None:
        """The button of a row; ``name`` is the button's."""
        if name != "unwatch":
            raise InvalidInput("action", f"{name!r} is not known.")
        self._services.unwatch(symbol)
        self._read_again()

    def use_sample(self) -> None:
        """Something to look at without a network: the sample's shares on the watchlist, with sample prices."""
        for symbol in SAMPLE_SYMBOLS:
            self._services.watch(symbol)
        self.sample = True
        self.say(Message("success", "Four shares are on your watchlist, with sample prices that are not the market's."))
        self._write_query()
        self._read_again()

    def use_market(self) -> None:
        """The prices of the person's own sources again."""
        self.sample = False
        self.say(None)
        self._write_query()
        self._read_again()

    def _write_query(self) -> None:
        self.query = {"source": SAMPLE} if self.sample else {}

    def _read_again(self) -> None:
        """Now, or as soon as the read that is under way has ended: that one may not have seen the change."""
        self._again = self._refreshing
        self.refresh()

    def _read(self) -> Overview:
        s = self._services
        source = SAMPLE if self.sample else None
        watchlist = tuple(s.list_watchlist())
        symbols = tuple(w.symbol for w in watchlist)
        quotes: Mapping[str, Quote] = {}
        closes: Mapping[str, float] = {}
        problem = ""
        if watchlist:
            try:
                quotes = s.quotes(symbols, source)
                closes = self._last_closes(symbols, source)
            except DashTradeError as error:
                problem = sentence(error)
        seen = s.trader_seen()
        return Overview(
            bots=tuple(s.list_bots()),
            accounts=tuple(s.list_accounts()),
            positions=tuple(s.list_positions()),
            signals=tuple(s.list_signals()),
            halts=tuple(s.list_halts()),
            watchlist=watchlist,
            told=tuple(s.list_told()),
            reports=tuple(s.list_reports()),
            today=dict(s.today()),
            steps=s.steps(),
            trader_seen=seen,
            trader_on=s.trader_runs(seen),
            quotes=tuple(quotes.items()),
            closes=closes,
            price_problem=problem,
            read_at=datetime.now(UTC),
        )

    def _last_closes(self, symbols: tuple[str, ...], source: str | None) -> Mapping[str, float]:
        """Asked again after ten minutes: the prices come every few seconds, the closes once a day."""
        now, kept = datetime.now(UTC), self._closes
        if kept is None or kept[:2] != (symbols, self.sample) or now - kept[2] > CLOSES_KEPT:
            kept = self._closes = (symbols, self.sample, now, self._services.closes(symbols, source))
        return kept[3]
