"""What chart patterns were worth on these bars: each against random entries with the same risk and reward.

A trade is entered at the close that confirms the pattern, with the pattern's own target and stop. Its match is an entry
in the same direction at a random bar of the same data, with target and stop equally many average ranges away and as
long to get there. What the pattern adds is the difference of the two hit rates.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from dashtrade.errors import InvalidInput
from dashtrade.patterns.chart import ChartHit, ChartScanner
from dashtrade.patterns.pivots import ATR_WINDOW, PricesOf, whole_between

_Z = {0.8: 1.2815515655446004, 0.9: 1.6448536269514722, 0.95: 1.959963984540054, 0.99: 2.5758293035489004}


def wilson(hits: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval for a share (Wilson, 1927); (0, 1) for no trials."""
    z = _Z[confidence]
    if n == 0:
        return 0.0, 1.0
    share = hits / n
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return middle - half, middle + half


def difference(hits: int, n: int, other_hits: int, other_n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Newcombe's interval for the difference of two shares (Newcombe, 1998, method 10)."""
    a, b = (hits / n if n else 0.0), (other_hits / other_n if other_n else 0.0)
    low_a, high_a = wilson(hits, n, confidence)
    low_b, high_b = wilson(other_hits, other_n, confidence)
    low = a - b - math.sqrt((a - low_a) ** 2 + (high_b - b) ** 2)
    high = a - b + math.sqrt((high_a - a) ** 2 + (b - low_b) ** 2)
    return (low, high) if n and other_n else (-1.0, 1.0)


def pattern_evidence(
    bars: pd.DataFrame,
    factor: float = 3.0,
    percent: float | None = None,
    matches: int = 20,
    confidence: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """One row for each pattern found on the bars.

    Columns: ``formed``, ``confirmed``, ``target_rate`` and ``failure_rate`` (shares of confirmed ones; the rest did
    neither in time), ``bars_to_target`` (median), ``random_rate`` (of ``matches`` random entries for each confirmed
    one), ``edge`` = target_rate − random_rate with ``edge_low`` and ``edge_high`` (Newcombe's interval; patterns of
    one symbol overlap, so it is rather too narrow), and ``clear``: whether the interval leaves out 0. Raises
    InvalidInput, BadBars.
    """
    if not isinstance(confidence, float) or confidence not in _Z:
        raise InvalidInput("confidence", f"{confidence!r} is not offered.", allowed=_Z)
    whole_between("matches", matches, 1, 1000)
    whole_between("seed", seed, 0, 2**63)
    from dashtrade.patterns.kernels import first_touch

    scanner = ChartScanner(factor, percent)
    scanner.follow(bars)
    hits = scanner.hits()
    prices = PricesOf.of(bars)
    ranges = _average_range(prices)
    usable = np.flatnonzero(ranges > 0)
    rng = np.random.default_rng(seed)
    rows = []
    for key in sorted({h.pattern for h in hits}):
        own = [h for h in hits if h.pattern == key]
        traded = [h for h in own if h.confirmed_at is not None]
        entries = prices.index.get_indexer(pd.Index([h.confirmed_at for h in traded]))
        side = np.array([float(h.direction) for h in traded])
        target = side * (np.array([h.target for h in traded]) - prices.close[entries])
        stop = np.maximum(side * (prices.close[entries] - np.array([h.stop for h in traded])), 0.0)
        limit = np.array([_limit(h, prices.index) for h in traded], dtype=np.int64)
        outcome, length = np.zeros(entries.size, dtype=np.int64), np.zeros(entries.size, dtype=np.int64)
        first_touch(prices.high, prices.low, prices.close, entries, side, target, stop, limit, outcome, length)
        reached, failed = int((outcome == 1).sum()), int((outcome == -1).sum())
        n = len(traded)
        random_n = random_hits = 0
        if n and usable.size:
            again = np.repeat(np.arange(n), matches)
            at = rng.choice(usable, again.size)
            scale = ranges[at] / np.maximum(ranges[entries[again]], 1e-300)
            random_outcome = np.zeros(again.size, dtype=np.int64)
            first_touch(
                *(prices.high, prices.low, prices.close, at, side[again]),
                *(target[again] * scale, stop[again] * scale, limit[again]),
                *(random_outcome, np.zeros(again.size, dtype=np.int64)),
            )
            random_n, random_hits = int(again.size), int((random_outcome == 1).sum())
        low, high = difference(reached, n, random_hits, random_n, confidence)
        rate, random_rate = (reached / n if n else np.nan), (random_hits / random_n if random_n else np.nan)
        rows.append(
            {
                "pattern": key,
                "formed": len(own),
                "confirmed": n,
                "target_rate": rate,
                "failure_rate": failed / n if n else np.nan,
                "bars_to_target": float(np.median(length[outcome == 1])) if reached else np.nan,
                "random_rate": random_rate,
                "edge": rate - random_rate,
                "edge_low": low,
                "edge_high": high,
                "clear": low > 0 or high < 0,
            }
        )
    return pd.DataFrame(rows, columns=_COLUMNS).set_index("pattern")


_COLUMNS = [
    *("pattern", "formed", "confirmed", "target_rate", "failure_rate", "bars_to_target", "random_rate"),
    *("edge", "edge_low", "edge_high", "clear"),
]


def _limit(hit: ChartHit, index: pd.Index) -> int:
    """As long as the scanner watches a hit after confirmation: three times its forming, at least 20 bars."""
    formed, begun = index.get_indexer(pd.Index([hit.formed_at, hit.pivots[0][0]])).tolist()
    return max(20, 3 * max(10, formed - begun))


def _average_range(prices: PricesOf) -> np.ndarray:
    """Wilder's ATR at each bar; NaN while it warms up, so that no random entry is drawn from there."""
    import talib

    if prices.close.size <= ATR_WINDOW:
        return np.full(prices.close.size, np.nan)
    return np.asarray(talib.ATR(prices.high, prices.low, prices.close, ATR_WINDOW))
