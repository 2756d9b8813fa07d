"""The bot page in Chromium with every process behind it: a test alert becomes a filled order at the simulator."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from cryptography.fernet import Fernet
from dashboards_server import DashboardsServer, clone_database, free_port, running_server
from page_checks import SCREENS, Console, fits_the_screen, is_accessible, keep_picture
from playwright.sync_api import Locator, Page, expect
from sqlalchemy import text

SECRET = "a-session-secret-of-the-tests-0123456789"


@pytest.fixture(scope="module")
def house(postgres_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DashboardsServer]:
    """Dashboards, webhook, simulator and trader on one database."""
    database_url = clone_database(postgres_url, "browser_bot")
    folder = tmp_path_factory.mktemp("bot_house")
    ports = {"DASHTRADE_WEBHOOK_PORT": str(free_port()), "DASHTRADE_SIMULATOR_PORT": str(free_port())}
    shared = {**ports, "DASHTRADE_SESSION_SECRET": SECRET, "DASHTRADE_SOURCES": "sample"}
    keep = {name: value for name, value in os.environ.items() if not name.startswith(("DASHTRADE_", "DATABASE_URL"))}
    environment = {**keep, **shared, "DATABASE_URL": database_url, "DASHTRADE_DATA_DIR": str(folder / "data")}
    environment["ENCRYPTION_KEY"] = Fernet.generate_key().decode()
    processes = []
    with (folder / "processes.log").open("wb") as log, running_server(database_url, folder, **shared) as server:
        try:
            for module in ("dashtrade.processes.simulator", "webhook", "dashtrade.processes.trader"):
                command = [sys.executable, "-m", module]
                processes.append(
                    subprocess.Popen(command, env=environment, cwd=folder, stdout=log, stderr=subprocess.STDOUT)
                )
            wait_until_healthy(f"http://127.0.0.1:{ports['DASHTRADE_WEBHOOK_PORT']}/health", folder / "processes.log")
            yield server
        finally:
            for process in processes:
                if process.poll() is None:
                    process.send_signal(signal.SIGTERM)
            for process in processes:
                try:
                    process.wait(20)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()


def wait_until_healthy(url: str, log: Path) -> None:
    """Until the webhook answers and has seen the trader's heartbeat."""
    deadline = time.monotonic() + 150
    while time.monotonic() < deadline:
        try:
            if httpx.get(url, timeout=2, trust_env=False).json().get("trader_age_seconds") is not None:
                return
        except (httpx.TransportError, ValueError):
            pass
        time.sleep(0.1)
    raise AssertionError("webhook and trader did not come up:\n" + log.read_text(errors="replace")[-4000:])


def open_bot_page(house: DashboardsServer, page: Page, query: str = "") -> None:
    page.goto(house.url + "bot" + query)
    page.fill("#username", "ada")
    page.fill("#password", house.password)
    page.click("button[type=submit]")
    page.wait_for_selector("#rendered_cells.dt-ready", timeout=60_000)


def rows(house: DashboardsServer, query: str) -> list[tuple[object, ...]]:
    with house.database() as uow:
        return [tuple(row) for row in uow.session.execute(text(query))]


def tab(page: Page, name: str) -> None:
    page.locator(".dt-tabs").first.get_by_role("button", name=name, exact=True).click()


def control(page: Page, label: str) -> Locator:
    """The control with this label that is shown: other tabs may have one of the same name."""
    return page.get_by_label(label, exact=True).locator("visible=true")


def step(page: Page, name: str) -> None:
    page.locator(".dt-tabs").nth(1).get_by_role("button", name=name).click()


def test_from_the_wizard_to_a_filled_order_and_the_kill_switches(
    house: DashboardsServer, new_page: Callable[..., Page]
) -> None:
    page = new_page(**SCREENS["desktop-dark"])
    console = Console(page)
    open_bot_page(house, page, "?strategy=ema_cross")
    step(page, "Account")
    page.get_by_role("button", name="Check the connection").click()
    expect(page.get_by_text("A bot of this account can trade")).to_be_visible(timeout=30_000)
    keep_picture(page, "bot-account-desktop-dark")
    is_accessible(page)
    control(page, "Account").select_option(label="Live: real money at Alpaca")
    expect(page.get_by_text("Trading with real money is not allowed yet")).to_be_visible()
    expect(page.get_by_role("link", name="Account page").last).to_have_attribute("href", "account#live-title")
    control(page, "Account").select_option(label="Simulated: prices move, no money does")
    page.get_by_role("button", name="Next: the bot").click()
    control(page, "Daily loss limit $").fill("200")
    control(page, "Passphrase").fill("open sesame")
    keep_picture(page, "bot-form-desktop-dark")
    page.get_by_role("button", name="Create bot").click()
    expect(page.get_by_text("is there and on")).to_be_visible()
    page.get_by_role("button", name="New token").click()
    expect(page.get_by_label("Webhook URL")).not_to_contain_text("YOUR_TOKEN")
    expect(page.get_by_label("Alert message")).to_contain_text("open sesame")
    keep_picture(page, "bot-alert-desktop-dark")
    page.get_by_role("button", name="Next: a test alert").click()
    page.get_by_role("button", name="Send test alert").click()
    expect(page.locator("[data-state='done']")).to_be_visible(timeout=60_000)
    expect(page.locator("[data-state='done'] li[data-ok='done']")).to_have_count(6)
    expect(page.locator("[data-state='done']")).to_contain_text("Filled")
    keep_picture(page, "bot-test-desktop-dark")
    [(symbol, status, quantity)] = rows(house, "SELECT symbol, status, filled_qty FROM bot_trades")
    assert (symbol, str(status).lower()) == ("AAPL", "filled") and float(str(quantity)) > 0
    assert rows(house, "SELECT has_passphrase, strategy_name FROM user_bot_configs") == [(True, "ema_cross")]

    tab(page, "Signals")
    expect(page.locator(".dt-table:visible tbody tr").first).to_contain_text("filled +")
    tab(page, "Orders")
    expect(page.locator(".dt-table:visible tbody tr").first).to_contain_text("▲ BUY")
    tab(page, "Overview")
    expect(page.get_by_role("region", name="Positions").locator("tbody tr").first).to_contain_text("AAPL · 1 Hour")
    expect(page).to_have_url(re.compile(r"tab=overview&bot=\d+&strategy=ema_cross"))
    keep_picture(page, "bot-overview-desktop-dark")
    is_accessible(page)

    tab(page, "Replay")
    control(page, "Largest position $").fill("500")
    page.get_by_role("button", name="Replay past alerts").click()
    expect(page.get_by_text("1 of which was really traded")).to_be_visible()
    keep_picture(page, "bot-replay-desktop-dark")

    manual = "SELECT scope FROM trading_halts WHERE cleared_at IS NULL AND cause = 'manual' ORDER BY id"
    already = rows(house, manual)  # tests run in any order, and another one stops a symbol
    page.get_by_role("button", name="Stop all trading").click()
    page.get_by_role("button", name="Yes, stop every entry").click()
    expect(page.get_by_role("alert").first).to_contain_text("Trading is stopped")
    assert rows(house, manual) == [*already, ("user",)]
    assert rows(house, "SELECT title FROM notifications WHERE title LIKE 'Trading is%'") == [("Trading is stopped",)]
    tab(page, "Set up")
    page.get_by_role("button", name="Send test alert").click()
    expect(page.locator("[data-state]")).to_contain_text("Entries are stopped", timeout=60_000)
    assert len(rows(house, "SELECT id FROM bot_trades")) == 1
    page.get_by_role("button", name="Resume trading").click()
    expect(page.get_by_text("Trading may go on")).to_be_visible()
    assert console.errors == []


def test_a_phone_refreshes_by_itself_and_stops_a_symbol(house: DashboardsServer, new_page: Callable[..., Page]) -> None:
    page = new_page(**SCREENS["phone-light"])
    console = Console(page)
    open_bot_page(house, page)
    [(user_id,)] = rows(house, "SELECT id FROM users WHERE username = 'ada'")
    tab(page, "Risk")
    with house.database() as uow:
        uow.session.execute(
            text("INSERT INTO bot_risk_events (user_id, event_type, message) VALUES (:u, 'daily_loss_limit', :m)"),
            {"u": user_id, "m": "<b>Lost</b> more than the limit."},
        )
        uow.commit()
    # nobody touches the page: its own beat brings the row
    events = page.get_by_role("region", name="Risk events")
    expect(events.locator("tbody tr").first).to_contain_text("<b>Lost</b> more than the limit.", timeout=10_000)
    control(page, "Symbol").fill("msft")
    page.get_by_role("button", name="Stop this symbol").click()
    page.get_by_role("button", name="Yes, stop its entries").click()
    expect(page.get_by_role("region", name="Kill switches that are on")).to_contain_text("MSFT")
    fits_the_screen(page)
    keep_picture(page, "bot-risk-phone-light")
    for name in ("Overview", "Performance", "Replay", "Signals"):
        tab(page, name)
        fits_the_screen(page)
        keep_picture(page, f"bot-{name.lower()}-phone-light")
    tab(page, "Set up")
    for number, name in enumerate(("Account", "Bot", "Token and alert", "Test alert"), start=1):
        step(page, name)
        fits_the_screen(page)
        keep_picture(page, f"bot-step-{number}-phone-light")
    is_accessible(page)
    assert console.errors == []
