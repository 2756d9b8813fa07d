"""``dashtrade lab``: JupyterLab with the database at hand, for the person at the machine only."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from dashboards_server import DashboardsServer, add_users, clone_database, free_port
from kernel_socket import KernelSocket
from office import user_id
from sqlalchemy import NullPool
from websockets.exceptions import ConnectionClosed, InvalidStatus

from dashtrade.auth import secret_files
from dashtrade.db.engine import make_engine
from dashtrade.db.pages_role import ensure_pages_role
from dashtrade.services import accounts, users
from dashtrade.settings import Settings


def test_lab_opens_the_notebooks_for_its_owner_only(postgres_url: str, tmp_path: Path) -> None:
    notebooks = tmp_path / "notebooks"
    notebooks.mkdir()
    (notebooks / "mine.ipynb").write_text('{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}')
    port = free_port()
    keep = {name: value for name, value in os.environ.items() if not name.startswith(("DASHTRADE_", "DATABASE_URL"))}
    environment = {
        **keep,
        "DATABASE_URL": clone_database(postgres_url, "lab_database"),
        "DASHTRADE_DATA_DIR": str(tmp_path / "data"),
        "ENCRYPTION_KEY": "never-for-notebooks",
        "PYTHONUNBUFFERED": "1",
    }
    command = [
        sys.executable,
        "-m",
        "dashtrade.cli",
        "lab",
        "--port",
        str(port),
        "--no-browser",
        "--notebooks",
        str(notebooks),
    ]
    log = tmp_path / "lab.log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=output, stderr=subprocess.STDOUT)
    try:
        base = f"http://127.0.0.1:{port}/"
        wait_for(base, process, log)
        token = re.search(r"token=([\w-]+)", log.read_text())
        assert token
        assert httpx.get(base + "api/contents").status_code == 403
        with httpx.Client(base_url=base, headers={"Authorization": f"token {token.group(1)}"}, timeout=30) as client:
            assert [item["name"] for item in client.get("api/contents").json()["content"]] == ["mine.ipynb"]
            assert client.get("lab").status_code == 200
        words = Path(f"/proc/{process.pid}/cmdline")
        if words.exists():  # the token is in no list of processes
            assert token.group(1) not in words.read_text()
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    assert "never-for-notebooks" not in log.read_text()


def wait_for(base: str, process: subprocess.Popen[bytes], log: Path, signed_out: int = 200) -> None:
    deadline = time.monotonic() + 60
    while True:
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        try:
            if httpx.get(base + "api", timeout=2).status_code in (200, signed_out):
                return
        except httpx.TransportError:
            time.sleep(0.2)


def test_a_missing_folder_is_one_sentence(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "dashtrade.cli", "lab", "--notebooks", str(tmp_path / "none")]
    answer = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert answer.returncode == 1
    assert "There is no folder" in answer.stderr
    assert "Traceback" not in answer.stderr


@pytest.fixture(scope="module")
def lab(postgres_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DashboardsServer]:
    """`dashtrade lab --serve`: ada may use it; bob, the admin and the superadmin may not."""
    folder = tmp_path_factory.mktemp("served")
    notebooks = folder / "notebooks"
    notebooks.mkdir()
    (notebooks / "mine.ipynb").write_text('{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}')
    url, port = clone_database(postgres_url, "served_lab"), free_port()
    settings = Settings(_env_file=None, data_dir=folder / "data")
    secret_files.ensure_secrets(settings)
    engine = make_engine(url, poolclass=NullPool)
    assert ensure_pages_role(engine, secret_files.pages_password(settings)) is None
    add_users(url, {"ada": "user", "bob": "user", "grace": "admin", "root": "superadmin"})
    keep = {name: value for name, value in os.environ.items() if not name.startswith(("DASHTRADE_", "DATABASE_URL"))}
    environment = {
        **keep, "DATABASE_URL": url, "DASHTRADE_DATA_DIR": str(settings.data_dir),
        "ENCRYPTION_KEY": "never-for-notebooks",
        "DASHTRADE_SIGNIN_KEY": "never-for-notebooks", "DASHTRADE_SMTP_PASSWORD": "never-for-notebooks",
        "DASHTRADE_PUBLIC_URL": "https://trade.example.com/", "JUPYTER_TOKEN": "open-sesame",
    }  # fmt: skip
    command = [
        sys.executable,
        "-m",
        "dashtrade.cli",
        "lab",
        "--serve",
        "--port",
        str(port),
        "--notebooks",
        str(notebooks),
    ]
    log = folder / "lab.log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=output, stderr=subprocess.STDOUT)
    server = DashboardsServer(f"http://127.0.0.1:{port}/jupyter/", url, process, log, settings.data_dir)
    try:
        with server.database() as uow:
            users.set_lab_access(uow, user_id(server, "ada"), True)
        wait_for(server.url, process, log, signed_out=403)
        yield server
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)
        engine.dispose()


def start_notebook(client: httpx.Client) -> str:
    client.get("lab")
    answer = client.post("api/kernels", json={"name": "python3"}, headers={"X-XSRFToken": client.cookies["_xsrf"]})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def test_the_served_lab_is_closed_to_everybody_it_was_not_given_to(lab: DashboardsServer) -> None:
    forged = (
        {}, {"Authorization": "token open-sesame"}, {"Authorization": "Bearer open-sesame"},
        {"X-Forwarded-User": "ada"}, {"Remote-User": "ada"}, {"Cookie": "dashtrade_session=ada"},
        {"Cookie": "username-127-0-0-1=2|1:0|ada"},
    )  # fmt: skip
    with lab.client() as stranger:
        for headers in forged:
            assert stranger.get("api/contents", headers=headers).status_code == 403, headers
            assert stranger.get("api/contents?token=open-sesame", headers=headers).status_code == 403
            assert stranger.post("api/kernels", json={}, headers=headers).status_code == 403
            page = stranger.get("lab", headers=headers)
            assert page.status_code == 302 and "/login" in page.headers["location"]
        assert stranger.get("login").headers["location"] == "https://trade.example.com/login"
        assert stranger.post("login", data={"password": ""}).status_code in (403, 405)
    for name in ("bob", "grace", "root"):  # no role opens it
        with lab.with_session(name) as client:
            for path in ("lab", "tree", "api/contents", "api/kernels", "files/mine.ipynb", "terminals/1"):
                assert client.get(path).status_code in (403, 404), (name, path)


def test_a_notebook_ends_with_the_session_and_sees_no_secret(lab: DashboardsServer) -> None:
    with lab.with_session("ada") as client, lab.with_session("bob") as bob:
        assert [item["name"] for item in client.get("api/contents").json()["content"]] == ["mine.ipynb"]
        assert client.get("api/terminals").status_code == 404
        assert client.post("api/kernels", json={}).status_code == 403  # no form token
        kernel = start_notebook(client)
        cookies = f"dashtrade_session={client.cookies['dashtrade_session']}"
        for bad in (
            {"cookies": ""}, {"cookies": f"dashtrade_session={bob.cookies['dashtrade_session']}"},
            {"cookies": cookies, "origin": "https://evil.example.com"},
        ):  # fmt: skip
            with pytest.raises(InvalidStatus):
                KernelSocket(lab.url, kernel, **bad)
        with KernelSocket(lab.url, kernel, cookies) as socket:
            code = "import os; print(sorted(os.environ.items()))"
            sent = socket.send("execute_request", {"code": code, "silent": False, "allow_stdin": False})
            printed = "".join(
                content["text"] for _, header, _, content in socket.until_idle(sent) if header["msg_type"] == "stream"
            )
            assert "dashtrade_pages" in printed and "DASHTRADE_DATA_DIR" in printed
            assert "never-for-notebooks" not in printed and "LAB_DATABASE" not in printed
            assert lab.database_url not in printed
            with lab.database() as uow:
                accounts.end_other_sessions(uow, user_id(lab, "ada"))
            with pytest.raises(ConnectionClosed):
                while True:
                    socket.receive(timeout=20)
        assert client.get("api/contents").status_code == 403
        with pytest.raises(InvalidStatus):
            KernelSocket(lab.url, kernel, cookies)
    with lab.with_session("ada") as client:
        cookies = f"dashtrade_session={client.cookies['dashtrade_session']}"
        with KernelSocket(lab.url, kernel, cookies) as socket:
            with lab.database() as uow:
                users.set_lab_access(uow, user_id(lab, "ada"), False)
            with pytest.raises(ConnectionClosed):
                while True:
                    socket.receive(timeout=20)
        assert client.get("api/contents").status_code == 403
        with lab.database() as uow:
            users.set_lab_access(uow, user_id(lab, "ada"), True)
    assert "never-for-notebooks" not in lab.log_text()
