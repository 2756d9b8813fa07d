"""Account and administration in Chromium: usable, contained, and safe with what people write."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal

import pytest
from dashboards_server import DashboardsServer, add_users
from page_checks import comes_true
from playwright.sync_api import Page, expect
from sqlalchemy import select, text

from dashtrade.auth.vault import Vault, new_key
from dashtrade.db.tables.accounts import AuditLogRow, UserRow
from dashtrade.domain.alerts import NewAlert
from dashtrade.domain.bot_views import NewBot
from dashtrade.domain.users import Role
from dashtrade.pages import PAGES
from dashtrade.services import (
    accounts,
    alert_rules,
    bots,
    channels,
    kill_switches,
    notifications,
    report_schedules,
    strategies,
    users,
    watchlist,
)  # fmt: skip
from dashtrade.services import deliveries as _deliveries  # noqa: F401  declares the job that messages queue
from dashtrade.services.preferences import set_preference
from dashtrade.services.reports import reports
from dashtrade.strategies import PRESETS

MARK = '<img src=x onerror="window.attacked=1"><script>window.attacked=1</script>'


def number_of(dashboards: DashboardsServer, name: str) -> int:
    with dashboards.database() as uow:
        found = uow.session.scalar(select(UserRow.id).where(UserRow.username == name))
    assert found is not None
    return found


@pytest.mark.parametrize("width", [1280, 360])
def test_the_pages_fit_and_break_no_rule(
    dashboards: DashboardsServer, new_page: Callable[..., Page], sign_in: Callable[..., None], width: int
) -> None:
    page = new_page(viewport={"width": width, "height": 800})
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    sign_in(page, "grace", "/account")
    for path, heading in (("account", "Signed-in browsers"), ("admin", "Create a user"), ("admin/audit", "Audit log"),
                          ("admin/sessions", "Signed-in browsers"), ("admin/jobs", "Background jobs"),
                          ("admin/system", "Open pages"), ("admin/settings", "Encryption keys")):  # fmt: skip
        page.goto(dashboards.url + path)
        expect(page.get_by_role("heading", name=heading, exact=True)).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path
        unnamed = "input:not([type=hidden]):not([hidden]), select"
        for field in page.locator(unnamed).all():
            named = field.evaluate("node => node.labels.length || node.ariaLabel")
            assert named, field.evaluate("node => node.outerHTML")
    assert complaints == []


def test_a_password_is_changed_and_deleting_asks_first(
    dashboards: DashboardsServer, page: Page, sign_in: Callable[..., None]
) -> None:
    add_users(dashboards.database_url, {"changer": "user"})
    sign_in(page, "changer", "/account")
    page.fill("#current", dashboards.password)
    page.fill("#new", "four unrelated words here")
    page.fill("#repeat", "four unrelated words here")
    page.get_by_role("button", name="Change password").click()
    expect(page.get_by_role("status")).to_contain_text("Your password is changed")
    page.fill("#delete-name", "changer")
    page.fill("#delete-password", "four unrelated words here")
    page.once("dialog", lambda dialog: dialog.dismiss())
    page.get_by_role("button", name="Delete my account").click()
    page.reload()
    expect(page.get_by_role("heading", name="Delete my account")).to_be_visible()
    page.fill("#delete-name", "changer")
    page.fill("#delete-password", "four unrelated words here")
    page.once("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Delete my account").click()
    expect(page.get_by_role("status")).to_contain_text("deleted")


def test_a_double_click_does_it_once(dashboards: DashboardsServer, page: Page, sign_in: Callable[..., None]) -> None:
    """And shows the answer to the first click; what was done is not said again on the way back."""
    add_users(dashboards.database_url, {"twice": "superadmin"})

    def made() -> list[str]:
        mine = AuditLogRow.actor_id == number_of(dashboards, "twice")
        with dashboards.database() as uow:
            entries = uow.session.scalars(select(AuditLogRow.action).where(mine).order_by(AuditLogRow.id))
            return [action for action in entries if action != "login"]

    sign_in(page, "twice", "/admin")
    page.fill("#username", "double")
    page.fill("#email", "double@example.com")
    page.get_by_role("button", name="Create", exact=True).dblclick(delay=60)  # as a hand does: the first is sent before
    expect(page.locator("#link")).to_have_value(re.compile("set-password"))
    assert made() == ["user_created", "reset_link_made"]
    link = page.input_value("#link")
    page.reload()
    expect(page.locator("#link")).to_have_value(link)
    page.go_back()
    expect(page.get_by_role("heading", name="Create a user")).to_be_visible()
    assert made() == ["user_created", "reset_link_made"]
    page.goto(dashboards.url + "admin")
    page.fill("#username", "again")
    page.fill("#email", "again@example.com")
    # the answer is lost on its way, the page stays, and its form is free again
    page.route("**/admin/create", lambda route: (route.fetch(max_redirects=0), route.fulfill(status=204)))
    page.get_by_role("button", name="Create", exact=True).click()
    comes_true(page, lambda: len(made()) == 4, "the form did not arrive")
    page.unroute("**/admin/create")
    page.evaluate("document.querySelector('form[aria-busy]').removeAttribute('aria-busy')")
    page.get_by_role("button", name="Create", exact=True).click()
    expect(page.locator("#link")).to_have_value(re.compile("set-password"))
    assert made() == ["user_created", "reset_link_made"] * 2
    page.goto(dashboards.url + "account")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_role("status")).to_have_text("Saved.")
    page.reload()
    expect(page.get_by_role("heading", name="Profile")).to_be_visible()
    expect(page.get_by_text("Saved.")).to_have_count(0)


def test_a_table_sorts_filters_pages_and_is_taken_along(
    dashboards: DashboardsServer, page: Page, sign_in: Callable[..., None]
) -> None:
    """One that is whole on its page, as the tables of the other pages do: numbers as numbers, nothing comes last."""
    add_users(dashboards.database_url, {"keeper": "user"})
    number = number_of(dashboards, "keeper")
    with dashboards.database() as uow:
        set_preference(uow, number, "time_zone", "Asia/Tokyo")
        set_preference(uow, number, "number_format", "point_comma")
        for count in range(18):
            bots.create_token(uow, number, label=f"=token {count}" if count else None)
        busy = "UPDATE user_webhook_tokens SET request_count = 1000 + 40 * id WHERE user_id = :id AND label IS NOT NULL"
        uow.session.execute(text(busy), {"id": number})
        first = uow.session.scalar(text("SELECT min(id) FROM user_webhook_tokens WHERE user_id = :id"), {"id": number})
        made = "UPDATE user_webhook_tokens SET created_at = '2026-03-02 15:04:05+00' WHERE user_id = :id"
        uow.session.execute(text(made), {"id": number})
        uow.commit()
    assert first is not None
    sign_in(page, "keeper", "/account")
    region = page.get_by_role("region", name="Webhook tokens")
    panel = page.locator("section", has=region)
    label = region.locator("tbody tr td:nth-child(2)")
    expect(label).to_have_count(15)
    expect(panel.get_by_text("Page 1 of 2")).to_be_visible()
    head = region.get_by_role("columnheader", name="Label")
    head.get_by_role("button").click()
    expect(head).to_have_attribute("aria-sort", "ascending")
    expect(label.nth(1)).to_have_text("=token 2")  # not 10
    panel.get_by_role("button", name="Next").click()
    expect(label).to_have_text(["=token 16", "=token 17", "–"])
    head.get_by_role("button").click()
    expect(head).to_have_attribute("aria-sort", "descending")
    expect(label.last).to_have_text("–")
    region.get_by_role("columnheader", name="Requests").get_by_role("button").click()
    expect(region.locator("tbody tr td:nth-child(4)").first).to_have_text(
        f"{1000 + 40 * (first + 15):,}".replace(",", ".")
    )
    panel.get_by_role("searchbox").fill("TOKEN 1")
    expect(label).to_have_count(9)  # 1 and 10 to 17
    expect(panel.get_by_text("Page 1 of")).to_be_hidden()
    made_at = region.locator("tbody time").first
    expect(made_at).to_have_text("2026-03-03 00:04")
    expect(made_at).to_have_attribute(
        "title", "2026-03-03 00:04:05 Tokyo · 2026-03-02 15:04:05 UTC · 2026-03-02 10:04:05 New York"
    )
    with page.expect_download() as taken:
        panel.get_by_role("button", name="Webhook tokens as CSV").click()
    assert taken.value.suggested_filename == "dashtrade-webhook-tokens.csv"
    lines = list(csv.DictReader(taken.value.path().read_text(encoding="utf-8-sig").splitlines()))
    assert [line["Requests"] for line in lines] == [str(1000 + 40 * (first + n)) for n in (1, *range(10, 18))]
    assert (
        lines[0]["Label"] == "'=token 1" and lines[0]["Made"] == "2026-03-02T15:04:05Z" and lines[0]["Last used"] == ""
    )
    assert list(lines[0]) == ["Begins with", "Label", "Bot", "Requests", "Last used", "Made"]  # without the buttons
    panel.get_by_role("searchbox").fill("nothing like it")
    expect(panel.get_by_text("No line matches the filter.")).to_be_visible()


#: Pages that show what a person wrote into the database; the others show what stands in the address.
WRITTEN = ("alerts", "bot", "home", "portfolio", "reports", "strategies")
READ = """() => document.querySelector("main").innerText + " " +
  [...document.querySelectorAll("main input, main textarea")].map((field) => field.value).join(" ")"""


def test_what_people_write_never_becomes_markup(dashboards: DashboardsServer, page: Page) -> None:
    """Names, notes, reasons and addresses, in every tab of every page that shows them."""
    add_users(dashboards.database_url, {"writer": "user"})
    number = number_of(dashboards, "writer")
    with dashboards.database() as uow:
        users.set_profile(uow, number, full_name=MARK, email_enabled=True)
        watchlist.watch(uow, number, "AAPL", name=MARK, notes=MARK)
        bots.create_bot(uow, number, NewBot("MSFT", "1h", Decimal(100), strategy_name=MARK[:100]))
        bots.create_token(uow, number, label=MARK[:100])
        kill_switches.set_halt(uow, reason=MARK, set_by="writer", user_id=number)
        kill_switches.set_halt(uow, reason=MARK, set_by="writer", user_id=number, symbol="MSFT")
        strategies.save_strategy(uow, number, replace(PRESETS["sma_cross"].build(), name=MARK), notes=MARK)
        alert_rules.add_alert(uow, number, NewAlert("price_above", "1", "AAPL", name=MARK))
        report_schedules.add_schedule(uow, number, next(iter(reports())), "30 16 * * 1-5", name=MARK)
        channels.add_channel(uow, number, Vault(new_key()).seal, MARK[:80], "json://127.0.0.1/x")
        notifications.notify(uow, number, "test", MARK, MARK)
        assert users.set_role(uow, number, Role.ADMIN).role is Role.ADMIN
        token = accounts.open_session(uow, number)
        uow.commit()
    page.context.add_cookies([{"name": "dashtrade_session", "value": token, "url": dashboards.url}])
    query = f"symbol={MARK}&strategy={MARK}&name={MARK}&q={MARK}"
    for path in (*PAGES, "account", f"admin?{query}", f"admin/audit?{query}"):
        page.goto(f"{dashboards.url}{path}?{query}" if path in PAGES and path != "portfolio" else dashboards.url + path)
        expect(page.locator(".dt-user .dt-name")).to_have_text("writer")
        if path in PAGES:
            page.wait_for_selector("#rendered_cells.dt-ready", timeout=60_000)
        seen: list[str] = []

        def written(path: str = path, seen: list[str] = seen) -> bool:
            for tab in page.get_by_role("tab").all() if path in PAGES else ():
                if tab.is_visible():
                    tab.click()
                    seen.append(page.evaluate(READ))
            seen.append(page.evaluate(READ))
            return MARK[:24] in " ".join(seen)

        if path in WRITTEN or path not in PAGES:
            comes_true(page, written, f"{path} does not show it")  # it is there, as text
        else:
            written()
        assert page.evaluate("window.attacked") is None, path
        assert page.locator("img[src=x]").count() == 0, path
