"""What a page kernel's database account can and cannot do, on the real server."""

from __future__ import annotations

import re
import secrets
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import pytest
from sqlalchemy import NullPool, text
from sqlalchemy.exc import ProgrammingError

from dashtrade.auth.vault import Vault, new_key
from dashtrade.db.engine import make_engine
from dashtrade.db.pages_role import ensure_pages_role, pages_url
from dashtrade.db.unit_of_work import UnitOfWork
from dashtrade.domain.bot_views import NewBot
from dashtrade.errors import ConfigurationError, DatabaseUnavailable, Forbidden
from dashtrade.services import accounts, api_keys, audit, watchlist
from dashtrade.services.bots import create_bot, set_bot_active, update_bot
from dashtrade.services.jobs import enqueue
from dashtrade.services.preferences import get_preference, set_preference


@pytest.fixture
def pages(engine, database_url):
    """An engine signed in as the pages' account of this test's database."""
    password = secrets.token_urlsafe(24)
    assert ensure_pages_role(engine, password) is None
    restricted = make_engine(pages_url(database_url, password), poolclass=NullPool)
    yield restricted
    restricted.dispose()


REFUSED = (
    "SELECT password_hash FROM users",
    "SELECT * FROM users",
    "SELECT totp_secret_encrypted FROM users",
    "UPDATE users SET role = 'superadmin'",
    "UPDATE users SET password_hash = 'x'",
    "INSERT INTO users (username, email, password_hash) VALUES ('eve', 'e@b.c', 'x')",
    "DELETE FROM users",
    "SELECT alpaca_api_key_encrypted FROM user_api_keys",
    "SELECT alpaca_secret_key_encrypted FROM user_api_keys",
    "UPDATE user_api_keys SET alpaca_secret_key_encrypted = 'x'",
    "SELECT passphrase_hash FROM user_bot_configs",
    "SELECT * FROM user_bot_configs",
    "UPDATE user_bot_configs SET passphrase_hash = NULL",
    "SELECT 1 FROM user_sessions",
    "INSERT INTO user_sessions (user_id, token_sha256, expires_at) VALUES (1, '', now())",
    "SELECT 1 FROM account_tokens",
    "SELECT 1 FROM login_failures",
    "UPDATE executions SET qty = 0",
    "UPDATE live_prices SET price = 1",
    "DELETE FROM live_prices",
    "DELETE FROM lots",
    "DELETE FROM cash_ledger",
    "UPDATE audit_log SET action = 'nothing'",
    "DELETE FROM order_events",
    "TRUNCATE watchlist",
    "DROP TABLE watchlist",
    "CREATE TABLE mine (x int)",
    "ALTER TABLE users DISABLE TRIGGER ALL",
    "CREATE ROLE another",
    "SELECT rolpassword FROM pg_authid",
    "COPY (SELECT 1) TO PROGRAM 'true'",
    "SELECT pg_read_file('/etc/passwd')",
)


def test_refused(pages, make_user):
    make_user("ada")
    allowed = []
    for statement in REFUSED:
        with pages.connect() as connection:
            try:
                connection.execute(text(statement))
            except ProgrammingError as error:
                assert re.search("permission denied|must be owner", str(error)), statement
            else:
                allowed.append(statement)
    assert allowed == []


def test_bots_yes_and_live_trading_no(pages, make_user, uow_factory):
    ada = make_user("ada")
    uow = UnitOfWork(pages)
    for mode in ("simulated", "live"):
        bot = create_bot(uow, ada.id, NewBot(f"BOT{mode[0]}", "15 Min", Decimal(1000), account_mode=mode))
    update_bot(uow, ada.id, bot.id, position_size=Decimal(500))
    with pytest.raises(Forbidden):
        set_bot_active(uow, ada.id, bot.id, True)
    for statement in (
        "UPDATE account_state SET live_confirmed_at = now()",
        "INSERT INTO account_state (user_id, mode, client_prefix, live_confirmed_at) "
        "VALUES (:user, 'paper', 'x', now())",
    ):
        with pytest.raises(ProgrammingError, match="permission denied"), pages.begin() as connection:
            connection.execute(text(statement), {"user": ada.id} if ":user" in statement else {})
    with uow_factory() as own:
        own.session.execute(text("UPDATE account_state SET live_confirmed_at = now() WHERE mode = 'live'"))
        own.commit()
    set_bot_active(uow, ada.id, bot.id, True)
    with pages.begin() as connection:
        connection.execute(text("UPDATE account_state SET live_confirmed_at = NULL"))


def test_what_pages_do_works(pages, make_user, uow_factory):
    ada = make_user("ada")
    with uow_factory() as uow:
        api_keys.store_api_keys(uow, ada.id, Vault(new_key()), "paper", "PKABCDEFGH", "secret-secret")
    uow = UnitOfWork(pages)
    assert watchlist.watch(uow, ada.id, "aapl", notes="a note")
    assert [line.symbol for line in watchlist.list_watchlist(uow, ada.id)] == ["AAPL"]
    watchlist.unwatch(uow, ada.id, "AAPL")
    set_preference(uow, ada.id, "theme", "dark")
    assert get_preference(uow, ada.id, "theme") == "dark"
    with uow:
        assert accounts.get_user(uow, ada.id) == ada
        assert [(view.mode, view.hint) for view in api_keys.list_api_keys(uow, ada.id)] == [("paper", "EFGH")]
        audit.record(uow, "page_opened", actor_id=ada.id, user_id=ada.id)
        from dashtrade.bootstrap import load_jobs

        load_jobs()
        assert enqueue(uow, "delete_expired_sessions")
        uow.commit()


def test_doing_it_again_changes_the_password_and_adds_new_tables(pages, engine, database_url):
    password = secrets.token_urlsafe(24)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE something_new (id int)"))
    assert ensure_pages_role(engine, password) is None
    with pytest.raises(DatabaseUnavailable), make_engine(pages.url.render_as_string(hide_password=False)).connect():
        pass
    again = make_engine(pages_url(database_url, password), poolclass=NullPool)
    with again.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM something_new")).scalar() == 0


def test_an_account_that_may_not_make_roles_gets_a_sentence(pages, make_user):
    note = ensure_pages_role(pages, "a" * 32)
    assert "permission denied" in note and "CREATEROLE" in note and "dashtrade migrate" in note and "aaaa" not in note


def test_several_hosts_that_start_at_once_all_make_the_role(engine):
    """A host that is refused would give its page kernels the full account."""
    with ThreadPoolExecutor(6) as pool:
        notes = list(pool.map(lambda _: ensure_pages_role(engine, "a" * 32), range(12)))
    assert notes == [None] * 12


def test_any_other_failure_stops_the_start(engine):
    with engine.begin() as connection:
        connection.execute(text("ALTER SCHEMA jobs RENAME TO elsewhere"))
    with pytest.raises(ConfigurationError, match=r'schema "jobs" does not exist.*dashtrade migrate') as failed:
        ensure_pages_role(engine, "a" * 32)
    assert "aaaa" not in str(failed.value)
