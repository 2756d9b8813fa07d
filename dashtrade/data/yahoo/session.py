"""The HTTP session yfinance is given: short timeouts, another address for tests, and a record of what really happened.

yfinance turns a network failure, an HTML page, a truncated answer and HTTP 500 into an empty frame and a log line. Each
request made inside :func:`recording` is therefore noted here with its status, body and exception, and
:mod:`dashtrade.data.yahoo.diagnosis` reads the cause from that.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from curl_cffi import requests

CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 10.0
# Cookie and consent pages: prices come without them, so they get less time.
_SIDE_SECONDS = (2.0, 3.0)
_SIDE_HOSTS = ("fc.yahoo.com", "guce.yahoo.com", "consent.yahoo.com")
_CRUMB_PATH = "/v1/test/getcrumb"
_CRUMB = re.compile(r"^[\w./\-]{4,40}$")


@dataclass(slots=True)
class Attempt:
    """One request: its path, and either a status with the body, or the error that kept an answer from coming."""

    path: str
    status: int = 0
    body: bytes = b""
    retry_after: str = ""
    error: Exception | None = None

    @property
    def side(self) -> bool:
        """Whether this was only about cookies."""
        return not self.path.startswith(("/v8/", "/v7/", "/v10/", "/v1/finance/", "/ws/"))


@dataclass(slots=True)
class Record:
    """All requests of one call, in order, the hosts that could not be reached, and whether the answer is known."""

    attempts: list[Attempt] = field(default_factory=list)
    settled: bool = False
    down: dict[str, Exception] = field(default_factory=dict)


_current = threading.local()


@contextmanager
def recording() -> Iterator[Record]:
    """Note the requests this thread makes through a :class:`YahooSession`."""
    outer = getattr(_current, "record", None)
    _current.record = record = Record()
    try:
        yield record
    finally:
        _current.record = outer


def _settles(attempt: Attempt, record: Record) -> bool:
    """Whether asking on cannot help: no such symbol, no JSON in the answer, or a second refusal."""
    if "/chart/" not in attempt.path:
        return False
    if attempt.status >= 400:
        refused = sum("/chart/" in a.path and a.status >= 400 for a in record.attempts)
        return refused > 1 or (attempt.status == 404 and b'"Not Found"' in attempt.body)
    return attempt.body.lstrip()[:1] != b"{" or attempt.body.rstrip()[-1:] != b"}"


class YahooSession(requests.Session):
    """A curl_cffi session, as yfinance wants one, with the changes named above. Safe to share between threads."""

    def __init__(self, url: str | None = None, answer_seconds: float = ANSWER_SECONDS) -> None:
        super().__init__(impersonate="chrome")
        self._timeouts = (min(CONNECT_SECONDS, answer_seconds), answer_seconds)
        self._url = url.rstrip("/") if url else None

    def request(self, method: Any, url: str, *args: Any, **kwargs: Any) -> Any:
        parts = urlsplit(url)
        host = parts.hostname or ""
        if self._url and (host == "yahoo.com" or host.endswith(".yahoo.com")):
            url = self._url + (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        kwargs["timeout"] = _SIDE_SECONDS if host in _SIDE_HOSTS else self._timeouts
        record: Record = getattr(_current, "record", None) or Record()
        if host in record.down:
            # This call has already waited for the host once.
            raise record.down[host]
        if record.settled:
            # The answer is known; yfinance would ask up to twenty more pages.
            raise requests.exceptions.ConnectionError("already answered")
        attempt = Attempt(parts.path or "/")
        record.attempts.append(attempt)
        try:
            response = super().request(method, url, *args, **kwargs)
        except requests.exceptions.RequestException as error:
            attempt.error = error
            record.down[host] = error
            if host in _SIDE_HOSTS:
                record.down.update(dict.fromkeys(_SIDE_HOSTS, error))
            raise
        attempt.status = response.status_code
        attempt.body = response.content
        record.settled = _settles(attempt, record)
        attempt.retry_after = response.headers.get("Retry-After") or ""
        if attempt.path == _CRUMB_PATH and response.status_code != 429 and not _CRUMB.match(response.text.strip()):
            # yfinance would keep an error page as its crumb for good.
            raise requests.exceptions.ConnectionError("no crumb in the answer")
        return response
