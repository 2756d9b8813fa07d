"""JupyterLab as `dashtrade lab` opens it: a launcher card for each notebook, which opens a copy."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from dashboards_server import clone_database, free_port
from playwright.sync_api import Page, expect

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
COURSE = "[0-9][0-9]_*.ipynb"


def test_each_notebook_has_a_card_that_opens_a_copy(
    postgres_url: str, tmp_path: Path, new_page: Callable[..., Page]
) -> None:
    folder = tmp_path / "notebooks"
    shutil.copytree(NOTEBOOKS, folder, ignore=shutil.ignore_patterns("*-Copy*", ".*", "__pycache__"))
    before = (folder / "06_compare_and_portfolio.ipynb").read_bytes()
    keep = {name: value for name, value in os.environ.items() if not name.startswith(("DASHTRADE_", "DATABASE_URL"))}
    environment = {
        **keep,
        "DATABASE_URL": clone_database(postgres_url, "lab_cards"),
        "DASHTRADE_DATA_DIR": str(tmp_path / "data"),
        "JUPYTERLAB_SETTINGS_DIR": str(tmp_path / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(tmp_path / "workspaces"),
        "PYTHONUNBUFFERED": "1",
    }
    options = ["lab", "--no-browser", "--port", str(free_port()), "--notebooks", str(folder)]
    log = tmp_path / "lab.log"
    with log.open("wb") as output:
        command = [sys.executable, "-m", "dashtrade.cli", *options]
        process = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=output, stderr=subprocess.STDOUT)
    try:
        deadline = time.monotonic() + 90
        while "is running at" not in log.read_text():
            assert process.poll() is None and time.monotonic() < deadline, log.read_text()
            time.sleep(0.2)
        address = re.search(r"http://127\.0\.0\.1:\d+/lab\?token=[\w-]+", log.read_text())
        assert address is not None
        page = new_page()
        page.goto(address.group())
        sections = page.locator(".jp-Launcher-section")
        course = sections.filter(has=page.get_by_role("heading", name="DashTrade", exact=True))
        expect(course.locator(".jp-LauncherCard")).to_have_count(len(list(folder.glob(COURSE))), timeout=60_000)
        assert course.locator(".jp-LauncherCard-label").first.inner_text() == "First steps"
        reports = sections.filter(has=page.get_by_role("heading", name="DashTrade reports"))
        expect(reports.locator(".jp-LauncherCard")).to_have_count(len(list((folder / "reports").glob("*.ipynb"))))
        course.locator(".jp-LauncherCard", has_text="Compare and portfolio").click()
        expect(page.locator(".lm-TabBar-tab.lm-mod-current", has_text="06_compare_and_portfolio-Copy1")).to_be_visible(
            timeout=60_000
        )
        assert (folder / "06_compare_and_portfolio-Copy1.ipynb").is_file()
        expect(page.locator(".jp-Notebook-ExecutionIndicator[data-status=idle]").first).to_be_attached(timeout=60_000)
        assert (folder / "06_compare_and_portfolio.ipynb").read_bytes() == before
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
