"""Runs a sweep's combinations in blocks: in threads of this machine, or on a Dask cluster; finished blocks are kept."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from dashtrade.analysis.annualisation import annualisation, interval_of
from dashtrade.backtest.bars import make_grid
from dashtrade.backtest.block import METRICS, run_block
from dashtrade.backtest.control import FREE, Cancelled, Control
from dashtrade.backtest.layout import Layout
from dashtrade.backtest.lines import Lines
from dashtrade.backtest.provenance import hash_of
from dashtrade.backtest.request import BacktestRequest
from dashtrade.backtest.space import Space, Template
from dashtrade.backtest.sparse import ENOUGH
from dashtrade.errors import InvalidInput
from dashtrade.strategies import Operands

if TYPE_CHECKING:
    from dashtrade.backtest.sweep import SweepOptions

Picks = NDArray[np.int64]
Values = NDArray[np.float64]
Part = tuple[int, Picks]
"""A block: its number and the combinations in it."""

NICENESS = 5
BLOCK = 64
LINES_BLOCK, LINES_MOST, LINES_CELLS = 2_048, 8_192, 64_000_000
"""The same where only lines are compared: combinations, those of a sweep of very many, and rows × combinations, of a
block at most."""
MOST_CELLS = 8_000_000
"""Rows × combinations of a block at most: long histories get smaller blocks, so that memory and the time until a
cancel is noticed stay small."""
_NOTICE = 0.1
"""Seconds between two looks at whether to stop."""


class Job:
    """Everything that turns numbers of combinations into statistics. Made once on each machine; blocks may share it."""

    def __init__(self, request: BacktestRequest, parameters: Mapping[str, Sequence[float]]) -> None:
        self.request = request
        self.template = Template(request.strategy)
        self.space = Space(self.template, parameters)
        first = next(iter(request.bars.values()))
        self.slippage = request.costs.per_side(str(first.attrs.get("source", "")))
        self.factor = annualisation(request.bars, first).factor
        self.grid = make_grid(request.bars)
        self.operands = {s: Operands(bars, interval_of(bars)) for s, bars in request.bars.items()}
        self.compiled = self.space.size * len(self.grid.times) >= ENOUGH
        self.lines = Lines.of(request, self.space, len(self.grid.times)) if self.compiled else None

    def run(self, picks: Picks, control: Control = FREE) -> Values:
        """Statistics of these combinations, shape (combinations, metrics)."""
        if self.lines is not None:
            control.check()
            return self.lines.run(picks, self.request, self.grid, self.slippage, self.factor)
        strategies = [self.template.build(self.space.settings(pick)) for pick in picks]
        return run_block(self.request, strategies, self.grid, self.operands, self.factor, control, self.compiled)

    def key(self, made: Mapping[str, Any]) -> str:
        """A name for kept blocks: the same only where every number would be. How to search does not count."""
        search = ("method", "trials", "objective")
        fields = {k: v for k, v in made["request"].items() if k not in search}
        return hash_of([fields, *(made[n] for n in ("bars_hash", "slippage_per_side", "bars_per_year", "versions"))])

    def block(self, asked: int) -> int:
        """Combinations in a block. Lines are shared by all combinations, so more of them cost no memory."""
        if self.lines is not None:
            wide = max(LINES_BLOCK, min(LINES_MOST, self.space.size // 16))  # so that handing out costs little
            return max(1, min(wide if asked == BLOCK else asked, LINES_CELLS // len(self.grid.times)))
        rows = len(self.grid.times) * len(self.grid.symbols)
        rows *= Layout.of(self.request).per_bar
        return max(1, min(asked, MOST_CELLS // rows))


class Place(Protocol):
    """Where blocks are computed."""

    def compute(self, parts: Sequence[Part]) -> Iterator[tuple[Part, Values]]:
        """Each block with its statistics, in any order."""
        ...

    def close(self) -> None: ...


def _stand_back() -> None:
    """A sweep takes what is left: on the same machine people click, and bots trade."""
    if sys.platform == "linux":  # where a thread has a niceness of its own
        os.nice(NICENESS)


class Threads:
    """Blocks in threads: the compiled simulation frees the interpreter."""

    def __init__(self, job: Job, threads: int, control: Control) -> None:
        self._job, self._threads, self._control = job, threads, control
        self._pool = ThreadPoolExecutor(threads, initializer=_stand_back)

    def compute(self, parts: Sequence[Part]) -> Iterator[tuple[Part, Values]]:
        silent, left = self._control.silent(), iter(parts)
        waiting: dict[Future[Values], Part] = {}
        try:
            while True:
                while len(waiting) <= 2 * self._threads and (part := next(left, None)) is not None:
                    waiting[self._pool.submit(self._job.run, part[1], silent)] = part
                if not waiting:
                    return
                done: set[Future[Values]] = set()
                while not done:
                    done, _ = wait(waiting, _NOTICE, FIRST_COMPLETED)
                    self._control.check()
                for future in done:
                    yield waiting.pop(future), future.result()
        finally:
            for future in waiting:
                future.cancel()

    def close(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)


class Runner:
    """Simulates picked combinations, keeps finished blocks in ``options.resume`` and reads back those kept before."""

    def __init__(self, job: Job, options: SweepOptions, control: Control, key: str) -> None:
        self._job, self._options, self._control, self._key = job, options, control, key
        self._size = job.block(options.block)
        if options.resume is not None:
            try:
                options.resume.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise InvalidInput(
                    "resume", f"{options.resume} is no folder that can be used ({error.strerror})."
                ) from None
        self._stack = ExitStack()
        self._made: Place | None = None

    def __enter__(self) -> Runner:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def control(self) -> Control:
        return self._control

    def _place(self) -> Place:
        if self._made is None:
            self._made = self._choose()
            self._stack.callback(self._made.close)
        return self._made

    def _choose(self) -> Place:
        address = self._options.scheduler
        if address is None:
            from dashtrade.settings import get_settings

            address = get_settings().dask_scheduler
        if address:
            from dashtrade.backtest.cluster import Cluster

            return Cluster(address, self._job, self._control)
        return Threads(self._job, self._options.threads, self._control)

    def all(self, picks: Picks, quiet: bool = False) -> Values:
        """Statistics of the combinations, in their order. Raises Cancelled; finished blocks stay kept."""
        out = np.full((len(picks), len(METRICS)), np.nan)
        missing, done = [], 0
        for start in range(0, len(picks), self._size):
            part = (start, picks[start : start + self._size])
            kept = self._load(part[1])
            if kept is None:
                missing.append(part)
            else:
                out[start : start + len(kept)] = kept
                done += len(kept)
        if not quiet:
            self._tell(done, len(picks))
        if not missing:
            return out
        try:
            for (start, own), values in self._place().compute(missing):
                out[start : start + len(values)] = values
                self._keep(own, values)
                done += len(values)
                if not quiet:
                    self._tell(done, len(picks))
        except Cancelled:
            raise Cancelled(f"Stopped after {done:,} of {len(picks):,} combinations.") from None
        return out

    def _tell(self, done: int, total: int) -> None:
        self._control.step(done / total, f"{done:,} of {total:,} combinations")

    def _file(self, picks: Picks) -> Path | None:
        if self._options.resume is None:
            return None
        own = hashlib.sha256(picks.astype("<i8").tobytes()).hexdigest()
        return self._options.resume / f"{self._key[:16]}-{own[:16]}.npy"

    def _load(self, picks: Picks) -> Values | None:
        path = self._file(picks)
        if path is None or not path.is_file():
            return None
        return np.asarray(np.load(path, allow_pickle=False))

    def _keep(self, picks: Picks, values: Values) -> None:
        path = self._file(picks)
        if path is None:
            return
        half = path.with_suffix(".part")
        with half.open("wb") as file:
            np.save(file, values)
        half.replace(path)  # a killed run leaves whole blocks only
