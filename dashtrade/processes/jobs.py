"""The jobs worker: runs what ``services/jobs.py`` declares, from procrastinate's queue in the database.

Run as ``python -m dashtrade.processes.jobs``; several may run, on several machines. On SIGTERM the jobs at work are
given time to finish; a job whose worker died is started again by another.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import structlog

from dashtrade.bootstrap import Runtime, live_poller, load_jobs, runtime, source_request_server
from dashtrade.db.pages_role import announce
from dashtrade.errors import DashTradeError
from dashtrade.services.endpoint import serve

if TYPE_CHECKING:
    from procrastinate import App

log = structlog.get_logger(__name__)

CONCURRENCY = 2
GRACE = 7.0  # seconds that running jobs get after SIGTERM; the supervisor waits 10


async def work(app: App) -> None:
    """Take jobs until SIGTERM or SIGINT."""
    async with app.open_async():
        await app.run_worker_async(
            concurrency=CONCURRENCY, shutdown_graceful_timeout=GRACE, fetch_job_polling_interval=5.0, name="dashtrade"
        )


@contextmanager
def live_polling(made: Runtime) -> Iterator[None]:
    """Poll live prices, and ask sources for page kernels, in threads for as long as the block lasts."""
    stop = threading.Event()
    threads = [
        threading.Thread(target=live_poller(made).run, args=(made.engine, stop), name="live-prices", daemon=True),
        threading.Thread(target=source_request_server(made).run, args=(stop,), name="source-requests", daemon=True),
    ]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join(GRACE)


def main() -> int:
    from procrastinate.exceptions import ConnectorException

    from dashtrade.processes.job_queue import make_app
    from dashtrade.processes.logs import configure

    try:
        configure("jobs")
        made: Runtime = runtime()
        jobs = load_jobs()
        app = make_app(made.engine.url.render_as_string(hide_password=False), made, jobs)
        log.info("Jobs worker starts", jobs=", ".join(sorted(job.name for job in jobs)))
        announce(made.engine.url.render_as_string(hide_password=False), made.settings)
        endpoint = serve("jobs", made.settings, made.uow)
        try:
            with live_polling(made):
                asyncio.run(work(app))
        finally:
            if endpoint is not None:
                endpoint.stop()
    except DashTradeError as error:
        log.error(str(error))
        return 1
    except ConnectorException:
        log.error("The database cannot be reached any more; the worker ends and is started again.")
        return 1
    log.info("Jobs worker ended")
    return 0


if __name__ == "__main__":
    sys.exit(main())
