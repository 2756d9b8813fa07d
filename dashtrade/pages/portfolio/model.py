"""State and actions of the portfolio page. Services come in as callables; no widgets here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import traitlets as t

from dashtrade.domain.market import parse_symbol
from dashtrade.errors import DashTradeError, InvalidInput, SourceUnreachable
from dashtrade.pages.background import Background, inline
from dashtrade.pages.guard import Message, describe, sentence
from dashtrade.pages.model import PageModel

AUTOMATIC, SAMPLE = "", "sample"
SAMPLE_SYMBOLS = "AAPL, GOOG, IBM, MSFT"
TABS = {"watchlist": "Watchlist", "scanner": "Scanner", "holdings": "Accounts and holdings"}
EXAMPLE_RULE = "rsi < 40"


class Long(Protocol):
    """Work that tells how far it is and may be cancelled."""

    def __call__(
        self, source: str | None, *, progress: Callable[[float, str], None], cancelled: Callable[[], bool]
    ) -> Any: ...


@dataclass(frozen=True, slots=True)
class PortfolioServices:
    """What the page needs done, each for the signed-in user. ``read`` gives a Watched, ``book`` a Book."""

    read: Long
    book: Long
    add: Callable[[str, str | None], bool]
    remove: Callable[[str], None]
    note: Callable[[str, str | None], None]
    import_csv: Callable[[str], Any]
    scan: Callable[[Mapping[str, Any], str], Sequence[Any]]
    parse_rule: Callable[[str], object]
    sources: Sequence[str]
    remember: Callable[[Mapping[str, str]], None]


class PortfolioModel(PageModel):
    """Three tabs over one source: the watchlist as rows, a scan of it, and the accounts. Tables hold what was last
    read; ``refresh`` reads the shown tab again."""

    tab: str = t.Unicode("watchlist")  # type: ignore[assignment]
    source: str = t.Unicode(AUTOMATIC)  # type: ignore[assignment]
    rule: str = t.Unicode(EXAMPLE_RULE)  # type: ignore[assignment]
    watched: Any = t.Any(None)
    hits: tuple[Any, ...] | None = t.Any(None)  # type: ignore[assignment]
    book: Any = t.Any(None)
    editing: str = t.Unicode("")  # type: ignore[assignment]
    query: Mapping[str, str] = t.Any({})  # type: ignore[assignment]

    def __init__(self, services: PortfolioServices, *, background: Background = inline, **traits: Any) -> None:
        self._services = services
        self._restoring = False
        self._said_after: Message | None = None
        super().__init__(background=background, **traits)

    @property
    def sources(self) -> tuple[str, ...]:
        return (AUTOMATIC, *self._services.sources)

    def restore(self, values: Mapping[str, str]) -> None:
        """Takes what is usable from a query or the last visit; the first thing that is not is said."""
        problem: DashTradeError | None = None
        self._restoring = True
        for name in ("tab", "source", "rule"):
            if name in values:
                try:
                    setattr(self, name, values[name])
                except DashTradeError as error:
                    problem = problem or error
        self._restoring = False
        self._block()
        self._said_after = describe(problem) if problem is not None else None

    def refresh(self) -> None:
        """Reads the watchlist, or on the holdings tab the accounts, off the event loop."""
        service, done = (
            (self._services.book, self._booked) if self.tab == "holdings" else (self._services.read, self._read)
        )
        source = self.source or None
        self.in_background(
            lambda job: service(source, progress=job.report, cancelled=job.cancelled),
            done,
            label="Loading prices…",
            failed=self._failed,
        )

    def use_sample(self) -> None:
        """Past prices without a network; an empty watchlist gets the sample's four shares."""
        if self.watched is None or not self.watched.rows:
            for symbol in SAMPLE_SYMBOLS.split(","):
                self._services.add(parse_symbol(symbol), None)
        self._restoring = True
        self.source = SAMPLE
        self._restoring = False
        self.refresh()

    def add(self, symbols: str, notes: str = "") -> None:
        """One ticker, or several with commas; nothing is added where one of them is not a ticker."""
        names = [parse_symbol(text, "symbols") for text in symbols.replace(";", ",").split(",") if text.strip()]
        if not names:
            raise InvalidInput("symbols", "type a ticker, such as AAPL.")
        added = [name for name in dict.fromkeys(names) if self._services.add(name, notes.strip() or None)]
        known = [name for name in dict.fromkeys(names) if name not in added]
        if known:
            self._said_after = Message("info", f"Watched already: {', '.join(known)}.")
        self.refresh()

    def row_action(self, name: str, symbol: str) -> None:
        if name == "remove":
            self._services.remove(symbol)
            self.editing = "" if self.editing == symbol else self.editing
            self._said_after = Message("success", f"{symbol} is no longer watched.")
            self.refresh()
        elif name == "note":
            self.editing = symbol

    def note_of(self, symbol: str) -> str:
        rows = self.watched.rows if self.watched is not None else ()
        return next((row.notes for row in rows if row.symbol == symbol), "")

    def save_note(self, text: str) -> None:
        if not self.editing:
            raise InvalidInput("notes", "choose a symbol's Note button first.")
        self._services.note(self.editing, text)
        self.editing = ""
        self.refresh()

    def import_csv(self, text: str) -> None:
        found = self._services.import_csv(text)
        said = f"{found.added} added, {found.known} watched already."
        if found.refused:
            said += f" {len(found.refused)} refused: {' '.join(found.refused[:3])}"
        self._said_after = Message("warning" if found.refused else "success", said)
        self.refresh()

    def scan(self) -> None:
        """Tries the rule on the bars that the watchlist was read from."""
        self._block()
        if self.blockers:
            self.say(Message("warning", " ".join(self.blockers)))
        elif self.watched is None or not self.watched.bars:
            self.say(Message("warning", "There is nothing to scan. Add symbols to the watchlist first."))
        else:
            bars, rule = self.watched.bars, self.rule
            self.in_background(lambda _job: self._services.scan(bars, rule), self._scanned, label="Scanning…")

    @t.validate("tab", "source")
    def _allowed(self, proposal: Any) -> str:
        name, value = proposal["trait"].name, proposal["value"]
        allowed = tuple(TABS) if name == "tab" else self.sources
        if value not in allowed:
            raise InvalidInput(name, f"{value[:40]!r} is not known.", allowed=allowed)
        return str(value)

    @t.observe("tab", "source", "rule")
    def _on_input(self, change: Any) -> None:
        if self._restoring:
            return
        if change["name"] == "rule":
            self.hits = None
            self._block()
        elif change["name"] == "source" or (self.tab == "holdings" and self.book is None):
            self.hits = None
            self.refresh()
        elif self.tab != "holdings" and self.watched is None:
            self.refresh()
        self._write_query()

    def _block(self) -> None:
        try:
            self._services.parse_rule(self.rule)
        except DashTradeError as error:
            self.blockers = (sentence(error),)
        else:
            self.blockers = ()

    def _read(self, watched: Any) -> None:
        self.watched, self.hits = watched, None
        self._finish()

    def _booked(self, book: Any) -> None:
        self.book = book
        self._finish()

    def _finish(self) -> None:
        said, self._said_after = self._said_after, None
        self.say(said)
        self._write_query()

    def _scanned(self, hits: Sequence[Any]) -> None:
        self.hits = tuple(hits)
        self.say(None)
        self._write_query()

    def _failed(self, error: Exception) -> None:
        message = describe(error)
        if isinstance(error, SourceUnreachable) and self.source != SAMPLE:
            message = Message(message.kind, message.text, "use_sample", "Use sample data")
        self.say(message)

    def _write_query(self) -> None:
        rule = {} if self.rule == EXAMPLE_RULE else {"rule": self.rule}
        self.query = {"tab": self.tab, "source": self.source, **rule}
        self.attempt(self._services.remember, dict(self.query))
