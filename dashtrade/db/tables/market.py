"""Market data that processes share: calls made to sources with a daily budget, live prices, and who wants them."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal

from sqlalchemy import Boolean, Date, DateTime, Index, Integer, Numeric, String, text
from sqlalchemy.orm import Mapped, mapped_column

from dashtrade.db.tables.base import Base


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
