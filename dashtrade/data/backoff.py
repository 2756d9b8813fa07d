"""After a source failed, all processes leave it alone: as long as it asked, or longer each time, with jitter."""

from __future__ import annotations

import json
import random
import secrets
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from dashtrade.errors import RateLimited, SourceError, SourceUnreachable

_LONGEST = 30.0


class Backoff:
    """Kept in small files in one folder, so that every process on the machine knows."""

    def __init__(self, folder: Path, now: Callable[[], datetime], chance: Callable[[], float] = random.random) -> None:
        self._folder = folder
        self._now = now
        self._chance = chance

    def check(self, whose: str, label: str, source: str = "") -> None:
        """Raise the error the source would raise again, where it is still too early to ask.

        ``whose`` is the limit that is kept, where it is not all of ``source``'s.
        """
        state = self._read(whose)
        source = source or whose
        left = float(state.get("until", 0.0)) - self._now().timestamp()
        if left <= 0:
            return
        if state.get("kind") == RateLimited.code:
            raise RateLimited(source, f"{label} asks to wait. Try again in {left:.0f} seconds.", left)
        raise SourceUnreachable(
            source, f"{label} could not be reached just now. Try again in {max(left, 1):.0f} s, or choose sample data."
        )

    def failed(self, source: str, error: SourceError) -> None:
        """Note a failure; only limits and unreachable sources call for patience."""
        if not isinstance(error, (RateLimited, SourceUnreachable)):
            return
        count = int(self._read(source).get("count", 0)) + 1
        if isinstance(error, RateLimited):
            wait = error.retry_after if error.retry_after is not None else _LONGEST
            wait *= 1 + 0.1 * self._chance()
        else:
            wait = min(2.0 ** (count - 1), _LONGEST) * (0.5 + 0.5 * self._chance())
        self._write(source, {"kind": error.code, "count": count, "until": self._now().timestamp() + wait})

    def answered(self, source: str) -> None:
        self._path(source).unlink(missing_ok=True)

    def _path(self, source: str) -> Path:
        return self._folder / f"wait-{source}.json"

    def _read(self, source: str) -> dict[str, Any]:
        try:
            state = json.loads(self._path(source).read_text())
        except (OSError, ValueError):
            return {}
        return state if isinstance(state, dict) else {}

    def _write(self, source: str, state: dict[str, Any]) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        temporary = self._folder / f".{secrets.token_hex(6)}.tmp"
        temporary.write_text(json.dumps(state))
        temporary.replace(self._path(source))
