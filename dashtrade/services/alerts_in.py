"""The door for alerts: who sent it, which bot it is for, whether it is a repeat; stored in one transaction.

Once ``receive`` has returned, the alert is committed. Refusals leave a row too. ``tell_trader`` wakes the trader; it is
not part of the storing transaction, since PostgreSQL commits transactions that notify one after another.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

from sqlalchemy import Engine, exists, func, insert, select, text, update
from sqlalchemy.orm import Session

from dashtrade.auth.passphrases import passphrase_matches
from dashtrade.auth.tokens import token_digest
from dashtrade.db.engine import each_commits
from dashtrade.db.tables.accounts import UserRow
from dashtrade.db.tables.trading import InboxRow, IntentRow, LotRow, WebhookRequestRow, WebhookTokenRow
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


class _Bot(NamedTuple):
    """What the door needs to know of a bot."""

    id: int
    symbol: str
    timeframe: str
    is_active: bool
    account_mode: str
    passphrase_hash: str | None


# Every alert takes these two statements and a commit, so they are written out: each is one trip to the database.
_LOOK_UP = text(
    """
    SELECT t.id, t.user_id, t.bot_config_id, t.allowed_addresses, b.id, b.symbol, b.timeframe, b.is_active,
           b.account_mode, b.passphrase_hash
    FROM user_webhook_tokens t
    JOIN users u ON u.id = t.user_id AND u.is_active
    LEFT JOIN user_bot_configs b ON b.user_id = t.user_id AND b.symbol = :symbol AND b.deleted_at IS NULL
        AND (CAST(:timeframe AS varchar) IS NULL OR b.timeframe = CAST(:timeframe AS varchar))
        AND (t.bot_config_id IS NULL OR b.id = t.bot_config_id)
    WHERE t.token = :digest AND t.is_active
    LIMIT 2
    """
)
_INSERT = text(
    """
    WITH new AS (
        INSERT INTO alert_inbox (user_id, bot_id, token_id, dedupe_key, dedupe_rule, body_hash, payload, received_at)
        VALUES (:user, :bot, :token, :key, :rule, :hash, CAST(:payload AS jsonb), :received)
        ON CONFLICT (user_id, dedupe_key) DO NOTHING
        RETURNING id
    ), logged AS (
        INSERT INTO webhook_requests
            (user_id, token_id, alert_id, received_at, source_address, payload, status, code, reason, latency_ms)
        SELECT :user, :token, id, :received, :address, :shown, 202, 'ACCEPTED', 'Stored.', :latency FROM new
    )
    SELECT id FROM new
    """
)
_NOTIFY = text("SELECT pg_notify(:channel, notice) FROM unnest(CAST(:notices AS text[])) AS notice")


@dataclass(frozen=True, slots=True)
class Stored:
    """``duplicate`` is set where this alert was stored before; ``alert_id`` is the first one's."""

    alert_id: int
    user_id: int
    bot_id: int
    token_id: int
    account_mode: str
    duplicate: bool


def receive(uow: UnitOfWork, arrival: Arrival) -> Stored:
    """Store an alert, or raise the error to answer with; either way the request is on the Signals log."""
    stored = _store_at_once(uow.engine, arrival)
    if stored is not None:
        return stored
    with uow:
        caller: Caller | None = None
        try:
            caller, bots = _recognise(uow.session, arrival)
            if isinstance(arrival.content, DashTradeError):
                raise arrival.content
            bot = _choose_bot(uow.session, bots, arrival.content.alert)
            if bot.passphrase_hash and not passphrase_matches(arrival.content.passphrase, bot.passphrase_hash):
                raise AuthFailed("The bot's passphrase is missing or wrong in the alert's body.")
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


def _store_at_once(engine: Engine, arrival: Arrival) -> Stored | None:
    """The usual alert, new and with an id or a time: one question, and one statement that stores it and commits.

    None for everything else, which then takes the long way. Of the five trips to the database that two statements in
    a transaction take, three are left; under load they are what an answer waits for.
    """
    content = arrival.content
    if isinstance(content, DashTradeError) or not arrival.token or len(arrival.token) > 200:
        return None
    with each_commits(engine) as connection:
        rows = connection.execute(_LOOK_UP, _looked_for(arrival.token, content)).all()
        if len(rows) != 1 or rows[0][4] is None:
            return None
        token_id, user_id, token_bot_id, addresses = tuple(rows[0])[:4]
        bot = _Bot(*tuple(rows[0])[4:])
        key, rule = _dedupe(bot, content, arrival.received_at)
        if addresses or bot.passphrase_hash or not bot.is_active or rule == "body-60s":
            return None
        caller = Caller(token_id, user_id, token_bot_id)
        alert_id = connection.execute(_INSERT, _new_row(caller, bot, arrival, content, key, rule)).scalar()
    if alert_id is None:
        return None
    return Stored(alert_id, user_id, bot.id, token_id, bot.account_mode, duplicate=False)


def tell_trader(uow: UnitOfWork, accounts: Iterable[tuple[int, str]]) -> None:
    """Wake the traders of these accounts (user id and mode). A lost notice costs time only: traders also poll."""
    with uow:
        notices = [json.dumps({"user": user_id, "mode": mode}) for user_id, mode in accounts]
        uow.session.execute(_NOTIFY, {"channel": ALERTS_CHANNEL, "notices": notices})
        uow.commit()


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
    return _caller(token_id, user_id, bot_id, addresses, source_address)


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


def _recognise(session: Session, arrival: Arrival) -> tuple[Caller, list[_Bot]]:
    """The caller and the bots an alert may mean, among the caller's own only; one question for both."""
    if not arrival.token or len(arrival.token) > 200:
        raise AuthFailed(REFUSED_CALLER)
    content = arrival.content if isinstance(arrival.content, IncomingAlert) else None
    rows = session.execute(_LOOK_UP, _looked_for(arrival.token, content)).all()
    if not rows:
        raise AuthFailed(REFUSED_CALLER)
    token_id, user_id, bot_id, addresses = tuple(rows[0])[:4]
    caller = _caller(token_id, user_id, bot_id, addresses, arrival.source_address)
    return caller, [_Bot(*tuple(row)[4:]) for row in rows if row[4] is not None]


def _looked_for(token: str, content: IncomingAlert | None) -> dict[str, Any]:
    alert = content.alert if content else None
    return {
        "digest": token_digest(token).hex(),
        "symbol": alert.symbol if alert else "",
        "timeframe": alert.timeframe.value if alert and alert.timeframe else None,
    }


def _caller(
    token_id: int, user_id: int, bot_id: int | None, addresses: str | None, source_address: str | None
) -> Caller:
    if addresses and source_address not in addresses.split(","):
        raise AuthFailed(REFUSED_CALLER)
    return Caller(token_id, user_id, bot_id)


def _choose_bot(session: Session, bots: list[_Bot], alert: Alert) -> _Bot:
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


def _store(session: Session, caller: Caller, bot: _Bot, arrival: Arrival, content: IncomingAlert) -> Stored:
    key, rule = _dedupe(bot, content, arrival.received_at)
    original = _earlier_by_body(session, bot, caller.user_id, content, arrival) if rule == "body-60s" else None
    if original is None:
        values = _new_row(caller, bot, arrival, content, key, rule)
        alert_id = session.execute(_INSERT, values).scalar()
        if alert_id is not None:
            return Stored(alert_id, caller.user_id, bot.id, caller.token_id, bot.account_mode, duplicate=False)
        same = (InboxRow.user_id == caller.user_id, InboxRow.dedupe_key == key)
        original, first_hash = session.execute(select(InboxRow.id, InboxRow.body_hash).where(*same)).tuples().one()
        if first_hash != content.body_hash:
            # Silently taking it for a repeat would lose an alert, such as every second one with {{strategy.order.id}}.
            raise InvalidInput(
                "id",
                f"was used by signal {original} with another body, so this is no repeat of it. Give each alert an id "
                'of its own, such as "{{timenow}} {{strategy.order.id}}", or leave it out.',
            )
    session.execute(update(InboxRow).where(InboxRow.id == original).values(duplicates=InboxRow.duplicates + 1))
    why = {"id": "the same id", "body": "the same body and time", "body-60s": "the same body within 60 s"}[rule]
    _log(session, arrival, caller, 200, "DUPLICATE", f"A repeat of signal {original}: {why}.", original)
    return Stored(original, caller.user_id, bot.id, caller.token_id, bot.account_mode, duplicate=True)


def _new_row(
    caller: Caller, bot: _Bot, arrival: Arrival, content: IncomingAlert, key: str, rule: str
) -> dict[str, Any]:
    return {
        "user": caller.user_id,
        "bot": bot.id,
        "token": caller.token_id,
        "key": key,
        "rule": rule,
        "hash": content.body_hash,
        "payload": json.dumps({**alert_to_json(content.alert), "extra": content.extra}),
        "received": arrival.received_at,
        "address": arrival.source_address,
        "shown": arrival.shown,
        "latency": _latency(arrival),
    }


def _dedupe(bot: _Bot, content: IncomingAlert, received_at: datetime) -> tuple[str, str]:
    if content.alert.alert_id is not None:
        digest = hashlib.sha256(content.alert.alert_id.encode()).hexdigest()
        return f"id:{bot.id}:{digest}", "id"
    if content.carries_time:
        return f"body:{bot.id}:{content.body_hash}", "body"
    return f"sent:{bot.id}:{content.body_hash}:{received_at.timestamp():.6f}", "body-60s"


def _earlier_by_body(session: Session, bot: _Bot, user_id: int, content: IncomingAlert, arrival: Arrival) -> int | None:
    """The bot's first alert with this body in the last 60 s. A lock on the body makes simultaneous sends take turns.

    Of one bot only: with a token for each bot, equal bodies can be alerts for two of them.
    """
    lock = int(content.body_hash[:15], 16) ^ bot.id
    session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": lock})
    query = select(InboxRow.id).where(
        InboxRow.user_id == user_id,
        InboxRow.body_hash == content.body_hash,
        InboxRow.bot_id == bot.id,
        InboxRow.received_at > arrival.received_at - REPEAT_WINDOW,
    )
    return session.execute(query.order_by(InboxRow.received_at.desc()).limit(1)).scalar()


def _latency(arrival: Arrival) -> Decimal:
    """Milliseconds since the request came in."""
    seconds = (datetime.now(UTC) - arrival.received_at).total_seconds()
    return Decimal(max(seconds, 0) * 1000).quantize(Decimal("0.001"))


def _log(
    session: Session,
    arrival: Arrival,
    caller: Caller | None,
    status: int,
    code: str,
    reason: str,
    alert_id: int | None = None,
) -> None:
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
            latency_ms=_latency(arrival),
        )
    )


def queue_age(session: Session, now: datetime) -> float:
    """Seconds that the oldest undecided alert has waited; 0 where none waits."""
    oldest = session.scalar(select(func.min(InboxRow.received_at)).where(InboxRow.state == "received"))
    return max((now - oldest).total_seconds(), 0.0) if oldest else 0.0
