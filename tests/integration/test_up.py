"""`dashtrade up` for real: all services, a restart after kill -9, a second start refused, an end without a trace."""

from __future__ import annotations

import os
import re
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from http.cookiejar import CookieJar
from urllib.request import HTTPCookieProcessor, build_opener

import psutil
import psycopg2
import pytest

from dashtrade.db.embedded import EmbeddedPostgres, free_port

SERVICES = ("dashboards", "webhook", "simulator", "trader", "jobs")


class Up:
    """A running `dashtrade up` and what it has printed."""

    def __init__(self, environment):
        self.process = subprocess.Popen(
            [sys.executable, "-m", "dashtrade.cli", "up"],
            env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        self.lines: list[str] = []
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.append(line)

    @property
    def text(self):
        return "".join(self.lines)

    def wait_for(self, pattern, seconds=150):
        deadline = time.monotonic() + seconds
        while not (found := re.search(pattern, self.text)):
            assert self.process.poll() is None and time.monotonic() < deadline, f"no {pattern!r} in:\n{self.text}"
            time.sleep(0.05)
        return found

    def child(self, module):
        for process in psutil.Process(self.process.pid).children():
            try:
                if process.status() != psutil.STATUS_ZOMBIE and process.cmdline()[-2:] == ["-m", module]:
                    return process
            except psutil.Error:
                continue
        return None

    def end(self, number=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(number)
        code = self.process.wait(40)
        self.reader.join(5)
        return code


@pytest.fixture
def environment(tmp_path):
    passed = {name: os.environ[name] for name in ("PATH", "HOME", "PYTHONPATH") if name in os.environ}
    return passed | {
        "DASHTRADE_DATA_DIR": str(tmp_path / "data"),
        "DASHTRADE_DASHBOARDS_PORT": str(free_port()),
        "DASHTRADE_WEBHOOK_PORT": str(free_port()),
        "DASHTRADE_SIMULATOR_PORT": str(free_port()),
        "DASHTRADE_SOURCES": '["sample"]',
        "ENCRYPTION_KEY": "",
        "LC_ALL": "C.UTF-8",
    }


@pytest.fixture
def start(environment):
    started = []

    def make(**changes):
        started.append(Up(environment | changes))
        return started[-1]

    yield make
    for up in started:
        up.end(signal.SIGKILL)


def family(folder):
    """Every process that has to do with this data folder, by command line or environment."""
    found = []
    for process in psutil.process_iter():
        try:
            told = " ".join(process.cmdline()) + " ".join(process.environ().values())
            if str(folder) in told and process.status() != psutil.STATUS_ZOMBIE and process.pid != os.getpid():
                found.append(process)
        except psutil.Error:
            continue
    return found


def get(url):
    with build_opener(HTTPCookieProcessor(CookieJar())).open(url, timeout=10) as answer:
        return answer.status, answer.read().decode()


def sentence(up):
    """The one line that an `up` which refuses to start prints."""
    assert up.process.wait(60) == 1, up.text
    up.reader.join(10)
    lines = [line for line in up.lines if line.strip()]
    assert len(lines) == 1 and lines[0].startswith("Error: "), up.text
    return lines[0]


@pytest.mark.timeout(400)
def test_first_start_restart_second_start_and_end(start, environment, tmp_path):
    data = tmp_path / "data"
    up = start()
    login = f"http://127.0.0.1:{environment['DASHTRADE_DASHBOARDS_PORT']}/"
    name, password = up.wait_for(r"sign in as (\S+) with the password (\S+)").groups()
    up.wait_for("Everything is up")
    assert login in up.text
    status, page = get(login)
    assert status == 200 and 'type="password"' in page and "_xsrf" in page

    secrets = data / "secrets"
    assert stat.S_IMODE(secrets.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in secrets.iterdir()} == {0o600}

    key = (secrets / "encryption_key").read_text().strip()
    session = (secrets / "session_secret").read_text().strip()
    modules = {"dashboards": "dashtrade.dashboards", "webhook": "webhook"} | {
        each: f"dashtrade.processes.{each}" for each in ("trader", "jobs", "simulator")
    }
    children = {each: up.child(module) for each, module in modules.items()}
    knows_key = {each for each, process in children.items() if key in process.environ().values()}
    knows_session = {each for each, process in children.items() if session in process.environ().values()}
    # The trader opens broker keys, the jobs worker the addresses of notification channels; nobody else.
    assert knows_key == {"trader", "jobs"}
    assert knows_session == {"dashboards", "simulator", "trader"}

    server = EmbeddedPostgres(data)
    with psycopg2.connect(server.url()) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT username, role, password_hash LIKE '$2b$12$%%' FROM users")
        assert cursor.fetchall() == [(name, "superadmin", True)]
        cursor.execute("SELECT 1 FROM pg_roles WHERE rolname = 'dashtrade_pages'")
        assert cursor.fetchone()
    connection.close()

    again = sentence(start())
    assert f"running already in {data} at {login} (process {up.process.pid})" in again

    webhook = children["webhook"]
    webhook.kill()
    up.wait_for("webhook was killed by SIGKILL; it starts again")
    up.wait_for(r"(?s)starts again.*Webhook answers at")
    assert up.child("webhook").pid != webhook.pid

    assert up.end() == 0
    assert family(data) == []
    for setting in ("DASHBOARDS", "WEBHOOK", "SIMULATOR"):
        with socket.create_server(("127.0.0.1", int(environment[f"DASHTRADE_{setting}_PORT"]))):
            pass
    assert password not in "".join(file.read_text(errors="replace") for file in (data / "logs").iterdir()), (
        "the password is shown once and kept nowhere"
    )
    assert up.text.count(password) == 1

    second = start()
    second.wait_for("Everything is up")
    assert "password:" not in second.text.lower() and password not in second.text
    second.process.kill()
    second.process.wait()
    deadline = time.monotonic() + 30
    while family(data):
        assert time.monotonic() < deadline, f"left behind: {family(data)}"
        time.sleep(0.1)


@pytest.mark.parametrize("setting", ["DASHTRADE_DASHBOARDS_PORT", "DASHTRADE_WEBHOOK_PORT", "DASHTRADE_SIMULATOR_PORT"])
def test_a_busy_port_is_one_sentence(start, environment, setting, tmp_path):
    with socket.create_server(("127.0.0.1", int(environment[setting]))):
        said = sentence(start())
    assert f"Port {environment[setting]} of 127.0.0.1 is in use" in said and f"set {setting}" in said
    assert str(os.getpid()) in said
    assert family(tmp_path / "data") == []


def test_an_unreachable_database_is_one_sentence_without_the_password(start):
    said = sentence(start(DATABASE_URL=f"postgresql://ada:very-secret@127.0.0.1:{free_port()}/books"))
    assert "/books cannot be reached: nothing listens there" in said and "DATABASE_URL" in said
    assert "very-secret" not in said


@pytest.mark.parametrize("url", ["mysql://ada:very-secret@localhost/books", "very-secret"])
def test_another_kind_of_database_is_one_sentence(start, url):
    said = sentence(start(DATABASE_URL=url))
    assert "postgresql://" in said and "very-secret" not in said


def test_a_data_folder_that_cannot_be_written_is_one_sentence(start, tmp_path):
    (tmp_path / "file").write_text("")
    said = sentence(start(DASHTRADE_DATA_DIR=str(tmp_path / "file" / "data")))
    assert "cannot be written" in said and "DASHTRADE_DATA_DIR" in said


def test_a_read_only_file_system_is_one_sentence(start):
    """Root ignores permission bits, and no user can write here."""
    said = sentence(start(DASHTRADE_DATA_DIR="/proc/dashtrade"))
    assert "/proc/dashtrade cannot be written" in said and "DASHTRADE_DATA_DIR" in said


def test_a_half_finished_migration_is_one_sentence(start, empty_database_url):
    with psycopg2.connect(empty_database_url) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE users (id int)")
    connection.close()
    said = sentence(start(DATABASE_URL=empty_database_url))
    assert "half done" in said and "Restore a backup" in said


def test_loose_secrets_are_one_sentence(start, database_url, tmp_path):
    secrets = tmp_path / "data" / "secrets"
    secrets.mkdir(parents=True, mode=0o755)
    secrets.chmod(0o755)
    said = sentence(start(DATABASE_URL=database_url))
    assert f"chmod 700 {secrets}" in said


def test_a_wrong_setting_is_one_sentence(start):
    said = sentence(start(DASHTRADE_WEBHOOK_PORT="eighty"))
    assert "DASHTRADE_WEBHOOK_PORT" in said


def test_a_lost_encryption_key_is_one_sentence(start, database_url, make_user, uow_factory):
    from dashtrade.auth.vault import Vault, new_key
    from dashtrade.services.api_keys import store_api_keys

    with uow_factory() as uow:
        store_api_keys(uow, make_user("ada").id, Vault(new_key()), "paper", "PKABCDEFGH", "secret-secret")
    said = sentence(start(DATABASE_URL=database_url))
    assert "cannot be decrypted" in said and "ENCRYPTION_KEY" in said and "PKABC" not in said


def test_a_lost_sign_in_key_is_said_and_stops_nothing(engine, make_user, uow_factory, tmp_path):
    from datetime import UTC, datetime

    import pyotp

    from dashtrade.auth.vault import Vault, new_key
    from dashtrade.bootstrap import Runtime
    from dashtrade.processes.prepare import prepare
    from dashtrade.services import second_factor
    from dashtrade.settings import load_settings

    key = new_key()
    with uow_factory() as uow:
        user, vault = make_user("ada").id, Vault(key)
        secret = second_factor.start(uow, user, vault).secret
        second_factor.confirm(uow, user, vault, pyotp.TOTP(secret).at(datetime.now(UTC)))
    make_user("bob")
    for given, told in ((key, False), (new_key(), True)):
        made = prepare(Runtime(load_settings(data_dir=tmp_path, signin_key=given), engine))
        assert bool(made.locked_out) == told
    assert "ada, who cannot" in made.locked_out and "reset-second-factor" in made.locked_out
