"""Whether a bot of an account could trade now: what is set up, and what the broker answers.

A page cannot ask the broker, since only the trader opens API keys. So it leaves a question on the account, and the
trader writes down what the broker said.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import func, or_, select

from dashtrade.db.tables.trading import AccountRow, TraderHeartbeatRow
from dashtrade.db.unit_of_work import UnitOfWork
from dashtrade.domain.bots import AccountMode
from dashtrade.services.api_keys import list_api_keys
from dashtrade.services.bots import ensure_account
from dashtrade.services.trading_lease import Lease
from dashtrade.services.work import working

HEARTBEAT = timedelta(seconds=15)
"""A trader that was not seen for longer does not run; it beats every two seconds."""
RECENT = timedelta(minutes=2)
"""The trader compares an account's books twice a minute."""
UNANSWERED = timedelta(seconds=40)


@dataclass(frozen=True, slots=True)
class CheckStep:
    """One thing a bot needs. ``ok`` is None while it is not known; ``link`` leads to where it is put right."""

    name: str
    ok: bool | None
    text: str
    link: str | None = None


@dataclass(frozen=True, slots=True)
class Connection:
    """``asked_at`` is when the broker was last asked for; ``waiting`` until the trader has answered that."""

    mode: AccountMode
    steps: tuple[CheckStep, ...]
    asked_at: datetime | None = None
    waiting: bool = False

    @property
    def ready(self) -> bool:
        return all(step.ok for step in self.steps)


def ask_connection(uow: UnitOfWork, user_id: int, mode: str, *, now: datetime | None = None) -> None:
    """Ask the trader to ask the broker. A question that waits for its answer is not asked twice."""
    moment = now or datetime.now(UTC)
    with working(uow) as work:
        row = ensure_account(work.session, user_id, AccountMode(mode))
        asked, done = row.check_asked_at, row.check_done_at
        if asked is None or (done is not None and done >= asked) or moment - asked > UNANSWERED:
            row.check_asked_at = moment
        work.commit()


def connection(uow: UnitOfWork, user_id: int, mode: str, *, now: datetime | None = None) -> Connection:
    """What stands between a bot of this account and its first order, in the order in which it is mended."""
    moment, kind = now or datetime.now(UTC), AccountMode(mode)
    with working(uow) as work:
        beat = work.session.scalar(select(func.max(TraderHeartbeatRow.beat_at)))
        row = work.session.scalar(
            select(AccountRow).where(AccountRow.user_id == user_id, AccountRow.mode == kind.value)
        )
        steps = [] if kind is AccountMode.SIMULATED else [_keys(work, user_id, kind)]
        if kind is AccountMode.LIVE:
            steps.append(_live(row))
        steps.append(_trader(beat, moment))
        steps.append(_broker(row, moment))
        if row is not None and row.halted:
            steps.append(CheckStep("Entries", False, row.halt_reason or "Entries of this account are stopped."))
        asked = row.check_asked_at if row is not None else None
        return Connection(kind, tuple(steps), asked, row is not None and _waits(row, moment))


def open_questions(uow: UnitOfWork, now: datetime) -> list[Lease]:
    """Accounts whose broker shall be asked. The answer needs no lease, so these hold none: their epoch is zero."""
    with uow:
        query = select(AccountRow.id, AccountRow.user_id, AccountRow.mode).where(
            AccountRow.check_asked_at > now - UNANSWERED,
            or_(AccountRow.check_done_at.is_(None), AccountRow.check_done_at < AccountRow.check_asked_at),
        )
        return [
            Lease(account_id, user_id, AccountMode(mode), "", 0, "")
            for account_id, user_id, mode in uow.session.execute(query)
        ]


def answer_question(uow: UnitOfWork, account_id: int, ok: bool, text: str, now: datetime) -> None:
    """Write down what the broker said, in one sentence."""
    with uow:
        row = uow.session.get_one(AccountRow, account_id, with_for_update=True)
        row.check_ok, row.check_text, row.check_done_at = ok, text[:500], max(now, row.check_asked_at or now)
        uow.commit()


def _waits(row: AccountRow, now: datetime) -> bool:
    asked, done = row.check_asked_at, row.check_done_at
    return asked is not None and (done is None or done < asked) and now - asked <= UNANSWERED


def _keys(work: UnitOfWork, user_id: int, mode: AccountMode) -> CheckStep:
    found = next((k for k in list_api_keys(work, user_id) if k.mode == mode.value and k.is_active), None)
    if found is None:
        text = f"No {mode.value} keys of Alpaca are stored. They are entered on the account page, and encrypted there."
        return CheckStep("API keys", False, text, "account#keys-title")
    return CheckStep("API keys", True, f"The {mode.value} key ending in {found.hint or '????'} is stored, encrypted.")


def _live(row: AccountRow | None) -> CheckStep:
    if row is None or row.live_confirmed_at is None:
        text = (
            "Trading with real money is not allowed yet. That takes your password and a typed sentence, on the "
            "account page."
        )
        return CheckStep("Real money", False, text, "account#live-title")
    return CheckStep("Real money", True, f"Allowed since {row.live_confirmed_at:%Y-%m-%d}.")


def _trader(beat: datetime | None, now: datetime) -> CheckStep:
    if beat is not None and now - beat <= HEARTBEAT:
        return CheckStep("Trader", True, "The trader process runs.")
    return CheckStep("Trader", False, "No trader process runs, so alerts would wait. Start it with dashtrade up.")


def _broker(row: AccountRow | None, now: datetime) -> CheckStep:
    if row is not None and _waits(row, now):
        return CheckStep("Broker", None, "The broker is being asked…")
    compared = row.reconciled_at if row is not None else None
    if row is not None and row.check_done_at is not None and (compared is None or compared < row.check_done_at):
        return CheckStep("Broker", bool(row.check_ok), row.check_text or "The broker answered.")
    if compared is not None and now - compared <= RECENT:
        return CheckStep("Broker", True, "The broker answers, and our books agree with its own.")
    return CheckStep("Broker", None, "Not asked yet. Press Check the connection.")
