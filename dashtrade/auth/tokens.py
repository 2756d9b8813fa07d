"""Random tokens: 256 bits shown once, kept as SHA-256. A plain hash will do, as nobody can guess the token."""

from __future__ import annotations

import hashlib
import secrets

VISIBLE = 6


def new_token() -> str:
    """43 URL-safe characters."""
    return secrets.token_urlsafe(32)


def token_digest(token: str) -> bytes:
    """SHA-256, 32 bytes, which is what the database keeps and looks up."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def visible_prefix(token: str) -> str:
    """What a list shows, so that people can tell tokens apart."""
    return token[:VISIBLE]
