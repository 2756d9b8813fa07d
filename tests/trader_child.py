"""A trader process for fault tests: the real one, ending itself with SIGKILL at the point named by ``crash_at``,
or standing still there (``stop:`` before the name)."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping

from dashtrade.db.engine import make_engine
from dashtrade.processes.logs import configure
from dashtrade.processes.trader.runner import run
from dashtrade.settings import load_settings


def run_trader(environment: Mapping[str, str], crash_at: str) -> None:
    """Until it is killed or told to stop."""

    stopped: list[str] = []

    def checkpoint(name: str) -> None:
        if name == crash_at:
            os.kill(os.getpid(), signal.SIGKILL)
        if f"stop:{name}" == crash_at and not stopped:
            stopped.append(name)
            os.kill(os.getpid(), signal.SIGSTOP)

    os.environ.update(environment)
    configure("trader")
    settings = load_settings()
    assert settings.database_url is not None
    run(make_engine(settings.database_url.get_secret_value()), settings, checkpoint=checkpoint)
