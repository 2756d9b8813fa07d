"""Import CSV and Parquet files of bars, in pieces: a file of any size needs the memory of a few pieces.

Each piece is checked and mended by the usual rules and spooled to disk; then the pieces are put in order of time. Files
that run from the newest bar to the oldest are fine. Where pieces overlap, the symbol's bars are sorted in memory.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv as pcsv
import pyarrow.parquet as pq

from dashtrade.data.barfile import WRITING, known, to_table
from dashtrade.data.files import FilesSource, file_name
from dashtrade.data.gaps import gaps_of_own_bars
from dashtrade.data.quality import bars_frame, check_bars, nanoseconds, stamp
from dashtrade.domain.market import OHLCV, QUALITY_COUNTS, Adjustment, Interval, parse_symbol
from dashtrade.errors import BadBars, InvalidInput

# Days as numbers, such as 20240131, and the digits of a moment counted in s, ms and µs since 1970 (else ns).
_WRITTEN_DAYS = (19000101, 21001231)
_SINCE_1970 = ((11, 9), (14, 6), (17, 3))
# Arrow reads up to 32 pieces ahead.
_PIECE_BYTES = 512_000
_PIECE_ROWS = 65_536
_NAMES = {
    "time": ("time", "date", "datetime", "timestamp", "open time", "open_time", "unnamed: 0", ""),
    "open": ("open", "o"),
    "high": ("high", "h"),
    "low": ("low", "l"),
    "close": ("close", "c"),
    "volume": ("volume", "v", "vol"),
    "symbol": ("symbol", "ticker"),
}


@dataclass(frozen=True, slots=True)
class Imported:
    """What one symbol's import brought: rows written, span, and counted mendings."""

    symbol: str
    interval: Interval
    rows: int
    first: datetime
    last: datetime
    quality: dict[str, int]


@dataclass
class _Spool:
    """One symbol's checked pieces on disk, with each piece's first and last time (nanoseconds)."""

    folder: Path
    spans: list[tuple[int, int]] = field(default_factory=list)
    quality: dict[str, int] = field(default_factory=lambda: {**dict.fromkeys(QUALITY_COUNTS, 0), "rows": 0})
    steps: list[int] = field(default_factory=list)

    def add(self, bars: pd.DataFrame) -> None:
        for name, count in bars.attrs["quality"].items():
            self.quality[name] = self.quality.get(name, 0) + count
        if not len(bars):
            return
        at = nanoseconds(bars)
        if len(at) > 1:
            self.steps.append(int(np.median(np.diff(at))))
        pq.write_table(to_table(bars), self.folder / f"{len(self.spans)}.parquet", **WRITING)
        self.spans.append((int(at[0]), int(at[-1])))

    def piece(self, i: int) -> pa.Table:
        return pq.read_table(self.folder / f"{i}.parquet")


def import_file(
    path: Path,
    target: FilesSource,
    *,
    symbol: str | None = None,
    interval: Interval | None = None,
    zone: str = "UTC",
) -> list[Imported]:
    """Import one file; what was imported before for the same symbol and interval is replaced.

    The symbol comes from ``symbol``, a column of that name, or the file's name. ``interval`` is found from the bars
    where it is None. Times without a zone are in ``zone``. Raises InvalidInput or BadBars for a file that is no use.
    """
    if target.store.local is None:
        raise InvalidInput("folder", "files are imported into a folder on this machine")
    if not path.is_file():
        raise InvalidInput("file", f"{path} is not a file.")
    try:
        tz = ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError):
        raise InvalidInput("zone", f"{zone!r} is not a time zone; write one such as America/New_York.") from None
    root = target.store.local
    root.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=".import-", dir=root))
    try:
        spools = _spool(path, work, symbol, tz)
        return [_write(name, spool, root, interval) for name, spool in sorted(spools.items())]
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _pieces(path: Path) -> Iterator[pa.RecordBatch]:
    try:
        if path.suffix.lower() in (".parquet", ".pq"):
            yield from pq.ParquetFile(path).iter_batches(_PIECE_ROWS)
        else:
            yield from pcsv.open_csv(path, read_options=pcsv.ReadOptions(block_size=_PIECE_BYTES, use_threads=False))
    except (pa.ArrowInvalid, OSError) as error:
        said = (str(error).splitlines() or [type(error).__name__])[0][:200]
        shown = "".join(c if c.isprintable() and c != "\ufffd" else "?" for c in said)
        raise BadBars(f"{path.name} cannot be read: {shown}") from None


def _columns(names: list[str], path: Path) -> dict[str, str]:
    lower = {name.strip().lower(): name for name in names}
    found = {}
    for wanted, spellings in _NAMES.items():
        for spelling in spellings:
            if spelling in lower:
                found[wanted] = lower[spelling]
                break
    missing = [name for name in ("time", *OHLCV[:4]) if name not in found]
    if missing:
        raise InvalidInput(
            "file", f"{path.name} has no column {', '.join(missing)}. It has {', '.join(names)}; needed are time, "
            "open, high, low, close, and volume if there is one."
        )  # fmt: skip
    return found


def _spool(path: Path, work: Path, symbol: str | None, zone: ZoneInfo) -> dict[str, _Spool]:
    spools: dict[str, _Spool] = {}
    default = symbol or re.split(r"[\s_]", path.name.split(".")[0])[0]
    for batch in _pieces(path):
        if not batch.num_rows:
            continue
        columns = _columns(batch.schema.names, path)
        index = _moments(batch.column(columns["time"]).to_pandas(), zone, path)
        values = {name: _numbers(batch, columns.get(name), path) for name in OHLCV}
        frame = pd.DataFrame(values, index=index)
        if symbol is None and "symbol" in columns:
            names = batch.column(columns["symbol"]).to_pandas().astype(str).to_numpy()
            groups = {str(name): frame[names == name] for name in dict.fromkeys(names)}
        else:
            groups = {default: frame}
        for name, part in groups.items():
            ticker = parse_symbol(name)
            if ticker not in spools:
                spools[ticker] = _Spool(Path(tempfile.mkdtemp(dir=work)))
            spools[ticker].add(check_bars(part))
    if not any(spool.spans for spool in spools.values()):
        raise BadBars(f"{path.name} holds no bars.")
    return {name: spool for name, spool in spools.items() if spool.spans}


def _numbers(batch: pa.RecordBatch, column: str | None, path: Path) -> np.ndarray:
    if column is None:
        return np.zeros(batch.num_rows)
    try:
        return batch.column(column).cast(pa.float64()).to_numpy(zero_copy_only=False)
    except pa.ArrowInvalid as error:
        raise BadBars(f"{path.name}: column {column} holds something that is not a number: {error}") from None


def _moments(raw: pd.Series, zone: ZoneInfo, path: Path) -> pd.DatetimeIndex:
    """Times as UTC: dates, texts, days written as 20240131, or numbers that count seconds or parts of them since
    1970."""
    try:
        if pd.api.types.is_numeric_dtype(raw):
            if raw.between(*_WRITTEN_DAYS).all():
                return pd.DatetimeIndex(pd.to_datetime(raw.astype("int64").astype(str), format="%Y%m%d"), tz="UTC")
            digits = len(str(abs(int(raw.iloc[0]))))
            factor = next((10**power for most, power in _SINCE_1970 if digits <= most), 1)
            return pd.DatetimeIndex((raw.to_numpy() * factor).astype("datetime64[ns]"), tz="UTC")
        index = pd.DatetimeIndex(pd.to_datetime(raw, utc=False))
    except (ValueError, TypeError) as error:
        raise BadBars(f"{path.name}: the times cannot be read: {str(error)[:200]}") from None
    if index.tz is not None:
        return index.tz_convert("UTC")
    if (index == index.normalize()).all():
        return index.tz_localize("UTC")
    return index.tz_localize(zone, ambiguous="NaT", nonexistent="NaT").tz_convert("UTC")


def _write(symbol: str, spool: _Spool, root: Path, interval: Interval | None) -> Imported:
    chosen = interval or _interval(spool, symbol)
    order = sorted(range(len(spool.spans)), key=lambda i: spool.spans[i])
    if any(spool.spans[a][1] >= spool.spans[b][0] for a, b in pairwise(order)):
        order = [_merged(spool)]
    moments_of = np.concatenate([spool.piece(i)["time"].to_numpy().astype("int64") for i in order])
    quality = spool.quality | gaps_of_own_bars(moments_of, symbol, chosen)
    first, last = spool.spans[order[0]][0], spool.spans[order[-1]][1]
    attrs = stamp(
        bars_frame(np.array([first, last]), np.zeros((2, 5))),
        symbol=symbol, interval=chosen, source=FilesSource.key, adjustment=Adjustment.UNKNOWN, quality=quality,
    ).attrs  # fmt: skip
    moments = [pd.Timestamp(at, tz="UTC") for at in (first, last)]
    about = known(attrs, datetime.now(UTC), None, moments[0].isoformat(), moments[1].isoformat())
    target = root / file_name(symbol, chosen)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = spool.folder / "whole"
    schema = spool.piece(order[0]).schema.with_metadata(about)
    rows = 0
    with pq.ParquetWriter(temporary, schema, **WRITING) as writer:
        for i in order:
            table = spool.piece(i).replace_schema_metadata(about)
            writer.write_table(table)
            rows += table.num_rows
    temporary.replace(target)
    return Imported(symbol, chosen, rows, moments[0].to_pydatetime(), moments[1].to_pydatetime(), quality)


def _merged(spool: _Spool) -> int:
    """Sort overlapping pieces together in memory; the number of the piece that holds the result."""
    table = pa.concat_tables(spool.piece(i) for i in range(len(spool.spans)))
    values = np.column_stack([table[name].to_numpy() for name in OHLCV])
    bars = check_bars(bars_frame(table["time"].to_numpy().astype("int64"), values))
    for name in ("unordered", "duplicates"):
        spool.quality[name] += bars.attrs["quality"][name]
    number = len(spool.spans)
    pq.write_table(to_table(bars), spool.folder / f"{number}.parquet", **WRITING)
    at = nanoseconds(bars)
    spool.spans.append((int(at[0]), int(at[-1])))
    return number


def _interval(spool: _Spool, symbol: str) -> Interval:
    """The length most bars are apart."""
    if not spool.steps:
        raise InvalidInput("interval", f"{symbol} has too few bars to see their length; give --interval.")
    step = float(np.median(spool.steps)) / 1e9
    day = Interval.D1.length.total_seconds()
    near = {
        Interval.D1: (0.9 * day, 1.5 * day),
        Interval.W1: (6 * day, 8 * day),
        Interval.MO1: (27 * day, 32 * day),
        Interval.MO3: (88 * day, 93 * day),
    }
    for one, (low, high) in near.items():
        if low <= step <= high:
            return one
    for one in Interval:
        if one.intraday and one is not Interval.M60 and one.length.total_seconds() == step:
            return one
    allowed = [i.value for i in Interval]
    raise InvalidInput("interval", f"bars of {symbol} are {step:.0f} seconds apart; give --interval.", allowed=allowed)
