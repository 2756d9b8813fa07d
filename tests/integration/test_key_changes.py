"""Keys are changed from the administration, by the jobs worker, while the dashboards go on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pyotp
import pytest
from dashboards_server import (
    PASSWORD,
    DashboardsServer,
    clone_database,
    form_token,
    running_server,
    sign_in,
    write_page,
)
from office import problem, submit, user_id
from pydantic import SecretStr
from sqlalchemy import text

from dashtrade.auth import secret_files
from dashtrade.auth.vault import Vault, new_key
from dashtrade.bootstrap import Runtime, load_jobs
from dashtrade.db.unit_of_work import UnitOfWork
from dashtrade.domain.users import Role, User
from dashtrade.errors import ConfigurationError, Forbidden
from dashtrade.services import api_keys, audit, channels, key_changes, key_rotation, second_factor
from dashtrade.services.jobs import enqueue
from dashtrade.services.key_changes import NotNow, Status, What
from dashtrade.settings import Settings

ADDRESS = "admin/settings"


@pytest.fixture(scope="module")
def server(postgres_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DashboardsServer]:
    """Dashboards as `dashtrade up` starts them: the sign-in key of the file is in their environment."""
    tmp_path = tmp_path_factory.mktemp("key_changes")
    settings = Settings(_env_file=None, data_dir=tmp_path / "server" / "data")
    settings.data_dir.mkdir(parents=True)
    secret_files.ensure_secrets(settings)
    apps = tmp_path / "apps"
    apps.mkdir()
    write_page(apps, "hello", "print(1)")
    url = clone_database(postgres_url, "key_changes")
    people = {"root": "superadmin", "boss": "admin", "ada": "user"}
    given = {"DASHTRADE_SIGNIN_KEY": secret_files.signin_key(settings)}
    with running_server(url, tmp_path / "server", apps=apps, users=people, **given) as running:
        yield running


@contextmanager
def worker(server: DashboardsServer) -> Iterator[subprocess.Popen[bytes]]:
    """The jobs worker of the same installation, started with the encryption key of the file."""
    keep = {name: value for name, value in os.environ.items() if not name.startswith(("DASHTRADE_", "ENCRYPT"))}
    settings = Settings(_env_file=None, data_dir=server.data_dir)
    values = keep | {
        "DATABASE_URL": server.database_url,
        "DASHTRADE_DATA_DIR": str(server.data_dir),
        "DASHTRADE_SOURCES": "sample",
        "ENCRYPTION_KEY": secret_files.encryption_key(settings),
    }
    with (server.data_dir.parent / "jobs.log").open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "dashtrade.processes.jobs"],
            env=values, cwd=server.data_dir, stdout=output, stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
            process.wait(30)


def comes(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + 90
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen"
        time.sleep(0.05)


def works(server: DashboardsServer) -> bool:
    with server.database() as uow:
        return bool(uow.session.scalar(key_changes._WORKERS, {"late": 60}))


def shown(client: httpx.Client) -> str:
    answer = client.get(ADDRESS)
    assert answer.status_code == 200
    return answer.text


def state_of(server: DashboardsServer) -> key_changes.KeyChange:
    with server.database() as uow:
        found = key_changes.last_change(uow, user_id(server, "root"))
    assert found is not None
    return found


def press(client: httpx.Client, what: str, password: str = PASSWORD) -> httpx.Response:
    return submit(client, f"{ADDRESS}/{what}", confirm_password=password)


def signs_in(server: DashboardsServer, app: pyotp.TOTP) -> bool:
    """With the code of now, as if the last one had been used long ago."""
    with server.database() as uow:
        uow.session.execute(text("UPDATE users SET totp_last_step = 1 WHERE username = 'ada'"))
        uow.commit()
    with server.client() as browser:
        assert sign_in(browser, "ada", PASSWORD).headers["location"].startswith("/second-step")
        token = form_token(browser.get("second-step").text)
        return browser.post("second-step", data={"_xsrf": token, "code": app.now()}).status_code == 303


def test_a_worker_that_is_killed_is_followed_by_another(server: DashboardsServer) -> None:
    settings = Settings(_env_file=None, data_dir=server.data_dir)
    before = secret_files.encryption_key(settings), secret_files.signin_key(settings)
    trader = settings.model_copy(update={"encryption_key": SecretStr(before[0])})  # started before all this
    vault, signin, ada = Vault(before[0]), Vault(before[1]), user_id(server, "ada")
    now = datetime.now(UTC)
    with server.database() as uow:
        api_keys.publish_public_key(uow, vault)
        api_keys.store_api_keys(uow, ada, vault, "paper", "PKABCDEFGH", "secret-of-ada")
        for name in ("one", "two", "three"):
            channels.add_channel(uow, ada, vault.seal, name, f"json://127.0.0.1/{name}")
        app = pyotp.TOTP(second_factor.start(uow, ada, signin).secret)
        hour_ago = now - timedelta(hours=1)
        second_factor.confirm(uow, ada, signin, app.at(hour_ago), now=hour_ago)

    def opened() -> str:
        with server.database() as uow:
            return api_keys.open_api_keys(uow, ada, Vault(secret_files.encryption_key(trader)), "paper").secret

    with server.with_session("root") as client:
        assert "have not been changed yet" in shown(client)
        refused = press(client, "rotate")
        assert refused.status_code == 503 and "No jobs worker runs" in problem(refused.text)
        with worker(server) as first, server.database() as holding:
            comes(lambda: works(server), "the worker's first heartbeat")
            second = "(SELECT id FROM notification_channels ORDER BY id OFFSET 1 LIMIT 1)"
            holding.session.execute(text(f"SELECT 1 FROM notification_channels WHERE id = {second} FOR UPDATE"))
            assert press(client, "rotate", "wrong").status_code == 403
            early = press(client, "retire")
            assert early.status_code == 400 and "no old keys" in problem(early.text)
            done = press(client, "rotate")
            assert (done.status_code, done.headers["location"]) == (303, "/admin/settings?done=rotate")
            comes(lambda: state_of(server).done == 1, "the first record")
            html = shown(client)
            assert "Running: 1 of 5 records." in html and "data-look" in html and "rotate-password" not in html
            again = press(client, "rotate")
            assert again.status_code == 400 and "already, as root asked" in problem(again.text)
            assert opened() == "secret-of-ada" and signs_in(server, app)
            first.kill()
            first.wait()
        assert state_of(server).status is Status.RUNNING
        assert len(secret_files.encryption_key(settings).split(",")) == 2
        with server.database() as uow:  # as if the minute had passed after which a worker counts as gone
            uow.session.execute(text("UPDATE jobs.procrastinate_workers SET last_heartbeat = now() - interval '1 day'"))
            uow.commit()
        html = shown(client)
        assert "is gone; another one goes on" in html
        load_jobs()
        with worker(server):
            with server.database() as uow:
                queued = "INSERT INTO jobs.procrastinate_jobs (queue_name, task_name, args) VALUES"
                queued += " ('default', 'restart_lost_jobs', :args)"
                uow.session.execute(text(queued), {"args": '{"timestamp": 0}'})
                uow.commit()
            comes(lambda: not state_of(server).is_open, "the end of the rotation")
            assert state_of(server).status is Status.FINISHED, state_of(server).said
            keys = secret_files.encryption_key(settings).split(",")
            assert len(keys) == 2 and keys[1] == before[0]  # the second run made no other
            assert "5 records were sealed again" in shown(client)
            with server.database() as uow:  # the same job once more, and one that nobody asked for
                number = uow.session.scalar(text("SELECT value ->> 'id' FROM app_state WHERE key = 'key_change'"))
                for request in (number, "x"):
                    enqueue(uow, key_changes.JOB, request=request)
                uow.commit()

            def left() -> int:
                with server.database() as uow:
                    open_jobs = (
                        "SELECT count(*) FROM jobs.procrastinate_jobs WHERE task_name = 'change_keys'"
                        " AND status <> 'succeeded'"
                    )
                    return uow.session.scalar(text(open_jobs))

            comes(lambda: left() == 0, "the end of the jobs that do nothing")
            assert secret_files.encryption_key(settings).split(",") == keys
            assert opened() == "secret-of-ada" and signs_in(server, app)
            early = press(client, "retire")
            assert early.status_code == 400 and "only just" in problem(early.text)
            with server.database() as uow:
                long_ago = (now - timedelta(minutes=5)).isoformat()
                changed = (
                    "UPDATE app_state SET value = jsonb_set(value, '{finished_at}', to_jsonb(CAST(:at AS text)))"
                    " WHERE key = 'key_rotation'"
                )
                uow.session.execute(text(changed), {"at": long_ago})
                uow.commit()
            assert press(client, "retire").status_code == 303
            comes(lambda: not state_of(server).is_open, "the end of the old keys")
            assert state_of(server).status is Status.FINISHED, state_of(server).said
            assert "The old keys were removed" in shown(client) and "retire-password" not in shown(client)
    assert secret_files.encryption_key(settings) == keys[0]
    assert opened() == "secret-of-ada" and signs_in(server, app)
    with server.database() as uow:
        entries = audit.list_audit(uow, user_id(server, "root"))
        kept = str(uow.session.scalar(text("SELECT string_agg(a::text, '') FROM app_state a")))
        kept += str(uow.session.scalar(text("SELECT string_agg(j::text, '') FROM jobs.procrastinate_jobs j")))
    asked = [entry.action for entry in entries if entry.actor_id == user_id(server, "root")]
    assert asked.count("encryption_rotate_asked") == asked.count("encryption_retire_asked") == 1
    actions = [entry.action for entry in entries]
    assert actions.count("encryption_rotated") == actions.count("encryption_retired") == 1
    kept += str(entries) + server.log_text() + (server.data_dir.parent / "jobs.log").read_text()
    assert not any(secret in kept for secret in (*before, *keys, PASSWORD, "secret-of-ada"))


def test_it_is_for_superadmins(server: DashboardsServer) -> None:
    asked = text("SELECT count(*) FROM jobs.procrastinate_jobs WHERE task_name = 'change_keys'")
    with server.database() as uow:
        before = uow.session.scalar(asked)
    with server.client() as stranger:
        assert stranger.get(ADDRESS).status_code == 302
    for name in ("ada", "boss"):
        with server.with_session(name) as client:
            assert client.get(ADDRESS).status_code == 403
            token = form_token(client.get("account").text)
            for what in ("rotate", "retire"):
                form = {"_xsrf": token, "confirm_password": PASSWORD}
                assert client.post(f"{ADDRESS}/{what}", data=form).status_code == 403
    with server.with_session("boss") as client:
        assert "admin/settings" not in client.get("admin").text
    with server.with_session("root") as client:
        assert 'href="/admin/settings"' in client.get("admin").text
        html = shown(client)
        assert "Encryption keys" in html and "database_url" in html
        assert server.database_url.split("@")[0] not in html
        assert client.post(f"{ADDRESS}/rotate", data={"confirm_password": PASSWORD}).status_code == 403  # another site
        assert client.get(f"{ADDRESS}/rotate").status_code == client.get(f"{ADDRESS}/nothing").status_code == 404
        assert submit(client, f"{ADDRESS}/nothing").status_code == 404
        unsaid = submit(client, f"{ADDRESS}/rotate")  # asked for always, however fresh the session
        assert unsaid.status_code == 403 and "Type your password" in problem(unsaid.text)
    with server.database() as uow:
        settings = Settings(_env_file=None, data_dir=server.data_dir)
        for what in What:
            with pytest.raises(Forbidden):
                key_changes.ask(uow, settings, user_id(server, "boss"), what)
        with pytest.raises(Forbidden):
            key_changes.last_change(uow, user_id(server, "boss"))
        assert uow.session.scalar(asked) == before


@pytest.fixture
def house(
    tmp_path: Path, engine: object, uow_factory: Callable[[], UnitOfWork], make_user: Callable[..., User]
) -> Runtime:
    """An installation with a superadmin, a stored key and a worker that is alive."""
    settings = Settings(_env_file=None, data_dir=tmp_path / "data")
    settings.data_dir.mkdir()
    secret_files.ensure_secrets(settings)
    user = make_user("root", role=Role.SUPERADMIN.value)
    load_jobs()
    with uow_factory() as uow:
        vault = Vault(secret_files.encryption_key(settings))
        api_keys.store_api_keys(uow, user.id, vault, "paper", "PKABCDEFGH", "secret-of-root")
        uow.session.execute(text("INSERT INTO jobs.procrastinate_workers DEFAULT VALUES"))
        uow.commit()
    return Runtime(settings, engine)  # type: ignore[arg-type]


def fails(house: Runtime, settings: Settings) -> str:
    """Why the worker with these settings does not change the keys, which are as they were."""
    before = secret_files.encryption_key(house.settings), secret_files.signin_key(house.settings)
    with house.uow() as uow:
        key_changes.ask(uow, house.settings, 1, What.ROTATE)
        asked = key_changes._kept(uow)
    assert asked is not None
    assert key_changes.change_keys(Runtime(settings, house.engine), asked.id) is False
    assert (secret_files.encryption_key(house.settings), secret_files.signin_key(house.settings)) == before
    with house.uow() as uow:
        change = key_changes.last_change(uow, 1)
        assert key_rotation.last_rotation(uow) is None
    assert change is not None and change.status is Status.FAILED
    return change.said


def test_what_cannot_be_done_from_here_says_why_and_changes_nothing(house: Runtime, tmp_path: Path) -> None:
    settings = house.settings
    given = settings.model_copy(update={"encryption_key": SecretStr(new_key())})
    assert "ENCRYPTION_KEY is a setting and not a file" in fails(house, given)
    assert "another data folder" in fails(house, settings.model_copy(update={"data_dir": tmp_path / "elsewhere"}))
    signin = settings.secrets_dir / "signin_key"
    away = signin.rename(tmp_path / "signin_key")
    with house.uow() as uow, pytest.raises(ConfigurationError, match="signin_key is missing"):
        key_changes.ask(uow, settings, 1, What.ROTATE)  # the dashboards see that already
    away.rename(signin)
    key, right = settings.secrets_dir / "encryption_key", secret_files.encryption_key(settings)
    key.write_text(new_key() + "\n")
    assert "API keys of root cannot be opened" in fails(house, settings)
    key.write_text(right + "\n")
    with house.uow() as uow:
        uow.session.execute(text("INSERT INTO trader_heartbeats (name, beat_at) VALUES ('elsewhere:12:34', now())"))
        uow.commit()
    assert "another machine (elsewhere)" in fails(house, settings)
    given = settings.model_copy(update={"signin_key": SecretStr(new_key())})
    with house.uow() as uow, pytest.raises(ConfigurationError, match="DASHTRADE_SIGNIN_KEY is a setting"):
        key_changes.ask(uow, given, 1, What.ROTATE)


def test_a_job_that_was_given_up_can_be_asked_for_again(house: Runtime) -> None:
    with house.uow() as uow:
        assert key_changes.ask(uow, house.settings, 1, What.ROTATE).status is Status.WAITING
        with pytest.raises(NotNow, match="already, as root asked"):
            key_changes.ask(uow, house.settings, 1, What.RETIRE)
        uow.rollback()
        uow.session.execute(text("DELETE FROM jobs.procrastinate_workers"))
        uow.commit()
        waits = key_changes.last_change(uow, 1)
        assert waits is not None and waits.is_open and "No jobs worker runs" in waits.said
        uow.session.execute(text("INSERT INTO jobs.procrastinate_workers DEFAULT VALUES"))
        uow.session.execute(text("UPDATE jobs.procrastinate_jobs SET status = 'failed'"))
        uow.commit()
        given_up = key_changes.last_change(uow, 1)
        assert given_up is not None and given_up.status is Status.FAILED and "gave it up" in given_up.said
        key_changes.ask(uow, house.settings, 1, What.ROTATE)
        asked = key_changes._kept(uow)
    assert asked is not None
    with house.uow() as guard:
        guard.session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": key_rotation.LOCK})
        with house.uow() as uow:
            assert key_rotation.is_running(uow)
        with pytest.raises(key_rotation.RotationRuns):  # the queue tries that again
            key_changes.change_keys(house, asked.id)
        with house.uow() as uow:  # while a command is at it, nobody else begins
            uow.session.execute(text("UPDATE jobs.procrastinate_jobs SET status = 'failed'"))
            with pytest.raises(NotNow, match="command line"):
                key_changes.ask(uow, house.settings, 1, What.ROTATE)
    assert key_changes.change_keys(house, asked.id) is True
    with house.uow() as uow:
        assert not key_rotation.is_running(uow)
        change = key_changes.last_change(uow, 1)
    assert change is not None and change.status is Status.FINISHED and (change.done, change.total) == (1, 1)


def test_a_change_that_a_command_has_finished_is_not_begun_again(house: Runtime) -> None:
    with house.uow() as uow:
        key_changes.ask(uow, house.settings, 1, What.ROTATE)
        asked = key_changes._kept(uow)
    assert asked is not None
    begun = key_rotation._renew
    with pytest.MonkeyPatch.context() as patch:

        def dies(uow: UnitOfWork, sealed: object, row_id: int, vault: Vault) -> None:
            begun(uow, sealed, row_id, vault)  # type: ignore[arg-type]
            uow.commit()
            raise KeyboardInterrupt

        patch.setattr(key_rotation, "_renew", dies)
        with pytest.raises(KeyboardInterrupt):
            key_changes.change_keys(house, asked.id)
    key_rotation.rotate(house.uow, house.settings)  # the operator, at the command line
    keys = secret_files.encryption_key(house.settings)
    assert len(keys.split(",")) == 2
    assert key_changes.change_keys(house, asked.id) is True  # the lost job, found again
    assert secret_files.encryption_key(house.settings) == keys


def test_removing_the_old_keys_goes_on_after_a_kill(house: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_rotation, "SETTLED", timedelta(0))
    key_rotation.rotate(house.uow, house.settings)
    with house.uow() as uow:
        key_changes.ask(uow, house.settings, 1, What.RETIRE)
        asked = key_changes._kept(uow)
    assert asked is not None
    with pytest.MonkeyPatch.context() as patch:

        def dies(file: secret_files.KeyFile, keys: list[str]) -> None:
            raise KeyboardInterrupt

        patch.setattr(secret_files.KeyFile, "write", dies)
        with pytest.raises(KeyboardInterrupt):
            key_changes.change_keys(house, asked.id)
    assert len(secret_files.encryption_key(house.settings).split(",")) == 2
    for done in (True, False):  # the second time there is nothing left to do
        assert key_changes.change_keys(house, asked.id) is done
        for key in (secret_files.encryption_key(house.settings), secret_files.signin_key(house.settings)):
            assert "," not in key
    with house.uow() as uow:
        actions = [entry.action for entry in audit.list_audit(uow, 1)]
        pair = api_keys.open_api_keys(uow, 1, Vault(secret_files.encryption_key(house.settings)), "paper")
    assert pair.secret == "secret-of-root" and actions.count("encryption_retired") == 1
