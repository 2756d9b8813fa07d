"""Slows down the guessing of passwords without locking anybody out.

Wrong sign-ins are counted for the pair of account and address, for the address, and for the account. The last limit
does not hold for an address from which the account has signed in lately, so an attack from elsewhere cannot keep the
owner out. Unknown accounts are counted like known ones, and only a hash of what was typed is kept. An IPv6 network of
64 bits is one address.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address, ip_address, ip_network

from sqlalchemy import ColumnElement, delete, select

from dashtrade.db.tables.accounts import AuditLogRow, LoginFailureRow, UserRow
from dashtrade.db.unit_of_work import UnitOfWork
from dashtrade.errors import TooManyAttempts


@dataclass(frozen=True, slots=True)
class Limit:
    failures: int
    within: timedelta


PAIR = Limit(8, timedelta(minutes=5))
ADDRESS = Limit(40, timedelta(minutes=5))
ACCOUNT = Limit(60, timedelta(minutes=15))
#: Wrong codes of the second step. Who tries them has the password, so they are few: at most 480 a day, of a million.
SECOND_PAIR = Limit(5, timedelta(minutes=15))
SECOND_ACCOUNT = Limit(20, timedelta(hours=1))
KNOWN_FOR = timedelta(days=30)
KEEP = timedelta(days=1)
REGISTRATION = "open an account"  # no user name: it has blanks


def place(address: str | None) -> str | None:
    """What counts as one address: all of an IPv6 subscriber's network, who may use any of its 2**64 addresses."""
    try:
        found = ip_address(address or "")
    except ValueError:
        return address
    if isinstance(found, IPv4Address):
        return address
    return str(found.ipv4_mapped or ip_network((int(found) >> 64 << 64, 64)))


def account_digest(name: str) -> bytes:
    return hashlib.sha256(name.strip().lower().encode("utf-8", "surrogatepass")).digest()


def seconds_to_wait(uow: UnitOfWork, name: str, address: str | None, now: datetime) -> int:
    """Seconds until the next try is allowed; 0: now."""
    account = LoginFailureRow.account_sha256 == account_digest(name)
    here = LoginFailureRow.address == place(address)
    waits = [_wait(uow, [account, here], PAIR, now), _wait(uow, [here], ADDRESS, now)] if address else []
    over = _wait(uow, [account], ACCOUNT, now)
    if over and not _is_known(uow, name, address, now):
        waits.append(over)
    return max(waits, default=0)


def count_failure(uow: UnitOfWork, name: str, address: str | None, now: datetime) -> None:
    uow.session.add(LoginFailureRow(account_sha256=account_digest(name), address=place(address), failed_at=now))


def forget_failures(uow: UnitOfWork, name: str, address: str | None) -> None:
    """After a good sign-in: this account's failures from this address no longer count."""
    uow.session.execute(
        delete(LoginFailureRow).where(
            LoginFailureRow.account_sha256 == account_digest(name), LoginFailureRow.address == place(address)
        )
    )


def delete_old_failures(uow: UnitOfWork, now: datetime) -> int:
    result = uow.session.execute(delete(LoginFailureRow).where(LoginFailureRow.failed_at < now - KEEP))
    return int(result.rowcount)  # type: ignore[attr-defined]


def _wait(uow: UnitOfWork, conditions: list, limit: Limit, now: datetime) -> int:
    """The n-th newest failure decides: until it is older than the window, the door stays shut."""
    query = (
        select(LoginFailureRow.failed_at)
        .where(*conditions, LoginFailureRow.failed_at > now - limit.within)
        .order_by(LoginFailureRow.failed_at.desc())
        .offset(limit.failures - 1)
        .limit(1)
    )
    deciding = uow.session.scalar(query)
    return 0 if deciding is None else max(1, int((deciding + limit.within - now).total_seconds()))


def _is_known(uow: UnitOfWork, name: str, address: str | None, now: datetime) -> bool:
    typed = name.strip().lower()
    return _signed_in_from(uow, (UserRow.username == typed) | (UserRow.email == typed), address, now)


def _signed_in_from(uow: UnitOfWork, who: ColumnElement[bool], address: str | None, now: datetime) -> bool:
    if address is None:
        return False
    query = (
        select(AuditLogRow.address)
        .where(
            AuditLogRow.action == "login",
            AuditLogRow.at > now - KNOWN_FOR,
            AuditLogRow.user_id.in_(select(UserRow.id).where(who)),
        )
        .distinct()
    )
    here = place(address)  # the log has each whole address; a machine changes its own within its network
    return any(place(seen) == here for seen in uow.session.scalars(query))


def second_step_wait(uow: UnitOfWork, user_id: int, address: str | None, now: datetime) -> int:
    """Seconds until the next code is looked at; 0: now. An address the user has signed in from lately keeps its own
    limit, so that somebody elsewhere who knows the password cannot keep the owner out."""
    account = LoginFailureRow.account_sha256 == account_digest(_second_step(user_id))
    here = LoginFailureRow.address == place(address)
    wait = _wait(uow, [account, here], SECOND_PAIR, now) if address else 0
    over = _wait(uow, [account], SECOND_ACCOUNT, now)
    if over and not _signed_in_from(uow, UserRow.id == user_id, address, now):
        wait = max(wait, over)
    return wait


def count_second_step(uow: UnitOfWork, user_id: int, address: str | None, now: datetime) -> None:
    count_failure(uow, _second_step(user_id), address, now)


def forget_second_step(uow: UnitOfWork, user_id: int, address: str | None) -> None:
    forget_failures(uow, _second_step(user_id), address)


def _second_step(user_id: int) -> str:
    return f"second step of {user_id}"  # no user name: it has blanks


def count_try(uow: UnitOfWork, what: str, address: str, now: datetime | None = None) -> None:
    """One try of something that strangers may do; commits it. Raises TooManyAttempts like wrong sign-ins do."""
    now = now or datetime.now(UTC)
    tries = LoginFailureRow.account_sha256 == account_digest(what), LoginFailureRow.address == place(address)
    wait = _wait(uow, list(tries), PAIR, now)
    if wait:
        uow.rollback()
        raise TooManyAttempts(wait)
    count_failure(uow, what, address, now)
    uow.commit()


def count_registration(uow: UnitOfWork, address: str, now: datetime | None = None) -> None:
    """One try to open an account from this address."""
    count_try(uow, REGISTRATION, address, now)
