"""The backtest page in Chromium, on sample data."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from dashboards_server import DashboardsServer
from page_checks import SCREENS, Console, drawn_chart, fits_the_screen, keep_picture
from playwright.sync_api import Page, expect
from sqlalchemy import func, select

from dashtrade.db.tables.research import BacktestRun

Open = Callable[..., None]


def runs(dashboards: DashboardsServer) -> int:
    with dashboards.database() as uow:
        return uow.session.scalar(select(func.count()).select_from(BacktestRun)) or 0


@pytest.mark.parametrize("screen", ["desktop-dark", "phone-light"])
def test_a_first_backtest(
    new_page: Callable[..., Page], open_page: Open, dashboards: DashboardsServer, screen: str
) -> None:
    page = new_page(**SCREENS[screen])
    console = Console(page)
    before = runs(dashboards)
    open_page(page, "backtest?source=sample")
    page.get_by_role("button", name="Run backtest").click()
    chart = drawn_chart(page)
    assert int(chart.get_attribute("data-markers") or 0) == 42
    expect(page.get_by_text("Total return").first).to_be_visible()
    expect(page.get_by_text("141.20%").first).to_be_visible()  # as the engine gives it for these prices
    lines = page.locator(".bqplot path.line")
    expect(lines).to_have_count(3)
    assert all(len(lines.nth(n).get_attribute("d") or "") > 1000 for n in range(3))
    expect(page.locator(".dt-table tbody tr")).to_have_count(15)
    page.get_by_role("button", name="Next ›").click()
    expect(page.locator(".dt-table tbody tr")).to_have_count(6)
    fits_the_screen(page)
    keep_picture(page, f"backtest-{screen}")
    assert runs(dashboards) == before + 1
    assert console.errors == []


def test_the_trades_table_sorts_filters_and_downloads(page: Page, open_page: Open) -> None:
    open_page(page, "backtest?source=sample")
    page.get_by_role("button", name="Run backtest").click()
    table = page.locator(".dt-table")
    head = table.get_by_role("button", name="P&L $")
    head.click()
    head.click()
    expect(table.locator("th[aria-sort=descending]")).to_contain_text("P&L $")
    expect(table.locator("tbody tr").first).to_contain_text("8,501.18")
    table.get_by_role("searchbox").fill("Mar 16, 2009")
    expect(table.locator("tbody tr")).to_have_count(1)
    with page.expect_download() as download:
        table.get_by_role("button", name="CSV").click()
    text = download.value.path().read_text(encoding="utf-8-sig")
    assert text.splitlines()[0].startswith("#,Symbol,Direction,Entry") and "2009-03-16T00:00:00.000Z" in text
    assert download.value.suggested_filename == "trades.csv"


def test_own_rules_and_why_they_cannot_run(page: Page, open_page: Open) -> None:
    console = Console(page)
    open_page(page, "backtest?source=sample")
    page.get_by_label("Strategy").select_option(label="Own rules")
    rule = page.get_by_label("Buy when")
    rule.fill("emaa(9) > 3")
    rule.press("Tab")
    expect(page.get_by_text("did you mean ema")).to_be_visible()
    expect(page.get_by_role("button", name="Run backtest")).to_be_disabled()
    rule.fill("rsi crosses above 30")
    rule.press("Tab")
    page.get_by_role("button", name="Run backtest").click()
    drawn_chart(page)
    assert "strategy=own" in page.url and "long_entry=rsi" in page.url
    assert console.errors == []
