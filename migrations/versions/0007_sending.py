"""Channels of an alert rule, and messages that are claimed before they are sent."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_TABLE, _CHECK = "notification_deliveries", "ck_notification_deliveries_state_known"


def upgrade() -> None:
    op.add_column("alert_rules", sa.Column("channel_ids", ARRAY(sa.BigInteger()), nullable=True))
    op.add_column(_TABLE, sa.Column("claim", sa.String(32), nullable=True))
    op.add_column(_TABLE, sa.Column("claimed_until", sa.DateTime(timezone=True), nullable=True))
    op.drop_constraint(op.f(_CHECK), _TABLE)
    op.create_check_constraint(op.f(_CHECK), _TABLE, "state IN ('waiting', 'sending', 'sent', 'maybe', 'dead')")
    op.create_index(
        "ix_notification_deliveries_claimed",
        _TABLE,
        ["channel_id"],
        postgresql_where=sa.text("state = 'sending'"),
    )


def downgrade() -> None:
    op.drop_index("ix_notification_deliveries_claimed", _TABLE)
    op.execute("UPDATE notification_deliveries SET state = 'dead' WHERE state IN ('sending', 'maybe')")
    op.drop_constraint(op.f(_CHECK), _TABLE)
    op.create_check_constraint(op.f(_CHECK), _TABLE, "state IN ('waiting', 'sent', 'dead')")
    op.drop_column(_TABLE, "claimed_until")
    op.drop_column(_TABLE, "claim")
    op.drop_column("alert_rules", "channel_ids")
