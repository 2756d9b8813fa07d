"""Who opened the page and with which address: read from the environment that the dashboard server gives a kernel."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

from dashtrade.domain.users import Role
from dashtrade.errors import AuthFailed

_LONGEST_VALUE = 2000


@dataclass(frozen=True, slots=True)
class PageContext:
    """The signed-in user and the values of the address's query, which are text typed by anyone: parse before use."""

    user_id: int
    username: str
    role: Role
    query: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> PageContext:
        """Raises AuthFailed where the server named no user, so that a page never opens for nobody."""
        try:
            user_id = int(environ["DASHTRADE_USER_ID"])
            role = Role(environ["DASHTRADE_ROLE"])
        except (KeyError, ValueError):
            raise AuthFailed("You are not signed in. Sign in and open the page again.") from None
        return cls(user_id, environ.get("DASHTRADE_USERNAME", ""), role, parse_query(environ.get("QUERY_STRING", "")))


def parse_query(text: str) -> dict[str, str]:
    """First value of each name; at most 50 names, values cut at 2,000 characters."""
    values: dict[str, str] = {}
    for name, value in parse_qsl(text[:20_000].lstrip("?"))[:50]:
        values.setdefault(name, value[:_LONGEST_VALUE])
    return values
