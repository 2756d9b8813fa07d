"""A bot's stored alerts, evaluated again under proposed limits."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import func, select

from dashtrade.bots.replay import PastAlert, Replay, replay
from dashtrade.db.tables.trading import AccountRow, InboxRow, IntentRow
from dashtrade.db.unit_of_work import UnitOfWork
from dashtrade.domain.bots import RiskLimits
from dashtrade.errors import InvalidInput
from dashtrade.services.alert_codec import alert_from_json
from dashtrade.services.bot_fields import clean_fields
from dashtrade.services.bots import get_bot
from dashtrade.services.work import working

MOST_ALERTS = 5_000
_LIMITS = {field.name for field in dataclasses.fields(RiskLimits)}


def replay_alerts(
    uow: UnitOfWork,
    user_id: int,
    bot_id: int,
    proposed: Mapping[str, Any],
    *,
    since: datetime | None = None,
    equity: Decimal | None = None,
) -> Replay:
    """Walk the bot's newest 5,000 alerts, or those ``since``, under its limits with ``proposed`` in their place.

    ``equity`` is what the account held at the start; by default what it holds now. Writes nothing. Raises NotFound for
    a bot of somebody else, InvalidInput for a limit that is wrong and where the account's equity is not known.
    """
    unknown = set(proposed) - _LIMITS
    if unknown:
        raise InvalidInput(sorted(unknown)[0], "is not a limit.", allowed=sorted(_LIMITS))
    with working(uow) as work:
        bot = get_bot(work, user_id, bot_id).config
        limits = dataclasses.replace(bot.limits, **clean_fields(dict(proposed)))
        if equity is None:
            query = select(AccountRow.equity).where(
                AccountRow.user_id == user_id, AccountRow.mode == bot.account_mode.value
            )
            equity = work.session.scalar(query)
        if equity is None:
            raise InvalidInput("equity", "the account's equity is not known yet. Type what it held at the start.")
        return replay(bot, limits, _past(work, user_id, bot_id, since), equity)


def _past(work: UnitOfWork, user_id: int, bot_id: int, since: datetime | None) -> list[PastAlert]:
    filled = (
        select(IntentRow.alert_id, func.max(IntentRow.filled_avg_price).label("price"))
        .where(IntentRow.user_id == user_id, IntentRow.bot_id == bot_id, IntentRow.filled_qty > 0)
        .group_by(IntentRow.alert_id)
        .subquery()
    )
    query = (
        select(InboxRow.id, InboxRow.received_at, InboxRow.payload, InboxRow.state, InboxRow.reason, filled.c.price)
        .outerjoin(filled, filled.c.alert_id == InboxRow.id)
        .where(InboxRow.user_id == user_id, InboxRow.bot_id == bot_id)
        .order_by(InboxRow.received_at.desc(), InboxRow.id.desc())
        .limit(MOST_ALERTS)
    )
    if since is not None:
        query = query.where(InboxRow.received_at >= since)
    found = []
    for number, at, payload, state, reason, price in work.session.execute(query):
        alert = alert_from_json(payload)
        found.append(PastAlert(number, at, alert, price if price is not None else alert.price, state, reason or ""))
    return found
