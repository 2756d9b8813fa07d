"""The ways to install say the same: pyproject.toml, environment.yml and constraints.txt."""

from __future__ import annotations

import importlib.util
import re
import tomllib
from pathlib import Path

import pytest
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


def script(name: str):
    """A program of deploy/, which is no package."""
    place = ROOT / "deploy" / f"{name}.py"
    if not place.is_file():
        pytest.skip("deploy/ is not beside the tests")
    spec = importlib.util.spec_from_file_location(f"deploy_{name}", place)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_licence_list_has_one_line_for_each_package_and_a_name_in_it() -> None:
    def package(name: str, licence: str, text: str = "UNKNOWN") -> dict[str, str]:
        return {"Name": name, "Version": "1", "License": licence, "LicenseText": text, "URL": f"https://{name}.example"}

    whole = "\n        Apache License\n   Version 2.0\n" + "words | and words\n" * 200
    listed = script("licences").table(
        [
            package("sold", "UNKNOWN", "\n“Commons Clause” License Condition v1.0\n\nThe Software"),
            package("long", whole),
            package("plain", "MIT"),
            package("silent", "UNKNOWN"),
        ]
    )
    rows = dict(re.findall(r"^\| (.*) \| (\w+) \| 1 \| https://\w+\.example \|$", listed, re.MULTILINE))
    assert rows == {
        "“Commons Clause” License Condition v1.0": "sold",
        "Apache License": "long",
        "MIT": "plain",
        "not declared; look at the package's page": "silent",
    }
    assert listed.count("\n") == 6


def test_an_audit_that_nobody_answered_is_no_success() -> None:
    verdict = script("audit").verdict
    clean = {"name": "a", "version": "1", "vulns": []}
    unknown = {"name": "b", "skip_reason": "Dependency not found on PyPI and could not be audited: b (1)"}
    weak = {"name": "c", "version": "2", "vulns": [{"id": "PYSEC-1", "fix_versions": ["3"], "aliases": []}]}
    assert verdict({"dependencies": [clean]}, 1) == (0, ["Nothing is known against the 1 pins."])
    for report in ({"dependencies": [clean, unknown]}, {"dependencies": [clean]}, None):
        code, lines = verdict(report, 2)
        assert code == 2 and lines[0].startswith(f"NOT AUDITED: {1 if report else 2} of 2 pins")
    code, lines = verdict({"dependencies": [weak, unknown]}, 2)
    assert code == 1 and lines[0] == "c 2: PYSEC-1, mended in 3" and "NOT AUDITED: 1" in lines[1]
