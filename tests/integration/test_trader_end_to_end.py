"""An alert's whole way: webhook, trader, alpaca-py, simulator, ledger."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal

import pytest
from simulator_server import running
from sqlalchemy import Engine
from trading_house import House, running_trader, running_webhook

from dashtrade.brokers.simulator.prices import FixedFeed
from dashtrade.domain.users import User
from dashtrade.services import bots


@pytest.fixture
def house(engine: Engine, make_user: Callable[..., User]) -> Iterator[House]:
    feed = FixedFeed({"AAPL": 145, "MSFT": 300})
    with (
        running(engine, [feed]) as simulator,
        running_webhook(engine) as client,
        running_trader(engine, simulator),
    ):
        yield House(engine, simulator, client, make_user().id)


def test_documented_alert_becomes_a_filled_order(house: House) -> None:
    bot = house.bot()
    answer = house.settled()
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert body["status"] == "success"
    assert (body["symbol"], body["action"]) == ("AAPL", "BUY")
    orders = house.broker_orders()
    assert [o["id"] for o in orders] == [body["order_id"]]
    assert orders[0]["notional"] == "1000"
    assert Decimal(str(body["filled_qty"])) == Decimal(orders[0]["filled_qty"])
    assert body["notional"] == pytest.approx(1000, abs=0.01)
    trade = bots.list_trades(house.uow(), house.user_id)[0]
    assert (trade.status, trade.order_id) == ("FILLED", body["order_id"])
    position = bots.list_positions(house.uow(), house.user_id)[0]
    assert (position.bot_id, position.symbol) == (bot.id, "AAPL")
    assert house.ledger_positions() == house.broker_positions()
    signal = bots.list_signals(house.uow(), house.user_id)[-1]
    assert signal.signal_id == body["signal_id"] and signal.state == "done"
    assert [step.name for step in signal.steps][:3] == ["received", "stored", "decided"]
    assert house.client.get(f"/signals/{body['signal_id']}?token={house.token}").json()["status"] == "success"


def test_sell_closes_the_position_and_books_the_result(house: House) -> None:
    house.bot()
    bought = house.settled().json()
    sold = house.settled(action="SELL", price=150).json()
    assert (sold["status"], sold["action"]) == ("success", "SELL")
    assert sold["filled_qty"] == bought["filled_qty"]
    assert house.ledger_positions() == house.broker_positions() == {}
    bot = bots.list_bots(house.uow(), house.user_id)[0]
    gain = Decimal(str(bought["filled_qty"])) * (
        Decimal(str(sold["filled_avg_price"])) - Decimal(str(bought["filled_avg_price"]))
    )
    assert bot.total_pnl == pytest.approx(gain, abs=Decimal("0.001"))
    assert bot.total_trades == 2
