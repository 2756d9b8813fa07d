"""Secrets of an installation: made once, private, and never guessed at when something is wrong."""

from __future__ import annotations

import stat

import pytest
from cryptography.fernet import Fernet

from dashtrade.auth import secret_files
from dashtrade.auth.vault import Vault
from dashtrade.errors import ConfigurationError
from dashtrade.settings import Settings, load_settings


@pytest.fixture
def settings(tmp_path, monkeypatch):
    for name in ("ENCRYPTION_KEY", "DASHTRADE_ENCRYPTION_KEY", "DASHTRADE_SESSION_SECRET"):
        monkeypatch.delenv(name, raising=False)
    return Settings(_env_file=None, data_dir=tmp_path / "data")


def test_the_first_start_makes_private_files_and_the_second_keeps_them(settings):
    assert set(secret_files.ensure_secrets(settings)) == set(secret_files.NAMES)
    assert stat.S_IMODE(settings.secrets_dir.stat().st_mode) == 0o700
    for name in secret_files.NAMES:
        assert stat.S_IMODE((settings.secrets_dir / name).stat().st_mode) == 0o600
    before = secret_files.encryption_key(settings), secret_files.session_secret(settings)
    Fernet(before[0])
    assert len(before[1]) >= secret_files.MIN_SESSION_SECRET
    assert secret_files.ensure_secrets(settings) == []
    assert (secret_files.encryption_key(settings), secret_files.session_secret(settings)) == before


def test_a_setting_wins_and_no_file_is_made_for_it(settings):
    key = Fernet.generate_key().decode()
    given = Settings(_env_file=None, data_dir=settings.data_dir, encryption_key=key, session_secret="s" * 40)
    assert secret_files.ensure_secrets(given) == [secret_files.SIGNIN_KEY, secret_files.PAGES_PASSWORD]
    assert secret_files.encryption_key(given) == key
    assert secret_files.session_secret(given) == "s" * 40


def test_a_missing_key_says_what_to_set_and_what_makes_it(settings):
    with pytest.raises(
        ConfigurationError, match=r"encryption_key is missing: set ENCRYPTION_KEY, or run `dashtrade up`"
    ):
        secret_files.encryption_key(settings)
    with pytest.raises(ConfigurationError, match="DASHTRADE_SESSION_SECRET"):
        secret_files.session_secret(settings)


@pytest.mark.parametrize(("target", "mode", "remedy"), [("folder", 0o755, "chmod 700"), ("file", 0o644, "chmod 600")])
def test_loose_permissions_are_refused_with_the_command_that_mends_them(settings, target, mode, remedy):
    secret_files.ensure_secrets(settings)
    path = settings.secrets_dir if target == "folder" else settings.secrets_dir / secret_files.ENCRYPTION_KEY
    path.chmod(mode)
    for use in (secret_files.ensure_secrets, secret_files.encryption_key):
        with pytest.raises(ConfigurationError, match=f"{remedy} {path}"):
            use(settings)
    path.chmod(0o700 if target == "folder" else 0o600)
    secret_files.encryption_key(settings)


def test_an_empty_file_and_a_short_secret_are_errors(settings):
    secret_files.ensure_secrets(settings)
    (settings.secrets_dir / secret_files.ENCRYPTION_KEY).write_text("\n")
    with pytest.raises(ConfigurationError, match="is empty"):
        secret_files.encryption_key(settings)
    with pytest.raises(ConfigurationError, match="too short"):
        secret_files.session_secret(Settings(_env_file=None, data_dir=settings.data_dir, session_secret="short"))


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path):
    (tmp_path / "data").write_text("a file where the folder should be")
    with pytest.raises(ConfigurationError, match=r"cannot be written.*DASHTRADE_DATA_DIR"):
        secret_files.ensure_secrets(Settings(_env_file=None, data_dir=tmp_path / "data"))


@pytest.mark.parametrize("around", ["{}\r\n", "\ufeff{}\n", "  {}  \n\n", "\ufeff {}\r\n\r\n"])
def test_what_editors_put_around_a_secret_is_no_part_of_it(settings, monkeypatch, tmp_path, around):
    secret_files.ensure_secrets(settings)
    kept = {name: getattr(secret_files, name)(settings) for name in secret_files.NAMES}
    for name in secret_files.NAMES:
        (settings.secrets_dir / name).write_bytes(around.format(kept[name]).encode())
        assert getattr(secret_files, name)(settings) == kept[name]
        given = tmp_path / name
        given.write_bytes(around.format(kept[name]).encode())
        monkeypatch.setenv(f"DASHTRADE_{name.upper()}_FILE", str(given))
    monkeypatch.setenv("DATABASE_URL", around.format("postgresql://u:p@h/d"))
    monkeypatch.delenv("ENCRYPTION_KEY", raising=False)
    loaded = load_settings(data_dir=tmp_path / "other")
    assert {name: getattr(secret_files, name)(loaded) for name in secret_files.NAMES} == kept
    assert loaded.database_url is not None and loaded.database_url.get_secret_value() == "postgresql://u:p@h/d"


@pytest.mark.parametrize("text", [b"short", b"\xff\xfe\x00binary", b",\n", b"", b"x" * 44])
@pytest.mark.parametrize("name", secret_files.NAMES)
def test_a_damaged_secret_is_one_sentence_that_names_it(settings, name, text):
    if name in (secret_files.PAGES_PASSWORD, secret_files.SESSION_SECRET) and text in (b"x" * 44, b",\n", b"short"):
        text = b" \n" if name == secret_files.PAGES_PASSWORD else b"short"
    secret_files.ensure_secrets(settings)
    path = settings.secrets_dir / name
    path.write_bytes(text)
    with pytest.raises(ConfigurationError) as caught:
        getattr(secret_files, name)(settings)
    said = str(caught.value)
    assert str(path) in said and "estore" in said
    assert "short" not in said.replace("cut short", "") and "xxx" not in said


@pytest.mark.parametrize("value", ["short", "x" * 44, "clé", "a,b"])
@pytest.mark.parametrize(
    ("name", "setting"), [("signin_key", "DASHTRADE_SIGNIN_KEY"), ("encryption_key", "ENCRYPTION_KEY")]
)
def test_a_key_that_is_none_names_its_own_setting(settings, name, setting, value):
    given = Settings(_env_file=None, data_dir=settings.data_dir, **{name: value})
    with pytest.raises(ConfigurationError) as caught:
        getattr(secret_files, name)(given)
    assert str(caught.value).startswith(f"{setting} is not a Fernet key") and value not in str(caught.value)


def test_a_comma_at_the_end_of_the_keys_is_none(settings):
    key = Fernet.generate_key().decode()
    given = Settings(_env_file=None, data_dir=settings.data_dir, encryption_key=f"{key}, ")
    assert Vault(secret_files.encryption_key(given)).fingerprints == Vault(key).fingerprints
