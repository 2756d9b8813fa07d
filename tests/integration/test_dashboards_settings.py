"""Servers with other settings: below a base path, behind https, with short patience, without forking."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from dashboards_server import (
    PASSWORD,
    DashboardsServer,
    clone_database,
    drop_database,
    form_token,
    kernel_of,
    running_server,
    write_page,
)
from office import user_id
from sqlalchemy import select

from dashtrade.db.tables.accounts import AuditLogRow

SIMPLE = "import ipywidgets\nfrom IPython.display import display\ndisplay(ipywidgets.Label(value='here'))"


@pytest.fixture
def apps(tmp_path: Path) -> Path:
    folder = tmp_path / "apps"
    folder.mkdir()
    write_page(folder, "hello", SIMPLE)
    return folder


def test_below_a_base_path_behind_https(postgres_url: str, tmp_path: Path, apps: Path) -> None:
    database_url = clone_database(postgres_url, "dashboards_base_path")
    settings = {
        "DASHTRADE_BASE_URL": "/desk",
        "DASHTRADE_SECURE_COOKIES": "true",
        "DASHTRADE_PUBLIC_URL": "https://trade.example.com/desk/",
    }
    people = {"ada": "superadmin", "bob": "user"}
    running = running_server(database_url, tmp_path / "server", apps=apps, users=people, **settings)
    with running as server, server.client() as client:
        root = server.url.removesuffix("desk/")
        assert client.get(root).status_code == 404
        assert client.get(root + "hello").status_code == 404
        assert client.get(root + "healthz").status_code == 404
        asked = client.get("hello")
        assert (asked.status_code, asked.headers["location"]) == (302, "/desk/login?next=%2Fdesk%2Fhello")
        page = client.get("login")
        assert "max-age" in page.headers["strict-transport-security"]
        assert 'action="/desk/login"' in page.text
        cookies = {cookie.name: cookie.value for cookie in client.cookies.jar}  # httpx keeps Secure ones from http
        form = {"_xsrf": form_token(page.text), "username": "ada", "password": PASSWORD, "next": "/elsewhere"}
        answer = client.post("login", data=form, headers={"Cookie": "; ".join(f"{n}={v}" for n, v in cookies.items())})
        assert (answer.status_code, answer.headers["location"]) == (303, "/desk/")
        for cookie in answer.headers.get_list("set-cookie"):
            assert "Path=/desk/" in cookie
            if cookie.startswith("dashtrade_session="):
                assert "; Secure" in cookie
                session = cookie.split(";")[0]
        text = client.get("hello", headers={"Cookie": session}).text
        assert 'href="/desk/hello"' in text
        assert '"baseUrl": "/desk/"' in text
        assert 'src="/desk/assets/' in text
        assert kernel_of(text)

        # a link for somebody else leads where the settings say, not where this request says it was sent
        office = client.get("admin", headers={"Cookie": session})
        given = "; ".join((session, *(part.split(";")[0] for part in office.headers.get_list("set-cookie"))))
        asked_for = {"_xsrf": form_token(office.text), "user": str(user_id(server, "bob"))}
        sent = client.post("admin/reset", data=asked_for, headers={"Cookie": given, "Host": "evil.example"})
        made = client.get(sent.headers["Location"].removeprefix("/desk/"), headers={"Cookie": session})
        assert made.status_code == 200 and "evil.example" not in made.text
        assert 'value="https://trade.example.com/desk/set-password?link=' in made.text

        # what a browser claims of its address is not believed, only what the proxy wrote last
        headers = {
            "Cookie": "; ".join(f"{n}={v}" for n, v in cookies.items()),
            "X-Real-Ip": "198.51.100.1",
            "X-Forwarded-For": "198.51.100.2, 203.0.113.9",
        }
        assert client.post("login", data={**form, "password": "wrong"}, headers=headers).status_code == 401
        with server.database() as uow:
            seen = uow.session.scalars(select(AuditLogRow.address).where(AuditLogRow.action == "login_failed")).all()
        assert seen == ["203.0.113.9"]

        drop_database(database_url)  # and without its database the server says so
        page = client.get("hello", headers={"Cookie": session})
        assert page.status_code == 503
        assert "The database cannot be reached" in page.text
        answer = client.post("login", data=form, headers={"Cookie": "; ".join(f"{n}={v}" for n, v in cookies.items())})
        assert answer.status_code == 503
        assert "The database cannot be reached" in answer.text
        assert client.get("healthz").status_code == 200
        assert "Traceback" not in server.log_text()


def test_without_forking_pages_start_in_the_normal_way_and_end_when_idle(
    postgres_url: str, tmp_path: Path, apps: Path
) -> None:
    database_url = clone_database(postgres_url, "dashboards_without_fork")
    settings = {"DASHTRADE_WARM_KERNELS": "false", "DASHTRADE_PAGE_IDLE_SECONDS": "5", "DASHTRADE_PAGES_PER_USER": "1"}
    with running_server(database_url, tmp_path / "server", apps=apps, **settings) as server:
        with server.with_session("ada") as client:
            kernel_id = kernel_of(client.get("hello").text)
            children = psutil.Process(server.process.pid).children(recursive=True)
            assert len(children) == 1
            assert "ipykernel_launcher" in " ".join(children[0].cmdline())
            assert client.get("hello").status_code == 429
            deadline = time.monotonic() + 40
            while client.get(f"api/kernels/{kernel_id}").status_code == 200:
                assert time.monotonic() < deadline, "an idle page was not ended"
                time.sleep(0.3)
            assert client.get("hello").status_code == 200
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(20) == 0
    psutil.wait_procs(children, timeout=10)
    assert not [child for child in children if child.is_running()]


def test_when_the_warm_process_dies_its_pages_end_and_the_next_one_works(
    postgres_url: str, tmp_path: Path, apps: Path
) -> None:
    database_url = clone_database(postgres_url, "dashboards_zygote_dies")
    with running_server(database_url, tmp_path / "server", apps=apps) as server, server.with_session("ada") as client:
        kernel_id = kernel_of(client.get("hello").text)
        (warm,) = psutil.Process(server.process.pid).children()
        kernels = warm.children()
        assert kernels
        warm.kill()
        gone, _ = psutil.wait_procs(kernels, timeout=10)
        assert len(gone) == len(kernels)
        again = client.get("hello")
        assert again.status_code == 200
        assert kernel_of(again.text) != kernel_id
        deadline = time.monotonic() + 30
        while client.get(f"api/kernels/{kernel_id}").status_code == 200:
            assert time.monotonic() < deadline, "a dead page still counts as running"
            time.sleep(0.2)
        family = psutil.Process(server.process.pid).children(recursive=True)
        assert len(family) >= 2
        server.process.kill()  # and when the whole server dies, nothing stays behind
        _, alive = psutil.wait_procs(family, timeout=10)
        assert alive == []


def test_a_busy_port_is_one_sentence(guarded: DashboardsServer, tmp_path: Path, apps: Path) -> None:
    port = guarded.url.rsplit(":", 1)[1].strip("/")
    second = subprocess.run(
        [sys.executable, "-m", "dashtrade.dashboards", "--apps", str(apps)],
        cwd=tmp_path,
        env={
            "PATH": "/usr/bin:/bin",
            "HOME": str(tmp_path),
            "DATABASE_URL": guarded.database_url,
            "DASHTRADE_DASHBOARDS_PORT": port,
            "DASHTRADE_DATA_DIR": str(tmp_path / "second"),
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert second.returncode == 1
    assert f"Port {port} of 127.0.0.1 is in use" in second.stderr
    assert "Traceback" not in second.stdout + second.stderr
