"""Bots, tokens and kill switches through their services, on a real database."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, IntegrityError

from dashtrade.db.unit_of_work import UnitOfWork
from dashtrade.domain.bot_views import NewBot
from dashtrade.domain.bots import AccountMode, BotTimeframe, Direction
from dashtrade.domain.users import User
from dashtrade.errors import Forbidden, InvalidInput, NotFound
from dashtrade.services import bots, kill_switches

Factory = Callable[[], UnitOfWork]


def new(**fields: Any) -> NewBot:
    return NewBot(**{"symbol": "aapl", "timeframe": "15m", "position_size": Decimal(1000), **fields})


def test_create_reads_texts_and_keeps_every_field(uow_factory: Factory, make_user: Callable[..., User]) -> None:
    user = make_user()
    made = bots.create_bot(
        uow_factory(),
        user.id,
        new(
            direction="long_short", account_mode="paper", daily_loss_limit="250.50", risk_limit_percent=None,
            max_orders_per_day=None, freshness_seconds=30, allow_quantity=True, max_quantity=5,
        ),
    )  # fmt: skip
    config = bots.get_bot(uow_factory(), user.id, made.id).config
    assert config == made.config
    assert (config.symbol, config.timeframe, config.position_size) == ("AAPL", BotTimeframe.M15, 1000)
    assert (config.direction, config.account_mode) == (Direction.LONG_SHORT, AccountMode.PAPER)
    assert (config.limits.daily_loss_limit, config.limits.risk_limit_percent) == (Decimal("250.50"), None)
    assert (config.limits.max_orders_per_day, config.freshness_seconds, config.max_quantity) == (None, 30, 5)
    assert not config.is_active


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"symbol": "not a ticker"}, "symbol"),
        ({"timeframe": "7m"}, "timeframe"),
        ({"position_size": 0}, "position_size"),
        ({"position_size": "abc"}, "position_size"),
        ({"position_size": Decimal("NaN")}, "position_size"),
        ({"position_size": None}, "position_size"),
        ({"position_size": "1e12"}, "position_size"),
        ({"risk_limit_percent": 101}, "risk_limit_percent"),
        ({"daily_loss_limit": -1}, "daily_loss_limit"),
        ({"direction": "sideways"}, "direction"),
        ({"account_mode": "demo"}, "account_mode"),
        ({"freshness_seconds": 0}, "freshness_seconds"),
        ({"cooldown_losses": True}, "cooldown_losses"),
        ({"strategy_name": "x" * 101}, "strategy_name"),
    ],
)
def test_bad_fields_are_named(
    uow_factory: Factory, make_user: Callable[..., User], fields: dict[str, Any], field: str
) -> None:
    with pytest.raises(InvalidInput) as refused:
        bots.create_bot(uow_factory(), make_user().id, new(**fields))
    assert refused.value.field == field


def test_one_bot_for_a_symbol_and_timeframe_until_it_is_deleted(
    uow_factory: Factory, make_user: Callable[..., User]
) -> None:
    ada, bob = make_user().id, make_user("bob").id
    first = bots.create_bot(uow_factory(), ada, new())
    with pytest.raises(InvalidInput, match="already"):
        bots.create_bot(uow_factory(), ada, new())
    bots.create_bot(uow_factory(), ada, new(timeframe="1h"))
    bots.create_bot(uow_factory(), bob, new())
    token = bots.create_token(uow_factory(), ada, bot_id=first.id)
    bots.delete_bot(uow_factory(), ada, first.id)
    assert not bots.list_tokens(uow_factory(), ada)[0].is_active and token.view.is_active
    assert bots.create_bot(uow_factory(), ada, new()).id != first.id
    assert [bot.config.timeframe.value for bot in bots.list_bots(uow_factory(), ada)] == ["1 Hour", "15 Min"]


def test_another_users_bots_and_tokens_do_not_exist(uow_factory: Factory, make_user: Callable[..., User]) -> None:
    ada, eve = make_user().id, make_user("eve").id
    bot = bots.create_bot(uow_factory(), ada, new())
    token = bots.create_token(uow_factory(), ada)
    for attempt in (
        lambda: bots.get_bot(uow_factory(), eve, bot.id),
        lambda: bots.update_bot(uow_factory(), eve, bot.id, position_size=5),
        lambda: bots.set_bot_active(uow_factory(), eve, bot.id, True),
        lambda: bots.delete_bot(uow_factory(), eve, bot.id),
        lambda: bots.create_token(uow_factory(), eve, bot_id=bot.id),
        lambda: bots.revoke_token(uow_factory(), eve, token.view.id),
    ):
        with pytest.raises(NotFound):
            attempt()
    assert bots.list_bots(uow_factory(), eve) == bots.list_tokens(uow_factory(), eve) == []


def test_update_and_switch(uow_factory: Factory, make_user: Callable[..., User]) -> None:
    user = make_user().id
    bot = bots.create_bot(uow_factory(), user, new())
    changed = bots.update_bot(uow_factory(), user, bot.id, position_size="2500", max_drawdown=None, timeframe="D")
    assert (changed.config.position_size, changed.config.timeframe) == (2500, BotTimeframe.D1)
    with pytest.raises(InvalidInput, match="account_mode"):
        bots.update_bot(uow_factory(), user, bot.id, account_mode="live")
    assert bots.set_bot_active(uow_factory(), user, bot.id, True).config.is_active
    with pytest.raises(Forbidden):
        bots.create_bot(uow_factory(), user, new(symbol="KO", account_mode="live", is_active=True))


def test_services_work_inside_an_open_unit_of_work_too(uow_factory: Factory, make_user: Callable[..., User]) -> None:
    user = make_user().id
    with uow_factory() as uow:
        bot = bots.create_bot(uow, user, new())
        assert [b.id for b in bots.list_bots(uow, user)] == [bot.id]
    assert bots.get_bot(uow_factory(), user, bot.id).id == bot.id


def test_kill_switches_of_each_scope(uow_factory: Factory, make_user: Callable[..., User]) -> None:
    ada, bob = make_user().id, make_user("bob").id
    everybody = kill_switches.set_halt(uow_factory(), reason="outage", set_by="admin")
    again = kill_switches.set_halt(uow_factory(), reason="another text", set_by="admin")
    assert again == everybody
    mine = kill_switches.set_halt(uow_factory(), reason="holiday", set_by="ada", user_id=ada)
    symbol = kill_switches.set_halt(uow_factory(), reason="news", set_by="ada", user_id=ada, symbol="nasdaq:aapl")
    assert (everybody.scope, mine.scope, symbol.scope, symbol.symbol) == ("system", "user", "symbol", "AAPL")
    assert [h.id for h in kill_switches.list_halts(uow_factory(), bob)] == [everybody.id]
    with pytest.raises(NotFound):
        kill_switches.clear_halt(uow_factory(), mine.id, cleared_by="bob", user_id=bob)
    kill_switches.clear_halt(uow_factory(), mine.id, cleared_by="ada", user_id=ada)
    assert len(kill_switches.list_halts(uow_factory())) == 2
    with pytest.raises(InvalidInput):
        kill_switches.set_halt(uow_factory(), reason=" ", set_by="ada")


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO order_intents (leg, attempt, user_id, bot_id, account_id, symbol, client_order_id, purpose,"
        " side, qty, deadline) VALUES (1, 1, :u, :b, :a, 'AAPL', 'second', 'entry', 'buy', 1, now())",
        "UPDATE order_intents SET qty = 1, notional = 1",
        "UPDATE order_intents SET qty = -1",
        "UPDATE order_intents SET state = 'lost'",
        "UPDATE account_state SET reserved_exposure = -1",
        "INSERT INTO account_state (user_id, mode, client_prefix) VALUES (:u, 'simulated', 'x')",
        "UPDATE user_bot_configs SET position_size = 0",
        "UPDATE user_bot_configs SET is_active = true, deleted_at = now()",
        "INSERT INTO user_webhook_tokens (user_id, token, prefix) VALUES (:u, 'plain text', 'plain')",
        "INSERT INTO trading_halts (scope, user_id, reason, set_by) VALUES ('system', :u, 'r', 's')",
    ],
)
def test_the_database_itself_holds_the_rules(
    uow_factory: Factory, make_user: Callable[..., User], statement: str
) -> None:
    user = make_user().id
    bot = bots.create_bot(uow_factory(), user, new())
    with uow_factory() as uow:
        account = uow.session.execute(text("SELECT id FROM account_state")).scalar()
        values = {"u": user, "b": bot.id, "a": account}
        uow.session.execute(
            text(
                "INSERT INTO order_intents (leg, attempt, user_id, bot_id, account_id, symbol, client_order_id,"
                " purpose, side, qty, deadline) VALUES (1, 1, :u, :b, :a, 'AAPL', 'first', 'entry', 'buy', 1, now())"
            ),
            values,
        )
        with pytest.raises(IntegrityError):
            uow.session.execute(text(statement), values)


def test_a_bots_history_of_orders_cannot_be_rewritten(uow_factory: Factory, make_user: Callable[..., User]) -> None:
    user = make_user().id
    with uow_factory() as uow:
        uow.session.execute(text("INSERT INTO order_events (user_id, kind) VALUES (:u, 'planned')"), {"u": user})
        uow.commit()
    for statement in ("UPDATE order_events SET kind = 'x'", "DELETE FROM order_events"):
        with uow_factory() as uow, pytest.raises(DBAPIError):
            uow.session.execute(text(statement))
