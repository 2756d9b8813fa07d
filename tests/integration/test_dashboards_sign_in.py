"""Accounts at the dashboards' door: sessions, forged forms and cookies, guessing, changes while signed in."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import httpx
import pytest
from dashboards_server import PASSWORD, DashboardsServer, add_users, form_token, kernel_of, sign_in
from kernel_socket import KernelSocket
from sqlalchemy import delete, select, update
from websockets.exceptions import ConnectionClosed

from dashtrade.db.tables.accounts import LoginFailureRow, UserRow, UserSessionRow
from dashtrade.services import accounts, throttle

COOKIE = "dashtrade_session"


def test_the_session_cookie_is_closed_to_scripts(guarded: DashboardsServer) -> None:
    with guarded.client() as client:
        answer = sign_in(client, "ada", PASSWORD)
    cookie = next(value for value in answer.headers.get_list("set-cookie") if value.startswith(COOKIE + "="))
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert "Path=/" in cookie


def test_only_a_digest_of_the_session_is_stored(guarded: DashboardsServer) -> None:
    with guarded.signed_in("ada") as client, guarded.database() as uow:
        token = client.cookies[COOKIE]
        stored = uow.session.scalars(select(UserSessionRow.token_sha256)).all()
    assert token.encode() not in stored
    assert token not in guarded.log_text()


def test_wrong_password_and_unknown_user_look_the_same(guarded: DashboardsServer) -> None:
    with guarded.client() as client:
        wrong = sign_in(client, "victim", "not the password")
        unknown = sign_in(client, "nobody-of-this-name", "not the password")
    assert wrong.status_code == unknown.status_code == 401
    texts = [
        answer.text.replace(form_token(answer.text), "").replace(name, "")
        for answer, name in ((wrong, "victim"), (unknown, "nobody-of-this-name"))
    ]
    assert texts[0] == texts[1]
    assert "nobody-of-this-name" not in guarded.log_text()
    assert COOKIE not in wrong.cookies
    assert COOKIE not in unknown.cookies


def test_a_planted_session_is_not_taken_over(guarded: DashboardsServer) -> None:
    planted = "A" * 43
    with guarded.client() as client:
        client.cookies.set(COOKIE, planted)
        sign_in(client, "ada", PASSWORD)
        given = [cookie.value for cookie in client.cookies.jar if cookie.name == COOKIE and cookie.value != planted]
    assert len(given) == 1
    with guarded.client() as thief:
        thief.cookies.set(COOKIE, planted)
        assert thief.get("hello").status_code == 302


def test_signing_in_again_ends_the_session_before(guarded: DashboardsServer) -> None:
    with guarded.signed_in("ada") as client:
        first = client.cookies[COOKIE]
        token = form_token(client.get("hello").text)
        again = client.post("login", data={"_xsrf": token, "username": "ada", "password": PASSWORD})
        assert again.status_code == 303
        assert client.cookies[COOKIE] != first
    with guarded.client() as other:
        other.cookies.set(COOKIE, first)
        assert other.get("hello").status_code == 302


@pytest.mark.parametrize(
    "cookie",
    [
        "",
        "x",
        "A" * 43,
        "A" * 5000,
        "2|1:0|10:1|16:dashtrade_session|4:YWRh|" + "0" * 64,
        "ada",
        "'; DROP TABLE users; --",
    ],
)
def test_made_up_cookies_are_nobody(guarded: DashboardsServer, cookie: str) -> None:
    answer = httpx.get(guarded.url + "hello", headers={"Cookie": f"{COOKIE}={cookie}; username-127-0-0-1={cookie}"})
    assert answer.status_code == 302


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "token x"},
        {"Authorization": "Basic YWRhOng="},
        {"X-Forwarded-User": "ada"},
        {"Remote-User": "ada", "X-Remote-User": "ada", "X-Dashtrade-User": "ada"},
    ],
)
def test_headers_sign_nobody_in(guarded: DashboardsServer, headers: dict[str, str]) -> None:
    assert httpx.get(guarded.url + "hello?token=x", headers=headers).status_code == 302


@pytest.mark.parametrize("path", ["login", "logout"])
def test_forms_need_their_token(guarded: DashboardsServer, path: str) -> None:
    data = {"username": "ada", "password": PASSWORD}
    with guarded.signed_in("ada") as client:
        assert client.post(path, data=data).status_code == 403
        assert (
            client.post(path, data={**data, "_xsrf": "2|00000000|00000000000000000000000000000000|1"}).status_code
            == 403
        )
        assert client.get("login").status_code == 302  # still signed in
    with guarded.client() as client:
        assert client.post("login", data=data).status_code == 403


def test_another_sites_form_is_refused_even_with_a_token(guarded: DashboardsServer) -> None:
    with guarded.signed_in("ada") as client:
        token = form_token(client.get("hello").text)
        answer = client.post("logout", data={"_xsrf": token}, headers={"Origin": "https://evil.example"})
        assert answer.status_code in (403, 404)
        assert client.get("login").status_code == 302


def test_log_out_ends_session_and_pages(guarded: DashboardsServer) -> None:
    with guarded.signed_in("ada") as client:
        page = client.get("hello").text
        kernel_id, session = kernel_of(page), client.cookies[COOKIE]
        assert client.get("logout").status_code == 405  # a link cannot do it
        assert client.get(f"api/kernels/{kernel_id}").status_code == 200
        answer = client.post("logout", data={"_xsrf": form_token(page)})
        assert (answer.status_code, answer.headers["location"]) == (303, "/login")
        assert COOKIE not in client.cookies
    with guarded.client() as thief:
        thief.cookies.set(COOKIE, session)
        assert thief.get("hello").status_code == 302
    with guarded.signed_in("ada") as client:
        assert client.get(f"api/kernels/{kernel_id}").status_code == 404


def test_guessing_is_slowed_down_and_the_owner_still_gets_in(guarded: DashboardsServer) -> None:
    add_users(guarded.database_url, {"target": "user"})
    with guarded.database() as uow:  # six of the guesses, without their time
        for _ in range(6):
            throttle.count_failure(uow, "target", "127.0.0.1", datetime.now(UTC))
        uow.commit()
    with guarded.client() as client:
        answers = [sign_in(client, "target", f"guess-{number}") for number in range(3)]
    assert [answer.status_code for answer in answers] == [401, 401, 429]
    assert int(answers[2].headers["retry-after"]) > 0
    assert "Too many tries" in answers[2].text
    with guarded.client() as client:  # the right password is not even looked at
        assert sign_in(client, "target", PASSWORD).status_code == 429
    with guarded.signed_in("ada"):  # and nobody else is locked out
        pass
    with guarded.database() as uow:  # the owner comes from another address
        assert accounts.authenticate(uow, "target", PASSWORD, address="198.51.100.7").username == "target"


def test_a_change_of_role_counts_at_once(guarded: DashboardsServer) -> None:
    add_users(guarded.database_url, {"dora": "admin"})
    with guarded.signed_in("dora") as client:
        page = client.get("office")
        assert page.status_code == 200
        socket = open_socket(guarded, client, kernel_of(page.text))
        with guarded.database() as uow:
            uow.session.execute(update(UserRow).where(UserRow.username == "dora").values(role="user"))
            uow.commit()
        assert client.get("office").status_code == 403
        wait_for_end(client, kernel_of(page.text))
        is_closed(socket)


def test_a_disabled_account_is_out_at_once(guarded: DashboardsServer) -> None:
    add_users(guarded.database_url, {"eve": "user"})
    with guarded.signed_in("eve") as client:
        kernel_id = kernel_of(client.get("hello").text)
        socket = open_socket(guarded, client, kernel_id)
        with guarded.database() as uow:
            uow.session.execute(update(UserRow).where(UserRow.username == "eve").values(is_active=False))
            uow.commit()
        assert client.get("hello").status_code == 302
        assert client.get(f"api/kernels/{kernel_id}").status_code in (302, 403)
        is_closed(socket)
    with guarded.client() as client:
        assert sign_in(client, "eve", PASSWORD).status_code == 401


def open_socket(server: DashboardsServer, client: httpx.Client, kernel_id: str) -> KernelSocket:
    """The page's own, in use."""
    socket = KernelSocket(server.url, kernel_id, "; ".join(f"{item.name}={item.value}" for item in client.cookies.jar))
    socket.info()
    return socket


def is_closed(socket: KernelSocket) -> None:
    """The server ends the socket together with the kernel; it does not wait until the browser is silent."""
    with socket, pytest.raises(ConnectionClosed) as caught:
        while True:
            socket.receive(30)
    assert caught.value.rcvd is not None and caught.value.rcvd.code == 1001


def wait_for_end(client: httpx.Client, kernel_id: str) -> None:
    """The page's kernel is gone within the time the server takes between two looks at the sessions."""
    deadline = time.monotonic() + 30
    while client.get(f"api/kernels/{kernel_id}").status_code != 404:
        assert time.monotonic() < deadline, "the kernel outlived the right to use it"
        time.sleep(0.2)


def test_refusals_take_the_same_time(guarded: DashboardsServer) -> None:
    """Every refusal waits for one floor, which is longer than the check of a password."""
    add_users(guarded.database_url, {"known0": "user"})
    times: dict[str, list[float]] = {"known": [], "absent": []}
    for number in range(1):
        for kind, seen in times.items():
            with guarded.client() as client:
                token = form_token(client.get("login").text)
                begin = time.perf_counter()
                form = {"_xsrf": token, "username": f"{kind}{number}", "password": "wrong"}
                assert client.post("login", data=form).status_code == 401
                seen.append(time.perf_counter() - begin)
    assert min(times["known"] + times["absent"]) >= 0.5


def test_one_password_tried_on_many_accounts_is_slowed_down(guarded: DashboardsServer) -> None:
    with guarded.database() as uow:  # all but one of the tries, without their time
        uow.session.execute(delete(LoginFailureRow).where(LoginFailureRow.address == "127.0.0.1"))
        for number in range(throttle.ADDRESS.failures - 1):
            throttle.count_failure(uow, f"sprayed{number}", "127.0.0.1", datetime.now(UTC))
        uow.commit()
    try:
        with guarded.client() as client:
            assert sign_in(client, "sprayed-last", "Summer2026!!").status_code == 401
            assert sign_in(client, "bob", "Summer2026!!").status_code == 429
            client.headers["X-Forwarded-For"] = "203.0.113.9"  # what a browser says of its address is not believed
            assert sign_in(client, "mallory", "Summer2026!!").status_code == 429
    finally:
        with guarded.database() as uow:
            uow.session.execute(delete(LoginFailureRow).where(LoginFailureRow.address == "127.0.0.1"))
            uow.commit()
