"""Our books beside the broker's: account figures, positions that drift, orders that are not ours, losses watched."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal

from sqlalchemy import BigInteger, DateTime, String, bindparam, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert as pg_insert
from sqlalchemy.orm import Session

from dashtrade.bots.decide import is_exit
from dashtrade.bots.pnl import Lot, position, unrealized
from dashtrade.bots.reconcile import external_orders
from dashtrade.bots.risk import RiskPicture, check_losses, trading_day
from dashtrade.db.tables.trading import (
    AccountRow,
    BotRow,
    ExternalOrderRow,
    InboxRow,
    IntentRow,
    LotRow,
    RiskEventRow,
)
from dashtrade.db.trading_repository import (
    NOT_ENDED,
    add_event,
    cash_flows_on,
    held_by_symbol,
    intent_of,
    open_lots,
    realized_on,
    resting_of,
)
from dashtrade.db.unit_of_work import UnitOfWork
from dashtrade.domain.bots import Action, AlertState, IntentState, Purpose, Target
from dashtrade.domain.orders import BrokerAccount, BrokerOrder, OrderType, Side
from dashtrade.services.alert_codec import alert_from_json
from dashtrade.services.bot_fields import to_config
from dashtrade.services.trading_guards import opened_by_a_leg
from dashtrade.services.trading_lease import Lease, hold
from dashtrade.services.trading_orders import add_trade, closing_order
from dashtrade.services.trading_risk import record_breach

ZERO = Decimal(0)
EXIT_TIME = timedelta(minutes=15)
MARKET_TIME = timedelta(seconds=2)
# asked at every step: made once, since that takes longer than to answer it
_ENTRIES_BESIDE_ALERTS = (
    select(InboxRow, BotRow, IntentRow)
    .join(BotRow, BotRow.id == InboxRow.bot_id)
    .join(
        IntentRow,
        (IntentRow.symbol == BotRow.symbol) & (IntentRow.account_id == bindparam("account", type_=BigInteger)),
    )
    .where(
        InboxRow.state == AlertState.RECEIVED,
        InboxRow.user_id == bindparam("user", type_=BigInteger),
        BotRow.account_mode == bindparam("mode", type_=String),
        IntentRow.state == IntentState.LIVE,
        IntentRow.purpose == Purpose.ENTRY,
        IntentRow.broker_order_id.is_not(None),
        or_(
            IntentRow.order_type != OrderType.MARKET,
            IntentRow.submitted_at <= bindparam("old", type_=DateTime(timezone=True)),
        ),
    )
    .order_by(InboxRow.received_at, InboxRow.id)
    .limit(500)  # what stands farther behind is not next anyway
)


def note_account(uow: UnitOfWork, lease: Lease, seen: BrokerAccount, asked_at: datetime) -> None:
    """Keep the broker's figures, as of when they were asked for."""
    with uow:
        account = hold(uow.session, lease)
        account.broker_account_id = seen.account_id
        account.equity, account.last_equity = seen.equity, seen.last_equity
        account.cash, account.buying_power = seen.cash, seen.buying_power
        account.refreshed_at = asked_at
        account.session_date = trading_day(asked_at).date()
        blocked = seen.status.upper() not in ("ACTIVE", "")
        if blocked and not account.halted:
            _tell_blocked(uow.session, account, seen)
        if blocked or account.halted:
            account.halted = blocked
            account.halt_reason = f"The broker says the account is {seen.status}." if blocked else None
        uow.commit()


def _tell_blocked(session: Session, account: AccountRow, seen: BrokerAccount) -> None:
    text = f"The broker says the {account.mode} account is {seen.status}: no position is opened until it is active."
    session.add(
        RiskEventRow(
            user_id=account.user_id, event_type="ACCOUNT_BLOCKED", action_taken="Entries are stopped.", message=text
        )
    )
    add_event(session, account, "account_blocked", text)


def books(uow: UnitOfWork, lease: Lease) -> tuple[dict[str, Decimal], set[str]]:
    """Signed holdings of our lots for each symbol, and the symbols with an order that has not ended."""
    with uow:
        query = select(IntentRow.symbol).where(IntentRow.account_id == lease.account_id, IntentRow.state.in_(NOT_ENDED))
        return held_by_symbol(uow.session, lease.account_id), set(uow.session.scalars(query))


def note_orders(uow: UnitOfWork, lease: Lease, orders: Sequence[BrokerOrder]) -> list[str]:
    """Write down orders nobody here made. Returns broker ids of our own orders that should not be open any more."""
    with uow:
        account = hold(uow.session, lease)
        foreign = [
            order
            for order in external_orders(orders, account.client_prefix)
            if intent_of(uow.session, account.id, order.client_order_id, order.broker_order_id) is None
        ]  # a bot's stop loss or take profit has an id of the broker's own
        for order in foreign:
            values = {
                "account_id": account.id,
                "user_id": account.user_id,
                "broker_order_id": order.broker_order_id,
                "client_order_id": order.client_order_id[:128],
                "symbol": order.symbol,
                "side": order.side.value,
                "qty": order.qty,
                "filled_qty": order.filled_qty,
                "filled_avg_price": order.filled_avg_price,
                "status": order.raw_status[:20] or order.status.value,
            }
            statement = (
                pg_insert(ExternalOrderRow)
                .values(**values)
                .on_conflict_do_update(
                    index_elements=["account_id", "broker_order_id"],
                    set_={name: values[name] for name in ("filled_qty", "filled_avg_price", "status")},
                )
            )
            uow.session.execute(statement)
        surfaced = []
        known = {order.broker_order_id for order in foreign}
        for order in orders:
            if order.broker_order_id in known or order.status.ended:
                continue
            intent = intent_of(uow.session, account.id, order.client_order_id, order.broker_order_id)
            if intent is None or IntentState(intent.state).ended:
                surfaced.append(order.broker_order_id)
                text = f"An order that had ended here is open at the broker ({order.client_order_id}); it is cancelled."
                add_event(uow.session, account, "surfaced", text, intent=intent, symbol=order.symbol)
        uow.commit()
        return surfaced


def entries_in_the_way(uow: UnitOfWork, lease: Lease, now: datetime) -> list[str]:
    """Broker ids of resting entries that an undecided exit waits for: an exit goes first.

    A market order is filled in a moment, and to cancel it meanwhile would leave less to close than the chart shows; so
    it is in the way only after ``MARKET_TIME``, such as while its symbol is halted.
    """
    with uow:
        whose = {"account": lease.account_id, "user": lease.user_id, "mode": lease.mode.value, "old": now - MARKET_TIME}
        rows = uow.session.execute(_ENTRIES_BESIDE_ALERTS, whose).tuples().all()
        found = set()
        for alert_row, bot, intent in rows:
            try:
                alert, config = alert_from_json(alert_row.payload), to_config(bot)
            except (ValueError, KeyError, TypeError, ArithmeticError):
                continue  # an alert that cannot be read is ended by T1, and must not stop the others here
            lots = open_lots(uow.session, lease.account_id, bot.id, bot.symbol)
            held = sum((lot.open_qty for lot in lots), ZERO)
            own = intent.bot_id == bot.id
            would_hold = held + (ZERO if not own else Decimal(1) if intent.side == Side.BUY else Decimal(-1))
            closes = alert.action is Action.CLOSE or alert.target is Target.FLAT
            if is_exit(alert, config, held) or (own and (closes or is_exit(alert, config, would_hold))):
                found.add(str(intent.broker_order_id))
        return sorted(found)


def watch_losses(
    uow: UnitOfWork, lease: Lease, prices: dict[str, Decimal], at_broker: dict[str, Decimal], now: datetime
) -> list[int]:
    """Check the limits on losses of every active bot. Returns ids of intents that flatten a bot, ready to send.

    ``at_broker``: signed holdings there, read now.
    """
    with uow:
        account = hold(uow.session, lease)
        bots = uow.session.scalars(
            select(BotRow).where(
                BotRow.user_id == account.user_id,
                BotRow.account_mode == account.mode,
                BotRow.is_active,
                or_(BotRow.daily_loss_limit.is_not(None), BotRow.max_drawdown.is_not(None)),
            )
        )
        flattening = []
        for bot in list(bots):
            breach = check_losses(to_config(bot).limits, _losses(uow.session, account, bot, prices, now))
            if breach is None:
                continue
            if record_breach(uow.session, account, bot, breach, now) and bot.flatten_on_breach:
                intent = flatten_bot(uow.session, account, bot, at_broker, now, breach.message)
                flattening += [] if intent is None else [intent.id]
        uow.commit()
        return flattening


def reaches_limit(uow: UnitOfWork, lease: Lease, bot_id: int, symbol: str, price: Decimal, now: datetime) -> bool:
    """Whether a bot reaches one of its limits on losses at the price of a fill, by what our own books know of it."""
    with uow:
        account = uow.session.get_one(AccountRow, lease.account_id)
        bot = uow.session.get_one(BotRow, bot_id)
        if not bot.is_active or (bot.daily_loss_limit is None and bot.max_drawdown is None):
            return False
        picture = _losses(uow.session, account, bot, {symbol: price}, now)
        return check_losses(to_config(bot).limits, picture) is not None


def _losses(
    session: Session, account: AccountRow, bot: BotRow, prices: dict[str, Decimal], now: datetime
) -> RiskPicture:
    rows = open_lots(session, account.id, bot.id, bot.symbol)
    lots = [Lot(row.id, row.open_qty, row.price, row.opened_at) for row in rows]
    mark = prices.get(bot.symbol)
    day = trading_day(now).date()
    equity = account.equity or ZERO
    return RiskPicture(
        now=now,
        equity=equity,
        last_equity=account.last_equity if account.last_equity is not None else equity,
        buying_power=account.buying_power or ZERO,
        cash_flows_today=cash_flows_on(session, account.id, day),
        realized_today=realized_on(session, bot.id, day),
        unrealized=unrealized(lots, mark) if mark is not None else ZERO,
        total_pnl=bot.total_pnl,
        peak_pnl=bot.peak_pnl,
    )


def flatten_bot(
    session: Session, account: AccountRow, bot: BotRow, at_broker: dict[str, Decimal], now: datetime, reason: str
) -> IntentRow | None:
    """Plan the closing of what a bot holds, without an alert. None where it holds nothing or is closing already, and
    while its stop loss or take profit rests at the broker, which must be cancelled first.

    No more is closed than the broker holds, since the rest would open the other side.
    """
    lots = open_lots(session, account.id, bot.id, bot.symbol)
    held = position([Lot(lot.id, lot.open_qty, lot.price, lot.opened_at) for lot in lots])
    busy = session.scalar(
        select(func.count()).where(
            IntentRow.account_id == account.id, IntentRow.symbol == bot.symbol, IntentRow.state.in_(NOT_ENDED)
        )
    )
    there = at_broker.get(bot.symbol, ZERO)
    held = max(min(held, there), ZERO) if held > 0 else min(max(held, there), ZERO)
    if held == 0 or busy or resting_of(session, bot.id):
        return None
    key = f"f{bot.id}x{int(now.timestamp() * 1000)}"
    side = Side.SELL if held > 0 else Side.BUY
    intent = closing_order(account, bot, key, side, abs(held), now + EXIT_TIME)
    session.add(intent)
    session.flush()
    add_trade(session, intent, bot, f"Closing the position: {reason}")
    add_event(session, account, "flatten", reason, intent=intent)
    return intent


def bots_to_flatten(uow: UnitOfWork, lease: Lease, at_broker: dict[str, Decimal], now: datetime) -> list[int]:
    """Bots switched off by a loss limit that still hold shares, and bots whose stop loss and take profit were both
    filled: plan their closing, again if it failed."""
    with uow:
        account = hold(uow.session, lease)
        query = (
            select(BotRow)
            .join(LotRow, LotRow.bot_id == BotRow.id)
            .where(
                BotRow.user_id == account.user_id,
                BotRow.account_mode == account.mode,
                or_(BotRow.flatten_on_breach & (BotRow.order_status == "HALTED"), opened_by_a_leg(account.id)),
                LotRow.open_qty != 0,
            )
            .distinct()
        )
        found = []
        for bot in list(uow.session.scalars(query)):
            halted = bot.flatten_on_breach and bot.order_status == "HALTED"
            why = "a loss limit was reached." if halted else "stop loss and take profit were both filled."
            intent = flatten_bot(uow.session, account, bot, at_broker, now, why)
            found += [] if intent is None else [intent.id]
        uow.commit()
        return found


def hurry(uow: UnitOfWork, intent_id: int, at: datetime) -> None:
    """Look at an order again at this time."""
    with uow:
        uow.session.execute(update(IntentRow).where(IntentRow.id == intent_id).values(next_check_at=at))
        uow.commit()
