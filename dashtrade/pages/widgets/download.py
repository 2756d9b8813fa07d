"""Hands a file made in the kernel to the browser, which saves it."""

from __future__ import annotations

import anywidget

from dashtrade.pages.widgets.static_text import static_text


class Download(anywidget.AnyWidget):
    """Draws nothing; put it anywhere on the page and call ``save``."""

    _esm = static_text("download.js")

    def save(self, name: str, text: str, mime: str = "text/plain") -> None:
        """The browser stores ``text`` as the file ``name``."""
        self.send({"name": name, "mime": mime, "text": text})
