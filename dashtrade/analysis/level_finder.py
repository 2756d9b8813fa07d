"""Prices at which the market turned before: clusters of pivots, pivot points, and nodes of the volume profile.

Only pivots already known at the last bar count. Tolerances are in average ranges, so they fit any price.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import talib

from dashtrade.errors import BadBars, InvalidInput
from dashtrade.patterns.pivots import ATR_WINDOW, PricesOf, Zigzag, number_between, whole_between

COLUMNS = (
    *("price", "kind", "source", "touches", "strength", "first_at", "known_at", "last_test"),
    *("age_bars", "distance_percent", "distance_atr", "sentence"),
)
SOURCES = ("pivots", "classic", "fibonacci", "volume")
_FIBONACCI = (0.382, 0.618, 1.0)
_VALUE_AREA = 0.70
PROFILE_BINS = 50


@dataclass(frozen=True, slots=True)
class Level:
    """One price. ``kind`` is support (below the last close) or resistance (above); ``first_at`` is the bar it comes
    from, ``known_at`` the bar at whose close it could first be drawn, ``last_test`` the last bar that came within the
    tolerance of it. A level of several turning points is known with the first of them; each later one moves its price,
    their mean, within the tolerance. ``strength`` 0–1."""

    price: float
    kind: str
    source: str
    touches: int
    strength: float
    first_at: pd.Timestamp
    known_at: pd.Timestamp
    last_test: pd.Timestamp | None
    age_bars: int
    distance_percent: float
    distance_atr: float

    @property
    def sentence(self) -> str:
        what = {
            "pivots": f"{self.touches} turning point{'s' if self.touches != 1 else ''}",
            "classic": "a classic pivot point",
            "fibonacci": "a Fibonacci pivot point",
            "volume": "a price with much volume",
        }[self.source]
        tested = f", last tested {self.last_test:%Y-%m-%d}" if self.last_test is not None else ""
        side = "above" if self.kind == "resistance" else "below"
        return (
            f"{self.kind.capitalize()} at {self.price:,.6g}: {what}, {abs(self.distance_percent):.1f} % {side}{tested}."
        )


@dataclass(frozen=True, slots=True)
class VolumeProfile:
    """Volume by price: ``edges`` (bins + 1) and ``volume`` (bins); ``point_of_control`` is the price with most volume,
    ``value_low`` … ``value_high`` hold 70 % of it, ``nodes`` are the local peaks, heaviest first."""

    edges: np.ndarray
    volume: np.ndarray
    point_of_control: float
    value_low: float
    value_high: float
    nodes: tuple[float, ...]


def volume_profile(bars: pd.DataFrame, bins: int = PROFILE_BINS, lookback: int | None = None) -> VolumeProfile | None:
    """The volume of the last ``lookback`` bars (all when None), spread evenly from each bar's low to its high.

    None when there is no volume or no range. Raises InvalidInput for fewer than 5 or more than 1,000 bins.
    """
    whole_between("bins", bins, 5, 1000)
    if lookback is not None:
        whole_between("lookback", lookback, 1, 10**9, " bars")
    return _profile(PricesOf.of(bars if lookback is None else bars.iloc[-lookback:]), slice(None), bins)


def _profile(prices: PricesOf, part: slice, bins: int) -> VolumeProfile | None:
    if prices.volume is None:
        return None
    lows, highs, closes = prices.low[part], prices.high[part], prices.close[part]
    volume = np.nan_to_num(prices.volume[part])
    if not volume.sum() > 0:
        return None
    low, high = float(lows.min()), float(highs.max())
    if not high > low:
        return None
    edges = np.linspace(low, high, bins + 1)
    spread = np.zeros(bins)
    for rows in np.array_split(np.arange(volume.size), max(1, volume.size // 2000)):
        bottom, top = lows[rows, None], highs[rows, None]
        width = np.maximum(top - bottom, 1e-12 * high)
        inside = np.clip(np.minimum(top, edges[1:]) - np.maximum(bottom, edges[:-1]), 0.0, None) / width
        point = (top <= bottom)[:, 0]  # a bar of one price goes whole into its bin
        if point.any():
            at = np.clip(np.searchsorted(edges, closes[rows][point], side="right") - 1, 0, bins - 1)
            inside[point] = 0.0
            inside[np.flatnonzero(point), at] = 1.0
        spread += volume[rows] @ inside
    centres = (edges[1:] + edges[:-1]) / 2
    best = int(spread.argmax())
    first = last = best
    held = spread[best]
    while held < _VALUE_AREA * spread.sum():
        below = spread[first - 1] if first > 0 else -1.0
        above = spread[last + 1] if last < bins - 1 else -1.0
        if above >= below:
            last += 1
            held += above
        else:
            first -= 1
            held += below
    around = np.r_[-1.0, spread, -1.0]
    peaks = np.flatnonzero((spread > around[:-2]) & (spread >= around[2:]) & (spread > spread.mean()))
    nodes = tuple(float(centres[k]) for k in peaks[np.argsort(-spread[peaks], kind="stable")])
    return VolumeProfile(edges, spread, float(centres[best]), float(edges[first]), float(edges[last + 1]), nodes)


def pivot_points(high: float, low: float, close: float) -> dict[str, dict[str, float]]:
    """Classic and Fibonacci pivot points of a finished session: ``{"classic": {"p", "r1"…"s3"}, "fibonacci": …}``."""
    p, width = (high + low + close) / 3.0, high - low
    classic = {"p": p, "r1": 2 * p - low, "s1": 2 * p - high, "r2": p + width, "s2": p - width}
    classic |= {"r3": high + 2 * (p - low), "s3": low - 2 * (high - p)}
    fibonacci = {"p": p}
    for n, share in enumerate(_FIBONACCI, start=1):
        fibonacci |= {f"r{n}": p + share * width, f"s{n}": p - share * width}
    return {"classic": classic, "fibonacci": fibonacci}


def _finished_session(prices: PricesOf) -> tuple[float, float, float, int, int] | None:
    """High, low and close of the last finished session, and its first and last bar: the day before for intraday bars
    (the exchange's day), else the last bar, since only closed bars are given."""
    n = prices.close.size
    index = prices.index
    if not isinstance(index, pd.DatetimeIndex) or n < 2:
        return None
    tail = index[-3000:]
    local = tail.tz_convert("America/New_York") if tail.tz is not None else tail
    days = local.tz_localize(None).to_numpy().astype("datetime64[D]")
    if (days[1:] != days[:-1]).all():  # also the first bar of a day is followed by others
        k = n - 1
        return float(prices.high[k]), float(prices.low[k]), float(prices.close[k]), k, k
    before = np.flatnonzero(days != days[-1])
    if not before.size:
        return None
    last = int(before[-1])
    first = int(np.flatnonzero(days == days[last])[0])
    part = slice(n - tail.size + first, n - tail.size + last + 1)
    end = part.stop - 1
    return float(prices.high[part].max()), float(prices.low[part].min()), float(prices.close[end]), part.start, end


def find_levels(
    bars: pd.DataFrame,
    lookback: int = 250,
    factor: float = 1.5,
    tolerance: float = 0.5,
    sources: str | Sequence[str] = SOURCES,
) -> tuple[Level, ...]:
    """Levels of the last ``lookback`` bars, nearest to the last close first.

    ``factor``: the least swing of a pivot in average ranges; ``tolerance``: how far apart, in average ranges, touches
    of one level may be. Raises InvalidInput and BadBars.
    """
    whole_between("lookback", lookback, 5, 100_000, " bars")
    number_between("tolerance", tolerance, 0.01, 10, " average ranges")
    chosen = (sources,) if isinstance(sources, str) else tuple(sources)
    unknown = set(chosen) - set(SOURCES)
    if unknown:
        raise InvalidInput("sources", f"{min(unknown)!r} is not a source.", allowed=SOURCES)
    prices = PricesOf.of(bars)
    n = prices.close.size
    if n == 0:
        raise BadBars("There are no bars to find levels in.")
    if n <= ATR_WINDOW:
        return ()
    reach = float(talib.ATR(prices.high[-1000:], prices.low[-1000:], prices.close[-1000:], ATR_WINDOW)[-1])
    if not reach > 0:
        return ()
    zigzag = Zigzag(factor)
    zigzag.update(prices)
    return levels_of(prices, zigzag, reach, lookback, tolerance, chosen)


def levels_of(
    prices: PricesOf, zigzag: Zigzag, reach: float, lookback: int, tolerance: float, sources: tuple[str, ...]
) -> tuple[Level, ...]:
    """The same from pivots already found; ``reach`` is the average range now."""
    n = prices.close.size
    close = float(prices.close[-1])
    start = max(0, n - lookback)
    near = tolerance * reach
    found: list[Level] = []

    def add(price: float, source: str, touches: int, strength: float, first: int, known: int) -> None:
        if not price > 0:
            return
        tested = np.flatnonzero((prices.low[known + 1 :] <= price + near) & (prices.high[known + 1 :] >= price - near))
        last = prices.index[known + 1 + int(tested[-1])] if tested.size else None
        kind = "support" if price <= close else "resistance"
        away = price - close
        found.append(
            Level(
                *(price, kind, source, touches, min(strength, 1.0), prices.index[first], prices.index[known]),
                *(last, n - 1 - first, 100.0 * away / close, away / reach),
            )
        )

    if "pivots" in sources and zigzag.count:
        inside = np.flatnonzero(zigzag.at[: zigzag.count] >= start)
        order = inside[np.argsort(zigzag.price[inside], kind="stable")]
        cluster: list[int] = []
        for k in [*order.tolist(), -1]:
            if cluster and (k < 0 or zigzag.price[k] - float(np.mean(zigzag.price[cluster])) > near):
                members = np.array(cluster)
                recent = float((zigzag.at[members].max() - start) / max(n - start, 1))
                known = int(zigzag.known[members].min())
                strength = 0.7 * min(members.size / 5.0, 1.0) + 0.3 * recent
                add(
                    float(zigzag.price[members].mean()),
                    "pivots",
                    members.size,
                    strength,
                    int(zigzag.at[members].min()),
                    known,
                )
                cluster = []
            if k >= 0:
                cluster.append(k)
    if "classic" in sources or "fibonacci" in sources:
        session = _finished_session(prices)
        if session is not None:
            high, low, last_close, first, end = session
            for source, points in pivot_points(high, low, last_close).items():
                if source in sources:
                    for name, price in points.items():
                        if source == "classic" or name != "p":  # the middle is the same for both
                            add(price, source, 1, {"p": 0.5, "1": 0.4}.get(name[-1], 0.25), first, end)
    if "volume" in sources:
        profile = _profile(prices, slice(start, n), PROFILE_BINS)
        if profile is not None:
            heaviest = float(profile.volume.max())
            for price in profile.nodes[:5]:
                at = min(int(np.searchsorted(profile.edges, price)) - 1, profile.volume.size - 1)
                add(price, "volume", 1, 0.6 * float(profile.volume[at]) / heaviest, start, n - 1)
    return tuple(sorted(found, key=lambda level: abs(level.distance_percent)))


def levels(
    bars: pd.DataFrame,
    lookback: int = 250,
    factor: float = 1.5,
    tolerance: float = 0.5,
    sources: str | Sequence[str] = SOURCES,
) -> pd.DataFrame:
    """Support and resistance as a table, nearest to the last close first; see ``find_levels`` for the arguments.

    Columns: ``price``, ``kind`` (support, resistance), ``source`` (pivots, classic, fibonacci, volume), ``touches``,
    ``strength`` 0–1, ``first_at``, ``known_at``, ``last_test``, ``age_bars``, ``distance_percent``, ``distance_atr``
    and a ``sentence``.

    >>> import dashtrade as dt
    >>> sorted(set(dt.levels(dt.history("AAPL", source="sample"))["kind"]))
    ['resistance', 'support']
    """
    return level_table(find_levels(bars, lookback, factor, tolerance, sources))


def level_table(found: tuple[Level, ...]) -> pd.DataFrame:
    return pd.DataFrame({name: [getattr(level, name) for level in found] for name in COLUMNS})


def find_support_resistance(bars: pd.DataFrame, lookback: int = 50) -> dict[str, list[float]]:
    """``{"support": [...], "resistance": [...]}``: prices of the pivot clusters of the last ``lookback`` bars, nearest
    to the last close first."""
    found = find_levels(bars, lookback, sources=("pivots",))
    return {kind: [level.price for level in found if level.kind == kind] for kind in ("support", "resistance")}
