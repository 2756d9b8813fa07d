"""From a click to the drawn picture in Chromium, and how smoothly a full chart pans. Medians of ten.

The page is the real one, served by the whole workbench on sample data; the chart alone is drawn with 20,000 bars,
10 lines and 3 panes, as wide as a laptop's screen.
"""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from base64 import b64encode
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.startup import answers, free_ports

CHROMIUM = "/usr/bin/chromium"
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking"]
TIMES = 10
PASSWORD = "Correct-Horse-7-Battery"
DRAWN = ".dt-chart[data-ready='1']:not([data-bars='0'])"
# Milliseconds from an action in the page to the frame after the chart has drawn what ``test`` asks for.
UNTIL = """([act, test]) => new Promise((resolve) => {
  const box = document.querySelector(".dt-chart"), there = new Function("box", "return " + test);
  const start = performance.now();
  const watch = new MutationObserver(() => {
    if (box.dataset.ready !== "1" || !there(box)) return;
    watch.disconnect();
    requestAnimationFrame(() => requestAnimationFrame(() => resolve(performance.now() - start)));
  });
  watch.observe(box, { attributes: true, childList: true });
  new Function(act)();
})"""
BUTTON = "[...document.querySelectorAll('button')].find((b) => b.textContent.includes({0!r})).click()"
CHIP = "[...document.querySelectorAll('button.dt-chip')].find((b) => b.textContent.includes({0!r})).click()"
SYMBOL = """const field = document.querySelector('[role=combobox]'); field.value = '{0}';
field.dispatchEvent(new KeyboardEvent('keydown', {{ key: 'Enter' }}))"""


def page_times(page: Any) -> dict[str, list[float]]:
    """Milliseconds of each interaction with the analysis page, which shows AAPL."""
    page.locator(DRAWN).wait_for(timeout=90_000)
    page.get_by_label("Add", exact=True).select_option(label="MACD (trend)")
    page.wait_for_timeout(3_000)
    found: dict[str, list[float]] = {name: [] for name in ("indicator added", "indicator removed", "symbol changed")}
    for number in range(TIMES):
        panes = int(page.locator(DRAWN).get_attribute("data-panes"))
        added = page.evaluate(UNTIL, [BUTTON.format("Add indicator"), f"box.dataset.panes === '{panes + 1}'"])
        removed = page.evaluate(UNTIL, [CHIP.format("MACD"), f"box.dataset.panes === '{panes}'"])
        symbol = ("IBM", "AAPL")[number % 2]
        title = f"box.querySelector('.dt-chart-title')?.textContent.startsWith('{symbol}')"
        changed = page.evaluate(UNTIL, [SYMBOL.format(symbol), title])
        for name, value in zip(found, (added, removed, changed), strict=True):
            found[name].append(value)
        page.wait_for_timeout(150)
    return found


SHOWN = """([name, test]) => new Promise((resolve) => {
  const there = new Function("return " + test), start = performance.now();
  [...document.querySelectorAll("button")].find((b) => b.textContent === name).click();
  const look = () => there() ? requestAnimationFrame(() => resolve(performance.now() - start)) : setTimeout(look, 4);
  setTimeout(look, 4);
})"""
"""Milliseconds from a click on a button to the frame after ``test`` has become true."""


def backtest_times(page: Any) -> dict[str, list[float]]:
    """Milliseconds of a backtest of the whole sample (3,270 daily bars) and of a sweep of 1,000 combinations on it."""

    def fill(label: str, number: int, text: str) -> None:
        control = page.get_by_label(label, exact=True).locator("visible=true").nth(number)
        control.fill(text)
        control.press("Tab")

    found: dict[str, list[float]] = {"backtest drawn": [], "sweep of 1,000 combinations shown": []}
    press = "[...document.querySelectorAll('button')].find((b) => b.textContent === {0!r}).click()"
    for number in range(TIMES):
        fill("Fast", 0, str(5 + number))
        page.wait_for_function(f"location.search.includes('set_fast={5 + number}')" if number != 4 else "true")
        words = f"document.querySelector('.dt-head')?.innerText.includes('fast={5 + number},')"
        drawn = f"{words} && document.querySelectorAll('.bqplot path.line').length >= 3"
        found["backtest drawn"].append(page.evaluate(SHOWN, ["Run backtest", drawn]))
        page.wait_for_timeout(3_000)  # the evidence is weighed meanwhile
    page.evaluate(press.format("Sweep"))
    for label, texts in (("From", ("3", "60")), ("To", ("27", "99")), ("Step", ("1", "1"))):
        for number, text in enumerate(texts):
            fill(label, number, text)
    page.get_by_text("1,000 combinations.").wait_for()
    for number in range(TIMES):
        fill("To", 1, str(99 + number % 2))  # another request each time
        page.get_by_text(f"{25 * (40 + number % 2):,} combinations.").wait_for()
        rows = f"document.body.innerText.includes('{25 * (40 + number % 2):,} combinations were run')"
        found["sweep of 1,000 combinations shown"].append(page.evaluate(SHOWN, ["Run sweep", rows]))
        page.wait_for_timeout(300)
    return found


def chart_page(bars: int, lines: int) -> str:
    """A page with the chart alone: three panes, a random walk, and the scripts as the kit sends them."""
    from dashtrade.pages.widgets.chart import PriceChart
    from dashtrade.pages.widgets.static_text import static_text

    rng = np.random.default_rng(1)
    close = 100 * np.exp(np.cumsum(rng.normal(0, 0.002, bars)))
    rows = np.column_stack(
        [
            1.6e9 + 300 * np.arange(bars),
            close * 0.999,
            close * 1.002,
            close * 0.998,
            close,
            rng.integers(100, 9999, bars),
        ]
    )

    def packed(values: np.ndarray) -> str:
        return b64encode(np.ascontiguousarray(values, dtype="<f8").tobytes()).decode()

    drawn = [
        {"label": f"Line {i}", "values": packed(close * (1 + 0.001 * i) if i < 8 else 50 + 10 * np.sin(close + i)),
         "colour": "#56B4E9", "pane": max(0, i - 7), "width": 1, "style": "solid"}
        for i in range(lines)
    ]  # fmt: skip
    panels = [{"pane": p, "title": "", "guides": [30, 70], "decimals": 2} for p in (1, 2)]
    state = {
        "title": "BENCH · 5m", "intraday": True, "volume": True, "exchange_zone": "America/New_York", "zone": "UTC",
        "zoom_key": "", "height": 780, "label": "", "markers": [], "levels": [], "zones": [], "last": [],
        "last_values": [], "panels": panels,
    }  # fmt: skip
    source = json.dumps({"bars": packed(rows), "lines": drawn, "state": state})
    return (
        f"<style>{static_text('page.css')}</style><div class='dt-app'><div id='here'></div></div>"
        f"<script type='module'>{PriceChart._esm.replace('export default', 'const widget =')}\n"
        "const bytes = (text) => new DataView(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer);\n"
        f"const given = {source};\nconst heard = new Map();\n"
        "const state = { ...given.state, bars: bytes(given.bars),\n"
        "  lines: given.lines.map((l) => ({ ...l, values: bytes(l.values) })) };\n"
        "globalThis.model = { get: (k) => state[k], save_changes() {}, off() {},\n"
        "  set: (k, v) => { state[k] = v; (heard.get(k) || []).forEach((f) => f()); },\n"
        "  on(names, f) { names.split(' ').forEach((n) => { const k = n.replace('change:', '');\n"
        "    heard.set(k, [...(heard.get(k) || []), f]); }); } };\n"
        "widget.render({ model, el: document.getElementById('here') });</script>"
    )


FRAMES = """globalThis.frames = []; let before = 0;
const beat = (now) => { if (before) frames.push(now - before); before = now; requestAnimationFrame(beat); };
requestAnimationFrame(beat);"""
UPDATE = """(i) => new Promise((resolve) => {
  const start = performance.now(), last = [...new Float64Array(model.get("bars").buffer).slice(-6)];
  last[4] *= 1 + i / 1000;
  model.set("last_values", model.get("lines").map(() => 100 + i));
  model.set("last", last);
  requestAnimationFrame(() => requestAnimationFrame(() => resolve(performance.now() - start)));
})"""


def chart_times(browser: Any) -> dict[str, float]:
    """p50 and p95 of a frame while panning, and the median of a last-bar update to the next frame, in milliseconds; of
    the update also the page's own work, which other programs on the machine do not lengthen."""
    page = browser.new_page(viewport={"width": 1366, "height": 860})
    client = page.context.new_cdp_session(page)
    client.send("Performance.enable", {"timeDomain": "threadTicks"})

    def worked() -> float:
        metrics = client.send("Performance.getMetrics")["metrics"]
        return 1000.0 * float(next(m["value"] for m in metrics if m["name"] == "TaskDuration"))

    page.set_content(chart_page(20_000, 10))
    page.locator(DRAWN).wait_for(timeout=60_000)
    page.evaluate(FRAMES)
    page.mouse.move(900, 300)
    page.mouse.down()
    page.evaluate("frames.length = 0")
    for step in range(240):
        page.mouse.move(900 + 300 * np.sin(step / 20), 300)
    page.mouse.up()
    p50, p95 = np.percentile(page.evaluate("[...frames]"), [50, 95])
    updates, work = [], []
    for i in range(TIMES):
        before = worked()
        updates.append(page.evaluate(UPDATE, i))
        work.append(worked() - before)
    page.close()
    return {
        "frame while panning, p50": float(p50),
        "frame while panning, p95": float(p95),
        "last bar to drawn": statistics.median(updates),
        "last bar to drawn, own work": statistics.median(work),
    }


def workbench(folder: Path) -> tuple[subprocess.Popen[bytes], str]:
    """The whole workbench with the user ada; its address."""
    ports = free_ports(3)
    environment = {k: v for k, v in os.environ.items() if k not in ("DATABASE_URL", "PYTHONDONTWRITEBYTECODE")}
    environment |= {
        "DASHTRADE_DATA_DIR": str(folder),
        "DASHTRADE_SOURCES": "sample",
        "DASHTRADE_DASHBOARDS_PORT": str(ports[0]),
        "DASHTRADE_WEBHOOK_PORT": str(ports[1]),
        "DASHTRADE_SIMULATOR_PORT": str(ports[2]),
    }
    command = [sys.executable, "-m", "dashtrade.cli"]
    up = subprocess.Popen(
        [*command, "up"], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    address = f"http://127.0.0.1:{ports[0]}/"
    began = time.monotonic()
    while not answers(address + "login"):
        if time.monotonic() - began > 120 or up.poll() is not None:
            raise RuntimeError("the workbench did not start")
        time.sleep(0.2)
    create = [*command, "user", "create", "ada", "--email", "ada@example.com", "--password-stdin"]
    subprocess.run(create, env=environment, input=PASSWORD.encode(), check=True, stdout=subprocess.DEVNULL)
    return up, address


def main() -> None:
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory(prefix="dashtrade-bench-") as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        for name, value in chart_times(browser).items():
            print(f"{'20,000 bars, 10 lines, 3 panes: ' + name:<62} {value:7.1f} ms")
        up, address = workbench(Path(folder))
        try:
            page = browser.new_page(viewport={"width": 1366, "height": 860})
            page.goto(address + "analysis?symbol=AAPL&source=sample")
            page.fill("#username", "ada")
            page.fill("#password", PASSWORD)
            page.click("button[type=submit]")
            print(f"load of the machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
            for name, values in page_times(page).items():
                median, worst = statistics.median(values), max(values)
                print(f"{'analysis page: ' + name + ', to drawn':<62} {median:7.1f} ms (worst {worst:.0f})")
            page.goto(address + "backtest?symbols=AAPL&source=sample&period=max")
            page.wait_for_selector("#rendered_cells.dt-ready", timeout=90_000)
            for name, values in backtest_times(page).items():
                median, worst = statistics.median(values), max(values)
                print(f"{'backtest page: ' + name:<62} {median:7.1f} ms (worst {worst:.0f})")
            page.close(run_before_unload=False)
        finally:
            browser.close()
            up.send_signal(signal.SIGTERM)
            up.wait(30)


if __name__ == "__main__":
    main()
