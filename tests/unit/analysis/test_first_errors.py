"""Mistakes of the first DashTrade, each kept from coming back."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from dashtrade.analysis import Action, analyze, plan_trade, signal
from dashtrade.errors import BadBars, InvalidInput, UnknownOption
from dashtrade.indicators import REGISTRY, bars_needed, crosses_above, crosses_below, indicator
from dashtrade.patterns import chart_patterns, pivots


def walk(n: int, seed: int, drift: float = 0.0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(rng.normal(drift, 0.012, n)))
    open_ = np.r_[100.0, close[:-1]]
    high = np.maximum(open_, close) * (1 + rng.uniform(0, 0.006, n))
    low = np.minimum(open_, close) * (1 - rng.uniform(0, 0.006, n))
    index = pd.date_range("2019-01-01", periods=n, tz="UTC", name="time")
    volume = np.round(rng.lognormal(12, 0.5, n))
    return pd.DataFrame({"open": open_, "high": high, "low": low, "close": close, "volume": volume}, index=index)


def test_vwap_bands_are_the_spread_of_prices_not_of_the_mean() -> None:
    """Three bars by hand: typical prices 10, 20, 30 with volumes 1, 1, 2."""
    index = pd.date_range("2024-01-02 15:00", periods=3, freq="h", tz="UTC", name="time")
    bars = pd.DataFrame({"high": [10.0, 20, 30], "low": [10.0, 20, 30], "close": [10.0, 20, 30]}, index=index)
    got = indicator(bars.assign(volume=[1.0, 1.0, 2.0]), "vwap", deviations=2.0)
    mean = (10 + 20 + 2 * 30) / 4
    sigma = np.sqrt((100 + 400 + 2 * 900) / 4 - mean**2)
    assert got["vwap"].iloc[-1] == pytest.approx(mean)
    assert got["upper"].iloc[-1] == pytest.approx(mean + 2 * sigma)
    assert got["lower"].iloc[-1] == pytest.approx(mean - 2 * sigma)


def test_vwap_bands_hold_most_prices() -> None:
    """Prices scattered normally about 100: about 68 % of them lie within one standard deviation."""
    price = 100 + np.random.default_rng(4).normal(0, 1, 2000)
    index = pd.date_range("2024-01-02 14:30", periods=2000, freq="min", tz="UTC", name="time")
    bars = pd.DataFrame({"high": price, "low": price, "close": price, "volume": 500.0}, index=index)
    got = indicator(bars, "vwap", anchor="all")
    inside = (bars["close"] <= got["upper"]) & (bars["close"] >= got["lower"])
    assert 0.63 < inside.iloc[100:].mean() < 0.73


def test_vwap_begins_anew_with_the_exchanges_day() -> None:
    """After the close of 16:00 in New York it is 21:00 UTC in winter; midnight UTC is still the same session."""
    times = ["2024-01-02 20:00", "2024-01-02 23:30", "2024-01-03 00:30", "2024-01-03 04:59", "2024-01-03 05:01"]
    index = pd.DatetimeIndex(times, tz="UTC", name="time")
    bars = pd.DataFrame({"high": 1.0, "low": 1.0, "close": [1.0, 2, 3, 4, 50], "volume": 1.0}, index=index)
    bars["high"] = bars["low"] = bars["close"]
    got = indicator(bars, "vwap", anchor="session")["vwap"]
    np.testing.assert_allclose(got, [1, 1.5, 2, 2.5, 50])
    np.testing.assert_allclose(indicator(bars, "vwap", anchor="2024-01-03")["vwap"], [np.nan] * 4 + [50])
    with pytest.raises(InvalidInput, match="date"):
        indicator(bars, "vwap", anchor="yesterday-ish")


def test_vwap_anchors_of_daily_bars() -> None:
    index = pd.date_range("2024-01-29", periods=10, tz="UTC", name="time")  # Monday to Wednesday of the next week
    price = np.arange(1.0, 11.0)
    bars = pd.DataFrame({"high": price, "low": price, "close": price, "volume": 1.0}, index=index)
    week = indicator(bars, "vwap", anchor="week")["vwap"]
    assert week.iloc[6] == pytest.approx(4.0)  # Sunday: the mean of 1 … 7
    assert week.iloc[7] == pytest.approx(8.0)  # Monday begins anew
    month = indicator(bars, "vwap", anchor="month")["vwap"]
    assert month.iloc[2] == pytest.approx(2.0)
    assert month.iloc[3] == pytest.approx(4.0)  # 1 February
    pd.testing.assert_series_equal(indicator(bars, "vwap")["vwap"], month)


def test_a_pivot_is_not_known_on_its_own_bar() -> None:
    bars = walk(800, 1)
    found = pivots(bars)
    assert (found["known_at"] > found["time"]).all()
    for row in found.itertuples():
        before = pivots(bars.loc[: row.known_at].iloc[:-1])
        assert row.time not in set(before["time"])  # one bar earlier nobody could have told


def test_every_target_lies_beyond_the_entry() -> None:
    """The near target is 0.7 of the move, not 0.7 of the price."""
    for seed in range(6):
        hits = chart_patterns(walk(1500, seed))
        confirmed = hits[hits["confirmed_at"].notna()]
        way = confirmed["direction"]
        moves = {name: way * (confirmed[name] - confirmed["level"]) for name in ("target_near", "target", "target_far")}
        assert (moves["target_near"] > 0).all()
        np.testing.assert_allclose(moves["target_near"], 0.7 * moves["target"])
        np.testing.assert_allclose(moves["target_far"], 1.3 * moves["target"])
    with pytest.raises(InvalidInput, match="above the entry"):
        plan_trade(entry=100, stop=95, balance=1000, targets=[70.0])
    with pytest.raises(InvalidInput, match="below the entry"):
        plan_trade(entry=100, stop=105, balance=1000, side="short", targets=[170.0])


def test_crossing_is_not_being_above() -> None:
    a = pd.Series([1.0, 2, 3, 3, 1, 2, 3, np.nan, 5, 6])
    assert list(crosses_above(a, 2.0)) == [False, False, True, False, False, False, True, False, False, False]
    assert list(crosses_below(a, 2.0)) == [False, False, False, False, True, False, False, False, False, False]
    b = pd.Series([2.0] * 10)
    assert list(crosses_above(a, b)) == list(crosses_above(a, 2.0))
    assert not crosses_above(pd.Series([5.0, 6, 7]), 1.0).any()


def test_a_missing_column_or_name_is_an_error_not_a_false() -> None:
    bars = walk(100, 2)
    with pytest.raises(BadBars, match="volume"):
        indicator(bars.drop(columns="volume"), "obv")
    with pytest.raises(BadBars, match="close"):
        analyze(bars.rename(columns={"close": "last"}))
    with pytest.raises(UnknownOption):
        indicator(bars, "emma")
    with pytest.raises(InvalidInput, match="not a parameter"):
        indicator(bars, "ema", period=9)


def test_a_buy_in_a_downtrend_is_not_with_the_trend() -> None:
    seen = {True: 0, False: 0}
    for seed in range(12):
        bars = walk(320, seed, drift=0.002 if seed % 2 else -0.002)
        for end in range(260, 320, 6):
            report = signal(bars.iloc[:end])
            if report.action is Action.HOLD:
                assert not report.with_trend
                continue
            side = 1 if report.action is Action.BUY else -1
            assert report.with_trend == (report.trend == side)
            seen[report.with_trend] += 1
            if report.with_trend:
                line = indicator(bars.iloc[:end], "ema", window=50)
                assert side * (bars["close"].iloc[end - 1] - line.iloc[-1]) > 0
    assert seen[True] > 10


@pytest.mark.parametrize("key", list(REGISTRY))
def test_the_bars_an_alert_needs_are_known_beforehand(key: str) -> None:
    """Fetching fewer bars than an indicator needs made alerts that could never fire."""
    bars = walk(400, 5)
    need = bars_needed(key)
    last = np.atleast_1d(indicator(bars.iloc[:need], key).iloc[-1])
    assert np.isfinite(last).all()
    if need > 1:
        fewer = np.atleast_1d(indicator(bars.iloc[: need - 1], key).iloc[-1])
        assert np.isnan(fewer).any()


def test_wilders_names_mean_wilders_smoothing() -> None:
    bars = walk(200, 6)
    change = bars["close"].diff()
    gain, loss = change.clip(lower=0), -change.clip(upper=0)
    simple = 100 - 100 / (1 + gain.rolling(14).mean() / loss.rolling(14).mean())
    ours = indicator(bars, "rsi")
    assert (ours - simple).abs().iloc[30:].max() > 1.0
    up, down = gain.iloc[1:15].mean(), loss.iloc[1:15].mean()
    for i in range(15, 200):
        up, down = (13 * up + gain.iloc[i]) / 14, (13 * down + loss.iloc[i]) / 14
    assert ours.iloc[-1] == pytest.approx(100 - 100 / (1 + up / down))
    previous = bars["close"].shift()
    true_range = np.maximum(bars["high"], previous) - np.minimum(bars["low"], previous)
    assert (indicator(bars, "atr") - true_range.rolling(14).mean()).abs().max() > 0.01
    mean = true_range.iloc[1:15].mean()
    for i in range(15, 200):
        mean = (13 * mean + true_range.iloc[i]) / 14
    assert indicator(bars, "atr").iloc[-1] == pytest.approx(mean)
