"""The comparison page in Chromium, on sample data."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from page_checks import SCREENS, Console, fits_the_screen, keep_picture
from playwright.sync_api import Page, expect

Open = Callable[..., None]


@pytest.mark.parametrize("screen", ["desktop-dark", "phone-light"])
def test_four_symbols_are_compared(new_page: Callable[..., Page], open_page: Open, screen: str) -> None:
    page = new_page(**SCREENS[screen])
    console = Console(page)
    open_page(page, "comparison?source=sample")
    expect(page.get_by_text("Nothing is compared yet")).to_be_visible()
    page.get_by_role("button", name="Show sample data").click()
    lines = page.locator(".bqplot path.line")
    expect(lines).to_have_count(4)
    assert all(len(lines.nth(n).get_attribute("d") or "") > 1000 for n in range(4))
    expect(page.get_by_text("Sample data · past prices")).to_be_visible()
    assert "symbols=AAPL" in page.url and "period=5y" in page.url
    fits_the_screen(page)
    keep_picture(page, f"comparison-{screen}")
    for tab, name in (("Relative strength", "strength"), ("Drawdowns", "drawdowns")):
        page.get_by_role("button", name=tab).click()
        expect(lines).to_have_count(3 if name == "strength" else 4)
        keep_picture(page, f"comparison-{name}-{screen}")
    page.get_by_role("button", name="Correlation").click()
    expect(page.locator(".dt-heatmap tbody td")).to_have_count(16)
    expect(page.locator(".dt-heatmap tbody td").first).to_have_text("1.00")
    keep_picture(page, f"comparison-correlation-{screen}")
    page.get_by_role("button", name="Risk and return").click()
    expect(page.locator(".bqplot .object_grp")).to_have_count(4)
    keep_picture(page, f"comparison-risk-{screen}")
    page.get_by_role("button", name="Ranking").click()
    rows = page.locator(".dt-table tbody tr[data-id]:visible")
    expect(rows).to_have_count(4)
    # by return alone Apple led these five years, by a wide margin
    for name in ("Volatility", "Sharpe", "Deepest drawdown", "Relative strength"):
        page.get_by_label(name, exact=True).fill("0")
    page.get_by_role("button", name="Rank again").click()
    expect(rows.first).to_contain_text("AAPL")
    expect(rows.first).to_contain_text("100.0")
    fits_the_screen(page)
    keep_picture(page, f"comparison-ranking-{screen}")
    assert "weights=total_return" in page.url
    page.reload()
    page.wait_for_selector("#rendered_cells.dt-ready", timeout=60_000)
    expect(rows.first).to_contain_text("100.0")
    assert console.errors == []


def test_what_cannot_be_compared_is_said(page: Page, open_page: Open) -> None:
    console = Console(page)
    open_page(page, "comparison?source=sample&symbols=AAPL&period=1y")
    expect(page.get_by_text("compare 2 to 20 different symbols")).to_be_visible()
    expect(page.get_by_role("button", name="Compare")).to_be_disabled()
    box = page.get_by_label("Symbols")
    box.fill("AAPL, ^GSPC")
    box.press("Tab")
    page.get_by_role("button", name="Compare").click()
    expect(page.get_by_text("Ask for a longer period")).to_be_visible()
    box.fill("AAPL, NOPE, IBM")
    box.press("Enter")
    expect(page.get_by_text("Left out:")).to_contain_text("NOPE")
    expect(page.locator(".bqplot path.line")).to_have_count(2)
    assert console.errors == []
