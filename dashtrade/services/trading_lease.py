"""One trader for each account. The epoch grows with every change of hands, so that a late one is recognised."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from dashtrade.db.listen import is_alive
from dashtrade.db.tables.trading import AccountRow, BotRow, InboxRow, IntentRow, LotRow
from dashtrade.db.trading_repository import NOT_ENDED, lock_account
from dashtrade.db.unit_of_work import UnitOfWork
from dashtrade.domain.bots import AccountMode
from dashtrade.errors import DashTradeError

LEASE_SECONDS = 15.0


class LeaseLost(DashTradeError):
    """Another trader has the account: stop touching it."""

    code = "LEASE_LOST"


@dataclass(frozen=True, slots=True)
class Lease:
    account_id: int
    user_id: int
    mode: AccountMode
    owner: str
    epoch: int
    client_prefix: str


def acquire_lease(uow: UnitOfWork, account_id: int, owner: str, seconds: float = LEASE_SECONDS) -> Lease | None:
    """The lease, with a new epoch, or None while another owner's lease runs. The database's clock decides.

    An owner's name ends in its ``alive_key``; the lease of one that is gone is taken at once. Taking it from one that
    only lost its connection does no harm: its epoch is old from then on, and its order ids are the same as ours.
    """
    with uow:
        account = lock_account(uow.session, account_id)
        now = uow.session.scalar(select(func.clock_timestamp()))
        assert now is not None
        other = account.lease_owner if account.lease_owner != owner else None
        if other is not None and account.lease_until is not None and account.lease_until > now:
            key = other.rpartition(":")[2]
            if not key.isdigit() or is_alive(uow.session, int(key)):
                return None
        account.lease_owner = owner
        account.lease_until = now + timedelta(seconds=seconds)
        account.epoch += 1
        mode = AccountMode(account.mode)
        lease = Lease(account.id, account.user_id, mode, owner, account.epoch, account.client_prefix)
        uow.commit()
        return lease


def renew_lease(uow: UnitOfWork, lease: Lease, seconds: float = LEASE_SECONDS) -> None:
    """Raises LeaseLost where somebody else took over."""
    with uow:
        account = hold(uow.session, lease)
        now = uow.session.scalar(select(func.clock_timestamp()))
        assert now is not None
        account.lease_until = now + timedelta(seconds=seconds)
        uow.commit()


def release_lease(uow: UnitOfWork, lease: Lease) -> None:
    """Let the next trader begin at once."""
    with uow:
        account = lock_account(uow.session, lease.account_id)
        if account.epoch == lease.epoch:
            account.lease_owner, account.lease_until = None, None
        uow.commit()


def hold(session: Session, lease: Lease) -> AccountRow:
    """The account's row, locked, if the lease is still ours."""
    account = lock_account(session, lease.account_id)
    if account.epoch != lease.epoch:
        raise LeaseLost(f"Another trader took over account {lease.account_id}.")
    return account


def accounts_with_work(uow: UnitOfWork) -> list[int]:
    """Accounts that need a trader: with an active bot, an undecided alert, an open order, or something held."""
    with uow:
        active = (
            select(AccountRow.id)
            .join(BotRow, (BotRow.user_id == AccountRow.user_id) & (BotRow.account_mode == AccountRow.mode))
            .outerjoin(InboxRow, (InboxRow.bot_id == BotRow.id) & (InboxRow.state == "received"))
            .where(or_(BotRow.is_active, InboxRow.id.is_not(None)))
        )
        open_orders = select(IntentRow.account_id).where(IntentRow.state.in_(NOT_ENDED))
        holding = select(LotRow.account_id).where(LotRow.open_qty != 0).distinct()
        found = [set(uow.session.scalars(query)) for query in (active, open_orders, holding)]
        return sorted(set().union(*found))
