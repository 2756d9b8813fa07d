"""Encryption of stored API keys: Fernet, with several keys for rotation (newest first).

Fernet has no associated data, so a ciphertext moved to another row would decrypt there. The user, the mode and the
field are therefore part of the plaintext and are compared on opening.
"""

from __future__ import annotations

import hashlib
import json

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from dashtrade.errors import ConfigurationError

REMEDY = (
    "Set ENCRYPTION_KEY to the key the stored API keys were saved with (several keys: newest first, comma separated), "
    "or remove the stored keys and enter them again."
)


def new_key() -> str:
    """A fresh Fernet key, as text."""
    return Fernet.generate_key().decode()


class Vault:
    """Seals and opens secrets. ``keys`` is comma separated, newest first; raises ConfigurationError when unusable."""

    def __init__(self, keys: str | None) -> None:
        listed = [key.strip() for key in (keys or "").split(",") if key.strip()]
        if not listed:
            raise ConfigurationError("The encryption key is missing. " + REMEDY)
        try:
            self._fernets = [Fernet(key) for key in listed]
        except ValueError:
            raise ConfigurationError(
                "ENCRYPTION_KEY is not a Fernet key (44 URL-safe characters). Correct it, "
                "or unset it to use the key file in the data folder."
            ) from None
        self._fernet = MultiFernet(self._fernets)
        self.fingerprints = tuple(hashlib.sha256(b"fingerprint:" + key.encode()).hexdigest()[:16] for key in listed)

    def __repr__(self) -> str:
        return f"Vault({len(self._fernets)} keys)"

    def seal(self, secret: str, *, user_id: int, mode: str, field: str) -> str:
        """Ciphertext of ``secret`` for this user, mode (``paper``, ``live``) and field (``key``, ``secret``)."""
        bound = json.dumps({"user": user_id, "mode": mode, "field": field, "secret": secret})
        return self._fernet.encrypt(bound.encode()).decode()

    def open(self, sealed: str, *, user_id: int, mode: str, field: str) -> str:
        """The secret; raises ConfigurationError for a wrong key and for a ciphertext that belongs elsewhere."""
        try:
            bound = json.loads(self._fernet.decrypt(sealed.encode()))
        except (InvalidToken, ValueError):
            raise ConfigurationError(
                "A stored API key cannot be decrypted with the encryption key in use. " + REMEDY
            ) from None
        if (bound["user"], bound["mode"], bound["field"]) != (user_id, mode, field):
            raise ConfigurationError(
                "A stored API key belongs to another user, mode or field: the table was tampered with. "
                "Remove the row and enter the keys again."
            )
        return str(bound["secret"])

    def renew(self, sealed: str) -> str:
        """The same secret sealed with the newest key."""
        try:
            return self._fernet.rotate(sealed.encode()).decode()
        except InvalidToken:
            raise ConfigurationError(
                "A stored API key cannot be decrypted with the encryption key in use. " + REMEDY
            ) from None
