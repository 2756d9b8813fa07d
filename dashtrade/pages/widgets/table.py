"""A table that sorts, filters, pages and downloads as CSV in the browser; a row's buttons call back into Python."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from math import isfinite
from typing import Any, Literal

import anywidget
import traitlets as t

from dashtrade.pages.formats import formats
from dashtrade.pages.widgets.static_text import shared_text, static_text

ColumnKind = Literal[
    "text", "number", "money", "percent", "signed", "time", "date", "badge", "code", "spark", "link", "actions"
]


@dataclass(frozen=True, slots=True)
class Column:
    """``decimals`` are shown at most, ``min_decimals`` at least (None: the same). ``help`` is shown on hover. A time is
    shown to the minute, with ``seconds`` to the second."""

    key: str
    label: str
    kind: ColumnKind = "text"
    decimals: int = 2
    min_decimals: int | None = None
    help: str = ""
    seconds: bool = False


class DataTable(anywidget.AnyWidget):
    """Rows are mappings; a row's ``id`` names it in actions, ``tones`` maps badge columns to a Tone. Numbers and times
    are written as the person reads them; the CSV has plain numbers and UTC."""

    _esm = shared_text("rows.js") + static_text("table.js")

    columns: Any = t.List([]).tag(sync=True)
    rows: Any = t.List([]).tag(sync=True)
    caption = t.Unicode("").tag(sync=True)
    empty = t.Unicode("Nothing here yet.").tag(sync=True)
    filename = t.Unicode("table").tag(sync=True)
    sort = t.Unicode("").tag(sync=True)
    page_size = t.Int(15).tag(sync=True)
    disabled = t.Bool(False).tag(sync=True)
    formats: Any = t.Dict({}).tag(sync=True)

    def __init__(self, columns: Iterable[Column], **traits: Any) -> None:
        own = formats()
        written = {"zone": own.zone, "group": own.numbers.group, "point": own.numbers.point}
        super().__init__(columns=[_column(c) for c in columns], formats=written, **traits)
        self._on_action: Callable[[str, str], None] | None = None
        self.on_msg(self._receive)

    def set_columns(self, columns: Iterable[Column]) -> None:
        self.columns = [_column(c) for c in columns]

    def show(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Replaces the rows; an unchanged table is not sent again."""
        self.rows = [{key: plain(value) for key, value in row.items()} for row in rows]

    def on_action(self, callback: Callable[[str, str], None]) -> None:
        """``callback(action name, row id)`` runs when a row's button is pressed and the row offers that action."""
        self._on_action = callback

    def _receive(self, _widget: object, content: object, _buffers: object) -> None:
        if not isinstance(content, dict) or content.get("type") != "action" or self._on_action is None:
            return
        name, row_id = str(content.get("name")), str(content.get("id"))
        if self.disabled or not any(str(row.get("id")) == row_id and name in _offered(row) for row in self.rows):
            return  # a message made by hand, or a row that is gone
        self._on_action(name, row_id)


def action(name: str, label: str, kind: Literal["plain", "danger"] = "plain") -> dict[str, str]:
    """A button in an ``actions`` cell; ``danger`` asks once more before it acts."""
    return {"name": name, "label": label, "kind": kind}


def link(text: str, href: str) -> dict[str, str]:
    """A cell of a ``link`` column; only addresses on this server, relative to the page, become a link."""
    return {"text": text, "href": href}


def plain(value: Any) -> Any:
    """What JSON can carry: times as UTC seconds, Decimals as floats, NaN as nothing, enums by value."""
    if isinstance(value, Enum):
        return plain(value.value)
    if isinstance(value, datetime):
        return value.timestamp()
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day, tzinfo=UTC).timestamp()
    if isinstance(value, Decimal):
        value = float(value)
    if isinstance(value, float):
        return value if isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if value is None or isinstance(value, bool | int | str):
        return value
    return plain(value.item()) if hasattr(value, "item") else str(value)


def _offered(row: Mapping[str, Any]) -> set[str]:
    return {
        a["name"]
        for cell in row.values()
        if isinstance(cell, list)
        for a in cell
        if isinstance(a, dict) and "name" in a
    }


def _column(column: Column) -> dict[str, Any]:
    return {
        "key": column.key,
        "label": column.label,
        "kind": column.kind,
        "decimals": column.decimals,
        "min_decimals": column.min_decimals,
        "help": column.help,
        "seconds": column.seconds,
    }
