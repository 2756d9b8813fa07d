"""The analysis page in Chromium, on sample data."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from dashboards_server import DashboardsServer, running_server
from page_checks import (
    DRAWN,
    PHONE,
    SCREENS,
    Console,
    comes_true,
    drawn_chart,
    fits_the_screen,
    is_accessible,
    keep_picture,
    wears_the_theme,
)
from playwright.sync_api import Page, expect
from sqlalchemy import NullPool, select

from dashtrade.db.engine import make_engine
from dashtrade.db.tables.accounts import UserPreferenceRow, UserRow, WatchlistRow
from dashtrade.domain.market import Quote
from dashtrade.pages import palette
from dashtrade.services.live import LivePrices
from dashtrade.services.preferences import set_preference

Open = Callable[..., None]


@pytest.mark.parametrize("screen", SCREENS)
def test_from_the_login_to_a_drawn_chart(new_page: Callable[..., Page], open_page: Open, screen: str) -> None:
    page = new_page(**SCREENS[screen])
    console = Console(page)
    open_page(page, "analysis?symbol=AAPL&period=1y&interval=1d&source=sample")
    chart = drawn_chart(page)
    assert chart.get_attribute("data-bars") == "251"
    assert chart.get_attribute("data-lines") == "6" and chart.get_attribute("data-panes") == "2"
    expect(page.locator(".dt-signal")).to_contain_text("score")
    expect(page.get_by_text("Sample data · past prices")).to_be_visible()
    wears_the_theme(page, chart)
    fits_the_screen(page)
    is_accessible(page)
    keep_picture(page, f"analysis-{screen}")
    assert console.errors == []


def test_inputs_change_chart_address_and_the_kept_state(
    page: Page, open_page: Open, dashboards: DashboardsServer
) -> None:
    console = Console(page)
    open_page(page, "analysis?source=sample")
    chart = drawn_chart(page)
    page.get_by_label("Symbol").fill("ibm")
    page.keyboard.press("Enter")
    expect(chart.locator(".dt-chart-title")).to_have_text("IBM · 1d")
    page.get_by_label("Interval").select_option("1wk")
    expect(chart.locator(".dt-chart-title")).to_have_text("IBM · 1wk")
    page.wait_for_url(lambda address: "interval=1wk" in address)
    address = {k: v[0] for k, v in parse_qs(urlsplit(page.url).query).items()}
    assert address == {"symbol": "IBM", "period": "1y", "interval": "1wk", "source": "sample"}
    query = select(UserPreferenceRow.value).join(UserRow, UserRow.id == UserPreferenceRow.user_id)
    query = query.where(UserPreferenceRow.key == "page.analysis", UserRow.username == "ada")

    def kept() -> bool:
        with dashboards.database() as uow:
            return '"interval": "1wk"' in (uow.session.scalar(query) or "")

    comes_true(page, kept, "the inputs were not kept")
    page.goto(dashboards.url + "analysis")  # without an address: the last inputs come back
    expect(page.locator(f"{DRAWN} .dt-chart-title")).to_have_text("IBM · 1wk", timeout=30_000)
    assert console.errors == []


def test_indicators_are_added_and_the_crosshair_reads_values(page: Page, open_page: Open) -> None:
    console = Console(page)
    open_page(page, "analysis?source=sample")
    chart = drawn_chart(page)
    page.get_by_label("Add", exact=True).select_option(label="MACD (trend)")
    page.get_by_role("button", name="Add indicator").click()
    expect(chart).to_have_attribute("data-panes", "3")
    last = chart.get_attribute("data-shown")
    chart.focus()
    for _ in range(5):
        page.keyboard.press("ArrowLeft")
    assert int(chart.get_attribute("data-shown") or 0) < int(last or 0)
    box = chart.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] * 0.4, box["y"] + 120)
    expect(chart.locator(".dt-chart-legend").first).to_contain_text("EMA 200")
    page.get_by_role("button", name="Relative strength index 14 ✕").click()
    expect(chart).to_have_attribute("data-panes", "2")
    assert console.errors == []


def test_the_chart_follows_the_theme(page: Page, open_page: Open) -> None:
    open_page(page, "analysis?source=sample")
    chart = drawn_chart(page)
    corner = "(el) => String([...el.querySelector('canvas').getContext('2d').getImageData(3, 60, 1, 1).data])"
    before = chart.evaluate(corner)
    page.locator("#dt-theme").click()
    page.wait_for_function(f"([el, before]) => ({corner})(el) !== before", arg=[chart.element_handle(), before])


def test_rising_and_falling_wear_the_users_colours(page: Page, open_page: Open, dashboards: DashboardsServer) -> None:
    with dashboards.database() as uow:
        user_id = uow.session.scalar(select(UserRow.id).where(UserRow.username == "grace"))
        assert user_id is not None
        set_preference(uow, user_id, palette.PREFERENCE, "blue_orange")
    open_page(page, "analysis?symbol=AAPL&source=sample", username="grace")
    drawn_chart(page)
    up = "getComputedStyle(document.querySelector('.dt-app')).getPropertyValue('--dt-up').trim()"
    first = page.evaluate(up)
    page.locator("#dt-theme").click()
    page.wait_for_function(f"(before) => {up} !== before", arg=first)
    assert {first, page.evaluate(up)} == set(palette.PALETTES["blue_orange"].up)


def test_bad_input_is_a_sentence_in_place(page: Page, open_page: Open) -> None:
    console = Console(page)
    open_page(page, "analysis?source=sample&period=9y")
    expect(page.get_by_role("alert")).to_contain_text("period")
    page.get_by_label("Symbol").fill("ZZZZ")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("The sample has no ZZZZ. It has AAPL")
    page.get_by_label("Symbol").fill("<img src=x onerror=alert(1)>")
    page.keyboard.press("Enter")
    expect(page.get_by_text("is not a ticker")).to_be_visible()
    assert page.locator("#rendered_cells img").count() == 0
    assert "Traceback" not in page.content()
    assert console.errors == []


def test_without_a_network_sample_data_is_offered(
    new_page: Callable[..., Page], postgres_url: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    from dashboards_server import clone_database

    database_url = clone_database(postgres_url, "browser_no_network")
    folder = tmp_path_factory.mktemp("no_network")
    # nobody listens on port 9: the real client finds no server
    away = {"DASHTRADE_SOURCES": "yahoo", "DASHTRADE_YAHOO_URL": "http://127.0.0.1:9"}
    with running_server(database_url, folder, **away) as server:
        page = new_page()
        page.goto(server.url + "analysis")
        page.fill("#username", "ada")
        page.fill("#password", server.password)
        page.click("button[type=submit]")
        expect(page.get_by_role("alert")).to_contain_text("cannot be reached", timeout=60_000)
        keep_picture(page, "analysis-without-network")
        page.get_by_role("button", name="Show sample data").click()
        drawn_chart(page)
        assert "source=sample" in page.url
        page.get_by_label("Interval").select_option("1m")  # any pair is possible with the sample
        drawn_chart(page)
        page.get_by_label("Data source").select_option(label="Yahoo")
        expect(page.get_by_text("for the last 8 days only").first).to_be_visible()
        expect(page.get_by_role("button", name="Load")).to_be_disabled()
        page.close(run_before_unload=False)


def test_a_symbol_is_found_watched_marked_for_an_alert_and_taken_along(
    page: Page, open_page: Open, dashboards: DashboardsServer
) -> None:
    console = Console(page)
    open_page(page, "analysis?symbol=AAPL&source=sample")
    drawn_chart(page)
    symbol = page.get_by_role("combobox", name="Symbol")
    symbol.fill("machines")
    offered = page.get_by_role("listbox", name="Matches").get_by_role("option")
    expect(offered).to_have_count(1)
    expect(offered).to_contain_text("IBM")
    is_accessible(page)
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    chart = drawn_chart(page)
    expect(chart.locator(".dt-chart-title")).to_have_text("IBM · 1d")
    expect(page.get_by_role("listbox", name="Matches")).to_be_hidden()

    page.get_by_role("button", name="Add to watchlist").click()
    expect(page.locator(".dt-toast")).to_contain_text("IBM is on your watchlist.")
    with dashboards.database() as uow:
        assert "IBM" in set(uow.session.scalars(select(WatchlistRow.symbol)))

    box = chart.bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + box["width"] * 0.5, box["y"] + 200)
    level = page.get_by_label("Level", exact=True)
    expect(level).not_to_have_value("")
    link = page.get_by_role("link", name="Set alert")
    address = parse_qs(urlsplit(link.get_attribute("href") or "").query)
    assert float(address.pop("level")[0]) == float(level.input_value())
    assert address == {"symbol": ["IBM"], "type": [address["type"][0]]} and address["type"][0].startswith("price_")

    with page.expect_download() as download:
        page.get_by_role("button", name="Open as notebook").click()
    file = Path(download.value.path())
    assert download.value.suggested_filename.startswith("IBM-1d-")
    text = file.read_text()
    shown = page.locator(".dt-copy").inner_text().split()
    assert json.loads(text)["nbformat"] == 4 and shown[1] in text and shown[3] in text
    assert console.errors == []


def test_a_saved_layout_comes_back(page: Page, open_page: Open) -> None:
    console = Console(page)
    open_page(page, "analysis?symbol=AAPL&source=sample&studies=macd,rsi,ema:window=30&candles=on")
    chart = drawn_chart(page)
    expect(chart).to_have_attribute("data-panes", "3")
    page.get_by_label("Save as").fill("Three panes")
    page.get_by_role("button", name="Save layout").click()
    expect(page.get_by_label("Layout", exact=True)).to_have_value("Three panes")
    page.goto(page.url.split("?")[0] + "?symbol=IBM&source=sample&studies=none")
    chart = drawn_chart(page)
    expect(chart).to_have_attribute("data-panes", "1")
    page.get_by_label("Layout", exact=True).select_option(label="Three panes")
    expect(chart).to_have_attribute("data-panes", "3")
    expect(page.get_by_label("Candlestick patterns")).to_be_checked()
    assert console.errors == []


def test_the_live_price_moves_the_last_bar(page: Page, open_page: Open, dashboards: DashboardsServer) -> None:
    open_page(page, "analysis?symbol=MSFT&source=sample&studies=ema:window=9")
    chart = drawn_chart(page)
    before = chart.locator(".dt-chart-item").first.inner_text()
    engine = make_engine(dashboards.database_url, poolclass=NullPool)
    quote = Quote("MSFT", Decimal("987.5"), datetime.now(UTC), "sample", simulated=True)
    LivePrices(engine).write([quote])
    engine.dispose()
    expect(chart).to_have_attribute("data-last", "987.5", timeout=15_000)
    expect(page.get_by_text("Live 987.50 · simulated")).to_be_visible()
    expect(chart.locator(".dt-chart-item").first).not_to_have_text(before)


def test_fingers_pan_and_pinch_the_chart_and_still_scroll_the_page(
    new_page: Callable[..., Page], open_page: Open
) -> None:
    page = new_page(**PHONE)
    open_page(page, "analysis?symbol=AAPL&source=sample")
    chart = drawn_chart(page)
    chart.evaluate("(el) => el.scrollIntoView({ block: 'center' })")
    box = chart.bounding_box()
    assert box is not None
    middle, y = box["x"] + box["width"] * 0.45, box["y"] + 250
    client = page.context.new_cdp_session(page)

    def touch(kind: str, *points: tuple[float, float]) -> None:
        touches = [{"x": x, "y": y, "id": number} for number, (x, y) in enumerate(points)]
        client.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": touches})

    def visible() -> float:
        return float(chart.get_attribute("data-span") or 0)

    whole, first = visible(), chart.get_attribute("data-from")
    touch("touchStart", (middle - 20, y), (middle + 20, y))
    for step in range(1, 9):
        touch("touchMove", (middle - 20 - 10 * step, y), (middle + 20 + 10 * step, y))
    touch("touchEnd")
    page.wait_for_function("([el, whole]) => Number(el.dataset.span) < whole / 2", arg=[chart.element_handle(), whole])
    first = chart.get_attribute("data-from")
    touch("touchStart", (middle, y))
    for step in range(1, 9):
        touch("touchMove", (middle + 12 * step, y))
    touch("touchEnd")
    page.wait_for_function("([el, first]) => el.dataset.from !== first", arg=[chart.element_handle(), first])
    scrolled = page.evaluate("scrollY")
    touch("touchStart", (middle, y))
    for step in range(1, 9):
        touch("touchMove", (middle, y - 20 * step))
    touch("touchEnd")
    page.wait_for_function("(before) => scrollY > before + 60", arg=scrolled)
