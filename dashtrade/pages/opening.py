"""Opens a page inside a kernel: who asks, may they, build, display. A failure is shown as a sentence."""

from __future__ import annotations

from typing import Any

from comm import get_comm_manager
from IPython.display import display
from ipywidgets import Widget

from dashtrade.errors import Forbidden
from dashtrade.pages import formats, palette
from dashtrade.pages.background import asked
from dashtrade.pages.context import PageContext
from dashtrade.pages.guard import describe, log_to_process_stderr
from dashtrade.pages.registry import PAGES
from dashtrade.pages.widgets.bits import message_only


def build(slug: str, context: PageContext) -> object:
    """The page's widget. Raises UnknownOption for an unknown page and Forbidden below the page's role."""
    page = PAGES[slug]
    if not page.allows(context.role):
        raise Forbidden(f"The page {page.title} is for the role {page.role.value}. Ask an administrator for access.")
    palette.use_preference(context.user_id)
    formats.use_preference(context.user_id)
    return page.build(context)


def hold_while_drawing() -> None:
    """From a browser's question for all states until it has drawn them, results wait."""

    def opened(comm: Any, message: Any) -> None:
        asked()
        Widget.handle_control_comm_opened(comm, message)

    get_comm_manager().register_target("jupyter.widget.control", opened)


def show(slug: str) -> None:
    log_to_process_stderr()
    hold_while_drawing()
    try:
        widget = build(slug, PageContext.from_environment())
    except Exception as error:  # noqa: BLE001 - the edge of the page: describe() logs what is not expected
        widget = message_only(describe(error))
    display(widget)
