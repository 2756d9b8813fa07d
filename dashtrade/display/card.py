"""A result as text and as an HTML card: a title, a few facts, a table, and the sentences that belong beside them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd
    from ipywidgets import DOMWidget
    from matplotlib.figure import Figure

Fact = tuple[str, str]

_CARD = "border:1px solid rgba(127,127,127,.35);border-radius:8px;padding:12px 16px;max-width:900px"
_TILE = "display:inline-block;min-width:110px;margin:0 18px 8px 0;vertical-align:top"
_SMALL = "display:block;font-size:11px;opacity:.75"
_BIG = "font-size:16px;font-weight:600"
_NOTES = "margin:6px 0 0;padding-left:18px;font-size:12px"


def number(value: float, form: str = ",.2f") -> str:
    """``value`` in ``form``; a dash where it is not defined."""
    if math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    return format(value, form)


def percent(value: float, digits: int = 1) -> str:
    """A fraction in percent; a dash where it is not defined."""
    return number(value, f".{digits}%")


class Displayed:
    """What a result needs to show itself.

    A result says its ``_headline``, ``_facts``, ``_notes`` and ``to_frame``; ``figure`` gives a matplotlib figure for
    reports and ``plot`` a widget to zoom and hover.
    """

    __slots__ = ()

    def _headline(self) -> str:
        return type(self).__name__

    def _facts(self) -> Sequence[Fact]:
        return ()

    def _notes(self) -> Sequence[str]:
        return ()

    def _shown_rows(self) -> pd.DataFrame | None:
        """The table in the card, already worded; None for no table."""
        return None

    def __repr__(self) -> str:
        facts = ", ".join(f"{name.lower()} {value}" for name, value in self._facts())
        return f"<{self._headline()}: {facts}>" if facts else f"<{self._headline()}>"

    def _repr_html_(self) -> str:
        return card_html(self._headline(), self._facts(), self._shown_rows(), self._notes())

    def figure(self) -> Figure:
        raise AttributeError(f"{type(self).__name__} has no figure")

    def plot(self) -> DOMWidget:
        raise AttributeError(f"{type(self).__name__} has no plot")


def card_html(title: str, facts: Iterable[Fact], rows: pd.DataFrame | None = None, notes: Iterable[str] = ()) -> str:
    """The card's markup. Every text is escaped; colours follow the notebook's theme."""
    tiles = "".join(
        f'<span style="{_TILE}"><span style="{_SMALL}">{escape(name)}</span><span style="{_BIG}">{escape(value)}</span>'
        "</span>"
        for name, value in facts
    )
    table = table_html(rows) if rows is not None and len(rows) else ""
    items = "".join(f"<li>{escape(note)}</li>" for note in notes)
    under = f'<ul style="{_NOTES}">{items}</ul>' if items else ""
    heading = f'<div style="font-weight:600;margin-bottom:8px">{escape(title)}</div>'
    return f'<div style="{_CARD}">{heading}<div>{tiles}</div>{table}{under}</div>'


def table_html(rows: pd.DataFrame, most: int = 12) -> str:
    """The first ``most`` rows as an HTML table, with how many there are."""
    shown = rows.head(most)
    more = f'<div style="{_SMALL}">{len(shown)} of {len(rows)} rows</div>' if len(rows) > most else ""
    return shown.to_html(index=False, border=0, escape=True, na_rep="–", float_format=lambda v: f"{v:,.4g}") + more
