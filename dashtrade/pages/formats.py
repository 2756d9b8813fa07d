"""The formats of the person who looks at this page: ``formats().money(12.5)``, ``formats().when(bot.created_at)``.

A kernel belongs to one person, so they are read once, when the page opens.
"""

from __future__ import annotations

import os

from dashtrade.domain.formats import NUMBERS, TIME_ZONE, Formats
from dashtrade.errors import DashTradeError

__all__ = ["Formats", "formats", "use", "use_preference"]

BROWSER_ZONE = "DASHTRADE_BROWSER_ZONE"
"""The zone of the browser that opened the page, as the dashboard server passes it on."""
_chosen = [Formats()]


def formats() -> Formats:
    """What to write numbers and times with."""
    return _chosen[0]


def use(chosen: Formats) -> None:
    """These formats in this kernel from now on."""
    _chosen[0] = chosen


def use_preference(user_id: int) -> None:
    """Takes the user's choice; where none is kept, or the database is away, the browser's zone and the defaults."""
    from dashtrade.pages.guard import log

    browser = os.environ.get(BROWSER_ZONE)
    use(Formats.of(None, None, browser))
    if not os.environ.get("DATABASE_URL"):
        return
    from dashtrade.bootstrap import runtime
    from dashtrade.services.preferences import get_preferences

    try:
        kept = get_preferences(runtime().uow(), user_id, (TIME_ZONE, NUMBERS))
        use(Formats.of(kept.get(TIME_ZONE), kept.get(NUMBERS), browser))
    except DashTradeError as error:
        log.warning("the user's formats were not read: %s", error)
