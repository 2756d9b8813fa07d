"""Jobs that keep the database and the data folder tidy. ``RETENTION`` is the whole of what goes, and when.

What is in no line of it stays: orders, executions, lots, cash ledger, audit log, recorded backtests, strategies.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import structlog
from sqlalchemy import text

from dashtrade.db.unit_of_work import UnitOfWork
from dashtrade.services import accounts
from dashtrade.services.delivery_claims import delete_diaries
from dashtrade.services.jobs import JobContext, job
from dashtrade.services.system_settings import effective
from dashtrade.settings import Settings

log = structlog.get_logger(__name__)

AT_ONCE = 5_000  # rows deleted in one transaction, so that nobody waits long for a lock


@dataclass(frozen=True, slots=True)
class Kept:
    """``what`` goes after as many days as ``setting`` says; ``table`` and ``old`` are SQL, with ``:before``."""

    what: str
    setting: str
    table: str
    old: str
    also: str = ""


RETENTION = (
    Kept("messages in the program", "keep_message_days", "notifications", "created_at < :before", "with deliveries"),
    Kept("history of alerts", "keep_alert_days", "alert_events", "triggered_at < :before", "with their messages"),
    Kept("runs of reports", "keep_report_days", "report_runs", "created_at < :before AND status IN ('done', 'failed')",
         "with pages and notebooks"),
    Kept("requests to the webhook", "keep_signal_days", "webhook_requests",
         "received_at < :before"
         " AND NOT EXISTS (SELECT FROM order_intents i WHERE i.alert_id = webhook_requests.alert_id)",
         "unless an order came of it"),
    Kept("stored signals", "keep_signal_days", "alert_inbox",
         "received_at < :before AND state NOT IN ('received', 'planned')"
         " AND NOT EXISTS (SELECT FROM order_intents i WHERE i.alert_id = alert_inbox.id)"
         " AND NOT EXISTS (SELECT FROM bot_trades t WHERE t.alert_id = alert_inbox.id)", "unless an order came of it"),
    Kept("sessions", "", "user_sessions", "", "ten minutes after their end"),
    Kept("jobs that are done", "keep_job_days", "jobs.procrastinate_jobs", "", "those that succeeded after one day"),
)  # fmt: skip


def retention(settings: Settings) -> list[tuple[str, str, str]]:
    """What goes, after how long by these settings, and what is to be known of it: a table for people."""

    def after(kept: Kept) -> str:
        return f"{getattr(settings, kept.setting)} days" if kept.setting else "when they are over"

    return [(kept.what, after(kept), kept.also) for kept in RETENTION]


@job("delete_expired_sessions", cron="*/10 * * * *", alone=True)
def delete_expired_sessions(context: JobContext) -> int:
    """Sessions that are over go every ten minutes; returns how many."""
    with context.uow() as uow:
        ended = accounts.delete_expired_sessions(uow)
    if ended:
        log.info("Expired sessions deleted", count=ended)
    return ended


@job("delete_old_records", cron="23 3 * * *", alone=True, retries=2)
def delete_old_records(context: JobContext) -> int:
    """Every night: what the settings do not keep any longer; returns how many rows went.

    A page of a report goes before its row, so that a worker that dies in between leaves a row for the next night.
    """
    now, gone = datetime.now(UTC), 0
    with context.uow() as uow:
        settings = effective(uow, context.settings)
    delete_diaries(settings, now - timedelta(days=1))
    for kept in RETENTION:
        if not kept.old or not kept.setting:
            continue
        before = now - timedelta(days=getattr(settings, kept.setting))
        if kept.table == "report_runs":
            _delete_pages(context, before)
        count = _delete(context, kept, before)
        gone += count
        if count:
            log.info("Old records deleted", what=kept.what, count=count)
    return gone


def _delete(context: JobContext, kept: Kept, before: datetime) -> int:
    query = text(
        f"DELETE FROM {kept.table} WHERE id IN (SELECT id FROM {kept.table} WHERE {kept.old} LIMIT {AT_ONCE})"  # noqa: S608 - constants above
    )
    count = 0
    while True:
        with context.uow() as uow:
            some = len(uow.session.execute(text(query.text + " RETURNING id"), {"before": before}).all())
            uow.commit()
        count += some
        if some < AT_ONCE:
            return count


def _delete_pages(context: JobContext, before: datetime) -> None:
    """Pages and notebooks made before then, with a row or, as by hand without a user, without one."""
    folder = context.settings.data_dir / "reports"
    kept = _pages_kept(context.uow(), before)
    for path in folder.glob("*/*"):
        page = str(path.with_suffix(".html").relative_to(context.settings.data_dir))
        if path.suffix in (".html", ".ipynb") and page not in kept and _older(path, before):
            path.unlink(missing_ok=True)


def _pages_kept(uow: UnitOfWork, before: datetime) -> set[str]:
    with uow:
        query = text("SELECT output_path FROM report_runs WHERE created_at >= :before AND output_path IS NOT NULL")
        return set(uow.session.scalars(query, {"before": before}))


def _older(path: Path, before: datetime) -> bool:
    try:
        return path.stat().st_mtime < before.timestamp()
    except OSError:
        return False
