"""Everything about one symbol at the close of its last bar."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, is_dataclass
from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from dashtrade.analysis.level_finder import SOURCES, Level, levels_of
from dashtrade.analysis.readings import Evidence
from dashtrade.analysis.risk_plan import RiskPlan, plan_trade
from dashtrade.analysis.volume_reading import VolumeReading, read_volume
from dashtrade.analysis.votes import Action, SignalReport, vote
from dashtrade.display import Displayed, Fact
from dashtrade.domain.bars import readable
from dashtrade.domain.market import NewsItem
from dashtrade.errors import BadBars
from dashtrade.indicators import REGISTRY, Columns, compute
from dashtrade.patterns import ChartHit, ChartScanner, candlestick_patterns
from dashtrade.patterns.pivots import PricesOf

if TYPE_CHECKING:
    from ipywidgets import DOMWidget
    from matplotlib.figure import Figure

LEVEL_LOOKBACK = 250
LEVEL_TOLERANCE = 0.5
STOP_RANGES = 2.0


@dataclass(frozen=True, slots=True, repr=False)
class Analysis(Displayed):
    """The reading of one symbol at the close of ``time``.

    ``indicators`` maps each key of the catalogue to its outputs' last values at the defaults (NaN while warming up);
    ``candlesticks`` is the table of every candlestick pattern, ``chart_patterns`` every hit; ``open_patterns`` those
    that still wait for confirmation or their target. ``risk`` is None when there is no average range yet.
    """

    symbol: str
    time: datetime
    price: float
    bars: int
    indicators: dict[str, dict[str, float]]
    candlesticks: pd.DataFrame
    chart_patterns: tuple[ChartHit, ...]
    levels: tuple[Level, ...]
    volume: VolumeReading | None
    signal: SignalReport
    risk: RiskPlan | None

    @property
    def open_patterns(self) -> tuple[ChartHit, ...]:
        return tuple(h for h in self.chart_patterns if h.reached_at is None and h.invalidated_at is None)

    def to_frame(self) -> pd.DataFrame:
        """The last value of every indicator's output: columns indicator, output, value."""
        rows = [(key, name, value) for key, outputs in self.indicators.items() for name, value in outputs.items()]
        return pd.DataFrame(rows, columns=["indicator", "output", "value"])

    def figure(self) -> Figure:
        """The votes behind the signal."""
        return self.signal.figure()

    def plot(self) -> DOMWidget:
        return self.signal.plot()

    def _headline(self) -> str:
        return f"{self.symbol or 'Analysis'} at the close of {self.time:%Y-%m-%d %H:%M} UTC"

    def _facts(self) -> Sequence[Fact]:
        nearest = {kind: [lv for lv in self.levels if lv.kind == kind] for kind in ("support", "resistance")}
        found = [
            (kind.capitalize(), f"{min(lvs, key=lambda lv: abs(lv.distance_percent)).price:,.6g}")
            for kind, lvs in nearest.items()
            if lvs
        ]
        return (
            ("Price", f"{self.price:,.6g}"),
            ("Signal", self.signal.action.value),
            ("Score", f"{self.signal.score:+.0f}"),
            *found,
            ("Open patterns", str(len(self.open_patterns))),
        )

    def _notes(self) -> Sequence[str]:
        volume = () if self.volume is None else self.volume.sentences
        risk = () if self.risk is None else (self.risk.sentence,)
        return (self.signal.sentence, *volume, *risk)

    def _shown_rows(self) -> pd.DataFrame:
        return self.signal.to_frame()[["name", "points", "sentence"]]

    def as_dict(self, recent: int = 10) -> dict[str, Any]:
        """Plain values for JSON: NaN becomes None, times ISO 8601, only the ``recent`` newest patterns."""
        return {
            "symbol": self.symbol,
            "time": self.time.isoformat(),
            "price": _plain(self.price),
            "bars": self.bars,
            "signal": _plain(self.signal) | {"sentence": self.signal.sentence, "with_trend": self.signal.with_trend},
            "levels": [_plain(level) | {"sentence": level.sentence} for level in self.levels],
            "volume": _plain(self.volume),
            "risk": None if self.risk is None else _plain(self.risk) | {"sentence": self.risk.sentence},
            "candlesticks": _plain(self.candlesticks.tail(recent).to_dict("records")),
            "chart_patterns": [_plain(hit) for hit in self.chart_patterns[-recent:]],
            "indicators": _plain(self.indicators),
        }


def analyze(
    bars: pd.DataFrame,
    symbol: str | None = None,
    balance: float | Decimal = 10_000.0,
    risk_percent: float = 1.0,
    buying_power: float | Decimal | None = None,
    news: Sequence[NewsItem] = (),
) -> Analysis:
    """All indicators at their defaults, all patterns, levels, volume, the signal and a risk plan, for closed bars.

    A last bar that was still forming when it was fetched is left out, and so are ones at the end without a price. The
    plan is for the signal's side (long on HOLD), with a stop two average ranges away. ``symbol`` is taken from
    ``bars.attrs`` when left out. Raises BadBars for too few bars or a missing column.

    >>> import dashtrade as dt
    >>> found = dt.analyze(dt.history("AAPL", source="sample"))
    >>> found.symbol, str(found.signal.action)
    ('AAPL', 'SELL')
    """
    Columns(bars)  # what is no frame of bars is refused before it is read
    bars = readable(bars)
    columns = Columns(bars)
    for name in ("open", "high", "low", "close", "volume"):
        columns[name]
    if not len(bars):
        raise BadBars("There are no bars to analyse.")
    values: dict[str, dict[str, float]] = {}
    evidence_cache: dict[str, tuple[np.ndarray, ...]] = {}
    for key, entry in REGISTRY.items():
        arrays = evidence_cache[key] = compute(entry, columns, entry.defaults)
        values[key] = {name: float(array[-1]) for name, array in zip(entry.outputs, arrays, strict=True)}
    candles = candlestick_patterns(bars)
    scanner = ChartScanner()
    scanner.follow(bars)
    hits = scanner.hits()
    reach = values["atr"]["atr"]
    found: tuple[Level, ...] = ()
    if math.isfinite(reach) and reach > 0:
        found = levels_of(PricesOf.of(bars), scanner.fine_pivots, reach, LEVEL_LOOKBACK, LEVEL_TOLERANCE, SOURCES)
    evidence = Evidence(bars, columns, candles, hits, [level for level in found if level.source == "pivots"], news)
    evidence.remember(evidence_cache)
    report = vote(evidence)
    return Analysis(
        symbol=symbol or str(bars.attrs.get("symbol", "")),
        time=report.time,
        price=report.price,
        bars=len(bars),
        indicators=values,
        candlesticks=candles,
        chart_patterns=hits,
        levels=found,
        volume=read_volume(bars),
        signal=report,
        risk=_plan(report, reach, balance, risk_percent, buying_power),
    )


def _plan(
    report: SignalReport,
    reach: float,
    balance: float | Decimal,
    risk_percent: float,
    buying_power: float | Decimal | None,
) -> RiskPlan | None:
    side = -1 if report.action is Action.SELL else 1
    stop = report.price - side * STOP_RANGES * reach
    if not (math.isfinite(reach) and reach > 0 and stop > 0 and math.isfinite(report.price)):
        return None
    reason = f"{STOP_RANGES:g} average ranges away"
    return plan_trade(report.price, stop, balance, risk_percent, side, (), buying_power, reason)


def _plain(value: Any) -> Any:
    if value is None or value is pd.NaT:
        return None
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
