"""Data sources."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "user_source_keys",
        sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("source", sa.String(30), nullable=False),
        sa.Column("key_encrypted", sa.Text(), nullable=False),
        sa.Column("secret_encrypted", sa.Text()),
        sa.Column("key_hint", sa.String(8)),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_user_source_keys"),
        sa.UniqueConstraint("user_id", "source", name="uq_user_source_keys_user_id_source"),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name="fk_user_source_keys_user_id_users", ondelete="CASCADE"
        ),
    )
    op.create_table(
        "source_requests",
        sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("source", sa.String(30), nullable=False),
        sa.Column("what", sa.String(20), nullable=False),
        sa.Column("arguments", JSONB(), nullable=False),
        sa.Column("state", sa.String(10), server_default="waiting", nullable=False),
        sa.Column("answer", sa.LargeBinary()),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_source_requests"),
        sa.CheckConstraint(
            "state IN ('waiting', 'taken', 'done', 'failed')", name=op.f("ck_source_requests_state_known")
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_source_requests_user_id_users", ondelete="CASCADE"),
    )
    op.create_index("ix_source_requests_user_id", "source_requests", ["user_id"])
    op.create_index("ix_source_requests_created_at", "source_requests", ["created_at"])
    op.create_index(
        "ix_source_requests_waiting", "source_requests", ["id"], postgresql_where=sa.text("state = 'waiting'")
    )


def downgrade() -> None:
    op.drop_table("source_requests")
    op.drop_table("user_source_keys")
