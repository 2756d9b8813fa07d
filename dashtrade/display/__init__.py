"""How results show themselves in a notebook: cards, static figures (matplotlib) and interactive plots (bqplot).

Everything here takes plain frames and text, so that every layer above can use it. The drawing libraries are imported
on first use only.
"""

from __future__ import annotations

from dashtrade.display.card import Displayed, Fact, card_html, number, percent, table_html

__all__ = ["Displayed", "Fact", "card_html", "number", "percent", "table_html"]
