"""Log records of the warm process and of its kernels, as lines that the server writes into its own log.

They have no log of their own: the settings of logging, and the words to cut, are the server's.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterable

#: What the system writes to a pipe in one piece (POSIX asks for 512, Linux keeps 4,096); longer records are split.
WHOLE = 4096
_TEXT = 3000  # bytes of text in one line, so that the rest of the line fits as well
_LEVELS = {name: getattr(logging, name) for name in ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")}
_RAW = "dashtrade.dashboards.kernels"


class LineHandler(logging.Handler):
    """Writes each record as a line of JSON to ``descriptor``."""

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self.descriptor = descriptor

    def emit(self, record: logging.LogRecord) -> None:
        for part in pieces(self.format(record)):
            line = json.dumps({"level": record.levelname, "name": record.name, "text": part}) + "\n"
            try:
                os.write(self.descriptor, line.encode())
            except OSError:  # the server is gone, and this process will be in a moment
                return


def pieces(text: str) -> list[str]:
    """``text`` in parts that fit into one line each, cut at ends of lines where there are any."""
    found, rest = [], text
    while len(json.dumps(rest)) > _TEXT:
        room = _TEXT // 6  # a character may take six bytes
        while len(json.dumps(rest[: room * 2])) <= _TEXT:
            room *= 2
        cut = rest.rfind("\n", 1, room) + 1 or room
        found.append(rest[:cut].rstrip("\n"))
        rest = rest[cut:]
    return [*found, rest]


def write_to(descriptor: int) -> None:
    """Send this process's log records to ``descriptor``: ours from INFO on, those of libraries from WARNING on."""
    handler = LineHandler(descriptor)
    for name, level in (("", logging.WARNING), ("dashtrade", logging.INFO)):
        logger = logging.getLogger(name)
        logger.handlers[:] = [handler]
        logger.setLevel(level)
    logger.propagate = False


def log_lines(stream: Iterable[bytes]) -> None:
    """Log each line; one that is no record, such as the last words of a crash, as a warning."""
    for line in stream:
        text = line.decode(errors="replace").rstrip()
        if not text:
            continue
        try:
            record = json.loads(text)
            level, name, said = _LEVELS[record["level"]], str(record["name"]), str(record["text"])
        except (ValueError, KeyError, TypeError):
            level, name, said = logging.WARNING, _RAW, text
        logging.getLogger(name).log(level, "%s", said)
