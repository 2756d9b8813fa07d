"""Trading: entries with a stop loss and take profit at the broker, and a passphrase for each bot."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

STATES = (
    "waiting", "planned", "submitting", "unknown", "live", "resting", "filled", "canceled", "expired", "rejected",
    "never_landed",
)  # fmt: skip
PRICES = ("stop_price", "stop_loss", "take_profit")
CHECK: dict[str, sa.types.TypeEngine[object]] = {
    "check_asked_at": sa.DateTime(timezone=True),
    "check_done_at": sa.DateTime(timezone=True),
    "check_ok": sa.Boolean(),
    "check_text": sa.Text(),
}


def upgrade() -> None:
    for name in PRICES:
        op.add_column("order_intents", sa.Column(name, sa.Numeric(18, 6), nullable=True))
    op.add_column("order_intents", sa.Column("parent_id", sa.BigInteger(), nullable=True))
    op.create_foreign_key(
        op.f("fk_order_intents_parent_id_order_intents"),
        "order_intents",
        "order_intents",
        ["parent_id"],
        ["id"],
        ondelete="CASCADE",
    )
    op.create_index(
        "ix_order_intents_parent_id",
        "order_intents",
        ["parent_id"],
        postgresql_where=sa.text("parent_id IS NOT NULL"),
    )
    op.create_index(
        "ix_order_intents_resting",
        "order_intents",
        ["account_id", "symbol"],
        postgresql_where=sa.text("state = 'resting'"),
    )
    _states(STATES)
    op.add_column("bot_trades", sa.Column("notified_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("user_bot_configs", sa.Column("passphrase_hash", sa.String(120), nullable=True))
    op.add_column(
        "user_bot_configs",
        sa.Column(
            "has_passphrase", sa.Boolean(), sa.Computed("passphrase_hash IS NOT NULL", persisted=True), nullable=False
        ),
    )
    for name, kind in CHECK.items():
        op.add_column("account_state", sa.Column(name, kind, nullable=True))


def downgrade() -> None:
    for name in CHECK:
        op.drop_column("account_state", name)
    op.drop_column("user_bot_configs", "has_passphrase")
    op.drop_column("user_bot_configs", "passphrase_hash")
    op.drop_column("bot_trades", "notified_at")
    op.execute("UPDATE order_intents SET state = 'canceled', ended_at = now() WHERE state = 'resting'")
    _states(tuple(state for state in STATES if state != "resting"))
    for name in ("ix_order_intents_resting", "ix_order_intents_parent_id"):
        op.drop_index(name, "order_intents")
    op.drop_constraint(op.f("fk_order_intents_parent_id_order_intents"), "order_intents", type_="foreignkey")
    for name in ("parent_id", *reversed(PRICES)):
        op.drop_column("order_intents", name)


def _states(known: tuple[str, ...]) -> None:
    listed = ", ".join(f"'{state}'" for state in known)
    op.drop_constraint(op.f("ck_order_intents_state"), "order_intents", type_="check")
    op.create_check_constraint(op.f("ck_order_intents_state"), "order_intents", f"state IN ({listed})")
