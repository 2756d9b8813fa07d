"""Longer bars equal a naive grouping, hold no later data, and break where sessions do."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dashtrade.data.resample import AroundTheClock, resample
from dashtrade.data.sessions import edges
from dashtrade.domain.market import OHLCV, Interval
from dashtrade.errors import InvalidInput

NEW_YORK = ZoneInfo("America/New_York")
CALENDAR = edges("XNYS")


def bars(times: list[datetime], interval: Interval, seed: int = 0) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    close = 100 + random.standard_normal(len(times)).cumsum()
    opens = close + random.standard_normal(len(times))
    high, low = (
        np.maximum(opens, close) + random.random(len(times)),
        np.minimum(opens, close) - random.random(len(times)),
    )
    frame = pd.DataFrame(
        np.column_stack((opens, high, low, close, random.integers(0, 1000, len(times)))),
        columns=list(OHLCV),
        index=pd.DatetimeIndex(times, tz="UTC", name="time"),
    )
    frame.attrs["interval"] = interval.value
    return frame


def session(day: str, minutes: int, step: int = 1, first: str = "09:30") -> list[datetime]:
    start = datetime.fromisoformat(f"{day}T{first}").replace(tzinfo=NEW_YORK)
    return [(start + timedelta(minutes=m)).astimezone(UTC) for m in range(0, minutes, step)]


def naive(frame: pd.DataFrame, groups: list[object]) -> list[tuple[float, ...]]:
    """Open first, high largest, low smallest, close last, volume summed: row by row, in plain Python."""
    found: dict[object, list[tuple[float, ...]]] = defaultdict(list)
    for group, row in zip(groups, frame.itertuples(index=False), strict=True):
        found[group].append(tuple(row))
    return [
        (rows[0][0], max(r[1] for r in rows), min(r[2] for r in rows), rows[-1][3], sum(r[4] for r in rows))
        for rows in found.values()
    ]


def clock(frame: pd.DataFrame) -> list[str]:
    return [f"{t.tz_convert(NEW_YORK):%m-%d %H:%M}" for t in frame.index]


def same(result: pd.DataFrame, expected: list[tuple[float, ...]]) -> bool:
    return np.allclose(result.to_numpy(), np.array(expected), rtol=1e-12, atol=0)


@settings(max_examples=30, deadline=None)
@given(
    days=st.lists(st.integers(0, 40), min_size=1, max_size=3, unique=True),
    gaps=st.lists(st.booleans(), min_size=1, max_size=400),
    target=st.sampled_from([Interval.M5, Interval.M15, Interval.M30, Interval.H1, Interval.M90, Interval.H4]),
    seed=st.integers(0, 1000),
)
def test_intraday_equals_a_naive_grouping(days: list[int], gaps: list[bool], target: Interval, seed: int) -> None:
    chosen = [CALENDAR.days[int(np.searchsorted(CALENDAR.days, np.datetime64("2023-11-01"))) + d] for d in sorted(days)]
    times: list[datetime] = []
    groups: list[object] = []
    step = int(target.length.total_seconds() // 60)
    for day in chosen:
        i = int(np.searchsorted(CALENDAR.days, day))
        opens, closes = (datetime.fromtimestamp(int(e[i]) / 1e9, UTC) for e in (CALENDAR.opens, CALENDAR.closes))
        for m in range(int((closes - opens).total_seconds() // 60)):
            if gaps[m % len(gaps)] or m == 0:
                times.append(opens + timedelta(minutes=m))
                groups.append((day, m // step))
    frame = bars(times, Interval.M1, seed)
    result = resample(frame, target, CALENDAR)
    assert same(result, naive(frame, groups))
    assert result.index.is_monotonic_increasing
    assert result.index.is_unique
    assert result.attrs["interval"] == target.value
    # A label is its bar's start: never after the first bar inside, never a whole length before it.
    firsts = pd.Series(frame.index).groupby([str(g) for g in groups], sort=False).first()
    late = pd.DatetimeIndex(firsts).as_unit("ns").asi8 - result.index.as_unit("ns").asi8
    assert (late >= 0).all()
    assert (late < target.length.total_seconds() * 1e9).all()


@settings(max_examples=40, deadline=None)
@given(cut=st.integers(1, 779), target=st.sampled_from([Interval.M15, Interval.H1, Interval.H4, Interval.D1]))
def test_no_bar_uses_later_data(cut: int, target: Interval) -> None:
    frame = bars(session("2024-03-07", 390) + session("2024-03-08", 390), Interval.M1)
    whole, part = resample(frame, target, CALENDAR), resample(frame.iloc[:cut], target, CALENDAR)
    # All but the bar still forming are already what they will be.
    pd.testing.assert_frame_equal(part.iloc[:-1], whole.iloc[: len(part) - 1])
    assert part.index[-1] == whole.index[len(part) - 1]
    assert part["open"].iloc[-1] == whole["open"].iloc[len(part) - 1]


def test_four_hours_of_a_usual_day() -> None:
    result = resample(bars(session("2024-01-03", 390), Interval.M1), Interval.H4, CALENDAR)
    assert clock(result) == ["01-03 09:30", "01-03 13:30"]


def test_a_half_day_ends_its_last_bar_at_one() -> None:
    result = resample(bars(session("2024-07-03", 210), Interval.M1), Interval.H4, CALENDAR)
    assert clock(result) == ["07-03 09:30"]
    hours = resample(bars(session("2024-07-03", 210), Interval.M1), Interval.H1, CALENDAR)
    assert clock(hours) == ["07-03 09:30", "07-03 10:30", "07-03 11:30", "07-03 12:30"]


@pytest.mark.parametrize(("before", "after"), [("2024-03-08", "2024-03-11"), ("2024-11-01", "2024-11-04")])
def test_bars_move_with_the_clock(before: str, after: str) -> None:
    frame = bars(session(before, 390, 30) + session(after, 390, 30), Interval.M30)
    result = resample(frame, Interval.H4, CALENDAR)
    assert clock(result) == [f"{d[5:]} {t}" for d in (before, after) for t in ("09:30", "13:30")]
    # In UTC the two days' bars start an hour apart from each other.
    assert result.index[0].hour != result.index[2].hour


def test_bars_outside_hours_never_mix_with_the_session() -> None:
    times = (
        session("2024-01-03", 330, 30, "04:00")
        + session("2024-01-03", 390, 30)
        + session("2024-01-03", 240, 30, "16:00")
    )
    result = resample(bars(times, Interval.M30), Interval.H4, CALENDAR)
    assert clock(result) == ["01-03 01:30", "01-03 05:30", "01-03 09:30", "01-03 13:30", "01-03 16:00"]


def test_a_session_is_a_day() -> None:
    times = session("2024-01-03", 390, 30) + session("2024-01-04", 390, 30)
    frame = bars(times, Interval.M30)
    result = resample(frame, Interval.D1, CALENDAR)
    assert [str(t.date()) for t in result.index] == ["2024-01-03", "2024-01-04"]
    assert (result.index == result.index.normalize()).all()
    assert same(result, naive(frame, [t.date() for t in times]))


@pytest.mark.parametrize(
    ("name", "zone", "halves", "target", "starts"),
    [
        ("XHKG", "Asia/Hong_Kong", (("09:30", 150), ("13:00", 180)), Interval.H1,
         "09:30 10:30 11:30 13:00 14:00 15:00"),
        ("XHKG", "Asia/Hong_Kong", (("09:30", 150), ("13:00", 180)), Interval.H4, "09:30 13:00"),
        ("XHKG", "Asia/Hong_Kong", (("09:30", 150), ("13:00", 180)), Interval.M90, "09:30 11:00 13:00 14:30"),
        ("XTKS", "Asia/Tokyo", (("09:00", 150), ("12:30", 150)), Interval.H1, "09:00 10:00 11:00 12:30 13:30 14:30"),
    ],
)  # fmt: skip
def test_no_bar_runs_over_lunch(
    name: str, zone: str, halves: tuple[tuple[str, int], ...], target: Interval, starts: str
) -> None:
    times = [
        datetime.fromisoformat(f"2024-01-10T{first}").replace(tzinfo=ZoneInfo(zone)) + timedelta(minutes=m)
        for first, minutes in halves
        for m in range(0, minutes, 30)
    ]
    frame = bars([t.astimezone(UTC) for t in times], Interval.M30)
    result = resample(frame, target, edges(name))
    assert [f"{t.tz_convert(ZoneInfo(zone)):%H:%M}" for t in result.index] == starts.split()
    groups = [max(s for s in starts.split() if s <= f"{t:%H:%M}") for t in times]
    assert same(result, naive(frame, groups))
    day = resample(frame, Interval.D1, edges(name))
    assert [str(t.date()) for t in day.index] == ["2024-01-10"]
    assert same(day, naive(frame, ["all"] * len(times)))


def test_tokyos_day_keeps_its_date() -> None:
    tokyo = ZoneInfo("Asia/Tokyo")
    times = [
        datetime(2024, 1, 9, 9, tzinfo=tokyo).astimezone(UTC),
        datetime(2024, 1, 9, 14, tzinfo=tokyo).astimezone(UTC),
    ]
    assert [str(t.date()) for t in resample(bars(times, Interval.H1), Interval.D1, edges("XTKS")).index] == [
        "2024-01-09"
    ]


@settings(max_examples=40, deadline=None)
@given(first=st.dates(date(2000, 1, 1), date(2023, 1, 1)), count=st.integers(1, 300), seed=st.integers(0, 99))
def test_weeks_months_and_quarters_equal_a_naive_grouping(first: date, count: int, seed: int) -> None:
    days = [first + timedelta(days=i) for i in range(count * 2)]
    days = [d for d in days if d.weekday() < 5][:count] or [date(2024, 1, 2)]
    frame = bars([datetime(d.year, d.month, d.day, tzinfo=UTC) for d in days], Interval.D1, seed)
    labels = {
        Interval.W1: lambda d: d - timedelta(days=d.weekday()),
        Interval.D5: lambda d: d - timedelta(days=d.weekday()),
        Interval.MO1: lambda d: d.replace(day=1),
        Interval.MO3: lambda d: d.replace(day=1, month=(d.month - 1) // 3 * 3 + 1),
    }
    for target, label in labels.items():
        result = resample(frame, target, CALENDAR)
        groups = [label(d) for d in days]
        assert same(result, naive(frame, groups))
        assert [t.date() for t in result.index] == list(dict.fromkeys(groups))


def test_around_the_clock_counts_from_midnight_utc() -> None:
    start = datetime(2024, 1, 6, tzinfo=UTC)
    times = [start + timedelta(hours=h) for h in range(48)]
    frame = bars(times, Interval.H1)
    for sessions in (None, AroundTheClock()):
        result = resample(frame, Interval.H4, sessions)
        assert [t.hour for t in result.index] == [0, 4, 8, 12, 16, 20] * 2
        assert same(result, naive(frame, [i // 4 for i in range(48)]))
        assert len(resample(frame, Interval.D1, sessions)) == 2


@pytest.mark.parametrize(
    ("source", "target"), [(Interval.H1, Interval.M30), (Interval.D1, Interval.H1), (Interval.H1, Interval.M90)]
)
def test_what_cannot_be_made_is_refused(source: Interval, target: Interval) -> None:
    with pytest.raises(InvalidInput, match="cannot be made"):
        resample(bars(session("2024-01-03", 60, 30), source), target, CALENDAR)


def test_nothing_from_nothing() -> None:
    assert len(resample(bars([], Interval.M1), Interval.H1, CALENDAR)) == 0
