"""Every mending rule, its count, and what is refused; the dirty file with its faults counted."""

from __future__ import annotations

import csv
import gzip
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from price_servers import SHARED

from dashtrade.data.files import FilesSource
from dashtrade.data.gaps import count_gaps, count_missing_parts
from dashtrade.data.importer import import_file
from dashtrade.data.quality import check_bars, describe
from dashtrade.data.sessions import edges
from dashtrade.domain.market import OHLCV, HistoryRequest
from dashtrade.errors import BadBars

NAN = float("nan")
GOOD = [(10.0, 12.0, 9.0, 11.0, 100.0), (11.0, 13.0, 10.0, 12.0, 200.0), (12.0, 14.0, 11.0, 13.0, 300.0)]


def frame(rows: list[tuple[float, ...]], days: list[str] | None = None) -> pd.DataFrame:
    days = days or [f"2024-01-{2 + i:02d}" for i in range(len(rows))]
    return pd.DataFrame(rows, columns=list(OHLCV), index=pd.DatetimeIndex(days, tz="UTC"))


def counted(bars: pd.DataFrame) -> dict[str, int]:
    return {name: count for name, count in bars.attrs["quality"].items() if count and name != "rows"}


def test_good_bars_stay_as_they_are() -> None:
    given = frame(GOOD)
    given.attrs["source"] = "x"
    clean = check_bars(given[["volume", "close", "low", "high", "open"]])
    assert clean.to_numpy().tolist() == [list(row) for row in GOOD]
    assert list(clean.columns) == list(OHLCV)
    assert clean.index.name == "time"
    assert (clean.dtypes == "float64").all()
    assert counted(clean) == {}
    assert clean.attrs["quality"]["rows"] == 3


def test_the_given_frame_is_not_changed() -> None:
    given = frame([GOOD[0], (11.0, 1.0, 10.0, 12.0, -5.0), GOOD[2]])
    before = given.copy()
    check_bars(given)
    pd.testing.assert_frame_equal(given, before)


@pytest.mark.parametrize(
    ("row", "mended", "counts"),
    [
        ((11.0, 11.5, 10.0, 12.0, 2.0), (11.0, 12.0, 10.0, 12.0, 2.0), {"not_enclosing": 1}),
        ((11.0, 13.0, 11.5, 12.0, 2.0), (11.0, 13.0, 11.0, 12.0, 2.0), {"not_enclosing": 1}),
        ((NAN, 13.0, 10.0, 12.0, 2.0), (11.0, 13.0, 10.0, 12.0, 2.0), {"empty_cells": 1}),
        ((NAN, 10.5, 10.0, 10.2, 2.0), (10.5, 10.5, 10.0, 10.2, 2.0), {"empty_cells": 1}),
        ((11.0, NAN, NAN, 12.0, NAN), (11.0, 12.0, 11.0, 12.0, 0.0), {"empty_cells": 3}),
        ((NAN, NAN, NAN, 12.0, 2.0), (11.0, 12.0, 11.0, 12.0, 2.0), {"empty_cells": 3}),
        ((11.0, 13.0, 0.0, 12.0, 2.0), (11.0, 13.0, 11.0, 12.0, 2.0), {"non_positive": 1}),
        ((11.0, np.inf, 10.0, 12.0, 2.0), (11.0, 12.0, 10.0, 12.0, 2.0), {"empty_cells": 1}),
        ((11.0, 13.0, 10.0, 12.0, -2.0), (11.0, 13.0, 10.0, 12.0, 0.0), {"negative_volume": 1}),
    ],
)
def test_a_cell_is_mended_and_counted(
    row: tuple[float, ...], mended: tuple[float, ...], counts: dict[str, int]
) -> None:
    clean = check_bars(frame([GOOD[0], row, GOOD[2]]))
    assert clean.iloc[1].tolist() == list(mended)
    assert counted(clean) == counts


@pytest.mark.parametrize(
    ("row", "counts"),
    [
        ((NAN, NAN, NAN, NAN, NAN), {"empty_rows": 1}),
        ((11.0, 13.0, 10.0, NAN, 5.0), {"empty_rows": 1}),
        ((11.0, 13.0, 10.0, 0.0, 5.0), {"non_positive": 1}),
        ((11.0, 13.0, 10.0, -4.0, 5.0), {"non_positive": 1}),
    ],
)
def test_a_row_without_a_close_is_left_out(row: tuple[float, ...], counts: dict[str, int]) -> None:
    clean = check_bars(frame([GOOD[0], row, GOOD[2]]))
    assert clean["close"].tolist() == [11.0, 13.0]
    assert counted(clean) == counts


def test_rounding_in_the_source_is_no_fault() -> None:
    clean = check_bars(frame([(11.0, 12.0 - 1e-12, 10.0, 12.0, 1.0)]))
    assert counted(clean) == {}
    assert clean["high"].iloc[0] == 12.0


def test_order_and_duplicates() -> None:
    clean = check_bars(frame([*GOOD, GOOD[0]], ["2024-01-04", "2024-01-02", "2024-01-03", "2024-01-02"]))
    assert [str(day.date()) for day in clean.index] == ["2024-01-02", "2024-01-03", "2024-01-04"]
    assert clean["close"].tolist() == [11.0, 13.0, 11.0]  # of the two for the 2nd, the later one in the file
    assert counted(clean) == {"unordered": 2, "duplicates": 1}


def test_an_empty_frame_stays_empty() -> None:
    clean = check_bars(frame([]))
    assert len(clean) == 0
    assert list(clean.columns) == list(OHLCV)


def test_other_zones_become_utc() -> None:
    given = frame(GOOD)
    given.index = pd.DatetimeIndex(["2024-01-02 09:30", "2024-01-02 10:30", "2024-01-02 11:30"], tz="America/New_York")
    assert [f"{t:%H:%M}" for t in check_bars(given).index] == ["14:30", "15:30", "16:30"]


@pytest.mark.parametrize(
    ("broken", "match"),
    [
        (lambda f: f.drop(columns="close"), "no column close"),
        (lambda f: f.reset_index(drop=True), "no times"),
        (lambda f: f.tz_localize(None), "no zone"),
        (lambda f: f.assign(close=["a", "b", "c"]), "not a number"),
        (lambda f: f.assign(close=[NAN, NAN, 1.0]), "2 of 3 bars"),
    ],
)
def test_what_cannot_be_mended_is_refused(broken, match: str) -> None:
    with pytest.raises(BadBars, match=match):
        check_bars(broken(frame(GOOD)))


def test_gaps_against_a_calendar() -> None:
    days = np.array(["2024-01-02", "2024-01-03", "2024-01-04", "2024-01-05", "2024-01-08"], dtype="datetime64[D]")
    bars = check_bars(frame(GOOD, ["2024-01-02", "2024-01-05", "2024-01-06"]))
    count_gaps(bars, days)
    assert counted(bars) == {"missing_sessions": 2, "off_session": 1}


def test_an_afternoon_without_a_bar_is_counted() -> None:
    hong_kong = edges("XHKG")
    # Tuesday's morning and afternoon, Wednesday's morning alone, Thursday's afternoon alone
    moments = ["2024-01-09T09:30", "2024-01-09T14:00", "2024-01-10T10:00", "2024-01-11T13:00"]
    index = pd.DatetimeIndex(moments, tz="Asia/Hong_Kong").tz_convert("UTC")
    bars = check_bars(pd.DataFrame([GOOD[0]] * 4, columns=list(OHLCV), index=index))
    count_missing_parts(bars, hong_kong.part_opens, hong_kong.part_closes)
    assert counted(bars) == {"missing_sessions": 2}
    whole = check_bars(pd.DataFrame([GOOD[0]] * 3, columns=list(OHLCV), index=index[:3]))
    count_missing_parts(whole, hong_kong.part_opens, hong_kong.part_closes)
    assert counted(whole) == {}


def test_the_counts_read_as_a_sentence() -> None:
    assert describe(check_bars(frame(GOOD)).attrs["quality"]) == ""
    text = describe(check_bars(frame([GOOD[0], (11.0, 11.5, 10.0, 12.0, 2.0)])).attrs["quality"])
    assert text.startswith("1 bars whose high or low")


@pytest.mark.shared
@pytest.mark.skipif(not SHARED.is_dir(), reason="the recorded data are not beside the checkout")
def test_the_dirty_file_loads_with_its_faults_counted(tmp_path: Path) -> None:
    with gzip.open(SHARED / "daily" / "dow31_2006_2017.csv.gz", "rt") as stream:
        text = stream.read()
    rows = list(csv.DictReader(text.splitlines()))
    # Counted here by plain text handling, apart from the code under test.
    empty = sum(row[name] == "" for row in rows for name in OHLCV)
    zero = sum(row[name] != "" and float(row[name]) <= 0 for row in rows for name in OHLCV[:4])
    unclosed = 0
    for row in rows:
        o, h, lo, c = (float(row[n]) if row[n] else None for n in OHLCV[:4])
        body = [x for x in (o, c) if x is not None]
        unclosed += bool((h is not None and h < max(body)) or (lo is not None and lo > min(body)))
    assert empty == 55
    path = tmp_path / "dow31.csv"
    path.write_text(text)
    source = FilesSource(tmp_path / "files", now=lambda: datetime(2018, 1, 1, tzinfo=UTC))
    done = import_file(path, source)
    total = {name: sum(one.quality[name] for one in done) for name in done[0].quality}
    assert len(done) == 31
    assert total["rows"] == len(rows) == sum(one.rows for one in done)
    assert total["empty_cells"] == empty
    assert total["non_positive"] == zero == 1
    assert total["not_enclosing"] == unclosed
    # exact decimals say 151 too: 65 highs too low, 86 lows too high, never both
    assert unclosed == 151
    # a day that nearly every other symbol has is a day that the exchange was open
    days: dict[str, int] = {}
    for row in rows:
        days[row["date"]] = days.get(row["date"], 0) + 1
    assert total["missing_sessions"] == sum(31 - count for count in days.values()) == 8
    assert total["off_session"] == 0
    for one in done:
        bars = source.history(HistoryRequest.parse(one.symbol, "1d", "max"))
        assert not bars.isna().any().any()
        assert (bars["high"] >= bars[["open", "close"]].max(axis=1)).all()
        assert (bars["low"] <= bars[["open", "close"]].min(axis=1)).all()
        assert bars.attrs["quality"] == one.quality
