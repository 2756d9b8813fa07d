"""Memory of a process. Pages share most of theirs, so only the proportional set size says what one costs."""

from __future__ import annotations

from pathlib import Path


def proportional_mb(pid: int | None) -> float | None:
    """PSS in MB; None where the system does not tell (not Linux, or the process has ended)."""
    if pid is None:
        return None
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return None
    for line in text.splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    return None
