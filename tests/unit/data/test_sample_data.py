"""The sample is the packages' data; simulated minutes add up to real days; the same question, the same answer."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dashtrade.data.sample import SampleSource
from dashtrade.domain.market import OHLCV, HistoryRequest, Interval, Period
from dashtrade.errors import NoDataInRange, UnknownSymbol

SYMBOLS = ["AAPL", "GOOG", "IBM", "MSFT", "^GSPC", "^IXIC"]
NOW = datetime(2026, 3, 4, 15, 0, tzinfo=UTC)
SOURCE = SampleSource(now=lambda: NOW)


def ask(symbol: str = "AAPL", interval: str = "1d", period: str | None = "max", **span: datetime) -> pd.DataFrame:
    return SOURCE.history(HistoryRequest.parse(symbol, interval, period, **span))


@pytest.mark.parametrize("interval", list(Interval))
@pytest.mark.parametrize("period", [p for p in Period if p not in (Period.MAX, Period.Y10, Period.Y5)])
def test_every_pair_answers(interval: Interval, period: Period) -> None:
    bars = ask("GOOG", interval.value, period.value)
    assert len(bars) > 0
    assert bars.index.is_monotonic_increasing
    assert bars.index.is_unique
    assert list(bars.columns) == list(OHLCV)
    assert not bars.isna().any().any()
    assert (bars["high"] >= bars[["open", "close"]].max(axis=1)).all()
    assert (bars["low"] <= bars[["open", "close"]].min(axis=1)).all()
    assert bars.attrs["simulated"] is interval.intraday
    assert bars.attrs["source"] == "sample"
    assert bars.attrs["interval"] == interval.value
    json.dumps(bars.attrs)


@pytest.mark.parametrize(
    ("symbol", "first", "last", "rows"),
    [
        ("AAPL", "2000-03-01", "2013-03-01", 3270),
        ("GOOG", "2004-08-19", "2013-03-01", 2148),
        ("IBM", "2000-03-01", "2013-03-01", 3270),
        ("MSFT", "2000-03-01", "2013-03-01", 3270),
        ("^GSPC", "1999-01-04", "2018-12-31", 5031),
        ("^IXIC", "1999-01-04", "2018-12-31", 5031),
    ],
)
def test_what_there_is(symbol: str, first: str, last: str, rows: int) -> None:
    bars = ask(symbol)
    assert (str(bars.index[0].date()), str(bars.index[-1].date()), len(bars)) == (first, last, rows)
    assert all(count == 0 for name, count in bars.attrs["quality"].items() if name != "rows")


@pytest.mark.skipif(find_spec("bokeh_sampledata") is None, reason="needs the test extra")
@pytest.mark.parametrize("symbol", ["AAPL", "GOOG", "IBM", "MSFT"])
def test_stocks_are_the_packages_adjusted_closes(symbol: str) -> None:
    spec = find_spec("bokeh_sampledata")
    assert spec is not None and spec.origin is not None
    with gzip.open(Path(spec.origin).parent / "_data" / "stocks.csv.gz", "rt") as stream:
        raw = pd.read_csv(stream)
    raw = raw[raw["Ticker"] == symbol]
    bars = ask(symbol)
    adjusted = raw["Adj Close"].to_numpy()
    # Only ratios are comparable: the sample is scaled so that the last day is as quoted.
    assert bars["close"].iloc[-1] == pytest.approx(raw["Close"].iloc[-1])
    assert np.allclose(bars["close"].to_numpy() / bars["close"].iloc[-1], adjusted / adjusted[-1], rtol=1e-5)
    assert np.allclose(bars["high"] / bars["close"], raw["High"].to_numpy() / raw["Close"].to_numpy(), rtol=1e-4)


def test_splits_leave_no_jump() -> None:
    close = ask("AAPL")["close"]
    # 2-for-1 on 2000-06-21 and 2005-02-28: the raw closes halve on these days.
    for day in ("2000-06-21", "2005-02-28"):
        at = close.index.get_loc(pd.Timestamp(day, tz="UTC"))
        assert 0.9 < close.iloc[at] / close.iloc[at - 1] < 1.15


@pytest.mark.skipif(find_spec("arch") is None, reason="needs the test extra")
def test_indices_are_the_packages() -> None:
    from arch.data import sp500

    expected = sp500.load()
    bars = ask("^GSPC")
    assert np.allclose(bars["close"].to_numpy(), expected["Close"].to_numpy())
    assert np.allclose(bars["volume"].to_numpy(), expected["Volume"].to_numpy())


@pytest.mark.parametrize("symbol", SYMBOLS)
def test_minutes_add_up_to_the_real_day(symbol: str) -> None:
    daily, minutes = ask(symbol, period="1y"), ask(symbol, "1m", "1y")
    grouped = minutes.groupby(minutes.index.normalize())
    assert len(grouped) == len(daily)
    assert (grouped["open"].first().to_numpy() == daily["open"].to_numpy()).all()
    assert (grouped["high"].max().to_numpy() == daily["high"].to_numpy()).all()
    assert (grouped["low"].min().to_numpy() == daily["low"].to_numpy()).all()
    assert (grouped["close"].last().to_numpy() == daily["close"].to_numpy()).all()
    assert np.allclose(grouped["volume"].sum(), daily["volume"])
    assert (minutes["volume"] >= 0).all()
    assert minutes.attrs["simulated"] is True


def test_half_days_are_short() -> None:
    minutes = ask("AAPL", "1m", "1y")
    counts = minutes.groupby(minutes.index.normalize()).size()
    # The exchange closed at 13:00 on these days of the last sample year.
    for day in ("2012-07-03", "2012-11-23", "2012-12-24"):
        assert counts[pd.Timestamp(day, tz="UTC")] == 210
    assert set(counts) == {390, 210}


def test_a_day_looks_the_same_in_any_range() -> None:
    day = datetime(2012, 5, 3, tzinfo=UTC)
    alone = ask("IBM", "5m", None, start=day, end=day + timedelta(days=1))
    within = ask("IBM", "5m", "1y")
    pd.testing.assert_frame_equal(alone, within.loc["2012-05-03"], check_freq=False)


def test_another_process_simulates_the_same() -> None:
    program = (
        "from datetime import UTC, datetime\n"
        "from dashtrade.data.sample import SampleSource\n"
        "from dashtrade.domain.market import HistoryRequest\n"
        "s = SampleSource(now=lambda: datetime(2026, 3, 4, 15, tzinfo=UTC))\n"
        "bars = s.history(HistoryRequest.parse('AAPL', '15m', '5d'))\n"
        "print(bars.to_numpy().sum().hex(), s.latest(['AAPL'])['AAPL'].price)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    here = f"{ask('AAPL', '15m', '5d').to_numpy().sum().hex()} {SOURCE.latest(['AAPL'])['AAPL'].price}"
    assert done.stdout.strip() == here


def test_periods_count_back_from_the_last_bar() -> None:
    assert str(ask("AAPL", "1d", "1y").index[0].date()) == "2012-03-01"
    assert str(ask("AAPL", "1d", "1mo").index[0].date()) == "2013-02-01"
    assert str(ask("AAPL", "1d", "ytd").index[0].date()) == "2013-01-02"
    assert len(ask("AAPL", "1d", "5d")) == 5
    assert len(ask("AAPL", "1h", "1d")) == 7


def test_a_range_is_half_open() -> None:
    start, end = datetime(2012, 5, 1, tzinfo=UTC), datetime(2012, 5, 4, tzinfo=UTC)
    assert [t.day for t in ask("AAPL", "1d", None, start=start, end=end).index] == [1, 2, 3]
    inside = ask(
        "AAPL", "1h", None, start=datetime(2012, 5, 1, 15, tzinfo=UTC), end=datetime(2012, 5, 1, 18, tzinfo=UTC)
    )
    assert [f"{t:%H:%M}" for t in inside.index] == ["15:30", "16:30", "17:30"]


def test_unknown_and_empty() -> None:
    with pytest.raises(UnknownSymbol, match="MSFT"):
        ask("TSLA")
    with pytest.raises(UnknownSymbol):
        SOURCE.latest(["TSLA"])
    for interval in ("1d", "5m", "1wk"):
        with pytest.raises(NoDataInRange, match="2013-03-01"):
            ask("AAPL", interval, None, start=datetime(2020, 1, 1, tzinfo=UTC))


def test_live_prices_wander_around_the_last_close() -> None:
    moments = [NOW + timedelta(seconds=30 * i) for i in range(500)]
    prices = [float(SampleSource(now=lambda m=m: m).latest(["AAPL"])["AAPL"].price) for m in moments]
    assert min(prices) > 430.47 * 0.97
    assert max(prices) < 430.47 * 1.03
    assert len(set(prices)) > 100
    # From one half minute to the next the price walks, it does not jump.
    assert max(abs(b / a - 1) for a, b in pairwise(prices)) < 0.005
    quote = SOURCE.latest(["AAPL", "IBM"])["IBM"]
    assert (quote.simulated, quote.time, quote.source) == (True, NOW, "sample")


@pytest.mark.parametrize(
    ("text", "symbols"),
    [("apple", ["AAPL"]), ("ms", ["MSFT"]), ("S&P", ["^GSPC"]), ("gspc", ["^GSPC"]), ("", []), ("zz", [])],
)
def test_search(text: str, symbols: list[str]) -> None:
    assert [match.symbol for match in SOURCE.search(text)] == symbols


def test_frames_are_the_callers_own() -> None:
    first = ask("AAPL", "1d", "1mo")
    first.iloc[:, :] = 0.0
    first.attrs["quality"]["rows"] = -1
    assert ask("AAPL", "1d", "1mo")["close"].iloc[-1] == pytest.approx(430.47)
