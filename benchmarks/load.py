"""A busy day on one machine: 100 people click, 5 alerts a second come, alert rules and sweeps run, for 10 minutes.

``python -m benchmarks.load [--minutes 10] [--sessions 100] [--alerts-per-second 5] [--pause 10] [--browsers 1]``

It starts ``dashtrade up`` in a folder of its own on free ports and sample prices, and makes the users. Each signs in by
the form, opens pages, and presses their controls over the kernel's websocket, as a browser does; ``--browsers`` of them
are real Chromium pages. Alerts of ``--traders`` people go to the webhook at the given rate, each sent again on 5xx or
no answer. The alert engine watches one-minute bars that are imported every minute. One more person sweeps 10,000
combinations again and again.

Measured from the moment that everybody is signed in. At the end one table: seconds by path, errors, memory and CPU of
each process, and whether anything was lost. The exit code is 1 where something was.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
from sqlalchemy import Engine

from benchmarks._crowd import Person, Record, Sweeper
from benchmarks._ledger import OPEN_WORK, comparison, rows
from benchmarks._workbench import Memory, Workbench
from benchmarks.page_interaction import CHROMIUM, DRAWN, FLAGS, SYMBOL, UNTIL
from dashtrade.auth.passwords import hash_password
from dashtrade.data.barfile import BarFile, Store
from dashtrade.data.files import file_name
from dashtrade.db.tables.accounts import PriceAlertRow, UserRow
from dashtrade.db.tables.alerts import AlertRuleRow
from dashtrade.db.unit_of_work import UnitOfWork
from dashtrade.domain.bot_views import NewBot
from dashtrade.domain.market import Interval
from dashtrade.services import bots

PASSWORD = "Correct-Horse-7-Battery"
SYMBOLS = ("AAPL", "MSFT", "GOOG", "IBM")
WATCHED = [f"L{i}-USD" for i in range(50)]
#: rules of each person, besides the two of which one is met at every close
RULES = [
    ("ema_cross", "9 21"),
    ("rsi_level", "> 75"),
    ("percent_move", "2"),
    ("rule", "rsi < 30 and close > ema(200)"),
    ("candlestick_pattern", "hammer"),
    ("rule", "close crosses_below bollinger.lower"),
]


def make_people(engine: Engine, sessions: int, traders: int) -> list[tuple[int, str]]:
    """User id and token of those who trade. All share one password, whose hash has the real cost."""
    hashed = hash_password(PASSWORD)
    since = datetime.now(UTC)
    with UnitOfWork(engine) as uow:
        users = [UserRow(username=f"user{i}", email=f"user{i}@example.com", password_hash=hashed)
                 for i in range(sessions + 1)]  # fmt: skip
        uow.session.add_all(users)
        uow.session.flush()
        alerts = []
        for number, user in enumerate(users):
            for kind, condition in [("price_above", "100"), ("price_below", "100"), *RULES]:
                symbol = WATCHED[number % len(WATCHED)]
                alerts.append(PriceAlertRow(user_id=user.id, symbol=symbol, alert_type=kind, condition_text=condition))
        uow.session.add_all(alerts)
        uow.session.flush()
        details: dict[str, Any] = {"interval": "1m", "source": "files", "frequency": "bar", "active_since": since}
        uow.session.add_all([AlertRuleRow(alert_id=alert.id, **details) for alert in alerts])
        uow.commit()
        numbers = [user.id for user in users[:traders]]
    made = []
    for number in numbers:
        for symbol in SYMBOLS:
            request = NewBot(symbol, "15m", Decimal(500), max_orders_per_day=None, is_active=True,
                             freshness_seconds=600, exit_freshness_seconds=600)  # fmt: skip
            bots.create_bot(UnitOfWork(engine), number, request)
        made.append((number, bots.create_token(UnitOfWork(engine), number).secret))
    return made


@contextmanager
def minute_bars(folder: Path) -> Iterator[None]:
    """Imports a new one-minute bar of each watched symbol as the minute closes, as a source on time would have it."""
    store, stop = Store(folder), threading.Event()

    def write() -> None:
        while not stop.is_set():
            now = datetime.now(UTC)
            index = pd.date_range(end=now.replace(second=0, microsecond=0), periods=301, freq="min", name="time")[:-1]
            close = np.where(index.minute % 2 == 0, 101.0, 99.0)
            bars = pd.DataFrame(
                {"open": close, "high": close + 1, "low": close - 1, "close": close, "volume": 1.0}, index
            )
            for name in WATCHED:
                bars.attrs = {"symbol": name, "interval": "1m", "source": "files", "last_bar_closed": True}
                store.write(file_name(name, Interval.M1), BarFile(bars, now, None))
            stop.wait(60 - datetime.now(UTC).timestamp() % 60)

    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


class Alerts:
    """Sends alerts at a rate, and keeps what was acknowledged: signal id → how often."""

    def __init__(self, url: str, people: list[tuple[int, str]], rate: float, record: Record) -> None:
        self.http = httpx.AsyncClient(base_url=url, timeout=10, trust_env=False)
        self.people, self.rate, self.record = people, rate, record
        self.acknowledged: Counter[int] = Counter()
        self.refused: Counter[str] = Counter()

    async def run(self) -> None:
        """Until cancelled; what is on its way then is waited for."""
        sending: set[asyncio.Task[None]] = set()
        number, next_time = 0, time.monotonic()
        try:
            while True:
                task = asyncio.create_task(self._send(number))
                sending.add(task)
                task.add_done_callback(sending.discard)
                number, next_time = number + 1, next_time + 1 / self.rate
                await asyncio.sleep(max(0.0, next_time - time.monotonic()))
        finally:
            await asyncio.gather(*sending)

    async def _send(self, number: int) -> None:
        round_, which = divmod(number, len(self.people) * len(SYMBOLS))
        _, token = self.people[which % len(self.people)]
        action, symbol = ("BUY", "SELL")[round_ % 2], SYMBOLS[which // len(self.people)]
        body = {"action": action, "symbol": symbol, "interval": "15", "price": 100, "id": f"n{number}"}
        while True:
            began = time.perf_counter()
            try:
                answer = await self.http.post("webhook", params={"token": token}, json=body)
            except httpx.HTTPError as error:
                self.record.failed("webhook", type(error).__name__)
                await asyncio.sleep(0.5)
                continue
            self.record.took("webhook: alert to answer", began)
            if answer.status_code < 500:
                break
            self.record.failed("webhook", answer.status_code)
            await asyncio.sleep(0.5)
        if answer.status_code in (200, 202, 409):
            self.acknowledged[int(answer.json()["signal_id"])] += 1
        else:
            self.refused[f"{answer.status_code} {answer.json().get('code')}"] += 1


async def browse(url: str, name: str, record: Record, pause: float) -> None:
    """One real Chromium page that goes from symbol to symbol, until cancelled. Needs Chromium."""
    from playwright.async_api import Error, async_playwright

    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        try:
            page = await browser.new_page(viewport={"width": 1366, "height": 860})
            page.set_default_timeout(120_000)
            signed_in = False
            while True:
                try:
                    if not signed_in:
                        began = time.perf_counter()
                        await page.goto(url + "login")
                        await page.fill("#username", name)
                        await page.fill("#password", PASSWORD)
                        await page.click("form.dt-card button[type=submit]", no_wait_after=True)
                        await page.wait_for_selector(".dt-nav", timeout=60_000)
                        record.took("Chromium: sign in to home", began)
                        signed_in = True
                    began = time.perf_counter()
                    await page.goto(url + "analysis?symbol=AAPL&source=sample", timeout=60_000)
                    await page.locator(DRAWN).wait_for(timeout=60_000)
                    record.took("Chromium: page to drawn", began)
                    for number in range(20):
                        await asyncio.sleep(pause)
                        symbol = ("IBM", "AAPL")[number % 2]
                        title = f"box.querySelector('.dt-chart-title')?.textContent.startsWith('{symbol}')"
                        began = time.perf_counter()
                        async with asyncio.timeout(60):
                            await page.evaluate(UNTIL, [SYMBOL.format(symbol), title])
                        record.took("Chromium: symbol to drawn", began)
                except (Error, TimeoutError) as error:
                    record.failed("Chromium", repr(error)[:150])
                    await asyncio.sleep(2)
        finally:
            await browser.close()


async def crowd(bench: Workbench, options: argparse.Namespace, people: list[tuple[int, str]], record: Record) -> Any:
    """Everybody signs in and opens a page, a few at a time; then the measured minutes begin."""
    url, pause = bench.dashboards, options.pause
    plain = options.sessions - options.browsers
    everybody = [Person(url, f"user{i}", PASSWORD, record, pause, i) for i in range(plain)]
    gate = asyncio.Semaphore(3)

    async def begin(person: Person) -> None:
        async with gate:
            await person.sign_in()
            await person.arrive()

    record.measuring = True
    began = time.monotonic()
    await asyncio.gather(*(begin(person) for person in everybody))
    record.times = defaultdict(list, {f"{path} (coming)": times for path, times in record.times.items()})
    print(f"{plain} people have a page open after {time.monotonic() - began:.0f} s", flush=True)
    sweeper = Sweeper(url, f"user{options.sessions}", PASSWORD, record, options.sweep_pause, 0)
    await sweeper.sign_in()
    alerts = Alerts(bench.webhook, people, options.alerts_per_second, record)
    tasks = [asyncio.create_task(person.live()) for person in everybody]
    tasks += [asyncio.create_task(sweeper.live()), asyncio.create_task(alerts.run())]
    tasks += [asyncio.create_task(browse(url, f"user{plain + i}", record, pause)) for i in range(options.browsers)]
    memory = Memory(bench.up.pid, bench.folder)
    tasks.append(asyncio.create_task(memory.run()))
    measured = time.monotonic()
    while time.monotonic() - measured < 60 * options.minutes:
        await asyncio.sleep(min(15.0, 60 * options.minutes))
        done = sum(map(len, record.times.values()))
        minutes = (time.monotonic() - measured) / 60
        so_far = f"{done:,} done, {record.errors.total()} errors, {len(alerts.acknowledged):,} alerts"
        print(f"  {minutes:4.1f} min: {so_far}, load {os.getloadavg()[0]:.1f}", flush=True)
        for task in tasks:
            if task.done() and task.exception():
                raise RuntimeError("a part of the benchmark ended") from task.exception()
    record.measuring = False
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return memory, alerts, time.monotonic() - measured


def settle(engine: Engine, seconds: float = 120) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if rows(engine, OPEN_WORK) == [(0, 0)]:
            return True
        time.sleep(0.5)
    return False


def messages(engine: Engine, since: datetime, until: datetime) -> dict[str, int]:
    """Closes of a minute in between at which each person should have been told, and how often they were."""
    first = since.replace(second=0, microsecond=0) + timedelta(minutes=1)
    closes = int((until - first).total_seconds() // 60)
    last = first + timedelta(minutes=closes)
    query = (
        "SELECT count(*), count(DISTINCT (e.user_id, e.bar_time)) FROM alert_events e"
        " JOIN alerts a ON a.id = e.alert_id"
        " WHERE a.alert_type IN ('price_above', 'price_below')"
        f" AND e.bar_time >= '{first.isoformat()}' AND e.bar_time < '{last.isoformat()}'"
    )
    people = rows(engine, "SELECT count(DISTINCT user_id) FROM alerts")[0][0]
    found, distinct = rows(engine, query)[0]
    return {"due": closes * people, "told": distinct, "twice": found - distinct}


def table(record: Record, memory: Memory, seconds: float) -> None:
    print(f"\n{'path':<36}{'count':>8}{'p50 ms':>9}{'p95 ms':>9}{'p99 ms':>9}{'max ms':>9}")
    for path, times in sorted(record.times.items()):
        p50, p95, p99 = np.percentile(times, [50, 95, 99]) * 1000
        print(f"{path:<36}{len(times):>8,}{p50:>9.0f}{p95:>9.0f}{p99:>9.0f}{max(times) * 1000:>9.0f}")
    print(f"\n{'process':<28}{'number':>8}{'MB first':>10}{'MB middle':>11}{'MB last':>9}{'MB/min':>8}{'cores':>7}")
    for kind, samples in sorted(memory.samples.items()):
        at = np.array([each[0] for each in samples]) / 60
        mb = np.array([each[1] for each in samples])
        late = at >= at[-1] / 3  # after the first third: what comes with the first pages is no growth
        slope = np.polyfit(at[late], mb[late], 1)[0] if late.sum() > 2 else float("nan")
        print(f"{kind:<28}{samples[-1][2]:>8}{mb[0]:>10.0f}{mb[len(mb) // 2]:>11.0f}{mb[-1]:>9.0f}{slope:>8.1f}"
              f"{memory.busy[kind] / seconds:>7.2f}")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--sessions", type=int, default=100)
    parser.add_argument("--alerts-per-second", type=float, default=5.0)
    parser.add_argument("--pause", type=float, default=10.0, help="mean seconds between two clicks of a person")
    parser.add_argument("--sweep-pause", type=float, default=5.0, help="seconds between two sweeps")
    parser.add_argument("--traders", type=int, default=20, help="people whose bots get the alerts")
    parser.add_argument("--browsers", type=int, default=1, help="how many of the people are real Chromium pages")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(1))
    options.browsers = min(options.browsers, options.sessions) if Path(CHROMIUM).exists() else 0
    with tempfile.TemporaryDirectory(prefix="dashtrade-load-") as name:
        bench = Workbench(Path(name), options.sessions)
        try:
            sys.exit(run(bench, options))
        finally:
            bench.stop()


def run(bench: Workbench, options: argparse.Namespace) -> int:
    record = Record()
    people = make_people(bench.engine, options.sessions, min(options.traders, options.sessions))
    with minute_bars(bench.folder / "data" / "imported"):
        settle_first = "SELECT count(*) FROM account_state WHERE reconciled_at IS NULL"
        while rows(bench.engine, settle_first)[0][0]:
            time.sleep(0.5)
        since = datetime.now(UTC)
        memory, alerts, seconds = asyncio.run(crowd(bench, options, people, record))
        until = datetime.now(UTC)
        quiet = settle(bench.engine)
        time.sleep(10)  # the engine's last pass
    ids = "SELECT id FROM alert_inbox WHERE ended_at IS NOT NULL"
    ended = {row[0] for row in rows(bench.engine, ids)}
    compared = comparison(bench.engine, bench.broker(), [user_id for user_id, _ in people])
    told = messages(bench.engine, since, until)
    decided = (
        "SELECT percentile_cont(ARRAY[0.5, 0.99]) WITHIN GROUP (ORDER BY extract(epoch FROM ended_at - received_at))"
    )
    states = dict(rows(bench.engine, "SELECT state || coalesce(' ' || code, ''), count(*) FROM alert_inbox GROUP BY 1"))
    complaints, tracebacks = bench.complaints()
    table(record, memory, seconds)
    p50, p99 = rows(bench.engine, f"{decided} FROM alert_inbox")[0][0]
    print(f"\nalert received to decision: p50 {1000 * float(p50):.0f} ms, p99 {1000 * float(p99):.0f} ms")
    twice = sum(count - 1 for count in alerts.acknowledged.values())
    lost = len(set(alerts.acknowledged) - ended)
    checks = {
        "alerts acknowledged": len(alerts.acknowledged), "refused": dict(alerts.refused), "without a decision": lost,
        "acknowledged under one id": twice, "quiet": quiet, "signals": states, **compared, "messages": told,
        "errors": dict(record.errors.most_common(20)), "tracebacks in the log": tracebacks,
        "warnings and errors in the log": dict(complaints.most_common(20)),
    }  # fmt: skip
    print(json.dumps(checks, indent=2))
    whole = compared["orders_equal"] and compared["positions_equal"] and not compared["doubled"]
    fine = not lost and not twice and quiet and whole and told["told"] >= told["due"] and not told["twice"]
    print("Nothing was lost." if fine else "SOMETHING WAS LOST OR DOUBLED; see above.")
    return 0 if fine else 1


if __name__ == "__main__":
    main()
