"""A trader process for fault tests: the real one, ending itself with SIGKILL at the point named by CRASH_AT."""

from __future__ import annotations

import os
import signal
import sys

from dashtrade.db.engine import make_engine
from dashtrade.processes.logs import configure
from dashtrade.processes.trader.runner import run
from dashtrade.settings import load_settings


def checkpoint(name: str) -> None:
    if name == os.environ.get("CRASH_AT"):
        os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    configure("trader")
    settings = load_settings()
    assert settings.database_url is not None
    run(make_engine(settings.database_url.get_secret_value()), settings, checkpoint=checkpoint)
    sys.exit(0)
