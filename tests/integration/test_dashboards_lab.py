"""``dashtrade lab``: JupyterLab with the database at hand, for the person at the machine only."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
from dashboards_server import clone_database, free_port


def test_lab_opens_the_notebooks_for_its_owner_only(postgres_url: str, tmp_path: Path) -> None:
    notebooks = tmp_path / "notebooks"
    notebooks.mkdir()
    (notebooks / "mine.ipynb").write_text('{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}')
    port = free_port()
    keep = {name: value for name, value in os.environ.items() if not name.startswith(("DASHTRADE_", "DATABASE_URL"))}
    environment = {
        **keep,
        "DATABASE_URL": clone_database(postgres_url, "lab_database"),
        "DASHTRADE_DATA_DIR": str(tmp_path / "data"),
        "ENCRYPTION_KEY": "never-for-notebooks",
        "PYTHONUNBUFFERED": "1",
    }
    command = [
        sys.executable,
        "-m",
        "dashtrade.cli",
        "lab",
        "--port",
        str(port),
        "--no-browser",
        "--notebooks",
        str(notebooks),
    ]
    log = tmp_path / "lab.log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=output, stderr=subprocess.STDOUT)
    try:
        base = f"http://127.0.0.1:{port}/"
        wait_for(base, process, log)
        token = re.search(r"token=([\w-]+)", log.read_text())
        assert token
        assert httpx.get(base + "api/contents").status_code == 403
        with httpx.Client(base_url=base, headers={"Authorization": f"token {token.group(1)}"}, timeout=30) as client:
            assert [item["name"] for item in client.get("api/contents").json()["content"]] == ["mine.ipynb"]
            assert client.get("lab").status_code == 200
        words = Path(f"/proc/{process.pid}/cmdline")
        if words.exists():  # the token is in no list of processes
            assert token.group(1) not in words.read_text()
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    assert "never-for-notebooks" not in log.read_text()


def wait_for(base: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 60
    while True:
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        try:
            if httpx.get(base + "api", timeout=2).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.2)


def test_a_missing_folder_is_one_sentence(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "dashtrade.cli", "lab", "--notebooks", str(tmp_path / "none")]
    answer = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert answer.returncode == 1
    assert "There is no folder" in answer.stderr
    assert "Traceback" not in answer.stderr
