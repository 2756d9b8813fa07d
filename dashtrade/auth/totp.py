"""Time-based one-time codes (RFC 6238: SHA-1, 30 seconds, six digits) and recovery codes. Pure rules, no rows."""

from __future__ import annotations

import hashlib
import hmac
import io
import re
import secrets
from dataclasses import dataclass, field
from datetime import datetime

import pyotp
import segno

ISSUER = "DashTrade"
SECONDS = 30
#: Codes of the step before and after count too, for clocks that differ and for slow typing.
DRIFT = 1
RECOVERY_CODES = 10
_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"  # without letters and digits that are mistaken for each other
_GROUPS, _GROUP = 4, 4


@dataclass(frozen=True, slots=True)
class Enrolment:
    """What an authenticator app needs: ``secret`` to type, ``address`` for the picture."""

    secret: str = field(repr=False)
    address: str = field(repr=False)

    def picture(self) -> str:
        """The address as an inline SVG of black modules on white, which cameras read in both themes."""
        out = io.BytesIO()
        segno.make(self.address, error="m").save(
            out, kind="svg", xmldecl=False, svgns=True, scale=4, border=4, dark="#000", light="#fff", omitsize=False
        )
        return out.getvalue().decode()

    def grouped(self) -> str:
        """The secret in groups of four, for people who type it."""
        return " ".join(self.secret[at : at + 4] for at in range(0, len(self.secret), 4))


def new_secret() -> str:
    """160 random bits in base 32."""
    return pyotp.random_base32(32)


def enrolment(secret: str, username: str) -> Enrolment:
    return Enrolment(secret, pyotp.TOTP(secret).provisioning_uri(name=username, issuer_name=ISSUER))


def step_of(moment: datetime) -> int:
    return int(moment.timestamp()) // SECONDS


def matching_step(secret: str, code: str, now: datetime, last: int | None) -> int | None:
    """The time step whose code this is, later than the ``last`` one used; None: wrong, too old, or used already."""
    if not re.fullmatch(r"[0-9]{6}", code, re.ASCII):
        return None
    totp, here = pyotp.TOTP(secret), step_of(now)
    found = None
    for step in range(here - DRIFT, here + DRIFT + 1):  # all of them each time, so that time tells nothing
        if hmac.compare_digest(totp.generate_otp(step), code) and (last is None or step > last):
            found = step
    return found


def clean_code(typed: str) -> str:
    """What was typed without blanks and dashes, in lower case."""
    return re.sub(r"[\s-]+", "", typed[:60]).lower()


def new_recovery_codes() -> list[str]:
    """Ten codes of 79 bits each, in groups: ``abcd-efgh-jkmn-pqrs``."""
    return [
        "-".join("".join(secrets.choice(_ALPHABET) for _ in range(_GROUP)) for _ in range(_GROUPS))
        for _ in range(RECOVERY_CODES)
    ]


def recovery_digest(code: str) -> bytes:
    return hashlib.sha256(clean_code(code).encode("utf-8", "surrogatepass")).digest()
