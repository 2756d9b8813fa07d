"""Backup and restore for real: from one server into another, compared row by row; and everything that can go wrong."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from installation_rows import fill
from sqlalchemy import NullPool, text

from dashtrade.auth import sealed_file, secret_files
from dashtrade.db import dump, migrate, schema
from dashtrade.db.engine import make_engine
from dashtrade.errors import ConfigurationError, InvalidInput, MigrationNeeded
from dashtrade.services import backup as backups
from dashtrade.settings import Settings

PHRASE = "five plain words of mine"


def settings_of(folder: Path, **more) -> Settings:
    return Settings(_env_file=None, data_dir=folder, **more)


@pytest.fixture(autouse=True)
def cheap_passphrases(monkeypatch):
    """Half a second for each file that is opened is for attackers; the command line's test pays it."""
    monkeypatch.setattr(sealed_file, "_COST", {"n": 2**10, "r": 8, "p": 1})


@pytest.fixture
def old(engine, tmp_path):
    """An installation with rows in every table, secrets and files."""
    fill(engine, schema.HEAD)
    settings = settings_of(tmp_path / "old")
    secret_files.ensure_secrets(settings)
    reports = settings.data_dir / "reports" / "1"
    reports.mkdir(parents=True)
    (reports / "daily.html").write_text("<p>up</p>")
    (reports / "large.ipynb").write_bytes(os.urandom(2_500_000))
    (settings.data_dir / "bars").mkdir()
    (settings.data_dir / "bars" / "cached.parquet").write_text("cache")
    return engine, settings


@pytest.fixture
def empty(empty_database_url):
    engine = make_engine(empty_database_url, poolclass=NullPool)
    yield engine
    engine.dispose()


def contents(engine):
    with dump.snapshot(engine) as (connection, _):
        return dump.contents(connection)


def is_bare(engine):
    return dump.is_bare(engine)


def test_a_whole_installation_comes_back(old, empty, tmp_path):
    engine, settings = old
    path = tmp_path / "a.backup"
    made = backups.back_up(engine, settings, path, PHRASE)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600 and made.rows > 40 and made.files == 2
    raw = path.read_bytes()
    secrets = [(settings.secrets_dir / name).read_text().strip().encode() for name in secret_files.NAMES]
    for open_text in (b"ada@example.com", b"PGDMP", b"daily.html", *secrets):
        assert open_text not in raw

    fresh = settings_of(tmp_path / "new")
    backups.restore_backup(empty, fresh, path, PHRASE)
    assert contents(empty) == contents(engine)
    with empty.connect() as connection:
        notes = connection.execute(text("SELECT notes FROM watchlist WHERE id = 1")).scalar()
        qty = connection.execute(text("SELECT qty FROM order_intents WHERE id = 1")).scalar()
    assert notes == "two\nlines" and str(qty).startswith("1.123456789")
    with pytest.raises(Exception, match="append-only"), empty.begin() as connection:
        connection.execute(text("DELETE FROM audit_log"))
    with empty.begin() as connection:  # identities go on where they were
        new = "INSERT INTO users (username, email, password_hash) VALUES ('eve', 'e@x.y', 'z') RETURNING id"
        assert connection.execute(text(new)).scalar() == 3
    for name in secret_files.NAMES:
        assert (fresh.secrets_dir / name).read_bytes() == (settings.secrets_dir / name).read_bytes()
        assert stat.S_IMODE((fresh.secrets_dir / name).stat().st_mode) == 0o600
    for name in ("daily.html", "large.ipynb"):
        one, other = (each.data_dir / "reports" / "1" / name for each in (settings, fresh))
        assert one.read_bytes() == other.read_bytes()
    assert not (fresh.data_dir / "bars").exists()


def test_checksums_see_one_changed_value(engine):
    fill(engine, schema.HEAD)
    before = contents(engine)
    with engine.begin() as connection:
        connection.execute(text("UPDATE lots SET price = price + 0.000001"))
    assert dump.differences(before, contents(engine)) == ["public.lots"]
    with engine.begin() as connection:
        connection.execute(text("SELECT setval(pg_get_serial_sequence('users', 'id'), 1000)"))
    assert dump.differences(before, contents(engine)) == ["public.lots"], "a sequence may be further on"
    assert "public.users_id_seq" in dump.differences(contents(engine), before), "and may not have gone back"


def test_it_is_of_one_moment_while_services_write(old, empty, tmp_path):
    engine, settings = old
    stop = threading.Event()

    def write():
        number = 0
        while not stop.is_set():
            number += 1
            with engine.begin() as connection:  # both or none: a dump between the two would differ
                connection.execute(text(f"INSERT INTO watchlist (user_id, symbol) VALUES (1, 'W{number}')"))
                connection.execute(text(f"INSERT INTO watchlist (user_id, symbol) VALUES (2, 'W{number}')"))

    writer = threading.Thread(target=write)
    writer.start()
    try:
        backups.back_up(engine, settings, tmp_path / "a.backup", PHRASE)
    finally:
        stop.set()
        writer.join()
    backups.restore_backup(empty, settings_of(tmp_path / "new"), tmp_path / "a.backup", PHRASE)
    with empty.connect() as connection:
        query = "SELECT count(*) FILTER (WHERE user_id = 1), count(*) FILTER (WHERE user_id = 2) FROM watchlist"
        one, other = connection.execute(text(query + " WHERE symbol ~ '^W[0-9]'")).one()
    assert one == other


def test_without_a_passphrase_the_secrets_stay(old, empty, tmp_path):
    engine, settings = old
    path = tmp_path / "a.backup"
    made = backups.back_up(engine, settings, path, None)
    assert not made.sealed and not [name for name in made.parts if name.startswith("secret:")]
    assert not backups.is_sealed(path)
    fresh = settings_of(tmp_path / "new")
    backups.restore_backup(empty, fresh, path, None)
    assert contents(empty) == contents(engine) and not fresh.secrets_dir.exists()


def test_a_key_that_is_a_setting_is_kept_and_goes_before_the_file(old, empty, tmp_path):
    engine, settings = old
    own, path = Fernet.generate_key().decode(), tmp_path / "a.backup"
    with_key = settings_of(settings.data_dir, ENCRYPTION_KEY=own)
    backups.back_up(engine, with_key, path, PHRASE)
    fresh = settings_of(tmp_path / "new")
    backups.restore_backup(empty, fresh, path, PHRASE)
    assert secret_files.encryption_key(fresh) == own


@pytest.fixture
def sealed(old, tmp_path):
    engine, settings = old
    path = tmp_path / "a.backup"
    backups.back_up(engine, settings, path, PHRASE)
    return path


class TestRefusals:
    """Each is one sentence, and neither database nor data folder has changed."""

    @pytest.fixture(autouse=True)
    def unchanged(self, empty, tmp_path):
        yield
        assert is_bare(empty) and not (tmp_path / "new" / "secrets").exists()

    def refuse(self, path, empty, tmp_path, match, phrase=PHRASE, kind=ConfigurationError):
        with pytest.raises(kind, match=match) as refused:
            backups.restore_backup(empty, settings_of(tmp_path / "new"), path, phrase)
        assert str(refused.value).count("\n") == 0

    def test_passphrases(self, sealed, empty, tmp_path):
        self.refuse(sealed, empty, tmp_path, "passphrase is not the one", "another five words here")
        self.refuse(sealed, empty, tmp_path, "sealed. Give its passphrase", None)

    def test_damage_anywhere(self, sealed, empty, tmp_path):
        whole = sealed.read_bytes()
        start = whole.index(b"\n", whole.index(b"\n") + 1) + 1
        other = tmp_path / "other.backup"
        sizes = [start, start + 1000, len(whole) // 2, start + (1 << 20) + 16, len(whole) - 1]
        for size in sizes:
            other.write_bytes(whole[:size])
            self.refuse(other, empty, tmp_path, "damaged: .*Nothing was restored")
        for place in (start, start + 5000, len(whole) - 1):
            changed = bytearray(whole)
            changed[place] ^= 1
            other.write_bytes(changed)
            self.refuse(other, empty, tmp_path, "damaged: .*Nothing was restored")
        chunk = (1 << 20) + 16
        swapped = whole[:start] + whole[start + chunk : start + 2 * chunk] + whole[start : start + chunk]
        other.write_bytes(swapped + whole[start + 2 * chunk :])
        self.refuse(other, empty, tmp_path, "damaged")
        other.write_bytes(whole + b"x")
        self.refuse(other, empty, tmp_path, "damaged")
        header = whole[:start].replace(b'"program": "', b'"program": "9')
        other.write_bytes(header + whole[start:])
        self.refuse(other, empty, tmp_path, "damaged")
        other.write_bytes(b"something else")
        self.refuse(other, empty, tmp_path, "no backup of DashTrade")
        self.refuse(tmp_path / "missing", empty, tmp_path, "cannot be read")

    def test_a_newer_program(self, old, empty, tmp_path, monkeypatch):
        engine, settings = old
        with monkeypatch.context() as changed:
            changed.setattr(schema, "HEAD", "9999")
            changed.setattr(schema, "check_whole", lambda engine: None)
            backups.back_up(engine, settings, tmp_path / "newer", PHRASE)
        self.refuse(tmp_path / "newer", empty, tmp_path, "9999, newer than this program", kind=MigrationNeeded)


def test_nothing_is_overwritten(sealed, old, empty, tmp_path):
    engine, settings = old
    before = contents(engine)
    with pytest.raises(ConfigurationError, match=r"not empty.*overwrites nothing"):
        backups.restore_backup(engine, settings_of(tmp_path / "new"), sealed, PHRASE)
    assert contents(engine) == before
    other = settings_of(tmp_path / "other")
    secret_files.ensure_secrets(other)
    with pytest.raises(ConfigurationError, match="another key than the backup's"):
        backups.restore_backup(empty, other, sealed, PHRASE)
    with pytest.raises(ConfigurationError, match=r"daily\.html exists already"):
        backups.restore_backup(empty, settings, sealed, PHRASE)
    assert is_bare(empty)
    with pytest.raises(ConfigurationError, match="never replaced"):
        backups.back_up(engine, settings, sealed, PHRASE)
    with pytest.raises(InvalidInput, match="at least 12"):
        backups.back_up(engine, settings, tmp_path / "short", "short")
    assert not (tmp_path / "short").exists()


def test_an_older_backup_is_brought_to_this_schema(empty_database_url, empty, engine, tmp_path, monkeypatch):
    from dashtrade.db.migrate import downgrade

    downgrade(engine, "0001")
    fill(engine, "0001")
    with monkeypatch.context() as then:  # as the program of that time made it
        then.setattr(schema, "HEAD", "0001")
        then.setattr(schema, "check_whole", lambda engine: None)
        backups.back_up(engine, settings_of(tmp_path / "old"), tmp_path / "a.backup", PHRASE)
    backups.restore_backup(empty, settings_of(tmp_path / "new"), tmp_path / "a.backup", PHRASE)
    schema.check_whole(empty)
    migrate.upgrade(engine)
    assert contents(empty).keys() == contents(engine).keys()
    assert contents(empty)["public.executions"] == contents(engine)["public.executions"]


def test_a_dump_that_fails_half_way_leaves_no_file(old, tmp_path, monkeypatch):
    engine, settings = old
    real = dump.dump

    def cut(url, name):
        yield next(iter(real(url, name)))
        raise ConfigurationError("The database went away.")

    monkeypatch.setattr(dump, "dump", cut)
    folder = tmp_path / "target"
    folder.mkdir()
    with pytest.raises(ConfigurationError, match="went away"):
        backups.back_up(engine, settings, folder / "a.backup", PHRASE)
    assert list(folder.iterdir()) == []


def command(database_url: str, data: Path, *arguments: str, **more):
    environment = {
        "PATH": os.environ["PATH"], "HOME": str(data), "DATABASE_URL": database_url, "DASHTRADE_DATA_DIR": str(data),
    }  # fmt: skip
    return subprocess.Popen(
        [sys.executable, "-m", "dashtrade.cli", *arguments], env=environment, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, cwd=data, **more,
    )  # fmt: skip


def test_the_command_line_and_a_signal_half_way(old, database_url, empty_database_url, empty, tmp_path):
    engine, settings = old
    with engine.begin() as connection:
        connection.execute(
            text("INSERT INTO notifications (user_id, kind, title, body)"
                 " SELECT 1, 'alert', i::text, repeat(md5(i::text), 40) FROM generate_series(1, 20000) i")
        )  # fmt: skip
    (tmp_path / "phrase").write_text(PHRASE + "\n")
    phrase = ("--passphrase-file", str(tmp_path / "phrase"))
    target = tmp_path / "target"
    target.mkdir()
    interrupted = command(database_url, settings.data_dir, "backup", str(target / "a"), *phrase)
    deadline = time.monotonic() + 60
    while not any(file.stat().st_size for file in target.iterdir()):
        assert interrupted.poll() is None and time.monotonic() < deadline, interrupted.communicate()
        time.sleep(0.005)
    interrupted.send_signal(signal.SIGTERM)
    interrupted.communicate(timeout=30)
    assert list(target.iterdir()) == [] or [file.name for file in target.iterdir()] == ["a"]
    (target / "a").unlink(missing_ok=True)

    out, err = command(database_url, settings.data_dir, "backup", str(target / "a"), *phrase).communicate(timeout=60)
    assert "20" in out and not err and list(target.iterdir()) == [target / "a"]
    fresh = tmp_path / "new"
    fresh.mkdir()
    out, err = command(empty_database_url, fresh, "restore", str(target / "a"), *phrase).communicate(timeout=60)
    assert "all compared" in out and "Entries are stopped" in out, err
    with empty.connect() as connection:
        halts = connection.execute(text("SELECT scope, cleared_at FROM trading_halts WHERE set_by = 'restore'")).all()
        assert (
            halts == [("system", None)]
            or connection.execute(
                text("SELECT count(*) FROM trading_halts WHERE scope = 'system' AND cleared_at IS NULL")
            ).scalar()
        )
    out, err = command(empty_database_url, fresh, "restore", str(target / "a"), *phrase).communicate(timeout=60)
    assert err.startswith("Error: The database is not empty") and err.count("\n") == 1
