"""The bar cache against a plain Parquet read, one fetch for sixteen askers, and the import of a 100 MB file.

The frames are compared before anything is timed; times are medians in one run.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd

from dashtrade.data.barfile import BarFile, Store
from dashtrade.data.cache import BarCache
from dashtrade.data.limits import Limits
from dashtrade.data.quality import check_bars, stamp
from dashtrade.domain.market import Adjustment, HistoryRequest, Interval

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


class Table:
    """A source that serves one table."""

    key = "table"
    label = "Table"
    limits = Limits("Table", {i: i for i in Interval})

    def __init__(self, bars: pd.DataFrame) -> None:
        self.bars = bars
        self.fetches = 0

    def adjustment(self, interval: Interval) -> Adjustment:
        return Adjustment.ALL

    def fetch(self, symbol: str, interval: Interval, start: datetime | None, end: datetime | None) -> pd.DataFrame:
        self.fetches += 1
        bars = check_bars(self.bars)
        return stamp(bars, symbol=symbol, interval=interval, source=self.key, adjustment=Adjustment.ALL)


def prices(index: pd.DatetimeIndex) -> pd.DataFrame:
    random = np.random.default_rng(1)
    close = np.round(100 * np.exp(random.standard_normal(len(index)).cumsum() * 0.001), 4)
    opens = np.roll(close, 1)
    opens[0] = close[0]
    high, low = np.maximum(opens, close) * 1.001, np.minimum(opens, close) * 0.999
    volume = random.integers(1, 10**6, len(index)).astype("float64")
    columns = {"open": opens, "high": high, "low": low, "close": close, "volume": volume}
    return pd.DataFrame(columns, index=index.as_unit("ns").rename("time"))


def paired(ours: Callable[[], object], peer: Callable[[], object], rounds: int) -> tuple[float, float]:
    """Medians in milliseconds of both, called in turn."""
    times: tuple[list[float], list[float]] = ([], [])
    for call in (ours, peer):
        call()
    for _ in range(rounds):
        for call, found in zip((ours, peer), times, strict=True):
            start = time.perf_counter()
            call()
            found.append((time.perf_counter() - start) * 1e3)
    return statistics.median(times[0]), statistics.median(times[1])


def reads(folder: Path) -> None:
    tables = {
        "10 years of daily bars": (Interval.D1, pd.bdate_range(end="2026-11-20", periods=2520, tz="UTC"), 100),
        "500,000 minute bars": (Interval.M1, pd.date_range(end="2026-11-20", periods=500_000, freq="min", tz="UTC"), 9),
    }
    for name, (interval, index, rounds) in tables.items():
        source = Table(prices(index))
        cache = BarCache(folder / interval, folder / "locks", now=lambda: NOW)
        request = HistoryRequest.parse("BTC-USD", interval.value, "max")
        first = cache.history(source, request)
        stored = folder / interval / cache.store.files()[0][0]
        plain = folder / f"{interval}.parquet"
        first.to_parquet(plain)

        def ours(cache: BarCache = cache, source: Table = source, request: HistoryRequest = request) -> pd.DataFrame:
            return cache.history(source, request)

        def peer(plain: Path = plain) -> pd.DataFrame:
            return pd.read_parquet(plain)

        pd.testing.assert_frame_equal(ours(), peer(), check_freq=False)
        mine, theirs = paired(ours, peer, rounds)
        size, other = stored.stat().st_size / 1e6, plain.stat().st_size / 1e6
        print(f"{name:24} {mine:7.2f} ms   pandas.read_parquet {theirs:7.2f} ms   {mine / theirs:5.2f}x   ", end="")
        print(f"{size:.2f} MB against {other:.2f}")
        if source.fetches != 1:
            raise SystemExit("the cache was not used")


ASKER = """
import os, sys, time
from pathlib import Path
from benchmarks.data_cache import NOW, Interval, HistoryRequest, BarCache, Table, pd, prices
folder = Path(sys.argv[1])
class Slow(Table):
    def fetch(self, *request):
        with open(folder / "fetches", "a") as log:
            log.write("x")
        time.sleep(0.5)
        return super().fetch(*request)
source = Slow(prices(pd.bdate_range(end="2026-11-20", periods=2520, tz="UTC")))
begin = time.perf_counter()
for number in range(16):
    if not os.fork():
        cache = BarCache(folder / "bars", folder / "locks", now=lambda: NOW)
        assert len(cache.history(source, HistoryRequest.parse("AAPL", "1d", "max"))) == 2520
        os._exit(0)
for number in range(16):
    assert os.wait()[1] == 0
print(f"{time.perf_counter() - begin:.2f}")
"""


def askers(folder: Path) -> None:
    (folder / "sixteen").mkdir()
    command = [sys.executable, "-c", ASKER, str(folder / "sixteen")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    fetches = len((folder / "sixteen" / "fetches").read_text())
    print(f"16 processes, one symbol: {fetches} fetch of 0.5 s, all answered after {done.stdout.strip()} s")


# The peak of this program alone; the usual call would count its parent's too.
PEAK = """
def peak():
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
"""
IMPORTER = f"""{PEAK}
import sys, time
from pathlib import Path
from dashtrade.data.files import FilesSource
from dashtrade.data.importer import import_file
before = peak()
begin = time.perf_counter()
(done,) = import_file(Path(sys.argv[1]), FilesSource(Path(sys.argv[2])))
print(done.rows, time.perf_counter() - begin, (peak() - before) / 1024)
"""
READER = f"""{PEAK}
import sys, time
import pandas as pd
before = peak()
begin = time.perf_counter()
rows = len(pd.read_csv(sys.argv[1], index_col=0, parse_dates=True))
print(rows, time.perf_counter() - begin, (peak() - before) / 1024)
"""


def imports(folder: Path) -> None:
    path = folder / "BTC-USD.csv"
    prices(pd.date_range("2020-01-01", periods=1_200_000, freq="min", tz="UTC")).to_csv(path)
    print(f"import of a {path.stat().st_size / 1e6:.0f} MB CSV")
    for name, code in (("dashtrade data import", IMPORTER), ("pandas.read_csv", READER)):
        command = [sys.executable, "-c", code, str(path), str(folder / "files")]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        rows, seconds, more = done.stdout.split()
        print(f"  {name:24} {int(rows):,} bars, {float(seconds):5.2f} s, {float(more):6.0f} MB more memory")


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        reads(folder)
        if hasattr(os, "fork"):
            askers(folder)
        if Path("/proc/self/status").exists():
            imports(folder)
        store = Store(folder / "write")
        bars = stamp(
            check_bars(prices(pd.bdate_range(end="2026-11-20", periods=2520, tz="UTC"))),
            symbol="A", interval=Interval.D1, source="x", adjustment=Adjustment.ALL,
        )  # fmt: skip
        content = BarFile(bars, NOW, None)
        write, _ = paired(lambda: store.write("a.parquet", content), lambda: None, 30)
        print(f"atomic write of 10 years of daily bars {write:.2f} ms")


if __name__ == "__main__":
    main()
