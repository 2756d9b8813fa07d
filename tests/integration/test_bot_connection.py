"""Whether an account's bot could trade: what is said at each stage, and the trader's answer from the real simulator."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from cryptography.fernet import Fernet
from sqlalchemy import update

from dashtrade.auth.vault import Vault
from dashtrade.db.tables.trading import AccountRow, TraderHeartbeatRow
from dashtrade.db.unit_of_work import UnitOfWork
from dashtrade.domain.bot_views import NewBot
from dashtrade.domain.users import User
from dashtrade.errors import InvalidInput, NotFound
from dashtrade.processes.trader.checking import check_account
from dashtrade.services import bot_connection, bots, kill_switches, notifications
from dashtrade.services.api_keys import store_api_keys
from dashtrade.services.bot_replay import replay_alerts
from dashtrade.settings import load_settings

Factory = Callable[[], UnitOfWork]
NOW = datetime(2026, 3, 2, 15, 0, tzinfo=UTC)


def look(uow: Factory, user: int, mode: str, now: datetime = NOW) -> dict[str, bool | None]:
    return {step.name: step.ok for step in bot_connection.connection(uow(), user, mode, now=now).steps}


def beat(uow: Factory, at: datetime) -> None:
    with uow() as work:
        work.session.add(TraderHeartbeatRow(name="one", started_at=at, beat_at=at))
        work.commit()


def test_each_missing_thing_is_named_in_the_order_in_which_it_is_mended(
    uow_factory: Factory, make_user: Callable[..., User]
) -> None:
    user = make_user("ada", password="correct horse battery").id
    assert look(uow_factory, user, "live") == {"API keys": False, "Real money": False, "Trader": False, "Broker": None}
    with uow_factory() as work:
        store_api_keys(work, user, Vault(Fernet.generate_key().decode()), "live", "AKEXAMPLE1234", "secretsecret")
    kill_switches.confirm_live(uow_factory(), user, "correct horse battery", "trade with real money")
    beat(uow_factory, NOW - timedelta(seconds=4))
    assert look(uow_factory, user, "live") == {"API keys": True, "Real money": True, "Trader": True, "Broker": None}
    assert look(uow_factory, user, "live", NOW + timedelta(minutes=1))["Trader"] is False
    assert "API keys" not in look(uow_factory, user, "simulated")
    with uow_factory() as work:
        values = {"halted": True, "halt_reason": "The broker says no.", "reconciled_at": NOW}
        work.session.execute(update(AccountRow).where(AccountRow.mode == "live").values(**values))
        work.commit()
    found = bot_connection.connection(uow_factory(), user, "live", now=NOW)
    assert not found.ready and (found.steps[-1].name, found.steps[-1].text) == ("Entries", "The broker says no.")
    assert {s.name: s.ok for s in found.steps}["Broker"] is True


def test_a_question_waits_once_and_is_answered_by_the_trader(
    uow_factory: Factory, make_user: Callable[..., User]
) -> None:
    user = make_user("ada").id
    bot_connection.ask_connection(uow_factory(), user, "paper", now=NOW)
    bot_connection.ask_connection(uow_factory(), user, "paper", now=NOW + timedelta(seconds=5))
    [question] = bot_connection.open_questions(uow_factory(), NOW + timedelta(seconds=6))
    assert (question.user_id, question.mode.value) == (user, "paper")
    waiting = bot_connection.connection(uow_factory(), user, "paper", now=NOW + timedelta(seconds=6))
    assert waiting.waiting and waiting.asked_at == NOW
    # a question that nobody answered is not waited for without end
    assert bot_connection.open_questions(uow_factory(), NOW + timedelta(minutes=5)) == []
    check_account(uow_factory, question, load_settings(), lambda: NOW + timedelta(seconds=7))
    found = bot_connection.connection(uow_factory(), user, "paper", now=NOW + timedelta(seconds=8))
    broker = next(step for step in found.steps if step.name == "Broker")
    assert not found.waiting and broker.ok is False and "no API keys for paper" in broker.text
    assert bot_connection.open_questions(uow_factory(), NOW + timedelta(seconds=8)) == []


def test_a_simulator_that_is_away_is_one_sentence(uow_factory: Factory, make_user: Callable[..., User]) -> None:
    user = make_user("ada").id
    bot_connection.ask_connection(uow_factory(), user, "simulated", now=NOW)
    [question] = bot_connection.open_questions(uow_factory(), NOW)
    settings = load_settings(simulator_port=9, session_secret="a-session-secret-of-the-tests-0123456789")
    check_account(uow_factory, question, settings, lambda: NOW)
    found = bot_connection.connection(uow_factory(), user, "simulated", now=NOW)
    assert found.steps[-1].ok is False and "simulator did not answer" in found.steps[-1].text


def test_a_kill_switch_is_told_once_to_whom_it_stops(uow_factory: Factory, make_user: Callable[..., User]) -> None:
    ada, bob, eve = (make_user(name).id for name in ("ada", "bob", "eve"))
    for user, symbol, on in ((ada, "AAPL", True), (bob, "MSFT", True), (eve, "AAPL", False)):
        bots.create_bot(uow_factory(), user, NewBot(symbol, "1h", Decimal(1000), is_active=on))

    def told(user: int) -> list[str]:
        return [one.title for one in notifications.list_notifications(uow_factory(), user)]

    for _ in range(2):
        kill_switches.set_halt(uow_factory(), reason="news", set_by="ada", user_id=ada)
    assert (told(ada), told(bob)) == (["Trading is stopped"], [])
    kill_switches.set_halt(uow_factory(), reason="split", set_by="grace", symbol="AAPL")
    assert (told(ada)[0], told(bob), told(eve)) == ("Entries in AAPL are stopped", [], [])
    kill_switches.set_halt(uow_factory(), reason="outage.", set_by="grace")
    [message] = notifications.list_notifications(uow_factory(), bob)
    assert "grace pulled the kill switch: outage. No position" in message.body and told(eve) == []


def test_replaying_needs_the_users_own_bot_known_limits_and_an_equity(
    uow_factory: Factory, make_user: Callable[..., User]
) -> None:
    ada, bob = make_user("ada").id, make_user("bob").id
    bot = bots.create_bot(uow_factory(), ada, NewBot("AAPL", "1h", Decimal(1000)), passphrase="open sesame")
    assert bot.has_passphrase

    def run(user: int, limits: dict[str, Any], equity: Decimal | None = Decimal(1000)) -> object:
        return replay_alerts(uow_factory(), user, bot.id, limits, equity=equity)

    with pytest.raises(NotFound):
        run(bob, {})
    with pytest.raises(InvalidInput, match="is_active"):
        run(ada, {"is_active": True})
    with pytest.raises(InvalidInput, match="max_position_size"):
        run(ada, {"max_position_size": Decimal(-1)})
    with pytest.raises(InvalidInput, match="equity"):
        run(ada, {}, None)
    with pytest.raises(InvalidInput, match="8 to 200"):
        bots.create_bot(uow_factory(), ada, NewBot("KO", "1h", Decimal(1)), passphrase="short")
