"""Blocks of a sweep on a Dask cluster: the same numbers as on one machine, in less time.

The bars go to every worker once. A worker that dies takes its unfinished blocks with it; the scheduler gives them to
another, and where the bars themselves were lost they are sent again.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from queue import Empty, SimpleQueue
from typing import Any
from uuid import uuid4

from dashtrade.backtest.blocks import Job, Part, Picks, Values
from dashtrade.backtest.control import Control
from dashtrade.backtest.provenance import versions
from dashtrade.backtest.request import BacktestRequest
from dashtrade.errors import ClusterUnavailable, ConfigurationError

SECONDS = 10.0
"""How long to wait for the scheduler, and for a worker."""
BLOCKS_A_TASK = 16
"""Most blocks in one task: a task costs the scheduler a few milliseconds."""
TASKS_A_THREAD = 6
"""Tasks for each thread of the cluster, at least, where there are blocks enough: so that all finish together."""
TRIES = 3
"""How often blocks that were lost with their workers are handed out again."""
_NOTICE = 0.1
_MOST_KEPT = 2

log = logging.getLogger(__name__)


class Cluster:
    """A place for blocks (``dashtrade.backtest.blocks.Place``). Raises ConfigurationError where Dask is not installed,
    ClusterUnavailable where the scheduler or its workers are not there or run other versions."""

    def __init__(self, address: str, job: Job, control: Control) -> None:
        try:
            from distributed import Client
        except ImportError:
            raise ConfigurationError(
                "A Dask scheduler is set but Dask is not installed: pip install 'dashtrade[scale]', "
                "or unset DASHTRADE_DASK_SCHEDULER."
            ) from None
        self._address, self._control = address, control
        self._work = (job.request, job.space.values)
        self._name = uuid4().hex
        try:
            self._client = Client(address, timeout=SECONDS, set_as_default=False)
        except ValueError as error:
            raise ConfigurationError(
                f"DASHTRADE_DASK_SCHEDULER: {address!r} is not an address ({error}); use one such as tcp://host:8786."
            ) from None
        except (OSError, TimeoutError):
            raise ClusterUnavailable(
                f"The Dask scheduler at {address} does not answer. Start it, or unset DASHTRADE_DASK_SCHEDULER."
            ) from None
        try:
            self._client.wait_for_workers(1, timeout=SECONDS)
        except TimeoutError:
            self._client.close()
            raise ClusterUnavailable(
                f"The Dask scheduler at {address} has no workers. Start some: dask worker {address}."
            ) from None

    def compute(self, parts: Sequence[Part]) -> Iterator[tuple[Part, Values]]:
        from distributed import KilledWorker
        from distributed.client import FutureCancelledError

        left = {part[0]: part for part in parts}
        lost: BaseException
        for attempt in range(TRIES):
            try:
                for part, values in self._once(list(left.values())):
                    del left[part[0]]
                    yield part, values
                return
            except (CancelledError, FutureCancelledError, KilledWorker) as error:
                lost = error
                log.warning("Dask lost %d blocks (attempt %d of %d)", len(left), attempt + 1, TRIES)
            except OSError as error:
                lost = error
                break
        raise ClusterUnavailable(
            f"The Dask cluster at {self._address} was lost ({type(lost).__name__}) with {len(left):,} blocks to go. "
            "With a resume folder the finished ones are kept."
        ) from lost

    def _once(self, parts: Sequence[Part]) -> Iterator[tuple[Part, Values]]:
        client = self._client
        threads = max(sum(client.nthreads().values()), 1)
        size = max(1, min(BLOCKS_A_TASK, len(parts) // (threads * TASKS_A_THREAD)))
        work = client.scatter(self._work, broadcast=True, hash=False)
        waiting: dict[Any, Sequence[Part]] = {}
        ready: SimpleQueue[Any] = SimpleQueue()
        starts = iter(range(0, len(parts), size))
        try:
            while True:
                while len(waiting) < 3 * threads and (start := next(starts, None)) is not None:
                    own = parts[start : start + size]
                    picks = [part[1] for part in own]
                    future = client.submit(run, self._name, work, versions(), picks, pure=False)
                    waiting[future] = own
                    future.add_done_callback(ready.put)
                if not waiting:
                    return
                self._control.check()
                try:
                    future = ready.get(timeout=_NOTICE)
                except Empty:
                    continue
                yield from zip(waiting.pop(future), future.result(), strict=True)
        finally:
            if waiting:
                client.cancel(list(waiting), force=True)

    def close(self) -> None:
        self._client.close()


_jobs: OrderedDict[str, Job] = OrderedDict()
_making = threading.Lock()


def run(
    name: str,
    work: tuple[BacktestRequest, Mapping[str, Sequence[float]]],
    expected: Mapping[str, str],
    blocks: Sequence[Picks],
) -> list[Values]:
    """On a worker: the statistics of some blocks. Indicators are kept for the sweep's next blocks."""
    own = versions()
    if own != expected:
        differing = ", ".join(
            f"{k} {own.get(k)} instead of {expected[k]}" for k in expected if own.get(k) != expected[k]
        )
        raise ClusterUnavailable(f"A Dask worker has other versions ({differing}); numbers could differ.")
    with _making:
        if name not in _jobs:
            _jobs[name] = Job(*work)
            while len(_jobs) > _MOST_KEPT:
                _jobs.popitem(last=False)
        job = _jobs[name]
    return [job.run(picks) for picks in blocks]
