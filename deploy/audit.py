"""Says in one sentence what ``pip-audit --format json`` found, and ends with 0 only where every pin was looked up.

pip-audit itself says "No known vulnerabilities found" and ends well where its index answered about no package at all.

Exit codes: 0 nothing is known against any pin; 1 something is; 2 some or all pins could not be looked up.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any


def verdict(report: dict[str, Any] | None, pins: int) -> tuple[int, list[str]]:
    """Exit code and lines. ``report`` None: pip-audit left none, for example because nothing answered."""
    listed = report["dependencies"] if report else []
    asked = [each for each in listed if "vulns" in each]
    weak = [
        f"{each['name']} {each['version']}: {found['id']}, mended in {', '.join(found['fix_versions']) or 'no release'}"
        for each in asked
        for found in each["vulns"]
    ]
    missing = max(pins, len(listed)) - len(asked)
    code = 0
    lines = list(weak)
    if missing:
        code = 2
        lines.append(
            f"NOT AUDITED: {missing} of {pins} pins could not be looked up, because no index of weaknesses answered "
            "about them. Run `make audit` where pypi.org can be reached before a release."
        )
    if weak:
        code = 1
        lines.append(f"{len(weak)} known weaknesses in {len(asked)} pins. Raise those pins in constraints.txt.")
    return code, lines or [f"Nothing is known against the {pins} pins."]


def main(report: Path, constraints: Path) -> int:
    pins = sum(1 for line in constraints.read_text().splitlines() if "==" in line)
    try:
        found = json.loads(report.read_text())
    except (OSError, ValueError):
        found = None
    code, lines = verdict(found, pins)
    print("\n".join(lines))
    return code


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
