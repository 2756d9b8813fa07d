"""Through the real login page to a page with drawn widgets, and out again, in Chromium."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from urllib.parse import urlsplit

import psutil
import pytest
from dashboards_server import DashboardsServer
from pg_proxy import PgProxy
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


def test_a_wrong_password_says_so_and_keeps_the_name(dashboards: DashboardsServer, page: Page) -> None:
    page.goto(dashboards.url + "login")
    page.fill("#username", "ada")
    page.fill("#password", "wrong")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_have_text("The user name or the password is not right.")
    expect(page.locator("#username")).to_have_value("ada")
    expect(page.locator("#password")).to_have_value("")
    expect(page.locator("#password")).to_be_focused()


LATE_LOOKS = """
const real = setTimeout;
window.setTimeout = (call, ms, ...rest) => real(call, ms === 100 ? 3000 : ms, ...rest);
"""


def test_a_page_is_drawn_although_its_browser_looks_late(
    dashboards: DashboardsServer, page: Page, open_page: Callable[..., None]
) -> None:
    """On a busy machine a tenth of a second takes three: the widgets come in the last pause between two looks."""
    page.add_init_script(LATE_LOOKS)
    open_page(page, "analysis")
    expect(page.locator("#rendered_cells")).not_to_contain_text("Error displaying widget")
    expect(page.locator("#rendered_cells .dt-chart canvas").first).to_be_attached()


def test_a_page_loads_nothing_foreign_and_breaks_no_rule(
    dashboards: DashboardsServer, page: Page, open_page: Callable[..., None]
) -> None:
    foreign: list[str] = []
    complaints: list[str] = []
    host = urlsplit(dashboards.url).netloc

    def look(address: str) -> None:
        parts = urlsplit(address)
        if parts.scheme in ("http", "https", "ws", "wss") and parts.netloc != host:
            foreign.append(address)

    scripts: list[str] = []
    page.on("request", lambda request: look(request.url))
    page.on("request", lambda request: scripts.append(urlsplit(request.url).path))
    page.on("websocket", lambda socket: look(socket.url))
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    before = len(dashboards.log_text())
    open_page(page, "analysis")
    page.wait_for_timeout(500)
    assert foreign == []
    assert complaints == []
    one_by_one = [
        path for path in scripts if path.endswith(".js") and "/app/" not in path and "remoteEntry" not in path
    ]
    names = sorted(path.rpartition("/")[2] for path in one_by_one)
    assert names == ["chart.js", "front.js"], "add the others to front_end.txt"
    assert [line for line in dashboards.log_text()[before:].splitlines() if " INFO " not in line] == []


def test_the_theme_is_kept(dashboards: DashboardsServer, new_page: Callable[..., Page]) -> None:
    page = new_page(color_scheme="dark")
    page.goto(dashboards.url + "login")
    root = page.locator("html")
    expect(root).to_have_attribute("data-theme", "dark")
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.click("#dt-theme")
    expect(root).to_have_attribute("data-theme", "light")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != dark
    page.goto(dashboards.url + "nothing-here")
    expect(root).to_have_attribute("data-theme", "light")


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_text_stands_out_from_its_ground(
    dashboards: DashboardsServer, new_page: Callable[..., Page], theme: str
) -> None:
    """The contrast that WCAG 2 asks for small text is 4.5."""
    page = new_page(color_scheme=theme)
    page.goto(dashboards.url + "login")
    contrast = page.evaluate(
        """() => {
          const style = getComputedStyle(document.documentElement);
          const light = (name) => {
            const hex = style.getPropertyValue(name).trim().slice(1);
            const [r, g, b] = [0, 2, 4].map((i) => parseInt(hex.slice(i, i + 2), 16) / 255)
              .map((c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
            return 0.2126 * r + 0.7152 * g + 0.0722 * b;
          };
          const found = {};
          for (const text of ["--dt-text", "--dt-muted", "--dt-accent", "--dt-up", "--dt-down"])
            for (const ground of ["--dt-bg", "--dt-panel", "--dt-raised"]) {
              const [a, b] = [light(text), light(ground)].sort((x, y) => y - x);
              found[`${text} on ${ground}`] = (a + 0.05) / (b + 0.05);
            }
          return found;
        }"""
    )
    assert len(contrast) == 15
    assert {pair: round(value, 2) for pair, value in contrast.items() if value < 4.5} == {}


@pytest.mark.parametrize("address", ["login", "analysis"])
def test_a_phone_needs_no_sideways_scrolling(
    dashboards: DashboardsServer, new_page: Callable[..., Page], open_page: Callable[..., None], address: str
) -> None:
    page = new_page(viewport={"width": 390, "height": 844}, has_touch=True)
    if address == "login":
        page.goto(dashboards.url + "login")
    else:
        open_page(page, address)
    widths = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert widths[0] <= widths[1]


def test_logging_out(dashboards: DashboardsServer, page: Page, open_page: Callable[..., None]) -> None:
    open_page(page, "analysis")
    page.click(".dt-user summary")
    page.click("#dt-logout")
    expect(page).to_have_url(dashboards.url + "login")
    page.goto(dashboards.url + "analysis")
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


def test_the_shell_works_with_the_keyboard(
    dashboards: DashboardsServer, page: Page, open_page: Callable[..., None]
) -> None:
    open_page(page, "analysis")
    page.keyboard.press("Tab")
    expect(page.locator(".dt-skip")).to_be_focused()
    page.locator(".dt-user summary").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#dt-logout")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#dt-logout")).to_be_hidden()
    expect(page.locator(".dt-user summary")).to_be_focused()


def test_a_page_that_lost_its_kernel_says_so_and_reloads(
    dashboards: DashboardsServer, page: Page, open_page: Callable[..., None]
) -> None:
    def processes() -> set[int]:
        return {child.pid for child in psutil.Process(dashboards.process.pid).children(recursive=True)}

    page.goto(dashboards.url + "login")
    before = processes()
    open_page(page, "analysis")
    for pid in processes() - before:
        psutil.Process(pid).kill()
    banner = page.locator("#dt-gone")
    expect(banner).to_contain_text("closed")
    assert page.evaluate("document.getElementById('rendered_cells').inert")
    page.click("#dt-reload")
    page.wait_for_selector("#rendered_cells.dt-ready")
    expect(banner).to_be_hidden()


def test_a_page_whose_connection_was_cut_connects_again_and_says_nothing_false(
    dashboards: DashboardsServer, page: Page, open_page: Callable[..., None]
) -> None:
    proxy = PgProxy(dashboards.url)
    through = replace(dashboards, url=proxy.url)
    said: list[str] = []
    page.expose_function("heard", lambda text: said.append(text))
    try:
        page.goto(through.url + "analysis")
        page.fill("#username", "ada")
        page.fill("#password", dashboards.password)
        page.click("button[type=submit]")
        page.wait_for_selector("#rendered_cells.dt-ready", timeout=60_000)
        page.evaluate(
            """() => {
                const gone = document.getElementById("dt-gone"), text = document.getElementById("dt-gone-text");
                const listen = { attributes: true, subtree: true, childList: true };
                new MutationObserver(() => gone.hidden || heard(text.textContent)).observe(gone, listen);
                window.opened = 0;
                document.addEventListener("dt-socket", (event) => { window.opened += event.detail === "open"; });
            }"""
        )
        banner = page.locator("#dt-gone")
        proxy.cut()  # a moment's loss
        page.wait_for_function("window.opened === 1")
        expect(banner).to_be_hidden()
        proxy.close_all()  # a longer one
        expect(banner).to_contain_text("cannot be reached")
        assert page.evaluate("document.getElementById('rendered_cells').inert")
        proxy.open = True
        page.wait_for_function("window.opened === 2")
        expect(banner).to_be_hidden()
        assert not page.evaluate("document.getElementById('rendered_cells').inert")
        page.wait_for_load_state("networkidle")
    finally:
        page.close()
        proxy.stop()
    assert said
    assert not [text for text in said if "closed" in text or "signed out" in text or "does not come back" in text], said


def test_the_error_screens_look_like_the_app(
    dashboards: DashboardsServer, page: Page, open_page: Callable[..., None]
) -> None:
    open_page(page, "analysis")
    answer = page.goto(dashboards.url + "nothing-here")
    assert answer is not None
    assert answer.status == 404
    expect(page.get_by_role("heading", name="There is no such page")).to_be_visible()
    expect(page.locator(".dt-bar .dt-brand")).to_be_visible()
    page.get_by_role("link", name="To your pages").click()
    page.wait_for_selector("#rendered_cells.dt-ready")
