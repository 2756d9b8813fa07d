"""What candlestick and chart patterns promise, against recorded signals and published definitions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import talib

from dashtrade.errors import BadBars, UnknownOption
from dashtrade.patterns import CANDLESTICKS, USUAL, candlestick_patterns

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
