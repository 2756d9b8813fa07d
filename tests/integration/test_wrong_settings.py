"""Each service says what is wrong with its settings in one sentence, also where it is started on its own."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest

from dashtrade import resources
from dashtrade.errors import ConfigurationError

SERVICES = (
    "webhook",
    "dashtrade.processes.trader",
    "dashtrade.processes.jobs",
    "dashtrade.processes.simulator",
    "dashtrade.dashboards",
)


@pytest.mark.parametrize("service", SERVICES)
def test_a_wrong_setting_is_one_sentence(service, tmp_path):
    environment = {**os.environ, "DASHTRADE_LOG_LEVEL": "LOUD", "DASHTRADE_DATA_DIR": str(tmp_path)}
    ended = subprocess.run(
        [sys.executable, "-m", service], env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    said = ended.stdout + ended.stderr
    assert ended.returncode == 1
    assert "DASHTRADE_LOG_LEVEL" in said and "'WARNING'" in said
    assert "Traceback" not in said and len(said.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("service", "setting"),
    [
        ("webhook", "DASHTRADE_WEBHOOK_PORT"),
        ("dashtrade.processes.simulator", "DASHTRADE_SIMULATOR_PORT"),
        ("dashtrade.dashboards", "DASHTRADE_DASHBOARDS_PORT"),
    ],
)
def test_a_port_in_use_is_one_sentence(service, setting, tmp_path, database_url):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        environment = {
            **os.environ, setting: port, "DASHTRADE_HOST": "127.0.0.1", "DASHTRADE_DATA_DIR": str(tmp_path),
            "DATABASE_URL": database_url, "DASHTRADE_SESSION_SECRET": "a-secret-of-more-than-thirty-two-characters",
            "DASHTRADE_SOURCES": '["sample"]', "DASHTRADE_LOG_LEVEL": "WARNING",
        }  # fmt: skip
        ended = subprocess.run(
            [sys.executable, "-m", service], env=environment, capture_output=True, text=True, timeout=120, check=False
        )
    said = ended.stdout + ended.stderr
    assert ended.returncode == 1, said
    assert port in said and setting in said
    assert "Traceback" not in said


def test_a_backup_that_has_no_place_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("where the data folder should be")
    environment = {**os.environ, "DASHTRADE_DATA_DIR": str(tmp_path / "file" / "data")}
    command = [sys.executable, "-m", "dashtrade.cli", "backup", "--plain"]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    said = ended.stdout + ended.stderr
    assert ended.returncode == 1
    assert said.startswith("Error: ") and "cannot be made" in said and "another folder for the backup" in said
    assert len(said.strip().splitlines()) == 1


def test_notebooks_that_have_no_place_are_one_sentence(tmp_path, monkeypatch):
    """As where the program was installed: in a checkout they stay where they are."""
    monkeypatch.setattr(resources, "is_checkout", lambda: False)
    monkeypatch.setattr(resources, "_SHIPPED", resources.CHECKOUT)
    (tmp_path / "file").write_text("where the data folder should be")
    with pytest.raises(ConfigurationError, match=r"cannot be copied to .*DASHTRADE_DATA_DIR.*--notebooks"):
        resources.own_notebooks(tmp_path / "file" / "data")
