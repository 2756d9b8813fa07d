"""Encryption of stored API keys: Fernet, with several keys for rotation (newest first).

Fernet has no associated data, so a ciphertext moved to another row would decrypt there. The user, the mode and the
field are therefore part of the plaintext and are compared on opening.

Who stores a key need not be able to read one: :func:`seal_to` seals to a public key whose private half is derived from
the encryption key (X25519, HKDF-SHA256, ChaCha20-Poly1305 with a fresh key for each message), and the vault opens both.
"""

from __future__ import annotations

import base64
import hashlib
import json

from cryptography.exceptions import InvalidTag
from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from dashtrade.errors import ConfigurationError

REMEDY = (
    "Set ENCRYPTION_KEY to the key the stored API keys were saved with (several keys: newest first, comma separated), "
    "or remove the stored keys and enter them again."
)

BOX = "box1."  # begins what was sealed to the public key
_NONCE = bytes(12)  # each message has a key of its own, so the nonce may be the same


def new_key() -> str:
    """A fresh Fernet key, as text."""
    return Fernet.generate_key().decode()


def seal_to(public_key: str, secret: str, *, user_id: int, mode: str, field: str) -> str:
    """Ciphertext that only the holder of the encryption key opens. ``public_key`` is :attr:`Vault.public_key`."""
    try:
        raw = base64.urlsafe_b64decode(public_key)
        recipient = X25519PublicKey.from_public_bytes(raw)
    except ValueError:
        raise ConfigurationError("The public key for API keys is damaged. Start the trader again.") from None
    once = X25519PrivateKey.generate()
    sender = once.public_key().public_bytes_raw()
    cipher = ChaCha20Poly1305(_message_key(once.exchange(recipient), sender + raw))
    sealed = sender + cipher.encrypt(_NONCE, _bind(secret, user_id, mode, field), None)
    return BOX + base64.urlsafe_b64encode(sealed).decode()


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
        self._private = [X25519PrivateKey.from_private_bytes(_derive(key.encode(), b"", b"box")) for key in listed]
        self.fingerprints = tuple(hashlib.sha256(b"fingerprint:" + key.encode()).hexdigest()[:16] for key in listed)

    def __repr__(self) -> str:
        return f"Vault({len(self._fernets)} keys)"

    @property
    def public_key(self) -> str:
        """What :func:`seal_to` needs; no secret. It belongs to the newest key."""
        return base64.urlsafe_b64encode(self._private[0].public_key().public_bytes_raw()).decode()

    def seal(self, secret: str, *, user_id: int, mode: str, field: str) -> str:
        """Ciphertext of ``secret`` for this user, mode (``paper``, ``live``) and field (``key``, ``secret``)."""
        return self._fernet.encrypt(_bind(secret, user_id, mode, field)).decode()

    def open(self, sealed: str, *, user_id: int, mode: str, field: str) -> str:
        """The secret; raises ConfigurationError for a wrong key and for a ciphertext that belongs elsewhere."""
        try:
            bound = json.loads(self._decrypt(sealed))
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
            return self._fernet.encrypt(self._decrypt(sealed)).decode()
        except InvalidToken:
            raise ConfigurationError(
                "A stored API key cannot be decrypted with the encryption key in use. " + REMEDY
            ) from None

    def opens(self, sealed: str) -> bool:
        """Whether any of the keys opens it."""
        try:
            self._decrypt(sealed)
        except (InvalidToken, ValueError):
            return False
        return True

    def is_newest(self, sealed: str) -> bool:
        """Whether the newest key alone opens it."""
        try:
            self._decrypt_with(sealed, self._fernets[0], self._private[:1])
        except InvalidToken:
            return False
        return True

    def _decrypt(self, sealed: str) -> bytes:
        return self._decrypt_with(sealed, self._fernet, self._private)

    @staticmethod
    def _decrypt_with(sealed: str, fernet: Fernet | MultiFernet, privates: list[X25519PrivateKey]) -> bytes:
        if not sealed.startswith(BOX):
            return fernet.decrypt(sealed.encode())
        box = base64.urlsafe_b64decode(sealed.removeprefix(BOX))
        sender, body = box[:32], box[32:]
        for private in privates:
            shared = private.exchange(X25519PublicKey.from_public_bytes(sender))
            cipher = ChaCha20Poly1305(_message_key(shared, sender + private.public_key().public_bytes_raw()))
            try:
                return cipher.decrypt(_NONCE, body, None)
            except InvalidTag:
                continue
        raise InvalidToken


def _bind(secret: str, user_id: int, mode: str, field: str) -> bytes:
    return json.dumps({"user": user_id, "mode": mode, "field": field, "secret": secret}).encode()


def _derive(material: bytes, salt: bytes, purpose: bytes) -> bytes:
    return HKDF(SHA256(), 32, salt, b"dashtrade api keys " + purpose).derive(material)


def _message_key(shared: bytes, parties: bytes) -> bytes:
    return _derive(shared, parties, b"message")
