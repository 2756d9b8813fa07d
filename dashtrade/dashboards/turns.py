"""Who is served next when more pages are asked for than the machine can build at once.

Ten pages built side by side are all finished late; built a few at a time, the first are there soon and the last no
later. Everybody has the page's frame meanwhile, since that needs no turn.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

#: Seconds after which a page that is still being built holds nobody up any more: it may wait for something else than
#: the processor.
LONGEST = 5.0


def pages_at_once() -> int:
    """One more than the machine has processors: a page also waits for its kernel and its database."""
    return (os.cpu_count() or 1) + 1


class Turns:
    """Up to ``number`` turns at a time; the next goes to the person with the fewest, then to who has waited longest."""

    def __init__(self, number: int, longest: float = LONGEST) -> None:
        self.number = number
        self.longest = longest
        self._taken: Counter[int] = Counter()
        self._waiting: list[tuple[int, asyncio.Future[None]]] = []

    @asynccontextmanager
    async def turn(self, user_id: int) -> AsyncIterator[None]:
        """Waits for a turn and keeps it while the block runs, at most ``longest`` seconds."""
        await self._take(user_id)
        held = [user_id]

        def give_back() -> None:
            if held:
                held.clear()
                self._give_back(user_id)

        over = asyncio.get_running_loop().call_later(self.longest, give_back)
        try:
            yield
        finally:
            over.cancel()
            give_back()

    async def _take(self, user_id: int) -> None:
        if self._taken.total() < self.number:
            self._taken[user_id] += 1
            return
        called: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        place = (user_id, called)
        self._waiting.append(place)
        try:
            await called
        except asyncio.CancelledError:
            if place in self._waiting:
                self._waiting.remove(place)
            else:  # called in the moment in which the page was given up
                self._give_back(user_id)
            raise

    def _give_back(self, user_id: int) -> None:
        self._taken[user_id] -= 1
        if self._waiting:
            place = min(self._waiting, key=lambda each: self._taken[each[0]])  # the first of equals
            self._waiting.remove(place)
            self._taken[place[0]] += 1
            place[1].set_result(None)
        self._taken += Counter()  # forgets those who hold none
