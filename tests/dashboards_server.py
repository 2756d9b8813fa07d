"""A real dashboard server in its own process, for the integration and browser tests."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import httpx
from sqlalchemy import NullPool, create_engine, select, text
from sqlalchemy.engine import make_url

from dashtrade.auth.passwords import hash_password
from dashtrade.db.engine import make_engine
from dashtrade.db.tables.accounts import UserRow
from dashtrade.db.unit_of_work import UnitOfWork
from dashtrade.services import accounts

CHECKOUT = Path(__file__).resolve().parent.parent
PASSWORD = "Correct-Horse-7-Battery"
START_LIMIT = 60.0


@dataclass
class DashboardsServer:
    """``url`` ends with the base path's slash. ``users`` is name → role; all have :data:`PASSWORD`."""

    url: str
    database_url: str
    process: subprocess.Popen[bytes]
    log: Path
    data_dir: Path
    users: dict[str, str] = field(default_factory=dict)
    username: str = "ada"
    password: str = PASSWORD

    def client(self) -> httpx.Client:
        """A browser without a session."""
        return httpx.Client(base_url=self.url, follow_redirects=False, timeout=60)

    @contextmanager
    def signed_in(self, username: str = "ada", password: str = PASSWORD) -> Iterator[httpx.Client]:
        """A browser with a session, got by the real form."""
        with self.client() as client:
            answer = sign_in(client, username, password)
            assert answer.status_code == 303, answer.text
            yield client

    @contextmanager
    def with_session(self, username: str = "ada") -> Iterator[httpx.Client]:
        """A browser with a session made in the database: as good, without a password check. It signs out at the end,
        which ends its pages: one person may have eight, and the tests open more than that within seconds."""
        with self.database() as uow:
            user_id = uow.session.scalar(select(UserRow.id).where(UserRow.username == username))
            assert user_id is not None
            token = accounts.open_session(uow, user_id)
        with self.client() as client:
            client.cookies.set("dashtrade_session", token, domain="127.0.0.1", path="/")
            yield client
            if (known := client.cookies.get("_xsrf")) is not None:
                with suppress(httpx.TransportError):  # the test may have ended the server
                    client.post("logout", headers={"X-XSRFToken": known})

    @contextmanager
    def database(self) -> Iterator[UnitOfWork]:
        engine = make_engine(self.database_url, poolclass=NullPool)
        try:
            with UnitOfWork(engine) as uow:
                yield uow
        finally:
            engine.dispose()

    def log_text(self) -> str:
        return self.log.read_text(errors="replace")


def get_as_written(server: DashboardsServer, path: str, client: httpx.Client) -> tuple[int, str]:
    """Status and body of a GET whose path nobody tidies on the way."""
    address = urlsplit(server.url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=30)
    cookies = "; ".join(f"{cookie.name}={cookie.value}" for cookie in client.cookies.jar)
    connection.request("GET", path, headers={"Cookie": cookies} if cookies else {})
    answer = connection.getresponse()
    body = answer.read().decode(errors="replace")
    connection.close()
    return answer.status, body


def form_token(html: str) -> str:
    found = re.search(r'name="_xsrf" value="([^"]+)"', html)
    assert found, "the page has no form token"
    return found.group(1)


def sign_in(client: httpx.Client, username: str, password: str, **extra: str) -> httpx.Response:
    token = form_token(client.get("login").text)
    return client.post("login", data={"_xsrf": token, "username": username, "password": password, **extra})


def kernel_of(html: str) -> str:
    """The kernel id a served page was given."""
    found = re.search(r'"kernelId":\s*"([0-9a-f-]{36})"', html)
    assert found, html[-2000:]
    return found.group(1)


def write_page(folder: Path, slug: str, source: str, role: str | None = "user", title: str = "") -> None:
    """A page notebook that describes itself."""
    metadata: dict[str, object] = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    if role is not None:
        metadata["dashtrade"] = {"title": title or slug.title(), "role": role}
    cell = {"cell_type": "code", "id": "one", "execution_count": None, "metadata": {}, "outputs": [], "source": source}
    notebook = {"cells": [cell], "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}
    (folder / f"{slug}.ipynb").write_text(json.dumps(notebook))


def clone_database(server_url: str, name: str) -> str:
    """Address of a new database with the whole schema and no row."""
    engine = create_engine(make_url(server_url), isolation_level="AUTOCOMMIT", poolclass=NullPool)
    with engine.connect() as connection:
        connection.execute(text(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)"))
        connection.execute(text(f"CREATE DATABASE {name} TEMPLATE dashtrade_template STRATEGY file_copy"))
    engine.dispose()
    return make_url(server_url).set(database=name).render_as_string(hide_password=False)


def drop_database(url: str) -> None:
    """End the database, also for those who use it."""
    address = make_url(url)
    engine = create_engine(address.set(database="postgres"), isolation_level="AUTOCOMMIT", poolclass=NullPool)
    with engine.connect() as connection:
        connection.execute(text(f"DROP DATABASE {address.database} WITH (FORCE)"))
    engine.dispose()


def add_users(database_url: str, users: dict[str, str], rounds: int = 4) -> None:
    engine = make_engine(database_url, poolclass=NullPool)
    with UnitOfWork(engine) as uow:
        for name, role in users.items():
            hashed = hash_password(PASSWORD, rounds=rounds)
            uow.session.add(UserRow(username=name, email=f"{name}@example.com", password_hash=hashed, role=role))
        uow.commit()
    engine.dispose()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running_server(
    database_url: str,
    folder: Path,
    *,
    apps: Path | None = None,
    users: dict[str, str] | None = None,
    **environment: str,
) -> Iterator[DashboardsServer]:
    """``python -m dashtrade.dashboards`` on a free port, ready to answer; ended with SIGTERM."""
    users = users if users is not None else {"ada": "user"}
    add_users(database_url, users)
    port = free_port()
    folder.mkdir(parents=True, exist_ok=True)
    keep = {name: value for name, value in os.environ.items() if not name.startswith(("DASHTRADE_", "DATABASE_URL"))}
    values = {
        **keep,
        "DATABASE_URL": database_url,
        "DASHTRADE_DATA_DIR": str(folder / "data"),
        "DASHTRADE_DASHBOARDS_PORT": str(port),
        "DASHTRADE_SOURCES": "sample",
        **environment,
    }
    command = [sys.executable, "-m", "dashtrade.dashboards", *(["--apps", str(apps)] if apps else [])]
    log = folder / "dashboards.log"
    base = values.get("DASHTRADE_BASE_URL", "/").strip("/")
    url = f"http://127.0.0.1:{port}/" + (f"{base}/" if base else "")
    with log.open("wb") as output:
        # not in the checkout: a .env file there is nothing to a test
        process = subprocess.Popen(command, cwd=folder, env=values, stdout=output, stderr=subprocess.STDOUT)
        server = DashboardsServer(url, database_url, process, log, folder / "data", users)
        try:
            wait_until_up(server)
            yield server
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def wait_until_up(server: DashboardsServer) -> None:
    deadline = time.monotonic() + START_LIMIT
    while time.monotonic() < deadline:
        if server.process.poll() is not None:
            raise AssertionError(f"the server ended with {server.process.returncode}:\n{server.log_text()}")
        try:
            if httpx.get(server.url + "healthz", timeout=2).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.05)
    raise AssertionError(f"the server did not start:\n{server.log_text()}")
