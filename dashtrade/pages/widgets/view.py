"""Base of every page's view: the frame, the messages, and links to the model that cannot raise into the page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import ipywidgets as w
import traitlets as t

from dashtrade.pages.model import PageModel
from dashtrade.pages.widgets.bits import MessageBar, ProgressBar, styled
from dashtrade.pages.widgets.shell import PageShell


class PageView:
    """Holds the model; subclasses build ``self.widget`` with ``frame``. No services here."""

    widget: w.Widget

    def __init__(self, model: PageModel, slug: str = "", title: str = "") -> None:
        self.model = model
        self.shell = PageShell(slug=slug, title=title)
        self.messages = MessageBar(model)
        self.progress = ProgressBar(model)

    def frame(self, *children: w.Widget) -> w.Box:
        return styled(w.VBox([self.shell, *children]), "dt-app")

    def click(self, button: w.Button, action: Callable[[], Any]) -> None:
        """The button calls ``action``; a failure becomes the page's message."""
        button.on_click(self.model.guard(lambda _button: action()))

    def bind(self, trait: str, control: w.Widget, control_trait: str = "value") -> None:
        """Model and control follow each other; a value the model refuses is put back and explained."""
        model = self.model

        def to_model(change: Any) -> None:
            setattr(model, trait, change["new"])

        def to_control(_change: Any = None) -> None:
            setattr(control, control_trait, getattr(model, trait))

        to_control()
        control.observe(model.guard(to_model), control_trait)
        model.observe(model.guard(to_control), trait)

    def also(self, source: t.HasTraits, traits: str | Sequence[str], draw: Callable[[], Any]) -> None:
        """Like ``follow``, for the traits of something beside the model."""
        safe = self.model.guard(lambda *_: draw())
        source.observe(safe, [traits] if isinstance(traits, str) else list(traits))
        safe()

    def follow(self, traits: str | Sequence[str], draw: Callable[[], Any]) -> None:
        """Draws now and whenever one of the model's traits changes."""
        safe = self.model.guard(lambda *_: draw())
        self.model.observe(safe, [traits] if isinstance(traits, str) else list(traits))
        safe()
