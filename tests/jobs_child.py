"""A jobs worker whose bars are made by hand, and that may hang in the middle of a job until it is killed."""

from __future__ import annotations

import asyncio
import importlib
import os
import sys
import time
from pathlib import Path

import structlog
from alert_house import SYMBOL, Context, Market, hourly

from dashtrade.bootstrap import load_jobs
from dashtrade.db.engine import make_engine
from dashtrade.db.unit_of_work import UnitOfWork
from dashtrade.processes.job_queue import make_app
from dashtrade.processes.jobs import work
from dashtrade.settings import load_settings


def hang(*_: object, **__: object) -> None:
    print("there", flush=True)
    time.sleep(600)


def main(point: str, only: list[str]) -> None:
    """``point`` is ``module.function`` of a service that hangs; ``only`` names the jobs, without their clock."""
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))  # stdout is for the test
    engine = make_engine(os.environ["DATABASE_URL"])
    settings = load_settings(_env_file=None)
    context = Context(settings, lambda: UnitOfWork(engine), Market({SYMBOL: hourly([99.0, 101.0, 102.0])}))
    jobs = [
        type(each)(each.name, each.run, None, each.retries, each.alone) for each in load_jobs() if each.name in only
    ]
    if folder := os.environ.get("REPORTS_OF_THE_TEST"):
        from dashtrade.services import report_schedules, reports

        report_schedules.FOLDER = Path(folder)
        report_schedules.report = lambda name: reports.report(name, Path(folder))
    if point:
        module, name = point.rsplit(".", 1)
        setattr(importlib.import_module(f"dashtrade.services.{module}"), name, hang)
    print("ready", flush=True)
    asyncio.run(work(make_app(os.environ["DATABASE_URL"], context, jobs)))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
