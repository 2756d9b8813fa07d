"""Which bars a signal and an analysis read, and how frames and numbers that are nearly right are taken."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

import dashtrade as dt
from dashtrade.analysis import find_levels, plan_trade
from dashtrade.domain.bars import readable
from dashtrade.errors import BadBars, InvalidInput


def bars(n: int = 300, freq: str = "D", start: str = "2024-01-02") -> pd.DataFrame:
    rng = np.random.default_rng(3)
    close = 100 * np.exp(np.cumsum(rng.normal(0, 0.01, n)))
    open_ = np.r_[100.0, close[:-1]]
    index = pd.date_range(start, periods=n, freq=freq, tz="UTC", name="time")
    high, low = np.maximum(open_, close) * 1.004, np.minimum(open_, close) * 0.996
    return pd.DataFrame({"open": open_, "high": high, "low": low, "close": close, "volume": 1e6}, index=index)


def fetched(frame: pd.DataFrame, at: str, closed: bool = False, interval: str = "1d") -> pd.DataFrame:
    frame.attrs = {"last_bar_closed": closed, "fetched_at": at, "interval": interval}
    return frame


def test_a_bar_still_forming_is_left_out() -> None:
    whole = bars()
    last = whole.index[-1]
    forming = fetched(whole.copy(), (last + pd.Timedelta(hours=15)).isoformat())
    assert dt.signal(forming).time == whole.index[-2]
    assert dt.analyze(forming).time == whole.index[-2]
    assert dt.analyze(forming).signal == dt.signal(whole.iloc[:-1])
    closed = fetched(whole.copy(), (last + pd.Timedelta(hours=22)).isoformat(), closed=True)
    assert dt.signal(closed).time == last
    part = forming.iloc[:200]  # keeps the attributes, but its last bar ended long before
    assert dt.signal(part).time == whole.index[199]


@pytest.mark.parametrize(("interval", "freq"), [("1wk", "W-MON"), ("1mo", "MS"), ("5m", "5min")])
def test_longer_and_shorter_bars_that_form(interval: str, freq: str) -> None:
    whole = bars(40, freq)
    soon = (whole.index[-1] + pd.Timedelta(minutes=2)).isoformat()
    assert len(readable(fetched(whole.copy(), soon, interval=interval))) == 39


def test_bars_without_prices_at_the_end_are_left_out() -> None:
    whole = bars()
    gap = whole.copy()
    gap.iloc[-2:, 3] = np.nan
    assert dt.signal(gap) == dt.signal(whole.iloc[:-2])
    assert dt.analyze(gap).price == whole["close"].iloc[-3]
    for read in (dt.signal, dt.analyze):
        with pytest.raises(BadBars, match="There are no bars"):
            read(whole * np.nan)


def test_times_are_told_in_utc() -> None:
    whole = bars(freq="h")
    abroad = dt.analyze(whole.tz_convert("America/New_York"), "X")
    assert abroad.time == whole.index[-1]
    assert f"{whole.index[-1]:%Y-%m-%d %H:%M} UTC" in repr(abroad)


def test_pivot_points_at_the_first_bar_of_a_day_come_from_the_day_before() -> None:
    half_hours = [bars(13, "30min", f"2024-03-{day} 14:30") for day in ("04", "05", "06")]
    whole = pd.concat(half_hours)
    first = whole.iloc[: 13 + 13 + 1]
    before = half_hours[1]
    middle = (before["high"].max() + before["low"].min() + before["close"].iloc[-1]) / 3
    found = [level for level in find_levels(first, sources="classic") if level.strength == 0.5]
    assert [level.price for level in found] == pytest.approx([middle])
    assert found[0].first_at == before.index[0]
    assert found[0].known_at == before.index[-1]


def test_two_bars_of_one_time_are_refused() -> None:
    whole = bars(80)
    twice = pd.concat([whole.iloc[:50], whole.iloc[49:]])
    for read in (
        lambda: dt.indicator(twice, "rsi"),
        lambda: dt.candlestick_patterns(twice),
        lambda: dt.chart_patterns(twice),
        lambda: dt.levels(twice),
        lambda: dt.signal(twice),
        lambda: dt.analyze(twice),
    ):
        with pytest.raises(BadBars, match="same time"):
            read()


def test_numbers_of_every_kind() -> None:
    whole = bars()
    money = dt.analyze(whole, balance=Decimal("25000"), risk_percent=np.float32(1), buying_power=np.int64(50_000))
    assert money.risk == dt.analyze(whole, balance=25_000.0, buying_power=50_000.0).risk
    pd.testing.assert_frame_equal(dt.chart_patterns(whole, np.int64(2)), dt.chart_patterns(whole, 2.0))
    for wrong in (True, "1000", float("nan"), None):
        with pytest.raises(InvalidInput, match="balance"):
            plan_trade(100, 95, wrong)  # type: ignore[arg-type]
    for wrong in (True, "3", None):
        with pytest.raises(InvalidInput, match=r"0\.1 to 100"):
            dt.chart_patterns(whole, wrong)  # type: ignore[arg-type]


def test_one_name_instead_of_a_list() -> None:
    whole = bars()
    pd.testing.assert_frame_equal(
        dt.candlestick_patterns(whole, "CDLDOJI"), dt.candlestick_patterns(whole, ["CDLDOJI"])
    )
    pd.testing.assert_frame_equal(dt.levels(whole, sources="pivots"), dt.levels(whole, sources=("pivots",)))


@pytest.mark.parametrize("anchor", ["", "nan", "NaT", "now", "today", "2024-13-01", np.array(["week"]), None, 5])
def test_an_anchor_is_a_name_or_a_date(anchor: object) -> None:
    with pytest.raises(InvalidInput, match=r"vwap\.anchor"):
        dt.indicator(bars(), "vwap", anchor=anchor)


@pytest.mark.parametrize("start", [5, 2.5, np.datetime64("2012-01-01"), pd.NaT, ["2012-01-01"]])
def test_a_start_is_a_date(start: object) -> None:
    with pytest.raises(InvalidInput, match="start"):
        dt.history("AAPL", start=start, source="sample")  # type: ignore[arg-type]


def test_what_is_searched_for_is_text() -> None:
    for wrong in (None, 5):
        with pytest.raises(InvalidInput, match="text"):
            dt.search(wrong, source="sample")  # type: ignore[arg-type]
