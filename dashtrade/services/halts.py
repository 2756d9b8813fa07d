"""Kill switches of one user: they block entries and never exits."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import or_, select
from sqlalchemy.dialects.postgresql import insert

from dashtrade.db.tables.trading import HaltRow
from dashtrade.db.unit_of_work import UnitOfWork
from dashtrade.domain.bot_views import HaltView
from dashtrade.domain.bots import HaltCause, HaltScope
from dashtrade.errors import InvalidInput
from dashtrade.services import audit
from dashtrade.services.work import working

LONGEST_REASON = 500


def list_halts(uow: UnitOfWork, user_id: int) -> list[HaltView]:
    """Open kill switches that cover this user, system-wide ones too, the widest first."""
    width = [HaltScope.SYSTEM, HaltScope.USER, HaltScope.SYMBOL]
    mine = or_(HaltRow.user_id == user_id, HaltRow.user_id.is_(None))
    with working(uow) as work:
        rows = work.session.scalars(select(HaltRow).where(mine, HaltRow.cleared_at.is_(None)).order_by(HaltRow.id))
        views = [
            HaltView(row.id, row.scope, row.user_id, row.symbol, row.cause, row.reason, row.set_by, row.set_at)
            for row in rows
        ]
    return sorted(views, key=lambda view: width.index(HaltScope(view.scope)))


def halt_user(uow: UnitOfWork, user_id: int, reason: str, *, set_by: str) -> None:
    """Stops every entry of the user's bots. Doing it twice is the same as once."""
    text = " ".join(reason.split())
    if not 0 < len(text) <= LONGEST_REASON:
        raise InvalidInput("reason", f"must have 1 to {LONGEST_REASON} characters.")
    values = {"scope": HaltScope.USER.value, "user_id": user_id, "cause": HaltCause.MANUAL.value}
    with working(uow) as work:
        work.session.execute(
            insert(HaltRow).values(**values, reason=text, set_by=set_by[:100]).on_conflict_do_nothing()
        )
        audit.record(work, "trading.halted", actor_id=user_id, user_id=user_id, reason=text)
        work.commit()


def resume_user(uow: UnitOfWork, user_id: int, *, cleared_by: str) -> None:
    """Clears the user's own manual stop; stops set by risk, drift or an administrator stay."""
    open_ones = select(HaltRow).where(
        HaltRow.user_id == user_id,
        HaltRow.scope == HaltScope.USER.value,
        HaltRow.cause == HaltCause.MANUAL.value,
        HaltRow.cleared_at.is_(None),
    )
    with working(uow) as work:
        for row in work.session.scalars(open_ones.with_for_update()):
            row.cleared_at, row.cleared_by = datetime.now(UTC), cleared_by[:100]
        audit.record(work, "trading.resumed", actor_id=user_id, user_id=user_id)
        work.commit()
