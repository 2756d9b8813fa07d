"""A form from declared fields: of an indicator's parameters, or of a dataclass."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from decimal import Decimal
from enum import Enum
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import ipywidgets as w

from dashtrade.indicators.catalogue import Indicator
from dashtrade.pages.fields import FieldKind, FieldSpec, shown
from dashtrade.pages.widgets.bits import field, styled

__all__ = ["FieldKind", "FieldSpec", "ParamForm", "shown", "specs_of_dataclass", "specs_of_indicator"]


class ParamForm:
    """Controls for fields. ``values()`` parses them; what a control shows is kept when the same field stays."""

    def __init__(self, specs: Sequence[FieldSpec]) -> None:
        self.widget = styled(w.Box(), "dt-form")
        self.controls: dict[str, w.Widget] = {}
        self._specs: dict[str, FieldSpec] = {}
        self.set(specs)

    def set(self, specs: Sequence[FieldSpec]) -> None:
        """Replaces the fields."""
        self._specs = {s.name: s for s in specs}
        self.controls = {s.name: _control(s) for s in specs}
        self.widget.children = [
            self.controls[s.name] if s.kind == "bool" else field(s.label, self.controls[s.name], s.help) for s in specs
        ]

    def values(self) -> dict[str, Any]:
        return {name: spec.parse(self.controls[name].value) for name, spec in self._specs.items()}

    def fill(self, values: Mapping[str, Any]) -> None:
        for name, value in values.items():
            if name in self.controls:
                self.controls[name].value = value if self._specs[name].kind == "bool" else shown(value)

    def reset(self) -> None:
        self.fill({s.name: s.default for s in self._specs.values()})

    @property
    def disabled(self) -> bool:
        return any(c.disabled for c in self.controls.values())

    @disabled.setter
    def disabled(self, value: bool) -> None:
        for control in self.controls.values():
            control.disabled = value


def specs_of_indicator(entry: Indicator) -> tuple[FieldSpec, ...]:
    """The fields of an indicator's parameters, with the catalogue's ranges."""
    return tuple(
        FieldSpec(p.name, p.label or p.name.replace("_", " ").capitalize(), "text", p.default, help=p.range_text)
        if p.free_text
        else FieldSpec(
            p.name,
            p.label or p.name.replace("_", " ").capitalize(),
            p.kind,  # type: ignore[arg-type]
            p.default,
            None if p.choices else p.low,
            None if p.choices else p.high,
            p.choices,
            p.range_text,
        )
        for p in entry.params
    )


def specs_of_dataclass(kind: type, *, only: Sequence[str] = ()) -> tuple[FieldSpec, ...]:
    """The fields of a dataclass, by type; a field's metadata may give label, low, high, choices and help."""
    hints = get_type_hints(kind)
    specs = []
    for one in dataclasses.fields(kind):
        if only and one.name not in only:
            continue
        hint, optional = _without_none(hints[one.name])
        default = None if one.default is dataclasses.MISSING else one.default
        choices = tuple(str(m.value) for m in hint) if isinstance(hint, type) and issubclass(hint, Enum) else ()
        form: FieldKind = "choice" if choices else _KINDS.get(hint, "text")
        given = {"label": one.name.replace("_", " ").capitalize(), "choices": choices, **one.metadata}
        specs.append(FieldSpec(name=one.name, kind=form, default=default, optional=optional, **given))
    return tuple(specs)


_KINDS: dict[Any, FieldKind] = {int: "int", float: "float", Decimal: "decimal", str: "text", bool: "bool"}


def _without_none(hint: Any) -> tuple[Any, bool]:
    if get_origin(hint) in (Union, UnionType):
        rest = [a for a in get_args(hint) if a is not type(None)]
        return rest[0], len(rest) < len(get_args(hint))
    return hint, False


def _control(spec: FieldSpec) -> w.Widget:
    if spec.kind == "bool":
        return w.Checkbox(bool(spec.default), description=spec.label, indent=False, tooltip=spec.help)
    if spec.kind == "choice":
        return w.Dropdown(
            options=spec.choices, value=shown(spec.default) if spec.default is not None else spec.choices[0]
        )
    return w.Text(shown(spec.default), placeholder="none" if spec.optional else "")
