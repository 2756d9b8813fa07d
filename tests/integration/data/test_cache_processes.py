"""The cache between real processes: one fetch for sixteen askers, and a writer killed at any moment."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from price_servers import Asked, Reply, chart, seconds, serving, wait_until, yahoo

from dashtrade.data.barfile import Store

TESTS = Path(__file__).resolve().parents[2]

# The libraries are imported once, then sixteen processes fork and start together.
ASK = """
import os, sys
from datetime import UTC, datetime
from pathlib import Path
from dashtrade.data.cache import BarCache
from dashtrade.data.yahoo import YahooSource
from dashtrade.domain.market import HistoryRequest
folder, url = Path(sys.argv[1]), sys.argv[2]
now = lambda: datetime(2024, 1, 8, 15, 0, tzinfo=UTC)
gate, opener = os.pipe()
children = []
for number in range(16):
    child = os.fork()
    if child:
        children.append(child)
        continue
    os.close(opener)
    os.read(gate, 1)
    cache = BarCache(folder / "bars", folder / "locks", now=now)
    source = YahooSource(url=url, cache_dir=folder / "yf", now=now)
    bars = cache.history(source, HistoryRequest.parse("AAPL", "1d", "1mo"))
    (folder / f"answer-{number}").write_text(f"{len(bars)} {float(bars['close'].sum())} {bars.attrs['cached']}")
    os._exit(0)
os.close(opener)
sys.exit(max(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children))
"""

WRITE = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from datetime import UTC, datetime
from dashtrade.data.barfile import BarFile, Store
from dashtrade.data.quality import check_bars, stamp
from dashtrade.domain.market import Adjustment, Interval
from fake_source import minute_table
store = Store(Path(sys.argv[1]))
table = check_bars(minute_table(datetime(2024, 1, 8, tzinfo=UTC), 60_000))
number = 0
while True:
    number += 1
    bars = table * (1 if number % 2 else 2)
    stamp(bars, symbol="A", interval=Interval.M1, source="x", adjustment=Adjustment.ALL)
    store.write("x/A/1m.parquet", BarFile(bars, datetime(2024, 1, 8, tzinfo=UTC), None))
    print(number, flush=True)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_sixteen_processes_make_one_fetch(tmp_path: Path) -> None:
    days = [seconds(f"2024-01-0{day}T14:30") for day in (2, 3, 4, 5)]
    body = chart("AAPL", days, [1.0, 2.0, 3.0, 4.0])
    slow = threading.Event()

    def answer(asked: Asked) -> Reply:
        if "period1" in asked.query:
            # Long enough for all sixteen to come and find the lock taken.
            slow.wait(1.0)
        return Reply(body)

    with serving(yahoo({"AAPL": answer})) as server:
        done = subprocess.run(
            [sys.executable, "-c", ASK, str(tmp_path), server.url], capture_output=True, text=True, timeout=90
        )
        fetches = [asked for asked in server.paths("/chart/AAPL") if "period1" in asked.query]
    assert done.returncode == 0, done.stderr
    lines = [(tmp_path / f"answer-{number}").read_text() for number in range(16)]
    assert all(line.startswith("4 10.0 ") for line in lines), lines
    assert len(fetches) == 1
    assert sum(line.endswith("False") for line in lines) == 1


@pytest.mark.fault
def test_a_writer_killed_at_any_moment_leaves_a_whole_file(tmp_path: Path) -> None:
    store = Store(tmp_path / "bars")
    sums = set()
    for kill_after in (0.0, 0.005, 0.012, 0.02):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITE, str(tmp_path / "bars"), str(TESTS)], stdout=subprocess.PIPE, text=True
        )
        assert writer.stdout is not None
        assert writer.stdout.readline().strip() == "1"
        time.sleep(kill_after)
        os.kill(writer.pid, signal.SIGKILL)
        writer.wait(10)
        entry = store.read("x/A/1m.parquet")
        assert entry is not None
        assert len(entry.bars) == 60_000
        assert entry.bars.attrs["symbol"] == "A"
        # Every bar comes from one and the same write.
        factor = entry.bars["volume"].iloc[0]
        assert (entry.bars["volume"] == factor).all()
        sums.add(factor)
    assert sums <= {1.0, 2.0}
    store.sweep(0.0)
    assert [path.name for path in (tmp_path / "bars" / "x" / "A").iterdir()] == ["1m.parquet"]


def test_a_lock_dies_with_its_holder(tmp_path: Path) -> None:
    program = (
        "import sys, time\nfrom pathlib import Path\nfrom dashtrade.data.locks import locked\n"
        "with locked(Path(sys.argv[1]), 0) as held:\n    print(held, flush=True)\n    time.sleep(60)\n"
    )
    from dashtrade.data.locks import locked

    path = tmp_path / "one.lock"
    holder = subprocess.Popen([sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "True\n"
    with locked(path, 0.05) as held:
        assert held is False
    holder.kill()
    holder.wait(10)
    with locked(path, 5) as held:
        assert held is True


def test_threads_exclude_each_other_too(tmp_path: Path) -> None:
    from dashtrade.data.locks import locked

    inside: list[int] = []
    most: list[int] = []

    def work(number: int) -> None:
        with locked(tmp_path / "one.lock", 20) as held:
            assert held
            inside.append(number)
            most.append(len(inside))
            time.sleep(0.01)
            inside.remove(number)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    assert wait_until(lambda: not any(t.is_alive() for t in threads), 20)
    assert most == [1] * 8
