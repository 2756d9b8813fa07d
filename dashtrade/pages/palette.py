"""The colours of the pages, in one place: lines that everybody can tell apart, and rising and falling as chosen.

Direction is never told by colour alone: rising candles are hollow, and figures carry arrows or signs.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from dashtrade.errors import DashTradeError, InvalidInput

PREFERENCE = "up_down_colours"
"""The key in the user's preferences; its value is a key of PALETTES."""

# Okabe and Ito's palette: told apart with every common kind of colour blindness, readable on light and dark.
SERIES_COLOURS = ("#E69F00", "#56B4E9", "#009E73", "#CC79A7", "#D55E00", "#0072B2", "#999999")


@dataclass(frozen=True, slots=True)
class Palette:
    """Colours of rising and falling prices, each as (on light, on dark); both pairs have contrast 4.5 on a panel."""

    key: str
    label: str
    up: tuple[str, str]
    down: tuple[str, str]


PALETTES: dict[str, Palette] = {
    p.key: p
    for p in (
        Palette("teal_red", "Teal up, red down", ("#06745f", "#2ebd9b"), ("#cc2f2c", "#f6605e")),
        Palette("blue_orange", "Blue up, orange down (for all eyes)", ("#1a66b8", "#56b4e9"), ("#a84b00", "#f08a3c")),
        Palette("red_green", "Red up, green down (East Asia)", ("#cc2f2c", "#f6605e"), ("#06745f", "#2ebd9b")),
    )
}  # fmt: skip
DEFAULT = "teal_red"

_chosen = [DEFAULT]


def parse_palette(text: str) -> Palette:
    """Raises InvalidInput naming the palettes."""
    if text not in PALETTES:
        raise InvalidInput(PREFERENCE, f"{text[:40]!r} is not a palette.", allowed=PALETTES)
    return PALETTES[text]


def use(key: str) -> None:
    """The palette of this page's kernel from now on."""
    _chosen[0] = parse_palette(key).key


def chosen() -> Palette:
    return PALETTES[_chosen[0]]


def use_preference(user_id: int) -> None:
    """Takes the user's palette; the default where none is kept, the database is away, or the value is not known."""
    from dashtrade.pages.guard import log

    _chosen[0] = DEFAULT
    if not os.environ.get("DATABASE_URL"):
        return
    from dashtrade.bootstrap import runtime
    from dashtrade.services.preferences import get_preference

    try:
        use(get_preference(runtime().uow(), user_id, PREFERENCE) or DEFAULT)
    except DashTradeError as error:
        log.warning("the user's colours were not read: %s", error)
