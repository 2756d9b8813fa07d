"""The bar cache: one Parquet file per source, symbol, interval and adjustment, shared by all processes.

A file younger than five minutes answers by itself. An older one is extended: the last bars are read again, and where a
closed bar has changed (a split or a dividend) everything is. One fetch is in flight per file across processes; a
process killed while writing leaves the old file whole.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pandas as pd
import pyarrow as pa

from dashtrade.data.backoff import Backoff
from dashtrade.data.barfile import BarFile, Store
from dashtrade.data.locks import locked
from dashtrade.data.pipeline import FetchingSource, answer
from dashtrade.data.quality import joined_faults, nanoseconds
from dashtrade.domain.market import HistoryRequest, Interval
from dashtrade.errors import ConfigurationError, NoDataInRange, RateLimited, SourceError, SourceUnreachable

log = logging.getLogger(__name__)

FRESH = timedelta(minutes=5)
# Closed bars read again with the last one, to see whether the past has been adjusted.
_OVERLAP = 10
_CHANGED = 1e-4
# A short-interval range that ended this long ago is fetched for itself, not with everything since.
_LONG_AGO = timedelta(days=60)
_LOCK_WAIT = 45.0
_LEFTOVER_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class Cached:
    """One file, for ``data status``."""

    name: str
    source: str
    symbol: str
    interval: str
    rows: int
    first: str
    last: str
    fetched_at: str
    size: int


class BarCache:
    """``root`` is a folder or any fsspec URL; locks and waits are kept in ``lock_dir`` on this machine."""

    def __init__(
        self,
        root: str | Path,
        lock_dir: Path,
        *,
        max_bytes: int | None = None,
        fresh: timedelta = FRESH,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.store = Store(root)
        self.root = str(root)
        self.max_bytes = max_bytes
        self._lock_dir = lock_dir
        self._fresh = fresh
        self._now = now
        self.backoff = Backoff(lock_dir, now)

    def history(self, source: FetchingSource, request: HistoryRequest) -> pd.DataFrame:
        """Bars for ``request``, from the cache where it is fresh, else with as little fetched as possible."""

        def fetch(symbol: str, interval: Interval, start: datetime | None, end: datetime | None) -> pd.DataFrame:
            return self.bars(source, symbol, interval, start, end)

        try:
            return answer(source, request, self._now(), fetch)
        except (SourceUnreachable, RateLimited) as error:
            entry = self._read(self._name(source, request.symbol, source.limits.source_interval(request.interval)))
            error.cached_at = entry.fetched_at if entry else None
            raise

    def stale(self, source: FetchingSource, request: HistoryRequest) -> pd.DataFrame:
        """Cached bars of any age, for a person who chose them; raises NoDataInRange where there are none."""

        def read(symbol: str, interval: Interval, start: datetime | None, end: datetime | None) -> pd.DataFrame:
            entry = self._read(self._name(source, symbol, interval))
            if entry is None:
                raise NoDataInRange(source.key, f"There are no cached {interval} bars of {symbol} from {source.label}.")
            return _given(entry)

        return answer(source, request, self._now(), read)

    def bars(
        self, source: FetchingSource, symbol: str, interval: Interval, start: datetime | None, end: datetime | None
    ) -> pd.DataFrame:
        """Native bars that cover at least ``start`` to ``end``."""
        now = self._now()
        if end is not None and interval.intraday and now - end > _LONG_AGO:
            return self._ask(source, symbol, interval, start, end)
        name = self._name(source, symbol, interval)
        entry = self._read(name)
        if entry is not None and self._serves(entry, start, end):
            self.store.used(name)
            return _given(entry)
        lock = self._lock_dir / (hashlib.sha256(f"{self.root}/{name}".encode()).hexdigest()[:32] + ".lock")
        try:
            with locked(lock, _LOCK_WAIT) as held:
                if not held:
                    raise SourceUnreachable(
                        source.key, f"Another process is still waiting for {source.label}. Try again."
                    )
                entry = self._read(name)
                if entry is not None and self._serves(entry, start, end):
                    return _given(entry)
                updated = self._updated(source, symbol, interval, start, entry)
                self.store.write(name, updated)
                self._make_room(keep=name)
        except OSError as error:
            raise ConfigurationError(
                f"The cache in {self.root} cannot be written ({error.strerror or error}): correct the folder's "
                "permissions or free space, or set DASHTRADE_CACHE_URL or DASHTRADE_DATA_DIR."
            ) from None
        bars = updated.bars
        bars.attrs = {**bars.attrs, "cached": False}
        return bars

    def _serves(self, entry: BarFile, start: datetime | None, end: datetime | None) -> bool:
        if entry.covered_from is not None and (start is None or start < entry.covered_from):
            return False
        if end is not None and len(entry.bars) and end <= entry.bars.index[-1]:
            return True
        return timedelta(0) <= self._now() - entry.fetched_at < self._fresh

    def _updated(
        self, source: FetchingSource, symbol: str, interval: Interval, start: datetime | None, entry: BarFile | None
    ) -> BarFile:
        """The entry brought up to date by the smallest fetch that keeps it free of holes."""
        now = self._now()
        oldest = source.limits.oldest(interval, now)
        reaches = entry is not None and (
            entry.covered_from is None or (start is not None and entry.covered_from <= start)
        )
        if entry is None or not reaches or not len(entry.bars):
            return BarFile(self._ask(source, symbol, interval, start, None), now, start)
        since = entry.bars.index[-min(_OVERLAP, len(entry.bars))].to_pydatetime()
        if oldest is not None and since < oldest:
            return BarFile(self._ask(source, symbol, interval, start, None), now, start)
        try:
            recent = self._ask(source, symbol, interval, since, None)
        except NoDataInRange:
            return replace(entry, fetched_at=now)
        if _adjusted(entry.bars, recent):
            log.info("the past of %s %s from %s was adjusted: all bars are read again", symbol, interval, source.key)
            again = start if entry.covered_from is None or start is None else min(start, entry.covered_from)
            if entry.covered_from is None:
                again = None
            if oldest is not None:
                again = oldest + timedelta(minutes=1) if again is None else max(again, oldest + timedelta(minutes=1))
            return BarFile(self._ask(source, symbol, interval, again, None), now, again)
        return BarFile(_joined(entry.bars, recent), now, entry.covered_from)

    def _ask(
        self, source: FetchingSource, symbol: str, interval: Interval, start: datetime | None, end: datetime | None
    ) -> pd.DataFrame:
        # A user's own key has limits of its own.
        whose = getattr(source, "allowance", source.key)
        self.backoff.check(whose, source.label, source.key)
        try:
            bars = source.fetch(symbol, interval, start, end)
        except SourceError as error:
            self.backoff.failed(whose, error)
            raise
        self.backoff.answered(whose)
        return bars

    def _name(self, source: FetchingSource, symbol: str, interval: Interval) -> str:
        adjustment = source.adjustment(interval).name.lower()
        return f"{source.key}/{quote(symbol, safe='')}/{interval.value}-{adjustment}.parquet"

    def _read(self, name: str) -> BarFile | None:
        try:
            return self.store.read(name)
        except (pa.ArrowInvalid, OSError, KeyError, ValueError) as error:
            log.warning("the cached file %s is broken and will be fetched again: %s", name, error)
            return None

    def _make_room(self, keep: str = "") -> list[str]:
        """Remove the least recently used files until the size limit is kept; returns their names."""
        if self.max_bytes is None:
            return []
        self.store.sweep(_LEFTOVER_SECONDS)
        files = self.store.files()
        total = sum(size for _, size, _ in files)
        gone = []
        for name, size, _ in sorted(files, key=lambda file: file[2]):
            if total <= self.max_bytes:
                break
            if name != keep:
                self.store.remove(name)
                gone.append(name)
                total -= size
        return gone

    def status(self) -> list[Cached]:
        """Every cached file."""
        found = []
        for name, size, _ in self.store.files():
            try:
                known = self.store.metadata(name)
            except (pa.ArrowInvalid, OSError, KeyError, ValueError):
                found.append(Cached(name, name.split("/")[0], "(broken)", "", 0, "", "", "", size))
                continue
            attrs = known["attrs"]
            first, last = (known["first"] or "")[:16], (known["last"] or "")[:16]
            found.append(
                Cached(
                    name,
                    attrs["source"],
                    attrs["symbol"],
                    attrs["interval"],
                    known["rows"],
                    first,
                    last,
                    known["fetched_at"][:19],
                    size,
                )
            )
        return found

    def clear(self, source: str | None = None, symbol: str | None = None) -> int:
        """Remove cached files, of one source or symbol if given; returns how many."""
        gone = 0
        for name, _, _ in self.store.files():
            parts = name.split("/")
            if (source is None or parts[0] == source) and (symbol is None or parts[1] == quote(symbol, safe="")):
                self.store.remove(name)
                gone += 1
        self.store.sweep(0.0 if source is None and symbol is None else _LEFTOVER_SECONDS)
        return gone


def _given(entry: BarFile) -> pd.DataFrame:
    bars = entry.bars
    bars.attrs = {**bars.attrs, "cached": True, "fetched_at": entry.fetched_at.isoformat(timespec="seconds")}
    return bars


def _adjusted(old: pd.DataFrame, new: pd.DataFrame) -> bool:
    """Whether closed bars that both frames hold differ, or one is missing: then the past has been rewritten."""
    closed = nanoseconds(old)[-_OVERLAP:-1]
    if not len(closed):
        return False
    at = np.searchsorted(nanoseconds(new), closed)
    if at[-1] >= len(new) or not np.array_equal(nanoseconds(new)[at], closed):
        return True
    before = old["close"].to_numpy()[-_OVERLAP:-1]
    after = new["close"].to_numpy()[at]
    return bool((np.abs(after / before - 1) > _CHANGED).any())


def _joined(old: pd.DataFrame, new: pd.DataFrame) -> pd.DataFrame:
    """``old`` up to where ``new`` begins, then ``new``. Faults in the bars read again are counted once."""
    kept = old.iloc[: old.index.searchsorted(new.index[0], side="left")]
    bars = pd.concat([kept, new])
    quality, when = joined_faults(old, new, int(nanoseconds(new)[0]))
    bars.attrs = {**new.attrs, "quality": {**quality, "rows": len(bars)}, "fault_times": when}
    return bars
