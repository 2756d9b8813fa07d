"""The backtest page in Chromium, on sample data."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable

import psutil
import pytest
from dashboards_server import DashboardsServer
from page_checks import SCREENS, Console, drawn_chart, fits_the_screen, is_accessible, keep_picture
from playwright.sync_api import Page, expect
from sqlalchemy import select

from dashtrade.db.tables.research import BacktestRun

Open = Callable[..., None]
SLOW = 20_000


def runs(dashboards: DashboardsServer) -> list[tuple[int, str, str | None]]:
    with dashboards.database() as uow:
        rows = uow.session.execute(select(BacktestRun.id, BacktestRun.kind, BacktestRun.name).order_by(BacktestRun.id))
        return [(number, kind, name) for number, kind, name in rows]


@pytest.mark.parametrize("screen", ["desktop-dark", "phone-light"])
def test_from_a_first_backtest_to_compared_runs(
    new_page: Callable[..., Page], open_page: Open, dashboards: DashboardsServer, screen: str
) -> None:
    page = new_page(**SCREENS[screen])
    console = Console(page)
    before = len(runs(dashboards))
    open_page(page, "backtest?source=sample")

    def press(name: str) -> None:
        page.get_by_role("button", name=name, exact=True).click()

    press("Run backtest")
    expect(page.get_by_text("141.20%").first).to_be_visible(timeout=SLOW)  # as the engine gives it for these prices
    lines = page.locator(".bqplot path.line:visible")
    expect(lines).to_have_count(3)
    assert all(len(lines.nth(n).get_attribute("d") or "") > 1000 for n in range(3))
    fits_the_screen(page)
    is_accessible(page, within=".dt-app")
    keep_picture(page, f"backtest-{screen}")

    press("Trades")
    chart = drawn_chart(page)
    assert int(chart.get_attribute("data-markers") or 0) == 42
    expect(page.locator(".dt-table:visible tbody tr")).to_have_count(15)
    press("Evidence")
    expect(page.get_by_text("random entries with the same holding times")).to_be_visible(timeout=SLOW)
    is_accessible(page, within=".dt-app")
    fits_the_screen(page)

    press("Sweep")
    high = page.get_by_label("To", exact=True)
    high.nth(0).fill("60")
    high.nth(0).press("Tab")
    high.nth(1).fill("400")
    high.nth(1).press("Tab")
    page.get_by_label("Step", exact=True).nth(1).fill("1")
    page.get_by_label("Step", exact=True).nth(1).press("Tab")
    expect(page.get_by_text("22,230 combinations.")).to_be_visible()
    stop = page.get_by_label("Stop loss")
    stop.fill("5%")  # with stops a sweep takes seconds, so that there is time to cancel it
    stop.press("Tab")
    press("Run sweep")
    expect(page.get_by_text(re.compile(r"of 2\d,\d{3} combinations"))).to_be_visible(timeout=SLOW)
    page.get_by_role("button", name="Cancel").locator("visible=true").click()
    expect(page.get_by_text("Cancelled. Nothing was changed.")).to_be_visible()
    expect(page.get_by_role("button", name="Run sweep")).to_be_enabled()
    assert len(runs(dashboards)) == before + 1, "a cancelled sweep leaves no record"
    stop.fill("")
    stop.press("Tab")
    high.nth(0).fill("8")
    high.nth(0).press("Tab")
    high.nth(1).fill("13")
    high.nth(1).press("Tab")
    expect(page.get_by_text("15 combinations.")).to_be_visible()
    press("Run sweep")
    expect(page.locator(".dt-heatmap:visible td[title]")).to_have_count(15, timeout=SLOW)
    is_accessible(page, within=".dt-app")
    keep_picture(page, f"backtest-sweep-{screen}")
    page.locator(".dt-table:visible").get_by_role("button", name="Use").first.click()
    press("Run backtest")
    expect(page.locator(".dt-head:visible").first).to_contain_text("fast=", timeout=SLOW)
    hostile = f"<b>{screen}</b>"
    page.get_by_label("Name", exact=True).locator("visible=true").fill(hostile)
    press("Name this run")
    expect(page.get_by_text("is kept as")).to_be_visible()
    mine = runs(dashboards)[before:]
    assert [kind for _, kind, _ in mine] == ["backtest", "sweep", "backtest"] and mine[-1][2] == hostile

    press("Runs")
    table = page.locator(".dt-table:visible")
    expect(table.get_by_role("cell", name=hostile, exact=True)).to_be_visible()
    for number in (mine[0][0], mine[-1][0]):
        table.locator(f"tr[data-id='{number}']").get_by_role("button", name=re.compile("^Compare")).click()
    page.locator(".dt-row:visible").get_by_role("button", name="Compare", exact=True).click()
    expect(page.get_by_text("All on the very same bars")).to_be_visible(timeout=SLOW)
    expect(page.locator(".bqplot path.line:visible")).to_have_count(2)
    expect(page.get_by_role("region", name="Statistics")).to_contain_text("Total return")
    is_accessible(page, within=".dt-app")
    fits_the_screen(page)
    keep_picture(page, f"backtest-runs-{screen}")
    table.first.locator(f"tr[data-id='{mine[0][0]}']").get_by_role("button", name=re.compile("^Open")).click()
    press("Run again")
    expect(page.get_by_text("gave the very same result again").first).to_be_visible(timeout=SLOW)
    assert len(runs(dashboards)) == before + 3, "running again is no new try"
    assert console.errors == []


def test_the_trades_table_sorts_filters_and_downloads(page: Page, open_page: Open) -> None:
    open_page(page, "backtest?source=sample")
    page.get_by_role("button", name="Run backtest").click()
    page.get_by_role("button", name="Trades", exact=True).click()
    table = page.locator(".dt-table:visible")
    head = table.get_by_role("button", name="P&L $")
    head.click()
    head.click()
    expect(table.locator("th[aria-sort=descending]")).to_contain_text("P&L $")
    expect(table.locator("tbody tr").first).to_contain_text("8,501.18")
    table.get_by_role("searchbox").fill("2009-03-16")
    expect(table.locator("tbody tr")).to_have_count(1)
    with page.expect_download() as download:
        table.get_by_role("button", name="CSV").click()
    text = download.value.path().read_text(encoding="utf-8-sig")
    assert text.splitlines()[0].startswith("#,Symbol,Direction,Entry") and "2009-03-16T00:00:00.000Z" in text
    assert download.value.suggested_filename == "trades.csv"
    with page.expect_download() as notebook:
        page.get_by_role("button", name="Open as notebook").click()
    digest = page.locator("code:visible").first.inner_text()
    assert notebook.value.suggested_filename == "backtest-aapl.ipynb" and re.fullmatch("[0-9a-f]{64}", digest)
    assert digest in notebook.value.path().read_text(encoding="utf-8")


def test_own_rules_and_why_they_cannot_run(page: Page, open_page: Open) -> None:
    console = Console(page)
    open_page(page, "backtest?source=sample")
    page.get_by_label("Strategy").select_option(label="Own rules")
    rule = page.get_by_label("Buy when")
    rule.fill("emaa(9) > 3")
    rule.press("Tab")
    expect(page.get_by_text("did you mean ema").first).to_be_visible()
    expect(page.get_by_role("button", name="Run backtest")).to_be_disabled()
    rule.fill("rsi crosses above 30")
    rule.press("Tab")
    page.get_by_role("button", name="Run backtest").click()
    page.get_by_role("button", name="Trades", exact=True).click()
    drawn_chart(page)
    assert "strategy=own" in page.url and "long_entry=rsi" in page.url
    assert console.errors == []


def test_controls_answer_while_a_sweep_runs_and_closing_the_page_ends_it(
    page: Page, open_page: Open, dashboards: DashboardsServer
) -> None:
    before = len(runs(dashboards))
    open_page(page, "backtest?source=sample&period=max&tab=sweep")
    for label, texts in (("From", ("3", "70")), ("To", ("60", "400"))):
        for number, text in enumerate(texts):
            control = page.get_by_label(label, exact=True).locator("visible=true").nth(number)
            control.fill(text)
            control.press("Tab")
    page.get_by_role("button", name="Vary one more setting").click()
    page.get_by_label("Setting", exact=True).nth(2).select_option("stops.loss")
    page.get_by_label("Step", exact=True).nth(2).fill("0.005")
    page.get_by_label("Step", exact=True).nth(2).press("Tab")
    steps = page.get_by_label("Step", exact=True).nth(1)
    steps.fill("1")
    steps.press("Tab")
    expect(page.get_by_text(re.compile(r"^\d{3},\d{3} combinations\.$"))).to_be_visible()
    idle = spent(dashboards)
    page.get_by_role("button", name="Run sweep").click()
    running = page.get_by_text(re.compile(r"of \d{3},\d{3} combinations"))
    expect(running).to_be_visible(timeout=SLOW)
    cash = page.get_by_label("Capital $", exact=True)
    cash.fill("-5")
    cash.press("Tab")
    expect(page.get_by_text("use an amount above 0").first).to_be_visible()  # said by the kernel that sweeps
    expect(running).to_be_visible()
    while not (busy := [p for p, now in spent(dashboards).items() if now - idle.get(p, now) > 1]):
        page.wait_for_timeout(50)  # the test's own time limit ends this
    (kernel,) = busy
    page.close(run_before_unload=True)
    kernel.wait(60)  # raises TimeoutExpired where the work goes on
    assert len(runs(dashboards)) == before, "a sweep that nobody waits for leaves no record"


def spent(dashboards: DashboardsServer) -> dict[psutil.Process, float]:
    """Seconds of CPU that each of the server's processes has used."""
    found = {}
    for process in psutil.Process(dashboards.process.pid).children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            found[process] = process.cpu_times().user
    return found
