"""Faults 15, 16, 18, 19, 22, 23, 25, 38, 53 and 55: traders that overlap, pause, lose the database or their keys."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from pg_proxy import proxied
from pydantic import SecretStr
from sqlalchemy import text
from trading_house import RAISING, House, TraderProcess, running_trader, trader_settings, wait_for

from dashtrade.auth import secret_files
from dashtrade.auth.vault import Vault, new_key
from dashtrade.brokers.rate_limit import Priority
from dashtrade.db.engine import make_engine
from dashtrade.db.tables.accounts import UserApiKeyRow
from dashtrade.db.unit_of_work import UnitOfWork
from dashtrade.domain.bots import AccountMode
from dashtrade.domain.orders import BrokerOrder, Execution, OrderRequest, OrderUpdate, Side
from dashtrade.errors import AuthFailed, ConfigurationError, DatabaseUnavailable, Forbidden
from dashtrade.processes.trader import runner
from dashtrade.processes.trader.access import open_broker
from dashtrade.processes.trader.agent import AccountAgent, Tools
from dashtrade.processes.trader.runner import _RegularHours
from dashtrade.services import bots, key_rotation, kill_switches, trading_fills
from dashtrade.services.api_keys import check_vault, publish_public_key
from dashtrade.services.notifications import list_notifications
from dashtrade.services.trading_lease import LeaseLost, acquire_lease

pytestmark = pytest.mark.fault
PASSWORD = "Correct-Horse-7-Battery"  # what make_user gives everybody


def account_id(house: House) -> int:
    return house.rows("SELECT id FROM account_state WHERE user_id = :u", u=house.user_id)[0][0]


def expire_lease(house: House) -> None:
    with house.engine.begin() as connection:
        connection.execute(text("UPDATE account_state SET lease_until = now() - interval '1 second'"))


def agent_for(house: House, owner: str, **changes: object) -> AccountAgent:
    lease = acquire_lease(house.uow(), account_id(house), owner)
    assert lease is not None
    tools = Tools(house.uow, house.simulator.broker(house.user_id))
    return AccountAgent(lease, replace(tools, **changes))  # type: ignore[arg-type]


def test_fault_15_two_traders_order_each_alert_once(house: House) -> None:
    house.bot(size="100", max_orders_per_day=None)
    house.bot("MSFT", size="100")
    with running_trader(house.engine, house.simulator), running_trader(house.engine, house.simulator):
        signals = [
            house.post(id=f"n{n}", symbol=symbol).json()["signal_id"] for n in range(4) for symbol in ("AAPL", "MSFT")
        ]
        assert {house.outcome(signal)["status"] for signal in signals} == {"success"}
    assert len(house.broker_orders()) == 8
    assert house.ledger_positions() == house.broker_positions()


def test_fault_16_a_zombies_late_post_is_not_a_second_order(house: House) -> None:
    """The first trader pauses inside its request, loses the lease, and then its request arrives after all."""
    house.bot()
    slow, paused, go_on = house.simulator.broker(house.user_id), threading.Event(), threading.Event()
    send = slow.submit

    def pause(request: OrderRequest) -> BrokerOrder:
        paused.set()
        assert go_on.wait(20)
        return send(request)

    slow.submit = pause  # type: ignore[method-assign]
    zombie = agent_for(house, "first", broker=slow)
    signal = house.post().json()["signal_id"]
    ended: list[BaseException] = []

    def run() -> None:
        try:
            zombie.step()
        except LeaseLost as error:
            ended.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    assert paused.wait(20)
    expire_lease(house)
    heir = agent_for(house, "second")
    wait_for(lambda: heir.step() is not None and house.broker_orders(), "the heir did not order")
    go_on.set()
    thread.join(20)
    assert len(ended) == 1
    wait_for(lambda: (heir.step(), house.rows("SELECT 1 FROM alert_inbox WHERE state = 'done'"))[1], "not done")
    assert house.outcome(signal)["status"] == "success"
    assert len(house.broker_orders()) == 1
    assert house.ledger_positions() == house.broker_positions()


def test_fault_16_a_trader_that_lost_the_lease_before_sending_sends_nothing(house: House) -> None:
    house.bot()

    def steal(point: str) -> None:
        if point == "submitting":
            expire_lease(house)
            assert acquire_lease(house.uow(), account_id(house), "thief") is not None

    agent = agent_for(house, "first", checkpoint=steal)
    house.post()
    with pytest.raises(LeaseLost):
        agent.step()
    assert house.broker_orders() == []


@pytest.mark.parametrize("point", ["claimed", "planned", "submitting", "sent", "fill_uncommitted"])
def test_fault_18_the_database_goes_away_and_comes_back(house: House, database_url: str, point: str) -> None:
    house.bot()
    cuts: list[str] = []
    with ExitStack() as stack:
        proxy = stack.enter_context(proxied(database_url))

        def cut(name: str) -> None:
            if name == point and not cuts:
                cuts.append(name)
                proxy.cut()

        behind = make_engine(proxy.url, pool_size=10)
        stack.callback(behind.dispose)
        stack.enter_context(running_trader(behind, house.simulator, checkpoint=cut))
        body = house.outcome(house.post().json()["signal_id"], 40)
        assert cuts == [point]
        assert body["status"] == "success"
        wait_for(lambda: house.ledger_positions() == house.broker_positions(), "the books disagree")
    assert len(house.broker_orders()) == 1


@pytest.mark.parametrize(("hours", "status"), [(1, "error"), (-1, "success")])
def test_fault_19_a_clock_that_jumps_makes_no_stale_order(house: House, hours: int, status: str) -> None:
    house.bot()
    with running_trader(house.engine, house.simulator, now=lambda: datetime.now(UTC) + timedelta(hours=hours)):
        body = house.outcome(house.post().json()["signal_id"])
    assert body["status"] == status
    if status == "error":
        assert body["code"] == "EXPIRED" and "past the bot's limit" in body["message"]
        assert house.broker_orders() == []


def test_fault_22_a_kill_switch_thrown_between_planning_and_sending_stops_the_entry(house: House) -> None:
    house.bot()

    def throw(point: str) -> None:
        if point == "submitting":
            kill_switches.set_halt(house.uow(), reason="stop everything", set_by="ada")

    agent = agent_for(house, "first", checkpoint=throw)
    signal = house.post().json()["signal_id"]
    for _ in range(3):
        agent.step()
    body = house.outcome(signal)
    assert body["status"] == "error" and "stop everything" in body["message"]
    assert house.broker_orders() == []
    assert house.rows("SELECT reserved_exposure FROM account_state") == [(0,)]


def test_fault_23_sigterm_during_the_request_leaves_one_order(house: House, database_url: str) -> None:
    house.bot()
    house.simulator.faults(rules=[{"route": "POST /v2/orders$", "action": "hang", "when": "after", "seconds": 1.0}])
    first = TraderProcess(database_url, house.simulator)
    try:
        signal = house.post().json()["signal_id"]
        wait_for(house.broker_orders, "no order", 30)
        first.process.terminate()
        assert first.wait(30) == 0
        second = TraderProcess(database_url, house.simulator)
        try:
            assert house.outcome(signal, 40)["status"] == "success"
        finally:
            second.stop()
    finally:
        first.stop()
    assert len(house.broker_orders()) == 1
    assert house.ledger_positions() == house.broker_positions()


def store_keys(house: House, vault: Vault, mode: str, key: str = "PKTEST", secret: str = "hidden") -> None:
    with UnitOfWork(house.engine) as uow:
        uow.session.add(
            UserApiKeyRow(
                user_id=house.user_id,
                alpaca_api_key_encrypted=vault.seal(key, user_id=house.user_id, mode=mode, field="key"),
                alpaca_secret_key_encrypted=vault.seal(secret, user_id=house.user_id, mode=mode, field="secret"),
                alpaca_mode=mode,
            )
        )
        uow.commit()


@pytest.mark.parametrize("given", [None, "another"])
def test_fault_25_without_the_right_encryption_key_nothing_is_traded(house: House, given: str | None) -> None:
    house.bot(account_mode="paper")
    store_keys(house, Vault(new_key()), "paper")
    settings = trader_settings(house.simulator).model_copy(
        update={"encryption_key": None if given is None else _Secret(new_key())}
    )
    lease = acquire_lease(house.uow(), account_id(house), "x")
    assert lease is not None and lease.mode is AccountMode.PAPER
    with pytest.raises(ConfigurationError, match=r"encryption.key") as refused:
        open_broker(house.uow(), lease, settings)
    assert "hidden" not in str(refused.value)


def test_the_traders_keys_follow_a_rotation(house: House, tmp_path: Path) -> None:
    """A trader that was started with the key of before opens what a rotation has sealed with a new one."""
    settings = trader_settings(house.simulator).model_copy(update={"data_dir": tmp_path})
    secret_files.ensure_secrets(settings)
    before = secret_files.encryption_key(settings)
    house.bot(account_mode="paper")
    store_keys(house, Vault(before), "paper")
    key_rotation.rotate(house.uow, settings)
    with house.uow() as uow, pytest.raises(ConfigurationError):
        check_vault(uow, Vault(before))
    lease = acquire_lease(house.uow(), account_id(house), "x")
    assert lease is not None
    broker, _ = open_broker(house.uow(), lease, settings.model_copy(update={"encryption_key": SecretStr(before)}))
    assert broker is not None


def test_a_trader_with_another_key_does_not_start_and_takes_no_keys(house: House, tmp_path: Path) -> None:
    """The pages seal what people enter to the public key a trader makes known: a wrong one would lose it."""
    right = Vault(new_key())
    store_keys(house, right, "paper")
    with house.uow() as uow:
        publish_public_key(uow, right)
    given = {name: os.environ[name] for name in ("PATH", "HOME", "PYTHONPATH") if name in os.environ} | {
        "DATABASE_URL": house.engine.url.render_as_string(hide_password=False),
        "DASHTRADE_DATA_DIR": str(tmp_path),
        "ENCRYPTION_KEY": new_key(),
    }
    command = [sys.executable, "-m", "dashtrade.processes.trader"]
    ran = subprocess.run(command, env=given, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert ran.returncode == 1
    said = ran.stdout + ran.stderr
    assert said.count("\n") == 1 and "cannot be decrypted" in said and "Set ENCRYPTION_KEY" in said
    assert house.rows("SELECT value FROM app_state WHERE key = 'api_keys_public_key'") == [(right.public_key,)]


class _Secret:
    def __init__(self, value: str) -> None:
        self._value = value

    def get_secret_value(self) -> str:
        return self._value


def test_a_database_that_is_away_while_the_keys_are_read_ends_no_alert(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says nothing about the account: an alert refused for it would be lost."""
    house.bot()
    failures = iter([DatabaseUnavailable("The database went away.")])

    def once(*given: object) -> object:
        error = next(failures, None)
        if error is not None:
            raise error
        return open_broker(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(runner, "open_broker", once)
    signal = house.post().json()["signal_id"]
    with running_trader(house.engine, house.simulator):
        assert house.outcome(signal, 30)["status"] == "success"
    assert next(failures, "used") == "used"


def test_an_account_that_cannot_trade_answers_its_alerts_with_the_reason(house: House) -> None:
    house.bot(account_mode="paper")
    with running_trader(house.engine, house.simulator):
        body = house.outcome(house.post().json()["signal_id"])
    assert (body["status"], body["code"]) == ("error", "ACCOUNT_UNAVAILABLE")
    assert "no API keys for paper" in body["message"]


def test_fault_55_live_needs_confirmation_and_live_keys(house: House) -> None:
    with pytest.raises(Forbidden, match="not confirmed"):
        house.bot(account_mode="live")
    bot = house.bot(account_mode="live", is_active=False)
    vault_key = new_key()
    store_keys(house, Vault(vault_key), "live", key="PKPAPERKEY")
    settings = trader_settings(house.simulator).model_copy(update={"encryption_key": _Secret(vault_key)})
    expire_lease(house)
    lease = acquire_lease(house.uow(), account_id(house), "x")
    assert lease is not None
    with pytest.raises(ConfigurationError, match="not confirmed"):
        open_broker(house.uow(), lease, settings)
    with pytest.raises(AuthFailed):
        kill_switches.confirm_live(house.uow(), house.user_id, "wrong", kill_switches.LIVE_SENTENCE)
    kill_switches.confirm_live(house.uow(), house.user_id, PASSWORD, kill_switches.LIVE_SENTENCE.lower())
    assert bots.set_bot_active(house.uow(), house.user_id, bot.id, True).config.is_active
    with pytest.raises(ConfigurationError, match="paper"):
        open_broker(house.uow(), lease, settings)


def test_fault_38_outside_the_session_an_alert_expires(house: House) -> None:
    house.bot()
    agent = agent_for(house, "first", session_open=lambda symbol, rule, now: False)
    signal = house.post().json()["signal_id"]
    agent.step()
    body = house.outcome(signal)
    assert (body["status"], body["code"]) == ("error", "MARKET_CLOSED")
    assert house.broker_orders() == []


@pytest.mark.parametrize(
    ("moment", "day"),
    [
        ("2026-01-15T04:59:59+00:00", date(2026, 1, 14)),  # 23:59:59 in New York, winter
        ("2026-01-15T05:00:00+00:00", date(2026, 1, 15)),
        ("2026-07-15T03:59:59+00:00", date(2026, 7, 14)),  # 23:59:59 in New York, summer
        ("2026-07-15T04:00:00+00:00", date(2026, 7, 15)),
        ("2026-03-08T06:59:59+00:00", date(2026, 3, 8)),  # the night the clocks go forward
        ("2026-11-01T05:30:00+00:00", date(2026, 11, 1)),  # the hour that comes twice
        ("2026-11-27T18:00:00+00:00", date(2026, 11, 27)),  # the close of a half day
    ],
)
def test_fault_53_a_fill_belongs_to_new_yorks_day(house: House, moment: str, day: date) -> None:
    house.bot()
    fill = Execution("e1", "o1", "", "AAPL", Side.BUY, Decimal(1), Decimal(10), datetime.fromisoformat(moment))
    trading_fills.record_executions(house.uow(), account_id(house), [fill, fill], datetime.now(UTC))
    assert house.rows("SELECT trade_date FROM executions") == [(day,)]
    assert house.rows("SELECT trade_date, amount FROM cash_ledger") == [(day, Decimal(-10))]


def test_a_loss_limit_switches_the_bot_off_closes_and_is_told_once(house: House) -> None:
    house.bot(daily_loss_limit=Decimal(50), flatten_on_breach=True)
    agent = agent_for(house, "first")
    house.post()
    wait_for(lambda: (agent.step(), house.ledger_positions())[1], "no position")
    house.set_price("AAPL", 130)
    agent._watch_at = 0.0

    def flat() -> bool:
        agent._watch_at = 0.0
        agent.step()
        return not house.ledger_positions() and not house.broker_positions()

    wait_for(flat, "the position is still open")
    for _ in range(3):
        agent._watch_at = 0.0
        agent.step()
    bot = bots.list_bots(house.uow(), house.user_id)[0]
    assert not bot.config.is_active and bot.total_pnl < -50
    events = bots.list_risk_events(house.uow(), house.user_id)
    assert [event.event_type for event in events] == ["DAILY_LOSS_LIMIT"]
    assert events[0].threshold_value == 50 and events[0].current_value > 50
    assert house.settled(id="again").json()["code"] == "BOT_DISABLED"
    told = list_notifications(house.uow(), house.user_id)
    assert [note.title for note in told] == ["Daily loss limit: AAPL"], "told once"
    assert "switched off and closes its position" in told[0].body


def test_a_gone_traders_account_is_taken_at_once_and_a_living_ones_is_not(house: House) -> None:
    house.bot()
    with running_trader(house.engine, house.simulator) as trader:
        wait_for(lambda: house.rows("SELECT 1 FROM account_state WHERE lease_owner IS NOT NULL"), "no lease", 30)
        assert acquire_lease(house.uow(), account_id(house), "other:1") is None
        assert trader.owner == house.rows("SELECT lease_owner FROM account_state")[0][0]
        trader._listener.stop()
        time.sleep(0.1)
        wait_for(lambda: acquire_lease(house.uow(), account_id(house), "other:1"), "not taken over")


@pytest.mark.parametrize("code", ["40P01", "40001"])
def test_fault_17_a_deadlock_or_serialisation_failure_is_tried_again(house: House, code: str) -> None:
    house.bot()
    with house.engine.begin() as connection:
        connection.execute(text("CREATE SEQUENCE failures"))
        condition = "nextval('failures') <= 3"
        connection.execute(text(RAISING.format(table="order_intents", code=code, condition=condition)))
    agent = agent_for(house, "first")
    signal = house.post().json()["signal_id"]
    agent.step()
    assert house.rows("SELECT attempts FROM alert_inbox") == [(0,)], "this is no fault of the alert"
    wait_for(lambda: (agent.step(), house.rows("SELECT 1 FROM alert_inbox WHERE state = 'done'"))[1], "not done")
    assert house.outcome(signal)["status"] == "success"
    assert len(house.broker_orders()) == 1


def test_fault_11_alerts_out_of_order_converge_on_the_newest(house: House) -> None:
    house.bot(direction="long_short")
    agent = agent_for(house, "first")
    now = datetime.now(UTC).replace(microsecond=0)

    def post(position: str, age: int) -> dict[str, object]:
        sent = (now - timedelta(seconds=age)).isoformat()
        signal = house.post(action="BUY", market_position=position, timenow=sent).json()["signal_id"]
        wait_for(
            lambda: (agent.step(), house.rows("SELECT 1 FROM alert_inbox WHERE ended_at IS NULL") == [])[1], "not ended"
        )
        return house.outcome(signal)

    assert post("long", 10)["status"] == "success"
    assert post("flat", 4)["status"] == "success"
    late = post("long", 6)
    assert late["status"] == "ignored" and "newer alert" in str(late["message"])
    assert house.ledger_positions() == house.broker_positions() == {}
    assert post("short", 2)["status"] == "success"
    assert post("short", 1)["status"] == "ignored", "a repeat in target mode is harmless"
    assert house.ledger_positions() == house.broker_positions()
    assert house.ledger_positions()["AAPL"] == -6


def test_fault_38_the_calendar_knows_half_days_and_the_books_are_compared_at_their_edges(house: House) -> None:
    """The day after Thanksgiving 2025 ended at 13:00 in New York; the next session was on Monday."""
    hours = _RegularHours()
    close, opening = datetime(2025, 11, 28, 18, tzinfo=UTC), datetime(2025, 12, 1, 14, 30, tzinfo=UTC)
    assert [hours.is_open("AAPL", close + timedelta(minutes=m)) for m in (-1, 1)] == [True, False]
    assert hours.next_edge(close - timedelta(hours=1)) == close and hours.next_edge(close) == opening
    house.bot()
    now = [close - timedelta(seconds=5)]
    agent = agent_for(house, "first", next_edge=hours.next_edge, now=lambda: now[0])

    def compared() -> datetime:
        agent.step()
        return house.rows("SELECT reconciled_at FROM account_state")[0][0]

    assert compared() == now[0]
    first, now[0] = now[0], close - timedelta(seconds=1)
    assert compared() == first, "not yet"
    now[0] = close + timedelta(seconds=1)
    assert compared() == now[0], "the session closed"


def test_a_long_queue_does_not_keep_the_books_from_being_compared(house: House) -> None:
    """Found by the soak: a queue of minutes made the books old, and then every entry was refused for that."""
    for symbol in ("AAPL", "MSFT", "KO"):
        house.bot(symbol)
        house.post(payload={"action": "BUY", "symbol": symbol, "interval": "15", "id": symbol})
    now = [datetime.now(UTC)]

    def slow_quote(symbol: str) -> None:
        now[0] += timedelta(seconds=1)
        agent.reconcile_soon()

    agent = agent_for(house, "first", quote=slow_quote, now=lambda: now[0])
    query = "SELECT count(*) FROM alert_inbox WHERE state <> 'received'"
    seen = []
    for _ in range(3):
        agent.step()
        compared = house.rows("SELECT reconciled_at FROM account_state")[0][0]
        seen.append((house.rows(query)[0][0], now[0] - compared))
    assert seen == [(n, timedelta(seconds=1)) for n in (1, 2, 3)]


def test_an_order_is_filled_although_the_simulator_forgot_the_alerts_price(house: House) -> None:
    """Found by the soak: a killed simulator keeps orders and forgets prices, and not every symbol has a source."""
    house.bot("ZZZQ")
    told: list[tuple[str, Decimal]] = []
    agent = agent_for(house, "first", hint=lambda symbol, price: told.append((symbol, price)))
    signal = house.post(symbol="ZZZQ", price=50).json()["signal_id"]
    wait_for(lambda: (agent.step(), len(told) >= 2)[1], "the price is not told again")
    assert set(told) == {("ZZZQ", Decimal(50))} and house.broker_positions() == {}
    body = {"symbol": "ZZZQ", "price": "50"}
    house.simulator.http.post("/sim/prices", json=body, headers=house.simulator.headers(house.user_id))
    wait_for(lambda: (agent.step(), house.broker_positions())[1], "not filled")
    ended = "SELECT 1 FROM alert_inbox WHERE ended_at IS NOT NULL"
    wait_for(lambda: (agent.step(), house.rows(ended))[1], "not done")
    assert house.outcome(signal)["status"] == "success"


def test_an_entry_without_room_in_the_budget_keeps_no_exit_waiting(house: House) -> None:
    """An account has one trader: where it waited for an entry's turn, an exit would wait behind it."""
    for symbol in ("AAPL", "MSFT"):
        house.bot(symbol, size="100")
    agent = agent_for(house, "first")
    house.post(id="hold")
    wait_for(lambda: (agent.step(), house.ledger_positions())[1], "no position")
    budget = agent.tools.broker._budget  # type: ignore[attr-defined]
    while budget.acquire(Priority.ENTRY, timeout=0):
        pass
    entry = house.post(symbol="MSFT", id="entry").json()["signal_id"]
    closing = house.post(action="SELL", id="exit").json()["signal_id"]
    wait_for(lambda: (agent.step(), not house.broker_positions())[1], "the exit was not sent")
    assert house.rows("SELECT state FROM order_intents WHERE alert_id = :a", a=entry) == [("planned",)]
    budget._used.clear()
    open_alerts = "SELECT 1 FROM alert_inbox WHERE ended_at IS NULL"
    wait_for(lambda: (agent.step(), not house.rows(open_alerts))[1], "the entry was not sent")
    assert [house.outcome(signal)["status"] for signal in (entry, closing)] == ["success", "success"]


def test_an_exit_that_comes_while_an_entry_is_planned_goes_first(house: House) -> None:
    for symbol in ("AAPL", "MSFT"):
        house.bot(symbol, size="100")
    came: list[int] = []

    def at(point: str) -> None:
        if point == "planned" and holding and not came:
            came.append(house.post(action="SELL", id="exit").json()["signal_id"])

    holding: list[bool] = []
    agent = agent_for(house, "first", checkpoint=at)
    house.post(id="hold")
    wait_for(lambda: (agent.step(), house.ledger_positions())[1], "no position")
    holding.append(True)
    house.post(symbol="MSFT", id="entry")
    wait_for(lambda: (agent.step(), set(house.broker_positions()) == {"MSFT"})[1], "not both were sent")
    sent = "SELECT purpose FROM order_intents WHERE submitted_at IS NOT NULL ORDER BY submitted_at"
    assert [row[0] for row in house.rows(sent)] == ["entry", "exit", "entry"]


def test_an_alert_that_comes_while_the_books_are_compared_does_not_wait_for_the_end(house: House) -> None:
    house.bot()
    agent = agent_for(house, "first")
    agent.step()
    broker, seen = agent.tools.broker, []
    ask = broker.activities

    def activities(after: datetime) -> object:
        house.post()
        agent.wake()
        return ask(after)

    def open_orders() -> list[BrokerOrder]:
        seen.append(len(house.broker_orders()))
        return []

    broker.activities, broker.open_orders = activities, open_orders  # type: ignore[method-assign, assignment]
    agent.reconcile()
    assert seen == [1]


def test_an_alert_after_a_pause_waits_for_the_books_instead_of_being_refused_for_their_age(house: House) -> None:
    house.bot()
    now = [datetime.now(UTC) - timedelta(hours=1)]
    agent = agent_for(house, "first", now=lambda: now[0])
    agent.step()
    now[0] += timedelta(hours=1)  # the machine slept
    house.post()
    agent.wake()
    agent.reconcile_soon()
    agent.step()
    assert len(house.broker_orders()) == 1, house.rows("SELECT state, reason FROM alert_inbox")


def test_a_fill_that_reaches_a_limit_is_acted_on_at_once(house: House) -> None:
    """Between the looks at the account every few seconds our own books tell."""
    house.bot(daily_loss_limit=Decimal(50))
    agent = agent_for(house, "first")
    house.post()
    wait_for(lambda: (agent.step(), house.ledger_positions())[1], "no position")
    house.set_price("AAPL", 130)
    house.post(action="SELL", price=130, id="out")
    wait_for(lambda: (agent.step(), not house.broker_positions())[1], "not closed")
    later = time.monotonic() + 3600
    agent._watch_at = later
    for execution in agent.tools.broker.executions():
        order = agent.tools.broker.order_by_client_id(execution.client_order_id)
        assert order is not None
        agent.on_update(OrderUpdate("fill", order, execution.time, execution))
        if execution.side is Side.BUY:
            assert agent._watch_at > 0
    assert agent._watch_at == 0, "the loss is looked at now"


def test_an_exit_gives_a_market_entry_a_moment_to_fill_before_it_is_cancelled(house: House) -> None:
    house.bot()
    clock = [datetime.now(UTC)]
    agent = agent_for(house, "first", now=lambda: clock[0])
    house.simulator.faults(hold_fills=True)
    entry = house.post(id="in").json()["signal_id"]
    wait_for(lambda: (agent.step(), house.broker_orders())[1], "no order")
    out = house.post(action="CLOSE", id="out").json()["signal_id"]
    clock[0] += timedelta(seconds=1.5)
    agent.step()
    assert [order["status"] for order in house.broker_orders()] == ["new"]
    house.simulator.faults(hold_fills=False)
    wait_for(lambda: house.broker_orders()[0]["status"] == "filled", "not filled")

    def all_ended() -> bool:
        clock[0] += timedelta(seconds=0.5)
        agent.step()
        return not house.rows("SELECT 1 FROM alert_inbox WHERE ended_at IS NULL")

    wait_for(all_ended, "the exit did not end")
    assert (house.outcome(entry)["status"], house.outcome(out)["status"]) == ("success", "success")
    assert house.ledger_positions() == house.broker_positions() == {}
    # one that rests, such as in a halt, is in the way
    house.simulator.faults(hold_fills=True)
    entry = house.post(id="in2").json()["signal_id"]
    wait_for(lambda: (agent.step(), len(house.broker_orders()) == 3)[1], "no order")
    house.post(action="CLOSE", id="out2")
    wait_for(all_ended, "the resting entry is not cancelled")
    assert house.outcome(entry)["status"] == "error"
