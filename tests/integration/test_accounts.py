"""Signing in, sessions and users, on the real database."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select, text

from dashtrade.auth.passwords import hash_password
from dashtrade.auth.sessions import RULES
from dashtrade.auth.tokens import token_digest
from dashtrade.db.tables.accounts import AuditLogRow, LoginFailureRow, UserRow, UserSessionRow
from dashtrade.domain.users import Role
from dashtrade.errors import AuthFailed, Forbidden, InvalidInput, NotFound, TooManyAttempts
from dashtrade.services import accounts, administration, audit, throttle
from dashtrade.services import users as user_service

PASSWORD = "Correct-Horse-7-Battery"
DECOY = hash_password("nobody's password", rounds=4)
NOW = datetime(2026, 3, 2, 15, 0, tzinfo=UTC)


@pytest.fixture(autouse=True)
def quick_hashes(monkeypatch):
    """Fewer rounds: the rules under test do not depend on them. test_passwords.py covers the real number."""
    monkeypatch.setattr("dashtrade.services.users.hash_password", lambda p: hash_password(p, rounds=4))
    monkeypatch.setattr("dashtrade.services.accounts.needs_rehash", lambda h: False)
    monkeypatch.setattr("dashtrade.auth.passwords._decoy", lambda: DECOY)


@pytest.fixture
def uow(uow_factory):
    with uow_factory() as uow:
        yield uow


def actions(uow):
    return uow.session.scalars(select(AuditLogRow.action).order_by(AuditLogRow.id)).all()


class TestAuthenticate:
    @pytest.mark.parametrize("typed", ["ada", "ADA", " Ada ", "ada@example.com", "Ada@Example.com"])
    def test_name_or_address_in_any_case(self, uow, make_user, typed):
        user = make_user("ada", role="admin")
        assert accounts.authenticate(uow, typed, PASSWORD, now=NOW) == user
        assert uow.session.scalar(select(UserRow.last_login)) == NOW
        assert actions(uow) == ["login"]

    def test_every_refusal_reads_the_same(self, uow, make_user, monkeypatch):
        make_user("ada")
        make_user("gone", is_active=False)
        hashed = []
        real = accounts.verify_password
        monkeypatch.setattr(accounts, "verify_password", lambda p, h: hashed.append(h) or real(p, h))
        texts = set()
        attempts = [("ada", "wrong password"), ("nobody", PASSWORD), ("gone", PASSWORD), ("", ""), ("x\x00y", "\x00"),
                    ("'; DROP TABLE users; --", PASSWORD), ("a" * 100_000, "b" * 100_000)]  # fmt: skip
        for name, password in attempts:
            with pytest.raises(AuthFailed) as caught:
                accounts.authenticate(uow, name, password)
            assert type(caught.value) is AuthFailed
            texts.add(str(caught.value))
        assert texts == {accounts.WRONG}
        assert len(hashed) == len(attempts), "every refusal does the work of one check"
        assert actions(uow) == ["login_failed"] * len(attempts)

    def test_nothing_typed_is_kept(self, uow, make_user):
        make_user("ada")
        for name, password in [("ada", "my other password"), ("my-password-in-the-name-field", "x")]:
            with pytest.raises(AuthFailed):
                accounts.authenticate(uow, name, password, address="10.0.0.1")
        for table in ("audit_log", "login_failures"):
            kept = uow.session.execute(text(f"SELECT {table}::text FROM {table}")).scalars().all()
            assert kept and not any("my" in row and "password" in row for row in kept)

    def test_no_transaction_is_open_during_bcrypt(self, uow, make_user, monkeypatch):
        make_user("ada")
        open_transactions = []
        real = accounts.verify_password

        def spy(password, hashed):
            open_transactions.append(uow.session.in_transaction())
            return real(password, hashed)

        monkeypatch.setattr(accounts, "verify_password", spy)
        accounts.authenticate(uow, "ada", PASSWORD)
        assert open_transactions == [False]

    def test_an_old_hash_is_renewed(self, uow, make_user, monkeypatch):
        make_user("ada")
        before = uow.session.scalar(select(UserRow.password_hash))
        monkeypatch.setattr(accounts, "needs_rehash", lambda h: True)
        monkeypatch.setattr(accounts, "hash_password", lambda p: hash_password(p, rounds=5))
        accounts.authenticate(uow, "ada", PASSWORD)
        after = uow.session.scalar(select(UserRow.password_hash))
        assert (before[:7], after[:7]) == ("$2b$04$", "$2b$05$")
        accounts.authenticate(uow, "ada", PASSWORD)


class TestThrottle:
    def fail(self, uow, times, *, name="ada", address="10.0.0.1", at=NOW):
        for n in range(times):
            with pytest.raises(AuthFailed):
                accounts.authenticate(uow, name, "wrong", address=address, now=at + timedelta(milliseconds=n))

    def test_one_address_against_one_account(self, uow, make_user):
        make_user("ada")
        self.fail(uow, throttle.PAIR.failures)
        with pytest.raises(TooManyAttempts) as caught:
            accounts.authenticate(uow, "ada", PASSWORD, address="10.0.0.1", now=NOW + timedelta(seconds=60))
        assert caught.value.retry_after == 240
        assert accounts.authenticate(uow, "ada", PASSWORD, address="10.0.0.2", now=NOW + timedelta(seconds=60))
        assert accounts.authenticate(uow, "ada", PASSWORD, address="10.0.0.1", now=NOW + timedelta(seconds=301))

    def test_a_good_sign_in_clears_the_slate(self, uow, make_user):
        make_user("ada")
        self.fail(uow, throttle.PAIR.failures - 1)
        accounts.authenticate(uow, "ada", PASSWORD, address="10.0.0.1", now=NOW)
        self.fail(uow, throttle.PAIR.failures - 1)

    def test_spraying_many_accounts_from_one_address(self, uow):
        for n in range(throttle.ADDRESS.failures):
            self.fail(uow, 1, name=f"user{n}")
        with pytest.raises(TooManyAttempts):
            accounts.authenticate(uow, "another", "wrong", address="10.0.0.1", now=NOW + timedelta(seconds=1))

    def test_an_ipv6_network_is_one_address(self, uow):
        for n in range(throttle.ADDRESS.failures):
            self.fail(uow, 1, name=f"user{n}", address=f"2001:db8:1:2:{n:x}::1")
        for address in ("2001:db8:1:2:ffff::9", "2001:0DB8:1:2::"):
            with pytest.raises(TooManyAttempts):
                accounts.authenticate(uow, "another", "wrong", address=address, now=NOW + timedelta(seconds=1))
        self.fail(uow, 1, name="another", address="2001:db8:1:3::1", at=NOW + timedelta(seconds=1))

    @pytest.mark.parametrize(
        ("home", "now_at"),
        [("192.0.2.1", "192.0.2.1"), ("2001:db8:1:2::5", "2001:db8:1:2:a:b:c:d"), ("::ffff:192.0.2.1", "192.0.2.1")],
    )
    def test_many_addresses_against_one_account_do_not_lock_its_owner_out(self, uow, make_user, home, now_at):
        """Nor where the owner's machine changes its IPv6 address every day, as most do."""
        make_user("ada")
        with_session = datetime.now(UTC)
        accounts.authenticate(uow, "ada", PASSWORD, address=home, now=with_session)
        for n in range(throttle.ACCOUNT.failures):
            self.fail(uow, 1, address=f"10.1.{n // 200}.{n % 200}", at=with_session)
        later = with_session + timedelta(seconds=1)
        with pytest.raises(TooManyAttempts):
            accounts.authenticate(uow, "ada", PASSWORD, address="10.9.9.9", now=later)
        with pytest.raises(TooManyAttempts):
            accounts.authenticate(uow, "ada", PASSWORD, address="2001:db8:1:3::5", now=later)
        assert accounts.authenticate(uow, "ada", PASSWORD, address=now_at, now=later).username == "ada"

    def test_unknown_accounts_are_slowed_down_like_known_ones(self, uow):
        self.fail(uow, throttle.PAIR.failures, name="nobody")
        with pytest.raises(TooManyAttempts):
            accounts.authenticate(uow, "nobody", "wrong", address="10.0.0.1", now=NOW + timedelta(seconds=1))

    def test_old_failures_are_deleted(self, uow):
        self.fail(uow, 3)
        throttle.delete_old_failures(uow, NOW + throttle.KEEP + timedelta(seconds=1))
        uow.commit()
        assert uow.session.scalars(select(LoginFailureRow)).all() == []


class TestSessions:
    def test_the_token_opens_and_only_its_hash_is_kept(self, uow, make_user):
        user = make_user("ada")
        token = accounts.open_session(uow, user.id, address="10.0.0.1", user_agent="Firefox", now=NOW)
        assert len(token) == 43
        assert accounts.user_of_session(uow, token, now=NOW) == user
        assert uow.session.scalar(select(UserSessionRow.token_sha256)) == token_digest(token)
        assert token not in uow.session.execute(text("SELECT user_sessions::text FROM user_sessions")).scalar()

    @pytest.mark.parametrize("token", ["", "x" * 43, "ünï", "\ud800", "a" * 10_000])
    def test_unknown_tokens_are_nobody(self, uow, make_user, token):
        accounts.open_session(uow, make_user().id)
        assert accounts.user_of_session(uow, token) is None

    def test_the_token_a_browser_came_with_ends(self, uow, make_user):
        planted = accounts.open_session(uow, make_user("mallory").id)
        token = accounts.open_session(uow, make_user("ada").id, replaces=planted)
        assert accounts.user_of_session(uow, planted) is None
        assert accounts.user_of_session(uow, token).username == "ada"

    def test_idle_expiry_counts_from_the_last_use(self, uow, make_user):
        token = accounts.open_session(uow, make_user().id, now=NOW)
        almost = RULES.idle - timedelta(seconds=1)
        assert accounts.user_of_session(uow, token, now=NOW + almost)
        assert accounts.user_of_session(uow, token, now=NOW + almost * 2)
        assert accounts.user_of_session(uow, token, now=NOW + almost * 2 + RULES.idle) is None
        assert uow.session.scalars(select(UserSessionRow)).all() == []

    def test_absolute_expiry_comes_however_busy(self, uow, make_user):
        token = accounts.open_session(uow, make_user().id, now=NOW)
        moment = NOW
        while moment < NOW + RULES.absolute - timedelta(hours=6):
            moment += timedelta(hours=6)
            last = accounts.user_of_session(uow, token, now=moment)
        assert last is None or moment < NOW + RULES.absolute
        assert accounts.user_of_session(uow, token, now=NOW + RULES.absolute) is None

    def test_last_seen_is_written_once_a_minute(self, uow, make_user):
        token = accounts.open_session(uow, make_user().id, now=NOW)
        for seconds, written in ((30, 0), (59, 0), (61, 61), (90, 61), (125, 125)):
            accounts.user_of_session(uow, token, now=NOW + timedelta(seconds=seconds))
            assert uow.session.scalar(select(UserSessionRow.last_seen_at)) == NOW + timedelta(seconds=written)

    def test_a_change_of_role_counts_at_once_and_switching_off_too(self, uow, make_user):
        user = make_user("ada")
        token = accounts.open_session(uow, user.id)
        accounts.set_role(uow, user.id, "admin")
        assert accounts.user_of_session(uow, token).role is Role.ADMIN
        accounts.set_active(uow, user.id, False)
        assert accounts.user_of_session(uow, token) is None
        accounts.set_active(uow, user.id, True)
        assert accounts.user_of_session(uow, token) is None

    def test_list_and_end(self, uow, make_user):
        ada, bob = make_user("ada"), make_user("bob")
        here = accounts.open_session(uow, ada.id, user_agent="here", now=NOW)
        there = accounts.open_session(uow, ada.id, user_agent="there", now=NOW + timedelta(minutes=1))
        his = accounts.open_session(uow, bob.id, now=NOW)
        seen = accounts.list_sessions(uow, ada.id, current=here, now=NOW)
        assert [(view.user_agent, view.is_current) for view in seen] == [("there", False), ("here", True)]
        with pytest.raises(NotFound):
            accounts.end_session(uow, bob.id, seen[0].id)
        accounts.end_session(uow, ada.id, seen[0].id)
        assert accounts.user_of_session(uow, there, now=NOW) is None
        accounts.close_session(uow, here)
        accounts.close_session(uow, here)
        assert accounts.user_of_session(uow, here, now=NOW) is None
        assert accounts.user_of_session(uow, his, now=NOW) == bob

    def test_end_the_others(self, uow, make_user):
        ada = make_user("ada")
        tokens = [accounts.open_session(uow, ada.id) for _ in range(3)]
        assert accounts.end_other_sessions(uow, ada.id, keep=tokens[1]) == 2
        assert [accounts.user_of_session(uow, t) is not None for t in tokens] == [False, True, False]

    def test_step_up(self, uow, make_user):
        ada = make_user("ada")
        token = accounts.open_session(uow, ada.id, now=NOW)
        later = NOW + RULES.confirmed
        assert accounts.session_is_confirmed(uow, token, now=NOW)
        assert not accounts.session_is_confirmed(uow, token, now=later)
        with pytest.raises(AuthFailed):
            accounts.confirm_session(uow, token, "wrong", now=later)
        assert not accounts.session_is_confirmed(uow, token, now=later)
        accounts.confirm_session(uow, token, PASSWORD, now=later)
        assert accounts.session_is_confirmed(uow, token, now=later)
        assert not accounts.session_is_confirmed(uow, "unknown", now=later)

    def test_housekeeping_deletes_what_is_over_and_nothing_else(self, uow, make_user):
        ada = make_user("ada")
        accounts.open_session(uow, ada.id, now=NOW - RULES.idle)
        accounts.open_session(uow, ada.id, now=NOW - RULES.absolute)
        living = accounts.open_session(uow, ada.id, now=NOW - RULES.idle + timedelta(seconds=1))
        assert accounts.delete_expired_sessions(uow, now=NOW) == 2
        assert accounts.user_of_session(uow, living, now=NOW)


class TestUsers:
    def test_create_and_sign_in(self, uow):
        user = accounts.create_user(uow, " Ada.L ", "Ada@Example.com", PASSWORD, full_name="  Ada \n Lovelace ")
        assert (user.username, user.email, user.role) == ("ada.l", "ada@example.com", Role.USER)
        assert user.full_name == "Ada Lovelace"
        assert accounts.authenticate(uow, "ada.l", PASSWORD) == user
        assert actions(uow) == ["user_created", "login"]

    @pytest.mark.parametrize(
        ("name", "email", "password", "role", "field"),
        [
            ("", "a@b.c", PASSWORD, "user", "username"),
            ("has space", "a@b.c", PASSWORD, "user", "username"),
            ("<b>", "a@b.c", PASSWORD, "user", "username"),
            ("x" * 51, "a@b.c", PASSWORD, "user", "username"),
            ("ada", "no address", PASSWORD, "user", "email"),
            ("ada", "a@b.c>", PASSWORD, "user", "email"),
            ("ada", "x,a@b.c", PASSWORD, "user", "email"),
            ("ada", "x:a@b.c;", PASSWORD, "user", "email"),
            ("ada", "a@b.c(x)", PASSWORD, "user", "email"),
            ("ada", "a@b.c", "short", "user", "password"),
            ("ada", "a@b.c", PASSWORD, "god", "role"),
            ("TAKEN", "a@b.c", PASSWORD, "user", "username"),
            ("ada", "Taken@Example.com", PASSWORD, "user", "email"),
        ],
    )
    def test_bad_input_names_the_field(self, uow, make_user, name, email, password, role, field):
        make_user("taken")
        with pytest.raises(InvalidInput) as caught:
            accounts.create_user(uow, name, email, password, role=role)
        assert caught.value.field == field

    def test_a_name_taken_at_the_same_moment(self, uow, uow_factory, monkeypatch):
        def meanwhile(password):
            with uow_factory() as other:
                other.session.add(UserRow(username="ada", email="first@b.c", password_hash="x"))
                other.commit()
            return hash_password(password, rounds=4)

        monkeypatch.setattr("dashtrade.services.users.hash_password", meanwhile)
        with pytest.raises(InvalidInput, match="'ada' is taken"):
            accounts.create_user(uow, "ada", "second@b.c", PASSWORD)

    def test_change_of_password_ends_the_other_sessions(self, uow, make_user):
        ada = make_user("ada")
        here, there = accounts.open_session(uow, ada.id), accounts.open_session(uow, ada.id)
        new = "another good password"
        with pytest.raises(AuthFailed):
            accounts.change_password(uow, ada.id, "wrong", new)
        with pytest.raises(InvalidInput, match="differ"):
            accounts.change_password(uow, ada.id, PASSWORD, PASSWORD)
        with pytest.raises(InvalidInput, match="new password"):
            accounts.change_password(uow, ada.id, PASSWORD, "short")
        assert accounts.user_of_session(uow, there)
        accounts.change_password(uow, ada.id, PASSWORD, new, keep=here)
        assert accounts.user_of_session(uow, here) and accounts.user_of_session(uow, there) is None
        assert accounts.authenticate(uow, "ada", new)
        with pytest.raises(AuthFailed):
            accounts.authenticate(uow, "ada", PASSWORD)

    def test_set_password_ends_all_sessions(self, uow, make_user):
        ada = make_user("ada")
        token = accounts.open_session(uow, ada.id)
        accounts.set_password(uow, ada.id, "another good password")
        assert accounts.user_of_session(uow, token) is None

    @pytest.mark.parametrize(
        ("actor", "target", "role", "allowed"),
        [
            ("user", "user", "user", False),
            ("user", "user", "superadmin", False),
            ("admin", "user", "user", True),
            ("admin", "user", "admin", False),
            ("admin", "superadmin", "user", False),
            ("superadmin", "user", "superadmin", True),
            ("superadmin", "admin", "user", True),
        ],
    )
    def test_who_may_give_which_role(self, uow, make_user, actor, target, role, allowed):
        acting, subject = make_user("actor", role=actor), make_user("subject", role=target)
        make_user("spare", role="superadmin")
        if allowed:
            assert accounts.set_role(uow, subject.id, role, actor_id=acting.id).role == role
        else:
            with pytest.raises(Forbidden):
                accounts.set_role(uow, subject.id, role, actor_id=acting.id)
            uow.rollback()
            assert user_service.get_user(uow, subject.id).role == target

    def test_users_and_disabled_admins_administer_nothing(self, uow, make_user):
        ada = make_user("ada")
        gone = make_user("gone", role="superadmin", is_active=False)
        for actor in (ada.id, gone.id, 10**9):
            for act in (
                lambda a: accounts.create_user(uow, "new", "n@b.c", PASSWORD, actor_id=a),
                lambda a: accounts.list_users(uow, actor_id=a),
                lambda a: accounts.set_active(uow, ada.id, False, actor_id=a),
                lambda a: accounts.set_password(uow, ada.id, "another good password", actor_id=a),
                lambda a: audit.list_audit(uow, a),
                lambda a: audit.find_audit(uow, a, person="ada"),
                lambda a: user_service.find_users(uow, "ada", actor_id=a),
                lambda a: user_service.count_users(uow, actor_id=a),
                lambda a: administration.find_sessions(uow, a),
                lambda a: administration.end_session_of(uow, 1, a),
                lambda a: administration.find_jobs(uow, a),
                lambda a: administration.count_jobs(uow, a),
            ):
                with pytest.raises(Forbidden):
                    act(actor)

    def test_the_last_superadmin_stays(self, uow, make_user):
        root = make_user("root", role="superadmin")
        make_user("former", role="superadmin", is_active=False)
        with pytest.raises(Forbidden, match="last superadmin"):
            accounts.set_role(uow, root.id, "user")
        uow.rollback()
        with pytest.raises(Forbidden, match="last superadmin"):
            accounts.set_active(uow, root.id, False)
        uow.rollback()
        make_user("second", role="superadmin")
        assert accounts.set_role(uow, root.id, "user").role is Role.USER

    def test_nobody_unknown(self, uow):
        for act in (lambda: accounts.get_user(uow, 1), lambda: user_service.user_named(uow, "nobody")):
            with pytest.raises(NotFound):
                act()


class TestAudit:
    def test_a_deed_that_is_rolled_back_is_not_logged(self, uow, make_user):
        audit.record(uow, "something", user_id=1)
        uow.rollback()
        assert actions(uow) == []

    def test_secrets_cannot_be_logged(self, uow):
        with pytest.raises(ValueError, match="secret"):
            audit.record(uow, "keys", api_key="AK123")

    def test_everybody_reads_their_own_and_admins_read_all(self, uow, make_user):
        ada, boss = make_user("ada"), make_user("boss", role="admin")
        accounts.authenticate(uow, "ada", PASSWORD, address="10.0.0.1")
        accounts.authenticate(uow, "boss", PASSWORD)
        assert [(e.action, e.address) for e in audit.list_audit(uow, ada.id, user_id=ada.id)] == [("login", "10.0.0.1")]
        assert len(audit.list_audit(uow, boss.id)) == 2
        with pytest.raises(Forbidden):
            audit.list_audit(uow, ada.id, user_id=boss.id)
