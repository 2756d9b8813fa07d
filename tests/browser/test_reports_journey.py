"""The reports page in Chromium: a report is run by the real jobs worker, its page opened and its notebook kept."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from dashboards_server import DashboardsServer
from page_checks import SCREENS, Console, fits_the_screen, keep_picture
from playwright.sync_api import Page, expect

Open = Callable[..., None]


@pytest.fixture
def worker(dashboards: DashboardsServer, tmp_path: Path) -> Iterator[None]:
    """A jobs worker on the server's database."""
    keep = {name: value for name, value in os.environ.items() if not name.startswith(("DASHTRADE_", "DATABASE_URL"))}
    environment = {
        **keep,
        "DATABASE_URL": dashboards.database_url,
        "DASHTRADE_DATA_DIR": str(dashboards.data_dir),
        "DASHTRADE_SOURCES": "sample",
        "ENCRYPTION_KEY": Fernet.generate_key().decode(),
    }
    with (tmp_path / "jobs.log").open("wb") as log:
        command = [sys.executable, "-m", "dashtrade.processes.jobs"]
        process = subprocess.Popen(command, env=environment, cwd=tmp_path, stdout=log, stderr=subprocess.STDOUT)
        try:
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def test_from_a_form_to_a_page_without_code(
    new_page: Callable[..., Page], open_page: Open, dashboards: DashboardsServer, worker: None
) -> None:
    page = new_page(**SCREENS["phone-dark"])
    console = Console(page)
    open_page(page, "reports?report=backtest&p.source=sample&p.period=1y")
    expect(page.get_by_label("Report", exact=True)).to_have_value("Backtest")
    fits_the_screen(page)
    keep_picture(page, "reports-new-phone-dark")
    page.get_by_role("button", name="Run now").click()
    expect(page.get_by_text("✓ done")).to_be_visible(timeout=90_000)
    expect(page.get_by_text("is ready: open its page below")).to_be_visible()
    fits_the_screen(page)
    keep_picture(page, "reports-runs-phone-dark")

    with page.expect_popup() as opened:
        page.get_by_role("link", name="Open").click()
    report = opened.value
    expect(report.get_by_text("Past results say nothing certain about the future.")).to_be_visible()
    expect(report.locator("svg, img").first).to_be_visible()
    address = report.url.removeprefix(dashboards.url)
    with dashboards.with_session("ada") as client:
        answer = client.get(address)
        policy = answer.headers["Content-Security-Policy"].split("; ")
        assert answer.status_code == 200 and "sandbox" in policy and "default-src 'none'" in policy
        notebook = client.get(address.replace(".html", ".ipynb"))
        assert notebook.headers["Content-Disposition"].startswith("attachment")
        assert json.loads(notebook.text)["cells"]
        assert client.get("reports/999999.html").status_code == 404
    with dashboards.with_session("grace") as stranger:
        assert stranger.get(address).status_code == 404
    with dashboards.client() as nobody:
        assert nobody.get(address).status_code == 302

    page.get_by_role("button", name="New report").click()
    page.get_by_role("button", name="Save schedule").click()
    schedule = page.locator("tbody tr", has_text="Monday to Friday at 16:30")
    expect(schedule.get_by_text("● on")).to_be_visible()
    fits_the_screen(page)
    keep_picture(page, "reports-schedules-phone-dark")
    schedule.get_by_role("button", name="Pause").click()
    expect(schedule.get_by_text("‖ paused")).to_be_visible()
    assert console.errors == []
