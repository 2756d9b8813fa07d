"""Alerts and reports against the clock: ``python benchmarks/alerts.py``.

10,000 alert rules over 500 symbols on cached one-minute bars, what one rule more costs, the time from the close of a
bar to the message in the program with the real jobs worker, and a backtest's report from kernel start to HTML.
Everything is as in the jobs worker (the cache's files, PostgreSQL, events, messages), except that the bars are made up
and nothing is asked of a source.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
from sqlalchemy import Engine, text, update

from dashtrade.data.barfile import BarFile, Store
from dashtrade.data.files import file_name
from dashtrade.db import migrate
from dashtrade.db.embedded import EmbeddedPostgres
from dashtrade.db.engine import make_engine
from dashtrade.db.tables.accounts import PriceAlertRow, UserRow
from dashtrade.db.tables.alerts import AlertCursorRow, AlertRuleRow
from dashtrade.db.unit_of_work import UnitOfWork
from dashtrade.domain.alerts import AlertKind
from dashtrade.domain.market import Interval
from dashtrade.services.alert_conditions import BarsView, check_of
from dashtrade.services.alert_engine import run_pass

CONDITIONS = [
    ("price_above", "{high}"),
    ("price_below", "{low}"),
    ("price_crosses_above", "{mid}"),
    ("percent_move", "2"),
    ("ema_cross", "9 21"),
    ("ema_cross", "20 50"),
    ("rsi_level", "> 75"),
    ("rsi_level", "< 25"),
    ("volume_spike", "4"),
    ("near_level", "0.05"),
    ("indicator_cross", "macd crosses_above macd.signal"),
    ("candlestick_pattern", "hammer"),
    ("candlestick_pattern", "bullish_engulfing"),
    ("rule", "rsi < 30 and close > ema(200)"),
    ("rule", "close crosses_below bollinger.lower"),
    ("rule", "adx > 25 and ema_9 > ema_21"),
    ("pattern_detected", "doji"),
    ("rule", "stochastic crosses_above 20"),
    ("percent_move", "1 over 15"),
    ("price_crosses_below", "{mid}"),
]


class FileMarket:
    """Bars from Parquet files, as the cache keeps them."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.last = folder, None

    def history(self, request, source=None):
        bars = pd.read_parquet(self.folder / f"{request.symbol}.parquet")
        bars.attrs |= {"symbol": request.symbol, "interval": request.interval.value, "last_bar_closed": True}
        return bars if self.last is None else bars.iloc[: self.last]


class Context:
    def __init__(self, engine, market) -> None:
        self.engine, self.market = engine, market

    def uow(self) -> UnitOfWork:
        return UnitOfWork(self.engine)

    def alert_market(self, order=None) -> FileMarket:
        return self.market


def write_bars(folder: Path, symbols: list[str], size: int) -> None:
    end = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(minutes=1)
    index = pd.date_range(end=end, periods=size, freq="min", name="time")
    random = np.random.default_rng(1)
    for symbol in symbols:
        close = 100 * np.exp(np.cumsum(random.normal(0, 0.001, size)))
        open_ = np.concatenate([[100.0], close[:-1]])
        spread = np.abs(random.normal(0, 0.05, size))
        bars = {"open": open_, "high": np.maximum(open_, close) + spread, "low": np.minimum(open_, close) - spread}
        frame = pd.DataFrame(bars | {"close": close, "volume": random.lognormal(8, 1, size)}, index=index)
        frame.to_parquet(folder / f"{symbol}.parquet")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--symbols", type=int, default=500)
    parser.add_argument("--rules", type=int, default=10_000)
    parser.add_argument("--bars", type=int, default=1950, help="five sessions of minutes")
    parser.add_argument("--minutes", type=int, default=3, help="how many closes of a minute are waited for; 0: none")
    options = parser.parse_args()
    symbols = [f"S{i}-USD" for i in range(options.symbols)]
    with tempfile.TemporaryDirectory(prefix="dashtrade-bench-") as name:
        folder = Path(name)
        write_bars(folder, symbols, options.bars)
        server = EmbeddedPostgres(folder / "db")
        server.start()
        try:
            engine = make_engine(server.url())
            migrate.upgrade(engine)
            market = FileMarket(folder)
            context = Context(engine, market)
            with context.uow() as uow:
                user = UserRow(username="bench", email="bench@example.com", password_hash="x")
                uow.session.add(user)
                uow.session.flush()
                since = datetime.now(UTC) - timedelta(minutes=3)  # so that only the newest bars can tell
                values = {"high": "130", "low": "75", "mid": "101"}
                alerts = []
                for i in range(options.rules):
                    kind, text = CONDITIONS[i // len(symbols) % len(CONDITIONS)]
                    symbol = symbols[i % len(symbols)]
                    text = text.format(**values)
                    alerts.append(PriceAlertRow(user_id=user.id, symbol=symbol, alert_type=kind, condition_text=text))
                uow.session.add_all(alerts)
                uow.session.flush()
                details = {"interval": "1m", "frequency": "every", "active_since": since}
                uow.session.add_all([AlertRuleRow(alert_id=row.id, **details) for row in alerts])
                uow.commit()
            for label, last in [("first look", options.bars - 2), ("one new bar", options.bars - 1)]:
                market.last = last
                began, worked = time.perf_counter(), time.process_time()
                told = len(run_pass(context))
                seconds, busy = time.perf_counter() - began, time.process_time() - worked
                what = f"{options.rules} rules on {options.symbols} symbols, {label}"
                print(f"{what}: {seconds:.2f} s ({busy:.2f} s of a core), {told} told")
                with context.uow() as uow:
                    uow.session.execute(update(AlertCursorRow).values(checked_at=None))
                    uow.commit()
            cost_of_a_rule(folder, symbols[0])
            with context.uow() as uow:  # from here on nothing of the above is looked at
                uow.session.execute(update(PriceAlertRow).values(is_active=False))
                uow.commit()
            if options.minutes:
                until_told(server.url(), engine, folder, options.minutes)
            a_report(folder)
            engine.dispose()
        finally:
            server.stop()


def cost_of_a_rule(folder: Path, symbol: str) -> None:
    """One more rule on bars that are watched anyway, against the bars themselves with a first rule."""
    request = type("Request", (), {"symbol": symbol, "interval": Interval.M1})
    checks = [check_of(AlertKind.RULE.value, f"close > {100 + i}") for i in range(200)]
    market = FileMarket(folder)
    began = time.perf_counter()
    for _ in range(20):
        BarsView(market.history(request)).flags(check_of("ema_cross", "9 21"))
    whole = (time.perf_counter() - began) / 20
    view = BarsView(market.history(request))
    began = time.perf_counter()
    for check in checks:
        view.flags(check)
    extra = (time.perf_counter() - began) / len(checks)
    print(f"a symbol with one rule: {whole * 1e3:.2f} ms; one rule more: {extra * 1e3:.3f} ms ({extra / whole:.1%})")


def until_told(url: str, engine: Engine, folder: Path, minutes: int, symbols: int = 60) -> None:
    """From the close of a bar to the message in the program, with the real jobs worker and its clock.

    The worker's bars come from imported files that get a new minute each minute, as from a source that is on time.
    """
    store = Store(folder / "imported")
    names = [f"L{i}-USD" for i in range(symbols)]
    stop = threading.Event()
    waits: list[float] = []

    def write() -> None:
        while not stop.is_set():
            now = datetime.now(UTC)
            index = pd.date_range(end=now.replace(second=0, microsecond=0), periods=301, freq="min", name="time")[:-1]
            close = np.where(index.minute % 2 == 0, 101.0, 99.0)
            for name in names:
                columns = {"open": close, "high": close + 1, "low": close - 1, "close": close, "volume": 1.0}
                bars = pd.DataFrame(columns, index=index)
                bars.attrs = {"symbol": name, "interval": "1m", "source": "files", "last_bar_closed": True}
                store.write(file_name(name, Interval.M1), BarFile(bars, now, None))
            stop.wait(60 - datetime.now(UTC).timestamp() % 60)

    def read(user: int) -> None:
        """As a page does that shows messages, ten times a second. Bars from before it began are left out."""
        last, begun = 0, time.time()
        query = text(
            "SELECT n.id, extract(epoch FROM e.bar_time) FROM notifications n JOIN alert_events e"
            " ON e.id = n.alert_event_id WHERE n.user_id = :user AND n.id > :last ORDER BY n.id"
        )
        while not stop.wait(0.1):
            with UnitOfWork(engine) as uow:
                rows = uow.session.execute(query, {"user": user, "last": last}).all()
            seen = time.time()
            waits.extend(seen - float(start) - 60 for _, start in rows if float(start) + 60 > begun)
            last = rows[-1][0] if rows else last

    with UnitOfWork(engine) as uow:
        user = UserRow(username="waiting", email="waiting@example.com", password_hash="x")
        uow.session.add(user)
        uow.session.flush()
        kinds = [("price_above", "100"), ("price_below", "100")]
        alerts = [
            PriceAlertRow(user_id=user.id, symbol=name, alert_type=kind, condition_text=price)
            for name in names
            for kind, price in kinds
        ]
        uow.session.add_all(alerts)
        uow.session.flush()
        details = {"interval": "1m", "frequency": "bar", "source": "files", "active_since": datetime.now(UTC)}
        uow.session.add_all([AlertRuleRow(alert_id=row.id, **details) for row in alerts])
        uow.commit()
        number = user.id
    writer = threading.Thread(target=write, daemon=True)
    reader = threading.Thread(target=read, args=(number,), daemon=True)
    writer.start()
    reader.start()
    environment = os.environ | {
        "DATABASE_URL": url,
        "DASHTRADE_DATA_DIR": str(folder),
        "DASHTRADE_LOG_LEVEL": "WARNING",
    }
    worker = subprocess.Popen([sys.executable, "-m", "dashtrade.processes.jobs"], env=environment)
    try:
        time.sleep(60 * (minutes + 1))
    finally:
        worker.terminate()
        worker.wait(30)
        stop.set()
        writer.join()
        reader.join()
    if not waits:
        print("bar close to message: nothing was told")
        return
    p50, p99 = np.percentile(waits, [50, 99])
    print(f"bar close to message in the program: median {p50:.2f} s, p99 {p99:.2f} s, {len(waits)} messages")


def a_report(folder: Path) -> None:
    """A backtest's report end to end, kernel start to HTML, the second time in this process."""
    from dashtrade.services.reports import run_report

    for label in ("first", "warm", "warm"):
        began, worked = time.perf_counter(), sum(os.times()[:4])
        run_report("backtest", {"symbol": "AAPL", "source": "sample"}, data_dir=folder)
        seconds, busy = time.perf_counter() - began, sum(os.times()[:4]) - worked
        print(f"backtest report, {label}: {seconds:.2f} s ({busy:.2f} s of a core)")


if __name__ == "__main__":
    main()
