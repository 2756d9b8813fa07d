"""Ends processes with everything below them: politely first, by force after a grace."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterable

import psutil


def descendants(pids: Iterable[int]) -> list[psutil.Process]:
    """The living processes with these ids and everything below them."""
    found: dict[int, psutil.Process] = {}
    for pid in pids:
        try:
            process = psutil.Process(pid)
            for each in (process, *process.children(recursive=True)):
                found[each.pid] = each
        except psutil.Error:
            continue
    return list(found.values())


def end(pids: Iterable[int], grace: Callable[[], float]) -> None:
    """SIGTERM to the processes ``pids``; whatever of them or below them lives after ``grace()`` seconds is killed.

    ``grace`` is asked again and again, so that an impatient operator can shorten it. Only the processes named get the
    SIGTERM, since each knows best how to end its own children.
    """
    named = list(pids)
    family = descendants(named)
    for pid in named:
        _signal(pid, signal.SIGTERM)
    began = time.monotonic()
    leaders = [process for process in family if process.pid in set(named)]
    while time.monotonic() - began < grace() and any(_lives(process) for process in leaders):
        family += [process for process in descendants(named) if process not in family]
        time.sleep(0.05)
    left = [process for process in family if _lives(process)]
    _, left = psutil.wait_procs(left, timeout=0.5)  # children of a parent that has just ended
    for process in left:
        _signal(process.pid, signal.SIGKILL)
    psutil.wait_procs(left, timeout=3)


def _lives(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def _signal(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass
