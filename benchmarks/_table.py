"""One line for each comparison: what was measured, both numbers, their ratio, and the goal it is held against."""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

_HEAD = ("path", "ours", "compared", "ratio", "goal", "met", "with")


@dataclass(frozen=True, slots=True)
class Line:
    """``ratio`` is printed as it is; ``met`` None where there is no goal or it could not be measured."""

    path: str
    ours: str
    compared: str = ""
    ratio: str = ""
    goal: str = ""
    met: bool | None = None
    peer: str = ""

    def cells(self) -> tuple[str, ...]:
        word = {True: "yes", False: "NO", None: ""}[self.met]
        return (self.path, self.ours, self.compared, self.ratio, self.goal, word, self.peer)


def show(lines: list[Line]) -> None:
    rows = [_HEAD, *(line.cells() for line in lines)]
    widths = [max(len(row[n]) for row in rows) for n in range(len(_HEAD))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip(), flush=True)


def quicker(path: str, ours: float, theirs: float, least: float, peer: str) -> Line:
    """Ours has to be at least ``least`` times as quick; seconds."""
    times = theirs / ours
    return Line(path, seconds(ours), seconds(theirs), f"{times:.1f}×", f"≥ {least:g}×", times >= least, peer)


def at_most(path: str, ours: float, theirs: float, share: float, peer: str) -> Line:
    """Ours may be at most ``share`` of theirs; seconds."""
    part = ours / theirs
    return Line(path, seconds(ours), seconds(theirs), f"{part:.2f}×", f"≤ {share:g}×", part <= share, peer)


def seconds(value: float) -> str:
    return f"{value:.2f} s" if value >= 1 else f"{1e3 * value:.2f} ms"


def in_turns(calls: dict[str, Callable[[], Any]], times: int = 5) -> dict[str, float]:
    """Median CPU seconds of each call, after one run that does not count. In turns, and CPU seconds of the process, so
    that a busy machine favours no side."""
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(times + 1):
        for name, call in calls.items():
            start = time.process_time()
            call()
            if turn:
                taken[name].append(time.process_time() - start)
    return {name: statistics.median(values) for name, values in taken.items()}


def fresh(code: str, *arguments: str, times: int = 3) -> tuple[float, float, str]:
    """(CPU seconds, wall seconds, output) of a whole new interpreter that runs ``code``: medians."""
    spent, taken, out = [], [], ""
    for _ in range(times):
        start, before = time.perf_counter(), _children()
        done = subprocess.run([sys.executable, "-c", code, *arguments], check=True, capture_output=True, text=True)
        spent.append(_children() - before)
        taken.append(time.perf_counter() - start)
        out = done.stdout
    return statistics.median(spent), statistics.median(taken), out


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
