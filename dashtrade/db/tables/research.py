"""Saved strategies, recorded backtests, the trial ledger, reports and their schedules. Every row belongs to a user."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Float,
    ForeignKey,
    Index,
    Integer,
    String,
    Text,
    UniqueConstraint,
    false,
    true,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from dashtrade.db.tables.base import Base, CreatedAt, PrimaryKey, Timestamp

_OWNER = "users.id"


class SavedStrategy(Base):
    """One version of a strategy; saving again adds a version, so that a recorded run can name the exact rules."""

    __tablename__ = "strategies"
    __table_args__ = (
        UniqueConstraint("user_id", "name", "version"),
        CheckConstraint("version >= 1", name="version"),
        CheckConstraint("name <> ''", name="name"),
    )

    id: Mapped[PrimaryKey]
    user_id: Mapped[int] = mapped_column(BigInteger, ForeignKey(_OWNER, ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(String(80))
    version: Mapped[int] = mapped_column(Integer)
    definition: Mapped[dict[str, Any]] = mapped_column(JSONB)
    notes: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[CreatedAt]


class BacktestRun(Base):
    """What was run on what data, and what came out; ``trials`` is how many parameter sets it tried."""

    __tablename__ = "backtest_runs"
    __table_args__ = (
        CheckConstraint("kind IN ('backtest', 'sweep', 'walk_forward')", name="kind"),
        CheckConstraint("trials >= 1", name="trials"),
        Index("ix_backtest_runs_user_id_created_at", "user_id", "created_at"),
    )

    id: Mapped[PrimaryKey]
    user_id: Mapped[int] = mapped_column(BigInteger, ForeignKey(_OWNER, ondelete="CASCADE"))
    kind: Mapped[str] = mapped_column(String(20))
    name: Mapped[str | None] = mapped_column(String(80))
    family: Mapped[str] = mapped_column(String(80))
    symbols: Mapped[list[str]] = mapped_column(JSONB)
    interval: Mapped[str] = mapped_column(String(8))
    data_hash: Mapped[str] = mapped_column(String(64))
    request_hash: Mapped[str] = mapped_column(String(64))
    result_hash: Mapped[str] = mapped_column(String(64))
    request: Mapped[dict[str, Any]] = mapped_column(JSONB)
    statistics: Mapped[dict[str, Any]] = mapped_column(JSONB)
    provenance: Mapped[dict[str, Any]] = mapped_column(JSONB)
    trials: Mapped[int] = mapped_column(Integer, default=1, server_default="1")
    seed: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    created_at: Mapped[CreatedAt]


class TrialCount(Base):
    """How often a user has tried a family of strategies on one data set, and how the Sharpe ratios of the tries spread.

    ``sharpe_mean`` and ``sharpe_m2`` are Welford's running mean and sum of squared deviations of the per-bar Sharpe
    ratios; the deflated Sharpe ratio needs their variance.
    """

    __tablename__ = "trial_counts"
    __table_args__ = (UniqueConstraint("user_id", "family", "data_hash"), CheckConstraint("count >= 0", name="count"))

    id: Mapped[PrimaryKey]
    user_id: Mapped[int] = mapped_column(BigInteger, ForeignKey(_OWNER, ondelete="CASCADE"))
    family: Mapped[str] = mapped_column(String(80))
    data_hash: Mapped[str] = mapped_column(String(64))
    count: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    sharpe_mean: Mapped[float] = mapped_column(Float, default=0.0, server_default="0")
    sharpe_m2: Mapped[float] = mapped_column(Float, default=0.0, server_default="0")
    updated_at: Mapped[CreatedAt]


class ReportSchedule(Base):
    """A report to be run again and again. ``cron`` is five fields on the clock of ``timezone``; ``trading_days_only``
    leaves out the days New York's exchange is closed."""

    __tablename__ = "report_schedules"
    __table_args__ = (Index("ix_report_schedules_is_active_next_run_at", "is_active", "next_run_at"),)

    id: Mapped[PrimaryKey]
    user_id: Mapped[int] = mapped_column(BigInteger, ForeignKey(_OWNER, ondelete="CASCADE"))
    report: Mapped[str] = mapped_column(String(40))
    name: Mapped[str] = mapped_column(String(120))
    parameters: Mapped[dict[str, Any]] = mapped_column(JSONB)
    cron: Mapped[str] = mapped_column(String(80))
    timezone: Mapped[str] = mapped_column(String(64), server_default="UTC")
    trading_days_only: Mapped[bool] = mapped_column(default=False, server_default=false())
    is_active: Mapped[bool] = mapped_column(default=True, server_default=true())
    next_run_at: Mapped[Timestamp | None] = mapped_column()
    last_run_at: Mapped[Timestamp | None] = mapped_column()
    created_at: Mapped[CreatedAt]


class ReportRun(Base):
    """One execution of a report; ``output_path`` is relative to the data folder."""

    __tablename__ = "report_runs"
    __table_args__ = (
        CheckConstraint("status IN ('queued', 'running', 'done', 'failed')", name="status"),
        Index("ix_report_runs_user_id_created_at", "user_id", "created_at"),
    )

    id: Mapped[PrimaryKey]
    user_id: Mapped[int] = mapped_column(BigInteger, ForeignKey(_OWNER, ondelete="CASCADE"))
    schedule_id: Mapped[int | None] = mapped_column(BigInteger, ForeignKey("report_schedules.id", ondelete="SET NULL"))
    report: Mapped[str] = mapped_column(String(40))
    parameters: Mapped[dict[str, Any]] = mapped_column(JSONB)
    status: Mapped[str] = mapped_column(String(12), default="queued", server_default="queued")
    output_path: Mapped[str | None] = mapped_column(Text)
    error: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[CreatedAt]
    started_at: Mapped[Timestamp | None] = mapped_column()
    finished_at: Mapped[Timestamp | None] = mapped_column()
