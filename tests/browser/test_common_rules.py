"""What every page keeps to: it fits the screen in both themes, axe finds nothing grave, the keyboard finds its way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from dashboards_server import DashboardsServer
from page_checks import (
    DESKTOP,
    Console,
    begins_with_a_skip_link,
    fits_the_screen,
    is_accessible,
    keep_picture,
    settled,
    wear,
)
from playwright.sync_api import Page
from sqlalchemy import delete, select

from dashtrade.db.tables.accounts import UserRow, WatchlistRow
from dashtrade.services import watchlist

APPS = Path(__file__).resolve().parents[2] / "apps"
# Pages that the server writes itself.
PLAIN = ("account", "admin")
# What a page is asked with, so that it has something to show.
FILLED = {
    "analysis": "?symbol=AAPL&source=sample&period=1y",
    "backtest": "?symbols=AAPL&source=sample",
    "comparison": "?symbols=AAPL,IBM,MSFT&source=sample&period=5y",
    "home": "?source=sample",
    "portfolio": "?source=sample&tab=watchlist",
    "strategies": "?tab=build",
}
WIDTHS = {"desktop": 1280, "phone": 390}


@pytest.fixture(scope="module", autouse=True)
def something_watched(dashboards: DashboardsServer) -> Iterator[None]:
    with dashboards.database() as uow:
        user_id = uow.session.scalars(select(UserRow.id).where(UserRow.username == "grace")).one()
        for symbol in ("AAPL", "IBM"):
            watchlist.watch(uow, user_id, symbol, notes="on every page")
    yield
    with dashboards.database() as uow:
        uow.session.execute(delete(WatchlistRow).where(WatchlistRow.user_id == user_id))
        uow.commit()


@pytest.mark.parametrize("slug", [*sorted(path.stem for path in APPS.glob("*.ipynb")), *PLAIN])
def test_a_page_keeps_the_common_rules(
    new_page: Callable[..., Page],
    open_page: Callable[..., None],
    sign_in: Callable[..., None],
    dashboards: DashboardsServer,
    slug: str,
) -> None:
    page = new_page(**DESKTOP, color_scheme="light")
    console = Console(page)
    if slug in PLAIN:
        sign_in(page, "grace")
        page.goto(dashboards.url + slug)
        page.wait_for_selector("#content")
    else:
        open_page(page, slug + FILLED.get(slug, ""), "grace")
    settled(page)
    begins_with_a_skip_link(page)
    for theme, screen in (("light", "desktop"), ("dark", "desktop"), ("dark", "phone"), ("light", "phone")):
        wear(page, theme)
        page.set_viewport_size({"width": WIDTHS[screen], "height": 850})
        settled(page)
        page.wait_for_timeout(300)  # figures are drawn anew for the new width
        fits_the_screen(page)
        keep_picture(page, f"page-{slug}-{screen}-{theme}")
        if (theme, screen) in (("light", "desktop"), ("dark", "phone")):
            is_accessible(page)
    assert console.errors == []
