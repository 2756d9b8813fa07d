"""The ways to install say the same: pyproject.toml, environment.yml and constraints.txt."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]


def requirements(lines: list[str]) -> dict[str, str]:
    parsed = [Requirement(line) for line in lines]
    return {canonicalize_name(r.name): f"{sorted(r.extras)}{r.specifier}" for r in parsed}


def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def conda() -> dict:
    return yaml.safe_load((ROOT / "environment.yml").read_text())


def test_environment_yml_installs_what_pyproject_asks_for() -> None:
    entries = conda()["dependencies"]
    listed = [line for e in entries if isinstance(e, dict) for line in e["pip"] if not line.startswith("-")]
    wanted = project()
    expected = wanted["dependencies"] + [
        line for extra in ("test", "lint") for line in wanted["optional-dependencies"][extra]
    ]
    assert requirements(listed) == requirements(expected)


def test_environment_yml_has_the_same_python() -> None:
    python = next(e for e in conda()["dependencies"] if isinstance(e, str) and e.startswith("python>"))
    assert python.removeprefix("python") == project()["requires-python"]


def test_environment_yml_uses_the_pins() -> None:
    pip = next(e["pip"] for e in conda()["dependencies"] if isinstance(e, dict))
    assert "-c constraints.txt" in pip


def test_every_requirement_is_pinned_to_a_version_it_allows() -> None:
    pins = {}
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        name, _, version = line.partition("==")
        pins[canonicalize_name(name)] = version
    wanted = project()
    for line in wanted["dependencies"] + [x for extra in wanted["optional-dependencies"].values() for x in extra]:
        requirement = Requirement(line)
        version = pins.get(canonicalize_name(requirement.name))
        assert version, f"{requirement.name} is not in constraints.txt: run `make constraints`"
        assert requirement.specifier.contains(version, prereleases=True), f"{line} does not allow {version}"


def test_constraints_hold_names_and_versions_only() -> None:
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        assert re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9._+!]+", line), line
