"""Levels, volume, votes, risk and the whole reading."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest

import dashtrade
from dashtrade.analysis import (
    WEIGHTS,
    Action,
    TechnicalAnalyzer,
    analyze,
    find_levels,
    find_support_resistance,
    levels,
    pivot_points,
    plan_trade,
    read_volume,
    signal,
    stop_price,
    volume_profile,
)
from dashtrade.domain.market import NewsItem
from dashtrade.errors import BadBars, InvalidInput
from dashtrade.indicators import REGISTRY, indicator
from dashtrade.patterns import CANDLESTICKS, USUAL, candlestick_patterns, chart_patterns, pivots


def walk(n: int, seed: int, drift: float = 0.0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(rng.normal(drift, 0.012, n)))
    open_ = np.r_[100.0, close[:-1]]
    high = np.maximum(open_, close) * (1 + rng.uniform(0, 0.006, n))
    low = np.minimum(open_, close) * (1 - rng.uniform(0, 0.006, n))
    index = pd.date_range("2019-01-01", periods=n, tz="UTC", name="time")
    volume = np.round(rng.lognormal(12, 0.5, n))
    return pd.DataFrame({"open": open_, "high": high, "low": low, "close": close, "volume": volume}, index=index)


def path(prices: np.ndarray, volume: np.ndarray | float = 1000.0) -> pd.DataFrame:
    index = pd.date_range("2020-01-01", periods=prices.size, tz="UTC", name="time")
    before = np.r_[prices[0], prices[:-1]]
    high, low = np.maximum(prices, before) + 0.1, np.minimum(prices, before) - 0.1
    return pd.DataFrame({"open": before, "high": high, "low": low, "close": prices, "volume": volume}, index=index)


# --- levels -----------------------------------------------------------------------------------------------------------


def test_a_range_shows_its_edges_as_levels() -> None:
    """Prices swing between 100 and 110 and end in the middle: support near 100, resistance near 110, many touches."""
    corners = np.interp(np.arange(165), np.arange(0, 170, 10), [100, 110] * 8 + [100])
    found = find_levels(path(corners), sources=("pivots",))
    support = [level for level in found if level.kind == "support"]
    resistance = [level for level in found if level.kind == "resistance"]
    assert support[0].price == pytest.approx(99.9, abs=0.3)
    assert resistance[0].price == pytest.approx(110.1, abs=0.3)
    assert support[0].touches >= 5
    assert resistance[0].touches >= 5
    assert support[0].strength > 0.8
    assert "turning points" in support[0].sentence
    assert find_support_resistance(path(corners), lookback=120) == {
        "support": [pytest.approx(99.9, abs=0.3)],
        "resistance": [pytest.approx(110.1, abs=0.3)],
    }


def test_levels_are_sorted_and_known_in_time() -> None:
    bars = walk(600, 3)
    table = levels(bars)
    assert table["distance_percent"].abs().is_monotonic_increasing
    assert set(table["source"]) == {"pivots", "classic", "fibonacci", "volume"}
    assert (table["known_at"] >= table["first_at"]).all()
    assert (table["known_at"] <= bars.index[-1]).all()
    assert ((table["strength"] >= 0) & (table["strength"] <= 1)).all()
    close = bars["close"].iloc[-1]
    assert (table[table["kind"] == "support"]["price"] <= close).all()
    assert (table[table["kind"] == "resistance"]["price"] > close).all()
    pivots_only = table[table["source"] == "pivots"]
    assert (pivots_only["known_at"] > pivots_only["first_at"]).all()
    found = find_support_resistance(bars)
    for prices in found.values():
        assert [abs(p - close) for p in prices] == sorted(abs(p - close) for p in prices)


def test_pivot_points_by_hand() -> None:
    points = pivot_points(high=110.0, low=100.0, close=105.0)
    assert points["classic"] == {"p": 105, "r1": 110, "s1": 100, "r2": 115, "s2": 95, "r3": 120, "s3": 90}
    assert points["fibonacci"] == pytest.approx(
        {"p": 105, "r1": 108.82, "s1": 101.18, "r2": 111.18, "s2": 98.82, "r3": 115, "s3": 95}
    )


def test_intraday_pivot_points_come_from_the_day_before() -> None:
    first = pd.date_range("2024-01-02 14:30", periods=78, freq="5min", tz="UTC")
    second = pd.date_range("2024-01-03 14:30", periods=40, freq="5min", tz="UTC")
    bars = walk(118, 9).set_axis(first.append(second))
    day = bars.iloc[:78]
    expected = pivot_points(day["high"].max(), day["low"].min(), day["close"].iloc[-1])["classic"]
    got = levels(bars, sources=("classic",))
    assert sorted(got["price"]) == pytest.approx(sorted(expected.values()))
    assert (got["known_at"] == first[-1]).all()


def test_volume_profile_keeps_all_volume() -> None:
    bars = walk(300, 8)
    profile = volume_profile(bars, bins=40)
    assert profile is not None
    assert profile.volume.sum() == pytest.approx(bars["volume"].sum())
    assert profile.value_low <= profile.point_of_control <= profile.value_high
    inside = (profile.edges[:-1] >= profile.value_low - 1e-9) & (profile.edges[1:] <= profile.value_high + 1e-9)
    assert profile.volume[inside].sum() >= 0.7 * profile.volume.sum() - 1e-6
    assert volume_profile(bars.assign(volume=0.0)) is None
    with pytest.raises(InvalidInput, match="5 to 1000"):
        volume_profile(bars, bins=2)


def test_volume_profile_by_hand() -> None:
    """One bar from 0 to 10 with volume 100, one at exactly 5 with volume 50, ten bins."""
    index = pd.date_range("2024-01-01", periods=2, tz="UTC")
    bars = pd.DataFrame(
        {"high": [10.0, 5.5], "low": [0.0, 5.5], "close": [4.0, 5.5], "volume": [100.0, 50.0]}, index=index
    )
    profile = volume_profile(bars, bins=10)
    assert profile is not None
    np.testing.assert_allclose(profile.volume, [10, 10, 10, 10, 10, 60, 10, 10, 10, 10])
    assert profile.point_of_control == pytest.approx(5.5)


def test_level_errors() -> None:
    bars = walk(60, 1)
    with pytest.raises(InvalidInput, match="lookback"):
        levels(bars, lookback=0)
    with pytest.raises(InvalidInput, match="source"):
        levels(bars, sources=("moon",))
    with pytest.raises(BadBars):
        levels(bars.iloc[:0])
    assert levels(bars.iloc[:5]).empty


# --- volume -----------------------------------------------------------------------------------------------------------


def reading_of(volume: np.ndarray) -> object:
    return read_volume(path(100 + np.sin(np.arange(volume.size)), volume))


@pytest.mark.parametrize(
    ("volume", "expected"),
    [
        (np.linspace(50, 300, 60), {"trend": "rising", "shape": "none"}),
        (np.linspace(300, 100, 60), {"trend": "falling"}),
        (np.full(60, 100.0), {"trend": "flat", "shape": "none", "breakout": False, "climax": False, "dry_up": False}),
        (np.r_[np.full(40, 200.0), 200 + 3.0 * np.linspace(-9, 9, 20) ** 2], {"shape": "U"}),
        (np.r_[np.full(40, 200.0), 400 - 3.0 * np.linspace(-9, 9, 20) ** 2], {"shape": "dome"}),
        (np.r_[np.full(59, 100.0), 180.0], {"breakout": True, "climax": False}),
        (np.r_[np.full(55, 100.0), np.full(5, 40.0)], {"dry_up": True, "trend": "falling"}),
    ],
)
def test_volume_readings(volume: np.ndarray, expected: dict[str, object]) -> None:
    got = reading_of(volume)
    assert {name: getattr(got, name) for name in expected} == expected


def test_a_climax_needs_a_wide_bar_too() -> None:
    volume = np.r_[np.full(59, 100.0), 400.0]
    prices = 100 + np.sin(np.arange(60))
    assert read_volume(path(prices, volume)).climax is False  # type: ignore[union-attr]
    prices[-1] += 12
    wide = read_volume(path(prices, volume))
    assert wide is not None
    assert wide.climax
    assert wide.ratio == pytest.approx(4.0)
    assert any("climax" in s for s in wide.sentences)


def test_volume_without_volume() -> None:
    assert read_volume(path(np.full(60, 5.0), 0.0)) is None
    assert read_volume(path(np.arange(10.0))) is None
    with pytest.raises(BadBars, match="volume"):
        read_volume(walk(60, 1).drop(columns="volume"))


# --- signal -----------------------------------------------------------------------------------------------------------


def test_score_is_the_weighted_mean_of_the_votes() -> None:
    report = signal(walk(400, 5))
    total = sum(v.weight for v in report.votes)
    assert report.score == pytest.approx(100 * sum(v.weight * v.value for v in report.votes) / total)
    assert -100 <= report.score <= 100
    for vote in report.votes:
        assert -1 <= vote.value <= 1
        assert (vote.group, vote.weight) == WEIGHTS[vote.name]
        assert vote.sentence.endswith(".")
        assert vote.time <= report.time
        assert vote.time.tzinfo is not None


def test_a_steady_rise_is_a_buy_and_its_mirror_a_sell() -> None:
    rise = walk(300, 2, drift=0.006)
    assert signal(rise).action is Action.BUY
    assert signal(rise).trend == 1
    fall = rise.copy()
    for name, other in (("open", "open"), ("close", "close"), ("high", "low"), ("low", "high")):
        fall[name] = 1e5 / rise[other]
    assert signal(fall).action is Action.SELL
    assert signal(fall).trend == -1


def test_signal_does_not_look_ahead() -> None:
    bars = walk(500, 7)
    for end in (60, 222, 400):
        assert repr(signal(bars.iloc[:end])) == repr(signal(bars.iloc[:end].copy()))
        full = analyze(bars.iloc[:end]).signal
        assert [(v.name, v.value) for v in full.votes] == [(v.name, v.value) for v in signal(bars.iloc[:end]).votes]


def test_few_bars_leave_votes_out() -> None:
    bars = walk(60, 1)
    names = {v.name for v in signal(bars).votes}
    assert {"rsi", "macd"} <= names
    assert "news" not in names
    short = {v.name for v in signal(bars.iloc[:25]).votes}
    assert "macd" not in short
    with pytest.raises(BadBars, match="too few"):
        signal(bars.iloc[:5])
    with pytest.raises(BadBars, match="no bars"):
        signal(bars.iloc[:0])
    no_volume = {v.name for v in signal(bars.assign(volume=0.0)).votes}
    assert not no_volume & {"on-balance volume", "money flow"}


def test_news_known_by_then_is_a_vote_of_its_own() -> None:
    bars = walk(120, 1)
    last = bars.index[-1].to_pydatetime()

    def item(days: float, sentiment: float | None) -> NewsItem:
        return NewsItem(last + timedelta(days=days), "t", "https://example.org", "s", sentiment=sentiment)

    good = next(v for v in signal(bars, [item(-1, 0.4), item(-2, 0.2)]).votes if v.name == "news")
    assert good.value == pytest.approx(0.6)
    assert good.time == last - timedelta(days=1)
    for useless in ([item(-1, None)], [item(5, 0.9)], [item(-30, 0.9)]):
        assert all(v.name != "news" for v in signal(bars, useless).votes)


# --- risk -------------------------------------------------------------------------------------------------------------


def test_shares_by_hand() -> None:
    plan = plan_trade(entry=50.0, stop=48.0, balance=10_000.0, risk_percent=1.0)
    assert plan.shares == 50  # floor(100 / 2)
    assert plan.money_at_risk == pytest.approx(100.0)
    assert plan.limited_by == "risk"
    assert [t.price for t in plan.targets] == [52.0, 54.0, 56.0]
    assert [t.reward_to_risk for t in plan.targets] == [1.0, 2.0, 3.0]


def test_buying_power_limits_shares() -> None:
    plan = plan_trade(entry=50.0, stop=49.9, balance=10_000.0, risk_percent=2.0, buying_power=5_000.0)
    assert plan.shares == 100
    assert plan.limited_by == "buying power"
    assert plan.cost <= 5_000


def test_short_plans_and_no_share() -> None:
    plan = plan_trade(entry=50.0, stop=52.0, balance=10_000.0, side="short", targets=[44.0])
    assert plan.shares == 50
    assert plan.targets[0].reward_to_risk == pytest.approx(3.0)
    tiny = plan_trade(entry=5_000.0, stop=4_000.0, balance=1_000.0)
    assert tiny.shares == 0
    assert "no share" in tiny.sentence


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"stop": 51.0}, "stop"),
        ({"stop": 50.0}, "stop"),
        ({"stop": 52.0, "side": "long"}, "stop"),
        ({"stop": 48.0, "side": "short"}, "stop"),
        ({"side": "up"}, "side"),
        ({"risk_percent": 0}, "risk_percent"),
        ({"risk_percent": 101}, "risk_percent"),
        ({"balance": -1}, "balance"),
        ({"entry": math.nan}, "entry"),
        ({"buying_power": 0}, "buying_power"),
    ],
)
def test_risk_errors_name_the_field(change: dict[str, object], field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        plan_trade(**{"entry": 50.0, "stop": 48.0, "balance": 1000.0, **change})  # type: ignore[arg-type]
    assert caught.value.field == field


def test_stops() -> None:
    bars = walk(100, 3)
    close = float(bars["close"].iloc[-1])
    reach = float(indicator(bars, "atr").iloc[-1])
    assert stop_price(bars)[0] == pytest.approx(close - 2 * reach)
    assert stop_price(bars, "short", factor=3)[0] == pytest.approx(close + 3 * reach)
    assert stop_price(bars, method="percent", percent=10)[0] == pytest.approx(0.9 * close)
    assert stop_price(bars, method="level", level=close - 4)[0] == pytest.approx(close - 4 - reach / 2)
    with pytest.raises(InvalidInput, match="wrong side"):
        stop_price(bars, method="level", level=2 * close)
    with pytest.raises(InvalidInput, match="atr"):
        stop_price(bars, method="guess")
    with pytest.raises(BadBars, match="15 bars"):
        stop_price(bars.iloc[:10])


# --- everything -------------------------------------------------------------------------------------------------------


def test_the_whole_reading() -> None:
    bars = walk(400, 11)
    bars.attrs["symbol"] = "TEST"
    result = analyze(bars, balance=50_000.0, risk_percent=2.0)
    assert result.symbol == "TEST"
    assert result.time == bars.index[-1].to_pydatetime()
    assert set(result.indicators) == set(REGISTRY)
    assert result.indicators["rsi"]["rsi"] == pytest.approx(indicator(bars, "rsi").iloc[-1])
    assert result.signal == signal(bars)
    assert result.risk is not None
    assert result.risk.money_at_risk <= 1_000.0
    assert (result.risk.side == -1) == (result.signal.action is Action.SELL)
    text = json.dumps(result.as_dict(), allow_nan=False)
    again = json.loads(text)
    assert again["signal"]["action"] in ("BUY", "SELL", "HOLD")
    assert again["indicators"]["ema_ribbon"]["ema_200"] == pytest.approx(indicator(bars, "ema", window=200).iloc[-1])
    assert again["levels"][0]["sentence"].endswith(".")
    assert len(dashtrade.levels(bars)) == len(result.levels)  # the function, not a module
    assert dashtrade.analyze(bars).price == result.price


def test_the_reading_of_difficult_bars() -> None:
    bars = walk(300, 13)
    holes = bars.copy()
    holes.iloc[[40, 200], 3] = np.nan
    assert math.isfinite(analyze(holes).signal.score)
    assert analyze(bars.iloc[:30]).indicators["sma"]["sma"] == pytest.approx(bars["close"].iloc[10:30].mean())
    flat = analyze(bars.assign(open=5.0, high=5.0, low=5.0, close=5.0))
    assert flat.risk is None
    assert flat.signal.action is Action.HOLD
    with pytest.raises(BadBars):
        analyze(bars.iloc[:0])


def test_the_documented_class() -> None:
    bars = walk(300, 14)
    before = bars.copy(deep=True)
    reader = TechnicalAnalyzer()
    emas = reader.calculate_emas(bars)
    assert [c for c in emas if c.startswith("ema_")] == ["ema_9", "ema_20", "ema_50", "ema_100", "ema_200"]
    cloud = reader.calculate_ma_cloud(bars)
    assert {"ema_4", "ema_20", "sma_20", "cloud"} <= set(cloud)
    assert set(cloud["cloud"].dropna()) <= {-1.0, 0.0, 1.0}
    assert {"vwap", "vwap_upper", "vwap_lower"} <= set(reader.calculate_vwap(bars))
    assert {"qqe", "qqe_signal", "qqe_direction"} <= set(reader.calculate_qqe(bars))
    assert len(reader.detect_candlestick_patterns(bars)) > 50
    assert len(reader.detect_chart_patterns(bars)) > 2
    assert set(reader.find_support_resistance(bars, lookback=100)) == {"support", "resistance"}
    volume = reader.analyze_volume(bars)
    assert volume is not None
    assert volume.time == bars.index[-1]
    assert reader.calculate_risk_metrics(bars, side="short").side == -1
    assert reader.generate_signals(bars) == signal(bars)
    capital = bars.rename(columns=str.capitalize)
    pd.testing.assert_frame_equal(reader.calculate_emas(capital), emas)
    pd.testing.assert_frame_equal(bars, before)
    with pytest.raises(BadBars):
        reader.generate_signals([1, 2, 3])  # type: ignore[arg-type]
    with pytest.raises(BadBars, match="no bars"):
        reader.generate_signals()


def test_the_documented_class_with_bars_given_once() -> None:
    bars = walk(400, 15)
    reader = TechnicalAnalyzer(bars.rename(columns=str.capitalize))
    whole = reader.run_complete_analysis()
    table = whole["dataframe"]
    assert len(table) == 400
    assert whole["latest_price"] == bars["close"].iloc[-1]
    assert whole["signals"] == signal(bars)
    assert {"ema_200", "ma_cloud_short", "ma_cloud_long", "ma_cloud_sma", "qqe_long", "vwap_lower_3"} <= set(table)
    above = table["ma_cloud_short"] > table[["ma_cloud_long", "ma_cloud_sma"]].max(axis=1)
    known = table["ma_cloud_sma"].notna()
    assert ((table["ma_cloud_trend"] == "bullish") == (above & known)).all()
    assert (table["ma_cloud_trend"][~known] == "unknown").all()
    width = table["vwap_upper_3"] - table["vwap"]
    np.testing.assert_allclose(width, 3 * table["vwap_std"], atol=1e-9)
    turned = table["qqe_trend"].ne(table["qqe_trend"].shift()) & table["qqe_trend"].shift().notna()
    history = reader.get_signal_history()
    assert [s["timestamp"] for s in history] == list(table.index[turned])
    assert {s["type"] for s in history} == {"LONG", "SHORT"}
    counted = reader.count_signals_by_period(hours_back=24 * 100)
    assert counted["long_count"] + counted["short_count"] == counted["total_signals"] == len(counted["signals"])
    assert all(s["timestamp"] >= bars.index[-101] for s in counted["signals"])
    pd.testing.assert_series_equal(reader.calculate_rsi(21), indicator(bars, "rsi", window=21))
    pd.testing.assert_series_equal(reader.calculate_atr(), indicator(bars, "atr"))


def test_the_candlestick_vote_names_at_most_one_usual_pattern_a_bar() -> None:
    bars = walk(260, 16)
    named = 0
    for n in range(200, 260):
        vote = next(v for v in signal(bars.iloc[:n]).votes if v.name == "candlesticks")
        if vote.value == 0 and "No telling" in vote.sentence:
            continue
        parts = vote.sentence.removeprefix("Candlesticks: ").removesuffix(".").split(", ")
        named += len(parts)
        assert len(parts) <= 3
        usual = {CANDLESTICKS[key].name.lower() for key in USUAL}
        ages = []
        for part in parts:
            name, rest = part.split(" (")
            side, age = rest.split(") ")
            assert name in usual
            assert side in ("bullish", "bearish")
            ages.append(age)
        assert len(set(ages)) == len(ages)
    assert named > 20


def test_times_are_utc() -> None:
    naive = walk(100, 15).tz_localize(None)
    assert signal(naive).time == datetime(2019, 4, 10, tzinfo=UTC)


BROKEN = {
    "no frame": [1, 2, 3],
    "nothing": None,
    "no bars": walk(300, 17).iloc[:0],
    "no close": walk(300, 17).drop(columns="close"),
    "newest first": walk(300, 17).iloc[::-1],
    "words": walk(300, 17).astype({"close": object}).assign(close="high"),
    "two closes": pd.concat([walk(300, 17), walk(300, 17)[["close"]]], axis=1),
}


@pytest.mark.parametrize("case", BROKEN)
@pytest.mark.parametrize("read", [analyze, signal, levels, TechnicalAnalyzer().run_complete_analysis])
def test_broken_bars_are_refused_with_a_sentence(case: str, read: Any) -> None:
    with pytest.raises(BadBars):
        read(BROKEN[case])


@pytest.mark.parametrize("case", ["no frame", "nothing", "no close", "words", "two closes"])
@pytest.mark.parametrize("read", [candlestick_patterns, chart_patterns, pivots, read_volume, stop_price])
def test_parts_refuse_broken_bars_too(case: str, read: Any) -> None:
    with pytest.raises(BadBars):
        read(BROKEN[case])


def test_settings_of_another_type_are_refused() -> None:
    bars = walk(300, 18)
    for call in (
        lambda: chart_patterns(bars, "3"),  # type: ignore[arg-type]
        lambda: pivots(bars, percent="3"),  # type: ignore[arg-type]
        lambda: levels(bars, lookback="50"),  # type: ignore[arg-type]
        lambda: read_volume(bars, "20"),  # type: ignore[arg-type]
        lambda: stop_price(bars, []),  # type: ignore[arg-type]
        lambda: candlestick_patterns(bars, last=-1),
    ):
        with pytest.raises(InvalidInput):
            call()


def test_a_last_bar_without_a_close_is_not_read() -> None:
    bars = walk(300, 19)
    bars.iloc[-1, 3] = np.nan
    told = json.loads(json.dumps(analyze(bars).as_dict(), allow_nan=False))
    assert told["price"] == bars["close"].iloc[-2]
    assert told["time"] == bars.index[-2].isoformat()
