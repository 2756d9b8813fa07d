"""The text of a notebook, nbformat 4.5 JSON, from cells; and settings written out as the Python that makes them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from enum import Enum
from pprint import pformat
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell of a notebook: code or Markdown."""

    kind: Literal["code", "markdown"]
    source: str


def notebook(title: str, cells: Iterable[Cell]) -> str:
    """The cells under a heading as the text of an .ipynb file. The same input gives the same text."""
    rows = []
    for number, cell in enumerate([Cell("markdown", f"# {title}"), *cells], start=1):
        row: dict[str, Any] = {"cell_type": cell.kind, "id": f"cell-{number}", "metadata": {}}
        if cell.kind == "code":
            row |= {"execution_count": None, "outputs": []}
        rows.append({**row, "source": cell.source.strip("\n").splitlines(keepends=True)})
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
    return json.dumps({"cells": rows, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}, indent=1) + "\n"


def fetched(sources: Mapping[str, str], interval: str, start: datetime, end: datetime) -> str:
    """The code that fetches ``bars``, each symbol of its own source; an empty source is the usual order."""
    asked = f"interval={interval!r}, start={start.isoformat()!r}, end={end.isoformat()!r}"
    if len(set(sources.values())) == 1:
        one = next(iter(sources.values()))
        symbols = pformat(list(sources), width=100, compact=True)
        of = f", source={one!r}" if one else ""
        return f"symbols = {symbols}\nbars = {{symbol: dt.history(symbol, {asked}{of}) for symbol in symbols}}"
    table = pformat({symbol: one or None for symbol, one in sources.items()}, width=100, sort_dicts=False)
    return (
        f"sources = {table}\n"
        f"bars = {{symbol: dt.history(symbol, {asked}, source=source) for symbol, source in sources.items()}}"
    )


def as_code(value: Any) -> str:
    """A setting as Python: a frozen record as the call that makes it."""
    if hasattr(value, "__dataclass_fields__"):
        inner = ", ".join(f"{f.name}={as_code(getattr(value, f.name))}" for f in fields(value))
        return f"{type(value).__name__}({inner})"
    return repr(plain(value))


def plain(value: Any) -> Any:
    """Without enumerations and NumPy's numbers, which do not print as they are written."""
    if isinstance(value, Enum):
        return value.value
    return value.item() if hasattr(value, "item") else value


def indented(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.splitlines())


def some(symbols: Sequence[str]) -> str:
    """The symbols, or the first of many."""
    return ", ".join(symbols[:6]) + (f" and {len(symbols) - 6} more" if len(symbols) > 6 else "")
