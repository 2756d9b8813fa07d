"""The home page in Chromium: a symbol followed and given up, with sample prices."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from dashboards_server import DashboardsServer
from page_checks import SCREENS, Console, fits_the_screen, keep_picture
from playwright.sync_api import Page, expect
from sqlalchemy import text

Open = Callable[..., None]


def followed(dashboards: DashboardsServer) -> list[str]:
    with dashboards.database() as uow:
        return list(uow.session.execute(text("SELECT symbol FROM watchlist")).scalars())


@pytest.fixture(autouse=True)
def nothing_yet(dashboards: DashboardsServer) -> None:
    """The server is shared with other journeys, which leave symbols and bots behind."""
    with dashboards.database() as uow:
        uow.session.execute(text("DELETE FROM watchlist"))
        uow.session.execute(text("DELETE FROM user_bot_configs"))
        uow.commit()


@pytest.mark.parametrize("screen", ["desktop-dark", "phone-light"])
def test_a_symbol_is_followed_and_given_up(
    new_page: Callable[..., Page], open_page: Open, dashboards: DashboardsServer, screen: str
) -> None:
    page = new_page(**SCREENS[screen])
    console = Console(page)
    open_page(page, "home")
    expect(page.get_by_text("Nothing needs your attention")).to_be_visible()
    expect(page.get_by_role("link", name="Run a backtest")).to_have_attribute("href", "backtest?symbols=AAPL")
    expect(page.get_by_text("No bot yet")).to_be_visible()
    box = page.get_by_label("Symbol")
    box.fill("<b>not a ticker")
    page.get_by_role("button", name="Follow").click()
    expect(page.get_by_role("alert")).to_contain_text("is not a ticker")
    box.fill("ibm")
    page.get_by_role("button", name="Follow").click()
    row = page.get_by_role("region", name="Watchlist").locator("tr[data-id='IBM']")
    expect(row).to_be_visible()
    expect(box).to_have_value("")
    assert followed(dashboards) == ["IBM"]
    fits_the_screen(page)
    keep_picture(page, f"home-{screen}")
    row.get_by_role("button", name="Remove IBM").click()
    expect(row).to_have_count(0)
    assert followed(dashboards) == []
    assert console.errors == []
