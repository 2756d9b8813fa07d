"""Indicators without a printed table, against their published formulas written out in plain Python, bar by bar.

Nothing here uses NumPy's or TA-Lib's averages: lists, loops and ``None`` for what is not known yet.
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from dashtrade.indicators import REGISTRY, indicator

Values = list[float | None]
N = 320


def bars_of_chance(seed: int = 9) -> dict[str, list[float]]:
    chance = random.Random(seed)
    close = 100.0
    found: dict[str, list[float]] = {name: [] for name in ("open", "high", "low", "close", "volume")}
    for _ in range(N):
        opened = close * (1 + chance.gauss(0, 0.003))
        close = opened * (1 + chance.gauss(0, 0.012))
        found["open"].append(opened)
        found["high"].append(max(opened, close) * (1 + chance.random() * 0.006))
        found["low"].append(min(opened, close) * (1 - chance.random() * 0.006))
        found["close"].append(close)
        found["volume"].append(float(chance.randint(1000, 9000)))
    return found


BARS = bars_of_chance()
OPEN, HIGH, LOW, CLOSE = (BARS[name] for name in ("open", "high", "low", "close"))
FRAME = pd.DataFrame(BARS, index=pd.date_range("2021-01-01", periods=N, tz="UTC", name="time"))


def windowed(values: Values, n: int, rule: Callable[[list[float]], float]) -> Values:
    found: Values = []
    for i in range(len(values)):
        part = [v for v in values[max(i - n + 1, 0) : i + 1] if v is not None]
        found.append(rule(part) if len(part) == n else None)
    return found


def sma(values: Values, n: int) -> Values:
    return windowed(values, n, lambda part: sum(part) / n)


def wma(values: Values, n: int) -> Values:
    return windowed(values, n, lambda part: sum((k + 1) * v for k, v in enumerate(part)) / (n * (n + 1) / 2))


def smoothed(values: Values, n: int, share: float) -> Values:
    """Begins with the mean of the first n known values; then each new one counts ``share``."""
    found: Values = []
    first: list[float] = []
    last: float | None = None
    for value in values:
        if value is not None and last is None:
            first.append(value)
            last = sum(first) / n if len(first) == n else None
        elif value is not None and last is not None:
            last += share * (value - last)
        found.append(last)
    return found


def ema(values: Values, n: int) -> Values:
    return smoothed(values, n, 2 / (n + 1))


def mixed(rule: Callable[..., float], *lists: Values) -> Values:
    return [None if any(v is None for v in row) else rule(*row) for row in zip(*lists, strict=True)]


def roc(values: list[float], n: int) -> Values:
    return [None if i < n else 100 * (values[i] / values[i - n] - 1) for i in range(len(values))]


def atr(n: int) -> Values:
    ranges: Values = [None]
    for i in range(1, N):
        ranges.append(max(HIGH[i] - LOW[i], abs(HIGH[i] - CLOSE[i - 1]), abs(LOW[i] - CLOSE[i - 1])))
    return smoothed(ranges, n, 1 / n)


def hma(n: int) -> Values:
    return wma(mixed(lambda a, b: 2 * a - b, wma([*CLOSE], n // 2), wma([*CLOSE], n)), math.isqrt(n))


def t3(n: int, b: float) -> Values:
    rows: list[Values] = []
    values: Values = [*CLOSE]
    for _ in range(6):
        values = ema(values, n)
        rows.append(values)
    weights = (3 * b * b + b**3 + 1 + 3 * b, -6 * b * b - 3 * b - 3 * b**3, 3 * b * b + 3 * b**3, -(b**3))
    return mixed(lambda *e: sum(w * v for w, v in zip(weights, e, strict=True)), *rows[2:])


def awesome() -> Values:
    middle: Values = [(h + lo) / 2 for h, lo in zip(HIGH, LOW, strict=True)]
    return mixed(lambda a, b: a - b, sma(middle, 5), sma(middle, 34))


def mass_index() -> Values:
    one = ema([h - lo for h, lo in zip(HIGH, LOW, strict=True)], 9)
    return windowed(mixed(lambda a, b: a / b, one, ema(one, 9)), 25, sum)


def kst() -> Values:
    parts = [sma(roc(CLOSE, r), m) for r, m in ((10, 10), (15, 10), (20, 10), (30, 15))]
    return mixed(lambda a, b, c, d: a + 2 * b + 3 * c + 4 * d, *parts)


def middle(n: int) -> Values:
    return mixed(lambda a, b: (a + b) / 2, windowed([*HIGH], n, max), windowed([*LOW], n, min))


def ribbon_of(n: int) -> Callable[[], Values]:
    return lambda: ema([*CLOSE], n)


CASES: dict[tuple[str, str], Callable[[], Values]] = {
    ("hma", "hma"): lambda: hma(20),
    ("t3", "t3"): lambda: t3(5, 0.7),
    **{("ema_ribbon", f"ema_{n}"): ribbon_of(n) for n in (9, 20, 50, 100, 200)},
    ("ma_cloud", "ema_fast"): ribbon_of(4),
    ("ma_cloud", "ema_slow"): ribbon_of(20),
    ("ma_cloud", "sma"): lambda: sma([*CLOSE], 20),
    ("accelerator", "accelerator"): lambda: mixed(lambda a, b: a - b, awesome(), sma(awesome(), 5)),
    ("coppock", "coppock"): lambda: wma(mixed(lambda a, b: a + b, roc(CLOSE, 11), roc(CLOSE, 14)), 10),
    ("elder_ray", "bull"): lambda: mixed(lambda h, e: h - e, [*HIGH], ema([*CLOSE], 13)),
    ("elder_ray", "bear"): lambda: mixed(lambda lo, e: lo - e, [*LOW], ema([*CLOSE], 13)),
    ("kst", "kst"): kst,
    ("kst", "signal"): lambda: sma(kst(), 9),
    ("mass_index", "mass_index"): mass_index,
    ("natr", "natr"): lambda: mixed(lambda a, c: 100 * a / c, atr(14), [*CLOSE]),
    ("ichimoku", "tenkan"): lambda: middle(9),
    ("ichimoku", "kijun"): lambda: middle(26),
}


@pytest.mark.parametrize("case", CASES, ids="-".join)
def test_every_bar_equals_the_formula(case: tuple[str, str]) -> None:
    key, output = case
    values = indicator(FRAME, key)
    got = (values if isinstance(values, pd.Series) else values[output]).tolist()
    expected = CASES[case]()
    assert sum(value is not None for value in expected) > 100
    for bar, (mine, written) in enumerate(zip(got, expected, strict=True)):
        if written is None:
            assert math.isnan(mine), bar
        else:
            assert mine == pytest.approx(written, rel=1e-9, abs=1e-9), bar


def test_supertrend_follows_its_bands() -> None:
    """Seban: a band moves only toward the price; a close through it changes the side."""
    reach, got = atr(10), indicator(FRAME, "supertrend")
    lower = upper = None
    side, flips = 0, 0
    for i in range(N):
        width = reach[i]
        if width is None:
            assert math.isnan(got["supertrend"].iloc[i])
            continue
        centre = (HIGH[i] + LOW[i]) / 2
        below, above = centre - 3 * width, centre + 3 * width
        if lower is not None and upper is not None:
            below = max(below, lower) if CLOSE[i - 1] > lower else below
            above = min(above, upper) if CLOSE[i - 1] < upper else above
            if side == 0:
                side = int(got["direction"].iloc[i - 1])  # before the first turn the side is a convention
            if (side < 0 and CLOSE[i] > upper) or (side > 0 and CLOSE[i] < lower):
                side, flips = -side, flips + 1
            assert got["direction"].iloc[i] == side, i
            assert got["supertrend"].iloc[i] == pytest.approx(below if side > 0 else above, rel=1e-9), i
        lower, upper = below, above
    assert flips >= 3


def test_fast_qqe_is_the_documented_setting_of_qqe() -> None:
    fast, same = indicator(FRAME, "qqe_fast"), indicator(FRAME, "qqe", window=8, smooth=3, factor=3.2)
    assert isinstance(fast, pd.DataFrame) and isinstance(same, pd.DataFrame)
    pd.testing.assert_frame_equal(fast, same.rename(columns={"qqe": "qqe_fast"}))


def test_no_indicator_is_without_a_reference() -> None:
    """Every entry is named in a file that compares it with a table, a book or a formula written out."""
    here = Path(__file__).resolve().parent
    text = "".join((here / name).read_text(encoding="utf-8") for name in
                   ("test_reference_values.py", "test_traps.py", "test_plain_formulas.py"))  # fmt: skip
    assert [key for key in REGISTRY if not re.search(rf'"{key}"', text)] == []
