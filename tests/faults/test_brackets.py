"""Fault 47 and its kin: entries with a stop loss and take profit at the broker, whose orders are the bot's own.

Promises: A one set of orders for each alert, C nobody is left on the other side, D the ledger equals the broker, E an
exit is not blocked by the shares that they hold.
"""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from test_broker import POST, ledger, reserved, settle
from trading_house import House, TraderProcess, wait_for

from dashtrade.processes.trader import agent as agents
from dashtrade.services import bots

pytestmark = pytest.mark.fault
BRACKET: dict[str, Any] = {"price": 145, "stop_loss": 140, "take_profit": 160}


def entered(desk: House, **changes: Any) -> dict[str, Any]:
    desk.bot(allow_quantity=True, max_quantity=Decimal(20))
    move(desk, 145)
    body = desk.settled(id="in", quantity=10, **{**BRACKET, **changes}).json()
    assert body["status"] == "success", body
    settle(desk)
    wait_for(lambda: len(legs(desk)) == 2, "the closing orders are not in the books")
    return body


def move(desk: House, price: float) -> None:
    """The market's price for this user: the alert's own price would hold for a minute otherwise."""
    body = {"symbol": "AAPL", "price": str(price)}
    headers = desk.simulator.headers(desk.user_id)
    desk.simulator.http.post("/sim/prices", json=body, headers=headers).raise_for_status()


def legs(desk: House) -> dict[str, str]:
    """Kind → state of the bot's closing orders, as our books have them."""
    query = "SELECT order_type, state FROM order_intents WHERE user_id = :u AND parent_id > 0 ORDER BY id"
    rows = desk.rows(query, u=desk.user_id)  # the newest of a kind
    return {row[0]: row[1] for row in rows}


def events(desk: House) -> list[str]:
    return [event.event_type for event in bots.list_risk_events(desk.uow(), desk.user_id)]


@pytest.mark.parametrize(("price", "filled", "other"), [(138, "stop", "limit"), (162, "limit", "stop")])
def test_one_leg_closes_the_position_and_ends_the_other(desk: House, price: int, filled: str, other: str) -> None:
    entered(desk)
    assert legs(desk) == {"limit": "resting", "stop": "resting"} and reserved(desk) == 0
    move(desk, price)
    wait_for(lambda: legs(desk) == {filled: "filled", other: "canceled"}, "the legs did not end")
    settle(desk)
    assert ledger(desk) == {} == desk.broker_positions()
    bot = bots.list_bots(desk.uow(), desk.user_id)[0]
    rows = desk.rows("SELECT side, qty, price FROM executions WHERE user_id = :u", u=desk.user_id)
    assert bot.total_pnl == sum((1 if row[0] == "sell" else -1) * row[1] * row[2] for row in rows)
    assert events(desk) == [] and desk.rows("SELECT 1 FROM external_orders WHERE user_id = :u", u=desk.user_id) == []
    closing = next(trade for trade in bots.list_trades(desk.uow(), desk.user_id) if trade.status == "FILLED")
    assert closing.realized_pnl == bot.total_pnl


def test_an_exit_cancels_the_legs_that_hold_its_shares_and_then_closes(desk: House) -> None:
    entered(desk)
    out = desk.settled(action="SELL", id="out").json()
    assert (out["status"], out["filled_qty"]) == ("success", 10)
    settle(desk)
    assert legs(desk) == {"limit": "canceled", "stop": "canceled"}
    assert ledger(desk) == {} == desk.broker_positions() and events(desk) == []


BOTH = {"stop_loss": 140, "take_profit": 160}
HARMLESS = {"route": POST, "action": "rewrite"}  # for the exit itself
RESTS = {"limit": "resting", "stop": "resting"}


@pytest.mark.parametrize(
    ("fields", "rests"),
    [(BOTH, RESTS), ({"stop_loss": 140}, {"stop": "resting"}), ({"take_profit": 160}, {"limit": "resting"})],
)
def test_an_exit_of_a_part_leaves_the_rest_protected(
    desk: House, fields: dict[str, Any], rests: dict[str, str]
) -> None:
    desk.bot(allow_quantity=True)
    move(desk, 145)
    assert desk.settled(id="in", quantity=10, price=145, **fields).json()["status"] == "success"
    wait_for(lambda: legs(desk) == rests, "the closing orders are not in the books")
    out = desk.settled(action="SELL", id="out", quantity=4).json()
    assert (out["status"], out["filled_qty"]) == ("success", 4)
    assert "placed again for the 6 left" in out["message"]
    wait_for(lambda: legs(desk) == rests, "the rest is not protected", 25)
    settle(desk)
    assert guarding(desk) == {"6"} and events(desk) == [] and ledger(desk) == {"AAPL": 6}
    # again, and then the market decides
    assert desk.settled(action="SELL", id="out again", quantity=1).json()["filled_qty"] == 1
    wait_for(lambda: guarding(desk) == {"5"}, "the rest is not protected a second time", 25)
    wait_for(lambda: legs(desk) == rests, "the second pair is not in the books", 25)
    move(desk, 138 if "stop_loss" in fields else 162)
    wait_for(lambda: ledger(desk) == {} == desk.broker_positions(), "the protection did not close the rest", 25)
    settle(desk)
    wait_for(lambda: "resting" not in legs(desk).values(), "a closing order is left")
    assert guarding(desk) == set() and events(desk) == []
    sold = desk.rows("SELECT sum(qty) FROM executions WHERE user_id = :u AND side = 'sell'", u=desk.user_id)
    assert sold[0][0] == 10
    assert desk.rows("SELECT 1 FROM external_orders WHERE user_id = :u", u=desk.user_id) == []


def guarding(desk: House) -> set[str]:
    """Quantities of the closing orders that are open at the broker."""
    open_ones = ("new", "accepted", "held", "partially_filled")
    return {order["qty"] for order in desk.broker_orders() if order["side"] == "sell" and order["status"] in open_ones}


def test_a_stop_that_was_passed_before_it_was_placed_again_closes_the_rest(desk: House) -> None:
    entered(desk)
    desk.simulator.faults({"route": "DELETE /v2/orders/", "action": "hang", "when": "after", "seconds": 0.3})
    signal = desk.post(action="SELL", id="out", quantity=4).json()["signal_id"]
    wait_for(lambda: guarding(desk) == set(), "the legs are not cancelled")
    move(desk, 138)
    desk.outcome(signal, 25)
    wait_for(lambda: desk.broker_positions() == {}, "the rest is open below its stop", 25)
    settle(desk)
    sold = desk.rows("SELECT sum(qty) FROM executions WHERE user_id = :u AND side = 'sell'", u=desk.user_id)
    assert sold[0][0] == 10 and guarding(desk) == set()


def test_protection_that_the_broker_refuses_is_told_once(desk: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agents, "WATCH_SECONDS", 0.5)
    entered(desk)
    body = {"code": 42210000, "message": "stop price must be less than the current price"}
    rule = {"route": POST, "action": "error", "status": 422, "body": json.dumps(body), "times": 100}
    desk.simulator.faults(rules=[HARMLESS, rule])
    signal = desk.post(action="SELL", id="out", quantity=4).json()["signal_id"]
    assert desk.outcome(signal, 25)["filled_qty"] == 4
    wait_for(lambda: events(desk), "nobody is told", 40)
    settle(desk)
    [event] = bots.list_risk_events(desk.uow(), desk.user_id)
    assert event.event_type == "UNPROTECTED" and "must be less than the current price" in str(event.message)
    assert guarding(desk) == set() and ledger(desk) == {"AAPL": 6} == desk.broker_positions()
    told = "SELECT count(*) FROM notifications WHERE user_id = :u AND body LIKE '%no stop loss%'"
    wait_for(lambda: desk.rows(told, u=desk.user_id) == [(1,)], "no message was sent")
    desk.simulator.http.delete("/sim/faults")
    assert desk.settled(action="SELL", id="rest").json()["filled_qty"] == 6
    settle(desk)
    assert len(events(desk)) == 1


def test_protection_does_not_wait_for_another_bots_limit(desk: House) -> None:
    """One order at a time for each symbol: a limit that rests all day would leave the rest unprotected as long."""
    entered(desk)
    desk.bot(timeframe="1h")
    slow = {"route": "DELETE /v2/orders/", "action": "hang", "when": "after", "seconds": 0.3}
    desk.simulator.faults(slow)
    out = desk.post(action="SELL", id="out", quantity=4).json()["signal_id"]
    limit = desk.post(id="limit", timeframe="1h", type="limit", limit_price=100).json()["signal_id"]
    assert desk.outcome(out, 25)["filled_qty"] == 4
    wait_for(lambda: guarding(desk) == {"6"}, "the rest is not protected", 25)
    body = desk.client.get(f"/signals/{limit}?token={desk.token}").json()
    assert body["status"] in ("accepted", "error") and ledger(desk) == {"AAPL": 6}


def with_another_bot(desk: House) -> None:
    """One bot holds ten shares plainly, another ten with a stop loss and take profit."""
    desk.bot(timeframe="1h", allow_quantity=True)
    move(desk, 145)
    assert desk.settled(id="plain", timeframe="1h", quantity=10).json()["status"] == "success"
    settle(desk)
    entered(desk)


def test_an_exit_that_clears_its_way_spares_another_bots_protection(desk: House) -> None:
    with_another_bot(desk)
    manual = {
        "symbol": "AAPL",
        "side": "sell",
        "type": "limit",
        "qty": "5",
        "limit_price": "400",
        "time_in_force": "day",
    }
    headers = desk.simulator.headers(desk.user_id)
    desk.simulator.http.post("/v2/orders", json=manual, headers=headers).raise_for_status()
    assert desk.settled(action="SELL", id="out", timeframe="1h").json()["filled_qty"] == 10
    settle(desk)
    assert legs(desk) == RESTS and guarding(desk) == {"10"} and ledger(desk) == {"AAPL": 10}
    assert events(desk) == []


def test_protection_that_stood_in_an_exits_way_is_placed_again(desk: House) -> None:
    """Somebody sold by hand at the broker, so that an exit finds nothing free but what another bot's stop holds."""
    with_another_bot(desk)
    body = {"code": 40310000, "message": "insufficient qty available for order", "held_for_orders": "10"}
    desk.simulator.faults({"route": POST, "action": "error", "status": 403, "body": json.dumps(body)})
    assert desk.settled(action="SELL", id="out", timeframe="1h").json()["filled_qty"] == 10
    wait_for(lambda: guarding(desk) == {"10"} and legs(desk) == RESTS, "the other bot lost its protection", 25)
    assert ledger(desk) == {"AAPL": 10} and events(desk) == []


def test_a_part_of_a_share_is_told_and_the_whole_ones_are_protected(desk: House) -> None:
    entered(desk)
    assert desk.settled(action="SELL", id="out", quantity=4.5).json()["filled_qty"] == 4.5
    wait_for(lambda: guarding(desk) == {"5"}, "the rest is not protected", 25)
    wait_for(lambda: events(desk) == ["UNPROTECTED"], "the part is not told")
    assert "0.5 AAPL" in str(bots.list_risk_events(desk.uow(), desk.user_id)[0].message)


@pytest.mark.parametrize("rule", [
    {"action": "error", "when": "after", "status": 504},
    {"action": "hang", "when": "before", "seconds": 0.3},
])  # fmt: skip
def test_protection_whose_answer_was_lost_is_there_once(
    desk: House, rule: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agents, "WATCH_SECONDS", 0.5)
    entered(desk)
    desk.simulator.faults(rules=[HARMLESS, {"route": POST, **rule}], stream=["silent"])
    signal = desk.post(action="SELL", id="out", quantity=4).json()["signal_id"]
    assert desk.outcome(signal, 40)["filled_qty"] == 4
    wait_for(lambda: guarding(desk) == {"6"}, "the rest is not protected", 40)
    desk.simulator.http.delete("/sim/faults")
    wait_for(lambda: legs(desk) == RESTS, "the pair is not in the books", 40)
    assert len(desk.broker_orders()) == 6 and events(desk) == []
    assert desk.settled(action="SELL", id="rest").json()["filled_qty"] == 6
    settle(desk)
    assert ledger(desk) == {} == desk.broker_positions() and guarding(desk) == set()


@pytest.mark.parametrize("point", ["closing", "guard_submitting", "guard_sent"])
def test_a_trader_killed_while_it_protects_the_rest_leaves_it_protected_once(
    house: House, database_url: str, point: str
) -> None:
    house.bot(allow_quantity=True)
    move(house, 145)
    first = TraderProcess(database_url, house.simulator, point)
    house.outcome(house.post(id="in", quantity=10, **BRACKET).json()["signal_id"], 40)
    wait_for(lambda: legs(house) == RESTS, "the closing orders are not in the books", 40)
    signal = house.post(action="SELL", id="out", quantity=4).json()["signal_id"]
    first.wait_killed()
    second = TraderProcess(database_url, house.simulator)
    try:
        assert house.outcome(signal, 60)["filled_qty"] == 4
        wait_for(lambda: legs(house) == RESTS, "the rest is not protected", 40)
        assert guarding(house) == {"6"} and len(house.broker_orders()) == 6
        named = [order["client_order_id"] for order in house.broker_orders() if "-g" in order["client_order_id"]]
        assert len(named) == 1 and events(house) == []
        signal = house.post(action="SELL", id="rest").json()["signal_id"]
        assert house.outcome(signal, 60)["filled_qty"] == 6
        assert house.ledger_positions() == {} == house.broker_positions() and guarding(house) == set()
    finally:
        second.stop()


def test_an_exit_that_comes_with_a_leg_fill_closes_nothing_twice(desk: House) -> None:
    """The stop is hit while its cancel is on the way, and the stream says nothing."""
    entered(desk)
    desk.simulator.faults({"route": "DELETE /v2/orders/", "action": "hang", "when": "before", "seconds": 0.4})
    desk.simulator.faults(stream=["silent"])
    signal = desk.post(action="SELL", id="out").json()["signal_id"]
    move(desk, 138)
    desk.outcome(signal, 25)
    settle(desk)
    assert ledger(desk) == {} == desk.broker_positions()
    sold = desk.rows("SELECT sum(qty) FROM executions WHERE user_id = :u AND side = 'sell'", u=desk.user_id)
    assert sold[0][0] == 10


@pytest.mark.parametrize("stream", [[], ["silent"]])
def test_fault_47_both_legs_of_the_bots_own_bracket_fill(desk: House, stream: list[str]) -> None:
    entered(desk)
    desk.simulator.faults(both_legs=True, stream=stream)
    move(desk, 162)
    wait_for(lambda: desk.broker_positions() == {}, "the take profit is not filled")
    move(desk, 138)
    wait_for(lambda: "BOTH_LEGS_FILLED" in (desk.trader.reconcile_soon(), events(desk))[1], "it is not noticed", 25)
    wait_for(lambda: desk.broker_positions() == {}, "the bot stays short", 25)
    settle(desk)
    assert ledger(desk) == {} and events(desk) == ["BOTH_LEGS_FILLED"]
    assert set(legs(desk).values()) == {"filled"}


def test_legs_cancelled_by_hand_leave_the_position_and_the_user_is_told(desk: House) -> None:
    entered(desk)
    headers = desk.simulator.headers(desk.user_id)
    desk.simulator.http.delete("/v2/orders", headers=headers).raise_for_status()
    wait_for(lambda: events(desk), "nobody is told", 25)
    assert events(desk) == ["UNPROTECTED"] and ledger(desk) == {"AAPL": 10}
    assert desk.settled(action="SELL", id="out").json()["filled_qty"] == 10


@pytest.mark.parametrize(
    "rule", [{"action": "hang", "when": "after", "seconds": 0.3}, {"action": "error", "when": "after", "status": 504}]
)
def test_the_legs_of_an_entry_whose_answer_was_lost_are_adopted_by_their_parent(
    desk: House, rule: dict[str, Any]
) -> None:
    desk.simulator.faults({"route": "POST /v2/orders$", **rule}, stream=["silent"])
    entered(desk)
    assert len(desk.broker_orders()) == 3
    move(desk, 138)
    wait_for(lambda: (desk.trader.reconcile_soon(), ledger(desk) == {})[1], "the stop's fill is not in the books", 25)
    wait_for(lambda: legs(desk) == {"stop": "filled", "limit": "canceled"}, "the legs did not end")
    assert events(desk) == []


def test_a_part_that_filled_before_the_entry_was_cancelled_is_closed(desk: House) -> None:
    """The broker wakes the closing orders only for a complete entry."""
    desk.bot(allow_quantity=True)
    move(desk, 145)
    desk.simulator.faults(partial_fills=["0.4"])
    signal = desk.post(id="in", quantity=10, **BRACKET).json()["signal_id"]
    wait_for(lambda: desk.broker_positions() == {"AAPL": 4}, "no part was filled")
    desk.simulator.http.delete("/v2/orders", headers=desk.simulator.headers(desk.user_id)).raise_for_status()
    desk.simulator.http.delete("/sim/faults")
    desk.outcome(signal, 25)
    wait_for(lambda: desk.broker_positions() == {}, "the part is not closed", 25)
    settle(desk)
    assert ledger(desk) == {} and events(desk) == ["UNPROTECTED"]


def test_a_loss_limit_cancels_the_legs_before_it_closes(desk: House) -> None:
    desk.bot(allow_quantity=True, daily_loss_limit=Decimal(20), flatten_on_breach=True)
    move(desk, 145)
    assert desk.settled(id="in", quantity=10, price=145, stop_loss=120, take_profit=160).json()["status"] == "success"
    settle(desk)
    move(desk, 130)
    wait_for(lambda: desk.broker_positions() == {}, "the position stays", 25)
    settle(desk)
    assert legs(desk) == {"limit": "canceled", "stop": "canceled"} and events(desk) == ["DAILY_LOSS_LIMIT"]


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"stop_loss": 146}, "stop loss of a buy must be below"),
        ({"stop_loss": 145}, "stop loss of a buy must be below"),
        ({"take_profit": 144}, "take profit of a buy must be above"),
        ({"type": "limit", "limit_price": 139, "stop_loss": 140}, "below its price 139"),
    ],
)
def test_a_stop_on_the_wrong_side_is_refused(desk: House, fields: dict[str, Any], says: str) -> None:
    desk.bot()
    refused = desk.settled(id="wrong", price=145, **fields).json()
    assert refused["code"] == "VALIDATION_ERROR" and says in refused["message"], refused
    assert desk.broker_orders() == []


@pytest.mark.parametrize("point", ["sent", "standing_down"])
def test_a_trader_killed_around_a_bracket_leaves_nothing_behind(house: House, database_url: str, point: str) -> None:
    house.bot(allow_quantity=True)
    move(house, 145)
    first = TraderProcess(database_url, house.simulator, point)
    signal = house.post(id="in", quantity=10, **BRACKET).json()["signal_id"]
    if point == "standing_down":
        house.outcome(signal, 25)
        signal = house.post(action="SELL", id="out").json()["signal_id"]
    first.wait_killed()
    second = TraderProcess(database_url, house.simulator)
    try:
        assert house.outcome(signal, 60)["status"] == "success"
        if point == "sent":
            wait_for(lambda: len(legs(house)) == 2, "the legs are not adopted", 25)
            assert house.ledger_positions() == {"AAPL": 10} == house.broker_positions()
            signal = house.post(action="SELL", id="out").json()["signal_id"]
            assert house.outcome(signal, 60)["status"] == "success"
        assert house.ledger_positions() == {} == house.broker_positions()
        assert len(house.broker_orders()) == 4 and set(legs(house).values()) == {"canceled"}
    finally:
        second.stop()
