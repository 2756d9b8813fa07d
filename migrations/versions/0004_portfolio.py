"""Portfolio: named watchlists, alerts on one of them, and the accounts' history."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "watchlist_names",
        sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.String(60), nullable=False),
        _moment("created_at"),
        sa.PrimaryKeyConstraint("id", name="pk_watchlist_names"),
        sa.UniqueConstraint("user_id", "name", name="uq_watchlist_names_user_id_name"),
        sa.CheckConstraint("name <> ''", name=op.f("ck_watchlist_names_name")),
        _belongs("watchlist_names", "user_id", "users"),
    )
    op.create_table(
        "watchlist_members",
        sa.Column("list_id", sa.BigInteger(), nullable=False),
        sa.Column("watchlist_id", sa.BigInteger(), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        _moment("added_at"),
        sa.PrimaryKeyConstraint("list_id", "watchlist_id", name="pk_watchlist_members"),
        _belongs("watchlist_members", "list_id", "watchlist_names"),
        _belongs("watchlist_members", "watchlist_id", "watchlist"),
        _belongs("watchlist_members", "user_id", "users"),
    )
    op.create_index("ix_watchlist_members_user_id", "watchlist_members", ["user_id"])
    op.create_index("ix_watchlist_members_watchlist_id", "watchlist_members", ["watchlist_id"])
    op.create_table(
        "account_equity",
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("equity", sa.Numeric(18, 4), nullable=False),
        sa.Column("cash", sa.Numeric(18, 4), nullable=True),
        _moment("recorded_at"),
        sa.PrimaryKeyConstraint("account_id", "day", name="pk_account_equity"),
        _belongs("account_equity", "account_id", "account_state"),
        _belongs("account_equity", "user_id", "users"),
    )
    op.create_index("ix_account_equity_user_id_day", "account_equity", ["user_id", "day"])
    # a list that rules watch cannot be deleted: they would watch something else, or nothing
    op.add_column("alert_rules", sa.Column("list_id", sa.BigInteger(), nullable=True))
    op.create_foreign_key(
        "fk_alert_rules_list_id_watchlist_names", "alert_rules", "watchlist_names", ["list_id"], ["id"]
    )


def downgrade() -> None:
    op.drop_constraint("fk_alert_rules_list_id_watchlist_names", "alert_rules", type_="foreignkey")
    op.drop_column("alert_rules", "list_id")
    for table in ("account_equity", "watchlist_members", "watchlist_names"):
        op.drop_table(table)


def _moment(name: str) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False)


def _belongs(table: str, column: str, to: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint([column], [f"{to}.id"], name=f"fk_{table}_{column}_{to}", ondelete="CASCADE")
