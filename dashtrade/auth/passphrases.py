"""A bot's passphrase: sent in the body of an alert beside the token, kept as a salted scrypt hash.

scrypt with N = 4096 takes some milliseconds: enough against a stolen table of phrases nobody could guess at once, and
little enough for a request that must be answered in seconds (RFC 7914).
"""

from __future__ import annotations

import hashlib
import hmac
import secrets

from dashtrade.errors import InvalidInput

_COST = 2**12


def hash_passphrase(passphrase: str) -> str:
    """Raises InvalidInput for one that is too short or too long."""
    if not 8 <= len(passphrase) <= 200 or not passphrase.isprintable():
        raise InvalidInput("passphrase", "use 8 to 200 printable characters.")
    salt = secrets.token_bytes(16)
    return f"scrypt${salt.hex()}${_derive(passphrase, salt).hex()}"


def passphrase_matches(given: str | None, stored: str) -> bool:
    """In a time that says nothing of the passphrase; a missing one is hashed all the same."""
    _, salt, digest = stored.split("$")
    found = _derive(given or "", bytes.fromhex(salt))
    return hmac.compare_digest(found, bytes.fromhex(digest)) and given is not None


def _derive(passphrase: str, salt: bytes) -> bytes:
    return hashlib.scrypt(passphrase.encode(), salt=salt, n=_COST, r=8, p=1, dklen=32)
