"""How a bot did against its strategy's backtest over the same days: fills, slippage, missed signals."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from statistics import fmean, median
from typing import TYPE_CHECKING

from sqlalchemy import func, select

from dashtrade.bots.performance import Pair, PricedFill, match_fills
from dashtrade.db.tables.trading import ExecutionRow, IntentRow, LotClosingRow
from dashtrade.domain.bot_views import BotView
from dashtrade.domain.bots import BotTimeframe
from dashtrade.domain.strategy import Strategy
from dashtrade.errors import InvalidInput
from dashtrade.services.backtests import Market, RunRequest, build, fetch
from dashtrade.services.bots import get_bot
from dashtrade.services.strategies import load_strategy
from dashtrade.services.work import working

if TYPE_CHECKING:
    from dashtrade.db.unit_of_work import UnitOfWork

WARM_UP_BARS = 300
# bar lengths that price sources have, and how long each bar is
_BARS = {
    BotTimeframe.M1: ("1m", timedelta(minutes=1)),
    BotTimeframe.M2: ("2m", timedelta(minutes=2)),
    BotTimeframe.M5: ("5m", timedelta(minutes=5)),
    BotTimeframe.M15: ("15m", timedelta(minutes=15)),
    BotTimeframe.M30: ("30m", timedelta(minutes=30)),
    BotTimeframe.H1: ("1h", timedelta(hours=1)),
    BotTimeframe.H4: ("4h", timedelta(hours=4)),
    BotTimeframe.D1: ("1d", timedelta(days=1)),
    BotTimeframe.W1: ("1wk", timedelta(days=7)),
    BotTimeframe.MO1: ("1mo", timedelta(days=31)),
}


@dataclass(frozen=True, slots=True)
class BotPerformance:
    """``pairs`` are fills of both; ``missed`` the backtest's alone, ``extra`` the bot's alone.

    ``realized_pnl`` is the bot's in dollars. Slippage is in basis points against the backtest's fill without costs,
    above zero where the bot did worse; None without pairs.
    """

    bot_id: int
    symbol: str
    strategy: str
    start: datetime
    end: datetime
    pairs: tuple[Pair, ...]
    missed: tuple[PricedFill, ...]
    extra: tuple[PricedFill, ...]
    realized_pnl: float
    mean_slippage_bps: float | None
    median_slippage_bps: float | None

    @property
    def sentence(self) -> str:
        asked = len(self.pairs) + len(self.missed)
        text = f"Of {asked} fills of the backtest the bot had {len(self.pairs)} and missed {len(self.missed)}"
        text += f"; {len(self.extra)} of its own the backtest does not know."
        if self.mean_slippage_bps is not None:
            text += f" Slippage {self.mean_slippage_bps:+.1f} bps on average, {self.median_slippage_bps:+.1f} in the "
            text += "middle."
        return text


def bot_performance(
    uow: UnitOfWork,
    market: Market,
    user_id: int,
    bot_id: int,
    *,
    start: datetime | None = None,
    end: datetime | None = None,
    source: str | None = None,
) -> BotPerformance:
    """Compare over ``start`` … ``end`` (UTC), by default to now from the bot's creation, or from the day of its first
    fill where that was before: a rehearsal trades on bars of the past.

    Raises NotFound for a bot of somebody else, InvalidInput where the bot names no strategy or its bar length has no
    prices, SourceError where bars cannot be had.
    """
    from dashtrade.backtest.request import Cash, Costs
    from dashtrade.backtest.run import backtest
    from dashtrade.strategies import PRESETS

    bot = get_bot(uow, user_id, bot_id)
    name = bot.config.strategy_name
    if not name:
        raise InvalidInput("strategy_name", "the bot names no strategy. Name the one behind its alerts first.")
    if bot.config.timeframe not in _BARS:
        raise InvalidInput(
            "timeframe", f"there are no bars of {bot.config.timeframe.value}.", allowed=[t.value for t in _BARS]
        )
    interval, length = _BARS[bot.config.timeframe]
    start, end = start or _beginning(uow, user_id, bot), end or datetime.now(UTC)
    strategy: Strategy | str = name if name in PRESETS else load_strategy(uow, user_id, name)
    request = RunRequest(
        strategy=strategy,
        symbols=(bot.config.symbol,),
        period=None,
        interval=interval,
        # nights and weekends have no bars, so the warm-up needs several times its length
        start=start - length * WARM_UP_BARS * (5 if length < timedelta(days=1) else 1.5),
        end=end,
        source=source,
        cash=100 * float(bot.config.position_size),
        size=Cash(float(bot.config.position_size)),
        costs=Costs(slippage=0.0),
        direction=bot.config.direction.value,
    )
    orders = backtest(build(request, fetch(market, request))).orders
    columns = (orders[name] for name in ("time", "side", "price", "qty"))
    found = [
        PricedFill(
            opening(bot.config.symbol, time.to_pydatetime(), length), str(side).lower(), float(price), float(qty)
        )
        for time, side, price, qty in zip(*columns, strict=True)
    ]
    expected = [fill for fill in found if start <= fill.time <= end]
    actual, pnl = _of_bot(uow, user_id, bot_id, start, end)
    pairs, missed, extra = match_fills(expected, actual, within=length)
    slippage = [pair.slippage_bps for pair in pairs]
    return BotPerformance(
        bot_id, bot.config.symbol, name, start, end, tuple(pairs), tuple(missed), tuple(extra), pnl,
        fmean(slippage) if slippage else None, median(slippage) if slippage else None,
    )  # fmt: skip


def opening(symbol: str, start: datetime, length: timedelta) -> datetime:
    """When a bar's open is traded: a day's bar is named by its date and opens with the exchange."""
    if length < timedelta(days=1):
        return start.astimezone(UTC)
    from dashtrade.data.sessions import ExchangeHours

    hours = ExchangeHours()
    return start if hours.is_open(symbol, start) else hours.next_open(symbol, start)


def _beginning(uow: UnitOfWork, user_id: int, bot: BotView) -> datetime:
    query = select(func.min(ExecutionRow.executed_at))
    with working(uow) as work:
        first = work.session.scalar(query.where(ExecutionRow.user_id == user_id, ExecutionRow.bot_id == bot.id))
    if first is None or first > bot.created_at:
        return bot.created_at
    return first.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def _of_bot(
    uow: UnitOfWork, user_id: int, bot_id: int, start: datetime, end: datetime
) -> tuple[list[PricedFill], float]:
    with working(uow) as work:
        executed = select(func.min(ExecutionRow.executed_at)).where(ExecutionRow.intent_id == IntentRow.id)
        filled_at = func.coalesce(executed.scalar_subquery(), IntentRow.acknowledged_at, IntentRow.created_at)
        query = select(filled_at, IntentRow.side, IntentRow.filled_avg_price, IntentRow.filled_qty).where(
            IntentRow.user_id == user_id,
            IntentRow.bot_id == bot_id,
            IntentRow.filled_qty > 0,
            filled_at.between(start, end),
        )
        fills = [
            PricedFill(t, side, float(price or 0), float(qty)) for t, side, price, qty in work.session.execute(query)
        ]
        closed = select(func.coalesce(func.sum(LotClosingRow.realized_pnl), 0)).where(
            LotClosingRow.user_id == user_id,
            LotClosingRow.bot_id == bot_id,
            LotClosingRow.closed_at.between(start, end),
        )
        return fills, float(work.session.scalar(closed) or 0)
