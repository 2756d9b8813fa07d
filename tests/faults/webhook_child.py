"""A webhook process for fault tests, ending itself with SIGKILL just before or just after an alert's commit."""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

from sqlalchemy import Connection, event
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session

from dashtrade.processes.logs import configure
from dashtrade.settings import load_settings
from webhook.__main__ import build_server

storing = False


@event.listens_for(Engine, "before_cursor_execute")
def _note(connection: Connection, cursor: Any, statement: str, *rest: Any) -> None:
    global storing
    storing = storing or "INSERT INTO alert_inbox" in statement


def _end() -> None:
    if storing:
        os.kill(os.getpid(), signal.SIGKILL)


if os.environ.get("CRASH_AT") == "before":
    event.listen(Engine, "commit", lambda connection: _end())
elif os.environ.get("CRASH_AT") == "after":
    event.listen(Session, "after_commit", lambda session: _end())

if __name__ == "__main__":
    configure("webhook")
    build_server(load_settings()).run()
    sys.exit(0)
