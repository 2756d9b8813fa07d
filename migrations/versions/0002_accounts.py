"""Accounts: second factor with recovery codes, and who may use JupyterLab."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("users", sa.Column("totp_confirmed_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("users", sa.Column("totp_last_step", sa.BigInteger(), nullable=True))
    op.add_column("users", sa.Column("may_use_lab", sa.Boolean(), server_default=sa.text("false"), nullable=False))
    op.create_check_constraint(
        op.f("ck_users_totp_has_secret"), "users", "totp_confirmed_at IS NULL OR totp_secret_encrypted IS NOT NULL"
    )
    op.create_table(
        "recovery_codes",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("code_sha256", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("length(code_sha256) = 32", name=op.f("ck_recovery_codes_code_is_sha256")),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_recovery_codes_user_id_users"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_recovery_codes")),
        sa.UniqueConstraint("user_id", "code_sha256", name=op.f("uq_recovery_codes_user_id_code_sha256")),
    )
    _purposes("purpose IN ('invitation', 'reset', 'second_step')", "purpose = 'invitation' OR user_id IS NOT NULL")


def downgrade() -> None:
    op.execute("DELETE FROM account_tokens WHERE purpose = 'second_step'")
    _purposes("purpose IN ('invitation', 'reset')", "purpose <> 'reset' OR user_id IS NOT NULL")
    op.drop_table("recovery_codes")
    op.drop_constraint(op.f("ck_users_totp_has_secret"), "users", type_="check")
    for name in ("may_use_lab", "totp_last_step", "totp_confirmed_at"):
        op.drop_column("users", name)


def _purposes(known: str, has_user: str) -> None:
    for name, rule in (("purpose_known", known), ("reset_has_user", has_user)):
        op.drop_constraint(op.f(f"ck_account_tokens_{name}"), "account_tokens", type_="check")
        op.create_check_constraint(op.f(f"ck_account_tokens_{name}"), "account_tokens", rule)
