"""The HTTP session under Alpaca's client: bounded in time and size, and never a second try.

The client sets no timeouts of its own, and a read timeout alone only bounds the wait for each piece, so an answer
that drips byte by byte could hold a trader for hours; here a whole answer has a deadline.
"""

from __future__ import annotations

import time
from typing import Any

from requests import Response, Session
from requests.adapters import HTTPAdapter
from requests.exceptions import ConnectionError as BrokenConnection
from requests.exceptions import ReadTimeout
from urllib3.exceptions import HTTPError as TransportError

MAX_ANSWER = 32 * 1024 * 1024


class BoundedSession(Session):
    """``connect`` and ``read`` seconds for each wait, ``total`` for the whole answer."""

    def __init__(self, connect: float, read: float, total: float, *, trust_env: bool) -> None:
        super().__init__()
        self.trust_env = trust_env
        self._timeout = (connect, read)
        self._total = total
        adapter = HTTPAdapter(max_retries=0, pool_maxsize=16)
        self.mount("https://", adapter)
        self.mount("http://", adapter)

    def request(self, *args: Any, **kwargs: Any) -> Response:
        deadline = time.monotonic() + self._total
        response = super().request(*args, **{**kwargs, "timeout": self._timeout, "stream": True})
        try:
            response._content = self._read(response, deadline)
            response._content_consumed = True
        except TransportError as error:
            raise BrokenConnection(type(error).__name__) from None
        finally:
            response.close()
        return response

    def _read(self, response: Response, deadline: float) -> bytes:
        parts: list[bytes] = []
        size = 0
        while True:
            part = response.raw.read1(64 * 1024, decode_content=True)
            if not part:
                # read1 does not report a body that ends early, so its length is checked here
                expected = response.headers.get("content-length")
                if expected and not response.headers.get("content-encoding") and size != int(expected):
                    raise BrokenConnection("the answer ended early")
                return b"".join(parts)
            parts.append(part)
            size += len(part)
            if size > MAX_ANSWER:
                raise BrokenConnection("the answer is too large")
            if time.monotonic() > deadline:
                raise ReadTimeout("the answer took too long")
