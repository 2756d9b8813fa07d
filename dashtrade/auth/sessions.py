"""How long a sign-in lasts. Pure rules; the rows are the accounts service's."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True)
class SessionRules:
    """``idle``: without a request; ``absolute``: from the sign-in, whatever happens; ``confirmed``: step-up's length.

    ``touch``: the last-seen time is written at most this often, so that a page with a hundred requests is one write.
    """

    idle: timedelta = timedelta(hours=12)
    absolute: timedelta = timedelta(days=7)
    confirmed: timedelta = timedelta(minutes=10)
    touch: timedelta = timedelta(seconds=60)

    def ends(self, created: datetime) -> datetime:
        return created + self.absolute

    def is_over(self, last_seen: datetime, expires: datetime, now: datetime) -> bool:
        return now >= expires or now - last_seen >= self.idle

    def is_confirmed(self, confirmed: datetime | None, now: datetime) -> bool:
        return confirmed is not None and timedelta(0) <= now - confirmed < self.confirmed


RULES = SessionRules()
