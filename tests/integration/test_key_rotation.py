"""Keys are changed while others read and write, and after a kill the work goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyotp
import pytest
from pydantic import SecretStr
from sqlalchemy import text

from dashtrade.auth import secret_files
from dashtrade.auth.vault import Vault, new_key
from dashtrade.db.unit_of_work import UnitOfWork
from dashtrade.domain.users import User
from dashtrade.errors import ConfigurationError
from dashtrade.services import api_keys, audit, channels, key_rotation, second_factor, source_keys
from dashtrade.settings import Settings

Uow = Callable[[], UnitOfWork]
LATER = timedelta(minutes=2)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    made = Settings(_env_file=None, data_dir=tmp_path / "data")
    made.data_dir.mkdir()
    secret_files.ensure_secrets(made)
    return made


@pytest.fixture
def people(settings: Settings, uow_factory: Uow, make_user: Callable[..., User]) -> dict[int, pyotp.TOTP]:
    """Three users with keys, a channel and a second factor each, stored by different ways."""
    vault, signin = Vault(secret_files.encryption_key(settings)), Vault(secret_files.signin_key(settings))
    found = {}
    for name in ("ada", "bob", "eve"):
        user = make_user(name)
        with uow_factory() as uow:
            api_keys.publish_public_key(uow, vault)
            api_keys.store_api_keys(uow, user.id, vault, "paper", f"PK{name.upper()}PAPER", f"secret-of-{name}")
            api_keys.hand_over_api_keys(uow, user.id, "live", f"PK{name.upper()}LIVE1", f"secret-of-{name}")
            source_keys.store_source_keys(uow, user.id, vault, "alpaca", f"DATAKEY{name.upper()}", f"data-of-{name}")
            channels.add_channel(uow, user.id, vault.seal, "mine", f"json://127.0.0.1/{name}")
            app = pyotp.TOTP(second_factor.start(uow, user.id, signin).secret)
            second_factor.confirm(uow, user.id, signin, app.at(datetime.now(UTC) - timedelta(hours=1)),
                                  now=datetime.now(UTC) - timedelta(hours=1))  # fmt: skip
        found[user.id] = app
    return found


def opens(settings: Settings, uow_factory: Uow, people: dict[int, pyotp.TOTP]) -> None:
    """Everything stored is what was stored."""
    vault, signin = Vault(secret_files.encryption_key(settings)), Vault(secret_files.signin_key(settings))
    with uow_factory() as uow:
        for (user_id, app), name in zip(people.items(), ("ada", "bob", "eve"), strict=True):
            for mode, end in (("paper", "PAPER"), ("live", "LIVE1")):
                pair = api_keys.open_api_keys(uow, user_id, vault, mode)
                assert (pair.key, pair.secret) == (f"PK{name.upper()}{end}", f"secret-of-{name}")
            data = source_keys.open_source_keys(uow, user_id, vault, "alpaca")
            assert data is not None and (data.key, data.secret) == (f"DATAKEY{name.upper()}", f"data-of-{name}")
            sealed = uow.session.scalar(
                text("SELECT url_encrypted FROM notification_channels WHERE user_id = :u"), {"u": user_id}
            )
            assert vault.open(sealed, user_id=user_id, mode="channel", field="url") == f"json://127.0.0.1/{name}"
            sealed = uow.session.scalar(text("SELECT totp_secret_encrypted FROM users WHERE id = :u"), {"u": user_id})
            assert signin.open(sealed, user_id=user_id, mode="totp", field="secret") == app.secret


def test_killed_in_the_middle_and_run_again(
    settings: Settings, uow_factory: Uow, people: dict[int, pyotp.TOTP], database_url: str
) -> None:
    before = secret_files.encryption_key(settings), secret_files.signin_key(settings)
    # a service that was started before, with the keys of then in its environment
    running = settings.model_copy(update={"encryption_key": SecretStr(before[0]), "signin_key": SecretStr(before[1])})
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("DASHTRADE_", "ENCRYPT"))}
    environment |= {"DATABASE_URL": database_url, "DASHTRADE_DATA_DIR": str(settings.data_dir)}
    command = [sys.executable, "-m", "dashtrade.cli", "keys", "rotate"]
    with uow_factory() as holding:  # the rotation cannot pass this record
        second = "(SELECT id FROM notification_channels ORDER BY id OFFSET 1 LIMIT 1)"
        holding.session.execute(text(f"SELECT 1 FROM notification_channels WHERE id = {second} FOR UPDATE"))
        process = subprocess.Popen(command, env=environment, cwd=settings.data_dir)
        try:
            deadline = time.monotonic() + 60
            while True:
                with uow_factory() as uow:
                    state = key_rotation.last_rotation(uow)
                if state is not None and state.done == 1:
                    break
                assert process.poll() is None and time.monotonic() < deadline
                time.sleep(0.05)
            with pytest.raises(ConfigurationError, match="running already"):
                key_rotation.rotate(uow_factory, settings)
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
    assert not state.is_finished and state.total == 15
    for view in (settings, running):  # half under the old keys, half under the new ones
        opens(view, uow_factory, people)
    with pytest.raises(ConfigurationError, match="No finished rotation"):
        key_rotation.retire(uow_factory, settings)
    done = None
    for _ in range(100):  # the dead one's lock goes when the server notices
        try:
            done = key_rotation.rotate(uow_factory, settings)
            break
        except ConfigurationError as error:
            assert "running already" in str(error)
            time.sleep(0.05)
    assert done is not None and done.is_finished and (done.done, done.total) == (15, 15)
    keys = secret_files.encryption_key(settings).split(",")
    assert len(keys) == 2 and keys[1] == before[0]  # the second run added none
    opens(running, uow_factory, people)
    with pytest.raises(ConfigurationError, match="only just"):
        key_rotation.retire(uow_factory, settings)
    key_rotation.retire(uow_factory, settings, now=datetime.now(UTC) + LATER)
    assert secret_files.encryption_key(settings) == keys[0]
    assert secret_files.signin_key(settings) != before[1]
    for view in (settings, running):
        opens(view, uow_factory, people)
    with uow_factory() as uow, pytest.raises(ConfigurationError, match="cannot be decrypted"):
        api_keys.check_vault(uow, Vault(before[0]))
    with uow_factory() as uow:
        uow.session.execute(text("UPDATE users SET role = 'admin' WHERE username = 'ada'"))
        log = audit.list_audit(uow, min(people))
        actions = [entry.action for entry in log]
        kept = str(uow.session.scalar(text("SELECT string_agg(a::text, '') FROM app_state a")))
    assert actions.count("encryption_rotation_started") == 1
    assert {"encryption_rotated", "encryption_retired"} <= set(actions)
    assert not any(secret in str(log) + kept for secret in (*before, *keys))
    secret_files.check_permissions(settings.secrets_dir)


def test_what_arrives_during_a_rotation_is_kept(
    settings: Settings, uow_factory: Uow, people: dict[int, pyotp.TOTP]
) -> None:
    old_public = Vault(secret_files.encryption_key(settings)).public_key
    key_rotation.rotate(uow_factory, settings)
    user_id = min(people)
    with uow_factory() as uow:
        # a form whose answer began before the new public key was there
        uow.session.execute(
            text("UPDATE app_state SET value = to_jsonb(CAST(:key AS text)) WHERE key = 'api_keys_public_key'"),
            {"key": old_public},
        )
        api_keys.hand_over_api_keys(uow, user_id, "live", "PKADALIVE1", "secret-of-ada")
    key_rotation.retire(uow_factory, settings, now=datetime.now(UTC) + LATER)
    opens(settings, uow_factory, people)


def test_keys_that_are_settings_are_the_operators_to_change(
    tmp_path: Path, uow_factory: Uow, make_user: Callable[..., User]
) -> None:
    old, new, signin = new_key(), new_key(), new_key()
    user = make_user()

    def given(*keys: str) -> Settings:
        both = SecretStr(",".join(keys))
        return Settings(_env_file=None, data_dir=tmp_path, encryption_key=both, signin_key=SecretStr(f"{new},{signin}"))

    with uow_factory() as uow:
        api_keys.store_api_keys(uow, user.id, Vault(old), "paper", "PKABCDEFGH", "secret-secret")
    with pytest.raises(ConfigurationError, match="ENCRYPTION_KEY is a setting"):
        key_rotation.rotate(uow_factory, given(old))
    key_rotation.rotate(uow_factory, given(new, old))
    with uow_factory() as uow:
        assert api_keys.open_api_keys(uow, user.id, Vault(new), "paper").secret == "secret-secret"


def test_what_no_key_opens_is_told_before_any_key_is_changed(
    settings: Settings, uow_factory: Uow, people: dict[int, pyotp.TOTP]
) -> None:
    """A record sealed elsewhere would keep the rotation open for good; half of everything would have new keys."""
    before, bob = secret_files.encryption_key(settings), sorted(people)[1]
    with uow_factory() as uow:
        alien = channels.add_channel(uow, bob, Vault(new_key()).seal, "from elsewhere", "json://127.0.0.1/x")
    with pytest.raises(ConfigurationError, match=r"Notification channels of bob cannot be opened .* removed and added"):
        key_rotation.rotate(uow_factory, settings)
    assert secret_files.encryption_key(settings) == before
    with uow_factory() as uow:
        assert key_rotation.last_rotation(uow) is None
        channels.remove_channel(uow, bob, alien.id)
    assert key_rotation.rotate(uow_factory, settings).done == 15
    opens(settings, uow_factory, people)
    with uow_factory() as uow:
        uow.session.execute(text("UPDATE users SET totp_secret_encrypted = 'nonsense'"))
        uow.commit()
    with pytest.raises(ConfigurationError, match=r"Second factors of ada, bob, eve cannot be opened .* signin_key"):
        key_rotation.rotate(uow_factory, settings)
