"""A strategy rehearsed through the real webhook, trader and simulator, its fills worked out by hand."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta

import pandas as pd
import pytest
from simulator_server import RunningSimulator, running
from sqlalchemy import Engine, text
from trading_house import running_webhook, trader_settings
from typer.testing import CliRunner

import dashtrade.cli.simulator as simulator_cli
from dashtrade import bootstrap, settings
from dashtrade.brokers.simulator.hours import hours_for
from dashtrade.brokers.simulator.prices import FixedFeed
from dashtrade.cli import app
from dashtrade.domain.market import HistoryRequest
from dashtrade.domain.strategy import Strategy
from dashtrade.processes.trader.runner import Trader
from dashtrade.services import bot_rehearsal
from dashtrade.strategies import parse_condition

DAYS = pd.bdate_range("2024-05-01", periods=12, tz="UTC", name="time")  # no holiday among them
CLOSES = [100, 100, 120, 120, 120, 100, 100, 100, 120, 120, 120, 120]
OPENS = [100, 101, 102, 119, 121, 118, 99, 98, 97, 122, 123, 124]


class Bars:
    def history(self, request: HistoryRequest, source: str | None = None) -> pd.DataFrame:
        frame = pd.DataFrame({"open": OPENS, "close": CLOSES}, index=DAYS, dtype=float)
        frame["high"], frame["low"], frame["volume"] = frame.max(axis=1), frame.min(axis=1), 1000.0
        frame.attrs.update(symbol=request.symbol, source="test", interval="1d")
        return frame[["open", "high", "low", "close", "volume"]]


@pytest.fixture
def stage(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunningSimulator]:
    with running(engine, [FixedFeed({})], hours=hours_for("exchange")) as simulator, running_webhook(engine) as client:
        made = trader_settings(simulator).model_copy(
            update={"simulator_faults": True, "webhook_port": client.base_url.port}
        )
        monkeypatch.setattr(bootstrap, "runtime", lambda: bootstrap.Runtime(made, engine))
        monkeypatch.setattr(bootstrap, "market", lambda: Bars())
        monkeypatch.setattr(settings, "get_settings", lambda: made)
        trader = Trader(engine, made)
        thread = threading.Thread(target=trader.run, daemon=True)
        thread.start()
        yield simulator
        trader.stop()
        thread.join(30)


def test_every_fill_of_the_backtest_is_traded_at_its_bars_open_by_the_brokers_clock(
    stage: RunningSimulator, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert simulator_cli._call("GET", "/sim/replay")["running"] is False
    arguments = [
        "tradingview",
        "rehearse",
        "sma_cross",
        "--symbol",
        "AAPL",
        "--start",
        "2024-05-01",
        "--end",
        "2024-05-17",
    ]
    rules = Strategy(name="above", long_entry=parse_condition("close > 110"), long_exit=parse_condition("close < 110"))
    written = bot_rehearsal.write_script
    monkeypatch.setattr(
        bot_rehearsal, "write_script", lambda market, request: written(market, replace(request, strategy=rules))
    )
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    with engine.connect() as connection:
        fills = connection.execute(text("SELECT executed_at, side, price FROM executions ORDER BY executed_at")).all()
        users = (
            connection.execute(text("SELECT is_active FROM users WHERE username LIKE 'rehearsal-%'")).scalars().all()
        )
        tokens = connection.execute(text("SELECT count(*) FROM user_webhook_tokens WHERE is_active")).scalar()
    # above 110 at the closes of days 2 to 4 and 8 on: in at the opens of days 3 and 9, out at that of day 6
    assert [(f.side, float(f.price)) for f in fills] == [("buy", 119.0), ("sell", 99.0), ("buy", 122.0)]
    for fill, day in zip(fills, (3, 6, 9), strict=True):
        opened = datetime.fromisoformat(f"{DAYS[day]:%Y-%m-%d}T13:30:00+00:00")  # 9:30 in New York, summer time
        assert timedelta(0) <= fill.executed_at - opened < timedelta(seconds=60)
    assert "3 of 3 fills agree, 0 missed, 0 extra" in result.output
    assert users == [False] and tokens == 0
    assert abs(stage.service.clock.now().timestamp() - datetime.now().timestamp()) < 60, "the present is back"
