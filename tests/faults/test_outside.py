"""Faults 47 and 50 to 52: what the broker, the exchange or the user do to a position behind the bot's back.

Promises: D the ledger equals the broker, or the symbol is stopped and says so; C no exit ever opens the other side.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from test_broker import ledger, settle
from trading_house import House, wait_for

from dashtrade.brokers import alpaca_parse
from dashtrade.domain.bot_views import NewBot
from dashtrade.domain.market import Quote
from dashtrade.errors import InvalidInput
from dashtrade.processes.trader.agent import AccountAgent, Tools
from dashtrade.services import bots, trading_activities, trading_outside
from dashtrade.services.notifications import list_notifications
from dashtrade.services.trading_lease import acquire_lease

pytestmark = pytest.mark.fault


def bought(desk: House, quantity: int = 10) -> None:
    desk.bot(allow_quantity=True)
    assert desk.settled(id="in", quantity=quantity).json()["status"] == "success"
    settle(desk)


def manual(desk: House, side: str, qty: str) -> None:
    order = {"symbol": "AAPL", "side": side, "type": "market", "qty": qty, "time_in_force": "day"}
    headers = desk.simulator.headers(desk.user_id)
    desk.simulator.http.post("/v2/orders", json=order, headers=headers).raise_for_status()


def stops(desk: House) -> list[str]:
    rows = desk.rows("SELECT reason FROM trading_halts WHERE user_id = :u AND cleared_at IS NULL", u=desk.user_id)
    return [row[0] for row in rows]


def cash(desk: House) -> Decimal:
    return desk.rows("SELECT sum(amount) FROM cash_ledger WHERE user_id = :u", u=desk.user_id)[0][0]


def test_fault_50_after_a_liquidation_the_books_follow_and_no_exit_opens_a_short(desk: House) -> None:
    bought(desk)
    desk.set_price("AAPL", 130)
    desk.simulator.admin("/sim/liquidate", key_id=f"SIM-{desk.user_id}")
    desk.trader.reconcile_soon()
    settle(desk)
    assert ledger(desk) == {} == desk.broker_positions()
    wait_for(lambda: stops(desk) == [], "the symbol stays stopped although the books agree")
    bot = bots.list_bots(desk.uow(), desk.user_id)[0]
    paid, got = desk.rows("SELECT price FROM executions WHERE user_id = :u ORDER BY id", u=desk.user_id)
    assert bot.total_pnl == (10 * (got[0] - paid[0])).quantize(Decimal("0.0001")) == cash(desk)
    assert bot.position_qty == 0 and bot.current_position_side is None
    assert [event.event_type for event in bots.list_risk_events(desk.uow(), desk.user_id)] == ["CLOSED_OUTSIDE"]
    assert desk.settled(action="SELL", id="out").json()["status"] == "ignored"
    assert desk.broker_positions() == {}


def test_fault_50_a_part_sold_by_hand_is_taken_from_the_bots_lots(desk: House) -> None:
    bought(desk)
    manual(desk, "sell", "4")
    desk.trader.reconcile_soon()
    settle(desk)
    assert ledger(desk) == {"AAPL": 6} == desk.broker_positions()
    assert desk.settled(action="SELL", id="out").json()["filled_qty"] == 6
    settle(desk)
    assert ledger(desk) == {}


def test_fault_47_when_both_legs_of_a_bracket_filled_the_exit_does_not_make_it_worse(desk: House) -> None:
    """A user's own bracket sold the shares twice: the broker is short, the books are long."""
    bought(desk)
    headers = desk.simulator.headers(desk.user_id)
    desk.simulator.faults(rules=[{"route": "GET /v2/positions", "action": "error", "status": 500, "times": 100}])
    manual(desk, "sell", "10")
    wait_for(lambda: desk.simulator.http.get("/v2/account", headers=headers).status_code == 200, "no account")
    manual(desk, "sell", "10")
    desk.simulator.http.delete("/sim/faults")
    wait_for(lambda: desk.broker_positions() == {"AAPL": -10}, "not short")

    def stopped() -> bool:
        desk.trader.reconcile_soon()
        return bool(stops(desk))

    wait_for(stopped, "the symbol is not stopped", 40)
    orders = len(desk.broker_orders())
    refused = desk.settled(action="SELL", id="out").json()
    assert refused["code"] == "NOTHING_HELD" and "open the other side" in refused["message"]
    assert desk.settled(id="more").json()["code"] == "HALTED"
    assert len(desk.broker_orders()) == orders and desk.broker_positions() == {"AAPL": -10}


@pytest.mark.parametrize(("ratio", "left"), [("4", 40), ("0.5", 5)])
def test_fault_51_a_split_that_the_broker_lists_rescales_the_lots(desk: House, ratio: str, left: int) -> None:
    bought(desk)
    price = desk.rows("SELECT price FROM lots WHERE user_id = :u", u=desk.user_id)[0][0]
    # a split touches every account that holds the symbol; each test has its own, flat ones are not touched
    desk.simulator.admin("/sim/split", symbol="AAPL", ratio=ratio)
    wait_for(lambda: (desk.trader.reconcile_soon(), ledger(desk) == {"AAPL": left})[1], "the lots keep their size")
    wait_for(lambda: stops(desk) == [], "the symbol stays stopped although the books agree")
    lot = desk.rows("SELECT opened_qty, open_qty, price FROM lots WHERE user_id = :u", u=desk.user_id)[0]
    assert tuple(lot) == (left, left, (price / Decimal(ratio)).quantize(Decimal("0.000001")))
    told = wait_for(lambda: list_notifications(desk.uow(), desk.user_id), "the user is not told")
    assert [note.title for note in told] == ["Split: AAPL"] and f"10 shares are now {left}" in told[0].body
    desk.trader.reconcile_soon()
    assert desk.settled(action="SELL", id="out").json()["filled_qty"] == left
    settle(desk)
    paid, got = desk.rows("SELECT qty * price FROM executions WHERE user_id = :u ORDER BY id", u=desk.user_id)
    assert abs(bots.list_bots(desk.uow(), desk.user_id)[0].total_pnl - (got[0] - paid[0])) < Decimal("0.001")


@pytest.mark.parametrize("listed", [("-10", "40"), (None,), (None, None)])
def test_fault_51_a_split_in_the_forms_that_a_broker_may_list_it(desk: House, listed: tuple[str | None, ...]) -> None:
    """As shares out and in, or without any number of shares, as Alpaca's description of the field says."""
    bought(desk)
    today = datetime.now(UTC).date().isoformat()
    entries = [
        {"id": f"20260302000000000::{number}", "activity_type": "SPLIT", "date": today, "symbol": "AAPL",
         "net_amount": "0", "description": ""} | ({} if qty is None else {"qty": qty})
        for number, qty in enumerate(listed)
    ]  # fmt: skip
    rule = {"route": "GET /v2/account/activities$", "action": "error", "status": 200, "times": 10_000}
    desk.simulator.faults({**rule, "body": json.dumps(entries)})
    desk.simulator.admin("/sim/split", symbol="AAPL", ratio="4")
    wait_for(lambda: (desk.trader.reconcile_soon(), ledger(desk) == {"AAPL": 40})[1], "the lots keep their size")
    assert desk.settled(action="SELL", id="out").json()["filled_qty"] == 40
    assert stops(desk) == [] and desk.broker_positions() == {}


def test_fault_51_a_split_that_nobody_lists_stops_the_symbol_until_the_user_says_so(desk: House) -> None:
    bought(desk)
    rule = {"route": "GET /v2/account/activities$", "action": "error", "status": 200, "body": "[]", "times": 10_000}
    desk.simulator.faults(rule)
    desk.simulator.admin("/sim/split", symbol="AAPL", ratio="4")
    desk.trader.reconcile_soon()
    wait_for(lambda: stops(desk), "a split is not noticed")
    told = wait_for(lambda: list_notifications(desk.uow(), desk.user_id), "the user is not told")
    assert [note.title for note in told] == ["Drift: AAPL"] and "Our books hold 10 AAPL" in told[0].body
    assert desk.settled(id="more").json()["code"] == "HALTED"
    with pytest.raises(InvalidInput, match="ratio"):
        trading_activities.rescale(desk.uow(), desk.user_id, "AAPL", Decimal(1), by="ada")
    assert trading_activities.rescale(desk.uow(), desk.user_id, "aapl", Decimal(4), by="ada") == 1
    wait_for(lambda: (desk.trader.reconcile_soon(), stops(desk) == [])[1], "the symbol stays stopped")
    assert desk.settled(action="SELL", id="out").json()["filled_qty"] == 40
    assert desk.broker_positions() == {}


@pytest.mark.parametrize(("ratio", "left"), [("4", 40), ("0.5", 5)])
def test_fault_51_before_a_split_is_in_the_books_no_exit_opens_a_short(desk: House, ratio: str, left: int) -> None:
    bought(desk)
    rule = {"route": "GET /v2/account/activities$", "action": "error", "status": 200, "body": "[]", "times": 10_000}
    desk.simulator.faults(rule)
    desk.simulator.admin("/sim/split", symbol="AAPL", ratio=ratio)
    desk.trader.reconcile_soon()
    wait_for(lambda: stops(desk), "a split is not noticed")
    out = desk.settled(action="SELL", id="out").json()
    assert (out["status"], out["filled_qty"]) == ("success", min(left, 10))
    assert desk.broker_positions().get("AAPL", 0) == max(left - 10, 0), "never short"


def test_fault_51_a_renamed_symbol_takes_its_bot_and_its_lots_along(desk: House) -> None:
    bought(desk)
    desk.simulator.admin("/sim/rename", symbol="AAPL", to="APPL")
    wait_for(lambda: (desk.trader.reconcile_soon(), ledger(desk) == {"APPL": 10})[1], "the lots keep the old name")
    wait_for(lambda: stops(desk) == [], "the symbols stay stopped")
    assert desk.settled(symbol="APPL", action="SELL", id="out").json()["filled_qty"] == 10
    assert desk.broker_positions() == {}
    assert [event.event_type for event in bots.list_risk_events(desk.uow(), desk.user_id)] == ["RENAMED"]


def booked(desk: House, kind: str, amount: int, **more: str) -> None:
    desk.simulator.admin("/sim/book", key_id=f"SIM-{desk.user_id}", type=kind, amount=str(amount), **more)


def kinds(desk: House) -> list[tuple[str, Decimal]]:
    query = "SELECT kind, amount FROM cash_ledger WHERE user_id = :u AND kind <> 'trade' ORDER BY id"
    return [tuple(row) for row in desk.rows(query, u=desk.user_id)]


def test_money_moved_at_the_broker_is_no_loss_and_a_fee_is_one(desk: House) -> None:
    """A withdrawal of 5,000 is no daily loss; a fee is, in a row of its own, once."""
    desk.bot(allow_quantity=True, daily_loss_limit=Decimal(1000))
    assert desk.settled(id="in", quantity=10).json()["status"] == "success"
    settle(desk)
    booked(desk, "CSW", -5000)
    booked(desk, "CSD", 700)
    booked(desk, "FEE", -3, symbol="AAPL", description="TAF fee")
    for _ in range(2):
        desk.trader.reconcile_soon()
        wait_for(lambda: len(kinds(desk)) == 3, "the bookings are not in the ledger")
    assert sorted(kinds(desk)) == [("deposit", 700), ("fee", -3), ("withdrawal", -5000)]
    account = desk.rows("SELECT equity - last_equity FROM account_state WHERE user_id = :u", u=desk.user_id)
    wait_for(lambda: desk.rows(
        "SELECT 1 FROM account_state WHERE user_id = :u AND equity < 97000", u=desk.user_id
    ), f"the withdrawal is not seen ({account})")  # fmt: skip
    bot = bots.list_bots(desk.uow(), desk.user_id)[0]
    assert bot.config.is_active and bots.list_risk_events(desk.uow(), desk.user_id) == []
    assert bot.total_pnl == -3, "the fee is the bot's: it alone traded the symbol"
    assert desk.settled(id="more", quantity=1).json()["status"] == "success"
    booked(desk, "FEE", -1100, symbol="AAPL", description="a large one")
    desk.trader.reconcile_soon()
    seen = lambda: [e.event_type for e in bots.list_risk_events(desk.uow(), desk.user_id)]  # noqa: E731
    wait_for(lambda: seen() == ["DAILY_LOSS_LIMIT"], "the fee is no loss", 30)


def test_fault_52_a_fill_that_was_taken_back_leaves_the_books_and_is_undone_once(desk: House) -> None:
    bought(desk)
    execution = desk.rows("SELECT execution_id, account_id FROM executions WHERE user_id = :u", u=desk.user_id)[0]
    desk.simulator.admin("/sim/bust", execution_id=execution[0])
    desk.trader.reconcile_soon()
    wait_for(lambda: ledger(desk) == {} == desk.broker_positions(), "the books keep what was taken back")
    assert cash(desk) == 0
    again = trading_outside.take_back(desk.uow(), execution[1], execution[0], datetime.now(UTC), None)
    assert not again and cash(desk) == 0
    assert desk.settled(action="SELL", id="out").json()["status"] == "ignored"
    kinds = desk.rows("SELECT kind FROM order_events WHERE user_id = :u", u=desk.user_id)
    assert ("fill_taken_back",) in [tuple(kind) for kind in kinds]


def test_fault_52_a_corrected_fill_replaces_the_first(desk: House) -> None:
    """Ten at the first price become eight at 144."""
    bought(desk)
    row = desk.rows("SELECT execution_id, account_id FROM executions WHERE user_id = :u", u=desk.user_id)[0]
    order = desk.broker_orders()[0]
    body: dict[str, Any] = {
        "event": "trade_correct", "order": order, "timestamp": "2026-03-02T15:00:00Z", "execution_id": "corrected-1",
        "previous_execution_id": row[0], "qty": "8", "price": "144",
    }  # fmt: skip
    update = alpaca_parse.update(body)
    assert update.replaces == row[0] and update.execution is not None
    now = datetime.now(UTC)
    assert trading_outside.take_back(desk.uow(), row[1], row[0], now, update.execution)
    assert not trading_outside.take_back(desk.uow(), row[1], row[0], now, update.execution)
    assert ledger(desk) == {"AAPL": 8}
    assert cash(desk) == -8 * 144


def paper_agent(desk: House, quote: Quote | None, **bot: Any) -> AccountAgent:
    """An agent of a paper account; its broker is the simulator's, so that an order would be seen."""
    request = NewBot("AAPL", "15m", Decimal(1000), account_mode="paper", is_active=True, **bot)
    bots.create_bot(desk.uow(), desk.user_id, request)
    desk.token = bots.create_token(desk.uow(), desk.user_id).secret
    account = desk.rows("SELECT id FROM account_state WHERE user_id = :u AND mode = 'paper'", u=desk.user_id)[0][0]
    lease = wait_for(lambda: acquire_lease(desk.uow(), account, "test:x"), "no lease", 30)
    return AccountAgent(lease, Tools(desk.uow, desk.simulator.broker(desk.user_id), quote=lambda symbol: quote))


@pytest.mark.parametrize(
    ("bot", "alert"),
    [
        ({"allow_quantity": True, "max_position_size": Decimal(2000)}, {"quantity": 1000, "price": 0.01}),
        ({"fractional": False}, {"price": 0.01}),
        ({"direction": "short_only"}, {"action": "SELL", "price": 0.01}),
        ({"direction": "short_only"}, {"action": "SELL", "price": 145, "type": "limit", "limit_price": 0.01}),
    ],
)
@pytest.mark.parametrize("known", [True, False])
def test_an_alerts_own_price_cannot_make_an_order_larger_than_its_limits(
    house: House, known: bool, bot: dict[str, Any], alert: dict[str, Any]
) -> None:
    """Shares are valued at a second price; where none is known, or it is far off, nothing is sent."""
    quote = Quote("AAPL", Decimal(145), datetime.now(UTC) - timedelta(seconds=1), "test") if known else None
    agent = paper_agent(house, quote, **bot)
    signal = house.post(**{"id": "cheap", **alert}).json()["signal_id"]
    wait_for(lambda: (agent.step(), house.rows("SELECT 1 FROM alert_inbox WHERE ended_at IS NOT NULL"))[1], "not ended")
    body = house.outcome(signal)
    spent = sum(Decimal(order["qty"]) * 145 for order in house.broker_orders())
    if known and "limit_price" in alert:
        assert body["status"] == "success" and spent <= 1000, "sized by the market's price"
    else:
        assert body["code"] in ({"PRICE_MISMATCH", "RISK_LIMIT"} if known else {"NO_PRICE"}), body
        assert spent == 0
