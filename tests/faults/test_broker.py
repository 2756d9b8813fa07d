"""Faults 20 to 22, 24, 26 to 50 and 54: one trader, the real client and simulator, a user for each test.

Promises: A at most one order for each alert leg, C no limit exceeded, D ledger equal to broker, E exits not blocked.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import text
from trading_house import House, wait_for

from dashtrade.services import bots, kill_switches

pytestmark = pytest.mark.fault

POST = "POST /v2/orders$"
HTML = {"body": "<html>bad gateway</html>", "content_type": "text/html"}


def settle(desk: House) -> None:
    """Wait until no order is on its way and the books agree with the broker's."""

    def agree() -> bool:
        open_orders = desk.rows(
            "SELECT 1 FROM order_intents WHERE user_id = :u AND state IN "
            "('waiting', 'planned', 'submitting', 'unknown', 'live')",
            u=desk.user_id,
        )
        undecided = desk.rows("SELECT 1 FROM alert_inbox WHERE user_id = :u AND ended_at IS NULL", u=desk.user_id)
        return not open_orders and not undecided and ledger(desk) == desk.broker_positions()

    wait_for(agree, "the books do not agree with the broker's", 30)


def ledger(desk: House) -> dict[str, Decimal]:
    rows = desk.rows(
        "SELECT symbol, sum(open_qty) FROM lots WHERE user_id = :u AND open_qty <> 0 GROUP BY 1", u=desk.user_id
    )
    return {row[0]: row[1] for row in rows}


def reserved(desk: House) -> Decimal:
    return desk.rows("SELECT reserved_exposure FROM account_state WHERE user_id = :u", u=desk.user_id)[0][0]


@pytest.mark.parametrize(
    ("number", "rules", "knobs"),
    [
        (26, [{"action": "hang", "when": "before", "seconds": 0.3}], {}),
        (27, [{"action": "hang", "when": "after", "seconds": 0.3}], {}),
        (28, [{"action": "error", "when": "after", "status": 504, "times": 3}], {}),
        (29, [{"action": "error", "when": "before", "status": 502, **HTML}], {}),
        (29, [{"action": "error", "when": "after", "status": 500, **HTML}], {}),
        (30, [{"action": "truncate"}], {}),
        (31, [{"action": "rewrite", "set": {"status": "quantum", "order_class": "novel"}}], {}),
        (32, [{"action": "rate_limit", "times": 2}], {}),
        (33, [{"action": "reset", "when": "after"}], {}),
        (34, [{"action": "error", "when": "after", "status": 504}, {"route": "GET /v2/orders:by", "action": "error",
              "status": 404, "body": '{"code": 40410000, "message": "order not found"}'}], {}),
        (40, [{"action": "error", "when": "after", "status": 504}], {"visibility_lag": 1.0}),
        (42, [], {"stream": ["duplicate"]}),
        (43, [], {"stream": ["duplicate", "reverse"]}),
        (44, [{"action": "hang", "when": "after", "seconds": 1.0}], {"stream": ["reverse"]}),
        (45, [], {"stream": ["drop"]}),
        (46, [], {"stream": ["silent"]}),
    ],
)  # fmt: skip
def test_whatever_the_answer_the_order_lands_once(
    desk: House, number: int, rules: list[dict[str, Any]], knobs: dict[str, Any]
) -> None:
    desk.bot()
    desk.post(id="first")
    settle(desk)
    desk.simulator.faults(rules=[{"route": POST, **rule} for rule in rules], **knobs)
    signal = desk.post(action="SELL", id="faulty").json()["signal_id"]
    body = desk.outcome(signal, 30)
    assert body["status"] == "success", body
    desk.simulator.http.delete("/sim/faults")
    settle(desk)
    assert len(desk.broker_orders()) == 2
    assert desk.broker_positions() == {}
    fills = desk.rows("SELECT count(*) FROM executions WHERE user_id = :u", u=desk.user_id)
    assert fills == [(2,)]
    assert reserved(desk) == 0


def test_fault_20_many_alerts_at_once_on_one_symbol_keep_the_limit(desk: House) -> None:
    desk.bot(size="100", max_position_size=Decimal(350))
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda n: desk.post(id=f"n{n}"), range(8)))
    outcomes = [desk.outcome(answer.json()["signal_id"], 40) for answer in answers]
    assert [body["status"] for body in outcomes].count("success") == 3
    assert {body["code"] for body in outcomes if body["status"] == "error"} == {"RISK_LIMIT"}
    settle(desk)
    held = desk.rows("SELECT sum(qty * price) FROM executions WHERE user_id = :u", u=desk.user_id)[0][0]
    assert held <= 350
    events = bots.list_risk_events(desk.uow(), desk.user_id)
    assert {event.event_type for event in events} == {"MAX_POSITION_SIZE"} and len(events) == 5


def test_fault_21_alerts_across_symbols_keep_the_accounts_buying_power(desk: House) -> None:
    for symbol in ("AAPL", "MSFT", "KO", "SPY", "XOM"):
        desk.bot(symbol, size="60000", risk_limit_percent=None)
    with ThreadPoolExecutor(5) as pool:
        answers = list(pool.map(lambda s: desk.post(symbol=s, price=None), ("AAPL", "MSFT", "KO", "SPY", "XOM")))
    outcomes = [desk.outcome(answer.json()["signal_id"], 40) for answer in answers]
    bought = [body for body in outcomes if body["status"] == "success"]
    assert len(bought) == 3, "200,000 of buying power carry three entries of 60,000"
    settle(desk)


def test_fault_22_a_kill_switch_stops_entries_and_never_exits(desk: House) -> None:
    desk.bot()
    assert desk.settled(id="in").json()["status"] == "success"
    halt = kill_switches.set_halt(desk.uow(), reason="news", set_by="ada", user_id=desk.user_id)
    refused = desk.settled(id="more")
    assert (refused.status_code, refused.json()["code"]) == (409, "HALTED")
    assert "news" in refused.json()["message"]
    assert desk.settled(action="SELL", id="out").json()["status"] == "success"
    kill_switches.clear_halt(desk.uow(), halt.id, cleared_by="ada", user_id=desk.user_id)
    assert desk.settled(id="again").json()["status"] == "success"


def test_fault_22_a_disabled_bot_still_closes_what_it_holds(desk: House) -> None:
    bot = desk.bot()
    desk.settled(id="in")
    bots.set_bot_active(desk.uow(), desk.user_id, bot.id, False)
    assert desk.settled(id="more").json()["code"] == "BOT_DISABLED"
    assert desk.settled(action="CLOSE", id="out").json()["status"] == "success"
    assert desk.settled(action="CLOSE", id="again").json()["code"] == "BOT_DISABLED"


def test_fault_24_an_alert_that_cannot_be_read_does_not_block_the_queue(desk: House) -> None:
    bot = desk.bot()
    with desk.engine.begin() as connection:
        poison = connection.execute(
            text(
                "INSERT INTO alert_inbox (user_id, bot_id, dedupe_key, dedupe_rule, body_hash, payload, received_at)"
                " VALUES (:u, :b, 'poison', 'id', 'x', '{\"action\": \"???\"}', now() - interval '1 second')"
                " RETURNING id"
            ),
            {"u": desk.user_id, "b": bot.id},
        ).scalar()
    assert desk.settled(id="healthy").json()["status"] == "success"
    assert desk.rows("SELECT state, attempts > 0 FROM alert_inbox WHERE id = :i", i=poison) == [("received", True)]


def test_fault_35_a_refusal_gives_the_reservation_back(desk: House) -> None:
    desk.bot()
    refusal = '{"code": 40310000, "message": "insufficient buying power"}'
    desk.simulator.faults(rules=[{"route": POST, "action": "error", "status": 403, "body": refusal}])
    answer = desk.settled(id="refused")
    assert (answer.status_code, answer.json()["status"]) == (409, "error")
    assert "insufficient buying power" in answer.json()["message"].lower()
    assert reserved(desk) == 0
    assert desk.settled(id="next").json()["status"] == "success"
    settle(desk)


@pytest.mark.parametrize("number", [36, 37])
def test_faults_36_and_37_an_exit_clears_its_way(desk: House, number: int) -> None:
    """A resting order holds the shares (36) or would trade with the exit (37): it is cancelled and the exit goes on."""
    desk.bot()
    desk.post(id="in")
    settle(desk)
    broker = desk.simulator.broker(desk.user_id)
    held = desk.broker_positions()["AAPL"]
    manual = {
        36: {"symbol": "AAPL", "side": "sell", "type": "limit", "limit_price": "400", "qty": str(held),
             "time_in_force": "day"},
        37: {"symbol": "AAPL", "side": "buy", "type": "limit", "limit_price": "1", "qty": "1", "time_in_force": "day"},
    }[number]  # fmt: skip
    headers = desk.simulator.headers(desk.user_id)
    desk.simulator.http.post("/v2/orders", json=manual, headers=headers).raise_for_status()
    body = desk.outcome(desk.post(action="SELL", id="out").json()["signal_id"], 30)
    assert body["status"] == "success", body
    assert desk.broker_positions() == {}
    assert broker.open_orders() == []
    broker.close()
    settle(desk)


def test_fault_38_a_halted_symbol_leaves_the_order_waiting_and_an_exit_cancels_it(desk: House) -> None:
    desk.bot()
    desk.simulator.faults(hold_fills=True)
    entry = desk.post(id="in").json()["signal_id"]
    wait_for(lambda: desk.broker_orders(), "no order")
    out = desk.post(action="CLOSE", id="out").json()["signal_id"]
    assert desk.outcome(entry, 30)["status"] == "error", "the resting entry is cancelled for the exit"
    assert desk.outcome(out, 30)["status"] == "ignored"
    assert [order["status"] for order in desk.broker_orders()] == ["canceled"]
    assert reserved(desk) == 0


def test_fault_41_a_partial_fill_then_cancel_keeps_what_was_filled(desk: House) -> None:
    desk.bot(allow_quantity=True)
    desk.simulator.faults(partial_fills=[0.4, 0.6], partial_interval=600)
    signal = desk.post(id="in", quantity=10).json()["signal_id"]
    wait_for(lambda: ledger(desk).get("AAPL") == 4, "no partial fill")
    assert bots.list_trades(desk.uow(), desk.user_id)[0].status == "PARTIAL"
    order = desk.broker_orders()[0]
    headers = desk.simulator.headers(desk.user_id)
    desk.simulator.http.delete(f"/v2/orders/{order['id']}", headers=headers).raise_for_status()
    body = desk.outcome(signal, 30)
    assert (body["status"], body["filled_qty"]) == ("success", 4)
    settle(desk)
    assert reserved(desk) == 0
    assert bots.list_trades(desk.uow(), desk.user_id)[0].status == "CANCELED"


def test_fault_48_a_reversal_waits_for_its_first_leg(desk: House) -> None:
    desk.bot(direction="long_short", allow_quantity=True)
    desk.post(id="in", quantity=10)
    settle(desk)
    desk.simulator.faults(partial_fills=[0.5, 0.5], partial_interval=600)
    signal = desk.post(action="SELL", id="turn", quantity=10).json()["signal_id"]
    wait_for(lambda: ledger(desk).get("AAPL") == 5, "no partial fill")
    states = desk.rows(
        "SELECT leg, state FROM order_intents WHERE alert_id = :a ORDER BY leg",
        a=signal,
    )
    assert [tuple(s) for s in states] == [(1, "live"), (2, "waiting")]
    order = next(o for o in desk.broker_orders() if o["status"] == "partially_filled")
    headers = desk.simulator.headers(desk.user_id)
    desk.simulator.http.delete(f"/v2/orders/{order['id']}", headers=headers).raise_for_status()
    desk.simulator.http.delete("/sim/faults")
    body = desk.outcome(signal, 30)
    assert "did not fill in full" in body["message"] or "canceled" in body["message"].lower()
    assert ledger(desk) == {"AAPL": 5} == desk.broker_positions(), "nothing was opened on the other side"
    turned = desk.outcome(desk.post(action="SELL", id="turn again", quantity=10).json()["signal_id"], 30)
    assert turned["status"] == "success" and len(turned["orders"]) == 2
    settle(desk)
    assert ledger(desk) == {"AAPL": -10}


def test_faults_39_49_and_50_what_others_do_at_the_broker_is_shown_and_stops_the_symbol(desk: House) -> None:
    desk.bot()
    desk.bot("MSFT")
    desk.post(id="in")
    settle(desk)
    headers = desk.simulator.headers(desk.user_id)
    manual = {"symbol": "AAPL", "side": "buy", "type": "market", "qty": "3", "time_in_force": "day"}
    desk.simulator.http.post("/v2/orders", json=manual, headers=headers).raise_for_status()
    desk.simulator.faults(rules=[{"route": "GET /v2/positions", "action": "error", "status": 500, "times": 100}])
    desk.trader.reconcile_soon()
    wait_for(
        lambda: desk.rows("SELECT 1 FROM order_events WHERE user_id = :u AND kind = 'external_fill'", u=desk.user_id),
        "the fill is not shown",
    )
    assert desk.rows("SELECT 1 FROM trading_halts WHERE user_id = :u", u=desk.user_id) == [], "a failure is not flat"
    assert ledger(desk)["AAPL"] > 0
    desk.simulator.http.delete("/sim/faults")
    desk.trader.reconcile_soon()
    wait_for(lambda: desk.rows("SELECT 1 FROM trading_halts WHERE user_id = :u", u=desk.user_id), "no drift seen", 30)
    refused = desk.settled(id="more")
    assert refused.json()["code"] == "HALTED" and "Our books hold" in refused.json()["message"]
    assert desk.settled(symbol="MSFT", id="other").json()["status"] == "success", "other symbols go on"
    desk.simulator.http.post("/v2/orders", json={**manual, "side": "sell"}, headers=headers).raise_for_status()
    desk.trader.reconcile_soon()
    wait_for(
        lambda: desk.rows("SELECT 1 FROM trading_halts WHERE user_id = :u AND cleared_at IS NOT NULL", u=desk.user_id),
        "the stop stays although the books agree",
        40,
    )
    assert desk.settled(id="go on").json()["status"] == "success"


def test_fault_54_an_account_without_optional_fields_is_enough(desk: House) -> None:
    needed = {"id", "status", "equity", "last_equity", "cash", "buying_power", "account_number"}
    headers = desk.simulator.headers(desk.user_id)
    account = desk.simulator.http.get("/v2/account", headers=headers).json()
    drop = sorted(set(account) - needed)
    assert len(drop) > 5
    desk.simulator.faults(rules=[{"route": "GET /v2/account$", "action": "rewrite", "drop": drop, "times": 50}])
    desk.bot()
    assert desk.outcome(desk.post(id="in").json()["signal_id"], 30)["status"] == "success"


def test_a_reversal_at_the_position_limit_opens_the_other_side(desk: House) -> None:
    """The old side is closed before the new one opens, so that only one of them counts."""
    desk.bot(direction="long_short", allow_quantity=True, max_position_size=Decimal(1000))
    assert desk.settled(id="in", quantity=6).json()["status"] == "success"
    settle(desk)
    turned = desk.settled(action="SELL", id="turn", quantity=6).json()
    assert turned["status"] == "success" and len(turned["orders"]) == 2, turned
    settle(desk)
    assert ledger(desk) == {"AAPL": -6}
    more = desk.settled(action="SELL", id="more", quantity=6).json()
    assert more["code"] == "RISK_LIMIT"


def test_an_alert_from_the_future_does_not_silence_the_bot(desk: House) -> None:
    """A wrong clock, or a time in a test alert: what is sent now must not count as older for years."""
    desk.bot()
    assert desk.settled(id="early", timenow="2099-01-01T00:00:00Z").json()["status"] == "success"
    settle(desk)
    out = desk.settled(id="out", action="SELL", timenow=datetime.now(UTC).isoformat()).json()
    assert out["status"] == "success" and desk.broker_positions() == {}
