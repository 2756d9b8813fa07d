"""From GET to widgets drawn in Chromium: the analysis page cold, warm, and opened by several people at once, against
plain Voilà serving the same notebook in the same run.

``python -m benchmarks.page_load [--people 10] [--no-stock]``. It starts a server of its own on an embedded database
with sample prices. Plain Voilà gets the same environment and no login; its template asks a foreign host for an icon
font, which is refused here at once, so that no network counts.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

import httpx
import psutil
from dashboards_server import DashboardsServer, free_port, running_server
from playwright.async_api import Browser as AsyncBrowser
from playwright.async_api import TimeoutError as PlaywrightTimeout
from playwright.async_api import async_playwright
from playwright.sync_api import BrowserContext, BrowserType, Page, sync_playwright

from benchmarks._crowd import Person, Record
from dashtrade.db import migrate
from dashtrade.db.embedded import EmbeddedPostgres
from dashtrade.db.engine import make_engine

APPS = Path(__file__).resolve().parent.parent / "apps"
#: The price chart says so once it has drawn its bars.
DRAWN = ".dt-chart[data-ready='1']:not([data-bars='0'])"
#: Notes when the chart is there, on the page's own clock: asking from outside takes a tenth of a second more.
MARK = """(() => {
  const look = () => {
    if (document.querySelector("DRAWN")) window.drawnAt = performance.now();
    else requestAnimationFrame(look);
  };
  look();
})()""".replace("DRAWN", DRAWN)
BUILT = "#rendered_cells.dt-ready .dt-chart canvas"
FLAGS = ["--no-sandbox", "--disable-gpu"]
ADDRESS = "analysis?symbol=AAPL"
ROUNDS = 4


@contextmanager
def database(folder: Path) -> Iterator[str]:
    """Address of a new database with the whole schema."""
    server = EmbeddedPostgres(folder / "database", durable=False).start()
    try:
        engine = make_engine(server.url())
        migrate.upgrade(engine)
        engine.dispose()
        yield server.url()
    finally:
        server.stop()


def ready(server: DashboardsServer) -> None:
    """Wait until the warm process has everything in: what a server is like minutes after its start."""
    deadline = time.monotonic() + 120
    while "all modules are in" not in server.log_text() and time.monotonic() < deadline:
        time.sleep(0.1)


@contextmanager
def profile(browsers: BrowserType, folder: Path) -> Iterator[BrowserContext]:
    """A browser as a person has one: it keeps compiled scripts, which a context without a profile never does."""
    context = browsers.launch_persistent_context(
        str(folder), executable_path="/usr/bin/chromium", args=FLAGS, viewport={"width": 1366, "height": 800}
    )
    try:
        yield context
    finally:
        context.close()


def signed_in(context: BrowserContext, server: DashboardsServer, name: str) -> Page:
    page = context.new_page()
    page.add_init_script(MARK)
    with server.with_session(name) as client:
        token = client.cookies["dashtrade_session"]
    page.context.add_cookies([{"name": "dashtrade_session", "value": token, "url": server.url}])
    return page


def load(page: Page, address: str) -> float:
    """Seconds from the GET to the price chart with its bars, in a page with :data:`MARK`."""
    page.goto(address, wait_until="commit")
    return float(page.wait_for_function("window.drawnAt", timeout=120_000).json_value()) / 1000


def several(page: Page, address: str) -> list[float]:
    times = []
    for _ in range(ROUNDS):
        page.goto("about:blank")
        time.sleep(1.5)  # the page before has ended its kernel
        times.append(load(page, address))
    return times


def crowd(server: DashboardsServer, number: int) -> list[float]:
    """So many people open the page in the same moment, in one browser with a context for each."""

    async def one(browser: AsyncBrowser, name: str, gate: asyncio.Barrier) -> float:
        with server.with_session(name) as client:
            token = client.cookies["dashtrade_session"]
        context = await browser.new_context()
        await context.add_cookies([{"name": "dashtrade_session", "value": token, "url": server.url}])
        page = await context.new_page()
        await gate.wait()
        began = time.perf_counter()
        await page.goto(server.url + ADDRESS, wait_until="commit")
        # the canvas, not its bars: a browser gives no frames to the contexts that are not in front
        try:
            await page.wait_for_selector(BUILT, timeout=180_000, state="attached")
        except PlaywrightTimeout:
            print(f"{name} saw no chart: {await page.inner_text('body')}", file=sys.stderr)
            return math.inf
        return time.perf_counter() - began

    async def everybody() -> list[float]:
        gate = asyncio.Barrier(number)
        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch(executable_path="/usr/bin/chromium", args=FLAGS)
            times = await asyncio.gather(*(one(browser, f"user{which}", gate) for which in range(number)))
            await browser.close()
            return list(times)

    return asyncio.run(everybody())


def crowd_without_browsers(server: DashboardsServer, number: int) -> dict[str, list[float]]:
    """The same over HTTP and websocket, with what a browser would send: what the server's side alone takes until the
    page's HTML, all its widgets and the chart's bars are there."""
    record = Record(measuring=True)

    async def one(name: str, gate: asyncio.Barrier) -> None:
        person = Person(server.url, name, "", record, pause=1, seed=0)
        with server.with_session(name) as client:
            person.http.cookies.set("dashtrade_session", client.cookies["dashtrade_session"], domain="127.0.0.1")
        await gate.wait()
        began = time.perf_counter()
        page = await person.open("analysis")
        await page.charted("AAPL")
        record.took("bars", began)
        await person.leave()
        await person.http.aclose()

    async def everybody() -> None:
        gate = asyncio.Barrier(number)
        await asyncio.gather(*(one(f"user{which}", gate) for which in range(number)))

    asyncio.run(everybody())
    names = {"page: GET": "html", "page: GET to widgets": "widgets", "bars": "bars"}
    return {short: record.times[path] for path, short in names.items()}


def processor_seconds(server: DashboardsServer) -> dict[str, float]:
    """User and system time so far of the server, of its warm process, and of everything the warm process has ended or
    still runs."""
    top = psutil.Process(server.process.pid)
    found = {"server": sum(top.cpu_times()[:2]), "pages": 0.0}
    for warm in top.children():
        times = warm.cpu_times()
        found["warm"] = found.get("warm", 0.0) + times.user + times.system
        found["pages"] += times.children_user + times.children_system
        found["pages"] += sum(sum(page.cpu_times()[:2]) for page in warm.children())
    return found


@contextmanager
def plain_voila(folder: Path, database_url: str) -> Iterator[str]:
    """Voilà as it comes, with the notebooks of the pages; the address of its pages."""
    port = free_port()
    environment = {
        **os.environ,
        "DATABASE_URL": database_url,
        "DASHTRADE_DATA_DIR": str(folder / "plain"),
        "DASHTRADE_SOURCES": "sample",
        "DASHTRADE_USER_ID": "1",
        "DASHTRADE_USERNAME": "ada",
        "DASHTRADE_ROLE": "user",
    }
    command = [sys.executable, "-m", "voila", str(APPS), f"--port={port}", "--no-browser", "--Voila.ip=127.0.0.1"]
    with (folder / "voila.log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, cwd=folder, stdout=log, stderr=log)
    try:
        url = f"http://127.0.0.1:{port}/voila/"
        for _ in range(600):
            try:
                httpx.get(url, timeout=2)
                break
            except httpx.TransportError:
                time.sleep(0.1)
        yield url + "render/"
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def seconds(times: list[float]) -> dict[str, float]:
    return {"median": statistics.median(times), "best": min(times), "worst": max(times)}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--people", type=int, default=10)
    parser.add_argument("--no-stock", action="store_true")
    options = parser.parse_args()
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    result: dict[str, object] = {"load_before": os.getloadavg()[0]}
    with tempfile.TemporaryDirectory(prefix="dashtrade-bench-") as name, database(Path(name)) as url:
        folder = Path(name)
        users = {"ada": "user", **{f"user{which}": "user" for which in range(options.people)}}
        with running_server(url, folder, users=users) as server:
            with sync_playwright() as playwright:
                with profile(playwright.chromium, folder / "ours") as context:
                    page = signed_in(context, server, "ada")
                    result["cold_s"] = load(page, server.url + ADDRESS)
                    ready(server)
                    several(page, server.url + ADDRESS)  # scripts are kept compiled from the third time on
                    warm = several(page, server.url + ADDRESS)
                    result["warm_s"] = seconds(warm)
                browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=FLAGS)
                page = signed_in(browser.new_context(viewport={"width": 1366, "height": 800}), server, "ada")
                load(page, server.url + ADDRESS)
                result["warm_without_profile_s"] = seconds(several(page, server.url + ADDRESS))
                browser.close()
                if not options.no_stock:
                    with plain_voila(folder, url) as plain, profile(playwright.chromium, folder / "plain") as context:
                        other = context.new_page()
                        other.add_init_script(MARK)
                        other.route(lambda address: "127.0.0.1" not in address, lambda route: route.abort())
                        first = load(other, f"{plain}analysis.ipynb?symbol=AAPL")
                        several(other, f"{plain}analysis.ipynb?symbol=AAPL")
                        stock = several(other, f"{plain}analysis.ipynb?symbol=AAPL")
                        result["stock_first_s"], result["stock_s"] = first, seconds(stock)
                        result["warm_to_stock"] = statistics.median(warm) / statistics.median(stock)
            if options.people:
                # a thread, since this one has had an event loop of playwright's
                with ThreadPoolExecutor(1) as thread:
                    before = processor_seconds(server)
                    alone = thread.submit(crowd_without_browsers, server, options.people).result()
                    result["together_without_browsers_s"] = {name: seconds(times) for name, times in alone.items()}
                    after = processor_seconds(server)
                    result["together_processor_s"] = {name: after[name] - before[name] for name in after}
                    together = thread.submit(crowd, server, options.people).result()
                result["together_s"] = {"people": options.people, **seconds(together)}
    result["load_after"] = os.getloadavg()[0]
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
