"""The door for alerts: who sent it, which bot it is for, whether it is a repeat; stored in one transaction.

Once ``receive`` has returned, the alert is committed and the trader has been told. Refusals leave a row too.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from sqlalchemy import exists, func, insert, select, text, update
from sqlalchemy.dialects.postgresql import insert as pg_insert
from sqlalchemy.orm import Session

from dashtrade.auth.tokens import token_digest
from dashtrade.db.tables.accounts import UserRow
from dashtrade.db.tables.trading import BotRow, InboxRow, IntentRow, LotRow, WebhookRequestRow, WebhookTokenRow
from dashtrade.db.unit_of_work import UnitOfWork
from dashtrade.domain.bots import Alert, IncomingAlert
from dashtrade.errors import AuthFailed, BotDisabled, DashTradeError, InvalidInput, NotFound
from dashtrade.services.alert_codec import alert_to_json

ALERTS_CHANNEL = "dashtrade_alerts"
OUTCOMES_CHANNEL = "dashtrade_outcomes"
MOST_STRANGERS = 120
REPEAT_WINDOW = timedelta(seconds=60)
REFUSED_CALLER = "The token is missing, wrong, or revoked. Copy the webhook address again from the bot page."


@dataclass(frozen=True, slots=True)
class Caller:
    """A request's token, recognised."""

    token_id: int
    user_id: int
    bot_id: int | None


@dataclass(frozen=True, slots=True)
class Arrival:
    """A request as the webhook has it: the alert, or the error that parsing it gave."""

    token: str | None
    content: IncomingAlert | DashTradeError
    shown: str
    received_at: datetime
    source_address: str | None


@dataclass(frozen=True, slots=True)
class Stored:
    """``duplicate`` is set where this alert was stored before; ``alert_id`` is the first one's."""

    alert_id: int
    user_id: int
    bot_id: int
    token_id: int
    duplicate: bool


def receive(uow: UnitOfWork, arrival: Arrival) -> Stored:
    """Store an alert, or raise the error to answer with; either way the request is on the Signals log."""
    with uow:
        caller: Caller | None = None
        try:
            caller = identify(uow.session, arrival.token, arrival.source_address)
            if isinstance(arrival.content, DashTradeError):
                raise arrival.content
            bot = _find_bot(uow.session, caller, arrival.content.alert)
            stored = _store(uow.session, caller, bot, arrival, arrival.content)
        except DashTradeError as error:
            if error.code == "DATABASE_UNAVAILABLE":
                raise
            uow.rollback()
            if caller is not None or _strangers(uow.session, arrival.received_at) < MOST_STRANGERS:
                _log(uow.session, arrival, caller, status_of(error), error.code, str(error))
                uow.commit()
            raise
        uow.commit()
        return stored


def identify(session: Session, token: str | None, source_address: str | None = None) -> Caller:
    """The caller behind a token. Raises AuthFailed, with one text for every cause."""
    if not token or len(token) > 200:
        raise AuthFailed(REFUSED_CALLER)
    tokens = WebhookTokenRow
    row = session.execute(
        select(tokens.id, tokens.user_id, tokens.bot_config_id, tokens.allowed_addresses)
        .join(UserRow, UserRow.id == tokens.user_id)
        .where(tokens.token == token_digest(token).hex(), tokens.is_active, UserRow.is_active)
    ).first()
    if row is None:
        raise AuthFailed(REFUSED_CALLER)
    token_id, user_id, bot_id, addresses = row
    if addresses and source_address not in addresses.split(","):
        raise AuthFailed(REFUSED_CALLER)
    return Caller(token_id, user_id, bot_id)


def status_of(error: DashTradeError) -> int:
    """HTTP status of a refusal: 4xx always, since TradingView sends again on 5xx."""
    return {
        "AUTH_ERROR": 401,
        "NOT_FOUND": 404,
        "BOT_DISABLED": 409,
        "RISK_LIMIT": 409,
        "PAYLOAD_TOO_LARGE": 413,
        "REQUEST_TIMEOUT": 408,
        "DATABASE_UNAVAILABLE": 503,
    }.get(error.code, 422)


def count_uses(uow: UnitOfWork, uses: dict[int, tuple[int, datetime]]) -> None:
    """Add to tokens' use counts: token id → number of requests and time of the last.

    Kept apart from storing alerts, so that a burst on one token does not queue for its row.
    """
    with uow:
        for token_id in sorted(uses):
            count, last = uses[token_id]
            uow.session.execute(
                update(WebhookTokenRow)
                .where(WebhookTokenRow.id == token_id)
                .values(request_count=WebhookTokenRow.request_count + count, last_used_at=last)
            )
        uow.commit()


def _find_bot(session: Session, caller: Caller, alert: Alert) -> BotRow:
    """The bot an alert is for, among the caller's own only."""
    query = select(BotRow).where(
        BotRow.user_id == caller.user_id, BotRow.symbol == alert.symbol, BotRow.deleted_at.is_(None)
    )
    if caller.bot_id is not None:
        query = query.where(BotRow.id == caller.bot_id)
    if alert.timeframe is not None:
        query = query.where(BotRow.timeframe == alert.timeframe.value)
    bots = list(session.scalars(query.limit(2)))
    when = f" at {alert.timeframe.value}" if alert.timeframe else ""
    if not bots:
        raise NotFound(f"There is no bot for {alert.symbol}{when}. Create one, or correct the alert.")
    if len(bots) > 1:
        raise InvalidInput(
            "timeframe", f'is missing, and several bots trade {alert.symbol}. Add "timeframe": "{{{{interval}}}}".'
        )
    bot = bots[0]
    if not bot.is_active and not _needs_exit(session, bot.id):
        raise BotDisabled(f"The bot for {bot.symbol} at {bot.timeframe} is switched off. Switch it on to trade.")
    return bot


def _strangers(session: Session, now: datetime) -> int:
    """Requests of unknown callers in the last minute: their rows must not be able to fill the disk."""
    query = select(func.count()).where(
        WebhookRequestRow.received_at > now - timedelta(minutes=1), WebhookRequestRow.user_id.is_(None)
    )
    return int(session.scalar(query) or 0)


def _needs_exit(session: Session, bot_id: int) -> bool:
    """A bot that is off may still give up what it holds, or has on its way."""
    lots = exists().where(LotRow.bot_id == bot_id, LotRow.open_qty != 0)
    states = ("waiting", "planned", "submitting", "unknown", "live")
    orders = exists().where(IntentRow.bot_id == bot_id, IntentRow.state.in_(states))
    return bool(session.scalar(select(lots | orders)))


def _store(session: Session, caller: Caller, bot: BotRow, arrival: Arrival, content: IncomingAlert) -> Stored:
    key, rule = _dedupe(bot, content, arrival.received_at)
    original = _earlier_by_body(session, caller.user_id, content, arrival.received_at) if rule == "body-60s" else None
    alert_id = None
    if original is None:
        values = {
            "user_id": caller.user_id,
            "bot_id": bot.id,
            "token_id": caller.token_id,
            "dedupe_key": key,
            "dedupe_rule": rule,
            "body_hash": content.body_hash,
            "payload": {**alert_to_json(content.alert), "extra": content.extra},
            "received_at": arrival.received_at,
        }
        statement = pg_insert(InboxRow).values(**values).on_conflict_do_nothing().returning(InboxRow.id)
        alert_id = session.execute(statement).scalar()
        if alert_id is None:
            same = (InboxRow.user_id == caller.user_id, InboxRow.dedupe_key == key)
            original = session.execute(select(InboxRow.id).where(*same)).scalar_one()
    if alert_id is not None:
        _log(session, arrival, caller, 202, "ACCEPTED", "Stored.", alert_id)
        session.execute(
            text("SELECT pg_notify(:channel, :payload)"), _notice(alert_id, caller.user_id, bot.account_mode)
        )
        return Stored(alert_id, caller.user_id, bot.id, caller.token_id, duplicate=False)
    assert original is not None
    session.execute(update(InboxRow).where(InboxRow.id == original).values(duplicates=InboxRow.duplicates + 1))
    why = {"id": "the same id", "body": "the same body and time", "body-60s": "the same body within 60 s"}[rule]
    _log(session, arrival, caller, 200, "DUPLICATE", f"A repeat of signal {original}: {why}.", original)
    return Stored(original, caller.user_id, bot.id, caller.token_id, duplicate=True)


def _dedupe(bot: BotRow, content: IncomingAlert, received_at: datetime) -> tuple[str, str]:
    if content.alert.alert_id is not None:
        digest = hashlib.sha256(content.alert.alert_id.encode()).hexdigest()
        return f"id:{bot.id}:{digest}", "id"
    if content.carries_time:
        return f"body:{bot.id}:{content.body_hash}", "body"
    return f"sent:{bot.id}:{content.body_hash}:{received_at.timestamp():.6f}", "body-60s"


def _earlier_by_body(session: Session, user_id: int, content: IncomingAlert, received_at: datetime) -> int | None:
    """The first alert with this body in the last 60 s. A lock on the body makes simultaneous sends take turns."""
    lock = int(content.body_hash[:15], 16) ^ user_id
    session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": lock})
    query = select(InboxRow.id).where(
        InboxRow.user_id == user_id,
        InboxRow.body_hash == content.body_hash,
        InboxRow.received_at > received_at - REPEAT_WINDOW,
    )
    return session.execute(query.order_by(InboxRow.received_at.desc()).limit(1)).scalar()


def _notice(alert_id: int, user_id: int, mode: str) -> dict[str, str]:
    return {
        "channel": ALERTS_CHANNEL,
        "payload": json.dumps({"alert": alert_id, "user": user_id, "mode": mode}),
    }


def _log(
    session: Session,
    arrival: Arrival,
    caller: Caller | None,
    status: int,
    code: str,
    reason: str,
    alert_id: int | None = None,
) -> None:
    latency = (datetime.now(UTC) - arrival.received_at).total_seconds() * 1000
    session.execute(
        insert(WebhookRequestRow).values(
            user_id=caller.user_id if caller else None,
            token_id=caller.token_id if caller else None,
            alert_id=alert_id,
            received_at=arrival.received_at,
            source_address=arrival.source_address,
            # Without a known sender nothing of the body is kept: it may be anything.
            payload=arrival.shown if caller else None,
            status=status,
            code=code,
            reason=reason,
            latency_ms=Decimal(max(latency, 0)).quantize(Decimal("0.001")),
        )
    )


def queue_age(session: Session, now: datetime) -> float:
    """Seconds that the oldest undecided alert has waited; 0 where none waits."""
    oldest = session.scalar(select(func.min(InboxRow.received_at)).where(InboxRow.state == "received"))
    return max((now - oldest).total_seconds(), 0.0) if oldest else 0.0
