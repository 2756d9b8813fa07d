"""The migration on a real server: up, down, equal to the metadata, and every broken state named."""

from __future__ import annotations

import pytest
from sqlalchemy import Connection, Engine, NullPool, inspect, text
from sqlalchemy.exc import IntegrityError, ProgrammingError

from dashtrade import resources
from dashtrade.db import migrate, schema
from dashtrade.db.engine import make_engine
from dashtrade.db.tables import Base
from dashtrade.errors import DashTradeError, MigrationNeeded

DOCUMENTED = {
    "users": "id username email password_hash full_name role created_at last_login is_active email_enabled",
    "watchlist": "id user_id symbol name added_at notes",
    "alerts": "id user_id symbol alert_type condition_text is_active triggered_at created_at",
    "user_preferences": "id user_id key value updated_at",
    "user_api_keys": "id user_id alpaca_api_key_encrypted alpaca_secret_key_encrypted alpaca_mode is_active created_at "
    "updated_at",
    "user_bot_configs": "id user_id symbol timeframe position_size strategy_name risk_limit_percent daily_loss_limit "
    "max_position_size signal_source strategy_type is_active order_status last_signal last_signal_time "
    "current_position_side total_pnl total_trades created_at updated_at",
    "bot_trades": "id user_id bot_config_id symbol timeframe action notional order_id filled_qty filled_avg_price "
    "status error_message filled_at created_at",
    "user_webhook_tokens": "id user_id is_active request_count last_used_at created_at",
    "bot_risk_events": "id user_id bot_config_id event_type symbol timeframe threshold_value current_value "
    "action_taken created_at",
}

STRUCTURE = {
    "columns": """
        SELECT table_name, column_name, data_type, character_maximum_length, numeric_precision, numeric_scale,
               is_nullable, column_default, is_identity, identity_generation, generation_expression
        FROM information_schema.columns WHERE table_schema = 'public' AND table_name <> 'alembic_version'""",
    "constraints": """
        SELECT conrelid::regclass::text, conname, contype::text, pg_get_constraintdef(oid)
        FROM pg_constraint
        WHERE connamespace = 'public'::regnamespace AND conrelid <> 0
              AND conrelid::regclass::text <> 'alembic_version'""",
    "indexes": """
        SELECT tablename, indexname, indexdef FROM pg_indexes
        WHERE schemaname = 'public' AND tablename <> 'alembic_version'""",
}


@pytest.fixture
def empty(empty_database_url: str):
    engine = make_engine(empty_database_url, poolclass=NullPool)
    yield engine
    engine.dispose()


def structure(connection: Connection) -> dict[str, set[tuple]]:
    return {name: {tuple(row) for row in connection.execute(text(query))} for name, query in STRUCTURE.items()}


def tables(engine: Engine) -> set[str]:
    return set(inspect(engine).get_table_names())


def test_the_migrated_schema_equals_the_metadata(empty, engine):
    Base.metadata.create_all(empty)
    with empty.connect() as declared, engine.connect() as migrated:
        expected, found = structure(declared), structure(migrated)
    for kind in STRUCTURE:
        assert expected[kind], f"no {kind} were read: the comparison would be empty"
        assert found[kind] - expected[kind] == set(), f"{kind} only in the migration"
        assert expected[kind] - found[kind] == set(), f"{kind} only in the metadata"


def test_up_down_and_up_again(empty):
    assert migrate.upgrade(empty) == schema.HEAD
    first = tables(empty)
    assert first >= set(Base.metadata.tables)
    schema.check_whole(empty)
    assert migrate.downgrade(empty, "base") is None
    assert tables(empty) == {"alembic_version"}
    with empty.connect() as connection:
        left = connection.execute(
            text("SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace")
        ).scalars()
        assert list(left) == []
        assert connection.execute(text("SELECT to_regnamespace('jobs')")).scalar() is None
    assert migrate.upgrade(empty) == schema.HEAD
    assert tables(empty) == first


def test_upgrade_twice_changes_nothing(engine, make_user):
    make_user()
    assert migrate.upgrade(engine) == schema.HEAD
    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM users")).scalar() == 1


def test_head_is_the_newest_and_only_head():
    from alembic.script import ScriptDirectory

    assert ScriptDirectory.from_config(migrate.make_config()).get_heads() == [schema.HEAD]


def test_documented_columns_are_there(engine):
    for table, documented in DOCUMENTED.items():
        columns = {column["name"] for column in inspect(engine).get_columns(table)}
        assert set(documented.split()) - columns == set(), table


def test_a_failing_migration_leaves_nothing_behind(empty):
    with empty.begin() as connection:  # in the way of the job queue, which is made last
        connection.execute(text("CREATE SCHEMA jobs"))
    with pytest.raises(MigrationNeeded, match='nothing has changed: schema "jobs" already exists'):
        migrate.upgrade(empty)
    assert tables(empty) == set()


@pytest.mark.parametrize(("change", "to"), [(migrate.upgrade, "4711"), (migrate.downgrade, "nonsense")])
def test_a_revision_that_does_not_exist(engine, change, to):
    with pytest.raises(DashTradeError, match=f"{to}.*newest revision is {schema.HEAD}"):
        change(engine, to)


class TestStatesThatNeedTheOperator:
    def test_empty(self, empty):
        with pytest.raises(MigrationNeeded, match=r"no tables yet.*dashtrade migrate"):
            schema.check_schema(empty)

    def test_tables_without_a_version(self, engine):
        with engine.begin() as connection:
            connection.execute(text("DROP TABLE alembic_version"))
        for check in (schema.check_schema, migrate.upgrade):
            with pytest.raises(MigrationNeeded, match=r"half done.*Restore a backup"):
                check(engine)

    def test_older(self, engine):
        with engine.begin() as connection:
            connection.execute(text("UPDATE alembic_version SET version_num = '0000'"))
        with pytest.raises(MigrationNeeded, match=r"at 0000.*needs.*`dashtrade migrate`"):
            schema.check_schema(engine)

    def test_newer(self, engine):
        with engine.begin() as connection:
            connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
        for check in (schema.check_schema, migrate.upgrade):
            with pytest.raises(MigrationNeeded, match="9999, newer than this program"):
                check(engine)

    def test_a_table_is_missing(self, engine):
        with engine.begin() as connection:
            connection.execute(text("DROP TABLE watchlist CASCADE"))
        schema.check_schema(engine)
        with pytest.raises(MigrationNeeded, match="lacks watchlist"):
            schema.check_whole(engine)

    def test_current(self, engine):
        schema.check_whole(engine)


REFUSED = {
    "upper-case user name": (
        "INSERT INTO users (username, email, password_hash) VALUES ('Ada', 'a@b.c', 'x')",
        "username",
    ),
    "upper-case address": ("INSERT INTO users (username, email, password_hash) VALUES ('bob', 'B@b.c', 'x')", "email"),
    "address without at": ("INSERT INTO users (username, email, password_hash) VALUES ('bob', 'b', 'x')", "email"),
    "unknown role": (
        "INSERT INTO users (username, email, password_hash, role) VALUES ('b', 'b@c.d', 'x', 'god')",
        "role",
    ),
    "same name": (
        "INSERT INTO users (username, email, password_hash) VALUES ('ada', 'b@c.d', 'x')",
        "uq_users_username",
    ),
    "same address": (
        "INSERT INTO users (username, email, password_hash) VALUES ('bob', 'ada@example.com', 'x')",
        "uq_users_email",
    ),
    "symbol in lower case": ("INSERT INTO watchlist (user_id, symbol) VALUES (:user, 'aapl')", "symbol"),
    "markup as symbol": ("INSERT INTO watchlist (user_id, symbol) VALUES (:user, '<B>')", "symbol"),
    "symbol twice": ("INSERT INTO watchlist (user_id, symbol) VALUES (:user, 'A'), (:user, 'A')", "uq_watchlist"),
    "somebody unknown": ("INSERT INTO watchlist (user_id, symbol) VALUES (:user + 1, 'A')", "fk_watchlist"),
    "unknown mode": (
        "INSERT INTO user_api_keys (user_id, alpaca_api_key_encrypted, alpaca_secret_key_encrypted, alpaca_mode) "
        "VALUES (:user, 'a', 'b', 'real')",
        "mode",
    ),
    "session token that is no digest": (
        "INSERT INTO user_sessions (user_id, token_sha256, expires_at) VALUES (:user, 'abc', now() + interval '1 h')",
        "token_is_sha256",
    ),
}


def test_the_database_itself_refuses(engine, make_user):
    user = make_user("ada")
    for case, (statement, constraint) in REFUSED.items():
        with pytest.raises(IntegrityError, match=constraint), engine.begin() as connection:
            connection.execute(text(statement), {"user": user.id} if ":user" in statement else {})
            pytest.fail(f"{case} was accepted")


@pytest.mark.parametrize(
    "statement", ["UPDATE audit_log SET action = 'nothing'", "DELETE FROM audit_log", "TRUNCATE audit_log"]
)
def test_the_audit_log_cannot_be_changed(engine, statement):
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO audit_log (action, actor_id) VALUES ('login', 1)"))
    with pytest.raises(ProgrammingError, match="audit_log is append-only"), engine.begin() as connection:
        connection.execute(text(statement))
    with engine.connect() as connection:
        assert connection.execute(text("SELECT action FROM audit_log")).scalars().all() == ["login"]


def test_order_events_go_with_their_user_only(engine, make_user):
    user = make_user()
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO order_events (user_id, kind) VALUES (:user, 'sent')"), {"user": user.id})
    with pytest.raises(ProgrammingError, match="append-only"), engine.begin() as connection:
        connection.execute(text("DELETE FROM order_events"))
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM users"))
        assert connection.execute(text("SELECT count(*) FROM order_events")).scalar() == 0


def test_a_missing_migrations_folder_is_said(monkeypatch, tmp_path):
    monkeypatch.setattr(resources, "_SHIPPED", tmp_path)
    monkeypatch.setattr(resources, "CHECKOUT", tmp_path)
    with pytest.raises(DashTradeError, match="Install DashTrade again"):
        migrate.migrations_dir()
