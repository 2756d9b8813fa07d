"""A field for a symbol that offers matches by ticker or name while one types."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import anywidget
import traitlets as t

from dashtrade.domain.market import SymbolMatch
from dashtrade.pages.widgets.static_text import static_text

_LONGEST = 100


class SymbolBox(anywidget.AnyWidget):
    """``value`` is the symbol taken with Enter or chosen from the list. ``on_search`` gets what is being typed; answer
    with ``offer``. ``on_submit`` is called when the same value is taken again."""

    _esm = static_text("combo.js")

    value = t.Unicode("").tag(sync=True)
    label = t.Unicode("Symbol").tag(sync=True)
    placeholder = t.Unicode("").tag(sync=True)
    tip = t.Unicode("").tag(sync=True)
    note = t.Unicode("").tag(sync=True)
    asked = t.Int(0).tag(sync=True)
    matches: Any = t.List([]).tag(sync=True)

    def __init__(self, **traits: Any) -> None:
        super().__init__(**traits)
        self._on_search: Callable[[str], None] | None = None
        self._on_submit: Callable[[], None] | None = None
        self.on_msg(self._receive)

    def on_search(self, callback: Callable[[str], None]) -> None:
        self._on_search = callback

    def on_submit(self, callback: Callable[[], None]) -> None:
        self._on_submit = callback

    def offer(self, matches: Iterable[SymbolMatch], note: str = "") -> None:
        """Shows matches, or the note where there are none."""
        with self.hold_sync():
            self.matches = [
                {"value": m.symbol, "name": m.name, "detail": " · ".join(filter(None, (m.exchange, m.kind)))}
                for m in matches
            ]
            self.note = note
            self.asked += 1  # an answer equal to the one before is drawn too

    def _receive(self, _widget: object, content: object, _buffers: object) -> None:
        if not isinstance(content, dict):
            return
        if content.get("type") == "search" and self._on_search is not None:
            self._on_search(str(content.get("text"))[:_LONGEST])
        elif content.get("type") == "submit" and self._on_submit is not None:
            self._on_submit()
