"""From GET to widgets drawn in Chromium: the analysis page cold, warm, and opened by several people at once; memory.

``python -m benchmarks.page_load [--people 10]``. It starts a server of its own on an embedded database with sample
prices. Memory is read from /proc: PSS divides shared memory among its users, private is what ends with the page.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from dashboards_server import DashboardsServer, running_server
from playwright.sync_api import Page, sync_playwright

from dashtrade.db import migrate
from dashtrade.db.embedded import EmbeddedPostgres
from dashtrade.db.engine import make_engine

DRAWN = "#rendered_cells canvas"
FLAGS = ["--no-sandbox", "--disable-gpu"]


def sign_in(page: Page, server: DashboardsServer, name: str) -> None:
    page.goto(server.url + "login")
    page.fill("#username", name)
    page.fill("#password", server.password)
    page.click("form.dt-card button[type=submit]")
    page.wait_for_selector(".dt-nav")


def load(page: Page, address: str) -> float:
    """Seconds from the GET to the first chart's canvas."""
    began = time.perf_counter()
    page.goto(address, wait_until="commit")
    page.wait_for_selector(DRAWN, timeout=120_000)
    return time.perf_counter() - began


def crowd(server: DashboardsServer, number: int) -> list[float]:
    """So many people open the page in the same moment, each with a browser context of their own."""
    times: list[float] = []
    gate = threading.Barrier(number)

    def one(which: int) -> None:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=FLAGS)
            page = browser.new_page()
            with server.with_session(f"user{which}") as client:
                token = client.cookies["dashtrade_session"]
            page.context.add_cookies([{"name": "dashtrade_session", "value": token, "url": server.url}])
            page.goto(server.url + "login", wait_until="commit")
            gate.wait()
            times.append(load(page, server.url + "analysis?symbol=AAPL"))
            browser.close()

    threads = [threading.Thread(target=one, args=(which,)) for which in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return times


def memory(pid: int) -> dict[str, float]:
    """PSS and private memory of one process, MB."""
    found = {"Pss": 0, "Private_Clean": 0, "Private_Dirty": 0}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        name, _, rest = line.partition(":")
        if name in found:
            found[name] = int(rest.split()[0])
    return {"pss_mb": found["Pss"] / 1024, "private_mb": (found["Private_Clean"] + found["Private_Dirty"]) / 1024}


def kernels_of(server: DashboardsServer) -> list[int]:
    """Processes of open pages: the grandchildren of the server, below the zygote."""
    import psutil

    zygotes = psutil.Process(server.process.pid).children()
    return [child.pid for zygote in zygotes for child in zygote.children()]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--people", type=int, default=10)
    people = parser.parse_args().people
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    with tempfile.TemporaryDirectory(prefix="dashtrade-bench-") as name:
        folder = Path(name)
        database = EmbeddedPostgres(folder / "database", durable=False).start()
        try:
            engine = make_engine(database.url())
            migrate.upgrade(engine)
            engine.dispose()
            users = {"ada": "user", **{f"user{which}": "user" for which in range(people)}}
            with running_server(database.url(), folder, users=users) as server, sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=FLAGS)
                page = browser.new_page()
                sign_in(page, server, "ada")
                cold = load(page, server.url + "analysis?symbol=AAPL")
                warm = []
                for _ in range(5):
                    page.goto("about:blank")
                    time.sleep(2)
                    warm.append(load(page, server.url + "analysis?symbol=AAPL"))
                time.sleep(3)
                open_pages = [memory(pid) for pid in kernels_of(server)]
                browser.close()
                result = {
                    "cold_s": cold,
                    "warm_s": {"median": statistics.median(warm), "best": min(warm), "worst": max(warm)},
                    "memory_of_open_pages": open_pages,
                }
            if people:
                with running_server(database.url(), folder, users={}) as server:
                    time.sleep(15)  # the zygote is ready
                    together = crowd(server, people)
                    result["together_s"] = {
                        "people": people,
                        "median": statistics.median(together),
                        "worst": max(together),
                    }
            print(json.dumps(result, indent=1))
        finally:
            database.stop()


if __name__ == "__main__":
    main()
