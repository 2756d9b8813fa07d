"""The page's frame in the browser: address bar, title, style, and whether the page is looked at."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal
from urllib.parse import urlencode

import anywidget
import traitlets as t
from ipywidgets.widgets.widget import _instances

from dashtrade.pages.background import drawn
from dashtrade.pages.formats import formats
from dashtrade.pages.palette import DEFAULT, chosen
from dashtrade.pages.widgets.static_text import static_text


class PageShell(anywidget.AnyWidget):
    """``query`` is written to the address bar; ``visible`` comes from the browser; ``zone`` (IANA name) is the
    person's."""

    _esm = static_text("shell.js")
    _css = static_text("page.css")

    slug = t.Unicode("").tag(sync=True)
    title = t.Unicode("").tag(sync=True)
    query = t.Unicode("").tag(sync=True)
    visible = t.Bool(True).tag(sync=True)
    zone = t.Unicode("").tag(sync=True)
    palette: Any = t.Dict({}).tag(sync=True)
    palette_key = t.Unicode("").tag(sync=True)

    def __init__(self, **traits: Any) -> None:
        colours = chosen()
        # the default's colours are those of the style sheet
        pairs = {} if colours.key == DEFAULT else {"up": list(colours.up), "down": list(colours.down)}
        super().__init__(palette=pairs, palette_key=colours.key, **{"zone": formats().zone, **traits})
        self.on_msg(self._receive)

    def _receive(self, _widget: object, content: object, _buffers: object) -> None:
        if isinstance(content, dict) and content.get("type") == "drawn" and drawn():
            for widget in list(_instances.values()):  # what was sent too early is sent again
                widget.send_state()

    def toast(self, text: str, kind: Literal["info", "success", "error"] = "info") -> None:
        """A short notice in the corner that goes away by itself: for what needs no answer."""
        self.send({"type": "toast", "text": text, "kind": kind})

    def write_query(self, values: Mapping[str, Any]) -> None:
        """Shows the values that are set, in their order, as the page's address."""
        self.query = urlencode({k: v for k, v in values.items() if v not in (None, "")})
