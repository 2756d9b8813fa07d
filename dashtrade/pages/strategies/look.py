"""The page's own style, and a text that can be copied and downloaded."""

from __future__ import annotations

import anywidget
import traitlets as t

from dashtrade.pages.widgets.static_text import static_text


class TextFile(anywidget.AnyWidget):
    """Shows ``text`` with a button that copies it and one that downloads it as ``filename``."""

    _esm = static_text("text_file.js")
    _css = static_text("strategies.css")

    text = t.Unicode("").tag(sync=True)
    filename = t.Unicode("").tag(sync=True)
