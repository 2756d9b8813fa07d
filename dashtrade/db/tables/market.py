"""Market data that processes share: users' keys at sources, calls made to sources with a daily budget, what one process
asks of another that holds a key, live prices, and who wants them."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Date,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    Numeric,
    String,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from dashtrade.db.tables.base import Base, CreatedAt, PrimaryKey


class SourceCallsRow(Base):
    """How many calls a source has been asked on a day (New York's)."""

    __tablename__ = "source_calls"

    source: Mapped[str] = mapped_column(String(30), primary_key=True)
    day: Mapped[date] = mapped_column(Date, primary_key=True)
    calls: Mapped[int] = mapped_column(Integer, server_default=text("0"))


class LivePriceRow(Base):
    """The latest price of a symbol at a source. ``time`` is the price's own, ``seen_at`` when it was written."""

    __tablename__ = "live_prices"

    source: Mapped[str] = mapped_column(String(30), primary_key=True)
    symbol: Mapped[str] = mapped_column(String(20), primary_key=True)
    price: Mapped[Decimal] = mapped_column(Numeric(20, 8))
    bid: Mapped[Decimal | None] = mapped_column(Numeric(20, 8))
    ask: Mapped[Decimal | None] = mapped_column(Numeric(20, 8))
    time: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    delay_seconds: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    simulated: Mapped[bool] = mapped_column(Boolean, server_default=text("false"))
    seen_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


class LiveInterestRow(Base):
    """A symbol somebody looks at, until when; renewed while a page is open or an alert is active."""

    __tablename__ = "live_interest"
    __table_args__ = (Index("ix_live_interest_until", "until"),)

    source: Mapped[str] = mapped_column(String(30), primary_key=True)
    symbol: Mapped[str] = mapped_column(String(20), primary_key=True)
    until: Mapped[datetime] = mapped_column(DateTime(timezone=True))


class UserSourceKeyRow(Base):
    """A user's own key at a source of market data, encrypted; a source with one key alone has no secret."""

    __tablename__ = "user_source_keys"
    __table_args__ = (UniqueConstraint("user_id", "source"),)

    id: Mapped[PrimaryKey]
    user_id: Mapped[int] = mapped_column(BigInteger, ForeignKey("users.id", ondelete="CASCADE"))
    source: Mapped[str] = mapped_column(String(30))
    key_encrypted: Mapped[str] = mapped_column(Text)
    secret_encrypted: Mapped[str | None] = mapped_column(Text)
    key_hint: Mapped[str | None] = mapped_column(String(8))
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[CreatedAt]


class SourceRequestRow(Base):
    """A question to a source whose key the asking process does not hold; the jobs worker writes the answer."""

    __tablename__ = "source_requests"
    __table_args__ = (
        CheckConstraint("state IN ('waiting', 'taken', 'done', 'failed')", name="state_known"),
        Index("ix_source_requests_waiting", "id", postgresql_where=text("state = 'waiting'")),
        Index("ix_source_requests_created_at", "created_at"),
    )

    id: Mapped[PrimaryKey]
    user_id: Mapped[int] = mapped_column(BigInteger, ForeignKey("users.id", ondelete="CASCADE"), index=True)
    source: Mapped[str] = mapped_column(String(30))
    what: Mapped[str] = mapped_column(String(20))
    arguments: Mapped[dict[str, Any]] = mapped_column(JSONB)
    state: Mapped[str] = mapped_column(String(10), server_default="waiting")
    answer: Mapped[bytes | None] = mapped_column(LargeBinary)
    created_at: Mapped[CreatedAt]
