"""Alert rules beyond the ``alerts`` table, what they triggered, and how people are told about it."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, Boolean, CheckConstraint, ForeignKey, Index, Integer, String, Text, UniqueConstraint
from sqlalchemy import text as sql
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from dashtrade.db.tables.base import Base, CreatedAt, PrimaryKey, Timestamp

_USER, _ALERT = "users.id", "alerts.id"


class AlertRuleRow(Base):
    """How the alert of the same id is watched. An alert without this row is watched on daily bars, once.

    ``active_since``: only bars that close later can trigger it.
    """

    __tablename__ = "alert_rules"
    __table_args__ = (
        CheckConstraint("scope IN ('symbol', 'watchlist')", name="scope_known"),
        CheckConstraint("frequency IN ('once', 'bar', 'every')", name="frequency_known"),
        CheckConstraint("cooldown_seconds >= 0", name="cooldown"),
    )

    alert_id: Mapped[int] = mapped_column(BigInteger, ForeignKey(_ALERT, ondelete="CASCADE"), primary_key=True)
    name: Mapped[str | None] = mapped_column(String(120))
    scope: Mapped[str] = mapped_column(String(10), server_default="symbol")
    interval: Mapped[str] = mapped_column(String(8), server_default="1d")
    source: Mapped[str] = mapped_column(String(40), server_default="")
    frequency: Mapped[str] = mapped_column(String(10), server_default="once")
    cooldown_seconds: Mapped[int] = mapped_column(Integer, server_default="0")
    expires_at: Mapped[Timestamp | None] = mapped_column()
    active_since: Mapped[CreatedAt]
    # of scope watchlist: this named list of it; without one, all of it
    list_id: Mapped[int | None] = mapped_column(BigInteger, ForeignKey("watchlist_names.id"))
    # the channels that carry what it tells: none named is every one, an empty list is the program alone
    channel_ids: Mapped[list[int] | None] = mapped_column(ARRAY(BigInteger))


class AlertCursorRow(Base):
    """Up to which bar the rules on a symbol's bars were evaluated: one row for all rules that watch them."""

    __tablename__ = "alert_cursors"

    symbol: Mapped[str] = mapped_column(String(20), primary_key=True)
    interval: Mapped[str] = mapped_column(String(8), primary_key=True)
    source: Mapped[str] = mapped_column(String(200), primary_key=True, server_default="")
    bar_time: Mapped[Timestamp | None] = mapped_column()
    checked_at: Mapped[Timestamp | None] = mapped_column()
    problem: Mapped[str | None] = mapped_column(Text)


class AlertEventRow(Base):
    """A rule was met at the close of a bar; at most one for a rule, symbol and bar, however many workers look."""

    __tablename__ = "alert_events"
    __table_args__ = (
        UniqueConstraint("alert_id", "symbol", "bar_time"),
        Index("ix_alert_events_user_id_triggered_at", "user_id", "triggered_at"),
    )

    id: Mapped[PrimaryKey]
    user_id: Mapped[int] = mapped_column(BigInteger, ForeignKey(_USER, ondelete="CASCADE"))
    alert_id: Mapped[int] = mapped_column(BigInteger, ForeignKey(_ALERT, ondelete="CASCADE"))
    symbol: Mapped[str] = mapped_column(String(20))
    interval: Mapped[str] = mapped_column(String(8))
    bar_time: Mapped[Timestamp]
    triggered_at: Mapped[CreatedAt]
    condition_text: Mapped[str] = mapped_column(Text)
    detail: Mapped[str] = mapped_column(Text, server_default="")
    values: Mapped[dict[str, Any]] = mapped_column(JSONB)
    missed: Mapped[int] = mapped_column(Integer, server_default="0")
    simulated: Mapped[bool] = mapped_column(Boolean, server_default=sql("false"))


class NotificationRow(Base):
    """A message in the program itself; channels carry it further."""

    __tablename__ = "notifications"
    __table_args__ = (
        CheckConstraint("kind IN ('alert', 'report', 'test', 'system')", name="kind_known"),
        Index("ix_notifications_user_id_created_at", "user_id", "created_at"),
        Index("ix_notifications_unread", "user_id", postgresql_where=sql("read_at IS NULL")),
    )

    id: Mapped[PrimaryKey]
    user_id: Mapped[int] = mapped_column(BigInteger, ForeignKey(_USER, ondelete="CASCADE"))
    kind: Mapped[str] = mapped_column(String(10))
    title: Mapped[str] = mapped_column(String(200))
    body: Mapped[str] = mapped_column(Text)
    link: Mapped[str | None] = mapped_column(String(300))
    alert_event_id: Mapped[int | None] = mapped_column(
        BigInteger, ForeignKey("alert_events.id", ondelete="CASCADE"), unique=True
    )
    created_at: Mapped[CreatedAt]
    read_at: Mapped[Timestamp | None] = mapped_column()


class NotificationChannelRow(Base):
    """A way to reach a user outside the program. ``url_encrypted`` is an apprise address and holds passwords."""

    __tablename__ = "notification_channels"
    __table_args__ = (
        UniqueConstraint("user_id", "name"),
        CheckConstraint("most_per_hour BETWEEN 1 AND 1000", name="most_per_hour"),
        CheckConstraint("(quiet_from IS NULL) = (quiet_until IS NULL)", name="quiet_both"),
    )

    id: Mapped[PrimaryKey]
    user_id: Mapped[int] = mapped_column(BigInteger, ForeignKey(_USER, ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(String(80))
    service: Mapped[str] = mapped_column(String(40))
    url_encrypted: Mapped[str] = mapped_column(Text)
    is_active: Mapped[bool] = mapped_column(Boolean, server_default=sql("true"))
    most_per_hour: Mapped[int] = mapped_column(Integer, server_default="30")
    quiet_from: Mapped[str | None] = mapped_column(String(5))
    quiet_until: Mapped[str | None] = mapped_column(String(5))
    timezone: Mapped[str] = mapped_column(String(64), server_default="America/New_York")
    created_at: Mapped[CreatedAt]


class NotificationDeliveryRow(Base):
    """One notification on its way through one channel. ``sending``: claimed by a worker, until then; ``maybe``: its
    worker ended before the service's answer was known; ``dead``: given up, with the last error."""

    __tablename__ = "notification_deliveries"
    __table_args__ = (
        UniqueConstraint("notification_id", "channel_id"),
        CheckConstraint("state IN ('waiting', 'sending', 'sent', 'maybe', 'dead')", name="state_known"),
        Index("ix_notification_deliveries_due", "channel_id", "next_try_at", postgresql_where=sql("state = 'waiting'")),
        Index("ix_notification_deliveries_claimed", "channel_id", postgresql_where=sql("state = 'sending'")),
    )

    id: Mapped[PrimaryKey]
    user_id: Mapped[int] = mapped_column(BigInteger, ForeignKey(_USER, ondelete="CASCADE"), index=True)
    notification_id: Mapped[int] = mapped_column(BigInteger, ForeignKey("notifications.id", ondelete="CASCADE"))
    channel_id: Mapped[int] = mapped_column(BigInteger, ForeignKey("notification_channels.id", ondelete="CASCADE"))
    state: Mapped[str] = mapped_column(String(10), server_default="waiting")
    attempts: Mapped[int] = mapped_column(Integer, server_default="0")
    next_try_at: Mapped[CreatedAt]
    sent_at: Mapped[Timestamp | None] = mapped_column()
    claim: Mapped[str | None] = mapped_column(String(32))
    claimed_until: Mapped[Timestamp | None] = mapped_column()
    error: Mapped[str | None] = mapped_column(Text)
