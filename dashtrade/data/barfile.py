"""Bars in one Parquet file, on a local disk or any fsspec path: written whole or not at all, read in a millisecond.

The frame's attributes and what the cache needs to know travel in the file's own metadata.
"""

from __future__ import annotations

import io
import json
import os
import secrets
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from dashtrade.data.quality import nanoseconds
from dashtrade.domain.market import OHLCV

_META = b"dashtrade"
# Threads cost more than they bring for a few thousand rows.
_THREADS_FROM = 100_000
TEMPORARY = ".tmp"


@dataclass(frozen=True)
class BarFile:
    """Bars with the time they were fetched and the time from which they are complete (None: from the very first)."""

    bars: pd.DataFrame
    fetched_at: datetime
    covered_from: datetime | None


class Store:
    """Files below one root: a local folder, or any fsspec URL such as ``s3://bucket/bars``."""

    def __init__(self, root: str | Path) -> None:
        text = str(root)
        self.local = Path(text.removeprefix("file://")) if "://" not in text or text.startswith("file://") else None
        self._fs: Any = None
        self._base = text.rstrip("/")
        if self.local is None:
            import fsspec

            self._fs, self._base = fsspec.core.url_to_fs(text)

    def read(self, name: str) -> BarFile | None:
        """The file's bars; None where there is no such file. Raises OSError or ArrowInvalid for one that is broken."""
        try:
            if self.local is not None:
                with pa.memory_map(str(self.local / name)) as source:
                    return decode(source)
            return decode(pa.BufferReader(self._fs.cat_file(f"{self._base}/{name}")))
        except FileNotFoundError:
            return None

    def metadata(self, name: str) -> dict[str, Any]:
        """What is known about a file without reading its bars: attributes, rows, first and last time."""
        if self.local is not None:
            file = pq.ParquetFile(self.local / name)
        else:
            file = pq.ParquetFile(pa.BufferReader(self._fs.cat_file(f"{self._base}/{name}")))
        stored = json.loads(file.schema_arrow.metadata[_META])
        return {**stored, "rows": file.metadata.num_rows}

    def write(self, name: str, content: BarFile) -> None:
        """Replace the file; another process sees the old one or the new one, never a part."""
        data = encode(content)
        if self.local is None:
            # Object stores make an upload visible only when it is complete.
            self._fs.makedirs(f"{self._base}/{name}".rsplit("/", 1)[0], exist_ok=True)
            self._fs.pipe_file(f"{self._base}/{name}", data)
            return
        target = self.local / name
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f".{target.name}.{secrets.token_hex(6)}{TEMPORARY}")
        try:
            with temporary.open("wb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)

    def used(self, name: str) -> None:
        """Note that a file was read, so that the least recently used can be found."""
        if self.local is not None:
            path = self.local / name
            try:
                os.utime(path, ns=(time.time_ns(), path.stat().st_mtime_ns))
            except OSError:
                # A cache on a read-only disk is still a cache.
                return

    def files(self) -> list[tuple[str, int, float]]:
        """Name, bytes and last use (seconds since 1970) of every bar file."""
        found: list[tuple[str, int, float]] = []
        if self.local is not None:
            if not self.local.is_dir():
                return []
            for path in self.local.rglob("*.parquet"):
                try:
                    stat = path.stat()
                except FileNotFoundError:
                    continue
                found.append((path.relative_to(self.local).as_posix(), stat.st_size, stat.st_atime))
            return sorted(found)
        if not self._fs.exists(self._base):
            return []
        for path, info in self._fs.find(self._base, detail=True).items():
            if path.endswith(".parquet"):
                when = info.get("LastModified") or info.get("mtime") or info.get("created") or 0.0
                seconds = when.timestamp() if isinstance(when, datetime) else float(when)
                found.append((path[len(self._base) :].lstrip("/"), int(info["size"]), seconds))
        return sorted(found)

    def remove(self, name: str) -> None:
        if self.local is not None:
            (self.local / name).unlink(missing_ok=True)
        else:
            self._fs.rm_file(f"{self._base}/{name}")

    def sweep(self, older_than_seconds: float) -> int:
        """Remove what a killed writer left behind; returns how many files."""
        if self.local is None or not self.local.is_dir():
            return 0
        limit = datetime.now(UTC).timestamp() - older_than_seconds
        gone = 0
        for path in self.local.rglob(f".*{TEMPORARY}"):
            try:
                if path.stat().st_mtime <= limit:
                    path.unlink()
                    gone += 1
            except FileNotFoundError:
                continue
        return gone


WRITING: dict[str, Any] = {"compression": "lz4", "use_dictionary": False, "write_statistics": False}


def known(
    attrs: dict[Any, Any], fetched_at: datetime, covered_from: datetime | None, first: str | None, last: str | None
) -> dict[bytes, bytes]:
    """The metadata of a bar file. ``first`` and ``last`` are the ISO times of its bars."""
    stored = {
        "attrs": attrs,
        "fetched_at": fetched_at.isoformat(),
        "covered_from": covered_from.isoformat() if covered_from else None,
        "first": first,
        "last": last,
    }
    return {_META: json.dumps(stored).encode()}


def to_table(bars: pd.DataFrame) -> pa.Table:
    """The bars as an Arrow table in the files' layout, without metadata."""
    columns = {"time": pa.array(nanoseconds(bars), pa.timestamp("ns", "UTC"))}
    return pa.table(columns | {name: pa.array(bars[name].to_numpy()) for name in OHLCV})


def encode(content: BarFile) -> bytes:
    """The file's bytes."""
    bars = content.bars
    first, last = (bars.index[0].isoformat(), bars.index[-1].isoformat()) if len(bars) else (None, None)
    about = known(bars.attrs, content.fetched_at, content.covered_from, first, last)
    sink = io.BytesIO()
    pq.write_table(to_table(bars).replace_schema_metadata(about), sink, **WRITING)
    return sink.getvalue()


def decode(source: Any) -> BarFile:
    """What :func:`encode` wrote, from anything Arrow reads a file from."""
    file = pq.ParquetFile(source)
    table = file.read(use_threads=file.metadata.num_rows > _THREADS_FROM)
    stored = json.loads(table.schema.metadata[_META])
    values = np.empty((len(OHLCV), table.num_rows))
    for row, name in enumerate(OHLCV):
        values[row] = table[name].to_numpy()
    index = pd.DatetimeIndex(table["time"].to_numpy(), tz="UTC", name="time")
    bars = pd.DataFrame(values.T, index=index, columns=list(OHLCV), copy=False)
    bars.attrs = stored["attrs"]
    covered = stored["covered_from"]
    return BarFile(
        bars, datetime.fromisoformat(stored["fetched_at"]), datetime.fromisoformat(covered) if covered else None
    )
