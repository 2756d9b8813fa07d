"""The cache: what it fetches, what it never fetches twice, how it notices a rewritten past, and what it survives."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fake_source import Clock, FakeSource, daily_table, minute_table

from dashtrade.data.cache import BarCache
from dashtrade.domain.market import HistoryRequest, Interval
from dashtrade.errors import (
    ConfigurationError,
    InvalidInput,
    NoDataInRange,
    RateLimited,
    SourceUnreachable,
    UnknownSymbol,
)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def source(clock: Clock) -> FakeSource:
    return FakeSource(clock)


@pytest.fixture
def cache(tmp_path: Path, clock: Clock) -> BarCache:
    return BarCache(tmp_path / "bars", tmp_path / "locks", now=clock)


def ask(symbol: str = "AAPL", interval: str = "1d", period: str | None = "1y", **span: datetime) -> HistoryRequest:
    return HistoryRequest.parse(symbol, interval, period, **span)


def test_the_same_bars_as_without_it(cache: BarCache, source: FakeSource) -> None:
    direct = source.history(ask())
    for cached in (False, True):
        bars = cache.history(source, ask())
        pd.testing.assert_frame_equal(bars, direct, check_freq=False)
        assert bars.attrs["cached"] is cached
        assert bars.attrs["quality"] == direct.attrs["quality"]
        assert bars.attrs["source"] == "fake"


def test_fresh_bars_are_not_fetched_again(cache: BarCache, source: FakeSource, clock: Clock) -> None:
    cache.history(source, ask())
    clock.forward(minutes=4, seconds=59)
    bars = cache.history(source, ask())
    assert len(source.fetches) == 1
    assert bars.attrs["fetched_at"] == "2026-11-22T12:00:00+00:00"
    clock.forward(seconds=1)
    cache.history(source, ask())
    assert len(source.fetches) == 2


def test_a_shorter_period_and_longer_bars_come_from_the_same_file(cache: BarCache, source: FakeSource) -> None:
    cache.history(source, ask(period="5y"))
    for request in (ask(period="1mo"), ask(interval="1wk", period="2y"), ask(interval="1mo", period="1y")):
        pd.testing.assert_frame_equal(cache.history(source, request), source.history(request), check_freq=False)
        source.fetches.pop()
    assert len(source.fetches) == 1
    assert len(cache.status()) == 1


def test_a_longer_period_is_fetched(cache: BarCache, source: FakeSource) -> None:
    cache.history(source, ask(period="1y"))
    bars = cache.history(source, ask(period="5y"))
    assert len(source.fetches) == 2
    assert bars.index[0] <= pd.Timestamp("2021-11-23", tz="UTC")
    cache.history(source, ask(period="2y"))
    assert len(source.fetches) == 2


def test_an_old_file_is_extended_from_its_end(cache: BarCache, source: FakeSource, clock: Clock) -> None:
    clock.now = datetime(2026, 11, 18, 20, 0, tzinfo=UTC)
    before = cache.history(source, ask())
    last = before.index[-1]
    # The bar of the 18th was still forming: it has another close now, and two more days came.
    source.tables[Interval.D1].loc[last, "close"] += 0.5
    clock.forward(days=3)
    bars = cache.history(source, ask())
    _, _, start, end = source.fetches[-1]
    assert start == before.index[-10].to_pydatetime()
    assert end is None
    assert bars.loc[last, "close"] == pytest.approx(before.loc[last, "close"] + 0.5)
    assert bars.index[-1] == pd.Timestamp("2026-11-20", tz="UTC")
    pd.testing.assert_frame_equal(bars, source.history(ask()), check_freq=False)


def test_faults_of_an_extended_file_are_each_counted_once(cache: BarCache, source: FakeSource, clock: Clock) -> None:
    table = source.tables[Interval.D1]
    days = {day: pd.Timestamp(f"2026-{day}", tz="UTC") for day in ("03-10", "11-12", "11-16", "11-19", "11-20")}
    table.loc[days["03-10"], "high"] = 1.0  # long ago
    table.loc[days["11-12"], "high"] = 1.0  # among the bars that are read again
    table.loc[days["11-16"], "volume"] = -5.0
    clock.now = datetime(2026, 11, 18, 23, 0, tzinfo=UTC)
    first = cache.history(source, ask()).attrs["quality"]
    assert (first["not_enclosing"], first["negative_volume"], first["empty_rows"]) == (2, 1, 0)
    # Two more days, both faulty in a way that has been seen before, and one bar without a close.
    table.loc[days["11-19"], "high"] = 1.0
    table.loc[days["11-20"], ["high", "volume"]] = (1.0, -1.0)
    source.tables[Interval.D1] = pd.concat([table, table.iloc[-1:].shift(1, freq="D").assign(close=np.nan)])
    clock.forward(days=3)
    for _ in range(3):  # each time the last bars are read again
        second = cache.history(source, ask())
        assert second.attrs["cached"] is False
        counts = second.attrs["quality"]
        assert (counts["not_enclosing"], counts["negative_volume"], counts["empty_rows"]) == (4, 2, 1)
        assert "fault_times" not in second.attrs
        clock.forward(minutes=6)
    direct = source.history(ask(period="10y")).attrs["quality"]
    assert {k: v for k, v in counts.items() if k != "rows"} == {k: v for k, v in direct.items() if k != "rows"}


@pytest.mark.parametrize("factor", [0.5, 0.25, 0.9985])
def test_a_split_or_dividend_rewrites_everything(
    cache: BarCache, source: FakeSource, clock: Clock, factor: float
) -> None:
    before = cache.history(source, ask())
    source.tables[Interval.D1] = daily_table() * factor
    clock.forward(minutes=6)
    bars = cache.history(source, ask())
    assert len(source.fetches) == 3  # the first, the overlap, and all of it again
    assert source.fetches[-1][2] == source.fetches[0][2]
    assert bars["close"].iloc[0] == pytest.approx(before["close"].iloc[0] * factor)
    ratios = bars["close"].to_numpy() / bars["close"].shift().to_numpy()
    assert np.nanmax(np.abs(ratios - 1)) < 0.01


def test_a_bar_that_vanished_rewrites_everything(cache: BarCache, source: FakeSource, clock: Clock) -> None:
    cache.history(source, ask())
    source.tables[Interval.D1] = source.tables[Interval.D1].drop(source.tables[Interval.D1].index[-4])
    clock.forward(minutes=6)
    pd.testing.assert_frame_equal(cache.history(source, ask()), source.history(ask()), check_freq=False)


def test_nothing_new_is_no_failure(cache: BarCache, source: FakeSource, clock: Clock) -> None:
    cache.history(source, ask())
    source.error = NoDataInRange("fake", "nothing new")
    clock.forward(minutes=6)
    assert len(cache.history(source, ask())) > 200
    source.error = None
    cache.history(source, ask())
    assert len(source.fetches) == 2  # and the file counts as fresh again


def test_a_finished_range_is_never_fetched_twice(cache: BarCache, source: FakeSource, clock: Clock) -> None:
    request = ask(period=None, start=datetime(2024, 1, 2, tzinfo=UTC), end=datetime(2024, 3, 1, tzinfo=UTC))
    first = cache.history(source, request)
    clock.forward(days=30)
    pd.testing.assert_frame_equal(cache.history(source, request), first)
    assert len(source.fetches) == 1


def test_max_is_everything_and_stays_so(cache: BarCache, source: FakeSource, clock: Clock) -> None:
    assert len(cache.history(source, ask(period="max"))) == 3000
    clock.forward(days=1)
    assert len(cache.history(source, ask(period="max"))) == 3000
    assert source.fetches[1][2] is not None


def test_short_bars_beyond_the_sources_reach_leave_no_hole(tmp_path: Path, clock: Clock) -> None:
    source = FakeSource(clock, days={Interval.M1: 8})
    source.tables[Interval.M1] = minute_table(clock.now, 3 * 24 * 60)
    cache = BarCache(tmp_path / "bars", tmp_path / "locks", now=clock)
    cache.history(source, ask("BTC-USD", "1m", "1d"))
    clock.forward(days=20)
    source.tables[Interval.M1] = minute_table(clock.now, 3 * 24 * 60)
    bars = cache.history(source, ask("BTC-USD", "1m", "5d"))
    steps = np.diff(bars.index.as_unit("ns").asi8)
    assert steps.max() == 60 * 10**9


def test_the_limit_is_refused_before_any_file(tmp_path: Path, clock: Clock) -> None:
    source = FakeSource(clock, days={Interval.M1: 8})
    cache = BarCache(tmp_path / "bars", tmp_path / "locks", now=clock)
    with pytest.raises(InvalidInput, match="8 days"):
        cache.history(source, ask("AAPL", "1m", "1mo"))
    assert source.fetches == []


def test_frames_are_the_callers_own(cache: BarCache, source: FakeSource) -> None:
    for _ in range(2):
        bars = cache.history(source, ask())
        bars.loc[:, :] = -1.0
        bars["extra"] = 1
        bars.attrs["quality"]["rows"] = -1
    again = cache.history(source, ask())
    assert (again["close"] > 0).all()
    assert again.attrs["quality"]["rows"] > 0


@pytest.mark.parametrize("content", [b"", b"not parquet", b"PAR1" + b"\0" * 100 + b"PAR1"])
def test_a_broken_file_is_fetched_again(cache: BarCache, source: FakeSource, content: bytes) -> None:
    good = cache.history(source, ask())
    name, _, _ = cache.store.files()[0]
    path = Path(cache.root) / name
    path.write_bytes(content)
    assert [file.symbol for file in cache.status()] == ["(broken)"]
    pd.testing.assert_frame_equal(cache.history(source, ask()), good, check_freq=False)
    assert len(source.fetches) == 2
    cache.history(source, ask())
    assert len(source.fetches) == 2


def test_odd_symbols_get_their_own_files(cache: BarCache, source: FakeSource) -> None:
    for symbol in ("BTC/USD", "BTC-USD", "^GSPC", "GSPC", "EURUSD=X", "..", "A.B"):
        if symbol != "..":
            cache.history(source, ask(symbol))
    files = [file.name for file in cache.status()]
    assert len(files) == len(set(files)) == 6
    assert all(name.startswith("fake/") and ".." not in name.split("/") for name in files)


def test_sources_and_intervals_do_not_mix(cache: BarCache, source: FakeSource, clock: Clock) -> None:
    other = FakeSource(clock, key="other")
    other.tables[Interval.D1] = daily_table() * 2
    first, second = cache.history(source, ask()), cache.history(other, ask())
    assert second["close"].iloc[-1] == pytest.approx(first["close"].iloc[-1] * 2)


def test_a_failure_is_raised_and_tells_of_the_older_bars(cache: BarCache, source: FakeSource, clock: Clock) -> None:
    good = cache.history(source, ask())
    clock.forward(hours=3)
    source.error = SourceUnreachable("fake", "down")
    with pytest.raises(SourceUnreachable) as caught:
        cache.history(source, ask())
    assert caught.value.cached_at == datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
    stale = cache.stale(source, ask())
    pd.testing.assert_frame_equal(stale, good, check_freq=False)
    assert stale.attrs["cached"] is True
    assert stale.attrs["fetched_at"] == "2026-11-22T12:00:00+00:00"


def test_without_older_bars_it_says_so(cache: BarCache, source: FakeSource) -> None:
    source.error = SourceUnreachable("fake", "down")
    with pytest.raises(SourceUnreachable) as caught:
        cache.history(source, ask())
    assert caught.value.cached_at is None
    with pytest.raises(NoDataInRange, match="no cached"):
        cache.stale(source, ask())


def test_a_limited_source_is_left_alone_as_long_as_it_asked(cache: BarCache, source: FakeSource, clock: Clock) -> None:
    source.error = RateLimited("fake", "wait", 100.0)
    with pytest.raises(RateLimited):
        cache.history(source, ask())
    source.error = None
    clock.forward(seconds=99)
    with pytest.raises(RateLimited) as caught:
        cache.history(source, ask("MSFT"))
    assert 1 <= (caught.value.retry_after or 0) <= 12
    assert len(source.fetches) == 1
    clock.forward(seconds=12)
    assert len(cache.history(source, ask("MSFT"))) > 0


def test_waiting_is_shared_by_all_caches_on_the_machine(
    tmp_path: Path, cache: BarCache, source: FakeSource, clock: Clock
) -> None:
    source.error = RateLimited("fake", "wait", 100.0)
    with pytest.raises(RateLimited):
        cache.history(source, ask())
    source.error = None
    other = BarCache(tmp_path / "bars", tmp_path / "locks", now=clock)
    with pytest.raises(RateLimited):
        other.history(source, ask())
    assert len(source.fetches) == 1


def test_an_unreachable_source_is_asked_less_and_less(cache: BarCache, source: FakeSource, clock: Clock) -> None:
    source.error = SourceUnreachable("fake", "down")
    asked = []
    for _ in range(300):
        with pytest.raises(SourceUnreachable):
            cache.history(source, ask())
        asked.append(len(source.fetches))
        clock.forward(seconds=1)
    assert asked[0] == 1
    assert 10 <= asked[-1] <= 25  # 0.5 to 30 s apart, not 300 times
    source.error = None
    clock.forward(seconds=31)
    cache.history(source, ask())


def test_a_wrong_symbol_makes_nobody_wait(cache: BarCache, source: FakeSource) -> None:
    source.error = UnknownSymbol("fake", "no such symbol")
    for _ in range(3):
        with pytest.raises(UnknownSymbol):
            cache.history(source, ask("NOPE"))
    source.error = None
    assert len(cache.history(source, ask())) > 0


def test_the_size_limit_removes_what_was_used_longest_ago(tmp_path: Path, clock: Clock) -> None:
    source = FakeSource(clock)
    cache = BarCache(tmp_path / "bars", tmp_path / "locks", now=clock)
    for symbol in ("A", "B", "C"):
        cache.history(source, ask(symbol))
    size = cache.status()[0].size
    for i, symbol in enumerate(("B", "A", "C")):
        path = next((tmp_path / "bars" / "fake" / symbol).iterdir())
        os.utime(path, (1_000_000 + i, path.stat().st_mtime))
    limited = BarCache(tmp_path / "bars", tmp_path / "locks", max_bytes=int(3.5 * size), now=clock)
    limited.history(source, ask("D"))
    assert [file.symbol for file in limited.status()] == ["A", "C", "D"]


def test_clear(cache: BarCache, source: FakeSource, clock: Clock) -> None:
    other = FakeSource(clock, key="other")
    for symbol in ("A", "B"):
        cache.history(source, ask(symbol))
        cache.history(other, ask(symbol))
    assert cache.clear("fake", "A") == 1
    assert cache.clear(symbol="B") == 2
    assert [(file.source, file.symbol) for file in cache.status()] == [("other", "A")]
    assert cache.clear() == 1
    assert cache.status() == []


def test_status_tells_what_is_there(cache: BarCache, source: FakeSource) -> None:
    bars = cache.history(source, ask(period="max"))
    (file,) = cache.status()
    assert (file.source, file.symbol, file.interval, file.rows) == ("fake", "AAPL", "1d", len(bars))
    assert file.first[:10] == str(bars.index[0].date())
    assert file.last[:10] == "2026-11-20"
    assert file.size > 1000


def test_leftovers_of_a_killed_writer_are_swept(tmp_path: Path, clock: Clock) -> None:
    source = FakeSource(clock)
    cache = BarCache(tmp_path / "bars", tmp_path / "locks", max_bytes=10**9, now=clock)
    cache.history(source, ask())
    left = tmp_path / "bars" / "fake" / "AAPL" / ".1d-all.parquet.abc.tmp"
    left.write_bytes(b"half")
    cache.history(source, ask("MSFT"))
    assert left.exists()  # it may belong to a writer at work
    os.utime(left, (1, 1))
    cache.history(source, ask("IBM"))
    assert not left.exists()


def test_other_file_systems_do(clock: Clock, tmp_path: Path) -> None:
    source = FakeSource(clock)
    cache = BarCache(f"memory://bars-{os.getpid()}-{id(clock)}", tmp_path / "locks", now=clock)
    first = cache.history(source, ask())
    second = cache.history(source, ask())
    pd.testing.assert_frame_equal(first, second, check_freq=False)
    assert second.attrs["cached"] is True
    assert len(source.fetches) == 1
    assert [file.symbol for file in cache.status()] == ["AAPL"]
    assert cache.clear() == 1
    assert cache.status() == []


def test_a_folder_that_cannot_be_written_is_one_clear_sentence(
    tmp_path: Path, source: FakeSource, clock: Clock
) -> None:
    # A file where the folder should be fails for every user, root among them.
    (tmp_path / "bars").write_text("in the way")
    cache = BarCache(tmp_path / "bars", tmp_path / "locks", now=clock)
    with pytest.raises(ConfigurationError, match="DASHTRADE_DATA_DIR"):
        cache.history(source, ask())


def test_a_live_bar_is_marked(tmp_path: Path) -> None:
    clock = Clock("2026-11-20T16:00")  # eleven in the morning in New York
    source = FakeSource(clock)
    cache = BarCache(tmp_path / "bars", tmp_path / "locks", now=clock)
    assert cache.history(source, ask()).attrs["last_bar_closed"] is False
    clock.forward(hours=6)
    assert cache.history(source, ask()).attrs["last_bar_closed"] is True
    week = cache.history(source, ask(interval="1wk"))
    assert week.attrs["last_bar_closed"] is True  # Friday's close is the week's
    month = cache.history(source, ask(interval="1mo"))
    assert month.attrs["last_bar_closed"] is False
    assert cache.history(
        source, ask(period=None, start=clock.now - timedelta(days=90), end=clock.now - timedelta(days=30))
    ).attrs["last_bar_closed"]
