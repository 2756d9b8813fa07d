"""Named lists of watched symbols, and what each brokerage account was worth at the end of each trading day."""

from __future__ import annotations

from datetime import date

from sqlalchemy import BigInteger, CheckConstraint, Date, ForeignKey, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from dashtrade.db.tables.base import Base, CreatedAt, Money, PrimaryKey

_OWNER = "users.id"


class WatchlistNameRow(Base):
    """A named part of a user's watchlist. Without one, everything in ``watchlist`` is the list."""

    __tablename__ = "watchlist_names"
    __table_args__ = (UniqueConstraint("user_id", "name"), CheckConstraint("name <> ''", name="name"))

    id: Mapped[PrimaryKey]
    user_id: Mapped[int] = mapped_column(BigInteger, ForeignKey(_OWNER, ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(String(60))
    created_at: Mapped[CreatedAt]


class WatchlistMemberRow(Base):
    """A watched symbol that is in a named list; it may be in several, and leaves all when it is no longer watched."""

    __tablename__ = "watchlist_members"
    __table_args__ = (
        Index("ix_watchlist_members_user_id", "user_id"),
        Index("ix_watchlist_members_watchlist_id", "watchlist_id"),
    )

    list_id: Mapped[int] = mapped_column(
        BigInteger, ForeignKey("watchlist_names.id", ondelete="CASCADE"), primary_key=True
    )
    watchlist_id: Mapped[int] = mapped_column(
        BigInteger, ForeignKey("watchlist.id", ondelete="CASCADE"), primary_key=True
    )
    user_id: Mapped[int] = mapped_column(BigInteger, ForeignKey(_OWNER, ondelete="CASCADE"))
    added_at: Mapped[CreatedAt]


class AccountEquityRow(Base):
    """An account's equity at the end of a New York trading day: one row a day."""

    __tablename__ = "account_equity"
    __table_args__ = (Index("ix_account_equity_user_id_day", "user_id", "day"),)

    account_id: Mapped[int] = mapped_column(
        BigInteger, ForeignKey("account_state.id", ondelete="CASCADE"), primary_key=True
    )
    day: Mapped[date] = mapped_column(Date, primary_key=True)
    user_id: Mapped[int] = mapped_column(BigInteger, ForeignKey(_OWNER, ondelete="CASCADE"))
    equity: Mapped[Money]
    cash: Mapped[Money | None]
    recorded_at: Mapped[CreatedAt]
