"""What a person's first page tells: how the system is, how each bot's day went, and which first steps are done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from sqlalchemy import exists, func, select

from dashtrade.db.tables.accounts import UserPreferenceRow
from dashtrade.db.tables.research import BacktestRun, SavedStrategy
from dashtrade.db.tables.trading import BotTradeRow, TraderHeartbeatRow
from dashtrade.db.unit_of_work import UnitOfWork
from dashtrade.services.work import working

SILENT = timedelta(seconds=60)
"""A trader that has not beaten for so long is taken as not running."""


@dataclass(frozen=True, slots=True)
class FirstSteps:
    """What a new person has done already: looked at a chart, run a backtest, saved a strategy, traded in play."""

    chart: bool = False
    backtest: bool = False
    strategy: bool = False
    trade: bool = False

    @property
    def done(self) -> int:
        return sum((self.chart, self.backtest, self.strategy, self.trade))


def first_steps(uow: UnitOfWork, user_id: int) -> FirstSteps:
    p, b, s, t = UserPreferenceRow, BacktestRun, SavedStrategy, BotTradeRow
    wanted = (
        exists().where(p.user_id == user_id, p.key == "page.analysis"),
        exists().where(b.user_id == user_id),
        exists().where(s.user_id == user_id),
        exists().where(t.user_id == user_id, t.filled_qty > 0),
    )
    with working(uow) as work:
        return FirstSteps(*work.session.execute(select(*wanted)).one())


def trader_seen(uow: UnitOfWork) -> datetime | None:
    """When a trader was last alive."""
    with working(uow) as work:
        return work.session.scalar(select(func.max(TraderHeartbeatRow.beat_at)))


def trader_runs(seen: datetime | None, now: datetime | None = None) -> bool:
    return seen is not None and (now or datetime.now(UTC)) - seen < SILENT


def realised_today(uow: UnitOfWork, user_id: int, now: datetime | None = None) -> Mapping[int, Decimal]:
    """What each bot's orders realised since midnight in New York, by the bot's id; bots without a fill are left out."""
    t = BotTradeRow
    local = (now or datetime.now(UTC)).astimezone(ZoneInfo("America/New_York"))
    midnight = local.replace(hour=0, minute=0, second=0, microsecond=0)
    query = (
        select(t.bot_config_id, func.sum(t.realized_pnl))
        .where(t.user_id == user_id, t.bot_config_id.is_not(None), t.filled_at >= midnight)
        .group_by(t.bot_config_id)
    )
    with working(uow) as work:
        return {bot_id: total for bot_id, total in work.session.execute(query) if bot_id is not None}
