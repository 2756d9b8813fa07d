"""The account page, as a browser uses it and as somebody with bad intentions does."""

from __future__ import annotations

import itertools
import json
import re
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from dashboards_server import PASSWORD, DashboardsServer, add_users, form_token, kernel_of, sign_in
from office import forget_confirmation, problem, submit, user_id
from sqlalchemy import text

from dashtrade.auth.vault import Vault, new_key
from dashtrade.domain.bot_views import NewBot
from dashtrade.errors import NotFound
from dashtrade.services import (
    accounts,
    api_keys,
    audit,
    bots,
    channels,
    own_data,
    preferences,
    source_keys,
    throttle,
    watchlist,
)  # fmt: skip

NEW = "four unrelated words here"
numbers = itertools.count(1)
ACTIONS = [
    "password", "profile", "end-session", "end-others", "store-keys", "delete-keys", "revoke-token", "allow-live",
    "withdraw-live", "export", "delete", "second-factor-start", "second-factor-confirm", "second-factor-off",
    "recovery-codes", "add-channel", "test-channel", "switch-channel", "remove-channel", "store-source-key",
    "delete-source-key",
]  # fmt: skip


@pytest.fixture
def person(office: DashboardsServer) -> str:
    """A new user for each test."""
    name = f"person{next(numbers)}"
    add_users(office.database_url, {name: "user"})
    return name


def test_the_page_shows_ones_own_things_and_nobody_elses(office: DashboardsServer, person: str) -> None:
    with office.with_session("boss"), office.with_session(person) as client:
        with office.database() as uow:
            bots.create_token(uow, user_id(office, "boss"), label="label-of-the-boss")
            bots.create_token(uow, user_id(office, person), label='"><script>alert(1)</script>')
        html = client.get("account").text
    assert "<script>alert(1)</script>" not in html and "&lt;script&gt;alert(1)&lt;/script&gt;" in html
    assert "label-of-the-boss" not in html and "boss@" not in html
    assert html.count("This one") == 1 and "account/end-session" not in html
    assert "Administration" not in html


def test_change_of_password_ends_the_other_browsers(office: DashboardsServer, person: str) -> None:
    with office.with_session(person) as other, office.with_session(person) as client:
        for fields, status, said in (
            ({"new": NEW, "repeat": NEW + "x", "confirm_password": PASSWORD}, 400, "two different ways"),
            ({"new": NEW, "repeat": NEW, "confirm_password": "wrong"}, 403, "The password is not right."),
            ({"new": NEW, "repeat": NEW}, 403, "Type your password"),
            ({"new": "short", "repeat": "short", "confirm_password": PASSWORD}, 400, "at least 10 characters"),
            ({"new": "ä" * 40, "repeat": "ä" * 40, "confirm_password": PASSWORD}, 400, "72 bytes"),
            ({"new": "password123", "repeat": "password123", "confirm_password": PASSWORD}, 400, "first that are"),
        ):
            answer = submit(client, "account/password", **fields)
            assert answer.status_code == status and said in problem(answer.text), fields
        assert other.get("account").status_code == 200
        answer = submit(client, "account/password", new=NEW, repeat=NEW, confirm_password=PASSWORD)
        assert answer.status_code == 303
        assert "Your password is changed" in client.get(answer.headers["location"]).text
        assert other.get("account").status_code == 302
    with office.client() as browser:
        assert sign_in(browser, person, PASSWORD).status_code == 401
    with office.client() as browser:
        assert sign_in(browser, person, NEW).status_code == 303


def test_guessing_the_current_password_is_slowed_down(office: DashboardsServer, person: str) -> None:
    with office.database() as uow:
        for _ in range(7):
            throttle.count_failure(uow, person, "127.0.0.1", datetime.now(UTC))
        uow.commit()
    with office.with_session(person) as client:
        first = submit(client, "account/export", confirm_password="wrong")
        second = submit(client, "account/export", confirm_password=PASSWORD)
    assert (first.status_code, second.status_code) == (403, 429)
    assert int(second.headers["retry-after"]) > 0


def test_sessions_are_listed_and_ended_by_their_owner_alone(office: DashboardsServer, person: str) -> None:
    with office.with_session(person) as first, office.with_session(person) as second:
        with office.database() as uow:
            mine = accounts.list_sessions(uow, user_id(office, person))
            boss = accounts.open_session(uow, user_id(office, "boss"))
            his = accounts.list_sessions(uow, user_id(office, "boss"), current=boss)
        foreign = next(view.id for view in his if view.is_current)
        assert submit(first, "account/end-session", session=str(foreign)).status_code == 404
        for nonsense in ("", "-1", "1 OR 1=1", "9" * 30, "²"):
            assert submit(first, "account/end-session", session=nonsense).status_code in (400, 404)
        with office.database() as uow:
            assert accounts.user_of_session(uow, boss) is not None
        kernel_id = kernel_of(second.get("hello").text)
        for view in mine:
            if f'value="{view.id}"' in first.get("account").text:
                assert submit(first, "account/end-session", session=str(view.id)).status_code == 303
        assert first.get("account").status_code == 200 and second.get("account").status_code == 302
        assert second.get(f"api/kernels/{kernel_id}").status_code in (302, 403)
    with office.with_session(person) as third, office.with_session(person) as fourth:
        assert submit(third, "account/end-others").status_code == 303
        assert third.get("account").status_code == 200 and fourth.get("account").status_code == 302


def test_the_profile_is_kept_and_times_follow_the_zone(office: DashboardsServer, person: str) -> None:
    with office.with_session(person) as client:
        for zone in ("Mars/Olympus", "../../etc/passwd", "/etc/passwd", "Europe"):
            answer = submit(client, "account/profile", time_zone=zone, full_name="Ada")
            assert answer.status_code == 400, zone
        for wrong in ({"numbers": "roman"}, {"palette": "<b>"}):
            answer = submit(client, "account/profile", time_zone="UTC", **wrong)
            assert answer.status_code == 400 and "<b>" not in problem(answer.text)
        choice = {"numbers": "point_comma", "palette": "blue_orange"}
        answer = submit(client, "account/profile", time_zone="Asia/Tokyo", full_name='<b>Ada "L"</b>', **choice)
        assert answer.status_code == 303
        with office.database() as uow:
            bots.create_token(uow, user_id(office, person), label="busy")
            busy = text("UPDATE user_webhook_tokens SET request_count = 12345 WHERE user_id = :id")
            uow.session.execute(busy, {"id": user_id(office, person)})
            uow.commit()
        html = client.get("account").text
        assert '<td data-value="12345">12.345</td>' in html
        assert "Asia/Tokyo." in html and "<b>Ada" not in html and "&lt;b&gt;Ada" in html
        assert "email_enabled" in html and "checked" not in html
        with office.database() as uow:
            kept = preferences.get_preferences(
                uow, user_id(office, person), ["time_zone", "number_format", "up_down_colours", "none"]
            )
            assert kept == {"time_zone": "Asia/Tokyo", "number_format": "point_comma", "up_down_colours": "blue_orange"}
            session = accounts.list_sessions(uow, user_id(office, person))[0]
        hour = (session.created_at.astimezone(UTC).hour + 9) % 24
        assert f" {hour:02d}:{session.created_at.minute:02d}<" in html


def publish(office: DashboardsServer) -> Vault:
    vault = Vault(new_key())
    with office.database() as uow:
        api_keys.publish_public_key(uow, vault)
    return vault


def test_api_keys_go_in_and_never_out(office: DashboardsServer, person: str) -> None:
    vault, number = publish(office), user_id(office, person)
    keys = {"mode": "paper", "key": "PKSECRETSECRET42", "secret": "very-secret-value-of-alpaca"}
    with office.with_session(person) as client:
        assert submit(client, "account/store-keys", **keys).status_code == 303
        html = client.get("account").text
        assert "••••ET42" in html and "PKSECRET" not in html and "very-secret" not in html
        assert submit(client, "account/store-keys", **{**keys, "mode": "other"}).status_code == 400
        refused = submit(client, "account/store-keys", **{**keys, "secret": "has blanks in it"})
        assert refused.status_code == 400 and "has blanks" not in refused.text and "PKSECRET" not in refused.text
    with office.database() as uow:
        opened = api_keys.open_api_keys(uow, number, vault, "paper")
        assert (opened.key, opened.secret) == (keys["key"], keys["secret"])
        kept = uow.session.execute(text("SELECT string_agg(k::text, '') FROM user_api_keys k")).scalar_one()
        kept += uow.session.execute(text("SELECT string_agg(a::text, '') FROM audit_log a")).scalar_one()
    assert "PKSECRET" not in kept and "very-secret" not in kept
    said = office.log_text()
    assert "PKSECRET" not in said and "very-secret" not in said and PASSWORD not in said
    with office.with_session(person) as client:
        assert submit(client, "account/delete-keys", mode="paper").status_code == 303
        assert submit(client, "account/delete-keys", mode="paper").status_code == 404
    with office.database() as uow, pytest.raises(NotFound):
        api_keys.open_api_keys(uow, number, vault, "paper")


def test_keys_need_a_fresh_password(office: DashboardsServer, person: str) -> None:
    publish(office)
    keys = {"mode": "paper", "key": "PKABCDEFGHIJ", "secret": "secret-secret"}
    with office.with_session(person) as client:
        forget_confirmation(office, person)
        assert 'id="keys-password"' in client.get("account").text
        assert submit(client, "account/store-keys", **keys).status_code == 403
        assert submit(client, "account/store-keys", **keys, confirm_password="wrong").status_code == 403
        with office.database() as uow:
            assert api_keys.list_api_keys(uow, user_id(office, person)) == []
        assert submit(client, "account/store-keys", **keys, confirm_password=PASSWORD).status_code == 303
        assert 'id="keys-password"' not in client.get("account").text


def test_live_trading_needs_password_and_sentence_each_time(office: DashboardsServer, person: str) -> None:
    sentence, number = "TRADE WITH REAL MONEY", user_id(office, person)
    with office.with_session(person) as client:
        for fields in ({"sentence": sentence}, {"sentence": sentence, "confirm_password": "wrong"},
                       {"sentence": "yes", "confirm_password": PASSWORD}):  # fmt: skip
            assert submit(client, "account/allow-live", **fields).status_code in (400, 403)
        with office.database() as uow:
            assert own_data.live_allowed_since(uow, number) is None
        assert submit(client, "account/allow-live", sentence=sentence, confirm_password=PASSWORD).status_code == 303
        assert "Withdraw the permission" in client.get("account").text
        with office.database() as uow:
            assert own_data.live_allowed_since(uow, number) is not None
        assert submit(client, "account/withdraw-live").status_code == 303
        with office.database() as uow:
            assert own_data.live_allowed_since(uow, number) is None


def test_tokens_are_revoked_by_their_owner_alone(office: DashboardsServer, person: str) -> None:
    with office.database() as uow:
        mine = bots.create_token(uow, user_id(office, person), label="mine")
        bots.create_token(uow, user_id(office, "root"), label="his")
        foreign = bots.list_tokens(uow, user_id(office, "root"))[0]
        own = bots.list_tokens(uow, user_id(office, person))[0]
    with office.with_session(person) as client:
        assert str(mine) not in client.get("account").text
        assert submit(client, "account/revoke-token", token=str(foreign.id)).status_code == 404
        assert submit(client, "account/revoke-token", token=str(own.id)).status_code == 303
        assert ">revoked<" in client.get("account").text
    with office.database() as uow:
        assert bots.list_tokens(uow, user_id(office, "root"))[0].is_active


def test_export_has_everything_but_secrets(office: DashboardsServer, person: str) -> None:
    publish(office)
    number = user_id(office, person)
    with office.database() as uow:
        watchlist.watch(uow, number, "AAPL")
        watchlist.watch(uow, user_id(office, "root"), "ROOTS")
        bots.create_bot(uow, number, NewBot("MSFT", "1h", Decimal("250.50")))
        api_keys.hand_over_api_keys(uow, number, "paper", "PKABCDEFGHIJ", "secret-secret")
        bots.create_token(uow, number, label="hook")
    with office.with_session(person) as client:
        assert submit(client, "account/export").status_code == 403
        answer = submit(client, "account/export", confirm_password=PASSWORD)
    assert answer.status_code == 200
    assert answer.headers["content-disposition"].startswith(f'attachment; filename="dashtrade-{person}-')
    tables = json.loads(answer.text)["tables"]
    assert tables["users"][0]["username"] == person and len(tables["users"]) == 1
    assert [row["symbol"] for row in tables["watchlist"]] == ["AAPL"]
    assert tables["user_bot_configs"][0]["position_size"] == "250.5000"
    assert tables["user_webhook_tokens"][0]["label"] == "hook"
    assert {row["action"] for row in tables["audit_log"]} >= {"api_keys_stored", "login"}
    for word in ("ROOTS", "box1.", "$2b$", "token_sha256", "password_hash", "_encrypted"):
        assert word not in answer.text, word


def rows_of(office: DashboardsServer, number: int) -> dict[str, int]:
    with office.database() as uow:
        tables = uow.session.execute(
            text("SELECT table_name FROM information_schema.columns WHERE column_name = 'user_id' "
                 "AND table_schema = 'public'")
        ).scalars().all()  # fmt: skip
        counts = {
            table: uow.session.execute(
                text(f"SELECT count(*) FROM {table} WHERE user_id = :number"), {"number": number}
            ).scalar_one()
            for table in tables
        }
    return {table: count for table, count in counts.items() if count}


def test_deleting_the_account_takes_everything_along(office: DashboardsServer, person: str) -> None:
    publish(office)
    number = user_id(office, person)
    with office.database() as uow:
        watchlist.watch(uow, number, "AAPL")
        bot = bots.create_bot(uow, number, NewBot("MSFT", "1h", Decimal(250), is_active=True))
        bots.create_token(uow, number, label="hook")
        api_keys.hand_over_api_keys(uow, number, "paper", "PKABCDEFGHIJ", "secret-secret")
    fields = {"username": person, "confirm_password": PASSWORD}
    with office.with_session(person) as client:
        assert submit(client, "account/delete", username="somebody", confirm_password=PASSWORD).status_code == 400
        assert submit(client, "account/delete", username=person, confirm_password="wrong").status_code == 403
        answer = submit(client, "account/delete", **fields)
        assert answer.status_code == 403 and "Switch your bots off" in problem(answer.text)
        with office.database() as uow:
            bots.set_bot_active(uow, number, bot.id, False)
        kernel_id = kernel_of(client.get("hello").text)
        answer = submit(client, "account/delete", **fields)
        assert answer.status_code == 303 and "deleted" in client.get(answer.headers["location"]).text
        assert client.get("account").status_code == 302
        assert client.get(f"api/kernels/{kernel_id}").status_code in (302, 403)
    assert set(rows_of(office, number)) == {"audit_log"}
    with office.database() as uow:
        newest = audit.list_audit(uow, user_id(office, "root"), user_id=number, limit=1)[0]
    assert newest.action == "account_deleted" and person not in json.dumps(newest.detail)
    with office.client() as browser:
        assert sign_in(browser, person, PASSWORD).status_code == 401


def test_a_new_table_with_secrets_is_noticed() -> None:
    """Every column named like a secret is withheld from the export, or named here as harmless."""
    from dashtrade.db.tables import Base

    harmless = {
        "key_hint", "once_key", "token_id", "dedupe_key", "body_hash", "data_hash", "request_hash", "result_hash",
        "key", "password_changed_at", "must_change_password",
    }  # fmt: skip
    for table in Base.metadata.tables.values():
        if "user_id" not in table.c and table.name != "users":
            continue
        for column in table.c:
            looks_secret = any(word in column.name for word in ("password", "secret", "token", "hash", "sha256", "key"))
            if looks_secret and column.name not in harmless:
                assert column.name in own_data.WITHHELD.get(table.name, set()), f"{table.name}.{column.name}"


@pytest.mark.parametrize("action", ACTIONS)
def test_every_action_needs_session_token_and_own_origin(office: DashboardsServer, action: str) -> None:
    with office.client() as stranger:
        token = form_token(stranger.get("login").text)
        assert stranger.post(f"account/{action}", data={"_xsrf": token}).status_code == 403
        assert stranger.get(f"account/{action}").status_code == 302
    with office.with_session("boss") as client:
        assert client.post(f"account/{action}", data={"confirm_password": PASSWORD}).status_code == 403
        token = form_token(client.get("account").text)
        headers = {"Origin": "https://elsewhere.example", "Referer": "https://elsewhere.example/"}
        assert client.post(f"account/{action}", data={"_xsrf": token[:-3] + "abc"}).status_code == 403
        answer = client.post(f"account/{action}", data={"_xsrf": token}, headers=headers)
        assert answer.status_code in (403, 404) and "dt-office" not in answer.text
        assert client.get(f"account/{action}").status_code == 404  # no link does anything


def test_unknown_parts_are_not_there(office: DashboardsServer) -> None:
    with office.with_session("boss") as client:
        for path in ("account/nothing", "account/show", "account/confirm", "account/../admin/halt"):
            token = form_token(client.get("account").text)
            assert client.post(path, data={"_xsrf": token}).status_code in (400, 404), path


def test_channels_and_source_keys_go_in_and_never_out(office: DashboardsServer, person: str) -> None:
    vault, number = publish(office), user_id(office, person)
    url = "json://robot:channel-secret-4711@127.0.0.1:9/hook"
    with office.with_session(person) as client, office.with_session("boss") as boss:
        for wrong in (
            {"url": "nonsense-4711"},
            {"quiet_from": "22:00"},
            {"channel_zone": "Mars"},
            {"most_per_hour": "0"},
        ):
            answer = submit(client, "account/add-channel", **{"name": "x", "url": url, **wrong})
            assert answer.status_code == 400 and "4711" not in problem(answer.text), wrong
        name = "<img src=x onerror=alert(1)>"
        quiet = {"quiet_from": "22:00", "quiet_until": "07:00", "channel_zone": "Asia/Tokyo"}
        assert submit(client, "account/add-channel", name=name, url=url, **quiet).status_code == 303
        html = client.get("account").text
        assert "&lt;img src=x" in html and "<img src=x" not in html and "22:00–07:00 Asia/Tokyo" in html
        with office.database() as uow:
            (channel,) = channels.list_channels(uow, number)
        fields = {"channel": str(channel.id)}
        for action in ("test-channel", "switch-channel", "remove-channel"):
            assert submit(boss, f"account/{action}", **fields).status_code == 404
        assert submit(client, "account/test-channel", **fields).status_code == 303
        assert "Test message from DashTrade" in client.get("account").text
        assert submit(client, "account/switch-channel", active="no", **fields).status_code == 303
        assert "Switch on" in client.get("account").text
        key = {"source": "alpaca", "key": "DATAKEY-4711", "secret": "data-secret-4711"}
        assert submit(client, "account/store-source-key", **key).status_code == 303
        assert submit(client, "account/store-source-key", **{**key, "source": "<b>"}).status_code == 400
        html = client.get("account").text
        assert "Alpaca (market data)" in html and "••••4711" in html and "DATAKEY" not in html
    with office.database() as uow:
        opened = source_keys.open_source_keys(uow, number, vault, "alpaca")
        assert opened is not None and opened.secret == "data-secret-4711"
        sealed = uow.session.scalar(
            text("SELECT url_encrypted FROM notification_channels WHERE id = :id"), {"id": channel.id}
        )
        assert vault.open(sealed, user_id=number, mode="channel", field="url") == url
        kept = uow.session.execute(text("SELECT string_agg(a::text, '') FROM audit_log a")).scalar_one()
    assert "channel-secret" not in kept + office.log_text() and "data-secret" not in kept + office.log_text()
    with office.with_session(person) as client:
        assert submit(client, "account/remove-channel", **fields).status_code == 303
        assert submit(client, "account/delete-source-key", source="alpaca").status_code == 303
        assert submit(client, "account/delete-source-key", source="alpaca").status_code == 404


def test_a_form_of_a_session_that_has_ended_says_so(office: DashboardsServer, person: str) -> None:
    """Signed out in another tab, or signed in again; not that a role is missing."""
    with office.signed_in(person) as client:
        old = form_token(client.get("account").text)
        client.post("logout", data={"_xsrf": old})
        gone = client.post("account/profile", data={"_xsrf": old, "full_name": "Late"})
        assert gone.status_code == 403 and "You are signed out" in gone.text and "Nothing was changed" in gone.text
        assert '<a class="dt-primary" href="/account">Sign in</a>' in gone.text
        assert "role" not in re.sub(r'role="[a-z]+"', "", gone.text)
        assert sign_in(client, person, PASSWORD).status_code == 303
        stale = client.post("account/profile", data={"_xsrf": old, "full_name": "Late"})
        assert stale.status_code == 403 and "This form is out of date" in stale.text
        assert '<a class="dt-primary" href="/account">Load the page again</a>' in stale.text
        assert 'value="Late"' not in client.get("account").text


def test_two_browsers_change_what_they_changed(office: DashboardsServer, person: str) -> None:
    """What is left as it was shown is left as it is: another browser may have changed it meanwhile."""

    def shown(html: str) -> dict[str, str]:
        return dict(re.findall(r'name="(was-\w+)" value="([^"]*)"', html))

    with office.with_session(person) as one, office.with_session(person) as other:
        first, second = shown(one.get("account").text), shown(other.get("account").text)
        old = {key.removeprefix("was-"): value for key, value in first.items()}
        assert first == second and set(old) == {"full_name", "time_zone", "numbers", "palette", "email_enabled"}
        changes = {**old, "time_zone": "Asia/Tokyo", "email_enabled": "" if old["email_enabled"] else "yes"}
        assert submit(one, "account/profile", **first, **changes).status_code == 303
        assert submit(other, "account/profile", **second, **{**old, "full_name": "Ada"}).status_code == 303
        refused = submit(other, "account/profile", **second, **{**old, "full_name": "Ada L", "numbers": "roman"})
        assert refused.status_code == 400 and 'value="Ada L"' in refused.text
        assert 'list="zones" maxlength="60" value="Asia/Tokyo"' in refused.text, "not what this form still had"
        now = shown(one.get("account").text)
    assert now == {f"was-{key}": value for key, value in {**changes, "full_name": "Ada"}.items()}
