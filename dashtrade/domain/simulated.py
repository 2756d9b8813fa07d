"""Credentials of a user's account at the built-in simulator: derived, so that nothing needs to be stored."""

from __future__ import annotations

import hashlib
import hmac

PREFIX = "SIM-"


def simulated_credentials(session_secret: str, user_id: int) -> tuple[str, str]:
    """Key id and secret key. The simulator derives the same pair from the same server secret."""
    key_id = f"{PREFIX}{user_id}"
    secret = hmac.new(session_secret.encode(), b"simulator:" + key_id.encode(), hashlib.sha256).hexdigest()
    return key_id, secret
