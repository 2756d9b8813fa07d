"""A forgotten password: asked for on the page, sent by the worker through a mail server, used once; and passwords that
somebody else set."""

from __future__ import annotations

import email
import email.policy
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from dashboards_server import PASSWORD, DashboardsServer, add_users, form_token, sign_in
from office import problem, submit, user_id
from pydantic import SecretStr
from smtp_server import Mailbox, smtp_server
from sqlalchemy import text

from dashtrade.db.unit_of_work import UnitOfWork
from dashtrade.domain.users import User
from dashtrade.errors import InvalidInput
from dashtrade.notify.mail import MailFailed, MailServer, send_mail
from dashtrade.services import accounts, audit, invitations, password_reset, users
from dashtrade.services.password_reset import send_password_reset
from dashtrade.settings import Settings

NEW = "four unrelated words here"


@dataclass
class Context:
    settings: Settings
    uow: Callable[[], UnitOfWork]


@pytest.fixture
def box(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Mailbox]:
    with smtp_server(tmp_path) as made:
        monkeypatch.setenv("SSL_CERT_FILE", str(made.certificate))
        yield made


@pytest.fixture
def context(box: Mailbox, uow_factory: Callable[[], UnitOfWork]) -> Context:
    settings = Settings(
        _env_file=None, smtp_host=box.host, smtp_port=box.port, smtp_user="robot", smtp_password=SecretStr("mail-pass"),
        smtp_from="DashTrade <trade@example.com>", public_url="https://trade.example.com/desk/",
    )  # fmt: skip
    return Context(settings, uow_factory)


def link_of(mail: str) -> str:
    parsed = email.message_from_string(mail, policy=email.policy.default)
    body = parsed.get_body()
    assert body is not None
    found = re.search(
        r"^(https://trade\.example\.com/desk/set-password\?link=([\w-]{43}))\s*$", body.get_content(), re.M
    )
    assert found, body.get_content()
    return found.group(2)


def test_the_mail_sets_a_password_once_and_ends_all_sessions(
    box: Mailbox, context: Context, make_user: Callable[..., User]
) -> None:
    ada = make_user()
    with context.uow() as uow:
        session = accounts.open_session(uow, ada.id)
    assert send_password_reset(context, "ada@example.com") is True
    ((sender, receivers, mail),) = box.mails
    assert (sender, receivers, box.encrypted) == ("trade@example.com", ["ada@example.com"], [True])
    assert box.logins == [("robot", "mail-pass")]
    link = link_of(mail)
    assert PASSWORD not in mail and "mail-pass" not in mail
    with context.uow() as uow:
        kept = str(uow.session.execute(text("SELECT string_agg(a::text, '') FROM audit_log a")).scalar())
        assert link not in kept
        with pytest.raises(InvalidInput, match="not valid any more"):
            invitations.finish_reset(uow, link, NEW, now=datetime.now(UTC) + timedelta(hours=1, seconds=1))
        assert accounts.user_of_session(uow, session) is not None
        invitations.finish_reset(uow, link, NEW)
        assert accounts.user_of_session(uow, session) is None
        assert accounts.authenticate(uow, "ada", NEW).id == ada.id
        with pytest.raises(InvalidInput):
            invitations.finish_reset(uow, link, "another long password")


def test_nobody_is_flooded_and_strangers_get_nothing(
    box: Mailbox, context: Context, make_user: Callable[..., User]
) -> None:
    make_user()
    make_user("gone", is_active=False)
    sent = [send_password_reset(context, "ada@example.com") for _ in range(5)]
    assert sent == [True] * 3 + [False] * 2 and len(box.mails) == 3
    assert not send_password_reset(context, "nobody@example.com")
    assert not send_password_reset(context, "gone@example.com")
    assert len(box.mails) == 3


def test_a_mail_that_did_not_go_out_leaves_no_link(
    box: Mailbox, context: Context, make_user: Callable[..., User], monkeypatch: pytest.MonkeyPatch
) -> None:
    make_user()
    box.refuse = 451
    with pytest.raises(MailFailed) as failed:
        send_password_reset(context, "ada@example.com")
    assert "ada" not in str(failed.value)
    box.refuse = 0
    monkeypatch.delenv("SSL_CERT_FILE")
    with pytest.raises(MailFailed, match="SSL"):  # a server that cannot prove who it is gets no password
        send_password_reset(context, "ada@example.com")
    with context.uow() as uow:
        assert uow.session.scalar(text("SELECT count(*) FROM account_tokens")) == 0
    assert box.mails == [] and len(box.logins) == 1  # of the refused recipient
    monkeypatch.setenv("SSL_CERT_FILE", str(box.certificate))
    assert send_password_reset(context, "ada@example.com") is True  # the worker's next try
    with pytest.raises(MailFailed, match="unprotected"):
        send_mail(MailServer("mail.example.com", 25, "none", "a@example.com", "robot", "p"), "b@example.com", "s", "t")


def test_the_page_says_the_same_to_everybody(guarded: DashboardsServer) -> None:
    answers = []
    with guarded.client() as browser:
        assert 'href="/forgotten"' in browser.get("login").text
        for address in ("ada@example.com", "nobody@example.com"):
            token = form_token(browser.get("forgotten").text)
            answer = browser.post(
                "forgotten", data={"_xsrf": token, "email": address}, headers={"Host": "evil.example.com"}
            )
            shown = browser.get(answer.headers["location"])
            answers.append((answer.status_code, answer.headers["location"], "on its way" in shown.text))
        assert answers[0] == answers[1] == (303, "/login?done=reset-sent", True)
        with guarded.database() as uow:
            jobs = uow.session.execute(
                text("SELECT args FROM jobs.procrastinate_jobs WHERE task_name = 'send_password_reset' ORDER BY id")
            ).scalars()
            assert list(jobs) == [{"email": "ada@example.com"}, {"email": "nobody@example.com"}]
            assert uow.session.scalar(text("SELECT count(*) FROM account_tokens WHERE purpose = 'reset'")) == 0
        assert browser.post("forgotten", data={"email": "ada@example.com"}).status_code == 403  # no form token
        token = form_token(browser.get("forgotten").text)
        codes = [
            browser.post("forgotten", data={"_xsrf": token, "email": "x@example.com"}).status_code for _ in range(8)
        ]
        assert codes[-1] == 429 and codes[0] == 303


def test_without_a_mail_server_the_page_names_the_operator(office: DashboardsServer) -> None:
    with office.client() as browser:
        html = browser.get("forgotten").text
        assert "Ask the operator" in html and 'name="email"' not in html
        token = form_token(browser.get("login").text)
        assert browser.post("forgotten", data={"_xsrf": token, "email": "boss@example.com"}).status_code == 403


def test_links_come_from_the_settings_alone() -> None:
    def where(**values: object) -> str:
        return password_reset.address_of(Settings(_env_file=None, **values))

    assert where(public_url="https://trade.example.com/x") == "https://trade.example.com/x/"
    assert where(host="0.0.0.0", dashboards_port=5001, base_url="/desk") == "http://127.0.0.1:5001/desk/"


def test_a_password_set_by_somebody_else_opens_one_form_only(office: DashboardsServer) -> None:
    add_users(office.database_url, {"fresh": "admin"})
    given = "given by the operator"
    with office.database() as uow:
        users.set_password(uow, user_id(office, "fresh"), given, must_change=True)
    with office.client() as browser:
        assert sign_in(browser, "fresh", given, next="/hello").headers["location"] == "/hello"
        for path in ("hello", "account", "admin", "", "api/kernels/00000000-0000-0000-0000-000000000000"):
            answer = browser.get(path)
            assert answer.status_code in (302, 403) and "new-password" not in answer.text
        answer = browser.get("login?next=/hello")
        assert answer.headers["location"] == "/new-password?next=%2Fhello"
        token = form_token(browser.get("new-password").text)
        account_post = browser.post("account/export", data={"_xsrf": token, "confirm_password": given})
        assert account_post.status_code in (302, 403) and "exported_at" not in account_post.text
        for fields, said in (
            ({"current": "wrong", "password": NEW, "repeat": NEW}, "not right"),
            ({"current": given, "password": given, "repeat": given}, "must differ"),
            ({"current": given, "password": NEW, "repeat": "x"}, "two different ways"),
        ):
            refused = browser.post("new-password", data={"_xsrf": token, **fields})
            assert refused.status_code in (400, 403) and said in problem(refused.text)
        fields = {"_xsrf": token, "current": given, "password": NEW, "repeat": NEW, "next": "/hello"}
        assert browser.post("new-password", data=fields).headers["location"] == "/hello"
        assert browser.get("account").status_code == 200
        assert browser.get("new-password").status_code == 303
    with office.database() as uow:
        log = [
            entry.action for entry in audit.list_audit(uow, user_id(office, "root"), user_id=user_id(office, "fresh"))
        ]
    assert log[0] == "password_changed" and "password_set" in log


def test_an_administrators_link_needs_no_second_change(office: DashboardsServer) -> None:
    add_users(office.database_url, {"linked": "user"})
    number = user_id(office, "linked")
    with office.database() as uow:
        users.set_password(uow, number, "given by the operator", must_change=True)
        link = invitations.reset_link(uow, number)
        invitations.finish_reset(uow, link, NEW)
    with office.client() as browser:
        sign_in(browser, "linked", NEW)
        assert submit(browser, "account/end-others").status_code == 303


def test_a_link_is_dead_once_the_password_was_changed_elsewhere(office: DashboardsServer) -> None:
    add_users(office.database_url, {"careful": "user"})
    with office.database() as uow:
        link = invitations.reset_link(uow, user_id(office, "careful"))
    with office.with_session("careful") as owner, office.client() as finder:
        form = finder.get(f"set-password?link={link}")
        assert form.status_code == 200
        fields = {"confirm_password": PASSWORD, "new": NEW, "repeat": NEW}
        assert submit(owner, "account/password", **fields).status_code == 303
        fields = {"_xsrf": form_token(form.text), "link": link, "password": "of the finder", "repeat": "of the finder"}
        for answer in (finder.post("set-password", data=fields), finder.get(f"set-password?link={link}")):
            assert answer.status_code == 400 and "<form" not in answer.text
        assert sign_in(finder, "careful", "of the finder").status_code == 401
        assert sign_in(finder, "careful", NEW).status_code == 303


def test_a_password_changed_while_its_mail_goes_out(
    box: Mailbox, context: Context, make_user: Callable[..., User], monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = make_user()

    def send(*mail: object) -> None:
        with context.uow() as other:
            users.change_password(other, ada.id, PASSWORD, NEW)
        send_mail(*mail)  # type: ignore[arg-type]

    monkeypatch.setattr(password_reset, "send_mail", send)
    assert send_password_reset(context, "ada@example.com") is False
    ((_, _, mail),) = box.mails
    with context.uow() as uow, pytest.raises(InvalidInput, match="not valid any more"):
        invitations.finish_reset(uow, link_of(mail), "another long password")
