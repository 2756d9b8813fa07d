"""Ends the services when the supervisor is gone, however it went (kill -9 too).

The supervisor holds the other end of this process's standard input and writes each service's process id to it
(``+123``, ``-123``). The end of the input is the supervisor's end.
"""

from __future__ import annotations

import signal
import sys

GRACE = 8.0


def watch() -> None:
    alive: set[int] = set()
    for line in sys.stdin:
        sign, pid = line[0], int(line[1:])
        if sign == "+":
            alive.add(pid)
        else:
            alive.discard(pid)
    if alive:
        from dashtrade.processes.ending import end

        end(alive, lambda: GRACE)


if __name__ == "__main__":
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)  # it ends with the supervisor, never before
    watch()
