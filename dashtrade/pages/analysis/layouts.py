"""Saved layouts: named sets of indicators with their parameters, and of what is marked on the chart."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

import traitlets as t

from dashtrade.errors import InvalidInput
from dashtrade.pages.analysis.model import AnalysisModel

MOST = 30
LONGEST = 40


@dataclass(frozen=True, slots=True)
class Layout:
    """``studies`` in the words of the address."""

    name: str
    studies: str
    marks: bool
    candles: bool


class Layouts(t.HasTraits):
    """The user's layouts, sorted by name; kept as JSON text through ``load`` and ``save``."""

    layouts: tuple[Layout, ...] = t.Any(())  # type: ignore[assignment]

    def __init__(self, page: AnalysisModel, load: Callable[[], str | None], save: Callable[[str], None]) -> None:
        super().__init__()
        self.page = page
        self._load, self._save = load, save

    def refresh(self) -> None:
        self.layouts = read_layouts(self._load())

    def keep(self, name: str) -> None:
        """Saves what is on the chart under ``name``, replacing a layout of that name."""
        wanted = " ".join(name.split())
        if not 0 < len(wanted) <= LONGEST:
            raise InvalidInput("layout", f"a name has 1 to {LONGEST} characters.")
        page = self.page
        new = Layout(wanted, page.studies_text, page.marks, page.candles)
        others = [one for one in read_layouts(self._load()) if one.name != wanted]
        if len(others) >= MOST:
            raise InvalidInput("layout", f"{MOST} layouts are kept already; delete one first.")
        self._store([*others, new])

    def use(self, name: str) -> None:
        one = next((one for one in self.layouts if one.name == name), None)
        if one is None:
            raise InvalidInput("layout", f"{name[:40]!r} is not kept.", allowed=[one.name for one in self.layouts])
        self.page.show_studies(one.studies, marks=one.marks, candles=one.candles)

    def delete(self, name: str) -> None:
        self._store([one for one in read_layouts(self._load()) if one.name != name])

    def _store(self, layouts: list[Layout]) -> None:
        ordered = sorted(layouts, key=lambda one: one.name.casefold())
        fields = [{"name": o.name, "studies": o.studies, "marks": o.marks, "candles": o.candles} for o in ordered]
        self._save(json.dumps(fields))
        self.layouts = tuple(ordered)


def read_layouts(text: str | None) -> tuple[Layout, ...]:
    """From what was kept; anything unreadable is left out."""
    try:
        rows = json.loads(text or "[]")
    except ValueError:
        return ()
    return tuple(
        Layout(str(row["name"]), str(row["studies"]), row.get("marks") is True, row.get("candles") is True)
        for row in (rows if isinstance(rows, list) else [])
        if isinstance(row, dict) and row.get("name") and "studies" in row
    )
