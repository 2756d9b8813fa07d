"""What the broker books beside trades: deposits, withdrawals, fees, dividends, splits and renamed symbols.

Each activity is entered once, by its id. Money goes to the cash ledger; a split or a new name changes the lots, where
the broker's position proves it, and otherwise leaves the symbol stopped until somebody says what happened.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, time, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from fractions import Fraction

from sqlalchemy import exists, select, update
from sqlalchemy.dialects.postgresql import insert as pg_insert
from sqlalchemy.orm import Session

from dashtrade.bots.reconcile import TOLERANCE, Drift
from dashtrade.bots.risk import NEW_YORK
from dashtrade.db.tables.trading import (
    AccountRow,
    BotRow,
    CashLedgerRow,
    ExecutionRow,
    LotRow,
    RiskEventRow,
)
from dashtrade.db.trading_repository import add_event, lock_account, symbol_is_busy
from dashtrade.db.unit_of_work import UnitOfWork
from dashtrade.domain.bots import AccountMode
from dashtrade.domain.market import parse_symbol
from dashtrade.domain.orders import AccountActivity
from dashtrade.errors import InvalidInput, NotFound
from dashtrade.services import audit
from dashtrade.services.trading_lease import Lease, hold
from dashtrade.services.work import working

ZERO = Decimal(0)
CENT = Decimal("0.0001")
SHARE = Decimal("0.000000001")
PRICE = Decimal("0.000001")
FLOWS = frozenset({"CSD", "CSW", "CSR", "TRANS", "JNLC", "ACATC"})
FEES = frozenset({"FEE", "CFEE", "PTC", "PTR"})
SPLITS = frozenset({"SPLIT", "SSP"})
NAMES = frozenset({"NC", "SC", "MA"})
LOOK_BACK = timedelta(days=4)  # an activity names a day only, and can be booked late
LARGEST_TERM = 50


def activities_since(uow: UnitOfWork, lease: Lease) -> datetime:
    """From when the broker is asked for activities; those known already are told apart by their ids."""
    with uow:
        account = uow.session.get_one(AccountRow, lease.account_id)
        return (account.activities_cursor or account.created_at) - LOOK_BACK


def note_activities(
    uow: UnitOfWork, lease: Lease, activities: Sequence[AccountActivity], now: datetime
) -> list[AccountActivity]:
    """Enter the money; returns splits and renamings that were not applied yet."""
    with uow:
        account = hold(uow.session, lease)
        pending = []
        for activity in activities:
            if activity.kind in SPLITS | NAMES:
                if not _known(uow.session, account, activity):
                    pending.append(activity)
            elif activity.amount and activity.day >= account.created_at.astimezone(NEW_YORK).date():
                _enter_money(uow.session, account, activity)
        account.activities_cursor = now
        uow.commit()
        return pending


def apply_to_lots(
    uow: UnitOfWork, lease: Lease, drifts: Sequence[Drift], pending: Sequence[AccountActivity], now: datetime
) -> bool:
    """Rescale or rename lots where a split or a renaming explains exactly how the books differ. Whether any did."""
    with uow:
        account = hold(uow.session, lease)
        by_symbol = {drift.symbol: drift for drift in drifts}
        done = False
        for symbol in sorted({a.symbol for a in pending if a.symbol}):
            mine = [a for a in pending if a.symbol == symbol]
            drift = by_symbol.get(symbol)
            if drift is None or symbol_is_busy(uow.session, account.id, symbol):
                continue
            splits = [a for a in mine if a.kind in SPLITS]
            old = _renamed_from(by_symbol, drift, pending)
            if splits and _explains(drift, splits):
                _rescale(uow.session, account, symbol, drift.broker / drift.ours, drift.broker, splits[-1].description)
            elif old is not None:
                if not _rename(uow.session, account, old, symbol):
                    continue
                mine += [a for a in pending if a.symbol == old and a.kind in NAMES]
            else:
                continue
            for activity in mine:
                _mark(uow.session, account, activity)
            done = True
        uow.commit()
        return done


def rescale(uow: UnitOfWork, user_id: int, symbol: str, ratio: Decimal, *, mode: str = "simulated", by: str) -> int:
    """Say that a symbol was split, ``ratio`` new shares for one, where the broker's word was not enough.

    Returns the number of lots changed. The next comparison with the broker lets the symbol go, or keeps it stopped.
    """
    symbol = parse_symbol(symbol)
    if not ratio.is_finite() or not Decimal("0.0001") <= ratio <= 10_000 or ratio == 1:
        raise InvalidInput("ratio", "use the new shares for one old, such as 4, or 0.1 for one for ten.")
    with working(uow) as work:
        query = select(AccountRow.id).where(AccountRow.user_id == user_id, AccountRow.mode == AccountMode(mode).value)
        account_id = work.session.scalar(query)
        if account_id is None:
            raise NotFound(f"There is no {mode} account.")
        account = lock_account(work.session, account_id)
        if symbol_is_busy(work.session, account.id, symbol):
            raise InvalidInput("symbol", f"an order of {symbol} is on its way; try again when it has ended.")
        changed = _rescale(work.session, account, symbol, ratio, None, f"said by {by}")
        if not changed:
            raise NotFound(f"No bot of the {mode} account holds {symbol}.")
        audit.record(work, "lots_rescaled", user_id=user_id, symbol=symbol, ratio=str(ratio), by=by)
        work.commit()
        return changed


def _enter_money(session: Session, account: AccountRow, activity: AccountActivity) -> None:
    bot_id = None
    if activity.kind in FLOWS:
        kind = "deposit" if activity.amount > 0 else "withdrawal"
    elif activity.kind in FEES:
        kind = "fee"
        bot_id = _bot_charged(session, account, activity)
    else:
        kind = "dividend" if activity.kind.startswith("DIV") else "adjustment"
    amount = activity.amount.quantize(CENT, ROUND_HALF_EVEN)
    if not _insert(session, account, activity, kind, amount, bot_id):
        return
    if kind == "fee" and bot_id is not None:
        bot = session.get_one(BotRow, bot_id)
        bot.total_pnl += amount
    add_event(session, account, kind, f"{activity.description or activity.kind}: {amount:f}", symbol=activity.symbol)


def _bot_charged(session: Session, account: AccountRow, activity: AccountActivity) -> int | None:
    """The one bot that traded this symbol, or anything, on the day; a fee shared by several is the account's."""
    query = select(ExecutionRow.bot_id).where(
        ExecutionRow.account_id == account.id,
        ExecutionRow.trade_date == activity.day,
        ExecutionRow.bot_id.is_not(None),
    )
    if activity.symbol:
        query = query.where(ExecutionRow.symbol == activity.symbol)
    found = session.scalars(query.distinct()).all()
    return found[0] if len(found) == 1 else None


def _insert(
    session: Session, account: AccountRow, activity: AccountActivity, kind: str, amount: Decimal, bot_id: int | None
) -> bool:
    midnight = datetime.combine(activity.day, time(), NEW_YORK).astimezone(UTC)
    statement = pg_insert(CashLedgerRow).values(
        account_id=account.id,
        user_id=account.user_id,
        bot_id=bot_id,
        external_id=activity.activity_id[:100],
        kind=kind,
        amount=amount,
        occurred_at=midnight,
        trade_date=activity.day,
    )
    new = statement.on_conflict_do_nothing(index_elements=["account_id", "external_id"]).returning(CashLedgerRow.id)
    return session.execute(new).scalar() is not None


def _known(session: Session, account: AccountRow, activity: AccountActivity) -> bool:
    query = exists().where(
        CashLedgerRow.account_id == account.id, CashLedgerRow.external_id == activity.activity_id[:100]
    )
    return bool(session.scalar(select(query)))


def _mark(session: Session, account: AccountRow, activity: AccountActivity) -> None:
    _insert(session, account, activity, "adjustment", activity.amount.quantize(CENT, ROUND_HALF_EVEN), None)


def _explains(drift: Drift, splits: Sequence[AccountActivity]) -> bool:
    """Whether splits turn what we hold into what the broker holds: by their shares, else by a plain ratio."""
    if drift.ours == 0 or drift.broker == 0 or (drift.ours > 0) != (drift.broker > 0):
        return False
    if all(split.qty for split in splits):
        return abs(drift.ours + sum((split.qty or ZERO for split in splits), ZERO) - drift.broker) <= TOLERANCE
    plain = Fraction(drift.broker / drift.ours).limit_denominator(LARGEST_TERM)
    exact = drift.ours * plain.numerator / plain.denominator
    return 0 < plain.numerator <= LARGEST_TERM and abs(exact - drift.broker) <= TOLERANCE


def _renamed_from(drifts: dict[str, Drift], new: Drift, activities: Sequence[AccountActivity]) -> str | None:
    """The old name of a position that now lies under a new one, with as many shares.

    Alpaca books a renaming as two entries, one that takes the shares from the old name and one that gives them to the
    new; an entry of the new name alone counts where its description names the old one.
    """
    renamings = [a for a in activities if a.kind in NAMES]
    mine = [a for a in renamings if a.symbol == new.symbol]
    names = {word.strip(".,:;()") for a in mine for word in a.description.split()}
    days = {a.day for a in mine if a.qty and a.qty * new.broker > 0}
    names |= {a.symbol for a in renamings if a.symbol and a.day in days and a.qty and a.qty * new.broker < 0}
    if new.ours != 0 or not names:
        return None
    for old, drift in drifts.items():
        if old in names and drift.broker == 0 and abs(drift.ours - new.broker) <= TOLERANCE:
            return old
    return None


def _rescale(
    session: Session, account: AccountRow, symbol: str, ratio: Decimal, total: Decimal | None, why: str
) -> int:
    """Quantities times ``ratio``, prices divided by it: what was paid stays. ``total`` is what they must add up to."""
    query = select(LotRow).where(LotRow.account_id == account.id, LotRow.symbol == symbol, LotRow.open_qty != 0)
    lots = session.scalars(query.order_by(LotRow.id)).all()
    if not lots:
        return 0
    before = {lot.id: lot.open_qty for lot in lots}
    for lot in lots:
        lot.open_qty = (lot.open_qty * ratio).quantize(SHARE, ROUND_HALF_EVEN)
        lot.opened_qty = (lot.opened_qty * ratio).quantize(SHARE, ROUND_HALF_EVEN)
        lot.price = (lot.price / ratio).quantize(PRICE, ROUND_HALF_EVEN)
    if total is not None:
        rest = total - sum((lot.open_qty for lot in lots), ZERO)
        largest = max(lots, key=lambda lot: abs(lot.open_qty))
        largest.open_qty += rest
        largest.opened_qty += rest
    for bot_id in sorted({lot.bot_id for lot in lots}):
        had = sum((before[lot.id] for lot in lots if lot.bot_id == bot_id), ZERO)
        has = sum((lot.open_qty for lot in lots if lot.bot_id == bot_id), ZERO)
        text = f"{symbol} was split ({why}): the bot's {had.normalize():f} shares are now {has.normalize():f}."
        _tell(session, account, session.get_one(BotRow, bot_id), "SPLIT", text, has)
    return len(lots)


def _rename(session: Session, account: AccountRow, old: str, new: str) -> bool:
    """Lots and bots take the new name; False where a bot has it already for the same timeframe."""
    bots = session.scalars(
        select(BotRow).where(
            BotRow.user_id == account.user_id, BotRow.symbol == old, BotRow.account_mode == account.mode,
            BotRow.deleted_at.is_(None),
        )
    ).all()  # fmt: skip
    taken = select(BotRow.timeframe).where(
        BotRow.user_id == account.user_id, BotRow.symbol == new, BotRow.deleted_at.is_(None)
    )
    if set(session.scalars(taken)) & {bot.timeframe for bot in bots} or symbol_is_busy(session, account.id, old):
        return False
    session.execute(
        update(LotRow).where(LotRow.account_id == account.id, LotRow.symbol == old, LotRow.open_qty != 0).values(
            symbol=new
        )
    )  # fmt: skip
    for bot in bots:
        bot.symbol = new
        text = f"{old} is now called {new}: the bot and what it holds have the new name. Change its alerts too."
        _tell(session, account, bot, "RENAMED", text, None)
    return True


def _tell(session: Session, account: AccountRow, bot: BotRow, kind: str, text: str, value: Decimal | None) -> None:
    session.add(
        RiskEventRow(
            user_id=bot.user_id,
            bot_config_id=bot.id,
            event_type=kind,
            symbol=bot.symbol,
            timeframe=bot.timeframe,
            current_value=None if value is None else value.quantize(CENT),
            action_taken="The bot's books were brought in line.",
            message=text,
        )
    )
    add_event(session, account, kind.lower(), text, symbol=bot.symbol)
