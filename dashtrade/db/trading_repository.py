"""Queries of the trader, each on one session. Whoever changes an account's intents or lots holds its row's lock."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    DateTime,
    Select,
    String,
    and_,
    bindparam,
    case,
    cast,
    exists,
    false,
    func,
    or_,
    select,
    true,
    tuple_,
)
from sqlalchemy.orm import Session, aliased

from dashtrade.db.tables.trading import (
    AccountRow,
    BotRow,
    CashLedgerRow,
    HaltRow,
    InboxRow,
    IntentRow,
    LotClosingRow,
    LotRow,
    OrderEventRow,
)
from dashtrade.domain.bots import AlertState, Direction, HaltCause, IntentState

ZERO = Decimal(0)
IN_FLIGHT = (IntentState.PLANNED, IntentState.SUBMITTING, IntentState.UNKNOWN, IntentState.LIVE)
NOT_ENDED = (IntentState.WAITING, *IN_FLIGHT)
# made once: an alias gathers its columns anew each time, which takes longer than the question it is for
_LEG, _OTHER = aliased(IntentRow), aliased(IntentRow)


def lock_account(session: Session, account_id: int) -> AccountRow:
    """The account's row, locked until the transaction ends, with its newest values."""
    query = select(AccountRow).where(AccountRow.id == account_id).with_for_update()
    return session.scalars(query.execution_options(populate_existing=True)).one()


def _undecided(*columns: Any) -> Select[Any]:
    """Alerts of an account that can be decided now: of each bot the oldest that was not put off, where its symbol has
    no order on its way. So a long queue of one bot costs no more than a short one."""
    account, user = bindparam("account", type_=BigInteger), bindparam("user", type_=BigInteger)
    mode = bindparam("mode", type_=String)
    busy = exists().where(
        IntentRow.account_id == account, IntentRow.symbol == BotRow.symbol, IntentRow.state.in_(NOT_ENDED)
    )
    oldest = aliased(InboxRow)
    first = (
        select(oldest.id.label("id"))
        .where(
            oldest.bot_id == BotRow.id,
            oldest.state == AlertState.RECEIVED,
            or_(oldest.not_before.is_(None), oldest.not_before <= func.now()),
        )
        .order_by(oldest.received_at, oldest.id)
        .limit(1)
        .lateral("first")
    )
    return (
        select(*columns)
        .select_from(BotRow)
        .join(first, true())
        .join(InboxRow, InboxRow.id == first.c.id)
        .where(BotRow.user_id == user, BotRow.account_mode == mode, ~_behind_one_put_off(), ~busy)
    )


def _behind_one_put_off() -> ColumnElement[bool]:
    """Whether an earlier alert of the same bot was put off: it would trade after this one. One that failed (it has
    attempts) holds nobody up."""
    before = aliased(InboxRow)
    return exists(
        select(before.id).where(
            before.state == AlertState.RECEIVED,
            before.bot_id == BotRow.id,
            before.not_before > func.now(),
            before.attempts == 0,
            tuple_(before.received_at, before.id) < tuple_(InboxRow.received_at, InboxRow.id),
        )
    )


def newer_waits(session: Session, alert: InboxRow) -> bool:
    """Whether a newer undecided alert of the same bot is there."""
    query = select(InboxRow.id).where(
        InboxRow.state == AlertState.RECEIVED,
        InboxRow.bot_id == alert.bot_id,
        tuple_(InboxRow.received_at, InboxRow.id) > tuple_(alert.received_at, alert.id),
    )
    return session.scalars(query.limit(1)).first() is not None


def _leaves() -> ColumnElement[bool]:
    """Whether an alert gives up what its bot holds, and is the first that waits for its symbol."""
    action, target = InboxRow.payload["action"].astext, InboxRow.payload["target"].astext
    wanted = func.coalesce(target, action)
    side = BotRow.current_position_side
    leaves = or_(
        and_(side == "LONG", wanted.in_(("SELL", "SHORT", "CLOSE", "flat", "short"))),
        and_(side == "SHORT", wanted.in_(("BUY", "LONG", "CLOSE", "flat", "long"))),
    )
    before, its_bot = aliased(InboxRow), aliased(BotRow)
    earlier = exists(
        select(before.id)
        .join(its_bot, its_bot.id == before.bot_id)
        .where(
            before.state == AlertState.RECEIVED,
            its_bot.user_id == BotRow.user_id,
            its_bot.symbol == BotRow.symbol,
            its_bot.account_mode == BotRow.account_mode,
            tuple_(before.received_at, before.id) < tuple_(InboxRow.received_at, InboxRow.id),
        )
    )
    return and_(func.coalesce(leaves, false()), ~earlier)


# The trader asks these at every step, and to put such a statement together takes longer than to answer it: so once.
_IN_TURN = (_leaves().desc(), InboxRow.received_at, InboxRow.id)
_NEXT_ALERT = _undecided(InboxRow).order_by(*_IN_TURN).limit(1)
_NEXT_UP = (
    _undecided(
        InboxRow.id,
        BotRow.symbol,
        InboxRow.payload.has_key("price"),
        or_(BotRow.allow_quantity, ~BotRow.fractional, BotRow.direction != Direction.LONG_ONLY),
        or_(
            exists().where(
                HaltRow.account_id == bindparam("account", type_=BigInteger),
                HaltRow.symbol == BotRow.symbol,
                HaltRow.cause == HaltCause.DRIFT,
                HaltRow.cleared_at.is_(None),
            ),
            exists().where(
                AccountRow.id == bindparam("account", type_=BigInteger),
                AccountRow.suspected_drifts.has_key(BotRow.symbol),
            ),
        ),
    )
    .order_by(*_IN_TURN)
    .limit(1)
)
_EXIT_WAITS = select(exists(_undecided(InboxRow.id).where(_leaves())))


class NextUp(NamedTuple):
    """The alert that is next: whether it names a price, its bot counts shares, its symbol's books are in doubt."""

    alert_id: int
    symbol: str
    names_price: bool
    by_shares: bool
    drifted: bool


def next_alert(session: Session, account: AccountRow) -> InboxRow | None:
    """The next undecided alert whose symbol has no order on its way in this account; not locked.

    The oldest, but one that gives up a position goes before other symbols' entries. Within a symbol the order stays.
    """
    return session.scalars(_NEXT_ALERT, _whose(account.id, account.user_id, account.mode)).first()


def next_up(session: Session, account_id: int, user_id: int, mode: str) -> NextUp | None:
    """What must be known of that alert before it is decided."""
    row = session.execute(_NEXT_UP, _whose(account_id, user_id, mode)).first()
    return None if row is None else NextUp(*row)


def exit_waits(session: Session, account: AccountRow) -> bool:
    """Whether an alert that gives up a position could be followed now."""
    return bool(session.scalar(_EXIT_WAITS, _whose(account.id, account.user_id, account.mode)))


def _whose(account_id: int, user_id: int, mode: str) -> dict[str, Any]:
    return {"account": account_id, "user": user_id, "mode": str(mode)}


def newest_followed(session: Session, alert: InboxRow, since: datetime) -> datetime | None:
    """When the latest-sent of the decided alerts of the alert's bot was sent, by its own clock; None: none said so.

    None was sent after it came: a clock that is ahead must not make everything after it count as old. So it is enough
    to look among what was received after ``since``, the time this one was sent, instead of at all before it.
    """
    sent = cast(InboxRow.payload["sent_at"].astext, DateTime(timezone=True))
    query = select(func.max(case((sent > InboxRow.received_at, InboxRow.received_at), else_=sent))).where(
        InboxRow.user_id == alert.user_id,
        InboxRow.received_at > since,
        InboxRow.bot_id == alert.bot_id,
        InboxRow.state.in_((AlertState.PLANNED, AlertState.DONE, AlertState.IGNORED)),
    )
    return session.scalar(query)


def claim_alert(session: Session, alert_id: int) -> InboxRow | None:
    """The alert, locked, if nobody else has it and it is still undecided."""
    query = select(InboxRow).where(InboxRow.id == alert_id, InboxRow.state == AlertState.RECEIVED)
    return session.scalars(
        query.with_for_update(skip_locked=True).execution_options(populate_existing=True)
    ).one_or_none()


def symbol_is_busy(session: Session, account_id: int, symbol: str) -> bool:
    states = IntentRow.state.in_(NOT_ENDED)
    query = select(exists().where(IntentRow.account_id == account_id, IntentRow.symbol == symbol, states))
    return bool(session.scalar(query))


def open_intents(
    session: Session, account_id: int, states: Sequence[IntentState] = IN_FLIGHT, *, due: datetime | None = None
) -> list[IntentRow]:
    """Intents in these states, exits first; with ``due``, those whose next check has come."""
    query = select(IntentRow).where(IntentRow.account_id == account_id, IntentRow.state.in_(states))
    if due is not None:
        query = query.where(or_(IntentRow.next_check_at.is_(None), IntentRow.next_check_at <= due))
    return list(session.scalars(query.order_by(IntentRow.purpose.desc(), IntentRow.id)))


def next_checks(session: Session, account_id: int) -> list[datetime | None]:
    """When each of the account's orders on their way must be looked at again; None means now."""
    query = select(IntentRow.next_check_at).where(IntentRow.account_id == account_id, IntentRow.state.in_(IN_FLIGHT))
    return list(session.scalars(query))


def intent_of(
    session: Session, account_id: int, client_order_id: str | None, broker_order_id: str | None
) -> IntentRow | None:
    """The intent behind a broker's order; the client order id is looked at first, since it is there from the start."""
    for column, value in (
        (IntentRow.client_order_id, client_order_id),
        (IntentRow.broker_order_id, broker_order_id),
    ):
        if value:
            row = session.scalar(select(IntentRow).where(IntentRow.account_id == account_id, column == value))
            if row is not None:
                return row
    return None


def asks_for_legs() -> ColumnElement[bool]:
    """An entry with closing orders at the broker."""
    return or_(IntentRow.stop_loss.is_not(None), IntentRow.take_profit.is_not(None))


def without_legs(account_id: int) -> ColumnElement[bool]:
    """Orders of which closing orders are, or may be, at the broker without being known here."""
    leg, other = _LEG, _OTHER
    lately = IntentRow.ended_at > func.now() - timedelta(days=1)
    entry = and_(
        IntentRow.purpose == "entry",
        asks_for_legs(),
        or_(
            IntentRow.state.in_((IntentState.SUBMITTING, IntentState.UNKNOWN, IntentState.LIVE)),
            and_(IntentRow.filled_qty > 0, lately),
        ),
        ~exists(select(leg.id).where(leg.parent_id == IntentRow.id)),
    )
    # a pair that was placed again: the take profit's id is ours, the stop loss's is the broker's
    pair = and_(
        IntentRow.parent_id.is_not(None),
        IntentRow.stop_loss.is_not(None),
        IntentRow.take_profit.is_not(None),
        or_(
            IntentRow.state.in_((IntentState.SUBMITTING, IntentState.UNKNOWN, IntentState.RESTING)),
            and_(IntentRow.broker_order_id.is_not(None), lately),
        ),
        ~exists(select(other.id).where(other.parent_id == IntentRow.parent_id, other.id > IntentRow.id)),
    )
    return and_(IntentRow.account_id == account_id, or_(entry, pair))


def legs_are_missing(session: Session, account_id: int, symbol: str) -> bool:
    """Whether an order that is not known here may be a closing order of one of our entries."""
    return bool(session.scalar(select(exists().where(without_legs(account_id), IntentRow.symbol == symbol))))


def resting_of(session: Session, bot_id: int) -> list[IntentRow]:
    """A bot's stop losses and take profits at the broker."""
    query = select(IntentRow).where(IntentRow.bot_id == bot_id, IntentRow.state == IntentState.RESTING)
    return list(session.scalars(query.order_by(IntentRow.id)))


def open_lots(session: Session, account_id: int, bot_id: int, symbol: str) -> list[LotRow]:
    """A bot's open lots, oldest first."""
    query = select(LotRow).where(
        LotRow.account_id == account_id, LotRow.bot_id == bot_id, LotRow.symbol == symbol, LotRow.open_qty != 0
    )
    return list(session.scalars(query.order_by(LotRow.opened_at, LotRow.id)))


def held_by_symbol(session: Session, account_id: int) -> dict[str, Decimal]:
    """Signed quantity of all bots' open lots for each symbol of the account."""
    query = select(LotRow.symbol, func.sum(LotRow.open_qty)).where(
        LotRow.account_id == account_id, LotRow.open_qty != 0
    )
    return dict(session.execute(query.group_by(LotRow.symbol)).tuples().all())


def reserved_by_bot(session: Session, bot_id: int) -> Decimal:
    query = select(func.coalesce(func.sum(IntentRow.reserved), 0)).where(
        IntentRow.bot_id == bot_id, IntentRow.state.in_(NOT_ENDED)
    )
    return Decimal(session.scalar(query) or 0)


def spent_since(session: Session, account: AccountRow) -> Decimal:
    """Dollars of entries filled since the broker's account figures were read, so not in its buying power yet."""
    if account.refreshed_at is None:
        return ZERO
    query = select(func.coalesce(func.sum(IntentRow.filled_qty * IntentRow.filled_avg_price), 0)).where(
        IntentRow.account_id == account.id,
        IntentRow.purpose == "entry",
        or_(IntentRow.ended_at.is_(None), IntentRow.ended_at > account.refreshed_at),
    )
    return Decimal(session.scalar(query) or 0)


def realized_on(session: Session, bot_id: int, day: date) -> Decimal:
    """Realised profit or loss of a bot on a New York day, fees included."""
    closed = select(func.coalesce(func.sum(LotClosingRow.realized_pnl), 0)).where(
        LotClosingRow.bot_id == bot_id, LotClosingRow.trade_date == day
    )
    fees = select(func.coalesce(func.sum(CashLedgerRow.amount), 0)).where(
        CashLedgerRow.bot_id == bot_id, CashLedgerRow.kind == "fee", CashLedgerRow.trade_date == day
    )
    return Decimal(session.scalar(closed) or 0) + Decimal(session.scalar(fees) or 0)


def cash_flows_on(session: Session, account_id: int, day: date) -> Decimal:
    """Deposits less withdrawals of a New York day, which are neither profit nor loss."""
    query = select(func.coalesce(func.sum(CashLedgerRow.amount), 0)).where(
        CashLedgerRow.account_id == account_id,
        CashLedgerRow.kind.in_(("deposit", "withdrawal")),
        CashLedgerRow.trade_date == day,
    )
    return Decimal(session.scalar(query) or 0)


def orders_since(session: Session, bot_id: int, moment: datetime) -> int:
    """Orders of a bot that were sent, or will be, since a moment."""
    query = select(func.count()).where(
        IntentRow.bot_id == bot_id, IntentRow.created_at >= moment, IntentRow.parent_id.is_(None)
    )
    return int(session.scalar(query) or 0)


def open_halt(session: Session, user_id: int, account_id: int, symbol: str) -> HaltRow | None:
    """A kill switch that covers an entry of this user, account and symbol, the widest first."""
    covers = or_(
        HaltRow.scope == "system",
        and_(HaltRow.scope == "user", HaltRow.user_id == user_id),
        and_(
            HaltRow.scope == "symbol",
            HaltRow.symbol == symbol,
            or_(HaltRow.user_id.is_(None), HaltRow.user_id == user_id),
            or_(HaltRow.account_id.is_(None), HaltRow.account_id == account_id),
        ),
    )
    order = func.array_position(["system", "user", "symbol"], HaltRow.scope)
    return session.scalars(select(HaltRow).where(HaltRow.cleared_at.is_(None), covers).order_by(order)).first()


def drift_of(session: Session, account_id: int, symbol: str) -> HaltRow | None:
    """The open stop of a symbol whose books differ from the broker's."""
    query = select(HaltRow).where(
        HaltRow.account_id == account_id,
        HaltRow.symbol == symbol,
        HaltRow.cause == HaltCause.DRIFT,
        HaltRow.cleared_at.is_(None),
    )
    return session.scalars(query).first()


def add_event(
    session: Session,
    account: AccountRow,
    kind: str,
    detail: str | None = None,
    *,
    intent: IntentRow | None = None,
    alert_id: int | None = None,
    symbol: str | None = None,
) -> None:
    session.add(
        OrderEventRow(
            user_id=account.user_id,
            account_id=account.id,
            intent_id=intent.id if intent else None,
            alert_id=alert_id if alert_id is not None else (intent.alert_id if intent else None),
            symbol=symbol or (intent.symbol if intent else None),
            kind=kind,
            detail=detail,
        )
    )
