"""The portfolio page in Chromium, on sample data and the real database."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from datetime import date
from decimal import Decimal

import pytest
from dashboards_server import DashboardsServer
from page_checks import SCREENS, Console, fits_the_screen, keep_picture
from playwright.sync_api import Page, expect
from sqlalchemy import delete, select

from dashtrade.db.tables.accounts import UserRow, WatchlistRow
from dashtrade.db.tables.portfolio import AccountEquityRow, WatchlistNameRow
from dashtrade.db.tables.trading import AccountRow
from dashtrade.domain.bot_views import NewBot
from dashtrade.services.bots import create_bot, delete_bot

Open = Callable[..., None]


def watched(dashboards: DashboardsServer, username: str) -> dict[str, str | None]:
    query = select(WatchlistRow.symbol, WatchlistRow.notes).join(UserRow, UserRow.id == WatchlistRow.user_id)
    with dashboards.database() as uow:
        return dict(uow.session.execute(query.where(UserRow.username == username)).tuples().all())


@pytest.fixture(autouse=True)
def an_empty_watchlist(dashboards: DashboardsServer) -> None:
    with dashboards.database() as uow:
        uow.session.execute(delete(WatchlistNameRow))
        uow.session.execute(delete(WatchlistRow))
        uow.commit()


@pytest.mark.parametrize("screen", ["desktop-dark", "phone-light"])
def test_a_first_watchlist_scanned(
    new_page: Callable[..., Page], open_page: Open, dashboards: DashboardsServer, screen: str
) -> None:
    page = new_page(**SCREENS[screen])
    console = Console(page)
    open_page(page, "portfolio?source=sample&tab=watchlist", "grace")
    expect(page.get_by_text("Nothing is watched yet")).to_be_visible()
    page.get_by_role("button", name="Start with sample shares").click()
    rows = page.locator(".dt-table tbody tr[data-id]:visible")
    expect(rows).to_have_count(4)
    expect(page.locator(".dt-table svg polyline")).to_have_count(4)
    expect(rows.filter(has_text="AAPL")).to_contain_text("430.47")  # the sample's last close
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Import CSV").click()
    content = b"symbol,notes\n^GSPC,the index\nIBM,old friend\n"
    chooser.value.set_files({"name": "mine.csv", "mimeType": "text/csv", "buffer": content})
    expect(rows).to_have_count(5)
    expect(page.get_by_text("1 added, 1 watched already.")).to_be_visible()
    assert watched(dashboards, "grace") == {
        "AAPL": None, "GOOG": None, "IBM": "old friend", "MSFT": None, "^GSPC": "the index"
    }  # fmt: skip
    fits_the_screen(page)
    keep_picture(page, f"portfolio-{screen}")
    page.get_by_role("button", name="Note MSFT").click()
    page.get_by_label("Note on MSFT").fill("cheap?")
    page.get_by_role("button", name="Save note").click()
    expect(rows.filter(has_text="MSFT")).to_contain_text("cheap?")
    assert watched(dashboards, "grace")["MSFT"] == "cheap?"
    page.get_by_label("List name").fill("Index")
    page.get_by_role("button", name="New list").click()
    expect(page.get_by_text("Nothing is in Index yet")).to_be_visible()
    page.get_by_label("Symbols").fill("^gspc, GOOG")
    page.get_by_role("button", name="Add", exact=True).click()
    expect(rows).to_have_count(2)
    page.get_by_role("button", name="Take out GOOG").click()
    expect(rows).to_have_count(1)
    assert "list=Index" in page.url and "GOOG" in watched(dashboards, "grace")
    page.get_by_label("List", exact=True).select_option("All symbols")
    expect(rows).to_have_count(5)
    page.get_by_role("button", name="Scanner", exact=True).click()
    page.get_by_label("Rule from").select_option("Preset: RSI reversion")
    expect(page.get_by_label("Rule", exact=True)).to_have_value("rsi crosses_above 30")
    rule = page.get_by_label("Rule", exact=True)
    rule.fill("rssi < 40")
    rule.press("Tab")
    expect(page.get_by_role("button", name="Scan", exact=True)).to_be_disabled()
    rule.fill("price > 400")
    rule.press("Tab")
    page.get_by_role("button", name="Scan", exact=True).click()
    expect(page.get_by_text("True for 3 of 5")).to_be_visible()  # Apple 430, Google 806, the index 2,507
    fits_the_screen(page)
    keep_picture(page, f"portfolio-scanner-{screen}")
    assert console.errors == []


@pytest.mark.parametrize("screen", ["desktop-light", "phone-dark"])
def test_accounts_are_shown(
    new_page: Callable[..., Page], open_page: Open, dashboards: DashboardsServer, screen: str
) -> None:
    with dashboards.database() as uow:
        user_id = uow.session.scalars(select(UserRow.id).where(UserRow.username == "grace")).one()
        bot = create_bot(uow, user_id, NewBot("AAPL", "1 Hour", Decimal(1000)))  # its account is made with it
        account = uow.session.scalars(select(AccountRow.id).where(AccountRow.user_id == user_id)).one()
        for number, equity in enumerate((10_000, 10_100, 9_898)):
            day = date(2018, 12, 26 + number)
            uow.session.add(AccountEquityRow(account_id=account, user_id=user_id, day=day, equity=Decimal(equity)))
        uow.commit()
    page = new_page(**SCREENS[screen])
    console = Console(page)
    open_page(page, "portfolio?source=sample&tab=holdings&benchmark=^GSPC", "grace")
    expect(page.get_by_role("heading", name="Simulated account")).to_be_visible()
    expect(page.get_by_text("No account holds anything.")).to_be_visible()
    expect(page.get_by_text("Gross exposure")).to_be_visible()
    expect(page.locator(".bqplot path.line")).to_have_count(4)  # the account and the index, and how far both fell
    days = page.get_by_role("region", name="Equity by day").locator("tbody tr[data-id]")
    expect(days.first).to_contain_text("−2.00")  # 9,898 after 10,100
    fits_the_screen(page)
    keep_picture(page, f"portfolio-holdings-{screen}")
    with dashboards.database() as uow:
        uow.session.execute(delete(AccountEquityRow).where(AccountEquityRow.user_id == user_id))
        delete_bot(uow, user_id, bot.id)
    assert console.errors == []


FORMULAS = (
    "=1+1",
    "+1+1",
    "-1+1",
    "@SUM(1)",
    "\t=1+1",
    "\r=1+1",
    "\n=1+1",
    "\uff1d1+1",
    "\uff0b1",
    "\uff0d1",
    "\uff201",
)


def test_no_cell_of_a_downloaded_table_is_a_formula(page: Page, open_page: Open, dashboards: DashboardsServer) -> None:
    with dashboards.database() as uow:
        grace = uow.session.scalar(select(UserRow.id).where(UserRow.username == "grace"))
        for number, text in enumerate((*FORMULAS, "a;=1+1")):
            uow.session.add(WatchlistRow(user_id=grace, symbol=f"ZZ{number}", notes=text))
        uow.commit()
    open_page(page, "portfolio?source=sample&tab=watchlist", "grace")
    table = page.locator(".dt-table:visible")
    expect(table).to_have_attribute("data-rows", str(len(FORMULAS) + 1))
    with page.expect_download() as download:
        table.get_by_role("button", name="CSV").click()
    # newline="": as it is, with the line ends within cells
    with download.value.path().open(encoding="utf-8-sig", newline="") as file:
        raw = file.read()
    rows = list(csv.DictReader(io.StringIO(raw, newline="")))
    notes = next(name for name in rows[0] if name.startswith("Note"))
    assert sorted(row[notes] for row in rows) == sorted([*("'" + text for text in FORMULAS), "a;=1+1"])
    assert '"a;=1+1"' in raw, "a spreadsheet that splits at semicolons keeps the cell whole"
