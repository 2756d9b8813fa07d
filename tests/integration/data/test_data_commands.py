"""``dashtrade data`` as a person runs it, and files of one's own of any size and order."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from price_servers import Reply, chart, seconds, serving, yahoo

from dashtrade.data.files import FilesSource
from dashtrade.data.importer import import_file
from dashtrade.domain.market import HistoryRequest, Interval
from dashtrade.errors import BadBars, InvalidInput, UnknownSymbol


def run(folder: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    settings = {name: value for name, value in os.environ.items() if not name.startswith("DASHTRADE_")}
    settings |= {"DASHTRADE_DATA_DIR": str(folder), **environment}
    return subprocess.run(
        [sys.executable, "-m", "dashtrade.cli", "data", *words],
        capture_output=True,
        text=True,
        timeout=90,
        env=settings,
    )


def test_prefetch_status_stale_and_clear(tmp_path: Path) -> None:
    days = [seconds(f"2024-01-0{day}T14:30") for day in (2, 3, 4, 5)]
    with serving(yahoo({"AAPL": Reply(chart("AAPL", days, [1.0, 2.0, 3.0, 4.0]))})) as server:
        done = run(tmp_path, "prefetch", "AAPL", "NOPE", "--period", "max", DASHTRADE_YAHOO_URL=server.url)
    assert done.returncode == 1
    assert done.stdout.startswith("AAPL: 4 bars to 2024-01-05 00:00 from yahoo")
    assert "NOPE: Yahoo has no symbol NOPE" in done.stderr
    assert "Traceback" not in done.stderr
    status = run(tmp_path, "status")
    assert "yahoo          AAPL         1d          4 bars  2024-01-02 to 2024-01-05" in status.stdout
    assert run(tmp_path, "clear", "AAPL").stdout == "1 cached files removed.\n"
    assert run(tmp_path, "status").stdout.startswith("0 files")


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_export_and_import_are_inverse(tmp_path: Path, ending: str) -> None:
    file = tmp_path / f"bars.{ending}"
    out = run(tmp_path, "export", "AAPL", str(file), "--source", "sample", "--interval", "1h", "--period", "1mo")
    assert out.returncode == 0, out.stderr
    back = run(tmp_path, "import", str(file), "--symbol", "MINE")
    assert back.stdout.startswith("MINE: 140 bars of 1h, 2013-02-01 to 2013-03-01"), back.stderr
    mine = FilesSource(tmp_path / "imported").history(HistoryRequest.parse("MINE", "1h", "max"))
    from dashtrade.data.sample import SampleSource

    original = SampleSource().history(HistoryRequest.parse("AAPL", "1h", "1mo"))
    pd.testing.assert_frame_equal(mine, original, check_freq=False)


def test_mistakes_are_one_sentence(tmp_path: Path) -> None:
    for words, text in (
        (("import", str(tmp_path / "no.csv")), "is not a file"),
        (("export", "AAPL", str(tmp_path / "x.csv"), "--source", "yahu"), "'yahu' is not known"),
        (("clear", "--source", "bloomberg"), "'bloomberg' is not known"),
    ):
        done = run(tmp_path, *words)
        assert done.returncode == 1
        assert text in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1


def write(path: Path, frame: pd.DataFrame) -> Path:
    frame.to_csv(path)
    return path


def minutes(count: int) -> pd.DataFrame:
    index = pd.date_range("2020-01-01", periods=count, freq="min", tz="UTC", name="time", unit="ns")
    close = 100 + np.sin(np.arange(count) / 100)
    return pd.DataFrame(
        {"open": close, "high": close + 1, "low": close - 1, "close": close, "volume": 5.0}, index=index
    )


@pytest.mark.parametrize("order", ["rising", "falling", "mixed"])
def test_any_order_gives_the_same_bars(tmp_path: Path, order: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Small pieces, so that a small file has many.
    monkeypatch.setattr("dashtrade.data.importer._PIECE_BYTES", 20_000)
    table = minutes(3000)
    shown = {"rising": table, "falling": table[::-1], "mixed": table.sample(frac=1, random_state=1)}[order]
    target = FilesSource(tmp_path / "files")
    (done,) = import_file(write(tmp_path / "BTC-USD.csv", shown), target, interval=Interval.M1)
    bars = target.history(HistoryRequest.parse("BTC-USD", "1m", "max"))
    assert done.rows == 3000
    pd.testing.assert_frame_equal(bars, table, check_freq=False)


def test_what_was_imported_before_is_replaced(tmp_path: Path) -> None:
    target = FilesSource(tmp_path / "files")
    for count in (100, 50):
        import_file(write(tmp_path / "X.csv", minutes(count)), target)
    assert len(target.history(HistoryRequest.parse("X", "1m", "max"))) == 50
    assert target.symbols() == ["X"]
    assert not list((tmp_path / "files").glob(".import-*"))


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("Date,Open,High,Low,Close,Adj Close\n2024-01-02,1,2,1,2,2\n2024-01-03,2,3,2,3,3\n", "2024-01-02T00:00"),
        ("timestamp,o,h,l,c,v\n1704153600,1,2,1,2,5\n1704240000,2,3,2,3,5\n", "2024-01-02T00:00"),
        ("open time,open,high,low,close\n1704153600000,1,2,1,2\n1704240000000,2,3,2,3\n", "2024-01-02T00:00"),
        ("time,o,h,l,c\n1704153600000000,1,2,1,2\n1704240000000000,2,3,2,3\n", "2024-01-02T00:00"),
        ("time,o,h,l,c\n1704153600000000000,1,2,1,2\n1704240000000000000,2,3,2,3\n", "2024-01-02T00:00"),
        ("date,o,h,l,c\n20240102,1,2,1,2\n20240103,2,3,2,3\n", "2024-01-02T00:00"),
        ("time,open,high,low,close\n2024-01-02 09:30,1,2,1,2\n2024-01-02 10:30,2,3,2,3\n", "2024-01-02T14:30"),
        ("time,o,h,l,c\n2024-07-02T09:30:00-04:00,1,2,1,2\n2024-07-02T10:30:00-04:00,2,3,2,3\n", "2024-07-02T13:30"),
    ],
)  # fmt: skip
def test_common_layouts(tmp_path: Path, text: str, first: str) -> None:
    (tmp_path / "ABC.csv").write_text(text)
    target = FilesSource(tmp_path / "files")
    (done,) = import_file(tmp_path / "ABC.csv", target, zone="America/New_York")
    assert (done.symbol, done.rows) == ("ABC", 2)
    assert done.first.isoformat().startswith(first)
    assert done.interval in (Interval.D1, Interval.H1)


def test_gaps_are_counted_where_the_symbol_keeps_the_exchanges_days(tmp_path: Path) -> None:
    target = FilesSource(tmp_path / "files")
    every = pd.date_range("2024-01-02", "2024-03-28")
    trading = [day for day in every if day.weekday() < 5 and f"{day:%m-%d}" not in ("01-15", "02-19")]
    for name, days, missing, elsewhere in (
        ("ABC", trading[:20] + trading[22:] + [pd.Timestamp("2024-03-09")], 2, 1),
        ("COIN", list(every), 0, 0),  # trades on Sundays too: New York's calendar says nothing about it
    ):
        rows = [f"{day:%Y-%m-%d},1,2,1,2" for day in sorted(days)]
        (tmp_path / f"{name}.csv").write_text("\n".join(["time,open,high,low,close", *rows]))
        (done,) = import_file(tmp_path / f"{name}.csv", target)
        assert (done.quality["missing_sessions"], done.quality["off_session"]) == (missing, elsewhere)
        kept = target.history(HistoryRequest.parse(name, "1d", "max"))
        assert kept.attrs["quality"] == done.quality


@pytest.mark.parametrize(
    ("text", "error", "match"),
    [
        ("a,b\n1,2\n", InvalidInput, "no column time, open"),
        ("time,open,high,low,close\n2024-01-02,1,2,1,x\n", BadBars, "not a number"),
        ("time,open,high,low,close\nsoon,1,2,1,2\n", BadBars, "times cannot be read"),
        ("time,open,high,low,close\n", BadBars, "no bars"),
        ("", BadBars, "cannot be read"),
        ("time,open\n\x00\x1b[31mred\n", BadBars, r"cannot be read: [^\x1b]*$"),
        ("time,open,high,low,close\n2024-01-02,1,2,1,2\n", InvalidInput, "--interval"),
        ("time,o,h,l,c\n2024-01-02T00:00:00Z,1,2,1,2\n2024-01-02T00:00:07Z,1,2,1,2\n", InvalidInput, "7 seconds"),
    ],
)  # fmt: skip
def test_files_that_are_no_use(tmp_path: Path, text: str, error: type[Exception], match: str) -> None:
    (tmp_path / "ABC.csv").write_text(text)
    target = FilesSource(tmp_path / "files")
    with pytest.raises(error, match=match):
        import_file(tmp_path / "ABC.csv", target)
    assert target.symbols() == []
    assert not list((tmp_path / "files").glob(".import-*"))


def test_longer_bars_are_made_and_shorter_ones_refused(tmp_path: Path) -> None:
    target = FilesSource(tmp_path / "files")
    import_file(write(tmp_path / "BTC-USD.csv", minutes(1440 * 3).iloc[::5]), target)
    assert len(target.history(HistoryRequest.parse("BTC-USD", "1h", "max"))) == 72
    assert len(target.history(HistoryRequest.parse("BTC-USD", "1d", "max"))) == 3
    with pytest.raises(InvalidInput, match="imported as 5m"):
        target.history(HistoryRequest.parse("BTC-USD", "2m", "max"))
    with pytest.raises(UnknownSymbol, match="dashtrade data import"):
        target.history(HistoryRequest.parse("ETH-USD"))


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the peak from /proc")
def test_a_large_file_needs_little_memory(tmp_path: Path) -> None:
    rows = 400_000
    path = tmp_path / "BTC-USD.csv"
    write(path, minutes(rows))
    program = (
        "import sys\nfrom pathlib import Path\n"
        "from dashtrade.data.files import FilesSource\nfrom dashtrade.data.importer import import_file\n"
        "small, large, folder = map(Path, sys.argv[1:])\ntarget = FilesSource(folder)\n"
        # This program's own peak; the usual call would count its parent's, too.
        "def peak():\n    lines = open('/proc/self/status').read().splitlines()\n"
        "    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith('VmHWM'))\n"
        "import_file(small, target, symbol='S')\nbefore = peak()\n"
        "(done,) = import_file(large, target)\nprint(done.rows, peak() - before)"
    )
    small = write(tmp_path / "small.csv", minutes(60_000))
    arguments = [sys.executable, "-c", program, str(small), str(path), str(tmp_path / "files")]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=90)
    assert done.returncode == 0, done.stderr
    imported, more = map(int, done.stdout.split())
    assert imported == rows
    # The file is several times the small one; read whole it would need several times its own size.
    assert more < path.stat().st_size
