"""Settings that a superadmin changes while everything runs: who may, what is allowed, and that it takes effect."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from dashboards_server import (
    PASSWORD,
    DashboardsServer,
    clone_database,
    drop_database,
    form_token,
    kernel_of,
    running_server,
    write_page,
)
from office import forget_confirmation, problem, submit, user_id
from sqlalchemy import NullPool, text
from structlog.testing import capture_logs

from dashtrade.bootstrap import Runtime
from dashtrade.db.engine import make_engine
from dashtrade.db.unit_of_work import UnitOfWork
from dashtrade.domain.users import Role, User
from dashtrade.errors import ConfigurationError, Forbidden, InvalidInput, UnknownOption
from dashtrade.processes.children import settings_environment
from dashtrade.services import audit, housekeeping
from dashtrade.services.notifications import notify
from dashtrade.services.system_settings import CurrentSettings, Origin, change_settings, effective, list_settings
from dashtrade.settings import AT_RUN_TIME, Settings, environment_names, load_settings, secret_fields

Uow = Callable[[], UnitOfWork]
ADDRESS = "admin/settings"
NEW = "four unrelated words here"
PLAIN = Settings(_env_file=None)


def by_hand(uow: UnitOfWork, value: object) -> None:
    """As somebody with a database client would write it."""
    uow.session.execute(
        text(
            "INSERT INTO app_state (key, value) VALUES ('system_settings', CAST(:value AS jsonb))"
            " ON CONFLICT (key) DO UPDATE SET value = excluded.value"
        ),
        {"value": json.dumps(value)},
    )
    uow.commit()


def stored(uow: UnitOfWork) -> Any:
    return uow.session.scalar(text("SELECT value FROM app_state WHERE key = 'system_settings'"))


# --- the rule ---------------------------------------------------------------------------------------------------------


def test_nothing_that_must_not_be_changed_can_be() -> None:
    for name in AT_RUN_TIME:
        assert name not in secret_fields()
        assert not re.search("url|host|_port|_dir|_key|password|secret", name)
        assert Settings.model_fields[name].title and Settings.model_fields[name].description


@pytest.mark.parametrize("name", AT_RUN_TIME)
def test_one_rule_for_the_environment_and_for_what_is_typed(
    name: str, uow_factory: Uow, monkeypatch: pytest.MonkeyPatch
) -> None:
    variable = environment_names(name)[0]
    values = ["open", "closed", "Open", "0", "1", "2", "4", "5", "6", "7", "13", "14", "29", "30", "36500", "36501",
              "100000", "100001", "31536000", "31536001", "1.5", "-3", "ten", "9" * 40, "٣", "1e3", "nan"]  # fmt: skip
    taken = set()
    for value in values:
        monkeypatch.setenv(variable, value)
        try:
            expected = getattr(load_settings(_env_file=None), name)
        except ConfigurationError:
            expected = None
        with uow_factory() as uow:
            if expected is None:
                with pytest.raises(InvalidInput, match=f"^{name}: .* is not allowed. Allowed: "):
                    change_settings(uow, PLAIN, None, {name: value})
            else:
                taken.add(value)
                change_settings(uow, PLAIN, None, {name: value})
                assert getattr(effective(uow, PLAIN), name) == expected
    assert taken and taken != set(values)


def test_changes_are_recorded_and_given_back(uow_factory: Uow, make_user: Callable[..., User]) -> None:
    root, boss = make_user("root", role=Role.SUPERADMIN.value), make_user("boss", role=Role.ADMIN.value)
    with uow_factory() as uow:
        for who in (boss.id, make_user("ada").id):
            with pytest.raises(Forbidden):
                change_settings(uow, PLAIN, who, {"registration": "open"})
            with pytest.raises(Forbidden):
                list_settings(uow, PLAIN, who)
        assert effective(uow, PLAIN) is PLAIN and stored(uow) is None
        with pytest.raises(UnknownOption, match="data_dir"):
            change_settings(uow, PLAIN, root.id, {"data_dir": "/tmp"})
        with pytest.raises(InvalidInput, match="keep_job_days: '1' is not allowed"):
            change_settings(uow, PLAIN, root.id, {"registration": "open", "keep_job_days": "1"})
        uow.rollback()
        assert stored(uow) is None, "all or none"
        assert change_settings(uow, PLAIN, root.id, {"registration": "open", "keep_job_days": " 20 "}) == [
            "registration",
            "keep_job_days",
        ]
        assert change_settings(uow, PLAIN, root.id, {"registration": "open"}) == []
        now = effective(uow, PLAIN)
        assert (now.registration, now.keep_job_days, now.keep_alert_days) == ("open", 20, 365)
        views = {view.name: view for view in list_settings(uow, PLAIN, root.id)}
        assert (views["keep_job_days"].origin, views["keep_job_days"].stored) == (Origin.STORED, "20")
        assert (views["pages_total"].origin, views["pages_total"].value) == (Origin.DEFAULT, "200")
        assert change_settings(uow, PLAIN, None, {"keep_job_days": ""}) == ["keep_job_days"]
        assert effective(uow, PLAIN).keep_job_days == 14
        entries = [entry for entry in audit.list_audit(uow, root.id) if entry.action == "setting_changed"]
    assert [(entry.actor_id, entry.detail) for entry in reversed(entries)] == [
        (root.id, {"setting": "registration", "old": "closed", "new": "open", "default": False}),
        (root.id, {"setting": "keep_job_days", "old": 14, "new": 20, "default": False}),
        (None, {"setting": "keep_job_days", "old": 20, "new": 14, "default": True}),
    ]


def test_the_environment_goes_first(uow_factory: Uow) -> None:
    given = Settings(_env_file=None, registration="invitation")
    with uow_factory() as uow:
        by_hand(uow, {"registration": "open", "pages_total": 5})
        now = effective(uow, given)
        assert (now.registration, now.pages_total) == ("invitation", 5)
        with pytest.raises(InvalidInput, match="server's environment"):
            change_settings(uow, given, None, {"registration": "open"})
        (view,) = [view for view in list_settings(uow, given, None) if view.name == "registration"]
        assert (view.origin, view.value, view.variable) == (
            Origin.ENVIRONMENT,
            "invitation",
            "DASHTRADE_REGISTRATION",
        )
    # a child of `up` must not take the parent's defaults for the operator's word
    passed = settings_environment(given)
    assert passed["DASHTRADE_REGISTRATION"] == "invitation"
    assert not {environment_names(name)[0] for name in AT_RUN_TIME if name != "registration"} & set(passed)


@pytest.mark.parametrize(
    "value",
    [None, 7, "open", [1], {"registration": "wide open"}, {"registration": None}, {"registration": {"a": 1}},
     {"keep_job_days": -1}, {"keep_job_days": 10**40}, {"data_dir": "/tmp", "host": "0.0.0.0"}],
)  # fmt: skip
def test_a_bad_value_written_by_hand_is_left_out(uow_factory: Uow, value: object) -> None:
    with uow_factory() as uow:
        by_hand(uow, value)
        assert effective(uow, PLAIN) == PLAIN
        assert len(list_settings(uow, PLAIN, None)) == len(AT_RUN_TIME)
        change_settings(uow, PLAIN, None, {"registration": "open", "keep_job_days": "20"})
        assert effective(uow, PLAIN).keep_job_days == 20


def test_a_bad_value_is_told_of_once_and_shown(uow_factory: Uow) -> None:
    current = CurrentSettings(PLAIN)
    with uow_factory() as uow, capture_logs() as lines:
        by_hand(uow, {"registration": "wide open", "pages_total": 7})
        first = current.refresh(uow)
        assert current.refresh(uow) is first is current.now
        assert (first.registration, first.pages_total) == ("closed", 7)
        (view,) = [view for view in list_settings(uow, PLAIN, None) if view.name == "registration"]
    assert view.refused and view.stored == "wide open" and (view.value, view.origin) == ("closed", Origin.DEFAULT)
    assert [line["setting"] for line in lines] == ["registration"]


def test_what_is_kept_follows_them(
    uow_factory: Uow, engine: Any, make_user: Callable[..., User], tmp_path: Path
) -> None:
    ada = make_user("ada").id
    with uow_factory() as uow:
        notify(uow, ada, "system", "old", "", channels=[])
        uow.session.execute(
            text("UPDATE notifications SET created_at = :at"), {"at": datetime.now(UTC) - timedelta(days=40)}
        )
        uow.commit()
    context = Runtime(Settings(_env_file=None, data_dir=tmp_path), engine)
    assert housekeeping.delete_old_records(context) == 0
    with uow_factory() as uow:
        change_settings(uow, PLAIN, None, {"keep_message_days": "30"})
    assert housekeeping.delete_old_records(context) == 1


# --- the page ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def apps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("apps")
    write_page(folder, "hello", "import ipywidgets\nfrom IPython.display import display\ndisplay(ipywidgets.Label())")
    return folder


@pytest.fixture(scope="module")
def server(postgres_url: str, tmp_path_factory: pytest.TempPathFactory, apps: Path) -> Iterator[DashboardsServer]:
    """A server of these tests alone; the operator has said how many pages there may be in all."""
    folder, url = tmp_path_factory.mktemp("settings"), clone_database(postgres_url, "system_settings")
    people = {"root": "superadmin", "boss": "admin", "ada": "user"}
    with running_server(url, folder, apps=apps, users=people, DASHTRADE_PAGES_TOTAL="50") as running:
        yield running


@pytest.fixture
def client(server: DashboardsServer) -> Iterator[httpx.Client]:
    with server.with_session("root") as client:
        yield client
        assert submit(client, f"{ADDRESS}/save", **dict.fromkeys(CHANGEABLE, ""), **WAS).status_code == 303


CHANGEABLE = [name for name in AT_RUN_TIME if name != "pages_total"]
WAS = {f"was-{name}": "x" for name in CHANGEABLE}


def save(client: httpx.Client, **values: str) -> httpx.Response:
    """As the form does: every field, with what stood in it before."""
    html = client.get(ADDRESS).text
    was = dict(re.findall(r'name="(was-[a-z_]+)" value="([^"]*)"', html))
    assert set(was) == set(WAS)
    fields = {name.removeprefix("was-"): value for name, value in was.items()}
    return client.post(f"{ADDRESS}/save", data={"_xsrf": form_token(html), **was, **fields, **values})


def comes(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen"
        time.sleep(0.1)


def test_registration_opens_and_closes_at_once(server: DashboardsServer, client: httpx.Client) -> None:
    with server.client() as stranger:
        assert stranger.get("register").status_code == 404
        assert "register" not in stranger.get("login").text
        done = save(client, registration="open")
        assert (done.status_code, done.headers["location"]) == (303, "/admin/settings?done=saved")
        assert stranger.get("register").status_code == 200 and "register" in stranger.get("login").text
        token = form_token(stranger.get("register").text)
        form = {"_xsrf": token, "username": "newcomer", "email": "new@example.com", "password": NEW, "repeat": NEW}
        assert save(client, registration="invitation").status_code == 303
        refused = stranger.post("register", data=form)
        assert refused.status_code == 403 and "invitation" in refused.text
        assert "invite-title" in client.get("admin").text
        assert save(client, registration="").status_code == 303
        assert stranger.get("register").status_code == 404
        assert stranger.post("register", data=form).status_code == 404
    assert "invite-title" not in client.get("admin").text
    assert submit(client, "admin/invite", role="user").status_code == 400
    assert save(client).headers["location"].endswith("done=same")
    with server.database() as uow:
        root = user_id(server, "root")
        entries = [entry for entry in audit.list_audit(uow, root) if entry.detail.get("setting") == "registration"]
    assert [(entry.detail["old"], entry.detail["new"]) for entry in entries[:3]] == [
        ("invitation", "closed"),
        ("open", "invitation"),
        ("closed", "open"),
    ]


def test_it_is_for_superadmins_with_their_password(server: DashboardsServer, client: httpx.Client) -> None:
    fields = {"registration": "open", "was-registration": "", "confirm_password": PASSWORD}
    for name in ("ada", "boss"):
        with server.with_session(name) as other:
            token = form_token(other.get("account").text)
            assert other.post(f"{ADDRESS}/save", data={"_xsrf": token, **fields}).status_code == 403
    assert client.post(f"{ADDRESS}/save", data=fields).status_code == 403  # another site
    forget_confirmation(server, "root")
    typed = {"keep_alert_days": "77"}
    unsaid = save(client, **typed)
    assert unsaid.status_code == 403 and "Type your password" in problem(unsaid.text) and 'value="77"' in unsaid.text
    assert save(client, **typed, confirm_password="wrong").status_code == 403
    with server.database() as uow:
        assert effective(uow, PLAIN).keep_alert_days == 365
    assert save(client, **typed, confirm_password=PASSWORD).status_code == 303


def test_a_bad_value_is_named_and_nothing_typed_is_lost(server: DashboardsServer, client: httpx.Client) -> None:
    answer = save(client, page_idle_seconds='4"><b>x', keep_alert_days="500", registration="open")
    assert answer.status_code == 400
    assert problem(answer.text).startswith("Idle seconds: ")
    assert "Allowed: a whole number from 5 to 31536000." in problem(answer.text)
    assert "4&#34;&gt;&lt;b&gt;x" in answer.text and "<b>x" not in answer.text
    assert 'value="500"' in answer.text and "<option selected>open</option>" in answer.text
    assert answer.text.count('aria-invalid="true"') == 1
    with server.client() as stranger:
        assert stranger.get("register").status_code == 404
    fixed = submit(client, f"{ADDRESS}/save", pages_total="9", **{"was-pages_total": ""})
    assert fixed.status_code == 400 and "DASHTRADE_PAGES_TOTAL" in problem(fixed.text)
    html = client.get(ADDRESS).text
    assert "Set in the server&#39;s environment (DASHTRADE_PAGES_TOTAL)" in html or (
        "Set in the server's environment (DASHTRADE_PAGES_TOTAL)" in html
    )
    assert 'name="pages_total"' not in html


def test_what_another_has_changed_meanwhile_stays(server: DashboardsServer, client: httpx.Client) -> None:
    html = client.get(ADDRESS).text  # loaded before
    with server.database() as uow:
        change_settings(uow, PLAIN, None, {"keep_job_days": "33"})
    was = dict(re.findall(r'name="(was-[a-z_]+)" value="([^"]*)"', html))
    fields = {name.removeprefix("was-"): value for name, value in was.items()} | {"keep_alert_days": "44"}
    assert client.post(f"{ADDRESS}/save", data={"_xsrf": form_token(html), **was, **fields}).status_code == 303
    with server.database() as uow:
        now = effective(uow, PLAIN)
    assert (now.keep_job_days, now.keep_alert_days) == (33, 44)


def test_limits_of_pages_hold_at_once(server: DashboardsServer, client: httpx.Client) -> None:
    with server.with_session("ada") as ada:
        first = kernel_of(ada.get("hello").text)
        assert save(client, pages_per_user="1").status_code == 303
        assert ada.get("hello").status_code == 429
        assert ada.get(f"api/kernels/{first}").status_code == 200, "an open page was ended"
        assert save(client, pages_per_user="").status_code == 303
        second = kernel_of(ada.get("hello").text)
        assert save(client, page_idle_seconds="5").status_code == 303
        for kernel in (first, second):
            comes(lambda kernel=kernel: ada.get(f"api/kernels/{kernel}").status_code == 404, "the end of an idle page")


def test_other_machines_follow_and_the_last_known_go_on(postgres_url: str, tmp_path: Path, apps: Path) -> None:
    url = clone_database(postgres_url, "settings_elsewhere")
    engine = make_engine(url, poolclass=NullPool)
    with UnitOfWork(engine) as uow:  # the second was written by hand and is no number
        by_hand(uow, {"registration": "open", "keep_job_days": "soon"})
    with running_server(url, tmp_path / "server", apps=apps) as there, there.client() as stranger:
        assert stranger.get("register").status_code == 200
        assert there.log_text().count("keep_job_days") == 1
        with UnitOfWork(engine) as uow:
            change_settings(uow, PLAIN, None, {"registration": "closed"})
        comes(lambda: stranger.get("register").status_code == 404, "the change elsewhere")
        engine.dispose()
        drop_database(url)
        comes(lambda: "the last known go on" in there.log_text(), "a look at the database that is gone")
        assert stranger.get("register").status_code == 404 and there.process.poll() is None
        assert "Traceback" not in there.log_text()
