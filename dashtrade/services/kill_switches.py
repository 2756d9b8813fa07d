"""Kill switches: for everybody, for one user, for one symbol. They block entries and never exits.

Also the confirmation without which nothing is traded with real money.
"""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import or_, select
from sqlalchemy.exc import IntegrityError

from dashtrade.auth.passwords import verify_password
from dashtrade.db.tables.accounts import UserRow
from dashtrade.db.tables.trading import BotRow, HaltRow
from dashtrade.db.unit_of_work import UnitOfWork
from dashtrade.domain.bot_views import HaltView
from dashtrade.domain.bots import AccountMode, HaltCause, HaltScope
from dashtrade.domain.market import parse_symbol
from dashtrade.errors import AuthFailed, InvalidInput, NotFound
from dashtrade.services import audit
from dashtrade.services.bots import ensure_account
from dashtrade.services.notifications import notify
from dashtrade.services.work import working

LIVE_SENTENCE = "TRADE WITH REAL MONEY"


def set_halt(
    uow: UnitOfWork, *, reason: str, set_by: str, user_id: int | None = None, symbol: str | None = None
) -> HaltView:
    """Stop entries. Without user and symbol: everybody's. Setting one that is on gives the one that is on.

    Whom it stops is told once, through their channels: the user, or else everybody with a bot that is on.
    The caller has checked that a user stops only their own entries.
    """
    if not reason.strip():
        raise InvalidInput("reason", "say why, in a few words: it is shown wherever an entry is refused.")
    symbol = None if symbol is None else parse_symbol(symbol)
    scope = HaltScope.SYMBOL if symbol else HaltScope.USER if user_id is not None else HaltScope.SYSTEM
    with working(uow) as work:
        row = HaltRow(
            scope=scope.value,
            user_id=user_id,
            symbol=symbol,
            cause=HaltCause.MANUAL.value,
            reason=reason.strip()[:500],
            set_by=set_by,
        )
        try:
            with work.session.begin_nested():
                work.session.add(row)
            work.session.refresh(row)
            audit.record(work, "entries_stopped", user_id=user_id, scope=row.scope, symbol=symbol, by=set_by)
            _tell(work, row)
        except IntegrityError:
            same_user = HaltRow.user_id.is_(None) if user_id is None else HaltRow.user_id == user_id
            same_symbol = HaltRow.symbol.is_(None) if symbol is None else HaltRow.symbol == symbol
            row = work.session.scalars(
                select(HaltRow).where(
                    HaltRow.scope == scope.value, same_user, same_symbol, HaltRow.account_id.is_(None),
                    HaltRow.cause == HaltCause.MANUAL.value, HaltRow.cleared_at.is_(None),
                )
            ).one()  # fmt: skip
        view = _view(row)
        work.commit()
        return view


def clear_halt(uow: UnitOfWork, halt_id: int, *, cleared_by: str, user_id: int | None = None) -> None:
    """Let entries go on. With ``user_id``, only a switch of that user can be cleared."""
    with working(uow) as work:
        query = select(HaltRow).where(HaltRow.id == halt_id, HaltRow.cleared_at.is_(None))
        if user_id is not None:
            query = query.where(HaltRow.user_id == user_id)
        row = work.session.scalar(query.with_for_update())
        if row is None:
            raise NotFound(f"There is no kill switch {halt_id} that is on.")
        row.cleared_at, row.cleared_by = datetime.now(UTC), cleared_by
        audit.record(work, "entries_resumed", user_id=row.user_id, scope=row.scope, symbol=row.symbol, by=cleared_by)
        work.commit()


def list_halts(uow: UnitOfWork, user_id: int | None = None) -> list[HaltView]:
    """Switches that are on; with ``user_id``, those that stop this user."""
    with working(uow) as work:
        query = select(HaltRow).where(HaltRow.cleared_at.is_(None)).order_by(HaltRow.id)
        if user_id is not None:
            query = query.where(or_(HaltRow.user_id.is_(None), HaltRow.user_id == user_id))
        return [_view(row) for row in work.session.scalars(query)]


def confirm_live(uow: UnitOfWork, user_id: int, password: str, typed: str) -> None:
    """Allow live trading for a user, after their password and the typed sentence. bcrypt takes about 0.3 s of CPU."""
    with working(uow) as work:
        user = work.session.get(UserRow, user_id)
        if user is None or not user.is_active or not verify_password(password, user.password_hash):
            raise AuthFailed("The password is not right.")
        if typed.strip().upper() != LIVE_SENTENCE:
            raise InvalidInput("confirmation", f"type {LIVE_SENTENCE} to allow trading with real money.")
        ensure_account(work.session, user_id, AccountMode.LIVE).live_confirmed_at = datetime.now(UTC)
        audit.record(work, "live_trading_confirmed", actor_id=user_id, user_id=user_id)
        work.commit()


def withdraw_live(uow: UnitOfWork, user_id: int) -> None:
    """Take the permission back; live bots then refuse to trade."""
    with working(uow) as work:
        ensure_account(work.session, user_id, AccountMode.LIVE).live_confirmed_at = None
        audit.record(work, "live_trading_withdrawn", actor_id=user_id, user_id=user_id)
        work.commit()


def _tell(work: UnitOfWork, row: HaltRow) -> None:
    import dashtrade.services.deliveries  # noqa: F401 - declares the job that carries messages to channels

    if row.user_id is not None:
        told = [row.user_id]
    else:
        query = select(BotRow.user_id).where(BotRow.is_active).distinct().order_by(BotRow.user_id)
        told = list(work.session.scalars(query if row.symbol is None else query.where(BotRow.symbol == row.symbol)))
    what = f"Entries in {row.symbol} are stopped" if row.symbol else "Trading is stopped"
    why = row.reason.rstrip(". ")
    body = f"{row.set_by} pulled the kill switch: {why}. No position is opened until it is cleared; exits run on."
    for user_id in told:
        notify(work, user_id, "system", what, body, link="bot")


def _view(row: HaltRow) -> HaltView:
    return HaltView(row.id, row.scope, row.user_id, row.symbol, row.cause, row.reason, row.set_by, row.set_at)
