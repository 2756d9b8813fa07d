"""State and actions of the comparison page. Services come in as callables; no widgets here."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import pandas as pd
import traitlets as t

from dashtrade.domain.market import HistoryRequest, Interval, Period, parse_interval, parse_period
from dashtrade.errors import DashTradeError, InvalidInput, NotFound, SourceUnreachable
from dashtrade.pages.background import Background, inline
from dashtrade.pages.guard import Message, describe, sentence
from dashtrade.pages.model import PageModel
from dashtrade.portfolio.comparison import DEFAULT_WEIGHTS, RANKED, Comparison, check_weights
from dashtrade.portfolio.request import Compared, CompareRequest

AUTOMATIC, SAMPLE = "", "sample"
SAMPLE_SYMBOLS, SAMPLE_PERIOD = "AAPL, GOOG, IBM, MSFT", "5y"
TABS = {
    "normalised": "Normalised",
    "strength": "Relative strength",
    "correlation": "Correlation",
    "risk": "Risk and return",
    "drawdowns": "Drawdowns",
    "ranking": "Ranking",
}
WINDOWS = (20, 60, 120, 250)


class Numbers(Protocol):
    """Two SHA-256; see dashtrade.services.open_notebook."""

    @property
    def data_hash(self) -> str: ...

    @property
    def result_hash(self) -> str: ...


@dataclass(frozen=True, slots=True)
class NotebookFile:
    """A file to save, and the hashes of what it makes again."""

    name: str
    text: str
    data_hash: str
    result_hash: str


class Compare(Protocol):
    """Fetches and measures; see dashtrade.services.portfolio.run_comparison."""

    def __call__(
        self, request: CompareRequest, *, progress: Callable[[float, str], None], cancelled: Callable[[], bool]
    ) -> Compared: ...


@dataclass(frozen=True, slots=True)
class ComparisonServices:
    """What the page needs done. ``check`` raises InvalidInput for a pair that the source cannot serve; ``whence`` is
    one line on where bars with these attributes come from."""

    compare: Compare
    check: Callable[[HistoryRequest, str | None], None]
    sources: Sequence[str]
    whence: Callable[[Mapping[str, object]], str]
    remember: Callable[[Mapping[str, str]], None]
    write: Callable[[Compared, Mapping[str, float], int], str]
    """The text of a notebook; see dashtrade.services.open_notebook.comparison_notebook."""
    numbers: Callable[[Comparison], Numbers]
    """The hashes that stand in it."""


class ComparisonModel(PageModel):
    """Symbols, benchmark and dates in, a Compared out. The weights change the ranking without loading again."""

    symbols: str = t.Unicode("")  # type: ignore[assignment]
    benchmark: str = t.Unicode("")  # type: ignore[assignment]
    period: str = t.Unicode("1y")  # type: ignore[assignment]
    interval: str = t.Unicode("1d")  # type: ignore[assignment]
    source: str = t.Unicode(AUTOMATIC)  # type: ignore[assignment]
    tab: str = t.Unicode("normalised")  # type: ignore[assignment]
    window: int = t.Int(60)  # type: ignore[assignment]
    weights: Mapping[str, float] = t.Any(dict(DEFAULT_WEIGHTS))  # type: ignore[assignment]
    result: Compared | None = t.Instance(Compared, allow_none=True)  # type: ignore[assignment]
    ranking: pd.DataFrame | None = t.Any(None)  # type: ignore[assignment]
    rolling: pd.DataFrame | None = t.Any(None)  # type: ignore[assignment]
    query: Mapping[str, str] = t.Any({})  # type: ignore[assignment]

    periods = tuple(p.value for p in Period)
    intervals = tuple(i.value for i in Interval)

    def __init__(self, services: ComparisonServices, *, background: Background = inline, **traits: Any) -> None:
        self._services = services
        self._restoring = False
        self._address_problem: Message | None = None
        super().__init__(background=background, **traits)
        self._block()

    @property
    def sources(self) -> tuple[str, ...]:
        return (AUTOMATIC, *self._services.sources)

    def restore(self, values: Mapping[str, str]) -> None:
        """Takes what is usable from a query or the last visit; the first thing that is not is said."""
        problem: DashTradeError | None = None
        readers: dict[str, Callable[[str], Any]] = {
            "symbols": str,
            "benchmark": str,
            "period": lambda text: parse_period(text).value,
            "interval": lambda text: parse_interval(text).value,
            "source": lambda text: _one_of("source", text, self.sources),
            "tab": lambda text: _one_of("tab", text, TABS),
            "window": _window,
            "weights": _read_weights,
        }
        self._restoring = True
        for name, read in readers.items():
            if name in values:
                try:
                    setattr(self, name, read(values[name]))
                except DashTradeError as error:
                    problem = problem or error
        self._restoring = False
        self._block()
        if problem is not None:
            self.say(describe(problem))
            self._address_problem = self.message

    def load(self) -> None:
        """Fetches and measures off the event loop. Does nothing while a blocker stands; the blocker is shown."""
        self._block()
        if self.blockers:
            self.say(Message("warning", " ".join(self.blockers)))
            return
        request = self._request()
        self._restoring = True
        self.symbols, self.benchmark = ", ".join(request.symbols), request.benchmark
        self._restoring = False
        self.in_background(
            lambda job: self._services.compare(request, progress=job.report, cancelled=job.cancelled),
            self._loaded,
            label=f"Loading {len(request.symbols)} symbols…",
            failed=self._failed,
        )

    def use_sample(self) -> None:
        """Real past prices of four shares, without a network."""
        self._restoring = True
        self.symbols, self.benchmark, self.source = SAMPLE_SYMBOLS, "MSFT", SAMPLE
        self.period, self.interval = SAMPLE_PERIOD, "1d"
        self._restoring = False
        self.load()

    def provenance(self) -> dict[str, tuple[str, ...]]:
        """Where the bars come from, and which symbols' do."""
        found: dict[str, tuple[str, ...]] = {}
        for symbol, attributes in (self.result.attributes if self.result is not None else {}).items():
            line = self._services.whence(attributes)
            found[line] = (*found.get(line, ()), symbol)
        return found

    def weigh(self, weights: Mapping[str, float]) -> None:
        """Ranks again; raises InvalidInput for weights that rank nothing."""
        self.weights = check_weights(weights)

    def notebook(self) -> NotebookFile:
        """What is shown as a notebook that makes it again and compares the hashes."""
        if self.result is None:
            raise NotFound("Nothing is compared yet. Press Compare first.")
        found = self.result.comparison
        numbers = self._services.numbers(found)
        text = self._services.write(self.result, self.weights, self.window)
        name = f"comparison-{'-'.join(found.symbols[:4])}-{found.prices.index[-1]:%Y%m%d}.ipynb"
        safe = re.sub(r"[^A-Za-z0-9.-]+", "_", name)
        return NotebookFile(safe, text, numbers.data_hash, numbers.result_hash)

    @t.validate("tab", "window")
    def _allowed(self, proposal: Any) -> Any:
        if proposal["trait"].name == "tab":
            return _one_of("tab", proposal["value"], TABS)
        return _window(proposal["value"])

    @t.observe("symbols", "benchmark", "period", "interval", "source")
    def _on_input(self, _change: Any) -> None:
        if self._restoring:
            return
        self._block()
        if not self.blockers:
            self.load()

    @t.observe("weights", "window", "tab")
    def _on_choice(self, change: Any) -> None:
        if self._restoring or self.result is None:
            return
        if change["name"] != "tab":
            self._derive(self.result)
        self._write_query()

    def _request(self) -> CompareRequest:
        _one_of("source", self.source, self.sources)
        return CompareRequest.parse(self.symbols, self.benchmark, self.period, self.interval, self.source or None)

    def _block(self) -> None:
        if not self.symbols.strip():
            self.blockers = ("Type two or more symbols with commas, such as AAPL, MSFT.",)
            return
        try:
            request = self._request()
            self._services.check(request.history(request.symbols[0]), request.source)
        except DashTradeError as error:
            self.blockers = (sentence(error),)
        else:
            self.blockers = ()

    def _derive(self, result: Compared) -> None:
        self.ranking = result.comparison.ranking(self.weights)
        bars = len(result.comparison.prices)
        self.rolling = result.comparison.rolling_correlation(self.window) if self.window < bars else None

    def _loaded(self, result: Compared) -> None:
        self._derive(result)
        self.result = result
        if result.left_out:
            self.say(Message("warning", "Left out: " + " ".join(result.left_out)))
        elif self.message is not self._address_problem:  # the first result must not wipe what was wrong in the address
            self.say(None)
        self._address_problem = None
        self._write_query()

    def _failed(self, error: Exception) -> None:
        message = describe(error)
        if isinstance(error, SourceUnreachable) and self.source != SAMPLE:
            message = Message(message.kind, message.text, "use_sample", "Show sample data")
        self.say(message)

    def _write_query(self) -> None:
        names = ("benchmark", "period", "interval", "source")
        values = {"symbols": self.symbols.replace(" ", "")} | {name: getattr(self, name) for name in names}
        if self.tab != "normalised":
            values["tab"] = self.tab
        if self.window != 60:
            values["window"] = str(self.window)
        if dict(self.weights) != dict(DEFAULT_WEIGHTS):
            values["weights"] = ",".join(f"{key}:{value:g}" for key, value in self.weights.items())
        self.query = values
        self.attempt(self._services.remember, dict(self.query))


def _one_of(field: str, value: str, allowed: Sequence[str] | Mapping[str, str]) -> str:
    if value not in allowed:
        raise InvalidInput(field, f"{value[:40]!r} is not known.", allowed=tuple(allowed))
    return value


def _window(value: str | int) -> int:
    if str(value) not in map(str, WINDOWS):
        raise InvalidInput("window", f"{str(value)[:20]!r} is not offered.", allowed=tuple(map(str, WINDOWS)))
    return int(value)


def _read_weights(text: str) -> dict[str, float]:
    """From ``sharpe:2,volatility:1``."""
    found = {}
    for part in filter(None, text.split(",")):
        key, _, value = part.partition(":")
        try:
            found[key.strip()] = float(value)
        except ValueError:
            allowed = [m.key for m in RANKED]
            raise InvalidInput("weights", f"{part[:40]!r} is not a weight such as sharpe:2.", allowed=allowed) from None
    return check_weights(found)
