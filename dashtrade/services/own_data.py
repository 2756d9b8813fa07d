"""A person's own data: a copy of all of it, and the end of the account."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import ColumnElement, Table, delete, select

from dashtrade.db.tables import Base
from dashtrade.db.tables.accounts import AuditLogRow, UserRow
from dashtrade.db.tables.trading import AccountRow, BotRow, IntentRow, LotRow
from dashtrade.db.unit_of_work import UnitOfWork
from dashtrade.domain.bots import AccountMode
from dashtrade.domain.users import Role
from dashtrade.errors import Forbidden, NotFound
from dashtrade.services import audit
from dashtrade.services.users import keep_a_superadmin

#: table → columns that are never handed out: hashes, ciphertexts, and names inside this installation
WITHHELD = {
    "users": {"password_hash", "totp_secret_encrypted", "totp_last_step"},
    "recovery_codes": {"code_sha256"},
    "user_sessions": {"token_sha256"},
    "account_tokens": {"token_sha256"},
    "user_api_keys": {"alpaca_api_key_encrypted", "alpaca_secret_key_encrypted"},
    "user_source_keys": {"key_encrypted", "secret_encrypted"},
    "notification_channels": {"url_encrypted"},
    "source_requests": {"answer"},
    "user_webhook_tokens": {"token"},
    "user_bot_configs": {"passphrase_hash"},
    "account_state": {"lease_owner", "lease_until", "epoch"},
}
OPEN_STATES = ("waiting", "planned", "submitting", "unknown", "live")


def export_data(uow: UnitOfWork, user_id: int) -> dict[str, Any]:
    """Everything kept about the user, as JSON values: table → rows. Times are ISO 8601, amounts are texts."""
    tables = {
        table.name: [_plain(row) for row in uow.session.execute(query).mappings()] for table, query in _queries(user_id)
    }
    audit.record(uow, "data_exported", actor_id=user_id, user_id=user_id)
    uow.commit()
    return {"exported_at": datetime.now(UTC).isoformat(), "user_id": user_id, "tables": tables}


def live_allowed_since(uow: UnitOfWork, user_id: int) -> datetime | None:
    """When the user allowed trading with real money; None when it is not allowed."""
    query = select(AccountRow.live_confirmed_at).where(
        AccountRow.user_id == user_id, AccountRow.mode == AccountMode.LIVE.value
    )
    return uow.session.scalar(query)


def delete_account(uow: UnitOfWork, user_id: int, *, address: str | None = None) -> None:
    """End the account: the user and all that is theirs. The caller has confirmed the password.

    Raises Forbidden for the last superadmin, and while a bot is on, an order is open or a position is held: nobody
    would look after them. The audit log stays, with the user's number and without a name.
    """
    row = uow.session.scalar(select(UserRow).where(UserRow.id == user_id).with_for_update())
    if row is None:
        raise NotFound(f"There is no user {user_id}.")
    if row.role == Role.SUPERADMIN.value:
        keep_a_superadmin(uow, user_id)
    for query, problem in (
        (select(BotRow.id).where(BotRow.user_id == user_id, BotRow.is_active), "Switch your bots off first."),
        (
            select(IntentRow.id).where(IntentRow.user_id == user_id, IntentRow.state.in_(OPEN_STATES)),
            "Cancel your open orders first, or wait until they are done.",
        ),
        (
            select(LotRow.id).where(LotRow.user_id == user_id, LotRow.open_qty != 0),
            "Your bots hold positions. Close them first.",
        ),
    ):
        if uow.session.scalar(query.limit(1)) is not None:
            raise Forbidden(problem)
    audit.record(uow, "account_deleted", actor_id=user_id, user_id=user_id, address=address)
    uow.session.flush()
    uow.session.execute(delete(UserRow).where(UserRow.id == user_id))
    uow.commit()


def _queries(user_id: int) -> Iterator[tuple[Any, Any]]:
    """Every table with rows of a user, so that a new table is in the export without anybody thinking of it."""
    for table in sorted(Base.metadata.tables.values(), key=lambda table: table.name):
        mine = _of_user(table, user_id)
        if mine is None:
            continue
        columns = [column for column in table.c if column.name not in WITHHELD.get(table.name, set())]
        query = select(*columns).where(mine)
        if table.name == AuditLogRow.__tablename__:
            query = query.order_by(table.c.id)
        yield table, query


def _of_user(table: Table, user_id: int) -> ColumnElement[bool] | None:
    """Which rows are the user's: by their own column, or by the row they belong to; None where nobody owns any."""
    if table.name == UserRow.__tablename__:
        return table.c.id == user_id
    if "user_id" in table.c:
        return table.c.user_id == user_id
    for key in sorted(table.foreign_keys, key=lambda key: key.parent.name):
        owner = key.column.table
        if "user_id" in owner.c and not key.parent.nullable:
            return key.parent.in_(select(key.column).where(owner.c.user_id == user_id))
    return None


def _plain(row: Any) -> dict[str, Any]:
    return {name: _json(value) for name, value in row.items()}


def _json(value: Any) -> Any:
    if isinstance(value, (datetime, date)):
        return value.isoformat()
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return value
