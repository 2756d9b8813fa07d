"""A user's own keys at data sources: sealed, used for that user alone, and by a page only through the jobs worker."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from price_servers import Asked, LocalServer, Reply, serving
from sqlalchemy import Engine, NullPool, text

from dashtrade.auth.vault import Vault, new_key
from dashtrade.db.engine import make_engine
from dashtrade.db.pages_role import ensure_pages_role, pages_url
from dashtrade.db.unit_of_work import UnitOfWork
from dashtrade.domain.users import User
from dashtrade.errors import ConfigurationError, InvalidInput, NotFound
from dashtrade.services import own_data, source_keys
from dashtrade.services.api_keys import publish_public_key

KEY = "ADASOWNKEY123456"
ROW = {"1. open": "9", "2. high": "12", "3. low": "8", "4. close": "10", "5. volume": "1000"}
KERNEL = """
import json, os, sys
import dashtrade as dt
from dashtrade.errors import DashTradeError
from dashtrade.bootstrap import market_here, shared_prices
said = {}
def ask(name, call):
    try:
        said[name] = call()
    except DashTradeError as error:
        said[name] = f"{error.code}: {error}"
def bars():
    found = dt.history("IBM", "5d")
    return [len(found), found.attrs["source"], found.attrs["cached"], found.attrs["notes"]]
ask("bars", bars)
ask("again", bars)
ask("news", lambda: [[item.title, item.sentiment] for item in market_here().news("IBM")])
ask("latest", lambda: str(shared_prices(user_id=market_user).latest(["IBM"])["IBM"].price))
ask("unknown", lambda: dt.history("NOPE", "5d"))
ask("interval", lambda: dt.history("IBM", "1y", "5m"))
said["environment"] = "ENCRYPTION_KEY" in os.environ
print(json.dumps(said))
""".replace("market_user", "int(os.environ['DASHTRADE_USER_ID'])")


def answers(asked: Asked) -> Reply:
    query = asked.query
    if query.get("symbol") == "NOPE":
        return Reply(json.dumps({"Error Message": "Invalid API call."}).encode())
    if query.get("apikey") != KEY:
        return Reply(json.dumps({"Information": f"the apikey {query.get('apikey')} is wrong"}).encode())
    today = datetime.now(UTC)
    if query["function"] == "TIME_SERIES_DAILY":
        days = [(today - timedelta(days=back)).date().isoformat() for back in range(1, 81)]
        return Reply(json.dumps({"Time Series (Daily)": dict.fromkeys(days, ROW)}).encode())
    if query["function"] == "GLOBAL_QUOTE":
        day = today.date().isoformat()
        return Reply(json.dumps({"Global Quote": {"05. price": "10.5", "07. latest trading day": day}}).encode())
    published = f"{today - timedelta(days=2):%Y%m%dT%H%M%S}"
    item = {"title": "Up", "url": "u", "time_published": published, "overall_sentiment_score": 0.25}
    return Reply(json.dumps({"feed": [item]}).encode())


@pytest.fixture
def vantage() -> Iterator[LocalServer]:
    with serving(answers) as server:
        yield server


def command(*words: str, given: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("DASHTRADE_")}
    return subprocess.run(
        [sys.executable, *words], capture_output=True, text=True, timeout=90, env=kept | environment, input=given
    )


def test_keys_are_sealed_and_belong_to_one_user(
    make_user: Callable[..., User], uow_factory: Callable[[], UnitOfWork], engine: Engine, database_url: str
) -> None:
    ada, bob = make_user("ada"), make_user("bob")
    vault, uow = Vault(new_key()), uow_factory()
    with pytest.raises(ConfigurationError, match="dashtrade up"):
        source_keys.hand_over_source_keys(uow, ada.id, "alpaca", "PKDATA000001", "data-secret-1")
    with uow:
        publish_public_key(uow, vault)
    source_keys.store_source_keys(uow, ada.id, vault, "alpha_vantage", f" {KEY} ")
    assert source_keys.hand_over_source_keys(uow, ada.id, "alpaca", "PKDATA000001", "data-secret-1").hint == "0001"
    assert [(v.source, v.hint) for v in source_keys.list_source_keys(uow, ada.id)] == [
        ("alpaca", "0001"), ("alpha_vantage", "3456"),
    ]  # fmt: skip
    opened = source_keys.open_source_keys(uow, ada.id, vault, "alpaca")
    assert opened is not None
    assert (opened.key, opened.secret, repr(opened)) == ("PKDATA000001", "data-secret-1", "SourceKeys(*****)")
    assert source_keys.open_source_keys(uow, bob.id, vault, "alpaca") is None
    with engine.begin() as connection:
        kept = "".join(connection.execute(text("SELECT k::text FROM user_source_keys k")).scalars())
        assert KEY not in kept and "data-secret-1" not in kept
        connection.execute(
            text("INSERT INTO user_source_keys (user_id, source, key_encrypted) SELECT :bob, source, key_encrypted "
                 "FROM user_source_keys WHERE source = 'alpha_vantage'"), {"bob": bob.id},
        )  # fmt: skip
    with pytest.raises(ConfigurationError, match="another user"):
        source_keys.open_source_keys(uow, bob.id, vault, "alpha_vantage")
    fresh = new_key()
    with uow_factory() as work:
        older = new_key()
        source_keys.store_source_keys(work, ada.id, Vault(older), "alpha_vantage", KEY)
        source_keys.delete_source_keys(work, ada.id, "alpaca")
        source_keys.delete_source_keys(work, bob.id, "alpha_vantage")
        assert source_keys.renew_source_keys(work, Vault(f"{fresh},{older}")) == 1
        work.commit()
    renewed = source_keys.open_source_keys(uow, ada.id, Vault(fresh), "alpha_vantage")
    assert renewed is not None and renewed.key == KEY
    with uow_factory() as work:
        assert "encrypted" not in json.dumps(own_data.export_data(work, ada.id)["tables"]["user_source_keys"])
    password = secrets.token_urlsafe(24)
    assert ensure_pages_role(engine, password) is None
    pages = make_engine(pages_url(database_url, password), poolclass=NullPool)
    assert source_keys.list_source_keys(UnitOfWork(pages), ada.id)[0].hint == "3456"
    for query in ("SELECT key_encrypted FROM user_source_keys", "DELETE FROM user_source_keys"):
        with pytest.raises(Exception, match="permission denied"), pages.begin() as connection:
            connection.execute(text(query))


@pytest.mark.parametrize(
    ("source", "key", "secret", "said"),
    [
        ("yahoo", "12345678", "", "source: 'yahoo' takes no key. Allowed: alpha_vantage, alpaca."),
        ("alpha_vantage", "short", "", "key: is not a key of Alpha Vantage"),
        ("alpha_vantage", "schlüssel-123", "", "key: is not a key of Alpha Vantage"),
        ("alpha_vantage", "12345678", "more", "secret: Alpha Vantage has one key and no secret"),
        ("alpaca", "PKDATA000001", "", "secret: is not a key of Alpaca"),
    ],
)
def test_wrong_keys_are_refused(uow_factory, make_user, source: str, key: str, secret: str, said: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        source_keys.store_source_keys(uow_factory(), make_user("ada").id, Vault(new_key()), source, key, secret)
    assert str(caught.value).startswith(said)
    with pytest.raises(NotFound):
        source_keys.delete_source_keys(uow_factory(), 1, "alpaca")


def test_the_command_line_asks_with_the_users_key(
    database_url: str, make_user: Callable[..., User], tmp_path: Path, vantage: LocalServer
) -> None:
    make_user("ada"), make_user("bob")
    environment = {
        "DATABASE_URL": database_url, "DASHTRADE_DATA_DIR": str(tmp_path), "ENCRYPTION_KEY": new_key(),
        "DASHTRADE_ALPHA_VANTAGE_URL": vantage.url, "DASHTRADE_YAHOO_URL": "http://127.0.0.1:9",
    }  # fmt: skip
    data = ("-m", "dashtrade.cli", "data")
    kept = command(*data, "keys", "--user", "ada", "alpha_vantage", given=f"{KEY}\n", **environment)
    assert "The key at Alpha Vantage that ends in 3456 is kept." in kept.stdout, kept.stderr
    assert KEY not in kept.stdout + kept.stderr
    # Yahoo cannot be reached; with a key of her own, Ada's next source is Alpha Vantage
    fetched = command(*data, "prefetch", "IBM", "--period", "5d", "--user", "ada", **environment)
    assert fetched.returncode == 0, fetched.stderr
    assert "5 bars" in fetched.stdout and "alpha_vantage" in fetched.stdout and "instead of yahoo" in fetched.stdout
    assert {asked.query["apikey"] for asked in vantage.asked} == {KEY}
    read = command("-m", "dashtrade.cli", "analyze", "IBM", "--period", "3mo", "--user", "ada", **environment)
    assert "1 news item of the last week is friendly (mean sentiment +0.25)" in read.stdout, read.stderr
    other = command(*data, "prefetch", "IBM", "--source", "alpha_vantage", "--user", "bob", **environment)
    assert other.returncode == 1
    assert "account page" in other.stderr and "dashtrade data keys" in other.stderr and "Traceback" not in other.stderr
    assert command(*data, "keys", "--user", "ada", "alpha_vantage", "--remove", **environment).returncode == 0
    shown = command(*data, "keys", "--user", "ada", **environment)
    assert shown.stdout.startswith("ada has no keys of their own")


def test_a_page_without_the_encryption_key_asks_through_the_jobs_worker(
    database_url: str,
    make_user: Callable[..., User],
    uow_factory: Callable[[], UnitOfWork],
    engine: Engine,
    tmp_path: Path,
    vantage: LocalServer,
) -> None:
    ada, bob = make_user("ada"), make_user("bob")
    sealing = new_key()
    source_keys.store_source_keys(uow_factory(), ada.id, Vault(sealing), "alpha_vantage", KEY)
    password = secrets.token_urlsafe(24)
    assert ensure_pages_role(engine, password) is None
    common = {
        "DASHTRADE_DATA_DIR": str(tmp_path),
        "DASHTRADE_ALPHA_VANTAGE_URL": vantage.url,
        "DASHTRADE_SOURCES": "alpha_vantage",
    }
    kernel = common | {"DATABASE_URL": pages_url(database_url, password)}

    def page(user: User) -> dict[str, object]:
        done = command("-c", KERNEL, **kernel, DASHTRADE_USER_ID=str(user.id))
        assert done.returncode == 0, done.stderr
        assert KEY not in done.stdout + done.stderr
        return json.loads(done.stdout)

    alone = page(ada)
    assert str(alone["bars"]).startswith("UNREACHABLE: The key for Alpha Vantage is held by the jobs worker")
    assert "dashtrade up" in str(alone["bars"])
    for left in (tmp_path / "locks").glob("wait-*"):
        left.unlink()
    log = (tmp_path / "jobs.log").open("w")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("DASHTRADE_")}
    worker = subprocess.Popen(
        [sys.executable, "-m", "dashtrade.processes.jobs"],
        env=environment | common | {"DATABASE_URL": database_url, "ENCRYPTION_KEY": sealing},
        stdout=log,
        stderr=log,
    )
    try:
        _until(lambda: _listening(engine))
        said = page(ada)
        assert said["bars"] == [5, "alpha_vantage", False, []]
        assert said["again"] == [5, "alpha_vantage", True, []]
        assert said["news"] == [["Up", 0.25]]
        assert said["latest"] == "10.5"
        assert str(said["unknown"]).startswith("UNKNOWN_SYMBOL: Alpha Vantage has no symbol NOPE")
        assert str(said["interval"]).startswith("VALIDATION_ERROR: period: Alpha Vantage has 5m bars")
        assert said["environment"] is False
        assert {asked.query["apikey"] for asked in vantage.asked} == {KEY}
        before = len(vantage.asked)
        refused = page(bob)
        assert refused["bars"] == [5, "alpha_vantage", True, []]  # cached bars are everybody's
        assert str(refused["latest"]).startswith("KEY_PROBLEM: Alpha Vantage needs a key")
        assert str(refused["news"]).startswith("KEY_PROBLEM: Alpha Vantage needs a key")
        assert len(vantage.asked) == before
        with engine.connect() as connection:
            assert connection.execute(text("SELECT count(*) FROM source_requests")).scalar() == 0
            counted = connection.execute(text("SELECT source FROM source_calls")).scalars().all()
        assert counted == [f"alpha_vantage-{ada.id}"]
    finally:
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(20) == 0
        log.close()
    assert KEY not in (tmp_path / "jobs.log").read_text()


def _listening(engine: Engine) -> bool:
    query = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND mode = 'ShareLock' AND granted"
    with engine.connect() as connection:
        return bool(connection.execute(text(query)).scalar())


def _until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.1)
