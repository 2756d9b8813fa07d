"""One signal from many readings: named votes, their weights in one table, and a score from −100 to 100.

Only closed bars count: a last bar that was still forming when it was fetched is left out. Nothing here looks past the
last bar given.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING

import pandas as pd

from dashtrade.analysis.readings import VOTERS, Evidence
from dashtrade.display import Displayed, Fact
from dashtrade.domain.bars import readable
from dashtrade.domain.market import NewsItem
from dashtrade.errors import BadBars
from dashtrade.indicators import Columns

if TYPE_CHECKING:
    from ipywidgets import DOMWidget
    from matplotlib.figure import Figure


class Action(StrEnum):
    BUY = "BUY"
    SELL = "SELL"
    HOLD = "HOLD"


class Group(StrEnum):
    TREND = "trend"
    MOMENTUM = "momentum"
    VOLUME = "volume"
    PATTERNS = "patterns"
    LEVELS = "levels"
    NEWS = "news"


WEIGHTS: dict[str, tuple[Group, float]] = {
    "ribbon": (Group.TREND, 15),
    "macd": (Group.TREND, 10),
    "directional movement": (Group.TREND, 10),
    "rsi": (Group.MOMENTUM, 8),
    "stochastic": (Group.MOMENTUM, 5),
    "rate of change": (Group.MOMENTUM, 7),
    "on-balance volume": (Group.VOLUME, 8),
    "money flow": (Group.VOLUME, 7),
    "candlesticks": (Group.PATTERNS, 6),
    "chart patterns": (Group.PATTERNS, 14),
    "support and resistance": (Group.LEVELS, 10),
    "news": (Group.NEWS, 10),
}
"""Name of each vote → its group and weight. A vote that cannot be read (warm-up, no volume) is left out, not a 0."""

BUY_AT = 25.0
"""BUY from this score upward, SELL from its negative downward, HOLD between."""


@dataclass(frozen=True, slots=True)
class Vote:
    """One reading: ``value`` from −1 (sell) to 1 (buy), and the time of the bar at whose close it became known."""

    group: Group
    name: str
    value: float
    weight: float
    time: datetime
    sentence: str


@dataclass(frozen=True, slots=True, repr=False)
class SignalReport(Displayed):
    """What the votes add up to at ``time``: score = 100 · Σ weight·value / Σ weight over the votes read."""

    action: Action
    score: float
    votes: tuple[Vote, ...]
    time: datetime
    price: float
    trend: int
    """1 up, −1 down, 0 undecided: the ribbon's order alone."""

    @property
    def with_trend(self) -> bool:
        """True only for a BUY in an uptrend or a SELL in a downtrend."""
        return (self.action is Action.BUY and self.trend > 0) or (self.action is Action.SELL and self.trend < 0)

    @property
    def sentence(self) -> str:
        side = {1: "an uptrend", -1: "a downtrend", 0: "no clear trend"}[self.trend]
        return f"{self.action} with a score of {self.score:+.0f} of 100 from {len(self.votes)} votes, in {side}."

    def to_frame(self) -> pd.DataFrame:
        """One row a vote: group, name, value (−1 … 1), weight, points (its part of the score), time, sentence."""
        total = sum(v.weight for v in self.votes)
        rows = [
            (v.group.value, v.name, v.value, v.weight, 100 * v.weight * v.value / total, v.time, v.sentence)
            for v in self.votes
        ]
        names = ["group", "name", "value", "weight", "points", "time", "sentence"]
        return pd.DataFrame(rows, columns=names)

    def figure(self) -> Figure:
        from dashtrade.display.figures import bars_figure

        return bars_figure(self.to_frame().set_index("name")["points"], "Points of the score")

    def plot(self) -> DOMWidget:
        from dashtrade.display.plots import bars_plot

        return bars_plot(self.to_frame().set_index("name")["points"], "Points of the score")

    def _headline(self) -> str:
        return self.sentence.removesuffix(".")

    def _facts(self) -> Sequence[Fact]:
        return (
            ("Signal", self.action.value),
            ("Score", f"{self.score:+.0f}"),
            ("Price", f"{self.price:,.6g}"),
            ("At the close of", f"{self.time:%Y-%m-%d %H:%M}"),
        )

    def _shown_rows(self) -> pd.DataFrame:
        return self.to_frame()[["group", "name", "points", "sentence"]]


def signal(bars: pd.DataFrame, news: Sequence[NewsItem] = ()) -> SignalReport:
    """BUY, SELL or HOLD at the close of the last bar, with the votes behind it.

    ``bars`` is a frame of OHLCV bars. Bars at the end that are not complete are left out: one that ``attrs`` tell was
    still forming, and ones without a price. A vote whose indicator is still warming up is left out, too. ``news`` with
    a sentiment joins as a vote of its own, items of the last week that were out by then. Raises BadBars when the bars
    are too few for any vote (fewer than 15).

    >>> import dashtrade as dt
    >>> report = dt.signal(dt.history("AAPL", source="sample"))
    >>> str(report.action), -100 <= report.score <= 100
    ('SELL', True)
    """
    Columns(bars)  # what is no frame of bars is refused before it is read
    return vote(Evidence(readable(bars), news=news))


LEAST, ENOUGH = 15, 60
"""Bars with which the first votes can speak, and with which all do."""


def too_few(count: int) -> str:
    """What to say of ``count`` bars that no vote can be read from, and what to do."""
    have = f"{count} bar is" if count == 1 else f"{count} bars are"
    return (
        f"{have} too few for a signal, which needs {LEAST}, and {ENOUGH} for every vote. Ask for a longer period (3mo "
        "of daily bars) or for shorter bars."
    )


def vote(evidence: Evidence) -> SignalReport:
    """The same from parts already at hand."""
    bars = evidence.bars
    if not len(bars):
        raise BadBars("There are no bars to read a signal from.")
    time = _moment(bars.index[-1])
    votes = []
    for name, voter in VOTERS.items():
        reading = voter(evidence)
        if reading is not None:
            group, weight = WEIGHTS[name]
            known = time if reading.time is None else _moment(reading.time)
            votes.append(Vote(group, name, reading.value, weight, known, reading.sentence))
    if not votes:
        raise BadBars(too_few(len(bars)))
    return _report(votes, time, float(evidence.columns["close"][-1]))


def _moment(time: object) -> datetime:
    """A time as UTC; one without a zone is UTC already."""
    moment = pd.Timestamp(time)  # type: ignore[arg-type]
    moment = moment.tz_localize("UTC") if moment.tz is None else moment.tz_convert("UTC")
    plain: datetime = moment.to_pydatetime(warn=False)
    return plain


def _report(votes: list[Vote], time: datetime, price: float) -> SignalReport:
    total = sum(v.weight for v in votes)
    score = 100.0 * sum(v.weight * v.value for v in votes) / total
    action = Action.BUY if score >= BUY_AT else Action.SELL if score <= -BUY_AT else Action.HOLD
    ribbon = next((v.value for v in votes if v.name == "ribbon"), 0.0)
    return SignalReport(action, score, tuple(votes), time, price, 1 if ribbon > 0.5 else -1 if ribbon < -0.5 else 0)
