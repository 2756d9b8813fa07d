"""Writes the licence list as a table: one line for each package that a user installs.

Reads the JSON of ``pip-licenses --with-urls --with-license-file`` from standard input. Some packages put the whole text
of their licence where its name belongs, and some say nothing but ship the text: then the first line of it is the name.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping

LONGEST = 90  # characters of a name


def first_line(text: str) -> str:
    """The first line with words in it."""
    return next((" ".join(line.strip(" #*").split()) for line in text.splitlines() if line.strip(" #*=-")), "")


def name_of(package: Mapping[str, str]) -> str:
    """The licence's name: as declared, else as its text begins, else that nobody says."""
    for said in (package["License"], package.get("LicenseText", "")):
        name = first_line("" if said.strip().upper() == "UNKNOWN" else said)
        if name:
            return name[:LONGEST]
    return "not declared; look at the package's page"


def table(packages: Iterable[Mapping[str, str]]) -> str:
    """The list as Markdown, ordered by licence and name."""
    rows = sorted((name_of(p), p["Name"].lower(), p["Name"], p["Version"], p["URL"]) for p in packages)
    lines = ["| licence | package | version | where |", "|---|---|---|---|"]
    lines += [
        "| " + " | ".join(cell.replace("|", "\\|") for cell in (licence, name, version, url)) + " |"
        for licence, _, name, version, url in rows
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(table(json.load(sys.stdin)))
