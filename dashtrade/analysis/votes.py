"""One signal from many readings: named votes, their weights in one table, and a score from −100 to 100.

Only closed bars count: pass bars whose last one is complete. Nothing here looks past the last bar given.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from itertools import pairwise

import numpy as np
import pandas as pd

from dashtrade.errors import BadBars
from dashtrade.indicators import EMA_RIBBON, REGISTRY, Columns, compute


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


@dataclass(frozen=True, slots=True)
class SignalReport:
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


Reading = tuple[float, str]


class _Bars:
    """The bars and the indicators' last values that votes read, each computed once."""

    def __init__(self, bars: pd.DataFrame) -> None:
        self.columns = Columns(bars)
        self._cache: dict[str, tuple[np.ndarray, ...]] = {}

    def of(self, key: str) -> tuple[np.ndarray, ...]:
        if key not in self._cache:
            entry = REGISTRY[key]
            self._cache[key] = compute(entry, self.columns, entry.defaults)
        return self._cache[key]

    def last(self, key: str, output: int = 0, back: int = 0) -> float:
        values = self.of(key)[output]
        return float(values[-1 - back]) if values.size > back else float("nan")


def _ribbon(bars: _Bars) -> Reading | None:
    known = [
        (n, float(line[-1])) for n, line in zip(EMA_RIBBON, bars.of("ema_ribbon"), strict=True) if np.isfinite(line[-1])
    ]
    if len(known) < 2:
        return None
    lines = [bars.columns["close"][-1], *(v for _, v in known)]
    steps = [float(np.sign(a - b)) for a, b in pairwise(lines)]
    value = sum(steps) / len(steps)
    order = "rising order" if value > 0.5 else "falling order" if value < -0.5 else "no clear order"
    return value, f"Price and the averages of {', '.join(str(n) for n, _ in known)} bars stand in {order}."


def _macd(bars: _Bars) -> Reading | None:
    line, signal = bars.last("macd", 0), bars.last("macd", 1)
    if not np.isfinite(line + signal):
        return None
    value = (np.sign(line - signal) + np.sign(line)) / 2
    side = "above" if line > signal else "below" if line < signal else "at"
    return float(value), f"MACD {line:.4g} is {side} its signal line and {'above' if line > 0 else 'not above'} zero."


def _direction(bars: _Bars) -> Reading | None:
    adx, plus, minus = (bars.last("adx", i) for i in range(3))
    if not np.isfinite(adx + plus + minus):
        return None
    value = float(np.sign(plus - minus) * min(adx / 25.0, 1.0))
    strength = "strong" if adx >= 25 else "weak" if adx < 20 else "moderate"
    return value, f"ADX {adx:.0f} shows a {strength} trend; +DI {plus:.0f} against −DI {minus:.0f}."


def _rsi(bars: _Bars) -> Reading | None:
    rsi = bars.last("rsi")
    if not np.isfinite(rsi):
        return None
    if rsi <= 30:
        return 1.0, f"RSI {rsi:.0f} is oversold (30 or less)."
    if rsi >= 70:
        return -1.0, f"RSI {rsi:.0f} is overbought (70 or more)."
    return (rsi - 50.0) / 40.0, f"RSI {rsi:.0f} leans {'up' if rsi > 50 else 'down' if rsi < 50 else 'neither way'}."


def _stochastic(bars: _Bars) -> Reading | None:
    k, d = bars.last("stochastic", 0), bars.last("stochastic", 1)
    if not np.isfinite(k + d):
        return None
    if k < 20 and k > d:
        return 1.0, f"Stochastic {k:.0f} turns up from the oversold zone."
    if k > 80 and k < d:
        return -1.0, f"Stochastic {k:.0f} turns down from the overbought zone."
    return 0.0, f"Stochastic {k:.0f} gives no turn at an extreme."


def _change(bars: _Bars) -> Reading | None:
    roc, atr, close = bars.last("roc"), bars.last("atr"), float(bars.columns["close"][-1])
    if not np.isfinite(roc + atr) or atr <= 0:
        return None
    move = roc / (100 + roc) * close / atr if roc > -100 else -3.0  # the move in units of today's range
    return float(np.clip(move / 3.0, -1, 1)), f"Price moved {roc:+.1f} % in 12 bars, {abs(move):.1f} average ranges."


def _balance(bars: _Bars) -> Reading | None:
    obv = bars.of("obv")[0]
    if obv.size < 21 or not np.isfinite(obv[-21:]).all() or np.ptp(obv[-21:]) == 0:
        return None
    share = float((obv[-1] - obv[-21]) / np.abs(np.diff(obv[-21:])).sum())
    way = "buyers" if share > 0.1 else "sellers" if share < -0.1 else "neither side"
    return float(np.clip(2 * share, -1, 1)), f"Over 20 bars, {abs(share):.0%} of the volume net went to {way}."


VOTERS: dict[str, Callable[[_Bars], Reading | None]] = {
    "ribbon": _ribbon,
    "macd": _macd,
    "directional movement": _direction,
    "rsi": _rsi,
    "stochastic": _stochastic,
    "rate of change": _change,
    "on-balance volume": _balance,
}


def signal(bars: pd.DataFrame) -> SignalReport:
    """BUY, SELL or HOLD at the close of the last bar, with the votes behind it.

    ``bars`` is a frame of closed OHLCV bars; a vote whose indicator is still warming up is left out. Raises BadBars
    when the bars are too few for any vote (fewer than about 21).
    """
    if not len(bars):
        raise BadBars("There are no bars to read a signal from.")
    reader = _Bars(bars)
    time = pd.Timestamp(bars.index[-1]).to_pydatetime()
    votes = []
    for name, voter in VOTERS.items():
        reading = voter(reader)
        if reading is not None:
            group, weight = WEIGHTS[name]
            votes.append(Vote(group, name, reading[0], weight, time, reading[1]))
    if not votes:
        raise BadBars(f"{len(bars)} bars are too few for a signal; give at least 60.")
    return _report(votes, time, float(reader.columns["close"][-1]))


def _report(votes: list[Vote], time: datetime, price: float) -> SignalReport:
    total = sum(v.weight for v in votes)
    score = 100.0 * sum(v.weight * v.value for v in votes) / total
    action = Action.BUY if score >= BUY_AT else Action.SELL if score <= -BUY_AT else Action.HOLD
    ribbon = next((v.value for v in votes if v.name == "ribbon"), 0.0)
    return SignalReport(action, score, tuple(votes), time, price, 1 if ribbon > 0.5 else -1 if ribbon < -0.5 else 0)
