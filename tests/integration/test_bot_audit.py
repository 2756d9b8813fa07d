"""The trail of a user's signals: what the trader really did, read back; other users' signals are not in it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from simulator_server import running
from sqlalchemy import Engine
from trading_house import House, running_trader, running_webhook

from dashtrade import bootstrap, settings
from dashtrade.bot_audit import NO_DATABASE, NO_NAME, audit
from dashtrade.brokers.simulator.prices import FixedFeed
from dashtrade.domain.users import User
from dashtrade.errors import NotFound
from dashtrade.services import bots
from dashtrade.services.bot_audit import trail_of


@pytest.fixture
def clear_caches():
    yield
    if bootstrap.runtime.cache_info().currsize:
        bootstrap.runtime().engine.dispose()
    for cache in (settings.get_settings, bootstrap.runtime):
        cache.cache_clear()


def test_the_trail_says_what_the_trader_did(
    engine: Engine, make_user: Callable[..., User], database_url: str, monkeypatch, tmp_path, clear_caches
) -> None:
    with (
        running(engine, [FixedFeed({"AAPL": 145})]) as simulator,
        running_webhook(engine) as client,
        running_trader(engine, simulator),
    ):
        house = House(engine, simulator, client, make_user("ada").id)
        house.bot()
        bought = house.settled(action="BUY", price=145).json()
        again = house.settled(action="SELL", price=150).json()
        house.post(action="HODL")
    found = trail_of(house.uow(), house.user_id)
    table = found.to_frame()
    orders = table[table["order"].notna()]
    assert list(orders["side"]) == ["sell", "buy"], "newest first"
    assert list(orders["qty"]) == pytest.approx([again["filled_qty"], bought["filled_qty"]])
    assert list(orders["price_paid"]) == pytest.approx([again["filled_avg_price"], bought["filled_avg_price"]])
    assert orders["pnl"].sum() == pytest.approx(float(bots.list_bots(house.uow(), house.user_id)[0].total_pnl))
    expected, paid = orders["price_expected"].iloc[1], orders["price_paid"].iloc[1]
    assert orders["slippage_bps"].iloc[1] == pytest.approx((paid / expected - 1) * 10_000)
    assert (orders["filled_s"] >= orders["decided_s"]).all() and (orders["decided_s"] >= 0).all()
    refused = found.refused().set_index("state")
    assert "HODL" in refused.at["refused", "explanation"]
    assert set(refused.index) <= {"refused", "duplicate"}, "a slow machine asks twice; an order is told once"
    assert "passphrase" not in str(table["payload"].iloc[0]) and "Orders" in found._repr_html_()

    bob = make_user("bob")
    assert not len(trail_of(house.uow(), bob.id).to_frame())
    monkeypatch.setenv("DASHTRADE_DATA_DIR", str(tmp_path))
    monkeypatch.delenv("DATABASE_URL", raising=False)
    settings.get_settings.cache_clear()
    assert audit("ada").note == NO_DATABASE
    monkeypatch.setenv("DATABASE_URL", database_url)
    settings.get_settings.cache_clear()
    bootstrap.runtime.cache_clear()
    assert audit("").note == NO_NAME
    assert len(audit("Ada").to_frame()) == len(table)
    with pytest.raises(NotFound, match="nobody"):
        audit("nobody")
    monkeypatch.setenv("DASHTRADE_USER_ID", str(bob.id))
    assert audit("ada").table.empty, "in a page's kernel only one's own"
