"""Signing in with a second factor, as people do it and as somebody who has stolen a password does."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import httpx
import pyotp
import pytest
from dashboards_server import PASSWORD, DashboardsServer, add_users, form_token, kernel_of, sign_in
from office import problem, submit, user_id
from sqlalchemy import text

from dashtrade.auth.vault import Vault, new_key
from dashtrade.db.unit_of_work import UnitOfWork
from dashtrade.domain.users import User
from dashtrade.errors import AuthFailed, ConfigurationError, InvalidInput, TooManyAttempts
from dashtrade.services import accounts, audit, second_factor, users

numbers = itertools.count(1)
NOW = datetime(2026, 3, 2, 12, 0, 10, tzinfo=UTC)


@pytest.fixture
def person(office: DashboardsServer) -> str:
    name = f"factor{next(numbers)}"
    add_users(office.database_url, {name: "user"})
    return name


def enrol(client: httpx.Client) -> tuple[pyotp.TOTP, list[str]]:
    """Set up on the account page, by the picture's own text; returns the app and the recovery codes."""
    assert submit(client, "account/second-factor-start", confirm_password=PASSWORD).status_code == 303
    html = client.get("account").text
    assert "<svg" in html
    key = re.search(r'id="factor-key">([A-Z2-7 ]+)<', html)
    assert key
    app = pyotp.TOTP(key.group(1).replace(" ", ""))
    wrong = submit(client, "account/second-factor-confirm", code=f"{(int(app.now()) + 1) % 1000000:06d}")
    assert wrong.status_code == 400 and "not the one your app shows" in problem(wrong.text)
    # the step before, which counts too, so that the present code is still good for signing in
    answer = submit(client, "account/second-factor-confirm", code=app.at(datetime.now(UTC) - timedelta(seconds=30)))
    assert answer.status_code == 200, problem(answer.text)
    codes = re.findall(r"<li>((?:[a-z2-9]{4}-){3}[a-z2-9]{4})</li>", answer.text)
    assert len(set(codes)) == 10
    assert codes[0] not in client.get("account").text
    return app, codes


def second_step(client: httpx.Client, code: str) -> httpx.Response:
    token = form_token(client.get("second-step").text)
    return client.post("second-step", data={"_xsrf": token, "code": code})


def test_a_password_alone_opens_nothing(office: DashboardsServer, person: str) -> None:
    with office.with_session(person) as other, office.with_session(person) as client:
        app, codes = enrol(client)
        assert client.get("account").status_code == 200 and other.get("account").status_code == 302
    with office.client() as thief:
        answer = sign_in(thief, person, PASSWORD)
        assert answer.status_code == 303 and answer.headers["location"].startswith("/second-step")
        assert "dashtrade_session" not in thief.cookies
        for path in ("account", "hello", "", "admin"):
            assert thief.get(path).status_code == 302
        # the first step's token is no session, and a session needs more than a name
        thief.cookies.set("dashtrade_session", thief.cookies["dashtrade_step"], domain="127.0.0.1", path="/")
        assert thief.get("account").status_code == 302
        refused = second_step(thief, "000000")
        assert refused.status_code == 401 and "dashtrade_session=" not in refused.headers.get("set-cookie", "")
    with office.client() as owner:
        assert sign_in(owner, person, PASSWORD, next="/hello").headers["location"] == "/second-step?next=%2Fhello"
        code = app.now()
        answer = second_step(owner, f"{code[:3]} {code[3:]}")
        assert answer.status_code == 303 and answer.headers["location"] == "/"
        assert owner.get("account").status_code == 200
        assert "dashtrade_step" not in owner.cookies
        assert kernel_of(owner.get("hello").text)
    with office.client() as again:  # somebody looked over the shoulder
        sign_in(again, person, PASSWORD)
        assert second_step(again, code).status_code == 401
        assert second_step(again, codes[3].upper().replace("-", " ")).status_code == 303
    with office.client() as again:
        sign_in(again, person, PASSWORD)
        assert second_step(again, codes[3]).status_code == 401
    with office.with_session(person) as client:
        assert "Recovery codes left: 9." in client.get("account").text
    with office.database() as uow:
        log = [
            entry.action for entry in audit.list_audit(uow, user_id(office, person), user_id=user_id(office, person))
        ]
        kept = uow.session.execute(text("SELECT string_agg(u::text, '') FROM users u")).scalar_one()
        kept += uow.session.execute(text("SELECT string_agg(r::text, '') FROM recovery_codes r")).scalar_one()
    assert {"second_factor_on", "second_step_failed", "password_accepted", "login"} <= set(log)
    assert app.secret not in kept and codes[0] not in kept
    assert app.secret not in office.log_text() and codes[3] not in office.log_text() and code not in office.log_text()


def test_codes_cannot_be_guessed(office: DashboardsServer, person: str) -> None:
    with office.with_session(person) as client:
        app, _ = enrol(client)
    with office.client() as thief:
        sign_in(thief, person, PASSWORD)
        # enrolment already counted one wrong code from this address
        answers = [second_step(thief, f"{guess:06d}").status_code for guess in range(5)]
        sign_in(thief, person, PASSWORD)  # a new first step gives no new tries
        last = second_step(thief, app.now())
    assert answers[-1] == 429 and set(answers[:-1]) == {401}
    assert last.status_code == 429 and int(last.headers["retry-after"]) > 60


def test_it_is_switched_off_with_the_password_or_by_an_administrator(office: DashboardsServer, person: str) -> None:
    with office.with_session(person) as client:
        enrol(client)
        assert submit(client, "account/second-factor-off", confirm_password="wrong").status_code == 403
        assert submit(client, "account/recovery-codes", confirm_password="wrong").status_code == 403
        renewed = submit(client, "account/recovery-codes", confirm_password=PASSWORD)
        assert len(re.findall(r"<li>(?:[a-z2-9]{4}-){3}", renewed.text)) == 10
        assert submit(client, "account/second-factor-off", confirm_password=PASSWORD).status_code == 303
        enrol_again = submit(client, "account/second-factor-start", confirm_password=PASSWORD)
        assert enrol_again.status_code == 303
    with office.client() as browser:  # begun and not confirmed: not asked for
        assert sign_in(browser, person, PASSWORD).headers["location"] == "/"
        with office.database() as uow:
            uow.session.execute(text("DELETE FROM login_failures"))
            uow.commit()
        enrol(browser)
    number = str(user_id(office, person))
    with office.with_session(person) as mallory:
        assert submit(mallory, "account/second-factor", user=number).status_code == 404
        assert mallory.get("admin").status_code == 403
        with office.with_session("boss") as boss:
            assert "Reset second factor" in boss.get("admin", params={"search": person}).text
            assert submit(boss, "admin/second-factor", user=str(user_id(office, "root"))).status_code == 403
            assert submit(boss, "admin/second-factor", user=number).status_code == 303
        assert mallory.get("account").status_code == 302  # all sessions ended
    with office.client() as browser:
        assert sign_in(browser, person, PASSWORD).headers["location"] == "/"


def test_without_the_key_nobody_with_a_second_factor_gets_in(guarded: DashboardsServer) -> None:
    add_users(guarded.database_url, {"keyless": "user"})
    with guarded.database() as uow:
        number, vault = user_id(guarded, "keyless"), Vault(new_key())
        secret = second_factor.start(uow, number, vault).secret
        codes = second_factor.confirm(uow, number, vault, pyotp.TOTP(secret).now())
    with guarded.client() as browser:
        sign_in(browser, "keyless", PASSWORD)
        for code in (pyotp.TOTP(secret).at(datetime.now(UTC) + timedelta(seconds=30)), codes[0]):
            answer = second_step(browser, code)
            assert answer.status_code == 503 and "Ask the operator" in problem(answer.text)
            assert browser.get("account").status_code == 302
    with guarded.with_session("bob") as bob:
        answer = submit(bob, "account/second-factor-start", confirm_password=PASSWORD)
        assert answer.status_code == 503


# ---------------------------------------------------------------------------------------------------- the service


Enrolled = tuple[User, Vault, pyotp.TOTP, list[str]]


@pytest.fixture
def enrolled(uow_factory: Callable[[], UnitOfWork], make_user: Callable[..., User]) -> Enrolled:
    user, vault = make_user(), Vault(new_key())
    with uow_factory() as uow:
        app = pyotp.TOTP(second_factor.start(uow, user.id, vault).secret)
        codes = second_factor.confirm(
            uow, user.id, vault, app.at(NOW - timedelta(hours=1)), now=NOW - timedelta(hours=1)
        )
    return user, vault, app, codes


@pytest.mark.parametrize(("seconds", "accepted"), [(-60, False), (-30, True), (0, True), (30, True), (60, False)])
def test_clocks_may_differ_by_one_step(
    uow_factory: Callable[[], UnitOfWork], enrolled: Enrolled, seconds: int, accepted: bool
) -> None:
    user, vault, app, _ = enrolled
    code = app.at(NOW + timedelta(seconds=seconds))
    with uow_factory() as uow:
        if accepted:
            assert second_factor.check(uow, user.id, vault, code, now=NOW) == "code"
            uow.commit()
            for used in (code, app.at(NOW - timedelta(seconds=30))):
                if seconds >= 0 or used == code:  # an older step than the one used is over, too
                    with pytest.raises(AuthFailed):
                        second_factor.check(uow, user.id, vault, used, now=NOW)
        else:
            with pytest.raises(AuthFailed):
                second_factor.check(uow, user.id, vault, code, now=NOW)


def test_of_many_browsers_with_one_code_one_gets_in(uow_factory: Callable[[], UnitOfWork], enrolled: Enrolled) -> None:
    _, vault, app, codes = enrolled

    def attempt(code: str) -> bool:
        with uow_factory() as uow:
            step = accounts.sign_in(uow, "ada", "Correct-Horse-7-Battery", now=NOW)
            assert step.needs_code
            try:
                accounts.finish_sign_in(uow, step.token, code, vault, now=NOW)
            except (AuthFailed, TooManyAttempts):
                return False
            return True

    for code in (app.at(NOW), codes[0]):
        with ThreadPoolExecutor(4) as pool:
            assert sum(pool.map(attempt, [code] * 4)) == 1


def test_a_first_step_is_good_for_five_minutes_and_ends_with_the_password(
    uow_factory: Callable[[], UnitOfWork], enrolled: Enrolled
) -> None:
    user, vault, app, codes = enrolled
    with uow_factory() as uow:
        late = accounts.sign_in(uow, "ada", "Correct-Horse-7-Battery", now=NOW)
        at = NOW + timedelta(minutes=5)
        with pytest.raises(Exception, match="took too long"):
            accounts.finish_sign_in(uow, late.token, app.at(at), vault, now=at)
        stale = accounts.sign_in(uow, "ada", "Correct-Horse-7-Battery")
        users.set_password(uow, user.id, "another long password")
        with pytest.raises(Exception, match="took too long"):
            accounts.finish_sign_in(uow, stale.token, codes[1], vault)


def test_an_attacker_elsewhere_is_stopped_and_the_owner_is_not(
    uow_factory: Callable[[], UnitOfWork], enrolled: Enrolled
) -> None:
    user, vault, app, _ = enrolled
    with uow_factory() as uow:
        home = accounts.sign_in(uow, "ada", "Correct-Horse-7-Battery", address="10.0.0.1", now=NOW)
        accounts.finish_sign_in(uow, home.token, app.at(NOW), vault, address="10.0.0.1", now=NOW)
        refusals = []
        for number in range(30):
            with pytest.raises(AuthFailed) as refused:
                second_factor.check(uow, user.id, vault, "abc", address=f"192.0.2.{number}", now=NOW)
            refusals.append(refused.type)
        assert refusals == [AuthFailed] * 20 + [TooManyAttempts] * 10
        later = NOW + timedelta(seconds=60)
        again = accounts.sign_in(uow, "ada", "Correct-Horse-7-Battery", address="10.0.0.1", now=later)
        assert accounts.finish_sign_in(uow, again.token, app.at(later), vault, address="10.0.0.1", now=later)


def test_a_secret_of_one_user_is_of_no_use_to_another(
    uow_factory: Callable[[], UnitOfWork], enrolled: Enrolled, make_user: Callable[..., User]
) -> None:
    ada, vault, app, _ = enrolled
    bob = make_user("bob")
    with uow_factory() as uow:
        with pytest.raises(InvalidInput, match="on already"):  # in another browser
            second_factor.confirm(uow, ada.id, vault, app.at(NOW), now=NOW)
        with pytest.raises(InvalidInput, match="begin again"):
            second_factor.confirm(uow, bob.id, vault, app.at(NOW), now=NOW)
        uow.session.execute(
            text(
                "UPDATE users SET totp_confirmed_at = now(), totp_secret_encrypted = "
                "(SELECT totp_secret_encrypted FROM users WHERE username = 'ada') WHERE username = 'bob'"
            )
        )
        with pytest.raises(ConfigurationError, match="Ask the operator"):
            second_factor.check(uow, bob.id, vault, app.at(NOW), now=NOW)
