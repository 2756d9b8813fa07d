"""Memory of each page when it is open in Chromium, and how many pages fit into 16 GB.

``python -m benchmarks.page_memory [--pages 60]``. Memory is read from /proc: PSS divides shared memory among its users,
private is what ends with the page. For the second table so many pages, all kinds in turn, are really opened at once, by
HTTP and websocket as a browser does it but without drawing; what the server, the warm process and all pages take
together is measured at a third of them and at all, and the line through both is drawn on to 16 GB.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import psutil
from playwright.sync_api import sync_playwright

from benchmarks.page_load import FLAGS, database, ready, signed_in  # isort: skip  (it adds the tests' helpers)
from dashboards_server import DashboardsServer, kernel_of, running_server  # isort: skip
from kernel_socket import KernelSocket  # isort: skip

PAGES = ("home", "analysis", "portfolio", "comparison", "backtest", "strategies", "alerts", "bot", "reports")
QUERY = "?symbol=AAPL"
ROOM_MB = 16 * 1024


def memory(pid: int) -> tuple[float, float]:
    """PSS and private memory of one process, MB."""
    found = {"Pss": 0, "Private_Clean": 0, "Private_Dirty": 0}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        name, _, rest = line.partition(":")
        if name in found:
            found[name] = int(rest.split()[0])
    return found["Pss"] / 1024, (found["Private_Clean"] + found["Private_Dirty"]) / 1024


def kernels_of(server: DashboardsServer) -> set[int]:
    """Processes of open pages: the grandchildren of the server, below the warm process."""
    warm = psutil.Process(server.process.pid).children()
    return {child.pid for process in warm for child in process.children()}


def everything_mb(server: DashboardsServer) -> float:
    """PSS of the server and all that it started."""
    top = psutil.Process(server.process.pid)
    return sum(memory(process.pid)[0] for process in (top, *top.children(recursive=True)))


def in_the_browser(server: DashboardsServer) -> None:
    """Opens every page, one beside the other, and prints what each takes when all are open."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=FLAGS)
        context = signed_in(browser.new_context(viewport={"width": 1366, "height": 800}), server, "ada").context
        known, opened = kernels_of(server), {}
        for slug in PAGES:
            page = context.new_page()
            page.goto(server.url + slug + QUERY)
            page.wait_for_selector("#rendered_cells.dt-ready", timeout=120_000)
            page.wait_for_timeout(3000)  # what it loads in the background is there
            new = kernels_of(server) - known
            opened[slug], known = new.pop(), kernels_of(server)
        print(f"{'page':<12} {'private MB':>10} {'PSS MB':>8}")
        for slug, pid in opened.items():
            pss, private = memory(pid)
            print(f"{slug:<12} {private:>10.1f} {pss:>8.1f}")
        browser.close()


def at_once(server: DashboardsServer, number: int) -> None:
    """Opens ``number`` pages and keeps them open."""
    measured: list[tuple[int, float]] = []
    with ExitStack() as stack, server.with_session("ada") as client:
        cookies = f"dashtrade_session={client.cookies['dashtrade_session']}"
        for count in range(1, number + 1):
            answer = client.get(PAGES[count % len(PAGES)] + QUERY)
            answer.raise_for_status()
            socket = stack.enter_context(KernelSocket(server.url, kernel_of(answer.text), cookies))
            socket.widgets()  # the browser asks for the state of all widgets, too
            if count in (number // 3, number):
                time.sleep(3)
                measured.append((count, everything_mb(server)))
    (few, few_mb), (many, many_mb) = measured
    each = (many_mb - few_mb) / (many - few)
    fit = int((ROOM_MB - many_mb) / each + many)
    print(f"{few} pages {few_mb:.0f} MB, {many} pages {many_mb:.0f} MB, server and warm process included")
    print(f"one page more: {each:.1f} MB; in 16 GB: {fit} pages {'(measured beyond)' if many_mb > ROOM_MB else ''}")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--pages", type=int, default=60)
    number = parser.parse_args().pages
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    limits = {"DASHTRADE_PAGES_PER_USER": str(number + 20), "DASHTRADE_PAGES_TOTAL": str(number + 40)}
    with (
        tempfile.TemporaryDirectory(prefix="dashtrade-bench-") as name,
        database(Path(name)) as url,
        running_server(url, Path(name), **limits) as server,
    ):
        ready(server)
        time.sleep(2)
        in_the_browser(server)
        time.sleep(3)
        at_once(server, number)


if __name__ == "__main__":
    main()
