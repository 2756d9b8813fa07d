"""Reads the scripts and styles of the widgets, once."""

from __future__ import annotations

from functools import cache
from pathlib import Path

_HERE = Path(__file__).parent / "static"
_SHARED = Path(__file__).parents[2] / "dashboards" / "static"


@cache
def static_text(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")


@cache
def shared_text(name: str) -> str:
    """Of a script that the server's own pages run too."""
    return (_SHARED / name).read_text(encoding="utf-8")
