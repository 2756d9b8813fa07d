"""Small parts of a page: labels, badges, cards, messages, progress. Every text is escaped before it becomes HTML."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from html import escape
from typing import Literal

import ipywidgets as w

from dashtrade.pages.formats import formats
from dashtrade.pages.guard import Message
from dashtrade.pages.model import PageModel
from dashtrade.pages.widgets.shell import PageShell

Tone = Literal["plain", "good", "bad", "warn", "accent"]


@dataclass(frozen=True, slots=True)
class Card:
    """One figure: its name, its value as text, what it means on hover, and its tone. Tone never stands alone."""

    name: str
    value: str
    help: str = ""
    note: str = ""
    tone: Tone = "plain"


def html(text: str, *classes: str) -> w.HTML:
    """A widget of HTML made by this package; text from elsewhere must be escaped before."""
    return styled(w.HTML(text), *classes)


def styled(widget: w.DOMWidget, *classes: str) -> w.DOMWidget:
    for name in classes:
        widget.add_class(name)
    return widget


def row(*children: w.Widget) -> w.Box:
    return styled(w.Box(children), "dt-row")


def stack(*children: w.Widget) -> w.Box:
    return styled(w.VBox(children), "dt-stack")


def panel(*children: w.Widget, flush: bool = False) -> w.Box:
    return styled(w.VBox(children), "dt-panel", *(["dt-panel-flush"] if flush else []))


def columns(*children: w.Widget) -> w.Box:
    return styled(w.Box(children), "dt-columns")


def field(label: str, control: w.Widget, tip: str = "") -> w.Widget:
    """A control with its label above it; the label is tied to the input, so it is also its accessible name."""
    control.description = label
    control.tooltip = tip or None
    return styled(control, "dt-field")


def heading(text: str, level: int = 2) -> w.HTML:
    return html(f"<h{level}>{escape(text)}</h{level}>")


def badge_html(text: str, tone: Tone = "plain", tip: str = "") -> str:
    title = f' title="{escape(tip)}"' if tip else ""
    return f'<span class="dt-badge dt-badge-{tone}"{title}>{escape(text)}</span>'


def when_html(moment: datetime, *, zone: bool = False) -> str:
    """A time on the person's clock; what the exchange's clock says is read on hover."""
    own = formats()
    return f'<time title="{escape(own.hint(moment))}">{escape(own.when(moment, zone=zone))}</time>'


def cards_html(cards: Iterable[Card]) -> str:
    """Cards in a grid; a definition shows on hover and on keyboard focus."""
    parts = []
    for card in cards:
        tone = {"good": " dt-up", "bad": " dt-down"}.get(card.tone, "")
        tip = f' data-help="{escape(card.help)}" tabindex="0"' if card.help else ""
        note = f'<div class="dt-metric-note">{escape(card.note)}</div>' if card.note else ""
        parts.append(
            f'<div class="dt-metric"{tip}><div class="dt-metric-name">{escape(card.name)}</div>'
            f'<div class="dt-metric-value{tone}">{escape(card.value)}</div>{note}</div>'
        )
    return f'<div class="dt-metrics">{"".join(parts)}</div>'


def help_panel(text: str) -> w.HTML:
    return html(f'<details class="dt-help"><summary>How this page works</summary><div>{escape(text)}</div></details>')


def show_if(widget: w.DOMWidget, shown: bool) -> None:
    (widget.remove_class if shown else widget.add_class)("dt-hidden")


_SIGNS = {"info": "ℹ", "success": "✓", "warning": "⚠", "error": "✕"}


class MessageBar:
    """Shows the model's message with its remedy's button, until dismissed or replaced."""

    def __init__(self, model: PageModel) -> None:
        self._model = model
        self._text = w.HTML()
        self.action = w.Button(button_style="primary")
        self.dismiss = w.Button(description="Dismiss", tooltip="Hide this message")
        self.widget = styled(w.Box([self._text, self.action, self.dismiss]), "dt-message")
        self.action.on_click(model.guard(lambda _b: model.act(model.message.action if model.message else "")))
        self.dismiss.on_click(model.guard(lambda _b: model.say(None)))
        model.observe(lambda _change: self._draw(), "message")
        self._draw()

    @property
    def text(self) -> str:
        return str(self._text.value)

    def _draw(self) -> None:
        message = self._model.message
        show_if(self.widget, message is not None)
        for kind in _SIGNS:
            self.widget.remove_class(f"dt-message-{kind}")
        if message is None:
            self._text.value = ""
            return
        self.widget.add_class(f"dt-message-{message.kind}")
        self._text.value = _message_html(message)
        self.action.description = message.action_label
        show_if(self.action, bool(message.action))


class ProgressBar:
    """What runs, and a button that cancels it; hidden when nothing runs."""

    def __init__(self, model: PageModel) -> None:
        self._model = model
        self._text = w.HTML()
        self.cancel = w.Button(description="Cancel")
        self.widget = styled(w.Box([self._text, self.cancel]), "dt-progress")
        self.cancel.on_click(model.guard(lambda _b: model.cancel()))
        model.observe(lambda _change: self._draw(), ["busy", "progress", "share"])
        self._draw()

    def _draw(self) -> None:
        show_if(self.widget, self._model.busy)
        share = self._model.share
        bar = f'<progress max="1" value="{share:.3f}"></progress>' if share else ""
        text = f'<span role="status"><i class="dt-spinner"></i>{escape(self._model.progress)}</span> {bar}'
        self._text.value = text if self._model.busy else ""


class ConfirmButton:
    """A button for what cannot be undone: it asks once more, in place, before it acts."""

    def __init__(self, model: PageModel, label: str, confirm: str, action: Callable[[], object]) -> None:
        self.ask = w.Button(description=label, button_style="danger")
        self.yes = w.Button(description=confirm, button_style="danger")
        self.no = w.Button(description="No")
        self.widget = row(self.ask, self.yes, self.no)
        self._shown = True
        self.ask.on_click(model.guard(lambda _b: self._draw(asking=True)))
        self.no.on_click(model.guard(lambda _b: self._draw(asking=False)))
        self.yes.on_click(model.guard(lambda _b: self._act(action)))
        self._asking = False
        self._draw(asking=False)

    def show(self, shown: bool) -> None:
        self._shown = shown
        self._draw(asking=self._asking and shown)

    def _act(self, action: Callable[[], object]) -> None:
        asked = self._asking
        self._draw(asking=False)
        if asked:  # a message made by hand may press a hidden button
            action()

    def _draw(self, *, asking: bool) -> None:
        self._asking = asking
        show_if(self.ask, self._shown and not asking)
        show_if(self.yes, self._shown and asking)
        show_if(self.no, self._shown and asking)


def message_only(message: Message) -> w.Widget:
    """A whole page that is one sentence, for when a page cannot open."""
    box = styled(w.Box([html(_message_html(message))]), "dt-message", f"dt-message-{message.kind}")
    return styled(w.VBox([PageShell(), box]), "dt-app")


def _message_html(message: Message) -> str:
    role = "alert" if message.kind == "error" else "status"
    sign = f'<b aria-hidden="true">{_SIGNS[message.kind]}</b>'
    return f'<div role="{role}" data-kind="{message.kind}">{sign} {escape(message.text)}</div>'
