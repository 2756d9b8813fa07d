"""Jobs that keep the database tidy."""

from __future__ import annotations

import structlog

from dashtrade.services import accounts
from dashtrade.services.jobs import JobContext, job

log = structlog.get_logger(__name__)


@job("delete_expired_sessions", cron="*/10 * * * *", alone=True)
def delete_expired_sessions(context: JobContext) -> int:
    """Sessions that are over go every ten minutes; returns how many."""
    with context.uow() as uow:
        ended = accounts.delete_expired_sessions(uow)
    if ended:
        log.info("Expired sessions deleted", count=ended)
    return ended
