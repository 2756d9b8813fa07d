"""Two texts set side by side, word by word."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import SequenceMatcher


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of a comparison: ``same``, ``old`` (only before) or ``new`` (only now)."""

    kind: str
    text: str


def compare_words(before: str, now: str) -> tuple[Piece, ...]:
    """What stayed, what went and what came, in order."""
    old, new = before.split(), now.split()
    pieces: list[Piece] = []
    for kind, a, b, c, d in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if kind == "equal":
            pieces.append(Piece("same", " ".join(old[a:b])))
            continue
        if b > a:
            pieces.append(Piece("old", " ".join(old[a:b])))
        if d > c:
            pieces.append(Piece("new", " ".join(new[c:d])))
    return tuple(pieces)
