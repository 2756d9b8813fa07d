"""Secrets of the installation, kept in ``<data folder>/secrets`` (folder 0700, files 0600) unless they are settings."""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path

from dashtrade.errors import ConfigurationError
from dashtrade.settings import Settings

ENCRYPTION_KEY = "encryption_key"
SESSION_SECRET = "session_secret"  # noqa: S105 - the name of a file
PAGES_PASSWORD = "pages_password"  # noqa: S105 - the name of a file
NAMES = (ENCRYPTION_KEY, SESSION_SECRET, PAGES_PASSWORD)
MIN_SESSION_SECRET = 32


def ensure_secrets(settings: Settings) -> list[str]:
    """Create the secrets that are neither a setting nor a file; returns the names of those created."""
    from dashtrade.auth.vault import new_key

    check_permissions(settings.secrets_dir)
    made = []
    for name, given, make in (
        (ENCRYPTION_KEY, settings.encryption_key, new_key),
        (SESSION_SECRET, settings.session_secret, lambda: secrets.token_urlsafe(48)),
        (PAGES_PASSWORD, None, lambda: secrets.token_urlsafe(24)),
    ):
        if given is None and _create(settings.secrets_dir / name, make):
            made.append(name)
    return made


def encryption_key(settings: Settings) -> str:
    """The Fernet key or keys; raises ConfigurationError naming the remedy when there is none."""
    if settings.encryption_key is not None:
        return settings.encryption_key.get_secret_value()
    return _read(settings.secrets_dir / ENCRYPTION_KEY, "ENCRYPTION_KEY")


def session_secret(settings: Settings) -> str:
    if settings.session_secret is None:
        return _read(settings.secrets_dir / SESSION_SECRET, "DASHTRADE_SESSION_SECRET")
    value = settings.session_secret.get_secret_value()
    if len(value) < MIN_SESSION_SECRET:
        raise ConfigurationError(
            f"DASHTRADE_SESSION_SECRET is too short: use at least {MIN_SESSION_SECRET} random characters, "
            "or unset it to use the file in the data folder."
        )
    return value


def pages_password(settings: Settings) -> str:
    """Password of the database role that page kernels use."""
    return _read(settings.secrets_dir / PAGES_PASSWORD, "the secrets file")


def check_permissions(folder: Path) -> None:
    """Raise ConfigurationError, with the command that mends it, when others can read the secrets."""
    if not folder.exists():
        return
    for path, allowed in ((folder, 0o700), *((file, 0o600) for file in sorted(folder.iterdir()) if file.is_file())):
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & ~allowed:
            raise ConfigurationError(
                f"Others can read {path} (mode {mode:04o}). Run `chmod {allowed:o} {path}`, "
                "and replace the secrets if somebody may have read them."
            )


def _create(path: Path, make) -> bool:  # type: ignore[no-untyped-def]
    """Write the file once: whole or not at all, and never over another process's."""
    if path.is_file():
        return False
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(make() + "\n")
        try:
            os.link(temporary, path)
        except FileExistsError:
            return False
        finally:
            temporary.unlink()
    except OSError as error:
        raise ConfigurationError(
            f"The secrets folder {path.parent} cannot be written ({error.strerror}). "
            "Make it writable, or set DASHTRADE_DATA_DIR to another folder."
        ) from None
    return True


def _read(path: Path, setting: str) -> str:
    if path.exists():
        check_permissions(path.parent)
    try:
        value = path.read_text().strip()
    except FileNotFoundError:
        raise ConfigurationError(
            f"The secret {path.name} is missing: set {setting}, or run `dashtrade up` once, which creates {path}."
        ) from None
    except OSError as error:
        raise ConfigurationError(f"The secret {path} cannot be read ({error.strerror}). Correct its owner.") from None
    if not value:
        raise ConfigurationError(f"The secret {path} is empty. Restore it from a backup, or set {setting}.")
    return value
