"""An intent's way at the broker: marked as sending (T2), its outcome recorded (T3), ended, its alert answered.

Every function holds the account's row for one short transaction; none of them talks to the broker.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from dashtrade.db.tables.trading import AccountRow, BotRow, BotTradeRow, InboxRow, IntentRow
from dashtrade.db.trading_repository import add_event, exit_waits, open_halt
from dashtrade.db.unit_of_work import UnitOfWork
from dashtrade.domain.bots import AlertState, IntentState, Purpose
from dashtrade.domain.orders import BrokerOrder, OrderRequest, OrderStatus, OrderType, Side, TimeInForce
from dashtrade.services.alerts_in import OUTCOMES_CHANNEL
from dashtrade.services.signals import outcome_body
from dashtrade.services.trading_lease import Lease, hold

ZERO = Decimal(0)
TRADE_STATUS = {
    IntentState.WAITING: "PENDING",
    IntentState.PLANNED: "PENDING",
    IntentState.SUBMITTING: "SUBMITTED",
    IntentState.UNKNOWN: "UNKNOWN",
    IntentState.LIVE: "SUBMITTED",
    IntentState.RESTING: "SUBMITTED",
    IntentState.FILLED: "FILLED",
    IntentState.CANCELED: "CANCELED",
    IntentState.EXPIRED: "EXPIRED",
    IntentState.REJECTED: "REJECTED",
    IntentState.NEVER_LANDED: "FAILED",
}
_ENDS = {
    OrderStatus.FILLED: IntentState.FILLED,
    OrderStatus.CANCELED: IntentState.CANCELED,
    OrderStatus.EXPIRED: IntentState.EXPIRED,
    OrderStatus.REJECTED: IntentState.REJECTED,
}


@dataclass(frozen=True, slots=True)
class Submission:
    """An intent that is ours to send now."""

    intent_id: int
    request: OrderRequest
    deadline: datetime
    price_hint: Decimal | None = None
    first: bool = True
    protects: bool = False  # a stop loss or take profit, which is to rest at the broker


def begin_submit(
    uow: UnitOfWork, lease: Lease, intent_id: int, now: datetime, entry_turn: Callable[[], float] = lambda: 0.0
) -> Submission | None:
    """T2: mark as sending. None where it must not be sent: too late, stopped meanwhile, no longer waiting, or later.

    An entry is sent later while an alert that gives up a position waits, and while ``entry_turn()`` says how many
    seconds the broker's budget has no room for it: whoever waited for that would let an exit wait behind.
    """
    with uow:
        account = hold(uow.session, lease)
        intent = uow.session.get(IntentRow, intent_id, populate_existing=True)
        sendable = (IntentState.PLANNED, IntentState.SUBMITTING, IntentState.UNKNOWN)
        if intent is None or intent.account_id != account.id or intent.state not in sendable:
            return None
        if intent.state == IntentState.PLANNED:
            stopped = _stopped(uow.session, account, intent, now)
            if stopped is not None:
                state, reason = stopped
                end_intent(uow.session, account, intent, state, now, reason)
                uow.commit()
                return None
        elif now > intent.deadline:
            return None
        first = intent.state == IntentState.PLANNED
        if intent.purpose == Purpose.ENTRY:
            wait = entry_turn()
            if wait > 0 or (first and exit_waits(uow.session, account)):
                intent.next_check_at = now + timedelta(seconds=min(wait, 1.0))
                uow.commit()
                return None
        set_state(uow.session, intent, IntentState.SUBMITTING)
        intent.epoch, intent.lease = lease.epoch, lease.owner
        intent.submitted_at = intent.submitted_at or now
        intent.next_check_at = now + timedelta(seconds=1)
        add_event(uow.session, account, "submitting", f"Sending with id {intent.client_order_id}.", intent=intent)
        uow.commit()
        protects = intent.parent_id is not None
        return Submission(intent.id, _request(intent), intent.deadline, intent.reference_price, first, protects)


def price_hint(uow: UnitOfWork, intent_id: int) -> Decimal | None:
    """The price that an order was sized by."""
    with uow:
        return uow.session.get_one(IntentRow, intent_id).reference_price


def still_allowed(uow: UnitOfWork, lease: Lease, submission: Submission, now: datetime) -> bool:
    """The last look before sending: the lease is ours, the deadline ahead, and no kill switch stops this entry.

    An entry that is stopped before its first send goes back to planned, from where the next T2 ends it with its reason;
    one that may have been sent before stays in doubt and is only asked for.
    """
    with uow:
        account = hold(uow.session, lease)
        intent = uow.session.get_one(IntentRow, submission.intent_id, populate_existing=True)
        if intent.state != IntentState.SUBMITTING:
            return False
        if _stopped(uow.session, account, intent, now) is None:
            return True
        if not submission.first:
            return False
        set_state(uow.session, intent, IntentState.PLANNED)
        intent.next_check_at = None
        uow.commit()
        return False


def record_order(uow: UnitOfWork, lease: Lease, intent_id: int, order: BrokerOrder, now: datetime) -> bool:
    """T3: what the broker says of an order. True while fills that it reports are missing from the ledger."""
    with uow:
        account = hold(uow.session, lease)
        intent = uow.session.get_one(IntentRow, intent_id, populate_existing=True)
        missing = apply_order(uow.session, account, intent, order, now)
        uow.commit()
        return missing


def record_refusal(
    uow: UnitOfWork, lease: Lease, intent_id: int, reason: str, code: str, now: datetime, *, retry: bool = False
) -> int | None:
    """T3: a definite no. With ``retry`` (exits only) a new attempt is planned, and its id returned."""
    with uow:
        account = hold(uow.session, lease)
        intent = uow.session.get_one(IntentRow, intent_id, populate_existing=True)
        if intent.state in (IntentState.SUBMITTING, IntentState.UNKNOWN):
            intent.error_code = code
            attempt = _next_attempt(uow.session, account, intent, reason, now) if retry else None
            if attempt is None:
                end_intent(uow.session, account, intent, IntentState.REJECTED, now, reason)
            uow.commit()
            return attempt.id if attempt is not None else None
        return None


def record_unknown(uow: UnitOfWork, lease: Lease, intent_id: int, reason: str, now: datetime, wait: float) -> None:
    """T3: no usable answer. The order may be at the broker: ask by client order id, from ``wait`` seconds on."""
    with uow:
        account = hold(uow.session, lease)
        intent = uow.session.get_one(IntentRow, intent_id, populate_existing=True)
        if intent.state in (IntentState.SUBMITTING, IntentState.UNKNOWN):
            if intent.state != IntentState.UNKNOWN:
                add_event(uow.session, account, "unknown", reason, intent=intent)
            set_state(uow.session, intent, IntentState.UNKNOWN)
            intent.error_message = reason
            intent.next_check_at = now + timedelta(seconds=wait)
        uow.commit()


def record_absent(uow: UnitOfWork, lease: Lease, intent_id: int, now: datetime, checks_needed: int = 3) -> bool:
    """The broker knows no such order. True: send again with the same id. Past the deadline, after spaced checks, it
    is taken as never landed."""
    with uow:
        account = hold(uow.session, lease)
        intent = uow.session.get_one(IntentRow, intent_id, populate_existing=True)
        if intent.state not in (IntentState.SUBMITTING, IntentState.UNKNOWN):
            return False
        intent.checked_at = now
        if now <= intent.deadline:
            uow.commit()
            return True
        intent.checks += 1
        intent.next_check_at = now + timedelta(seconds=min(2.0 * intent.checks, 10.0))
        if intent.checks >= checks_needed:
            reason = "The order never reached the broker, and by now it would be too old to send."
            end_intent(uow.session, account, intent, IntentState.NEVER_LANDED, now, reason)
        uow.commit()
        return False


def apply_order(session: Session, account: AccountRow, intent: IntentRow, order: BrokerOrder, now: datetime) -> bool:
    """Take over what the broker reports. An order ends here only when the ledger has all of its fills."""
    intent.broker_order_id = order.broker_order_id
    intent.acknowledged_at = intent.acknowledged_at or now
    intent.broker_filled_qty = max(intent.broker_filled_qty, order.filled_qty)
    intent.checked_at = now
    if IntentState(intent.state).ended:
        return intent.filled_qty < intent.broker_filled_qty
    if intent.state not in (IntentState.LIVE, IntentState.RESTING):
        set_state(session, intent, IntentState.LIVE if intent.parent_id is None else IntentState.RESTING)
        add_event(session, account, "live", f"The broker has the order ({order.raw_status}).", intent=intent)
    elif order.status is OrderStatus.UNKNOWN:
        add_event(session, account, "unknown_status", f"The broker says {order.raw_status!r}.", intent=intent)
    trade = trade_of(session, intent)
    trade.order_id = order.broker_order_id
    if intent.filled_qty < intent.broker_filled_qty:
        return True
    end = _ENDS.get(order.status)
    if end is not None:
        end_intent(session, account, intent, end, now, _ending(intent, end, order))
    return False


def end_intent(
    session: Session, account: AccountRow, intent: IntentRow, state: IntentState, now: datetime, reason: str
) -> None:
    """The one place where an intent ends: reservation given back, next leg released or dropped, alert answered."""
    set_state(session, intent, state)
    intent.ended_at = now
    release_reservation(account, intent)
    if state is not IntentState.FILLED:
        intent.error_message = reason
    trade = trade_of(session, intent)
    trade.error_message = None if state is IntentState.FILLED else reason
    add_event(session, account, state.value, reason, intent=intent)
    if intent.alert_id is not None:
        _release_next_leg(session, account, intent, state, now)
        finish_alert(session, intent.alert_id, now, reason)
    bot = session.get_one(BotRow, intent.bot_id)
    if bot.order_status in ("PENDING", "LIVE") and intent.parent_id is None:
        bot.order_status = "IDLE" if state in (IntentState.FILLED, IntentState.CANCELED) else "ERROR"


def release_reservation(account: AccountRow, intent: IntentRow) -> None:
    account.reserved_exposure = max(account.reserved_exposure - intent.reserved, ZERO)
    intent.reserved = ZERO


def set_state(session: Session, intent: IntentRow, state: IntentState) -> None:
    """Change the state, and with it what the user sees."""
    intent.state = state.value
    trade = trade_of(session, intent)
    partly = state in (IntentState.LIVE, IntentState.RESTING) and intent.filled_qty > 0
    trade.status = "PARTIAL" if partly else TRADE_STATUS[state]


def trade_of(session: Session, intent: IntentRow) -> BotTradeRow:
    """The order's row for users; it is asked for several times in a transaction, and read once."""
    for row in (*session.new, *session.identity_map.values()):
        if isinstance(row, BotTradeRow) and row.intent_id == intent.id:
            return row
    session.flush()
    return session.scalars(select(BotTradeRow).where(BotTradeRow.intent_id == intent.id)).one()


def add_trade(session: Session, intent: IntentRow, bot: BotRow, explanation: str) -> None:
    """The row users see, one for each order."""
    session.add(
        BotTradeRow(
            user_id=intent.user_id,
            bot_config_id=bot.id,
            symbol=intent.symbol,
            timeframe=bot.timeframe,
            action=intent.side.upper(),
            notional=intent.notional if intent.notional is not None else intent.reserved or None,
            status=TRADE_STATUS[IntentState(intent.state)],
            intent_id=intent.id,
            alert_id=intent.alert_id,
            client_order_id=intent.client_order_id,
            account_mode=bot.account_mode,
            purpose=intent.purpose,
            explanation=explanation,
        )
    )


def finish_alert(session: Session, alert_id: int, now: datetime, reason: str) -> None:
    """End the alert once all of its orders have, and tell the webhook."""
    session.flush()
    alert = session.get_one(InboxRow, alert_id)
    intents = list(session.scalars(select(IntentRow).where(IntentRow.alert_id == alert_id).order_by(IntentRow.id)))
    if AlertState(alert.state).ended or not intents or not all(IntentState(i.state).ended for i in intents):
        return
    filled = any(intent.filled_qty > 0 for intent in intents)
    states = {IntentState(intent.state) for intent in intents}
    if filled:
        failed = next((i for i in intents if i.state != IntentState.FILLED and i.error_message), None)
        tail = f" But the {failed.purpose} order ended as {failed.state}: {failed.error_message}" if failed else ""
        alert.state, alert.reason = AlertState.DONE.value, f"{alert.reason} Done.{tail}"
    elif states == {IntentState.EXPIRED}:
        alert.state, alert.reason, alert.code = AlertState.EXPIRED.value, reason, "EXPIRED"
    else:
        alert.state, alert.reason = AlertState.REJECTED.value, reason
        alert.code = next((i.error_code for i in intents if i.error_code), None) or "ORDER_REFUSED"
    alert.ended_at = now
    tell_outcome(session, alert)


def tell_outcome(session: Session, alert: InboxRow) -> None:
    """Wake the request that waits for this alert, when this transaction commits."""
    session.flush()
    body = outcome_body(session, alert)
    payload = json.dumps(body)
    if len(payload) > 7500:
        payload = json.dumps({**body, "message": str(body.get("message"))[:1000]})
    session.execute(text("SELECT pg_notify(:channel, :payload)"), {"channel": OUTCOMES_CHANNEL, "payload": payload})


def _stopped(session: Session, account: AccountRow, intent: IntentRow, now: datetime) -> tuple[IntentState, str] | None:
    if now > intent.deadline:
        return IntentState.EXPIRED, "The order was not sent in time and would be too old now."
    if intent.purpose == Purpose.EXIT:
        return None
    halt = open_halt(session, account.user_id, account.id, intent.symbol)
    if halt is not None:
        return IntentState.CANCELED, f"Entries are stopped ({halt.scope}): {halt.reason}"
    if account.halted:
        return IntentState.CANCELED, f"Entries of this account are stopped: {account.halt_reason}"
    return None


def _request(intent: IntentRow) -> OrderRequest:
    # The closing orders get the entry's life, and must protect the position past the end of the day.
    protected = intent.stop_loss is not None or intent.take_profit is not None
    protects = intent.parent_id is not None
    pair = protects and intent.stop_loss is not None and intent.take_profit is not None
    return OrderRequest(
        client_order_id=intent.client_order_id,
        symbol=intent.symbol,
        side=Side(intent.side),
        qty=intent.qty,
        notional=intent.notional,
        type=OrderType(intent.order_type),
        time_in_force=TimeInForce.GTC if protected or protects else TimeInForce.DAY,
        limit_price=None if pair else intent.limit_price,
        stop_price=intent.stop_price,
        oco=pair,
        stop_loss=intent.stop_loss,
        take_profit=intent.take_profit,
        is_exit=intent.purpose == Purpose.EXIT,
    )


def client_order_id(account: AccountRow, key: str, leg: int, attempt: int) -> str:
    """Always the same for the same leg and attempt, so that a repeated send is recognised by the broker."""
    return f"{account.client_prefix}-{key}-{leg}-{attempt}"


def closing_order(
    account: AccountRow, bot: BotRow, key: str, side: Side, qty: Decimal, deadline: datetime
) -> IntentRow:
    """An order without an alert that gives up ``qty`` shares of what a bot holds, not yet in the session."""
    return IntentRow(
        user_id=bot.user_id,
        bot_id=bot.id,
        account_id=account.id,
        symbol=bot.symbol,
        client_order_id=client_order_id(account, key, 1, 1),
        purpose=Purpose.EXIT.value,
        side=side.value,
        qty=qty,
        deadline=deadline,
    )


def _next_attempt(
    session: Session, account: AccountRow, intent: IntentRow, reason: str, now: datetime, most: int = 5
) -> IntentRow | None:
    """The same leg once more under a new id, after a definite no; the old one ends without ending its alert."""
    if intent.attempt >= most or now > intent.deadline:
        return None
    set_state(session, intent, IntentState.REJECTED)
    intent.ended_at, intent.error_message = now, reason
    trade = trade_of(session, intent)
    trade.error_message = reason
    add_event(session, account, "retry", reason, intent=intent)
    session.flush()
    again = IntentRow(
        alert_id=intent.alert_id,
        leg=intent.leg,
        attempt=intent.attempt + 1,
        user_id=intent.user_id,
        bot_id=intent.bot_id,
        account_id=intent.account_id,
        symbol=intent.symbol,
        client_order_id=intent.client_order_id.rpartition("-")[0] + f"-{intent.attempt + 1}",
        purpose=intent.purpose,
        side=intent.side,
        qty=intent.qty,
        notional=intent.notional,
        order_type=intent.order_type,
        limit_price=intent.limit_price,
        reference_price=intent.reference_price,
        reserved=intent.reserved,
        deadline=intent.deadline,
    )
    intent.reserved = ZERO
    session.add(again)
    session.flush()
    add_trade(session, again, session.get_one(BotRow, intent.bot_id), f"Trying again: {reason}")
    return again


def _release_next_leg(
    session: Session, account: AccountRow, intent: IntentRow, state: IntentState, now: datetime
) -> None:
    """A second leg waits for the first to fill in full; where it does not, nothing is opened."""
    session.flush()
    query = select(IntentRow).where(
        IntentRow.alert_id == intent.alert_id, IntentRow.leg > intent.leg, IntentRow.state == IntentState.WAITING
    )
    for waiting in session.scalars(query.order_by(IntentRow.leg)):
        if state is IntentState.FILLED:
            set_state(session, waiting, IntentState.PLANNED)
            return
        set_state(session, waiting, IntentState.CANCELED)
        waiting.ended_at = now
        waiting.error_message = "The closing order did not fill in full, so the other side was not opened."
        trade_of(session, waiting).error_message = waiting.error_message
        release_reservation(account, waiting)


def _ending(intent: IntentRow, state: IntentState, order: BrokerOrder) -> str:
    if state is IntentState.FILLED:
        return "Filled."
    part = f" after {intent.filled_qty.normalize():f} were filled" if intent.filled_qty else ""
    return f"The broker reports the order as {order.raw_status or order.status.value}{part}."
