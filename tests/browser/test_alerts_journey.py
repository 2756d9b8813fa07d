"""The alerts page in Chromium: a rule is made, the engine runs once over real imported bars, history and bell tell."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from alert_house import Context, last_hour
from dashboards_server import DashboardsServer, form_token
from page_checks import SCREENS, Console, fits_the_screen, keep_picture
from playwright.sync_api import Page, expect
from sqlalchemy import NullPool, delete, select, update

from dashtrade.db.engine import make_engine
from dashtrade.db.tables.accounts import PriceAlertRow, UserRow
from dashtrade.db.tables.alerts import AlertCursorRow, AlertRuleRow, NotificationRow
from dashtrade.db.unit_of_work import UnitOfWork
from dashtrade.services.alert_engine import run_pass
from dashtrade.services.notifications import notify
from dashtrade.settings import Settings

Open = Callable[..., None]
CLOSES = [100.0] * 40 + [99.0, 103.0]
ATTACK = '<img src=x onerror="window.attacked=1">'


@pytest.fixture(scope="module")
def symbol(dashboards: DashboardsServer) -> str:
    """Hourly bars up to the newest closed hour, imported as a person's own file."""
    from dashtrade.data.files import FilesSource
    from dashtrade.data.importer import import_file

    name = "ALERT-USD"  # trades around the clock
    last = last_hour()
    lines = ["time,open,high,low,close,volume"]
    for n, close in enumerate(CLOSES):
        at = last - timedelta(hours=len(CLOSES) - 1 - n)
        lines.append(f"{at:%Y-%m-%dT%H:%M:%S+00:00},{close},{close + 1},{close - 1},{close},1000")
    file = dashboards.data_dir.parent / "alert.csv"
    file.write_text("\n".join(lines))
    settings = Settings(_env_file=None, data_dir=dashboards.data_dir)  # type: ignore[call-arg]
    import_file(file, FilesSource(settings.imported_dir), symbol=name)
    return name


@pytest.fixture(autouse=True)
def no_messages(dashboards: DashboardsServer) -> None:
    with dashboards.database() as uow:
        uow.session.execute(delete(PriceAlertRow))
        uow.session.execute(delete(NotificationRow))
        uow.session.execute(delete(AlertCursorRow))
        uow.commit()


def run_engine(dashboards: DashboardsServer) -> int:
    """One pass over the market as the jobs worker makes it; the rules count as made two days ago."""
    from dashtrade.bootstrap import make_market

    settings = Settings(_env_file=None, data_dir=dashboards.data_dir, sources=("files",))  # type: ignore[call-arg]
    engine = make_engine(dashboards.database_url, poolclass=NullPool)
    with UnitOfWork(engine) as uow:
        since = datetime.now(UTC) - timedelta(days=2)
        uow.session.execute(update(AlertRuleRow).values(active_since=since))
        uow.commit()
    events = run_pass(Context(settings, lambda: UnitOfWork(engine), make_market(settings)))  # type: ignore[arg-type]
    engine.dispose()
    return len(events)


@pytest.mark.parametrize("screen", ["desktop-dark", "phone-light"])
def test_from_a_rule_to_the_bell(
    new_page: Callable[..., Page], open_page: Open, dashboards: DashboardsServer, symbol: str, screen: str
) -> None:
    page = new_page(**SCREENS[screen])
    console = Console(page)
    open_page(page, f"alerts?symbol={symbol}&type=price_above&level=102&interval=1h&source=files")
    expect(page.get_by_label("Symbol", exact=True)).to_have_value(symbol)
    expect(page.get_by_text(f"{symbol}: Close is above 102, on hourly bars.")).to_be_visible()
    page.get_by_placeholder("what the message calls it").fill(ATTACK)
    page.get_by_role("button", name="Try on the last year").click()
    expect(page.get_by_text("Would have told 1 time, last on")).to_be_visible()
    fits_the_screen(page)
    keep_picture(page, f"alerts-new-{screen}")
    page.get_by_role("button", name="Save alert").click()
    row = page.locator("tr", has_text="Close is above 102")
    expect(row.get_by_text("● on")).to_be_visible()
    keep_picture(page, f"alerts-rules-{screen}")
    with dashboards.database() as uow:
        [kept] = uow.session.execute(select(PriceAlertRow.symbol, PriceAlertRow.condition_text)).all()
        assert tuple(kept) == (symbol, "102")

    assert run_engine(dashboards) == 1
    page.reload()
    page.wait_for_selector("#rendered_cells.dt-ready", timeout=60_000)
    bell = page.locator(".dt-bell summary")
    expect(bell).to_have_accessible_name("Notifications, 1 unread")
    bell.click()
    expect(page.locator(".dt-bell-item strong")).to_have_text(f"{symbol}: {ATTACK}")
    fits_the_screen(page)
    keep_picture(page, f"alerts-bell-{screen}")
    page.get_by_role("link", name="Alert history").click()
    page.wait_for_selector("#rendered_cells.dt-ready", timeout=60_000)
    told = page.locator("tbody tr", has_text="✓ program")
    expect(told).to_contain_text("103.00")
    expect(told).to_contain_text("✓ program")
    expect(told.get_by_role("link", name="Open")).to_have_attribute(
        "href", f"analysis?symbol={symbol}&interval=1h&source=files"
    )
    fits_the_screen(page)
    keep_picture(page, f"alerts-history-{screen}")

    bell.click()
    page.get_by_role("button", name="Mark all as read").click()
    expect(bell).to_have_accessible_name("Notifications")
    page.keyboard.press("Escape")
    expect(page.locator(".dt-bell-panel")).to_be_hidden()
    page.get_by_role("button", name="Rules", exact=True).click()
    row = page.locator("tr", has_text="Close is above 102")
    expect(row.get_by_text("○ off")).to_be_visible()  # once
    delete = row.get_by_role("button", name="Delete")
    delete.click()
    row.get_by_role("button", name="Confirm").click()
    expect(page.get_by_text("No alert yet.")).to_be_visible()
    with dashboards.database() as uow:
        assert uow.session.scalars(select(PriceAlertRow.id)).all() == []
    assert page.evaluate("window.attacked") is None
    assert console.errors == []


def test_the_bell_is_its_owners_and_leads_nowhere_else(dashboards: DashboardsServer) -> None:
    with dashboards.database() as uow:
        ada = uow.session.scalars(select(UserRow.id).where(UserRow.username == "ada")).one()
        for link in ("https://evil.example/", "javascript:alert(1)", "//evil.example", "analysis?symbol=AAPL"):
            notify(uow, ada, "system", link, "text", link=link, channels=[])
        uow.commit()
    with dashboards.with_session("ada") as client:
        found = client.get("api/notifications").json()
        assert found["unread"] == 4
        assert [item["link"] for item in found["items"]] == ["analysis?symbol=AAPL", None, None, None]
        assert client.post("api/notifications", json={"all": True}).status_code == 403, "a form token is needed"
        token = {"X-XSRFToken": form_token(client.get("account").text)}
        for wrong in ({}, {"ids": "1"}, {"ids": [True]}, {"ids": [2**70]}, []):
            assert client.post("api/notifications", json=wrong, headers=token).status_code == 400
        one = {"ids": [found["items"][0]["id"]]}
        with dashboards.with_session("grace") as stranger:
            assert stranger.get("api/notifications").json() == {"unread": 0, "items": []}
            hers = {"X-XSRFToken": form_token(stranger.get("account").text)}
            stranger.post("api/notifications", json=one, headers=hers).raise_for_status()
        assert client.get("api/notifications").json()["unread"] == 4
        assert client.post("api/notifications", json=one, headers=token).json()["unread"] == 3
        assert client.post("api/notifications", json={"all": True}, headers=token).json()["unread"] == 0
    with dashboards.client() as nobody:
        assert nobody.get("api/notifications").status_code in (302, 403)
