"""State and actions of the analysis page. Services come in as callables; no widgets here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import traitlets as t

from dashtrade.analysis import RiskPlan
from dashtrade.domain.market import HistoryRequest, Interval, Period, parse_interval, parse_period, parse_symbol
from dashtrade.errors import DashTradeError, InvalidInput, SourceKeyProblem, SourceUnreachable
from dashtrade.pages.analysis.badge import SAMPLE
from dashtrade.pages.analysis.drawing import (
    MOST_BARS,
    Analysis,
    AnalysisServices,
    Shown,
    analysis_of,
    closed_part,
)
from dashtrade.pages.analysis.studies import Study, make_study, parse_studies, warm_up
from dashtrade.pages.background import Background, inline
from dashtrade.pages.guard import Message, describe, sentence
from dashtrade.pages.model import PageModel

if TYPE_CHECKING:
    import pandas as pd

    from dashtrade.indicators.catalogue import Indicator

DEFAULT_STUDIES = "ema_ribbon,rsi"
AUTOMATIC = ""
SIDES = ("signal", "long", "short")
"""Whose side the risk card takes: the signal's, or one chosen by hand."""


class AnalysisModel(PageModel):
    """Symbol, period, interval, source and studies in; an Analysis out. Reads and writes its state as a query."""

    symbol: str = t.Unicode("AAPL")  # type: ignore[assignment]
    period: str = t.Unicode("1y")  # type: ignore[assignment]
    interval: str = t.Unicode("1d")  # type: ignore[assignment]
    source: str = t.Unicode(AUTOMATIC)  # type: ignore[assignment]
    studies: tuple[Study, ...] = t.Any(())  # type: ignore[assignment]
    marks: bool = t.Bool(True)  # type: ignore[assignment]
    candles: bool = t.Bool(False)  # type: ignore[assignment]
    account: str = t.Unicode("10000")  # type: ignore[assignment]
    risk: str = t.Unicode("1")  # type: ignore[assignment]
    side: str = t.Unicode(SIDES[0])  # type: ignore[assignment]
    result: Analysis | None = t.Instance(Analysis, allow_none=True)  # type: ignore[assignment]
    query: Mapping[str, str] = t.Any({})  # type: ignore[assignment]

    periods = tuple(p.value for p in Period)
    intervals = tuple(i.value for i in Interval)

    def __init__(self, services: AnalysisServices, *, background: Background = inline, **traits: Any) -> None:
        self._services = services
        self.bars: pd.DataFrame | None = None
        """The bars of ``result``, those in front of the period included."""
        self._before = 0
        self._warm_up = 0
        self._restoring = False
        self._address_problem: Message | None = None
        super().__init__(background=background, **traits)
        self.studies = parse_studies(DEFAULT_STUDIES, services.catalogue)
        self._block()

    @property
    def sources(self) -> tuple[str, ...]:
        return (AUTOMATIC, *self._services.sources)

    @property
    def catalogue(self) -> Mapping[str, Indicator]:
        return self._services.catalogue

    @property
    def indicator(self) -> Callable[..., Any]:
        return self._services.indicator

    def restore(self, values: Mapping[str, str]) -> None:
        """Takes what is usable from a query or the last visit; the first thing that is not is said."""
        problem: DashTradeError | None = None
        readers: dict[str, Callable[[str], Any]] = {
            "symbol": parse_symbol,
            "period": lambda text: parse_period(text).value,
            "interval": lambda text: parse_interval(text).value,
            "source": self._parse_source,
            "studies": lambda text: parse_studies("" if text == "none" else text, self.catalogue),
            "marks": lambda text: _parse_switch("marks", text),
            "candles": lambda text: _parse_switch("candles", text),
            "side": _parse_side,
            "account": str,
            "risk": str,
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
        """Fetches and computes off the event loop. Does nothing while a blocker stands; the blocker is shown."""
        self._block()
        if self.blockers:
            self.say(Message("warning", " ".join(self.blockers)))
            return
        request = self._request()
        self._restoring = True
        self.symbol = request.symbol  # as the sources write it
        self._restoring = False
        source = self.source or None
        self._warm_up = warm_up(self.studies, self.catalogue)
        shown = self._shown()
        self.in_background(
            lambda _job: self._fetch(request, source, shown),
            self._loaded,
            label=f"Loading {request.symbol}…",
            failed=self._failed,
        )

    def use_sample(self) -> None:
        """The remedy offered when no source can be reached."""
        self.source = SAMPLE
        if not self.busy:
            self.load()

    def add_study(self, key: str, params: Mapping[str, Any] | None = None) -> None:
        study = make_study(self.catalogue[key], params or {})
        if study in self.studies:
            raise InvalidInput("indicator", "this one is on the chart already; change its parameters to add another.")
        self.studies = parse_studies(",".join(map(str, (*self.studies, study))), self.catalogue)

    def remove_study(self, study: Study) -> None:
        self.studies = tuple(s for s in self.studies if s != study)

    def use_automatic(self) -> None:
        """The remedy offered when the chosen source has no key."""
        self.source = AUTOMATIC

    def show_studies(self, text: str, *, marks: bool, candles: bool) -> None:
        """Everything on the chart at once, as a saved layout has it; raises InvalidInput for a text it cannot read."""
        studies = parse_studies("" if text == "none" else text, self.catalogue)
        self._restoring = True
        self.studies, self.marks, self.candles = studies, marks, candles
        self._restoring = False
        self._on_studies(None)

    @property
    def studies_text(self) -> str:
        return ",".join(map(str, self.studies)) or "none"

    def plan(self, account: float, risk_percent: float, side: str) -> RiskPlan | None:
        """Stop, targets and size for an entry at the last closed bar; None before a chart is there."""
        return None if self.bars is None else self._services.plan(closed_part(self.bars), account, risk_percent, side)

    def _parse_source(self, text: str) -> str:
        if text not in self.sources:
            raise InvalidInput("source", f"{text[:40]!r} is not a source.", allowed=self._services.sources)
        return text

    def _request(self) -> HistoryRequest:
        return HistoryRequest.parse(self.symbol, self.interval, self.period)

    @t.observe("symbol", "period", "interval", "source")
    def _on_input(self, change: Any) -> None:
        if self._restoring:
            return
        self._block()
        if change["name"] != "symbol" and self.blockers:
            self.say(Message("warning", " ".join(self.blockers)))
        elif not self.blockers:
            self.load()

    @t.observe("studies", "marks", "candles")
    def _on_studies(self, _change: Any) -> None:
        if self._restoring or self.result is None or self.bars is None:
            return
        if warm_up(self.studies, self.catalogue) > self._warm_up and not self.blockers:
            self.load()  # it looks back further than the bars that are here
            return
        try:
            self.result = analysis_of(self._services, self.result.request, self.bars, self._before, self._shown())
        except DashTradeError as error:
            self.say(describe(error))
            return
        self._write_query()

    @t.observe("account", "risk", "side")
    def _on_plan(self, _change: Any) -> None:
        if not self._restoring and self.result is not None:
            self._write_query()

    def _shown(self) -> Shown:
        return Shown(self.studies, self.marks, self.candles, self._warm_up)

    def _block(self) -> None:
        try:
            self._parse_source(self.source)
            self._services.check(self._request(), self.source or None)
        except DashTradeError as error:
            self.blockers = (sentence(error),)
        else:
            self.blockers = ()

    def _fetch(self, request: HistoryRequest, source: str | None, shown: Shown) -> tuple[pd.DataFrame, int, Analysis]:
        bars, before = self._services.history(request, source, shown.warm_up)
        return bars, before, analysis_of(self._services, request, bars, before, shown)

    def _loaded(self, loaded: tuple[pd.DataFrame, int, Analysis]) -> None:
        self.bars, self._before, self.result = loaded
        notes = self.result.badge.notes
        if notes:
            self.say(Message("warning", "Another source was used. " + " ".join(notes)))
        elif self.result.left_out:
            count = MOST_BARS + self.result.left_out
            text = f"The newest {MOST_BARS:,} of {count:,} bars are shown. A longer interval shows more."
            self.say(Message("info", text))
        elif self.message is not self._address_problem:  # the first chart must not wipe what was wrong in the address
            self.say(None)
        self._address_problem = None
        self._write_query()

    def _failed(self, error: Exception) -> None:
        message = describe(error)
        if isinstance(error, SourceKeyProblem) and self.source != AUTOMATIC:
            message = Message(message.kind, message.text, "use_automatic", "Use the automatic source")
        elif isinstance(error, SourceUnreachable | SourceKeyProblem) and self.source != SAMPLE:
            message = Message(message.kind, message.text, "use_sample", "Show sample data")
        self.say(message)

    def _write_query(self) -> None:
        values = {"symbol": self.symbol, "period": self.period, "interval": self.interval, "source": self.source}
        values |= {"studies": self.studies_text} if self.studies_text != DEFAULT_STUDIES else {}
        values |= {} if self.marks else {"marks": "off"}
        self.query = values | ({"candles": "on"} if self.candles else {})
        # what one trades with is kept, and never written to an address that may be shared
        kept = {"account": self.account, "risk": self.risk, "side": self.side}
        self.attempt(self._services.remember, {**self.query, **kept})


def _parse_switch(name: str, text: str) -> bool:
    if text not in ("on", "off"):
        raise InvalidInput(name, f"{text[:40]!r} is not a choice.", allowed=("on", "off"))
    return text == "on"


def _parse_side(text: str) -> str:
    if text not in SIDES:
        raise InvalidInput("side", f"{text[:40]!r} is not a side.", allowed=SIDES)
    return text
