"""Colours of figures and plots: Okabe and Ito's palette for lines, one colour and one direction for up and down."""

from __future__ import annotations

INK, MUTED, GRID = "#1f2933", "#5d6370", "#e4e7eb"
UP, DOWN, LINE, OTHER = "#0b7a5b", "#b3322e", "#1d4e89", "#9aa5b1"
LINES = ("#1d4e89", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#7a7a7a")
DASHES = ("-", "--", "-.", ":")


def look(number: int) -> tuple[str, str]:
    """Colour and dash of the n-th line: every pair once before any comes again."""
    return LINES[number % len(LINES)], DASHES[number // len(LINES) % len(DASHES)]
