"""The last bar as it moves: polled off the event loop, drawn into the chart, with the age of its price."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import traitlets as t

from dashtrade.errors import DashTradeError
from dashtrade.pages.analysis.companion import Companion
from dashtrade.pages.analysis.model import AnalysisModel
from dashtrade.pages.analysis.studies import lay_out
from dashtrade.pages.background import Background, inline
from dashtrade.pages.chart_data import pack_bars
from dashtrade.pages.formats import formats
from dashtrade.pages.guard import describe, sentence

if TYPE_CHECKING:
    import pandas as pd

SECONDS = 3.0
_TAIL = 3000
"""Bars the indicators of the last bar look back on."""


@dataclass(frozen=True, slots=True)
class LiveBar:
    """The newest bar as the chart takes it (UTC seconds, open, high, low, close, volume), the value of each line there,
    and when its price was made."""

    bar: tuple[float, ...]
    values: tuple[float, ...]
    at: datetime
    simulated: bool

    def text(self, now: datetime) -> str:
        seconds = max(int((now - self.at).total_seconds()), 0)
        units = ((60, 1, "s"), (3600, 60, "min"), (172_800, 3600, "h"))
        age = next((f"{seconds // size} {unit}" for limit, size, unit in units if seconds < limit), "")
        age = age or f"{seconds // 86_400} days"
        if self.simulated:
            return f"Live {formats().price(self.bar[4])} · simulated"
        return f"Live {formats().price(self.bar[4])} · {age} old"


class LiveModel(Companion):
    """``poll`` moves the last bar on by the latest shared price. It asks nothing while the page is not looked at, while
    an older question runs, or where the source has no live prices."""

    live: LiveBar | None = t.Instance(LiveBar, allow_none=True)  # type: ignore[assignment]
    problem: str = t.Unicode("")  # type: ignore[assignment]

    def __init__(
        self,
        page: AnalysisModel,
        moved: Callable[[pd.DataFrame], pd.DataFrame],
        polled: Callable[[str], bool],
        background: Background = inline,
    ) -> None:
        super().__init__(page, background)
        self._move, self._polled = moved, polled
        self._base: pd.DataFrame | None = None
        self._frame: pd.DataFrame | None = None
        self._asking = False
        page.observe(lambda _change: self._on_result(), "result")

    def poll(self) -> None:
        base = self.page.bars
        if self._asking or self.page.busy or base is None or self.page.result is None:
            return
        if not self._polled(str(base.attrs.get("source", ""))):
            return
        frame = self._frame if self._frame is not None and self._base is base else base
        self._asking = True
        self.ask(lambda: self._next(frame), lambda answer: self._answered(base, answer), self._failed)

    def _next(self, frame: pd.DataFrame) -> tuple[pd.DataFrame, LiveBar | None]:
        moved = self._move(frame)
        at = moved.attrs.get("live_at")
        if moved is frame or at is None:
            return frame, None
        result = self.page.result
        assert result is not None
        tail = moved.iloc[-_TAIL:]
        lines, _ = lay_out(tail, self.page.studies, self.page.catalogue, self.page.indicator)
        last = tail.iloc[-1:]
        columns = [last[name] for name in ("open", "high", "low", "close", "volume")]
        [row] = pack_bars(last.index, columns, intraday=result.request.interval.intraday)
        return moved, LiveBar(
            tuple(row.tolist()),
            tuple(float(line.values[-1]) for line in lines),
            datetime.fromisoformat(at),
            bool(moved.attrs.get("simulated")),
        )

    def _answered(self, base: pd.DataFrame, answer: tuple[pd.DataFrame, LiveBar | None]) -> None:
        self._asking = False
        if base is not self.page.bars:
            return
        self._base, (self._frame, live) = base, answer
        self.problem = ""
        if live is not None:
            self.live = live

    def _failed(self, error: Exception) -> None:
        self._asking = False
        self.problem = sentence(error) if isinstance(error, DashTradeError) else describe(error).text

    def _on_result(self) -> None:
        """New bars start anew; a chart drawn again from the same bars shows the moved bar at the next poll."""
        if self.page.bars is not self._base:
            self._frame = self._base = None
            self._asking = False
            self._turn += 1
            self.live, self.problem = None, ""

    def text(self) -> str:
        return self.live.text(datetime.now(UTC)) if self.live is not None else ""
