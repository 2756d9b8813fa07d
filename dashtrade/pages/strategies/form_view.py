"""Stops, size, cooldown and session as widgets."""

from __future__ import annotations

import ipywidgets as w

from dashtrade.pages.strategies.form import DAYS, TEXTS
from dashtrade.pages.strategies.model import StrategiesModel
from dashtrade.pages.widgets.bits import field, heading, html, panel, show_if, stack, styled

_EXITS = ("loss", "profit", "trail", "time_stop", "atr_window")
_ENTRIES = ("size", "cooldown")
_SESSION = ("session_start", "session_end", "session_zone")


class FormView:
    """Follows the model's texts; each control writes one of them."""

    def __init__(self, model: StrategiesModel) -> None:
        self._model, self._filling = model, False
        self.texts = {name: w.Text(continuous_update=False) for name in (*_EXITS, *_ENTRIES, *_SESSION)}
        self.session = w.Checkbox(False, description="Enter only in a session", indent=False)
        self.days = [w.Checkbox(True, description=day, indent=False) for day in DAYS]
        fields = {name: field(*_told(name, control)) for name, control in self.texts.items()}
        self.hours = stack(_form([fields[name] for name in _SESSION]), styled(w.Box(self.days), "dt-days"))
        self.widget = panel(
            heading("Stops, size and filters"),
            html('<p class="dt-muted">Distances as 2% of the price or 2atr; empty for none.</p>'),
            _form([fields[name] for name in (*_EXITS, *_ENTRIES)]),
            self.session,
            self.hours,
        )
        for name, control in self.texts.items():
            control.observe(model.guard(lambda change, name=name: self._write(name, change["new"])), "value")
        self.session.observe(model.guard(lambda change: self._write("session", "1" if change["new"] else "")), "value")
        for box in self.days:
            box.observe(model.guard(lambda _change: self._write_days()), "value")
        model.observe(model.guard(lambda _change: self._draw()), "values")
        self._draw()

    def _write(self, name: str, text: str) -> None:
        if not self._filling:
            self._model.edit_value(name, text)

    def _write_days(self) -> None:
        self._write("session_days", ",".join(str(n) for n, box in enumerate(self.days) if box.value))

    def _draw(self) -> None:
        self._filling = True
        values = self._model.values
        for name, control in self.texts.items():
            control.value = values[name]
        self.session.value = bool(values["session"])
        days = {d.strip() for d in values["session_days"].split(",")}
        for number, box in enumerate(self.days):
            box.value = str(number) in days
        show_if(self.hours, self.session.value)
        self._filling = False


def _told(name: str, control: w.Widget) -> tuple[str, w.Widget, str]:
    label, tip = TEXTS[name]
    return label, control, tip


def _form(fields: list[w.Widget]) -> w.Box:
    return styled(w.Box(fields), "dt-form")
