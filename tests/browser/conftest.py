"""A real server and a real Chromium for the browser tests; one of each for the whole run."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from dashboards_server import DashboardsServer, clone_database, running_server
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
ARTIFACTS = Path(__file__).resolve().parents[2] / "artifacts"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.browser)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]
    setattr(item, f"report_{report.when}", report)


@pytest.fixture(scope="session")
def dashboards(postgres_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DashboardsServer]:
    """The real server with the real pages and sample prices; users ada (user) and grace (superadmin)."""
    database_url = clone_database(postgres_url, "browser_tests")
    folder = tmp_path_factory.mktemp("dashboards")
    users = {"ada": "user", "grace": "superadmin"}
    with running_server(database_url, folder, users=users) as server:
        yield server


@pytest.fixture(scope="module")  # while it lives, an event loop runs in this thread, which other tests could not bear
def browser() -> Iterator[Browser]:
    if not CHROMIUM.exists():
        pytest.skip(f"no {CHROMIUM}: install chromium to run the browser tests")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def new_page(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Callable[..., Page]]:
    """Call it for a page in a browser profile of its own; keyword arguments go to the profile.

    When the test fails, a picture of every such page is kept in ``artifacts/``.
    """
    contexts: list[BrowserContext] = []

    def make(**options: object) -> Page:
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 800}, **options})  # type: ignore[arg-type]
        context.set_default_timeout(20_000)
        contexts.append(context)
        return context.new_page()

    yield make
    report = getattr(request.node, "report_call", None)
    failed = report is not None and report.failed
    for number, context in enumerate(contexts):
        for page in context.pages:
            if failed:
                ARTIFACTS.mkdir(exist_ok=True)
                name = re.sub(r"[^A-Za-z0-9_-]+", "-", request.node.name)
                page.screenshot(path=str(ARTIFACTS / f"{name}-{number}.png"))
            page.close(run_before_unload=False)
        context.close()


@pytest.fixture
def page(new_page: Callable[..., Page]) -> Page:
    """A page without a session."""
    return new_page()


@pytest.fixture
def sign_in(dashboards: DashboardsServer) -> Callable[..., None]:
    """``sign_in(page, "ada")`` goes through the login form; ``target`` is where it leads."""

    def go(page: Page, username: str = "ada", target: str = "") -> None:
        page.goto(f"{dashboards.url}login" + (f"?next={target}" if target else ""))
        page.fill("#username", username)
        page.fill("#password", dashboards.password)
        page.click("button[type=submit]")

    return go


@pytest.fixture
def open_page(sign_in: Callable[..., None], dashboards: DashboardsServer) -> Callable[..., None]:
    """``open_page(page, "analysis?symbol=AAPL")`` signs in and waits until the page's widgets are drawn."""

    def go(page: Page, address: str, username: str = "ada") -> None:
        page.goto(dashboards.url + address)
        if "/login" in page.url:
            page.fill("#username", username)
            page.fill("#password", dashboards.password)
            page.click("button[type=submit]")
        page.wait_for_selector("#rendered_cells.dt-ready", timeout=60_000)

    return go
