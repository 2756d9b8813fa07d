"""What a form was answered with, for its browser to ask again: a form that is sent twice acts once.

In this process's memory for minutes, and only for the session that sent the form. What is shown once (a link, recovery
codes) is in no address, no log and no database.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

#: Seconds that a page is shown again when it is loaded again, and that a form's answer is known.
SHOWN_SECONDS, ANSWER_SECONDS = 120.0, 600.0
MOST_PAGES, MOST_ANSWERS = 200, 2000
KEY_LIMIT = 64  # characters


@dataclass(frozen=True, slots=True)
class _Page:
    session: str
    html: str
    until: float

    def __repr__(self) -> str:
        return "_Page(…)"


@dataclass(frozen=True, slots=True)
class _Answer:
    address: asyncio.Future[str]
    until: float


class Kept:
    """``clock`` is in seconds and never goes back."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._pages: dict[str, _Page] = {}
        self._answers: dict[tuple[str, str, str], _Answer] = {}

    def keep_page(self, session: str, html: str) -> str:
        """A number by which this session, and no other, finds the page for the next minutes."""
        now = self._clock()
        self._pages = {number: page for number, page in self._pages.items() if page.until > now}
        while len(self._pages) >= MOST_PAGES:
            del self._pages[next(iter(self._pages))]  # the oldest
        number = secrets.token_urlsafe(9)
        self._pages[number] = _Page(session, html, now + SHOWN_SECONDS)
        return number

    def page(self, session: str, number: str) -> str | None:
        """The page; None when its time is over, or it was another session's."""
        found = self._pages.get(number)
        if found is None or found.until <= self._clock():
            self._pages.pop(number, None)
            return None
        return found.html if found.session == session else None

    async def once(self, session: str, form: str, key: str, act: Callable[[], Awaitable[str]]) -> str:
        """Where the form led: ``await act()`` the first time, and what that gave each time the same form comes again,
        also while it is under way. A form that led nowhere ("", or an error) has done nothing and is acted on again;
        so is one without a key."""
        if not key or len(key) > KEY_LIMIT:
            return await act()
        name = (session, form, key)
        while (before := self._known(name)) is not None:
            if address := await asyncio.shield(before.address):
                return address
        answer = _Answer(asyncio.get_running_loop().create_future(), self._clock() + ANSWER_SECONDS)
        self._answers[name] = answer
        address = ""
        try:
            address = await act()
        finally:
            answer.address.set_result(address)
            if not address:
                self._answers.pop(name, None)
        return address

    def _known(self, name: tuple[str, str, str]) -> _Answer | None:
        now = self._clock()
        self._answers = {
            name: answer for name, answer in self._answers.items() if answer.until > now or not answer.address.done()
        }
        while len(self._answers) >= MOST_ANSWERS:
            del self._answers[next(iter(self._answers))]
        return self._answers.get(name)
