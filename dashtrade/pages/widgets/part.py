"""Base of a part of a page that has a model of its own: its messages, its progress, links that cannot raise."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import ipywidgets as w

from dashtrade.pages.model import PageModel
from dashtrade.pages.widgets.bits import MessageBar, ProgressBar


class PartView:
    """Like ``PageView``, without the page's frame. Subclasses make ``self.widget``."""

    widget: w.Widget

    def __init__(self, model: PageModel) -> None:
        self.model = model
        self.messages = MessageBar(model)
        self.progress = ProgressBar(model)

    def click(self, button: w.Button, action: Callable[[], Any]) -> None:
        button.on_click(self.model.guard(lambda _button: action()))

    def bind(self, trait: str, control: w.Widget) -> None:
        """Model and control follow each other; a value the model refuses is put back and explained."""
        model = self.model

        def to_control(_change: Any = None) -> None:
            control.value = getattr(model, trait)

        to_control()
        control.observe(model.guard(lambda change: setattr(model, trait, change["new"])), "value")
        model.observe(model.guard(to_control), trait)

    def follow(self, traits: str | Sequence[str], draw: Callable[[], Any]) -> None:
        """Draws now and whenever one of the model's traits changes."""
        safe = self.model.guard(lambda *_: draw())
        self.model.observe(safe, [traits] if isinstance(traits, str) else list(traits))
        safe()
