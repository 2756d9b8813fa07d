"""State and actions of the portfolio page. Services come in as callables; no widgets here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

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


BENCHMARK, SAMPLE_BENCHMARK = "SPY", "^GSPC"

Long = Callable[..., Any]
"""Work that is given ``progress(share, text)`` and ``cancelled()`` by name, so that it can tell how far it is and end
early."""


@dataclass(frozen=True, slots=True)
class PortfolioServices:
    """What the page needs done, each for the signed-in user. Lists go by name; no name is the whole watchlist.

    ``read(source, list)`` gives a Watched, ``book(source, benchmark)`` a Book, ``scan(bars, rule)`` hits, ``rules`` the
    entry rules of presets and saved strategies as texts, by their names.
    """

    read: Long
    book: Long
    scan: Long
    add: Callable[[str, str | None, str], bool]
    remove: Callable[[str, str], None]
    note: Callable[[str, str | None], None]
    import_csv: Callable[[str, str], Any]
    lists: Callable[[], Sequence[Any]]
    create_list: Callable[[str], str]
    rename_list: Callable[[str, str], str]
    delete_list: Callable[[str], None]
    rules: Callable[[], Mapping[str, str]]
    parse_rule: Callable[[str], object]
    sources: Sequence[str]
    remember: Callable[[Mapping[str, str]], None]


class PortfolioModel(PageModel):
    """Three tabs over one source: a watchlist as rows, a scan of it, and the accounts. Tables hold what was last
    read; ``refresh`` reads the shown tab again. ``chosen`` is the list shown: a name, or nothing for all symbols."""

    tab: str = t.Unicode("watchlist")  # type: ignore[assignment]
    source: str = t.Unicode(AUTOMATIC)  # type: ignore[assignment]
    rule: str = t.Unicode(EXAMPLE_RULE)  # type: ignore[assignment]
    chosen: str = t.Unicode("")  # type: ignore[assignment]
    benchmark: str = t.Unicode(BENCHMARK)  # type: ignore[assignment]
    lists: tuple[Any, ...] = t.Any(())  # type: ignore[assignment]
    rules: Mapping[str, str] = t.Any({})  # type: ignore[assignment]
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
        self.lists = tuple(self._services.lists())
        self.rules = dict(self._services.rules())
        for name, key in (*((n, n) for n in ("tab", "source", "rule", "benchmark")), ("chosen", "list")):
            if key in values:
                try:
                    setattr(self, name, values[key])
                except DashTradeError as error:
                    problem = problem or error
        self._restoring = False
        self._block()
        self._said_after = describe(problem) if problem is not None else None

    def refresh(self) -> None:
        """Reads the watchlist, or on the holdings tab the accounts, off the event loop."""
        services, source = self._services, self.source or None
        service, given, done = (
            (services.book, (source, self.benchmark), self._booked)
            if self.tab == "holdings"
            else (services.read, (source, self.chosen), self._read)
        )
        self.in_background(
            lambda job: service(*given, progress=job.report, cancelled=job.cancelled),
            done,
            label="Loading prices…",
            failed=self._failed,
        )

    def use_sample(self) -> None:
        """Past prices without a network; an empty watchlist gets the sample's four shares."""
        if self.watched is None or not self.watched.rows:
            for symbol in SAMPLE_SYMBOLS.split(","):
                self._services.add(parse_symbol(symbol), None, self.chosen)
            self._count()
        self._restoring = True
        self.source, self.benchmark = SAMPLE, SAMPLE_BENCHMARK
        self._restoring = False
        self.refresh()

    def add(self, symbols: str, notes: str = "") -> None:
        """One ticker, or several with commas; nothing is added where one of them is not a ticker."""
        names = [parse_symbol(text, "symbols") for text in symbols.replace(";", ",").split(",") if text.strip()]
        if not names:
            raise InvalidInput("symbols", "type a ticker, such as AAPL.")
        added = [name for name in dict.fromkeys(names) if self._services.add(name, notes.strip() or None, self.chosen)]
        known = [name for name in dict.fromkeys(names) if name not in added]
        if known:
            where = f"In {self.chosen!r} already" if self.chosen else "Watched already"
            self._said_after = Message("info", f"{where}: {', '.join(known)}.")
        self._count()
        self.refresh()

    def row_action(self, name: str, symbol: str) -> None:
        if name == "remove":
            self._services.remove(symbol, self.chosen)
            self.editing = "" if self.editing == symbol else self.editing
            gone = f"was taken out of {self.chosen!r}; it stays watched." if self.chosen else "is no longer watched."
            self._said_after = Message("success", f"{symbol} {gone}")
            self._count()
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
        found = self._services.import_csv(text, self.chosen)
        said = f"{found.added} added, {found.known} watched already."
        if found.refused:
            said += f" {len(found.refused)} refused: {' '.join(found.refused[:3])}"
        self._said_after = Message("warning" if found.refused else "success", said)
        self._count()
        self.refresh()

    def create_list(self, name: str) -> None:
        """A new list, which is shown at once."""
        made = self._services.create_list(name)
        self._count()
        self.chosen = made

    def rename_list(self, name: str) -> None:
        kept = self._services.rename_list(self._one_list(), name)
        self._count()
        self._restoring = True  # the same symbols under another name need not be read again
        self.chosen = kept
        self._restoring = False
        self.say(Message("success", f"The list is called {kept!r} now."))
        self._write_query()

    def delete_list(self) -> None:
        name = self._one_list()
        self._services.delete_list(name)
        self._said_after = Message("success", f"The list {name!r} is gone; its symbols stay watched.")
        self.chosen = ""
        self._count()

    def take_rule(self, name: str) -> None:
        """The entry rule of a preset or a saved strategy as the rule to scan with."""
        if name not in self.rules:
            raise InvalidInput("rule", f"{name[:60]!r} is not there.", allowed=tuple(self.rules))
        self.rule = self.rules[name]

    def scan(self) -> None:
        """Tries the rule on the bars that the watchlist was read from."""
        self._block()
        if self.blockers:
            self.say(Message("warning", " ".join(self.blockers)))
        elif self.watched is None or not self.watched.bars:
            self.say(Message("warning", "There is nothing to scan. Add symbols to the watchlist first."))
        else:
            bars, rule = self.watched.bars, self.rule
            self.in_background(
                lambda job: self._services.scan(bars, rule, progress=job.report, cancelled=job.cancelled),
                self._scanned,
                label="Scanning…",
            )

    @t.validate("tab", "source", "chosen")
    def _allowed(self, proposal: Any) -> str:
        name, value = proposal["trait"].name, proposal["value"]
        allowed = {"tab": tuple(TABS), "source": self.sources, "chosen": ("", *(one.name for one in self.lists))}[name]
        if value not in allowed:
            told = "list" if name == "chosen" else name
            raise InvalidInput(told, f"{value[:60]!r} is not known.", allowed=tuple(filter(None, allowed)))
        return str(value)

    @t.validate("benchmark")
    def _a_symbol(self, proposal: Any) -> str:
        return parse_symbol(proposal["value"] or BENCHMARK, "benchmark")

    @t.observe("tab", "source", "rule", "chosen", "benchmark")
    def _on_input(self, change: Any) -> None:
        if self._restoring:
            return
        if change["name"] == "rule":
            self.hits = None
            self._block()
        elif change["name"] == "chosen":
            self.watched, self.hits, self.editing = None, None, ""
            if self.tab != "holdings":
                self.refresh()
        elif change["name"] == "benchmark":
            self.book = None
            if self.tab == "holdings":
                self.refresh()
        elif change["name"] == "source" or (self.tab == "holdings" and self.book is None):
            self.hits = None
            self.refresh()
        elif self.tab != "holdings" and self.watched is None:
            self.refresh()
        self._write_query()

    def _count(self) -> None:
        self.lists = tuple(self._services.lists())

    def _one_list(self) -> str:
        if not self.chosen:
            raise InvalidInput("list", "choose a list of your own first; all symbols are not a list.")
        return self.chosen

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
        others = {
            "list": self.chosen,
            "rule": "" if self.rule == EXAMPLE_RULE else self.rule,
            "benchmark": "" if self.benchmark == BENCHMARK else self.benchmark,
        }
        self.query = {"tab": self.tab, "source": self.source} | {k: v for k, v in others.items() if v}
        self.attempt(self._services.remember, dict(self.query))
