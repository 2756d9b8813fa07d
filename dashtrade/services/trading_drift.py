"""Positions that differ from the broker's: doubted at first sight, stopped when the next comparison says the same.

One look can be wrong: the broker's list of positions may lag behind a fill. The doubt is kept with the account, so that
a trader that takes over goes on with it. While it lasts, entries of the symbol wait, and exits ask the broker first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from dashtrade.bots.reconcile import Drift
from dashtrade.db.tables.trading import AccountRow, HaltRow, IntentRow, RiskEventRow
from dashtrade.db.trading_repository import add_event
from dashtrade.db.unit_of_work import UnitOfWork
from dashtrade.domain.bots import HaltCause, HaltScope
from dashtrade.services.trading_lease import Lease, hold

BETWEEN = timedelta(seconds=1)  # two looks within less can both see the same lag


@dataclass(frozen=True, slots=True)
class Compared:
    """``stopped``: drifts that stop their symbols from now on. ``doubted``: symbols to compare again soon."""

    stopped: tuple[Drift, ...]
    doubted: frozenset[str]


def note_reconciled(uow: UnitOfWork, lease: Lease, drifts: Sequence[Drift], busy: set[str], now: datetime) -> Compared:
    """Stop symbols that drift for the second time in a row, let go those that agree again.

    ``busy`` symbols have an order on its way and were not compared, which begins the count anew; so does an order that
    came and ended between two comparisons.
    """
    with uow:
        account = hold(uow.session, lease)
        account.reconciled_at = now
        found = {drift.symbol: drift for drift in drifts}
        stopped = _stopped(uow.session, account)
        for symbol, row in stopped.items():
            if symbol not in found and symbol not in busy:
                row.cleared_at, row.cleared_by = now, "reconciliation"
                add_event(
                    uow.session, account, "drift_cleared", "Our books and the broker's agree again.", symbol=symbol
                )
        doubts: dict[str, Any] = {}
        confirmed: list[Drift] = []
        for symbol, drift in found.items():
            if symbol in stopped:
                continue
            earlier = account.suspected_drifts.get(symbol)
            first = _doubt(uow.session, account, drift, now)
            if earlier is None or not _same(earlier, first):
                doubts[symbol] = first
                text = f"{drift.figures} Perhaps only one of them is late: they are compared once more."
                add_event(uow.session, account, "drift_suspected", text, symbol=symbol)
            elif abs(now - datetime.fromisoformat(earlier["seen_at"])) < BETWEEN:
                doubts[symbol] = earlier
            else:
                _stop(uow.session, account, drift)
                confirmed.append(drift)
        account.suspected_drifts = doubts
        uow.commit()
        return Compared(tuple(confirmed), frozenset(doubts))


def is_doubted(account: AccountRow, symbol: str) -> bool:
    """Whether the books of a symbol differed in the last comparison, which was the first to say so."""
    return symbol in account.suspected_drifts


def _doubt(session: Session, account: AccountRow, drift: Drift, now: datetime) -> dict[str, Any]:
    newest = select(func.max(IntentRow.id)).where(IntentRow.account_id == account.id, IntentRow.symbol == drift.symbol)
    return {
        "ours": f"{drift.ours.normalize():f}",
        "broker": f"{drift.broker.normalize():f}",
        "newest_order": session.scalar(newest),
        "seen_at": now.isoformat(),
    }


def _same(earlier: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    """Whether nothing of ours happened to the symbol since it was doubted."""
    if earlier.get("newest_order") != now["newest_order"] or "seen_at" not in earlier:
        return False
    return Decimal(earlier["ours"]) == Decimal(now["ours"])


def _stopped(session: Session, account: AccountRow) -> dict[str | None, HaltRow]:
    query = select(HaltRow).where(
        HaltRow.account_id == account.id, HaltRow.cause == HaltCause.DRIFT, HaltRow.cleared_at.is_(None)
    )
    return {row.symbol: row for row in session.scalars(query)}


def _stop(session: Session, account: AccountRow, drift: Drift) -> None:
    session.add(
        HaltRow(
            scope=HaltScope.SYMBOL,
            user_id=account.user_id,
            account_id=account.id,
            symbol=drift.symbol,
            cause=HaltCause.DRIFT,
            reason=drift.message,
            set_by="reconciliation",
        )
    )
    session.add(
        RiskEventRow(
            user_id=account.user_id,
            event_type="DRIFT",
            symbol=drift.symbol,
            threshold_value=drift.ours,
            current_value=drift.broker,
            action_taken="Entries in this symbol are stopped.",
            message=drift.message,
        )
    )
    add_event(session, account, "drift", drift.message, symbol=drift.symbol)
