"""The strategies page in Chromium, on sample data and the real database."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from dashboards_server import DashboardsServer
from page_checks import SCREENS, Console, comes_true, drawn_chart, fits_the_screen, keep_picture
from playwright.sync_api import Page, expect
from sqlalchemy import delete, select

from dashtrade.db.tables.accounts import UserPreferenceRow, UserRow
from dashtrade.db.tables.research import SavedStrategy
from dashtrade.db.tables.trading import BotRow

Open = Callable[..., None]
NAME = "<b>Dip</b> & rise"


def saved(dashboards: DashboardsServer) -> list[tuple[str, str, int, str, dict[str, object]]]:
    """(user, name, version, text of the long entry, stops) of every saved version."""
    s = SavedStrategy
    query = select(UserRow.username, s.name, s.version, s.definition).join(UserRow, UserRow.id == s.user_id)
    with dashboards.database() as uow:
        rows = uow.session.execute(query.order_by(s.version)).tuples().all()
        return [(user, name, version, d["long_entry"], d.get("stops", {})) for user, name, version, d in rows]


@pytest.fixture(autouse=True)
def an_empty_library(dashboards: DashboardsServer) -> None:
    with dashboards.database() as uow:
        uow.session.execute(delete(SavedStrategy))
        uow.session.execute(delete(UserPreferenceRow).where(UserPreferenceRow.key.like("page.strateg%")))
        uow.commit()


@pytest.mark.parametrize("screen", ["desktop-light", "phone-dark"])
def test_a_first_strategy(
    new_page: Callable[..., Page], open_page: Open, dashboards: DashboardsServer, screen: str
) -> None:
    page = new_page(**SCREENS[screen])
    console = Console(page)
    open_page(page, "strategies?source=sample", "grace")
    expect(page.get_by_text("No strategy of your own yet")).to_be_visible()
    fits_the_screen(page)
    page.get_by_role("button", name="New strategy").click()
    chart = drawn_chart(page)
    marks = int(chart.get_attribute("data-markers") or 0)
    assert marks > 0
    # a condition in rows: RSI below 40, in place of the first
    text = page.get_by_label("Buy, as text")
    page.get_by_role("button", name="Add condition").click()
    second = page.locator(".dt-condition").nth(1)
    second.get_by_label("Name", exact=True).first.select_option(label="rsi · Relative strength index")
    second.get_by_label("Is", exact=True).select_option(label="is below")
    right = second.locator(".dt-side").nth(1)
    right.get_by_label("Compared with").select_option(label="Number")
    right.get_by_label("Value").fill("40")
    right.get_by_label("Value").press("Tab")
    expect(text).to_have_value("ema(window=9) crosses_above ema(window=21) and rsi < 40")
    page.get_by_role("button", name="Remove", exact=True).first.click()
    expect(text).to_have_value("rsi < 40")
    expect(page.get_by_text("Buy when the relative strength index (14) is below 40.")).to_be_visible()
    expect(page.locator("[data-part=long_entry]")).not_to_contain_text("10 times")
    page.wait_for_function("(before) => document.querySelector('.dt-chart').dataset.markers !== before", arg=str(marks))
    # the text and its errors
    text.fill("rsi < 40 and emaa(9) > ema(21)")
    text.press("Tab")
    expect(page.locator(".dt-place mark")).to_have_text("emaa")
    expect(page.get_by_text("did you mean ema?").first).to_be_visible()
    expect(page.get_by_role("button", name="Save", exact=True)).to_be_disabled()
    text.fill("rsi < 40 and (close > ema(200) or hammer)")
    text.press("Tab")
    expect(page.locator(".dt-group-inner .dt-condition")).to_have_count(2)
    page.get_by_label("Stop loss").fill("5%")
    page.get_by_label("Stop loss").press("Tab")
    name = page.get_by_label("Name", exact=True).first
    name.fill(NAME)
    name.press("Tab")
    expect(page.get_by_text("Not saved yet")).to_be_visible()
    fits_the_screen(page)
    keep_picture(page, f"strategies-{screen}")

    def kept() -> bool:
        query = select(UserPreferenceRow.value).where(UserPreferenceRow.key.like("page.strategy.%"))
        with dashboards.database() as uow:
            return any("Dip" in text for text in uow.session.scalars(query))

    comes_true(page, kept, "the draft was not kept")
    page.reload()  # nothing is lost
    page.wait_for_selector("#rendered_cells.dt-ready", timeout=60_000)
    expect(page.get_by_label("Buy, as text")).to_have_value("rsi < 40 and (close > ema(200) or hammer)")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("Saved as version 1.")).to_be_visible()
    text = "rsi < 40 and (close > ema(window=200) or hammer)"
    assert saved(dashboards) == [("grace", NAME, 1, text, {"loss": 0.05})]
    assert "strategy=%3Cb%3EDip" in page.url
    # what it is good for
    page.get_by_role("button", name="Export and trade").click()
    page.get_by_role("button", name="Pine v6 script").click()
    expect(page.get_by_text("Pine has no words for hammer")).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("button", name="Notebook", exact=True).click()
        page.get_by_role("button", name="Download b_dip_b_rise.ipynb").click()
    assert '"nbformat": 4' in download.value.path().read_text(encoding="utf-8")
    page.get_by_role("button", name="Make a paused bot").click()
    expect(page.get_by_text("The bot for AAPL is there, switched off.")).to_be_visible()
    fits_the_screen(page)
    with dashboards.database() as uow:
        [(bot, active)] = uow.session.execute(
            select(BotRow.strategy_name, BotRow.is_active).where(BotRow.strategy_name == NAME)
        ).tuples()
        uow.session.execute(delete(BotRow).where(BotRow.strategy_name == NAME))
        uow.commit()
    assert (bot, active) == (NAME, False)
    page.get_by_role("button", name="My strategies").click()
    expect(page.locator(".dt-table tbody tr[data-id]:visible").first).to_contain_text(NAME)
    fits_the_screen(page)
    assert console.errors == []


def test_a_strategy_by_keyboard_and_two_tabs(
    new_page: Callable[..., Page], open_page: Open, dashboards: DashboardsServer
) -> None:
    page = new_page()
    console = Console(page)
    open_page(page, "strategies?strategy=rsi_reversal&source=sample", "grace")
    name = page.get_by_label("Name", exact=True).first
    expect(name).to_have_value("My RSI reversion")
    page.get_by_role("button", name="Sell ●").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_label("Sell, as text")).to_have_value("rsi crosses_below 70")
    name.focus()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_text("Saved as version 1.")).to_be_visible()
    other = page.context.new_page()
    open_page(other, "strategies?strategy=My+RSI+reversion&part=long_exit", "grace")
    for tab, rule in ((other, "rsi > 71"), (page, "rsi > 72")):
        box = tab.get_by_label("Sell, as text")
        box.fill(rule)
        box.press("Tab")
        expect(tab.get_by_text("● Unsaved changes")).to_be_visible()
        tab.get_by_role("button", name="Save", exact=True).click()
        expect(tab.get_by_text("version 2").first).to_be_visible()
    expect(page.get_by_text("Version 2 was saved elsewhere")).to_be_visible()
    assert [version for _, _, version, _, _ in saved(dashboards)] == [1, 2]
    page.get_by_role("button", name="Save as version 3").click()
    expect(page.get_by_text("Saved as version 3.")).to_be_visible()
    page.get_by_role("button", name="Versions", exact=True).click()
    page.get_by_role("button", name="Compare version 2").click()
    expect(page.locator("ins")).to_have_text("72.")
    keep_picture(page, "strategies-versions")
    assert console.errors == []
