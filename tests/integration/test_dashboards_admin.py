"""The administration: who may do what to whom, and that nobody else may do anything."""

from __future__ import annotations

import csv
import io
import itertools
import json
import re
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from html import unescape
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
import pytest
from dashboards_server import PASSWORD, DashboardsServer, add_users, form_token, kernel_of, sign_in
from office import forget_confirmation, link_shown, problem, submit, user_id
from sqlalchemy import delete, select, text

from dashtrade.db.tables.accounts import AuditLogRow, UserRow, UserSessionRow
from dashtrade.domain.users import Role
from dashtrade.services import accounts, administration, audit, jobs, kill_switches, users
from dashtrade.services.preferences import set_preference

NEW = "four unrelated words here"
numbers = itertools.count(1)
ACTIONS = ["create", "invite", "role", "active", "reset", "sign-out", "end-session", "end-kernel", "halt", "resume"]


@pytest.fixture
def person(office: DashboardsServer) -> str:
    name = f"member{next(numbers)}"
    add_users(office.database_url, {name: "user"})
    return name


def role_now(office: DashboardsServer, username: str) -> tuple[Role, bool]:
    with office.database() as uow:
        user = users.user_named(uow, username)
    return user.role, user.is_active


@pytest.mark.parametrize(
    "path", ["admin", "admin/sessions", "admin/jobs", "admin/audit", "admin/system", "admin?format=csv"]
)
def test_it_is_for_admins(office: DashboardsServer, person: str, path: str) -> None:
    with office.client() as stranger:
        assert stranger.get(path).status_code == 302
    with office.with_session(person) as client:
        assert client.get(path).status_code == 403
        assert "Administration" not in client.get("hello").text
    for name in ("boss", "root"):
        with office.with_session(name) as client:
            answer = client.get(path)
            assert answer.status_code == 200
            assert answer.headers["cache-control"] == "no-store"
            if answer.headers["content-type"].startswith("text/html"):
                assert "'unsafe-inline'" not in answer.headers["content-security-policy"]
    with office.with_session("boss") as client:
        assert ">Administration</a>" in client.get("hello").text
        assert client.get("admin/nothing").status_code == 404


@pytest.mark.parametrize("action", ACTIONS)
def test_no_action_is_open_to_users(office: DashboardsServer, person: str, action: str) -> None:
    target = str(user_id(office, "boss"))
    fields = {"user": target, "role": "superadmin", "active": "no", "reason": "mine", "username": "eve",
              "email": "eve@example.com", "halt": "1", "kernel": "x", "confirm_password": PASSWORD}  # fmt: skip
    with office.with_session(person) as client:
        token = form_token(client.get("account").text)
        assert client.post(f"admin/{action}", data={"_xsrf": token, **fields}).status_code == 403
    with office.client() as stranger:
        token = form_token(stranger.get("login").text)
        assert stranger.post(f"admin/{action}", data={"_xsrf": token, **fields}).status_code == 403
    with office.with_session("root") as client:  # and another site cannot make an admin do it
        assert client.post(f"admin/{action}", data=fields).status_code == 403
        assert client.get(f"admin/{action}").status_code == 404
    assert role_now(office, "boss") == (Role.ADMIN, True)
    with office.database() as uow:
        assert administration.system_halts(uow) == []


def test_every_action_asks_for_the_password_again(office: DashboardsServer, person: str) -> None:
    add_users(office.database_url, {f"super-{person}": "superadmin"})
    fields = {"user": str(user_id(office, person)), "role": "admin", "active": "no", "username": f"new-{person}",
              "email": f"new-{person}@example.com", "halt": "1"}  # fmt: skip
    with office.with_session(f"super-{person}") as client:
        forget_confirmation(office, f"super-{person}")
        for action in ("create", "invite", "role", "active", "reset", "sign-out", "end-session", "resume"):
            answer = submit(client, f"admin/{action}", **fields)
            assert answer.status_code == 403 and "Type your password" in problem(answer.text), action
        assert submit(client, "admin/role", **fields, confirm_password="wrong").status_code == 403
        assert role_now(office, person) == (Role.USER, True)
        assert submit(client, "admin/role", **fields, confirm_password=PASSWORD).status_code == 303
    assert role_now(office, person) == (Role.ADMIN, True)


def test_a_created_user_sets_their_own_password(office: DashboardsServer, person: str) -> None:
    name = f"new-{person}"
    with office.with_session("boss") as client:
        taken = submit(client, "admin/create", username=person, email="x@example.com", role="user")
        assert taken.status_code == 400 and "is taken" in problem(taken.text)
        refused = submit(client, "admin/create", username=name, email=f"{name}@example.com", role="admin")
        assert refused.status_code == 403
        made = submit(client, "admin/create", username=name, email=f"{name}@example.com", role="user")
        assert made.status_code == 200
    link = link_shown(made.text)
    with office.client() as browser:
        page = browser.get(link)
        assert page.status_code == 200 and name in page.text
        assert page.headers["referrer-policy"] == "same-origin"
        secret = parse_qs(urlsplit(link).query)["link"][0]
        for password, repeat, status in (
            ("short", "short", 400),
            (NEW, NEW + "x", 400),
            (NEW, NEW, 303),
            (NEW, NEW, 400),
        ):
            form = {"_xsrf": form_token(page.text), "link": secret, "password": password, "repeat": repeat}
            assert browser.post("set-password", data=form).status_code == status
        dead = browser.get(link)
        assert dead.status_code == 400 and "not valid any more" in dead.text
        assert "<form" not in dead.text and 'password"' not in dead.text and "administrator" in dead.text
        assert sign_in(browser, name, NEW).status_code == 303
    assert secret not in office.log_text()
    with office.database() as uow:
        assert secret not in str(
            uow.session.execute(text("SELECT string_agg(t::text, '') FROM account_tokens t")).scalar()
        )


@pytest.mark.parametrize("link", ["", "x" * 43, "' OR 1=1 --", "a" * 5000])
def test_made_up_links_set_nothing(office: DashboardsServer, link: str) -> None:
    with office.client() as browser:
        page = browser.get("set-password", params={"link": link})
        assert page.status_code == 400 and "<form" not in page.text
        form = {"_xsrf": form_token(browser.get("login").text), "link": link, "password": NEW, "repeat": NEW}
        assert browser.post("set-password", data=form).status_code == 400


def test_a_reset_link_ends_the_old_password_and_sessions(office: DashboardsServer, person: str) -> None:
    with office.with_session(person) as old, office.with_session("boss") as client:
        made = submit(client, "admin/reset", user=str(user_id(office, person)))
        assert old.get("account").status_code == 200
        link = link_shown(made.text)
        with office.client() as browser:
            form = {"_xsrf": form_token(browser.get(link).text), "password": NEW, "repeat": NEW,
                    "link": parse_qs(urlsplit(link).query)["link"][0]}  # fmt: skip
            assert browser.post("set-password", data=form).status_code == 303
        assert old.get("account").status_code == 302
        for above in ("root", "boss"):  # an admin resets users only, and not an account of their own rank
            assert submit(client, "admin/reset", user=str(user_id(office, above))).status_code == 403


def test_roles_and_disabling_follow_the_ranks(office: DashboardsServer, person: str) -> None:
    number, boss, root = (str(user_id(office, name)) for name in (person, "boss", "root"))
    with office.with_session("boss") as client:
        for action, fields in (
            ("role", {"user": number, "role": "admin"}),
            ("role", {"user": boss, "role": "superadmin"}),
            ("active", {"user": root, "active": "no"}),
            ("sign-out", {"user": root}),
        ):
            assert submit(client, f"admin/{action}", **fields).status_code == 403, (action, fields)
        assert submit(client, "admin/role", user="999999", role="user").status_code == 404
        assert submit(client, "admin/role", user=number, role="god").status_code == 400
        with office.with_session(person) as victim:
            assert submit(client, "admin/sign-out", user=number).status_code == 303
            assert victim.get("account").status_code == 302
        with office.with_session(person) as victim:
            assert submit(client, "admin/active", user=number, active="no").status_code == 303
            assert victim.get("account").status_code == 302
        assert role_now(office, person) == (Role.USER, False)
        assert submit(client, "admin/reset", user=number).status_code == 400
        assert submit(client, "admin/active", user=number, active="yes").status_code == 303
    with office.with_session("root") as client, office.with_session(person) as raised:
        assert raised.get("admin").status_code == 403
        assert submit(client, "admin/role", user=number, role="admin").status_code == 303
        assert raised.get("admin").status_code == 200
        assert submit(client, "admin/role", user=number, role="user").status_code == 303
        assert raised.get("admin").status_code == 403


def test_what_people_write_stays_text(office: DashboardsServer, person: str) -> None:
    marks = '<img src=x onerror="alert(1)">'
    with office.with_session(person) as client:
        assert submit(client, "account/profile", time_zone="UTC", full_name=marks).status_code == 303
    with office.database() as uow:
        accounts.open_session(uow, user_id(office, person), user_agent=marks, address=marks[:64])
        audit.record(uow, "tested", actor_id=user_id(office, person), user_id=user_id(office, person), symbol=marks)
        uow.commit()
    with office.with_session("root") as client:
        for path in ("admin", f"admin?search={person}", "admin/audit", "admin/system", f"admin?search={marks}",
                     f"admin/audit?user={marks}", f"admin/audit?since={marks}", f"admin/sessions?search={marks[:9]}",
                     f"admin/jobs?status={marks}", f"admin?sort={marks}", "admin?done=<b>x</b>"):  # fmt: skip
            html = client.get(path).text
            assert "<img src=x" not in html and "<b>x</b>" not in html, path
        assert "&lt;img src=x" in client.get("admin", params={"search": person}).text
    with office.with_session(person) as client:
        assert "<img src=x" not in client.get("account").text and "<img src=x" not in client.get("hello").text


def test_the_audit_log_is_shown_and_searched(office: DashboardsServer, person: str) -> None:
    with office.signed_in(person):
        pass
    with office.with_session("boss") as client:
        html = client.get("admin/audit", params={"user": person}).text
        assert "<td>login</td>" in html and f"<td>{person}</td>" in html
        assert f"<td>{person}</td>" in client.get("admin/audit", params={"user": person, "action": "LOG"}).text
        assert "There is no such entry" in client.get("admin/audit", params={"user": person, "action": "role"}).text
        assert "There is no such entry" in client.get("admin/audit", params={"user": "nobody"}).text


def test_long_lists_come_in_pages(office: DashboardsServer, person: str) -> None:
    """Each line is on one page, what was looked for stays on the way, and no page is a dead end."""
    crowd = [f"{person}-{number:03}" for number in range(230)]
    with office.database() as uow:
        uow.session.add_all(
            UserRow(username=name, email=f"{name}@example.com", password_hash="x", full_name="Crowd %")
            for name in crowd
        )
        for number in range(230):
            audit.record(uow, "crowded", user_id=user_id(office, person), place=f"{person}/{number:03}")
        uow.commit()
    seen: dict[str, list[str]] = {"admin": [], "admin/audit": []}
    asked = {"admin": {"search": f"{person}-"}, "admin/audit": {"user": person, "action": "crowded"}}
    line = {"admin": rf"<strong>({person}-\d{{3}})<", "admin/audit": rf"place: ({person}/\d{{3}})<"}
    with office.with_session("boss") as client:
        for path, query in asked.items():
            address: str | None = path + "?" + urlencode(query)
            sizes = []
            while address:
                html = client.get(address).text
                found = re.findall(line[path], html)
                sizes.append(len(found))
                seen[path] += found
                following = re.search(r'rel="next" href="[^"?]*/(admin[^"]*)"', html)
                address = unescape(following.group(1)) if following else None
            assert sizes == [100, 100, 30], path
            for page, way in (("9", "There is no such page"), ("0", "Page 1 of 3"), ("x", "Page 1 of 3")):
                assert way in client.get(path, params={**query, "page": page}).text
        assert seen["admin"] == crowd
        assert seen["admin/audit"] == [f"{person}/{number:03}" for number in reversed(range(230))]
        everybody = client.get("admin", params={"search": "crowd %"}).text
        assert "230 of" in everybody, "a letter that a pattern would read as another is one"
        assert "Nobody is found" in client.get("admin", params={"search": "cr_wd"}).text


def test_what_was_done_by_and_to_somebody_who_is_gone_is_found(office: DashboardsServer, person: str) -> None:
    number = user_id(office, person)
    with office.database() as uow:
        audit.record(uow, "was_told", actor_id=user_id(office, "root"), user_id=number)
        audit.record(uow, "has_told", actor_id=number, user_id=user_id(office, "root"))
        uow.session.execute(delete(UserRow).where(UserRow.id == number))
        uow.commit()
    with office.with_session("boss") as client:
        html = client.get("admin/audit", params={"user": str(number)}).text
    assert "<td>was_told</td>" in html and "<td>has_told</td>" in html
    assert html.count(f"<td>{number}</td>") >= 2


def test_open_pages_with_memory_can_be_ended(office: DashboardsServer, person: str) -> None:
    with office.with_session(person) as owner, office.with_session("boss") as client:
        kernel_id = kernel_of(owner.get("hello").text)
        html = client.get("admin/system").text
        row = next(part for part in html.split("<tr>") if kernel_id in part)
        assert f"<td>{person}</td><td>hello</td>" in row
        assert any(f">{size} MB<" in row for size in range(1, 2000)), row
        assert submit(client, "admin/end-kernel", kernel=kernel_id).status_code == 303
        assert owner.get(f"api/kernels/{kernel_id}").status_code == 404
        assert submit(client, "admin/end-kernel", kernel=kernel_id).status_code == 404
        superior = None
        with office.with_session("root") as root:
            superior = kernel_of(root.get("hello").text)
            assert submit(client, "admin/end-kernel", kernel=superior).status_code == 403
            assert root.get(f"api/kernels/{superior}").status_code == 200


def test_jobs_and_settings_are_shown_without_secrets(office: DashboardsServer) -> None:
    with office.database() as uow:
        from dashtrade.services import housekeeping  # noqa: F401  declares the job

        jobs.enqueue(uow, "delete_expired_sessions", hidden_argument="4711")
        uow.commit()
    with office.with_session("boss") as client:
        for address in ("admin/jobs", "admin/jobs?format=csv"):
            html = client.get(address).text
            assert "delete_expired_sessions" in html and "4711" not in html
        assert "Settings of this server" not in client.get("admin/system").text
    with office.with_session("root") as client:
        html = client.get("admin/settings").text
        assert "Settings of this server" in html and "pages_per_user" in html
    assert office.database_url.split("@")[0] not in html


def test_the_halt_stops_everybody_and_a_superadmin_ends_it(office: DashboardsServer) -> None:
    with office.with_session("boss") as client:
        assert submit(client, "admin/halt", reason=" ").status_code == 400
        assert submit(client, "admin/halt", reason="Broker is <b>down</b>").status_code == 303
        html = client.get("admin/system").text
        assert "Broker is &lt;b&gt;down&lt;/b&gt;" in html and "by boss" in html
        with office.database() as uow:
            (halt,) = administration.system_halts(uow)
            own = kill_switches.set_halt(uow, reason="mine", set_by="root", user_id=user_id(office, "root"))
        assert submit(client, "admin/resume", halt=str(halt.id)).status_code == 403
    with office.with_session("root") as client:
        assert submit(client, "admin/resume", halt=str(own.id)).status_code == 403
        assert submit(client, "admin/resume", halt=str(halt.id)).status_code == 303
    with office.database() as uow:
        assert administration.system_halts(uow) == []
        kill_switches.clear_halt(uow, own.id, cleared_by="root")


def heads(html: str) -> dict[str, str]:
    """How a list is sorted by each of its columns."""
    found = re.findall(r'aria-sort="(\w+)"><a href="[^"]*">([^<↑↓]+?) ?[↑↓]?</a>', html)
    return {title: way for way, title in found}


def test_lists_are_sorted_by_their_heads(office: DashboardsServer, person: str) -> None:
    """The whole list, not the page of it; who has no value comes last either way; the search stays."""
    names = [f"{person}-{letter}" for letter in "abc"]
    seen = {names[0]: datetime(2026, 3, 2, tzinfo=UTC), names[2]: datetime(2026, 3, 1, tzinfo=UTC)}
    with office.database() as uow:
        uow.session.add_all(
            UserRow(username=name, email=f"{9 - place}{name}@example.com", password_hash="x", last_login=seen.get(name),
                    role="admin" if place == 1 else "user")
            for place, name in enumerate(names)
        )  # fmt: skip
        uow.commit()
    a, b, c = names
    asked = f"admin?search={person}-"
    with office.with_session("boss") as client:
        for sort, order in (
            ("", [a, b, c]), ("username", [a, b, c]), ("-username", [c, b, a]), ("email", [c, b, a]),
            ("last_login", [c, a, b]), ("-last_login", [a, c, b]), ("-role", [b, c, a]), ("role", [a, c, b]),
            ("password_hash", [a, b, c]), ("; DROP TABLE users", [a, b, c]),
        ):  # fmt: skip
            html = client.get(f"{asked}&{urlencode({'sort': sort})}").text
            assert re.findall(rf"<strong>({person}-\w)<", html) == order, sort
        html = client.get(f"{asked}&sort=-last_login").text
        assert heads(html)["Last sign-in"] == "descending" and heads(html)["User"] == "none"
        assert unescape(html).count(f"search={person}-&sort=last_login") >= 1, "the head turns the order round"
        assert 'name="sort" value="-last_login"' in html, "a search keeps the order"
        assert heads(client.get("admin").text)["User"] == "ascending"
        assert heads(client.get("admin/audit").text)["Time"] == "descending"
        assert heads(client.get("admin/sessions?sort=address").text)["Address"] == "ascending"
        for head in ("number", "name", "status", "attempts", "planned", "changed"):
            assert client.get(f"admin/jobs?sort=-{head}").status_code == 200
        for head in ("action", "by", "about", "address"):
            assert client.get(f"admin/audit?sort={head}").status_code == 200


def test_a_list_is_taken_as_csv(office: DashboardsServer, person: str) -> None:
    """All of what was searched for, in its order; nothing in it is a formula; that it was taken is known."""
    formulas = ["=1+1", "+1", "-1", "@x", "\t=1", "=1", 'say "hi", x;=1']
    with office.database() as uow:
        uow.session.add_all(
            UserRow(username=f"{person}-{n:03}", email=f"{person}-{n}@example.com", password_hash="x",
                    full_name=formulas[n] if n < len(formulas) else None)
            for n in range(130)
        )  # fmt: skip
        uow.commit()
    with office.with_session("boss") as client:
        answer = client.get("admin", params={"search": f"{person}-", "sort": "-username", "format": "csv"})
        assert answer.headers["content-type"] == "text/csv; charset=utf-8"
        assert re.fullmatch(
            r'attachment; filename="dashtrade-users-[\d-]+\.csv"', answer.headers["content-disposition"]
        )
        lines = list(csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig"), newline="")))
        assert [line["User name"] for line in lines] == [f"{person}-{n:03}" for n in reversed(range(130))]
        assert [line["Name"] for line in reversed(lines)][:7] == [*("'" + text for text in formulas[:6]), formulas[6]]
        assert 'say ""hi"", x;=1"' in answer.text, "what may be cut at a semicolon stays in quotes"
        assert lines[0]["State"] == "active" and re.fullmatch(r"\d{4}(-\d\d){2}T[\d:]{8}Z", lines[0]["Since"])
        log = list(
            csv.DictReader(
                io.StringIO(
                    client.get("admin/audit", params={"action": "list_exported", "format": "csv"}).content.decode(
                        "utf-8-sig"
                    )
                )
            )
        )
        assert log[0]["By"] == "boss" and json.loads(log[0]["Detail"])["asked"]["search"] == f"{person}-"
        refused = client.get("admin/audit", params={"since": "yesterday", "format": "csv"})
        assert refused.status_code == 400 and "From: &#39;yesterday&#39; is no day" in refused.text
    with office.with_session(person) as client:
        assert client.get("admin?format=csv").status_code == 403


def test_the_audit_log_of_some_days(office: DashboardsServer, person: str) -> None:
    """Days of the person's own clock, the last one whole."""
    number = user_id(office, person)
    at = {"before": "2025-05-01T03:59:59", "first": "2025-05-01T04:00:00", "last": "2025-05-03T03:59:59",
          "after": "2025-05-03T04:00:00"}  # fmt: skip
    with office.database() as uow:
        uow.session.add_all(
            AuditLogRow(at=datetime.fromisoformat(f"{text}+00:00"), action=f"days_{name}", user_id=number, detail={})
            for name, text in at.items()
        )
        set_preference(uow, user_id(office, "boss"), "time_zone", "America/New_York")
        uow.commit()
    try:
        with office.with_session("boss") as client:
            ask = {"user": person, "action": "days_", "since": "2025-05-01", "until": "2025-05-02"}
            assert re.findall(r"<td>days_(\w+)</td>", client.get("admin/audit", params=ask).text) == ["last", "first"]
            for wrong in ("2025-13-01", "9999-12-31x", "never"):
                answer = client.get("admin/audit", params={**ask, "until": wrong})
                assert answer.status_code == 400 and "is no day" in problem(answer.text), wrong
            assert client.get("admin/audit", params={**ask, "until": "9999-12-31"}).status_code in (200, 400)
    finally:
        with office.database() as uow:
            set_preference(uow, user_id(office, "boss"), "time_zone", "UTC")
            uow.commit()


def test_one_browser_of_somebody_is_signed_out(office: DashboardsServer, person: str) -> None:
    with office.with_session(person) as here, office.with_session(person) as there, office.with_session("boss") as boss:
        with office.database() as uow:
            mine = select(UserSessionRow.id).where(UserSessionRow.user_id == user_id(office, person))
            first, _ = uow.session.scalars(mine.order_by(UserSessionRow.id)).all()
            superior = uow.session.scalar(
                select(UserSessionRow.id).where(UserSessionRow.user_id == user_id(office, "root"))
            )
        found = boss.get("admin/sessions", params={"search": person}).text
        assert found.count('name="session"') == 2 and "2 browsers" in found
        if superior is not None:
            assert submit(boss, "admin/end-session", session=str(superior)).status_code == 403
        form = {"_xsrf": form_token(here.get("account").text), "session": str(first)}
        assert here.post("admin/end-session", data=form).status_code == 403
        answer = submit(boss, f"admin/end-session?search={person}", session=str(first))
        assert answer.status_code == 303 and f"admin/sessions?search={person}&done=" in answer.headers["location"]
        assert {here.get("account").status_code, there.get("account").status_code} == {302, 200}
        again = submit(boss, "admin/end-session", session=str(first))
        assert again.status_code == 404 and "signed out already" in problem(again.text)


def test_a_refused_form_keeps_what_was_typed(office: DashboardsServer, person: str) -> None:
    """Where it is part of a search, the search stays too; a password is never put back."""
    number = str(user_id(office, person))
    with office.with_session("root") as client:
        fields = {"username": person, "email": "new@example.com", "full_name": 'New "One"', "role": "admin"}
        html = submit(client, f"admin/create?search={person}&sort=-email", **fields, confirm_password=PASSWORD).text
        for field in (f'name="username" value="{person}"', 'name="email" value="new@example.com"',
                      'value="New &#34;One&#34;"', f'type="search" maxlength="100" value="{person}"'):  # fmt: skip
            assert field in html
        chosen = re.search(r'id="create-role".*?</select>', html)
        assert chosen and "<option selected>admin<" in chosen.group()
        assert PASSWORD not in html and heads(html)["E-mail"] == "descending"
        html = submit(client, f"admin/role?search={person}", user=number, role="god").text
        assert '<details class="dt-more" open>' in html and html.count("open>") == 1
        answer = submit(client, f"admin/role?search={person}&page=1", user=number, role="user")
        assert answer.headers["location"].endswith(f"/admin?search={person}&done=role")
    with office.with_session(person) as client:
        html = submit(client, "account/profile", time_zone="Mars/Olympus", full_name="Ada", numbers="point_comma").text
        assert 'value="Mars/Olympus"' in html and 'value="Ada"' in html
        assert '<option value="point_comma" selected>' in html and 'value="yes" checked' not in html
        html = submit(
            client, "account/add-channel", name="My phone", url="nonsense://hidden-address", most_per_hour="7"
        ).text
        assert 'value="My phone"' in html and 'max="1000" value="7"' in html and "hidden-address" not in html


def test_a_form_that_is_sent_again_acts_once(office: DashboardsServer, person: str) -> None:
    """As a browser does on reload, or when an answer got lost: the key of the form is the same."""
    name = f"new{person}"
    made = {"username": name, "email": f"{name}@example.com", "role": "user", "once": "a" * 32}
    with office.with_session("root") as client, office.with_session("root") as other:
        first, second = (client.post("admin/create", data=made | {"_xsrf": xsrf(client)}) for _ in range(2))
        assert first.status_code == second.status_code == 303
        where = first.headers["Location"]
        assert second.headers["Location"] == where
        shown = client.get(where)
        link = link_shown(shown.text)
        assert shown.headers["cache-control"] == "no-store"
        assert link_shown(client.get(where).text) == link, "loading the page again loses nothing for a moment"
        token = link.split("=")[1]
        assert token not in where and token not in office.log_text()

        # nobody else's, whoever they are
        refused = other.get(where)
        assert refused.status_code == 410 and token not in refused.text
        assert "shown once" in problem(refused.text)
        with office.with_session(person) as stranger:
            assert stranger.get(where).status_code == 403
        elsewhere = other.post("admin/create", data=made | {"_xsrf": xsrf(other)})
        assert elsewhere.status_code == 400 and "taken" in problem(elsewhere.text)

        # another form, or the same filled in anew
        again = client.post("admin/create", data=made | {"_xsrf": xsrf(client), "once": "b" * 32})
        assert again.status_code == 400 and "taken" in problem(again.text)
        corrected = made | {"_xsrf": xsrf(client), "once": "b" * 32, "username": f"{name}x", "email": ""}
        assert client.post("admin/create", data=corrected).status_code == 400, "no address yet"
        corrected["email"] = f"{name}x@example.com"
        assert client.post("admin/create", data=corrected).status_code == 303, "what was refused has done nothing"
        client.cookies.delete("dashtrade_session")
        assert client.get(where).status_code == 302


def test_the_same_form_at_the_same_time_acts_once(office: DashboardsServer, person: str) -> None:
    name = f"new{person}"
    made = {"username": name, "email": f"{name}@example.com", "role": "user", "once": "c" * 32}
    with office.with_session("root") as client:
        made["_xsrf"] = xsrf(client)
        with ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(lambda _: client.post("admin/create", data=made), range(4)))
    assert [answer.status_code for answer in answers] == [303] * 4
    assert len({answer.headers["Location"] for answer in answers}) == 1


def xsrf(client: httpx.Client) -> str:
    return form_token(client.get("admin").text)


def test_what_another_browser_did_meanwhile_is_not_undone(office: DashboardsServer, person: str) -> None:
    """Two lists open at once: the second decides about what it saw, not about what it does not know of."""
    number = str(user_id(office, person))
    with office.with_session("root") as client:
        html = client.get("admin", params={"search": person}).text
        assert 'name="seen" value="user"' in html
        assert submit(client, "admin/role", user=number, role="admin", seen="user").status_code == 303
        late = submit(client, f"admin/role?search={person}", user=number, role="user", seen="user")
        assert late.status_code == 400 and f"Role: {person} is admin by now" in problem(late.text)
        assert role_now(office, person) == (Role.ADMIN, True) and 'name="seen" value="admin"' in late.text
        assert submit(client, "admin/role", user=number, role="user", seen="god").status_code == 400
        for active, said in (("no", "disabled"), ("yes", "enabled")):
            answer = submit(client, "admin/active", user=number, active=active)
            assert answer.headers["location"].endswith(f"done={said}")
        assert submit(client, "admin/halt", reason="first").status_code == 303
        try:
            second = submit(client, "admin/halt", reason="another")
            assert second.status_code == 400 and "stopped already, by root: first" in problem(second.text)
        finally:
            with office.database() as uow:
                (halt,) = administration.system_halts(uow)
            assert submit(client, "admin/resume", halt=str(halt.id)).status_code == 303
        late = submit(client, "admin/resume", halt=str(halt.id))
        assert late.status_code == 404 and "go on already" in problem(late.text)
