"""The database role of page kernels: user data yes; password hashes, sessions and ciphertexts no; the ledger read-only.

A page's kernel runs for one person and needs no secret; with this role a hole in a page cannot read one either.
"""

from __future__ import annotations

import os

from psycopg2.extensions import encrypt_password
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from dashtrade.db.engine import parse_url
from dashtrade.errors import ConfigurationError
from dashtrade.settings import Settings

ROLE = "dashtrade_pages"
ADDRESS = "DASHTRADE_PAGES_DATABASE_URL"
_LOCK = 4_242_002  # any fixed number: one at a time makes the role, or PostgreSQL refuses the others
_NO_RIGHT = "42501"

HIDDEN = ("user_sessions", "login_failures", "account_tokens", "recovery_codes")
# table → columns that may not be read or written; the rest may be read
SECRET_COLUMNS = {
    "users": ("password_hash", "totp_secret_encrypted", "totp_last_step"),
    "user_api_keys": ("alpaca_api_key_encrypted", "alpaca_secret_key_encrypted"),
    "notification_channels": ("url_encrypted",),
    "user_source_keys": ("key_encrypted", "secret_encrypted"),
    "user_bot_configs": ("passphrase_hash",),
}
# of those tables, what may be written; a table that is not named here: what may be read and the server does not compute
WRITABLE_COLUMNS = {
    "users": ("full_name", "email_enabled"),
    "user_api_keys": ("is_active",),
    "notification_channels": ("name", "is_active", "most_per_hour", "quiet_from", "quiet_until", "timezone"),
    "user_source_keys": ("updated_at",),
}
# a page seals a channel's address to the public key and can never read it back
INSERTABLE = ("notification_channels", "user_bot_configs")
READ_ONLY = (
    "executions",
    "lots",
    "lot_closings",
    "cash_ledger",
    "app_state",
    "alembic_version",
    "trader_heartbeats",
    "alert_cursors",
    "live_prices",
    "account_equity",
)
APPEND_ONLY = ("audit_log", "order_events")


def role_name(database: str) -> str:
    """Roles belong to the whole server, so another database than the usual one gets its own."""
    return ROLE if database in ("dashtrade", "") else f"{ROLE}_{database}"[:63]


def ensure_pages_role(engine: Engine, password: str) -> str | None:
    """Create or update the role and its rights. Returns a sentence for the operator when that is not allowed; raises
    ConfigurationError when it fails otherwise, since kernels then must not get the full account."""
    try:
        with engine.begin() as connection:
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
            create_role(connection, role_name(engine.url.database or ""), password)
    except DBAPIError as error:
        reason = str(error.orig).strip().splitlines()[0] if error.orig else "refused"
        if getattr(error.orig, "pgcode", None) != _NO_RIGHT:
            raise ConfigurationError(
                f"The database account of page kernels could not be made: {reason}. "
                "Remove the cause, then run `dashtrade migrate`."
            ) from None
        return (
            f"page kernels use the full database account, as this account may not make another ({reason}). "
            "Grant it CREATEROLE, then run `dashtrade migrate`, and kernels can read no secret columns."
        )
    return None


def pages_url(database_url: str, password: str) -> str:
    """The address a page kernel connects to."""
    url = parse_url(database_url)
    return url.set(drivername="postgresql", username=role_name(url.database or ""), password=password).render_as_string(
        hide_password=False
    )


def announce(database_url: str, settings: Settings) -> None:
    """For processes that nobody tells the address of page kernels: make it from the password that is a setting."""
    if settings.pages_password is not None and not os.environ.get(ADDRESS):
        os.environ[ADDRESS] = pages_url(database_url, settings.pages_password.get_secret_value())


def create_role(connection: Connection, role: str, password: str) -> None:
    quote = connection.dialect.identifier_preparer.quote
    name = quote(role)
    # only the verifier is sent, so that no log of statements can hold the password
    secret = encrypt_password(password, role, connection.connection.driver_connection, "scram-sha-256")
    exists = connection.execute(text("SELECT 1 FROM pg_roles WHERE rolname = :role"), {"role": role}).scalar()
    statements = [
        f"{'ALTER' if exists else 'CREATE'} ROLE {name} LOGIN PASSWORD '{secret}'",
        f"GRANT CONNECT ON DATABASE {quote(connection.engine.url.database or '')} TO {name}",
        f"GRANT USAGE ON SCHEMA public, jobs TO {name}",
        f"REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {name}",
        f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA public, jobs TO {name}",
        f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA jobs TO {name}",
    ]
    tables = connection.execute(text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")).scalars().all()
    for table in sorted(tables):
        if table in HIDDEN:
            continue
        if table in SECRET_COLUMNS:
            statements += _column_rights(connection, table, name)
        elif table in READ_ONLY:
            statements.append(f"GRANT SELECT ON {quote(table)} TO {name}")
        elif table in APPEND_ONLY:
            statements.append(f"GRANT SELECT, INSERT ON {quote(table)} TO {name}")
        else:
            statements.append(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {quote(table)} TO {name}")
    for statement in statements:
        connection.exec_driver_sql(statement)


def _column_rights(connection: Connection, table: str, name: str) -> list[str]:
    query = text(
        "SELECT column_name, is_generated FROM information_schema.columns "
        "WHERE table_schema = 'public' AND table_name = :table ORDER BY ordinal_position"
    )
    columns = connection.execute(query, {"table": table}).tuples().all()
    readable = [column for column, _ in columns if column not in SECRET_COLUMNS[table]]
    computed = {column for column, generated in columns if generated == "ALWAYS"}
    writable = WRITABLE_COLUMNS.get(table, tuple(column for column in readable if column not in computed))
    rights = [
        f"GRANT SELECT ({', '.join(readable)}) ON {table} TO {name}",
        f"GRANT UPDATE ({', '.join(writable)}) ON {table} TO {name}",
    ]
    return [*rights, f"GRANT INSERT, DELETE ON {table} TO {name}"] if table in INSERTABLE else rights
