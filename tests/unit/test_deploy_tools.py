"""The files in deploy/ by the tools that will read them. A tool that is not installed skips its test.

``make deploy-checks`` installs those that come from the package index; promtool (Debian: prometheus), caddy and
systemd-analyze are taken where they are.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
if not DEPLOY.is_dir():
    pytest.skip("deploy/ is not beside the tests", allow_module_level=True)


def run(tool: str, *words: str | Path, **environment: str) -> str:
    """What the tool said; the test is skipped without it, and fails where it is not content."""
    beside = Path(sys.executable).with_name(tool)
    command = str(beside) if beside.exists() else shutil.which(tool)
    if command is None:
        pytest.skip(f"{tool} is not installed")
    ran = subprocess.run(
        [command, *map(str, words)], capture_output=True, text=True, check=False, timeout=120,
        env={**os.environ, **environment},
    )  # fmt: skip
    said = ran.stdout + ran.stderr
    assert ran.returncode == 0, said
    return said


def test_alert_rules_are_right_and_tell_what_they_should():
    run("promtool", "check", "rules", DEPLOY / "prometheus" / "rules.yml")
    run("promtool", "check", "config", "--syntax-only", DEPLOY / "prometheus" / "prometheus.yml")
    assert "SUCCESS" in run("promtool", "test", "rules", DEPLOY / "prometheus" / "rules_test.yml")


def test_compose_file_follows_the_specification():
    run("check-jsonschema", "--builtin-schema", "vendor.compose-spec", DEPLOY / "compose.yml")


def test_manifests_follow_the_schemas_of_kubernetes():
    said = run("kubernetes-validate", "--strict", DEPLOY / "kubernetes" / "dashtrade.yaml")
    assert said.count("passed") >= 10, said


def test_image_is_built_as_is_usual():
    run("hadolint", DEPLOY / "Dockerfile")


def test_caddyfile_is_read(tmp_path):
    home = {"HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path)}
    said = run("caddy", "validate", "--adapter", "caddyfile", "--config", DEPLOY / "Caddyfile",
               DASHTRADE_DOMAIN="trade.example.com", **home)  # fmt: skip
    assert "Valid configuration" in said and "is not formatted" not in said


def test_units_are_read(tmp_path):
    """The same files, with a program that is there."""
    units = []
    for path in sorted((DEPLOY / "systemd").iterdir()):
        unit = tmp_path / path.name
        unit.write_text(path.read_text().replace("/opt/dashtrade/bin/", f"{Path(sys.executable).parent}/"))
        units.append(unit)
    assert len(units) >= 9
    said = run("systemd-analyze", "verify", "--man=no", "--recursive-errors=no", *units)
    assert not [line for line in said.splitlines() if "dashtrade" in line], said
