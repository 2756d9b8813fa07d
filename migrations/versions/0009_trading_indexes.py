"""Indexes of what the trader asks at every alert, whose tables only grow."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(
        "ix_alert_inbox_undecided",
        "alert_inbox",
        ["bot_id", "received_at", "id"],
        postgresql_where=sa.text("state = 'received'"),
    )
    op.create_index("ix_order_intents_account_id_ended_at", "order_intents", ["account_id", "ended_at"])
    op.create_index("ix_executions_account_id_symbol", "executions", ["account_id", "symbol", "executed_at"])


def downgrade() -> None:
    op.drop_index("ix_executions_account_id_symbol", "executions")
    op.drop_index("ix_order_intents_account_id_ended_at", "order_intents")
    op.drop_index("ix_alert_inbox_undecided", "alert_inbox")
