"""Every door of the dashboard server, tried without a key and with a wrong one."""

from __future__ import annotations

import re

import httpx
import pytest
from dashboards_server import DashboardsServer, get_as_written, kernel_of, sign_in
from kernel_socket import KernelSocket
from websockets.exceptions import InvalidStatus

SOMEONES_KERNEL = "5f5c4b09-2a39-4e38-a026-ea7e08adb53b"


@pytest.mark.parametrize("path", ["", "hello", "office", "nothing", "voila/render/hello.ipynb"])
def test_pages_without_a_session_lead_to_the_login(guarded: DashboardsServer, path: str) -> None:
    with guarded.client() as client:
        answer = client.get(path)
    assert answer.status_code == 302
    assert answer.headers["location"].startswith("/login?next=")
    assert "Set-Cookie" not in answer.headers


@pytest.mark.parametrize(
    "path",
    [
        "voila/files/hello.ipynb",
        "voila/files/secret.txt",
        "voila/tree",
        "voila/tree/",
        "voila/api/contents/",
        "voila/api/contents/hello.ipynb",
        f"voila/query/{SOMEONES_KERNEL}",
        f"voila/execution/{SOMEONES_KERNEL}",
        "voila/templates/lab/static/voila.js",
        "voila/static/voila.js",
        "api/kernels",
        "api/sessions",
        "api/contents",
        "api/terminals",
        "api/status",
        "files/hello.ipynb",
        "tree",
        "lab",
        "hello.ipynb",
        "metrics/",
        "assets/0/app/app.css",
    ],
)
@pytest.mark.parametrize("signed_in", [False, True])
def test_doors_that_do_not_exist(guarded: DashboardsServer, path: str, signed_in: bool) -> None:
    with guarded.with_session("ada") if signed_in else guarded.client() as client:
        for method in ("GET", "POST", "PUT", "DELETE"):
            answer = client.request(method, path)
            # a name that could be a page's asks for the login first, and is no page afterwards
            if not signed_in and answer.status_code == 302:
                assert path in ("tree", "lab")
                assert answer.headers["location"].startswith("/login")
                continue
            assert answer.status_code in (403, 404, 405), (method, answer.status_code)
            assert "private" not in answer.text


@pytest.mark.parametrize("signed_in", [False, True])
@pytest.mark.parametrize(
    "path",
    [
        "../outside.svg",
        "..%2foutside.svg",
        "%2e%2e/outside.svg",
        "..%5coutside.svg",
        "app/../../outside.svg",
        "app/..%2f..%2fserver.py",
        "app/%2e%2e/%2e%2e/server.py",
        "app/../server.py",
        "app//etc/passwd",
        "app/%00app.css",
        "voila/../../../../hello.ipynb",
        "lab/..%2f..%2f..%2f..%2fpyvenv.cfg",
    ],
)
def test_files_outside_the_public_folders_stay_closed(guarded: DashboardsServer, path: str, signed_in: bool) -> None:
    version = assets_version(guarded)
    with guarded.with_session("ada") if signed_in else guarded.client() as client:
        status, body = get_as_written(guarded, f"/assets/{version}/{path}", client)
    assert status in (400, 404)
    assert "private" not in body
    assert "import" not in body


def assets_version(server: DashboardsServer) -> str:
    with server.client() as client:
        found = re.search(r"/assets/([0-9a-f]+)/app/app.css", client.get("login").text)
    assert found
    return found.group(1)


def test_public_files_are_compressed_and_kept(guarded: DashboardsServer) -> None:
    version = assets_version(guarded)
    with guarded.client() as client:
        plain = client.get(f"assets/{version}/voila/voila.js", headers={"Accept-Encoding": "identity"})
        packed = client.get(f"assets/{version}/voila/voila.js", headers={"Accept-Encoding": "gzip"})
    assert plain.status_code == packed.status_code == 200
    assert plain.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert packed.headers["content-encoding"] == "gzip"
    assert int(packed.headers["content-length"]) < int(plain.headers["content-length"]) / 2
    assert packed.text == plain.text
    assert plain.headers["content-type"].startswith("text/javascript")


def test_a_page_is_for_its_role(guarded: DashboardsServer) -> None:
    with guarded.with_session("ada") as client:
        refused = client.get("office")
        menu = client.get("hello").text
    assert refused.status_code == 403
    assert "You may not open this" in refused.text
    assert 'href="/office"' not in menu
    with guarded.with_session("grace") as client:
        allowed = client.get("office")
    assert allowed.status_code == 200
    assert 'href="/office"' in allowed.text


def test_a_notebook_without_a_role_is_no_page(guarded: DashboardsServer) -> None:
    with guarded.with_session("grace") as client:
        assert client.get("undeclared").status_code == 404
    assert "undeclared.ipynb is not served" in guarded.log_text()


@pytest.mark.parametrize(
    "slug", ["../hello", "hello%2f..%2foffice", "HELLO", "hello%00", "..", "hello.ipynb", "h" * 500]
)
def test_page_names_are_plain(guarded: DashboardsServer, slug: str) -> None:
    with guarded.with_session("ada") as client:
        status, body = get_as_written(guarded, f"/{slug}", client)
    assert status in (400, 404)
    assert "kernelId" not in body


def test_the_index_leads_to_the_first_page(guarded: DashboardsServer) -> None:
    with guarded.with_session("ada") as client:
        answer = client.get("")
    assert (answer.status_code, answer.headers["location"]) == (302, "/broken")  # same order: by name


def test_what_the_query_says_is_never_a_template(guarded: DashboardsServer) -> None:
    attack = "{{7*191}}${7*191}<script>alert(7)</script>"
    with guarded.with_session("ada") as client:
        text = client.get("hello", params={"symbol": attack, "template": attack, "theme": attack, "next": attack}).text
        error = client.get("nothing", params={"symbol": attack}).text
        login = client.get("login", params={"next": attack}).text
    for answer in (text, error, login):
        assert "1337" not in answer
        assert "alert(7)" not in answer


def test_every_answer_has_the_security_headers(guarded: DashboardsServer) -> None:
    version = assets_version(guarded)
    with guarded.with_session("ada") as client:
        answers = [client.get(path) for path in ("hello", "login", "nothing", "", f"assets/{version}/app/app.css")]
    with guarded.client() as client:
        answers.append(client.get("login"))
    for answer in answers:
        policy = answer.headers["content-security-policy"]
        assert "default-src" in policy
        assert "frame-ancestors 'none'" in policy
        assert "http:" not in policy
        assert "https:" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["referrer-policy"] == "same-origin"
        assert answer.headers["server"] == "DashTrade"


def test_no_page_names_a_foreign_host(guarded: DashboardsServer) -> None:
    with guarded.with_session("ada") as client:
        pages = [client.get("hello").text, client.get("nothing").text]
    with guarded.client() as client:
        pages.append(client.get("login").text)
    for text in pages:
        assert re.findall(r'(?:src|href)="(?:https?:)?//[^"]+"', text) == []


def test_errors_are_screens_or_json_and_tell_nothing(guarded: DashboardsServer) -> None:
    with guarded.with_session("ada") as client:
        screen = client.get("nothing")
        answer = client.get(f"api/kernels/{SOMEONES_KERNEL}")
    assert screen.status_code == 404
    assert "There is no such page" in screen.text
    assert answer.status_code == 404
    assert answer.json() == {"code": 404, "message": "There is no such page"}


def test_a_failing_page_shows_a_sentence(guarded: DashboardsServer) -> None:
    with guarded.with_session("ada") as client:
        text = client.get("broken").text
    assert "This page could not be shown" in text
    assert "private-detail-4712" not in text
    assert "Traceback" not in text
    assert "RuntimeError" not in text


def test_health_says_nothing_but_that_it_is_well(guarded: DashboardsServer) -> None:
    with guarded.client() as client:
        answer = client.get("healthz")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


def test_a_form_that_is_too_large_is_refused(guarded: DashboardsServer) -> None:
    with guarded.client() as client:
        try:
            assert client.post("login", data={"username": "x" * 300_000}).status_code in (400, 413)
        except httpx.TransportError:  # the server hung up before the form was complete
            pass
        assert client.get("login").status_code == 200


def test_another_sites_page_cannot_open_the_websocket(guarded: DashboardsServer) -> None:
    with guarded.with_session("ada") as client:
        kernel_id = kernel_of(client.get("hello").text)
        cookies = "; ".join(f"{name}={value}" for name, value in client.cookies.items())
        with pytest.raises(InvalidStatus) as refused:
            KernelSocket(guarded.url, kernel_id, cookies, origin="https://evil.example")
        assert refused.value.response.status_code == 403
        with KernelSocket(guarded.url, kernel_id, cookies, origin=guarded.url.rstrip("/")) as own:
            own.info()


def test_signed_in_people_skip_the_login(guarded: DashboardsServer) -> None:
    with guarded.with_session("ada") as client:
        answer = client.get("login", params={"next": "/hello"})
    assert (answer.status_code, answer.headers["location"]) == (302, "/hello")


@pytest.mark.parametrize(
    "target",
    ["https://evil.example/", "//evil.example/", "/\\evil.example", "/hello\r\nSet-Cookie: a=b"],
)
def test_login_never_leads_to_another_site(guarded: DashboardsServer, target: str) -> None:
    with guarded.client() as client:
        answer = sign_in(client, "ada", guarded.password, next=target)
    assert answer.status_code == 303
    location = answer.headers["location"]
    assert location.startswith("/")
    assert not location.startswith(("//", "/\\"))
    assert "evil.example" not in location
    assert "set-cookie" not in location.lower()
