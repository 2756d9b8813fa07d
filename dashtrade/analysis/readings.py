"""The readings behind the votes: what each looks at, its value from −1 (sell) to 1 (buy), and the words for it.

A reading that cannot be taken (an indicator still warming up, no volume) is None.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd

from dashtrade.analysis.level_finder import Level, find_levels
from dashtrade.domain.market import NewsItem
from dashtrade.indicators import EMA_RIBBON, REGISTRY, Columns, compute
from dashtrade.patterns import CANDLESTICKS, INDECISION, ChartHit, ChartScanner, candlestick_patterns

_RECENT_CANDLES = 3
_CANDLE_WEIGHT = (0.6, 0.35, 0.2)
_CANDLE_AGE = ("at the last bar", "one bar before", "two bars before")
_RECENT_CHART = 20
_NEWS_AGE = pd.Timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Reading:
    value: float
    sentence: str
    time: pd.Timestamp | None = None
    """When it became known, if not at the last bar."""


class Evidence:
    """The bars and what votes read from them, each computed once; parts already at hand can be given."""

    def __init__(
        self,
        bars: pd.DataFrame,
        columns: Columns | None = None,
        candles: pd.DataFrame | None = None,
        hits: Sequence[ChartHit] | None = None,
        levels: Sequence[Level] | None = None,
        news: Sequence[NewsItem] = (),
    ) -> None:
        self.bars = bars
        self.columns = columns or Columns(bars)
        self.news = news
        self._candles, self._hits, self._levels = candles, hits, levels
        self._cache: dict[str, tuple[np.ndarray, ...]] = {}

    @property
    def candles(self) -> pd.DataFrame:
        """Candlestick patterns of the last three bars."""
        if self._candles is None:
            self._candles = candlestick_patterns(self.bars, last=_RECENT_CANDLES)
        return self._candles

    @property
    def hits(self) -> Sequence[ChartHit]:
        if self._hits is None:
            scanner = ChartScanner()
            scanner.follow(self.bars)
            self._hits = scanner.hits()
        return self._hits

    @property
    def levels(self) -> Sequence[Level]:
        if self._levels is None:
            self._levels = find_levels(self.bars, sources=("pivots",))
        return self._levels

    def remember(self, computed: dict[str, tuple[np.ndarray, ...]]) -> None:
        """Takes indicators computed at their defaults elsewhere."""
        self._cache.update(computed)

    def of(self, key: str) -> tuple[np.ndarray, ...]:
        if key not in self._cache:
            entry = REGISTRY[key]
            self._cache[key] = compute(entry, self.columns, entry.defaults)
        return self._cache[key]

    def last(self, key: str, output: int = 0, back: int = 0) -> float:
        values = self.of(key)[output]
        return float(values[-1 - back]) if values.size > back else float("nan")


def _ribbon(bars: Evidence) -> Reading | None:
    known = [
        (n, float(line[-1])) for n, line in zip(EMA_RIBBON, bars.of("ema_ribbon"), strict=True) if np.isfinite(line[-1])
    ]
    if len(known) < 2:
        return None
    lines = [bars.columns["close"][-1], *(v for _, v in known)]
    steps = [float(np.sign(a - b)) for a, b in pairwise(lines)]
    value = sum(steps) / len(steps)
    order = "rising order" if value > 0.5 else "falling order" if value < -0.5 else "no clear order"
    return Reading(value, f"Price and the averages of {', '.join(str(n) for n, _ in known)} bars stand in {order}.")


def _macd(bars: Evidence) -> Reading | None:
    line, signal = bars.last("macd", 0), bars.last("macd", 1)
    if not np.isfinite(line + signal):
        return None
    value = (np.sign(line - signal) + np.sign(line)) / 2
    side = "above" if line > signal else "below" if line < signal else "at"
    return Reading(
        float(value), f"MACD {line:.4g} is {side} its signal line and {'above' if line > 0 else 'not above'} zero."
    )


def _direction(bars: Evidence) -> Reading | None:
    adx, plus, minus = (bars.last("adx", i) for i in range(3))
    if not np.isfinite(adx + plus + minus):
        return None
    value = float(np.sign(plus - minus) * min(adx / 25.0, 1.0))
    strength = "strong" if adx >= 25 else "weak" if adx < 20 else "moderate"
    return Reading(value, f"ADX {adx:.0f} shows a {strength} trend; +DI {plus:.0f} against −DI {minus:.0f}.")


def _rsi(bars: Evidence) -> Reading | None:
    rsi = bars.last("rsi")
    if not np.isfinite(rsi):
        return None
    if rsi <= 30:
        return Reading(1.0, f"RSI {rsi:.0f} is oversold (30 or less).")
    if rsi >= 70:
        return Reading(-1.0, f"RSI {rsi:.0f} is overbought (70 or more).")
    return Reading(
        (rsi - 50.0) / 40.0, f"RSI {rsi:.0f} leans {'up' if rsi > 50 else 'down' if rsi < 50 else 'neither way'}."
    )


def _stochastic(bars: Evidence) -> Reading | None:
    k, d = bars.last("stochastic", 0), bars.last("stochastic", 1)
    if not np.isfinite(k + d):
        return None
    if k < 20 and k > d:
        return Reading(1.0, f"Stochastic {k:.0f} turns up from the oversold zone.")
    if k > 80 and k < d:
        return Reading(-1.0, f"Stochastic {k:.0f} turns down from the overbought zone.")
    return Reading(0.0, f"Stochastic {k:.0f} gives no turn at an extreme.")


def _change(bars: Evidence) -> Reading | None:
    roc, atr, close = bars.last("roc"), bars.last("atr"), float(bars.columns["close"][-1])
    if not np.isfinite(roc + atr) or atr <= 0:
        return None
    move = roc / (100 + roc) * close / atr if roc > -100 else -3.0  # the move in units of today's range
    return Reading(
        float(np.clip(move / 3.0, -1, 1)), f"Price moved {roc:+.1f} % in 12 bars, {abs(move):.1f} average ranges."
    )


def _balance(bars: Evidence) -> Reading | None:
    obv = bars.of("obv")[0]
    if obv.size < 21 or not np.isfinite(obv[-21:]).all() or np.ptp(obv[-21:]) == 0:
        return None
    share = float((obv[-1] - obv[-21]) / np.abs(np.diff(obv[-21:])).sum())
    way = "buyers" if share > 0.1 else "sellers" if share < -0.1 else "neither side"
    return Reading(float(np.clip(2 * share, -1, 1)), f"Over 20 bars, {abs(share):.0%} of the volume net went to {way}.")


def _money_flow(bars: Evidence) -> Reading | None:
    cmf = bars.last("cmf")
    if not np.isfinite(cmf):
        return None
    way = "near the highs" if cmf > 0.05 else "near the lows" if cmf < -0.05 else "in the middle of the bars"
    return Reading(float(np.clip(cmf / 0.25, -1, 1)), f"Money flow {cmf:+.2f}: volume came in closes {way}.")


def _candlesticks(bars: Evidence) -> Reading | None:
    """Of the usual 15, the one that spans most candles at each of the last three bars; shorter ones within it, which
    may say the opposite, are left out."""
    if bars.columns.size < 20:
        return None
    recent = bars.bars.index[-_RECENT_CANDLES:]
    candles = bars.candles
    candles = candles.iloc[int(candles["time"].searchsorted(recent[0])) :]
    telling: dict[int, tuple[int, int, str, int]] = {}
    for time, key, direction, strength in zip(
        *(candles[c] for c in ("time", "pattern", "direction", "strength")), strict=True
    ):
        entry = CANDLESTICKS[key]
        if entry.usual and entry.meaning != INDECISION:
            age = len(recent) - 1 - int(recent.searchsorted(time))
            found = (entry.bars, int(strength), key, int(direction))
            telling[age] = max(telling.get(age, found), found)
    if not telling:
        return Reading(0.0, "No telling candlestick in the last three bars.")
    total = sum(direction * _CANDLE_WEIGHT[age] for age, (*_, direction) in telling.items())
    said = [
        f"{CANDLESTICKS[key].name.lower()} ({'bullish' if direction > 0 else 'bearish'}) {_CANDLE_AGE[age]}"
        for age, (_, _, key, direction) in sorted(telling.items())
    ]
    newest = recent[len(recent) - 1 - min(telling)]
    return Reading(float(np.clip(total, -1, 1)), f"Candlesticks: {', '.join(said)}.", newest)


def _chart(bars: Evidence) -> Reading | None:
    if bars.columns.size < 60:
        return None
    index = bars.bars.index
    since = index[max(0, len(index) - _RECENT_CHART)]
    live = [
        h
        for h in bars.hits
        if h.confirmed_at is not None and h.confirmed_at >= since and h.reached_at is None and h.invalidated_at is None
    ]
    if not live:
        return Reading(0.0, f"No chart pattern confirmed in the last {_RECENT_CHART} bars is still open.")
    newest = max(live, key=lambda h: h.confirmed_at or h.formed_at)
    value = float(np.clip(sum(h.direction * (0.5 + h.quality) for h in live), -1, 1))
    aim = f"confirmed {newest.confirmed_at:%Y-%m-%d}, target {newest.target:,.6g}, stop {newest.stop:,.6g}"
    more = f", and {len(live) - 1} more" if len(live) > 1 else ""
    return Reading(value, f"{newest.name} ({aim}){more}.", newest.confirmed_at)


def _support(bars: Evidence) -> Reading | None:
    if not bars.levels:
        return None
    below = next((level for level in bars.levels if level.kind == "support"), None)
    above = next((level for level in bars.levels if level.kind == "resistance"), None)
    value = 0.0
    if below is not None:
        value += below.strength * max(0.0, 1.0 - abs(below.distance_atr))
    if above is not None:
        value -= above.strength * max(0.0, 1.0 - abs(above.distance_atr))
    said = " ".join(level.sentence for level in (below, above) if level is not None)
    known = max(level.known_at for level in (below, above) if level is not None)
    return Reading(float(np.clip(value, -1, 1)), said, known)


def _news(bars: Evidence) -> Reading | None:
    index = bars.bars.index
    last = pd.Timestamp(index[-1])
    length = (index[1:] - index[:-1]).min() if len(index) > 1 else pd.Timedelta(0)
    known = [
        item
        for item in bars.news
        if item.sentiment is not None and last - _NEWS_AGE <= pd.Timestamp(item.time) <= last + length
    ]
    if not known:
        return None
    mean = sum(float(item.sentiment or 0.0) for item in known) / len(known)
    newest = max(known, key=lambda item: item.time)
    mood = "friendly" if mean > 0.15 else "hostile" if mean < -0.15 else "neutral"
    items = "1 news item of the last week is" if len(known) == 1 else f"{len(known)} news items of the last week are"
    said = f"{items} {mood} (mean sentiment {mean:+.2f})."
    return Reading(float(np.clip(mean / 0.5, -1, 1)), said, pd.Timestamp(newest.time))


VOTERS: dict[str, Callable[[Evidence], Reading | None]] = {
    "ribbon": _ribbon,
    "macd": _macd,
    "directional movement": _direction,
    "rsi": _rsi,
    "stochastic": _stochastic,
    "rate of change": _change,
    "on-balance volume": _balance,
    "money flow": _money_flow,
    "candlesticks": _candlesticks,
    "chart patterns": _chart,
    "support and resistance": _support,
    "news": _news,
}
