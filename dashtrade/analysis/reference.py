"""The catalogue for readers: ``python -m dashtrade.analysis.reference FOLDER``.

Writes ``indicators.md``, ``candlesticks.md`` and ``chart_patterns.md`` with a picture for each entry. Examples are
found in made-up prices that are the same every time, by the functions that find them in anybody's prices.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd

from dashtrade.analysis.bar_picture import LINE, MARK, BarPicture
from dashtrade.indicators import reference as indicator_reference
from dashtrade.patterns.candlestick import CANDLESTICKS, Candlestick, candlestick_patterns
from dashtrade.patterns.chart import ChartHit, ChartScanner
from dashtrade.patterns.chart_names import CHART_PATTERNS, ChartPattern
from dashtrade.patterns.definitions import CANDLESTICK_DEFINITIONS, CHART_DEFINITIONS

_SIDES = {1: "bullish", -1: "bearish", 0: "bullish or bearish"}
_BEFORE, _AFTER = 11, 3
_LOOKED_AT = 300  # examples of one pattern from which the clearest is shown
# So rare that no made-up prices hold one: open, high, low, close after quiet bars.
_MAT_HOLD = [
    (100.0, 106.2, 99.9, 106.0),
    (107.6, 107.9, 106.6, 106.9),
    (105.7, 106.1, 104.9, 105.1),
    (105.0, 105.4, 104.3, 104.5),
    (104.8, 109.2, 104.7, 109.0),
]


def _frame(values: np.ndarray) -> pd.DataFrame:
    index = pd.date_range("2000-01-03", periods=len(values), freq="h", tz="UTC", name="time")
    bars = pd.DataFrame(values, columns=["open", "high", "low", "close"], index=index)
    return bars.assign(volume=1000.0)


def made_up_candles(n: int = 120_000) -> pd.DataFrame:
    """Bars of every kind of body, shadow and gap, in steps of a tenth, so that equal prices happen."""
    rng = np.random.default_rng(7)
    trend = np.repeat(rng.choice([-1, 0, 1], n // 25 + 1), 25)[:n]
    size = rng.choice([0, 0.1, 0.4, 1, 2, 3.5], n, p=[0.12, 0.13, 0.2, 0.25, 0.2, 0.1]) * rng.uniform(0.8, 1.2, n)
    body = np.round(np.where(rng.random(n) < 0.5 + 0.25 * trend, 1, -1) * size, 1)
    gap = np.round(rng.choice([0, 0, 0.1, -0.1, 0.6, -0.6, 1.5, -1.5], n) * rng.uniform(0.7, 1.3, n), 1)
    again = np.where(rng.random(n) < 0.15, np.r_[0.0, body[:-1]], 0.0)  # opens where the bar before opened
    close = np.round(20_000 + np.cumsum(gap - again + body), 1)
    open_ = np.round(close - body, 1)
    shadows = [np.round(rng.choice([0, 0, 0.1, 0.5, 2], n) * rng.uniform(0.7, 1.3, n), 1) for _ in range(2)]
    high = np.round(np.maximum(open_, close) + shadows[0], 1)
    low = np.round(np.minimum(open_, close) - shadows[1], 1)
    return _frame(np.column_stack([open_, high, low, close]))


def mat_hold() -> pd.DataFrame:
    quiet = [(100.0 + k % 2, 101.4, 99.6, 101.0 - k % 2) for k in range(14)]
    after = [(109.0, 109.8, 108.6, 109.5), (109.5, 110.4, 109.1, 110.0), (110.0, 110.3, 109.2, 109.6)]
    return _frame(np.array([*quiet, *_MAT_HOLD, *after]))


def candlestick_examples() -> dict[str, tuple[pd.DataFrame, int, int]]:
    """Pattern → some bars around a clear example, the place of its last bar in them, and its direction."""
    bars, rare = made_up_candles(), mat_hold()
    found: dict[str, tuple[pd.DataFrame, int, int]] = {}
    for prices in (bars, rare):
        hits = candlestick_patterns(prices)
        hits = hits[hits["time"].between(prices.index[_BEFORE], prices.index[-_AFTER - 1])]
        close = prices["close"].to_numpy()
        for key, rows in hits.groupby("pattern", sort=False):
            entry = CANDLESTICKS[str(key)]
            at = prices.index.get_indexer(pd.Index(rows["time"]))[:_LOOKED_AT]
            direction = rows["direction"].to_numpy()[:_LOOKED_AT]
            # The move before it should be the one the pattern turns, or goes on with.
            before = direction * (close[at - entry.bars] - close[at - _BEFORE])
            k = int(np.argmax(before if "goes on" in entry.meaning else -before))
            shown = prices.iloc[at[k] - _BEFORE : at[k] + _AFTER + 1]
            found.setdefault(entry.key, (shown, _BEFORE, int(direction[k])))
    return found


def made_up_walk(n: int = 60_000) -> pd.DataFrame:
    """A random walk in which every chart pattern happens."""
    rng = np.random.default_rng(11)
    close = 100 * np.exp(np.cumsum(rng.normal(0, 0.01, n)))
    open_ = np.r_[100.0, close[:-1]]
    reach = rng.uniform(0, 0.006, (2, n))
    return _frame(
        np.column_stack(
            [open_, np.maximum(open_, close) * (1 + reach[0]), np.minimum(open_, close) * (1 - reach[1]), close]
        )
    )


def diamond() -> pd.DataFrame:
    """A diamond top along straight lines: walks hardly ever hold one."""
    corners = [(0, 100), (20, 101), (40, 100), (70, 140), (78, 128), (88, 150), (98, 118), (108, 141), (116, 128)]
    at, price = np.array([*corners, (121, 134), (150, 90)], dtype=np.float64).T
    rng = np.random.default_rng(3)
    close = np.interp(np.arange(151), at, price) + rng.uniform(-0.25, 0.25, 151)
    open_ = np.r_[close[0], close[:-1]]
    reach = rng.uniform(0, 0.25, (2, 151))
    return _frame(
        np.column_stack([open_, np.maximum(open_, close) + reach[0], np.minimum(open_, close) - reach[1], close])
    )


def chart_examples() -> dict[str, tuple[pd.DataFrame, ChartHit]]:
    """Pattern → made-up prices and, in them, its hit of the highest quality that reached its target."""
    top = diamond()
    bottom = (240.0 - top).assign(high=240.0 - top["low"], low=240.0 - top["high"], volume=1000.0)
    best: dict[str, tuple[pd.DataFrame, ChartHit]] = {}
    for bars in (made_up_walk(), top, bottom):
        scanner = ChartScanner()
        scanner.follow(bars)
        reached = [hit for hit in scanner.hits() if hit.reached_at is not None]
        for hit in sorted(reached, key=lambda hit: -hit.quality):
            best.setdefault(hit.pattern, (bars, hit))
    return best


def draw_candlestick(example: tuple[pd.DataFrame, int, int], entry: Candlestick) -> str:
    bars, at, _ = example
    picture = BarPicture(bars, height=200.0)
    picture.shade(at - entry.bars + 1, at)
    return picture.svg(entry.name)


def draw_chart(bars: pd.DataFrame, hit: ChartHit, title: str) -> str:
    """The pattern's pivots, the line that was broken, its target and stop."""
    place = bars.index.get_indexer(pd.Index([hit.pivots[0][0], hit.confirmed_at, hit.reached_at])).tolist()
    first = max(place[0] - 12, 0)
    shown = bars.iloc[first : place[2] + 6]
    picture = BarPicture(shown, more=(hit.target, hit.stop))
    at = bars.index.get_indexer(pd.Index([time for time, _ in hit.pivots])).tolist()
    picture.line([(bar - first, price) for bar, (_, price) in zip(at, hit.pivots, strict=True)], MARK)
    start, end = place[1] - first, len(shown) - 1
    for price, name in ((hit.level, "broken"), (hit.target, "target"), (hit.stop, "stop")):
        picture.line([(start, price), (end, price)], LINE, dashed=True)
        picture.note(end, price, name, LINE)
    return picture.svg(title)


def candlestick_text(entry: Candlestick, direction: int) -> str:
    """One candlestick pattern in Markdown."""
    definition = CANDLESTICK_DEFINITIONS[entry.key]
    span = "one bar" if entry.bars == 1 else f"{entry.bars} bars"
    return "\n".join(
        [
            f"### {entry.name} (`{entry.key}`)",
            "",
            f"![{entry.name}](candlesticks/{entry.key}.svg)",
            "",
            f"{definition[0].upper()}{definition[1:]}.",
            "",
            f"- Usual meaning: {entry.meaning}.",
            f"- {_SIDES[entry.sides].capitalize()}; {span}; the picture shows a {_SIDES[direction]} one.",
            "- Shown by pages unless switched off." if entry.usual else "- Switched off on pages at first.",
            "",
        ]
    )


def chart_text(entry: ChartPattern) -> str:
    """One chart pattern in Markdown."""
    definition = CHART_DEFINITIONS[entry.key]
    return "\n".join(
        [
            f"### {entry.name} (`{entry.key}`)",
            "",
            f"![{entry.name}](chart_patterns/{entry.key}.svg)",
            "",
            f"{definition[0].upper()}{definition[1:]}.",
            "",
            f"- Usual meaning: {entry.meaning}.",
            f"- {_SIDES[entry.sides].capitalize()}, on the side it breaks.",
            "",
        ]
    )


_CANDLESTICK_HEAD = """# Candlestick patterns

{count} patterns, computed by TA-Lib; `candlestick_patterns(bars, patterns=…)` finds them, `patterns` being TA-Lib's
names. Source: TA-Lib's functions of the same name, after Nison (*Japanese Candlestick Charting Techniques*) and Morris
(*Candlestick Charting Explained*).

A body is *long* or *short* against the mean body of the ten bars before, a *doji* under a tenth of the mean range. A
shadow is *long* when longer than the body, *very short* under a tenth of the mean range. A pattern is known at the
close of its last bar. The bars of the pattern are shaded.
"""
_CHART_HEAD = """# Chart patterns

{count} patterns, found on the pivots of a zigzag; `chart_patterns(bars, factor=3.0, percent=None)` finds them. Source:
Bulkowski (*Encyclopedia of Chart Patterns*), with tolerances as shares of the pattern's own height.

- `factor` = 3.0 (the least swing of a pivot in average ranges; half of it for flags and pennants)
- `percent` = None (the least swing in percent instead)

A pattern is formed when its last pivot is known, confirmed by the first close through the line, and ends at its target,
past its stop, or of old age. Target = the broken line ± the pattern's height.
"""


def write(folder: Path) -> list[Path]:
    """Writes the three pages and their pictures into ``folder``; gives the pages' paths."""
    pages = [indicator_reference.write(folder)]
    pictures = folder / "candlesticks"
    pictures.mkdir(parents=True, exist_ok=True)
    examples = candlestick_examples()
    parts = [_CANDLESTICK_HEAD.format(count=len(CANDLESTICKS))]
    for key, entry in CANDLESTICKS.items():
        parts.append(candlestick_text(entry, examples[key][2]))
        (pictures / f"{key}.svg").write_text(draw_candlestick(examples[key], entry), encoding="utf-8")
    pages.append(_page(folder / "candlesticks.md", parts))
    pictures = folder / "chart_patterns"
    pictures.mkdir(parents=True, exist_ok=True)
    best = chart_examples()
    parts = [_CHART_HEAD.format(count=len(CHART_PATTERNS))]
    for key, pattern in CHART_PATTERNS.items():
        parts.append(chart_text(pattern))
        (pictures / f"{key}.svg").write_text(draw_chart(*best[key], pattern.name), encoding="utf-8")
    pages.append(_page(folder / "chart_patterns.md", parts))
    return pages


def _page(path: Path, parts: list[str]) -> Path:
    path.write_text("\n".join(parts), encoding="utf-8")
    return path


if __name__ == "__main__":
    for page in write(Path(sys.argv[1] if len(sys.argv) > 1 else "docs")):
        print(page)
