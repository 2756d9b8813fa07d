"""What candlestick and chart patterns promise, against recorded signals and published definitions."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import talib

from dashtrade.errors import BadBars, InvalidInput, UnknownOption
from dashtrade.patterns import (
    CANDLESTICKS,
    CHART_PATTERNS,
    USUAL,
    ChartHit,
    ChartScanner,
    candlestick_patterns,
    chart_patterns,
    lmw_hits,
    lmw_patterns,
    pattern_evidence,
    pivots,
)
from dashtrade.patterns.evidence import difference, wilson

SHARED = Path(__file__).resolve().parents[2].parent / "shared" / "data"
recorded = pytest.mark.skipif(not SHARED.is_dir(), reason="recorded data not here")

SOURCES = (
    ("daily", "backtestingpy_GOOG_daily"),
    ("daily", "yahoo4_adjclose"),
    ("daily", "etf12_2005_2017_adjusted"),
    ("daily", "dow31_2006_2017"),
    ("intraday", "backtestingpy_EURUSD_1h"),
    ("intraday", "cme_6EH4_1m_202401"),
)


def bars_of(folder: str, name: str) -> dict[str, pd.DataFrame]:
    rows = pd.read_csv(SHARED / folder / f"{name}.csv.gz", parse_dates=["date"])
    rows["date"] = pd.to_datetime(rows["date"], utc=True)
    parts = {str(s): p.set_index("date").rename_axis("time") for s, p in rows.groupby("symbol", sort=False)}
    return {s: p[[c for c in ("open", "high", "low", "close", "volume") if c in p]] for s, p in parts.items()}


def test_all_of_talibs_patterns_are_there() -> None:
    assert set(CANDLESTICKS) == set(talib.get_function_groups()["Pattern Recognition"])
    assert len(CANDLESTICKS) == 61
    assert len(USUAL) == 15
    assert len({e.name for e in CANDLESTICKS.values()}) == 61


@recorded
@pytest.mark.shared
@pytest.mark.parametrize(("folder", "name"), SOURCES, ids=[n for _, n in SOURCES])
def test_every_recorded_signal_and_no_other(folder: str, name: str) -> None:
    expected = pd.read_csv(SHARED / "oracles" / "cdl" / f"signals_{name}.csv.gz", dtype={"symbol": str})
    expected["date"] = pd.to_datetime(expected["date"], utc=True)
    parts = []
    for symbol, bars in bars_of(folder, name).items():
        hits = candlestick_patterns(bars)
        assert hits["time"].is_monotonic_increasing
        parts.append(hits.assign(symbol=symbol, value=hits["direction"] * hits["strength"]))
        one_sided = hits["pattern"].map(lambda k: CANDLESTICKS[k].sides)
        assert ((one_sided == 0) | (one_sided == hits["direction"])).all()
    got = pd.concat(parts).rename(columns={"time": "date"})[["symbol", "pattern", "date", "value"]]
    keys = ["symbol", "pattern", "date"]
    got, expected = (f.sort_values(keys).reset_index(drop=True) for f in (got, expected[[*keys, "value"]]))
    assert len(got) == len(expected) > 1000
    for column in (*keys, "value"):
        assert (got[column].to_numpy() == expected[column].to_numpy()).all()


@recorded
@pytest.mark.shared
def test_candlesticks_do_not_look_ahead_and_the_tail_is_the_whole() -> None:
    bars = bars_of("daily", "backtestingpy_GOOG_daily")["GOOG"]
    whole = candlestick_patterns(bars)
    cut = bars.index[1200]
    early = candlestick_patterns(bars.iloc[:1201])
    pd.testing.assert_frame_equal(early, whole[whole["time"] <= cut].reset_index(drop=True))
    tail = candlestick_patterns(bars, last=30)
    pd.testing.assert_frame_equal(tail, whole[whole["time"] >= bars.index[-30]].reset_index(drop=True))


def test_few_bars_and_wrong_names() -> None:
    index = pd.date_range("2024-01-01", periods=3, tz="UTC", name="time")
    bars = pd.DataFrame({"open": 1.0, "high": 2.0, "low": 0.5, "close": 1.5}, index=index)
    for n in range(4):
        assert list(candlestick_patterns(bars.iloc[:n]).columns) == ["time", "pattern", "name", "direction", "strength"]
    with pytest.raises(UnknownOption, match="CDLHAMMER"):
        candlestick_patterns(bars, ["CDLHAMER"])
    with pytest.raises(BadBars, match="open"):
        candlestick_patterns(bars.drop(columns="open"))
    nothing = candlestick_patterns(bars.assign(open=np.nan))
    assert nothing.empty


# --- chart patterns ---------------------------------------------------------------------------------------------------


def walk(n: int, seed: int, volatility: float = 0.012) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(rng.normal(0, volatility, n)))
    open_ = np.r_[100.0, close[:-1]]
    high = np.maximum(open_, close) * (1 + np.abs(rng.normal(0, volatility / 2, n)))
    low = np.minimum(open_, close) * (1 - np.abs(rng.normal(0, volatility / 2, n)))
    index = pd.date_range("2015-01-01", periods=n, tz="UTC", name="time")
    volume = np.round(rng.lognormal(12, 0.5, n))
    return pd.DataFrame({"open": open_, "high": high, "low": low, "close": close, "volume": volume}, index=index)


def drawn(corners: list[tuple[int, float]], noise: float = 0.25, seed: int = 0) -> pd.DataFrame:
    """Bars along straight lines between corners (bar, price), with noise."""
    rng = np.random.default_rng(seed)
    at = np.arange(corners[-1][0] + 1)
    path = np.interp(at, [c[0] for c in corners], [c[1] for c in corners])
    close = path + rng.uniform(-noise, noise, at.size)
    open_ = np.r_[close[0], close[:-1]]
    high = np.maximum(open_, close) + rng.uniform(0, noise, at.size)
    low = np.minimum(open_, close) - rng.uniform(0, noise, at.size)
    index = pd.date_range("2020-01-01", periods=at.size, tz="UTC", name="time")
    return pd.DataFrame({"open": open_, "high": high, "low": low, "close": close, "volume": 1000.0}, index=index)


def upside_down(bars: pd.DataFrame) -> pd.DataFrame:
    flipped = bars.assign(open=400 - bars["open"], close=400 - bars["close"])
    return flipped.assign(high=400 - bars["low"], low=400 - bars["high"])


CALM = [(0, 100.0), (20, 101.0), (40, 100.0)]  # lets the average range warm up
CUP = [
    (20, 105.0),
    (60, 150.0),
    *((60 + k, 150 - 40 * (1 - ((k - 40) / 40) ** 2)) for k in range(1, 80)),
    (140, 150.0),
    (152, 138.0),
    (175, 175.0),
]
SHAPES = {
    "double_top": [*CALM, (70, 140), (85, 120), (100, 140), (140, 95)],
    "triple_top": [*CALM, (70, 140), (82, 120), (94, 140), (106, 120.5), (118, 139.5), (160, 95)],
    "head_and_shoulders": [*CALM, (70, 135), (82, 122), (96, 150), (110, 122), (122, 136), (160, 90)],
    "three_falling_peaks": [*CALM, (70, 160), (82, 140), (94, 153), (106, 139), (118, 146), (160, 100)],
    "descending_triangle": [
        *CALM,
        (70, 150),
        (80, 120),
        (90, 141),
        (99, 120),
        (107, 132),
        (113, 120.5),
        (119, 126),
        (150, 90),
    ],
    "rising_wedge": [*CALM, (70, 130), (80, 115), (90, 137), (100, 127), (109, 143), (116, 137), (150, 95)],
    "bear_flag": [*CALM, (70, 160), (76, 125), (80, 132), (84, 127), (88, 134), (110, 80)],
    "bear_pennant": [*CALM, (70, 160), (76, 125), (81, 135), (86, 127.5), (90, 132.5), (110, 80)],
    "inverse_cup_and_handle": [(b, 400 - p) for b, p in [(0, 100.0), *CUP]],
    "diamond_top": [*CALM, (70, 140), (78, 128), (88, 150), (98, 118), (108, 141), (116, 128), (121, 134), (150, 90)],
    "rectangle_top": [*CALM, (70, 140), (80, 120), (90, 140), (100, 120), (110, 140), (150, 90)],
    "broadening_top": [*CALM, (70, 132), (80, 124), (92, 140), (106, 116), (122, 148), (160, 90)],
    "rising_channel": [*CALM, (70, 120), (80, 108), (92, 132), (104, 120), (116, 144), (150, 90)],
    "symmetrical_triangle": [*CALM, (70, 150), (82, 110), (92, 143), (102, 118), (110, 137), (117, 124), (150, 90)],
    "rounding_top": [
        (0, 100),
        (30, 104),
        (60, 100),
        *((60 + k, 100 + 50 * (1 - ((k - 40) / 40) ** 2)) for k in range(1, 81)),
        (145, 112),
        (180, 70),
    ],
}
MIRRORED = {
    "double_top": "double_bottom",
    "triple_top": "triple_bottom",
    "head_and_shoulders": "inverse_head_and_shoulders",
    "three_falling_peaks": "three_rising_valleys",
    "descending_triangle": "ascending_triangle",
    "rising_wedge": "falling_wedge",
    "bear_flag": "bull_flag",
    "bear_pennant": "bull_pennant",
    "inverse_cup_and_handle": "cup_and_handle",
    "diamond_top": "diamond_bottom",
    "rectangle_top": "rectangle_bottom",
    "broadening_top": "broadening_bottom",
    "rising_channel": "falling_channel",
    "symmetrical_triangle": "symmetrical_triangle",
    "rounding_top": "rounding_bottom",
}


def test_the_list_is_long_enough_and_every_part_is_named() -> None:
    wanted = (
        "double_top double_bottom triple_top triple_bottom head_and_shoulders inverse_head_and_shoulders "
        "ascending_triangle descending_triangle symmetrical_triangle rising_wedge falling_wedge bull_flag bear_flag "
        "bull_pennant bear_pennant cup_and_handle inverse_cup_and_handle rectangle_top rectangle_bottom broadening_top "
        "broadening_bottom rounding_top rounding_bottom rising_channel falling_channel diamond_top diamond_bottom"
    )
    assert set(wanted.split()) <= set(CHART_PATTERNS)
    assert len(CHART_PATTERNS) >= 25


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_drawn_pattern_with_noise_is_found_and_confirmed(shape: str, seed: int) -> None:
    for name, bars, direction in (
        (shape, drawn(SHAPES[shape], seed=seed), -1),
        (MIRRORED[shape], upside_down(drawn(SHAPES[shape], seed=seed)), 1),
    ):
        hits = chart_patterns(bars)
        mine = hits[(hits["pattern"] == name) & (hits["direction"] == direction) & hits["confirmed_at"].notna()]
        assert len(mine) >= 1, (name, list(zip(hits["pattern"], hits["direction"], hits["confirmed_at"], strict=True)))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("times", [2, 3])
def test_a_drawn_pattern_over_more_bars_is_found_and_confirmed(shape: str, times: int) -> None:
    """The same drawing over twice or three times the bars, as of half-day bars instead of daily ones."""
    slower = [(bar * times, price) for bar, price in SHAPES[shape]]
    hits = chart_patterns(drawn(slower, seed=times))
    assert ((hits["pattern"] == shape) & (hits["direction"] == -1) & hits["confirmed_at"].notna()).any()


def test_double_top_by_hand() -> None:
    """Every number of one pattern, worked out from the drawing: tops at 140, valley at 120, so a target of 100."""
    bars = drawn(SHAPES["double_top"], noise=0.0)
    hit = chart_patterns(bars).set_index("pattern").loc["double_top"]
    assert [time for time, _ in hit["pivots"]] == [bars.index[b] for b in (40, 70, 85, 100)]
    assert [price for _, price in hit["pivots"]] == pytest.approx([100.0, 140.0, 120.0, 140.0])
    assert hit["level"] == pytest.approx(120.0)
    assert hit["target"] == pytest.approx(100.0)
    assert hit["target_near"] == pytest.approx(120 - 0.7 * 20)
    assert hit["target_far"] == pytest.approx(120 - 1.3 * 20)
    assert hit["stop"] == pytest.approx(140.0)
    fall = 45 / 40  # a bar, from 140 at bar 100: the first close below 120 is the 18th after it
    assert hit["confirmed_at"] == bars.index[100 + int(20 // fall) + 1]
    assert hit["reached_at"] == bars.index[100 + int(np.ceil(40 / fall))]
    assert hit["volume_ratio"] == pytest.approx(1.0)
    assert pd.isna(hit["invalidated_at"])


LIFE = ["confirmed_at", "reached_at", "invalidated_at"]


@pytest.mark.parametrize("seed", range(4))
def test_cutting_later_bars_never_changes_what_was_reported(seed: int) -> None:
    bars = walk(900, seed)
    whole = chart_patterns(bars)
    assert len(whole) > 10
    rng = np.random.default_rng(seed)
    for cut in [*rng.integers(60, 900, 12), 899]:
        now = bars.index[cut - 1]
        early = chart_patterns(bars.iloc[:cut])
        expected = whole[whole["formed_at"] <= now].reset_index(drop=True)
        keep = ["pattern", "direction", "formed_at", "stop", "height", "quality", "pivots"]
        pd.testing.assert_frame_equal(early[keep], expected[keep])
        for column in LIFE:
            known = expected[column].where(expected[column] <= now)
            pd.testing.assert_series_equal(early[column], known)
        confirmed = early["confirmed_at"].notna()
        pd.testing.assert_series_equal(early["target"][confirmed], expected["target"][confirmed])
        assert early["target"][~confirmed].isna().all()


def test_bar_by_bar_gives_the_same_as_all_at_once() -> None:
    bars = walk(700, 21)
    scanner = ChartScanner()
    told: dict[tuple[str, int, pd.Timestamp], ChartHit] = {}
    for n in range(1, len(bars) + 1):
        for hit in scanner.update(bars.iloc[:n]):
            told[hit.pattern, hit.direction, hit.formed_at] = hit
    pd.testing.assert_frame_equal(scanner.frame(), chart_patterns(bars))
    assert [repr(h) for h in sorted(told.values(), key=_order)] == [repr(h) for h in sorted(scanner.hits(), key=_order)]
    other = walk(300, 22)
    scanner.update(other)  # another symbol: begins anew
    pd.testing.assert_frame_equal(scanner.frame(), chart_patterns(other))


def test_a_corrected_past_is_looked_at_anew() -> None:
    """A dividend changes every bar but the last, a late correction only one in the middle."""
    bars = walk(600, 23)
    for rows in (slice(0, 599), slice(300, 301)):
        corrected = bars.copy()
        corrected.iloc[rows, :4] *= 0.97
        scanner = ChartScanner()
        scanner.follow(bars)
        scanner.follow(corrected)
        pd.testing.assert_frame_equal(scanner.frame(), chart_patterns(corrected))


def test_two_threads_find_what_one_does(monkeypatch: pytest.MonkeyPatch) -> None:
    bars = walk(900, 24)
    one = chart_patterns(bars)
    monkeypatch.setattr("dashtrade.patterns.chart._AT_ONCE_FROM", 1)
    pd.testing.assert_frame_equal(chart_patterns(bars), one)


def _order(hit: ChartHit) -> tuple[pd.Timestamp, str, int]:
    return hit.formed_at, hit.pattern, hit.direction


@pytest.mark.parametrize("scale", [0.001, 3.0, 1e5])
def test_the_scale_of_prices_changes_nothing(scale: float) -> None:
    bars = walk(1500, 3)
    prices = bars.columns[:4]
    scaled = bars.copy()
    scaled[prices] = bars[prices] * scale
    a, b = chart_patterns(bars), chart_patterns(scaled)
    same = ["pattern", "direction", "formed_at", *LIFE]
    pd.testing.assert_frame_equal(a[same], b[same])
    np.testing.assert_allclose(b["stop"], a["stop"] * scale, rtol=1e-9)


def test_the_scale_of_time_changes_nothing() -> None:
    bars = walk(1500, 4)
    slower = bars.set_axis(pd.date_range("2001-01-01", periods=1500, freq="7min", tz="UTC", name="time"))
    a, b = chart_patterns(bars), chart_patterns(slower)
    place = {t: i for i, t in enumerate(bars.index)}
    other = {t: i for i, t in enumerate(slower.index)}
    assert list(a["pattern"]) == list(b["pattern"])
    assert [place[t] for t in a["formed_at"]] == [other[t] for t in b["formed_at"]]


def test_nothing_before_it_was_known() -> None:
    bars = walk(2500, 8)
    hits = chart_patterns(bars)
    assert (hits["pivots"].map(lambda p: p[-1][0]) < hits["formed_at"]).all()
    confirmed = hits[hits["confirmed_at"].notna()]
    assert (confirmed["confirmed_at"] >= confirmed["formed_at"]).all()
    close = bars["close"].reindex(confirmed["confirmed_at"]).to_numpy()
    side = confirmed["direction"].to_numpy()
    assert (side * (close - confirmed["level"].to_numpy()) > 0).all()
    for target in ("target_near", "target", "target_far"):  # a target lies beyond the entry, whichever it is
        assert (side * (confirmed[target].to_numpy() - close) > 0).all()
    assert ((hits["quality"] >= 0) & (hits["quality"] <= 1)).all()
    assert not (hits["reached_at"].notna() & hits["invalidated_at"].notna()).any()


def test_random_walks_confirm_no_more_than_the_stated_rate() -> None:
    """Shapes appear by chance: at most 35 confirmed hits, of all kinds together, in 1,000 bars of a random walk."""
    confirmed = sum(int(chart_patterns(walk(2000, seed))["confirmed_at"].notna().sum()) for seed in range(10))
    assert 0 < confirmed <= 35 * 20


def test_empty_short_constant_and_broken_bars() -> None:
    bars = walk(40, 1)
    columns = list(chart_patterns(bars).columns)
    for n in (0, 1, 5, 40):
        assert list(chart_patterns(bars.iloc[:n]).columns) == columns
    flat = bars.assign(open=5.0, high=5.0, low=5.0, close=5.0)
    assert chart_patterns(flat).empty
    assert pivots(flat).empty
    with pytest.raises(InvalidInput, match=r"0\.1 to 100"):
        chart_patterns(bars, factor=0)
    with pytest.raises(InvalidInput, match="percent"):
        pivots(bars, percent=-1)
    with pytest.raises(BadBars, match="low"):
        chart_patterns(bars.drop(columns="low"))
    for wrong, said in ((bars.iloc[::-1], "order of time"), (bars.reset_index(drop=True), "DatetimeIndex")):
        with pytest.raises(BadBars, match=said):
            chart_patterns(wrong)
    with pytest.raises(BadBars, match="order"):
        candlestick_patterns(bars.iloc[::-1])
    naive = chart_patterns(walk(900, 5).tz_localize(None))
    assert list(naive["pattern"]) == list(chart_patterns(walk(900, 5))["pattern"])
    holes = walk(400, 2)
    holes.iloc[[50, 120, 300], 3] = np.nan
    pd.testing.assert_frame_equal(chart_patterns(holes), chart_patterns(holes.dropna()))


def test_pivots_alternate_and_are_known_later() -> None:
    bars = walk(1200, 6)
    for table in (pivots(bars), pivots(bars, factor=1.5), pivots(bars, percent=4.0)):
        assert len(table) > 10
        assert (table["kind"].diff().dropna().abs() == 2).all()
        assert (table["known_at"] > table["time"]).all()
        assert table["time"].is_monotonic_increasing
        highs = table[table["kind"] == 1]
        assert (bars["high"].reindex(highs["time"]).to_numpy() == highs["price"].to_numpy()).all()
    whole = pivots(bars, percent=4.0)
    for cut in (200, 555, 900):
        early = pivots(bars.iloc[:cut], percent=4.0)
        pd.testing.assert_frame_equal(early, whole[whole["known_at"] <= bars.index[cut - 1]].reset_index(drop=True))
    before, after = whole["price"].iloc[:-1].to_numpy(), whole["price"].iloc[1:].to_numpy()
    assert (np.abs(after - before) >= 0.04 * before * (1 - 1e-9)).all()


# --- Lo, Mamaysky and Wang --------------------------------------------------------------------------------------------

_LMW = {
    "hs": "head_and_shoulders",
    "ihs": "inverse_head_and_shoulders",
    "btop": "broadening_top",
    "bbot": "broadening_bottom",
    "ttop": "triangle_top",
    "tbot": "triangle_bottom",
    "rtop": "rectangle_top",
    "rbot": "rectangle_bottom",
    "dtop": "double_top",
    "dbot": "double_bottom",
}


@recorded
@pytest.mark.shared
def test_published_definitions_agree_on_given_extrema() -> None:
    spec = importlib.util.spec_from_file_location("lmw_oracle", SHARED / "oracles" / "lmw_patterns.py")
    assert spec is not None and spec.loader is not None
    oracle = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(oracle)
    rng = np.random.default_rng(0)
    seen: set[str] = set()
    for case in range(6000):
        top = bool(case % 2)
        n = int(rng.integers(5, 9))
        spread = float(rng.choice([0.004, 0.012, 0.04, 0.1]))
        gap = float(rng.choice([0.5, 3.0, 10.0]))
        high = 100 + gap + 100 * rng.normal(0, spread, n)
        low = 100 - gap + 100 * rng.normal(0, spread, n)
        upper = np.arange(n) % 2 == (0 if top else 1)
        prices = np.where(upper, high, low).tolist()
        times = np.cumsum(rng.integers(1, 15, n)).tolist()
        expected = set()
        for short, name in _LMW.items():
            if oracle.START[short] == ("max" if top else "min"):
                holds = getattr(oracle, short)
                if holds(prices, times) if short in ("dtop", "dbot") else holds(prices):
                    expected.add(name)
        assert set(lmw_patterns(prices, times, top)) == expected
        seen |= expected
    assert seen == set(_LMW.values())


def test_published_definitions_on_bars() -> None:
    hits = lmw_hits(walk(3000, 12))
    assert len(hits) > 5
    assert set(hits["pattern"]) <= set(_LMW.values())
    assert (hits["pivots"].map(lambda p: p[-1]) < hits["formed_at"]).all()
    with pytest.raises(InvalidInput, match="five"):
        lmw_patterns([1, 2, 3], [1, 2, 3], True)


# --- evidence ---------------------------------------------------------------------------------------------------------


def test_evidence_on_random_walks_finds_no_edge() -> None:
    table = pattern_evidence(walk(12_000, 31), matches=10, confidence=0.99)
    enough = table[table["confirmed"] >= 10]
    assert len(enough) >= 5
    assert enough["clear"].mean() <= 0.2
    assert ((table["edge_low"] <= table["edge"]) | table["edge"].isna()).all()
    assert ((table["edge"] <= table["edge_high"]) | table["edge"].isna()).all()
    assert (table["target_rate"].fillna(0) + table["failure_rate"].fillna(0) <= 1).all()


def test_evidence_agrees_with_the_life_of_the_hits() -> None:
    bars = walk(4000, 32)
    table = pattern_evidence(bars, matches=1)
    hits = chart_patterns(bars)
    confirmed = hits[hits["confirmed_at"].notna()]
    reached = confirmed["reached_at"].notna().groupby(confirmed["pattern"]).mean()
    # a hit still watched at the end of the bars may have neither yet; so has its trade
    np.testing.assert_allclose(table["target_rate"].dropna(), reached.reindex(table["target_rate"].dropna().index))


def test_intervals_by_hand() -> None:
    """Newcombe (1998), table II, case (a): 56 of 70 against 48 of 80, method 10: 0.0524 to 0.3339."""
    low, high = difference(56, 70, 48, 80)
    assert (round(low, 4), round(high, 4)) == (0.0524, 0.3339)
    assert wilson(0, 0) == (0.0, 1.0)
    with pytest.raises(InvalidInput, match="confidence"):
        pattern_evidence(walk(50, 1), confidence=0.5)
