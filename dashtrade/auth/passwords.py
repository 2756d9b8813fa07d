"""Password rules and bcrypt. Checking costs about 0.3 seconds of CPU: never on an event loop."""

from __future__ import annotations

import unicodedata
from functools import lru_cache

import bcrypt

from dashtrade.errors import InvalidInput

ROUNDS = 12
MIN_CHARACTERS = 10
MAX_BYTES = 72  # bcrypt reads no further, and since version 5 refuses more

# Frequent choices of ten characters and more, and stems that people lengthen with digits and signs.
_COMMON_LIST = """
    password12 password123 password1234 passw0rd123 p@ssw0rd123 1234567890 0123456789 9876543210 0987654321
    1111111111 0000000000 1212121212 1123581321 12345678910 123456789a qwertyuiop qwerty123456 qwerty12345
    qwerty1234 qwertyuiop123 1q2w3e4r5t 1q2w3e4r5t6y 1qaz2wsx3edc zaq12wsxcde3 asdfghjkl1 asdfghjkl;
    zxcvbnm123 qazwsxedcr iloveyou12 iloveyou123 iloveyou1234 sunshine123 princess123 football123 baseball123
    superman123 batman1234 welcome123 welcome1234 letmein123 letmein1234 monkey1234 dragon1234 master1234
    shadow1234 michael123 jennifer12 charlie123 changeme123 changeme1234 administrator admin12345 admin123456
    administrator1 superadmin superadmin123 root123456 testtest12 testtest123 test123456 test1234567
    guest12345 default123 secret1234 trustno1trustno1 abc1234567 abcd123456 abcdefghij abcdefghijk abcdef1234
    a123456789 aa12345678 computer123 internet123 whatever123 starwars123 pokemon123 liverpool123 arsenal1234
    chelsea1234 dashtrade1 dashtrade123 dashtrade1234 tradingview tradingview1 tradingview123 bitcoin123
    ethereum123 wallstreet wallstreet1 moneymoney money12345 correcthorsebatterystaple
"""
_COMMON = frozenset(_COMMON_LIST.split())


def check_new_password(password: str, *, username: str = "", email: str = "", field: str = "password") -> None:
    """Raise InvalidInput, saying what to change, for a password that is too short, too long, common or personal."""
    plain = _normal(password)
    if len(plain) < MIN_CHARACTERS:
        raise InvalidInput(field, f"use at least {MIN_CHARACTERS} characters; a few unrelated words are good.")
    size = len(plain.encode())
    if size > MAX_BYTES:
        raise InvalidInput(
            field,
            f"use at most {MAX_BYTES} bytes; this one has {size} (letters with accents and signs count 2 to 4 bytes).",
        )
    if "\x00" in plain:
        raise InvalidInput(field, "must not hold a zero character.")
    lowered = plain.casefold()
    personal = {
        part for part in (username.casefold(), email.casefold(), email.casefold().split("@")[0]) if len(part) > 2
    }
    if lowered in _COMMON or len(set(lowered)) < 4 or lowered in {part * n for part in personal for n in (1, 2, 3)}:
        raise InvalidInput(field, "this one is among the first that are guessed; choose another.")


def hash_password(password: str, *, rounds: int = ROUNDS) -> str:
    """bcrypt hash; the caller has checked the length with :func:`check_new_password`."""
    return bcrypt.hashpw(_normal(password).encode(), bcrypt.gensalt(rounds)).decode()


def verify_password(password: str, password_hash: str | None) -> bool:
    """Whether the password matches. With no hash (unknown user) the same work is done and the answer is False."""
    plain = _normal(password).encode()
    fits = len(plain) <= MAX_BYTES and b"\x00" not in plain
    matches = bcrypt.checkpw(plain if fits else b"too long", (password_hash or _decoy()).encode())
    return matches and fits and password_hash is not None


def needs_rehash(password_hash: str) -> bool:
    """Whether the hash was made with fewer rounds than are used now."""
    try:
        return int(password_hash.split("$")[2]) < ROUNDS
    except (IndexError, ValueError):
        return True


def _normal(password: str) -> str:
    """The same password typed on different systems gives the same bytes (NFKC, as NIST SP 800-63B recommends)."""
    return unicodedata.normalize("NFKC", password)


@lru_cache(maxsize=1)
def _decoy() -> str:
    return bcrypt.hashpw(b"nobody's password", bcrypt.gensalt(ROUNDS)).decode()
