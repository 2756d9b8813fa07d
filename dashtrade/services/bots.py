"""Bots of one user: create, change, switch on and off, and read what they did. Every query carries the user id."""

from __future__ import annotations

import dataclasses
import secrets
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import ColumnElement, func, null, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from dashtrade.auth.passphrases import hash_passphrase
from dashtrade.auth.tokens import new_token, token_digest, visible_prefix
from dashtrade.db.tables.trading import (
    AccountRow,
    BotRow,
    BotTradeRow,
    IntentRow,
    LotRow,
    RiskEventRow,
    WebhookTokenRow,
)
from dashtrade.db.unit_of_work import UnitOfWork
from dashtrade.domain.bot_views import (
    AccountView,
    BotView,
    NewBot,
    NewToken,
    PositionView,
    RiskEventView,
    TokenView,
    TradeView,
)
from dashtrade.domain.bots import AccountMode
from dashtrade.errors import Forbidden, InvalidInput, NotFound
from dashtrade.services import audit
from dashtrade.services.bot_fields import clean_fields, to_config
from dashtrade.services.promotion import check_promotion
from dashtrade.services.signals import list_signals
from dashtrade.services.work import working

__all__ = [
    "create_bot",
    "create_token",
    "delete_bot",
    "get_bot",
    "list_accounts",
    "list_bots",
    "list_positions",
    "list_risk_events",
    "list_signals",
    "list_tokens",
    "list_trades",
    "revoke_token",
    "set_bot_active",
    "update_bot",
]

_CHANGEABLE = {field.name for field in dataclasses.fields(NewBot)} - {"is_active", "account_mode"}


def create_bot(uow: UnitOfWork, user_id: int, request: NewBot, *, passphrase: str | None = None) -> BotView:
    """Store a bot. Raises InvalidInput naming the field; symbol and timeframe are unique for a user.

    With ``passphrase`` its alerts must name it; it is kept as a hash and never shown again.
    """
    values = clean_fields({field.name: getattr(request, field.name) for field in dataclasses.fields(request)})
    hashed = {} if passphrase is None else {"passphrase_hash": hash_passphrase(passphrase)}
    with working(uow) as work:
        _check_strategy(work, user_id, values)
        ensure_account(work.session, user_id, AccountMode(values["account_mode"]))
        if values["is_active"]:
            _check_live(work.session, user_id, AccountMode(values["account_mode"]))
        # None switches a limit off; written out, since a missing value would become the column's default.
        filled = {name: null() if value is None else value for name, value in values.items()}
        row = BotRow(user_id=user_id, **filled, **hashed)
        work.session.add(row)
        _flush(work.session, values["symbol"], values["timeframe"])
        work.session.refresh(row)
        view = _view(row, Decimal(0))
        work.commit()
        return view


def update_bot(uow: UnitOfWork, user_id: int, bot_id: int, **changes: Any) -> BotView:
    """Change fields of NewBot other than account_mode and is_active. A bot that holds shares keeps its symbol."""
    unknown = set(changes) - _CHANGEABLE
    if unknown:
        raise InvalidInput(sorted(unknown)[0], "cannot be changed.", allowed=sorted(_CHANGEABLE))
    values = clean_fields(changes)
    with working(uow) as work:
        _check_strategy(work, user_id, values)
        row = _bot(work.session, user_id, bot_id, lock=True)
        held = _held(work.session, user_id).get(bot_id, Decimal(0))
        if values.get("symbol", row.symbol) != row.symbol and (held or _busy(work.session, bot_id)):
            raise InvalidInput("symbol", f"the bot still holds {held.normalize():f} {row.symbol} or has an open order. "
                               "Close its position first, or create another bot.")  # fmt: skip
        for name, value in values.items():
            setattr(row, name, value)
        _flush(work.session, row.symbol, row.timeframe)
        work.session.refresh(row)
        view = _view(row, held)
        work.commit()
        return view


def _check_strategy(work: UnitOfWork, user_id: int, values: dict[str, Any]) -> None:
    for name in ("strategy_name", "strategy_type"):
        if values.get(name) not in (None, "", "none"):
            check_promotion(work, user_id, values[name], name)


def set_bot_active(uow: UnitOfWork, user_id: int, bot_id: int, active: bool) -> BotView:
    """Switch a bot on or off. A live bot needs live trading to be confirmed first (see confirm_live)."""
    with working(uow) as work:
        row = _bot(work.session, user_id, bot_id, lock=True)
        if active:
            _check_live(work.session, user_id, AccountMode(row.account_mode))
            _check_strategy(work, user_id, {"strategy_name": row.strategy_name, "strategy_type": row.strategy_type})
        row.is_active = active
        audit.record(work, "bot_on" if active else "bot_off", actor_id=user_id, user_id=user_id, bot=bot_id)
        if active and row.order_status in ("HALTED", "ERROR"):
            row.order_status = "IDLE"
        work.session.flush()
        view = _view(row, _held(work.session, user_id).get(bot_id, Decimal(0)))
        work.commit()
        return view


def delete_bot(uow: UnitOfWork, user_id: int, bot_id: int) -> None:
    """Remove a bot from the lists; its trades stay. Refused while it holds shares or has an open order."""
    with working(uow) as work:
        row = _bot(work.session, user_id, bot_id, lock=True)
        if _held(work.session, user_id).get(bot_id) or _busy(work.session, bot_id):
            raise InvalidInput("bot", "it still holds shares or has an open order. Close its position first.")
        row.is_active, row.deleted_at = False, datetime.now(UTC)
        audit.record(work, "bot_deleted", actor_id=user_id, user_id=user_id, bot=bot_id)
        work.session.execute(
            update(WebhookTokenRow)
            .where(WebhookTokenRow.bot_config_id == bot_id)
            .values(is_active=False, revoked_at=datetime.now(UTC))
        )
        work.commit()


def get_bot(uow: UnitOfWork, user_id: int, bot_id: int) -> BotView:
    with working(uow) as work:
        row = _bot(work.session, user_id, bot_id)
        return _view(row, _held(work.session, user_id).get(bot_id, Decimal(0)))


def list_bots(uow: UnitOfWork, user_id: int) -> list[BotView]:
    """All bots of the user, oldest first."""
    with working(uow) as work:
        held = _held(work.session, user_id)
        query = select(BotRow).where(BotRow.user_id == user_id, BotRow.deleted_at.is_(None)).order_by(BotRow.id)
        return [_view(row, held.get(row.id, Decimal(0))) for row in work.session.scalars(query)]


def create_token(
    uow: UnitOfWork,
    user_id: int,
    *,
    bot_id: int | None = None,
    label: str | None = None,
    allowed_addresses: tuple[str, ...] = (),
) -> NewToken:
    """A new webhook token, for all bots of the user or for one. The secret is in this answer and nowhere else."""
    secret = new_token()
    with working(uow) as work:
        if bot_id is not None:
            _bot(work.session, user_id, bot_id)
        row = WebhookTokenRow(
            user_id=user_id,
            token=token_digest(secret).hex(),
            prefix=visible_prefix(secret),
            label=label[:100] if label else None,
            bot_config_id=bot_id,
            allowed_addresses=",".join(allowed_addresses) or None,
        )
        work.session.add(row)
        work.session.flush()
        work.session.refresh(row)
        audit.record(work, "webhook_token_created", actor_id=user_id, user_id=user_id, number=row.id, bot=bot_id)
        view = _token_view(row)
        work.commit()
        return NewToken(secret, view)


def list_tokens(uow: UnitOfWork, user_id: int) -> list[TokenView]:
    """The user's tokens, newest first, revoked ones too."""
    with working(uow) as work:
        query = select(WebhookTokenRow).where(WebhookTokenRow.user_id == user_id).order_by(WebhookTokenRow.id.desc())
        return [_token_view(row) for row in work.session.scalars(query)]


def revoke_token(uow: UnitOfWork, user_id: int, token_id: int) -> TokenView:
    """From the commit on, no request with this token is accepted."""
    with working(uow) as work:
        row = work.session.scalar(
            select(WebhookTokenRow).where(WebhookTokenRow.id == token_id, WebhookTokenRow.user_id == user_id)
        )
        if row is None:
            raise NotFound(f"There is no webhook token {token_id}.")
        if row.is_active:
            row.is_active, row.revoked_at = False, datetime.now(UTC)
            audit.record(work, "webhook_token_revoked", actor_id=user_id, user_id=user_id, number=row.id)
        view = _token_view(row)
        work.commit()
        return view


def list_trades(uow: UnitOfWork, user_id: int, *, bot_id: int | None = None, limit: int = 200) -> list[TradeView]:
    """The user's orders, newest first."""
    with working(uow) as work:
        where: list[ColumnElement[bool]] = [BotTradeRow.user_id == user_id]
        if bot_id is not None:
            where.append(BotTradeRow.bot_config_id == bot_id)
        rows = work.session.scalars(select(BotTradeRow).where(*where).order_by(BotTradeRow.id.desc()).limit(limit))
        return [
            TradeView(
                row.id, row.bot_config_id, row.symbol, row.timeframe, row.action, row.purpose, row.status, row.notional,
                row.filled_qty, row.filled_avg_price, row.realized_pnl, row.order_id, row.client_order_id,
                row.account_mode, row.created_at, row.filled_at, row.explanation, row.error_message,
            )
            for row in rows
        ]  # fmt: skip


def list_positions(uow: UnitOfWork, user_id: int) -> list[PositionView]:
    """What each bot holds, from its open lots."""
    with working(uow) as work:
        cost, held = func.sum(LotRow.open_qty * LotRow.price), func.sum(LotRow.open_qty)
        query = (
            select(
                LotRow.bot_id, LotRow.symbol, AccountRow.mode, held, cost, func.min(LotRow.opened_at)
            )
            .join(AccountRow, AccountRow.id == LotRow.account_id)
            .where(LotRow.user_id == user_id, LotRow.open_qty != 0)
            .group_by(LotRow.bot_id, LotRow.symbol, AccountRow.mode)
            .order_by(LotRow.symbol, LotRow.bot_id)
        )  # fmt: skip
        return [
            PositionView(bot_id, symbol, mode, qty, total / qty, total, opened)
            for bot_id, symbol, mode, qty, total, opened in work.session.execute(query)
        ]


def list_risk_events(uow: UnitOfWork, user_id: int, *, limit: int = 200) -> list[RiskEventView]:
    """Limits that were reached, newest first."""
    with working(uow) as work:
        query = select(RiskEventRow).where(RiskEventRow.user_id == user_id).order_by(RiskEventRow.id.desc())
        return [
            RiskEventView(
                row.id, row.bot_config_id, row.event_type, row.symbol, row.timeframe, row.threshold_value,
                row.current_value, row.action_taken, row.message, row.created_at,
            )
            for row in work.session.scalars(query.limit(limit))
        ]  # fmt: skip


def list_accounts(uow: UnitOfWork, user_id: int) -> list[AccountView]:
    """The user's brokerage accounts, as last reconciled."""
    with working(uow) as work:
        rows = work.session.scalars(select(AccountRow).where(AccountRow.user_id == user_id).order_by(AccountRow.mode))
        return [
            AccountView(
                row.mode, row.equity, row.last_equity, row.cash, row.buying_power, row.halted, row.halt_reason,
                row.refreshed_at, row.reconciled_at, row.stream_at,
            )
            for row in rows
        ]  # fmt: skip


def ensure_account(session: Session, user_id: int, mode: AccountMode) -> AccountRow:
    """The user's account row for a mode, made when missing."""
    query = select(AccountRow).where(AccountRow.user_id == user_id, AccountRow.mode == mode.value)
    row = session.scalar(query)
    if row is not None:
        return row
    try:
        with session.begin_nested():
            row = AccountRow(user_id=user_id, mode=mode.value, client_prefix=f"dt{secrets.token_hex(4)}")
            session.add(row)
        return row
    except IntegrityError:  # another session made it in this moment
        return session.scalars(query).one()


def _flush(session: Session, symbol: str, timeframe: str) -> None:
    try:
        session.flush()
    except IntegrityError as error:
        if "uq_user_bot_configs_symbol_timeframe" not in str(error.orig):
            raise
        session.rollback()
        raise InvalidInput(
            "timeframe", f"you have a bot for {symbol} at {timeframe} already; change that one, or choose another."
        ) from None


def _bot(session: Session, user_id: int, bot_id: int, *, lock: bool = False) -> BotRow:
    query = select(BotRow).where(BotRow.id == bot_id, BotRow.user_id == user_id, BotRow.deleted_at.is_(None))
    row = session.scalar(query.with_for_update() if lock else query)
    if row is None:
        raise NotFound(f"There is no bot {bot_id}.")
    return row


def _check_live(session: Session, user_id: int, mode: AccountMode) -> None:
    if mode is AccountMode.LIVE and ensure_account(session, user_id, mode).live_confirmed_at is None:
        raise Forbidden(
            "Live trading is not confirmed. Confirm it with your password and the typed sentence before you switch "
            "a live bot on."
        )


def _busy(session: Session, bot_id: int) -> bool:
    open_states = ("waiting", "planned", "submitting", "unknown", "live")
    query = select(IntentRow.id).where(IntentRow.bot_id == bot_id, IntentRow.state.in_(open_states)).limit(1)
    return session.scalar(query) is not None


def _held(session: Session, user_id: int) -> dict[int, Decimal]:
    query = select(LotRow.bot_id, func.sum(LotRow.open_qty)).where(LotRow.user_id == user_id, LotRow.open_qty != 0)
    return dict(session.execute(query.group_by(LotRow.bot_id)).tuples().all())


def _view(row: BotRow, held: Decimal) -> BotView:
    return BotView(
        to_config(row), row.order_status, row.last_signal, row.last_signal_time, row.current_position_side, held,
        row.total_pnl, row.total_trades, row.cooldown_until, row.created_at, row.has_passphrase,
    )  # fmt: skip


def _token_view(row: WebhookTokenRow) -> TokenView:
    addresses = tuple(a for a in (row.allowed_addresses or "").split(",") if a)
    return TokenView(
        row.id, row.prefix, row.label, row.bot_config_id, row.is_active, row.request_count, row.last_used_at,
        row.created_at, addresses,
    )  # fmt: skip
