"""The dashboards. ``open_page(slug)`` builds a page for the signed-in user; ``PAGES`` is what the menu lists.

Importing this package loads no widget library and opens nothing, so the server can list pages and a warm process can
be forked.
"""

from __future__ import annotations

from dashtrade.pages.context import PageContext
from dashtrade.pages.registry import PAGES, Page, discover, menu

discover(__name__, list(__path__))

__all__ = ["PAGES", "Page", "PageContext", "menu", "open_page"]


def open_page(slug: str) -> None:
    """Builds the page for the user named in the environment, after checking the role again, and displays it."""
    from dashtrade.pages.opening import show

    show(slug)
