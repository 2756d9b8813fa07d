"""The first schema: accounts, bots and the trading ledger, research and reports, the job queue, append-only logs."""

# ruff: noqa: E501
from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from procrastinate.schema import SchemaManager
from sqlalchemy.dialects.postgresql import JSONB

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# A row deleted by a foreign key's cascade comes from inside another trigger; a log whose rows belong to a user may go
# with the user, and never otherwise.
REFUSE_CHANGE = """
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' AND TG_ARGV[0] = 'cascade' AND pg_trigger_depth() > 1 THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege';
END
$$
"""
# Only a process that has checked the password may allow live trading; the account of page kernels cannot.
GUARD_LIVE = """
CREATE FUNCTION guard_live() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF current_user LIKE 'dashtrade_pages%' AND NEW.live_confirmed_at IS NOT NULL
       AND (TG_OP = 'INSERT' OR OLD.live_confirmed_at IS DISTINCT FROM NEW.live_confirmed_at) THEN
        RAISE EXCEPTION 'permission denied: pages cannot confirm live trading' USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END
$$
"""
# The queue's functions name their tables plainly: with this they work from any session.
OWN_SEARCH_PATH = """
DO $$
DECLARE
    routine regprocedure;
BEGIN
    FOR routine IN SELECT oid FROM pg_proc WHERE pronamespace = 'jobs'::regnamespace LOOP
        EXECUTE format('ALTER FUNCTION %s SET search_path = jobs', routine);
    END LOOP;
END
$$
"""
APPEND_ONLY = {"audit_log": "never", "order_events": "cascade"}


def upgrade() -> None:
    op.create_table(
        "app_state",
        sa.Column("key", sa.String(length=100), nullable=False),
        sa.Column("value", JSONB(), nullable=False),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_app_state")),
    )
    op.create_table(
        "audit_log",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.Column("actor_id", sa.BigInteger(), nullable=True),
        sa.Column("user_id", sa.BigInteger(), nullable=True),
        sa.Column("action", sa.String(length=50), nullable=False),
        sa.Column("detail", JSONB(), server_default=sa.text("'{}'::jsonb"), nullable=False),
        sa.Column("address", sa.String(length=64), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_log")),
    )
    op.create_index("ix_audit_log_at", "audit_log", ["at"], unique=False)
    op.create_index("ix_audit_log_user", "audit_log", ["user_id", "at"], unique=False)
    op.create_table(
        "live_interest",
        sa.Column("source", sa.String(length=30), nullable=False),
        sa.Column("symbol", sa.String(length=20), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("source", "symbol", name=op.f("pk_live_interest")),
    )
    op.create_index("ix_live_interest_until", "live_interest", ["until"], unique=False)
    op.create_table(
        "live_prices",
        sa.Column("source", sa.String(length=30), nullable=False),
        sa.Column("symbol", sa.String(length=20), nullable=False),
        sa.Column("price", sa.Numeric(precision=20, scale=8), nullable=False),
        sa.Column("bid", sa.Numeric(precision=20, scale=8), nullable=True),
        sa.Column("ask", sa.Numeric(precision=20, scale=8), nullable=True),
        sa.Column("time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("delay_seconds", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("simulated", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("source", "symbol", name=op.f("pk_live_prices")),
    )
    op.create_table(
        "login_failures",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("account_sha256", sa.LargeBinary(), nullable=False),
        sa.Column("address", sa.String(length=64), nullable=True),
        sa.Column("failed_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_login_failures")),
    )
    op.create_index("ix_login_failures_account", "login_failures", ["account_sha256", "failed_at"], unique=False)
    op.create_index("ix_login_failures_address", "login_failures", ["address", "failed_at"], unique=False)
    op.create_table(
        "source_calls",
        sa.Column("source", sa.String(length=30), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("calls", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.PrimaryKeyConstraint("source", "day", name=op.f("pk_source_calls")),
    )
    op.create_table(
        "trader_heartbeats",
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("beat_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("accounts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("stream_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_trader_heartbeats")),
    )
    op.create_table(
        "users",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("username", sa.String(length=50), nullable=False),
        sa.Column("email", sa.String(length=254), nullable=False),
        sa.Column("password_hash", sa.String(length=255), nullable=False),
        sa.Column("full_name", sa.String(length=100), nullable=True),
        sa.Column("role", sa.String(length=20), server_default="user", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("last_login", sa.DateTime(timezone=True), nullable=True),
        sa.Column("is_active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("email_enabled", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("password_changed_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("must_change_password", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("totp_secret_encrypted", sa.Text(), nullable=True),
        sa.CheckConstraint("email = lower(email) AND position('@' in email) > 1", name=op.f("ck_users_email_plain")),
        sa.CheckConstraint("role IN ('user', 'admin', 'superadmin')", name=op.f("ck_users_role_known")),
        sa.CheckConstraint(
            "username = lower(username) AND username ~ '^[a-z0-9][a-z0-9._-]*$'", name=op.f("ck_users_username_plain")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_users")),
        sa.UniqueConstraint("email", name=op.f("uq_users_email")),
        sa.UniqueConstraint("username", name=op.f("uq_users_username")),
    )
    op.create_table(
        "account_state",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("mode", sa.String(length=10), nullable=False),
        sa.Column("client_prefix", sa.String(length=16), nullable=False),
        sa.Column("epoch", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("lease_owner", sa.String(length=100), nullable=True),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("halted", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("halt_reason", sa.Text(), nullable=True),
        sa.Column("reserved_exposure", sa.Numeric(precision=18, scale=4), server_default="0", nullable=False),
        sa.Column("session_date", sa.Date(), nullable=True),
        sa.Column("broker_account_id", sa.String(length=64), nullable=True),
        sa.Column("equity", sa.Numeric(precision=18, scale=4), nullable=True),
        sa.Column("last_equity", sa.Numeric(precision=18, scale=4), nullable=True),
        sa.Column("cash", sa.Numeric(precision=18, scale=4), nullable=True),
        sa.Column("buying_power", sa.Numeric(precision=18, scale=4), nullable=True),
        sa.Column("refreshed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("reconciled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("stream_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("activities_cursor", sa.DateTime(timezone=True), nullable=True),
        sa.Column("live_confirmed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("mode IN ('simulated', 'paper', 'live')", name=op.f("ck_account_state_mode")),
        sa.CheckConstraint("epoch >= 0", name=op.f("ck_account_state_epoch")),
        sa.CheckConstraint("reserved_exposure >= 0", name=op.f("ck_account_state_reserved_exposure")),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_account_state_user_id_users"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_account_state")),
        sa.UniqueConstraint("client_prefix", name=op.f("uq_account_state_client_prefix")),
        sa.UniqueConstraint("user_id", "mode", name=op.f("uq_account_state_user_id_mode")),
    )
    op.create_table(
        "account_tokens",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("purpose", sa.String(length=20), nullable=False),
        sa.Column("token_sha256", sa.LargeBinary(), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=True),
        sa.Column("email", sa.String(length=254), nullable=True),
        sa.Column("role", sa.String(length=20), server_default="user", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("purpose <> 'reset' OR user_id IS NOT NULL", name=op.f("ck_account_tokens_reset_has_user")),
        sa.CheckConstraint("purpose IN ('invitation', 'reset')", name=op.f("ck_account_tokens_purpose_known")),
        sa.CheckConstraint("role IN ('user', 'admin', 'superadmin')", name=op.f("ck_account_tokens_role_known")),
        sa.CheckConstraint("length(token_sha256) = 32", name=op.f("ck_account_tokens_token_is_sha256")),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_account_tokens_user_id_users"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_account_tokens")),
        sa.UniqueConstraint("token_sha256", name=op.f("uq_account_tokens_token_sha256")),
    )
    op.create_index(op.f("ix_account_tokens_user_id"), "account_tokens", ["user_id"], unique=False)
    op.create_table(
        "alerts",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("symbol", sa.String(length=20), nullable=False),
        sa.Column("alert_type", sa.String(length=50), nullable=False),
        sa.Column("condition_text", sa.Text(), nullable=False),
        sa.Column("is_active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("triggered_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("symbol ~ '^[A-Z0-9^][A-Z0-9.^=/_-]*$'", name=op.f("ck_alerts_symbol_plain")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_alerts_user_id_users"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alerts")),
    )
    op.create_index("ix_alerts_active", "alerts", ["symbol"], unique=False, postgresql_where=sa.text("is_active"))
    op.create_index(op.f("ix_alerts_user_id"), "alerts", ["user_id"], unique=False)
    op.create_table(
        "backtest_runs",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("family", sa.String(length=80), nullable=False),
        sa.Column("symbols", JSONB(), nullable=False),
        sa.Column("interval", sa.String(length=8), nullable=False),
        sa.Column("data_hash", sa.String(length=64), nullable=False),
        sa.Column("request_hash", sa.String(length=64), nullable=False),
        sa.Column("result_hash", sa.String(length=64), nullable=False),
        sa.Column("request", JSONB(), nullable=False),
        sa.Column("statistics", JSONB(), nullable=False),
        sa.Column("provenance", JSONB(), nullable=False),
        sa.Column("trials", sa.Integer(), server_default="1", nullable=False),
        sa.Column("seed", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("kind IN ('backtest', 'sweep', 'walk_forward')", name=op.f("ck_backtest_runs_kind")),
        sa.CheckConstraint("trials >= 1", name=op.f("ck_backtest_runs_trials")),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_backtest_runs_user_id_users"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_backtest_runs")),
    )
    op.create_index("ix_backtest_runs_user_id_created_at", "backtest_runs", ["user_id", "created_at"], unique=False)
    op.create_table(
        "report_schedules",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("report", sa.String(length=40), nullable=False),
        sa.Column("name", sa.String(length=120), nullable=False),
        sa.Column("parameters", JSONB(), nullable=False),
        sa.Column("cron", sa.String(length=80), nullable=False),
        sa.Column("timezone", sa.String(length=64), server_default="UTC", nullable=False),
        sa.Column("trading_days_only", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("is_active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("next_run_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_run_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_report_schedules_user_id_users"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_report_schedules")),
    )
    op.create_index(
        "ix_report_schedules_is_active_next_run_at", "report_schedules", ["is_active", "next_run_at"], unique=False
    )
    op.create_table(
        "strategies",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.String(length=80), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("definition", JSONB(), nullable=False),
        sa.Column("notes", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("name <> ''", name=op.f("ck_strategies_name")),
        sa.CheckConstraint("version >= 1", name=op.f("ck_strategies_version")),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_strategies_user_id_users"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_strategies")),
        sa.UniqueConstraint("user_id", "name", "version", name=op.f("uq_strategies_user_id_name_version")),
    )
    op.create_table(
        "trial_counts",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("family", sa.String(length=80), nullable=False),
        sa.Column("data_hash", sa.String(length=64), nullable=False),
        sa.Column("count", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("sharpe_mean", sa.Float(), server_default="0", nullable=False),
        sa.Column("sharpe_m2", sa.Float(), server_default="0", nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("count >= 0", name=op.f("ck_trial_counts_count")),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_trial_counts_user_id_users"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_trial_counts")),
        sa.UniqueConstraint("user_id", "family", "data_hash", name=op.f("uq_trial_counts_user_id_family_data_hash")),
    )
    op.create_table(
        "user_api_keys",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("alpaca_api_key_encrypted", sa.Text(), nullable=False),
        sa.Column("alpaca_secret_key_encrypted", sa.Text(), nullable=False),
        sa.Column("alpaca_mode", sa.String(length=10), server_default="paper", nullable=False),
        sa.Column("key_hint", sa.String(length=8), nullable=True),
        sa.Column("is_active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("alpaca_mode IN ('paper', 'live')", name=op.f("ck_user_api_keys_mode_known")),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_user_api_keys_user_id_users"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_user_api_keys")),
        sa.UniqueConstraint("user_id", "alpaca_mode", name=op.f("uq_user_api_keys_user_id_alpaca_mode")),
    )
    op.create_table(
        "user_bot_configs",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("symbol", sa.String(length=20), nullable=False),
        sa.Column("timeframe", sa.String(length=20), nullable=False),
        sa.Column("position_size", sa.Numeric(precision=18, scale=4), nullable=False),
        sa.Column("strategy_name", sa.String(length=100), nullable=True),
        sa.Column("risk_limit_percent", sa.Numeric(precision=7, scale=4), server_default="10", nullable=True),
        sa.Column("daily_loss_limit", sa.Numeric(precision=18, scale=4), nullable=True),
        sa.Column("max_position_size", sa.Numeric(precision=18, scale=4), nullable=True),
        sa.Column("signal_source", sa.String(length=20), server_default="webhook", nullable=False),
        sa.Column("strategy_type", sa.String(length=50), server_default="none", nullable=False),
        sa.Column("is_active", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("order_status", sa.String(length=20), server_default="IDLE", nullable=False),
        sa.Column("last_signal", sa.String(length=20), nullable=True),
        sa.Column("last_signal_time", sa.DateTime(timezone=True), nullable=True),
        sa.Column("current_position_side", sa.String(length=10), nullable=True),
        sa.Column("total_pnl", sa.Numeric(precision=18, scale=4), server_default="0", nullable=False),
        sa.Column("total_trades", sa.Integer(), server_default="0", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("account_mode", sa.String(length=10), server_default="simulated", nullable=False),
        sa.Column("direction", sa.String(length=12), server_default="long_only", nullable=False),
        sa.Column("session_rule", sa.String(length=10), server_default="auto", nullable=False),
        sa.Column("freshness_seconds", sa.Integer(), server_default="60", nullable=False),
        sa.Column("exit_freshness_seconds", sa.Integer(), server_default="900", nullable=False),
        sa.Column("allow_quantity", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("max_quantity", sa.Numeric(precision=18, scale=9), nullable=True),
        sa.Column("fractional", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("max_orders_per_day", sa.Integer(), server_default="200", nullable=True),
        sa.Column("max_drawdown", sa.Numeric(precision=18, scale=4), nullable=True),
        sa.Column("cooldown_losses", sa.Integer(), nullable=True),
        sa.Column("cooldown_minutes", sa.Integer(), server_default="60", nullable=False),
        sa.Column("cooldown_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("max_price_age_seconds", sa.Integer(), server_default="900", nullable=False),
        sa.Column("flatten_on_breach", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("peak_pnl", sa.Numeric(precision=18, scale=4), server_default="0", nullable=False),
        sa.Column("loss_streak", sa.Integer(), server_default="0", nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "account_mode IN ('simulated', 'paper', 'live')", name=op.f("ck_user_bot_configs_account_mode")
        ),
        sa.CheckConstraint(
            "current_position_side IN ('LONG', 'SHORT')", name=op.f("ck_user_bot_configs_current_position_side")
        ),
        sa.CheckConstraint(
            "direction IN ('long_only', 'long_short', 'short_only')", name=op.f("ck_user_bot_configs_direction")
        ),
        sa.CheckConstraint(
            "order_status IN ('IDLE', 'PENDING', 'LIVE', 'HALTED', 'ERROR')",
            name=op.f("ck_user_bot_configs_order_status"),
        ),
        sa.CheckConstraint("session_rule IN ('auto', 'regular', 'any')", name=op.f("ck_user_bot_configs_session_rule")),
        sa.CheckConstraint(
            "timeframe IN ('1 Min', '2 Min', '3 Min', '5 Min', '10 Min', '15 Min', '30 Min', '45 Min', '1 Hour', '2 Hour', '3 Hour', '4 Hour', '1 Day', '1 Week', '1 Month')",
            name=op.f("ck_user_bot_configs_timeframe"),
        ),
        sa.CheckConstraint("NOT is_active OR deleted_at IS NULL", name=op.f("ck_user_bot_configs_deleted_is_inactive")),
        sa.CheckConstraint("daily_loss_limit > 0", name=op.f("ck_user_bot_configs_daily_loss_limit_positive")),
        sa.CheckConstraint(
            "exit_freshness_seconds BETWEEN 1 AND 86400", name=op.f("ck_user_bot_configs_exit_freshness_seconds_range")
        ),
        sa.CheckConstraint(
            "freshness_seconds BETWEEN 1 AND 86400", name=op.f("ck_user_bot_configs_freshness_seconds_range")
        ),
        sa.CheckConstraint("max_drawdown > 0", name=op.f("ck_user_bot_configs_max_drawdown_positive")),
        sa.CheckConstraint("max_orders_per_day > 0", name=op.f("ck_user_bot_configs_max_orders_per_day_positive")),
        sa.CheckConstraint("max_position_size > 0", name=op.f("ck_user_bot_configs_max_position_size_positive")),
        sa.CheckConstraint("position_size > 0", name=op.f("ck_user_bot_configs_position_size_positive")),
        sa.CheckConstraint(
            "risk_limit_percent > 0 AND risk_limit_percent <= 100",
            name=op.f("ck_user_bot_configs_risk_limit_percent_range"),
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_user_bot_configs_user_id_users"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_user_bot_configs")),
    )
    op.create_index(
        "uq_user_bot_configs_symbol_timeframe",
        "user_bot_configs",
        ["user_id", "symbol", "timeframe"],
        unique=True,
        postgresql_where=sa.text("deleted_at IS NULL"),
    )
    op.create_table(
        "user_preferences",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("key", sa.String(length=100), nullable=False),
        sa.Column("value", sa.Text(), nullable=True),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_user_preferences_user_id_users"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_user_preferences")),
        sa.UniqueConstraint("user_id", "key", name=op.f("uq_user_preferences_user_id_key")),
    )
    op.create_table(
        "user_sessions",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("token_sha256", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("last_seen_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("confirmed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("address", sa.String(length=64), nullable=True),
        sa.Column("user_agent", sa.String(length=300), nullable=True),
        sa.CheckConstraint("expires_at > created_at", name=op.f("ck_user_sessions_expires_later")),
        sa.CheckConstraint("length(token_sha256) = 32", name=op.f("ck_user_sessions_token_is_sha256")),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_user_sessions_user_id_users"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_user_sessions")),
        sa.UniqueConstraint("token_sha256", name=op.f("uq_user_sessions_token_sha256")),
    )
    op.create_index(op.f("ix_user_sessions_expires_at"), "user_sessions", ["expires_at"], unique=False)
    op.create_index(op.f("ix_user_sessions_user_id"), "user_sessions", ["user_id"], unique=False)
    op.create_table(
        "watchlist",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("symbol", sa.String(length=20), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=True),
        sa.Column("added_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("notes", sa.Text(), nullable=True),
        sa.CheckConstraint("symbol ~ '^[A-Z0-9^][A-Z0-9.^=/_-]*$'", name=op.f("ck_watchlist_symbol_plain")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_watchlist_user_id_users"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_watchlist")),
        sa.UniqueConstraint("user_id", "symbol", name=op.f("uq_watchlist_user_id_symbol")),
    )
    op.create_table(
        "bot_risk_events",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("bot_config_id", sa.BigInteger(), nullable=True),
        sa.Column("event_type", sa.String(length=50), nullable=False),
        sa.Column("symbol", sa.String(length=20), nullable=True),
        sa.Column("timeframe", sa.String(length=20), nullable=True),
        sa.Column("threshold_value", sa.Numeric(precision=18, scale=4), nullable=True),
        sa.Column("current_value", sa.Numeric(precision=18, scale=4), nullable=True),
        sa.Column("action_taken", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("message", sa.Text(), nullable=True),
        sa.Column("once_key", sa.String(length=140), nullable=True),
        sa.Column("notified_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["bot_config_id"],
            ["user_bot_configs.id"],
            name=op.f("fk_bot_risk_events_bot_config_id_user_bot_configs"),
            ondelete="SET NULL",
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_bot_risk_events_user_id_users"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_bot_risk_events")),
        sa.UniqueConstraint("once_key", name=op.f("uq_bot_risk_events_once_key")),
    )
    op.create_index("ix_bot_risk_events_user_id_created_at", "bot_risk_events", ["user_id", "created_at"], unique=False)
    op.create_table(
        "external_orders",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("broker_order_id", sa.String(length=64), nullable=False),
        sa.Column("client_order_id", sa.String(length=128), nullable=True),
        sa.Column("symbol", sa.String(length=20), nullable=False),
        sa.Column("side", sa.String(length=4), nullable=False),
        sa.Column("qty", sa.Numeric(precision=18, scale=9), nullable=True),
        sa.Column("filled_qty", sa.Numeric(precision=18, scale=9), server_default="0", nullable=False),
        sa.Column("filled_avg_price", sa.Numeric(precision=18, scale=6), nullable=True),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("first_seen_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"],
            ["account_state.id"],
            name=op.f("fk_external_orders_account_id_account_state"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_external_orders_user_id_users"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_external_orders")),
        sa.UniqueConstraint(
            "account_id", "broker_order_id", name=op.f("uq_external_orders_account_id_broker_order_id")
        ),
    )
    op.create_table(
        "report_runs",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("schedule_id", sa.BigInteger(), nullable=True),
        sa.Column("report", sa.String(length=40), nullable=False),
        sa.Column("parameters", JSONB(), nullable=False),
        sa.Column("status", sa.String(length=12), server_default="queued", nullable=False),
        sa.Column("output_path", sa.Text(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("status IN ('queued', 'running', 'done', 'failed')", name=op.f("ck_report_runs_status")),
        sa.ForeignKeyConstraint(
            ["schedule_id"],
            ["report_schedules.id"],
            name=op.f("fk_report_runs_schedule_id_report_schedules"),
            ondelete="SET NULL",
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_report_runs_user_id_users"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_report_runs")),
    )
    op.create_index("ix_report_runs_user_id_created_at", "report_runs", ["user_id", "created_at"], unique=False)
    op.create_table(
        "trading_halts",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("scope", sa.String(length=10), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=True),
        sa.Column("account_id", sa.BigInteger(), nullable=True),
        sa.Column("symbol", sa.String(length=20), nullable=True),
        sa.Column("cause", sa.String(length=10), server_default="manual", nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("set_by", sa.String(length=100), nullable=False),
        sa.Column("set_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("cleared_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("cleared_by", sa.String(length=100), nullable=True),
        sa.CheckConstraint(
            "(scope = 'symbol') = (symbol IS NOT NULL)", name=op.f("ck_trading_halts_symbol_scope_has_symbol")
        ),
        sa.CheckConstraint("cause IN ('manual', 'drift', 'risk')", name=op.f("ck_trading_halts_cause")),
        sa.CheckConstraint(
            "scope <> 'system' OR user_id IS NULL", name=op.f("ck_trading_halts_system_scope_has_no_user")
        ),
        sa.CheckConstraint("scope <> 'user' OR user_id IS NOT NULL", name=op.f("ck_trading_halts_user_scope_has_user")),
        sa.CheckConstraint("scope IN ('system', 'user', 'symbol')", name=op.f("ck_trading_halts_scope")),
        sa.ForeignKeyConstraint(
            ["account_id"],
            ["account_state.id"],
            name=op.f("fk_trading_halts_account_id_account_state"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_trading_halts_user_id_users"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_trading_halts")),
    )
    op.create_index(
        "uq_trading_halts_open",
        "trading_halts",
        [
            "scope",
            sa.literal_column("coalesce(user_id, 0)"),
            sa.literal_column("coalesce(account_id, 0)"),
            sa.literal_column("coalesce(symbol, '')"),
            "cause",
        ],
        unique=True,
        postgresql_where=sa.text("cleared_at IS NULL"),
    )
    op.create_table(
        "user_webhook_tokens",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("token", sa.String(length=64), nullable=False),
        sa.Column("is_active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("request_count", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("prefix", sa.String(length=12), nullable=False),
        sa.Column("label", sa.String(length=100), nullable=True),
        sa.Column("bot_config_id", sa.BigInteger(), nullable=True),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("allowed_addresses", sa.Text(), nullable=True),
        sa.CheckConstraint("token ~ '^[0-9a-f]{64}$'", name=op.f("ck_user_webhook_tokens_token_is_hash")),
        sa.CheckConstraint("request_count >= 0", name=op.f("ck_user_webhook_tokens_request_count")),
        sa.ForeignKeyConstraint(
            ["bot_config_id"],
            ["user_bot_configs.id"],
            name=op.f("fk_user_webhook_tokens_bot_config_id_user_bot_configs"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_user_webhook_tokens_user_id_users"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_user_webhook_tokens")),
        sa.UniqueConstraint("token", name=op.f("uq_user_webhook_tokens_token")),
    )
    op.create_index("ix_user_webhook_tokens_user_id", "user_webhook_tokens", ["user_id"], unique=False)
    op.create_table(
        "alert_inbox",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("bot_id", sa.BigInteger(), nullable=False),
        sa.Column("token_id", sa.BigInteger(), nullable=True),
        sa.Column("dedupe_key", sa.String(length=140), nullable=False),
        sa.Column("dedupe_rule", sa.String(length=20), nullable=False),
        sa.Column("body_hash", sa.String(length=64), nullable=False),
        sa.Column("payload", JSONB(), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("stored_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("state", sa.String(length=10), server_default="received", nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("code", sa.String(length=30), nullable=True),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("duplicates", sa.Integer(), server_default="0", nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("not_before", sa.DateTime(timezone=True), nullable=True),
        sa.Column("lease", sa.String(length=100), nullable=True),
        sa.CheckConstraint(
            "state IN ('received', 'planned') OR reason IS NOT NULL", name=op.f("ck_alert_inbox_ended_says_why")
        ),
        sa.CheckConstraint(
            "state IN ('received', 'planned', 'ignored', 'rejected', 'expired', 'done')",
            name=op.f("ck_alert_inbox_state"),
        ),
        sa.ForeignKeyConstraint(
            ["bot_id"], ["user_bot_configs.id"], name=op.f("fk_alert_inbox_bot_id_user_bot_configs"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["token_id"],
            ["user_webhook_tokens.id"],
            name=op.f("fk_alert_inbox_token_id_user_webhook_tokens"),
            ondelete="SET NULL",
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_alert_inbox_user_id_users"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alert_inbox")),
        sa.UniqueConstraint("user_id", "dedupe_key", name=op.f("uq_alert_inbox_user_id_dedupe_key")),
    )
    op.create_index(
        "ix_alert_inbox_open",
        "alert_inbox",
        ["received_at"],
        unique=False,
        postgresql_where=sa.text("state IN ('received', 'planned')"),
    )
    op.create_index(
        "ix_alert_inbox_user_id_body_hash", "alert_inbox", ["user_id", "body_hash", "received_at"], unique=False
    )
    op.create_index("ix_alert_inbox_user_id_received_at", "alert_inbox", ["user_id", "received_at"], unique=False)
    op.create_table(
        "order_intents",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("alert_id", sa.BigInteger(), nullable=True),
        sa.Column("leg", sa.SmallInteger(), server_default="1", nullable=False),
        sa.Column("attempt", sa.SmallInteger(), server_default="1", nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("bot_id", sa.BigInteger(), nullable=False),
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("symbol", sa.String(length=20), nullable=False),
        sa.Column("client_order_id", sa.String(length=48), nullable=False),
        sa.Column("purpose", sa.String(length=5), nullable=False),
        sa.Column("side", sa.String(length=4), nullable=False),
        sa.Column("qty", sa.Numeric(precision=18, scale=9), nullable=True),
        sa.Column("notional", sa.Numeric(precision=18, scale=4), nullable=True),
        sa.Column("order_type", sa.String(length=15), server_default="market", nullable=False),
        sa.Column("limit_price", sa.Numeric(precision=18, scale=6), nullable=True),
        sa.Column("reference_price", sa.Numeric(precision=18, scale=6), nullable=True),
        sa.Column("reserved", sa.Numeric(precision=18, scale=4), server_default="0", nullable=False),
        sa.Column("state", sa.String(length=12), server_default="planned", nullable=False),
        sa.Column("deadline", sa.DateTime(timezone=True), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=True),
        sa.Column("lease", sa.String(length=100), nullable=True),
        sa.Column("broker_order_id", sa.String(length=64), nullable=True),
        sa.Column("filled_qty", sa.Numeric(precision=18, scale=9), server_default="0", nullable=False),
        sa.Column("filled_avg_price", sa.Numeric(precision=18, scale=6), nullable=True),
        sa.Column("broker_filled_qty", sa.Numeric(precision=18, scale=9), server_default="0", nullable=False),
        sa.Column("checks", sa.Integer(), server_default="0", nullable=False),
        sa.Column("checked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("next_check_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("error_code", sa.String(length=40), nullable=True),
        sa.Column("error_message", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("submitted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("acknowledged_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "order_type IN ('market', 'limit', 'stop', 'stop_limit', 'trailing_stop')",
            name=op.f("ck_order_intents_order_type"),
        ),
        sa.CheckConstraint("purpose IN ('entry', 'exit')", name=op.f("ck_order_intents_purpose")),
        sa.CheckConstraint("side IN ('buy', 'sell')", name=op.f("ck_order_intents_side")),
        sa.CheckConstraint(
            "state IN ('waiting', 'planned', 'submitting', 'unknown', 'live', 'filled', 'canceled', 'expired', 'rejected', 'never_landed')",
            name=op.f("ck_order_intents_state"),
        ),
        sa.CheckConstraint("(qty IS NULL) <> (notional IS NULL)", name=op.f("ck_order_intents_qty_or_notional")),
        sa.CheckConstraint("filled_qty >= 0", name=op.f("ck_order_intents_filled_qty")),
        sa.CheckConstraint("leg >= 1 AND attempt >= 1", name=op.f("ck_order_intents_numbered_from_one")),
        sa.CheckConstraint("notional > 0", name=op.f("ck_order_intents_notional_positive")),
        sa.CheckConstraint("qty > 0", name=op.f("ck_order_intents_qty_positive")),
        sa.CheckConstraint("reserved >= 0", name=op.f("ck_order_intents_reserved")),
        sa.ForeignKeyConstraint(
            ["account_id"],
            ["account_state.id"],
            name=op.f("fk_order_intents_account_id_account_state"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["alert_id"], ["alert_inbox.id"], name=op.f("fk_order_intents_alert_id_alert_inbox"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["bot_id"],
            ["user_bot_configs.id"],
            name=op.f("fk_order_intents_bot_id_user_bot_configs"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_order_intents_user_id_users"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_order_intents")),
        sa.UniqueConstraint("account_id", "broker_order_id", name=op.f("uq_order_intents_account_id_broker_order_id")),
        sa.UniqueConstraint("alert_id", "leg", "attempt", name=op.f("uq_order_intents_alert_id_leg_attempt")),
        sa.UniqueConstraint("client_order_id", name=op.f("uq_order_intents_client_order_id")),
    )
    op.create_index("ix_order_intents_bot_id", "order_intents", ["bot_id", "created_at"], unique=False)
    op.create_index(
        "ix_order_intents_open",
        "order_intents",
        ["account_id", "state"],
        unique=False,
        postgresql_where=sa.text("state IN ('waiting', 'planned', 'submitting', 'unknown', 'live')"),
    )
    op.create_index(
        "uq_order_intents_open_symbol",
        "order_intents",
        ["account_id", "symbol"],
        unique=True,
        postgresql_where=sa.text("state IN ('planned', 'submitting', 'unknown', 'live')"),
    )
    op.create_table(
        "webhook_requests",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=True),
        sa.Column("token_id", sa.BigInteger(), nullable=True),
        sa.Column("alert_id", sa.BigInteger(), nullable=True),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("source_address", sa.String(length=64), nullable=True),
        sa.Column("payload", sa.Text(), nullable=True),
        sa.Column("status", sa.SmallInteger(), nullable=False),
        sa.Column("code", sa.String(length=30), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("latency_ms", sa.Numeric(precision=12, scale=3), nullable=False),
        sa.ForeignKeyConstraint(
            ["alert_id"], ["alert_inbox.id"], name=op.f("fk_webhook_requests_alert_id_alert_inbox"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["token_id"],
            ["user_webhook_tokens.id"],
            name=op.f("fk_webhook_requests_token_id_user_webhook_tokens"),
            ondelete="SET NULL",
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_webhook_requests_user_id_users"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook_requests")),
    )
    op.create_index("ix_webhook_requests_received_at", "webhook_requests", ["received_at"], unique=False)
    op.create_index(
        "ix_webhook_requests_user_id_received_at", "webhook_requests", ["user_id", "received_at"], unique=False
    )
    op.create_table(
        "bot_trades",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("bot_config_id", sa.BigInteger(), nullable=True),
        sa.Column("symbol", sa.String(length=20), nullable=False),
        sa.Column("timeframe", sa.String(length=20), nullable=False),
        sa.Column("action", sa.String(length=10), nullable=False),
        sa.Column("notional", sa.Numeric(precision=18, scale=4), nullable=True),
        sa.Column("order_id", sa.String(length=64), nullable=True),
        sa.Column("filled_qty", sa.Numeric(precision=18, scale=9), nullable=True),
        sa.Column("filled_avg_price", sa.Numeric(precision=18, scale=4), nullable=True),
        sa.Column("status", sa.String(length=20), server_default="SUBMITTED", nullable=False),
        sa.Column("error_message", sa.Text(), nullable=True),
        sa.Column("filled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("intent_id", sa.BigInteger(), nullable=True),
        sa.Column("alert_id", sa.BigInteger(), nullable=True),
        sa.Column("client_order_id", sa.String(length=48), nullable=True),
        sa.Column("account_mode", sa.String(length=10), server_default="simulated", nullable=False),
        sa.Column("purpose", sa.String(length=5), server_default="entry", nullable=False),
        sa.Column("realized_pnl", sa.Numeric(precision=18, scale=4), server_default="0", nullable=False),
        sa.Column("explanation", sa.Text(), nullable=True),
        sa.CheckConstraint("action IN ('BUY', 'SELL')", name=op.f("ck_bot_trades_action")),
        sa.CheckConstraint(
            "status IN ('SUBMITTED', 'PENDING', 'PARTIAL', 'FILLED', 'CANCELED', 'EXPIRED', 'REJECTED', 'UNKNOWN', 'FAILED')",
            name=op.f("ck_bot_trades_status"),
        ),
        sa.CheckConstraint("filled_qty >= 0", name=op.f("ck_bot_trades_filled_qty")),
        sa.ForeignKeyConstraint(
            ["alert_id"], ["alert_inbox.id"], name=op.f("fk_bot_trades_alert_id_alert_inbox"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(
            ["bot_config_id"],
            ["user_bot_configs.id"],
            name=op.f("fk_bot_trades_bot_config_id_user_bot_configs"),
            ondelete="SET NULL",
        ),
        sa.ForeignKeyConstraint(
            ["intent_id"], ["order_intents.id"], name=op.f("fk_bot_trades_intent_id_order_intents"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_bot_trades_user_id_users"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_bot_trades")),
        sa.UniqueConstraint("intent_id", name=op.f("uq_bot_trades_intent_id")),
    )
    op.create_index("ix_bot_trades_bot_config_id", "bot_trades", ["bot_config_id"], unique=False)
    op.create_index("ix_bot_trades_user_id_created_at", "bot_trades", ["user_id", "created_at"], unique=False)
    op.create_table(
        "executions",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("execution_id", sa.String(length=100), nullable=False),
        sa.Column("intent_id", sa.BigInteger(), nullable=True),
        sa.Column("bot_id", sa.BigInteger(), nullable=True),
        sa.Column("broker_order_id", sa.String(length=64), nullable=True),
        sa.Column("symbol", sa.String(length=20), nullable=False),
        sa.Column("side", sa.String(length=4), nullable=False),
        sa.Column("qty", sa.Numeric(precision=18, scale=9), nullable=False),
        sa.Column("price", sa.Numeric(precision=18, scale=6), nullable=False),
        sa.Column("fee", sa.Numeric(precision=18, scale=4), server_default="0", nullable=False),
        sa.Column("executed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("trade_date", sa.Date(), nullable=False),
        sa.Column("source", sa.String(length=10), nullable=False),
        sa.Column("provisional", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("side IN ('buy', 'sell')", name=op.f("ck_executions_side")),
        sa.CheckConstraint("source IN ('stream', 'poll', 'activity')", name=op.f("ck_executions_source")),
        sa.CheckConstraint("price >= 0", name=op.f("ck_executions_price")),
        sa.CheckConstraint("qty > 0", name=op.f("ck_executions_qty_positive")),
        sa.ForeignKeyConstraint(
            ["account_id"],
            ["account_state.id"],
            name=op.f("fk_executions_account_id_account_state"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["bot_id"], ["user_bot_configs.id"], name=op.f("fk_executions_bot_id_user_bot_configs"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["intent_id"], ["order_intents.id"], name=op.f("fk_executions_intent_id_order_intents"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_executions_user_id_users"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_executions")),
        sa.UniqueConstraint("account_id", "execution_id", name=op.f("uq_executions_account_id_execution_id")),
    )
    op.create_index("ix_executions_intent_id", "executions", ["intent_id"], unique=False)
    op.create_index("ix_executions_user_id_executed_at", "executions", ["user_id", "executed_at"], unique=False)
    op.create_table(
        "order_events",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("account_id", sa.BigInteger(), nullable=True),
        sa.Column("intent_id", sa.BigInteger(), nullable=True),
        sa.Column("alert_id", sa.BigInteger(), nullable=True),
        sa.Column("symbol", sa.String(length=20), nullable=True),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"],
            ["account_state.id"],
            name=op.f("fk_order_events_account_id_account_state"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["alert_id"], ["alert_inbox.id"], name=op.f("fk_order_events_alert_id_alert_inbox"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["intent_id"],
            ["order_intents.id"],
            name=op.f("fk_order_events_intent_id_order_intents"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_order_events_user_id_users"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_order_events")),
    )
    op.create_index("ix_order_events_intent_id", "order_events", ["intent_id"], unique=False)
    op.create_index("ix_order_events_user_id_at", "order_events", ["user_id", "at"], unique=False)
    op.create_table(
        "cash_ledger",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("bot_id", sa.BigInteger(), nullable=True),
        sa.Column("execution_id", sa.BigInteger(), nullable=True),
        sa.Column("external_id", sa.String(length=100), nullable=True),
        sa.Column("kind", sa.String(length=12), nullable=False),
        sa.Column("amount", sa.Numeric(precision=18, scale=4), nullable=False),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("trade_date", sa.Date(), nullable=False),
        sa.CheckConstraint(
            "kind IN ('trade', 'fee', 'deposit', 'withdrawal', 'dividend', 'adjustment')",
            name=op.f("ck_cash_ledger_kind"),
        ),
        sa.ForeignKeyConstraint(
            ["account_id"],
            ["account_state.id"],
            name=op.f("fk_cash_ledger_account_id_account_state"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["bot_id"],
            ["user_bot_configs.id"],
            name=op.f("fk_cash_ledger_bot_id_user_bot_configs"),
            ondelete="SET NULL",
        ),
        sa.ForeignKeyConstraint(
            ["execution_id"], ["executions.id"], name=op.f("fk_cash_ledger_execution_id_executions"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_cash_ledger_user_id_users"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_cash_ledger")),
        sa.UniqueConstraint("account_id", "external_id", name=op.f("uq_cash_ledger_account_id_external_id")),
        sa.UniqueConstraint("execution_id", "kind", name=op.f("uq_cash_ledger_execution_id_kind")),
    )
    op.create_index("ix_cash_ledger_account_id_occurred_at", "cash_ledger", ["account_id", "occurred_at"], unique=False)
    op.create_table(
        "lots",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("bot_id", sa.BigInteger(), nullable=False),
        sa.Column("symbol", sa.String(length=20), nullable=False),
        sa.Column("execution_id", sa.BigInteger(), nullable=False),
        sa.Column("opened_qty", sa.Numeric(precision=18, scale=9), nullable=False),
        sa.Column("open_qty", sa.Numeric(precision=18, scale=9), nullable=False),
        sa.Column("price", sa.Numeric(precision=18, scale=6), nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("(open_qty = 0) = (closed_at IS NOT NULL)", name=op.f("ck_lots_closed_at")),
        sa.CheckConstraint(
            "(opened_qty > 0 AND open_qty BETWEEN 0 AND opened_qty) OR (opened_qty < 0 AND open_qty BETWEEN opened_qty AND 0)",
            name=op.f("ck_lots_open_qty_within_opened"),
        ),
        sa.CheckConstraint("opened_qty <> 0", name=op.f("ck_lots_opened_qty")),
        sa.ForeignKeyConstraint(
            ["account_id"], ["account_state.id"], name=op.f("fk_lots_account_id_account_state"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["bot_id"], ["user_bot_configs.id"], name=op.f("fk_lots_bot_id_user_bot_configs"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["execution_id"], ["executions.id"], name=op.f("fk_lots_execution_id_executions"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_lots_user_id_users"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_lots")),
        sa.UniqueConstraint("execution_id", name=op.f("uq_lots_execution_id")),
    )
    op.create_index(
        "ix_lots_open",
        "lots",
        ["account_id", "bot_id", "symbol"],
        unique=False,
        postgresql_where=sa.text("open_qty <> 0"),
    )
    op.create_table(
        "lot_closings",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("lot_id", sa.BigInteger(), nullable=False),
        sa.Column("execution_id", sa.BigInteger(), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("bot_id", sa.BigInteger(), nullable=False),
        sa.Column("qty", sa.Numeric(precision=18, scale=9), nullable=False),
        sa.Column("open_price", sa.Numeric(precision=18, scale=6), nullable=False),
        sa.Column("close_price", sa.Numeric(precision=18, scale=6), nullable=False),
        sa.Column("realized_pnl", sa.Numeric(precision=18, scale=4), nullable=False),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("trade_date", sa.Date(), nullable=False),
        sa.CheckConstraint("qty <> 0", name=op.f("ck_lot_closings_qty")),
        sa.ForeignKeyConstraint(
            ["bot_id"],
            ["user_bot_configs.id"],
            name=op.f("fk_lot_closings_bot_id_user_bot_configs"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["execution_id"],
            ["executions.id"],
            name=op.f("fk_lot_closings_execution_id_executions"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(["lot_id"], ["lots.id"], name=op.f("fk_lot_closings_lot_id_lots"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_lot_closings_user_id_users"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_lot_closings")),
        sa.UniqueConstraint("lot_id", "execution_id", name=op.f("uq_lot_closings_lot_id_execution_id")),
    )
    op.create_index("ix_lot_closings_bot_id_trade_date", "lot_closings", ["bot_id", "trade_date"], unique=False)
    op.create_table(
        "alert_rules",
        sa.Column("alert_id", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.String(length=120), nullable=True),
        sa.Column("scope", sa.String(length=10), server_default="symbol", nullable=False),
        sa.Column("interval", sa.String(length=8), server_default="1d", nullable=False),
        sa.Column("source", sa.String(length=40), server_default="", nullable=False),
        sa.Column("frequency", sa.String(length=10), server_default="once", nullable=False),
        sa.Column("cooldown_seconds", sa.Integer(), server_default="0", nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("active_since", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("frequency IN ('once', 'bar', 'every')", name=op.f("ck_alert_rules_frequency_known")),
        sa.CheckConstraint("scope IN ('symbol', 'watchlist')", name=op.f("ck_alert_rules_scope_known")),
        sa.CheckConstraint("cooldown_seconds >= 0", name=op.f("ck_alert_rules_cooldown")),
        sa.ForeignKeyConstraint(
            ["alert_id"], ["alerts.id"], name=op.f("fk_alert_rules_alert_id_alerts"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("alert_id", name=op.f("pk_alert_rules")),
    )
    op.create_table(
        "alert_cursors",
        sa.Column("symbol", sa.String(length=20), nullable=False),
        sa.Column("interval", sa.String(length=8), nullable=False),
        sa.Column("source", sa.String(length=40), server_default="", nullable=False),
        sa.Column("bar_time", sa.DateTime(timezone=True), nullable=True),
        sa.Column("checked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("problem", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("symbol", "interval", "source", name=op.f("pk_alert_cursors")),
    )
    op.create_table(
        "alert_events",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("alert_id", sa.BigInteger(), nullable=False),
        sa.Column("symbol", sa.String(length=20), nullable=False),
        sa.Column("interval", sa.String(length=8), nullable=False),
        sa.Column("bar_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("triggered_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("condition_text", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), server_default="", nullable=False),
        sa.Column("values", JSONB(), nullable=False),
        sa.Column("missed", sa.Integer(), server_default="0", nullable=False),
        sa.Column("simulated", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.ForeignKeyConstraint(
            ["alert_id"], ["alerts.id"], name=op.f("fk_alert_events_alert_id_alerts"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_alert_events_user_id_users"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alert_events")),
        sa.UniqueConstraint("alert_id", "symbol", "bar_time", name=op.f("uq_alert_events_alert_id_symbol_bar_time")),
    )
    op.create_index("ix_alert_events_user_id_triggered_at", "alert_events", ["user_id", "triggered_at"], unique=False)
    op.create_table(
        "notifications",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.String(length=10), nullable=False),
        sa.Column("title", sa.String(length=200), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("link", sa.String(length=300), nullable=True),
        sa.Column("alert_event_id", sa.BigInteger(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("read_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("kind IN ('alert', 'report', 'test', 'system')", name=op.f("ck_notifications_kind_known")),
        sa.ForeignKeyConstraint(
            ["alert_event_id"],
            ["alert_events.id"],
            name=op.f("fk_notifications_alert_event_id_alert_events"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_notifications_user_id_users"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notifications")),
        sa.UniqueConstraint("alert_event_id", name=op.f("uq_notifications_alert_event_id")),
    )
    op.create_index(
        "ix_notifications_unread",
        "notifications",
        ["user_id"],
        unique=False,
        postgresql_where=sa.text("read_at IS NULL"),
    )
    op.create_index("ix_notifications_user_id_created_at", "notifications", ["user_id", "created_at"], unique=False)
    op.create_table(
        "notification_channels",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.String(length=80), nullable=False),
        sa.Column("service", sa.String(length=40), nullable=False),
        sa.Column("url_encrypted", sa.Text(), nullable=False),
        sa.Column("is_active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("most_per_hour", sa.Integer(), server_default="30", nullable=False),
        sa.Column("quiet_from", sa.String(length=5), nullable=True),
        sa.Column("quiet_until", sa.String(length=5), nullable=True),
        sa.Column("timezone", sa.String(length=64), server_default="America/New_York", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "(quiet_from IS NULL) = (quiet_until IS NULL)", name=op.f("ck_notification_channels_quiet_both")
        ),
        sa.CheckConstraint("most_per_hour BETWEEN 1 AND 1000", name=op.f("ck_notification_channels_most_per_hour")),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_notification_channels_user_id_users"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notification_channels")),
        sa.UniqueConstraint("user_id", "name", name=op.f("uq_notification_channels_user_id_name")),
    )
    op.create_table(
        "notification_deliveries",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("notification_id", sa.BigInteger(), nullable=False),
        sa.Column("channel_id", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(length=10), server_default="waiting", nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("next_try_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.CheckConstraint("state IN ('waiting', 'sent', 'dead')", name=op.f("ck_notification_deliveries_state_known")),
        sa.ForeignKeyConstraint(
            ["channel_id"],
            ["notification_channels.id"],
            name=op.f("fk_notification_deliveries_channel_id_notification_channels"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["notification_id"],
            ["notifications.id"],
            name=op.f("fk_notification_deliveries_notification_id_notifications"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_notification_deliveries_user_id_users"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notification_deliveries")),
        sa.UniqueConstraint(
            "notification_id", "channel_id", name=op.f("uq_notification_deliveries_notification_id_channel_id")
        ),
    )
    op.create_index(
        "ix_notification_deliveries_due",
        "notification_deliveries",
        ["channel_id", "next_try_at"],
        unique=False,
        postgresql_where=sa.text("state = 'waiting'"),
    )
    op.create_index(op.f("ix_notification_deliveries_user_id"), "notification_deliveries", ["user_id"], unique=False)
    op.execute(REFUSE_CHANGE)
    for table, deletion in APPEND_ONLY.items():
        op.execute(
            f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE ON {table} "
            f"FOR EACH ROW EXECUTE FUNCTION refuse_change('{deletion}')"
        )
        op.execute(
            f"CREATE TRIGGER {table}_keep_all BEFORE TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change('never')"
        )
    op.execute(GUARD_LIVE)
    op.execute(
        "CREATE TRIGGER account_state_live BEFORE INSERT OR UPDATE ON account_state "
        "FOR EACH ROW EXECUTE FUNCTION guard_live()"
    )
    create_job_queue()


def create_job_queue() -> None:
    """Procrastinate's own tables, in a schema of their own: their names are not ours to keep apart."""
    op.execute("CREATE SCHEMA jobs")
    op.execute("SET LOCAL search_path TO jobs")
    # straight to the driver: the script has percent signs and colons that are no parameters
    cursor = op.get_bind().connection.cursor()
    cursor.execute(SchemaManager.get_schema())
    cursor.close()
    op.execute("SET LOCAL search_path TO DEFAULT")
    op.execute(OWN_SEARCH_PATH)


def downgrade() -> None:
    op.execute("DROP SCHEMA jobs CASCADE")
    op.drop_index(
        "ix_notification_deliveries_due",
        table_name="notification_deliveries",
        postgresql_where=sa.text("state = 'waiting'"),
    )
    op.drop_index(op.f("ix_notification_deliveries_user_id"), table_name="notification_deliveries")
    op.drop_table("notification_deliveries")
    op.drop_table("notification_channels")
    op.drop_index("ix_notifications_unread", table_name="notifications", postgresql_where=sa.text("read_at IS NULL"))
    op.drop_index("ix_notifications_user_id_created_at", table_name="notifications")
    op.drop_table("notifications")
    op.drop_index("ix_alert_events_user_id_triggered_at", table_name="alert_events")
    op.drop_table("alert_events")
    op.drop_table("alert_cursors")
    op.drop_table("alert_rules")
    op.drop_index("ix_lot_closings_bot_id_trade_date", table_name="lot_closings")
    op.drop_table("lot_closings")
    op.drop_index("ix_lots_open", table_name="lots", postgresql_where=sa.text("open_qty <> 0"))
    op.drop_table("lots")
    op.drop_index("ix_cash_ledger_account_id_occurred_at", table_name="cash_ledger")
    op.drop_table("cash_ledger")
    op.drop_index("ix_order_events_user_id_at", table_name="order_events")
    op.drop_index("ix_order_events_intent_id", table_name="order_events")
    op.drop_table("order_events")
    op.drop_index("ix_executions_user_id_executed_at", table_name="executions")
    op.drop_index("ix_executions_intent_id", table_name="executions")
    op.drop_table("executions")
    op.drop_index("ix_bot_trades_user_id_created_at", table_name="bot_trades")
    op.drop_index("ix_bot_trades_bot_config_id", table_name="bot_trades")
    op.drop_table("bot_trades")
    op.drop_index("ix_webhook_requests_user_id_received_at", table_name="webhook_requests")
    op.drop_index("ix_webhook_requests_received_at", table_name="webhook_requests")
    op.drop_table("webhook_requests")
    op.drop_index(
        "uq_order_intents_open_symbol",
        table_name="order_intents",
        postgresql_where=sa.text("state IN ('planned', 'submitting', 'unknown', 'live')"),
    )
    op.drop_index(
        "ix_order_intents_open",
        table_name="order_intents",
        postgresql_where=sa.text("state IN ('waiting', 'planned', 'submitting', 'unknown', 'live')"),
    )
    op.drop_index("ix_order_intents_bot_id", table_name="order_intents")
    op.drop_table("order_intents")
    op.drop_index("ix_alert_inbox_user_id_received_at", table_name="alert_inbox")
    op.drop_index("ix_alert_inbox_user_id_body_hash", table_name="alert_inbox")
    op.drop_index(
        "ix_alert_inbox_open", table_name="alert_inbox", postgresql_where=sa.text("state IN ('received', 'planned')")
    )
    op.drop_table("alert_inbox")
    op.drop_index("ix_user_webhook_tokens_user_id", table_name="user_webhook_tokens")
    op.drop_table("user_webhook_tokens")
    op.drop_index("uq_trading_halts_open", table_name="trading_halts", postgresql_where=sa.text("cleared_at IS NULL"))
    op.drop_table("trading_halts")
    op.drop_index("ix_report_runs_user_id_created_at", table_name="report_runs")
    op.drop_table("report_runs")
    op.drop_table("external_orders")
    op.drop_index("ix_bot_risk_events_user_id_created_at", table_name="bot_risk_events")
    op.drop_table("bot_risk_events")
    op.drop_table("watchlist")
    op.drop_index(op.f("ix_user_sessions_user_id"), table_name="user_sessions")
    op.drop_index(op.f("ix_user_sessions_expires_at"), table_name="user_sessions")
    op.drop_table("user_sessions")
    op.drop_table("user_preferences")
    op.drop_index(
        "uq_user_bot_configs_symbol_timeframe",
        table_name="user_bot_configs",
        postgresql_where=sa.text("deleted_at IS NULL"),
    )
    op.drop_table("user_bot_configs")
    op.drop_table("user_api_keys")
    op.drop_table("trial_counts")
    op.drop_table("strategies")
    op.drop_index("ix_report_schedules_is_active_next_run_at", table_name="report_schedules")
    op.drop_table("report_schedules")
    op.drop_index("ix_backtest_runs_user_id_created_at", table_name="backtest_runs")
    op.drop_table("backtest_runs")
    op.drop_index(op.f("ix_alerts_user_id"), table_name="alerts")
    op.drop_index("ix_alerts_active", table_name="alerts", postgresql_where=sa.text("is_active"))
    op.drop_table("alerts")
    op.drop_index(op.f("ix_account_tokens_user_id"), table_name="account_tokens")
    op.drop_table("account_tokens")
    op.drop_table("account_state")
    op.drop_table("users")
    op.drop_table("trader_heartbeats")
    op.drop_table("source_calls")
    op.drop_index("ix_login_failures_address", table_name="login_failures")
    op.drop_index("ix_login_failures_account", table_name="login_failures")
    op.drop_table("login_failures")
    op.drop_table("live_prices")
    op.drop_index("ix_live_interest_until", table_name="live_interest")
    op.drop_table("live_interest")
    op.drop_index("ix_audit_log_user", table_name="audit_log")
    op.drop_index("ix_audit_log_at", table_name="audit_log")
    op.drop_table("audit_log")
    op.drop_table("app_state")
    op.execute("DROP FUNCTION refuse_change()")
    op.execute("DROP FUNCTION guard_live()")
