"""Each service says what is wrong with its settings in one sentence, also where it is started on its own."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

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
