"""A correlation matrix as a table with each number on its colour."""

from __future__ import annotations

from html import escape

import pandas as pd


def heatmap_html(matrix: pd.DataFrame) -> str:
    """A table with each number on its colour: blue for alike, orange for opposite, so that no red and green meet."""
    head = "".join(f'<th scope="col" class="dt-num">{escape(str(s))}</th>' for s in matrix.columns)
    body = ""
    for symbol, values in matrix.iterrows():
        cells = "".join(_cell(f"{symbol} and {other}", value) for other, value in values.items())
        body += f'<tr><th scope="row">{escape(str(symbol))}</th>{cells}</tr>'
    width = 140 + 90 * len(matrix)
    return (
        f'<div class="dt-table" style="max-width:{width}px"><div class="dt-table-scroll" tabindex="0" role="region" '
        f'aria-label="Correlation"><table class="dt-heatmap"><thead><tr><td></td>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div></div>"
    )


def _cell(pair: str, value: float) -> str:
    if pd.isna(value):
        return f'<td class="dt-num" title="{escape(pair)}: did not move">–</td>'
    hue = "var(--dt-accent, #2457d6)" if value >= 0 else "var(--dt-warn, #b57400)"
    ground = f"color-mix(in srgb, {hue} {abs(value) * 45:.0f}%, transparent)"
    text = f"{value:.2f}".replace("-", "−")
    return f'<td class="dt-num" style="background:{ground}" title="{escape(pair)}: {text}">{text}</td>'
