"""Whether anything of a user's bots is new: one question instead of reading everything again."""

from __future__ import annotations

from typing import Any

from sqlalchemy import func, or_, select

from dashtrade.db.tables.trading import (
    BotRow,
    ExecutionRow,
    HaltRow,
    InboxRow,
    OrderEventRow,
    RiskEventRow,
    WebhookTokenRow,
)
from dashtrade.db.unit_of_work import UnitOfWork
from dashtrade.domain.bots import AlertState

OPEN = (AlertState.RECEIVED, AlertState.PLANNED)


def latest_change(uow: UnitOfWork, user_id: int) -> tuple[Any, ...]:
    """A mark that differs when an alert, an order, a fill, a bot, a token, a kill switch or a limit reached is new.

    It may miss a change that was written down late under an earlier time, so everything is still to be read now and
    then.
    """
    halts = HaltRow.cleared_at.is_(None) & or_(HaltRow.user_id == user_id, HaltRow.user_id.is_(None))
    mine = BotRow.user_id == user_id
    tokens = (WebhookTokenRow.user_id == user_id) & WebhookTokenRow.is_active
    asked = (
        select(func.count()).where(mine, BotRow.deleted_at.is_(None)),
        select(func.max(BotRow.updated_at)).where(mine),
        select(func.count()).where(tokens),
        select(func.max(WebhookTokenRow.last_used_at)).where(tokens),
        select(func.count()).where(halts),
        select(func.max(HaltRow.id)).where(halts),
        select(func.max(InboxRow.received_at)).where(InboxRow.user_id == user_id),
        select(func.count()).where(InboxRow.user_id == user_id, InboxRow.state.in_(OPEN)),
        select(func.max(OrderEventRow.at)).where(OrderEventRow.user_id == user_id),
        select(func.max(ExecutionRow.executed_at)).where(ExecutionRow.user_id == user_id),
        select(func.max(RiskEventRow.created_at)).where(RiskEventRow.user_id == user_id),
    )
    with uow:
        return tuple(uow.session.execute(select(*(query.scalar_subquery() for query in asked))).one())
