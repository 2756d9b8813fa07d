"""What happens to a bot reaches its user: in the program and, through the job, at a channel's own server.

One trader, the real job and the real channel library, against a local server that takes what is sent.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import pytest
from channel_server import receiver
from sqlalchemy import text
from test_broker import settle
from trading_house import House, wait_for

from dashtrade.auth.vault import Vault, new_key
from dashtrade.db.unit_of_work import UnitOfWork
from dashtrade.services import channels, deliveries
from dashtrade.services.notifications import list_notifications
from dashtrade.settings import Settings

pytestmark = pytest.mark.fault


@dataclass
class Context:
    settings: Settings
    house: House

    def uow(self) -> UnitOfWork:
        return self.house.uow()


def titles(desk: House) -> list[str]:
    return [note.title for note in reversed(list_notifications(desk.uow(), desk.user_id))]


def test_a_breach_a_stop_and_a_refused_order_reach_the_program_and_a_channel_once(desk: House, tmp_path: Path) -> None:
    key = new_key()
    settings = Settings(_env_file=None, ENCRYPTION_KEY=key, data_dir=tmp_path, private_channels=True)
    with receiver() as server:
        with desk.uow() as uow:
            channels.add_channel(uow, desk.user_id, Vault(key).seal, "hook", server.url)
        desk.bot(allow_quantity=True, daily_loss_limit=Decimal(50), risk_limit_percent=None)
        desk.bot("MSFT", "15 Min", "2000")
        # refused by the broker
        body = '{"code": 40310000, "message": "insufficient buying power"}'
        desk.simulator.faults({"route": "POST /v2/orders$", "action": "error", "status": 403, "body": body})
        assert desk.settled(symbol="MSFT", price=300, id="refused").json()["code"] == "BUYING_POWER"
        # a limit that is reached
        assert desk.settled(id="in", quantity=10).json()["status"] == "success"
        settle(desk)
        headers = desk.simulator.headers(desk.user_id)
        price = {"symbol": "AAPL", "price": "130"}
        desk.simulator.http.post("/sim/prices", json=price, headers=headers).raise_for_status()
        wait_for(lambda: "Daily loss limit: AAPL" in titles(desk), "the breach is not told", 30)
        # a stop: shares that nobody here bought
        order = {"symbol": "KO", "side": "buy", "type": "market", "qty": "3", "time_in_force": "day"}
        desk.simulator.http.post("/v2/orders", json=order, headers=headers).raise_for_status()
        wait_for(lambda: (desk.trader.reconcile_soon(), "Drift: KO" in titles(desk))[1], "the stop is not told", 30)
        expected = {"Order not placed: BUY MSFT", "Daily loss limit: AAPL", "Drift: KO"}
        assert set(titles(desk)) == expected and len(titles(desk)) == 3
        with desk.engine.connect() as connection:
            queued = connection.execute(text("SELECT task_name FROM jobs.procrastinate_jobs")).scalars().all()
        assert "send_notifications" in queued
        context = Context(settings, desk)
        deliveries.send_notifications(context)  # type: ignore[arg-type]
        assert deliveries.send_notifications(context) == 0  # type: ignore[arg-type]
        assert {message["title"] for message in server.got} == expected
        told = next(m["message"] for m in server.got if m["title"].startswith("Order"))
        assert "insufficient buying power" in told.lower() and "1 Min" not in told
