"""T1: from a stored alert to intents. Claimed, judged under the account's lock with all reservations, committed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from dashtrade.bots.decide import decide, freshness, is_exit
from dashtrade.bots.pnl import Lot, position, unrealized
from dashtrade.bots.risk import Breach, RiskPicture, check_entry, trading_day
from dashtrade.db.tables.trading import AccountRow, BotRow, ExecutionRow, InboxRow, IntentRow
from dashtrade.db.trading_repository import (
    add_event,
    cash_flows_on,
    claim_alert,
    newer_waits,
    newest_followed,
    next_alert,
    next_up,
    open_halt,
    open_lots,
    orders_since,
    realized_on,
    reserved_by_bot,
    spent_since,
    symbol_is_busy,
)
from dashtrade.db.unit_of_work import UnitOfWork
from dashtrade.domain.bots import (
    AccountMode,
    Alert,
    AlertState,
    BotConfig,
    Decision,
    IntentState,
    Leg,
    Purpose,
    SessionRule,
)
from dashtrade.domain.market import Quote
from dashtrade.domain.orders import Side
from dashtrade.services.alert_codec import alert_from_json
from dashtrade.services.bot_fields import to_config
from dashtrade.services.trading_drift import is_doubted
from dashtrade.services.trading_guards import Guard, guards_of_bot
from dashtrade.services.trading_lease import Lease, hold
from dashtrade.services.trading_orders import add_trade, client_order_id, tell_outcome
from dashtrade.services.trading_protection import unprotected_rest
from dashtrade.services.trading_risk import record_breach

ZERO = Decimal(0)
CENT = Decimal("0.0001")
MOST_ATTEMPTS = 5
FAR_PRICE = Decimal("0.2")
STALE_BOOKS = timedelta(minutes=5)
IN_DOUBT = "Our books and the broker's differed a moment ago and are compared once more, so no position is opened yet."


@dataclass(frozen=True, slots=True)
class Waiting:
    """An alert that is next. ``needs_quote``: it brings no price, or one that decides how many shares are bought.
    ``drifted``: the books of its symbol differ from the broker's, or did when last compared."""

    alert_id: int
    symbol: str
    needs_quote: bool
    drifted: bool


@dataclass(frozen=True, slots=True)
class Planned:
    """What T1 decided; ``intent_ids`` are ready to send, in order.

    Nothing is decided yet where there are ``guards``: an exit first cancels the bot's closing orders at the broker; nor
    with ``later``: the books are in doubt, and the next comparison tells more.
    """

    alert_id: int
    state: AlertState
    explanation: str
    intent_ids: tuple[int, ...] = ()
    guards: tuple[Guard, ...] = ()
    later: bool = False


@dataclass(frozen=True, slots=True)
class Conditions:
    """The outside world at the moment of T1, fetched before it."""

    now: datetime
    quote: Quote | None = None
    broker_qty: Decimal | None = None  # what the broker holds, signed; asked for only where the books differ
    session_open: Callable[[SessionRule, datetime], bool] = lambda rule, now: True


def peek(uow: UnitOfWork, lease: Lease) -> Waiting | None:
    """The alert that T1 would take next, so that its price can be fetched with no transaction open."""
    with uow:
        found = next_up(uow.session, lease.account_id, lease.user_id, lease.mode.value)
        if found is None:
            return None
        doubted = lease.mode is not AccountMode.SIMULATED and found.by_shares
        return Waiting(found.alert_id, found.symbol, doubted or not found.names_price, found.drifted)


def plan(
    uow: UnitOfWork, lease: Lease, alert_id: int, conditions: Conditions, checkpoint: Callable[[str], None]
) -> Planned | None:
    """T1. None where the alert is taken, decided, or its symbol busy by now."""
    with uow:
        account = hold(uow.session, lease)
        row = claim_alert(uow.session, alert_id)
        if row is None:
            return None
        bot = uow.session.get_one(BotRow, row.bot_id, populate_existing=True)
        if symbol_is_busy(uow.session, account.id, bot.symbol):
            return None
        checkpoint("claimed")
        planned = _Plan(uow.session, account, row, bot, conditions).run()
        if not planned.guards and not planned.later:
            uow.commit()
        return planned


def put_off(uow: UnitOfWork, lease: Lease, alert_id: int, seconds: float) -> None:
    """Look at an alert later, as often as it takes. Newer alerts of its bot wait behind it."""
    with uow:
        hold(uow.session, lease)
        row = claim_alert(uow.session, alert_id)
        if row is not None:
            row.not_before = _from_now(uow.session, seconds)
            uow.commit()


def postpone(uow: UnitOfWork, lease: Lease, alert_id: int, now: datetime, problem: str) -> None:
    """After an unexpected failure: try again later, at most a few times, so that one alert never blocks the rest."""
    with uow:
        hold(uow.session, lease)
        row = claim_alert(uow.session, alert_id)
        if row is None:
            return
        row.attempts += 1
        row.not_before = _from_now(uow.session, 2.0**row.attempts)
        if row.attempts >= MOST_ATTEMPTS:
            text = f"The alert could not be processed ({problem}); no order was sent."
            end_alert(uow.session, row, AlertState.REJECTED, text, "INTERNAL", now)
        uow.commit()


def _from_now(session: Session, seconds: float) -> datetime:
    """By the database's clock, which says when it is time: a rehearsal's clock may be years behind."""
    now = session.scalar(select(func.clock_timestamp()))
    assert now is not None
    return now + timedelta(seconds=seconds)


def refuse_alerts(uow: UnitOfWork, lease: Lease, now: datetime, code: str, reason: str) -> int:
    """End every undecided alert of an account that cannot trade, such as one without usable keys."""
    count = 0
    with uow:
        account = hold(uow.session, lease)
        while (row := next_alert(uow.session, account)) is not None:
            end_alert(uow.session, row, AlertState.REJECTED, reason, code, now)
            uow.session.flush()
            count += 1
        uow.commit()
    return count


def end_alert(session: Session, row: InboxRow, state: AlertState, reason: str, code: str | None, now: datetime) -> None:
    """Decide an alert without an order, and tell whoever waits for it."""
    row.state, row.reason, row.code = state.value, reason, code
    row.decided_at = row.ended_at = now
    tell_outcome(session, row)


def exits_of(decision: Decision) -> tuple[Leg, ...]:
    return tuple(leg for leg in decision.legs if leg.purpose is Purpose.EXIT)


class _Plan:
    """One alert's T1, with what it looks at."""

    def __init__(
        self, session: Session, account: AccountRow, row: InboxRow, bot: BotRow, conditions: Conditions
    ) -> None:
        self.session, self.account, self.row, self.bot = session, account, row, bot
        self.conditions, self.now = conditions, conditions.now
        self.config: BotConfig = to_config(bot)
        self.alert: Alert = alert_from_json(row.payload)
        lots = open_lots(session, account.id, bot.id, bot.symbol)
        self.lots = [Lot(lot.id, lot.open_qty, lot.price, lot.opened_at) for lot in lots]
        self.held = position(self.lots)
        self.price = self._price()
        self.doubted = is_doubted(account, bot.symbol)

    def run(self) -> Planned:
        decision = self._decide()
        if decision is None:
            return Planned(self.row.id, AlertState.RECEIVED, IN_DOUBT, later=True)
        if any(leg.purpose is Purpose.EXIT for leg in decision.legs):
            guards = guards_of_bot(self.session, self.bot.id)
            if guards:
                text = "The stop loss and take profit are cancelled first."
                return Planned(self.row.id, AlertState.RECEIVED, text, guards=guards)
        self.bot.last_signal, self.bot.last_signal_time = self.alert.action.value, self.row.received_at
        if not decision.legs:
            end_alert(self.session, self.row, decision.state, decision.explanation, decision.code, self.now)
            add_event(
                self.session, self.account, decision.state.value, decision.explanation,
                alert_id=self.row.id, symbol=self.bot.symbol,
            )  # fmt: skip
            return Planned(self.row.id, decision.state, decision.explanation)
        decision = self._naming_what_is_left(decision)
        intents = [self._intent(number, leg) for number, leg in enumerate(decision.legs, start=1)]
        self.session.add_all(intents)
        self.session.flush()
        for intent in intents:
            add_trade(self.session, intent, self.bot, decision.explanation)
            self.account.reserved_exposure += intent.reserved
        self.row.state, self.row.reason, self.row.decided_at = AlertState.PLANNED.value, decision.explanation, self.now
        self.bot.order_status = "PENDING"
        add_event(self.session, self.account, "planned", decision.explanation, intent=intents[0])
        return Planned(self.row.id, AlertState.PLANNED, decision.explanation, tuple(intent.id for intent in intents))

    def _decide(self) -> Decision | None:
        """None where the books are in doubt and it matters: to be decided after the next comparison."""
        leaving = is_exit(self.alert, self.config, self.held)
        limit = self.config.exit_freshness_seconds if leaving else self.config.freshness_seconds
        stale = freshness(self.alert, self.row.received_at, self.now, limit)
        if stale is not None:
            return Decision(AlertState.EXPIRED, stale, code="EXPIRED")
        sent_at = self.alert.sent_at
        came = self.row.received_at if sent_at is None else min(sent_at, self.row.received_at)
        newest = newest_followed(self.session, self.row, came) if sent_at is not None else None
        if newest is not None and came < newest:
            text = f"A newer alert of this bot, sent at {newest:%H:%M:%S} UTC, was followed already: nothing to do."
            return Decision(AlertState.IGNORED, text)
        if not self.conditions.session_open(self.config.session_rule, self.now):
            text = "The market is closed, and an order sent now would wait for the next session: no order was sent."
            return Decision(AlertState.EXPIRED, text, code="MARKET_CLOSED")
        asked = decide(self.alert, self.config, self.held, self.price)
        decision = self._within_what_is_held(asked)
        if decision is None:
            return None
        entry = next((leg for leg in decision.legs if leg.purpose is Purpose.ENTRY), None)
        if entry is None:
            return decision
        turns = bool(exits_of(decision))
        refusal = self._refuse_entry(entry, turns)
        if refusal is None and not self.doubted:
            return decision
        exits = exits_of(decision)
        if refusal is None and not exits:
            return self._overtaken() if newer_waits(self.session, self.row) else None
        refusal = refusal or self._halted(IN_DOUBT)
        if not exits:
            return refusal
        text = f"Closing {self.bot.symbol} without opening the other side: {refusal.explanation}"
        return Decision(AlertState.PLANNED, text, exits)

    def _refuse_entry(self, entry: Leg, turns: bool) -> Decision | None:
        """Everything that stands against an entry; exits are never asked. ``turns``: nothing is held any more when it
        is sent, since the other side is closed first."""
        if not self.bot.is_active:
            text = f"The bot for {self.bot.symbol} at {self.bot.timeframe} is switched off: it only closes positions."
            return Decision(AlertState.REJECTED, text, code="BOT_DISABLED")
        halt = open_halt(self.session, self.account.user_id, self.account.id, self.bot.symbol)
        if halt is not None:
            return self._halted(f"Entries are stopped for this {halt.scope}: {halt.reason}")
        if self.account.halted:
            return self._halted(f"Entries of this account are stopped: {self.account.halt_reason}")
        checked = self.account.reconciled_at
        if checked is None or self.now - checked > STALE_BOOKS:
            return self._halted("The books were not compared with the broker's lately, so no position is opened.")
        mistrust = self._doubt_price(entry)
        if mistrust is not None:
            return mistrust
        value = self._value(entry)
        if value is None:
            text = f'No price of {self.bot.symbol} is known, so the limits cannot be checked. Add "price" to the alert.'
            return Decision(AlertState.REJECTED, text, code="NO_PRICE")
        seen = self._picture()
        if seen is None:
            return self._halted("The account's figures are not known yet, so no position is opened.")
        breach = check_entry(self.config.limits, replace(seen, exposure=ZERO) if turns else seen, value)
        return None if breach is None else self._breached(breach)

    def _doubt_price(self, entry: Leg) -> Decision | None:
        """Shares times a price that only the alert knows is no limit: with real orders a second price must agree."""
        if self.account.mode == AccountMode.SIMULATED or entry.notional is not None:
            return None
        quote = self.conditions.quote
        if quote is None or quote.simulated:
            text = f"No market price of {self.bot.symbol} is known beside the alert's, so the limits cannot be checked."
            return Decision(AlertState.REJECTED, text, code="NO_PRICE")
        if self.alert.price is not None and abs(self.alert.price / quote.price - 1) > FAR_PRICE:
            text = (
                f"The alert says {self.alert.price.normalize():f} and the market {quote.price.normalize():f}: too far "
                f"apart to size an order of {self.bot.symbol}."
            )
            return Decision(AlertState.REJECTED, text, code="PRICE_MISMATCH")
        return None

    def _overtaken(self) -> Decision:
        """An entry that waits must not keep an exit behind it waiting too, nor trade after it."""
        text = f"{IN_DOUBT} Meanwhile a newer alert of this bot came, and only that one is followed."
        return Decision(AlertState.IGNORED, text)

    def _within_what_is_held(self, decision: Decision) -> Decision | None:
        """Where the books differ, an exit gives up no more than the broker holds: more would open the other side.

        None where that is less than asked for and the difference was seen only once: a broker that is late would make
        the exit too small.
        """
        if self.conditions.broker_qty is None or not exits_of(decision):
            return decision
        left = max(self.conditions.broker_qty if self.held > 0 else -self.conditions.broker_qty, ZERO)
        exits = tuple(replace(leg, qty=min(leg.qty or ZERO, left)) for leg in exits_of(decision))
        if self.doubted and left < sum((leg.qty or ZERO for leg in exits_of(decision)), ZERO):
            return None
        if left == 0:
            text = f"The broker holds nothing of the {abs(self.held).normalize():f} {self.bot.symbol} in our books."
            return Decision(AlertState.REJECTED, f"{text} An exit would open the other side.", code="NOTHING_HELD")
        if any(leg.qty < (now.qty or ZERO) for leg, now in zip(exits, decision.legs, strict=False) if leg.qty):
            text = f"{decision.explanation} The broker holds only {left.normalize():f}: no more is closed."
            return Decision(decision.state, text, exits)
        return decision

    def _naming_what_is_left(self, decision: Decision) -> Decision:
        """An exit of a part of a protected position says what becomes of the rest's stop loss and take profit."""
        given_up = sum((leg.qty or ZERO for leg in decision.legs if leg.purpose is Purpose.EXIT), ZERO)
        if not ZERO < given_up < abs(self.held) or not self.session.execute(unprotected_rest(self.bot.id)).first():
            return decision
        left = (abs(self.held) - given_up).normalize()
        text = (
            f"{decision.explanation} The stop loss and take profit were cancelled for it and are placed again for the "
            f"{left:f} left."
        )
        return replace(decision, explanation=text)

    def _halted(self, text: str) -> Decision:
        return Decision(AlertState.REJECTED, text, code="HALTED")

    def _breached(self, breach: Breach) -> Decision:
        record_breach(self.session, self.account, self.bot, breach, self.now)
        return Decision(AlertState.REJECTED, breach.message, code="RISK_LIMIT")

    def _picture(self) -> RiskPicture | None:
        account, bot = self.account, self.bot
        if account.equity is None or account.buying_power is None:
            return None
        midnight = trading_day(self.now)
        mark = self.price
        quote = self.conditions.quote
        picture = RiskPicture(
            now=self.now,
            equity=account.equity,
            last_equity=account.last_equity if account.last_equity is not None else account.equity,
            buying_power=account.buying_power,
            cash_flows_today=cash_flows_on(self.session, account.id, midnight.date()),
            reserved=reserved_by_bot(self.session, bot.id),
            account_reserved=account.reserved_exposure + spent_since(self.session, account),
            realized_today=realized_on(self.session, bot.id, midnight.date()),
            total_pnl=bot.total_pnl,
            peak_pnl=bot.peak_pnl,
            orders_today=orders_since(self.session, bot.id, midnight),
            loss_streak=bot.loss_streak,
            cooldown_until=bot.cooldown_until,
            price_time=quote.time if quote is not None and self.alert.price is None and not quote.simulated else None,
            delayed_data=self.alert.delayed_data,
        )
        if mark is None:
            cost = sum((abs(lot.qty) * lot.price for lot in self.lots), ZERO)
            return replace(picture, exposure=cost)
        return replace(picture, exposure=abs(self.held) * mark, unrealized=unrealized(self.lots, mark))

    def _price(self) -> Decimal | None:
        """The alert's price, else the quote's, else that of the last fill in this symbol."""
        if self.alert.price is not None:
            return self.alert.price
        if self.conditions.quote is not None:
            return self.conditions.quote.price
        query = select(ExecutionRow.price).where(
            ExecutionRow.account_id == self.account.id, ExecutionRow.symbol == self.bot.symbol
        )
        return self.session.scalar(query.order_by(ExecutionRow.executed_at.desc()).limit(1))

    def _quoted(self) -> Decimal | None:
        """The market's price, where it counts: simulated orders are filled at the alert's."""
        quote = self.conditions.quote
        real = self.account.mode != AccountMode.SIMULATED and quote is not None and not quote.simulated
        return quote.price if real and quote is not None else None

    def _value(self, leg: Leg) -> Decimal | None:
        """Dollars that a leg will move, at its limit or the price known."""
        if leg.notional is not None:
            return leg.notional
        known = [price for price in (leg.limit_price, self.price, self._quoted()) if price is not None]
        if leg.limit_price is not None and leg.side is Side.BUY:
            known = [leg.limit_price]  # it cannot cost more; a sale can bring more than its limit
        price = max(known, default=None)
        return None if price is None or leg.qty is None else (leg.qty * price).quantize(CENT)

    def _intent(self, number: int, leg: Leg) -> IntentRow:
        entry = leg.purpose is Purpose.ENTRY
        limit = self.config.freshness_seconds if entry else self.config.exit_freshness_seconds
        fired = self.row.received_at
        if self.alert.sent_at is not None:
            fired = min(fired, self.alert.sent_at)
        return IntentRow(
            alert_id=self.row.id,
            leg=number,
            user_id=self.row.user_id,
            bot_id=self.bot.id,
            account_id=self.account.id,
            symbol=self.bot.symbol,
            client_order_id=client_order_id(self.account, f"a{self.row.id}", number, 1),
            purpose=leg.purpose.value,
            side=leg.side.value,
            qty=leg.qty,
            notional=leg.notional,
            order_type=leg.order_type.value,
            limit_price=leg.limit_price,
            stop_loss=leg.stop_loss,
            take_profit=leg.take_profit,
            reference_price=self.price,
            reserved=(self._value(leg) or ZERO) if entry else ZERO,
            state=(IntentState.PLANNED if number == 1 else IntentState.WAITING).value,
            deadline=fired + timedelta(seconds=limit),
        )
