"""One account's trader: decides alerts, sends orders, settles what is in doubt, keeps the books equal to the broker's.

Everything an order goes through is written down before the next step, so that a new agent can take over at any point.
``checkpoint`` is called at each such point; it does nothing, except in tests that end the process there.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import structlog
from sqlalchemy.exc import OperationalError

from dashtrade.bots.reconcile import position_drifts
from dashtrade.db.trading_repository import next_checks, open_intents
from dashtrade.db.unit_of_work import UnitOfWork
from dashtrade.domain.bots import IntentState, SessionRule
from dashtrade.domain.market import Quote
from dashtrade.domain.orders import AccountActivity, BrokerOrder, OrderType, OrderUpdate, Refusal, StreamGap
from dashtrade.domain.ports import Broker
from dashtrade.errors import (
    BrokerError,
    BrokerUnavailable,
    DashTradeError,
    DatabaseUnavailable,
    OrderRefused,
    OutcomeUnknown,
)
from dashtrade.services import (
    trading,
    trading_activities,
    trading_books,
    trading_drift,
    trading_fills,
    trading_guards,
    trading_orders,
    trading_outside,
    trading_protection,
    trading_risk,
    trading_unreachable,
)
from dashtrade.services.trading_guards import Guard
from dashtrade.services.trading_lease import Lease, LeaseLost, accounts_with_work, renew_lease

log = structlog.get_logger("trader")
RECONCILE_SECONDS = 30.0
DOUBT_SECONDS = 2.0
WATCH_SECONDS = 5.0
FILL_WATCH_SECONDS = 3.0  # a look takes three of the broker's 200 requests a minute, so not one for each fill
RENEW_SECONDS = 5.0
LEAVE_SECONDS = 60.0
IDLE_SECONDS = 2.0
SHORT_SECONDS = 0.02
POLLS = (0.15, 0.3, 0.6, 1.0, 2.0, 5.0, 10.0)
BLOCKED = frozenset({Refusal.HELD_FOR_ORDERS, Refusal.WASH_TRADE})
SETTLE = timedelta(minutes=2)
FAR = datetime.max.replace(tzinfo=UTC)
TRY_AGAIN = frozenset({"40001", "40P01"})


def nothing(name: str) -> None:
    """The checkpoint of a real trader."""


@dataclass(frozen=True, slots=True)
class Tools:
    """What an agent works with. ``quote`` may ask the network; ``session_open`` answers by exchange calendar, and
    ``next_edge`` says when the next session opens or closes."""

    uow: Callable[[], UnitOfWork]
    broker: Broker
    hint: Callable[[str, Decimal], None] | None = None
    quote: Callable[[str], Quote | None] = lambda symbol: None
    session_open: Callable[[str, SessionRule, datetime], bool] = lambda symbol, rule, now: True
    next_edge: Callable[[datetime], datetime] = lambda now: FAR
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    checkpoint: Callable[[str], None] = nothing


class AccountAgent:
    """``run(stop)`` until stopped or the lease is lost. ``wake()`` makes it look at once, from any thread."""

    def __init__(self, lease: Lease, tools: Tools) -> None:
        self.lease = lease
        self.tools = tools
        self._wake = threading.Event()
        self._alerts = threading.Event()
        self._due: datetime | None = None
        self._again_at = math.inf
        self._polls: dict[int, int] = {}
        self._stood_down: set[str] = set()
        self._reconcile_at = 0.0
        self._watch_at = 0.0
        self._watched_at = time.monotonic()
        self._renew_at = time.monotonic() + RENEW_SECONDS
        self._reconciled = False
        self._first = True
        self._began = self._compared = tools.now()
        self._complain_at = 0.0
        self._edge = tools.next_edge(self._began)
        self.stream_heard: datetime | None = None

    def wake(self) -> None:
        self._alerts.set()
        self._wake.set()

    def reconcile_soon(self) -> None:
        """Compare the books at the next step, from any thread."""
        self._reconcile_at = 0.0
        self._wake.set()

    # the broker's stream, on its own thread

    def on_update(self, update: OrderUpdate) -> None:
        self.tools.checkpoint("fill_received")
        now = self.tools.now()
        uow, execution = self.tools.uow, update.execution
        bot_id = trading_fills.record_update(uow(), self.lease.account_id, update, now, self.tools.checkpoint)
        if bot_id is None and execution is not None:  # somebody else's: it may have closed what a bot holds
            self.reconcile_soon()
        if update.replaces is not None:
            trading_outside.take_back(self.tools.uow(), self.lease.account_id, update.replaces, now, update.execution)
            self.reconcile_soon()
        self.stream_heard = now
        self.tools.checkpoint("fill_recorded")
        if execution is not None:
            lost = bot_id is not None and trading_books.reaches_limit(
                uow(), self.lease, bot_id, execution.symbol, execution.price, now
            )
            # a limit reached, or shares left without the stop that was cancelled for this exit
            at_once = lost or execution.symbol in self._stood_down
            soon = 0.0 if at_once else self._watched_at + FILL_WATCH_SECONDS
            self._watch_at = min(self._watch_at, soon)
        if execution is not None or update.order.status.ended:  # its symbol may be free for the next alert
            self.wake()

    def on_gap(self, gap: StreamGap) -> None:
        log.info("stream_gap", account=self.lease.account_id, gap=gap.value)
        self.reconcile_soon()

    # the loop

    def run(self, stop: threading.Event) -> None:
        """Ends when the account needs no trader any more. Raises LeaseLost when another one took over; every other
        failure is logged and tried again."""
        look_again = time.monotonic() + LEAVE_SECONDS
        while not stop.is_set():
            busy = True
            try:
                busy = self.step()
            except LeaseLost:
                raise
            except DashTradeError as error:
                log.warning("step_failed", account=self.lease.account_id, code=error.code, reason=str(error))
                if isinstance(error, BrokerError):
                    self._unanswered(error)
                stop.wait(0.5)
            except Exception:
                log.exception("step_failed", account=self.lease.account_id)
                stop.wait(1.0)
            if not busy and time.monotonic() >= look_again:
                look_again = time.monotonic() + LEAVE_SECONDS
                if not self._needed():
                    return
            self._wake.wait(self._pause())
            self._wake.clear()

    def _pause(self) -> float:
        """Seconds until something is due, if nobody wakes us before."""
        now = time.monotonic()
        pause = min(IDLE_SECONDS, self._renew_at - now, self._reconcile_at - now, self._again_at - now)
        if self._reconciled:
            pause = min(pause, self._watch_at - now)
        if self._due is not None:
            pause = min(pause, (self._due - self.tools.now()).total_seconds())
        return max(pause, SHORT_SECONDS)

    def _unanswered(self, error: BrokerError) -> None:
        """The broker does not answer, or refuses the keys: the user must not find out by missing orders."""
        if time.monotonic() < self._complain_at:
            return
        self._complain_at = time.monotonic() + WATCH_SECONDS
        uow, now = self.tools.uow, self.tools.now()
        try:
            if trading_unreachable.note_unreachable(uow(), self.lease, self._compared, now, str(error)):
                trading_risk.tell_user(uow(), self.lease.user_id, now)
        except LeaseLost:
            raise
        except DashTradeError as problem:
            log.warning("user_not_told", account=self.lease.account_id, reason=str(problem))

    def _needed(self) -> bool:
        try:
            return self.lease.account_id in accounts_with_work(self.tools.uow())
        except DatabaseUnavailable:
            return True

    def step(self) -> bool:
        """Everything that is due now. Returns whether orders are on their way."""
        if time.monotonic() >= self._renew_at:
            renew_lease(self.tools.uow(), self.lease)
            self._renew_at = time.monotonic() + RENEW_SECONDS
        self._drive()
        busy = False
        now = self.tools.now()
        if now >= self._edge or now < self._began:  # the session opens or closes, or a rehearsal went back in time
            self._edge, self._began, self._reconcile_at = self.tools.next_edge(now), now, 0.0
        if time.monotonic() >= self._reconcile_at:
            self.reconcile()
        if self._reconciled:
            busy = self._decide() or busy
            if time.monotonic() >= self._watch_at:
                self._watch()
        with self.tools.uow() as uow:
            checks = next_checks(uow.session, self.lease.account_id)
        self._due = min((at or self.tools.now() for at in checks), default=None)
        if not checks:
            self._polls.clear()
        return busy or bool(checks)

    def _let_alerts_pass(self) -> None:
        """Between two questions about the books: an alert that came meanwhile must not wait for all of them. With books
        too old to open a position on, such as after a pause, it waits: their comparison is what is going on."""
        fresh = self.tools.now() - self._compared <= trading.STALE_BOOKS
        if self._reconciled and fresh and self._alerts.is_set():
            self._decide(one=True)

    def _decide(self, *, one: bool = False) -> bool:
        """Alerts that wait, as long as nothing else is due; then exits that stand behind a resting entry."""
        self._alerts.clear()
        self._again_at = math.inf
        busy, retries = False, 0
        uow = self.tools.uow
        looked = False
        while (waiting := trading.peek(uow(), self.lease)) is not None:
            if looked and (one or self._else_due()):
                self._wake.set()  # to come back to the rest at once
                break
            looked = True
            quote = self._quote(waiting.symbol) if waiting.needs_quote else None
            try:
                held = self._broker_qty(waiting.symbol) if waiting.drifted else None
            except BrokerUnavailable as error:  # unknown is not flat; other symbols' alerts go on meanwhile
                trading.postpone(uow(), self.lease, waiting.alert_id, self.tools.now(), str(error))
                continue
            conditions = trading.Conditions(
                self.tools.now(),
                quote,
                held,
                lambda rule, now, symbol=waiting.symbol: self.tools.session_open(symbol, rule, now),  # type: ignore[misc]
            )
            try:
                planned = trading.plan(uow(), self.lease, waiting.alert_id, conditions, self.tools.checkpoint)
            except DashTradeError:
                raise
            except OperationalError as error:
                # A deadlock or a serialisation failure: nothing was written, so do it again.
                retries += 1
                if getattr(error.orig, "pgcode", None) not in TRY_AGAIN or retries > 10:
                    raise
                continue
            except Exception as error:  # one alert that cannot be processed must not stop the others
                log.exception("alert_failed", alert=waiting.alert_id)
                problem = type(error).__name__
                trading.postpone(uow(), self.lease, waiting.alert_id, self.tools.now(), problem)
                continue
            if planned is None:
                break
            if planned.later:  # the next comparison is due soon
                trading.put_off(uow(), self.lease, planned.alert_id, 0.3)
                self._again_at = time.monotonic() + 0.3
                busy = True
                continue
            if planned.guards:
                if not self._stand_down(planned.guards):
                    trading.put_off(uow(), self.lease, planned.alert_id, 1.0)
                    self._again_at = time.monotonic() + 1.0
                    busy = True
                continue
            log.info("decided", alert=planned.alert_id, state=planned.state.value, why=planned.explanation)
            if planned.intent_ids:
                self.tools.checkpoint("planned")
                self.submit(planned.intent_ids[0])
                busy = True
        for broker_order_id in trading_books.entries_in_the_way(uow(), self.lease, self.tools.now()):
            self._cancel(broker_order_id)
            busy = True
        return busy

    def _else_due(self) -> bool:
        """A long queue must not keep the lease from being renewed, the books from being compared, or losses unseen."""
        now = time.monotonic()
        return now >= min(self._renew_at, self._reconcile_at, self._watched_at + WATCH_SECONDS)

    def _broker_qty(self, symbol: str) -> Decimal:
        """What the broker holds. Raises BrokerUnavailable where it does not say: that is not the same as nothing."""
        return next((p.qty for p in self.tools.broker.positions() if p.symbol == symbol), Decimal(0))

    def _quote(self, symbol: str) -> Quote | None:
        try:
            return self.tools.quote(symbol)
        except DashTradeError as error:
            log.info("no_quote", symbol=symbol, reason=str(error))
            return None

    # one order

    def submit(self, intent_id: int) -> None:
        """T2, the request, T3."""
        uow, now = self.tools.uow, self.tools.now
        submission = trading_orders.begin_submit(uow(), self.lease, intent_id, now(), self.tools.broker.entry_turn)
        if submission is None:
            return
        point = "guard_" if submission.protects else ""
        self.tools.checkpoint(f"{point}submitting")
        if self.tools.hint is not None and submission.price_hint is not None:
            self.tools.hint(submission.request.symbol, submission.price_hint)
        if not trading_orders.still_allowed(uow(), self.lease, submission, now()):
            return
        try:
            order = self.tools.broker.submit(submission.request)
        except OrderRefused as refusal:
            self._refused(intent_id, submission, refusal)
            return
        except OutcomeUnknown as unknown:
            wait = unknown.retry_after or 0.3
            trading_orders.record_unknown(uow(), self.lease, intent_id, str(unknown), now(), wait)
            return
        self.tools.checkpoint(f"{point}sent")
        log.info("order_sent", intent=intent_id, order=order.broker_order_id, symbol=order.symbol)
        self._record(intent_id, order)
        self.tools.checkpoint(f"{point}recorded")

    def _refused(self, intent_id: int, submission: trading_orders.Submission, refusal: OrderRefused) -> None:
        uow, now = self.tools.uow, self.tools.now
        if refusal.kind == Refusal.DUPLICATE_CLIENT_ORDER_ID:
            text = "The broker has an order with this id already; it is taken over."
            trading_orders.record_unknown(uow(), self.lease, intent_id, text, now(), 0.0)
            self._resolve(intent_id, submission.request.client_order_id, resend=False)
            return
        retry = False
        if submission.request.is_exit and refusal.kind in BLOCKED and not submission.protects:
            self._clear_the_way(submission, refusal)
            retry = True
        reason = refusal.reason[:1].upper() + refusal.reason[1:]
        text = f"The broker refused the order: {reason}"
        again = trading_orders.record_refusal(
            uow(), self.lease, intent_id, text, refusal.kind.upper(), now(), retry=retry
        )
        if again is not None:
            self.submit(again)

    def _clear_the_way(self, submission: trading_orders.Submission, refusal: OrderRefused) -> None:
        """Cancel the symbol's open orders that hold the shares or would trade with this exit, and wait a moment.

        Bots' stop losses and take profits only where nothing else is in the way; they are placed again afterwards.
        """
        symbol, side = submission.request.symbol, submission.request.side
        same = refusal.kind == Refusal.HELD_FOR_ORDERS
        guards = {g.broker_order_id: g.intent_id for g in trading_guards.resting(self.tools.uow(), self.lease)}
        chosen: set[str] = set()
        for _ in range(10):
            try:
                orders = [order for order in self.tools.broker.open_orders() if order.symbol == symbol]
            except BrokerUnavailable:
                return
            if not chosen:
                blocking = {order.broker_order_id for order in orders if (order.side == side) is same}
                chosen = blocking - set(guards) or blocking
                trading_guards.stand_down(self.tools.uow(), self.lease, [guards[i] for i in chosen if i in guards])
            left = chosen & {order.broker_order_id for order in orders}
            if not left:
                return
            for broker_order_id in left:
                self._cancel(broker_order_id)
            time.sleep(0.1)

    def _stand_down(self, guards: Sequence[Guard]) -> bool:
        """Cancel stop losses and take profits, and wait until they have ended: filled or not, the books then know.

        False where that is not certain yet: nothing may be closed while they could still fill.
        """
        ids = [guard.intent_id for guard in guards]
        try:
            if self._adopt_legs() is not None:
                return False  # there are more than these
        except BrokerError as error:
            log.info("guards_not_known", account=self.lease.account_id, reason=str(error))
            return False
        trading_guards.stand_down(self.tools.uow(), self.lease, ids)
        self._stood_down |= {guard.symbol for guard in guards}
        self.tools.checkpoint("standing_down")
        for guard in guards:
            self._cancel(guard.broker_order_id)
        for wait in (0.0, 0.1, 0.1, 0.2, 0.3, 0.5):
            time.sleep(wait)
            try:
                for guard in guards:
                    self._settle_guard(guard)
            except BrokerError as error:
                log.info("guards_not_known", account=self.lease.account_id, reason=str(error))
                return False
            if not trading_guards.still_resting(self.tools.uow(), ids):
                return True
        return False

    def _settle_guard(self, guard: Guard) -> None:
        """Take over what the broker says of a closing order, with its fills."""
        order = self.tools.broker.order(guard.broker_order_id)
        if order is None:
            return
        uow, now = self.tools.uow, self.tools.now
        if trading_orders.record_order(uow(), self.lease, guard.intent_id, order, now()):
            self._fetch_fills(order.updated_at or now())
            trading_orders.record_order(uow(), self.lease, guard.intent_id, order, now())

    def _adopt_legs(self) -> datetime | None:
        """Find closing orders with ids of the broker's own; returns the time from which fills must be looked at again,
        None where none was new."""
        since: datetime | None = None
        for entry in trading_guards.entries_without_legs(self.tools.uow(), self.lease):
            broker_order_id = entry.broker_order_id
            if broker_order_id is None:
                order = self.tools.broker.order_by_client_id(entry.client_order_id)
                if order is None:
                    continue
                broker_order_id = order.broker_order_id
            legs = self.tools.broker.legs(broker_order_id)
            uow, now = self.tools.uow(), self.tools.now()
            if trading_guards.adopt_legs(uow, self.lease, entry.intent_id, legs, now):
                since = entry.submitted_at if since is None else min(since, entry.submitted_at)
        return since

    def _cancel(self, broker_order_id: str) -> None:
        try:
            self.tools.broker.cancel(broker_order_id)
        except (OrderRefused, OutcomeUnknown) as error:
            # It ended already, or may have: the next look at the order tells.
            log.info("cancel_not_done", order=broker_order_id, reason=str(error))

    def _record(self, intent_id: int, order: BrokerOrder) -> None:
        uow, now = self.tools.uow, self.tools.now
        if order.legs:
            trading_guards.adopt_legs(uow(), self.lease, intent_id, order.legs, now())
        if trading_orders.record_order(uow(), self.lease, intent_id, order, now()):
            self._polls.setdefault(intent_id, 0)
            trading_books.hurry(uow(), intent_id, now() + timedelta(seconds=POLLS[0]))

    def _resolve(self, intent_id: int, client_order_id: str, *, resend: bool = True) -> None:
        """Ask for an order that may or may not be at the broker."""
        uow, now = self.tools.uow, self.tools.now
        try:
            order = self.tools.broker.order_by_client_id(client_order_id)
        except BrokerUnavailable as error:
            wait = max(error.retry_after or 0.0, 1.0)
            trading_orders.record_unknown(uow(), self.lease, intent_id, str(error), now(), wait)
            return
        if order is not None:
            self._record(intent_id, order)
            if not order.legs:  # asked for by our id, the broker does not name them
                self._adopt_legs()
        elif resend and not self._reconciled:  # nothing is sent before the books were compared
            trading_books.hurry(uow(), intent_id, now() + timedelta(seconds=1))
        elif resend and trading_orders.record_absent(uow(), self.lease, intent_id, now()):
            self.submit(intent_id)
        elif not resend:
            text = "The broker knows this id but does not show the order yet."
            trading_orders.record_unknown(uow(), self.lease, intent_id, text, now(), 0.5)

    # orders on their way

    def _drive(self) -> None:
        """Take every order whose next look is due one step further, exits first."""
        with self.tools.uow() as uow:
            due = None if self._first else self.tools.now()
            intents = open_intents(uow.session, self.lease.account_id, due=due)
            states = [(i.id, IntentState(i.state), i.client_order_id, i.submitted_at) for i in intents]
        self._first = False
        for intent_id, state, client_order_id, submitted_at in states:
            if state is IntentState.PLANNED:
                if self._reconciled:
                    self.submit(intent_id)
            elif state in (IntentState.SUBMITTING, IntentState.UNKNOWN):
                self._resolve(intent_id, client_order_id)
            else:
                self._poll(intent_id, client_order_id, submitted_at)

    def _poll(self, intent_id: int, client_order_id: str, submitted_at: datetime | None) -> None:
        """The stream was silent: ask for the order, and for fills that the ledger lacks."""
        count = self._polls.get(intent_id, 0)
        self._polls[intent_id] = count + 1
        now = self.tools.now()
        trading_books.hurry(self.tools.uow(), intent_id, now + timedelta(seconds=POLLS[min(count, len(POLLS) - 1)]))
        order = self.tools.broker.order_by_client_id(client_order_id)
        if order is None:
            return
        if trading_orders.record_order(self.tools.uow(), self.lease, intent_id, order, now):
            self._fetch_fills(submitted_at or now)
            trading_orders.record_order(self.tools.uow(), self.lease, intent_id, order, self.tools.now())
        elif count > 3 and not order.status.ended and order.filled_qty == 0 and order.type is OrderType.MARKET:
            # A simulator that was killed has forgotten the alert's price, and may know no other for this symbol.
            price = trading_orders.price_hint(self.tools.uow(), intent_id)
            if self.tools.hint is not None and price is not None:
                self.tools.hint(order.symbol, price)

    def _fetch_fills(self, since: datetime) -> None:
        since = min(since, self._adopt_legs() or since)
        executions = self.tools.broker.executions(since - SETTLE)
        trading_fills.record_executions(self.tools.uow(), self.lease.account_id, executions, self.tools.now())

    # the books

    def reconcile(self) -> None:
        """Account, fills, open orders, positions. Raises BrokerError where one of them cannot be read: nothing is
        concluded then, and at the start nothing is traded."""
        tools, lease, uow = self.tools, self.lease, self.tools.uow
        self._reconcile_at = time.monotonic() + (RECONCILE_SECONDS if self._reconciled else 2.0)
        asked_at = tools.now()
        trading_books.note_account(tools.uow(), lease, tools.broker.account(), asked_at)
        self._let_alerts_pass()
        pending = self._note_activities()
        self._let_alerts_pass()
        cursor = trading_fills.cursor(tools.uow(), lease.account_id)
        cursor = min(cursor, self._adopt_legs() or cursor, tools.now())  # a rehearsal's clock can run behind
        executions = tools.broker.executions(cursor - SETTLE)
        trading_fills.record_executions(tools.uow(), lease.account_id, executions, tools.now())
        self._let_alerts_pass()
        open_orders = tools.broker.open_orders()
        for broker_order_id in trading_books.note_orders(tools.uow(), lease, open_orders):
            self._cancel(broker_order_id)
        there = {order.broker_order_id for order in open_orders}
        for guard in trading_guards.resting(tools.uow(), lease):
            if guard.broker_order_id not in there:
                self._settle_guard(guard)
        before, busy = trading_books.books(tools.uow(), lease)
        positions = tools.broker.positions()
        after, busy_after = trading_books.books(tools.uow(), lease)
        moving = busy | busy_after | {s for s in {*before, *after} if before.get(s) != after.get(s)}
        drifts = position_drifts(after, positions, moving)
        guarded = {guard.symbol for guard in trading_guards.resting(tools.uow(), lease)}
        if any(drift.symbol in guarded for drift in drifts):  # one of them may have filled between two questions
            self._fetch_fills(cursor)
            after = trading_books.books(tools.uow(), lease)[0]
            drifts = position_drifts(after, tools.broker.positions(), moving)
        adopted = drifts and pending and trading_activities.apply_to_lots(uow(), lease, drifts, pending, tools.now())
        if adopted or (drifts and trading_outside.adopt_closings(tools.uow(), lease, drifts)):
            drifts = position_drifts(trading_books.books(tools.uow(), lease)[0], positions, moving)
        compared = trading_drift.note_reconciled(tools.uow(), lease, drifts, moving, tools.now())
        for drift in compared.stopped:
            log.warning("drift", account=lease.account_id, symbol=drift.symbol, why=drift.message)
        if not self._reconciled:
            log.info("reconciled", account=lease.account_id, fills=len(executions), drifts=len(drifts))
            self._first = True  # what waited for it is due
        self._reconciled, self._compared = True, tools.now()
        self._reconcile_at = time.monotonic() + (DOUBT_SECONDS if compared.doubted else RECONCILE_SECONDS)

    def _note_activities(self) -> list[AccountActivity]:
        """Money in and out, fees; returns splits and renamings that are not in the lots yet."""
        tools, lease = self.tools, self.lease
        since = min(trading_activities.activities_since(tools.uow(), lease), tools.now())
        found = tools.broker.activities(since)
        return trading_activities.note_activities(tools.uow(), lease, found, tools.now())

    def _watch(self) -> None:
        """Loss limits against the broker's latest prices."""
        self._watched_at = time.monotonic()
        self._watch_at = self._watched_at + WATCH_SECONDS
        tools, lease = self.tools, self.lease
        held, moving = trading_books.books(tools.uow(), lease)
        self._stood_down &= moving
        prices: dict[str, Decimal] = {}
        at_broker: dict[str, Decimal] = {}
        if held:
            try:
                asked_at = tools.now()
                positions = tools.broker.positions()
                prices = {p.symbol: p.market_price for p in positions if p.market_price is not None}
                at_broker = {p.symbol: p.qty for p in positions}
                self._let_alerts_pass()
                trading_books.note_account(tools.uow(), lease, tools.broker.account(), asked_at)
                self._let_alerts_pass()
                self._note_activities()  # or a withdrawal would be taken for a loss
            except BrokerError as error:
                log.warning("not_watched", account=lease.account_id, reason=str(error))
                return
        flattening = trading_books.watch_losses(tools.uow(), lease, prices, at_broker, tools.now())
        guards = trading_guards.of_bots_to_flatten(tools.uow(), lease)
        if guards:
            self._stand_down(guards)
        for broker_order_id in trading_guards.past_their_day(tools.uow(), lease, tools.now()):
            self._cancel(broker_order_id)
        care = trading_protection.look_after(tools.uow(), lease, at_broker, prices, tools.now())
        flattening += care.intent_ids
        for broker_order_id in care.in_the_way:
            self._cancel(broker_order_id)
        flattening += trading_books.bots_to_flatten(tools.uow(), lease, at_broker, tools.now())
        if flattening:
            tools.checkpoint("closing")
        for intent_id in flattening:
            self.submit(intent_id)
        try:
            trading_risk.tell_user(tools.uow(), lease.user_id, tools.now())
        except DashTradeError as error:  # told with the next look; trading does not wait for it
            log.warning("user_not_told", account=lease.account_id, reason=str(error))
