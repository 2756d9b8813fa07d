"""State and actions of the analysis page. Services come in as callables; no widgets here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

import traitlets as t

from dashtrade.analysis import Level, RiskPlan, SignalReport
from dashtrade.domain.market import HistoryRequest, Interval, Period, parse_interval, parse_period, parse_symbol
from dashtrade.errors import BadBars, DashTradeError, InvalidInput, SourceUnreachable
from dashtrade.pages.analysis.marks import level_lines, pattern_markers
from dashtrade.pages.analysis.studies import Study, lay_out, make_study, parse_studies, warm_up
from dashtrade.pages.background import Background, inline
from dashtrade.pages.chart_data import ChartData, pack_bars
from dashtrade.pages.guard import Message, describe, sentence
from dashtrade.pages.model import PageModel

if TYPE_CHECKING:
    import pandas as pd

    from dashtrade.indicators.catalogue import Indicator

DEFAULT_STUDIES = "ema_ribbon,rsi"
AUTOMATIC = ""
SAMPLE = "sample"
MOST_BARS = 20_000
"""More would make a browser slow; the newest are shown."""


@dataclass(frozen=True, slots=True)
class AnalysisServices:
    """What the page needs done. ``history`` gives bars with so many more in front of the period asked, and how many
    those are; ``check`` raises InvalidInput for a pair that the source cannot serve."""

    history: Callable[[HistoryRequest, str | None, int], tuple[pd.DataFrame, int]]
    check: Callable[[HistoryRequest, str | None], None]
    indicator: Callable[..., Any]
    catalogue: Mapping[str, Indicator]
    signal: Callable[[pd.DataFrame], SignalReport]
    levels: Callable[[pd.DataFrame], tuple[Level, ...]]
    patterns: Callable[[pd.DataFrame], pd.DataFrame]
    plan: Callable[[pd.DataFrame, float, float, str], RiskPlan]
    sources: Sequence[str]
    remember: Callable[[Mapping[str, str]], None]


@dataclass(frozen=True, slots=True)
class DataBadge:
    """Where the bars come from. ``made_up`` marks simulated or sample data, which must never look like the market."""

    source: str
    delay_seconds: int
    fetched_at: datetime | None
    sample: bool
    simulated: bool
    notes: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        if self.simulated:
            return "Simulated · not market prices"
        if self.sample:
            return "Sample data · past prices"
        delay = f"{round(self.delay_seconds / 60)} min delayed" if self.delay_seconds >= 60 else "not delayed"
        fetched = f" · fetched {self.fetched_at:%H:%M:%S} UTC" if self.fetched_at else ""
        return f"{self.source.replace('_', ' ').title()} · {delay}{fetched}"


@dataclass(frozen=True, eq=False)
class Analysis:
    """One loaded symbol, ready to draw."""

    request: HistoryRequest
    chart: ChartData
    signal: SignalReport | None
    signal_note: str
    badge: DataBadge
    left_out: int = 0
    """Older bars of the period that are not drawn."""


class AnalysisModel(PageModel):
    """Symbol, period, interval, source and studies in; an Analysis out. Reads and writes its state as a query."""

    symbol: str = t.Unicode("AAPL")  # type: ignore[assignment]
    period: str = t.Unicode("1y")  # type: ignore[assignment]
    interval: str = t.Unicode("1d")  # type: ignore[assignment]
    source: str = t.Unicode(AUTOMATIC)  # type: ignore[assignment]
    studies: tuple[Study, ...] = t.Any(())  # type: ignore[assignment]
    marks: bool = t.Bool(True)  # type: ignore[assignment]
    result: Analysis | None = t.Instance(Analysis, allow_none=True)  # type: ignore[assignment]
    query: Mapping[str, str] = t.Any({})  # type: ignore[assignment]

    periods = tuple(p.value for p in Period)
    intervals = tuple(i.value for i in Interval)

    def __init__(self, services: AnalysisServices, *, background: Background = inline, **traits: Any) -> None:
        self._services = services
        self._bars: pd.DataFrame | None = None
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

    def restore(self, values: Mapping[str, str]) -> None:
        """Takes what is usable from a query or the last visit; the first thing that is not is said."""
        problem: DashTradeError | None = None
        readers: dict[str, Callable[[str], Any]] = {
            "symbol": parse_symbol,
            "period": lambda text: parse_period(text).value,
            "interval": lambda text: parse_interval(text).value,
            "source": self._parse_source,
            "studies": lambda text: parse_studies("" if text == "none" else text, self.catalogue),
            "marks": _parse_switch,
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
        source, studies, marks = self.source or None, self.studies, self.marks
        self._warm_up = warm_up(studies, self.catalogue)
        self.in_background(
            lambda _job: self._fetch(request, source, studies, marks, self._warm_up),
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

    def plan(self, account: float, risk_percent: float, side: str) -> RiskPlan | None:
        """Stop, targets and size for an entry at the last closed bar; None before a chart is there."""
        return None if self._bars is None else self._services.plan(_closed(self._bars), account, risk_percent, side)

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

    @t.observe("studies", "marks")
    def _on_studies(self, _change: Any) -> None:
        if self._restoring or self.result is None or self._bars is None:
            return
        if warm_up(self.studies, self.catalogue) > self._warm_up and not self.blockers:
            self.load()  # it looks back further than the bars that are here
            return
        try:
            self.result = self._draw(self.result.request, self._bars, self._before, self.studies, self.marks)
        except DashTradeError as error:
            self.say(describe(error))
            return
        self._write_query()

    def _block(self) -> None:
        try:
            self._parse_source(self.source)
            self._services.check(self._request(), self.source or None)
        except DashTradeError as error:
            self.blockers = (sentence(error),)
        else:
            self.blockers = ()

    def _fetch(
        self, request: HistoryRequest, source: str | None, studies: tuple[Study, ...], marks: bool, warm: int
    ) -> tuple[pd.DataFrame, int, Analysis]:
        bars, before = self._services.history(request, source, warm)
        return bars, before, self._draw(request, bars, before, studies, marks)

    def _draw(
        self, request: HistoryRequest, bars: pd.DataFrame, before: int, studies: tuple[Study, ...], marks: bool
    ) -> Analysis:
        """Indicators see every bar; ``before`` of them, and all but the newest MOST_BARS, are not drawn."""
        first = max(before, len(bars) - MOST_BARS)
        seen = bars.iloc[max(first - self._warm_up, 0) :]
        lead = first - max(first - self._warm_up, 0)
        lines, panels = lay_out(seen, studies, self.catalogue, self._services.indicator)
        lines = tuple(replace(line, values=line.values[lead:]) for line in lines)
        drawn, closed = bars.iloc[first:], _closed(seen)
        intraday = request.interval.intraday
        rows = pack_bars(drawn.index, [drawn[c] for c in ("open", "high", "low", "close", "volume")], intraday=intraday)
        chart = ChartData(f"{request.symbol} · {request.interval.value}", rows, intraday, lines, panels)
        report: SignalReport | None = None
        note = ""
        try:
            if marks and len(closed):
                levels = level_lines(self._services.levels(closed))
                markers = pattern_markers(self._services.patterns(closed), drawn.index[0])
                chart = replace(chart, levels=levels, markers=markers)
            report = self._services.signal(closed)
        except BadBars as error:
            note = str(error)
        return Analysis(request, chart, report, note, badge_of(bars), first - before)

    def _loaded(self, loaded: tuple[pd.DataFrame, int, Analysis]) -> None:
        self._bars, self._before, self.result = loaded
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
        if isinstance(error, SourceUnreachable) and self.source != SAMPLE:
            message = Message(message.kind, message.text, "use_sample", "Show sample data")
        self.say(message)

    def _write_query(self) -> None:
        studies = ",".join(map(str, self.studies)) or "none"
        values = {"symbol": self.symbol, "period": self.period, "interval": self.interval, "source": self.source}
        values |= {"studies": studies} if studies != DEFAULT_STUDIES else {}
        self.query = values | ({} if self.marks else {"marks": "off"})
        self.attempt(self._services.remember, dict(self.query))


def _closed(bars: pd.DataFrame) -> pd.DataFrame:
    return bars if bars.attrs.get("last_bar_closed", True) else bars.iloc[:-1]


def _parse_switch(text: str) -> bool:
    if text not in ("on", "off"):
        raise InvalidInput("marks", f"{text[:40]!r} is not a choice.", allowed=("on", "off"))
    return text == "on"


def badge_of(bars: pd.DataFrame) -> DataBadge:
    """From the attributes that the bars' source gave."""
    attrs = bars.attrs
    source = str(attrs.get("source", "unknown"))
    fetched = attrs.get("fetched_at")
    return DataBadge(
        source,
        int(attrs.get("delay_seconds") or 0),
        datetime.fromisoformat(fetched) if fetched else None,
        sample=source == SAMPLE,
        simulated=bool(attrs.get("simulated")),
        notes=tuple(attrs.get("notes") or ()),
    )
