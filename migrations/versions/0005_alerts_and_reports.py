"""Alerts, reports, and names of recorded backtests."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.alter_column("alert_cursors", "source", type_=sa.String(200), existing_type=sa.String(40))
    op.add_column("backtest_runs", sa.Column("name", sa.String(80), nullable=True))


def downgrade() -> None:
    op.drop_column("backtest_runs", "name")
    op.execute("DELETE FROM alert_cursors WHERE length(source) > 40")
    op.alter_column("alert_cursors", "source", type_=sa.String(40), existing_type=sa.String(200))
