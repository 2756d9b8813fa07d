"""Invitations and reset links: once, in time, for the right person, and as the setting allows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from dashtrade.auth.passwords import hash_password
from dashtrade.domain.users import Role
from dashtrade.errors import AuthFailed, Forbidden, InvalidInput
from dashtrade.services import accounts, invitations, users
from dashtrade.settings import Settings

PASSWORD = "a quite good password"
NOW = datetime(2026, 3, 2, 15, 0, tzinfo=UTC)
INVITED = Settings(_env_file=None, registration="invitation")
OPEN = Settings(_env_file=None, registration="open")
CLOSED = Settings(_env_file=None, registration="closed")


@pytest.fixture(autouse=True)
def quick_hashes(monkeypatch):
    monkeypatch.setattr("dashtrade.services.users.hash_password", lambda p: hash_password(p, rounds=4))
    monkeypatch.setattr("dashtrade.services.accounts.needs_rehash", lambda h: False)


@pytest.fixture
def uow(uow_factory):
    with uow_factory() as uow:
        yield uow


def test_an_invitation_opens_one_account_with_its_role(uow, make_user):
    boss = make_user("boss", role="superadmin")
    token = invitations.invite(uow, actor_id=boss.id, email="Ada@B.c", role="admin", now=NOW)
    for name, email, password, field in (
        ("ada", "eve@b.c", PASSWORD, "email"),
        ("ada", "ada@b.c", "short", "password"),
        ("boss", "ada@b.c", PASSWORD, "username"),
    ):
        with pytest.raises(InvalidInput) as caught:
            invitations.register(uow, INVITED, name, email, password, invitation=token, now=NOW)
        assert caught.value.field == field, "a refusal does not use the invitation up"
    user = invitations.register(uow, INVITED, "ada", "ada@b.c", PASSWORD, invitation=token, now=NOW)
    assert user.role is Role.ADMIN and accounts.authenticate(uow, "ada", PASSWORD) == user
    with pytest.raises(InvalidInput, match="not valid any more"):
        invitations.register(uow, INVITED, "eve", "ada@b.c", PASSWORD, invitation=token, now=NOW)
    assert (
        token
        not in uow.session.execute(text("SELECT string_agg(account_tokens::text, '') FROM account_tokens")).scalar()
    )


@pytest.mark.parametrize(
    ("settings", "with_invitation", "allowed"),
    [(OPEN, False, True), (OPEN, True, True), (INVITED, False, False), (INVITED, True, True), (CLOSED, False, False),
     (CLOSED, True, False)],
)  # fmt: skip
def test_the_setting_decides(uow, settings, with_invitation, allowed):
    token = invitations.invite(uow) if with_invitation else None
    if allowed:
        assert invitations.register(uow, settings, "ada", "a@b.c", PASSWORD, invitation=token).role is Role.USER
    else:
        with pytest.raises(Forbidden):
            invitations.register(uow, settings, "ada", "a@b.c", PASSWORD, invitation=token)


def test_who_may_invite_whom(uow, make_user):
    user, admin = make_user("ada"), make_user("bob", role="admin")
    for actor, role in ((user, "user"), (admin, "admin"), (admin, "superadmin")):
        with pytest.raises(Forbidden):
            invitations.invite(uow, actor_id=actor.id, role=role)
    assert invitations.invite(uow, actor_id=admin.id)


def test_time_runs_out_and_purposes_do_not_mix(uow, make_user):
    make_user("ada")
    token = invitations.invite(uow, now=NOW)
    _, link = invitations.start_reset(uow, "ada@example.com", now=NOW)
    for wrong, moment in ((token, NOW + timedelta(days=7)), (link, NOW), ("guess", NOW)):
        with pytest.raises(InvalidInput, match="not valid any more"):
            invitations.register(uow, INVITED, "eve", "e@b.c", PASSWORD, invitation=wrong, now=moment)
    for wrong, moment in ((link, NOW + timedelta(hours=1)), (token, NOW), ("", NOW)):
        with pytest.raises(InvalidInput, match="not valid any more"):
            invitations.finish_reset(uow, wrong, PASSWORD, now=moment)


def test_a_reset_ends_sessions_and_every_other_link(uow, make_user):
    ada = make_user("ada")
    session = accounts.open_session(uow, ada.id)
    _, first = invitations.start_reset(uow, "ADA@example.com")
    user, second = invitations.start_reset(uow, "ada@example.com")
    assert user == ada
    with pytest.raises(InvalidInput, match="at least 10"):
        invitations.finish_reset(uow, second, "short")
    invitations.finish_reset(uow, second, PASSWORD)
    assert accounts.user_of_session(uow, session) is None
    assert accounts.authenticate(uow, "ada", PASSWORD) == ada
    for used in (first, second):
        with pytest.raises(InvalidInput):
            invitations.finish_reset(uow, used, "another good password")
    with pytest.raises(AuthFailed):
        accounts.authenticate(uow, "ada", "another good password")


def test_nobody_and_disabled_accounts_get_no_link(uow, make_user):
    make_user("gone", is_active=False)
    assert invitations.start_reset(uow, "gone@example.com") is None
    assert invitations.start_reset(uow, "nobody@example.com") is None
    ada = make_user("ada")
    _, link = invitations.start_reset(uow, "ada@example.com")
    accounts.set_active(uow, ada.id, False)
    with pytest.raises(InvalidInput):
        invitations.finish_reset(uow, link, PASSWORD)


@pytest.mark.parametrize("how", ["changed", "set", "disabled", "raised"])
def test_a_link_ends_with_what_it_was_made_for(uow, make_user, how):
    ada, bob = make_user("ada"), make_user("bob")
    link, other = invitations.reset_link(uow, ada.id), invitations.reset_link(uow, bob.id)
    assert invitations.owner_of_link(uow, link) == ada
    if how == "changed":
        users.change_password(uow, ada.id, "Correct-Horse-7-Battery", PASSWORD)
    elif how == "set":
        users.set_password(uow, ada.id, PASSWORD)
    elif how == "disabled":
        users.set_active(uow, ada.id, False)
        users.set_active(uow, ada.id, True)
    else:  # an admin who made the link for a user must not come into an admin's account with it
        users.set_role(uow, ada.id, "admin")
    for use in (
        invitations.owner_of_link,
        lambda uow, link: invitations.finish_reset(uow, link, "of the finder, long"),
    ):
        with pytest.raises(InvalidInput, match="not valid any more"):
            use(uow, link)
    assert invitations.owner_of_link(uow, other) == bob
    if how == "raised":
        later = invitations.reset_link(uow, ada.id)
        users.set_role(uow, ada.id, "user")
        assert invitations.owner_of_link(uow, later).id == ada.id
