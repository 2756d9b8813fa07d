"""Opening an account: freely, with an invitation, or not at all."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from dashboards_server import (
    PASSWORD,
    DashboardsServer,
    clone_database,
    drop_database,
    form_token,
    running_server,
    sign_in,
    write_page,
)
from office import link_shown, problem, submit

from dashtrade.domain.users import Role
from dashtrade.services import throttle, users

NEW = "four unrelated words here"


def register(client, name: str, password: str = NEW, **fields: str):
    form = {"username": name, "email": f"{name}@example.com", "password": password, "repeat": password, **fields}
    return client.post("register", data={"_xsrf": form_token(client.get("login").text), **form})


def test_where_registration_is_open(office: DashboardsServer) -> None:
    with office.client() as client:
        assert 'href="/register"' in client.get("login").text
        assert client.get("register").status_code == 200
        assert client.post("register", data={"username": "eve"}).status_code == 403  # without the form's token
        for fields, said in (
            ({"repeat": "something else"}, "two different ways"),
            ({"email": "no address"}, "e-mail address"),
            ({"username": "<script>"}, "letters a to z"),
            ({"password": "short", "repeat": "short"}, "at least 10"),
            ({"username": "boss"}, "is taken"),
        ):
            answer = register(client, "grace", **fields)
            assert answer.status_code == 400 and said in problem(answer.text), fields
            assert "<script>" not in answer.text.split("</head>")[1] and NEW not in answer.text
        answer = register(client, "grace", role="superadmin")
        assert answer.status_code == 303
        assert "Your account is open" in client.get(answer.headers["location"]).text
        assert sign_in(client, "grace", NEW).status_code == 303
        dead = client.get("register?invitation=garbage")  # the way out is the form that needs none
        assert dead.status_code == 400 and 'href="/register"' in dead.text and "<form" not in dead.text
    with office.database() as uow:
        assert users.user_named(uow, "grace").role is Role.USER  # whatever the form says


def test_a_flood_of_new_accounts_is_slowed_down(office: DashboardsServer) -> None:
    with office.database() as uow:
        for _ in range(throttle.PAIR.failures):
            throttle.count_failure(uow, throttle.REGISTRATION, "127.0.0.1", datetime.now(UTC))
        uow.commit()
    with office.client() as client:
        answer = register(client, "flooder")
        assert answer.status_code == 429 and int(answer.headers["retry-after"]) > 0
    with office.database() as uow:
        throttle.forget_failures(uow, throttle.REGISTRATION, "127.0.0.1")
        uow.commit()


def test_with_an_invitation_only(postgres_url: str, tmp_path: Path) -> None:
    apps = tmp_path / "apps"
    apps.mkdir()
    write_page(apps, "hello", "print(1)")
    database_url = clone_database(postgres_url, "invited_dashboards")
    environment = {"DASHTRADE_REGISTRATION": "invitation", "DASHTRADE_WARM_KERNELS": "false"}
    try:
        with running_server(database_url, tmp_path, apps=apps, users={"root": "superadmin"}, **environment) as server:
            with server.with_session("root") as client:
                made = submit(client, "admin/invite", email="ada@example.com", role="admin")
                to_anybody = link_shown(submit(client, "admin/invite", email="", role="user").text).split("=")[1]
            link = link_shown(made.text)
            secret = link.split("=")[1]
            with server.client() as client:
                assert "register" not in client.get("login").text
                assert "need an invitation" in client.get("register").text
                assert register(client, "eve").status_code == 403
                assert register(client, "eve", invitation="x" * 43).status_code == 400
                assert register(client, "eve", invitation=secret).status_code == 400  # another address was invited
                for name, email, token, said in (
                    ("ROOT", "ada@example.com", secret, "is taken; choose another"),
                    ("eve", "Root@Example.com", to_anybody, "is used by another account"),
                ):
                    refused = register(client, name, email=email, invitation=token)
                    assert refused.status_code == 400 and said in problem(refused.text)
                    assert client.get(f"register?invitation={token}").status_code == 200  # it is not used up
                assert register(client, "ada", invitation=secret).status_code == 303
                late = register(client, "ada2", email="ada@example.com", invitation=secret)
                for dead in (late, client.get(link), client.get("register?invitation=" + "x" * 43)):
                    assert dead.status_code == 400 and "This invitation is not valid any more" in dead.text
                    assert "<form" not in dead.text and 'href="/login"' in dead.text
                assert register(client, "eve", invitation=to_anybody).status_code == 303
            with server.database() as uow:
                assert users.user_named(uow, "ada").role is Role.ADMIN
                assert [line.user.username for line in users.list_users(uow)] == ["ada", "eve", "root"]
            assert secret not in server.log_text()
    finally:
        drop_database(database_url)


def test_where_registration_is_closed(guarded: DashboardsServer) -> None:
    with guarded.client() as client:
        assert "register" not in client.get("login").text
        assert client.get("register").status_code == 404
        assert register(client, "eve").status_code == 404
    with guarded.with_session("grace") as client:  # an admin
        assert "admin/invite" not in client.get("admin").text
        assert submit(client, "admin/invite", email="", role="user").status_code == 400
    assert PASSWORD not in guarded.log_text()
