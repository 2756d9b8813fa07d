"""What GET /health says: database, queue age, trader heartbeat, stream age."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import func, select

from dashtrade.db.tables.trading import TraderHeartbeatRow
from dashtrade.db.unit_of_work import UnitOfWork
from dashtrade.services.alerts_in import queue_age

TRADER_LATE_SECONDS = 15.0
QUEUE_LATE_SECONDS = 30.0


def health_report(uow: UnitOfWork, now: datetime) -> dict[str, Any]:
    """``status`` is ok, or degraded with the reasons in ``problems``; alerts are stored in both cases."""
    with uow:
        age = queue_age(uow.session, now)
        beat, stream = uow.session.execute(
            select(func.max(TraderHeartbeatRow.beat_at), func.max(TraderHeartbeatRow.stream_at))
        ).one()
    trader = None if beat is None else max((now - beat).total_seconds(), 0.0)
    problems = []
    if trader is None or trader > TRADER_LATE_SECONDS:
        problems.append("No trader is running: alerts are stored and wait.")
    if age > QUEUE_LATE_SECONDS:
        problems.append(f"The oldest alert has waited {age:.0f} s for a decision.")
    return {
        "status": "degraded" if problems else "ok",
        "database": "ok",
        "queue_age_seconds": round(age, 3),
        "trader_age_seconds": None if trader is None else round(trader, 3),
        "stream_age_seconds": None if stream is None else round(max((now - stream).total_seconds(), 0.0), 3),
        "problems": problems,
    }
