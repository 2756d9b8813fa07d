"""Traps of the libraries below, each held by a case."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import talib

from dashtrade.indicators import indicator


def bars_of(close: np.ndarray, volume: np.ndarray | float = 1000.0, spread: float = 0.1) -> pd.DataFrame:
    index = pd.date_range("2024-01-01", periods=close.size, tz="UTC", name="time")
    columns = {"open": close, "high": close + spread, "low": close - spread, "close": close, "volume": volume}
    return pd.DataFrame(columns, index=index)


def test_money_flow_of_fractions_of_a_coin() -> None:
    """TA-Lib takes a very small money flow (older ones: below 1) for none; the scale of volume must not matter."""
    close = 100 + np.cumsum(np.random.default_rng(0).normal(0, 1, 60))
    large = indicator(bars_of(close, 1e4), "mfi")
    small = indicator(bars_of(close, 1e-18), "mfi")
    pd.testing.assert_series_equal(small, large, rtol=1e-9)
    assert small.iloc[14:].between(1, 99).all()


def test_true_zeros_stay_zero() -> None:
    """Only falls: RSI, money flow and the stochastic are 0 for a reason, and are not blanked."""
    close = np.linspace(100, 50, 60)
    bars = bars_of(close, spread=0.0)
    for key in ("rsi", "mfi", "stochastic"):
        values = indicator(bars, key)
        last = values if isinstance(values, pd.Series) else values.iloc[:, 0]
        assert (last.iloc[20:] == 0).all(), key
    assert indicator(bars, "williams_r").iloc[-1] == -100


def test_a_halt_after_trading() -> None:
    """Prices that move and then stand still: windowed formulas become undefined, the RSI, whose
    means only shrink together, keeps its last value and is never a made-up 0."""
    close = np.r_[100 + np.cumsum(np.random.default_rng(1).normal(0, 1, 60)), np.full(700, 105.0)]
    bars = bars_of(close, spread=0.0)
    for key in ("stochastic", "williams_r", "cci", "cmo", "mfi"):
        values = np.asarray(indicator(bars, key))
        assert np.isnan(values[-1]).all(), key
    rsi = indicator(bars, "rsi")
    assert rsi.iloc[61] > 0
    np.testing.assert_allclose(rsi.iloc[61:], rsi.iloc[61], rtol=1e-6)


def test_stochastic_rsi_of_a_steady_rise_is_undefined() -> None:
    """The RSI stands at 100 and has no range."""
    assert indicator(bars_of(np.linspace(50, 100, 80)), "stoch_rsi").isna().all().all()


def test_one_missing_cell_costs_one_value() -> None:
    """TA-Lib stops at a NaN inside a series: everything after it would be lost."""
    close = 100 + np.cumsum(np.random.default_rng(2).normal(0, 1, 100))
    holed = close.copy()
    holed[50] = np.nan
    assert np.isnan(talib.EMA(holed, 10)[51:]).any()
    ours = indicator(bars_of(holed), "ema", window=10)
    assert ours.isna().sum() == 9 + 1
    expected = talib.EMA(np.delete(close, 50), 10)
    np.testing.assert_array_equal(ours.drop(ours.index[50]), expected)


def test_warm_up_is_not_zero() -> None:
    """Some libraries fill the warm-up of ATR and ADX with 0.0."""
    bars = bars_of(100 + np.cumsum(np.random.default_rng(3).normal(0, 1, 60)))
    assert indicator(bars, "atr").iloc[:14].isna().all()
    assert indicator(bars, "adx")["adx"].iloc[:27].isna().all()


def test_parabolic_stop_changes_sides() -> None:
    turn = np.r_[np.linspace(100, 130, 40), np.linspace(130, 90, 40)]
    stop = indicator(bars_of(turn), "psar")
    close = pd.Series(turn, index=stop.index)
    assert (stop.iloc[5:38] < close.iloc[5:38]).all()
    assert (stop.iloc[55:] > close.iloc[55:]).all()


@pytest.mark.parametrize(("key", "params"), [("donchian", {"window": 5, "offset": 1})])
def test_breakout_channel_leaves_out_the_bar_itself(key: str, params: dict[str, int]) -> None:
    close = np.array([1.0, 2, 3, 4, 5, 6, 20, 7])
    upper = indicator(bars_of(close), key, **params)["upper"]
    assert upper.iloc[6] == pytest.approx(6.1)  # the jump to 20 is not part of its own channel


def test_cloud_is_drawn_where_it_was_known() -> None:
    """The leading spans at a bar come from 26 bars before."""
    close = 100 + np.cumsum(np.random.default_rng(4).normal(0, 1, 200))
    bars = bars_of(close)
    cloud = indicator(bars, "ichimoku")
    a = (cloud["tenkan"] + cloud["kijun"]) / 2
    np.testing.assert_allclose(cloud["senkou_a"].iloc[60:], a.shift(26).iloc[60:])
    high, low = bars["high"].rolling(52).max(), bars["low"].rolling(52).min()
    np.testing.assert_allclose(cloud["senkou_b"].iloc[80:], ((high + low) / 2).shift(26).iloc[80:])


def test_formulas_without_a_printed_reference() -> None:
    """Against the formula written out with pandas, bar by bar."""
    rng = np.random.default_rng(5)
    n = 400
    close = 100 * np.exp(np.cumsum(rng.normal(0, 0.01, n)))
    open_ = close * np.exp(rng.normal(0, 0.004, n))
    high, low = np.maximum(open_, close) * 1.004, np.minimum(open_, close) * 0.996
    index = pd.date_range("2022-01-01", periods=n, tz="UTC", name="time")
    bars = pd.DataFrame(
        {"open": open_, "high": high, "low": low, "close": close, "volume": rng.uniform(1, 9, n)}, index
    )
    c, h, lo, o = bars["close"], bars["high"], bars["low"], bars["open"]

    change = np.log(c / c.shift())
    expected = {
        "historical_volatility": 100 * change.rolling(20).std() * np.sqrt(252),
        "parkinson_volatility": 100 * np.sqrt((np.log(h / lo) ** 2).rolling(20).mean() / (4 * np.log(2)) * 252),
        "garman_klass_volatility": 100
        * np.sqrt((0.5 * np.log(h / lo) ** 2 - (2 * np.log(2) - 1) * np.log(c / o) ** 2).rolling(20).mean() * 252),
        "relative_volume": bars["volume"] / bars["volume"].rolling(20).mean().shift(),
        "dpo": c.shift(11) - c.rolling(20).mean(),
        "bop": ((c - o) / (h - lo)).rolling(14).mean(),
    }
    roc = {n: 100 * (c / c.shift(n) - 1) for n in (10, 15, 20, 30)}
    kst = sum(k * roc[r].rolling(m).mean() for k, (r, m) in enumerate(((10, 10), (15, 10), (20, 10), (30, 15)), 1))
    for key, values in expected.items():
        pd.testing.assert_series_equal(indicator(bars, key), values, check_names=False, rtol=1e-8, check_freq=False)
    np.testing.assert_allclose(indicator(bars, "kst")["kst"], kst, rtol=1e-9)

    ema = indicator(bars, "ema", window=20)
    channel = indicator(bars, "keltner")
    np.testing.assert_allclose(channel["upper"].iloc[30:], (ema + 2 * indicator(bars, "atr", window=10)).iloc[30:])
    exits = indicator(bars, "chandelier")
    reach = 3 * indicator(bars, "atr", window=22)
    np.testing.assert_allclose(exits["long"], h.rolling(22).max() - reach)
    np.testing.assert_allclose(exits["short"], lo.rolling(22).min() + reach)

    squeeze = indicator(bars, "squeeze")
    previous = c.shift().fillna(c.iloc[0])
    true_range = np.maximum(h, previous) - np.minimum(lo, previous)
    true_range.iloc[0] = h.iloc[0] - lo.iloc[0]
    on = 2 * c.rolling(20).std(ddof=0) < 1.5 * true_range.rolling(20).mean()
    assert (squeeze["on"].iloc[19:] == on.iloc[19:]).all()
    source = c - ((h.rolling(20).max() + lo.rolling(20).min()) / 2 + c.rolling(20).mean()) / 2
    fitted = source.rolling(20).apply(lambda y: np.polyval(np.polyfit(np.arange(20), y, 1), 19), raw=True)
    np.testing.assert_allclose(squeeze["momentum"].iloc[38:], fitted.iloc[38:], atol=1e-8)


def test_qqe_connors_and_fisher_written_out() -> None:
    rng = np.random.default_rng(6)
    close = pd.Series(100 * np.exp(np.cumsum(rng.normal(0, 0.01, 500))))
    bars = bars_of(close.to_numpy())
    rsi = pd.Series(talib.RSI(close.to_numpy(), 14))
    line = pd.Series(talib.EMA(rsi.to_numpy(), 5))
    got = indicator(bars, "qqe")
    np.testing.assert_allclose(got["qqe"], line)
    swing = line.diff().abs().to_numpy()
    reach = 4.238 * talib.EMA(talib.EMA(swing, 27), 27)
    below = above = np.nan
    side, band = 1, np.full(500, np.nan)
    for i in range(500):
        if np.isnan(reach[i]):
            continue
        new_below, new_above = line[i] - reach[i], line[i] + reach[i]
        if not np.isnan(below):
            if line[i - 1] <= above < line[i]:
                side = 1
            elif line[i - 1] >= below > line[i]:
                side = -1
            if min(line[i], line[i - 1]) > below:
                new_below = max(below, new_below)
            if max(line[i], line[i - 1]) < above:
                new_above = min(above, new_above)
        below, above = new_below, new_above
        band[i] = below if side > 0 else above
    np.testing.assert_allclose(got["signal"], band)
    assert set(got["direction"].dropna()) == {1.0, -1.0}

    runs, now = [0.0], 0.0
    for step in np.sign(close.diff().iloc[1:]):
        now = now + step if now * step > 0 else step
        runs.append(now)
    one = close.pct_change().to_numpy() * 100
    rank = np.full(500, np.nan)
    for i in range(101, 500):
        rank[i] = 100.0 * (one[i - 100 : i] < one[i]).mean()
    expected = (talib.RSI(close.to_numpy(), 3) + talib.RSI(np.array(runs), 2) + rank) / 3
    np.testing.assert_allclose(indicator(bars, "connors_rsi"), expected, rtol=1e-9)

    place = last = 0.0
    values = close.to_numpy()
    fisher = indicator(bars, "fisher")
    for i in range(8, 500):
        window = values[i - 8 : i + 1]
        place = 0.66 * ((values[i] - window.min()) / (window.max() - window.min()) - 0.5) + 0.67 * place
        place = min(max(place, -0.999), 0.999)
        last = 0.5 * np.log((1 + place) / (1 - place)) + 0.5 * last
        assert fisher["fisher"].iloc[i] == pytest.approx(last, rel=1e-6, abs=1e-9)


def test_cci_is_undefined_while_the_typical_price_stands_still() -> None:
    """High and low move apart around one close, then also the close against them: the typical price stays 100."""
    n = 60
    index = pd.date_range("2024-01-01", periods=n, tz="UTC", name="time")
    reach = np.arange(1, n + 1) / 7
    bars = pd.DataFrame({"open": 100.0, "high": 100 + reach, "low": 100 - reach, "close": 100.0, "volume": 1.0}, index)
    assert indicator(bars, "cci").isna().all()
    tilted = bars.assign(high=100 + reach, low=100 - reach / 2, close=100 - reach / 2)
    assert indicator(tilted, "cci").isna().all()
