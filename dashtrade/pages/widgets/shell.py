"""The page's frame in the browser: address bar, title, style, and whether the page is looked at."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import anywidget
import traitlets as t

from dashtrade.pages.widgets.static_text import static_text


class PageShell(anywidget.AnyWidget):
    """``query`` is written to the address bar; ``visible`` and ``zone`` (IANA name) come from the browser."""

    _esm = static_text("shell.js")
    _css = static_text("page.css")

    slug = t.Unicode("").tag(sync=True)
    title = t.Unicode("").tag(sync=True)
    query = t.Unicode("").tag(sync=True)
    visible = t.Bool(True).tag(sync=True)
    zone = t.Unicode("").tag(sync=True)

    def write_query(self, values: Mapping[str, Any]) -> None:
        """Shows the values that are set, in their order, as the page's address."""
        self.query = urlencode({k: v for k, v in values.items() if v not in (None, "")})
