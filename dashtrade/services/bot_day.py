"""What each bot won or lost today, as its daily loss limit counts it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

from sqlalchemy import func, select

from dashtrade.bots.risk import trading_day
from dashtrade.db.tables.trading import LotClosingRow
from dashtrade.db.unit_of_work import UnitOfWork
from dashtrade.domain.bot_views import BotView, PositionView
from dashtrade.services.work import working

ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class BotResult:
    """Dollars. ``open`` is what the position would bring at the latest price; None where no price is known.

    ``day`` is realised today, on New York's calendar, and open; ``total`` realised since the bot was made, and open.
    """

    realized_today: Decimal
    realized: Decimal
    open: Decimal | None

    @property
    def day(self) -> Decimal:
        return self.realized_today + (self.open or ZERO)

    @property
    def total(self) -> Decimal:
        return self.realized + (self.open or ZERO)


def realized_today(uow: UnitOfWork, user_id: int, *, now: datetime | None = None) -> dict[int, Decimal]:
    """Dollars that each bot of the user realised on the present trading day; bots without a closing are left out."""
    today = trading_day(now or datetime.now(UTC)).date()
    with working(uow) as work:
        query = select(LotClosingRow.bot_id, func.sum(LotClosingRow.realized_pnl)).where(
            LotClosingRow.user_id == user_id, LotClosingRow.trade_date == today
        )
        return dict(work.session.execute(query.group_by(LotClosingRow.bot_id)).tuples().all())


def results(
    bots: Sequence[BotView],
    positions: Sequence[PositionView],
    today: Mapping[int, Decimal],
    prices: Mapping[str, Decimal],
) -> dict[int, BotResult]:
    """Every bot's result from what is known of it; ``prices`` are the latest by symbol."""
    found = {}
    for bot in bots:
        held = [position for position in positions if position.bot_id == bot.id]
        known = all(position.symbol in prices for position in held)
        open_ = sum((p.qty * prices[p.symbol] - p.cost for p in held), ZERO) if known else None
        found[bot.id] = BotResult(today.get(bot.id, ZERO), bot.total_pnl, open_)
    return found
