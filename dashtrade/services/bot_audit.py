"""A user's signals with what became of each: payload, decision, order, fill, profit. One row an order, or a refusal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd
from sqlalchemy import select

from dashtrade.db.tables.trading import BotTradeRow, InboxRow, IntentRow, WebhookRequestRow
from dashtrade.display import Displayed, Fact
from dashtrade.services.work import working

if TYPE_CHECKING:
    from dashtrade.db.unit_of_work import UnitOfWork

COLUMNS = (
    "received", "payload", "state", "code", "explanation", "decided_s", "order", "side", "purpose", "qty",
    "price_expected", "price_paid", "slippage_bps", "filled_s", "pnl",
)  # fmt: skip
_SHOWN = ["received", "state", "explanation", "side", "qty", "price_paid", "slippage_bps", "pnl"]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Trail(Displayed):
    """``table``: newest first, see COLUMNS. Seconds are from the arrival of the alert; ``slippage_bps`` is above 0
    where the fill was worse than the price expected when the order was sent; ``pnl`` is of what the order closed.
    Prices and quantities are floats here, for reading; the books keep decimals. ``note`` says why there is nothing."""

    table: pd.DataFrame
    note: str = ""

    def to_frame(self) -> pd.DataFrame:
        return self.table

    def refused(self) -> pd.DataFrame:
        """What led to no order, counted by code and sentence."""
        none = self.table[self.table["order"].isna()]
        return none.groupby(["state", "code", "explanation"], dropna=False).size().rename("signals").reset_index()

    def _headline(self) -> str:
        return "Signals and what became of them"

    def _facts(self) -> Sequence[Fact]:
        orders = self.table[self.table["order"].notna()]
        slip = orders["slippage_bps"].dropna()
        return (
            ("Rows", f"{len(self.table):,}"),
            ("Orders", f"{len(orders):,}"),
            ("Filled", f"{int((orders['qty'] > 0).sum()):,}"),
            ("Median slippage, bps", f"{slip.median():.1f}" if len(slip) else "–"),
            ("Profit and loss", f"{orders['pnl'].sum():,.2f}"),
        )

    def _notes(self) -> Sequence[str]:
        return (self.note,) if self.note else ()

    def _shown_rows(self) -> pd.DataFrame:
        return self.table[_SHOWN]


def empty(note: str) -> Trail:
    """A trail of nothing, and why."""
    return Trail(_frame([]), note)


def trail_of(uow: UnitOfWork, user_id: int, *, limit: int = 200) -> Trail:
    """The last ``limit`` rows of this user."""
    query = (
        select(WebhookRequestRow, InboxRow, BotTradeRow, IntentRow.reference_price)
        .outerjoin(InboxRow, (InboxRow.id == WebhookRequestRow.alert_id) & (InboxRow.user_id == user_id))
        .outerjoin(BotTradeRow, (BotTradeRow.alert_id == InboxRow.id) & (BotTradeRow.user_id == user_id))
        .outerjoin(IntentRow, IntentRow.id == BotTradeRow.intent_id)
        .where(WebhookRequestRow.user_id == user_id)
        .order_by(WebhookRequestRow.id.desc(), BotTradeRow.id)
        .limit(limit)
    )
    with working(uow) as work:
        rows = [_row(*found) for found in work.session.execute(query)]
    return Trail(_frame(rows), "" if rows else "No signal has come in yet.")


def _row(
    request: WebhookRequestRow, alert: InboxRow | None, trade: BotTradeRow | None, expected: object
) -> tuple[object, ...]:
    duplicate = request.code == "DUPLICATE"
    reason: str | None = request.reason
    if alert is None or duplicate:
        state, code = ("duplicate" if duplicate else "refused"), request.code
        trade = None  # the order belongs to the row of the first of them
    else:
        state, code, reason = alert.state, alert.code or str(alert.state).upper(), alert.reason
    decided = None if alert is None or duplicate else _seconds(request.received_at, alert.decided_at)
    if trade is None:
        return (request.received_at, request.payload, state, code, reason, decided, *[None] * 9)
    paid, hoped = _number(trade.filled_avg_price), _number(expected)
    side = 1 if trade.action == "BUY" else -1
    worse = side * (paid / hoped - 1) * 10_000 if paid and hoped else None
    return (
        request.received_at, request.payload, state, code, reason, decided, trade.client_order_id, trade.action.lower(),
        trade.purpose, _number(trade.filled_qty), hoped, paid, worse, _seconds(request.received_at, trade.filled_at),
        _number(trade.realized_pnl),
    )  # fmt: skip


def _frame(rows: Sequence[tuple[object, ...]]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    numbers = ["decided_s", "qty", "price_expected", "price_paid", "slippage_bps", "filled_s", "pnl"]
    return frame.astype(dict.fromkeys(numbers, "float64"))


def _number(value: object) -> float | None:
    return None if value is None else float(value)  # type: ignore[arg-type]


def _seconds(start: object, end: object) -> float | None:
    return None if start is None or end is None else (end - start).total_seconds()  # type: ignore[operator]
