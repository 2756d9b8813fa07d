"""A house whose trader is started by each test, as a process or in a thread."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from simulator_server import running
from sqlalchemy import Engine
from trading_house import House, running_webhook

from dashtrade.brokers.simulator.prices import FixedFeed
from dashtrade.domain.users import User


@pytest.fixture
def house(engine: Engine, make_user: Callable[..., User]) -> Iterator[House]:
    """Simulator and webhook; no trader yet. The webhook waits briefly, as many alerts here find no trader."""
    feed = FixedFeed({"AAPL": 145, "MSFT": 300, "KO": 60, "SPY": 500})
    with running(engine, [feed]) as simulator, running_webhook(engine, wait_seconds=0.2) as client:
        yield House(engine, simulator, client, make_user().id)
