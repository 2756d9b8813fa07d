"""Users and what belongs to them: sessions, preferences, watchlist, price alerts, API keys, and the audit log."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from dashtrade.db.tables.base import Base, CreatedAt, PrimaryKey

SYMBOL_PATTERN = r"^[A-Z0-9^][A-Z0-9.^=/_-]*$"


def _owner(index: bool = False) -> Any:
    """The owning user; everything a user has goes with the user."""
    return mapped_column(BigInteger, ForeignKey("users.id", ondelete="CASCADE"), index=index)


class UserRow(Base):
    """A person with a login. User names and addresses are kept in lower case, so that they are unique in any case."""

    __tablename__ = "users"
    __table_args__ = (
        CheckConstraint("username = lower(username) AND username ~ '^[a-z0-9][a-z0-9._-]*$'", name="username_plain"),
        CheckConstraint("email = lower(email) AND position('@' in email) > 1", name="email_plain"),
        CheckConstraint("role IN ('user', 'admin', 'superadmin')", name="role_known"),
        CheckConstraint("totp_confirmed_at IS NULL OR totp_secret_encrypted IS NOT NULL", name="totp_has_secret"),
    )

    id: Mapped[PrimaryKey]
    username: Mapped[str] = mapped_column(String(50), unique=True)
    email: Mapped[str] = mapped_column(String(254), unique=True)
    password_hash: Mapped[str] = mapped_column(String(255))
    full_name: Mapped[str | None] = mapped_column(String(100))
    role: Mapped[str] = mapped_column(String(20), server_default="user")
    created_at: Mapped[CreatedAt]
    last_login: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    is_active: Mapped[bool] = mapped_column(Boolean, server_default=text("true"))
    email_enabled: Mapped[bool] = mapped_column(Boolean, server_default=text("true"))
    password_changed_at: Mapped[CreatedAt]
    must_change_password: Mapped[bool] = mapped_column(Boolean, server_default=text("false"))
    totp_secret_encrypted: Mapped[str | None] = mapped_column(Text)
    totp_confirmed_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    totp_last_step: Mapped[int | None] = mapped_column(BigInteger)
    may_use_lab: Mapped[bool] = mapped_column(Boolean, server_default=text("false"))


class UserSessionRow(Base):
    """A signed-in browser. Only the SHA-256 of its token is kept; the row's end is the session's end."""

    __tablename__ = "user_sessions"
    __table_args__ = (
        CheckConstraint("length(token_sha256) = 32", name="token_is_sha256"),
        CheckConstraint("expires_at > created_at", name="expires_later"),
    )

    id: Mapped[PrimaryKey]
    user_id: Mapped[int] = _owner(index=True)
    token_sha256: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    created_at: Mapped[CreatedAt]
    last_seen_at: Mapped[CreatedAt]
    confirmed_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    expires_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), index=True)
    address: Mapped[str | None] = mapped_column(String(64))
    user_agent: Mapped[str | None] = mapped_column(String(300))


class LoginFailureRow(Base):
    """A failed sign-in, for throttling. The account is kept as a hash, since people type passwords into name fields."""

    __tablename__ = "login_failures"
    __table_args__ = (
        Index("ix_login_failures_account", "account_sha256", "failed_at"),
        Index("ix_login_failures_address", "address", "failed_at"),
    )

    id: Mapped[PrimaryKey]
    account_sha256: Mapped[bytes] = mapped_column(LargeBinary)
    address: Mapped[str | None] = mapped_column(String(64))
    failed_at: Mapped[CreatedAt]


class RecoveryCodeRow(Base):
    """A code that stands in for a lost authenticator, once. Random, so that its SHA-256 is enough."""

    __tablename__ = "recovery_codes"
    __table_args__ = (
        UniqueConstraint("user_id", "code_sha256"),
        CheckConstraint("length(code_sha256) = 32", name="code_is_sha256"),
    )

    id: Mapped[PrimaryKey]
    user_id: Mapped[int] = _owner()
    code_sha256: Mapped[bytes] = mapped_column(LargeBinary)
    created_at: Mapped[CreatedAt]
    used_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class AccountTokenRow(Base):
    """An invitation, a password reset link, or a sign-in between its two steps; kept as SHA-256, good once."""

    __tablename__ = "account_tokens"
    __table_args__ = (
        CheckConstraint("purpose IN ('invitation', 'reset', 'second_step')", name="purpose_known"),
        CheckConstraint("length(token_sha256) = 32", name="token_is_sha256"),
        CheckConstraint("purpose = 'invitation' OR user_id IS NOT NULL", name="reset_has_user"),
        CheckConstraint("role IN ('user', 'admin', 'superadmin')", name="role_known"),
    )

    id: Mapped[PrimaryKey]
    purpose: Mapped[str] = mapped_column(String(20))
    token_sha256: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    user_id: Mapped[int | None] = _owner(index=True)
    email: Mapped[str | None] = mapped_column(String(254))
    role: Mapped[str] = mapped_column(String(20), server_default="user")
    created_at: Mapped[CreatedAt]
    expires_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    used_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class UserPreferenceRow(Base):
    """One setting of one user, as JSON text."""

    __tablename__ = "user_preferences"
    __table_args__ = (UniqueConstraint("user_id", "key"),)

    id: Mapped[PrimaryKey]
    user_id: Mapped[int] = _owner()
    key: Mapped[str] = mapped_column(String(100))
    value: Mapped[str | None] = mapped_column(Text)
    updated_at: Mapped[CreatedAt]


class WatchlistRow(Base):
    """A symbol a user follows."""

    __tablename__ = "watchlist"
    __table_args__ = (
        UniqueConstraint("user_id", "symbol"),
        CheckConstraint(f"symbol ~ '{SYMBOL_PATTERN}'", name="symbol_plain"),
    )

    id: Mapped[PrimaryKey]
    user_id: Mapped[int] = _owner()
    symbol: Mapped[str] = mapped_column(String(20))
    name: Mapped[str | None] = mapped_column(String(200))
    added_at: Mapped[CreatedAt]
    notes: Mapped[str | None] = mapped_column(Text)


class PriceAlertRow(Base):
    """A price or indicator alert of a user."""

    __tablename__ = "alerts"
    __table_args__ = (
        CheckConstraint(f"symbol ~ '{SYMBOL_PATTERN}'", name="symbol_plain"),
        Index("ix_alerts_active", "symbol", postgresql_where=text("is_active")),
    )

    id: Mapped[PrimaryKey]
    user_id: Mapped[int] = _owner(index=True)
    symbol: Mapped[str] = mapped_column(String(20))
    alert_type: Mapped[str] = mapped_column(String(50))
    condition_text: Mapped[str] = mapped_column(Text)
    is_active: Mapped[bool] = mapped_column(Boolean, server_default=text("true"))
    triggered_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    created_at: Mapped[CreatedAt]


class UserApiKeyRow(Base):
    """A user's keys at Alpaca, encrypted; one pair for each mode."""

    __tablename__ = "user_api_keys"
    __table_args__ = (
        UniqueConstraint("user_id", "alpaca_mode"),
        CheckConstraint("alpaca_mode IN ('paper', 'live')", name="mode_known"),
    )

    id: Mapped[PrimaryKey]
    user_id: Mapped[int] = _owner()
    alpaca_api_key_encrypted: Mapped[str] = mapped_column(Text)
    alpaca_secret_key_encrypted: Mapped[str] = mapped_column(Text)
    alpaca_mode: Mapped[str] = mapped_column(String(10), server_default="paper")
    key_hint: Mapped[str | None] = mapped_column(String(8))
    is_active: Mapped[bool] = mapped_column(Boolean, server_default=text("true"))
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[CreatedAt]


class AuditLogRow(Base):
    """Who did what, append-only: a trigger refuses UPDATE, DELETE and TRUNCATE.

    ``actor_id`` and ``user_id`` are plain numbers and not foreign keys, so that the log outlives the users.
    """

    __tablename__ = "audit_log"
    __table_args__ = (Index("ix_audit_log_user", "user_id", "at"), Index("ix_audit_log_at", "at"))

    id: Mapped[PrimaryKey]
    at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.clock_timestamp())
    actor_id: Mapped[int | None] = mapped_column(BigInteger)
    user_id: Mapped[int | None] = mapped_column(BigInteger)
    action: Mapped[str] = mapped_column(String(50))
    detail: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=text("'{}'::jsonb"))
    address: Mapped[str | None] = mapped_column(String(64))


class AppStateRow(Base):
    """A system-wide value, such as the halt switch, a worker's heartbeat or a fingerprint of the encryption key."""

    __tablename__ = "app_state"

    key: Mapped[str] = mapped_column(String(100), primary_key=True)
    value: Mapped[Any] = mapped_column(JSONB)
    version: Mapped[int] = mapped_column(Integer, server_default=text("1"))
    updated_at: Mapped[CreatedAt]
