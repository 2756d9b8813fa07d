"""The Signals log: every request to the webhook, and how its alert ended, each with a sentence and its times."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from dashtrade.db.tables.trading import BotRow, ExecutionRow, InboxRow, IntentRow, WebhookRequestRow
from dashtrade.db.unit_of_work import UnitOfWork
from dashtrade.domain.bot_views import SignalStep, SignalView
from dashtrade.domain.bots import AlertState, IntentState
from dashtrade.errors import NotFound
from dashtrade.services.work import working

WAITING_TEXT = "The alert is stored and waits for the trader."
PLANNED_TEXT = "The alert was accepted and its order is on its way."


def list_signals(uow: UnitOfWork, user_id: int, *, limit: int = 200, bot_id: int | None = None) -> list[SignalView]:
    """The user's requests, newest first, refused ones too."""
    with working(uow) as work:
        query = (
            select(WebhookRequestRow, InboxRow, BotRow)
            .outerjoin(InboxRow, InboxRow.id == WebhookRequestRow.alert_id)
            .outerjoin(BotRow, BotRow.id == InboxRow.bot_id)
            .where(WebhookRequestRow.user_id == user_id)
            .order_by(WebhookRequestRow.id.desc())
            .limit(limit)
        )
        if bot_id is not None:
            query = query.where(InboxRow.bot_id == bot_id)
        rows = list(work.session.execute(query))
        steps = _steps(work.session, [alert.id for _, alert, _ in rows if alert is not None])
        return [_view(request, alert, bot, steps) for request, alert, bot in rows]


def signal_outcome(session: Session, user_id: int, signal_id: int, token_bot_id: int | None = None) -> dict[str, Any]:
    """How a signal ended, as the webhook's JSON body. Another user's signal raises NotFound, like a missing one."""
    alert = session.scalar(select(InboxRow).where(InboxRow.id == signal_id, InboxRow.user_id == user_id))
    if alert is None or (token_bot_id is not None and alert.bot_id != token_bot_id):
        raise NotFound(f"There is no signal {signal_id}.")
    return outcome_body(session, alert)


def outcome_body(session: Session, alert: InboxRow) -> dict[str, Any]:
    """The documented answer for an alert in its present state."""
    base: dict[str, Any] = {"signal_id": alert.id, "state": alert.state}
    if alert.state == AlertState.RECEIVED:
        return {"status": "accepted", "message": WAITING_TEXT, **base}
    if alert.state == AlertState.PLANNED:
        return {"status": "accepted", "message": PLANNED_TEXT, **base}
    if alert.state == AlertState.IGNORED:
        return {"status": "ignored", "message": alert.reason, **base}
    if alert.state in (AlertState.REJECTED, AlertState.EXPIRED):
        return {"status": "error", "message": alert.reason, "code": alert.code or "REJECTED", **base}
    intents = list(session.scalars(select(IntentRow).where(IntentRow.alert_id == alert.id).order_by(IntentRow.id)))
    return {**done_body(intents), "message": alert.reason, **base}


def done_body(intents: list[IntentRow]) -> dict[str, Any]:
    """Totals of the last order that filled; a reversal's closing leg comes before its opening one."""
    filled = [intent for intent in intents if intent.filled_qty > 0]
    last = (filled or intents)[-1]
    price = last.filled_avg_price or Decimal(0)
    body: dict[str, Any] = {
        "status": "success" if filled else "error",
        "order_id": last.broker_order_id,
        "symbol": last.symbol,
        "action": last.side.upper(),
        "filled_qty": float(last.filled_qty),
        "filled_avg_price": float(price) if last.filled_qty else None,
        "notional": float(round(last.filled_qty * price, 4)),
    }
    if len(filled) > 1:
        body["orders"] = [
            {
                "order_id": intent.broker_order_id,
                "action": intent.side.upper(),
                "filled_qty": float(intent.filled_qty),
                "filled_avg_price": float(intent.filled_avg_price or 0),
            }
            for intent in filled
        ]
    if not filled:
        body["code"] = "ORDER_REFUSED" if last.state == IntentState.REJECTED else "NOT_FILLED"
    return body


def _view(
    request: WebhookRequestRow, alert: InboxRow | None, bot: BotRow | None, steps: dict[int, list[SignalStep]]
) -> SignalView:
    first = SignalStep("received", request.received_at)
    if alert is None:
        return SignalView(
            request.id, None, request.received_at, "refused", request.code, request.reason, None, None, None, None,
            request.payload, request.status, request.latency_ms, request.source_address, (first,),
        )  # fmt: skip
    explanation = alert.reason or (PLANNED_TEXT if alert.state == AlertState.PLANNED else WAITING_TEXT)
    duplicate = request.code == "DUPLICATE"
    return SignalView(
        request_id=request.id,
        signal_id=alert.id,
        received_at=request.received_at,
        state="duplicate" if duplicate else alert.state,
        code=request.code if duplicate else alert.code or alert.state.upper(),
        explanation=request.reason if duplicate else explanation,
        symbol=bot.symbol if bot else None,
        action=str(alert.payload.get("action", "")) or None,
        timeframe=bot.timeframe if bot else None,
        bot_id=alert.bot_id,
        payload=request.payload,
        status=request.status,
        latency_ms=request.latency_ms,
        source_address=request.source_address,
        steps=(first,) if duplicate else (first, *_own_steps(alert), *steps.get(alert.id, [])),
    )


def _own_steps(alert: InboxRow) -> list[SignalStep]:
    steps = [SignalStep("stored", alert.stored_at)]
    if alert.decided_at is not None:
        steps.append(SignalStep("decided", alert.decided_at))
    if alert.ended_at is not None:
        steps.append(SignalStep("ended", alert.ended_at))
    return steps


def _steps(session: Session, alert_ids: list[int]) -> dict[int, list[SignalStep]]:
    """Times of the orders of each alert."""
    found: dict[int, list[SignalStep]] = {}
    if not alert_ids:
        return found
    filled = func.max(ExecutionRow.executed_at)
    query = (
        select(IntentRow.alert_id, IntentRow.leg, IntentRow.submitted_at, IntentRow.acknowledged_at, filled)
        .outerjoin(ExecutionRow, ExecutionRow.intent_id == IntentRow.id)
        .where(IntentRow.alert_id.in_(alert_ids))
        .group_by(IntentRow.id)
        .order_by(IntentRow.id)
    )
    for alert_id, leg, submitted, acknowledged, last_fill in session.execute(query):
        for name, at in (("sent", submitted), ("acknowledged", acknowledged), ("filled", last_fill)):
            if at is not None and alert_id is not None:
                found.setdefault(alert_id, []).append(SignalStep(f"leg {leg} {name}", at))
    return found
