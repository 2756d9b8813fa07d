"""Secrets of the installation, kept in ``<data folder>/secrets`` (folder 0700, files 0600) unless they are settings."""

from __future__ import annotations

import base64
import hashlib
import os
import secrets
import stat
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from dashtrade.errors import ConfigurationError
from dashtrade.settings import Settings, bare

ENCRYPTION_KEY = "encryption_key"
SESSION_SECRET = "session_secret"  # noqa: S105 - the name of a file
PAGES_PASSWORD = "pages_password"  # noqa: S105 - the name of a file
SIGNIN_KEY = "signin_key"
NAMES = (ENCRYPTION_KEY, SIGNIN_KEY, SESSION_SECRET, PAGES_PASSWORD)
MIN_SESSION_SECRET = 32
RETIRED = "# retired "


def ensure_secrets(settings: Settings) -> list[str]:
    """Create the secrets that are neither a setting nor a file; returns the names of those created."""
    from dashtrade.auth.vault import new_key

    check_permissions(settings.secrets_dir)
    made = []
    for name, given, make in (
        (ENCRYPTION_KEY, settings.encryption_key, new_key),
        (SIGNIN_KEY, settings.signin_key, new_key),
        (SESSION_SECRET, settings.session_secret, lambda: secrets.token_urlsafe(48)),
        (PAGES_PASSWORD, settings.pages_password, lambda: secrets.token_urlsafe(24)),
    ):
        if given is None and _create(settings.secrets_dir / name, make):
            made.append(name)
    return made


def encryption_key(settings: Settings) -> str:
    """The Fernet key or keys of this moment, newest first; raises ConfigurationError with the remedy when there is
    none. A process asks each time it opens or seals something, so that it sees a rotation without a restart."""
    return _keys(settings, ENCRYPTION_KEY, settings.encryption_key)


def signin_key(settings: Settings) -> str:
    """The Fernet key or keys that seal second factors: the dashboard server's, and of no use for API keys."""
    return _keys(settings, SIGNIN_KEY, settings.signin_key)


def _keys(settings: Settings, name: str, given: SecretStr | None) -> str:
    file = key_file(settings, name)
    if given is None:
        return ",".join(file.read())
    value = given.get_secret_value()
    if not _are_keys(_listed(value)):
        raise ConfigurationError(
            f"{file.setting} is not a Fernet key (44 URL-safe characters; several with commas between them). "
            "Correct it, or unset it to use the key file in the data folder."
        )
    # a process that was started with what the file held then follows the file; any other setting stands
    if file.path.is_file() and file.knew(value):
        return ",".join(file.read())
    return value


def key_file(settings: Settings, name: str) -> KeyFile:
    """The file of ``encryption_key`` or ``signin_key``."""
    setting = "ENCRYPTION_KEY" if name == ENCRYPTION_KEY else f"DASHTRADE_{name.upper()}"
    return KeyFile(settings.secrets_dir / name, setting)


@dataclass(frozen=True, slots=True)
class KeyFile:
    """Keys newest first in the first line; below it the fingerprints of keys that are not used any more."""

    path: Path
    setting: str

    def read(self) -> list[str]:
        """Raises ConfigurationError when the file is missing, cannot be read or does not hold keys."""
        keys = _listed(_read(self.path, self.setting).splitlines()[0])
        if not _are_keys(keys):
            raise ConfigurationError(
                f"The first line of {self.path} is not a Fernet key (44 URL-safe characters). "
                f"Restore the file from a backup, or set {self.setting}."
            )
        return keys

    def knew(self, given: str) -> bool:
        """Whether all these keys are in the file, or were once."""
        lines = _read(self.path, self.setting).splitlines()
        known = {fingerprint(key.strip()) for key in lines[0].split(",")}
        known |= {line.removeprefix(RETIRED) for line in lines[1:] if line.startswith(RETIRED)}
        listed = _listed(given)
        return bool(listed) and all(fingerprint(key) in known for key in listed)

    def write(self, keys: list[str]) -> None:
        """Replace the keys, whole or not at all; those that leave are remembered by their fingerprint."""
        lines = _read(self.path, self.setting).splitlines()
        gone = [line for line in lines[1:] if line.startswith(RETIRED)]
        gone += [RETIRED + fingerprint(key) for key in self.read() if key not in keys]
        text = "\n".join([",".join(keys), *gone]) + "\n"
        temporary = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        try:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self.path)
        except OSError as error:
            raise ConfigurationError(f"{self.path} cannot be written ({error.strerror}). Correct its owner.") from None


def _listed(text: str) -> list[str]:
    return [key.strip() for key in text.split(",") if key.strip()]


def _are_keys(listed: list[str]) -> bool:
    try:
        sizes = {len(base64.b64decode(key.encode("ascii"), altchars=b"-_", validate=True)) for key in listed}
    except ValueError:
        return False
    return sizes == {32}


def fingerprint(key: str) -> str:
    """Names a key without telling anything about it."""
    return hashlib.sha256(b"fingerprint:" + key.encode()).hexdigest()[:16]


def session_secret(settings: Settings) -> str:
    if settings.session_secret is None:
        path = settings.secrets_dir / SESSION_SECRET
        value = _read(path, "DASHTRADE_SESSION_SECRET")
        if len(value) < MIN_SESSION_SECRET:
            raise ConfigurationError(
                f"The secret {path} is cut short: restore it from a backup, or remove it and run `dashtrade up`, which "
                "makes another; everybody has to sign in again then."
            )
        return value
    value = settings.session_secret.get_secret_value()
    if len(value) < MIN_SESSION_SECRET:
        raise ConfigurationError(
            f"DASHTRADE_SESSION_SECRET is too short: use at least {MIN_SESSION_SECRET} random characters, "
            "or unset it to use the file in the data folder."
        )
    return value


def pages_password(settings: Settings) -> str:
    """Password of the database role that page kernels use."""
    if settings.pages_password is not None:
        return settings.pages_password.get_secret_value()
    return _read(settings.secrets_dir / PAGES_PASSWORD, "DASHTRADE_PAGES_PASSWORD")


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
        value = bare(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigurationError(
            f"The secret {path.name} is missing: set {setting}, or run `dashtrade up` once, which creates {path}."
        ) from None
    except OSError as error:
        raise ConfigurationError(f"The secret {path} cannot be read ({error.strerror}). Correct its owner.") from None
    except UnicodeDecodeError:
        raise ConfigurationError(f"The secret {path} is no text. Restore it from a backup, or set {setting}.") from None
    if not value:
        raise ConfigurationError(f"The secret {path} is empty. Restore it from a backup, or set {setting}.")
    return value
