"""Locks between processes on one machine. The operating system frees them when their holder dies, however it dies."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_POLL_SECONDS = 0.02


@contextmanager
def locked(path: Path, wait_seconds: float) -> Iterator[bool]:
    """Hold the lock file at ``path``; yields False where somebody else still held it after ``wait_seconds``.

    Threads of one process exclude each other too.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        deadline = time.monotonic() + wait_seconds
        held = _try(handle)
        while not held and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
            held = _try(handle)
        yield held
    finally:
        # Closing the file frees the lock.
        os.close(handle)


if sys.platform == "win32":
    import msvcrt

    def _try(handle: int) -> bool:
        try:
            os.lseek(handle, 0, os.SEEK_SET)
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    def _try(handle: int) -> bool:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
