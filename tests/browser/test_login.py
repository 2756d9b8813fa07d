"""Through the real login page to a page with drawn widgets, in Chromium."""

from __future__ import annotations

from dashboards_server import DashboardsServer
from playwright.sync_api import Page, expect


def test_signing_in_leads_to_the_page_that_was_asked_for(dashboards: DashboardsServer, page: Page) -> None:
    page.goto(dashboards.url + "analysis?symbol=AAPL")
    expect(page).to_have_url(dashboards.url + "login?next=%2Fanalysis%3Fsymbol%3DAAPL")
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    page.fill("#username", "ada")
    page.fill("#password", dashboards.password)
    page.click("button[type=submit]")
    page.wait_for_selector("#rendered_cells.dt-ready")
    assert page.url.startswith(dashboards.url + "analysis")
    assert page.locator("#rendered_cells .jupyter-widgets").count() > 3
    expect(page.locator("#loading")).to_have_count(0)
