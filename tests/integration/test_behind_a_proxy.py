"""The proxy that comes with the program, for real: TLS by its own authority, in front of dashboards and webhook.

Skipped where Caddy is not installed.
"""

from __future__ import annotations

import os
import shutil
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from dashboards_server import PASSWORD, DashboardsServer, free_port, kernel_of, running_server, sign_in
from kernel_socket import KernelSocket
from sqlalchemy import Engine, select, text
from trading_house import running_webhook, wait_for

from dashtrade.db.tables.accounts import UserRow
from dashtrade.db.unit_of_work import UnitOfWork
from dashtrade.services import bots

CADDY = shutil.which("caddy")
CADDYFILE = Path(__file__).resolve().parents[2] / "deploy" / "Caddyfile"
SPOOFED = {
    "X-Forwarded-For": "203.0.113.9",
    "X-Real-Ip": "203.0.113.9",
    "X-Scheme": "http",
    "Forwarded": "for=203.0.113.9",
}
pytestmark = pytest.mark.skipif(CADDY is None or not CADDYFILE.is_file(), reason="Caddy is not installed")


@contextmanager
def caddy(folder: Path, dashboards: str, webhook: str) -> Iterator[tuple[str, Path]]:
    """The shipped Caddyfile with these upstreams; the address, and the certificate of its authority."""
    assert CADDY is not None
    port = free_port()
    ports = f"http_port {free_port()}\n\thttps_port {port}"
    ports = f"http_port {free_port()}\n\thttps_port {port}"
    options = f"{{\n\t{ports}\n\tadmin off\n\tskip_install_trust\n}}\n"
    shipped = CADDYFILE.read_text()
    for name, address in (("dashboards:5000", dashboards), ("webhook:8080", webhook)):
        assert name in shipped
        shipped = shipped.replace(name, address)
    (folder / "Caddyfile").write_text(options + shipped)
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "XDG_DATA_HOME": str(folder / "data"),
                   "XDG_CONFIG_HOME": str(folder / "config"), "DASHTRADE_DOMAIN": "localhost"}  # fmt: skip
    with (folder / "caddy.log").open("wb") as log:
        command = [CADDY, "run", "--config", str(folder / "Caddyfile"), "--adapter", "caddyfile"]
        process = subprocess.Popen(command, env=environment, cwd=folder, stdout=log, stderr=subprocess.STDOUT)
    root = folder / "data" / "caddy" / "pki" / "authorities" / "local" / "root.crt"
    url = f"https://localhost:{port}/"
    try:

        def answers() -> bool:
            assert process.poll() is None, (folder / "caddy.log").read_text()
            try:
                return root.is_file() and client_of(url, root).get("health").status_code == 404
            except httpx.TransportError:
                return False

        wait_for(answers, "the proxy does not answer", 60)
        yield url, root
    finally:
        process.terminate()
        process.wait(20)


def client_of(url: str, root: Path) -> httpx.Client:
    return httpx.Client(base_url=url, verify=ssl.create_default_context(cafile=str(root)), timeout=60, trust_env=False)


@pytest.fixture
def proxied(database_url: str, engine: Engine, tmp_path: Path) -> Iterator[tuple[str, Path, DashboardsServer]]:
    settings = {"DASHTRADE_SECURE_COOKIES": "true", "DASHTRADE_BEHIND_PROXY": "true"}
    with (
        running_server(database_url, tmp_path / "server", **settings) as server,
        running_webhook(engine, wait_seconds=0.0) as webhook,
        caddy(tmp_path, server.url.split("/")[2], webhook.base_url.netloc.decode()) as (url, root),
    ):
        yield url, root, server


def test_pages_and_alerts_come_through_tls(
    proxied: tuple[str, Path, DashboardsServer], engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, root, server = proxied
    with client_of(url, root) as browser:
        answer = sign_in(browser, "ada", PASSWORD)
        assert answer.status_code == 303
        cookies = [cookie for cookie in answer.headers.get_list("set-cookie") if '=""' not in cookie]
        assert cookies and all("Secure" in cookie for cookie in cookies)
        assert answer.headers["strict-transport-security"]
        page = browser.get("analysis?symbol=AAPL&source=sample")
        monkeypatch.setenv("SSL_CERT_FILE", str(root))
        cookie = "; ".join(f"{c.name}={c.value}" for c in browser.cookies.jar)
        with KernelSocket(url, kernel_of(page.text), cookie, origin=url.rstrip("/")) as socket:
            assert socket.widget(description="Load")
        for inside in ("metrics", "health", "health/ready"):
            assert browser.get(inside).status_code == 404, "only machines inside may ask"
    with UnitOfWork(engine) as uow:
        user_id = uow.session.scalar(select(UserRow.id))
        assert user_id is not None
    token = bots.create_token(UnitOfWork(engine), user_id).secret
    alert = {"action": "BUY", "symbol": "AAPL", "timeframe": "15 Min", "price": 145.5}
    with client_of(url, root) as tradingview:
        answered = tradingview.post(f"webhook?token={token}", json=alert, headers=SPOOFED)
        assert answered.json()["code"] == "NOT_FOUND", answered.text
        # a caller cannot choose the address that is noted
        assert sign_in_spoofed(tradingview) == 401
    with engine.connect() as connection:
        noted = connection.execute(text("SELECT source_address FROM webhook_requests")).scalars().all()
        failed = connection.execute(text("SELECT address FROM login_failures")).scalars().all()
    assert noted and failed
    assert {str(address).partition("/")[0] for address in [*noted, *failed]} <= {"127.0.0.1", "::1"}
    assert token not in (tmp_path / "caddy.log").read_text() + server.log_text()


def sign_in_spoofed(client: httpx.Client) -> int:
    client.headers.update(SPOOFED)
    return sign_in(client, "ada", "not the password").status_code


def test_below_a_path(database_url: str, engine: Engine, tmp_path: Path) -> None:
    settings = {"DASHTRADE_SECURE_COOKIES": "true", "DASHTRADE_BASE_URL": "/trade/"}
    with (
        running_server(database_url, tmp_path / "server", **settings) as server,
        caddy_at(tmp_path, server) as (url, root),
        client_of(url + "trade/", root) as browser,
    ):
        answer = sign_in(browser, "ada", PASSWORD)
        assert answer.status_code == 303 and answer.headers["location"].startswith("/trade/")
        assert any("Path=/trade/" in cookie for cookie in answer.headers.get_list("set-cookie"))
        assert browser.get("account").status_code == 200
        assert browser.get(url + "account").status_code == 404


def caddy_at(folder: Path, server: DashboardsServer) -> object:
    return caddy(folder, server.url.split("/")[2], "127.0.0.1:9")
