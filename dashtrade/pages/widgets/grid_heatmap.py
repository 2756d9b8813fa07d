"""Numbers of a grid on their colours: returns of months, or a sweep's objective over two settings."""

from __future__ import annotations

from collections.abc import Callable
from html import escape

import numpy as np
import pandas as pd

MOST_WRITTEN = 14
"""With more columns than this a cell shows only its colour; its number is in the hover text."""
_GOOD, _BAD = "var(--dt-accent, #2457d6)", "var(--dt-warn, #b57400)"


def grid_heatmap_html(
    table: pd.DataFrame,
    form: Callable[[float], str],
    *,
    label: str,
    row_name: str = "",
    column_name: str = "",
    best: bool = False,
    strong: float | None = None,
) -> str:
    """A table with one coloured cell a value: blue above 0, orange below, stronger further away, so that no red and
    green meet. Where all values have one sign the weakest is pale. ``best`` frames the highest. NaN shows a dash.

    ``strong`` is the value at which the colour is full, unless the largest says it.
    """
    values = table.to_numpy(dtype=np.float64)
    known = values[np.isfinite(values)]
    strong = strong or (float(np.abs(known).max()) if len(known) else 0.0)
    one_sign = len(known) > 1 and (known.min() > 0 or known.max() < 0)
    weak = float(np.abs(known).min()) if one_sign else 0.0
    written = len(table.columns) <= MOST_WRITTEN
    top = float(known.max()) if best and len(known) else None

    def cell(row: object, column: object, value: float) -> str:
        place = f"{row_name} {_name(row)}, {column_name} {_name(column)}".replace("  ", " ").strip(" ,")
        if not np.isfinite(value):
            return f'<td class="dt-num" title="{escape(place)}: none">{"–" if written else ""}</td>'
        span = strong - weak
        share = min((abs(value) - weak) / span, 1.0) if span > 0 else 1.0
        mixed = 8 + 37 * share if value else 0
        ground = f"color-mix(in srgb, {_GOOD if value >= 0 else _BAD} {mixed:.0f}%, transparent)"
        frame = ";outline:2px solid var(--text);outline-offset:-2px" if value == top else ""
        text = form(value).replace("-", "−")
        inner = text if written else f'<span class="dt-sr">{escape(text)}</span>'
        size = "" if written else ";min-width:14px;height:18px;padding:0"
        tip = escape(f"{place}: {text}")
        return f'<td class="dt-num" style="background:{ground}{frame}{size}" title="{tip}">{inner}</td>'

    narrow = "" if written else ' style="padding:2px;font-size:10px"'
    head = "".join(f'<th scope="col" class="dt-num"{narrow}>{escape(_name(c))}</th>' for c in table.columns)
    body = "".join(
        f'<tr><th scope="row">{escape(_name(row))}</th>'
        + "".join(cell(row, column, value) for column, value in zip(table.columns, line, strict=True))
        + "</tr>"
        for row, line in zip(table.index, values, strict=True)
    )
    corner = f"{row_name} ↓ {column_name} →" if row_name and column_name else ""
    return (
        '<div class="dt-table"><div class="dt-table-scroll" tabindex="0" role="region" '
        f'aria-label="{escape(label)}"><table class="dt-heatmap"><thead><tr><td>{escape(corner)}</td>{head}</tr>'
        f"</thead><tbody>{body}</tbody></table></div></div>"
    )


def _name(value: object) -> str:
    return f"{value:g}" if isinstance(value, float | np.floating) else str(value)
