"""A loaded symbol as one frozen value: its chart, its signal, what its volume says, and where the bars come from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from dashtrade.analysis import Level, RiskPlan, SignalReport, VolumeReading
from dashtrade.domain.market import HistoryRequest
from dashtrade.errors import BadBars
from dashtrade.pages.analysis.badge import DataBadge, badge_of
from dashtrade.pages.analysis.marks import candle_markers, level_lines, pattern_markers, pattern_zones
from dashtrade.pages.analysis.studies import Study, lay_out
from dashtrade.pages.chart_data import ChartData, pack_bars

if TYPE_CHECKING:
    import pandas as pd

    from dashtrade.indicators.catalogue import Indicator

MOST_BARS = 20_000
"""More would make a browser slow; the newest are shown."""


@dataclass(frozen=True, slots=True)
class AnalysisServices:
    """What the page needs done. ``history`` gives bars with so many more in front of the period asked, and how many
    those are; ``check`` raises InvalidInput for a pair that the source cannot serve; ``fingerprint`` is a hash of bars
    and indicators that a notebook can make again."""

    history: Callable[[HistoryRequest, str | None, int], tuple[pd.DataFrame, int]]
    check: Callable[[HistoryRequest, str | None], None]
    indicator: Callable[..., Any]
    catalogue: Mapping[str, Indicator]
    signal: Callable[[pd.DataFrame], SignalReport]
    levels: Callable[[pd.DataFrame], tuple[Level, ...]]
    patterns: Callable[[pd.DataFrame], pd.DataFrame]
    candles: Callable[[pd.DataFrame], pd.DataFrame]
    volume: Callable[[pd.DataFrame], VolumeReading | None]
    plan: Callable[[pd.DataFrame, float, float, str], RiskPlan]
    sources: Sequence[str]
    remember: Callable[[Mapping[str, str]], None]


@dataclass(frozen=True, slots=True)
class Shown:
    """What is drawn beside the bars."""

    studies: tuple[Study, ...]
    marks: bool
    candles: bool
    warm_up: int


@dataclass(frozen=True, eq=False)
class Analysis:
    """One loaded symbol, ready to draw."""

    request: HistoryRequest
    chart: ChartData
    signal: SignalReport | None
    signal_note: str
    badge: DataBadge
    volume: VolumeReading | None = None
    left_out: int = 0
    """Older bars of the period that are not drawn."""


def closed_part(bars: pd.DataFrame) -> pd.DataFrame:
    return bars if bars.attrs.get("last_bar_closed", True) else bars.iloc[:-1]


def analysis_of(
    services: AnalysisServices, request: HistoryRequest, bars: pd.DataFrame, before: int, shown: Shown
) -> Analysis:
    """Indicators see every bar; ``before`` of them, and all but the newest MOST_BARS, are not drawn."""
    first = max(before, len(bars) - MOST_BARS)
    begin = max(first - shown.warm_up, 0)
    seen, drawn = bars.iloc[begin:], bars.iloc[first:]
    lines, panels = lay_out(seen, shown.studies, services.catalogue, services.indicator)
    lines = tuple(replace(line, values=line.values[first - begin :]) for line in lines)
    closed, intraday = closed_part(seen), request.interval.intraday
    rows = pack_bars(drawn.index, [drawn[c] for c in ("open", "high", "low", "close", "volume")], intraday=intraday)
    chart = ChartData(f"{request.symbol} · {request.interval.value}", rows, intraday, lines, panels)
    report: SignalReport | None = None
    volume: VolumeReading | None = None
    note = ""
    try:
        if shown.marks and len(closed):
            hits = services.patterns(closed)
            chart = replace(
                chart,
                levels=level_lines(services.levels(closed)),
                markers=pattern_markers(hits, drawn.index[0]),
                zones=pattern_zones(hits, drawn.index[0]),
            )
        if shown.candles and len(closed):
            chart = replace(chart, markers=chart.markers + candle_markers(services.candles(closed), drawn.index[0]))
        volume = services.volume(closed)
        report = services.signal(closed)
    except BadBars as error:
        note = str(error)
    return Analysis(request, chart, report, note, badge_of(bars), volume, first - before)
