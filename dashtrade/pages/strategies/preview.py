"""Where a strategy would have fired on a chosen symbol: the bars, a mark for each time a rule becomes true, a count."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import traitlets as t

from dashtrade.domain.market import HistoryRequest, Interval, Period
from dashtrade.domain.strategy import Arithmetic, Expression, Operand, Strategy
from dashtrade.errors import DashTradeError, InvalidInput, SourceUnreachable
from dashtrade.pages.background import Background, inline
from dashtrade.pages.chart_data import SERIES_COLOURS, ChartData, Line, Marker, PanelSpec, pack_bars
from dashtrade.pages.guard import Message, describe, sentence
from dashtrade.pages.model import Job, PageModel

if TYPE_CHECKING:
    import pandas as pd

SAMPLE = "sample"
_SIDES: dict[str, tuple[Literal["buy", "sell"], str]] = {
    "long_entry": ("buy", "Buy"),
    "long_exit": ("sell", "Sell"),
    "short_entry": ("sell", "Short"),
    "short_exit": ("buy", "Buy back"),
}
_MOST_LINES, _MOST_PANELS, _MOST_WORDS = 6, 2, 40
History = Callable[[HistoryRequest, str | None], "pd.DataFrame"]


@dataclass(frozen=True, slots=True)
class Fires:
    """How often a rule became true, on how many bars it was true, and when last."""

    part: str
    times: int
    bars: int
    last: datetime | None


@dataclass(frozen=True, eq=False)
class Shown:
    """One preview. ``undecided`` is the number of bars before every value of the rules exists."""

    chart: ChartData
    fires: tuple[Fires, ...]
    size: int
    undecided: int
    source: str
    simulated: bool


class PreviewModel(PageModel):
    """The chart beside the rules. ``draw(strategy)`` starts a new one and drops the one under way."""

    symbol: str = t.Unicode("AAPL")  # type: ignore[assignment]
    period: str = t.Unicode("2y")  # type: ignore[assignment]
    interval: str = t.Unicode("1d")  # type: ignore[assignment]
    source: str = t.Unicode("")  # type: ignore[assignment]
    shown: Shown | None = t.Instance(Shown, allow_none=True)  # type: ignore[assignment]

    periods = tuple(p.value for p in Period)
    intervals = tuple(i.value for i in Interval)
    inputs = ("symbol", "period", "interval", "source")

    def __init__(
        self, history: History, sources: Sequence[str], *, background: Background = inline, **traits: Any
    ) -> None:
        self._history = history
        self.sources = ("", *sources)
        self._strategy: Strategy | None = None
        self._bars: tuple[Any, pd.DataFrame] | None = None
        self._drawn: Any = None
        super().__init__(background=background, **traits)
        self.observe(lambda _change: self._start(), list(self.inputs))

    @property
    def bars(self) -> pd.DataFrame | None:
        """The bars of the picture; None while there is none for the symbol, span and source chosen now."""
        try:
            request = HistoryRequest.parse(self.symbol, self.interval, self.period)
        except DashTradeError:
            return None
        return self._bars[1] if self._bars is not None and self._bars[0] == (request, self.source or None) else None

    def draw(self, strategy: Strategy | None) -> None:
        """Shows where ``strategy`` would have fired; None keeps the last picture and says why on the page."""
        self._strategy = strategy
        self._start()

    def use_sample(self) -> None:
        """The remedy offered when no source can be reached."""
        self.source = SAMPLE

    def again(self) -> None:
        self._drawn = None
        self._start()

    def _start(self) -> None:
        try:
            request = HistoryRequest.parse(self.symbol, self.interval, self.period)
            if self.source not in self.sources:
                raise InvalidInput("source", f"{self.source[:40]!r} is not known.", allowed=filter(None, self.sources))
        except DashTradeError as error:
            self._drop()
            self.blockers = (sentence(error),)
            return
        self.blockers = ()
        strategy, source = self._strategy, self.source or None
        if strategy is None:
            self._drop()
            return
        key = (request, source)
        if self._drawn == (key, strategy):
            return
        known = self._bars[1] if self._bars is not None and self._bars[0] == key else None

        def work(job: Job) -> tuple[Any, pd.DataFrame, Shown] | None:
            bars = known if known is not None else self._history(request, source)
            if job.cancelled():
                return None
            return key, bars, preview(strategy, bars, request.symbol, job.cancelled)

        self.in_background(work, lambda made: self._done(made, strategy), label="Drawing…", failed=self._failed)

    def _done(self, made: tuple[Any, pd.DataFrame, Shown] | None, strategy: Strategy) -> None:
        if made is None:
            return
        key, bars, self.shown = made
        self._bars, self._drawn = (key, bars), (key, strategy)
        self.say(None)

    def _failed(self, error: Exception) -> None:
        message = describe(error)
        if isinstance(error, SourceUnreachable) and self.source != SAMPLE:
            message = Message(message.kind, message.text, "use_sample", "Use sample data")
        elif not isinstance(error, InvalidInput):
            message = Message(message.kind, message.text, "again", "Try again")
        self.say(message)


def preview(
    strategy: Strategy, bars: pd.DataFrame, symbol: str, cancelled: Callable[[], bool] = lambda: False
) -> Shown:
    """Bars, marks and counts. A rule fires on the first bar of each stretch on which it is true."""
    import pandas as pd

    from dashtrade.strategies import Operands, signals

    operands = Operands(bars)
    decided = signals(strategy, operands)
    times = pd.DatetimeIndex(bars.index)
    marks: list[Marker] = []
    fires: list[Fires] = []
    for part, (side, word) in _SIDES.items():
        if getattr(strategy, part) is None or cancelled():
            continue
        flags = np.asarray(getattr(decided, part), dtype=bool)
        starts = np.flatnonzero(flags & ~np.concatenate(([False], flags[:-1])))
        on = np.flatnonzero(flags)
        marks += [Marker(times[int(i)].to_pydatetime(), side, word) for i in starts]
        fires.append(Fires(part, len(starts), len(on), times[int(on[-1])].to_pydatetime() if len(on) else None))
    if len(marks) > _MOST_WORDS:
        marks = [replace(mark, text="") for mark in marks]
    interval = Interval(str(bars.attrs.get("interval", Interval.D1.value)))
    rows = pack_bars(times, [bars[c] for c in ("open", "high", "low", "close", "volume")], intraday=interval.intraday)
    lines, panels, undecided = _lines(strategy, operands)
    title = f"{symbol} · {interval.value}"
    chart = ChartData(title, rows, interval.intraday, lines=lines, panels=panels, markers=tuple(marks))
    source = str(bars.attrs.get("source", ""))
    return Shown(chart, tuple(fires), len(bars), undecided, source, bool(bars.attrs.get("simulated")))


def _lines(strategy: Strategy, operands: Any) -> tuple[tuple[Line, ...], tuple[PanelSpec, ...], int]:
    """What the rules read, drawn over the prices or in a panel, and the longest stretch without a value."""
    from dashtrade.backtest.checks import conditions
    from dashtrade.indicators import REGISTRY
    from dashtrade.strategies import to_text

    read: dict[Operand, None] = {}
    for _part, condition in conditions(strategy):
        for side in (condition.left, condition.right, condition.upper):
            read.update(dict.fromkeys(_operands(side)))
    lines: list[Line] = []
    panes: dict[str, PanelSpec] = {}
    undecided = 0
    for operand in read:
        values = operands.values(operand)
        known = np.flatnonzero(np.isfinite(values))
        undecided = max(undecided, int(known[0]) if len(known) else len(values))
        if operand.name not in REGISTRY or len(lines) >= _MOST_LINES:
            continue
        entry = REGISTRY[operand.name]
        pane = 0
        if not entry.panel.overlay:
            if operand.name not in panes and len(panes) >= _MOST_PANELS:
                continue
            spec = panes.setdefault(operand.name, PanelSpec(len(panes) + 1, entry.label, entry.panel.guides))
            pane = spec.pane
        elif (operand.output or entry.outputs[0]) in entry.off_price:
            continue
        colour = SERIES_COLOURS[len(lines) % len(SERIES_COLOURS)]
        lines.append(Line(to_text(operand), values, colour, pane=pane))
    return tuple(lines), tuple(panes.values()), undecided


def _operands(side: Expression | None) -> list[Operand]:
    if isinstance(side, Arithmetic):
        return _operands(side.left) + _operands(side.right)
    return [side] if isinstance(side, Operand) else []
